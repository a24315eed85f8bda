# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""Sorted sets: members with scores, in the order of (score, bytes of the member). An element is a string and a double.

A packed or chunked one has its elements in that order. Packed ones are looked through from the start; chunks are
found by the first element of each. A spread one has a tree besides its hash table (Stores.indexes[store].order): its
entries are the elements' places in the arena, so whatever moves an element or changes its score updates the tree.

Scores are never NaN; the caller sees to that. -0.0 becomes 0.0.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy, memmove
from cython.cimports.minikv.engine.chunked import (
    ChunkPlace,
    Span,
    edit_chunk,
    elements_before,
    seek_element,
    span_of,
)
from cython.cimports.minikv.engine.chunks import Chunks, root_of
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.member_index import MemberIndex
from cython.cimports.minikv.engine.ordered import (
    Cursor,
    OrderedState,
    OrderedTrees,
    Probe,
    at_member,
    at_order,
    order_of_score,
)
from cython.cimports.minikv.engine.packed import PACKED_START, find_element, packed_end, packed_first
from cython.cimports.minikv.engine.record import SCORE_SIZE, TYPE_ZSET, Bytes, length_size, read_length, string_size
from cython.cimports.minikv.engine.table import hash_key, slot_offset
from cython.cimports.minikv.keyspace.builder import Builder
from cython.cimports.minikv.keyspace.collection import BUILT_AT_ONCE, string_at, write_string
from cython.cimports.minikv.keyspace.database import Database

from minikv.errors import ArenaFull


