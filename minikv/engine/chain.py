# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""Chains: long sequences of elements in records of the arena, found by position.

A chain holds the elements of a large list, or whatever else is kept in order and found by number. Its elements lie in
nodes, in the bytes that the file wants. A node has a number, and its elements are in a record, its body:

    node   | body | patches | next | start | end | size |        struct Node, by number
    body   | number | granules |  room  | element | element | ... | element |  room  |
    patch  | number | granules | next patch: 48 bits, place: 16 bits | element |

Which node holds element number n, the parent knows by a counted tree (sequence.py). Within a node elements are counted
off one by one; there are a hundred or two of them, or a few if they are large. Pushes fill a node to the brim: those at
the left end from its last byte backwards, those at the right end forwards. An element that does not fit into its node
splits it in halves; what is left of two neighbours after removals becomes one node.

Bodies are records like all others: while a snapshot is open, those that the child may read are frozen. A push then
begins a new node, and a removal at an end of a node only moves `start` or `end`. An element that is replaced becomes a
patch, a record of its own that says where in the body the old one lies, so replacing costs about the bytes of the
element. Any other change writes the node anew (`thaw`), and so does a patch for more than half of its elements, or
more than PATCHES_MAX. Readers of a node with patches get a copy with them in place. When no snapshot is open, the
patches are folded into the bodies, a few nodes at a time; a child that comes before that does what readers do.

Struct Node is parent-only. The child has a copy of all of them, `shown`, in which it follows `next`. A change of a node
is shown at once: the structs are small and close together, so the kernel copies few pages for that. Only while the
child is being made, nothing is shown, but noted in `later`.

The last element of a node can't be found from its end, so the places of the last few are remembered for some nodes
(Tail): popping at the right end walks through a node once for every TAIL_PLACES elements.

A chain is not an object but a struct, like the sequences (testing/element_chain.py has one as an object). Its records
lie in segments of a store of its own, which go as a whole, except for the first SHARED_BYTES: these it may have
in a store that many chains share, so that a short chain does not take a segment.

A change either succeeds or raises ArenaFull with nothing changed.

Invariants (proved by `check`):
  1. following `next` from `first` meets the nodes of the sequence in its order, ends at `last`, and
     each node has as many elements as its entry says, at least one
  2. a node's elements fill [start, end) exactly, behind the header and within its body
  3. bytes and shared_bytes are the sums over the live records that hold the number of a node of the chain
  4. a Tail whose node and end are true has true places
  5. each patch of a node has the place of an element, no two the same; `patched` leads to the nodes that have any
  6. what is shown of a node is what it is, unless it waits in `later`

Complexity: O(1) at both ends, O(log n) and a part of a node elsewhere.
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy, memmove
from cython.cimports.minikv.engine.arena import SEGMENT_SHIFT, Arena
from cython.cimports.minikv.engine.chain import (
    ALONE_MIN,
    LATER_MAX,
    NODE_BYTES,
    PATCH_HEADER,
    PATCH_MAX,
    PATCHES_MAX,
    SHARED_BYTES,
    SHARED_NODES,
    TAIL_PLACES,
    TAILS,
    Chain,
    Neighbours,
    Node,
    Patch,
    Place,
    Tail,
    element_size,
    is_string,
    link_patch,
    node_bytes,
    patch_after,
    patch_place,
)
from cython.cimports.minikv.engine.memory import BlockPool, reserve, unmap
from cython.cimports.minikv.engine.record import (
    NODE_PREFIX,
    RECORD_MAX,
    Bytes,
    ConstBytes,
    node_owner,
    node_size,
    string_size,
    write_node_prefix,
)
from cython.cimports.minikv.engine.sequence import SequenceCursor, Sequences, SequenceState

from minikv.errors import BLOCKS_FULL, SEGMENTS_FULL, ArenaFull

assert cython.sizeof(Node) == 32
assert cython.sizeof(Tail) == 1024
assert SHARED_NODES * ALONE_MIN >= SHARED_BYTES
assert RECORD_MAX < 1 << 16 and PATCHES_MAX < 1 << 8

