"""Python's part of a crash report: what the server was doing.

    reporter = CrashReporter(config, log, server)
    reporter.follow()                       crash-log-enabled counts from now on

The report is in Redis's order and under its titles: INFO, the clients, the request that was being executed, settings.
Secrets do not appear. Parts stand alone: one that fails says so, and the next is tried.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import time
from collections.abc import Callable
from typing import Protocol

from minikv.config import Config
from minikv.crash import handler
from minikv.dispatch.client import Client
from minikv.log import Log
from minikv.slowlog import SECRET_SETTINGS, redacted, shortened


class Described(Protocol):
    """The server, as a report shows it. served: the client whose request is being executed, and the request."""

    clients: dict[int, Client]

    def info_text(self) -> bytes: ...
    def client_line(self, client: Client) -> bytes: ...
    def served(self) -> tuple[Client | None, list[object]]: ...


TRACEBACK_SIGNAL = signal.SIGRTMAX - 1  # of the process itself, to faulthandler


class CrashReporter:
    """Writes the report of a server."""

    def __init__(self, config: Config, log: Log, server: Described) -> None:
        self.config = config
        self.log = log
        self.server = server
        self.report_fd = -1

    def follow(self) -> None:
        """Apply the settings, now and whenever they change."""
        for name, apply in (("crash-log-enabled", self._set_enabled), ("use-exit-on-panic", handler.exit_on_panic)):
            self.config.on_change(name, apply)
        handler.exit_on_panic(self.config.use_exit_on_panic)
        self._set_enabled(self.config.crash_log_enabled)

    def _set_enabled(self, enabled: object) -> None:
        if not enabled:
            handler.remove()
            return
        if self.report_fd < 0:
            self.report_fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            faulthandler.register(TRACEBACK_SIGNAL, file=self.report_fd, all_threads=False)
        offset_s = time.localtime().tm_gmtoff
        path = os.fsencode(self.log.path)
        handler.install(self.log.fd, path, self.report_fd, TRACEBACK_SIGNAL, offset_s, self.write)

    def write(self) -> None:
        """Write Python's part to the report's descriptor."""
        for title, part in (
            ("INFO OUTPUT", self._info),
            ("CLIENT LIST OUTPUT", self._clients),
            ("CURRENT CLIENT INFO", self._current),
            ("CONFIG DEBUG OUTPUT", self._settings),
        ):
            self._write_part(title, part)

    def _write_part(self, title: str, part: Callable[[], bytes]) -> None:
        os.write(self.report_fd, f"\n------ {title} ------\n".encode())
        try:
            text = part()
        except BaseException as error:  # the interpreter may be in any state
            text = f"({type(error).__name__})".encode()
        with contextlib.suppress(OSError):
            os.write(self.report_fd, text + b"\n")

    def _info(self) -> bytes:
        return self.server.info_text().replace(b"\r", b"")

    def _clients(self) -> bytes:
        return b"\n".join(map(self.server.client_line, self.server.clients.values()))

    def _current(self) -> bytes:
        client, request = self.server.served()
        if client is None:
            return b"none"
        full_name = client.last_command.full_name if client.last_command is not None else b""
        name = full_name.split(b"|")[-1] or b"?"
        words = shortened(redacted([word if isinstance(word, bytes) else name for word in request], full_name))
        arguments = (b"argv[%d]: %a" % (place, word) for place, word in enumerate(words))
        return b"\n".join([self.server.client_line(client), *arguments])

    def _settings(self) -> bytes:
        """What was set at the start, without passwords."""
        names = sorted(name for name in self.config.given if name.encode() not in SECRET_SETTINGS)
        return "\n".join(f"{name} {self.config.text(name)}" for name in names).encode("utf-8", "surrogateescape")
