"""What goes from one process to another: a question's words, and keys with their expiry and value as DUMP has it.

Of each word: bytes 8 B LE | word. Of each key:

bytes of the key 8 B LE | expiry, Unix ms, 0 for none 8 B LE | bytes of the payload 8 B LE | key | payload
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

HEAD = struct.Struct("<QqQ")


WORD = struct.Struct("<Q")


def error_line(error: Exception) -> str:
    """What went wrong, as the one line that such a process writes to its standard error."""
    if isinstance(error, OSError):
        return f"{error.filename or 'history'}: {error.strerror or error}"
    return " ".join(str(error).split())


def write_words(out: BinaryIO, words: Iterable[bytes]) -> None:
    for word in words:
        out.write(WORD.pack(len(word)))
        out.write(word)


def read_words(data: bytes) -> list[bytes]:
    """What was written, whole."""
    words, at = [], 0
    while at < len(data):
        start = at + WORD.size
        (length,) = WORD.unpack_from(data, at)
        at = start + length
        words.append(data[start:at])
    return words


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
