"""Clients that take a copy of a server's data over their connection, as `redis-cli --rdb` does."""

from __future__ import annotations

import socket

from tests.harness.process import Server
from tests.harness.wire import WireClient

CHUNK = 1 << 16
MARK_LEN = 40


class CopyClient:
    """A connection on which SYNC or PSYNC is sent, and what comes after it, byte by byte.

    eof: whether it knows the form without a length.
    """

    def __init__(self, client: WireClient, *, eof: bool = True, rdb_only: bool = False) -> None:
        self._client = client
        self._buffer = bytearray()
        if eof:
            assert client.call("REPLCONF capa eof") == b"+OK\r\n"
        if rdb_only:
            assert client.call("REPLCONF rdb-only 1") == b"+OK\r\n"

    @classmethod
    def of(cls, server: Server, *, eof: bool = True, rdb_only: bool = False, buffer_bytes: int = 0) -> CopyClient:
        """buffer_bytes: of the socket's receive buffer, if it matters."""
        client = WireClient(server.socket_path)
        if buffer_bytes:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        return cls(client, eof=eof, rdb_only=rdb_only)

    def ask(self, command: str = "SYNC") -> CopyClient:
        self._client.send(command)
        return self

    def close(self) -> None:
        self._client.close()

    def line(self) -> bytes:
        """The next line that is not empty."""
        while True:
            while (end := self._buffer.find(b"\n")) < 0:
                self.receive()
            found = bytes(self._buffer[:end]).rstrip(b"\r")
            del self._buffer[: end + 1]
            if found:
                return found

    def receive(self) -> int:
        """Takes some bytes; ConnectionError at the end."""
        data = self._client.socket.recv(CHUNK)
        if not data:
            raise ConnectionError("closed")
        self._buffer += data
        return len(data)

    def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        try:
            while True:
                self.receive()
        except ConnectionError:
            return bytes(self._buffer)

    def dump(self) -> bytes:
        """The dump, which must be whole, and nothing after it."""
        head = self.line()
        rest = self.rest()
        if head.startswith(b"$EOF:"):
            mark = head.removeprefix(b"$EOF:")
            assert len(mark) == MARK_LEN
            assert rest.endswith(mark)
            return rest.removesuffix(mark)
        assert head.startswith(b"$"), head
        assert int(head[1:]) == len(rest)
        return rest
