# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# ruff: noqa: F821
"""Possible duplicates in a group of names of any size: a file's keys, or a collection's elements.

Only 64-bit hashes are compared, so what is found is suspect, and every duplicate is found. The hashes
are in a table in memory. When it is full they are written to a temporary file, in 256 parts by their
upper bits; when the group is closed, each part goes through the table. A hash takes 16 bytes, in memory
or on disk.
"""

from __future__ import annotations

import os
import tempfile

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memset
from cython.cimports.minikv.engine.record import bytes_at
from cython.cimports.minikv.engine.table import hash_key
from cython.cimports.minikv.tools.names import Name

MEMORY_BYTES = 2 << 20
SLOTS_MIN = cython.declare(uint64_t, 64)
PARTS = cython.declare(uint64_t, 256)
NAME_SIZE = cython.declare(uint64_t, 16)
SALT = cython.declare(uint64_t, 0x9E3779B97F4A7C15)  # odd and without pattern, so that salts are far apart
SUSPECTS_MAX = 1000  # the first ones; more do not make a file worse


class Names:
    """suspects: place and hash of each repeated name, up to a limit; complete after close().

    A group is what is added between two calls of close. Places rise.
    """

    def __cinit__(self):
        self._slots = cython.NULL

    def __init__(self, memory_bytes=MEMORY_BYTES):
        self._count_max = SLOTS_MIN
        while self._count_max * 2 * NAME_SIZE <= cython.cast(uint64_t, memory_bytes):
            self._count_max *= 2
        self._spills = []
        self.suspects = []
        self._resize(SLOTS_MIN)

    def __dealloc__(self):
        free(self._slots)

    def add(self, name: bytes, salt: uint64_t, place: uint64_t) -> cython.int:
        """Take the next name of the group."""
        entry: Name
        entry.hash_ = hash_of(name, salt)
        entry.place = place
        if (self._used + 1) * 4 > self._count * 3:
            if self._count < self._count_max:
                self._resize(self._count * 2)
            else:
                self._write_out()
        return self._insert(entry)

    def close(self):
        """End the group and begin another. OSError."""
        if self._file is not None:
            self._compare()
        if self._count > SLOTS_MIN:
            self._used = 0
            self._resize(SLOTS_MIN)
        elif self._used:
            self._empty()

    def _insert(self, name: Name) -> cython.int:
        if not self._put(name):
            self._suspect(name)
        return 0

    def _put(self, name: Name) -> cython.int:
        """0 if there is one with this hash already."""
        mask: uint64_t = self._count - 1
        at: uint64_t = name.hash_ & mask
        while self._slots[at].hash_:
            if self._slots[at].hash_ == name.hash_:
                return 0
            at = (at + 1) & mask
        self._slots[at] = name
        self._used += 1
        return 1

    def _resize(self, count: uint64_t) -> cython.int:
        """Resize the table to `count` slots."""
        old: cython.pointer[Name] = self._slots
        old_count: uint64_t = self._count if self._used else 0
        at: uint64_t
        self._slots = cython.cast(cython.pointer[Name], calloc(count, NAME_SIZE))
        if self._slots == cython.NULL:
            self._slots = old
            raise MemoryError
        self._count = count
        self._used = 0
        for at in range(old_count):
            if old[at].hash_:
                self._put(old[at])
        free(old)
        return 0

    def _write_out(self) -> cython.int:
        """Append all slots to the file, part by part, and clear them."""
        ends: uint64_t[256]
        total: uint64_t = 0
        part: uint64_t
        size: uint64_t
        at: uint64_t
        data: bytes = PyBytes_FromStringAndSize(cython.NULL, self._used * NAME_SIZE)
        sorted_: cython.pointer[Name] = cython.cast(cython.pointer[Name], PyBytes_AS_STRING(data))
        memset(ends, 0, PARTS * 8)
        for at in range(self._count):
            if self._slots[at].hash_:
                ends[self._slots[at].hash_ >> 56] += 1
        for part in range(PARTS):
            size = ends[part]
            ends[part] = total
            total += size
        for at in range(self._count):
            if self._slots[at].hash_:
                part = self._slots[at].hash_ >> 56
                sorted_[ends[part]] = self._slots[at]
                ends[part] += 1
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- it is open until the group is closed
        self._file.write(data)
        self._spills.append(bytes_at(cython.cast(cython.pointer[uint8_t], ends), PARTS * 8))
        return self._empty()

    def _compare(self) -> cython.int:
        """Compare what was written out, part by part, in the order of places."""
        part: uint64_t
        self._write_out()
        self._file.flush()
        for part in range(PARTS):
            self._compare_part(part)
            self._empty()
        self._spills.clear()
        self._file.close()
        self._file = None
        return 0

    def _compare_part(self, part: uint64_t) -> cython.int:
        start: uint64_t
        base: uint64_t = 0
        at: uint64_t
        ends: cython.pointer[uint64_t]
        found: cython.pointer[Name]
        data: bytes
        for spill in self._spills:
            ends = cython.cast(cython.pointer[uint64_t], PyBytes_AS_STRING(spill))
            start = ends[part - 1] if part else 0
            data = os.pread(self._file.fileno(), (ends[part] - start) * NAME_SIZE, (base + start) * NAME_SIZE)
            found = cython.cast(cython.pointer[Name], PyBytes_AS_STRING(data))
            for at in range(ends[part] - start):
                if (self._used + 1) * 4 > self._count * 3:
                    self._resize(self._count * 2)
                self._insert(found[at])
            base += ends[PARTS - 1]
        return 0

    def _empty(self) -> cython.int:
        memset(self._slots, 0, self._count * NAME_SIZE)
        self._used = 0
        return 0

    def _suspect(self, name: Name) -> cython.int:
        self.suspects.append((name.place, name.hash_))
        if len(self.suspects) > 2 * SUSPECTS_MAX:
            self.suspects.sort()
            del self.suspects[SUSPECTS_MAX:]
        return 0


def hash_of(name: bytes, salt: uint64_t) -> uint64_t:
    """Never 0."""
    hash_: uint64_t = hash_key(cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(name)), PyBytes_GET_SIZE(name))
    hash_ += salt * SALT
    return hash_ or 1
