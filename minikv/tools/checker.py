# cython: boundscheck=False, wraparound=False
"""What minikv-check-rdb does with the contents of a file: count them and find duplicates.

The first pass compares names by their hashes. Only if a hash occurs twice, a SecondChecker reads the
file again: it knows those hashes, keeps the names that have them, and refuses the second of two equal
names as the server's loader would.
"""

from __future__ import annotations

from collections import Counter

import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.string import memset
from cython.cimports.minikv.engine.record import TYPE_LIST, TYPE_STREAM, TYPE_STRING
from cython.cimports.minikv.tools.checker import KINDS
from cython.cimports.minikv.tools.names import Names, hash_of
from cython.cimports.minikv.tools.visitor import Record, Visitor

from minikv.rdb import format as rdb_format
from minikv.tools.record_types import TYPES
from minikv.tools.text import in_a_line

DEFAULT_DATABASES = 16


class Checker(Visitor):
    """Counts the contents of a file and finds names that may be duplicates."""

    takes_elements = True

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._keys = Names()
        self._elements = Names()
        self._modules = Counter()
        memset(self._counts, 0, KINDS * 8)

    def attach(self, reader, say) -> None:
        self._reader = reader
        self._say = say

    def select(self, number: int) -> None:
        self._last_database = max(self._last_database, number)
        if self._reader.code == rdb_format.OP_SELECTDB:
            self._say(f"[offset {self._reader.offset}] Selecting DB ID {number}")

    def begin(self, record: Record) -> bool:
        self._ordered = is_ordered(record.kind)
        self._place += 1
        self._keys.add(record.key, record.database, self._place)
        return True

    def element(self, name: bytes, value: object) -> bool:
        if not self._ordered:
            self._place += 1
            self._elements.add(name, 0, self._place)
        return True

    def timed_field(self, field: bytes, value: bytes, expire_at_ms: int) -> bool:
        self._timed_fields += 1
        return self.element(field, value)

    def module_aux(self, module: bytes) -> None:
        self._say(f"[offset {self._reader.offset}] MODULE AUX for: {in_a_line(module)}")
        self._modules[module] += 1

    def end(self, record: Record) -> None:
        if record.module is not None:
            self._modules[record.module] += 1
        if not self._ordered:
            self._elements.close()
        self._counts[record.kind] += 1
        if record.expire_at_ms is not None:
            self._expires += 1
            self._expired += cython.cast(int64_t, record.expire_at_ms) < self._now_ms

    def suspects(self) -> tuple:
        """Hashes of keys and elements that may be duplicates; call it after the last read. OSError."""
        self._keys.close()
        self._elements.close()
        keys, elements = self._keys.suspects, self._elements.suspects
        return frozenset([hash_ for _, hash_ in keys]), frozenset([hash_ for _, hash_ in elements])

    def report(self, say) -> None:
        """Print the counts, of the whole file or up to the error."""
        counts = {name: self._counts[kind] for kind, name in TYPES.items() if self._counts[kind]}
        say(f"[info] {sum(counts.values())} keys read")
        say(f"[info] {self._expires} expires")
        say(f"[info] {self._expired} already expired")
        for name, count in sorted(counts.items()):
            say(f"[info] {count} of type {name}")
        if self._reader.keys_empty:
            say(f"[info] {self._reader.keys_empty} without elements, which are not loaded")
        for module, count in sorted(self._modules.items()):
            say(f"[info] {count} of module type {in_a_line(module)}, which minikv-server leaves out")
        for remark in self._reader.remarks:
            say(f"[info] {in_a_line(remark.encode())}")
        if self._timed_fields:
            say(f"[info] {self._timed_fields} fields that expire")
        if self._last_database >= DEFAULT_DATABASES:
            say(f"[info] needs a server with 'databases {self._last_database + 1}' or more")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def is_ordered(kind: cython.int) -> cython.bint:
    """Elements are found by position, or there are none."""
    return kind in (TYPE_STRING, TYPE_LIST, TYPE_STREAM)


class SecondChecker(Checker):
    """Counts again, and refuses duplicates."""

    def __init__(self, now_ms: int, suspects: tuple) -> None:
        Checker.__init__(self, now_ms)
        self._key_hashes, self._element_hashes = suspects
        self._known_keys = set()
        self._known_elements = set()

    def begin(self, record: Record) -> bool:
        self._ordered = is_ordered(record.kind)
        self._known_elements.clear()
        if hash_of(record.key, record.database) not in self._key_hashes:
            return True
        key = (record.database, record.key)
        if key in self._known_keys:
            return False
        self._known_keys.add(key)
        return True

    def element(self, name: bytes, value: object) -> bool:
        if self._ordered or hash_of(name, 0) not in self._element_hashes:
            return True
        if name in self._known_elements:
            return False
        self._known_elements.add(name)
        return True