# The most bytes that a node holding half of another one has to spare.
SPARE_MAX = cython.declare(uint64_t, 1 << 16)
# One change takes at most two new entries of a sequence, each a split on every level.
BLOCKS_PER_CHANGE = cython.declare(uint32_t, 16)
READY_BYTES = cython.declare(uint64_t, 4096)
# Copies of nodes that readers may hold at a time, and the bytes of one at the most: a body, and its patches.
SCRATCHES = cython.declare(uint32_t, 4)
SCRATCH_BYTES = cython.declare(uint64_t, RECORD_MAX + PATCHES_MAX * PATCH_MAX)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def bytes_to_hold(used: uint64_t) -> uint64_t:
    """Bytes of a node that begins with `nbytes` of several elements."""
    nbytes: uint64_t = (NODE_PREFIX + used + min(used // 4, SPARE_MAX) + 7) & ~cython.cast(uint64_t, 7)
    return max(nbytes, cython.cast(uint64_t, NODE_BYTES))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def rounded(nbytes: uint64_t) -> uint64_t:
    """What the arena takes for a record."""
    unit: uint64_t = 4096 if nbytes > RECORD_MAX else 8
    return (nbytes + unit - 1) & ~(unit - 1)


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
    return (NODE_PREFIX + nbytes) * 4 <= room * 3


def sort_patches(
    base: ConstBytes, node: cython.pointer[cython.const[Node]], patches: cython.pointer[Patch]
) -> uint32_t:
    """The patches of a node that replace elements which it still has, by their places; returns how many."""
    offset: uint64_t = node.patches >> 8
    place: uint32_t
    at: uint32_t
    count: uint32_t = 0
    while offset:
        place = patch_place(base, offset)
        if node.start <= place < node.end:
            at = count
            while at and patches[at - 1].place > place:
                patches[at] = patches[at - 1]
                at -= 1
            patches[at].place = place
            patches[at].offset = offset
            count += 1
        offset = patch_after(base, offset)
    return count


def merge_patches(base: Bytes, node: cython.pointer[cython.const[Node]], out: Bytes) -> Bytes:
    """Write the elements of a node with its patches in place; returns their end."""
    patches: Patch[PATCHES_MAX]
    count: uint32_t = sort_patches(base, node, patches)
    at: Bytes = base + node.body + node.start
    place: Bytes
    size: uint64_t
    number: uint32_t
    for number in range(count):
        place = base + node.body + patches[number].place
        memcpy(out, at, place - at)
        out += place - at
        size = string_size(base + patches[number].offset + PATCH_HEADER)
        memcpy(out, base + patches[number].offset + PATCH_HEADER, size)
        out += size
        at = place + string_size(place)
    memcpy(out, at, base + node.body + node.end - at)
    return out + (base + node.body + node.end - at)


@cython.final
@cython.cclass
class Chains:
    """What all chains of `arena` share; their sequences take blocks from `pool`."""

    def __cinit__(self, arena: Arena, pool: BlockPool):
        self.arena = arena
        self.sequences = Sequences(pool)
        self.tails = cython.cast(cython.pointer[Tail], reserve(TAILS * cython.sizeof(Tail), False))
        self.capacity = cython.cast(
            uint32_t, min((cython.cast(uint64_t, arena.segment_count) << SEGMENT_SHIFT) // ALONE_MIN + 2, 0xFFFFFFFF)
        )
        self.nodes = cython.cast(cython.pointer[Node], reserve(self.capacity * cython.sizeof(Node), False))
        self.shown = cython.cast(cython.pointer[Node], reserve(self.capacity * cython.sizeof(Node), True))
        self.neighbours = cython.cast(
            cython.pointer[Neighbours], reserve(self.capacity * cython.sizeof(Neighbours), False)
        )
        self.later = cython.cast(cython.pointer[uint32_t], reserve(LATER_MAX * 4, False))
        self.scratch = reserve(SCRATCHES * SCRATCH_BYTES, False)
        self.next_fresh = 1
        arena.shown_nodes = self.shown

    def __dealloc__(self):
        unmap(cython.cast(Bytes, self.tails), TAILS * cython.sizeof(Tail))
        unmap(cython.cast(Bytes, self.nodes), self.capacity * cython.sizeof(Node))
        unmap(cython.cast(Bytes, self.shown), self.capacity * cython.sizeof(Node))
        unmap(cython.cast(Bytes, self.neighbours), self.capacity * cython.sizeof(Neighbours))
        unmap(cython.cast(Bytes, self.later), LATER_MAX * 4)
        unmap(self.scratch, SCRATCHES * SCRATCH_BYTES)

    # Elements

    def find(self, chain: cython.pointer[Chain], position: uint64_t, size: cython.pointer[uint64_t]) -> Bytes:
        """The element at a position; NULL behind the last."""
        cursor: SequenceCursor
        index: uint32_t = 0
        number: uint32_t
        at: uint32_t
        patch: uint64_t
        found: Bytes
        if not self.sequences.find(
            cython.address(chain.nodes), position, cython.address(cursor), cython.address(index)
        ):
            return cython.NULL
        number = self.node_at(cython.address(cursor))
        at = self._locate_known(chain, number, index, self.sequences.elements(cython.address(cursor)))
        found = self.body(number) + at
        if self.nodes[number].patches:
            patch = self._patch_of(number, at)
            if patch:
                found = self.arena.base + patch + PATCH_HEADER
        size[0] = element_size(chain, found)
        return found

    def place(self, chain: cython.pointer[Chain], position: uint64_t, place: cython.pointer[Place]) -> cython.bint:
        """Go to the element at a position; False behind the last."""
        cursor: SequenceCursor
        index: uint32_t = 0
        number: uint32_t
        _step: uint32_t
        if not self.sequences.find(
            cython.address(chain.nodes), position, cython.address(cursor), cython.address(index)
        ):
            place.at = cython.NULL
            return False
        number = self.node_at(cython.address(cursor))
        self.enter(number, place)
        if self.nodes[number].patches:
            for _step in range(index):
                place.at += element_size(chain, place.at)
            return True
        place.at = self.body(number) + self._locate_known(
            chain, number, index, self.sequences.elements(cython.address(cursor))
        )
        return True

    def _next_scratch(self) -> Bytes:
        """Room for a copy of a node."""
        self.scratch_next = (self.scratch_next + 1) % SCRATCHES
        return self.scratch + self.scratch_next * SCRATCH_BYTES

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
        first[0] = position - index
        self.enter(self.node_at(cython.address(cursor)), place)
        return self.sequences.elements(cython.address(cursor))

    def insert(self, chain: cython.pointer[Chain], position: uint64_t, size: uint64_t) -> Bytes:
        """Room for a new element before the one at `position`, behind the last if there is none."""
        self.reserve()
        if position >= chain.nodes.elements:
            return self._push_right(chain, size)
        if position == 0:
            return self._push_left(chain, size)
        return self._put(chain, position, False, size)

    def replace(self, chain: cython.pointer[Chain], position: uint64_t, size: uint64_t) -> Bytes:
        """Room for an element in place of the one at `position`, whose bytes are lost if the size is another."""
        self.reserve()
        return self._put(chain, position, True, size)

    def thaw_at(self, chain: cython.pointer[Chain], position: uint64_t) -> cython.int:
        """Make sure that the element at a position may be written where it is, or removed without more room."""
        cursor: SequenceCursor
        index: uint32_t = 0
        if self.sequences.find(cython.address(chain.nodes), position, cython.address(cursor), cython.address(index)):
            self.thaw(chain, self.node_at(cython.address(cursor)), True)
        return 0

    def remove(self, chain: cython.pointer[Chain], position: uint64_t, count: uint64_t) -> cython.int:
        """Take out elements from `position` on, no more than there are."""
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        index: uint32_t = 0
        elements: uint32_t
        taken: uint32_t
        number: uint32_t
        start: uint32_t
        end: uint32_t
        _step: uint32_t
        left_over: cython.bint = False
        if self.sequences.find(state, position, cython.address(cursor), cython.address(index)) and (
            index and index + count < self.sequences.elements(cython.address(cursor))
        ):
            self.thaw(chain, self.node_at(cython.address(cursor)), True)
        while count and self.sequences.find(state, position, cython.address(cursor), cython.address(index)):
            number = self.node_at(cython.address(cursor))
            elements = self.sequences.elements(cython.address(cursor))
            taken = cython.cast(uint32_t, min(count, cython.cast(uint64_t, elements - index)))
            count -= taken
            if taken == elements:
                self._unlink(chain, cython.address(cursor))
                continue
            left_over = True
            start = self._locate_known(chain, number, index, elements)
            end = start
            if index + taken == elements:
                end = self.nodes[number].end
            else:
                for _step in range(taken):
                    end += cython.cast(uint32_t, element_size(chain, self.body(number) + end))
            # At an end of its elements nothing moves: the node may be frozen.
            self._resize(number, start, end - start, 0)
            self.show(number)
            self.sequences.add(state, cython.address(cursor), -cython.cast(int64_t, taken))
        # What pops leave at the ends is about to go, or to be filled again.
        if left_over and position and position < state.elements:
            self._tidy(chain, position - 1)
            self._tidy(chain, position)
        return 0

    def remove_equal(
        self,
        chain: cython.pointer[Chain],
        text: ConstBytes,
        length: uint64_t,
        limit: uint64_t,
        from_end: cython.bint,
    ) -> uint64_t:
        """Remove at most `limit` elements (RDB strings) with this text; returns how many were removed."""
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        position: uint64_t = state.elements if from_end else 0  # of the node's first element
        elements: uint32_t
        index: uint32_t = 0
        number: uint32_t
        dropped: uint32_t
        removed: uint64_t = 0
        low: uint64_t = ~cython.cast(uint64_t, 0)  # positions between which nodes have lost something
        high: uint64_t = 0
        there: cython.bint
        if self.arena.relocating or chain.patched:
            self._thaw_equal(chain, text, length, limit, from_end)
        there = (
            self.sequences.last(state, cython.address(cursor))
            if from_end
            else self.sequences.first(state, cython.address(cursor))
        )
        while there and removed < limit:
            number = self.node_at(cython.address(cursor))
            elements = self.sequences.elements(cython.address(cursor))
            position -= elements if from_end else 0
            dropped = self._drop_equal(number, text, length, limit - removed, from_end)
            removed += dropped
            if dropped:
                low = min(low, position)
                high = max(high, position)
                self.show(number)
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
            self._refit(chain, self.node_at(cython.address(cursor)))
            if not self._merge(chain, cython.address(cursor)):
                position += self.sequences.elements(cython.address(cursor))
                there = self.sequences.following(state, cython.address(cursor))
        return removed

    def _thaw_equal(
        self,
        chain: cython.pointer[Chain],
        text: ConstBytes,
        length: uint64_t,
        limit: uint64_t,
        from_end: cython.bint,
    ) -> cython.int:
        """Make sure that the nodes with the elements that remove_equal removes may be written to."""
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        node: Place
        number: uint32_t
        found: uint64_t = 0
        before: uint64_t
        there: cython.bint = (
            self.sequences.last(state, cython.address(cursor))
            if from_end
            else self.sequences.first(state, cython.address(cursor))
        )
        while there and found < limit:
            number = self.node_at(cython.address(cursor))
            self.enter(number, cython.address(node))
            before = found
            while node.at < node.end:
                found += is_string(node.at, text, length)
                node.at += string_size(node.at)
            if found > before:
                self.thaw(chain, number, True)
            there = (
                self.sequences.preceding(state, cython.address(cursor))
                if from_end
                else self.sequences.following(state, cython.address(cursor))
            )
        return 0

    def _drop_equal(
        self,
        number: uint32_t,
        text: ConstBytes,
        length: uint64_t,
        limit: uint64_t,
        from_end: cython.bint,
    ) -> uint32_t:
        """The same within one node, whose elements move together; none may be left."""
        base: Bytes = self.body(number)
        node: cython.pointer[Node] = cython.address(self.nodes[number])
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
            self._forget_tail(number)
        return dropped

    # Whole chains

    def copy(self, source: cython.pointer[Chain], target: cython.pointer[Chain]) -> cython.int:
        """Fill an empty chain, which knows its stores, with the elements of another one."""
        cursor: SequenceCursor
        number: uint32_t
        new: uint32_t
        place: Place
        nbytes: uint64_t
        there: cython.bint = self.sequences.first(cython.address(source.nodes), cython.address(cursor))
        target.width = source.width
        while there:
            number = self.node_at(cython.address(cursor))
            self.enter(number, cython.address(place))
            nbytes = place.end - place.at
            new = 0
            if self.sequences.pool.available() >= BLOCKS_PER_CHANGE:
                new = self._take_node(
                    target,
                    self.nodes[number].size
                    if self.nodes[number].start + nbytes <= self.nodes[number].size
                    else self.nodes[number].start + bytes_to_hold(nbytes),
                )
            if new == 0:
                self.clear(target)
                with cython.gil:
                    raise ArenaFull(SEGMENTS_FULL)
            self.nodes[new].start = self.nodes[number].start
            self.nodes[new].end = cython.cast(uint32_t, self.nodes[new].start + nbytes)
            memcpy(self.body(new) + self.nodes[new].start, place.at, nbytes)
            self._link(target, target.last, new)
            self.sequences.append(cython.address(target.nodes), new, self.sequences.elements(cython.address(cursor)))
            there = self.sequences.following(cython.address(source.nodes), cython.address(cursor))
        return 0

    def share_with(self, chain: cython.pointer[Chain], shared: uint32_t) -> cython.int:
        """Move the records that lie in a shared store to another one."""
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        taken: uint64_t[SHARED_NODES]
        number: uint32_t
        count: uint32_t = 0
        there: cython.bint
        self.fold(chain)
        there = chain.shared_bytes > 0 and self.sequences.first(state, cython.address(cursor))
        while there:
            number = self.node_at(cython.address(cursor))
            if self.arena.segments[self.nodes[number].body >> SEGMENT_SHIFT].store_number == chain.shared:
                taken[count] = self.arena.allocate(shared, self.nodes[number].size)
                if taken[count] == 0:
                    while count:
                        count -= 1
                        self.arena.kill(taken[count], node_size(self.arena.base + taken[count]))
                    with cython.gil:
                        raise ArenaFull(SEGMENTS_FULL)
                write_node_prefix(self.arena.base + taken[count], number, self.nodes[number].size)
                count += 1
            there = self.sequences.following(state, cython.address(cursor))
        while count:
            count -= 1
            number = node_owner(self.arena.base + taken[count])
            memcpy(
                self.arena.base + taken[count] + self.nodes[number].start,
                self.body(number) + self.nodes[number].start,
                used(cython.address(self.nodes[number])),
            )
            self.arena.kill(self.nodes[number].body, self.nodes[number].size)
            self.nodes[number].body = taken[count]
            self.show(number)
        chain.shared = shared
        return 0

    def fold(self, chain: cython.pointer[Chain]) -> cython.int:
        """Write all nodes anew that have patches."""
        while chain.patched:
            self._rewrite(chain, chain.patched, True)
        return 0

    def clear(self, chain: cython.pointer[Chain]) -> cython.void:
        """Remove all elements, node by node."""
        cursor: SequenceCursor
        there: cython.bint = self.sequences.first(cython.address(chain.nodes), cython.address(cursor))
        while there:
            self._free_node(chain, self.node_at(cython.address(cursor)))
            there = self.sequences.following(cython.address(chain.nodes), cython.address(cursor))
        self._empty(chain)

    def forget(self, chain: cython.pointer[Chain]) -> cython.void:
        """The same for a chain whose store the caller drops: only its records elsewhere die."""
        number: uint32_t
        while chain.patched:
            number = chain.patched
            self._drop_patches(chain, number)
        number = chain.first
        while number and chain.shared_bytes:
            if self.arena.segments[self.nodes[number].body >> SEGMENT_SHIFT].store_number != chain.store_number:
                self._drop_record(chain, self.nodes[number].body)
            number = self.nodes[number].next
        if chain.last:
            # All of its nodes are free at once.
            self.nodes[chain.last].next = self.free_head
            self.free_head = chain.first
        self._empty(chain)

    def abandon(self, chain: cython.pointer[Chain]) -> cython.void:
        """The stores of all its records are about to be dropped; `forget` follows."""
        number: uint32_t
        while chain.patched:
            number = chain.patched
            self._forget_patched(chain, number)
            self.nodes[number].patches = 0
        chain.shared_bytes = 0

    def _empty(self, chain: cython.pointer[Chain]) -> cython.void:
        self.sequences.clear(cython.address(chain.nodes))
        chain.first = chain.last = 0
        chain.bytes = 0
        chain.shared_bytes = 0

    # What the child sees

    def _show_later(self, number: uint32_t) -> cython.void:
        if self.arena.clone.busy and self.later_count == LATER_MAX:
            self.arena.await_clone()
        if is_set(cython.address(self.arena.clone.busy)):
            if self.later_count == 0 or self.later[self.later_count - 1] != number:
                self.later[self.later_count] = number
                self.later_count += 1
            return
        self.show_all()
        self.shown[number] = self.nodes[number]

    def show_all(self) -> cython.void:
        """Show what has not been shown yet; not while the child is being made."""
        while self.later_count:
            self.later_count -= 1
            self.shown[self.later[self.later_count]] = self.nodes[self.later[self.later_count]]

    def make_ready(self) -> cython.void:
        """A thread is about to make the child: what is likely to be touched meanwhile for the first time."""
        self.arena.make_ready(cython.cast(Bytes, self.nodes + self.next_fresh), READY_BYTES)
        self.arena.make_ready(cython.cast(Bytes, self.later), READY_BYTES)

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
        number: uint32_t = chain.first
        node: cython.pointer[Node]
        if number and self._room_left(number, size):
            node = cython.address(self.nodes[number])
            node.start -= cython.cast(uint32_t, size)
            self.show(number)
            self.sequences.first(state, cython.address(cursor))
            self.sequences.add(state, cython.address(cursor), 1)
        else:
            number = self._new_node(chain, node_bytes(size))
            node = cython.address(self.nodes[number])
            node.end = node.size
            node.start = cython.cast(uint32_t, node.end - size)
            self._link(chain, 0, number)
            self.sequences.prepend(state, number, 1)
        return self.body(number) + node.start

    def _push_right(self, chain: cython.pointer[Chain], size: uint64_t) -> Bytes:
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        number: uint32_t = chain.last
        if number and self._room_right(number, size):
            self.sequences.last(state, cython.address(cursor))
            self.sequences.add(state, cython.address(cursor), 1)
        else:
            number = self._new_node(chain, node_bytes(size))
            self._link(chain, chain.last, number)
            self.sequences.append(state, number, 1)
        return self.body(number) + self._extend(number, size)

    def _put(self, chain: cython.pointer[Chain], position: uint64_t, replaced: cython.bint, size: uint64_t) -> Bytes:
        """Room for an element in place of the one at a position or before it; not before the first of all."""
        cursor: SequenceCursor
        before: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        index: uint32_t = 0
        number: uint32_t
        elements: uint32_t
        at: uint32_t
        old: uint64_t = 0
        patch: Bytes
        self.sequences.find(state, position, cython.address(cursor), cython.address(index))
        number = self.node_at(cython.address(cursor))
        elements = self.sequences.elements(cython.address(cursor))
        if not self.is_open(number):
            if replaced and elements == 1:
                return self._put_alone(chain, number, size)
            if replaced and chain.patchable and self.arena.is_frozen(self.nodes[number].body):
                at = self._locate_known(chain, number, index, elements)
                patch = self._patch(chain, number, at, size, elements)
                if patch != cython.NULL:
                    return patch
            self.thaw(chain, number, False)
        at = self._locate(chain, number, index)
        if replaced:
            old = element_size(chain, self.body(number) + at)
        if NODE_PREFIX + used(cython.address(self.nodes[number])) - old + size > self.nodes[number].size:
            if index == 0 and not replaced:
                before = cursor
                self.sequences.preceding(state, cython.address(before))
                number = self.node_at(cython.address(before))
                if self._room_right(number, size):
                    self.sequences.add(state, cython.address(before), 1)
                    return self.body(number) + self._extend(number, size)
            if not self._split(chain, cython.address(cursor), cython.address(at), old, size):
                return self._put_apart(chain, cython.address(cursor), index, at, old, size)
            number = self.node_at(cython.address(cursor))
        if not replaced:
            self.sequences.add(state, cython.address(cursor), 1)
        at = self._resize(number, at, old, size)
        if size != old:
            self.show(number)
        if size < old:
            # The new element can't be read yet, but it can be moved.
            self._tidy(chain, position)
            self.sequences.find(state, position, cython.address(cursor), cython.address(index))
            number = self.node_at(cython.address(cursor))
            at = self._locate(chain, number, index)
        return self.body(number) + at

    def _put_alone(self, chain: cython.pointer[Chain], number: uint32_t, size: uint64_t) -> Bytes:
        """Room for another element in place of the only one of a node, whose body may be frozen."""
        body: uint64_t = self._new_record(chain, number, node_bytes(size))
        self.nodes[number].start = NODE_PREFIX
        self.nodes[number].end = cython.cast(uint32_t, NODE_PREFIX + size)
        self._move_to(chain, number, body, node_bytes(size))
        return self.body(number) + NODE_PREFIX

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
        number: uint32_t = self.node_at(cursor)
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        elements: uint32_t = self.sequences.elements(cursor)
        half: uint64_t = node.start + used(node) // 2
        middle: uint64_t = node.start
        kept: uint32_t = 0
        moved: uint64_t
        right: uint32_t
        stays: cython.bint
        if elements < 2:
            return False
        while True:
            middle += element_size(chain, self.body(number) + middle)
            kept += 1
            if kept + 1 == elements or middle + element_size(chain, self.body(number) + middle) > half:
                break
        moved = node.end - middle
        stays = at[0] < middle or (at[0] == middle and old == 0)
        if stays and NODE_PREFIX + (middle - node.start) - old + size > node.size:
            return False
        right = self._new_node(chain, bytes_to_hold(moved if stays else moved - old + size))
        memcpy(self.body(right) + NODE_PREFIX, self.body(number) + middle, moved)
        self.nodes[right].end = cython.cast(uint32_t, NODE_PREFIX + moved)
        node.end = cython.cast(uint32_t, middle)
        self._forget_tail(number)
        self._link(chain, number, right)
        self.sequences.add(state, cursor, -cython.cast(int64_t, elements - kept))
        self.sequences.insert_after(state, cursor, right, elements - kept)
        if stays:
            self.sequences.preceding(state, cursor)
        else:
            at[0] = cython.cast(uint32_t, at[0] - middle + NODE_PREFIX)
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
        number: uint32_t = self.node_at(cursor)
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        behind: uint32_t = self.sequences.elements(cursor) - index - (old != 0)
        moved: uint64_t = node.end - at - old
        right: uint32_t = 0
        new: uint32_t
        if index == 0 and behind == 0:
            return self._put_alone(chain, number, size)
        if index and behind:
            right = self._new_node(chain, bytes_to_hold(moved))
        new = self._take_node(chain, node_bytes(size))
        if new == 0:
            if right:
                self._free_node(chain, right)
            with cython.gil:
                raise ArenaFull(SEGMENTS_FULL)
        self.nodes[new].end = cython.cast(uint32_t, NODE_PREFIX + size)
        if index == 0:
            node.start = cython.cast(uint32_t, at + old)
            self._forget_tail(number)
            self.show(number)
            self.sequences.add(state, cursor, -cython.cast(int64_t, old != 0))
            self._link(chain, self._before(chain, cursor), new)
            self.sequences.insert_before(state, cursor, new, 1)
        else:
            if right:
                memcpy(self.body(right) + NODE_PREFIX, self.body(number) + at + old, moved)
                self.nodes[right].end = cython.cast(uint32_t, NODE_PREFIX + moved)
            node.end = at
            self._forget_tail(number)
            self.sequences.add(state, cursor, -cython.cast(int64_t, behind + (old != 0)))
            self._link(chain, number, new)
            self.sequences.insert_after(state, cursor, new, 1)
            if right:
                self._link(chain, new, right)
                self.sequences.insert_after(state, cursor, right, behind)
        return self.body(new) + NODE_PREFIX

    def _resize(self, number: uint32_t, at: uint32_t, old: uint64_t, size: uint64_t) -> uint32_t:
        """Make `size` bytes of the `old` ones at `at`, which the node has room for; returns where they begin then."""
        base: Bytes = self.body(number)
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        left: uint64_t = at - node.start
        right: uint64_t = node.end - at - old
        more: int64_t = cython.cast(int64_t, size) - cython.cast(int64_t, old)
        room_left: int64_t = cython.cast(int64_t, node.start) - NODE_PREFIX
        room_right: int64_t = cython.cast(int64_t, node.size) - node.end
        end: uint32_t = node.end
        if more == 0:
            return at
        if old == 0 and right == 0 and more <= room_right:
            return self._extend(number, size)
        if more <= room_left and (left < right or more > room_right):
            memmove(base + node.start - more, base + node.start, left)
            # The first place known must not be of an element that has moved or gone.
            if left or self.tail(number).places[0] < at + old:
                self._forget_tail(number)
            node.start = cython.cast(uint32_t, node.start - more)
            return cython.cast(uint32_t, at - more)
        if more <= room_right:
            memmove(base + at + size, base + at + old, right)
            node.end = cython.cast(uint32_t, node.end + more)
            if right:
                self._forget_tail(number)
            else:
                self._cut_tail(number, end)
            return at
        memmove(base + NODE_PREFIX, base + node.start, left)
        memmove(base + NODE_PREFIX + left + size, base + at + old, right)
        node.start = NODE_PREFIX
        node.end = cython.cast(uint32_t, NODE_PREFIX + left + size + right)
        self._forget_tail(number)
        return cython.cast(uint32_t, NODE_PREFIX + left)

    def _room_left(self, number: uint32_t, size: uint64_t) -> cython.bint:
        """Make sure of `size` bytes before a node's first element; False if they can't be had cheaply."""
        return self.is_open(number) and (self.nodes[number].start - NODE_PREFIX >= size or self._slide(number, size, 0))

    def _room_right(self, number: uint32_t, size: uint64_t) -> cython.bint:
        """Make sure of `size` bytes behind a node's last element."""
        return self.is_open(number) and (
            self.nodes[number].size - self.nodes[number].end >= size or self._slide(number, 0, size)
        )

    def _slide(self, number: uint32_t, left: uint64_t, right: uint64_t) -> cython.bint:
        """Move a node's elements so that `left` bytes are free before or `right` ones behind them, more on each side.

        False if the node is too full for that to be worth it.
        """
        base: Bytes = self.body(number)
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        nbytes: uint64_t = used(node)
        start: uint64_t
        if not with_spare(nbytes + left + right, node.size):
            return False
        start = NODE_PREFIX + left + (node.size - NODE_PREFIX - nbytes - left - right) // 2
        memmove(base + start, base + node.start, nbytes)
        node.start = cython.cast(uint32_t, start)
        node.end = cython.cast(uint32_t, start + nbytes)
        self._forget_tail(number)
        return True

    def _extend(self, number: uint32_t, size: uint64_t) -> uint32_t:
        """Take `size` bytes behind a node's last element for one more; returns where they begin."""
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        tail: cython.pointer[Tail] = self.tail(number)
        at: uint32_t = node.end
        node.end = cython.cast(uint32_t, at + size)
        self.show(number)
        if tail.node != number or tail.end != at:
            tail.node = number
            tail.count = 0
        elif tail.count == TAIL_PLACES:
            tail.count = TAIL_PLACES // 2
            memcpy(tail.places, cython.address(tail.places[TAIL_PLACES - TAIL_PLACES // 2]), TAIL_PLACES // 2 * 4)
        tail.places[tail.count] = at
        tail.count += 1
        tail.end = node.end
        return at

    # Where elements lie in their node

    def _locate(self, chain: cython.pointer[cython.const[Chain]], number: uint32_t, index: uint32_t) -> uint32_t:
        """Where a node's element number `index` begins, by what is before it only."""
        base: Bytes = self.body(number)
        at: Bytes = base + self.nodes[number].start
        _step: uint32_t
        if chain.width:
            return self.nodes[number].start + index * chain.width
        for _step in range(index):
            at += string_size(at)
        return cython.cast(uint32_t, at - base)

    def _locate_known(
        self, chain: cython.pointer[cython.const[Chain]], number: uint32_t, index: uint32_t, elements: uint32_t
    ) -> uint32_t:
        """The same, faster for the last few elements."""
        tail: cython.pointer[Tail] = self.tail(number)
        from_end: uint32_t = elements - index
        if chain.width == 0 and index > from_end and from_end <= TAIL_PLACES // 2:
            if tail.node != number or tail.end != self.nodes[number].end or tail.count < from_end:
                self._learn_tail(number, elements)
            return tail.places[tail.count - from_end]
        return self._locate(chain, number, index)

    def _learn_tail(self, number: uint32_t, elements: uint32_t) -> cython.void:
        base: Bytes = self.body(number)
        at: Bytes = base + self.nodes[number].start
        tail: cython.pointer[Tail] = self.tail(number)
        count: uint32_t = min(elements, cython.cast(uint32_t, TAIL_PLACES))
        index: uint32_t
        for index in range(elements - count):
            at += string_size(at)
        for index in range(count):
            tail.places[index] = cython.cast(uint32_t, at - base)
            at += string_size(at)
        tail.node = number
        tail.end = self.nodes[number].end
        tail.count = count

    def _cut_tail(self, number: uint32_t, old_end: uint32_t) -> cython.void:
        """The node has a new end, but what is left of its elements lies where it did."""
        tail: cython.pointer[Tail] = self.tail(number)
        if tail.node == number and tail.end == old_end:
            tail.end = self.nodes[number].end
            while tail.count and tail.places[tail.count - 1] >= tail.end:
                tail.count -= 1

    def _forget_tail(self, number: uint32_t) -> cython.void:
        if self.tail(number).node == number:
            self.tail(number).node = 0

    # Patches

    def _patch(
        self, chain: cython.pointer[Chain], number: uint32_t, at: uint32_t, size: uint64_t, elements: uint32_t
    ) -> Bytes:
        """Room for an element in place of the one at `at` of a frozen node; NULL: it is better written anew."""
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        base: Bytes = self.arena.base
        count: uint32_t = cython.cast(uint32_t, node.patches & 0xFF)
        patch: uint64_t = self._patch_of(number, at) if count else 0
        if size > PATCH_MAX or node.size > RECORD_MAX:
            return cython.NULL
        if patch:
            if not self.arena.fits(patch, node_size(base + patch), PATCH_HEADER + size):
                return cython.NULL
            return base + patch + PATCH_HEADER
        if count == PATCHES_MAX or 2 * count >= elements:
            return cython.NULL
        patch = self._new_record(chain, number, PATCH_HEADER + size)
        link_patch(base, patch, node.patches >> 8, at)
        if count == 0:
            self._note_patched(chain, number)
        node.patches = patch << 8 | (count + 1)
        self.arena.relocated_records += 1
        self.arena.relocated_bytes += size
        self.show(number)
        return base + patch + PATCH_HEADER

    def _patch_of(self, number: uint32_t, at: uint32_t) -> uint64_t:
        """The patch of the element at `at`; 0: it has none."""
        patch: uint64_t = self.nodes[number].patches >> 8
        while patch and patch_place(self.arena.base, patch) != at:
            patch = patch_after(self.arena.base, patch)
        return patch

    def thaw(self, chain: cython.pointer[Chain], number: uint32_t, removing: cython.bint) -> cython.int:
        """Make sure that a node may be written where it is. removing: it may use the arena's reserve for that."""
        return 0 if self.is_open(number) else self._rewrite(chain, number, removing)

    def _rewrite(self, chain: cython.pointer[Chain], number: uint32_t, removing: cython.bint) -> cython.int:
        """Write a node anew, its patches in place; where it is if it may be."""
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        text: Bytes = self.body(number) + node.start
        nbytes: uint64_t = used(node)
        start: uint64_t = node.start
        size: uint64_t = node.size
        body: uint64_t
        if node.patches:
            text = self._next_scratch()
            nbytes = merge_patches(self.arena.base, node, text) - text
            self._forget_tail(number)
            if start + nbytes > size:
                if NODE_PREFIX + nbytes > size:
                    size = bytes_to_hold(nbytes)
                start = NODE_PREFIX + (size - NODE_PREFIX - nbytes) // 2
            if size == node.size and not self.arena.is_frozen(node.body):
                memcpy(self.body(number) + start, text, nbytes)
                self._drop_patches(chain, number)
                node.start = cython.cast(uint32_t, start)
                node.end = cython.cast(uint32_t, start + nbytes)
                self.show(number)
                return 0
        self.arena.may_use_reserve = removing
        body = self._take_record(chain, number, size)
        self.arena.may_use_reserve = False
        if body == 0:
            with cython.gil:
                raise ArenaFull(SEGMENTS_FULL)
        memcpy(self.arena.base + body + start, text, nbytes)
        if self.arena.is_frozen(node.body):
            self.arena.relocated_records += 1
            self.arena.relocated_bytes += nbytes
        node.start = cython.cast(uint32_t, start)
        node.end = cython.cast(uint32_t, start + nbytes)
        self._move_to(chain, number, body, size)
        return 0

    def _note_patched(self, chain: cython.pointer[Chain], number: uint32_t) -> cython.void:
        self.neighbours[number].previous = 0
        self.neighbours[number].next = chain.patched
        if chain.patched:
            self.neighbours[chain.patched].previous = number
        chain.patched = number
        self.patched_nodes += 1

    def _forget_patched(self, chain: cython.pointer[Chain], number: uint32_t) -> cython.void:
        neighbours: Neighbours = self.neighbours[number]
        if neighbours.previous:
            self.neighbours[neighbours.previous].next = neighbours.next
        else:
            chain.patched = neighbours.next
        if neighbours.next:
            self.neighbours[neighbours.next].previous = neighbours.previous
        self.patched_nodes -= 1

    def _drop_patches(self, chain: cython.pointer[Chain], number: uint32_t) -> cython.void:
        patch: uint64_t = self.nodes[number].patches >> 8
        following: uint64_t
        if patch:
            self._forget_patched(chain, number)
        while patch:
            following = patch_after(self.arena.base, patch)
            self._drop_record(chain, patch)
            patch = following
        self.nodes[number].patches = 0

    # Records

    def _take_record(self, chain: cython.pointer[Chain], number: uint32_t, size: uint64_t) -> uint64_t:
        """A record of a node, its header written; 0 when the arena is full."""
        shared: cython.bint = chain.shared != 0 and chain.shared_bytes + rounded(size) <= SHARED_BYTES
        offset: uint64_t = self.arena.allocate(chain.shared if shared else chain.store_number, size)
        if offset:
            write_node_prefix(self.arena.base + offset, number, size)
            chain.bytes += rounded(size)
            if shared:
                chain.shared_bytes += cython.cast(uint32_t, rounded(size))
        return offset

    def _new_record(self, chain: cython.pointer[Chain], number: uint32_t, size: uint64_t) -> uint64_t:
        offset: uint64_t = self._take_record(chain, number, size)
        if offset == 0:
            with cython.gil:
                raise ArenaFull(SEGMENTS_FULL)
        return offset

    def _drop_record(self, chain: cython.pointer[Chain], offset: uint64_t) -> cython.void:
        size: uint64_t = node_size(self.arena.base + offset)
        chain.bytes -= rounded(size)
        if self.arena.segments[offset >> SEGMENT_SHIFT].store_number != chain.store_number:
            chain.shared_bytes -= cython.cast(uint32_t, rounded(size))
        self.arena.kill(offset, size)

    def _move_to(self, chain: cython.pointer[Chain], number: uint32_t, body: uint64_t, size: uint64_t) -> cython.void:
        """Give a node another body, which has its elements and those of its patches."""
        self._drop_patches(chain, number)
        self._drop_record(chain, self.nodes[number].body)
        self.nodes[number].body = body
        self.nodes[number].size = cython.cast(uint32_t, size)
        self.show(number)

    def moved(self, old: uint64_t, new: uint64_t) -> cython.void:
        """A record has been moved to another place."""
        number: uint32_t = node_owner(self.arena.base + new)
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        patch: uint64_t = node.patches >> 8
        if node.body == old:
            node.body = new
        elif patch == old:
            node.patches = new << 8 | (node.patches & 0xFF)
        else:
            while patch_after(self.arena.base, patch) != old:
                patch = patch_after(self.arena.base, patch)
            link_patch(self.arena.base, patch, new, patch_place(self.arena.base, patch))
        self.show(number)

    # Nodes

    def _take_node(self, chain: cython.pointer[Chain], size: uint64_t) -> uint32_t:
        """An empty node, not yet linked; 0 when the arena is full."""
        number: uint32_t = self.free_head or self.next_fresh
        body: uint64_t = self._take_record(chain, number, size) if number < self.capacity else 0
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        if body == 0:
            return 0
        if number == self.free_head:
            self.free_head = node.next
        else:
            self.next_fresh += 1
        self._forget_tail(number)
        # Touched now, not while the child is being made: a page fault would wait for that.
        self.neighbours[number].next = 0
        node.body = body
        node.patches = 0
        node.next = 0
        node.start = node.end = NODE_PREFIX
        node.size = cython.cast(uint32_t, size)
        return number

    def _new_node(self, chain: cython.pointer[Chain], size: uint64_t) -> uint32_t:
        number: uint32_t = self._take_node(chain, size)
        if number == 0:
            with cython.gil:
                raise ArenaFull(SEGMENTS_FULL)
        return number

    def _free_node(self, chain: cython.pointer[Chain], number: uint32_t) -> cython.void:
        self._drop_patches(chain, number)
        self._drop_record(chain, self.nodes[number].body)
        self._forget_tail(number)
        self.nodes[number].next = self.free_head
        self.free_head = number

    def _before(
        self, chain: cython.pointer[cython.const[Chain]], cursor: cython.pointer[cython.const[SequenceCursor]]
    ) -> uint32_t:
        """The node before the cursor's; 0: none."""
        before: SequenceCursor = cursor[0]
        if not self.sequences.preceding(cython.address(chain.nodes), cython.address(before)):
            return 0
        return self.node_at(cython.address(before))

    def _link(self, chain: cython.pointer[Chain], before: uint32_t, number: uint32_t) -> cython.void:
        """Let a node follow another one, or be the first (0); what else has changed of both is shown, too."""
        if before:
            self.nodes[number].next = self.nodes[before].next
            self.nodes[before].next = number
        else:
            self.nodes[number].next = chain.first
            chain.first = number
        if chain.last == before:
            chain.last = number
        self.show(number)
        if before:
            self.show(before)

    def _unlink(self, chain: cython.pointer[Chain], cursor: cython.pointer[SequenceCursor]) -> cython.void:
        """Free the cursor's node; the cursor goes to the one behind."""
        number: uint32_t = self.node_at(cursor)
        before: uint32_t = self._before(chain, cursor)
        if before:
            self.nodes[before].next = self.nodes[number].next
            self.show(before)
        else:
            chain.first = self.nodes[number].next
        if chain.last == number:
            chain.last = before
        self._free_node(chain, number)
        self.sequences.remove(cython.address(chain.nodes), cursor)

    # Nodes that have become too large for what is in them

    def _tidy(self, chain: cython.pointer[Chain], position: uint64_t) -> cython.void:
        """Make the node with the element at `position` smaller, or one with its neighbours, if that saves memory."""
        cursor: SequenceCursor
        index: uint32_t = 0
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        self.sequences.find(state, position, cython.address(cursor), cython.address(index))
        self._refit(chain, self.node_at(cython.address(cursor)))
        self._merge(chain, cython.address(cursor))
        if self.sequences.preceding(state, cython.address(cursor)):
            self._merge(chain, cython.address(cursor))

    def _refit(self, chain: cython.pointer[Chain], number: uint32_t) -> cython.void:
        """Move the elements of a node to a smaller body if they fill a quarter of it or less."""
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        size: uint64_t = bytes_to_hold(used(node))
        body: uint64_t
        if node.size <= NODE_BYTES or (NODE_PREFIX + used(node)) * 4 > node.size or not self.is_open(number):
            return
        self.arena.may_use_reserve = True
        body = self._take_record(chain, number, size)
        self.arena.may_use_reserve = False
        if body == 0:
            return
        memcpy(self.arena.base + body + NODE_PREFIX, self.body(number) + node.start, used(node))
        node.end = cython.cast(uint32_t, NODE_PREFIX + used(node))
        node.start = NODE_PREFIX
        self._forget_tail(number)
        self._move_to(chain, number, body, size)

    def _merge(self, chain: cython.pointer[Chain], cursor: cython.pointer[SequenceCursor]) -> cython.bint:
        """Put the elements of the cursor's node and of the next one into one of the two if there is room to spare."""
        following: SequenceCursor = cursor[0]
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        left: uint32_t = self.node_at(cursor)
        right: uint32_t
        left_used: uint64_t
        right_used: uint64_t
        elements: uint32_t
        position: uint64_t
        index: uint32_t = 0
        if not self.sequences.following(state, cython.address(following)):
            return False
        right = self.node_at(cython.address(following))
        left_used = used(cython.address(self.nodes[left]))
        right_used = used(cython.address(self.nodes[right]))
        if not with_spare(left_used + right_used, max(self.nodes[left].size, self.nodes[right].size)):
            return False
        if not self.is_open(left) or not self.is_open(right):
            return False
        if self.nodes[left].size >= self.nodes[right].size:
            elements = self.sequences.elements(cython.address(following))
            self._room_right(left, right_used)
            memcpy(self.body(left) + self.nodes[left].end, self.body(right) + self.nodes[right].start, right_used)
            self.nodes[left].end += cython.cast(uint32_t, right_used)
            self._forget_tail(left)
            position = self.sequences.number_of(state, cursor)
            self._unlink(chain, cython.address(following))
            self.show(left)
            self.sequences.find(state, position, cursor, cython.address(index))
        else:
            elements = self.sequences.elements(cursor)
            self._room_left(right, left_used)
            self.nodes[right].start -= cython.cast(uint32_t, left_used)
            memcpy(self.body(right) + self.nodes[right].start, self.body(left) + self.nodes[left].start, left_used)
            self._unlink(chain, cursor)
            self.show(right)
        self.sequences.add(state, cursor, elements)
        return True

    # Proof

    def check(self, chain: cython.pointer[Chain]) -> object:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold.

        Returns {store: bytes of records in it}.
        """
        cursor: SequenceCursor
        state: cython.pointer[SequenceState] = cython.address(chain.nodes)
        found: dict = {chain.store_number: 0, chain.shared: 0}
        number: uint32_t = chain.first
        last: uint32_t = 0
        patched: uint32_t = 0
        node: cython.pointer[Node]
        record: uint64_t
        store_number: uint32_t
        there: cython.bint = self.sequences.first(state, cython.address(cursor))
        self.sequences.check(state)
        while there:
            assert self.node_at(cython.address(cursor)) == number, f"node {number} is not where it should be"
            node = cython.address(self.nodes[number])
            assert NODE_PREFIX <= node.start < node.end <= node.size, f"node {number}: {node.start} to {node.end}"
            assert node.size == node_size(self.body(number)), f"node {number}: {node.size} bytes"
            assert self.later_count or memcmp(node, cython.address(self.shown[number]), cython.sizeof(Node)) == 0, (
                f"node {number} is not shown"
            )
            self.check_node(chain, number, self.sequences.elements(cython.address(cursor)))
            patched += node.patches != 0
            record = node.body
            while record:
                store_number = self.arena.segments[record >> SEGMENT_SHIFT].store_number
                assert store_number == chain.store_number or (store_number == chain.shared and store_number), (
                    f"a record of node {number} is in store {store_number}"
                )
                assert self.arena.is_live(record), f"a record of node {number} is dead"
                assert node_owner(self.arena.base + record) == number, f"a record of node {number} is another's"
                found[store_number] += rounded(node_size(self.arena.base + record))
                record = node.patches >> 8 if record == node.body else patch_after(self.arena.base, record)
            last = number
            number = node.next
            there = self.sequences.following(state, cython.address(cursor))
        assert number == 0 and last == chain.last, "the chain has more nodes than its sequence"
        shared: int = found[chain.shared] if chain.shared else 0
        assert sum(found.values()) == chain.bytes, f"{found} bytes, {chain.bytes} counted"
        assert shared == chain.shared_bytes <= SHARED_BYTES, f"{shared} shared bytes, {chain.shared_bytes} counted"
        number = chain.patched
        while number:
            assert self.nodes[number].patches, f"node {number} has no patches"
            patched -= 1
            number = self.neighbours[number].next
        assert patched == 0, "not all nodes with patches are known"
        return found

    def check_node(self, chain: cython.pointer[Chain], number: uint32_t, elements: uint32_t) -> object:
        base: Bytes = self.body(number)
        node: cython.pointer[Node] = cython.address(self.nodes[number])
        tail: cython.pointer[Tail] = self.tail(number)
        at: uint64_t = node.start
        index: uint32_t = 0
        places: list = []
        for index in range(elements):
            places.append(at)
            at += element_size(chain, base + at)
            assert at <= node.end, f"an element of node {number} leaves it"
        assert at == node.end, f"node {number} has more than {elements} elements"
        if tail.node == number and tail.end == node.end:
            for index in range(min(tail.count, elements)):
                assert tail.places[tail.count - 1 - index] == places[elements - 1 - index], f"tail of node {number}"
        self.check_patches(chain, number, places)
        return None

    def check_patches(self, chain: cython.pointer[Chain], number: uint32_t, places: list) -> object:
        """Prove that each patch of a node replaces one of these elements, or one that has gone from an end."""
        patch: uint64_t = self.nodes[number].patches >> 8
        place: uint32_t
        count: uint32_t = 0
        seen: set = set()
        while patch:
            place = patch_place(self.arena.base, patch)
            assert place not in seen, f"node {number} has two patches at {place}"
            assert place in places or not self.nodes[number].start <= place < self.nodes[number].end, (
                f"node {number} has a patch at {place}, where no element begins"
            )
            assert PATCH_HEADER + element_size(chain, self.arena.base + patch + PATCH_HEADER) <= node_size(
                self.arena.base + patch
            ), f"a patch of node {number} is cut"
            seen.add(place)
            count += 1
            patch = patch_after(self.arena.base, patch)
        assert count == self.nodes[number].patches & 0xFF, f"node {number} has {count} patches"
        return None
