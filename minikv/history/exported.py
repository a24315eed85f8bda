"""Keys on their way from one process to another: for each its name, its expiry and its value as DUMP has it.

bytes of the key 8 B LE | expiry, Unix ms, 0 for none 8 B LE | bytes of the payload 8 B LE | key | payload
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

HEAD = struct.Struct("<QqQ")


class Exported(NamedTuple):
    key: bytes
    payload: bytes
    expire_at_ms: int


def write_keys(out: BinaryIO, keys: Iterable[Exported]) -> None:
    for each in keys:
        out.write(HEAD.pack(len(each.key), each.expire_at_ms, len(each.payload)))
        out.write(each.key)
        out.write(each.payload)


def read_keys(data: memoryview, *, payloads: bool = True) -> Iterator[Exported]:
    """What was written, whole; without payloads these are empty."""
    at = 0
    while at < len(data):
        key_len, expire_at_ms, payload_len = HEAD.unpack_from(data, at)
        at += HEAD.size
        start = at + key_len
        payload = bytes(data[start : start + payload_len]) if payloads else b""
        yield Exported(bytes(data[at:start]), payload, expire_at_ms)
        at = start + payload_len
