# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""Chains: long sequences of elements in pages of the arena, found by position.

A chain holds the elements of a large list, or whatever else is kept in order and found by number. Its elements lie in
nodes, runs of pages, in the bytes that the file wants, so a snapshot child needs the first node's offset only:

    node   | next | start | end | pages | |  room  | element | element | ... | element |  room  |
    bytes  0      8       12    16     20 24       start                               end       pages * 4096

Which node holds element number n, the parent knows by a counted tree (sequence.py), which the child does not have.
Within a node elements are counted off one by one; there are a few hundred of them, or a few if they are large. Pushes
fill a node to the brim: those at the left end from its last byte backwards, those at the right end forwards. An element
that does not fit into its node splits it in halves; what is left of two neighbours after removals becomes one node.

A node is written where it is, also while a snapshot is open: the kernel copies the page that changes, and the child
keeps its own view of it and of nodes that are freed. While the child is being made (saving/fork.py) a change
waits.

The last element of a node can't be found from its end, so the places of the last few are remembered for some nodes
(Tail): popping at the right end walks through a node once for every TAIL_PLACES elements.

A chain is not an object but a struct, like the sequences (testing/element_chain.py has one as an object). Its nodes lie
in segments of a store of its own, which go as a whole, except for the first SHARED_PAGES: these it may have
in a store that many chains share, so that a short chain does not take a segment.

A change either succeeds or raises ArenaFull with nothing changed.

Invariants (proved by `check`):
  1. following `next` from `first` meets the nodes of the sequence in its order, ends at `last`, and
     each node has as many elements as its entry says, at least one
  2. a node's elements fill [start, end) exactly, behind the header and within its pages
  3. pages and shared_pages are the sums over the nodes
  4. a Tail whose node and end are true has true places

Complexity: O(1) at both ends, O(log n) and a part of a node elsewhere.
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.minikv.engine.arena import NODES, PAGE_SHIFT, PAGES_PER_SEGMENT, RUN, SEGMENT_SHIFT, Arena
from cython.cimports.minikv.engine.chain import (
    NODE_HEADER,
    NODE_PAGES_MIN,
    SHARED_PAGES,
    TAIL_PLACES,
    TAILS,
    Chain,
    Node,
    Place,
    Tail,
    element_size,
    is_string,
)
from cython.cimports.minikv.engine.memory import BlockPool, reserve, unmap
from cython.cimports.minikv.engine.record import Bytes, ConstBytes, string_size
from cython.cimports.minikv.engine.sequence import SequenceCursor, Sequences, SequenceState

from minikv.errors import BLOCKS_FULL, SEGMENTS_FULL, ArenaFull

assert cython.sizeof(Node) == NODE_HEADER
assert cython.sizeof(Tail) == 1024

