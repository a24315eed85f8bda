# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""Lists: strings by position. An element is one string; a spread list is a chain (engine/chain.py), without a table.

All forms are looked through in runs: a packed list is one, a chunked list has one in each chunk, a spread one in each
node.
"""

import contextlib

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.cpython.list import PyList_New, PyList_SET_ITEM
from cython.cimports.cpython.ref import Py_INCREF
from cython.cimports.libc.stdint import UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.chain import Chain, Chains, Place, is_string
from cython.cimports.minikv.engine.chunked import (
    ChunkPlace,
    Span,
    edit_chunk,
    join_if_sparse,
    remove_chunks,
    seek_element,
    span_of,
)
from cython.cimports.minikv.engine.chunks import root_of
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.packed import (
    PACKED_MAX,
    PACKED_START,
    packed_count,
    packed_end,
    packed_first,
    set_packed_count,
)
from cython.cimports.minikv.engine.record import (
    TYPE_LIST,
    Bytes,
    bytes_at,
    chunk_entry,
    entry_elements,
    length_size,
    string_size,
)
from cython.cimports.minikv.keyspace.builder import replace_with_names
from cython.cimports.minikv.keyspace.collection import BUILT_AT_ONCE, string_at, write_string
from cython.cimports.minikv.keyspace.database import Database

from minikv.errors import ArenaFull

# Bytes that a chunk at an end of a list may have to spare for the next push.
PUSH_SPARE = cython.declare(uint64_t, 56)


class List:
    """A view of one list; make it with List.at."""

    @staticmethod
    def at(database: Database, key: bytes, stats: cython.bint = True) -> List | None:
        """The list of a key. None: there is none. Raises WrongTypeError."""
        view: List = List.__new__(List)
        return view if view.open(database, key, TYPE_LIST, stats) else None

    @staticmethod
    def peek(database: Database, key: bytes) -> List | None:
        """The same for a look from outside: counts neither hit nor access."""
        view: List = List.__new__(List)
        return view if view.open(database, key, TYPE_LIST, False, False) else None

    @staticmethod
    def to_write(database: Database, key: bytes) -> List:
        """The list of a key, for a write: the first element creates the key. Raises WrongTypeError."""
        view: List = List.__new__(List)
        view.open(database, key, TYPE_LIST, False)
        return view

    # Where elements are

    def count(self) -> uint64_t:
        if self.spread:
            return self.chain().nodes.elements
        if self.at_slot() == cython.NULL:
            return 0
        return root_of(self.payload()).elements if self.chunked else packed_count(self.payload())

    def chain(self) -> cython.pointer[Chain]:
        return cython.address(self.database.store.stores.indexes[self.spread].chain)

    def entry(self, position: uint64_t) -> Bytes:
        """The element at a position, which there is; behind the last of a packed list its end."""
        at: Bytes
        size: uint64_t = 0
        place: ChunkPlace
        if self.spread:
            return self.database.store.stores.chains.find(self.chain(), position, cython.address(size))
        if self.chunked:
            place = self.chunk_place(position)
            return span_of(self.database.store.arena.base, self.payload(), place.number).start + place.at
        at = packed_first(self.payload())
        while position:
            at += string_size(at)
            position -= 1
        return at

    def chunk_place(self, position: uint64_t) -> ChunkPlace:
        """Where the element at a position of a chunked list begins; behind the last the end of the last chunk."""
        place: ChunkPlace
        payload: Bytes = self.payload()
        span: Span
        index: uint32_t
        place.number = place.index = 0
        place.at = 0
        if not seek_element(payload, position, cython.address(place.number), cython.address(place.index)):
            if place.number:
                place.number -= 1
                place.index = entry_elements(chunk_entry(payload, place.number))
                span = span_of(self.database.store.arena.base, payload, place.number)
                place.at = span.end - span.start
            return place
        span = span_of(self.database.store.arena.base, payload, place.number)
        for index in range(place.index):
            place.at += string_size(span.start + place.at)
        return place

    def run(self, position: uint64_t, place: cython.pointer[Place], first: cython.pointer[uint64_t]) -> uint64_t:
        """The run with the element at a position: its bytes, the position of its first element; returns how many."""
        if self.spread:
            return self.database.store.stores.chains.run(self.chain(), position, place, first)
        if self.chunked:
            chunk: ChunkPlace
            seek_element(self.payload(), position, cython.address(chunk.number), cython.address(chunk.index))
            span: Span = span_of(self.database.store.arena.base, self.payload(), chunk.number)
            place.at = span.start
            place.end = span.end
            first[0] = position - chunk.index
            return entry_elements(chunk_entry(self.payload(), chunk.number))
        place.at = packed_first(self.payload())
        place.end = packed_end(self.payload())
        first[0] = 0
        return packed_count(self.payload())

    # Both ends

    def push(self, value: bytes, left: cython.bint) -> None:
        """Add an element before the first or behind the last."""
        length: uint64_t = PyBytes_GET_SIZE(value)
        size: uint64_t = length_size(length) + length
        self.grow_for(size)
        if self.spread or self.chunked:
            write_string(self.room(0 if left else self.count(), size), value, length)
        elif left and self.at_slot() != cython.NULL:
            write_string(self.grow_packed(packed_first(self.payload()), size), value, length)
        else:
            write_string(self.grow_packed(cython.NULL, size), value, length)
        self.changed()

    def grow_for(self, size: uint64_t) -> cython.int:
        """Take a form that has room for a new element."""
        while self.must_grow(size):
            self.grow_out()
        return 0

    def push_all(self, values: tuple, left: cython.bint) -> object:
        """Add elements one after another; the new length."""
        value: bytes
        if len(values) >= BUILT_AT_ONCE and self.at_slot() == cython.NULL:
            return self.build(values[::-1] if left else values, None)
        if len(values) > 1:
            self.database.make_sure_of_all(values)
        for value in values:
            self.push(value, left)
        return self.count()

    def pop(self, left: cython.bint) -> bytes:
        """Take out the first or the last element of a list that has one; the only one takes the key with it."""
        position: uint64_t = 0 if left else self.count() - 1
        value: bytes = string_at(self.entry(position))
        self.remove(position, 1)
        return value

    def pop_many(self, count: int, left: cython.bint) -> list[bytes]:
        """The same for up to `count` elements, from the end inwards."""
        size: int64_t = self.count()
        taken: int64_t = min(count, size)
        start: int64_t = 0 if left else size - taken
        values: list = self.range(start, start + taken)
        if taken:
            self.remove(start, taken)
        if not left:
            values.reverse()
        return values

    # By position

    def get(self, index: int64_t) -> bytes | None:
        """The element at an index, which may count from the end."""
        size: int64_t = self.count()
        if index < 0:
            index += size
        return string_at(self.entry(index)) if 0 <= index < size else None

    def set(self, index: int64_t, value: bytes) -> bool:
        """Replace the element at an index, which may count from the end; False if there is none."""
        store: KeyStore = self.database.store
        count: int64_t = self.count()
        length: uint64_t = PyBytes_GET_SIZE(value)
        size: uint64_t = length_size(length) + length
        entry: Bytes
        at: Bytes
        old_size: uint64_t
        if index < 0:
            index += count
        if not 0 <= index < count:
            return False
        if not self.spread:
            entry = self.entry(index)
            old_size = string_size(entry)
            if size <= old_size or not self.must_grow(size - old_size):
                write_string(self.room_for_other(index, entry, old_size, size), value, length)
                if self.chunked and size < old_size:
                    self.make_smaller()
                self.changed()
                return True
            self.grow_out()
            return self.set(index, value)
        at = store.stores.chains.replace(self.chain(), index, size)
        store.stores.publish_chain(self.spread)
        write_string(at, value, length)
        self.changed()
        return True

    def room_for_other(self, index: int64_t, entry: Bytes, old_size: uint64_t, size: uint64_t) -> Bytes:
        """Room for another string in the place of the one at an index, packed or in a chunk."""
        place: ChunkPlace
        if not self.chunked:
            return self.database.store.splice(self.slot, entry - self.payload(), old_size, size)
        place = self.chunk_place(index)
        return self.replace_chunked(place.number, entry, old_size, size)

    def range(self, start: int64_t, stop: int64_t) -> list[bytes]:
        """Elements start to stop (not included), as many of them as there are."""
        place: Place
        chains: Chains = self.database.store.stores.chains
        chain: cython.pointer[Chain] = self.chain()
        at: Bytes
        index: int64_t
        start = max(start, 0)
        stop = min(stop, cython.cast(int64_t, self.count()))
        if start >= stop:
            return []
        values: list = PyList_New(stop - start)
        if self.chunked:
            self.fill_from_chunks(values, start)
            return values
        if not self.spread:
            at = self.entry(start)
            for index in range(stop - start):
                put_string(values, index, at)
                at += string_size(at)
            return values
        chains.place(chain, start, cython.address(place))
        for index in range(stop - start):
            put_string(values, index, place.at)
            chains.advance(chain, cython.address(place))
        return values

    def fill_from_chunks(self, values: list, start: int64_t) -> cython.int:
        """Fill a new list with the elements from `start` on, which are there."""
        place: ChunkPlace = self.chunk_place(start)
        base: Bytes = self.database.store.arena.base
        payload: Bytes = self.payload()
        span: Span = span_of(base, payload, place.number)
        index: int64_t
        span.start += place.at
        for index in range(len(values)):
            if span.start == span.end:
                place.number += 1
                span = span_of(base, payload, place.number)
            put_string(values, index, span.start)
            span.start += string_size(span.start)
        return 0

    def insert(self, index: int64_t, value: bytes) -> None:
        """Add an element before the one at an index of 0 or above; behind the last if the list ends there."""
        length: uint64_t = PyBytes_GET_SIZE(value)
        size: uint64_t = length_size(length) + length
        self.grow_for(size)
        if self.spread or self.chunked:
            write_string(self.room(index, size), value, length)
        elif self.at_slot() == cython.NULL:
            write_string(self.grow_packed(cython.NULL, size), value, length)
        else:
            write_string(self.grow_packed(self.entry(index), size), value, length)
        self.changed()

    def room(self, position: uint64_t, size: uint64_t) -> Bytes:
        """Room for a new element of a chunked or spread list."""
        store: KeyStore = self.database.store
        at: Bytes
        if self.chunked:
            # Who pushes will push again.
            spare: uint64_t = PUSH_SPARE if position == 0 or position == self.count() else 0
            return self.room_in_order(self.chunk_place(position), size, spare)
        try:
            at = store.stores.chains.insert(self.chain(), position, size)
        except ArenaFull:
            self.vanish_if_empty()
            raise
        store.stores.publish_chain(self.spread)
        return at

    def remove(self, index: int64_t, count: int64_t = 1) -> None:
        """Take out elements that are there from an index of 0 or above; the last ones take the key with them."""
        store: KeyStore = self.database.store
        payload: Bytes
        at: Bytes
        end: Bytes
        place: uint64_t
        left_over: uint64_t = self.count() - count
        _step: int64_t
        if left_over == 0:
            self.vanish()
        elif self.spread:
            store.stores.chains.remove(self.chain(), index, count)
            store.stores.publish_chain(self.spread)
            self.make_smaller()
        elif self.chunked:
            self.remove_chunked(index, count)
        else:
            payload = self.payload()
            at = self.entry(index)
            end = at
            for _step in range(count):
                end += string_size(end)
            place = cython.cast(uint64_t, at - payload)
            payload = store.splice(self.slot, place, cython.cast(uint64_t, end - at), 0) - place
            set_packed_count(payload, left_over)
        self.database.keyspace.dirty += count - 1
        self.changed()

    def remove_chunked(self, index: uint64_t, count: uint64_t) -> cython.int:
        """Take out elements of a chunked list, chunk by chunk from the last; not all of the list."""
        place: ChunkPlace
        span: Span
        end: Bytes
        start: Bytes
        number: uint64_t
        taken: uint64_t
        while count:
            place = self.chunk_place(index + count - 1)
            span = span_of(self.database.store.arena.base, self.payload(), place.number)
            end = span.start + place.at
            end += string_size(end)
            taken = min(count, cython.cast(uint64_t, place.index) + 1)
            if taken == entry_elements(chunk_entry(self.payload(), place.number)):
                count -= self.remove_whole(place.number, count)
                continue
            start = span.start
            for number in range(place.index + 1 - taken):
                start += string_size(start)
            self.shrink_chunked(place.number, start, end - start, cython.cast(uint32_t, taken))
            count -= taken
        return self.make_smaller()

    def remove_whole(self, number: uint32_t, most: uint64_t) -> uint64_t:
        """Take out a chunk and those before it, with `most` elements together; returns how many elements that were."""
        store: KeyStore = self.database.store
        payload: Bytes = self.payload()
        first: uint32_t = number
        taken: uint64_t = entry_elements(chunk_entry(payload, number))
        while first and taken + entry_elements(chunk_entry(payload, first - 1)) <= most:
            first -= 1
            taken += entry_elements(chunk_entry(payload, first))
        remove_chunks(store, self.slot, first, number + 1 - first)
        with contextlib.suppress(ArenaFull):  # it can wait
            join_if_sparse(store, self.slot, TYPE_LIST, first)
        return taken

    # By value

    def find(
        self,
        value: bytes,
        skip: int64_t = 0,
        limit: int64_t = 1,
        within: int64_t = 0,
        from_end: cython.bint = False,
    ) -> list[int]:
        """Positions of equal elements, in order, or from the end backwards.

        skip: how many to leave out. limit: the most to return. within: how many elements to look at. 0: all there are.
        """
        size: int64_t = self.count()
        low: int64_t = 0
        high: int64_t = size
        position: int64_t
        count: uint64_t
        place: Place
        first: uint64_t = 0
        found: list = []
        if 0 < within < size:
            low = size - within if from_end else 0
            high = low + within
        position = high - 1 if from_end else low
        while low <= position < high:
            count = self.run(position, cython.address(place), cython.address(first))
            matches: list = equal_in_run(place.at, place.end, value, first, low, high)
            if from_end:
                matches.reverse()
                position = cython.cast(int64_t, first) - 1
            else:
                position = first + count
            found += matches
            if limit and len(found) - skip >= limit:
                return found[skip:][:limit]
        return found[skip:]

    def remove_equal(self, value: bytes, limit: int64_t, from_end: cython.bint) -> int:
        """Remove up to `limit` (0: all) equal elements, the first or the last ones; returns how many were removed."""
        store: KeyStore = self.database.store
        size: uint64_t = self.count()
        removed: uint64_t
        if self.chunked:
            removed = self.remove_equal_chunked(value, limit if limit else UINT64_MAX, from_end)
        elif not self.spread:
            positions: list = self.find(value, 0, limit, 0, from_end)
            removed = len(positions)
            if 0 < removed < size:
                self.remove_packed(positions)
        else:
            removed = store.stores.chains.remove_equal(
                self.chain(),
                cython.cast(Bytes, PyBytes_AS_STRING(value)),
                PyBytes_GET_SIZE(value),
                limit if limit else UINT64_MAX,
                from_end,
            )
            store.stores.publish_chain(self.spread)
        if removed:
            if removed == size:
                self.vanish()
            elif self.spread or self.chunked:
                self.make_smaller()
            self.database.keyspace.dirty += removed - 1
            self.changed()
        return removed

    def remove_equal_chunked(self, value: bytes, limit: uint64_t, from_end: cython.bint) -> uint64_t:
        """The same for chunks, chunk by chunk; no element may be left."""
        removed: uint64_t = 0
        chunks: uint32_t = root_of(self.payload()).chunks
        number: uint32_t = chunks - 1 if from_end else 0
        dropped: uint32_t
        low: uint32_t = chunks  # chunks between which some have lost something
        high: uint32_t = 0
        while number < chunks and removed < limit:
            dropped = self.drop_equal(number, value, limit - removed, from_end)
            removed += dropped
            if dropped:
                low = min(low, number)
                high = max(high, number)
            # A chunk of which nothing was left is gone.
            if from_end:
                number -= 1
            else:
                number += 1 - (chunks - root_of(self.payload()).chunks)
            chunks = root_of(self.payload()).chunks
        if removed:
            self.join_between(low - 1 if low else 0, high)
        return removed

    def drop_equal(self, number: uint32_t, value: bytes, limit: uint64_t, from_end: cython.bint) -> uint32_t:
        """Take equal elements out of a chunk, the first or the last ones; returns how many."""
        span: Span = span_of(self.database.store.arena.base, self.payload(), number)
        elements: uint32_t = entry_elements(chunk_entry(self.payload(), number))
        matches: list = equal_in_run(span.start, span.end, value, 0, 0, elements)
        at: Bytes = span.start
        kept: bytearray = bytearray()
        position: uint32_t
        if cython.cast(uint64_t, len(matches)) > limit:
            matches = matches[len(matches) - limit :] if from_end else matches[:limit]
        if not matches:
            return 0
        if len(matches) == elements:
            remove_chunks(self.database.store, self.slot, number, 1)
            return elements
        gone: set = set(matches)
        for position in range(elements):
            if position not in gone:
                kept += bytes_at(at, string_size(at))
            at += string_size(at)
        memcpy(
            edit_chunk(
                self.database.store,
                self.slot,
                number,
                0,
                span.end - span.start,
                len(kept),
                -cython.cast(cython.int, len(matches)),
                0,
            ),
            PyByteArray_AS_STRING(kept),
            len(kept),
        )
        return len(matches)

    def join_between(self, number: uint32_t, last: uint32_t) -> cython.int:
        """Put sparse chunks from one to another together with their neighbours."""
        chunks: uint32_t = root_of(self.payload()).chunks
        try:
            while number < chunks and number <= last:
                join_if_sparse(self.database.store, self.slot, self.kind, number)
                number += root_of(self.payload()).chunks == chunks
                chunks = root_of(self.payload()).chunks
        except ArenaFull:
            # It can wait.
            return 0
        return 0

    def remove_packed(self, positions: list) -> cython.int:
        """Take out some, not all, of a packed list's elements."""
        store: KeyStore = self.database.store
        kept: uint8_t[PACKED_MAX]
        kept_len: uint64_t = 0
        payload: Bytes = self.payload()
        at: Bytes = packed_first(payload)
        end: Bytes = packed_end(payload)
        size: uint64_t
        position: int64_t = 0
        gone: set = set(positions)
        while at < end:
            size = string_size(at)
            if position not in gone:
                memcpy(cython.address(kept[kept_len]), at, size)
                kept_len += size
            at += size
            position += 1
        at = store.splice(self.slot, PACKED_START, cython.cast(uint64_t, end - packed_first(payload)), kept_len)
        memcpy(at, kept, kept_len)
        set_packed_count(at - PACKED_START, position - len(positions))
        return 0


def replace_list(database: Database, key: bytes, values: object, event: bytes) -> int:
    """Make the key a list of these values, whatever it was before; without values it is deleted.

    Returns their number. One change, or ArenaFull and none.
    """
    return replace_with_names(database, key, TYPE_LIST, values, event)


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def put_string(values: list, index: int64_t, at: Bytes) -> cython.int:
    """Fill a place of a new list."""
    value: bytes = string_at(at)
    Py_INCREF(value)
    PyList_SET_ITEM(values, index, value)
    return 0


@cython.cfunc
def equal_in_run(at: Bytes, end: Bytes, value: bytes, position: int64_t, low: int64_t, high: int64_t) -> list:
    """Positions from low to high (not included) of equal elements in a run that begins at a position."""
    text: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(value))
    length: uint64_t = PyBytes_GET_SIZE(value)
    found: list = []
    while at < end and position < high:
        if position >= low and is_string(at, text, length):
            found.append(position)
        at += string_size(at)
        position += 1
    return found
