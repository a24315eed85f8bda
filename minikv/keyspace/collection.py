# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""What collections have in common: elements packed into one record, in chunks or spread, found by name but in lists.

A view (Hash, Set, SortedSet, List) is made for one command and forgotten. It sees the collection as it is, and changes
it as it is told; another view of the same key must not change it meanwhile. A collection has one of three forms:

    packed     up to PACKED_MAX bytes and PACKED_COUNT elements: they follow each other in the key's record
    chunked    up to CHUNKED_MAX bytes: in records of a few hundred bytes, led to by the key's (engine/chunks.py)
    spread     beyond: each element is an entry of a store of its own, found by a hash table (a list's one of a chain)

It changes to a larger form before it grows too large, and back when a quarter or half of a smaller one would do. Both
are for the engine only; callers never see the form. The last element takes the key with it.
"""

import contextlib
import random

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import INT64_MAX, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.chunked import (
    ChunkPlace,
    Span,
    begin_chunked,
    behind_bucket,
    bucket_at,
    bucket_of,
    edit_chunk,
    insert_element,
    join_bucket,
    join_if_sparse,
    remove_chunks,
    seek_element,
    span_of,
    split_bucket,
)
from cython.cimports.minikv.engine.chunks import CHUNKED_MAX, bucket_bytes, root_of
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.packed import (
    PACKED_COUNT,
    PACKED_MAX,
    PACKED_START,
    find_element,
    packed_count,
    packed_end,
    packed_find,
    packed_first,
    set_packed_count,
)
from cython.cimports.minikv.engine.record import (
    TYPE_HASH,
    TYPE_HASH_TTL,
    TYPE_LIST,
    Bytes,
    Root,
    bytes_at,
    chunk_entry,
    entry_elements,
    entry_size,
    has_buckets,
    is_chunked,
    length_size,
    read_length,
    record_expire_at,
    record_payload,
    skip_expiry,
    write_length,
)
from cython.cimports.minikv.engine.stores import spread_of
from cython.cimports.minikv.engine.table import PREFIX_BITS, hash_key, slot_offset
from cython.cimports.minikv.keyspace.builder import Builder
from cython.cimports.minikv.keyspace.database import Database, key_of
from cython.cimports.minikv.keyspace.events import EVENT_GENERIC, EVENT_NEW, WATCHED, event_class_of

from minikv.errors import ArenaFull, WrongTypeError

# SCAN's cursor has the prefix in front of what else a table puts there.
CURSOR_PREFIX = cython.declare(uint32_t, 11)
LOOKS_PER_SCAN = cython.declare(uint32_t, 64)
PREFIX_MASK = cython.declare(uint64_t, (1 << PREFIX_BITS) - 1)


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
            self.is_new = True
            return False
        record: Bytes = database.store.record(self.slot)
        if skip_expiry(record)[0] != kind:
            if kind != TYPE_HASH or skip_expiry(record)[0] != TYPE_HASH_TTL:
                raise WrongTypeError
            self.kind = TYPE_HASH_TTL
        self.spread = spread_of(cython.cast(uint8_t, kind), record_payload(record))
        self.chunked = is_chunked(cython.cast(uint8_t, kind), record_payload(record))
        return True

    def at_slot(self) -> cython.pointer[uint64_t]:
        """The key's slot, looked up again if other keys came or went."""
        store: KeyStore = self.database.store
        if self.changes != store.table.changes:
            self.slot = store.find(
                cython.cast(Bytes, PyBytes_AS_STRING(self.key)),
                PyBytes_GET_SIZE(self.key),
                self.hash_,
            )
            self.changes = store.table.changes
        return self.slot

    def payload(self) -> Bytes:
        return record_payload(self.database.store.record(self.at_slot()))

    def changed(self) -> cython.int:
        self.has_changed = True
        return self.database.changed(self.key)

    def notify(self, event: bytes) -> cython.int:
        """Tell observers what a command has done to the collection; before it, that the key is new."""
        if self.database.observed & ~WATCHED:
            if self.is_new:
                self.is_new = False
                self.database.notify(EVENT_NEW, b"new", self.key)
            return self.database.notify(event_class_of(self.kind), event, self.key)
        return 0

    def notify_taken(self, event: bytes) -> cython.int:
        """The same for a command that has taken something out; behind it, that the key is gone."""
        if self.database.observed & ~WATCHED:
            self.database.notify(event_class_of(self.kind), event, self.key)
            if self.at_slot() == cython.NULL:
                return self.database.notify(EVENT_GENERIC, b"del", self.key)
        return 0

    def __len__(self) -> int:
        if self.at_slot() == cython.NULL:
            return 0
        if self.spread:
            return self.database.store.arena.spreads[self.spread].count
        return root_of(self.payload()).elements if self.chunked else packed_count(self.payload())

    def __bool__(self) -> bool:
        return True

    # Elements

    def find_packed(self, name: bytes) -> Bytes:
        return packed_find(
            self.kind,
            self.payload(),
            cython.cast(Bytes, PyBytes_AS_STRING(name)),
            PyBytes_GET_SIZE(name),
        )

    def find_spread(self, name: bytes, hash_: cython.pointer[uint64_t]) -> cython.pointer[uint64_t]:
        store: KeyStore = self.database.store
        data: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(name))
        hash_[0] = hash_key(data, PyBytes_GET_SIZE(name))
        return store.tables.find(
            cython.address(store.stores.indexes[self.spread].table), data, PyBytes_GET_SIZE(name), hash_[0]
        )

    def find_chunked(self, name: bytes, number: cython.pointer[uint32_t]) -> Bytes:
        """The element of a name in a chunked hash or set, NULL if there is none; and the bucket of the name."""
        payload: Bytes = self.payload()
        data: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(name))
        span: Span
        number[0] = bucket_of(hash_key(data, PyBytes_GET_SIZE(name)), root_of(payload).chunks)
        span = span_of(self.database.store.arena.base, payload, number[0])
        return find_element(self.kind, span.start, span.end, data, PyBytes_GET_SIZE(name))

    def find_in_form(self, name: bytes, number: cython.pointer[uint32_t]) -> Bytes:
        """The element of a name in a collection that is not spread; and its chunk, if it has chunks."""
        return self.find_chunked(name, number) if self.chunked else self.find_packed(name)

    def find_entry(self, name: bytes) -> Bytes:
        """The element of a name, good until the next change; NULL if there is none."""
        hash_: uint64_t = 0
        number: uint32_t = 0
        slot: cython.pointer[uint64_t]
        if self.at_slot() == cython.NULL:
            return cython.NULL
        if self.chunked:
            return self.find_chunked(name, cython.address(number))
        if not self.spread:
            return self.find_packed(name)
        slot = self.find_spread(name, cython.address(hash_))
        return cython.NULL if slot == cython.NULL else self.database.store.arena.base + slot_offset(slot)

    # Growing

    def must_grow(self, more: uint64_t) -> cython.bint:
        """True if `more` bytes, perhaps one more element, are too many for the form that the collection has."""
        payload: Bytes
        if self.spread:
            return False
        if self.at_slot() == cython.NULL:
            return more > PACKED_MAX
        payload = self.payload()
        if self.chunked:
            return root_of(payload).nbytes + more > CHUNKED_MAX
        return (
            cython.cast(uint64_t, packed_end(payload) - packed_first(payload)) + more > PACKED_MAX
            or packed_count(payload) >= PACKED_COUNT
        )

    def grow_out(self) -> cython.int:
        """Take the next larger form."""
        try:
            return self.spread_out() if self.chunked else self.chunk_out()
        except ArenaFull:
            self.vanish_if_empty()
            raise

    def build(self, names: tuple, values: object) -> cython.Py_ssize_t:
        """Make the collection, whose key is not there, of all these elements; returns how many are different.

        values: a hash's or sorted set's, one for each name; then it returns 0 and has done nothing if a name comes
        twice. A change for each element, or ArenaFull and none.
        """
        place: cython.Py_ssize_t
        count: cython.Py_ssize_t = 0
        builder: Builder = Builder(self.database, self.kind)
        try:
            for place in range(len(names)):
                if builder.add(names[place], None if values is None else values[place]):
                    count += 1
                elif values is not None:
                    builder.abandon()
                    return 0
            builder.finish(key_of(self.key, self.hash_), self.at_slot(), 0)
        except BaseException:
            builder.abandon()
            raise
        self.spread = spread_of(cython.cast(uint8_t, self.kind), self.payload())
        self.chunked = is_chunked(cython.cast(uint8_t, self.kind), self.payload())
        self.database.keyspace.dirty += count - 1
        self.changed()
        return count

    def chunk_out(self) -> cython.int:
        """Put the elements of a packed collection, or of a new one, into chunks."""
        store: KeyStore = self.database.store
        builder: Builder
        if self.at_slot() == cython.NULL:
            begin_chunked(
                store,
                key_of(self.key, self.hash_),
                cython.NULL,
                cython.cast(uint8_t, self.kind),
            )
        else:
            builder = Builder(self.database, self.kind)
            builder.take(packed_first(self.payload()), packed_end(self.payload()))
            builder.replace(self.key, self.hash_, self.slot, True)
        self.chunked = True
        return 0

    def grow_packed(self, before: Bytes, size: uint64_t) -> Bytes:
        """Room for a new element before another one (NULL: at the end), counted; creates the key if there is none."""
        store: KeyStore = self.database.store
        payload: Bytes
        at: Bytes
        place: uint64_t
        packed: uint32_t
        count: uint32_t
        if self.at_slot() == cython.NULL:
            payload = store.put_payload(
                key_of(self.key, self.hash_),
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

    def room_in_bucket(self, name: bytes, size: uint64_t) -> Bytes:
        """Room for a new element of a chunked hash or set, counted."""
        data: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(name))
        payload: Bytes
        number: uint32_t
        try:
            self.room_for_growth(size)
            payload = self.payload()
            number = bucket_of(hash_key(data, PyBytes_GET_SIZE(name)), root_of(payload).chunks)
            span: Span = span_of(self.database.store.arena.base, payload, number)
            return edit_chunk(self.database.store, self.slot, number, span.end - span.start, 0, size, 1, 0)
        except ArenaFull:
            self.vanish_if_empty()
            raise

    def room_in_order(self, place: ChunkPlace, size: uint64_t, spare: uint64_t) -> Bytes:
        """Room for a new element at a place of a chunked list or sorted set, counted."""
        try:
            return insert_element(self.database.store, self.at_slot(), self.kind, place, size, spare)
        except ArenaFull:
            self.vanish_if_empty()
            raise

    def room_for_growth(self, more: uint64_t) -> cython.int:
        """Add a bucket if `more` bytes make the others too full. It can wait should there be no room for it."""
        root: Root = root_of(self.payload())
        if root.chunks < root.elements and root.nbytes + more > root.chunks * bucket_bytes(root.nbytes):
            with contextlib.suppress(ArenaFull):
                split_bucket(self.database.store, self.slot, self.kind)
        return 0

    def replace_chunked(self, number: uint32_t, at: Bytes, old_size: uint64_t, size: uint64_t) -> Bytes:
        """Room for `size` bytes in place of some in a chunk."""
        span: Span = span_of(self.database.store.arena.base, self.payload(), number)
        return edit_chunk(self.database.store, self.slot, number, at - span.start, old_size, size, 0, 0)

    def shrink_chunked(self, number: uint32_t, at: Bytes, size: uint64_t, count: uint32_t) -> cython.int:
        """Take out `count` elements of a chunk, which begin at `at`, but not the last ones of the collection."""
        store: KeyStore = self.database.store
        payload: Bytes = self.payload()
        span: Span = span_of(store.arena.base, payload, number)
        ordered: cython.bint = not has_buckets(self.kind)
        if ordered and size == cython.cast(uint64_t, span.end - span.start):
            remove_chunks(store, self.slot, number, 1)
        else:
            edit_chunk(store, self.slot, number, at - span.start, size, 0, -cython.cast(cython.int, count), 0)
        root: Root = root_of(self.payload())
        try:
            if ordered:
                join_if_sparse(store, self.slot, self.kind, number)
            elif root.chunks > 1 and root.nbytes * 3 < root.chunks * bucket_bytes(root.nbytes):
                join_bucket(store, self.slot)
        except ArenaFull:
            # It can wait.
            return 0
        return 0

    def place_spread(self, hash_: uint64_t, slot: cython.pointer[uint64_t], size: uint64_t) -> Bytes:
        """Room for an element, new (slot NULL, counted) or in the place of the slot's."""
        store: KeyStore = self.database.store
        offset: uint64_t
        try:
            offset = store.stores.place(self.spread, hash_, slot, size)
        except ArenaFull:
            self.vanish_if_empty()
            raise
        if slot == cython.NULL:
            store.arena.spreads[self.spread].count += 1
        return store.arena.base + offset

    def shrink(self, name: bytes, entry: Bytes) -> cython.int:
        """Take out the element that `find_entry` gave for a name; the last one takes the key with it."""
        self.take_out(name, entry)
        return self.changed()

    def take_out(self, name: bytes, entry: Bytes) -> cython.int:
        """The same, and nobody is told."""
        store: KeyStore = self.database.store
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t]
        place: uint64_t
        count: uint32_t
        size: uint64_t = entry_size(self.kind, entry)
        number: uint32_t = 0
        if len(self) == 1:
            self.vanish()
        elif self.chunked:
            self.find_chunked(name, cython.address(number))
            self.shrink_chunked(number, entry, size, 1)
            self.forget_element(name)
            self.make_smaller()
        elif self.spread:
            slot = self.find_spread(name, cython.address(hash_))
            store.stores.forget_order(self.spread, cython.cast(uint64_t, entry - store.arena.base))
            store.tables.remove(cython.address(store.stores.indexes[self.spread].table), slot)
            store.arena.kill(cython.cast(uint64_t, entry - store.arena.base), size)
            store.arena.spreads[self.spread].count -= 1
            self.forget_element(name)
            self.make_smaller()
        else:
            count = packed_count(self.payload()) - 1
            place = cython.cast(uint64_t, entry - self.payload())
            set_packed_count(store.splice(self.slot, place, size, 0) - place, count)
        return 0

    def forget_element(self, name: bytes) -> cython.void:
        """Tell the history that an element is gone."""
        self.database.store.forget_element(
            self.at_slot(), cython.cast(Bytes, PyBytes_AS_STRING(name)), PyBytes_GET_SIZE(name)
        )

    def vanish(self) -> cython.void:
        """Delete the key."""
        self.database.store.remove(self.at_slot(), self.hash_)
        self.slot = cython.NULL
        self.changes = self.database.store.table.changes
        self.spread = 0
        self.chunked = False

    def vanish_if_empty(self) -> cython.void:
        """Delete a key that was created for an element which then found no room."""
        if self.at_slot() != cython.NULL and len(self) == 0:
            self.vanish()

    def spread_out(self) -> cython.int:
        """Give the elements of a chunked collection a store of their own."""
        store: KeyStore = self.database.store
        spread: uint32_t = store.stores.create(self.kind, store.number)
        number: uint32_t
        span: Span
        try:
            for number in range(root_of(self.payload()).chunks):
                span = span_of(store.arena.base, self.payload(), number)
                while span.start < span.end:
                    store.stores.add(spread, span.start)
                    span.start += entry_size(self.kind, span.start)
            store.put_root(
                key_of(self.key, self.hash_),
                self.slot,
                cython.cast(uint8_t, self.kind),
                spread,
                record_expire_at(store.record(self.slot)),
            )
        except BaseException:
            store.stores.drop(spread)
            raise
        self.spread = spread
        self.chunked = False
        return 0

    # Shrinking

    def bytes_now(self) -> uint64_t:
        """Of the elements, about; what lies in segments of its own makes it too large for any smaller form."""
        store: KeyStore = self.database.store
        if self.chunked:
            return root_of(self.payload()).nbytes
        if store.arena.heaps[self.spread].run_segments:
            return CHUNKED_MAX
        if self.kind == TYPE_LIST:
            return store.stores.indexes[self.spread].chain.bytes
        return store.arena.heap_bytes(self.spread)

    def make_smaller(self) -> cython.int:
        """After a removal: take a smaller form if a part of it would do. It can wait should there be no room."""
        store: KeyStore = self.database.store
        builder: Builder
        number: uint32_t
        span: Span
        cursor: uint64_t = 0
        offsets: uint64_t[336]
        found: uint32_t = 0
        if self.bytes_now() > (PACKED_MAX // 2 if self.chunked else CHUNKED_MAX // 4) or (
            self.chunked and root_of(self.payload()).elements > PACKED_COUNT // 2
        ):
            return 0
        with contextlib.suppress(ArenaFull):
            builder = Builder(self.database, self.kind)
            if self.chunked:
                for number in range(root_of(self.payload()).chunks):
                    span = span_of(store.arena.base, self.payload(), number)
                    builder.take(span.start, span.end)
            elif self.kind == TYPE_LIST:
                builder.take_chain(self.spread)
            else:
                while True:
                    cursor = store.tables.scan_home(
                        cython.address(store.stores.indexes[self.spread].table),
                        cursor,
                        offsets,
                        cython.address(found),
                    )
                    for number in range(found):
                        span.start = store.arena.base + offsets[number]
                        builder.take(span.start, span.start + entry_size(self.kind, span.start))
                    if cursor == 0:
                        break
            builder.replace(self.key, self.hash_, self.at_slot(), False)
            self.spread = 0
            self.chunked = is_chunked(cython.cast(uint8_t, self.kind), self.payload())
        return 0

    # Many elements

    def parts(self, entry: Bytes, out: list) -> object:
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
        """The parts of at least `wanted` elements from the cursor on, which moves behind them, to 0 at the end."""
        store: KeyStore = self.database.store
        out: list = []
        entry: Bytes
        end: Bytes
        offsets: uint64_t[336]
        found: uint32_t = 0
        index: uint32_t
        if self.chunked and self.at_slot() != cython.NULL:
            return self.gather_buckets(cursor, wanted)
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

    def gather_buckets(self, cursor: cython.pointer[uint64_t], wanted: cython.Py_ssize_t) -> list:
        """The same for chunks: buckets in the order of their prefixes, which is the order of a spread one's table.

        All at once, and those of a small ordered collection, they come as they lie.
        """
        base: Bytes = self.database.store.arena.base
        payload: Bytes = self.payload()
        root: Root = root_of(payload)
        out: list = []
        number: uint32_t = 0
        prefix: uint64_t = cursor[0] >> CURSOR_PREFIX
        whole: cython.bint = cursor[0] == 0 and cython.cast(uint64_t, wanted) >= root.elements
        span: Span
        if not has_buckets(self.kind):
            if root.elements > PACKED_COUNT // 4 and not whole:
                return self.gather_by_prefix(cursor, wanted)
            whole = True
        if whole:
            cursor[0] = 0
            for number in range(root.chunks):
                span = span_of(base, payload, number)
                while span.start < span.end:
                    self.parts(span.start, out)
                    span.start += entry_size(self.kind, span.start)
            return out
        while wanted > 0:
            number = bucket_at(prefix & PREFIX_MASK, root.chunks)
            span = span_of(base, payload, number)
            while span.start < span.end:
                self.parts(span.start, out)
                span.start += entry_size(self.kind, span.start)
            prefix = behind_bucket(number, root.chunks)
            wanted -= entry_elements(chunk_entry(payload, number))
            if prefix > PREFIX_MASK:
                prefix = 0
                break
        cursor[0] = prefix << CURSOR_PREFIX
        return out

    def gather_by_prefix(self, cursor: cython.pointer[uint64_t], wanted: cython.Py_ssize_t) -> list:
        """The same for an ordered collection, whose chunks do not know prefixes: all are looked through."""
        base: Bytes = self.database.store.arena.base
        payload: Bytes = self.payload()
        root: Root = root_of(payload)
        out: list = []
        number: uint32_t
        span: Span
        name: Bytes
        name_len: uint64_t = 0
        prefix: uint64_t
        first: uint64_t = cursor[0] >> CURSOR_PREFIX
        # The most times that a whole scan looks at each element.
        wanted = max(wanted, root.elements // LOOKS_PER_SCAN)
        end: uint64_t = first + 1 + (PREFIX_MASK + 1) // root.elements * min(wanted, root.elements)
        for number in range(root.chunks):
            span = span_of(base, payload, number)
            while span.start < span.end:
                name = read_length(span.start, cython.address(name_len))
                prefix = hash_key(name, name_len) >> (64 - PREFIX_BITS)
                if first <= prefix < end:
                    self.parts(span.start, out)
                span.start += entry_size(self.kind, span.start)
        cursor[0] = 0 if end > PREFIX_MASK else end << CURSOR_PREFIX
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
        elif (self.spread or self.chunked) and not (distinct and count > size // 3):
            self.draw(count, distinct, picked)
        else:
            flat: list = self.entries_of()
            width: cython.Py_ssize_t = len(flat) // size
            for index in random.sample(range(size), count) if distinct else random.choices(range(size), k=count):
                picked += flat[width * index : width * index + width]
        return picked

    def draw(self, count: cython.Py_ssize_t, distinct: cython.bint, picked: list) -> cython.int:
        """Append the parts of elements drawn one by one, again if one of them came already: for few of many."""
        base: Bytes = self.database.store.arena.base
        entry: Bytes
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

    def random_entry(self) -> Bytes:
        """Any element of a collection that has one."""
        store: KeyStore = self.database.store
        at: Bytes
        steps: uint64_t
        number: uint32_t = 0
        index: uint32_t = 0
        if self.chunked:
            seek_element(
                self.payload(),
                self.database.keyspace.random() % root_of(self.payload()).elements,
                cython.address(number),
                cython.address(index),
            )
            at = span_of(store.arena.base, self.payload(), number).start
            for steps in range(index):
                at += entry_size(self.kind, at)
            return at
        if self.spread:
            return store.arena.base + store.tables.random_offset(
                cython.address(store.stores.indexes[self.spread].table), self.database.keyspace.random()
            )
        at = packed_first(self.payload())
        for steps in range(self.database.keyspace.random() % packed_count(self.payload())):
            at += entry_size(self.kind, at)
        return at


def string_at(at: Bytes) -> bytes:
    """The RDB string at an address."""
    length: uint64_t = 0
    data: Bytes = read_length(at, cython.address(length))
    return bytes_at(data, length)


def write_string(at: Bytes, text: bytes, length: uint64_t) -> Bytes:
    """Write an RDB string; returns the address behind it."""
    at = write_length(at, length, length_size(length))
    memcpy(at, PyBytes_AS_STRING(text), length)
    return at + length
