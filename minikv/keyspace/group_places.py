# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
"""Where the groups of a stream begin, for streams with many: one is found by halving, without a look at the others.

Groups lie behind each other in the stream's tail. Up to GROUPS_WALKED of them are passed over one by one; a stream with
more is spread, so that it has a store, and the places of its groups are remembered beside that. This is memory of the
parent only, made from the tail when it is first needed.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memcmp, memmove
from cython.cimports.minikv.engine.record import read_length
from cython.cimports.minikv.engine.stores import Stores
from cython.cimports.minikv.engine.stream_tail import TAIL_MIN, behind_group


@cython.cclass
class Remembered:
    """What the keyspace keeps beside a store, and makes anew when it is needed and gone."""


@cython.cclass
class GroupPlaces(Remembered):
    """The places of all groups of one stream, in the order of their names."""

    def __dealloc__(self):
        free(self.places)

    def learn(self, tail: cython.pointer[uint8_t], groups: uint64_t) -> cython.int:
        """Look all groups up."""
        at: cython.pointer[uint8_t] = tail + TAIL_MIN
        self.reserve(groups)
        self.count = 0
        while self.count < groups:
            self.places[self.count] = cython.cast(uint32_t, at - tail)
            self.count += 1
            at = behind_group(at)
        return 0

    def reserve(self, count: uint64_t) -> cython.int:
        """Room for so many places and one more."""
        places: cython.pointer[uint32_t]
        if count >= self.capacity:
            places = cython.cast(
                cython.pointer[uint32_t], realloc(self.places, (2 * count + 1) * cython.sizeof(uint32_t))
            )
            if places == cython.NULL:
                raise MemoryError
            self.places = places
            self.capacity = cython.cast(uint32_t, 2 * count + 1)
        return 0

    def seek(self, tail: cython.pointer[uint8_t], name: bytes, found: cython.pointer[cython.bint]) -> uint32_t:
        """How many groups come before one of this name."""
        low: uint32_t = 0
        high: uint32_t = self.count
        middle: uint32_t
        order: cython.int
        found[0] = False
        while low < high:
            middle = (low + high) // 2
            order = order_of_name(tail + self.places[middle], name)
            if order == 0:
                found[0] = True
                return middle
            if order < 0:
                low = middle + 1
            else:
                high = middle
        return low

    def replaced(self, at: uint64_t, removed: uint64_t, size: uint64_t, groups: cython.int) -> cython.void:
        """Bytes at a place were replaced by `size` others: a group, or a part of one. There is room for one more.

        groups: 1 for a new group, -1 for one that is gone.
        """
        low: uint32_t = 0
        high: uint32_t = self.count
        middle: uint32_t
        change: uint32_t = cython.cast(uint32_t, size - removed)
        while low < high:
            middle = (low + high) // 2
            if self.places[middle] < at:
                low = middle + 1
            else:
                high = middle
        if groups > 0:
            memmove(
                self.places + low + 1,
                self.places + low,
                cython.cast(uint64_t, self.count - low) * cython.sizeof(uint32_t),
            )
            self.places[low] = cython.cast(uint32_t, at)
            self.count += 1
            low += 1
        elif groups < 0:
            self.count -= 1
            memmove(
                self.places + low,
                self.places + low + 1,
                cython.cast(uint64_t, self.count - low) * cython.sizeof(uint32_t),
            )
        elif low < self.count and self.places[low] == at:
            low += 1
        if change:
            for middle in range(low, self.count):
                self.places[middle] += change


@cython.cfunc
@cython.exceptval(-1, check=False)
def remember(stores: Stores, store: uint32_t, what: Remembered) -> cython.int:
    """Keep it for this store. Each time that twice as many are remembered, forget those of stores that are gone."""
    count: cython.Py_ssize_t
    other: Remembered
    what.serial = stores.indexes[store].serial
    stores.remembered[store] = what
    count = len(stores.remembered)
    if count & (count - 1) == 0:
        for number, other in list(stores.remembered.items()):
            if other.serial != stores.indexes[number].serial or not stores.arena.spreads[number].kind:
                del stores.remembered[number]
    return 0


@cython.cfunc
def remembered(stores: Stores, store: uint32_t) -> Remembered:
    """What is remembered for this store, or None."""
    found: Remembered = stores.remembered.get(store)
    return found if found is not None and found.serial == stores.indexes[store].serial else None


@cython.cfunc
@cython.exceptval(check=False)
def order_of_name(group: cython.pointer[uint8_t], name: bytes) -> cython.int:
    """Below, above or equal to 0 as a group's name is to this one."""
    length: uint64_t = 0
    size: uint64_t = PyBytes_GET_SIZE(name)
    text: cython.pointer[uint8_t] = read_length(group, cython.address(length))
    order: cython.int = memcmp(text, PyBytes_AS_STRING(name), min(length, size))
    if order:
        return order
    return -1 if length < size else length > size
