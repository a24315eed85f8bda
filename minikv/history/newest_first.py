# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O2
"""Load a history from its newest file back to the base, so that each key is stored once.

    file 4  a=4             a is stored
    file 3  a=3  b gone     a is known: passed over. b is gone: passed over in older files
    file 2  c+x             c changes by an element: when its value is there, the files are read forwards again
    base    a=1  b=1  c=1   c is stored

Whole values and removals decide a key: `Newest` keeps the hash of each, 8 bytes. SipHash's seed is secret, but two of a
hundred million keys may share a hash; then one is missing in the end, and whoever loads compares the number of keys and
starts anew without this (loading.py).

Changes of elements are carried out in a second pass forwards (LayerTarget), over the files that have any that count.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.record import ENCODING_AUTO, bytes_at
from cython.cimports.minikv.engine.table import __builtin_prefetch, hash_key, make_key
from cython.cimports.minikv.keyspace.database import Keyspace
from cython.cimports.minikv.rdb.keyspace_target import EngineTarget
from cython.cimports.minikv.rdb.pointers import Bytes, ConstBytes
from cython.cimports.posix.mman import (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
    madvise,
    mmap,
    munmap,
)

from minikv.errors import RdbError

MADV_HUGEPAGE = cython.declare(cython.int, 14)  # madvise(2) advice, Linux
KEY_LEN_SIZE = cython.declare(uint64_t, 4)  # bytes of a key's length, in minikv-rem
SET_FIRST = cython.declare(uint64_t, 1024)  # places
WHOLE_FIRST = cython.declare(uint64_t, 1024)
DATABASE_SALT = cython.declare(uint64_t, 0x9E3779B97F4A7C15)
GONE = cython.declare(int64_t, -1)  # a database was emptied later
NOWHERE = -1  # there is no value: the first change creates the key


class HashSet:
    def __cinit__(self):
        self._mask = SET_FIRST - 1
        self._table = new_table(SET_FIRST)
        if self._table == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        if self._table != cython.NULL:
            munmap(self._table, (self._mask + 1) * 8)

    def prefetch(self, hash_: uint64_t) -> cython.void:
        __builtin_prefetch(self._table + ((hash_ >> 16) & self._mask))

    def has(self, hash_: uint64_t) -> cython.bint:
        at: uint64_t
        hash_ += hash_ == 0
        at = (hash_ >> 16) & self._mask
        while self._table[at] and self._table[at] != hash_:
            at = (at + 1) & self._mask
        return self._table[at] != 0

    def add(self, hash_: uint64_t) -> cython.int:
        at: uint64_t
        if self.count * 4 > self._mask * 3:
            self._grow()
        hash_ += hash_ == 0
        at = (hash_ >> 16) & self._mask
        while self._table[at] and self._table[at] != hash_:
            at = (at + 1) & self._mask
        self.count += self._table[at] == 0
        self._table[at] = hash_
        return 0

    def _grow(self) -> cython.int:
        old: cython.pointer[uint64_t] = self._table
        places: uint64_t = self._mask + 1
        number: uint64_t
        at: uint64_t
        grown: cython.pointer[uint64_t] = new_table(2 * places)
        if grown == cython.NULL:
            raise MemoryError
        self._table = grown
        self._mask = 2 * places - 1
        for number in range(places):
            if old[number]:
                at = (old[number] >> 16) & self._mask
                while grown[at]:
                    at = (at + 1) & self._mask
                grown[at] = old[number]
        munmap(old, places * 8)
        return 0


@cython.cfunc
@cython.exceptval(check=False)
def new_table(places: uint64_t) -> cython.pointer[uint64_t]:
    """Zeros, in huge pages: each look is at another one."""
    found: cython.p_void = mmap(cython.NULL, places * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if found == MAP_FAILED:
        return cython.NULL
    madvise(found, places * 8, MADV_HUGEPAGE)
    return cython.cast(cython.pointer[uint64_t], found)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def in_place(place: int64_t, hash_: uint64_t) -> uint64_t:
    return hash_ ^ cython.cast(uint64_t, place) * DATABASE_SALT


class Newest:
    """What the files read so far say about keys. A position counts files from the base, which is 0."""

    def __cinit__(self):
        self._decided = HashSet()
        self._partly = HashSet()
        self._waiting = {}
        self._begun = set()

    def __dealloc__(self):
        free(self._whole)

    def begin(self, position: int, places: list[int]) -> None:
        """A file is about to be read; what the one before decided counts from now on.

        places: for each of its databases the number that it has in the end, GONE if it was emptied later.
        """
        number: uint64_t
        for number in range(self._whole_count):
            self._decided.add(self._whole[number])
        self._whole_count = 0
        self._begun.clear()
        self._position = position
        self._places = places
        self.has_changes = False

    def place(self, number: uint64_t) -> int64_t:
        return self._places[number]

    # Backwards

    def decided(self, place: int64_t, key: ConstBytes, key_len: uint64_t) -> cython.int:
        """Whether a newer file has a key's value, or its end."""
        return self.hash_decided(place, hash_key(key, key_len))

    def hash_decided(self, place: int64_t, hash_: uint64_t) -> cython.int:
        self.hash = hash_
        return place == GONE or self._decided.has(in_place(place, hash_))

    def whole(self, place: int64_t, key: ConstBytes, key_len: uint64_t) -> cython.int:
        """The file at hand has what was not decided."""
        hash_: uint64_t = in_place(place, self.hash)
        grown: cython.pointer[uint64_t]
        if self._partly.count and self._partly.has(hash_):
            name = (place, bytes_at(key, key_len))
            if self._waiting.get(name) == NOWHERE:
                self._waiting[name] = self._position
        if self._position == 0:
            return 0  # there is no older file
        if self._whole_count == self._whole_room:
            self._whole_room = max(2 * self._whole_room, WHOLE_FIRST)
            grown = cython.cast(cython.pointer[uint64_t], realloc(self._whole, self._whole_room * 8))
            if grown == cython.NULL:
                raise MemoryError
            self._whole = grown
        self._whole[self._whole_count] = hash_
        self._whole_count += 1
        return 0

    def change(self, place: int64_t, key: ConstBytes, key_len: uint64_t) -> cython.int:
        """An element comes or goes in what was not decided."""
        self._partly.add(in_place(place, self.hash))
        self._waiting.setdefault((place, bytes_at(key, key_len)), NOWHERE)
        self.has_changes = True
        return 0

    # Forwards

    def begins(self, place: int64_t, key: bytes) -> cython.int:
        """The file at hand has a value, or that the key goes: changes that follow apply."""
        if self._waiting.get((place, key)) == self._position:
            self._begun.add((place, key))
        return 0

    def applies(self, place: int64_t, key: bytes) -> cython.int:
        """Whether a change of an element is to be carried out."""
        found: object = self._waiting.get((place, key))
        if place == GONE or found is None or found > self._position:
            return 0
        return found < self._position or (place, key) in self._begun


