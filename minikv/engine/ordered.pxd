"""Layouts and C surface of the ordered index; the head of ordered.py explains them."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from minikv.engine.memory cimport BlockPool

cdef enum:
    LEAF_CAPACITY = 255
    INNER_CAPACITY = 145
    MAX_LEVELS = 12  # inner nodes have 48 children or more: 85 * 48 ** 10 entries are beyond any memory

cdef struct Entry:
    int64_t order
    uint64_t ref

cdef struct Cursor:  # an entry's place; leaf 0: none. The next insert, remove or clear makes it invalid
    uint32_t leaf
    uint32_t index

cdef struct Leaf:
    uint16_t count
    uint16_t reserved
    uint32_t previous
    uint32_t next
    uint32_t reserved2
    int64_t order[LEAF_CAPACITY]
    uint64_t ref[LEAF_CAPACITY]

cdef struct Inner:
    uint16_t count
    uint16_t reserved
    uint32_t reserved2[3]
    int64_t order[INNER_CAPACITY]
    uint64_t ref[INNER_CAPACITY]
    uint64_t entries[INNER_CAPACITY]
    uint32_t child[INNER_CAPACITY]

cdef struct Path:  # by level, 0 is the leaf: the node there, and the place in it that was followed
    uint32_t block[MAX_LEVELS]
    uint32_t index[MAX_LEVELS]


@cython.final
cdef class OrderedIndex:
    cdef readonly BlockPool pool
    cdef readonly uint64_t count   # entries
    cdef readonly uint64_t blocks  # blocks held
    cdef uint32_t root
    cdef uint32_t root_level

    # For the engine and for Python
    cpdef bint insert(self, int64_t order, uint64_t ref) except -1 nogil
    cpdef bint remove(self, int64_t order, uint64_t ref) noexcept nogil
    cpdef bint contains(self, int64_t order, uint64_t ref) noexcept nogil
    cpdef uint64_t rank(self, int64_t order, uint64_t ref) noexcept nogil
    cpdef void clear(self) noexcept nogil

    # For the engine: cursors
    cdef Cursor seek_first(self) noexcept nogil
    cdef Cursor seek_last(self) noexcept nogil
    cdef Cursor seek(self, int64_t order, uint64_t ref) noexcept nogil
    cdef Cursor seek_rank(self, uint64_t rank) noexcept nogil
    cdef Cursor following(self, Cursor cursor) noexcept nogil
    cdef Cursor preceding(self, Cursor cursor) noexcept nogil
    cdef inline Entry entry(self, Cursor cursor) noexcept nogil:
        cdef Leaf *leaf = self.leaf(cursor.leaf)
        cdef Entry entry
        entry.order = leaf.order[cursor.index]
        entry.ref = leaf.ref[cursor.index]
        return entry

    # Nodes
    cdef inline Leaf *leaf(self, uint32_t block) noexcept nogil:
        return <Leaf *> (self.pool.base + (<size_t> block << 12))
    cdef inline Inner *inner(self, uint32_t block) noexcept nogil:
        return <Inner *> (self.pool.base + (<size_t> block << 12))
    cdef bint descend(self, int64_t order, uint64_t ref, Path *path) noexcept nogil
    cdef bint make_room(self, Path *path) noexcept nogil
    cdef bint spill(self, Path *path) noexcept nogil
    cdef bint reserve(self, uint32_t needed, uint32_t *blocks) noexcept nogil
    cdef void grow_root(self, uint32_t block) noexcept nogil
    cdef void split(self, Path *path, uint32_t level, uint32_t right) noexcept nogil
    cdef void shrink(self, Path *path) noexcept nogil
    cdef void start_leaf(self, uint32_t block) noexcept nogil
    cdef void link_after(self, uint32_t left, uint32_t right) noexcept nogil
    cdef void unlink_after(self, uint32_t left) noexcept nogil
    cdef void separate(self, uint32_t above, uint32_t at, uint32_t level) noexcept nogil
    cdef void drop_block(self, uint32_t block) noexcept nogil
    cdef void even(self, uint32_t above, uint32_t at, uint32_t level) noexcept nogil
    cdef void merge(self, uint32_t above, uint32_t at, uint32_t level) noexcept nogil
    cdef void transfer(self, uint32_t target, uint32_t at, uint32_t source, uint32_t start, uint32_t n,
                       uint32_t level) noexcept nogil
    cdef uint64_t entries_of(self, uint32_t block, uint32_t start, uint32_t n, uint32_t level) noexcept nogil
    cdef void release(self, uint32_t block, uint32_t level) noexcept nogil
    cdef tuple pair(self, Cursor cursor)
    cdef object check_node(self, uint32_t block, uint32_t level, int64_t order, uint64_t ref, set nodes,
                             list leaves)
    cdef object check_chain(self, list leaves)
