# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Lists: strings by position. An element is one string; a spread list is a chain (engine/chain.py), without a table.

Both forms are looked through in runs: a packed list is one, a spread list has one in each node.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.cpython.list import PyList_New, PyList_SET_ITEM
from cython.cimports.cpython.ref import Py_INCREF
from cython.cimports.libc.stdint import UINT64_MAX, int64_t, uint8_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.chain import Chain, Chains, Place, is_string
from cython.cimports.minikv.engine.packed import (
    PACKED_MAX,
    PACKED_START,
    packed_count,
    packed_end,
    packed_first,
    set_packed_count,
)
from cython.cimports.minikv.engine.record import TYPE_LIST, length_size, string_size
from cython.cimports.minikv.engine.store import Store
from cython.cimports.minikv.keyspace.builder import replace_with_names
from cython.cimports.minikv.keyspace.collection import string_at, write_string
from cython.cimports.minikv.keyspace.database import Database

from minikv.errors import ArenaFull

Bytes = cython.typedef(cython.pointer[uint8_t])


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
        """The list of a key, for a write: the key is born with its first element. Raises WrongTypeError."""
        view: List = List.__new__(List)
        view.open(database, key, TYPE_LIST, False)
        return view

    # Where elements are

    def count(self) -> uint64_t:
        if self.spread:
            return self.chain().nodes.elements
        return 0 if self.at_slot() == cython.NULL else packed_count(self.payload())

    def chain(self) -> cython.pointer[Chain]:
        return cython.address(self.database.store.stores.indexes[self.spread].chain)

    def entry(self, position: uint64_t) -> Bytes:
        """The element at a position, which there is; behind the last of a packed list its end."""
        at: Bytes
        size: uint64_t = 0
        if self.spread:
            return self.database.store.stores.chains.find(self.chain(), position, cython.address(size))
        at = packed_first(self.payload())
        while position:
            at += string_size(at)
            position -= 1
        return at

    def run(self, position: uint64_t, place: cython.pointer[Place], first: cython.pointer[uint64_t]) -> uint64_t:
        """The run with the element at a position: its bytes, the position of its first element; returns how many."""
        if self.spread:
            return self.database.store.stores.chains.run(self.chain(), position, place, first)
        place.at = packed_first(self.payload())
        place.end = packed_end(self.payload())
        first[0] = 0
        return packed_count(self.payload())

    # Both ends

    def push(self, value: bytes, left: cython.bint) -> None:
        """Add an element before the first or behind the last."""
        length: uint64_t = PyBytes_GET_SIZE(value)
        size: uint64_t = length_size(length) + length
        if not self.spread and self.must_spread(size):
            self.spread_out()
        if self.spread:
            write_string(self.room(0 if left else self.count(), size), value, length)
        elif left and self.at_slot() != cython.NULL:
            write_string(self.grow_packed(packed_first(self.payload()), size), value, length)
        else:
            write_string(self.grow_packed(cython.NULL, size), value, length)
        self.changed()

    def push_all(self, values: tuple, left: cython.bint) -> object:
        """Add elements one after another; the new length."""
        value: bytes
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
        store: Store = self.database.store
        count: int64_t = self.count()
        length: uint64_t = PyBytes_GET_SIZE(value)
        size: uint64_t = length_size(length) + length
        payload: Bytes
        entry: Bytes
        at: Bytes
        old_size: uint64_t
        if index < 0:
            index += count
        if not 0 <= index < count:
            return False
        if not self.spread:
            payload = self.payload()
            entry = self.entry(index)
            old_size = string_size(entry)
            if cython.cast(uint64_t, packed_end(payload) - packed_first(payload)) - old_size + size <= PACKED_MAX:
                at = store.splice(self.slot, cython.cast(uint64_t, entry - payload), old_size, size)
                write_string(at, value, length)
                self.changed()
                return True
            self.spread_out()
        at = store.stores.chains.replace(self.chain(), index, size)
        store.stores.publish_chain(self.spread)
        write_string(at, value, length)
        self.changed()
        return True

    def range(self, start: int64_t, stop: int64_t) -> list[bytes]:
        """Elements start to stop (not included), as many of them as there are."""
        place = cython.declare(Place)
        chains: Chains = self.database.store.stores.chains
        chain: cython.pointer[Chain] = self.chain()
        at: Bytes
        index: int64_t
        start = max(start, 0)
        stop = min(stop, cython.cast(int64_t, self.count()))
        if start >= stop:
            return []
        values: list = PyList_New(stop - start)
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

    def insert(self, index: int64_t, value: bytes) -> None:
        """Add an element before the one at an index of 0 or above; behind the last if the list ends there."""
        length: uint64_t = PyBytes_GET_SIZE(value)
        size: uint64_t = length_size(length) + length
        if not self.spread and self.must_spread(size):
            self.spread_out()
        if self.spread:
            write_string(self.room(index, size), value, length)
        elif self.at_slot() == cython.NULL:
            write_string(self.grow_packed(cython.NULL, size), value, length)
        else:
            write_string(self.grow_packed(self.entry(index), size), value, length)
        self.changed()

    def room(self, position: uint64_t, size: uint64_t) -> Bytes:
        """Room for a new element of a spread list."""
        store: Store = self.database.store
        at: Bytes
        try:
            at = store.stores.chains.insert(self.chain(), position, size)
        except ArenaFull:
            self.vanish_if_empty()
            raise
        store.stores.publish_chain(self.spread)
        return at

    def remove(self, index: int64_t, count: int64_t = 1) -> None:
        """Take out elements that are there from an index of 0 or above; the last ones take the key with them."""
        store: Store = self.database.store
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

        skip: leave out so many. limit: no more than this. within: look at so many elements only. 0: all there are.
        """
        size: int64_t = self.count()
        low: int64_t = 0
        high: int64_t = size
        position: int64_t
        count: uint64_t
        place = cython.declare(Place)
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
        """Take out up to `limit` (0: all) equal elements, the first or the last ones; returns how many it were."""
        store: Store = self.database.store
        size: uint64_t = self.count()
        removed: uint64_t
        if not self.spread:
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
            self.database.keyspace.dirty += removed - 1
            self.changed()
        return removed

    def remove_packed(self, positions: list) -> cython.int:
        """Take out some, not all, of a packed list's elements."""
        store: Store = self.database.store
        kept = cython.declare(uint8_t[PACKED_MAX])
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


def replace_list(database: Database, key: bytes, values: object) -> int:
    """Make the key a list of these values, whatever it was before; without values it is deleted.

    Returns their number. One change, or ArenaFull and none.
    """
    return replace_with_names(database, key, TYPE_LIST, values)


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
