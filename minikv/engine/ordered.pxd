"""Layouts and C surface of the ordered trees; the head of ordered.py explains them."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from minikv.engine.counted cimport CountedTrees, Path, TreeState
from minikv.engine.memory cimport BlockPool
from minikv.engine.record cimport minikv_swap64, read_length

cdef enum:
    LEAF_CAPACITY = 255
    INNER_CAPACITY = 145

cdef struct OrderedState:  # one tree; 24 zero bytes are an empty one
    uint64_t count   # entries
    uint32_t reserved
    uint32_t blocks  # blocks held
    uint32_t root    # 0: none
    uint32_t root_level

cdef struct Entry:
    int64_t order
    uint64_t ref

cdef struct Probe:  # a place between entries; which ones are below it is said in ordered.py
    int64_t order
    uint64_t ref           # plain trees
    const uint8_t *member  # trees of elements; NULL: all of one order are equal
    uint64_t member_len
    bint after             # behind the entries that are equal, not before them

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


cdef inline TreeState *tree_of(const OrderedState *state) noexcept nogil:
    return <TreeState *> state


cdef inline Probe at_pair(int64_t order, uint64_t ref) noexcept nogil:
    """Before (order, ref); plain trees."""
    cdef Probe probe
    probe.order = order
    probe.ref = ref
    probe.member = NULL
    probe.member_len = 0
    probe.after = False
    return probe


cdef inline Probe at_order(int64_t order, bint after) noexcept nogil:
    """Before or after all entries of one order; trees of elements."""
    cdef Probe probe = at_pair(order, 0)
    probe.after = after
    return probe


cdef inline Probe at_member(int64_t order, const uint8_t *member, uint64_t member_len, bint after) noexcept nogil:
    """Before or after (order, member); trees of elements. `member` is not NULL, even if it is empty."""
    cdef Probe probe = at_pair(order, 0)
    probe.member = member
    probe.member_len = member_len
    probe.after = after
    return probe


cdef inline int64_t order_of_score(double score) noexcept nogil:
    """A number that sorts as the score does: -inf first, -0.0 as 0.0, inf last. Not for NaN."""
    cdef int64_t bits
    score += 0.0  # makes 0.0 of -0.0
    memcpy(&bits, &score, 8)
    # Negative doubles rise as their magnitude bits fall: turn those bits over.
    return bits if bits >= 0 else bits ^ <int64_t> 0x7FFFFFFFFFFFFFFF


cdef inline double score_of_order(int64_t order) noexcept nogil:
    cdef double score
    if order < 0:
        order ^= <int64_t> 0x7FFFFFFFFFFFFFFF
    memcpy(&score, &order, 8)
    return score


cdef inline int64_t order_of_id(const uint8_t *id) noexcept nogil:
    """A number that sorts as the first half of a stream ID does: 8 bytes, big endian, unsigned."""
    cdef uint64_t bits
    memcpy(&bits, id, 8)
    return <int64_t> (minikv_swap64(bits) ^ (<uint64_t> 1 << 63))


@cython.final
cdef class OrderedTrees(CountedTrees):
    cdef const uint8_t *elements  # where refs are offsets of elements; NULL: plain trees

    # Changing. The probe is exact: at_pair, or at_member with after=False
    cdef bint insert(self, OrderedState *state, const Probe *probe, uint64_t ref) except -1 nogil
    cdef bint remove(self, OrderedState *state, const Probe *probe) noexcept nogil
    cdef bint move(self, OrderedState *state, const Probe *probe, uint64_t ref) noexcept nogil
    cdef void clear(self, OrderedState *state) noexcept nogil
    cdef bint clear_some(self, OrderedState *state, uint32_t limit) noexcept nogil

    # Asking
    cdef bint contains(self, const OrderedState *state, const Probe *probe) noexcept nogil
    cdef uint64_t rank(self, const OrderedState *state, const Probe *probe) noexcept nogil
    cdef Probe at_lex(self, const OrderedState *state, const uint8_t *member, uint64_t member_len,
                      bint after) noexcept nogil
    cdef inline Probe at_element(self, int64_t order, uint64_t ref) noexcept nogil:
        """Before (order, member), where the element at `ref` is the member; trees of elements."""
        cdef uint64_t member_len
        cdef const uint8_t *member = read_length(<uint8_t *> self.elements + ref, &member_len)
        return at_member(order, member, member_len, False)
    cdef object check(self, const OrderedState *state)

    # Cursors
    cdef Cursor seek(self, const OrderedState *state, const Probe *probe) noexcept nogil
    cdef Cursor seek_first(self, const OrderedState *state) noexcept nogil
    cdef Cursor seek_last(self, const OrderedState *state) noexcept nogil
    cdef Cursor seek_rank(self, const OrderedState *state, uint64_t rank) noexcept nogil
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
    cdef bint descend(self, const OrderedState *state, const Probe *probe, Path *path) noexcept nogil
    cdef void start_leaf(self, uint32_t block) noexcept nogil
    cdef void count_on_path(self, OrderedState *state, const Path *path, int64_t change) noexcept nogil
    cdef void separate_path(self, const OrderedState *state, const Path *path) noexcept nogil
    cdef void drop_last(self, OrderedState *state) noexcept nogil
    cdef object check_node(self, const OrderedState *state, uint32_t block, uint32_t level, int64_t order,
                           uint64_t ref, set nodes, list leaves)
    cdef object check_chain(self, const OrderedState *state, list leaves)
    cdef bint rises(self, int64_t order, uint64_t ref, int64_t next_order, uint64_t next_ref) noexcept nogil


@cython.final
cdef class OrderedIndex:
    cdef OrderedTrees trees
    cdef OrderedState state

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
        return self.trees.entry(cursor)

    cdef tuple pair(self, Cursor cursor)
