# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A hash, set or sorted set built whole before any key has it: for the loader, and for results that replace another.

Elements gather in a buffer until they are too many for one record; then they spread over a store of their own. The key
is touched last and once, so a full arena, or elements that turn out to be wrong, leave it as it was.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.packed import PACKED_COUNT, PACKED_MAX, PACKED_START, set_packed_count
from cython.cimports.minikv.engine.record import (
    SCORE_SIZE,
    TYPE_ZSET,
    bytes_at,
    entry_size,
    length_size,
    read_length,
)
from cython.cimports.minikv.engine.store import Store
from cython.cimports.minikv.engine.table import hash_key
from cython.cimports.minikv.keyspace.collection import write_string
from cython.cimports.minikv.keyspace.database import Database

# Names looked through one by one before a set of them is made.
MANY_NAMES = cython.declare(uint32_t, 32)


class Builder:
    """One collection on its way."""

    def __init__(self, database: Database, kind: uint32_t):
        self.database = database
        self.kind = kind

    def abandon(self) -> cython.void:
        """Give up the elements: without a key they are nobody's. Flushing the database does it too."""
        if self.spread:
            self.database.store.stores.drop(self.spread)
            self.spread = 0

    def add(self, name: bytes, value: object) -> cython.bint:
        size: uint64_t = length_size(PyBytes_GET_SIZE(name)) + PyBytes_GET_SIZE(name)
        if value is not None:
            size += SCORE_SIZE if self.kind == TYPE_ZSET else length_size(len(value)) + len(value)
        if not self.spread:
            if self.has_packed(name):
                return False
            if self.count < PACKED_COUNT and self.size + size <= PACKED_MAX:
                write_element(self.packed + self.size, name, value)
                self.size += cython.cast(uint32_t, size)
                self.count += 1
                if self.names is not None:
                    self.names.add(name)
                return True
            self.spread_out()
        return self.add_spread(name, value, size)

    def has_packed(self, name: bytes) -> cython.bint:
        at: cython.pointer[uint8_t] = self.packed
        end: cython.pointer[uint8_t] = self.packed + self.size
        data: cython.pointer[uint8_t]
        length: uint64_t = 0
        if self.names is None and self.count >= MANY_NAMES:
            self.names = set()
            while at < end:
                data = read_length(at, cython.address(length))
                self.names.add(bytes_at(data, length))
                at += entry_size(self.kind, at)
        if self.names is not None:
            return name in self.names
        while at < end:
            data = read_length(at, cython.address(length))
            if length == cython.cast(uint64_t, PyBytes_GET_SIZE(name)) and (
                memcmp(data, PyBytes_AS_STRING(name), length) == 0
            ):
                return True
            at += entry_size(self.kind, at)
        return False

    def spread_out(self) -> cython.int:
        """Give the elements a store of their own."""
        store: Store = self.database.store
        at: cython.pointer[uint8_t] = self.packed
        self.names = None
        self.spread = store.stores.create(self.kind, store.number)
        while at < self.packed + self.size:
            store.stores.add(self.spread, at)
            at += entry_size(self.kind, at)
        return 0

    def add_spread(self, name: bytes, value: object, size: uint64_t) -> cython.int:
        store: Store = self.database.store
        data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(name))
        hash_: uint64_t = hash_key(data, PyBytes_GET_SIZE(name))
        offset: uint64_t
        if (
            store.tables.find(
                cython.address(store.stores.indexes[self.spread].table), data, PyBytes_GET_SIZE(name), hash_
            )
            != cython.NULL
        ):
            return False
        offset = store.stores.place(self.spread, hash_, cython.NULL, size)
        write_element(store.arena.base + offset, name, value)
        store.arena.spreads[self.spread].count += 1
        store.stores.order_entry(self.spread, offset)
        return True

    def put_in_order(self) -> cython.int:
        """Sort the packed elements of a sorted set."""
        at: cython.pointer[uint8_t] = self.packed
        data: cython.pointer[uint8_t]
        length: uint64_t = 0
        score: cython.double = 0.0
        pairs: list = []
        while at < self.packed + self.size:
            data = read_length(at, cython.address(length))
            at = data + length + SCORE_SIZE
            memcpy(cython.address(score), data + length, SCORE_SIZE)
            pairs.append((score, bytes_at(data, length)))
        pairs.sort()
        at = self.packed
        for number, name in pairs:
            write_element(at, name, number)
            at += entry_size(self.kind, at)
        return 0

    def put(self, key: bytes) -> cython.int:
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.database.find(key, cython.address(hash_))
        self.finish(cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(key)), PyBytes_GET_SIZE(key), hash_, slot, 0)
        return self.database.changed(key)

    def finish(
        self,
        key: cython.pointer[cython.const[uint8_t]],
        key_len: uint64_t,
        hash_: uint64_t,
        slot: cython.pointer[uint64_t],
        expire_at_ms: int64_t,
    ) -> cython.int:
        store: Store = self.database.store
        payload: cython.pointer[uint8_t]
        packed: uint32_t = PACKED_START - 4 + self.size
        if self.spread:
            store.put_root(key, key_len, hash_, slot, cython.cast(uint8_t, self.kind), self.spread, expire_at_ms)
            self.spread = 0
            return 0
        if self.kind == TYPE_ZSET:
            self.put_in_order()
        payload = store.put_payload(
            key, key_len, hash_, slot, cython.cast(uint8_t, self.kind), PACKED_START + self.size, expire_at_ms
        )
        memcpy(payload, cython.address(packed), 4)
        set_packed_count(payload, self.count)
        memcpy(payload + PACKED_START, self.packed, self.size)
        return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def write_element(at: cython.pointer[uint8_t], name: bytes, value: object) -> cython.int:
    score: cython.double
    at = write_string(at, name, PyBytes_GET_SIZE(name))
    if isinstance(value, float):
        score = value + 0.0  # makes 0.0 of -0.0
        memcpy(at, cython.address(score), SCORE_SIZE)
    elif value is not None:
        write_string(at, value, PyBytes_GET_SIZE(value))
    return 0
