# cython: cdivision=True
"""Counted B-tree of (order, ref) pairs over parent-only memory.

`order` is a signed 64-bit number (an expiry time in ms, a score), `ref` any unsigned 64-bit number that tells equal
orders apart (a record's offset). Pairs are unique and sorted by order, then by ref. The tree answers what sampling only
guesses: which entry is the first, which is the n-th, how many lie below a pair.

Every node is one 4 KiB block of a BlockPool, which lies in memory that a snapshot child does not inherit: no write to
the tree is ever copied. Within a node each field has its own column, so that a binary search reads one dense array:

    leaf   | count | previous | next | order x 255           | ref x 255             |
    bytes  0       4          8      16                      2056                    4096

    inner  | count |       | order x 145 | ref x 145 | entries x 145 | child x 145 | unused |
    bytes  0       4       16            1176        2336            3496          4076     4096

    child i of an inner node holds the pairs p with separator[i] <= p < separator[i + 1], where separator[i] is
    (order[i], ref[i]); entries[i] is how many those are. Leaves are a chain in both directions.

A full leaf first evens out with a neighbour of the same parent that has room and is split only when both are crowded:
random inserts leave nodes about four fifths full, rising ones (the usual case with times) well above nine tenths. An
entry costs about 20 bytes and never more than 50. A node that falls below a third merges with a neighbour, if both
together then leave a quarter free, or evens out with it; so neither rule undoes at once what the other has just done.

Invariants (proved by `check`):
  1. pairs rise strictly from the first leaf to the last, which the chain visits in the order of the tree
  2. each separator is at most its child's first pair and above the last pair of the child before;
     separator[0] of a node equals the separator that its parent has for it, on the left edge (INT64_MIN, 0)
  3. all leaves are at level 0; nodes other than the root are at least a third full; an inner root has two children
  4. entries[i] is the number of pairs below child i, and `count` is that of the whole tree
  5. `blocks` is the number of nodes; an empty tree holds none

Complexity: O(log n) for everything but `clear`, `check` and `items`; a cursor moves on in O(1).
"""

import cython
from cython.cimports.libc.stdint import INT64_MIN, int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memmove
from cython.cimports.minikv.engine.memory import BlockPool
from cython.cimports.minikv.engine.ordered import (
    INNER_CAPACITY,
    LEAF_CAPACITY,
    MAX_LEVELS,
    Cursor,
    Entry,
    Inner,
    Leaf,
    Path,
)

from minikv.errors import ArenaFull

assert cython.sizeof(Leaf) == 4096 and cython.sizeof(Inner) <= 4096


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def capacity(level: uint32_t) -> uint32_t:
    return INNER_CAPACITY if level else LEAF_CAPACITY


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def is_below(a_order: int64_t, a_ref: uint64_t, b_order: int64_t, b_ref: uint64_t) -> cython.bint:
    return a_order < b_order or (a_order == b_order and a_ref < b_ref)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def lower_bound(
    orders: cython.pointer(int64_t),
    refs: cython.pointer(uint64_t),
    n: uint32_t,
    order: int64_t,
    ref: uint64_t,
) -> uint32_t:
    """How many of the `n` sorted pairs are below (order, ref)."""
    low: uint32_t = 0
    middle: uint32_t
    while low < n:
        middle = (low + n) >> 1
        if is_below(orders[middle], refs[middle], order, ref):
            low = middle + 1
        else:
            n = middle
    return low


