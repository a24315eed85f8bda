"""C surface of chunked.py."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.record cimport CHUNK_HEADER, chunk_entry, chunk_used, entry_place

from minikv.engine.key_store cimport KeyStore
from minikv.engine.table cimport Key

cdef struct Span:                   # the bytes of a chunk's elements
    uint8_t *start                  # NULL: there is none
    uint8_t *end


cdef struct ChunkPlace:             # a place between elements
    uint32_t number                 # chunk
    uint32_t index                  # elements of the chunk before it
    uint64_t at                     # and their bytes


cdef inline Span span_of(const uint8_t *base, const uint8_t *payload, uint32_t number) noexcept nogil:
    """The elements of a root's chunk, good until the next change."""
    cdef Span span
    cdef uint64_t place = entry_place(chunk_entry(payload, number))
    span.start = span.end = NULL
    if place:
        span.start = <uint8_t *>base + place + CHUNK_HEADER
        span.end = span.start + chunk_used(base + place)
    return span


cdef extern from * nogil:
    int __builtin_clz(unsigned int) noexcept


# Changing. All of these raise ArenaFull with nothing changed
cdef int begin_chunked(KeyStore store, Key key, uint64_t *slot, uint8_t kind) except -1
cdef uint8_t *edit_chunk(KeyStore store, uint64_t *slot, uint32_t number, uint64_t at, uint64_t removed, uint64_t inserted,
                         int change, uint64_t spare) except NULL
cdef uint8_t *insert_chunk(KeyStore store, uint64_t *slot, uint32_t number, uint64_t size, uint64_t spare) except NULL
cdef int remove_chunks(KeyStore store, uint64_t *slot, uint32_t number, uint32_t count) except -1
cdef int trim_chunk(KeyStore store, uint64_t *slot, uint32_t number) except -1
cdef int split_chunk(KeyStore store, uint64_t *slot, uint32_t number, uint64_t at, uint32_t left) except -1
cdef int join_chunks(KeyStore store, uint64_t *slot, uint32_t number) except -1
cdef int join_if_sparse(KeyStore store, uint64_t *slot, uint32_t kind, uint32_t number) except -1
cdef uint8_t *insert_element(KeyStore store, uint64_t *slot, uint32_t kind, ChunkPlace place, uint64_t size,
                             uint64_t spare) except NULL
cdef int split_bucket(KeyStore store, uint64_t *slot, uint32_t kind) except -1
cdef int join_bucket(KeyStore store, uint64_t *slot) except -1

# Asking
cdef uint32_t bucket_of(uint64_t hash_, uint32_t buckets) noexcept nogil
cdef uint64_t behind_bucket(uint32_t bucket, uint32_t buckets) noexcept nogil
cdef uint32_t bucket_at(uint64_t prefix, uint32_t buckets) noexcept nogil
cdef bint seek_element(const uint8_t *payload, uint64_t position, uint32_t *number, uint32_t *index) noexcept nogil
cdef uint64_t elements_before(const uint8_t *payload, uint32_t number) noexcept nogil
cdef uint64_t middle_of(uint32_t kind, Span span, uint32_t elements, uint32_t *left) noexcept nogil

cdef uint64_t reversed_prefix(uint64_t prefix) noexcept nogil
cdef uint32_t mask_of(uint32_t buckets) noexcept nogil
cdef uint8_t *put_entry(KeyStore store, uint64_t *slot, uint32_t number, uint64_t entry, int elements, int nbytes) noexcept nogil
cdef void count_root(uint8_t *payload, int elements, int nbytes, int chunks) noexcept nogil
