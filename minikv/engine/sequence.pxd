"""Layouts and C surface of the sequences; the head of sequence.py explains them."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from minikv.engine.memory cimport BlockPool

cdef enum:
    SEQUENCE_CAPACITY = 340
    SEQUENCE_LEVELS = 6  # nodes are a third full or more: 113 ** 5 * 2 entries are beyond any memory

cdef struct SequenceState:  # one sequence; 24 zero bytes are an empty one
    uint64_t elements  # of all entries
    uint32_t entries
    uint32_t blocks    # blocks held
    uint32_t root      # 0: none
    uint32_t root_level

cdef struct SequenceCursor:  # an entry's place: by level, 0 is the leaf, the block and the index in it. block[0] 0: none
    uint32_t block[SEQUENCE_LEVELS]
    uint32_t index[SEQUENCE_LEVELS]

cdef struct SequenceLeaf:
    uint16_t count
    uint16_t reserved
    uint32_t reserved2[3]
    uint64_t node[SEQUENCE_CAPACITY]
    uint32_t elements[SEQUENCE_CAPACITY]

cdef struct SequenceInner:
    uint16_t count
    uint16_t reserved
    uint32_t reserved2[3]
    uint64_t elements[SEQUENCE_CAPACITY]
    uint32_t child[SEQUENCE_CAPACITY]


@cython.final
cdef class Sequences:
    cdef readonly BlockPool pool

    # Changing
    cdef int insert_before(self, SequenceState *state, SequenceCursor *cursor, uint64_t node,
                           uint32_t elements) except -1 nogil
    cdef int insert_after(self, SequenceState *state, SequenceCursor *cursor, uint64_t node,
                          uint32_t elements) except -1 nogil
    cdef int append(self, SequenceState *state, uint64_t node, uint32_t elements) except -1 nogil
    cdef int prepend(self, SequenceState *state, uint64_t node, uint32_t elements) except -1 nogil
    cdef void remove(self, SequenceState *state, SequenceCursor *cursor) noexcept nogil
    cdef void add(self, SequenceState *state, const SequenceCursor *cursor, int64_t change) noexcept nogil
    cdef void clear(self, SequenceState *state) noexcept nogil
    cdef inline void move(self, const SequenceCursor *cursor, uint64_t node) noexcept nogil:
        """Tell an entry that its list node has been copied to `node`."""
        self.leaf(cursor.block[0]).node[cursor.index[0]] = node

    # Asking. False and a cursor to none where there is no such entry
    cdef bint find(self, const SequenceState *state, uint64_t number, SequenceCursor *cursor,
                   uint32_t *index) noexcept nogil
    cdef bint first(self, const SequenceState *state, SequenceCursor *cursor) noexcept nogil
    cdef bint last(self, const SequenceState *state, SequenceCursor *cursor) noexcept nogil
    cdef bint following(self, const SequenceState *state, SequenceCursor *cursor) noexcept nogil
    cdef bint preceding(self, const SequenceState *state, SequenceCursor *cursor) noexcept nogil
    cdef uint64_t number_of(self, const SequenceState *state, const SequenceCursor *cursor) noexcept nogil
    cdef object check(self, const SequenceState *state)
    cdef inline uint64_t node(self, const SequenceCursor *cursor) noexcept nogil:
        return self.leaf(cursor.block[0]).node[cursor.index[0]]
    cdef inline uint32_t elements(self, const SequenceCursor *cursor) noexcept nogil:
        return self.leaf(cursor.block[0]).elements[cursor.index[0]]

    # Nodes of the tree
    cdef inline SequenceLeaf *leaf(self, uint32_t block) noexcept nogil:
        return <SequenceLeaf *> (self.pool.base + (<size_t> block << 12))
    cdef inline SequenceInner *inner(self, uint32_t block) noexcept nogil:
        return <SequenceInner *> (self.pool.base + (<size_t> block << 12))
    cdef int insert(self, SequenceState *state, SequenceCursor *cursor, bint after, uint64_t node,
                    uint32_t elements) except -1 nogil
    cdef bint make_room(self, SequenceState *state, SequenceCursor *path) noexcept nogil
    cdef bint spill(self, const SequenceState *state, const SequenceCursor *path) noexcept nogil
    cdef bint reserve(self, SequenceState *state, uint32_t needed, uint32_t *blocks) noexcept nogil
    cdef void grow_root(self, SequenceState *state, uint32_t block) noexcept nogil
    cdef void split(self, SequenceCursor *path, uint32_t level, uint32_t right) noexcept nogil
    cdef void shrink(self, SequenceState *state, const SequenceCursor *path) noexcept nogil
    cdef void even(self, uint32_t above, uint32_t at, uint32_t level) noexcept nogil
    cdef void merge(self, SequenceState *state, uint32_t above, uint32_t at, uint32_t level) noexcept nogil
    cdef void transfer(self, uint32_t target, uint32_t at, uint32_t source, uint32_t start, uint32_t n) noexcept nogil
    cdef uint64_t elements_in(self, uint32_t block, uint32_t start, uint32_t n, uint32_t level) noexcept nogil
    cdef void release(self, SequenceState *state, uint32_t block, uint32_t level) noexcept nogil
    cdef void drop_block(self, SequenceState *state, uint32_t block) noexcept nogil
    cdef object check_node(self, const SequenceState *state, uint32_t block, uint32_t level, set nodes)


@cython.final
cdef class SequenceIndex:
    cdef Sequences sequences
    cdef SequenceState state

    cdef SequenceCursor entry_at(self, uint64_t number) except *
    cdef tuple pair(self, const SequenceCursor *cursor)
