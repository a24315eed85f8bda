"""RDB files put together by hand, byte by byte, for tests of the reader."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import anycrc

from minikv.rdb.reader import RdbReader
from minikv.rdb.target import RecordTarget

AUX, RESIZEDB, EXPIRETIME_MS, EXPIRETIME, SELECTDB, EOF = b"\xfa", b"\xfb", b"\xfc", b"\xfd", b"\xfe", b"\xff"
STRING = b"\0"


class Record(NamedTuple):
    """What a reader found."""

    database: int
    key: bytes
    value: bytes
    expire_at_ms: int


class Found(NamedTuple):
    """A whole file as read."""

    records: list[Record]
    aux: dict[bytes, bytes]
    keys_loaded: int
    keys_expired: int


def crc(data: bytes) -> bytes:
    return struct.pack("<Q", anycrc.Model("CRC64-REDIS").calc(data))


def plain(text: bytes) -> bytes:
    """A string with a length of 6 or 14 bits."""
    assert len(text) < 1 << 14
    return (bytes((len(text),)) if len(text) < 64 else struct.pack(">H", 0x4000 | len(text))) + text


def pair(key: bytes, value: bytes) -> bytes:
    return STRING + plain(key) + plain(value)


def rdb(body: bytes, version: int | bytes = 10, *, checksum: bytes | None = None) -> bytes:
    """A file with header, body, end and checksum (the right one unless another is given)."""
    digits = version if isinstance(version, bytes) else b"%04d" % version
    data = b"REDIS" + digits + body + EOF
    if isinstance(version, int) and version < 5:
        return data
    return data + (crc(data) if checksum is None else checksum)


def read(
    data: bytes, *, now_ms: int = 1000, databases: int = 16, verify: bool = True, step_bytes: int = 1 << 20
) -> Found:
    """What a reader makes of these bytes; RdbError."""
    with open_bytes(data) as fd:
        return read_fd(fd, now_ms=now_ms, databases=databases, verify=verify, step_bytes=step_bytes)


@contextlib.contextmanager
def open_bytes(data: bytes) -> Iterator[int]:
    """The descriptor of a file that holds these bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        file.seek(0)
        yield file.fileno()


def read_fd(
    fd: int, *, now_ms: int = 1000, databases: int = 16, verify: bool = True, step_bytes: int = 1 << 20
) -> Found:
    """The same for an open file."""
    records: list[Record] = []
    aux: dict[bytes, bytes] = {}
    target = RecordTarget(lambda *record: records.append(Record(*record)))
    reader = RdbReader(fd, target, databases, now_ms, verify, aux.__setitem__)
    while reader.step(step_bytes):
        pass
    assert reader.offset == reader.size
    return Found(records, aux, reader.keys_loaded, reader.keys_expired)
