# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O1
"""The target that applies a layer to a keyspace, operation by operation.

Whole records replace what is there, as a loader that merges does it. The AUX fields of a layer are the other
operations:

    minikv-del     key                                      the key goes
    minikv-rem     length of the key, 4 B LE | key | name   an element goes
    minikv-delta   empty, or a number of elements           the next record's elements join those that are there

What expired between two points is still there when its expiry is changed or removed, so nothing expires while an
operation is carried out.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.engine.record import (
    TYPE_HASH,
    TYPE_HASH_TTL,
    TYPE_SET,
    TYPE_ZSET,
    bytes_at,
    record_expire_at,
    skip_expiry,
)
from cython.cimports.minikv.engine.table import hash_key
from cython.cimports.minikv.history.newest_first import Newest
from cython.cimports.minikv.keyspace.database import Keyspace
from cython.cimports.minikv.keyspace.hash import Hash
from cython.cimports.minikv.keyspace.set import Set
from cython.cimports.minikv.keyspace.sorted_set import SortedSet
from cython.cimports.minikv.rdb.keyspace_target import EngineTarget
from cython.cimports.minikv.rdb.pointers import ConstBytes

from minikv.errors import RdbError

KEY_LEN_SIZE = 4  # bytes of a key's length, in minikv-rem
UNKNOWN = cython.declare(int64_t, -1)
COUNT_DIGITS = 18  # at most, of a number of elements


@cython.final
@cython.cclass
class LayerTarget(EngineTarget):
    """Applies the operations of one file. on_aux takes the reader's AUX fields; others go to `other_aux`.

    newest: only changes of elements that it says apply are carried out, in the databases' places of the end.
    removed: keys removed by minikv-del that were there.
    """

    _other_aux: object
    _newest: Newest
    _place: int64_t  # of the database at hand
    _delta: cython.bint  # the next record is one
    _count: int64_t  # elements that its collection has after it, or UNKNOWN
    _changing: cython.bint  # the record at hand joins a collection that is there
    _created: cython.bint  # it is a delta all the same, of a key that is not
    _hash_view: Hash
    _set_view: Set
    _sorted_set_view: SortedSet
    _delta_expire_at_ms: int64_t
    removed = cython.declare(uint64_t, visibility="readonly")

    def __init__(self, keyspace: Keyspace, merge=False, other_aux=None, newest: Newest = None):
        EngineTarget.__init__(self, keyspace, merge)
        self._other_aux = other_aux
        self._newest = newest
        self.chooses = newest is not None

    def on_aux(self, name: bytes, value: bytes) -> None:
        """An AUX field of the file."""
        if not name.startswith(b"minikv-"):
            if self._other_aux is not None:
                self._other_aux(name, value)
            return
        if self._delta:
            self._refuse("minikv-delta without a record")
        if name == b"minikv-del":
            if self._newest is not None:
                self._newest.begins(self._place, value)
                return
            self.removed += self._database.discard(value)
        elif name == b"minikv-rem":
            self._remove_element(value)
        elif name == b"minikv-delta":
            if value and not (value.isdigit() and len(value) <= COUNT_DIGITS):
                self._refuse("minikv-delta is not a number")
            self._delta = self.takes_empty = True
            self._count = int(value) if value else UNKNOWN

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _refuse(self, reason: str) -> cython.int:
        raise RdbError(reason, self.record_at)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _remove_element(self, value: bytes) -> cython.int:
        """Whatever is not there, or cannot have elements by name, is left alone: it is replaced or removed, too."""
        key_len: cython.Py_ssize_t = int.from_bytes(value[:KEY_LEN_SIZE], "little")
        now_ms: int64_t = self._keyspace.now_ms
        if KEY_LEN_SIZE + key_len > len(value):
            self._refuse("minikv-rem is too short for its key")
        key: bytes = value[KEY_LEN_SIZE : KEY_LEN_SIZE + key_len]
        name: bytes = value[KEY_LEN_SIZE + key_len :]
        if self._newest is not None and not self._newest.applies(self._place, key):
            return 0
        self._keyspace.now_ms = 0
        try:
            kind: cython.int = self._database.lookup(key, False, False)
            if kind == TYPE_HASH:
                Hash.to_write(self._database, key).delete(name)
            elif kind == TYPE_SET:
                Set.to_write(self._database, key).remove(name)
            elif kind == TYPE_ZSET:
                SortedSet.to_write(self._database, key).remove(name)
        finally:
            self._keyspace.now_ms = now_ms
        return 0

    # What the reader calls

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def select(self, number: uint64_t) -> cython.int:
        if self._delta:
            self._refuse("minikv-delta without a record")
        if self._newest is not None:
            self._place = self._newest.place(number)
            return EngineTarget.select(self, cython.cast(uint64_t, self._place)) if self._place >= 0 else 0
        return EngineTarget.select(self, number)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def passes_over(self, key: ConstBytes, key_len: uint64_t) -> cython.int:
        """Whole values are there already."""
        name: bytes = bytes_at(key, key_len)
        if not self._delta:
            self._newest.begins(self._place, name)
            return 1
        if self._newest.applies(self._place, name):
            return 0
        self._delta = self.takes_empty = False
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def string(self, key: ConstBytes, key_len: uint64_t, value_len: uint64_t, expire_at_ms: int64_t) -> cython.int:
        if self._delta:
            self._refuse("A string cannot be a delta")
        return EngineTarget.string(self, key, key_len, value_len, expire_at_ms)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def collection(self, key: ConstBytes, key_len: uint64_t, kind: cython.int, expire_at_ms: int64_t) -> cython.int:
        slot: cython.pointer[uint64_t]
        found: uint8_t
        self._changing = self._created = False
        if not self._delta:
            return EngineTarget.collection(self, key, key_len, kind, expire_at_ms)
        self._delta = self.takes_empty = False
        if kind != TYPE_HASH and kind != TYPE_SET and kind != TYPE_ZSET:
            self._refuse("Only hashes, sets and sorted sets have deltas")
        slot = self._database.store.find(key, key_len, hash_key(key, key_len))
        if slot == cython.NULL:
            self._created = True
            return EngineTarget.collection(self, key, key_len, kind, expire_at_ms)
        found = skip_expiry(self._database.store.record(slot))[0]
        if found != kind and not (kind == TYPE_HASH and found == TYPE_HASH_TTL):
            self._refuse(f"The delta is of another type than key {bytes_at(key, key_len)!r}")
        self._changing = True
        self._delta_expire_at_ms = expire_at_ms
        self._hash_view = None
        self._set_view = None
        self._sorted_set_view = None
        now_ms: int64_t = self._keyspace.now_ms
        self._keyspace.now_ms = 0
        try:
            if kind == TYPE_HASH:
                self._hash_view = Hash.to_write(self._database, bytes_at(key, key_len))
            elif kind == TYPE_SET:
                self._set_view = Set.to_write(self._database, bytes_at(key, key_len))
            else:
                self._sorted_set_view = SortedSet.to_write(self._database, bytes_at(key, key_len))
        finally:
            self._keyspace.now_ms = now_ms
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def element(self, name: ConstBytes, name_len: uint64_t, value: ConstBytes, value_len: uint64_t) -> cython.int:
        at_ms: int64_t
        now_ms: int64_t
        if not self._changing:
            return EngineTarget.element(self, name, name_len, value, value_len)
        now_ms = self._keyspace.now_ms
        at_ms = self._field_expire_at_ms
        self._field_expire_at_ms = 0
        self._keyspace.now_ms = 0
        try:
            if self._set_view is not None:
                self._set_view.add(bytes_at(name, name_len))
            elif at_ms:
                self._hash_view.set_until(bytes_at(name, name_len), bytes_at(value, value_len), at_ms)
            else:
                self._hash_view.set(bytes_at(name, name_len), bytes_at(value, value_len))
        finally:
            self._keyspace.now_ms = now_ms
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def scored(self, name: ConstBytes, name_len: uint64_t, score: cython.double) -> cython.int:
        if not self._changing:
            return EngineTarget.scored(self, name, name_len, score)
        self._sorted_set_view.set(bytes_at(name, name_len), score)
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def collection_end(self) -> cython.int:
        if self._changing:
            self._changing = False
            return self._delta_end()
        if self._created and self._builder.count == 0 and self._builder.spread == 0:
            return 0  # a delta without elements, of a key that is not there
        EngineTarget.collection_end(self)
        if self._created and self._count != UNKNOWN:
            self._compare(self._elements_of(self._key, self._key_len))
        return 0

    @cython.cfunc
    def _elements_of(self, key: ConstBytes, key_len: uint64_t) -> object:
        """How many a key has that was created by a delta."""
        now_ms: int64_t = self._keyspace.now_ms
        name: bytes = bytes_at(key, key_len)
        self._keyspace.now_ms = 0
        try:
            kind: cython.int = self._database.lookup(name, False, False)
            if kind == TYPE_HASH:
                return len(Hash.to_write(self._database, name))
            if kind == TYPE_SET:
                return len(Set.to_write(self._database, name))
            return len(SortedSet.to_write(self._database, name))
        finally:
            self._keyspace.now_ms = now_ms

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _delta_end(self) -> cython.int:
        """The collection has the new elements: its expiry, and whether it is as large as it should be."""
        view: object = self._hash_view
        slot: cython.pointer[uint64_t]
        now_ms: int64_t = self._keyspace.now_ms
        if view is None:
            view = self._set_view if self._set_view is not None else self._sorted_set_view
        key: bytes = view.key
        self._keyspace.now_ms = 0
        try:
            slot = self._database.store.find(key, len(key), hash_key(key, len(key)))
            if slot != cython.NULL and record_expire_at(self._database.store.record(slot)) != self._delta_expire_at_ms:
                self._database.store.set_expire(slot, hash_key(key, len(key)), self._delta_expire_at_ms)
            if self._count != UNKNOWN:
                self._compare(len(view))
        finally:
            self._keyspace.now_ms = now_ms
            self._hash_view = None
            self._set_view = None
            self._sorted_set_view = None
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _compare(self, elements) -> cython.int:
        if elements != self._count:
            self._refuse(f"A collection has {elements} elements after its delta, not {self._count}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end(self) -> cython.int:
        if self._delta:
            self._refuse("minikv-delta without a record")
        return EngineTarget.end(self)
