"""Layouts and C surface of the chains; the head of chain.py explains them."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from minikv.engine.arena cimport Arena
from minikv.engine.memory cimport is_set
from minikv.engine.record cimport NODE_PREFIX, read_length, string_size
from minikv.engine.sequence cimport SequenceCursor, Sequences, SequenceState

cdef enum:
    PATCH_HEADER = 16
    PATCHES_MAX = 64                # of one node
    PATCH_MAX = 2048                # bytes of an element that a patch may hold
    SHARED_BYTES = 524288           # of one chain at most, in its database's shared store
    SHARED_NODES = 256              # that these may be
    TAILS = 64                      # nodes of which the places of the last elements are known
    TAIL_PLACES = 252
    # A node has room for this many elements like its first, so that little of it is left over; a large one has it alone.
    ELEMENTS_PER_NODE = 8
    NODE_BYTES = 4096
    ALONE_MIN = 2048                # bytes of such an element
    LATER_MAX = 16384               # nodes that the child will see later

cdef struct Node:                   # parent-only, with a copy that is inherited
    uint64_t body                   # offset of the record with its elements, whose bytes follow each other from start to end
    uint64_t patches                # offset of the newest << 8 | how many; 0: none
    uint32_t next                   # number; 0: none. Of a node that is free: the next one that is
    uint32_t start                  # from the body's first byte
    uint32_t end
    uint32_t size                   # bytes of the body

cdef struct Chain:                  # parent-only; all zero but for those from width to patchable: empty
    SequenceState nodes             # nodes.elements: of the whole chain
    uint64_t bytes                  # of its records
    uint32_t first                  # node; 0: none
    uint32_t last
    uint32_t patched                # first of the nodes that have patches; 0: none
    uint32_t shared_bytes           # of its records, those in the shared store
    uint32_t width                  # bytes of each element; 0: each is an RDB string
    uint32_t store_number           # its records lie in segments of this store
    uint32_t shared                 # and the first few of this one, if it is not 0
    bint patchable                  # an element of a frozen node may be replaced by a patch

cdef struct Place:                  # of an element; good until the chain changes
    uint8_t *at                     # NULL: behind the last
    uint8_t *end                    # of its node's elements
    uint32_t next                   # node

cdef struct Tail:                   # parent-only
    uint32_t node                   # 0: none
    uint32_t end                    # of the node, when this was true
    uint32_t count
    uint32_t places[TAIL_PLACES]    # of the node's last `count` elements, from the body's first byte
    uint32_t unused

cdef struct Neighbours:             # parent-only: of a node among those of its chain that have patches
    uint32_t next
    uint32_t previous

cdef struct Patch:
    uint64_t offset
    uint32_t place                  # of the element that it replaces, from the body's first byte


cdef inline uint64_t element_size(const Chain *chain, uint8_t *at) noexcept nogil:
    return chain.width if chain.width else string_size(at)


cdef inline bint is_string(uint8_t *at, const uint8_t *text, uint64_t length) noexcept nogil:
    """True for the RDB string of this text."""
    cdef uint64_t found
    cdef uint8_t *data = read_length(at, &found)
    return found == length and memcmp(data, text, length) == 0


cdef inline uint64_t node_bytes(uint64_t size) noexcept nogil:
    """Bytes of a node whose first element has `size` bytes."""
    if size >= ALONE_MIN:
        return (NODE_PREFIX + size + 7) & ~<uint64_t>7
    return max(NODE_BYTES, (NODE_PREFIX + ELEMENTS_PER_NODE * size + 7) & ~<uint64_t>7)


cdef inline uint64_t patch_after(const uint8_t *base, uint64_t patch) noexcept nogil:
    """The next patch of the node; 0: none."""
    cdef uint64_t word
    memcpy(&word, base + patch + NODE_PREFIX, 8)
    return word >> 16


cdef inline uint32_t patch_place(const uint8_t *base, uint64_t patch) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, base + patch + NODE_PREFIX, 8)
    return word & 0xFFFF


cdef inline void link_patch(uint8_t *base, uint64_t patch, uint64_t following, uint32_t place) noexcept nogil:
    cdef uint64_t word = following << 16 | place
    memcpy(base + patch + NODE_PREFIX, &word, 8)


cdef uint32_t sort_patches(const uint8_t *base, const Node *node, Patch *patches) noexcept nogil
cdef uint8_t *merge_patches(uint8_t *base, const Node *node, uint8_t *out) noexcept nogil


@cython.final
cdef class Chains:
    cdef Arena arena
    cdef Sequences sequences
    cdef Tail *tails
    cdef Node *nodes
    cdef Node *shown                # inherited: the same as the child sees it
    cdef Neighbours *neighbours
    cdef uint32_t capacity          # nodes
    cdef uint32_t next_fresh
    cdef uint32_t free_head
    cdef uint32_t *later            # nodes that have changed and are not shown yet
    cdef uint32_t later_count
    cdef readonly uint32_t patched_nodes
    cdef uint8_t *scratch           # nodes with their patches, for readers
    cdef uint32_t scratch_next

    # Elements, by position. Sizes are whole: with an RDB string's length. The caller writes all bytes of a new element
    # before any other call. A pointer is good until the chain changes; one to an element of a node with patches
    # until SCRATCHES other such nodes have been read, and never to be written to
    cdef uint8_t *find(self, Chain *chain, uint64_t position, uint64_t *size) noexcept nogil
    cdef uint8_t *insert(self, Chain *chain, uint64_t position, uint64_t size) except NULL nogil
    cdef uint8_t *replace(self, Chain *chain, uint64_t position, uint64_t size) except NULL nogil
    cdef int thaw_at(self, Chain *chain, uint64_t position) except -1 nogil
    cdef int remove(self, Chain *chain, uint64_t position, uint64_t count) except -1 nogil
    cdef uint64_t remove_equal(self, Chain *chain, const uint8_t *text, uint64_t length, uint64_t limit,
                               bint from_end) except? 0 nogil

    # Many elements: `place` of one, then `advance` from element to element
    cdef bint place(self, Chain *chain, uint64_t position, Place *place) noexcept nogil
    cdef inline void advance(self, const Chain *chain, Place *place) noexcept nogil:
        place.at += element_size(chain, place.at)
        if place.at == place.end:
            self.enter(place.next, place)
    cdef inline void enter(self, uint32_t number, Place *place) noexcept nogil:
        """Go to the first element of a node; 0: behind the last."""
        if number == 0:
            place.at = NULL
            return
        if self.nodes[number].patches:
            place.at = self._next_scratch()
            place.end = merge_patches(self.arena.base, &self.nodes[number], place.at)
        else:
            place.at = self.body(number) + self.nodes[number].start
            place.end = self.body(number) + self.nodes[number].end
        place.next = self.nodes[number].next

    cdef uint64_t run(self, Chain *chain, uint64_t position, Place *place, uint64_t *first) noexcept nogil

    # Whole chains
    cdef int copy(self, Chain *source, Chain *target) except -1 nogil
    cdef int share_with(self, Chain *chain, uint32_t shared) except -1 nogil
    cdef int fold(self, Chain *chain) except -1 nogil
    cdef void clear(self, Chain *chain) noexcept nogil
    cdef void forget(self, Chain *chain) noexcept nogil
    cdef void abandon(self, Chain *chain) noexcept nogil
    cdef object check(self, Chain *chain)
    cdef object check_node(self, Chain *chain, uint32_t number, uint32_t elements)
    cdef object check_patches(self, Chain *chain, uint32_t number, list places)

    # What the child sees
    cdef inline void show(self, uint32_t number) noexcept nogil:
        """A node has changed."""
        if self.later_count or is_set(&self.arena.clone.busy):
            self._show_later(number)
        else:
            self.shown[number] = self.nodes[number]
    cdef void show_all(self) noexcept nogil
    cdef void make_ready(self) noexcept nogil
    cdef void _show_later(self, uint32_t number) noexcept nogil

    # Nodes
    cdef inline uint8_t *body(self, uint32_t number) noexcept nogil:
        return self.arena.base + self.nodes[number].body
    cdef inline Tail *tail(self, uint32_t number) noexcept nogil:
        return &self.tails[number % TAILS]
    cdef inline uint32_t node_at(self, const SequenceCursor *cursor) noexcept nogil:
        return <uint32_t> self.sequences.node(cursor)
    cdef inline bint is_open(self, uint32_t number) noexcept nogil:
        """Whether the bytes of a node may be written where they are."""
        return self.nodes[number].patches == 0 and not self.arena.is_frozen(self.nodes[number].body)
    cdef uint8_t *_next_scratch(self) noexcept nogil
    cdef int reserve(self) except -1 nogil
    cdef uint8_t *_push_left(self, Chain *chain, uint64_t size) except NULL nogil
    cdef uint8_t *_push_right(self, Chain *chain, uint64_t size) except NULL nogil
    cdef uint8_t *_put(self, Chain *chain, uint64_t position, bint replaced, uint64_t size) except NULL nogil
    cdef uint8_t *_put_alone(self, Chain *chain, uint32_t number, uint64_t size) except NULL nogil
    cdef uint8_t *_put_apart(self, Chain *chain, SequenceCursor *cursor, uint32_t index, uint32_t at, uint64_t old,
                             uint64_t size) except NULL nogil
    cdef bint _split(self, Chain *chain, SequenceCursor *cursor, uint32_t *at, uint64_t old, uint64_t size) except -1 nogil
    cdef uint32_t _resize(self, uint32_t number, uint32_t at, uint64_t old, uint64_t size) noexcept nogil
    cdef bint _room_left(self, uint32_t number, uint64_t size) noexcept nogil
    cdef bint _room_right(self, uint32_t number, uint64_t size) noexcept nogil
    cdef bint _slide(self, uint32_t number, uint64_t left, uint64_t right) noexcept nogil
    cdef uint32_t _extend(self, uint32_t number, uint64_t size) noexcept nogil
    cdef uint32_t _locate(self, const Chain *chain, uint32_t number, uint32_t index) noexcept nogil
    cdef uint32_t _locate_known(self, const Chain *chain, uint32_t number, uint32_t index, uint32_t elements) noexcept nogil
    cdef void _learn_tail(self, uint32_t number, uint32_t elements) noexcept nogil
    cdef void _cut_tail(self, uint32_t number, uint32_t old_end) noexcept nogil
    cdef void _forget_tail(self, uint32_t number) noexcept nogil

    # Patches
    cdef uint8_t *_patch(self, Chain *chain, uint32_t number, uint32_t at, uint64_t size, uint32_t elements) except? NULL nogil
    cdef uint64_t _patch_of(self, uint32_t number, uint32_t at) noexcept nogil
    cdef int thaw(self, Chain *chain, uint32_t number, bint removing) except -1 nogil
    cdef int _thaw_equal(self, Chain *chain, const uint8_t *text, uint64_t length, uint64_t limit,
                         bint from_end) except -1 nogil
    cdef int _rewrite(self, Chain *chain, uint32_t number, bint removing) except -1 nogil
    cdef void _note_patched(self, Chain *chain, uint32_t number) noexcept nogil
    cdef void _forget_patched(self, Chain *chain, uint32_t number) noexcept nogil

    # Records
    cdef uint64_t _take_record(self, Chain *chain, uint32_t number, uint64_t size) noexcept nogil
    cdef uint64_t _new_record(self, Chain *chain, uint32_t number, uint64_t size) except 0 nogil
    cdef void _drop_record(self, Chain *chain, uint64_t offset) noexcept nogil
    cdef void _drop_patches(self, Chain *chain, uint32_t number) noexcept nogil
    cdef void _move_to(self, Chain *chain, uint32_t number, uint64_t body, uint64_t size) noexcept nogil
    cdef void moved(self, uint64_t old, uint64_t new) noexcept nogil
    cdef uint32_t _take_node(self, Chain *chain, uint64_t size) noexcept nogil
    cdef uint32_t _new_node(self, Chain *chain, uint64_t size) except 0 nogil
    cdef void _free_node(self, Chain *chain, uint32_t number) noexcept nogil
    cdef void _link(self, Chain *chain, uint32_t before, uint32_t number) noexcept nogil
    cdef void _unlink(self, Chain *chain, SequenceCursor *cursor) noexcept nogil
    cdef uint32_t _before(self, const Chain *chain, const SequenceCursor *cursor) noexcept nogil
    cdef void _tidy(self, Chain *chain, uint64_t position) noexcept nogil
    cdef void _refit(self, Chain *chain, uint32_t number) noexcept nogil
    cdef bint _merge(self, Chain *chain, SequenceCursor *cursor) noexcept nogil
    cdef uint32_t _drop_equal(self, uint32_t number, const uint8_t *text, uint64_t length, uint64_t limit,
                              bint from_end) noexcept nogil
    cdef void _empty(self, Chain *chain) noexcept nogil
