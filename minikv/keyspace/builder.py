# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A collection built whole before any key has it: for the loader, and for results that replace another.

Elements gather in a buffer until they are too many for one record; then they spread over a store of their own. The key
is touched last and once, so a full arena, or elements that turn out to be wrong, leave it as it was.

A new name is compared with those in the buffer one by one as long as they are few, then looked up in a small hash table
of them; a spread collection has a table anyway.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.minikv.engine.chain import Chain
from cython.cimports.minikv.engine.packed import PACKED_COUNT, PACKED_MAX, PACKED_START, set_packed_count
from cython.cimports.minikv.engine.record import (
    SCORE_SIZE,
    TYPE_HASH,
    TYPE_LIST,
    TYPE_ZSET,
    bytes_at,
    entry_size,
    length_size,
    read_length,
    write_length,
)
from cython.cimports.minikv.engine.store import Store
from cython.cimports.minikv.engine.table import hash_key
from cython.cimports.minikv.keyspace.builder import NAME_SLOTS
from cython.cimports.minikv.keyspace.database import Database

Bytes = cython.typedef(cython.pointer[uint8_t])
ConstBytes = cython.typedef(cython.pointer[cython.const[uint8_t]])

# Names looked through one by one before they get a hash table.
MANY_NAMES = cython.declare(uint32_t, 8)


