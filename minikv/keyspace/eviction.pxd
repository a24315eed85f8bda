cimport cython
from libc.stdint cimport uint32_t, uint64_t

from minikv.keyspace.database cimport Database, Keyspace

cdef enum:
    POOL = 16                       # candidates kept between calls, as many as in Redis

cdef enum:                          # Evictor.choice
    NOTHING = 0
    LEAST_RECENT                    # the longest idle key (LRU)
    LEAST_FREQUENT                  # the lowest counter of accesses (LFU)
    ANY                             # at random
    NEAREST                         # the nearest expiry (TTL)

cdef struct Candidate:
    uint64_t hash                   # leads to the entry in its table
    uint64_t offset                 # of its record
    uint32_t score                  # the higher, the sooner it goes
    uint32_t clock
    int database


@cython.final
cdef class Evictor:
    cdef Keyspace keyspace
    cdef readonly int choice
    cdef readonly bint is_volatile  # only keys with an expiry
    cdef public int samples
    cdef public bint lazily
    cdef Candidate pool[POOL]       # the best last
    cdef int pooled

    cpdef bint evict(self) except -1
    cdef Database draw(self)
    cdef uint64_t eligible(self, Database database) noexcept
    cdef bint evict_best(self) except -1
    cdef bint evict_any(self) except -1
    cdef bint evict_nearest(self) except -1
    cdef uint64_t *timed_slot(self, Database database, uint64_t rank) noexcept
    cdef void fill(self, Database database) noexcept
    cdef void consider(self, Database database, const uint64_t *slot) noexcept
