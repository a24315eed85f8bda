from libc.stdint cimport int64_t, uint64_t

from minikv.keyspace.database cimport Keyspace
from minikv.keyspace.eviction cimport Evictor


cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *now)
    enum: CLOCK_MONOTONIC


cdef class MemoryLimit:
    cdef readonly Keyspace keyspace
    cdef readonly Evictor evictor
    cdef public uint64_t limit
    cdef public int64_t client_bytes, other_bytes
    cdef public object on_unfinished, on_delay
    cdef public int64_t exceeded_ns
    cdef int64_t slice_ns
    cdef int64_t exceeded_since_ns

    cpdef bint make_room(self) except -1
    cdef uint64_t used(self) noexcept
    cdef bint evict(self) except -1
    cdef bint note(self, bint exceeded) noexcept