class Builder:
    """One collection on its way; begin() makes it good for another."""

    def __init__(self, database: Database, kind: uint32_t):
        self.begin(database, kind)

    def begin(self, database: Database, kind: uint32_t) -> cython.void:
        self.database = database
        self.kind = kind
        self.spread = self.size = self.count = self.last = 0
        self.in_order = True
        self.indexed = False

    def abandon(self) -> cython.void:
        """Give up the elements: without a key they are nobody's. Flushing the database does it too."""
        if self.spread:
            self.database.store.stores.drop(self.spread)
            self.spread = 0

    # Elements

    def add(self, name: bytes, value: object) -> cython.bint:
        at: ConstBytes = cython.cast(Bytes, PyBytes_AS_STRING(name))
        name_len: uint64_t = PyBytes_GET_SIZE(name)
        if value is None:
            return self.element(at, name_len, cython.NULL, 0)
        if self.kind == TYPE_ZSET:
            return self.scored(at, name_len, value)
        return self.element(at, name_len, cython.cast(Bytes, PyBytes_AS_STRING(value)), PyBytes_GET_SIZE(value))

    def element(self, name: ConstBytes, name_len: uint64_t, value: ConstBytes, value_len: uint64_t) -> cython.bint:
        has_value: cython.bint = self.kind == TYPE_HASH
        at: Bytes = self.room(name, name_len, length_size(value_len) + value_len if has_value else 0)
        if at == cython.NULL:
            return False
        if has_value:
            memcpy(write_length(at, value_len, length_size(value_len)), value, value_len)
        return True

    def scored(self, name: ConstBytes, name_len: uint64_t, score: cython.double) -> cython.bint:
        before: uint32_t = self.last
        at: Bytes = self.room(name, name_len, SCORE_SIZE)
        if at == cython.NULL:
            return False
        score += 0.0  # makes 0.0 of -0.0
        memcpy(at, cython.address(score), SCORE_SIZE)
        if self.spread:
            self.database.store.stores.order_entry(self.spread, self.offset)
        elif self.in_order and self.count > 1:
            self.in_order = precedes(self.packed + before, self.packed + self.last)
        return True

    def room(self, name: ConstBytes, name_len: uint64_t, more: uint64_t) -> Bytes:
        """Write a new element's name; returns where the `more` bytes behind it go. NULL: there is one of this name."""
        size: uint64_t = length_size(name_len) + name_len + more
        at: Bytes
        if not self.spread:
            if self.kind != TYPE_LIST and self.has_packed(name, name_len):
                return cython.NULL
            if self.count < PACKED_COUNT and self.size + size <= PACKED_MAX:
                if self.indexed:
                    self.index_name(name, name_len, self.size, True)
                self.last = self.size
                at = write_length(self.packed + self.size, name_len, length_size(name_len))
                memcpy(at, name, name_len)
                self.size += cython.cast(uint32_t, size)
                self.count += 1
                return at + name_len
            self.spread_out()
        return self.room_spread(name, name_len, size)

    def has_packed(self, name: ConstBytes, name_len: uint64_t) -> cython.bint:
        at: Bytes = self.packed
        end: Bytes = self.packed + self.size
        data: Bytes
        length: uint64_t = 0
        if self.count >= MANY_NAMES:
            if not self.indexed:
                self.index_packed()
            return self.index_name(name, name_len, 0, False)
        while at < end:
            data = read_length(at, cython.address(length))
            if length == name_len and memcmp(data, name, length) == 0:
                return True
            at += entry_size(self.kind, at)
        return False

    def index_packed(self) -> cython.void:
        """Put the names that are there into the hash table."""
        at: uint32_t = 0
        data: Bytes
        length: uint64_t = 0
        memset(self.names, 0, cython.sizeof(self.names))
        self.indexed = True
        while at < self.size:
            data = read_length(self.packed + at, cython.address(length))
            self.index_name(data, length, at, True)
            at += cython.cast(uint32_t, entry_size(self.kind, self.packed + at))

    def index_name(self, name: ConstBytes, name_len: uint64_t, start: uint32_t, add: cython.bint) -> cython.bint:
        """Add a name that is not there, whose element begins at `start`; or find out whether it is there."""
        index: uint32_t = cython.cast(uint32_t, hash_key(name, name_len)) % NAME_SLOTS
        data: Bytes
        length: uint64_t = 0
        while self.names[index]:
            if not add:
                data = read_length(self.packed + self.names[index] - 1, cython.address(length))
                if length == name_len and memcmp(data, name, length) == 0:
                    return True
            index = (index + 1) % NAME_SLOTS
        if add:
            self.names[index] = start + 1
        return False

    def spread_out(self) -> cython.int:
        """Give the elements a store of their own."""
        store: Store = self.database.store
        at: Bytes = self.packed
        self.spread = store.stores.create(self.kind, store.number)
        while at < self.packed + self.size:
            store.stores.add(self.spread, at)
            at += entry_size(self.kind, at)
        return 0

    def room_spread(self, name: ConstBytes, name_len: uint64_t, size: uint64_t) -> Bytes:
        store: Store = self.database.store
        hash_: uint64_t
        at: Bytes
        if self.kind == TYPE_LIST:
            return self.room_in_chain(name, name_len, size)
        hash_ = hash_key(name, name_len)
        if (
            store.tables.find(cython.address(store.stores.indexes[self.spread].table), name, name_len, hash_)
            != cython.NULL
        ):
            return cython.NULL
        self.offset = store.stores.place(self.spread, hash_, cython.NULL, size)
        at = write_length(store.arena.base + self.offset, name_len, length_size(name_len))
        memcpy(at, name, name_len)
        store.arena.spreads[self.spread].count += 1
        return at + name_len

    def room_in_chain(self, name: ConstBytes, name_len: uint64_t, size: uint64_t) -> Bytes:
        store: Store = self.database.store
        chain: cython.pointer[Chain] = cython.address(store.stores.indexes[self.spread].chain)
        at: Bytes = store.stores.chains.insert(chain, chain.nodes.elements, size)
        at = write_length(at, name_len, length_size(name_len))
        memcpy(at, name, name_len)
        store.stores.publish_chain(self.spread)
        return at + name_len

    # The key

    def put_in_order(self) -> cython.int:
        """Sort the packed elements of a sorted set."""
        at: Bytes = self.packed
        name: Bytes
        name_len: uint64_t = 0
        size: uint64_t
        score: cython.double = 0.0
        entries: list = []
        while at < self.packed + self.size:
            name = read_length(at, cython.address(name_len))
            memcpy(cython.address(score), name + name_len, SCORE_SIZE)
            size = entry_size(TYPE_ZSET, at)
            entries.append((score, bytes_at(name, name_len), bytes_at(at, size)))
            at += size
        entries.sort()
        at = self.packed
        for _, _, entry in entries:
            memcpy(at, PyBytes_AS_STRING(entry), PyBytes_GET_SIZE(entry))
            at += PyBytes_GET_SIZE(entry)
        return 0

    def put(self, key: bytes) -> cython.int:
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.database.find(key, cython.address(hash_))
        self.finish(cython.cast(Bytes, PyBytes_AS_STRING(key)), PyBytes_GET_SIZE(key), hash_, slot, 0)
        return self.database.changed(key)

    def finish(
        self,
        key: ConstBytes,
        key_len: uint64_t,
        hash_: uint64_t,
        slot: cython.pointer[uint64_t],
        expire_at_ms: int64_t,
    ) -> cython.int:
        store: Store = self.database.store
        payload: Bytes
        packed: uint32_t = PACKED_START - 4 + self.size
        if self.spread:
            store.put_root(key, key_len, hash_, slot, cython.cast(uint8_t, self.kind), self.spread, expire_at_ms)
            self.spread = 0
            return 0
        if not self.in_order:
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
def replace_with_names(database: Database, key: bytes, kind: uint32_t, names: object) -> cython.Py_ssize_t:
    name: bytes
    builder: Builder
    if not names:
        database.delete(key)
        return 0
    builder = Builder(database, kind)
    try:
        for name in names:
            builder.add(name, None)
        builder.put(key)
    except BaseException:
        builder.abandon()
        raise
    return len(names)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def precedes(one: Bytes, other: Bytes) -> cython.bint:
    """Whether one element of a sorted set comes before another, of another name."""
    one_len: uint64_t = 0
    other_len: uint64_t = 0
    one_name: Bytes = read_length(one, cython.address(one_len))
    other_name: Bytes = read_length(other, cython.address(other_len))
    one_score: cython.double = 0.0
    other_score: cython.double = 0.0
    order: cython.int
    memcpy(cython.address(one_score), one_name + one_len, SCORE_SIZE)
    memcpy(cython.address(other_score), other_name + other_len, SCORE_SIZE)
    if one_score != other_score:
        return one_score < other_score
    order = memcmp(one_name, other_name, min(one_len, other_len))
    return order < 0 or (order == 0 and one_len < other_len)