class SortedSet:
    """A view of one sorted set; make it with SortedSet.at."""

    @staticmethod
    def at(database: Database, key: bytes, stats: cython.bint = True) -> SortedSet | None:
        """The sorted set of a key. None: there is none. Raises WrongTypeError."""
        view: SortedSet = SortedSet.__new__(SortedSet)
        return view if view.open(database, key, TYPE_ZSET, stats) else None

    @staticmethod
    def peek(database: Database, key: bytes) -> SortedSet | None:
        """The same for a look from outside: counts neither hit nor access."""
        view: SortedSet = SortedSet.__new__(SortedSet)
        return view if view.open(database, key, TYPE_ZSET, False, False) else None

    @staticmethod
    def to_write(database: Database, key: bytes) -> SortedSet:
        """The sorted set of a key, for a write: the first element creates the key. Raises WrongTypeError."""
        view: SortedSet = SortedSet.__new__(SortedSet)
        view.open(database, key, TYPE_ZSET, False)
        return view

    def score(self, member: bytes) -> object:
        entry: Bytes = self.find_entry(member)
        return None if entry == cython.NULL else score_at(entry)

    # Changing

    def set_all(self, members: tuple, scores: list) -> cython.Py_ssize_t:
        """Give members scores, one after another; how many of them are new."""
        count: cython.Py_ssize_t = 0
        place: cython.Py_ssize_t
        is_new: cython.bint = len(members) >= BUILT_AT_ONCE and self.at_slot() == cython.NULL
        if is_new and self.build(members, scores):
            return len(members)
        if len(members) > 1:
            self.database.make_sure_of_all(members)
        for place in range(len(members)):
            count += self.set(members[place], scores[place])
        return count

    def set(self, member: bytes, score: cython.double) -> cython.bint:
        """Give a member a score, which is not NaN. True if the member is new; an equal score changes nothing."""
        size: uint64_t = element_size(member)
        entry: Bytes = cython.NULL
        number: uint32_t = 0
        if not self.spread:
            if self.at_slot() != cython.NULL:
                entry = self.find_in_form(member, cython.address(number))
            if entry == cython.NULL and self.must_grow(size):
                self.grow_out()
                return self.set(member, score)
        if self.spread:
            return self.set_spread(member, score, size)
        if entry == cython.NULL:
            if self.chunked:
                entry = self.room_chunked(member, score, size)
            else:
                if self.at_slot() != cython.NULL:
                    entry = self.packed_place(score, member)
                entry = self.grow_packed(entry, size)
            write_element(entry, member, score)
            if self.chunked:
                self.note_member(member, score)
            self.changed()
            return True
        if score_at(entry) != score:
            if self.chunked:
                self.rescore_chunked(number, entry, member, size, score)
            else:
                self.rescore_packed(entry, member, size, score)
            self.changed()
        return False

    # Chunks

    def find_chunked(self, name: bytes, number: cython.pointer[uint32_t]) -> Bytes:
        """The element of a member, NULL if there is none; and its chunk."""
        chunks: Chunks = self.database.store.stores.chunks
        payload: Bytes = self.payload()
        base: Bytes = self.database.store.arena.base
        data: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(name))
        index: cython.pointer[MemberIndex] = chunks.index_of(payload)
        span: Span
        entry: Bytes
        if index != cython.NULL:
            return self.find_indexed(index, name, number)
        for number[0] in range(root_of(payload).chunks):
            span = span_of(base, payload, number[0])
            entry = find_element(TYPE_ZSET, span.start, span.end, data, PyBytes_GET_SIZE(name))
            if entry != cython.NULL:
                return entry
        return cython.NULL

    def find_indexed(self, index: cython.pointer[MemberIndex], name: bytes, number: cython.pointer[uint32_t]) -> Bytes:
        """The same with an index."""
        probe: Probe = probe_of(0.0, name)
        hash_: uint64_t = hash_key(probe.member, probe.member_len)
        place: ChunkPlace
        span: Span
        step: uint32_t = 0
        while self.database.store.stores.chunks.indexes.find(
            index, hash_, cython.address(step), cython.address(probe.order)
        ):
            place = self.seek_element(cython.address(probe))
            span = span_of(self.database.store.arena.base, self.payload(), place.number)
            if span.start + place.at < span.end and compare(span.start + place.at, cython.address(probe)) == 0:
                number[0] = place.number
                return span.start + place.at
        return cython.NULL

    def seek_element(self, probe: cython.pointer[cython.const[Probe]]) -> ChunkPlace:
        """The first element that is not below a place, at the beginning of its chunk if it is the first there."""
        place: ChunkPlace = self.seek_chunked(probe)
        payload: Bytes = self.payload()
        span: Span = span_of(self.database.store.arena.base, payload, place.number)
        if span.start + place.at == span.end and place.number + 1 < root_of(payload).chunks:
            place.number += 1
            place.index = 0
            place.at = 0
        return place

    def note_member(self, member: bytes, score: cython.double) -> cython.void:
        """Tell the index, if there is one, of a new member."""
        data: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(member))
        self.database.store.stores.chunks.index_member(
            self.payload(), hash_key(data, PyBytes_GET_SIZE(member)), order_of_score(score)
        )

    def forget_member(self, member: bytes, score: cython.double) -> cython.void:
        """Tell the index, if there is one, that a member, or its score, is about to go."""
        chunks: Chunks = self.database.store.stores.chunks
        data: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(member))
        index: cython.pointer[MemberIndex] = cython.address(chunks.owners[root_of(self.payload()).number].index)
        if index.block:
            chunks.indexes.remove(index, hash_key(data, PyBytes_GET_SIZE(member)), order_of_score(score))

    def seek_chunked(self, probe: cython.pointer[cython.const[Probe]]) -> ChunkPlace:
        """The first element that is not below a place; or the end of the last chunk."""
        payload: Bytes = self.payload()
        base: Bytes = self.database.store.arena.base
        low: uint32_t = 0
        high: uint32_t = root_of(payload).chunks
        middle: uint32_t
        span: Span
        at: Bytes
        place: ChunkPlace
        place.number = place.index = 0
        place.at = 0
        # The last chunk whose first element is below it.
        while low < high:
            middle = (low + high) >> 1
            if compare(span_of(base, payload, middle).start, probe) < 0:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return place
        place.number = low - 1
        span = span_of(base, payload, place.number)
        at = span.start
        while at < span.end and compare(at, probe) < 0:
            at += string_size(at) + SCORE_SIZE
            place.index += 1
        place.at = at - span.start
        return place

    def room_chunked(self, member: bytes, score: cython.double, size: uint64_t) -> Bytes:
        probe: Probe = probe_of(score, member)
        place: ChunkPlace = self.seek_chunked(cython.address(probe))
        return self.room_in_order(place, size, 0)

    def rescore_chunked(
        self,
        number: uint32_t,
        entry: Bytes,
        member: bytes,
        size: uint64_t,
        score: cython.double,
    ) -> cython.int:
        """Take an element with its new score to its new place: within its chunk, or there before it goes here."""
        store: KeyStore = self.database.store
        old_score: cython.double = score_at(entry)
        probe: Probe = probe_of(score, member)
        new: ChunkPlace = self.seek_chunked(cython.address(probe))
        span: Span = span_of(store.arena.base, self.payload(), number)
        old: uint64_t = entry - span.start
        start: Bytes
        if new.number == number:
            start = edit_chunk(store, self.slot, number, 0, 0, 0, 0, 0)
            write_element(move_within(start, old, new.at, size), member, score)
            self.forget_member(member, old_score)
            self.note_member(member, score)
            return 0
        probe = probe_of(old_score, member)
        write_element(self.room_in_order(new, size, 0), member, score)
        new = self.seek_element(cython.address(probe))
        span = span_of(store.arena.base, self.payload(), new.number)
        try:
            self.shrink_chunked(new.number, span.start + new.at, size, 1)
            self.forget_member(member, old_score)
            self.note_member(member, score)
        except ArenaFull:
            probe = probe_of(score, member)
            new = self.seek_element(cython.address(probe))
            span = span_of(store.arena.base, self.payload(), new.number)
            # It has just been written, so it can be taken out where it is.
            self.shrink_chunked(new.number, span.start + new.at, size, 1)
            raise
        return 0

    def set_spread(self, member: bytes, score: cython.double, size: uint64_t) -> cython.bint:
        store: KeyStore = self.database.store
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find_spread(member, cython.address(hash_))
        place: Bytes
        if slot == cython.NULL:
            place = self.place_spread(hash_, cython.NULL, size)
            write_element(place, member, score)
            store.stores.order_entry(self.spread, cython.cast(uint64_t, place - store.arena.base))
        elif score_at(store.arena.base + slot_offset(slot)) != score:
            store.stores.rescore(self.spread, slot, score + 0.0)
        else:
            return False
        self.changed()
        return slot == cython.NULL

    def remove(self, member: bytes) -> cython.bint:
        """True if the member was there; the last one takes the key with it."""
        entry: Bytes = self.find_entry(member)
        if entry == cython.NULL:
            return False
        if self.chunked and len(self) > 1:
            self.remove_chunked(member)
        else:
            self.shrink(member, entry)
        return True

    def remove_chunked(self, member: bytes) -> cython.int:
        """Take out a member that is there, not the last one."""
        number: uint32_t = 0
        entry: Bytes = self.find_chunked(member, cython.address(number))
        score: cython.double = score_at(entry)
        self.shrink_chunked(number, entry, element_size(member), 1)
        self.forget_element(member)
        self.forget_member(member, score)
        self.make_smaller()
        return self.changed()

    def packed_place(self, score: cython.double, member: bytes) -> Bytes:
        """The first packed element behind (score, member), or the end of all."""
        at: Bytes = packed_first(self.payload())
        end: Bytes = packed_end(self.payload())
        probe: Probe = probe_of(score, member)
        while at < end and compare(at, cython.address(probe)) < 0:
            at += string_size(at) + SCORE_SIZE
        return at

    def rescore_packed(self, entry: Bytes, member: bytes, size: uint64_t, score: cython.double) -> cython.int:
        """Take an element with its new score to its new place; those in between make room."""
        payload: Bytes = self.payload()
        old: uint64_t = cython.cast(uint64_t, entry - payload)
        new: uint64_t = cython.cast(uint64_t, self.packed_place(score, member) - payload)
        # Nothing is inserted: this is the way to a payload that may be written.
        payload = self.database.store.splice(self.slot, PACKED_START, 0, 0) - PACKED_START
        write_element(move_within(payload, old, new, size), member, score)
        return 0

    # Ranks

    def order(self) -> cython.pointer[OrderedState]:
        return cython.address(self.database.store.stores.indexes[self.spread].order)

    def count_below(self, probe: cython.pointer[cython.const[Probe]]) -> uint64_t:
        """How many elements are below a place."""
        at: Bytes
        end: Bytes
        count: uint64_t = 0
        if self.at_slot() == cython.NULL:
            return 0
        if self.spread:
            return self.database.store.stores.trees.rank(self.order(), probe)
        if self.chunked:
            place: ChunkPlace = self.seek_chunked(probe)
            return elements_before(self.payload(), place.number) + place.index
        at = packed_first(self.payload())
        end = packed_end(self.payload())
        while at < end and compare(at, probe) < 0:
            at += string_size(at) + SCORE_SIZE
            count += 1
        return count

    def rank(self, member: bytes) -> object:
        """How many members are below this one."""
        entry: Bytes = self.find_entry(member)
        probe: Probe
        if entry == cython.NULL:
            return None
        probe = probe_of(score_at(entry), member)
        return self.count_below(cython.address(probe))

    def rank_of_score(self, score: cython.double, after: cython.bint) -> int:
        """How many members have a lower score, or one that is not higher (`after`)."""
        probe: Probe = at_order(order_of_score(score), after)
        return self.count_below(cython.address(probe))

    def rank_of_member_bound(self, member: bytes, after: cython.bint) -> int:
        """How many members are below one, which need not be there, or not above it (`after`), whatever their scores.

        Members that do not rise with their scores have no such place; one that Redis might choose is taken.
        """
        trees: OrderedTrees = self.database.store.stores.trees
        score: cython.double = 0.0
        probe: Probe = probe_of(score, member)
        at: Bytes
        end: Bytes
        count: uint64_t = 0
        if self.at_slot() == cython.NULL:
            return 0
        if self.spread:
            if trees.entry(trees.seek_first(self.order())).order == trees.entry(trees.seek_last(self.order())).order:
                probe = trees.at_lex(self.order(), probe.member, probe.member_len, after)
                return trees.rank(self.order(), cython.address(probe))
            probe.after = after
            return self.bisect_members(cython.address(probe))
        probe.after = after
        if self.chunked:
            return self.members_below(cython.address(probe))
        at = packed_first(self.payload())
        end = packed_end(self.payload())
        while at < end and compare_member(at, cython.address(probe)) < 0:
            at += string_size(at) + SCORE_SIZE
            count += 1
        return count

    def members_below(self, probe: cython.pointer[cython.const[Probe]]) -> uint64_t:
        """How many members of a chunked sorted set are below the probe, the scores not asked."""
        payload: Bytes = self.payload()
        base: Bytes = self.database.store.arena.base
        number: uint32_t
        span: Span = span_of(base, payload, 0)
        same: Probe = probe[0]
        beyond: Probe = at_order(order_of_score(score_at(span.start)), True)
        count: uint64_t = 0
        if self.count_below(cython.address(beyond)) == root_of(payload).elements:
            # All have one score.
            same.order = beyond.order
            return self.count_below(cython.address(same))
        for number in range(root_of(payload).chunks):
            span = span_of(base, payload, number)
            while span.start < span.end:
                if compare_member(span.start, probe) >= 0:
                    return count
                span.start += string_size(span.start) + SCORE_SIZE
                count += 1
        return count

    def bisect_members(self, probe: cython.pointer[cython.const[Probe]]) -> uint64_t:
        """How many members of a tree are below the probe, the scores not asked."""
        trees: OrderedTrees = self.database.store.stores.trees
        base: Bytes = self.database.store.arena.base
        low: uint64_t = 0
        high: uint64_t = self.order().count
        middle: uint64_t
        while low < high:
            middle = (low + high) >> 1
            if compare_member(base + trees.entry(trees.seek_rank(self.order(), middle)).ref, probe) < 0:
                low = middle + 1
            else:
                high = middle
        return low

    def by_rank(self, start: cython.longlong, stop: cython.longlong, reverse: cython.bint = False) -> list:
        """(member, score) of the ranks from `start` to before `stop`, clamped; reverse: ranks count from the top."""
        return self.ranked(start, stop, reverse, True)

    def members_by_rank(self, start: cython.longlong, stop: cython.longlong, reverse: cython.bint = False) -> list:
        """The same without scores."""
        return self.ranked(start, stop, reverse, False)

    def ranked(self, start: cython.longlong, stop: cython.longlong, reverse: cython.bint, scores: cython.bint) -> list:
        size: cython.longlong = len(self)
        cursor: Cursor
        trees: OrderedTrees = self.database.store.stores.trees
        base: Bytes = self.database.store.arena.base
        at: Bytes
        index: cython.longlong
        found: list = []
        start = max(start, 0)
        stop = min(stop, size)
        if start >= stop:
            return found
        if self.spread:
            cursor = trees.seek_rank(self.order(), size - 1 - start if reverse else start)
            for index in range(start, stop):
                at = base + trees.entry(cursor).ref
                found.append((string_at(at), score_at(at)) if scores else string_at(at))
                cursor = trees.preceding(cursor) if reverse else trees.following(cursor)
            return found
        if reverse:
            start, stop = size - stop, size - start
        if self.chunked:
            self.collect_chunked(start, stop, scores, found)
        else:
            found = [None] * (stop - start)
            at = packed_first(self.payload())
            for index in range(stop):
                if index >= start:
                    found[index - start] = (string_at(at), score_at(at)) if scores else string_at(at)
                at += string_size(at) + SCORE_SIZE
        if reverse:
            found.reverse()
        return found

    def collect_chunked(
        self, start: cython.longlong, stop: cython.longlong, scores: cython.bint, found: list
    ) -> cython.int:
        """Append the elements of ranks from `start` to before `stop`, which are there."""
        payload: Bytes = self.payload()
        base: Bytes = self.database.store.arena.base
        number: uint32_t = 0
        skipped: uint32_t = 0
        span: Span
        seek_element(payload, start, cython.address(number), cython.address(skipped))
        while start < stop:
            span = span_of(base, payload, number)
            while span.start < span.end and start < stop:
                if skipped:
                    skipped -= 1
                else:
                    found.append((string_at(span.start), score_at(span.start)) if scores else string_at(span.start))
                    start += 1
                span.start += string_size(span.start) + SCORE_SIZE
            number += 1
        return 0

    # Others

    def parts(self, entry: Bytes, out: list) -> object:
        out.append((string_at(entry), score_at(entry)))

    def sample(self, count: int, distinct: bool) -> list[tuple[bytes, float]]:
        """Random members with their scores; distinct: none twice, at most all."""
        return self.pick(count, distinct)

    def encoding(self, max_entries: int, max_value: int) -> bytes:
        """listpack as long as it has so few members, none of them longer; else skiplist."""
        if len(self) > max_entries:
            return b"skiplist"
        for member, _ in self.entries_of():
            if len(member) > max_value:
                return b"skiplist"
        return b"listpack"


