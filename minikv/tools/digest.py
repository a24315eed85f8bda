"""The content of a record as 16 bytes, whatever its encoding.

Two values are equal if their digests are: strings byte by byte, lists in order, the others as sets of
elements. An element's strings go into BLAKE2 with their lengths, so their borders count; digests of
unordered elements are added up. The key of the hash is random, so nobody can craft a file with another
value of the same digest.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from hashlib import blake2b

from minikv.tools.record_types import ORDERED
from minikv.tools.visitor import Record, Visitor

DIGEST_LEN = 16
MODULUS = 1 << 8 * DIGEST_LEN

lengths = struct.Struct("<QQ").pack


class Digester(Visitor):
    """Passes each record with its digest to `receive`, each function library to `receive_function`.

    Only digests made with the same secret can be compared.
    """

    takes_pieces = True
    takes_elements = True

    def __init__(
        self,
        receive: Callable[[Record, bytes], None],
        receive_function: Callable[[bytes, bytes], None],
        secret: bytes,
    ) -> None:
        self._receive = receive
        self._receive_function = receive_function
        self._secret = secret
        self._in_order = blake2b()
        self._sum = 0
        self._is_ordered = False

    @staticmethod
    def new_secret() -> bytes:
        return os.urandom(16)

    def begin(self, record: Record) -> None:
        self._in_order = self._hash(record.module or b"")  # nothing else is known of a module's value
        self._sum = 0
        self._is_ordered = record.kind in ORDERED or record.module is not None

    def piece(self, data: bytes) -> None:
        self._in_order.update(data)

    def element(self, name: bytes, value: bytes | float | None) -> None:
        if isinstance(value, float):
            value = struct.pack("<d", value + 0.0)  # makes 0.0 of -0.0
        elif value is None:
            value = b""
        self._add(lengths(len(name), len(value)) + name + value)

    def timed_field(self, field: bytes, value: bytes, expire_at_ms: int) -> None:
        self._add(lengths(len(field), len(value)) + field + value + expire_at_ms.to_bytes(8))

    def entry(self, id: bytes, parts: list[bytes]) -> None:
        """Summed up: the ID orders entries, and nodes may be in any order in the file."""
        self._add(b"".join(lengths(len(part), len(parts)) + part for part in (id, *parts)))

    def stream_end(self, tail: bytes) -> None:
        """Equal groups have equal bytes."""
        self._add(tail)

    def end(self, record: Record) -> None:
        digest = self._in_order.digest() if self._is_ordered else (self._sum % MODULUS).to_bytes(DIGEST_LEN)
        self._receive(record, digest)

    def function(self, code: bytes) -> None:
        self._receive_function(code, self._hash(code).digest())

    def _add(self, element: bytes) -> None:
        if self._is_ordered:
            self._in_order.update(element)
        else:
            self._sum += int.from_bytes(self._hash(element).digest())

    def _hash(self, data: bytes = b"") -> blake2b:
        return blake2b(data, digest_size=DIGEST_LEN, key=self._secret)
