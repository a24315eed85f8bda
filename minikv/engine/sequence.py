# cython: cdivision=True
"""Counted trees over sequences of list nodes, in parent-only memory.

A large list is a chain of nodes in the arena, each with some elements. A sequence says which node holds element number
n without a walk along the chain. Its entries are (node, elements): the offset of a node and how many elements it has.
They are kept by position, there is no key: where an ordered tree (ordered.py) adds up entries, this adds up elements.

A sequence is not an object. It is a struct of 24 bytes, SequenceState, which lies wherever its owner wants; Sequences
holds what all of them have in common and does the work. SequenceIndex is one as an object, for Python.

Every node of the tree is one 4 KiB block of a BlockPool, out of a snapshot child's reach. Leaves and inner nodes have
one shape, a column of 8 and one of 4 bytes, so whatever moves places between nodes need not know which it has:

    leaf   | count |    | node x 340      | elements x 340 |    entry i: elements[i] elements in the list node node[i]
    inner  | count |    | elements x 340  | child x 340    |    child i: elements[i] elements in all of its entries
    bytes  0       2    16                2736             4096

A cursor is the way down to an entry, and so also the way up: next, previous and a change of an entry's elements need no
search, and a leaf no links to its neighbours. `insert` leaves its cursor at the new entry, `remove` at the one behind;
other cursors of the sequence are invalid after either.

Nodes split, even out with a neighbour and merge by the rules of ordered.py. An entry costs 13 to 16 bytes, and never
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
from cython.cimports.minikv.engine.memory import BlockPool
from cython.cimports.minikv.engine.sequence import (
    SEQUENCE_CAPACITY,
    SEQUENCE_LEVELS,
    SequenceCursor,
    SequenceInner,
    SequenceLeaf,
    SequenceState,
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
class Sequences:
    """What all sequences share; their blocks are of `pool`."""

    def __cinit__(self, pool: BlockPool):
        self.pool = pool

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
        cursor = cython.declare(SequenceCursor)
        cursor.block[0] = 0
        return self.insert_before(state, cython.address(cursor), node, elements)

    def prepend(self, state: cython.pointer[SequenceState], node: uint64_t, elements: uint32_t) -> cython.int:
        cursor = cython.declare(SequenceCursor)
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
            if not self.reserve(state, 1, cython.address(state.root)):
                with cython.gil:
                    raise ArenaFull(BLOCKS_FULL)
            self.leaf(state.root).count = 0
            cursor.block[0] = state.root
            cursor.index[0] = 0
        if self.leaf(cursor.block[0]).count == SEQUENCE_CAPACITY:
            number = self.number_of(state, cursor)
            if not self.make_room(state, cursor):
                with cython.gil:
                    raise ArenaFull(BLOCKS_FULL)
            self.find(state, number, cursor, cython.address(at))
        leaf = self.leaf(cursor.block[0])
        at = cursor.index[0] + after
        self.transfer(cursor.block[0], at + 1, cursor.block[0], at, leaf.count - at)
        leaf.count += 1
        leaf.node[at] = node
        leaf.elements[at] = 0
        cursor.index[0] = at
        self.add(state, cursor, elements)
        state.entries += 1
        return 0

    def remove(self, state: cython.pointer[SequenceState], cursor: cython.pointer[SequenceCursor]):
        """Take the cursor's entry out, elements and all; the cursor goes to the entry behind it. Never needs memory."""
        number: uint64_t = self.number_of(state, cursor)
        leaf: cython.pointer[SequenceLeaf] = self.leaf(cursor.block[0])
        at: uint32_t = cursor.index[0]
        self.add(state, cursor, -cython.cast(int64_t, leaf.elements[at]))
        leaf.count -= 1
        self.transfer(cursor.block[0], at, cursor.block[0], at + 1, leaf.count - at)
        state.entries -= 1
        self.shrink(state, cursor)
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
        """Forget every entry and give all blocks back; reads the inner nodes only."""
        if state.root:
            self.release(state, state.root, state.root_level)
        state.elements = 0
        state.entries = 0
        state.root = 0
        state.root_level = 0

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
            before += self.elements_in(cursor.block[level], 0, cursor.index[level], level)
        return before

    # Room for entries

    def make_room(self, state: cython.pointer[SequenceState], path: cython.pointer[SequenceCursor]) -> cython.bint:
        """Give the full leaf at the end of `path` room; False, and nothing changed, if the pool is too full for that.

        All blocks are taken before the first node changes. Splits go from the top down: a parent then always has room.
        The path is invalid afterwards.
        """
        fresh = cython.declare(uint32_t[SEQUENCE_LEVELS])
        level: uint32_t = 0
        needed: uint32_t = 1
        if self.spill(state, path):
            return True
        while level < state.root_level and self.inner(path.block[level + 1]).count == SEQUENCE_CAPACITY:
            level += 1
            needed += 1
        if level == state.root_level:
            needed += 1
        if not self.reserve(state, needed, fresh):
            return False
        if level == state.root_level:
            needed -= 1
            self.grow_root(state, fresh[needed])
            path.block[state.root_level] = state.root
            path.index[state.root_level] = 0
        while needed:
            needed -= 1
            self.split(path, needed, fresh[needed])
        return True

    def spill(
        self,
        state: cython.pointer[cython.const[SequenceState]],
        path: cython.pointer[cython.const[SequenceCursor]],
    ) -> cython.bint:
        """Even the full leaf out with the emptier of its neighbours, if that gains an eighth of a leaf or more."""
        parent: cython.pointer[SequenceInner]
        at: uint32_t
        left_room: uint32_t = 0
        right_room: uint32_t = 0
        if state.root_level == 0:
            return False
        parent = self.inner(path.block[1])
        at = path.index[1]
        if at:
            left_room = SEQUENCE_CAPACITY - self.leaf(parent.child[at - 1]).count
        if at + 1 < parent.count:
            right_room = SEQUENCE_CAPACITY - self.leaf(parent.child[at + 1]).count
        if max(left_room, right_room) < SEQUENCE_CAPACITY // 8:
            return False
        self.even(path.block[1], at - 1 if left_room > right_room else at, 0)
        return True

    def reserve(
        self, state: cython.pointer[SequenceState], needed: uint32_t, blocks: cython.pointer[uint32_t]
    ) -> cython.bint:
        """Take `needed` blocks from the pool, or none and False."""
        taken: uint32_t = 0
        while taken < needed:
            blocks[taken] = self.pool.allocate()
            if blocks[taken] == 0:
                while taken:
                    taken -= 1
                    self.pool.free(blocks[taken])
                return False
            taken += 1
        state.blocks += needed
        return True

    def grow_root(self, state: cython.pointer[SequenceState], block: uint32_t):
        """Put an inner node with the old root as its only child on top; the caller splits that child at once."""
        root: cython.pointer[SequenceInner] = self.inner(block)
        root.count = 1
        root.elements[0] = state.elements
        root.child[0] = state.root
        state.root = block
        state.root_level += 1

    def split(self, path: cython.pointer[SequenceCursor], level: uint32_t, right: uint32_t):
        """Move the second half of the node at `level` of `path` to the new node `right`; the path stays true."""
        left: uint32_t = path.block[level]
        above: uint32_t = path.block[level + 1]
        at: uint32_t = path.index[level + 1]
        parent: cython.pointer[SequenceInner] = self.inner(above)
        kept: uint32_t = SEQUENCE_CAPACITY // 2
        moved: uint32_t = SEQUENCE_CAPACITY - kept
        self.transfer(right, 0, left, kept, moved)
        self.leaf(right).count = moved
        self.leaf(left).count = kept
        self.transfer(above, at + 2, above, at + 1, parent.count - at - 1)
        parent.count += 1
        parent.child[at + 1] = right
        parent.elements[at + 1] = self.elements_in(right, 0, moved, level)
        parent.elements[at] -= parent.elements[at + 1]
        if path.index[level] >= kept:
            path.block[level] = right
            path.index[level] -= kept

    def shrink(self, state: cython.pointer[SequenceState], path: cython.pointer[cython.const[SequenceCursor]]):
        """After a removal: repair what `path` left less than a third full, and give up levels that hold one node."""
        level: uint32_t = 0
        parent: cython.pointer[SequenceInner]
        at: uint32_t
        child: uint32_t
        together: uint32_t
        while level < state.root_level and self.leaf(path.block[level]).count < SEQUENCE_CAPACITY // 3:
            parent = self.inner(path.block[level + 1])
            at = path.index[level + 1]
            if at:
                at -= 1
            together = self.leaf(parent.child[at]).count + self.leaf(parent.child[at + 1]).count
            if together > SEQUENCE_CAPACITY * 3 // 4:
                self.even(path.block[level + 1], at, level)
                break
            self.merge(state, path.block[level + 1], at, level)
            level += 1
        while state.root_level and self.inner(state.root).count == 1:
            child = self.inner(state.root).child[0]
            self.drop_block(state, state.root)
            state.root = child
            state.root_level -= 1
        if state.entries == 0:
            self.clear(state)

    def even(self, above: uint32_t, at: uint32_t, level: uint32_t):
        """Share what children `at` and `at + 1` (at `level`) of the node `above` hold equally between them."""
        parent: cython.pointer[SequenceInner] = self.inner(above)
        left: uint32_t = parent.child[at]
        right: uint32_t = parent.child[at + 1]
        left_count: uint32_t = self.leaf(left).count
        right_count: uint32_t = self.leaf(right).count
        goal: uint32_t = (left_count + right_count) // 2
        n: uint32_t
        moved: uint64_t
        if left_count < goal:
            n = goal - left_count
            moved = self.elements_in(right, 0, n, level)
            self.transfer(left, left_count, right, 0, n)
            self.transfer(right, 0, right, n, right_count - n)
            parent.elements[at] += moved
            parent.elements[at + 1] -= moved
        else:
            n = left_count - goal
            moved = self.elements_in(left, goal, n, level)
            self.transfer(right, n, right, 0, right_count)
            self.transfer(right, 0, left, goal, n)
            parent.elements[at] -= moved
            parent.elements[at + 1] += moved
        self.leaf(left).count = goal
        self.leaf(right).count = left_count + right_count - goal

    def merge(self, state: cython.pointer[SequenceState], above: uint32_t, at: uint32_t, level: uint32_t):
        """Move all that child `at + 1` (at `level`) of the node `above` holds into child `at`, and free it."""
        parent: cython.pointer[SequenceInner] = self.inner(above)
        left: uint32_t = parent.child[at]
        right: uint32_t = parent.child[at + 1]
        self.transfer(left, self.leaf(left).count, right, 0, self.leaf(right).count)
        self.leaf(left).count += self.leaf(right).count
        parent.elements[at] += parent.elements[at + 1]
        parent.count -= 1
        self.transfer(above, at + 1, above, at + 2, parent.count - at - 1)
        self.drop_block(state, right)

    # One node

    def transfer(self, target: uint32_t, at: uint32_t, source: uint32_t, start: uint32_t, n: uint32_t):
        """Copy `n` places of both columns, from `start` in `source` to `at` in `target`; both may be one node."""
        to_leaf: cython.pointer[SequenceLeaf] = self.leaf(target)
        from_leaf: cython.pointer[SequenceLeaf] = self.leaf(source)
        memmove(to_leaf.node + at, from_leaf.node + start, n * cython.sizeof(uint64_t))
        memmove(to_leaf.elements + at, from_leaf.elements + start, n * cython.sizeof(uint32_t))

    def elements_in(self, block: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t) -> uint64_t:
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

    def release(self, state: cython.pointer[SequenceState], block: uint32_t, level: uint32_t):
        """Free a node and all that is under it."""
        inner: cython.pointer[SequenceInner] = self.inner(block)
        at: uint32_t
        if level:
            for at in range(inner.count):
                self.release(state, inner.child[at], level - 1)
        self.drop_block(state, block)

    def drop_block(self, state: cython.pointer[SequenceState], block: uint32_t):
        self.pool.free(block)
        state.blocks -= 1

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
        assert cython.cast(uint64_t, len(nodes)) == state.blocks, f"{len(nodes)} nodes in {state.blocks} blocks"
        assert (state.root == 0) == (state.entries == 0), "an empty sequence holds a node"
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
        assert block != 0 and block not in nodes, f"block {block} is in the tree twice"
        nodes.add(block)
        assert n <= SEQUENCE_CAPACITY, f"block {block} is overfull: {n}"
        fewest = SEQUENCE_CAPACITY // 3 if block != state.root else 2 if level else 1
        assert n >= fewest, f"block {block} at level {level} holds {n}, fewer than {fewest}"
        if level == 0:
            for at in range(n):
                assert leaf.node[at] and leaf.elements[at], f"place {at} of leaf {block} is empty"
            return n, self.elements_in(block, 0, n, 0)
        for at in range(n):
            below = self.check_node(state, inner.child[at], level - 1, nodes)
            assert below[1] == inner.elements[at], f"child {at} of block {block}: {below[1]}, not {inner.elements[at]}"
            entries += below[0]
            elements += below[1]
        return entries, elements


