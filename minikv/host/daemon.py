"""A process without a terminal, its pid file and its name."""

import os
import sys


def daemonize() -> None:
    """Go on in a grandchild that has no terminal; the caller ends here. To be called before threads and event loops."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if null > 2:
        os.close(null)


def write_pid_file(path: str) -> None:
    """OSError if it cannot be written."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, b"%d\n" % os.getpid())
    finally:
        os.close(fd)


def remove_pid_file(path: str) -> None:
    """Remove it if it is still ours: another server may have been started with the same file."""
    try:
        with open(path, "rb") as file:
            ours = file.read(32).strip() == b"%d" % os.getpid()
        if ours:
            os.unlink(path)
    except OSError:
        pass


def set_process_name(name: str, proc: str = "/proc") -> None:
    """The short name (15 bytes) that top, ps -o comm and pgrep show."""
    try:
        with open(f"{proc}/self/comm", "wb") as file:
            file.write(name.encode()[:15])
    except OSError:
        pass
