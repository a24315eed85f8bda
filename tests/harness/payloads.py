"""DUMP payloads put together by hand: sound ones of small values, and others that RESTORE has to refuse."""

from __future__ import annotations

import struct

import anycrc


def sealed(value: bytes, version: int = 10) -> bytes:
    """The payload of a type and a value in a file's form, with the right checksum."""
    body = value + struct.pack("<H", version)
    return body + struct.pack("<Q", anycrc.Model("CRC64-REDIS").calc(body))


def listpack(*entries: bytes) -> bytes:
    """Of short strings, as a string of a file."""
    body = b"".join(bytes((0x80 | len(entry),)) + entry + bytes((len(entry) + 1,)) for entry in entries) + b"\xff"
    data = struct.pack("<IH", len(body) + 6, len(entries)) + body
    return bytes((len(data),)) + data


HELLO = sealed(b"\x00\x05hello")
BROKEN = sealed(b"\x00\x20hello")
SOUND = [
    HELLO,
    sealed(b"\x00\xc0\x07"),
    sealed(b"\x00\xc3\x0b\x40\xc8\x01aa\xe0\x7f\x00\xe0\x39\x00\x01aa"),
    sealed(b"\x01\x03\x01a\x01a\xc0\x07"),
    sealed(b"\x02\x02\x01a\x02bb"),
    sealed(b"\x04\x02\x01a\x01b\x02aa\x02bb"),
    sealed(b"\x05\x02\x01a" + struct.pack("<d", 1.5) + b"\x01b" + struct.pack("<d", float("-inf"))),
    sealed(b"\x0b\x0e" + struct.pack("<IIhhh", 2, 3, -5, 3, 900)),
    sealed(b"\x10" + listpack(b"a", b"b", b"aa", b"bb")),
    sealed(b"\x12\x02\x02" + listpack(b"a", b"bb") + b"\x01\x01c"),
    sealed(b"\x11" + listpack(b"a", b"1.5", b"b", b"2")),
]
REFUSED = [b"", BROKEN, HELLO[:-1], sealed(b"\x00\x05hello", 99), sealed(b"\x02\x00"), sealed(b"\x1e\x01a")]
