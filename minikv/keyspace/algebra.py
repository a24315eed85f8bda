# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Intersections and differences of sets and sorted sets; the members of a set have a score of 1.

The elements of the first collection are listed by their addresses, which are good as long as nothing changes. Another
collection is gone through once, each of its elements looked up in a hash table of those that are listed; or, if it is
much larger, it is asked for each of them. No member becomes an object before it is known to belong to the result.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc, qsort
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.chunked import Span, span_of
from cython.cimports.minikv.engine.chunks import root_of
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.packed import packed_end, packed_first
from cython.cimports.minikv.engine.record import SCORE_SIZE, TYPE_ZSET, Bytes, ConstBytes, entry_size, read_length
from cython.cimports.minikv.keyspace.collection import Collection

ADD = SUM
TAKE_LEAST = LEAST
TAKE_MOST = MOST
# A collection with this many times the elements that are listed is searched for each of them.
MUCH_LARGER = cython.declare(uint64_t, 4)
# An odd number whose bits look random: the golden ratio's.
MULTIPLIER = cython.declare(uint64_t, 0x9E3779B97F4A7C15)


def members_in(first: Collection, others: list, wanted: bool) -> list[bytes]:
    """Members of the first set that all others have (`wanted`), or none of them."""
    return listing_of(first, 1.0, others, None, wanted, SUM).names()


def count_members_in(first: Collection, others: list) -> int:
    """How many members of the first set or sorted set all others have."""
    return listing_of(first, 1.0, others, None, True, SUM).left


def scores_in(first: Collection, weight: float, others: list, weights: list[float], aggregate: int) -> list:
    """(member, score) of those that all have, in the order of a sorted set. What is no number counts as 0."""
    return listing_of(first, weight, others, weights, True, aggregate).pairs()


def scores_not_in(first: Collection, others: list) -> list:
    """(member, score) of those that only the first has, in the order of a sorted set."""
    return listing_of(first, 1.0, others, None, False, SUM).pairs()


@cython.cfunc
def listing_of(
    first: Collection, weight: cython.double, others: list, weights: object, wanted: cython.bint, aggregate: cython.int
) -> Listing:
    other: Collection
    index: cython.Py_ssize_t
    listing: Listing = Listing()
    listing.wanted = wanted
    listing.aggregate = aggregate
    listing.weight = weight
    listing.seed = first.database.keyspace.random()
    if len(first) >= GONE:
        raise MemoryError
    listing.items = cython.cast(
        cython.pointer[Listed], malloc(max(cython.cast(cython.size_t, len(first)), 1) * cython.sizeof(Listed))
    )
    if listing.items == cython.NULL:
        raise MemoryError
    listing.walk(first, True)
    listing.left = listing.count
    for index in range(len(others)):
        if listing.left == 0:
            break
        other = others[index]
        listing.compare(other, 1.0 if weights is None else weights[index])
    return listing


