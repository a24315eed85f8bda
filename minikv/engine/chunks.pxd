"""Layouts and C surface of chunked collections; the heads of chunks.py and chunked.py explain them."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from minikv.engine.arena cimport Arena
from minikv.engine.record cimport CHUNKED_ROOT, Root
from minikv.engine.table cimport Tables, TableState

cdef enum:
    CHUNKED_MAX = 1048576           # bytes of elements: beyond, a collection gets a store of its own
    SMALL_COLLECTION = 65536        # bytes: up to here chunks are small, so that a write during a snapshot copies little
    BUCKET_SMALL = 320              # mean bytes of a bucket
    BUCKET_LARGE = 768
    CHUNK_SMALL = 448               # bytes of an ordered chunk, unless it is one element
    CHUNK_LARGE = 1024

cdef struct Owner:                  # parent-only: whose chunks these are
    uint64_t hash                   # of the key
    uint32_t store                  # that the key is in
    uint32_t next_free              # number of the next free owner, while this one is free
    bint used


cdef inline Root root_of(const uint8_t *payload) noexcept nogil:
    cdef Root root
    memcpy(&root, payload, CHUNKED_ROOT)
    return root


cdef inline uint64_t bucket_bytes(uint64_t nbytes) noexcept nogil:
    """Mean bytes of a bucket in a hash or set of so many."""
    return BUCKET_SMALL if nbytes < SMALL_COLLECTION else BUCKET_LARGE


cdef inline uint64_t chunk_bytes(uint64_t nbytes) noexcept nogil:
    """Bytes of a full chunk in a list or sorted set of so many."""
    return CHUNK_SMALL if nbytes < SMALL_COLLECTION else CHUNK_LARGE


@cython.final
cdef class Chunks:
    cdef Arena arena
    cdef Tables tables
    cdef Owner *owners
    cdef readonly uint32_t databases
    cdef uint32_t capacity
    cdef uint32_t next_fresh
    cdef uint32_t free_head
    cdef readonly uint32_t used     # chunked collections that exist

    cdef uint32_t create(self, uint32_t store, uint64_t hash_) except 0
    cdef void release(self, uint32_t number) noexcept nogil
    cdef uint64_t allocate(self, uint32_t number, uint64_t used, uint64_t spare) except 0
    cdef uint64_t try_allocate(self, uint32_t number, uint64_t used, uint64_t spare) noexcept nogil
    cdef void discard(self, uint64_t place) noexcept nogil
    cdef void replaced(self, uint64_t place, uint64_t size) noexcept nogil
    cdef void drop(self, const uint8_t *payload) noexcept nogil
    cdef void drop_owned(self, uint32_t store) noexcept nogil
    cdef uint8_t *clone(self, const uint8_t *payload, uint32_t store, uint64_t hash_) except NULL
    cdef uint64_t memory_of(self, const uint8_t *payload) noexcept nogil
    cdef bint move(self, TableState *table, uint64_t old) noexcept nogil
    cdef tuple check(self, uint32_t kind, const uint8_t *payload, uint32_t store, uint64_t hash_)
    cpdef object count(self, uint32_t kind, uint64_t place)
