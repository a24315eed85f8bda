"""A blocking RESP client that adds as little as possible to what is measured."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

import hiredis

RECEIVE_BYTES = 1 << 16
NO_REPLY = object()  # the parser wants more bytes


class ReplyError(Exception):
    """The server replied with an error."""


def encode(*args: bytes | str | int) -> bytes:
    """A request as it goes over the wire."""
    texts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)


class Client:
    """One connection. Not for threads."""

    def __init__(self, port: int, password: str = "", timeout_s: float = 120.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = hiredis.Reader(replyError=ReplyError, notEnoughData=NO_REPLY)
        if password:
            self.command("AUTH", password)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, *args: bytes | str | int) -> None:
        """Write a request; its reply is still to be read."""
        self.socket.sendall(encode(*args))

    def receive(self) -> Any:
        """The next reply: bytes, int, None or a list; an error reply is raised."""
        while (reply := self.parser.gets()) is NO_REPLY:
            data = self.socket.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionError("the server closed the connection")
            self.parser.feed(data)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def command(self, *args: bytes | str | int) -> Any:
        self.send(*args)
        return self.receive()

    def info(self, section: str = "everything") -> dict[str, str]:
        """INFO as name: value."""
        lines = self.command("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def pipeline(self, batches: Iterable[tuple[bytes | memoryview, int]]) -> None:
        """Send (raw requests, their number) batches, one ahead of the replies, which must not be errors."""
        owed = 0
        for requests, count in batches:
            self.socket.sendall(requests)
            self.skip(owed)
            owed = count
        self.skip(owed)

    def skip(self, replies: int) -> None:
        for _ in range(replies):
            self.receive()
