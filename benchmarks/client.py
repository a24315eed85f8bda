"""A blocking RESP client that adds as little as possible to what is measured."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

RECEIVE_BYTES = 1 << 18


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
        self.replies = self.socket.makefile("rb", RECEIVE_BYTES)
        if password:
            self.command("AUTH", password)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.replies.close()
        self.socket.close()

    def send(self, *args: bytes | str | int) -> None:
        """Write a request; its reply is still to be read."""
        self.socket.sendall(encode(*args))

    def receive(self) -> Any:
        """The next reply: bytes, int, None or a list; an error reply is raised."""
        line: bytes = self.replies.readline()
        kind, rest = line[:1], line[1:-2]
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        if kind == b"+":
            return rest
        if kind == b"-":
            raise ReplyError(rest.decode(errors="replace"))
        number = int(rest)
        if kind == b":":
            return number
        if kind == b"$":
            return None if number < 0 else self.receive_bytes(number)
        if kind == b"*":
            return None if number < 0 else [self.receive() for _ in range(number)]
        raise ValueError(f"not a reply: {line!r}")

    def receive_bytes(self, length: int) -> bytes:
        data: bytes = self.replies.read(length + 2)
        if len(data) < length + 2:
            raise ConnectionError("the server closed the connection")
        return data[:-2]

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
