"""A process without a terminal, its pid file, its name, and what the process list shows of its arguments."""

import ctypes
import os
import sys
from collections.abc import Iterable


def daemonize() -> int:
    """Continue in a grandchild without a terminal. Call it before there are threads and event loops.

    The caller's process waits until the grandchild passes the returned descriptor to
    `leave_terminal` (exit code 0) or exits (exit code 1), so its parent learns whether the daemon
    runs.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(0 if os.read(reading, 1) else 1)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(reading)
    _to_null(0)
    return writing


def leave_terminal(started: int) -> None:
    """The daemon runs: discard its output from now on, and release the process that started it."""
    _to_null(0, 1, 2)
    os.write(started, b"\n")
    os.close(started)


def _to_null(*descriptors: int) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def write_pid_file(path: str) -> None:
    """OSError if it cannot be written."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, b"%d\n" % os.getpid())
    finally:
        os.close(fd)


def remove_pid_file(path: str) -> None:
    """Remove it if it is still ours: another server may have started with the same file."""
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


def hide_arguments(words: Iterable[str], proc: str = "/proc") -> None:
    """Overwrite these command-line arguments in this process's memory, where the process list reads them."""
    secrets = {os.fsencode(word) for word in words}
    if not secrets:
        return
    try:
        with open(f"{proc}/self/stat", "rb") as file:
            start, end = map(int, file.read().rpartition(b")")[2].split()[45:47])
    except (OSError, ValueError):
        return  # the kernel does not say where they are
    for word in ctypes.string_at(start, end - start).split(b"\0"):
        if word in secrets:
            ctypes.memset(start, ord("*"), len(word))
        start += len(word) + 1
