# cython: cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Counted B-trees of (order, ref) entries over parent-only memory.

`order` is a signed 64-bit number (an expiry time in ms, a score), `ref` an unsigned one that separates equal orders.
A tree answers what sampling only guesses: which entry is the first, which is the n-th, how many lie below a place. Two
kinds of trees differ in how entries of equal order are sorted:

    plain          by ref as a number (the expiry index: time, hash of the key)
    of elements    by the bytes of the element that ref leads to (a sorted set: score, member); the element lies at
                   elements + ref and is a string in RDB wire form, its length and then its bytes

A tree is not an object. It is a struct of 24 bytes, OrderedState, which lies wherever its owner wants; there may be
hundreds of thousands of them. OrderedTrees holds what all trees of one kind have in common and does the work;
OrderedIndex is one plain tree as an object: the expiry index.

A search is for a Probe, a place between entries, so it needs no ref and nothing that is stored: before or after all
entries of an order (at_order), before or after (order, member) (at_member, at_element), the same where all orders are
equal (at_lex), before a pair (at_pair). How many entries are below it (`rank`) and which one is the first that is not
(`seek`) give every range by score, by member and by rank. An exact probe, one that can equal an entry, names what to
change.

Every node is one 4 KiB block of a BlockPool, which lies in memory that a snapshot child does not inherit: no write to
a tree is ever copied. Within a node each field has its own column, so that a binary search reads one dense array:

    leaf   | count | previous | next | order x 255           | ref x 255             |
    bytes  0       4          8      16                      2056                    4096

    inner  | count |       | order x 145 | ref x 145 | entries x 145 | child x 145 | unused |
    bytes  0       4       16            1176        2336            3496          4076     4096

    child i of an inner node holds the entries e with separator[i] <= e < separator[i + 1], where separator[i] is
    (order[i], ref[i]), its first entry; entries[i] is how many those are. Leaves are a chain in both directions.

A separator is always exact, never a mere bound left by an entry that is gone: its ref is followed to an element, which
must be there. So a change of a leaf's first entry goes up the path until that leaf is not the first below a node.

How nodes split, even out and merge is in counted.py. Random inserts leave nodes about four fifths full, rising ones
(the usual case with times) well above nine tenths. An entry costs about 20 bytes and never more than 50.

Invariants (proved by `check`):
  1. entries rise strictly from the first leaf to the last, which the chain visits in the order of the tree
  2. each separator is the first entry below its child
  3. all leaves are at level 0; nodes other than the root are at least a third full; an inner root has two children
  4. entries[i] is the number of entries below child i, and `count` is that of the whole tree
  5. `blocks` is the number of nodes; an empty tree holds none

Complexity: O(log n) for everything but `clear`, `check` and `items`; a cursor moves on in O(1). Elements are read only
where orders are equal.
"""

import cython
from cython.cimports.libc.stdint import INT64_MIN, int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memmove
from cython.cimports.minikv.engine.counted import CountedTrees, Path, bytes_between
from cython.cimports.minikv.engine.memory import BlockPool
from cython.cimports.minikv.engine.ordered import (
    INNER_CAPACITY,
    LEAF_CAPACITY,
    Cursor,
    Entry,
    Inner,
    Leaf,
    OrderedState,
    Probe,
    at_member,
    at_pair,
    tree_of,
)
from cython.cimports.minikv.engine.record import Bytes, ConstBytes, read_length

from minikv.errors import BLOCKS_FULL, ArenaFull

assert cython.sizeof(Leaf) == 4096 and cython.sizeof(Inner) <= 4096 and cython.sizeof(OrderedState) == 24


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def compare_element(element: ConstBytes, probe: cython.pointer[cython.const[Probe]]) -> cython.int:
    """Below, at or above 0 as an element of the probe's order is below the probe, equal to it or above it."""
    member_len: uint64_t = 0
    member: ConstBytes
    order: cython.int
    if probe.member == cython.NULL:
        return -1 if probe.after else 1
    member = read_length(cython.cast(Bytes, element), cython.address(member_len))
    order = memcmp(member, probe.member, min(member_len, probe.member_len))
    if order:
        return order
    if member_len == probe.member_len:
        return -1 if probe.after else 0
    return -1 if member_len < probe.member_len else 1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def compare_equal_orders(elements: ConstBytes, ref: uint64_t, probe: cython.pointer[cython.const[Probe]]) -> cython.int:
    """The same for an entry of the probe's order, in either kind of tree."""
    if elements != cython.NULL:
        return compare_element(elements + ref, probe)
    return -1 if ref < probe.ref else ref > probe.ref


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def count_below(
    elements: ConstBytes,
    orders: cython.pointer[cython.const[int64_t]],
    refs: cython.pointer[cython.const[uint64_t]],
    n: uint32_t,
    probe: cython.pointer[cython.const[Probe]],
    limit: cython.int,
) -> uint32_t:
    """How many of the `n` sorted entries are below the probe (limit 0), or not above it (limit 1).

    The branches are left to prediction on purpose: a guess fetches ahead, and a search without branches took twice as
    long on large trees.
    """
    low: uint32_t = 0
    middle: uint32_t
    order: int64_t = probe.order
    while low < n:
        middle = (low + n) >> 1
        if orders[middle] < order or (
            orders[middle] == order and compare_equal_orders(elements, refs[middle], probe) < limit
        ):
            low = middle + 1
        else:
            n = middle
    return low


