"""Leaving the terminal, pid files, process names: in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

from minikv.host.daemon import remove_pid_file, set_process_name, write_pid_file


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)


DAEMON = """if True:
    import os, sys
    from minikv.host.daemon import daemonize, leave_terminal
    print("before")
    started = daemonize()
    print("starting", flush=True)
    if sys.argv[2] == "fails":
        sys.exit(5)
    leave_terminal(started)
    print("to nobody", flush=True)
    names = [os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)]
    with open(sys.argv[1], "w") as answer:
        print(os.getpid(), os.getsid(0), *names, file=answer)
"""


def test_a_daemon_has_no_terminal_and_its_own_session(tmp_path: Path) -> None:
    fifo = tmp_path / "answer"
    os.mkfifo(fifo)
    process = subprocess.Popen([sys.executable, "-c", DAEMON, str(fifo), "runs"], stdout=subprocess.PIPE, text=True)
    pid, session, *names = fifo.read_text().split()
    assert process.communicate(timeout=60)[0] == "before\nstarting\n"
    assert process.returncode == 0
    assert int(session) not in (os.getsid(0), int(pid))
    assert names == ["/dev/null"] * 3


def test_who_starts_a_daemon_that_fails_learns_it() -> None:
    process = subprocess.run([sys.executable, "-c", DAEMON, "", "fails"], capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout) == (1, "before\nstarting\n")


def test_a_pid_file_is_removed_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    write_pid_file(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    path.write_text("1\n")
    remove_pid_file(str(path))
    assert path.exists()
    write_pid_file(str(path))
    remove_pid_file(str(path))
    assert not path.exists()
    remove_pid_file(str(path))


def test_the_process_name() -> None:
    script = """if True:
        from minikv.host.daemon import set_process_name
        set_process_name("a-name-of-more-than-15-bytes")
        print(open("/proc/self/comm").read().strip())
    """
    assert run(script).stdout == "a-name-of-more-\n"


def test_a_name_that_cannot_be_set_does_no_harm() -> None:
    set_process_name("x", proc="/nowhere")
