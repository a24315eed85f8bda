"""Layouts and C surface of chunked collections; the heads of chunks.py and chunked.py explain them."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from minikv.engine.arena cimport Arena
from minikv.engine.member_index cimport MemberIndex, MemberIndexes
from minikv.engine.memory cimport BlockPool
from minikv.engine.ordered cimport OrderedState, OrderedTrees
from minikv.engine.record cimport CHUNKED_ROOT, TYPE_LIST, Root
from minikv.engine.table cimport Tables, TableState

cdef enum:
    CHUNKED_MAX = 1048576           # bytes of elements: beyond, a collection gets a store of its own
    SMALL_COLLECTION = 65536        # bytes: up to here chunks are small, so that a write during a snapshot copies little
    BUCKET_SMALL = 320              # mean bytes of a bucket
    BUCKET_LARGE = 768
    CHUNK_SMALL = 288               # bytes of an ordered chunk, unless it is one element
    CHUNK_LARGE = 1024
    INDEXED_MIN = 128               # members of a sorted set that need no index
    CHUNK_LIST = 640                # of a list's, which is found by counting

cdef struct Owner:                  # parent-only: whose chunks these are
    uint64_t hash                   # of the key
    uint32_t store_number           # that the key is in
    uint32_t next_free              # number of the next free owner, while this one is free; else 1: its fields expire
    uint32_t generation             # when the collection came into being; 0: the owner is free
    MemberIndex index               # a large sorted set's


cdef struct MemberWalk:             # through a sorted set's members; zeroed: before the first
    uint32_t number                 # of the next chunk
    uint8_t *at                     # the next member
    uint8_t *end
    uint64_t hash                   # of the member just passed
    int64_t order                   # of its score


cdef inline Root root_of(const uint8_t *payload) noexcept nogil:
    cdef Root root
    memcpy(&root, payload, CHUNKED_ROOT)
    return root


cdef inline uint64_t bucket_bytes(uint64_t nbytes) noexcept nogil:
    """Mean bytes of a bucket in a hash or set of `nbytes`."""
    return BUCKET_SMALL if nbytes < SMALL_COLLECTION else BUCKET_LARGE


cdef inline uint64_t bucket_count(uint64_t nbytes, uint64_t elements) noexcept nogil:
    """Buckets for `nbytes`: an eighth of each is left for the next elements before one is split."""
    cdef uint64_t buckets = nbytes * 8 // (bucket_bytes(nbytes) * 7) + 1
    return max(min(buckets, elements), 1)


cdef inline uint64_t chunk_bytes(uint32_t kind, uint64_t nbytes) noexcept nogil:
    """Bytes of a full chunk in a list or sorted set of `nbytes`."""
    if nbytes >= SMALL_COLLECTION:
        return CHUNK_LARGE
    return CHUNK_LIST if kind == TYPE_LIST else CHUNK_SMALL


@cython.final
cdef class Chunks:
    cdef Arena arena
    cdef Tables tables
    cdef MemberIndexes indexes
    cdef OrderedTrees expiry_trees  # of (expire_at_ms, hash of the field), of chunked and spread hashes
    cdef OrderedState *expiries     # by number; untouched where no field expires
    cdef Owner *owners
    cdef readonly uint32_t databases
    cdef uint32_t capacity
    cdef uint32_t next_fresh
    cdef uint32_t free_head
    cdef uint32_t generation        # of new owners
    cdef uint32_t *dropped          # database: owners of this generation or before are of no use
    cdef uint32_t sweep_next        # owners that drop_owned has left to be looked at
    cdef uint32_t sweep_end

    cdef uint32_t create(self, uint32_t store_number, uint64_t hash_) except 0
    cdef void release(self, uint32_t number) noexcept nogil
    cdef uint64_t allocate(self, uint32_t number, uint64_t used, uint64_t spare) except 0
    cdef uint64_t try_allocate(self, uint32_t number, uint64_t used, uint64_t spare) noexcept nogil
    cdef void discard(self, uint64_t place) noexcept nogil
    cdef void replaced(self, uint64_t place, uint64_t size) noexcept nogil
    cdef void drop(self, const uint8_t *payload) noexcept nogil
    cdef void drop_owned(self, uint32_t store_number) noexcept nogil
    cdef bint sweep(self, uint32_t limit) noexcept nogil
    cdef uint8_t *clone(self, const uint8_t *payload, uint32_t store_number, uint64_t hash_) except NULL
    cdef uint64_t resident_bytes(self) noexcept nogil
    cdef uint64_t memory_of(self, const uint8_t *payload) noexcept nogil
    cdef void moved(self, TableState *table, uint64_t old, uint64_t new) noexcept nogil
    cdef MemberIndex *index_of(self, const uint8_t *payload) noexcept nogil
    cdef bint next_member(self, const uint8_t *payload, MemberWalk *walk) noexcept nogil
    cdef bint build_index(self, const uint8_t *payload) noexcept nogil
    cdef void index_member(self, const uint8_t *payload, uint64_t hash_, int64_t order) noexcept nogil
    cdef OrderedState *expiries_of(self, const uint8_t *payload) noexcept nogil
    cdef int order_expiries(self, const uint8_t *payload) except -1
    cdef object check_expiries(self, const uint8_t *payload)
    cdef object check_index(self, const uint8_t *payload)
    cdef tuple check(self, uint32_t kind, const uint8_t *payload, uint32_t store_number, uint64_t hash_)
    cpdef object count(self, uint32_t kind, uint64_t place)
