"""Listening sockets: each port at every address of `bind`, and the Unix socket.

CONFIG SET moves a Port while clients stay. A new port is opened before the old one is closed. Other addresses of one
port may overlap with those before (127.0.0.1, then *), so there the old sockets are closed first.
"""

import contextlib
import os
import socket
from collections.abc import Callable

from minikv.config import Config
from minikv.connection import Connection, Hub
from minikv.errors import ConfigError
from minikv.log import Log
from minikv.sockets import Listener

# Addresses that this machine does not have or know, by errno.
UNAVAILABLE = (97, 99)  # EAFNOSUPPORT, EADDRNOTAVAIL

Newcomer = Callable[[Hub, int], Connection]


class Port:
    """One setting, `port` or `tls-port`, and the sockets that listen there.

    number: the port of the first socket, 0 without one. kind: in log lines. newcomer: as of Hub.listen.
    """

    def __init__(self, config: Config, hub: Hub, log: Log, setting: str, newcomer: Newcomer | None = None) -> None:
        self._config = config
        self._hub = hub
        self._log = log
        self._setting = setting
        self._newcomer = newcomer
        self._kind = "TCP" if newcomer is None else "TLS"
        self._listeners: list[Listener] = []
        self._listening: tuple[tuple[str, ...], int] | None = None  # the bind and port that it listens on
        self.number = 0

    def open(self) -> None:
        """Listen. OSError, with a line for each thing to log."""
        try:
            self._accept(self._bind())
        except OSError as error:
            port = self._config.get(self._setting)
            raise OSError(f"{error}\nFailed listening on port {port} ({self._kind}), aborting.") from None

    def move(self, failure: str) -> None:
        """CONFIG SET: ConfigError if that fails; calling it with the old values restores them."""
        before, wanted = self._listening, self._wanted()
        if before == wanted:
            return
        if before is None or before[1] == wanted[1]:
            self.close()
            self._listening = None
        try:
            sockets = self._bind()
        except OSError as error:
            self._log.warning(str(error))
            raise ConfigError(failure) from None
        self.close()
        self._accept(sockets)

    def _wanted(self) -> tuple[tuple[str, ...], int]:
        return self._config.bind, self._config.get(self._setting)

    def _bind(self) -> list[socket.socket]:
        """Sockets on every address; all have one port, which the system chooses for `port 0` alone."""
        config = self._config
        sockets: list[socket.socket] = []
        port = config.get(self._setting)
        is_only = self._newcomer is None and not config.tls_port and not config.unixsocket
        try:
            if port or is_only:
                for word in config.bind or ("*", "-::*"):
                    sock = open_address(word, port, config.tcp_backlog)
                    if sock is not None:
                        sockets.append(sock)
                        port = sock.getsockname()[1]
        except OSError:
            for sock in sockets:
                sock.close()
            raise
        self.number = port
        self._listening = self._wanted()
        return sockets

    def _accept(self, sockets: list[socket.socket]) -> None:
        self._listeners = [self._hub.listen(sock, self._newcomer) for sock in sockets]

    def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            self._hub.stop_listening(listener)
        self._listeners = []


def open_address(word: str, port: int, backlog: int) -> socket.socket | None:
    """One address of `bind`; a leading dash means that it may be missing on this machine."""
    may_fail = word.startswith("-")
    host = word.removeprefix("-")
    host = {"*": "0.0.0.0", "::*": "::"}.get(host, host)
    sock = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(backlog)
    except OSError as error:
        if sock is not None:
            sock.close()
        reason = error.strerror or str(error)
        missing = isinstance(error, socket.gaierror) or error.errno in UNAVAILABLE
        if may_fail and missing:
            return None
        raise OSError(f"Could not create server TCP listening socket {host}:{port}: bind: {reason}") from None
    return sock


def open_unix(path: str, permissions: int, backlog: int) -> socket.socket:
    """A Unix socket in the place of whatever has its name."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.bind(path)
        sock.listen(backlog)
        if permissions:
            os.chmod(path, permissions)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise OSError(f"Failed opening Unix socket: bind: {reason}") from None
    return sock
