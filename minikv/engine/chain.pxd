"""Layouts and C surface of the chains; the head of chain.py explains them."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from minikv.engine.arena cimport Arena
from minikv.engine.record cimport read_length, string_size
from minikv.engine.sequence cimport SequenceCursor, Sequences, SequenceState

cdef enum:
    NODE_HEADER = 24
    SHARED_PAGES = 128              # of one chain at most, in its database's shared store: 512 KiB
    TAILS = 64                      # nodes of which the places of the last elements are known
    TAIL_PLACES = 252
    # A node has room for this many elements like its first, so that little of it is left over; a large one has it alone.
    ELEMENTS_PER_NODE = 8
    NODE_PAGES_MIN = 2
    NODE_PAGES_MAX = 64

cdef struct Node:                   # in the arena; its elements' bytes follow each other from start to end
    uint64_t next                   # offset of the next node; 0: none
    uint32_t start                  # from the node's first byte
    uint32_t end
    uint32_t pages
    uint32_t unused

cdef struct Chain:                  # parent-only; all zero but for the last three: empty
    SequenceState nodes             # nodes.elements: of the whole chain
    uint64_t first                  # node; 0: none
    uint64_t last
    uint64_t pages                  # in all nodes
    uint32_t shared_pages           # of these, in the shared store
    uint32_t width                  # bytes of each element; 0: each is an RDB string
    uint32_t store_number           # its nodes lie in segments of this store
    uint32_t shared                 # and the first few of this one, if it is not 0

cdef struct Place:                  # of an element; good until the chain changes
    uint8_t *at                     # NULL: behind the last
    uint8_t *end                    # of its node's elements
    uint64_t next                   # node

cdef struct Tail:                   # parent-only
    uint64_t node                   # 0: none
    uint32_t end                    # of the node, when this was true
    uint32_t count
    uint32_t places[TAIL_PLACES]    # of the node's last `count` elements, from its first byte


cdef inline uint64_t element_size(const Chain *chain, uint8_t *at) noexcept nogil:
    return chain.width if chain.width else string_size(at)


cdef inline bint is_string(uint8_t *at, const uint8_t *text, uint64_t length) noexcept nogil:
    """True for the RDB string of this text."""
    cdef uint64_t found
    cdef uint8_t *data = read_length(at, &found)
    return found == length and memcmp(data, text, length) == 0


cdef inline uint64_t node_pages(uint64_t size) noexcept nogil:
    """Pages of a node whose first element has `size` bytes."""
    cdef uint64_t wanted = (NODE_HEADER + ELEMENTS_PER_NODE * size + 4095) >> 12
    if wanted > NODE_PAGES_MAX:
        return (NODE_HEADER + size + 4095) >> 12
    return wanted if wanted > NODE_PAGES_MIN else NODE_PAGES_MIN


@cython.final
cdef class Chains:
    cdef Arena arena
    cdef Sequences sequences
    cdef Tail *tails

    # Elements, by position. Sizes are whole: with an RDB string's length. The caller writes all bytes of a new element
    # before any other call. A pointer is good until the chain changes
    cdef uint8_t *find(self, Chain *chain, uint64_t position, uint64_t *size) noexcept nogil
    cdef uint8_t *insert(self, Chain *chain, uint64_t position, uint64_t size) except NULL nogil
    cdef uint8_t *replace(self, Chain *chain, uint64_t position, uint64_t size) except NULL nogil
    cdef void remove(self, Chain *chain, uint64_t position, uint64_t count) noexcept nogil
    cdef uint64_t remove_equal(self, Chain *chain, const uint8_t *text, uint64_t length, uint64_t limit,
                               bint from_end) noexcept nogil

    # Many elements: `place` of one, then `advance` from element to element
    cdef bint place(self, Chain *chain, uint64_t position, Place *place) noexcept nogil
    cdef inline void advance(self, const Chain *chain, Place *place) noexcept nogil:
        place.at += element_size(chain, place.at)
        if place.at == place.end:
            self.enter(place.next, place)
    cdef inline void enter(self, uint64_t node, Place *place) noexcept nogil:
        """Go to the first element of a node; 0: behind the last."""
        if node == 0:
            place.at = NULL
            return
        place.at = self.arena.base + node + self.node(node).start
        place.end = self.arena.base + node + self.node(node).end
        place.next = self.node(node).next

    cdef uint64_t run(self, Chain *chain, uint64_t position, Place *place, uint64_t *first) noexcept nogil

    # Whole chains
    cdef int copy(self, Chain *source, Chain *target) except -1 nogil
    cdef int share_with(self, Chain *chain, uint32_t shared) except -1 nogil
    cdef void clear(self, Chain *chain) noexcept nogil
    cdef void forget(self, Chain *chain) noexcept nogil
    cdef object check(self, Chain *chain)
    cdef object check_node(self, Chain *chain, uint64_t offset, uint32_t elements)

    # Nodes
    cdef inline Node *node(self, uint64_t offset) noexcept nogil:
        return <Node *> (self.arena.base + offset)
    cdef inline Tail *tail(self, uint64_t offset) noexcept nogil:
        return &self.tails[(offset >> 12) % TAILS]
    cdef int reserve(self) except -1 nogil
    cdef uint8_t *_push_left(self, Chain *chain, uint64_t size) except NULL nogil
    cdef uint8_t *_push_right(self, Chain *chain, uint64_t size) except NULL nogil
    cdef uint8_t *_put(self, Chain *chain, uint64_t position, bint replaced, uint64_t size) except NULL nogil
    cdef uint8_t *_put_apart(self, Chain *chain, SequenceCursor *cursor, uint32_t index, uint32_t at, uint64_t old,
                             uint64_t size) except NULL nogil
    cdef bint _split(self, Chain *chain, SequenceCursor *cursor, uint32_t *at, uint64_t old, uint64_t size) except -1 nogil
    cdef uint32_t _resize(self, uint64_t offset, uint32_t at, uint64_t old, uint64_t size) noexcept nogil
    cdef bint _room_left(self, uint64_t offset, uint64_t size) noexcept nogil
    cdef bint _room_right(self, uint64_t offset, uint64_t size) noexcept nogil
    cdef bint _slide(self, uint64_t offset, uint64_t left, uint64_t right) noexcept nogil
    cdef uint32_t _extend(self, uint64_t offset, uint64_t size) noexcept nogil
    cdef uint32_t _locate(self, const Chain *chain, uint64_t offset, uint32_t index) noexcept nogil
    cdef uint32_t _locate_known(self, const Chain *chain, uint64_t offset, uint32_t index, uint32_t elements) noexcept nogil
    cdef void _learn_tail(self, uint64_t offset, uint32_t elements) noexcept nogil
    cdef void _cut_tail(self, uint64_t offset, uint32_t old_end) noexcept nogil
    cdef void _forget_tail(self, uint64_t offset) noexcept nogil
    cdef uint64_t _take_node(self, Chain *chain, uint64_t pages) noexcept nogil
    cdef uint64_t _new_node(self, Chain *chain, uint64_t pages) except 0 nogil
    cdef void _free_node(self, Chain *chain, uint64_t offset) noexcept nogil
    cdef void _link(self, Chain *chain, uint64_t before, uint64_t offset) noexcept nogil
    cdef void _unlink(self, Chain *chain, SequenceCursor *cursor) noexcept nogil
    cdef void _move_node(self, Chain *chain, const SequenceCursor *cursor, uint64_t offset) noexcept nogil
    cdef uint64_t _before(self, const Chain *chain, const SequenceCursor *cursor) noexcept nogil
    cdef void _tidy(self, Chain *chain, uint64_t position) noexcept nogil
    cdef void _refit(self, Chain *chain, const SequenceCursor *cursor) noexcept nogil
    cdef bint _merge(self, Chain *chain, SequenceCursor *cursor) noexcept nogil
    cdef uint32_t _drop_equal(self, uint64_t offset, const uint8_t *text, uint64_t length, uint64_t limit,
                              bint from_end) noexcept nogil
    cdef void _empty(self, Chain *chain) noexcept nogil