@cython.final
@cython.cclass
class OrderedTrees(CountedTrees):
    """What all trees of one kind share; their blocks are of `pool`. Whoever wants trees of elements sets `elements`."""

    def __cinit__(self, pool: BlockPool):
        inner: cython.pointer[Inner] = self.inner(0)
        self.leaf_capacity = LEAF_CAPACITY
        self.inner_capacity = INNER_CAPACITY
        self.totals_at = bytes_between(inner, inner.entries)
        self.children_at = bytes_between(inner, inner.child)

    # Changing

    def insert(
        self, state: cython.pointer[OrderedState], probe: cython.pointer[cython.const[Probe]], ref: uint64_t
    ) -> cython.bint:
        """Add an entry at an exact probe; False if it exists. ArenaFull leaves the tree as it was.

        `ref` is only stored: its element may be written afterwards, but before the next operation.
        """
        path: Path
        leaf: cython.pointer[Leaf]
        at: uint32_t
        if state.count == 0:
            if not self.reserve(tree_of(state), 1, cython.address(state.root)):
                with cython.gil:
                    raise ArenaFull(BLOCKS_FULL)
            self.start_leaf(state.root)
        if self.descend(state, probe, cython.address(path)):
            return False
        if self.leaf(path.block[0]).count == LEAF_CAPACITY:
            if not self.make_room(tree_of(state), cython.address(path)):
                with cython.gil:
                    raise ArenaFull(BLOCKS_FULL)
            self.descend(state, probe, cython.address(path))
        leaf = self.leaf(path.block[0])
        at = path.index[0]
        self.transfer(path.block[0], at + 1, path.block[0], at, leaf.count - at, 0)
        leaf.order[at] = probe.order
        leaf.ref[at] = ref
        leaf.count += 1
        self.count_on_path(state, cython.address(path), 1)
        if at == 0:
            self.separate_path(state, cython.address(path))
        return True

    def remove(self, state: cython.pointer[OrderedState], probe: cython.pointer[cython.const[Probe]]) -> cython.bint:
        """Remove the entry at an exact probe; False if there is none. Never needs memory.

        Its element must still be readable, and may be overwritten afterwards: the tree no longer refers to it.
        """
        path: Path
        leaf: cython.pointer[Leaf]
        at: uint32_t
        if not self.descend(state, probe, cython.address(path)):
            return False
        leaf = self.leaf(path.block[0])
        at = path.index[0]
        leaf.count -= 1
        self.transfer(path.block[0], at, path.block[0], at + 1, leaf.count - at, 0)
        self.count_on_path(state, cython.address(path), -1)
        if at == 0:
            self.separate_path(state, cython.address(path))
        self.shrink(tree_of(state), cython.address(path))
        return True

    def move(
        self, state: cython.pointer[OrderedState], probe: cython.pointer[cython.const[Probe]], ref: uint64_t
    ) -> cython.bint:
        """Point the entry at an exact probe to its element's copy at `ref`; False if there is no such entry.

        The old copy must still be readable. Not for plain trees, where another ref is another entry.
        """
        path: Path
        if not self.descend(state, probe, cython.address(path)):
            return False
        self.leaf(path.block[0]).ref[path.index[0]] = ref
        if path.index[0] == 0:
            self.separate_path(state, cython.address(path))
        return True

    def clear(self, state: cython.pointer[OrderedState]):
        """Remove every entry and return all blocks; reads the inner nodes only."""
        self.remove_all(tree_of(state))

    def clear_some(self, state: cython.pointer[OrderedState], limit: uint32_t) -> cython.bint:
        """The same, up to `limit` leaves at a time, for a tree that is no longer read. True when done."""
        while state.root and limit:
            self.drop_last(state)
            limit -= 1
        return state.root == 0

    # Asking

    def contains(
        self, state: cython.pointer[cython.const[OrderedState]], probe: cython.pointer[cython.const[Probe]]
    ) -> cython.bint:
        path: Path
        return self.descend(state, probe, cython.address(path))

    def rank(
        self, state: cython.pointer[cython.const[OrderedState]], probe: cython.pointer[cython.const[Probe]]
    ) -> uint64_t:
        """How many entries are below the probe."""
        path: Path
        level: uint32_t
        below: uint64_t
        self.descend(state, probe, cython.address(path))
        below = path.index[0]
        for level in range(1, state.root_level + 1):
            below += self.total_of(path.block[level], 0, path.index[level], level)
        return below

    def at_lex(
        self,
        state: cython.pointer[cython.const[OrderedState]],
        member: ConstBytes,
        member_len: uint64_t,
        after: cython.bint,
    ) -> Probe:
        """Before or after `member` in a tree of elements that all have one order, whatever it is.

        If they have not, this is a place among those of the lowest order, or behind them.
        """
        cursor: Cursor = self.seek_first(state)
        order: int64_t = self.leaf(cursor.leaf).order[0] if cursor.leaf else 0
        return at_member(order, member, member_len, after)

    # Cursors

    def seek(
        self, state: cython.pointer[cython.const[OrderedState]], probe: cython.pointer[cython.const[Probe]]
    ) -> Cursor:
        """The first entry that is not below the probe."""
        path: Path
        cursor: Cursor
        self.descend(state, probe, cython.address(path))
        cursor.leaf = path.block[0]
        cursor.index = path.index[0]
        if cursor.leaf and cursor.index == self.leaf(cursor.leaf).count:
            cursor.leaf = self.leaf(cursor.leaf).next
            cursor.index = 0
        return cursor

    def seek_first(self, state: cython.pointer[cython.const[OrderedState]]) -> Cursor:
        cursor: Cursor
        _level: uint32_t
        cursor.leaf = state.root
        cursor.index = 0
        for _level in range(state.root_level):
            cursor.leaf = self.inner(cursor.leaf).child[0]
        return cursor

    def seek_last(self, state: cython.pointer[cython.const[OrderedState]]) -> Cursor:
        cursor: Cursor
        _level: uint32_t
        inner: cython.pointer[Inner]
        cursor.leaf = state.root
        cursor.index = 0
        for _level in range(state.root_level):
            inner = self.inner(cursor.leaf)
            cursor.leaf = inner.child[inner.count - 1]
        if cursor.leaf:
            cursor.index = self.leaf(cursor.leaf).count - 1
        return cursor

    def seek_rank(self, state: cython.pointer[cython.const[OrderedState]], rank: uint64_t) -> Cursor:
        """The entry with `rank` entries below it; none if there are not that many."""
        cursor: Cursor
        _level: uint32_t
        child: uint32_t
        inner: cython.pointer[Inner]
        cursor.leaf = 0
        cursor.index = 0
        if rank >= state.count:
            return cursor
        cursor.leaf = state.root
        for _level in range(state.root_level):
            inner = self.inner(cursor.leaf)
            child = 0
            while rank >= inner.entries[child]:
                rank -= inner.entries[child]
                child += 1
            cursor.leaf = inner.child[child]
        cursor.index = cython.cast(uint32_t, rank)
        return cursor

    def following(self, cursor: Cursor) -> Cursor:
        cursor.index += 1
        if cursor.index == self.leaf(cursor.leaf).count:
            cursor.leaf = self.leaf(cursor.leaf).next
            cursor.index = 0
        return cursor

    def preceding(self, cursor: Cursor) -> Cursor:
        if cursor.index:
            cursor.index -= 1
            return cursor
        cursor.leaf = self.leaf(cursor.leaf).previous
        if cursor.leaf:
            cursor.index = self.leaf(cursor.leaf).count - 1
        return cursor

    # Down and up again

    def descend(
        self,
        state: cython.pointer[cython.const[OrderedState]],
        probe: cython.pointer[cython.const[Probe]],
        path: cython.pointer[Path],
    ) -> cython.bint:
        """Fill `path` to the probe's place in a leaf, block 0 in an empty tree; True if an entry equals the probe."""
        block: uint32_t = state.root
        level: uint32_t = state.root_level
        at: uint32_t
        inner: cython.pointer[Inner]
        leaf: cython.pointer[Leaf]
        if block == 0:
            path.block[0] = 0
            path.index[0] = 0
            return False
        while level:
            inner = self.inner(block)
            # Separator 0 is not asked: what is below it goes there too.
            at = count_below(self.elements, inner.order + 1, inner.ref + 1, inner.count - 1, probe, 1)
            path.block[level] = block
            path.index[level] = at
            block = inner.child[at]
            level -= 1
        leaf = self.leaf(block)
        at = count_below(self.elements, leaf.order, leaf.ref, leaf.count, probe, 0)
        path.block[0] = block
        path.index[0] = at
        return (
            at < leaf.count
            and leaf.order[at] == probe.order
            and compare_equal_orders(self.elements, leaf.ref[at], probe) == 0
        )

    def count_on_path(
        self, state: cython.pointer[OrderedState], path: cython.pointer[cython.const[Path]], change: int64_t
    ):
        """Add `change` to the number of entries of every node above the leaf of `path`, and of the tree."""
        level: uint32_t
        inner: cython.pointer[Inner]
        for level in range(1, state.root_level + 1):
            inner = self.inner(path.block[level])
            inner.entries[path.index[level]] += change
        state.count += change

    def separate_path(
        self, state: cython.pointer[cython.const[OrderedState]], path: cython.pointer[cython.const[Path]]
    ):
        """Set the separators that the first entry of the leaf of `path` is: up to where that leaf is not the first."""
        level: uint32_t
        for level in range(1, state.root_level + 1):
            self.separate(path.block[level], path.index[level], level - 1)
            if path.index[level]:
                break

    def start_leaf(self, block: uint32_t):
        leaf: cython.pointer[Leaf] = self.leaf(block)
        leaf.count = 0
        leaf.previous = 0
        leaf.next = 0

    def link_after(self, left: uint32_t, right: uint32_t):
        follower: uint32_t = self.leaf(left).next
        self.leaf(right).previous = left
        self.leaf(right).next = follower
        self.leaf(left).next = right
        if follower:
            self.leaf(follower).previous = right

    def unlink_after(self, left: uint32_t):
        follower: uint32_t = self.leaf(self.leaf(left).next).next
        self.leaf(left).next = follower
        if follower:
            self.leaf(follower).previous = left

    # One node

    def separate(self, above: uint32_t, at: uint32_t, level: uint32_t):
        """Set separator `at` of the node `above` to the first entry below its child, which is at `level`."""
        parent: cython.pointer[Inner] = self.inner(above)
        child: uint32_t = parent.child[at]
        if level:
            parent.order[at] = self.inner(child).order[0]
            parent.ref[at] = self.inner(child).ref[0]
        else:
            parent.order[at] = self.leaf(child).order[0]
            parent.ref[at] = self.leaf(child).ref[0]

    def transfer(self, target: uint32_t, at: uint32_t, source: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t):
        """Copy `n` places of every column, from `start` in `source` to `at` in `target`; both may be one node."""
        to_leaf: cython.pointer[Leaf] = self.leaf(target)
        from_leaf: cython.pointer[Leaf] = self.leaf(source)
        to_inner: cython.pointer[Inner] = self.inner(target)
        from_inner: cython.pointer[Inner] = self.inner(source)
        if level:
            memmove(to_inner.order + at, from_inner.order + start, n * cython.sizeof(int64_t))
            memmove(to_inner.ref + at, from_inner.ref + start, n * cython.sizeof(uint64_t))
            memmove(to_inner.entries + at, from_inner.entries + start, n * cython.sizeof(uint64_t))
            memmove(to_inner.child + at, from_inner.child + start, n * cython.sizeof(uint32_t))
        else:
            memmove(to_leaf.order + at, from_leaf.order + start, n * cython.sizeof(int64_t))
            memmove(to_leaf.ref + at, from_leaf.ref + start, n * cython.sizeof(uint64_t))

    def total_of(self, block: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t) -> uint64_t:
        """How many entries lie below the places `start` to `start + n` of a node."""
        inner: cython.pointer[Inner] = self.inner(block)
        total: uint64_t = 0
        at: uint32_t
        if level == 0:
            return n
        for at in range(start, start + n):
            total += inner.entries[at]
        return total

    def drop_last(self, state: cython.pointer[OrderedState]):
        """Free the last leaf, and the nodes above it that have no other; what is left is fit for no other use."""
        path: Path
        block: uint32_t = state.root
        level: uint32_t = state.root_level
        while level:
            path.block[level] = block
            block = self.inner(block).child[self.inner(block).count - 1]
            level -= 1
        self.drop_block(tree_of(state), block)
        for level in range(1, state.root_level + 1):
            self.inner(path.block[level]).count -= 1
            if self.inner(path.block[level]).count:
                return
            self.drop_block(tree_of(state), path.block[level])
        state.root = 0
        state.root_level = 0
        state.count = 0

    # Proof

    def check(self, state: cython.pointer[cython.const[OrderedState]]) -> object:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold."""
        leaves: list = []
        nodes: set = set()
        first: Cursor = self.seek_first(state)
        if state.root:
            entry: Entry = self.entry(first)
            self.check_node(state, state.root, state.root_level, entry.order, entry.ref, nodes, leaves)
        self.check_chain(state, leaves)
        self.check_blocks(tree_of(state), nodes)
        return None

    def check_node(
        self,
        state: cython.pointer[cython.const[OrderedState]],
        block: uint32_t,
        level: uint32_t,
        order: int64_t,
        ref: uint64_t,
        nodes: set,
        leaves: list,
    ) -> object:
        """Prove one node and what is under it, given its parent's separator; the number of its entries."""
        inner: cython.pointer[Inner] = self.inner(block)
        n: uint32_t = inner.count
        at: uint32_t
        total: uint64_t = 0
        self.check_size(tree_of(state), block, level, nodes)
        if level == 0:
            leaves.append(block)
            leaf: cython.pointer[Leaf] = self.leaf(block)
            assert (leaf.order[0], leaf.ref[0]) == (order, ref), f"leaf {block} does not start with its separator"
            return n
        assert (inner.order[0], inner.ref[0]) == (order, ref), f"separator 0 of block {block} is not its parent's"
        for at in range(n):
            below = self.check_node(state, inner.child[at], level - 1, inner.order[at], inner.ref[at], nodes, leaves)
            assert below == inner.entries[at], f"child {at} of block {block}: {below} entries, not {inner.entries[at]}"
            total += below
        return total

    def check_chain(self, state: cython.pointer[cython.const[OrderedState]], leaves: list) -> object:
        """Prove the order of all entries along the leaves, given in the order of the tree."""
        before: uint32_t = 0
        total: uint64_t = 0
        at: uint32_t
        leaf: cython.pointer[Leaf]
        last: cython.pointer[Leaf]
        for place, block in enumerate(leaves):
            leaf = self.leaf(block)
            assert leaf.previous == before, f"leaf {block} has the wrong previous"
            assert leaf.next == (leaves[place + 1] if place + 1 < len(leaves) else 0), f"leaf {block}: wrong next"
            if before:
                last = self.leaf(before)
                assert self.rises(last.order[last.count - 1], last.ref[last.count - 1], leaf.order[0], leaf.ref[0]), (
                    f"leaf {block} does not start above the leaf before"
                )
            for at in range(1, leaf.count):
                assert self.rises(leaf.order[at - 1], leaf.ref[at - 1], leaf.order[at], leaf.ref[at]), (
                    f"leaf {block}: place {at} is out of order"
                )
            before = block
            total += leaf.count
        assert total == state.count, f"{total} entries, not {state.count}"
        return None

    def rises(self, order: int64_t, ref: uint64_t, next_order: int64_t, next_ref: uint64_t) -> cython.bint:
        """Whether the entry (order, ref) is below the entry (next_order, next_ref)."""
        probe: Probe = at_pair(next_order, next_ref)
        if self.elements != cython.NULL:
            probe = self.at_element(next_order, next_ref)
        return order < next_order or (
            order == next_order and compare_equal_orders(self.elements, ref, cython.address(probe)) < 0
        )


