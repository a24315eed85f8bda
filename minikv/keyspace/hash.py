# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Hashes: fields with values. An element is two strings, field and value, behind an expiry if the field has one.

A hash with at least one field that expires is of the kind TYPE_HASH_TTL; it becomes that, and a plain hash again, by a
change of its record's type. Beside the elements there are, in memory that a snapshot child does not inherit,

    of a chunked or spread hash   a tree of (expiry, hash of the field)                       Stores.field_order
    of a database                 a tree of (first expiry, hash of the key) of such hashes    KeyStore.field_expiry

so the next field to expire is known exactly. A packed hash is looked through. Every change of a hash whose fields
expire stands between begin_change, which takes it out of the second tree, and end_change, which puts it back.

An expired field is deleted when it is looked for, and invisible to what looks at all of them. len() counts it until it
is deleted, as HLEN does in Redis.
"""

import contextlib
import random

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.minikv.engine.chunked import Span, bucket_of, span_of
from cython.cimports.minikv.engine.chunks import CHUNKED_MAX, root_of
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.ordered import Entry, OrderedState, OrderedTrees, Probe, at_pair
from cython.cimports.minikv.engine.packed import PACKED_MAX, packed_end, packed_first
from cython.cimports.minikv.engine.record import (
    FIELD_EXPIRY_SIZE,
    TYPE_HASH,
    TYPE_HASH_TTL,
    Bytes,
    entry_key,
    entry_size,
    field_expire_at,
    field_expiry_size,
    length_size,
    read_length,
    skip_expiry,
    string_size,
    write_field_expiry,
)
from cython.cimports.minikv.engine.table import hash_key, slot_offset
from cython.cimports.minikv.keyspace.collection import BUILT_AT_ONCE, string_at, write_string
from cython.cimports.minikv.keyspace.database import Database

from minikv.errors import ArenaFull

NO_FIELD = -2
# Draws of random fields of a large hash, beside four for each that is wanted, before all of its fields are read.
SPARE_DRAWS = cython.declare(cython.Py_ssize_t, 64)


class Hash:
    """A view of one hash; make it with Hash.at."""

    @staticmethod
    def at(database: Database, key: bytes, stats: cython.bint = True) -> Hash | None:
        """The hash of a key. None: there is none. Raises WrongTypeError."""
        view: Hash = Hash.__new__(Hash)
        return view if view.open(database, key, TYPE_HASH, stats) else None

    @staticmethod
    def peek(database: Database, key: bytes) -> Hash | None:
        """The same for a look from outside: counts neither hit nor access."""
        view: Hash = Hash.__new__(Hash)
        return view if view.open(database, key, TYPE_HASH, False, False) else None

    @staticmethod
    def to_write(database: Database, key: bytes) -> Hash:
        """The hash of a key, for a write: the first element creates the key. Raises WrongTypeError."""
        view: Hash = Hash.__new__(Hash)
        view.open(database, key, TYPE_HASH, False)
        return view

    def get(self, field: bytes) -> bytes | None:
        """The field's value."""
        entry: Bytes = self.find_live(field)
        return None if entry == cython.NULL else string_at(entry + string_size(entry))

    def contains(self, field: bytes) -> cython.bint:
        return self.find_live(field) != cython.NULL

    def value_len(self, field: bytes) -> int:
        """Bytes of the field's value; 0 if there is no such field."""
        entry: Bytes = self.find_live(field)
        length: uint64_t = 0
        if entry != cython.NULL:
            read_length(entry + string_size(entry), cython.address(length))
        return length

    def set(self, field: bytes, value: bytes) -> cython.bint:
        """True if the field is new. It does not expire."""
        field_len: uint64_t = PyBytes_GET_SIZE(field)
        value_len: uint64_t = PyBytes_GET_SIZE(value)
        field_size: uint64_t = length_size(field_len) + field_len
        value_size: uint64_t = length_size(value_len) + value_len
        size: uint64_t = field_size + value_size
        entry: Bytes = cython.NULL
        number: uint32_t = 0
        if self.kind == TYPE_HASH_TTL:
            return self.set_until(field, value, 0)
        if self.at_slot() != cython.NULL and not self.spread:
            entry = self.find_in_form(field, cython.address(number))
            if entry != cython.NULL and self.must_grow_by(string_size(entry + string_size(entry)), value_size):
                self.grow_out()
                return self.set(field, value)
        if self.spread:
            return self.set_spread(field, value, size)
        if entry != cython.NULL:
            self.set_value(number, entry + string_size(entry), value, value_size)
            return False
        if self.must_grow(size):
            self.grow_out()
            return self.set(field, value)
        entry = self.room_in_bucket(field, size) if self.chunked else self.grow_packed(cython.NULL, size)
        write_string(write_string(entry, field, field_len), value, value_len)
        self.changed()
        return True

    def set_all(self, pairs: tuple) -> cython.Py_ssize_t:
        """How many of the fields, each before its value, are new."""
        count: cython.Py_ssize_t = 0
        place: cython.Py_ssize_t
        is_new: cython.bint = len(pairs) >= 2 * BUILT_AT_ONCE and self.at_slot() == cython.NULL
        if is_new and self.build(pairs[::2], pairs[1::2]):
            return len(pairs) // 2
        self.database.make_sure_of_all(pairs)
        for place in range(0, len(pairs), 2):
            count += self.set(pairs[place], pairs[place + 1])
        return count

    def delete_all(self, fields: tuple) -> cython.Py_ssize_t:
        """How many of the fields were there."""
        field: bytes
        count: cython.Py_ssize_t = 0
        for field in fields:
            count += self.delete(field)
        return count

    def must_grow_by(self, old_size: uint64_t, size: uint64_t) -> cython.bint:
        """Whether a value of another size is too much for the form that the hash has; its field is there."""
        payload: Bytes = self.payload()
        if size <= old_size:
            return False
        if self.chunked:
            return root_of(payload).nbytes - old_size + size > CHUNKED_MAX
        return cython.cast(uint64_t, packed_end(payload) - packed_first(payload)) - old_size + size > PACKED_MAX

    def set_value(self, number: uint32_t, at: Bytes, value: bytes, size: uint64_t) -> cython.int:
        """Put a value in the place of the one at `at`, in chunk `number` or packed."""
        old_size: uint64_t = string_size(at)
        if self.chunked:
            at = self.replace_chunked(number, at, old_size, size)
        else:
            at = self.database.store.splice(self.slot, at - self.payload(), old_size, size)
        write_string(at, value, PyBytes_GET_SIZE(value))
        if self.chunked:
            if size < old_size:
                self.make_smaller()
            else:
                self.room_for_growth(0)
        return self.changed()

    def set_spread(self, field: bytes, value: bytes, size: uint64_t) -> cython.bint:
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find_spread(field, cython.address(hash_))
        write_string(
            write_string(self.place_spread(hash_, slot, size), field, PyBytes_GET_SIZE(field)),
            value,
            PyBytes_GET_SIZE(value),
        )
        self.changed()
        return slot == cython.NULL

    def delete(self, field: bytes) -> cython.bint:
        """True if the field was there; the last one takes the key with it."""
        entry: Bytes = self.find_entry(field)
        if entry == cython.NULL:
            return False
        if self.kind == TYPE_HASH_TTL:
            if self.live(field, entry) == cython.NULL:
                return False
            self.take_field(field, entry)
            self.changed()
            return True
        self.shrink(field, entry)
        return True

    def parts(self, entry: Bytes, out: list) -> object:
        if self.kind == TYPE_HASH_TTL:
            if self.is_expired(entry):
                return
            entry += field_expiry_size(entry)
        out.append(string_at(entry))
        out.append(string_at(entry + string_size(entry)))

    def items(self) -> list[bytes]:
        """Field, value, field, value ..."""
        return self.entries_of()

    def fields(self) -> list[bytes]:
        return self.entries_of()[::2]

    def values(self) -> list[bytes]:
        return self.entries_of()[1::2]

    def sample(self, count: int, distinct: bool) -> list[bytes]:
        """Random fields with their values, in a row; distinct: none twice, at most all."""
        return self.sample_timed(count, distinct) if self.kind == TYPE_HASH_TTL else self.pick(count, distinct)

    def encoding(self, max_entries: int, max_value: int) -> bytes:
        """listpack as long as it has so few fields, none of them or their values longer; else hashtable.

        A listpack with fields that expire has a name of its own.
        """
        if len(self) > max_entries:
            return b"hashtable"
        for part in self.entries_of():
            if len(part) > max_value:
                return b"hashtable"
        return b"listpackex" if self.kind == TYPE_HASH_TTL else b"listpack"

    # Fields that expire

    def expire_at(self, field: bytes) -> int64_t:
        """When the field expires, in Unix ms; 0: never; NO_FIELD: there is none."""
        entry: Bytes = self.find_live(field)
        if entry == cython.NULL:
            return NO_FIELD
        return field_expire_at(self.find_entry(field)) if self.kind == TYPE_HASH_TTL else 0

    def set_until(self, field: bytes, value: bytes, expire_at_ms: int64_t) -> cython.bint:
        """Set a field that expires then (0: never); True if it is new."""
        is_new: cython.bint
        if self.kind == TYPE_HASH_TTL:
            self.find_live(field)  # an expired one goes first
        self.database.store.stores.reserve()
        self.begin_change()
        try:
            is_new = self.put_field(field, value, expire_at_ms)
        finally:
            self.end_change()
        self.changed()
        return is_new

    def keep_expiry(self, field: bytes, value: bytes) -> cython.bint:
        """Set a field, which expires when it did before; True if it is new."""
        if self.kind == TYPE_HASH_TTL:
            return self.set_until(field, value, max(self.expire_at(field), 0))
        return self.set(field, value)

    def expire_due(self, limit: cython.int) -> cython.int:
        """Delete up to `limit` fields whose time has passed, the longest overdue first; returns how many.

        The last field takes the key with it. No change for the save points.
        """
        done: cython.int = 0
        entry: Bytes
        name: Bytes
        name_len: uint64_t = 0
        self.begin_change()
        try:
            while done < limit and self.at_slot() != cython.NULL:
                entry = self.find_due()
                if entry == cython.NULL:
                    break
                name = entry_key(TYPE_HASH_TTL, entry, cython.address(name_len))
                self.take_field_now(name[:name_len], entry)
                done += 1
        finally:
            self.end_change()
        if done:
            self.database.fields_expired(self.key, done)
            self.notify_taken(b"hexpired")
        return done

    def find_live(self, field: bytes) -> Bytes:
        """The field's two strings; NULL if there is none. If it has expired, it is deleted."""
        entry: Bytes = self.find_entry(field)
        if self.kind == TYPE_HASH_TTL and entry != cython.NULL:
            return self.live(field, entry)
        return entry

    def live(self, field: bytes, entry: Bytes) -> Bytes:
        """The same for its element."""
        if not self.is_expired(entry):
            return entry + field_expiry_size(entry)
        if not self.database.keyspace.keeps_expired:
            # It can wait should there be no room.
            with contextlib.suppress(ArenaFull):
                self.take_field(field, entry)
                self.is_new = self.at_slot() == cython.NULL
                self.database.fields_expired(self.key, 1)
                self.notify_taken(b"hexpired")
        return cython.NULL

    def is_expired(self, entry: Bytes) -> cython.bint:
        """Whether the element's time has passed; a field lives through the whole of its last millisecond."""
        expire_at_ms: int64_t = field_expire_at(entry)
        return expire_at_ms != 0 and self.database.keyspace.now_ms > expire_at_ms

    def begin_change(self) -> cython.int:
        """Before a change: the type can then change in place."""
        store: KeyStore = self.database.store
        if self.at_slot() == cython.NULL:
            return 0
        if self.spread or self.chunked:
            store.rewrite_part(self.slot, 0, 0, 0)
        if self.kind == TYPE_HASH_TTL:
            store.forget_fields(self.slot, self.hash_)
        return 0

    def end_change(self) -> cython.int:
        """After a change, even one that has failed."""
        store: KeyStore = self.database.store
        if self.at_slot() == cython.NULL or self.kind != TYPE_HASH_TTL:
            return 0
        if store.stores.first_field_expiry(store.record(self.slot)) == 0:
            self.become(TYPE_HASH)
            return 0
        return store.note_fields(self.slot, self.hash_)

    def become(self, kind: uint32_t) -> cython.void:
        """Change the type of a hash whose record has just been written."""
        store: KeyStore = self.database.store
        skip_expiry(store.record(self.at_slot()))[0] = cython.cast(uint8_t, kind)
        self.kind = kind
        if self.spread:
            store.stores.become(self.spread, kind)

    def put_field(self, field: bytes, value: bytes, expire_at_ms: int64_t) -> cython.bint:
        """Write a whole element, new or in the place of the field's; True if it is new."""
        store: KeyStore = self.database.store
        field_len: uint64_t = PyBytes_GET_SIZE(field)
        value_len: uint64_t = PyBytes_GET_SIZE(value)
        size: uint64_t = length_size(field_len) + field_len + length_size(value_len) + value_len
        hash_: uint64_t = hash_key(cython.cast(Bytes, PyBytes_AS_STRING(field)), field_len)
        entry: Bytes = cython.NULL
        at: Bytes
        number: uint32_t = 0
        old_size: uint64_t = 0
        old_ms: int64_t = 0
        if expire_at_ms:
            size += FIELD_EXPIRY_SIZE
        if self.at_slot() != cython.NULL and not self.spread:
            entry = self.find_in_form(field, cython.address(number))
            if entry != cython.NULL:
                old_size = entry_size(self.kind, entry)
                old_ms = field_expire_at(entry)
            if self.must_grow(size) if entry == cython.NULL else self.must_grow_by(old_size, size):
                self.grow_out()
                return self.put_field(field, value, expire_at_ms)
        elif not self.spread and self.must_grow(size):
            self.grow_out()
            return self.put_field(field, value, expire_at_ms)
        if self.spread:
            return self.put_spread_field(field, value, expire_at_ms)
        if self.chunked:
            expire_at_ms = self.free_expiry(hash_, old_ms, expire_at_ms)
            if entry == cython.NULL:
                at = self.room_in_bucket(field, size)
            else:
                at = self.replace_chunked(number, entry, old_size, size)
        elif entry == cython.NULL:
            at = self.grow_packed(cython.NULL, size)
        else:
            at = store.splice(self.slot, entry - self.payload(), old_size, size)
        write_string(
            write_string(write_field_expiry(at, expire_at_ms), field, field_len),
            value,
            value_len,
        )
        if expire_at_ms and self.kind == TYPE_HASH:
            self.become(TYPE_HASH_TTL)
        if self.chunked:
            self.move_expiry(hash_, old_ms, expire_at_ms)
            if size < old_size:
                self.make_smaller()
            elif old_size:
                self.room_for_growth(0)
        return entry == cython.NULL

    def put_spread_field(self, field: bytes, value: bytes, expire_at_ms: int64_t) -> cython.bint:
        """The same for a spread hash."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find_spread(field, cython.address(hash_))
        old_ms: int64_t = 0
        size: uint64_t = string_len(field) + string_len(value)
        if slot != cython.NULL:
            old_ms = field_expire_at(self.database.store.arena.base + slot_offset(slot))
        if expire_at_ms:
            size += FIELD_EXPIRY_SIZE
            expire_at_ms = self.free_expiry(hash_, old_ms, expire_at_ms)
        write_string(
            write_string(
                write_field_expiry(self.place_spread(hash_, slot, size), expire_at_ms), field, PyBytes_GET_SIZE(field)
            ),
            value,
            PyBytes_GET_SIZE(value),
        )
        if expire_at_ms and self.kind == TYPE_HASH:
            self.become(TYPE_HASH_TTL)
        self.move_expiry(hash_, old_ms, expire_at_ms)
        return slot == cython.NULL

    def free_expiry(self, hash_: uint64_t, old_ms: int64_t, expire_at_ms: int64_t) -> int64_t:
        """The first expiry from this one on that no other field of the same hash has."""
        order: cython.pointer[OrderedState] = self.database.store.stores.field_order(self.payload())
        trees: OrderedTrees = self.database.store.stores.chunks.expiry_trees
        probe: Probe = at_pair(expire_at_ms, hash_)
        while probe.order and probe.order != old_ms and trees.contains(order, cython.address(probe)):
            probe.order += 1
        return probe.order

    def move_expiry(self, hash_: uint64_t, old_ms: int64_t, expire_at_ms: int64_t) -> cython.int:
        """Keep the tree of a chunked or spread hash in step with a field."""
        order: cython.pointer[OrderedState]
        trees: OrderedTrees = self.database.store.stores.chunks.expiry_trees
        probe: Probe
        if old_ms == expire_at_ms:
            return 0
        order = self.database.store.stores.field_order(self.payload())
        if expire_at_ms:
            probe = at_pair(expire_at_ms, hash_)
            trees.insert(order, cython.address(probe), hash_)
        if old_ms:
            probe = at_pair(old_ms, hash_)
            trees.remove(order, cython.address(probe))
        return 0

    def take_field(self, field: bytes, entry: Bytes) -> cython.int:
        """Take out an element of a hash whose fields expire; nobody is told."""
        self.begin_change()
        try:
            self.take_field_now(field, entry)
        finally:
            self.end_change()
        return 0

    def take_field_now(self, field: bytes, entry: Bytes) -> cython.int:
        """The same within a change."""
        old_ms: int64_t = field_expire_at(entry)
        self.take_out(field, entry)
        if old_ms and self.at_slot() != cython.NULL and (self.spread or self.chunked):
            self.move_expiry(hash_key(cython.cast(Bytes, PyBytes_AS_STRING(field)), PyBytes_GET_SIZE(field)), old_ms, 0)
        return 0

    def find_due(self) -> Bytes:
        """The element whose time has passed first, NULL: there is none. A packed hash: any such element."""
        store: KeyStore = self.database.store
        order: cython.pointer[OrderedState] = store.stores.field_order(self.payload())
        trees: OrderedTrees = store.stores.chunks.expiry_trees
        first: Entry
        span: Span
        name: Bytes
        name_len: uint64_t = 0
        if order == cython.NULL:
            span.start = packed_first(self.payload())
            span.end = packed_end(self.payload())
            while span.start < span.end:
                if self.is_expired(span.start):
                    return span.start
                span.start += entry_size(TYPE_HASH_TTL, span.start)
            return cython.NULL
        if order.count == 0:
            return cython.NULL
        first = trees.entry(trees.seek_first(order))
        if first.order >= self.database.keyspace.now_ms:
            return cython.NULL
        if self.spread:
            return store.arena.base + slot_offset(
                store.tables.find_expiring(
                    cython.address(store.stores.indexes[self.spread].table), first.ref, first.order
                )
            )
        span = span_of(store.arena.base, self.payload(), bucket_of(first.ref, root_of(self.payload()).chunks))
        while True:
            name = entry_key(TYPE_HASH_TTL, span.start, cython.address(name_len))
            if field_expire_at(span.start) == first.order and hash_key(name, name_len) == first.ref:
                return span.start
            span.start += entry_size(TYPE_HASH_TTL, span.start)

    def sample_timed(self, count: cython.Py_ssize_t, distinct: cython.bint) -> list:
        """Random fields that have not expired; of a large hash drawn one by one, if that is likely to find them."""
        size: cython.Py_ssize_t = len(self)
        draws: cython.Py_ssize_t = 4 * count + SPARE_DRAWS
        picked: list = []
        seen: set = set()
        entry: Bytes
        if (self.spread or self.chunked) and (count == 1 or not (distinct and count > size // 3)):
            while draws and len(picked) < 2 * count:
                draws -= 1
                entry = self.random_entry()
                offset = cython.cast(uint64_t, entry - self.database.store.arena.base)
                if not self.is_expired(entry) and offset not in seen:
                    if distinct:
                        seen.add(offset)
                    self.parts(entry, picked)
            if len(picked) == 2 * count:
                return picked
        flat: list = self.entries_of()
        size = len(flat) // 2
        if size == 0:
            return []
        picked = []
        chosen = random.sample(range(size), min(count, size)) if distinct else random.choices(range(size), k=count)
        for index in chosen:
            picked += flat[2 * index : 2 * index + 2]
        return picked


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def string_len(text: bytes) -> uint64_t:
    """Bytes of an RDB string."""
    length: uint64_t = PyBytes_GET_SIZE(text)
    return length_size(length) + length
