# cython: cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Counted trees over sequences of list nodes, in parent-only memory.

A large list is a chain of nodes in the arena, each with some elements. A sequence says which node holds element number
n without a walk along the chain. Its entries are (node, elements): the offset of a node and how many elements it has.
They are kept by position, there is no key: where an ordered tree (ordered.py) adds up entries, this adds up elements.

A sequence is not an object. It is a struct of 24 bytes, SequenceState, which lies wherever its owner wants; Sequences
holds what all of them have in common and does the work.

Every node of the tree is one 4 KiB block of a BlockPool, out of a snapshot child's reach. Leaves and inner nodes have
one shape, a column of 8 and one of 4 bytes, so whatever moves places between nodes need not know which it has:

    leaf   | count |    | node x 340      | elements x 340 |    entry i: elements[i] elements in the list node node[i]
    inner  | count |    | elements x 340  | child x 340    |    child i: elements[i] elements in all of its entries
    bytes  0       2    16                2736             4096

A cursor is the way down to an entry, and so also the way up: next, previous and a change of an entry's elements need no
search, and a leaf no links to its neighbours. `insert` leaves its cursor at the new entry, `remove` at the one behind;
other cursors of the sequence are invalid after either.

Nodes split, even out with a neighbour and merge by the rules of counted.py. An entry costs 13 to 16 bytes, and never
more than 37 in a sequence of several leaves.

Invariants (proved by `check`):
  1. all leaves are at level 0; nodes other than the root are at least a third full; an inner root has two children
  2. every entry has a node and at least one element
  3. elements[i] of an inner node is the sum over child i; the state has the sums over all entries
  4. `blocks` is the number of nodes; an empty sequence holds none

Complexity: O(log n) for everything but `clear` and `check`. Within a node places are added up one after another from
the end that has fewer elements before it, on each of one to three levels. Both ends are found without adding up.
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memmove
from cython.cimports.minikv.engine.counted import CountedTrees, bytes_between
from cython.cimports.minikv.engine.memory import BlockPool
from cython.cimports.minikv.engine.sequence import (
    SEQUENCE_CAPACITY,
    SequenceCursor,
    SequenceInner,
    SequenceLeaf,
    SequenceState,
    tree_of,
)

from minikv.errors import BLOCKS_FULL, ArenaFull

assert cython.sizeof(SequenceLeaf) == 4096 and cython.sizeof(SequenceInner) == 4096
assert cython.sizeof(SequenceState) == 24

Count = cython.fused_type(uint32_t, uint64_t)


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def find_part(
    counts: cython.pointer[Count], n: uint32_t, number: cython.pointer[uint64_t], total: uint64_t
) -> uint32_t:
    """The place of `n` that has element `number` of all `total`; leaves in `number` which one of that place's it is."""
    before: uint64_t = number[0]
    behind: uint64_t = total - before
    at: uint32_t = 0
    if before < behind:
        while before >= counts[at]:
            before -= counts[at]
            at += 1
        number[0] = before
        return at
    at = n - 1
    while behind > counts[at]:
        behind -= counts[at]
        at -= 1
    number[0] = counts[at] - behind
    return at