class NewestTarget(EngineTarget):
    """Stores what is not decided yet of one file. Changes of elements are noted only.

    merge: as of EngineTarget. on_aux takes the reader's AUX fields; others go to `other_aux`.
    """

    def __init__(self, keyspace: Keyspace, newest: Newest, merge=False, other_aux=None):
        EngineTarget.__init__(self, keyspace, merge)
        self._newest = newest
        self._other_aux = other_aux
        self.chooses = True

    def on_aux(self, name: bytes, value: bytes) -> None:
        """An AUX field of the file."""
        key: ConstBytes = cython.cast(Bytes, PyBytes_AS_STRING(value))
        length: uint64_t = PyBytes_GET_SIZE(value)
        key_len: uint64_t
        if not name.startswith(b"minikv-"):
            if self._other_aux is not None:
                self._other_aux(name, value)
            return
        self._no_delta()
        if name == b"minikv-del":
            if not self._newest.decided(self._place, key, length):
                self._newest.whole(self._place, key, length)
                if self._wanted:  # this file has written it before
                    self._database.discard(value)
        elif name == b"minikv-rem":
            key_len = int.from_bytes(value[:KEY_LEN_SIZE], "little")
            if KEY_LEN_SIZE + key_len > length:
                raise RdbError("minikv-rem is too short for its key", self.record_at)
            if not self._newest.decided(self._place, key + KEY_LEN_SIZE, key_len):
                self._newest.change(self._place, key + KEY_LEN_SIZE, key_len)
        elif name == b"minikv-delta":
            self._delta = True

    def _no_delta(self) -> cython.int:
        if self._delta:
            raise RdbError("minikv-delta without a record", self.record_at)
        return 0

    def select(self, number: uint64_t) -> cython.int:
        self._no_delta()
        self._place = self._newest.place(number)
        if self._place != GONE:
            EngineTarget.select(self, cython.cast(uint64_t, self._place))
        return 0

    def comes(self, key: ConstBytes, key_len: uint64_t) -> cython.void:
        memcpy(self._next, key, key_len)
        self._next_len = key_len
        self._next_hash = hash_key(key, key_len)
        self._newest._decided.prefetch(in_place(self._place, self._next_hash))
        self._prefetch(self._next_hash)

    def passes_over(self, key: ConstBytes, key_len: uint64_t) -> cython.int:
        decided: cython.bint
        if key_len == self._next_len and memcmp(key, self._next, key_len) == 0:
            decided = self._newest.hash_decided(self._place, self._next_hash)
        else:
            decided = self._newest.decided(self._place, key, key_len)
        if self._delta:
            self._delta = False
            if not decided:
                self._newest.change(self._place, key, key_len)
            return 1
        if decided:
            return 1
        self._newest.whole(self._place, key, key_len)
        self._wanted += 1
        return 0

    def string(self, key: ConstBytes, key_len: uint64_t, value_len: uint64_t, expire_at_ms: int64_t) -> cython.int:
        hash_: uint64_t = self._newest.hash
        slot: cython.pointer[uint64_t] = self._database.store.find(key, key_len, hash_)
        if slot != cython.NULL and not self._merge:
            return 0
        self.room = self._database.store.put_string(
            make_key(key, key_len, hash_), slot, value_len, ENCODING_AUTO, expire_at_ms
        )
        self._break_watches(key, key_len)
        return 1

    def end(self) -> cython.int:
        self._no_delta()
        return EngineTarget.end(self)
