"""Layouts and C surface of the sequences; the head of sequence.py explains them."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from minikv.engine.counted cimport CountedTrees, Path, TreeState
from minikv.engine.memory cimport BlockPool

cdef enum:
    SEQUENCE_CAPACITY = 340

cdef struct SequenceState:  # one sequence; 24 zero bytes are an empty one
    uint64_t elements  # of all entries
    uint32_t entries
    uint32_t blocks    # blocks held
    uint32_t root      # 0: none
    uint32_t root_level

ctypedef Path SequenceCursor  # an entry's place. block[0] 0: none

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



cdef inline TreeState *tree_of(const SequenceState *state) noexcept nogil:
    return <TreeState *> state


@cython.final
cdef class Sequences(CountedTrees):
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
        """Point an entry to the copy of its list node at `node`."""
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
    cdef object check_node(self, const SequenceState *state, uint32_t block, uint32_t level, set nodes)