# The most bytes that a node holding half of another one has to spare.
SPARE_MAX = cython.declare(uint64_t, 1 << 16)
# One change takes at most two new entries of a sequence, each a split on every level.
BLOCKS_PER_CHANGE = cython.declare(uint32_t, 16)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def pages_to_hold(used: uint64_t) -> uint64_t:
    """Pages of a node that begins with `nbytes` of several elements."""
    pages: uint64_t = (NODE_HEADER + used + min(used // 4, SPARE_MAX) + 4095) >> PAGE_SHIFT
    return max(pages, cython.cast(uint64_t, NODE_PAGES_MIN))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def capacity(node: cython.pointer[Node]) -> uint64_t:
    return cython.cast(uint64_t, node.pages) << PAGE_SHIFT


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def used(node: cython.pointer[Node]) -> uint64_t:
    return node.end - node.start


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def with_spare(nbytes: uint64_t, room: uint64_t) -> cython.bint:
    """True if these bytes of elements leave at least a quarter of a node free: worth moving others for."""
    return (NODE_HEADER + nbytes) * 4 <= room * 3


@cython.final
@cython.cclass
class Chains:
    """What all chains of `arena` share; their sequences take blocks from `pool`."""

    def __cinit__(self, arena: Arena, pool: BlockPool):
        self.arena = arena
        self.sequences = Sequences(pool)
        self.tails = cython.cast(cython.pointer[Tail], reserve(TAILS * cython.sizeof(Tail), False))

    def __dealloc__(self):
        unmap(cython.cast(Bytes, self.tails), TAILS * cython.sizeof(Tail))

    # Elements

    def find(self, chain: cython.pointer[Chain], position: uint64_t, size: cython.pointer[uint64_t]) -> Bytes:
        """The element at a position; NULL behind the last."""
        place: Place
        if not self.place(chain, position, cython.address(place)):
            return cython.NULL
        size[0] = element_size(chain, place.at)
        return place.at

    def place(self, chain: cython.pointer[Chain], position: uint64_t, place: cython.pointer[Place]) -> cython.bint:
        """Go to the element at a position; False behind the last."""
        cursor: SequenceCursor
        index: uint32_t = 0
        offset: uint64_t
        if not self.sequences.find(
            cython.address(chain.nodes), position, cython.address(cursor), cython.address(index)
        ):
            place.at = cython.NULL
            return False
        offset = self.sequences.node(cython.address(cursor))
        self.enter(offset, place)
        place.at = (
            self.arena.base
            + offset
            + self._locate_known(chain, offset, index, self.sequences.elements(cython.address(cursor)))
        )
        return True

    def run(
        self,
        chain: cython.pointer[Chain],
        position: uint64_t,
        place: cython.pointer[Place],
        first: cython.pointer[uint64_t],
    ) -> uint64_t:
        """Go to the first element of the node that has the one at a position, which there is; its own position.

        Returns how many elements the node has.
        """
        cursor: SequenceCursor
        index: uint32_t = 0
        self.sequences.find(cython.address(chain.nodes), position, cython.address(cursor), cython.address(index))
        self.enter(self.sequences.node(cython.address(cursor)), place)
        first[0] = position - index
        return self.sequences.elements(cython.address(cursor))

    def insert(self, chain: cython.pointer[Chain], position: uint64_t, size: uint64_t) -> Bytes:
        """Room for a new element before the one at `position`, behind the last if there is none."""
        self.arena.await_clone()
        self.reserve()
        if position >= chain.nodes.elements:
            return self._push_right(chain, size)
        if position == 0:
            return self._push_left(chain, size)
        return self._put(chain, position, False, size)

    def replace(self, chain: cython.pointer[Chain], position: uint64_t, size: uint64_t) -> Bytes:
        """Room for an element in place of the one at `position`, whose bytes are lost if the size is another."""
        self.arena.await_clone()
        self.reserve()
        return self._put(chain, position, True, size)

    def remove(self, chain: cython.pointer[Chain], position: uint64_t, count: uint64_t) -> cython.void:
        """Take out elements from `position` on, no more than there are."""
        self.arena.await_clone()
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        index: uint32_t = 0
        elements: uint32_t
        taken: uint32_t
        offset: uint64_t
        start: uint32_t
        end: uint32_t
        _step: uint32_t
        left_over: cython.bint = False
        while count and self.sequences.find(state, position, cython.address(cursor), cython.address(index)):
            offset = self.sequences.node(cython.address(cursor))
            elements = self.sequences.elements(cython.address(cursor))
            taken = cython.cast(uint32_t, min(count, cython.cast(uint64_t, elements - index)))
            count -= taken
            if taken == elements:
                self._unlink(chain, cython.address(cursor))
                continue
            left_over = True
            start = self._locate_known(chain, offset, index, elements)
            end = start
            if index + taken == elements:
                end = self.node(offset).end
            else:
                for _step in range(taken):
                    end += cython.cast(uint32_t, element_size(chain, self.arena.base + offset + end))
            self._resize(offset, start, end - start, 0)
            self.sequences.add(state, cython.address(cursor), -cython.cast(int64_t, taken))
        # What pops leave at the ends is about to go, or to be filled again.
        if left_over and position and position < state.elements:
            self._tidy(chain, position - 1)
            self._tidy(chain, position)

    def remove_equal(
        self,
        chain: cython.pointer[Chain],
        text: ConstBytes,
        length: uint64_t,
        limit: uint64_t,
        from_end: cython.bint,
    ) -> uint64_t:
        """Remove at most `limit` elements (RDB strings) with this text; returns how many were removed."""
        self.arena.await_clone()
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        position: uint64_t = state.elements if from_end else 0  # of the node's first element
        elements: uint32_t
        index: uint32_t = 0
        offset: uint64_t
        dropped: uint32_t
        removed: uint64_t = 0
        low: uint64_t = ~cython.cast(uint64_t, 0)  # positions between which nodes have lost something
        high: uint64_t = 0
        there: cython.bint = (
            self.sequences.last(state, cython.address(cursor))
            if from_end
            else self.sequences.first(state, cython.address(cursor))
        )
        while there and removed < limit:
            offset = self.sequences.node(cython.address(cursor))
            elements = self.sequences.elements(cython.address(cursor))
            position -= elements if from_end else 0
            dropped = self._drop_equal(offset, text, length, limit - removed, from_end)
            removed += dropped
            if dropped:
                low = min(low, position)
                high = max(high, position)
            if dropped == elements:
                self._unlink(chain, cython.address(cursor))
                if from_end:
                    there = position > 0 and self.sequences.find(
                        state, position - 1, cython.address(cursor), cython.address(index)
                    )
                else:
                    there = cursor.block[0] != 0
                continue
            self.sequences.add(state, cython.address(cursor), -cython.cast(int64_t, dropped))
            if from_end:
                there = self.sequences.preceding(state, cython.address(cursor))
            else:
                position += elements - dropped
                there = self.sequences.following(state, cython.address(cursor))
        low = min(max(low, 1), max(state.elements, 1)) - 1
        there = removed > 0 and self.sequences.find(state, low, cython.address(cursor), cython.address(index))
        position = self.sequences.number_of(state, cython.address(cursor)) if there else 0
        while there and position <= high:
            self._refit(chain, cython.address(cursor))
            if not self._merge(chain, cython.address(cursor)):
                position += self.sequences.elements(cython.address(cursor))
                there = self.sequences.following(state, cython.address(cursor))
        return removed

    def _drop_equal(
        self,
        offset: uint64_t,
        text: ConstBytes,
        length: uint64_t,
        limit: uint64_t,
        from_end: cython.bint,
    ) -> uint32_t:
        """The same within one node, whose elements move together; none may be left."""
        base: Bytes = self.arena.base + offset
        node: cython.pointer[Node] = self.node(offset)
        at: Bytes = base + node.start
        end: Bytes = base + node.end
        to: Bytes = at
        last: Bytes = cython.NULL
        size: uint64_t
        dropped: uint32_t = 0
        kept: uint64_t = 0
        if from_end:
            while at < end:
                if is_string(at, text, length):
                    kept += 1
                    last = at
                at += string_size(at)
            if last == cython.NULL:
                return 0
            at = to
            kept = kept - limit if kept > limit else 0
            if limit == 1:
                at = to = last
                kept = 0
        while at < end and dropped < limit:
            size = string_size(at)
            if is_string(at, text, length):
                if kept == 0:
                    dropped += 1
                    at += size
                    continue
                kept -= 1
            if to != at:
                memmove(to, at, size)
            to += size
            at += size
        if dropped:
            memmove(to, at, end - at)
            node.end = cython.cast(uint32_t, to - base + (end - at))
            self._forget_tail(offset)
        return dropped

    # Whole chains

    def copy(self, source: cython.pointer[Chain], target: cython.pointer[Chain]) -> cython.int:
        """Fill an empty chain, which knows its stores, with the elements of another one."""
        self.arena.await_clone()
        cursor: SequenceCursor
        offset: uint64_t
        new: uint64_t
        node: cython.pointer[Node]
        there: cython.bint = self.sequences.first(cython.address(source.nodes), cython.address(cursor))
        target.width = source.width
        while there:
            offset = self.sequences.node(cython.address(cursor))
            node = self.node(offset)
            new = 0
            if self.sequences.pool.available() >= BLOCKS_PER_CHANGE:
                new = self._take_node(target, node.pages)
            if new == 0:
                self.clear(target)
                with cython.gil:
                    raise ArenaFull(SEGMENTS_FULL)
            copy_node(self.node(new), node)
            self._link(target, target.last, new)
            self.sequences.append(cython.address(target.nodes), new, self.sequences.elements(cython.address(cursor)))
            there = self.sequences.following(cython.address(source.nodes), cython.address(cursor))
        return 0

    def share_with(self, chain: cython.pointer[Chain], shared: uint32_t) -> cython.int:
        """Move the nodes that lie in a shared store to another one."""
        self.arena.await_clone()
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        taken: uint64_t[SHARED_PAGES]
        pages: uint32_t[SHARED_PAGES]
        offset: uint64_t
        before: uint64_t = 0
        count: uint32_t = 0
        there: cython.bint = chain.shared_pages > 0 and self.sequences.first(state, cython.address(cursor))
        while there:
            offset = self.sequences.node(cython.address(cursor))
            if self.arena.segments[offset >> SEGMENT_SHIFT].store_number == chain.shared:
                pages[count] = self.node(offset).pages
                taken[count] = self.arena.allocate_node(shared, pages[count])
                if taken[count] == 0:
                    while count:
                        count -= 1
                        self.arena.free_node(taken[count], pages[count])
                    with cython.gil:
                        raise ArenaFull(SEGMENTS_FULL)
                count += 1
            there = self.sequences.following(state, cython.address(cursor))
        there = count > 0 and self.sequences.first(state, cython.address(cursor))
        count = 0
        while there:
            offset = self.sequences.node(cython.address(cursor))
            if self.arena.segments[offset >> SEGMENT_SHIFT].store_number == chain.shared:
                self._forget_tail(taken[count])
                copy_node(self.node(taken[count]), self.node(offset))
                self.node(taken[count]).next = self.node(offset).next
                self.node(taken[count]).pages = pages[count]
                if before:
                    self.node(before).next = taken[count]
                else:
                    chain.first = taken[count]
                if chain.last == offset:
                    chain.last = taken[count]
                self.sequences.move(cython.address(cursor), taken[count])
                self._forget_tail(offset)
                self.arena.free_node(offset, pages[count])
                offset = taken[count]
                count += 1
            before = offset
            there = self.sequences.following(state, cython.address(cursor))
        chain.shared = shared
        return 0

    def clear(self, chain: cython.pointer[Chain]) -> cython.void:
        """Remove all elements, node by node."""
        self.arena.await_clone()
        cursor: SequenceCursor
        there: cython.bint = self.sequences.first(cython.address(chain.nodes), cython.address(cursor))
        while there:
            self._free_node(chain, self.sequences.node(cython.address(cursor)))
            there = self.sequences.following(cython.address(chain.nodes), cython.address(cursor))
        self._empty(chain)

    def forget(self, chain: cython.pointer[Chain]) -> cython.void:
        """The same for a chain whose store the caller drops: only its nodes elsewhere are freed."""
        if chain.shared_pages:
            self.arena.await_clone()
        cursor: SequenceCursor
        offset: uint64_t
        there: cython.bint = chain.shared_pages > 0 and self.sequences.first(
            cython.address(chain.nodes), cython.address(cursor)
        )
        while there:
            offset = self.sequences.node(cython.address(cursor))
            if self.arena.segments[offset >> SEGMENT_SHIFT].store_number != chain.store_number:
                self._free_node(chain, offset)
            there = chain.shared_pages > 0 and self.sequences.following(
                cython.address(chain.nodes), cython.address(cursor)
            )
        self._empty(chain)

    def _empty(self, chain: cython.pointer[Chain]) -> cython.void:
        self.sequences.clear(cython.address(chain.nodes))
        chain.first = chain.last = 0
        chain.pages = 0
        chain.shared_pages = 0

    # Room for elements

    def reserve(self) -> cython.int:
        """Make sure that a change finds the blocks it needs."""
        if self.sequences.pool.available() < BLOCKS_PER_CHANGE:
            with cython.gil:
                raise ArenaFull(BLOCKS_FULL)
        return 0

    def _push_left(self, chain: cython.pointer[Chain], size: uint64_t) -> Bytes:
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        offset: uint64_t = chain.first
        node: cython.pointer[Node]
        if offset and self._room_left(offset, size):
            node = self.node(offset)
            node.start -= cython.cast(uint32_t, size)
            self.sequences.first(state, cython.address(cursor))
            self.sequences.add(state, cython.address(cursor), 1)
        else:
            offset = self._new_node(chain, node_pages(size))
            node = self.node(offset)
            node.end = cython.cast(uint32_t, capacity(node))
            node.start = cython.cast(uint32_t, node.end - size)
            self._link(chain, 0, offset)
            self.sequences.prepend(state, offset, 1)
        return self.arena.base + offset + node.start

    def _push_right(self, chain: cython.pointer[Chain], size: uint64_t) -> Bytes:
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        offset: uint64_t = chain.last
        if offset and self._room_right(offset, size):
            self.sequences.last(state, cython.address(cursor))
            self.sequences.add(state, cython.address(cursor), 1)
        else:
            offset = self._new_node(chain, node_pages(size))
            self._link(chain, chain.last, offset)
            self.sequences.append(state, offset, 1)
        return self.arena.base + offset + self._extend(offset, size)

    def _put(self, chain: cython.pointer[Chain], position: uint64_t, replaced: cython.bint, size: uint64_t) -> Bytes:
        """Room for an element in place of the one at a position or before it; not before the first of all."""
        cursor: SequenceCursor
        before: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        index: uint32_t = 0
        offset: uint64_t
        at: uint32_t
        old: uint64_t = 0
        self.sequences.find(state, position, cython.address(cursor), cython.address(index))
        offset = self.sequences.node(cython.address(cursor))
        at = self._locate(chain, offset, index)
        if replaced:
            old = element_size(chain, self.arena.base + offset + at)
        if NODE_HEADER + used(self.node(offset)) - old + size > capacity(self.node(offset)):
            if index == 0 and not replaced:
                before = cursor
                self.sequences.preceding(state, cython.address(before))
                offset = self.sequences.node(cython.address(before))
                if self._room_right(offset, size):
                    self.sequences.add(state, cython.address(before), 1)
                    return self.arena.base + offset + self._extend(offset, size)
            if not self._split(chain, cython.address(cursor), cython.address(at), old, size):
                return self._put_apart(chain, cython.address(cursor), index, at, old, size)
            offset = self.sequences.node(cython.address(cursor))
        if not replaced:
            self.sequences.add(state, cython.address(cursor), 1)
        at = self._resize(offset, at, old, size)
        if size < old:
            # The new element can't be read yet, but it can be moved.
            self._tidy(chain, position)
            self.sequences.find(state, position, cython.address(cursor), cython.address(index))
            offset = self.sequences.node(cython.address(cursor))
            at = self._locate(chain, offset, index)
        return self.arena.base + offset + at

    def _split(
        self,
        chain: cython.pointer[Chain],
        cursor: cython.pointer[SequenceCursor],
        at: cython.pointer[uint32_t],
        old: uint64_t,
        size: uint64_t,
    ) -> cython.bint:
        """Move the second half of the cursor's node to a new one, so that `size` bytes fit in place of `old` at `at`.

        The cursor and `at` go with the place. False if that does not make room enough.
        """
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        offset: uint64_t = self.sequences.node(cursor)
        node: cython.pointer[Node] = self.node(offset)
        elements: uint32_t = self.sequences.elements(cursor)
        half: uint64_t = node.start + used(node) // 2
        middle: uint64_t = node.start
        kept: uint32_t = 0
        moved: uint64_t
        right: uint64_t
        stays: cython.bint
        if elements < 2:
            return False
        while True:
            middle += element_size(chain, self.arena.base + offset + middle)
            kept += 1
            if kept + 1 == elements or middle + element_size(chain, self.arena.base + offset + middle) > half:
                break
        moved = node.end - middle
        stays = at[0] < middle or (at[0] == middle and old == 0)
        if stays and NODE_HEADER + (middle - node.start) - old + size > capacity(node):
            return False
        right = self._new_node(chain, pages_to_hold(moved if stays else moved - old + size))
        memcpy(self.arena.base + right + NODE_HEADER, self.arena.base + offset + middle, moved)
        self.node(right).end = cython.cast(uint32_t, NODE_HEADER + moved)
        node.end = cython.cast(uint32_t, middle)
        self._forget_tail(offset)
        self._link(chain, offset, right)
        self.sequences.add(state, cursor, -cython.cast(int64_t, elements - kept))
        self.sequences.insert_after(state, cursor, right, elements - kept)
        if stays:
            self.sequences.preceding(state, cursor)
        else:
            at[0] = cython.cast(uint32_t, at[0] - middle + NODE_HEADER)
        return True

    def _put_apart(
        self,
        chain: cython.pointer[Chain],
        cursor: cython.pointer[SequenceCursor],
        index: uint32_t,
        at: uint32_t,
        old: uint64_t,
        size: uint64_t,
    ) -> Bytes:
        """Give an element a node of its own between what is before `at` and what is behind the `old` bytes there."""
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        offset: uint64_t = self.sequences.node(cursor)
        node: cython.pointer[Node] = self.node(offset)
        behind: uint32_t = self.sequences.elements(cursor) - index - (old != 0)
        moved: uint64_t = node.end - at - old
        right: uint64_t = 0
        new: uint64_t
        if index and behind:
            right = self._new_node(chain, pages_to_hold(moved))
        new = self._take_node(chain, node_pages(size))
        if new == 0:
            if right:
                self._free_node(chain, right)
            with cython.gil:
                raise ArenaFull(SEGMENTS_FULL)
        self.node(new).end = cython.cast(uint32_t, NODE_HEADER + size)
        if index == 0 and behind == 0:
            self._move_node(chain, cursor, new)
        elif index == 0:
            node.start = cython.cast(uint32_t, at + old)
            self._forget_tail(offset)
            self.sequences.add(state, cursor, -cython.cast(int64_t, old != 0))
            self._link(chain, self._before(chain, cursor), new)
            self.sequences.insert_before(state, cursor, new, 1)
        else:
            if right:
                memcpy(self.arena.base + right + NODE_HEADER, self.arena.base + offset + at + old, moved)
                self.node(right).end = cython.cast(uint32_t, NODE_HEADER + moved)
            node.end = at
            self._forget_tail(offset)
            self.sequences.add(state, cursor, -cython.cast(int64_t, behind + (old != 0)))
            self._link(chain, offset, new)
            self.sequences.insert_after(state, cursor, new, 1)
            if right:
                self._link(chain, new, right)
                self.sequences.insert_after(state, cursor, right, behind)
        return self.arena.base + new + NODE_HEADER

    def _resize(self, offset: uint64_t, at: uint32_t, old: uint64_t, size: uint64_t) -> uint32_t:
        """Make `size` bytes of the `old` ones at `at`, which the node has room for; returns where they begin then."""
        base: Bytes = self.arena.base + offset
        node: cython.pointer[Node] = self.node(offset)
        left: uint64_t = at - node.start
        right: uint64_t = node.end - at - old
        more: int64_t = cython.cast(int64_t, size) - cython.cast(int64_t, old)
        room_left: int64_t = cython.cast(int64_t, node.start) - NODE_HEADER
        room_right: int64_t = cython.cast(int64_t, capacity(node)) - node.end
        end: uint32_t = node.end
        if more == 0:
            return at
        if old == 0 and right == 0 and more <= room_right:
            return self._extend(offset, size)
        if more <= room_left and (left < right or more > room_right):
            memmove(base + node.start - more, base + node.start, left)
            # The first place known must not be of an element that has moved or gone.
            if left or self.tail(offset).places[0] < at + old:
                self._forget_tail(offset)
            node.start = cython.cast(uint32_t, node.start - more)
            return cython.cast(uint32_t, at - more)
        if more <= room_right:
            memmove(base + at + size, base + at + old, right)
            node.end = cython.cast(uint32_t, node.end + more)
            if right:
                self._forget_tail(offset)
            else:
                self._cut_tail(offset, end)
            return at
        memmove(base + NODE_HEADER, base + node.start, left)
        memmove(base + NODE_HEADER + left + size, base + at + old, right)
        node.start = NODE_HEADER
        node.end = cython.cast(uint32_t, NODE_HEADER + left + size + right)
        self._forget_tail(offset)
        return cython.cast(uint32_t, NODE_HEADER + left)

    def _room_left(self, offset: uint64_t, size: uint64_t) -> cython.bint:
        """Make sure of `size` bytes before a node's first element; False if they can't be had cheaply."""
        return self.node(offset).start - NODE_HEADER >= size or self._slide(offset, size, 0)

    def _room_right(self, offset: uint64_t, size: uint64_t) -> cython.bint:
        """Make sure of `size` bytes behind a node's last element."""
        return capacity(self.node(offset)) - self.node(offset).end >= size or self._slide(offset, 0, size)

    def _slide(self, offset: uint64_t, left: uint64_t, right: uint64_t) -> cython.bint:
        """Move a node's elements so that `left` bytes are free before or `right` ones behind them, more on each side.

        False if the node is too full for that to be worth it.
        """
        base: Bytes = self.arena.base + offset
        node: cython.pointer[Node] = self.node(offset)
        nbytes: uint64_t = used(node)
        start: uint64_t
        if not with_spare(nbytes + left + right, capacity(node)):
            return False
        start = NODE_HEADER + left + (capacity(node) - NODE_HEADER - nbytes - left - right) // 2
        memmove(base + start, base + node.start, nbytes)
        node.start = cython.cast(uint32_t, start)
        node.end = cython.cast(uint32_t, start + nbytes)
        self._forget_tail(offset)
        return True

    def _extend(self, offset: uint64_t, size: uint64_t) -> uint32_t:
        """Take `size` bytes behind a node's last element for one more; returns where they begin."""
        node: cython.pointer[Node] = self.node(offset)
        tail: cython.pointer[Tail] = self.tail(offset)
        at: uint32_t = node.end
        node.end = cython.cast(uint32_t, at + size)
        if tail.node != offset or tail.end != at:
            tail.node = offset
            tail.count = 0
        elif tail.count == TAIL_PLACES:
            tail.count = TAIL_PLACES // 2
            memcpy(tail.places, cython.address(tail.places[TAIL_PLACES - TAIL_PLACES // 2]), TAIL_PLACES // 2 * 4)
        tail.places[tail.count] = at
        tail.count += 1
        tail.end = node.end
        return at

    # Where elements lie in their node

    def _locate(self, chain: cython.pointer[cython.const[Chain]], offset: uint64_t, index: uint32_t) -> uint32_t:
        """Where a node's element number `index` begins, by what is before it only."""
        base: Bytes = self.arena.base + offset
        at: Bytes = base + self.node(offset).start
        _step: uint32_t
        if chain.width:
            return self.node(offset).start + index * chain.width
        for _step in range(index):
            at += string_size(at)
        return cython.cast(uint32_t, at - base)

    def _locate_known(
        self, chain: cython.pointer[cython.const[Chain]], offset: uint64_t, index: uint32_t, elements: uint32_t
    ) -> uint32_t:
        """The same, faster for the last few elements."""
        tail: cython.pointer[Tail] = self.tail(offset)
        from_end: uint32_t = elements - index
        if chain.width == 0 and index > from_end and from_end <= TAIL_PLACES // 2:
            if tail.node != offset or tail.end != self.node(offset).end or tail.count < from_end:
                self._learn_tail(offset, elements)
            return tail.places[tail.count - from_end]
        return self._locate(chain, offset, index)

    def _learn_tail(self, offset: uint64_t, elements: uint32_t) -> cython.void:
        base: Bytes = self.arena.base + offset
        at: Bytes = base + self.node(offset).start
        tail: cython.pointer[Tail] = self.tail(offset)
        count: uint32_t = min(elements, cython.cast(uint32_t, TAIL_PLACES))
        number: uint32_t
        for number in range(elements - count):
            at += string_size(at)
        for number in range(count):
            tail.places[number] = cython.cast(uint32_t, at - base)
            at += string_size(at)
        tail.node = offset
        tail.end = self.node(offset).end
        tail.count = count

    def _cut_tail(self, offset: uint64_t, old_end: uint32_t) -> cython.void:
        """The node has a new end, but what is left of its elements lies where it did."""
        tail: cython.pointer[Tail] = self.tail(offset)
        if tail.node == offset and tail.end == old_end:
            tail.end = self.node(offset).end
            while tail.count and tail.places[tail.count - 1] >= tail.end:
                tail.count -= 1

    def _forget_tail(self, offset: uint64_t) -> cython.void:
        if self.tail(offset).node == offset:
            self.tail(offset).node = 0

    # Nodes

    def _take_node(self, chain: cython.pointer[Chain], pages: uint64_t) -> uint64_t:
        """An empty node, not yet linked; 0 when the arena is full."""
        shared: cython.bint = chain.shared != 0 and chain.shared_pages + pages <= SHARED_PAGES
        offset: uint64_t = self.arena.allocate_node(
            chain.shared if shared else chain.store_number, cython.cast(uint32_t, pages)
        )
        node: cython.pointer[Node] = self.node(offset)
        if offset == 0:
            return 0
        self._forget_tail(offset)
        node.next = 0
        node.start = node.end = NODE_HEADER
        node.pages = cython.cast(uint32_t, pages)
        chain.pages += pages
        if shared:
            chain.shared_pages += cython.cast(uint32_t, pages)
        return offset

    def _new_node(self, chain: cython.pointer[Chain], pages: uint64_t) -> uint64_t:
        offset: uint64_t = self._take_node(chain, pages)
        if offset == 0:
            with cython.gil:
                raise ArenaFull(SEGMENTS_FULL)
        return offset

    def _free_node(self, chain: cython.pointer[Chain], offset: uint64_t) -> cython.void:
        pages: uint32_t = self.node(offset).pages
        chain.pages -= pages
        if self.arena.segments[offset >> SEGMENT_SHIFT].store_number != chain.store_number:
            chain.shared_pages -= pages
        self._forget_tail(offset)
        self.arena.free_node(offset, pages)

    def _before(
        self, chain: cython.pointer[cython.const[Chain]], cursor: cython.pointer[cython.const[SequenceCursor]]
    ) -> uint64_t:
        """The node before the cursor's; 0: none."""
        before: SequenceCursor = cursor[0]
        if not self.sequences.preceding(cython.address(chain.nodes), cython.address(before)):
            return 0
        return self.sequences.node(cython.address(before))

    def _link(self, chain: cython.pointer[Chain], before: uint64_t, offset: uint64_t) -> cython.void:
        """Let a node follow another one, or be the first (0)."""
        if before:
            self.node(offset).next = self.node(before).next
            self.node(before).next = offset
        else:
            self.node(offset).next = chain.first
            chain.first = offset
        if chain.last == before:
            chain.last = offset

    def _unlink(self, chain: cython.pointer[Chain], cursor: cython.pointer[SequenceCursor]) -> cython.void:
        """Free the cursor's node; the cursor goes to the one behind."""
        offset: uint64_t = self.sequences.node(cursor)
        before: uint64_t = self._before(chain, cursor)
        if before:
            self.node(before).next = self.node(offset).next
        else:
            chain.first = self.node(offset).next
        if chain.last == offset:
            chain.last = before
        self._free_node(chain, offset)
        self.sequences.remove(cython.address(chain.nodes), cursor)

    def _move_node(
        self, chain: cython.pointer[Chain], cursor: cython.pointer[cython.const[SequenceCursor]], offset: uint64_t
    ) -> cython.void:
        """Let another node take the place of the cursor's, which is freed."""
        old: uint64_t = self.sequences.node(cursor)
        before: uint64_t = self._before(chain, cursor)
        self.node(offset).next = self.node(old).next
        if before:
            self.node(before).next = offset
        else:
            chain.first = offset
        if chain.last == old:
            chain.last = offset
        self.sequences.move(cursor, offset)
        self._free_node(chain, old)

    # Nodes that have become too large for what is in them

    def _tidy(self, chain: cython.pointer[Chain], position: uint64_t) -> cython.void:
        """Make the node with the element at `position` smaller, or one with its neighbours, if that saves pages."""
        cursor: SequenceCursor
        index: uint32_t = 0
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        self.sequences.find(state, position, cython.address(cursor), cython.address(index))
        self._refit(chain, cython.address(cursor))
        self._merge(chain, cython.address(cursor))
        if self.sequences.preceding(state, cython.address(cursor)):
            self._merge(chain, cython.address(cursor))

    def _refit(self, chain: cython.pointer[Chain], cursor: cython.pointer[cython.const[SequenceCursor]]) -> cython.void:
        """Move the elements of the cursor's node to a smaller one if they fill a quarter of it or less."""
        offset: uint64_t = self.sequences.node(cursor)
        node: cython.pointer[Node] = self.node(offset)
        new: uint64_t
        if node.pages <= NODE_PAGES_MIN or (NODE_HEADER + used(node)) * 4 > capacity(node):
            return
        new = self._take_node(chain, pages_to_hold(used(node)))
        if new == 0:
            return
        memcpy(self.arena.base + new + NODE_HEADER, self.arena.base + offset + node.start, used(node))
        self.node(new).end = cython.cast(uint32_t, NODE_HEADER + used(node))
        self._move_node(chain, cursor, new)

    def _merge(self, chain: cython.pointer[Chain], cursor: cython.pointer[SequenceCursor]) -> cython.bint:
        """Put the elements of the cursor's node and of the next one into one of the two if there is room to spare."""
        following: SequenceCursor = cursor[0]
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        base: Bytes = self.arena.base
        left: uint64_t = self.sequences.node(cursor)
        right: uint64_t
        left_used: uint64_t
        right_used: uint64_t
        elements: uint32_t
        position: uint64_t
        index: uint32_t = 0
        if not self.sequences.following(state, cython.address(following)):
            return False
        right = self.sequences.node(cython.address(following))
        left_used = used(self.node(left))
        right_used = used(self.node(right))
        if not with_spare(left_used + right_used, max(capacity(self.node(left)), capacity(self.node(right)))):
            return False
        if self.node(left).pages >= self.node(right).pages:
            elements = self.sequences.elements(cython.address(following))
            self._room_right(left, right_used)
            memcpy(base + left + self.node(left).end, base + right + self.node(right).start, right_used)
            self.node(left).end += cython.cast(uint32_t, right_used)
            self._forget_tail(left)
            position = self.sequences.number_of(state, cursor)
            self._unlink(chain, cython.address(following))
            self.sequences.find(state, position, cursor, cython.address(index))
        else:
            elements = self.sequences.elements(cursor)
            self._room_left(right, left_used)
            self.node(right).start -= cython.cast(uint32_t, left_used)
            memcpy(base + right + self.node(right).start, base + left + self.node(left).start, left_used)
            self._unlink(chain, cursor)
        self.sequences.add(state, cursor, elements)
        return True

    # Proof

    def check(self, chain: cython.pointer[Chain]) -> object:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold.

        Returns {store: pages of nodes in it}, without nodes that have segments to themselves.
        """
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        found: dict = {chain.store_number: 0, chain.shared: 0}
        offset: uint64_t = chain.first
        last: uint64_t = 0
        pages: uint64_t = 0
        shared: uint64_t = 0
        node: cython.pointer[Node]
        page: uint64_t
        store_number: uint32_t
        there: cython.bint = self.sequences.first(state, cython.address(cursor))
        self.sequences.check(state)
        while there:
            assert self.sequences.node(cython.address(cursor)) == offset, f"node {offset} is not where it should be"
            node = self.node(offset)
            assert NODE_HEADER <= node.start < node.end <= capacity(node), f"node {offset}: {node.start} to {node.end}"
            self.check_node(chain, offset, self.sequences.elements(cython.address(cursor)))
            store_number = self.arena.segments[offset >> SEGMENT_SHIFT].store_number
            assert store_number == chain.store_number or (store_number == chain.shared and store_number), (
                f"node {offset} is in store {store_number}"
            )
            if self.arena.segments[offset >> SEGMENT_SHIFT].kind == NODES:
                for page in range(offset >> PAGE_SHIFT, (offset >> PAGE_SHIFT) + node.pages):
                    assert self.arena.page_maps[page >> 6] >> (page & 63) & 1, f"page {page} of a node is free"
                    assert self.arena.segments[page // PAGES_PER_SEGMENT].kind == NODES
                    assert self.arena.segments[page // PAGES_PER_SEGMENT].store_number == store_number
                found[store_number] += node.pages
            else:
                assert self.arena.segments[offset >> SEGMENT_SHIFT].kind == RUN
            pages += node.pages
            shared += node.pages if store_number != chain.store_number else 0
            last = offset
            offset = node.next
            there = self.sequences.following(state, cython.address(cursor))
        assert offset == 0 and last == chain.last, "the chain has more nodes than its sequence"
        assert pages == chain.pages, f"{pages} pages, {chain.pages} counted"
        assert shared == chain.shared_pages <= SHARED_PAGES, f"{shared} shared pages, {chain.shared_pages} counted"
        return found

    def check_node(self, chain: cython.pointer[Chain], offset: uint64_t, elements: uint32_t) -> object:
        base: Bytes = self.arena.base + offset
        node: cython.pointer[Node] = self.node(offset)
        tail: cython.pointer[Tail] = self.tail(offset)
        at: uint64_t = node.start
        number: uint32_t
        places: list = []
        for number in range(elements):
            places.append(at)
            at += element_size(chain, base + at)
            assert at <= node.end, f"an element of node {offset} leaves it"
        assert at == node.end, f"node {offset} has more than {elements} elements"
        if tail.node == offset and tail.end == node.end:
            for number in range(min(tail.count, elements)):
                assert tail.places[tail.count - 1 - number] == places[elements - 1 - number], f"tail of node {offset}"
        return None


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def copy_node(target: cython.pointer[Node], source: cython.pointer[Node]) -> cython.void:
    """The elements of a node, at the same place of another one."""
    target.start = source.start
    target.end = source.end
    memcpy(
        cython.cast(Bytes, target) + source.start,
        cython.cast(Bytes, source) + source.start,
        used(source),
    )