def replace_sorted_set(database: Database, key: bytes, pairs: object, event: bytes) -> int:
    """Make the key a sorted set of (member, score) pairs, all members different, whatever it was before.

    Without pairs it is deleted. Returns their number. One change, or ArenaFull and none.
    """
    member: bytes
    builder: Builder
    if not pairs:
        database.discard(key)
        return 0
    builder = Builder(database, TYPE_ZSET)
    try:
        for member, score in pairs:
            builder.add(member, float(score))
        builder.put(key, event)
    except BaseException:
        builder.abandon()
        raise
    return len(pairs)


# One element


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def element_size(member: bytes) -> uint64_t:
    member_len: uint64_t = PyBytes_GET_SIZE(member)
    return length_size(member_len) + member_len + SCORE_SIZE


@cython.cfunc
@cython.exceptval(check=False)
def move_within(start: Bytes, old: uint64_t, new: uint64_t, size: uint64_t) -> Bytes:
    """Make room at `new` for the element at `old`, those in between move up or down; returns where it goes."""
    if new > old:
        new -= size
        memmove(start + old, start + old + size, new - old)
    else:
        memmove(start + new + size, start + new, old - new)
    return start + new


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def score_at(entry: Bytes) -> cython.double:
    score: cython.double = 0.0
    memcpy(cython.address(score), entry + string_size(entry), SCORE_SIZE)
    return score


