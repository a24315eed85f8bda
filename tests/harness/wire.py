"""A client that sees the wire: it sends any bytes and returns the exact bytes of each reply.

The splitter finds where a reply of RESP2 or RESP3 ends by counting the values that are still to come, so it needs no
tree and reads every byte once. `parse` builds the tree, for comparisons that look inside a reply.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, NamedTuple

Word = bytes | str | int | float
Words = str | tuple[Word, ...] | list[Word]

TIMEOUT_S = 60.0  # a server that does not answer at all is a failure, one on a machine with a load of ten is not
AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}  # kind -> values for each counted element
BLOBS = b"$=!"
BLOB = -1
KINDS = [BLOB if byte in BLOBS else AGGREGATES.get(bytes([byte]), 0) for byte in range(256)]  # by the first byte
ATTRIBUTE = ord("|")
CHUNK = 1 << 20


class Value(NamedTuple):
    """One value of a reply: its kind (the first byte on the wire) and its payload; None stands for a null."""

    kind: bytes
    payload: Any


class ConnectionLost(AssertionError):
    """The server closed the connection where a reply was due."""


def words(command: Words) -> list[bytes]:
    """A command as a list of bytes; a string is split at blanks."""
    parts = command.split() if isinstance(command, str) else command
    return [part if isinstance(part, bytes) else str(part).encode() for part in parts]


def encode(command: Words) -> bytes:
    """A command as a client sends it: an array of bulk strings."""
    parts = words(command)
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class ReplySplitter:
    """Bytes in, whole replies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0  # end of the values that were seen
        self._missing = 1  # values still to come until the current reply is whole

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_reply(self) -> bytes | None:
        """The bytes of the next whole reply, or None if more bytes are needed."""
        if not self._skip_values():
            return None
        reply = bytes(self._buffer[: self._position])
        del self._buffer[: self._position]
        self._position, self._missing = 0, 1
        return reply

    @property
    def is_empty(self) -> bool:
        return not self._buffer

    def take(self, reply: bytes) -> bool:
        """Whether the next reply is this one, which is then taken; quick, as nothing has to be understood."""
        if self._position or not self._buffer.startswith(reply):
            return False
        del self._buffer[: len(reply)]
        return True

    def rest(self) -> bytes:
        """What is left behind the last whole reply."""
        return bytes(self._buffer)

    def _skip_values(self) -> bool:
        """Moves the position behind what is there of the current reply; whether that is all of it."""
        buffer, position, missing = self._buffer, self._position, self._missing
        find, length = buffer.find, len(buffer)
        while missing:
            line_end = find(b"\r\n", position)
            if line_end < 0:
                break
            kind = KINDS[buffer[position]]
            end = line_end + 2
            if kind == BLOB:
                size = int(buffer[position + 1 : line_end])
                if size >= 0:
                    end += size + 2
                if length < end:
                    break
            elif kind:
                missing += max(int(buffer[position + 1 : line_end]), 0) * kind
                if buffer[position] == ATTRIBUTE:
                    missing += 1  # it stands before its value
            position = end
            missing -= 1
        self._position, self._missing = position, missing
        return not missing


def split(replies: bytes) -> list[bytes]:
    """The bytes of each of several whole replies."""
    splitter = ReplySplitter()
    splitter.feed(replies)
    return list(iter(splitter.next_reply, None))


def parse(reply: bytes) -> Value:
    """The tree of one whole reply."""
    value, end = _parse_at(reply, 0)
    assert end == len(reply), f"bytes behind the reply: {reply[end:]!r}"
    return value


def plain(value: Value) -> Any:
    """A tree of values as nested lists of bytes, ints and None."""
    if isinstance(value.payload, list):
        return [plain(element) for element in value.payload]
    return int(value.payload) if value.kind == b":" else value.payload


def _parse_at(reply: bytes, start: int) -> tuple[Value, int]:
    line_end = reply.index(b"\r\n", start)
    kind, head, end = reply[start : start + 1], reply[start + 1 : line_end], line_end + 2
    if kind not in AGGREGATES and kind not in BLOBS:
        return Value(kind, None if kind == b"_" else head), end
    count = int(head)
    if count < 0:
        return Value(kind, None), end
    if kind in BLOBS:
        return Value(kind, reply[end : end + count]), end + count + 2
    elements = []
    for _ in range(count * AGGREGATES[kind]):
        element, end = _parse_at(reply, end)
        elements.append(element)
    return Value(kind, elements), end


class WireClient:
    """One connection to a server, encrypted if there is a context."""

    def __init__(
        self, address: str | tuple[str, int], timeout_s: float = TIMEOUT_S, context: ssl.SSLContext | None = None
    ) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect(address)
            if context is not None:
                self.socket = context.wrap_socket(self.socket)
        except BaseException:
            self.socket.close()
            raise
        self._splitter = ReplySplitter()

    def __enter__(self) -> WireClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def __del__(self) -> None:
        self.socket.close()  # tests often leave a connection to its fate; that is no warning

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, command: Words) -> None:
        self.socket.sendall(encode(command))

    def read(self) -> bytes:
        """The bytes of the next reply; waits for it."""
        while (reply := self._splitter.next_reply()) is None:
            data = self.socket.recv(CHUNK)
            if not data:
                raise ConnectionLost(f"closed where a reply was due; got {self._splitter.rest()[:200]!r}")
            self._splitter.feed(data)
        return reply

    def read_like(self, likely: bytes) -> bytes:
        """As `read`, in less time if this is the reply."""
        if self._splitter.is_empty and (data := self.socket.recv(CHUNK)):
            self._splitter.feed(data)
        return likely if self._splitter.take(likely) else self.read()

    def call(self, command: Words) -> bytes:
        """Sends one command and returns the bytes of its reply."""
        self.send(command)
        return self.read()

    def value(self, command: Words) -> Any:
        """The reply's payload: bytes, int, a list of Values, or None; an error reply fails the test."""
        reply = parse(self.call(command))
        assert reply.kind not in (b"-", b"!"), f"{command!r}: {reply.payload!r}"
        if reply.kind == b":":
            return int(reply.payload)
        return reply.payload[4:] if reply.kind == b"=" else reply.payload  # a verbatim string starts with txt:

    def read_until_closed(self) -> bytes:
        """All bytes until the server closes the connection; a timeout if it does not."""
        received = bytearray(self._splitter.rest())
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(CHUNK):
                received += data
        return bytes(received)

    def read_available(self) -> tuple[bytes, bool]:
        """What has arrived by now, and whether the server has closed the connection; never waits."""
        received = bytearray(self._splitter.rest())
        self._splitter = ReplySplitter()
        timeout_s = self.socket.gettimeout()
        self.socket.settimeout(0)
        try:
            while data := self.socket.recv(CHUNK):
                received += data
        except BlockingIOError:
            return bytes(received), False
        except ConnectionResetError:
            pass
        finally:
            self.socket.settimeout(timeout_s)
        return bytes(received), True
