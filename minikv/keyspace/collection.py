# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What collections have in common: elements packed into one record or spread, found by name but in lists.

A view (Hash, Set, SortedSet, List) is made for one command and forgotten. It sees the collection as it is, and changes
it as it is told; another view of the same key must not change it meanwhile. A small collection is packed: its elements
follow each other in the key's record and are looked through one by one. Beyond PACKED_MAX bytes or PACKED_COUNT
elements it spreads, for good: each element becomes an entry of a store of its own, found by a hash table (a list's one
of a chain, found by position). The last element takes the key with it.
"""

import random

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import INT64_MAX, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.packed import (
    PACKED_COUNT,
    PACKED_MAX,
    PACKED_START,
    packed_count,
    packed_end,
    packed_find,
    packed_first,
    set_packed_count,
)
from cython.cimports.minikv.engine.record import (
    bytes_at,
    entry_size,
    length_size,
    read_length,
    record_expire_at,
    record_payload,
    skip_expiry,
    write_length,
)
from cython.cimports.minikv.engine.store import Store
from cython.cimports.minikv.engine.stores import spread_of
from cython.cimports.minikv.engine.table import hash_key, slot_offset
from cython.cimports.minikv.keyspace.database import Database

from minikv.errors import ArenaFull, WrongTypeError


# Made for every command, and in no reference cycle.
@cython.no_gc
@cython.freelist(8)
@cython.cclass
class Collection:
    """A view of one key's collection."""

    # The key

    def open(
        self,
        database: Database,
        key: bytes,
        kind: uint32_t,
        stats: cython.bint,
        touch: cython.bint = True,
    ) -> cython.bint:
        """Look the key up; False if it is not there. Raises WrongTypeError."""
        self.database = database
        self.key = key
        self.kind = kind
        self.slot = database.read(key, cython.address(self.hash_), stats, touch)
        self.changes = database.store.table.changes
        if self.slot == cython.NULL:
            return False
        record: cython.pointer[uint8_t] = database.store.record(self.slot)
        if skip_expiry(record)[0] != kind:
            raise WrongTypeError
        self.spread = spread_of(cython.cast(uint8_t, kind), record_payload(record))
        return True

    def at_slot(self) -> cython.pointer[uint64_t]:
        """The key's slot, looked up again if other keys came or went."""
        store: Store = self.database.store
        if self.changes != store.table.changes:
            self.slot = store.find(
                cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(self.key)),
                PyBytes_GET_SIZE(self.key),
                self.hash_,
            )
            self.changes = store.table.changes
        return self.slot

    def payload(self) -> cython.pointer[uint8_t]:
        return record_payload(self.database.store.record(self.at_slot()))

    def changed(self) -> cython.int:
        return self.database.changed(self.key)

    def __len__(self) -> int:
        if self.at_slot() == cython.NULL:
            return 0
        if self.spread:
            return self.database.store.arena.spreads[self.spread].count
        return packed_count(self.payload())

    def __bool__(self) -> bool:
        return True

    # Elements

    def find_packed(self, name: bytes) -> cython.pointer[uint8_t]:
        return packed_find(
            self.kind,
            self.payload(),
            cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(name)),
            PyBytes_GET_SIZE(name),
        )

    def find_spread(self, name: bytes, hash_: cython.pointer[uint64_t]) -> cython.pointer[uint64_t]:
        store: Store = self.database.store
        data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(name))
        hash_[0] = hash_key(data, PyBytes_GET_SIZE(name))
        return store.tables.find(
            cython.address(store.stores.indexes[self.spread].table), data, PyBytes_GET_SIZE(name), hash_[0]
        )

    def find_entry(self, name: bytes) -> cython.pointer[uint8_t]:
        """The element of a name, good until the next change; NULL if there is none."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t]
        if self.at_slot() == cython.NULL:
            return cython.NULL
        if not self.spread:
            return self.find_packed(name)
        slot = self.find_spread(name, cython.address(hash_))
        return cython.NULL if slot == cython.NULL else self.database.store.arena.base + slot_offset(slot)

    def must_spread(self, more: uint64_t) -> cython.bint:
        """True if `more` bytes, perhaps one more element, are too many for a packed collection."""
        payload: cython.pointer[uint8_t]
        if self.spread:
            return False
        if self.at_slot() == cython.NULL:
            return more > PACKED_MAX
        payload = self.payload()
        return (
            cython.cast(uint64_t, packed_end(payload) - packed_first(payload)) + more > PACKED_MAX
            or packed_count(payload) >= PACKED_COUNT
        )

    def grow_packed(self, before: cython.pointer[uint8_t], size: uint64_t) -> cython.pointer[uint8_t]:
        """Room for a new element before another one (NULL: at the end), counted; the key is born if need be."""
        store: Store = self.database.store
        payload: cython.pointer[uint8_t]
        at: cython.pointer[uint8_t]
        place: uint64_t
        packed: uint32_t
        count: uint32_t
        if self.at_slot() == cython.NULL:
            payload = store.put_payload(
                cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(self.key)),
                PyBytes_GET_SIZE(self.key),
                self.hash_,
                cython.NULL,
                cython.cast(uint8_t, self.kind),
                PACKED_START + size,
                0,
            )
            packed = cython.cast(uint32_t, PACKED_START - 4 + size)
            memcpy(payload, cython.address(packed), 4)
            set_packed_count(payload, 1)
            return payload + PACKED_START
        payload = self.payload()
        place = cython.cast(uint64_t, (packed_end(payload) if before == cython.NULL else before) - payload)
        count = packed_count(payload) + 1
        at = store.splice(self.slot, place, 0, size)
        set_packed_count(at - place, count)
        return at

    def place_spread(self, hash_: uint64_t, slot: cython.pointer[uint64_t], size: uint64_t) -> cython.pointer[uint8_t]:
        """Room for an element, new (slot NULL, counted) or in the place of the slot's."""
        store: Store = self.database.store
        offset: uint64_t
        try:
            offset = store.stores.place(self.spread, hash_, slot, size)
        except ArenaFull:
            self.vanish_if_empty()
            raise
        if slot == cython.NULL:
            store.arena.spreads[self.spread].count += 1
        return store.arena.base + offset

    def shrink(self, name: bytes, entry: cython.pointer[uint8_t]) -> cython.int:
        """Take out the element that `find_entry` gave for a name; the last one takes the key with it."""
        store: Store = self.database.store
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t]
        place: uint64_t
        count: uint32_t
        size: uint64_t = entry_size(self.kind, entry)
        if len(self) == 1:
            self.vanish()
        elif self.spread:
            slot = self.find_spread(name, cython.address(hash_))
            store.stores.forget_order(self.spread, cython.cast(uint64_t, entry - store.arena.base))
            store.tables.remove(cython.address(store.stores.indexes[self.spread].table), slot)
            store.arena.kill(cython.cast(uint64_t, entry - store.arena.base), size)
            store.arena.spreads[self.spread].count -= 1
        else:
            count = packed_count(self.payload()) - 1
            place = cython.cast(uint64_t, entry - self.payload())
            set_packed_count(store.splice(self.slot, place, size, 0) - place, count)
        return self.changed()

    def vanish(self) -> cython.void:
        """Delete the key."""
        self.database.store.remove(self.at_slot(), self.hash_)
        self.slot = cython.NULL
        self.changes = self.database.store.table.changes
        self.spread = 0

    def vanish_if_empty(self) -> cython.void:
        """Delete a key that was born for an element which then found no room."""
        if len(self) == 0:
            self.vanish()

    def spread_out(self) -> cython.int:
        """Give the elements a store of their own."""
        store: Store = self.database.store
        spread: uint32_t = store.stores.create(self.kind, store.number)
        at: cython.pointer[uint8_t]
        end: cython.pointer[uint8_t]
        expire_at_ms: cython.longlong = 0
        try:
            if self.at_slot() != cython.NULL:
                expire_at_ms = record_expire_at(store.record(self.slot))
                at = packed_first(self.payload())
                end = packed_end(self.payload())
                while at < end:
                    store.stores.add(spread, at)
                    at += entry_size(self.kind, at)
            store.put_root(
                cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(self.key)),
                PyBytes_GET_SIZE(self.key),
                self.hash_,
                self.slot,
                cython.cast(uint8_t, self.kind),
                spread,
                expire_at_ms,
            )
        except BaseException:
            store.stores.drop(spread)
            raise
        self.spread = spread
        return 0

    # Many elements

    def parts(self, entry: cython.pointer[uint8_t], out: list) -> object:
        """Append what an element consists of; sets and hashes: its strings."""
        out.append(string_at(entry))

    def entries_of(self) -> list:
        """All elements' parts in a row."""
        cursor: uint64_t = 0
        return self.gather(cython.address(cursor), INT64_MAX)

    def scan(self, cursor: int, count: int) -> tuple[int, list]:
        """Go on from a cursor for about `count` elements; the next cursor (0: done) and the elements' parts."""
        at: uint64_t = cursor
        found: list = self.gather(cython.address(at), max(count, 1))
        return at, found

    def gather(self, cursor: cython.pointer[uint64_t], wanted: cython.Py_ssize_t) -> list:
        """The parts of at least so many elements from the cursor on, which goes on behind them, to 0 at the end."""
        store: Store = self.database.store
        out: list = []
        entry: cython.pointer[uint8_t]
        end: cython.pointer[uint8_t]
        offsets: uint64_t[336]
        found: uint32_t = 0
        index: uint32_t
        if not self.spread:
            cursor[0] = 0
            if self.at_slot() != cython.NULL:
                entry = packed_first(self.payload())
                end = packed_end(self.payload())
                while entry < end:
                    self.parts(entry, out)
                    entry += entry_size(self.kind, entry)
            return out
        while wanted > 0:
            cursor[0] = store.tables.scan_home(
                cython.address(store.stores.indexes[self.spread].table), cursor[0], offsets, cython.address(found)
            )
            for index in range(found):
                self.parts(store.arena.base + offsets[index], out)
            if cursor[0] == 0:
                break
            wanted -= found
        return out

    def pick(self, count: cython.Py_ssize_t, distinct: cython.bint) -> list:
        """The parts of `count` random elements in a row; distinct: none twice, at most all."""
        size: cython.Py_ssize_t = len(self)
        picked: list = []
        if distinct:
            count = min(count, size)
        if size == 0 or count <= 0:
            return picked
        if count == 1:
            self.parts(self.random_entry(), picked)
        elif self.spread and not (distinct and count > size // 3):
            self.draw(count, distinct, picked)
        else:
            flat: list = self.entries_of()
            width: cython.Py_ssize_t = len(flat) // size
            for index in random.sample(range(size), count) if distinct else random.choices(range(size), k=count):
                picked += flat[width * index : width * index + width]
        return picked

    def draw(self, count: cython.Py_ssize_t, distinct: cython.bint, picked: list) -> cython.int:
        """Append the parts of elements drawn one by one, again if one of them came already: for few of many."""
        base: cython.pointer[uint8_t] = self.database.store.arena.base
        entry: cython.pointer[uint8_t]
        seen: set = set()
        while count:
            entry = self.random_entry()
            if distinct:
                offset = cython.cast(uint64_t, entry - base)
                if offset in seen:
                    continue
                seen.add(offset)
            self.parts(entry, picked)
            count -= 1
        return 0

    def random_entry(self) -> cython.pointer[uint8_t]:
        """Any element of a collection that has one."""
        store: Store = self.database.store
        at: cython.pointer[uint8_t]
        steps: uint64_t
        if self.spread:
            return store.arena.base + store.tables.random_offset(
                cython.address(store.stores.indexes[self.spread].table), self.database.keyspace.random()
            )
        at = packed_first(self.payload())
        for steps in range(self.database.keyspace.random() % packed_count(self.payload())):
            at += entry_size(self.kind, at)
        return at


def string_at(at: cython.pointer[uint8_t]) -> bytes:
    """The RDB string at an address."""
    length: uint64_t = 0
    data: cython.pointer[uint8_t] = read_length(at, cython.address(length))
    return bytes_at(data, length)


def write_string(at: cython.pointer[uint8_t], text: bytes, length: uint64_t) -> cython.pointer[uint8_t]:
    """Write an RDB string; returns the address behind it."""
    at = write_length(at, length, length_size(length))
    memcpy(at, PyBytes_AS_STRING(text), length)
    return at + length
