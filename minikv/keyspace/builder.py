# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A hash or set built whole before any key has it: for the loader, and for results that replace what was there.

Elements gather in a buffer until they are too many for one record; then they spread over a store of their own. The key
is touched last and once, so a full arena, or elements that turn out to be wrong, leave it as it was.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.packed import PACKED_COUNT, PACKED_MAX, PACKED_START, set_packed_count
from cython.cimports.minikv.engine.record import entry_key, entry_size, length_size, read_length
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
            size += length_size(PyBytes_GET_SIZE(value)) + PyBytes_GET_SIZE(value)
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
                self.names.add(PyBytes_FromStringAndSize(cython.cast(cython.p_char, data), length))
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
        name: cython.pointer[uint8_t]
        name_len: uint64_t = 0
        size: uint64_t
        self.names = None
        self.spread = store.stores.create(self.kind, store.number)
        while at < self.packed + self.size:
            size = entry_size(self.kind, at)
            name = entry_key(self.kind, at, cython.address(name_len))
            memcpy(
                store.arena.base + store.stores.place(self.spread, hash_key(name, name_len), cython.NULL, size),
                at,
                size,
            )
            store.arena.spreads[self.spread].count += 1
            at += size
        return 0

    def add_spread(self, name: bytes, value: object, size: uint64_t) -> cython.int:
        store: Store = self.database.store
        data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(name))
        hash_: uint64_t = hash_key(data, PyBytes_GET_SIZE(name))
        if (
            store.tables.find(
                cython.address(store.stores.indexes[self.spread].table), data, PyBytes_GET_SIZE(name), hash_
            )
            != cython.NULL
        ):
            return False
        write_element(
            store.arena.base + store.stores.place(self.spread, hash_, cython.NULL, size),
            name,
            value,
        )
        store.arena.spreads[self.spread].count += 1
        return True

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
    at = write_string(at, name, PyBytes_GET_SIZE(name))
    if value is not None:
        write_string(at, value, PyBytes_GET_SIZE(value))
    return 0
