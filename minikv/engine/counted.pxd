"""Layouts and C surface of what the counted trees share; the head of counted.py explains them."""

from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from minikv.engine.memory cimport BlockPool

cdef enum:
    TREE_LEVELS = 8  # inner nodes have 48 children or more: 2 * 48 ** 6 leaves are more than a pool has blocks

cdef struct TreeState:  # how OrderedState and SequenceState are laid out
    uint64_t total    # of what the tree counts
    uint32_t entries  # where total is something else
    uint32_t blocks
    uint32_t root
    uint32_t root_level

cdef struct Node:  # how every node begins
    uint16_t count

cdef struct Path:  # by level, 0 is the leaf: the node there, and the place in it that was followed
    uint32_t block[TREE_LEVELS]
    uint32_t index[TREE_LEVELS]


cdef inline uint32_t bytes_between(const void *start, const void *column) noexcept nogil:
    return <uint32_t> (<const char *> column - <const char *> start)


cdef class CountedTrees:
    cdef readonly BlockPool pool
    cdef uint32_t leaf_capacity
    cdef uint32_t inner_capacity
    cdef uint32_t totals_at    # bytes from the start of an inner node to its column of totals
    cdef uint32_t children_at  # and to its column of children

    # What a kind of tree does in its own way
    cdef void transfer(self, uint32_t target, uint32_t at, uint32_t source, uint32_t start, uint32_t n,
                       uint32_t level) noexcept nogil
    cdef uint64_t total_of(self, uint32_t block, uint32_t start, uint32_t n, uint32_t level) noexcept nogil
    cdef void separate(self, uint32_t above, uint32_t at, uint32_t level) noexcept nogil
    cdef void link_after(self, uint32_t left, uint32_t right) noexcept nogil
    cdef void unlink_after(self, uint32_t left) noexcept nogil

    # Shared
    cdef inline Node *node_at(self, uint32_t block) noexcept nogil:
        return <Node *> (self.pool.base + (<size_t> block << 12))
    cdef inline uint64_t *totals(self, uint32_t block) noexcept nogil:
        return <uint64_t *> (self.pool.base + (<size_t> block << 12) + self.totals_at)
    cdef inline uint32_t *children(self, uint32_t block) noexcept nogil:
        return <uint32_t *> (self.pool.base + (<size_t> block << 12) + self.children_at)
    cdef inline uint32_t capacity(self, uint32_t level) noexcept nogil:
        return self.inner_capacity if level else self.leaf_capacity
    cdef bint make_room(self, TreeState *state, Path *path) noexcept nogil
    cdef bint spill(self, const TreeState *state, const Path *path) noexcept nogil
    cdef bint reserve(self, TreeState *state, uint32_t needed, uint32_t *blocks) noexcept nogil
    cdef void grow_root(self, TreeState *state, uint32_t block) noexcept nogil
    cdef void split(self, Path *path, uint32_t level, uint32_t right) noexcept nogil
    cdef void shrink(self, TreeState *state, const Path *path) noexcept nogil
    cdef void even(self, uint32_t above, uint32_t at, uint32_t level) noexcept nogil
    cdef void merge(self, TreeState *state, uint32_t above, uint32_t at, uint32_t level) noexcept nogil
    cdef void remove_all(self, TreeState *state) noexcept nogil
    cdef void release(self, TreeState *state, uint32_t block, uint32_t level) noexcept nogil
    cdef void drop_block(self, TreeState *state, uint32_t block) noexcept nogil
    cdef object check_size(self, const TreeState *state, uint32_t block, uint32_t level, set nodes)
    cdef object check_blocks(self, const TreeState *state, set nodes)
