"""Servers under test: started on a free port in a directory of their own, stopped by pid whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from benchmarks import processes
from benchmarks.client import Client, ReplyError

ROOT = Path(__file__).resolve().parent.parent
READY_TIMEOUT_S = 600.0  # some GB of small elements load for minutes
STOP_TIMEOUT_S = 20.0
ENDING = (signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1  # prctl(2)

T = TypeVar("T")

# The same for all whose command does not say otherwise: no save points, no compression (it would measure LZF).
SETTINGS = {"bind": "127.0.0.1", "dbfilename": "dump.rdb", "save": "", "appendonly": "no", "rdbcompression": "no"}


@dataclass(frozen=True)
class ServerSpec:
    """A name for the tables, and the command that starts the server (options are appended in redis-server's form).

    directory: where the command runs. url: of a server that runs already (`redis://[:password@]127.0.0.1:6379`); then
    there is no command.
    """

    name: str
    command: tuple[str, ...] = ()
    directory: Path = ROOT
    url: str = ""

    @classmethod
    def parse(cls, text: str) -> ServerSpec:
        """From the command line: a name of PRESETS, `NAME=COMMAND`, `NAME=URL`, a command or a URL."""
        if text in PRESETS:
            return PRESETS[text]
        if text.startswith("redis://"):
            return cls(urlsplit(text).netloc.rpartition("@")[2], url=text)
        name, _, told = text.partition("=")
        if told.startswith("redis://"):
            return cls(name, url=told)
        return cls(name, tuple(shlex.split(told or name)))

    @property
    def told(self) -> str:
        """The command or the URL (without its password), for reports."""
        return " ".join(self.command) or "redis://" + urlsplit(self.url).netloc.rpartition("@")[2]


REDIS = ServerSpec("redis-server", ("redis-server",))
MINIKV = ServerSpec("minikv", (sys.executable, "-m", "minikv"))
IN_PLACE = ServerSpec("minikv in-place", (*MINIKV.command, "--snapshot-writes", "in-place"))
SMALL_PAGES = ServerSpec("minikv 4 KiB pages", (*MINIKV.command, "--arena-huge-pages", "no"))
VALKEY = ServerSpec("valkey-server", ("valkey-server",))

PRESETS = {
    "redis-server": REDIS,
    "valkey-server": VALKEY,
    "minikv": MINIKV,
    "minikv-in-place": IN_PLACE,
    "minikv-4k": SMALL_PAGES,
}


def installed(*specs: ServerSpec) -> tuple[ServerSpec, ...]:
    """Those whose program is there."""
    return tuple(spec for spec in specs if shutil.which(spec.command[0]))


@dataclass
class Server:
    """A running server. process: if it was started here."""

    spec: ServerSpec
    directory: Path
    port: int
    pid: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    password: str = ""
    ready_s: float = 0.0
    ready_cpu_s: float = 0.0
    clients: list[Client] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def dump(self) -> Path:
        return self.directory / SETTINGS["dbfilename"]

    def client(self) -> Client:
        """A new connection, closed with the server."""
        client = Client(self.port, self.password)
        self.clients.append(client)
        return client

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def version(self) -> str:
        with Client(self.port, self.password) as client:
            info = client.info("server")
        return info.get("minikv_version") or info.get("valkey_version") or info["redis_version"]

    def wait_until_ready(self) -> None:
        """Return when PING is answered by PONG; `ready_s` and `ready_cpu_s` tell the time it took."""
        deadline = self.started_at + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-2000:]}")
            with contextlib.suppress(OSError, ReplyError), Client(self.port) as client:
                if client.command("PING") == b"PONG":
                    self.ready_s = time.monotonic() - self.started_at
                    self.ready_cpu_s = processes.cpu_s(self.pid)
                    return
            time.sleep(0.001)
        raise TimeoutError(f"{self.name} does not answer:\n{self.log()[-2000:]}")

    def stop(self) -> None:
        """Close the connections; end the server and its children, a stopped one too, if it was started here."""
        for client in self.clients:
            client.close()
        if self.process is None:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in processes.children(self.pid):
                os.kill(child, signal.SIGKILL)
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(spec: ServerSpec, dump: Path | None = None, parent_dir: Path | None = None) -> Iterator[Server]:
    """A server that answers, on a copy-free link of `dump` if given; its directory goes away with it."""
    if spec.url:
        server = attached(spec)
        try:
            yield server
        finally:
            server.stop()
        return
    with tempfile.TemporaryDirectory(prefix=f"benchmark-{spec.name.replace(' ', '-')}-", dir=parent_dir) as name:
        directory = Path(name)
        if dump is not None:
            os.link(dump, directory / SETTINGS["dbfilename"])
        server = start(spec, directory)
        try:
            server.wait_until_ready()
            yield server
        finally:
            server.stop()


def start(spec: ServerSpec, directory: Path) -> Server:
    """Start the server; it does not answer yet."""
    port = free_port()
    settings = {name: value for name, value in SETTINGS.items() if f"--{name}" not in spec.command}
    options = [text for name, value in settings.items() for text in (f"--{name}", value)]
    options += ["--port", str(port), "--dir", str(directory)]
    with (directory / "log").open("wb") as log, signals_held():
        process = subprocess.Popen(
            [*spec.command, *options],
            cwd=spec.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
    return Server(spec, directory, port, process.pid, process, time.monotonic())


def attached(spec: ServerSpec) -> Server:
    """A server that runs already on this machine, by its URL."""
    parts = urlsplit(spec.url)
    if parts.hostname not in ("127.0.0.1", "localhost"):
        raise ValueError(f"{spec.told}: the lab reads /proc of the server, so it must run on 127.0.0.1")
    port = parts.port or 6379
    return Server(spec, Path(), port, processes.listener(port), password=unquote(parts.password or ""))


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let the signals wait that end a benchmark: what their handlers raise would be lost in the hooks of a fork."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def die_with_parent() -> None:
    """In the new process: be killed when the benchmark is, even by SIGKILL, or between two of its statements."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


@contextlib.contextmanager
def all_running(specs: Sequence[ServerSpec], parent_dir: Path | None = None) -> Iterator[list[Server]]:
    """One server of each kind at once; idle ones take no CPU."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running(spec, parent_dir=parent_dir)) for spec in specs]


def in_turns(items: Sequence[T], turn: int) -> list[T]:
    """The items, rotated by one from turn to turn, so that none is always measured first."""
    start = turn % len(items)
    return [*items[start:], *items[:start]]
