# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Indexes from the members of chunked sorted sets to their scores, in parent-only memory.

The chunks of a sorted set are in the order of (score, member). Who knows a member's score finds its chunk; this is
how its score is found. An index says nothing that the chunks do not say, so it may be missing: then all of them are
looked through. It is a hash table of tags and orders, where a tag is 32 bits of the member's hash, and an order is a
score that sorts as a number (ordered.pxd). Members that share a tag are distinguished in the chunks.

    block      tag x 340 | order x 340 | used | others     4 KiB of a BlockPool; others: of the first of up to four
    directory  number of the block x 2 ** depth            by the first bits of the hash, if there are more

Within a block, entries that collide follow each other (linear probing), and a removal closes the gap. A block that is
full makes the caller begin anew with more blocks.
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memset
from cython.cimports.minikv.engine.memory import BLOCK_SHIFT, BlockPool

assert cython.sizeof(MemberBlock) == 4096

# Members for each block of a new index: it has room for half as many again, however they are spread.
MEMBERS_AT_FIRST = cython.declare(uint32_t, 180)
TAGS_BYTES = cython.declare(cython.size_t, 4 * MEMBERS_PER_BLOCK)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def tag_of(hash_: uint64_t) -> uint32_t:
    return cython.cast(uint32_t, hash_) or 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def home_of(tag: uint32_t) -> uint32_t:
    return cython.cast(uint32_t, (cython.cast(uint64_t, tag) * MEMBERS_PER_BLOCK) >> 32)


class MemberIndexes:
    """What all of them share: their blocks are of `pool`."""

    def __cinit__(self, pool: BlockPool):
        self.pool = pool

    def begin(self, index: cython.pointer[MemberIndex], members: uint32_t) -> cython.bint:
        """An empty index with room for `members`; False if it can't be had."""
        depth: uint32_t = 0
        place: uint32_t
        self.clear(index)
        while members >> depth > MEMBERS_AT_FIRST:
            depth += 1
        if depth > INDEX_DEPTH_MAX or self.pool.available() < (cython.cast(uint32_t, 1) << depth) + 64:
            return False
        index.depth = depth
        index.block = self.pool.allocate()
        for place in range(cython.cast(uint32_t, 1) << depth):
            if place or depth > FEW_BLOCKS_DEPTH:
                self._number(index, place)[0] = self.pool.allocate()
            memset(self._at(self._number(index, place)[0]), 0, TAGS_BYTES)
            self._at(self._number(index, place)[0]).used = 0
        return True

    def clear(self, index: cython.pointer[MemberIndex]) -> cython.void:
        """Give the index up."""
        place: uint32_t
        if index.block:
            for place in range(1 if index.depth <= FEW_BLOCKS_DEPTH else 0, cython.cast(uint32_t, 1) << index.depth):
                self.pool.free(self._number(index, place)[0])
            self.pool.free(index.block)
        index.block = index.depth = index.used = 0

    def _at(self, block: uint32_t) -> cython.pointer[MemberBlock]:
        return cython.cast(cython.pointer[MemberBlock], self.pool.base + (cython.cast(uint64_t, block) << BLOCK_SHIFT))

    def _number(self, index: cython.pointer[cython.const[MemberIndex]], place: uint32_t) -> cython.pointer[uint32_t]:
        """Where the number of a block is stored, by its place among all."""
        if index.depth > FEW_BLOCKS_DEPTH:
            return cython.cast(cython.pointer[uint32_t], self._at(index.block)) + place
        if place:
            return cython.address(self._at(index.block).others[place - 1])
        return cython.cast(cython.pointer[uint32_t], cython.address(index.block))

    def _block(self, index: cython.pointer[cython.const[MemberIndex]], hash_: uint64_t) -> cython.pointer[MemberBlock]:
        if index.depth == 0:
            return self._at(index.block)
        return self._at(self._number(index, cython.cast(uint32_t, hash_ >> (64 - index.depth)))[0])

    def insert(self, index: cython.pointer[MemberIndex], hash_: uint64_t, order: int64_t) -> cython.bint:
        """Add a member; False if its block is full."""
        block: cython.pointer[MemberBlock] = self._block(index, hash_)
        tag: uint32_t = tag_of(hash_)
        at: uint32_t = home_of(tag)
        if block.used >= MEMBERS_MAX:
            return False
        while block.tag[at]:
            at = 0 if at + 1 == MEMBERS_PER_BLOCK else at + 1
        block.tag[at] = tag
        block.order[at] = order
        block.used += 1
        index.used += 1
        return True

    def remove(self, index: cython.pointer[MemberIndex], hash_: uint64_t, order: int64_t) -> cython.bint:
        """Take a member out, known by its order; False if it is not there."""
        block: cython.pointer[MemberBlock] = self._block(index, hash_)
        tag: uint32_t = tag_of(hash_)
        at: uint32_t = home_of(tag)
        following: uint32_t
        while block.tag[at] != tag or block.order[at] != order:
            if block.tag[at] == 0:
                return False
            at = 0 if at + 1 == MEMBERS_PER_BLOCK else at + 1
        following = at
        while True:
            following = 0 if following + 1 == MEMBERS_PER_BLOCK else following + 1
            if block.tag[following] == 0:
                break
            # One whose home lies behind the gap must not move before it.
            if distance(home_of(block.tag[following]), following) >= distance(at, following):
                block.tag[at] = block.tag[following]
                block.order[at] = block.order[following]
                at = following
        block.tag[at] = 0
        block.used -= 1
        index.used -= 1
        return True

    def find(
        self,
        index: cython.pointer[cython.const[MemberIndex]],
        hash_: uint64_t,
        step: cython.pointer[uint32_t],
        order: cython.pointer[int64_t],
    ) -> cython.bint:
        """The next order of a member of this hash, from step 0 on; False when there is none left."""
        block: cython.pointer[MemberBlock] = self._block(index, hash_)
        tag: uint32_t = tag_of(hash_)
        at: uint32_t = (home_of(tag) + step[0]) % MEMBERS_PER_BLOCK
        while block.tag[at]:
            step[0] += 1
            if block.tag[at] == tag:
                order[0] = block.order[at]
                return True
            at = 0 if at + 1 == MEMBERS_PER_BLOCK else at + 1
        return False


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def distance(home: uint32_t, at: uint32_t) -> uint32_t:
    """Steps from one place of a block to another one behind it, round the block."""
    return at - home if at >= home else at + MEMBERS_PER_BLOCK - home
