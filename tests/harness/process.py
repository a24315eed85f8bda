"""Servers as real processes: minikv and the oracle are started, watched and stopped in the same way.

A server listens on a unix socket in a directory of its own (no port can be taken by somebody else) and, if asked, on a
free TCP port. It writes its log to a file, which is shown when a test fails. It leads its own process group and dies
with the test run: nothing that a test starts outlives it. A minikv is forked by a template (template.py) if there is
one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import redis

from tests.harness.template import REPOSITORY, ForkedProcess, Template, die_with_parent
from tests.harness.wire import WireClient, Words

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.005

MINIKV = (sys.executable, "-m", "minikv")

# Defaults of both servers in tests: nothing is saved unless a test wants it, and tests may use every DEBUG command.
DEFAULT_SETTINGS = {"save": "", "port": "0", "enable-debug-command": "yes"}


class ServerFailed(AssertionError):
    """The server did not start or did not stop; the text holds its log."""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Returns as soon as the condition holds; fails after timeout_s and says what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(POLL_S)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def free_port() -> int:
    """A TCP port that the system says is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One server process.

    settings: redis.conf names with underscores or dashes; a value None leaves a default of the tests out.
    directory: the server's `dir`; unless given, a fresh one beside the socket and the log, removed at the end.
    template: forks the process, if this is a minikv without an environment of its own; otherwise it is a new program.
    """

    def __init__(
        self,
        argv: tuple[str, ...] = MINIKV,
        settings: Mapping[str, object] | None = None,
        *,
        directory: Path | None = None,
        tcp: bool = False,
        environment: Mapping[str, str] | None = None,
        template: Template | None = None,
    ) -> None:
        self.argv = argv
        self._home = Path(tempfile.mkdtemp(prefix="minikv-test-"))  # short: a socket's path has room for 107 bytes
        self.directory = directory or self._home
        self.socket_path = str(self._home / "server.sock")
        self.log_path = self._home / "server.log"
        self.port = free_port() if tcp else 0
        self.settings: dict[str, object] = dict(DEFAULT_SETTINGS, port=self.port)
        self.settings |= {"dir": self.directory, "unixsocket": self.socket_path}
        self.settings |= {name.replace("_", "-"): value for name, value in (settings or {}).items()}
        self._environment = environment
        self._template = template if argv == MINIKV and environment is None else None
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._control: WireClient | None = None

    def __repr__(self) -> str:
        return f"<{self.name} pid={self._process.pid if self._process else None} {self.directory}>"

    @property
    def name(self) -> str:
        return "minikv" if "minikv" in self.argv else Path(self.argv[0]).name

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def dump_path(self) -> Path:
        return self.directory / str(self.settings.get("dbfilename", "dump.rdb"))

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # -- life ------------------------------------------------------------------------------------------------------

    def command_line(self) -> list[str]:
        arguments = list(self.argv)
        for name, value in self.settings.items():
            if value is not None:
                arguments += [f"--{name}", *(value if isinstance(value, (list, tuple)) else [str(value)])]
        return arguments

    def launch(self) -> None:
        """Starts the process and does not wait for it."""
        assert not self.alive
        self._forget_connections()
        with self.log_path.open("ab") as log:
            if self._template is not None:
                self._process = self._template.start(self.command_line(), output=log, cwd=REPOSITORY)
                return
            self._process = subprocess.Popen(
                self.command_line(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env={**os.environ, **(self._environment or {})},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def start(self) -> Server:
        """Starts the process and waits until it answers; a server that is loading is waited for."""
        self.launch()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.alive:
                raise ServerFailed(f"{self.name} ended with {self.exit_code()} at its start\n{self.log()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self.name} did not answer for {START_TIMEOUT_S:g} s\n{self.log()}")
            time.sleep(POLL_S)
        return self

    def _answers(self) -> bool:
        try:
            with self.connect() as client:
                return not client.call("PING").startswith(b"-LOADING")
        except (OSError, AssertionError):
            return False

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ends the server as `kill PID` does and returns its exit code."""
        if self.alive:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Waits for the server's own end; returns its exit code."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"{self.name} did not end within {timeout_s:g} s\n{self.log()}") from None
        self._forget_connections()
        return code

    def kill(self) -> None:
        """Ends the server and its children by SIGKILL."""
        if self._process is None:
            return
        group = self._process.pid
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            children = [child for child in self.children() if os.getpgid(child.pid) == group]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not any(map(_runs, children)), "the children of a killed server end")
        self._forget_connections()

    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def restart(self) -> Server:
        """Ends the server as `kill PID` does and starts it again in the same directory."""
        self.stop()
        return self.start()

    def dispose(self) -> None:
        """Ends everything and removes the directory."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def _forget_connections(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    # -- talk ------------------------------------------------------------------------------------------------------

    def connect(self, *, tcp: bool = False) -> WireClient:
        """A new connection, by the unix socket or by TCP."""
        return WireClient(("127.0.0.1", self.port) if tcp else self.socket_path)

    def redis(self, **options: object) -> redis.Redis:
        """A redis-py client."""
        return redis.Redis(unix_socket_path=self.socket_path, **options)  # type: ignore[arg-type]

    @property
    def control(self) -> WireClient:
        """A connection that stays open for the harness's own questions."""
        if self._control is None:
            self._control = self.connect()
            if password := self.settings.get("requirepass"):
                self._control.value(("AUTH", str(password)))
        return self._control

    def call(self, command: Words) -> bytes:
        return self.control.call(command)

    def barrier(self) -> None:
        """Returns when the server has handled whatever other connections had sent before.

        The server is one event loop: what lay in a socket before the first question is seen, at the latest, in the
        round that answers the second; a new connection may take two rounds more until it is read from.
        """
        for _ in range(4):
            self.call("PING")

    def info(self, section: str = "everything") -> dict[str, str]:
        """The fields of INFO."""
        text = self.control.value(("INFO", section)).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))

    def log(self, start: int = 0) -> str:
        """The log from byte `start` on, without its early part if it is very long."""
        try:
            data = self.log_path.read_bytes()[start:]
        except FileNotFoundError:
            return ""
        return data[-20_000:].decode(errors="replace")

    def log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    # -- what it costs ---------------------------------------------------------------------------------------------

    @property
    def process(self) -> psutil.Process:
        """The process as psutil sees it."""
        return psutil.Process(self.pid)

    def rss_bytes(self) -> int:
        rss: int = self.process.memory_info().rss
        return rss

    def children(self) -> list[psutil.Process]:
        """The processes that the server has started and that are still there (a saving child)."""
        return self.process.children(recursive=True)