@cython.final
@cython.cclass
class SequenceIndex:
    """One sequence in blocks of `pool`; they go back with `clear`.

    An entry is named by the number of any of its elements, and answered as (node, elements).
    """

    def __cinit__(self, pool: BlockPool):
        self.sequences = Sequences(pool)

    def __len__(self) -> int:
        """Elements."""
        return self.state.elements

    @property
    def entries(self) -> int:
        return self.state.entries

    @property
    def blocks(self) -> int:
        return self.state.blocks

    # Changing

    def append(self, node: uint64_t, elements: uint32_t) -> None:
        self.sequences.append(cython.address(self.state), node, elements)

    def prepend(self, node: uint64_t, elements: uint32_t) -> None:
        self.sequences.prepend(cython.address(self.state), node, elements)

    def insert_before(self, number: uint64_t, node: uint64_t, elements: uint32_t) -> tuple[int, int]:
        """Add an entry before the one with element `number`; the entry that the cursor is at then."""
        cursor: SequenceCursor = self.entry_at(number)
        self.sequences.insert_before(cython.address(self.state), cython.address(cursor), node, elements)
        return self.pair(cython.address(cursor))

    def insert_after(self, number: uint64_t, node: uint64_t, elements: uint32_t) -> tuple[int, int]:
        """Add an entry behind the one with element `number`; the entry that the cursor is at then."""
        cursor: SequenceCursor = self.entry_at(number)
        self.sequences.insert_after(cython.address(self.state), cython.address(cursor), node, elements)
        return self.pair(cython.address(cursor))

    def remove(self, number: uint64_t) -> tuple[int, int] | None:
        """Take the entry with element `number` out; the entry behind it."""
        cursor: SequenceCursor = self.entry_at(number)
        self.sequences.remove(cython.address(self.state), cython.address(cursor))
        return self.pair(cython.address(cursor))

    def add(self, number: uint64_t, change: int64_t) -> None:
        """Change how many elements are in the entry with element `number`."""
        cursor: SequenceCursor = self.entry_at(number)
        if self.sequences.elements(cython.address(cursor)) + change < 1:
            raise ValueError("an entry has at least one element")
        self.sequences.add(cython.address(self.state), cython.address(cursor), change)

    def move(self, number: uint64_t, node: uint64_t) -> None:
        """Tell the entry with element `number` that its list node has been copied to `node`."""
        cursor: SequenceCursor = self.entry_at(number)
        self.sequences.move(cython.address(cursor), node)

    def clear(self) -> None:
        """Forget every entry and give all blocks back."""
        self.sequences.clear(cython.address(self.state))

    # Asking

    def find(self, number: uint64_t) -> tuple[int, int] | None:
        """(node, index): where element `number` is."""
        cursor = cython.declare(SequenceCursor)
        index: uint32_t = 0
        if not self.sequences.find(cython.address(self.state), number, cython.address(cursor), cython.address(index)):
            return None
        return (self.sequences.node(cython.address(cursor)), index)

    def number_of(self, number: uint64_t) -> int:
        """The number of the first element in the entry with element `number`."""
        cursor: SequenceCursor = self.entry_at(number)
        return self.sequences.number_of(cython.address(self.state), cython.address(cursor))

    def items(self, number: uint64_t = 0) -> list[tuple[int, int]]:
        """The entries from that with element `number` on."""
        cursor = cython.declare(SequenceCursor)
        index: uint32_t = 0
        found: list = []
        there: cython.bint = (
            self.sequences.find(cython.address(self.state), number, cython.address(cursor), cython.address(index))
            if number
            else self.sequences.first(cython.address(self.state), cython.address(cursor))
        )
        while there:
            found.append(self.pair(cython.address(cursor)))
            there = self.sequences.following(cython.address(self.state), cython.address(cursor))
        return found

    def reversed_items(self) -> list[tuple[int, int]]:
        cursor = cython.declare(SequenceCursor)
        found: list = []
        there: cython.bint = self.sequences.last(cython.address(self.state), cython.address(cursor))
        while there:
            found.append(self.pair(cython.address(cursor)))
            there = self.sequences.preceding(cython.address(self.state), cython.address(cursor))
        return found

    def entry_at(self, number: uint64_t) -> SequenceCursor:
        cursor = cython.declare(SequenceCursor)
        index: uint32_t = 0
        if not self.sequences.find(cython.address(self.state), number, cython.address(cursor), cython.address(index)):
            raise IndexError(number)
        return cursor

    def pair(self, cursor: cython.pointer[cython.const[SequenceCursor]]) -> tuple:
        if cursor.block[0] == 0:
            return None
        return (self.sequences.node(cursor), self.sequences.elements(cursor))

    def check(self) -> None:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold."""
        self.sequences.check(cython.address(self.state))
