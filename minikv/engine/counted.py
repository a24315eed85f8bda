# cython: cdivision=True
# ruff: noqa: F821
"""Counted B-trees: how nodes split, even out and merge, whatever their entries are.

Ordered trees (ordered.py) find an entry by its order and add up entries; sequences (sequence.py) find it by its
position and add up elements. Both are trees of 4 KiB blocks of a BlockPool whose inner nodes keep the total of each
child. What differs is how a node lays out its columns: a kind of tree says where an inner node's totals and children
are and how many places a node has, and overrides `transfer` and `total_of`; one with separators or links between its
leaves also overrides `separate`, `link_after` and `unlink_after`.

A full leaf first evens out with a neighbour of the same parent that has room and is split only when both are crowded. A
node that falls below a third merges with a neighbour, if both together then leave a quarter free, or evens out with it;
so neither rule undoes at once what the other has just done.
"""

import cython
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.minikv.engine.counted import TREE_LEVELS, Path, TreeState
from cython.cimports.minikv.engine.memory import BlockPool

assert cython.sizeof(TreeState) == 24


@cython.cclass
class CountedTrees:
    """What all trees of one kind share; their blocks are of `pool`."""

    def __cinit__(self, pool: BlockPool):
        self.pool = pool

    # What a kind of tree does in its own way

    def transfer(self, target: uint32_t, at: uint32_t, source: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t):
        """Copy `n` places of every column, from `start` in `source` to `at` in `target`; both may be one node."""

    def total_of(self, block: uint32_t, start: uint32_t, n: uint32_t, level: uint32_t) -> uint64_t:
        """The total of the places `start` to `start + n` of a node."""
        return 0

    def separate(self, above: uint32_t, at: uint32_t, level: uint32_t):
        """Set separator `at` of the node `above` to the first entry below its child, which is at `level`."""

    def link_after(self, left: uint32_t, right: uint32_t):
        """Put the new leaf `right` behind `left`."""

    def unlink_after(self, left: uint32_t):
        """Take out the leaf behind `left`."""

    # Room for entries

    def make_room(self, state: cython.pointer[TreeState], path: cython.pointer[Path]) -> cython.bint:
        """Give the full leaf at the end of `path` room; False, and nothing changed, if the pool is too full for that.

        All blocks are taken before the first node changes. Splits go from the top down: a parent then always has room.
        The path is invalid afterwards.
        """
        fresh: uint32_t[TREE_LEVELS]
        level: uint32_t = 0
        needed: uint32_t = 1
        if self.spill(state, path):
            return True
        while level < state.root_level and self.node_at(path.block[level + 1]).count == self.inner_capacity:
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
        self, state: cython.pointer[cython.const[TreeState]], path: cython.pointer[cython.const[Path]]
    ) -> cython.bint:
        """Even the full leaf out with the emptier of its neighbours, if that gains an eighth of a leaf or more."""
        children: cython.pointer[uint32_t]
        at: uint32_t
        left_room: uint32_t = 0
        right_room: uint32_t = 0
        if state.root_level == 0:
            return False
        children = self.children(path.block[1])
        at = path.index[1]
        if at:
            left_room = self.leaf_capacity - self.node_at(children[at - 1]).count
        if at + 1 < self.node_at(path.block[1]).count:
            right_room = self.leaf_capacity - self.node_at(children[at + 1]).count
        if max(left_room, right_room) < self.leaf_capacity // 8:
            return False
        self.even(path.block[1], at - 1 if left_room > right_room else at, 0)
        return True

    def reserve(
        self, state: cython.pointer[TreeState], needed: uint32_t, blocks: cython.pointer[uint32_t]
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

    def grow_root(self, state: cython.pointer[TreeState], block: uint32_t):
        """Put an inner node with the old root as its only child on top; the caller splits that child at once."""
        self.node_at(block).count = 1
        self.totals(block)[0] = state.total
        self.children(block)[0] = state.root
        self.separate(block, 0, state.root_level)
        state.root = block
        state.root_level += 1

    def split(self, path: cython.pointer[Path], level: uint32_t, right: uint32_t):
        """Move the upper half of the node at `level` of `path` to the new node `right`; the path stays true."""
        left: uint32_t = path.block[level]
        above: uint32_t = path.block[level + 1]
        at: uint32_t = path.index[level + 1]
        totals: cython.pointer[uint64_t] = self.totals(above)
        kept: uint32_t = (self.capacity(level) + 1) // 2
        moved: uint32_t = self.capacity(level) - kept
        self.transfer(right, 0, left, kept, moved, level)
        self.node_at(right).count = moved
        self.node_at(left).count = kept
        if level == 0:
            self.link_after(left, right)
        self.transfer(above, at + 2, above, at + 1, self.node_at(above).count - at - 1, level + 1)
        self.node_at(above).count += 1
        self.children(above)[at + 1] = right
        totals[at + 1] = self.total_of(right, 0, moved, level)
        totals[at] -= totals[at + 1]
        self.separate(above, at + 1, level)
        if path.index[level] >= kept:
            path.block[level] = right
            path.index[level] -= kept

    # After a removal

    def shrink(self, state: cython.pointer[TreeState], path: cython.pointer[cython.const[Path]]):
        """Repair what `path` left less than a third full, and give up levels that hold one node."""
        level: uint32_t = 0
        children: cython.pointer[uint32_t]
        at: uint32_t
        child: uint32_t
        together: uint32_t
        while level < state.root_level and self.node_at(path.block[level]).count < self.capacity(level) // 3:
            children = self.children(path.block[level + 1])
            at = path.index[level + 1]
            if at:
                at -= 1
            together = self.node_at(children[at]).count + self.node_at(children[at + 1]).count
            if together > self.capacity(level) * 3 // 4:
                self.even(path.block[level + 1], at, level)
                break
            self.merge(state, path.block[level + 1], at, level)
            level += 1
        while state.root_level and self.node_at(state.root).count == 1:
            child = self.children(state.root)[0]
            self.drop_block(state, state.root)
            state.root = child
            state.root_level -= 1
        if state.total == 0:
            self.remove_all(state)

    def even(self, above: uint32_t, at: uint32_t, level: uint32_t):
        """Share what children `at` and `at + 1` (at `level`) of the node `above` hold equally between them."""
        totals: cython.pointer[uint64_t] = self.totals(above)
        left: uint32_t = self.children(above)[at]
        right: uint32_t = self.children(above)[at + 1]
        left_count: uint32_t = self.node_at(left).count
        right_count: uint32_t = self.node_at(right).count
        goal: uint32_t = (left_count + right_count) // 2
        n: uint32_t
        moved: uint64_t
        if left_count < goal:
            n = goal - left_count
            moved = self.total_of(right, 0, n, level)
            self.transfer(left, left_count, right, 0, n, level)
            self.transfer(right, 0, right, n, right_count - n, level)
            totals[at] += moved
            totals[at + 1] -= moved
        else:
            n = left_count - goal
            moved = self.total_of(left, goal, n, level)
            self.transfer(right, n, right, 0, right_count, level)
            self.transfer(right, 0, left, goal, n, level)
            totals[at] -= moved
            totals[at + 1] += moved
        self.node_at(left).count = goal
        self.node_at(right).count = left_count + right_count - goal
        self.separate(above, at + 1, level)

    def merge(self, state: cython.pointer[TreeState], above: uint32_t, at: uint32_t, level: uint32_t):
        """Move all that child `at + 1` (at `level`) of the node `above` holds into child `at`, and free it."""
        totals: cython.pointer[uint64_t] = self.totals(above)
        left: uint32_t = self.children(above)[at]
        right: uint32_t = self.children(above)[at + 1]
        right_count: uint32_t = self.node_at(right).count
        self.transfer(left, self.node_at(left).count, right, 0, right_count, level)
        self.node_at(left).count += right_count
        if level == 0:
            self.unlink_after(left)
        totals[at] += totals[at + 1]
        self.node_at(above).count -= 1
        self.transfer(above, at + 1, above, at + 2, self.node_at(above).count - at - 1, level + 1)
        self.drop_block(state, right)

    # Blocks

    def remove_all(self, state: cython.pointer[TreeState]):
        """Remove every entry and return all blocks; reads the inner nodes only."""
        if state.root:
            self.release(state, state.root, state.root_level)
        state.total = 0
        state.entries = 0
        state.root = 0
        state.root_level = 0

    def release(self, state: cython.pointer[TreeState], block: uint32_t, level: uint32_t):
        """Free a node and all that is under it."""
        at: uint32_t
        if level:
            for at in range(self.node_at(block).count):
                self.release(state, self.children(block)[at], level - 1)
        self.drop_block(state, block)

    def drop_block(self, state: cython.pointer[TreeState], block: uint32_t):
        self.pool.free(block)
        state.blocks -= 1

    # Proof

    def check_size(
        self, state: cython.pointer[cython.const[TreeState]], block: uint32_t, level: uint32_t, nodes: set
    ) -> object:
        """Prove that a node is new to `nodes`, which it is added to, and neither overfull nor too empty."""
        n: uint32_t = self.node_at(block).count
        assert block != 0 and block not in nodes, f"block {block} is in the tree twice"
        nodes.add(block)
        assert n <= self.capacity(level), f"block {block} is overfull: {n}"
        fewest = self.capacity(level) // 3 if block != state.root else 2 if level else 1
        assert n >= fewest, f"block {block} at level {level} holds {n}, fewer than {fewest}"
        return None

    def check_blocks(self, state: cython.pointer[cython.const[TreeState]], nodes: set) -> object:
        """Prove that `nodes` are all the blocks of a tree, none if it is empty."""
        assert cython.cast(uint64_t, len(nodes)) == state.blocks, f"{len(nodes)} nodes in {state.blocks} blocks"
        assert (state.root == 0) == (state.total == 0), "an empty tree holds a node"
        return None