@cython.final
@cython.cclass
class OrderedIndex:
    """Sorted set of (order, ref) pairs in blocks of `pool`, which must outlive it; blocks go back with `clear`."""

    def __cinit__(self, pool: BlockPool):
        self.pool = pool

    def __len__(self) -> int:
        return self.count

    # Changing

    def insert(self, order: int64_t, ref: uint64_t) -> cython.bint:
        """Add a pair; False if it was there. ArenaFull leaves the tree as it was."""
        path = cython.declare(Path)
        leaf: cython.pointer(Leaf)
        level: uint32_t
        inner: cython.pointer(Inner)
        at: uint32_t
        if not self.root and not self.reserve(1, cython.address(self.root)):
            with cython.gil:
                raise ArenaFull("no block for an ordered index")
        if self.count == 0:
            self.start_leaf(self.root)
        if self.descend(order, ref, cython.address(path)):
            return False
        if self.leaf(path.block[0]).count == LEAF_CAPACITY:
            if not self.make_room(cython.address(path)):
                with cython.gil:
                    raise ArenaFull("no block for an ordered index")
            self.descend(order, ref, cython.address(path))
        leaf = self.leaf(path.block[0])
        at = path.index[0]
        self.transfer(path.block[0], at + 1, path.block[0], at, leaf.count - at, 0)
        leaf.order[at] = order
        leaf.ref[at] = ref
        leaf.count += 1
        for level in range(1, self.root_level + 1):
            inner = self.inner(path.block[level])
            inner.entries[path.index[level]] += 1
        self.count += 1
        return True

    def remove(self, order: int64_t, ref: uint64_t) -> cython.bint:
        """Take a pair out; False if it was not there. Never needs memory."""
        path = cython.declare(Path)
        level: uint32_t
        leaf: cython.pointer(Leaf)
        inner: cython.pointer(Inner)
        at: uint32_t
        if not self.root or not self.descend(order, ref, cython.address(path)):
            return False
        leaf = self.leaf(path.block[0])
        at = path.index[0]
        leaf.count -= 1
        self.transfer(path.block[0], at, path.block[0], at + 1, leaf.count - at, 0)
        for level in range(1, self.root_level + 1):
            inner = self.inner(path.block[level])
            inner.entries[path.index[level]] -= 1
        self.count -= 1
        self.shrink(cython.address(path))
        return True

    def clear(self):
        """Forget every pair and give all blocks back."""
        if self.root:
            self.release(self.root, self.root_level)
        self.root = 0
        self.root_level = 0
        self.count = 0

    # Asking

    def contains(self, order: int64_t, ref: uint64_t) -> cython.bint:
        path = cython.declare(Path)
        return self.root != 0 and self.descend(order, ref, cython.address(path))

    def rank(self, order: int64_t, ref: uint64_t) -> uint64_t:
        """How many pairs are below (order, ref), which need not be in the tree."""
        path = cython.declare(Path)
        level: uint32_t
        below: uint64_t
        if not self.root:
            return 0
        self.descend(order, ref, cython.address(path))
        below = path.index[0]
        for level in range(1, self.root_level + 1):
            below += self.entries_of(path.block[level], 0, path.index[level], level)
        return below

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

    # Cursors

    def pair(self, cursor: Cursor) -> tuple:
        entry = cython.declare(Entry)
        if cursor.leaf == 0:
            return None
        entry = self.entry(cursor)
        return (entry.order, entry.ref)

    def seek_first(self) -> Cursor:
        cursor = cython.declare(Cursor)
        _level: uint32_t
        cursor.leaf = self.root
        cursor.index = 0
        for _level in range(self.root_level):
            cursor.leaf = self.inner(cursor.leaf).child[0]
        return cursor

    def seek_last(self) -> Cursor:
        cursor = cython.declare(Cursor)
        _level: uint32_t
        inner: cython.pointer(Inner)
        cursor.leaf = self.root
        cursor.index = 0
        for _level in range(self.root_level):
            inner = self.inner(cursor.leaf)
            cursor.leaf = inner.child[inner.count - 1]
        if cursor.leaf:
            cursor.index = self.leaf(cursor.leaf).count - 1
        return cursor

    def seek(self, order: int64_t, ref: uint64_t) -> Cursor:
        """The first entry that is not below (order, ref)."""
        path = cython.declare(Path)
        cursor = cython.declare(Cursor)
        cursor.leaf = 0
        cursor.index = 0
        if self.root:
            self.descend(order, ref, cython.address(path))
            cursor.leaf = path.block[0]
            cursor.index = path.index[0]
            if cursor.index == self.leaf(cursor.leaf).count:
                cursor.leaf = self.leaf(cursor.leaf).next
                cursor.index = 0
        return cursor

    def seek_rank(self, rank: uint64_t) -> Cursor:
        """The entry with `rank` entries below it; none if there are not that many."""
        cursor = cython.declare(Cursor)
        _level: uint32_t
        child: uint32_t
        inner: cython.pointer(Inner)
        cursor.leaf = 0
        cursor.index = 0
        if rank >= self.count:
            return cursor
        cursor.leaf = self.root
        for _level in range(self.root_level):
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

    def descend(self, order: int64_t, ref: uint64_t, path: cython.pointer(Path)) -> cython.bint:
        """Fill `path` to the place of the pair in its leaf; True if it is there. The tree must have a root."""
        block: uint32_t = self.root
        level: uint32_t = self.root_level
        at: uint32_t
        inner: cython.pointer(Inner)
        leaf: cython.pointer(Leaf)
        while level:
            inner = self.inner(block)
            at = lower_bound(inner.order, inner.ref, inner.count, order, ref)
            if at == inner.count or is_below(order, ref, inner.order[at], inner.ref[at]):
                at -= 1  # never below 0: separator[0] is at most the pair (invariant 2)
            path.block[level] = block
            path.index[level] = at
            block = inner.child[at]
            level -= 1
        leaf = self.leaf(block)
        at = lower_bound(leaf.order, leaf.ref, leaf.count, order, ref)
        path.block[0] = block
        path.index[0] = at
        return at < leaf.count and leaf.order[at] == order and leaf.ref[at] == ref

    def make_room(self, path: cython.pointer(Path)) -> cython.bint:
        """Give the full leaf at the end of `path` room; False, and nothing changed, if the pool is too full for that.

        All blocks are taken before the first node changes. Splits go from the top down: a parent then always has room.
        """
        fresh = cython.declare(uint32_t[MAX_LEVELS])
        level: uint32_t = 0
        needed: uint32_t = 1
        if self.spill(path):
            return True
        while level < self.root_level and self.inner(path.block[level + 1]).count == INNER_CAPACITY:
            level += 1
            needed += 1
        if level == self.root_level:
            needed += 1
        if not self.reserve(needed, fresh):
            return False
        if level == self.root_level:
            needed -= 1
            self.grow_root(fresh[needed])
            path.block[self.root_level] = self.root
            path.index[self.root_level] = 0
        while needed:
            needed -= 1
            self.split(path, needed, fresh[needed])
        return True

    def spill(self, path: cython.pointer(Path)) -> cython.bint:
        """Even the full leaf out with the emptier of its neighbours, if that gains an eighth of a leaf or more."""
        parent: cython.pointer(Inner)
        at: uint32_t
        left_room: uint32_t = 0
        right_room: uint32_t = 0
        if self.root_level == 0:
            return False
        parent = self.inner(path.block[1])
        at = path.index[1]
        if at:
            left_room = LEAF_CAPACITY - self.leaf(parent.child[at - 1]).count
        if at + 1 < parent.count:
            right_room = LEAF_CAPACITY - self.leaf(parent.child[at + 1]).count
        if max(left_room, right_room) < LEAF_CAPACITY // 8:
            return False
        self.even(path.block[1], at - 1 if left_room > right_room else at, 0)
        return True

    def reserve(self, needed: uint32_t, blocks: cython.pointer(uint32_t)) -> cython.bint:
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
        self.blocks += needed
        return True

    def start_leaf(self, block: uint32_t):
        leaf: cython.pointer(Leaf) = self.leaf(block)
        leaf.count = 0
        leaf.previous = 0
        leaf.next = 0

    def grow_root(self, block: uint32_t):
        """Put an inner node with the old root as its only child on top; the caller splits that child at once."""
        root: cython.pointer(Inner) = self.inner(block)
        root.count = 1
        root.order[0] = INT64_MIN
        root.ref[0] = 0
        root.entries[0] = self.count
        root.child[0] = self.root
        self.root = block
        self.root_level += 1

    def split(self, path: cython.pointer(Path), level: uint32_t, right: uint32_t):
        """Move the upper half of the node at `level` of `path` to the new node `right`; the path stays true."""
        left: uint32_t = path.block[level]
        above: uint32_t = path.block[level + 1]
        at: uint32_t = path.index[level + 1]
        parent: cython.pointer(Inner) = self.inner(above)
        kept: uint32_t = (capacity(level) + 1) // 2
        moved: uint32_t = capacity(level) - kept
        self.transfer(right, 0, left, kept, moved, level)
        self.leaf(right).count = moved
        self.leaf(left).count = kept
        if level == 0:
            self.link_after(left, right)
        self.transfer(above, at + 2, above, at + 1, parent.count - at - 1, level + 1)
        parent.count += 1
        parent.child[at + 1] = right
        parent.entries[at + 1] = self.entries_of(right, 0, moved, level)
        parent.entries[at] -= parent.entries[at + 1]
        self.separate(above, at + 1, level)
        if path.index[level] >= kept:
            path.block[level] = right
            path.index[level] -= kept

    def link_after(self, left: uint32_t, right: uint32_t):
        follower: uint32_t = self.leaf(left).next
        self.leaf(right).previous = left
        self.leaf(right).next = follower
        self.leaf(left).next = right
        if follower:
            self.leaf(follower).previous = right

    def shrink(self, path: cython.pointer(Path)):
        """After a removal: repair what `path` left less than a third full, and give up levels that hold one node."""
        level: uint32_t = 0
        parent: cython.pointer(Inner)
        at: uint32_t
        child: uint32_t
        together: uint32_t
        while level < self.root_level and self.leaf(path.block[level]).count < capacity(level) // 3:
            parent = self.inner(path.block[level + 1])
            at = path.index[level + 1]
            if at:
                at -= 1
            together = self.leaf(parent.child[at]).count + self.leaf(parent.child[at + 1]).count
            if together > capacity(level) * 3 // 4:
                self.even(path.block[level + 1], at, level)
                break
            self.merge(path.block[level + 1], at, level)
            level += 1
        while self.root_level and self.inner(self.root).count == 1:
            child = self.inner(self.root).child[0]
            self.drop_block(self.root)
            self.root = child
            self.root_level -= 1
        if self.count == 0:
            self.clear()

    def even(self, above: uint32_t, at: uint32_t, level: uint32_t):
        """Share what children `at` and `at + 1` (at `level`) of the node `above` hold equally between them."""
        parent: cython.pointer(Inner) = self.inner(above)
        left: uint32_t = parent.child[at]
        right: uint32_t = parent.child[at + 1]
        left_count: uint32_t = self.leaf(left).count
        right_count: uint32_t = self.leaf(right).count
        goal: uint32_t = (left_count + right_count) // 2
        n: uint32_t
        moved: uint64_t
        if left_count < goal:
            n = goal - left_count
            moved = self.entries_of(right, 0, n, level)
            self.transfer(left, left_count, right, 0, n, level)
            self.transfer(right, 0, right, n, right_count - n, level)
            parent.entries[at] += moved
            parent.entries[at + 1] -= moved
        else:
            n = left_count - goal
            moved = self.entries_of(left, goal, n, level)
            self.transfer(right, n, right, 0, right_count, level)
            self.transfer(right, 0, left, goal, n, level)
            parent.entries[at] -= moved
            parent.entries[at + 1] += moved
        self.leaf(left).count = goal
        self.leaf(right).count = left_count + right_count - goal
        self.separate(above, at + 1, level)

    def merge(self, above: uint32_t, at: uint32_t, level: uint32_t):
        """Move all that child `at + 1` (at `level`) of the node `above` holds into child `at`, and free it."""
        parent: cython.pointer(Inner) = self.inner(above)
        left: uint32_t = parent.child[at]
        right: uint32_t = parent.child[at + 1]
        right_count: uint32_t = self.leaf(right).count
        self.transfer(left, self.leaf(left).count, right, 0, right_count, level)
        self.leaf(left).count += right_count
        if level == 0:
            self.unlink_after(left)
        parent.entries[at] += parent.entries[at + 1]
        parent.count -= 1
        self.transfer(above, at + 1, above, at + 2, parent.count - at - 1, level + 1)
        self.drop_block(right)

    def unlink_after(self, left: uint32_t):
        follower: uint32_t = self.leaf(self.leaf(left).next).next
        self.leaf(left).next = follower
        if follower:
            self.leaf(follower).previous = left

    # One node

    def separate(self, above: uint32_t, at: uint32_t, level: uint32_t):
        """Set separator `at` of the node `above` to the first pair of its child, which is at `level`."""
        parent: cython.pointer(Inner) = self.inner(above)
        child: uint32_t = parent.child[at]
        if level:
            parent.order[at] = self.inner(child).order[0]
            parent.ref[at] = self.inner(child).ref[0]
        else:
            parent.order[at] = self.leaf(child).order[0]
            parent.ref[at] = self.leaf(child).ref[0]

    def transfer(self, target: uint32_t, at: uint32_t, source: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t):
        """Copy `n` places of every column, from `start` in `source` to `at` in `target`; both may be one node."""
        to_leaf: cython.pointer(Leaf) = self.leaf(target)
        from_leaf: cython.pointer(Leaf) = self.leaf(source)
        to_inner: cython.pointer(Inner) = self.inner(target)
        from_inner: cython.pointer(Inner) = self.inner(source)
        if level:
            memmove(to_inner.order + at, from_inner.order + start, n * cython.sizeof(int64_t))
            memmove(to_inner.ref + at, from_inner.ref + start, n * cython.sizeof(uint64_t))
            memmove(to_inner.entries + at, from_inner.entries + start, n * cython.sizeof(uint64_t))
            memmove(to_inner.child + at, from_inner.child + start, n * cython.sizeof(uint32_t))
        else:
            memmove(to_leaf.order + at, from_leaf.order + start, n * cython.sizeof(int64_t))
            memmove(to_leaf.ref + at, from_leaf.ref + start, n * cython.sizeof(uint64_t))

    def entries_of(self, block: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t) -> uint64_t:
        """How many pairs lie below the places `start` to `start + n` of a node."""
        inner: cython.pointer(Inner) = self.inner(block)
        total: uint64_t = 0
        at: uint32_t
        if level == 0:
            return n
        for at in range(start, start + n):
            total += inner.entries[at]
        return total

    def release(self, block: uint32_t, level: uint32_t):
        """Free a node and all that is under it."""
        inner: cython.pointer(Inner) = self.inner(block)
        at: uint32_t
        if level:
            for at in range(inner.count):
                self.release(inner.child[at], level - 1)
        self.drop_block(block)

    def drop_block(self, block: uint32_t):
        self.pool.free(block)
        self.blocks -= 1

    # Proof

    def check(self) -> None:
        """Prove the invariants in the head of this file; AssertionError names the one that does not hold."""
        leaves: list = []
        nodes: set = set()
        if self.root:
            self.check_node(self.root, self.root_level, INT64_MIN, 0, nodes, leaves)
        self.check_chain(leaves)
        assert cython.cast(uint64_t, len(nodes)) == self.blocks, f"{len(nodes)} nodes in {self.blocks} blocks"
        assert (self.root == 0) == (self.count == 0), "an empty tree holds a node"

    def check_node(
        self, block: uint32_t, level: uint32_t, order: int64_t, ref: uint64_t, nodes: set, leaves: list
    ) -> object:
        """Prove one node and what is under it, given its parent's separator; the number of its pairs."""
        inner: cython.pointer(Inner) = self.inner(block)
        n: uint32_t = inner.count
        at: uint32_t
        total: uint64_t = 0
        assert block != 0 and block not in nodes, f"block {block} is in the tree twice"
        nodes.add(block)
        assert n <= capacity(level), f"block {block} is overfull: {n}"
        fewest = capacity(level) // 3 if block != self.root else 2 if level else 1
        assert n >= fewest, f"block {block} at level {level} holds {n}, fewer than {fewest}"
        if level == 0:
            leaves.append((block, order, ref))
            return n
        assert (inner.order[0], inner.ref[0]) == (order, ref), f"separator 0 of block {block} is not its parent's"
        for at in range(n):
            below = self.check_node(inner.child[at], level - 1, inner.order[at], inner.ref[at], nodes, leaves)
            assert below == inner.entries[at], f"child {at} of block {block}: {below} pairs, not {inner.entries[at]}"
            total += below
        return total

    def check_chain(self, leaves: list) -> object:
        """Prove the order of all pairs along the leaves, given as (block, separator's order, separator's ref)."""
        before: uint32_t = 0
        total: uint64_t = 0
        at: uint32_t
        leaf: cython.pointer(Leaf)
        last = None
        for place, (block, order, ref) in enumerate(leaves):
            leaf = self.leaf(block)
            assert leaf.previous == before, f"leaf {block} has the wrong previous"
            assert leaf.next == (leaves[place + 1][0] if place + 1 < len(leaves) else 0), f"leaf {block}: wrong next"
            assert last is None or last < (order, ref), f"separator of leaf {block} is not above the leaf before"
            assert (leaf.order[0], leaf.ref[0]) >= (order, ref), f"leaf {block} starts below its separator"
            for at in range(1, leaf.count):
                assert is_below(leaf.order[at - 1], leaf.ref[at - 1], leaf.order[at], leaf.ref[at]), (
                    f"leaf {block}: place {at} is out of order"
                )
            last = (leaf.order[leaf.count - 1], leaf.ref[leaf.count - 1])
            before = block
            total += leaf.count
        assert total == self.count, f"{total} pairs, not {self.count}"
        return None