@cython.final
@cython.cclass
class Sequences(CountedTrees):
    """What all sequences share; their blocks are of `pool`."""

    def __cinit__(self, pool: BlockPool):
        inner: cython.pointer[SequenceInner] = self.inner(0)
        self.leaf_capacity = self.inner_capacity = SEQUENCE_CAPACITY
        self.totals_at = bytes_between(inner, inner.elements)
        self.children_at = bytes_between(inner, inner.child)

    # Changing

    def insert_before(
        self,
        state: cython.pointer[SequenceState],
        cursor: cython.pointer[SequenceCursor],
        node: uint64_t,
        elements: uint32_t,
    ) -> cython.int:
        """Add an entry before the cursor's, at the end if that is none. ArenaFull leaves the sequence as it was."""
        if cursor.block[0] == 0 and self.last(state, cursor):
            return self.insert(state, cursor, True, node, elements)
        return self.insert(state, cursor, False, node, elements)

    def insert_after(
        self,
        state: cython.pointer[SequenceState],
        cursor: cython.pointer[SequenceCursor],
        node: uint64_t,
        elements: uint32_t,
    ) -> cython.int:
        """Add an entry behind the cursor's, at the start if that is none. ArenaFull leaves the sequence as it was."""
        if cursor.block[0] == 0 and self.first(state, cursor):
            return self.insert(state, cursor, False, node, elements)
        return self.insert(state, cursor, True, node, elements)

    def append(self, state: cython.pointer[SequenceState], node: uint64_t, elements: uint32_t) -> cython.int:
        cursor: SequenceCursor
        cursor.block[0] = 0
        return self.insert_before(state, cython.address(cursor), node, elements)

    def prepend(self, state: cython.pointer[SequenceState], node: uint64_t, elements: uint32_t) -> cython.int:
        cursor: SequenceCursor
        cursor.block[0] = 0
        return self.insert_after(state, cython.address(cursor), node, elements)

    def insert(
        self,
        state: cython.pointer[SequenceState],
        cursor: cython.pointer[SequenceCursor],
        after: cython.bint,
        node: uint64_t,
        elements: uint32_t,
    ) -> cython.int:
        """Add an entry before or behind the cursor's; the cursor is none only if the sequence is empty."""
        leaf: cython.pointer[SequenceLeaf]
        number: uint64_t
        at: uint32_t = 0
        if state.root == 0:
            after = False
            if not self.reserve(tree_of(state), 1, cython.address(state.root)):
                with cython.gil:
                    raise ArenaFull(BLOCKS_FULL)
            self.leaf(state.root).count = 0
            cursor.block[0] = state.root
            cursor.index[0] = 0
        if self.leaf(cursor.block[0]).count == SEQUENCE_CAPACITY:
            number = self.number_of(state, cursor)
            if not self.make_room(tree_of(state), cursor):
                with cython.gil:
                    raise ArenaFull(BLOCKS_FULL)
            self.find(state, number, cursor, cython.address(at))
        leaf = self.leaf(cursor.block[0])
        at = cursor.index[0] + after
        self.transfer(cursor.block[0], at + 1, cursor.block[0], at, leaf.count - at, 0)
        leaf.count += 1
        leaf.node[at] = node
        leaf.elements[at] = 0
        cursor.index[0] = at
        self.add(state, cursor, elements)
        state.entries += 1
        return 0

    def remove(self, state: cython.pointer[SequenceState], cursor: cython.pointer[SequenceCursor]):
        """Remove the cursor's entry, elements and all; the cursor moves to the entry behind it. Never needs memory."""
        number: uint64_t = self.number_of(state, cursor)
        leaf: cython.pointer[SequenceLeaf] = self.leaf(cursor.block[0])
        at: uint32_t = cursor.index[0]
        self.add(state, cursor, -cython.cast(int64_t, leaf.elements[at]))
        leaf.count -= 1
        self.transfer(cursor.block[0], at, cursor.block[0], at + 1, leaf.count - at, 0)
        state.entries -= 1
        self.shrink(tree_of(state), cursor)
        self.find(state, number, cursor, cython.address(at))

    def add(
        self,
        state: cython.pointer[SequenceState],
        cursor: cython.pointer[cython.const[SequenceCursor]],
        change: int64_t,
    ):
        """Change the number of elements in the cursor's entry; one that would have none is removed instead."""
        level: uint32_t
        leaf: cython.pointer[SequenceLeaf] = self.leaf(cursor.block[0])
        inner: cython.pointer[SequenceInner]
        leaf.elements[cursor.index[0]] += cython.cast(uint32_t, change)
        for level in range(1, state.root_level + 1):
            inner = self.inner(cursor.block[level])
            inner.elements[cursor.index[level]] += change
        state.elements += change

    def clear(self, state: cython.pointer[SequenceState]):
        """Remove every entry and return all blocks; reads the inner nodes only."""
        self.remove_all(tree_of(state))

    # Asking

    def find(
        self,
        state: cython.pointer[cython.const[SequenceState]],
        number: uint64_t,
        cursor: cython.pointer[SequenceCursor],
        index: cython.pointer[uint32_t],
    ) -> cython.bint:
        """Lead the cursor to the entry that has element `number`, which is the one at `index` in the entry's node."""
        block: uint32_t = state.root
        level: uint32_t = state.root_level
        total: uint64_t = state.elements
        at: uint32_t = 0
        if number >= total:
            cursor.block[0] = 0
            return False
        while level:
            at = find_part(self.inner(block).elements, self.inner(block).count, cython.address(number), total)
            cursor.block[level] = block
            cursor.index[level] = at
            total = self.inner(block).elements[at]
            block = self.inner(block).child[at]
            level -= 1
        cursor.block[0] = block
        cursor.index[0] = find_part(self.leaf(block).elements, self.leaf(block).count, cython.address(number), total)
        index[0] = cython.cast(uint32_t, number)
        return True

    def first(
        self, state: cython.pointer[cython.const[SequenceState]], cursor: cython.pointer[SequenceCursor]
    ) -> cython.bint:
        level: uint32_t = state.root_level
        cursor.block[level] = state.root
        cursor.index[level] = 0
        while level:
            cursor.block[level - 1] = self.inner(cursor.block[level]).child[0]
            cursor.index[level - 1] = 0
            level -= 1
        return cursor.block[0] != 0

    def last(
        self, state: cython.pointer[cython.const[SequenceState]], cursor: cython.pointer[SequenceCursor]
    ) -> cython.bint:
        level: uint32_t = state.root_level
        inner: cython.pointer[SequenceInner]
        cursor.block[level] = state.root
        while level:
            inner = self.inner(cursor.block[level])
            cursor.index[level] = inner.count - 1
            cursor.block[level - 1] = inner.child[inner.count - 1]
            level -= 1
        if cursor.block[0] == 0:
            return False
        cursor.index[0] = self.leaf(cursor.block[0]).count - 1
        return True

    def following(
        self, state: cython.pointer[cython.const[SequenceState]], cursor: cython.pointer[SequenceCursor]
    ) -> cython.bint:
        """Move on to the next entry, or behind the last to none."""
        level: uint32_t = 0
        while cursor.index[level] + 1 == self.leaf(cursor.block[level]).count:
            if level == state.root_level:
                cursor.block[0] = 0
                return False
            level += 1
        cursor.index[level] += 1
        while level:
            cursor.block[level - 1] = self.inner(cursor.block[level]).child[cursor.index[level]]
            cursor.index[level - 1] = 0
            level -= 1
        return True

    def preceding(
        self, state: cython.pointer[cython.const[SequenceState]], cursor: cython.pointer[SequenceCursor]
    ) -> cython.bint:
        """Move back to the entry before, or before the first to none."""
        level: uint32_t = 0
        while cursor.index[level] == 0:
            if level == state.root_level:
                cursor.block[0] = 0
                return False
            level += 1
        cursor.index[level] -= 1
        while level:
            cursor.block[level - 1] = self.inner(cursor.block[level]).child[cursor.index[level]]
            cursor.index[level - 1] = self.leaf(cursor.block[level - 1]).count - 1
            level -= 1
        return True

    def number_of(
        self,
        state: cython.pointer[cython.const[SequenceState]],
        cursor: cython.pointer[cython.const[SequenceCursor]],
    ) -> uint64_t:
        """How many elements are before the cursor's entry: the number of its first one."""
        level: uint32_t
        before: uint64_t = 0
        for level in range(state.root_level + 1):
            before += self.total_of(cursor.block[level], 0, cursor.index[level], level)
        return before

    # One node

    def transfer(self, target: uint32_t, at: uint32_t, source: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t):
        """Copy `n` places of both columns, from `start` in `source` to `at` in `target`; both may be one node."""
        to_leaf: cython.pointer[SequenceLeaf] = self.leaf(target)
        from_leaf: cython.pointer[SequenceLeaf] = self.leaf(source)
        memmove(to_leaf.node + at, from_leaf.node + start, n * cython.sizeof(uint64_t))
        memmove(to_leaf.elements + at, from_leaf.elements + start, n * cython.sizeof(uint32_t))

    def total_of(self, block: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t) -> uint64_t:
        """How many elements are in the places `start` to `start + n` of a node."""
        leaf: cython.pointer[SequenceLeaf] = self.leaf(block)
        inner: cython.pointer[SequenceInner] = self.inner(block)
        total: uint64_t = 0
        at: uint32_t
        if level:
            for at in range(start, start + n):
                total += inner.elements[at]
        else:
            for at in range(start, start + n):
                total += leaf.elements[at]
        return total

    # Proof

    def check(self, state: cython.pointer[cython.const[SequenceState]]) -> object:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold."""
        nodes: set = set()
        sums = (0, 0)
        if state.root:
            sums = self.check_node(state, state.root, state.root_level, nodes)
        assert sums == (state.entries, state.elements), (
            f"{sums}, not {state.entries} entries, {state.elements} elements"
        )
        self.check_blocks(tree_of(state), nodes)
        return None

    def check_node(
        self, state: cython.pointer[cython.const[SequenceState]], block: uint32_t, level: uint32_t, nodes: set
    ) -> object:
        """Prove one node and what is under it; the numbers of its entries and of their elements."""
        leaf: cython.pointer[SequenceLeaf] = self.leaf(block)
        inner: cython.pointer[SequenceInner] = self.inner(block)
        n: uint32_t = leaf.count
        at: uint32_t
        entries: uint64_t = 0
        elements: uint64_t = 0
        self.check_size(tree_of(state), block, level, nodes)
        if level == 0:
            for at in range(n):
                assert leaf.node[at] and leaf.elements[at], f"place {at} of leaf {block} is empty"
            return n, self.total_of(block, 0, n, 0)
        for at in range(n):
            below = self.check_node(state, inner.child[at], level - 1, nodes)
            assert below[1] == inner.elements[at], f"child {at} of block {block}: {below[1]}, not {inner.elements[at]}"
            entries += below[0]
            elements += below[1]
        return entries, elements