@cython.final
@cython.cclass
class OrderedIndex:
    """One plain tree: a sorted set of (order, ref) pairs in blocks of `pool`; they go back with `clear`."""

    def __cinit__(self, pool: BlockPool):
        self.trees = OrderedTrees(pool)

    def __len__(self) -> int:
        return self.state.count

    @property
    def pool(self) -> BlockPool:
        return self.trees.pool

    @property
    def count(self) -> int:
        return self.state.count

    @property
    def blocks(self) -> int:
        return self.state.blocks

    def insert(self, order: int64_t, ref: uint64_t) -> cython.bint:
        """Add a pair; False if it exists. ArenaFull leaves the tree as it was."""
        probe: Probe = at_pair(order, ref)
        return self.trees.insert(cython.address(self.state), cython.address(probe), ref)

    def remove(self, order: int64_t, ref: uint64_t) -> cython.bint:
        """Remove a pair; False if there is none. Never needs memory."""
        probe: Probe = at_pair(order, ref)
        return self.trees.remove(cython.address(self.state), cython.address(probe))

    def clear(self):
        """Remove every pair and return all blocks."""
        self.trees.clear(cython.address(self.state))

    def contains(self, order: int64_t, ref: uint64_t) -> cython.bint:
        probe: Probe = at_pair(order, ref)
        return self.trees.contains(cython.address(self.state), cython.address(probe))

    def rank(self, order: int64_t, ref: uint64_t) -> uint64_t:
        """How many pairs are below (order, ref), which need not be in the tree."""
        probe: Probe = at_pair(order, ref)
        return self.trees.rank(cython.address(self.state), cython.address(probe))

    def first(self) -> tuple[int, int] | None:
        return self.pair(self.seek_first())

    def last(self) -> tuple[int, int] | None:
        return self.pair(self.seek_last())

    def ceiling(self, order: int64_t, ref: uint64_t) -> tuple[int, int] | None:
        """The first pair that is not below (order, ref)."""
        return self.pair(self.seek(order, ref))

    def at(self, rank: uint64_t) -> tuple[int, int] | None:
        """The pair that has `rank` pairs below it."""
        return self.pair(self.seek_rank(rank))

    def items(self, order: int64_t = INT64_MIN, ref: uint64_t = 0, limit: uint64_t = 0) -> list[tuple[int, int]]:
        """The pairs from (order, ref) on, at most `limit` of them (0: all)."""
        found: list = []
        cursor: Cursor = self.seek(order, ref)
        while cursor.leaf and (limit == 0 or cython.cast(uint64_t, len(found)) < limit):
            found.append(self.pair(cursor))
            cursor = self.following(cursor)
        return found

    def reversed_items(self) -> list[tuple[int, int]]:
        found: list = []
        cursor: Cursor = self.seek_last()
        while cursor.leaf:
            found.append(self.pair(cursor))
            cursor = self.preceding(cursor)
        return found

    def pair(self, cursor: Cursor) -> tuple:
        entry: Entry
        if cursor.leaf == 0:
            return None
        entry = self.entry(cursor)
        return (entry.order, entry.ref)

    def seek_first(self) -> Cursor:
        return self.trees.seek_first(cython.address(self.state))

    def seek_last(self) -> Cursor:
        return self.trees.seek_last(cython.address(self.state))

    def seek(self, order: int64_t, ref: uint64_t) -> Cursor:
        """The first entry that is not below (order, ref)."""
        probe: Probe = at_pair(order, ref)
        return self.trees.seek(cython.address(self.state), cython.address(probe))

    def seek_rank(self, rank: uint64_t) -> Cursor:
        """The entry with `rank` entries below it; none if there are not that many."""
        return self.trees.seek_rank(cython.address(self.state), rank)

    def following(self, cursor: Cursor) -> Cursor:
        return self.trees.following(cursor)

    def preceding(self, cursor: Cursor) -> Cursor:
        return self.trees.preceding(cursor)

    def check(self) -> None:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold."""
        self.trees.check(cython.address(self.state))