class Listing:
    """The elements of a collection, and which of them are chosen."""

    def __dealloc__(self):
        free(self.items)
        free(self.slots)

    def compare(self, other: Collection, weight: cython.double) -> cython.int:
        """Keep the items that another collection has, or has not, as it is wanted."""
        self.weight = weight
        self.round += 1
        if self.wanted:
            self.left = 0
        if len(other) // MUCH_LARGER > self.count:
            return self.ask(other)
        if self.slots == cython.NULL:
            self.index()
        return self.walk(other, False)

    def walk(self, collection: Collection, listing: cython.bint) -> cython.int:
        """Go through a collection, to list its elements or to look them up."""
        store: KeyStore = collection.database.store
        base: Bytes = store.arena.base
        kind: uint32_t = collection.kind
        offsets: uint64_t[336]
        found: uint32_t = 0
        number: uint32_t
        cursor: uint64_t = 0
        span: Span
        at: Bytes
        if collection.at_slot() == cython.NULL:
            return 0
        if collection.spread:
            while True:
                cursor = store.tables.scan_home(
                    cython.address(store.stores.indexes[collection.spread].table),
                    cursor,
                    offsets,
                    cython.address(found),
                )
                for number in range(found):
                    self.visit(kind, base + offsets[number], listing)
                if cursor == 0:
                    return 0
        at = collection.payload()
        if not collection.chunked:
            span.start = packed_first(at)
            span.end = packed_end(at)
            while span.start < span.end:
                self.visit(kind, span.start, listing)
                span.start += entry_size(kind, span.start)
            return 0
        for number in range(root_of(at).chunks):
            span = span_of(base, at, number)
            while span.start < span.end:
                self.visit(kind, span.start, listing)
                span.start += entry_size(kind, span.start)
        return 0

    def visit(self, kind: uint32_t, entry: Bytes, listing: cython.bint) -> cython.void:
        name_len: uint64_t = 0
        name: Bytes = read_length(entry, cython.address(name_len))
        score: cython.double = 1.0
        item: cython.pointer[Listed]
        hash_: uint32_t = quick_hash(name, name_len, self.seed)
        place: uint32_t
        if kind == TYPE_ZSET:
            memcpy(cython.address(score), name + name_len, SCORE_SIZE)
        if listing:
            item = self.items + self.count
            item.name = name
            item.name_len = cython.cast(uint32_t, name_len)
            item.hash = hash_
            item.round = 0
            item.score = number_or_zero(self.weight * score)
            self.count += 1
            return
        place = hash_ & self.mask
        while self.slots[place]:
            item = self.items + (self.slots[place] - 1)
            if item.hash == hash_ and item.name_len == name_len and memcmp(item.name, name, name_len) == 0:
                self.found(item, score)
                return
            place = (place + 1) & self.mask

    def ask(self, other: Collection) -> cython.int:
        """Look each item up in a collection that is much larger."""
        number: uint32_t
        entry: Bytes
        name: Bytes
        name_len: uint64_t = 0
        score: cython.double = 1.0
        for number in range(self.count):
            if self.items[number].round != self.round - 1 if self.wanted else self.items[number].round == GONE:
                continue
            entry = other.find_entry(name_of(self.items + number))
            if entry == cython.NULL:
                continue
            if other.kind == TYPE_ZSET:
                name = read_length(entry, cython.address(name_len))
                memcpy(cython.address(score), name + name_len, SCORE_SIZE)
            self.found(self.items + number, score)
        return 0

    def index(self) -> cython.int:
        """Make the hash table, half full at most."""
        number: uint32_t
        place: uint32_t
        size: uint64_t = 16
        while size < 2 * cython.cast(uint64_t, self.count):
            size *= 2
        self.slots = cython.cast(cython.pointer[uint32_t], calloc(size, cython.sizeof(uint32_t)))
        if self.slots == cython.NULL:
            raise MemoryError
        self.mask = cython.cast(uint32_t, size - 1)
        for number in range(self.count):
            place = self.items[number].hash & self.mask
            while self.slots[place]:
                place = (place + 1) & self.mask
            self.slots[place] = number + 1
        return 0

    def found(self, item: cython.pointer[Listed], score: cython.double) -> cython.void:
        """The collection that is compared has this item."""
        if not self.wanted:
            self.left -= item.round != GONE
            item.round = GONE
        elif item.round == self.round - 1:
            item.round = self.round
            item.score = combined(self.aggregate, item.score, score * self.weight)
            self.left += 1

    def is_chosen(self, number: uint32_t) -> cython.bint:
        return self.items[number].round == (self.round if self.wanted else 0)

    def names(self) -> list:
        number: uint32_t
        names: list = []
        for number in range(self.count):
            if self.left and self.is_chosen(number):
                names.append(name_of(self.items + number))
        return names

    def pairs(self) -> list:
        number: uint32_t
        kept: uint32_t = 0
        pairs: list = []
        if self.left == 0:
            return pairs
        for number in range(self.count):
            if self.is_chosen(number):
                self.items[kept] = self.items[number]
                kept += 1
        qsort(self.items, kept, cython.sizeof(Listed), compare_items)
        for number in range(kept):
            pairs.append((name_of(self.items + number), self.items[number].score))
        return pairs


@cython.cfunc
@cython.inline
def name_of(item: cython.pointer[cython.const[Listed]]) -> bytes:
    return PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, item.name), item.name_len)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def number_or_zero(score: cython.double) -> cython.double:
    """The product or sum of infinities may be no number; it counts as 0."""
    return score if score == score else 0.0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def combined(aggregate: cython.int, total: cython.double, score: cython.double) -> cython.double:
    """A product that is no number leaves what it is compared with."""
    if aggregate == SUM:
        return number_or_zero(total + score)
    if aggregate == LEAST:
        return score if score < total else total
    return score if score > total else total


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def quick_hash(name: ConstBytes, name_len: uint64_t, seed: uint64_t) -> uint32_t:
    """For a table that lives as long as one request: `seed` is another one each time."""
    hash_: uint64_t = seed ^ name_len
    word: uint64_t = 0
    half: uint32_t = 0
    left: uint64_t = name_len
    while left > 8:
        memcpy(cython.address(word), name, 8)
        hash_ = minikv_mix(hash_ ^ word, MULTIPLIER)
        name += 8
        left -= 8
    if left == 8:
        memcpy(cython.address(word), name, 8)
    elif left >= 4:
        memcpy(cython.address(half), name, 4)
        word = half
        memcpy(cython.address(half), name + left - 4, 4)
        word = word << 32 | half
    elif left:
        word = cython.cast(uint64_t, name[0]) << 16 | cython.cast(uint64_t, name[left >> 1]) << 8 | name[left - 1]
    else:
        word = 0
    hash_ = minikv_mix(hash_ ^ word, MULTIPLIER)
    return cython.cast(uint32_t, hash_ ^ (hash_ >> 32))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def compare_items(one: cython.p_const_void, other: cython.p_const_void) -> cython.int:
    """For qsort: by score, then by the bytes of the name."""
    a: cython.pointer[cython.const[Listed]] = cython.cast(cython.pointer[cython.const[Listed]], one)
    b: cython.pointer[cython.const[Listed]] = cython.cast(cython.pointer[cython.const[Listed]], other)
    order: cython.int
    if a.score != b.score:
        return -1 if a.score < b.score else 1
    order = memcmp(a.name, b.name, min(a.name_len, b.name_len))
    if order == 0:
        return -1 if a.name_len < b.name_len else 1
    return order
