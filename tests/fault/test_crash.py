"""A crash of the server: the report in its log, and the way it ends."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import ConnectionLost, Server, wait_until

StartServer = Callable[..., Server]

START, END = "=== REDIS BUG REPORT START: Cut & paste starting from here ===", "=== REDIS BUG REPORT END."
SECTIONS = ("STACK TRACE", "INFO OUTPUT", "CLIENT LIST OUTPUT", "CURRENT CLIENT INFO", "CONFIG DEBUG OUTPUT")


def crash(server: Server, command: str) -> int:
    """Send a command that ends the server; the exit code."""
    with pytest.raises((ConnectionLost, OSError, AssertionError)), server.connect() as client:
        client.call(command)
    return server.wait()


def report(server: Server) -> str:
    log = server.log()
    assert START in log and END in log, log
    return log[log.index(START) : log.index(END)]


def test_a_crash_in_a_command_is_reported_and_ends_by_its_signal(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call("CONFIG SET masterauth sesame")
    assert crash(server, "DEBUG SEGFAULT") == -signal.SIGSEGV
    text = report(server)
    positions = [text.index(f"------ {title} ------") for title in SECTIONS]
    assert positions == sorted(positions)
    assert "minikv crashed by signal: 11, si_code: 1" in text
    assert "Accessing address: 0x8\n" in text
    assert "commands/debug.py" in text  # the stack of Python
    assert "redis_version:7.0.15" in text and "argv[1]: b'SEGFAULT'" in text and "cmd=debug" in text
    assert "enable-debug-command yes" in text
    assert "sesame" not in server.log()


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL])
def test_a_signal_from_outside_is_reported_with_its_sender(start_minikv: StartServer, number: signal.Signals) -> None:
    server = start_minikv()
    os.kill(server.pid, number)
    assert server.wait() == -number
    text = report(server)
    assert f"crashed by signal: {number}, si_code: 0" in text
    assert f"Killed by PID: {os.getpid()}, UID: {os.getuid()}" in text
    assert "redis_version:7.0.15" in text and "------ CURRENT CLIENT INFO ------\nnone\n" in text


def test_without_crash_log_nothing_is_reported(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call("CONFIG SET crash-log-enabled no")
    assert crash(server, "DEBUG SEGFAULT") == -signal.SIGSEGV
    assert START not in server.log()


@pytest.mark.parametrize("command", ["ASSERT", "PANIC"])
def test_use_exit_on_panic_ends_with_an_exit_code(start_minikv: StartServer, command: str) -> None:
    server = start_minikv(crash_log_enabled="no")
    server.call("CONFIG SET crash-log-enabled yes use-exit-on-panic yes")
    assert crash(server, f"DEBUG {command}") == 1
    assert ("ASSERTION FAILED" if command == "ASSERT" else "Guru Meditation") in server.log()
    assert "minikv crashed by signal: 6" in report(server)


def test_a_report_goes_where_the_log_is_after_a_rotation(start_minikv: StartServer, tmp_path: Path) -> None:
    path = str(tmp_path / "server.log")
    server = start_minikv(logfile=path)
    os.rename(path, path + ".1")
    assert crash(server, "DEBUG SEGFAULT") == -signal.SIGSEGV
    with open(path) as file:
        assert END in file.read()
    with open(path + ".1") as file:
        assert START not in file.read()


def test_the_watchdog_shows_what_a_server_does_that_does_not_answer(start_minikv: StartServer) -> None:
    server = start_minikv(hz="100")
    server.call("CONFIG SET watchdog-period 30")
    wait_until(lambda: sleeps(server), "the watch begins with the next run of the cron")
    server.call("CONFIG SET watchdog-period 0")
    assert "commands/debug.py" in server.log()


def sleeps(server: Server) -> bool:
    """Whether the log shows that the server was found asleep, after it was."""
    server.call("DEBUG SLEEP 0.1")
    return " in sleep\n" in server.log()


def test_a_crash_of_the_report_itself_ends_it(start_minikv: StartServer, tmp_path: Path) -> None:
    """The report goes to a pipe that nobody reads, so it hangs in the middle; the second signal finds it there."""
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        server = start_minikv(logfile=str(pipe))
        fill = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(fill, bytes(4096))
        os.kill(server.pid, signal.SIGABRT)
        wait_until(lambda: is_in_write(server.pid), "the report hangs")
        os.kill(server.pid, signal.SIGBUS)
        text = bytearray()
        while server.alive:
            with contextlib.suppress(BlockingIOError):
                text += os.read(reader, 1 << 20)
        os.close(fill)
        while piece := os.read(reader, 1 << 20):
            text += piece
        assert server.wait() == -signal.SIGABRT
    finally:
        os.close(reader)
    assert b"(the report has crashed, too)" in text and END.encode() in text


def is_in_write(pid: int) -> bool:
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text()