@cython.cfunc
@cython.inline
def write_element(at: Bytes, member: bytes, score: cython.double) -> Bytes:
    """Write an element; returns the address behind it."""
    at = write_string(at, member, PyBytes_GET_SIZE(member))
    score += 0.0  # makes 0.0 of -0.0
    memcpy(at, cython.address(score), SCORE_SIZE)
    return at + SCORE_SIZE


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def probe_of(score: cython.double, member: bytes) -> Probe:
    """The exact place of a member, in whose bytes the probe points."""
    return at_member(
        order_of_score(score),
        cython.cast(Bytes, PyBytes_AS_STRING(member)),
        PyBytes_GET_SIZE(member),
        False,
    )


@cython.cfunc
@cython.exceptval(check=False)
def compare(entry: Bytes, probe: cython.pointer[cython.const[Probe]]) -> cython.int:
    """Below, at or above 0 as a packed element is below a probe, equal to it or above it, as in a tree."""
    member_len: uint64_t = 0
    member: Bytes = read_length(entry, cython.address(member_len))
    score: cython.double = 0.0
    memcpy(cython.address(score), member + member_len, SCORE_SIZE)
    order = order_of_score(score)
    if order != probe.order:
        return -1 if order < probe.order else 1
    if probe.member == cython.NULL:
        return -1 if probe.after else 1
    return compare_member(entry, probe)


@cython.cfunc
@cython.exceptval(check=False)
def compare_member(entry: Bytes, probe: cython.pointer[cython.const[Probe]]) -> cython.int:
    """The same, but the scores are not asked."""
    member_len: uint64_t = 0
    member: Bytes = read_length(entry, cython.address(member_len))
    found: cython.int = memcmp(member, probe.member, min(member_len, probe.member_len))
    if found:
        return found
    if member_len == probe.member_len:
        return -1 if probe.after else 0
    return -1 if member_len < probe.member_len else 1
