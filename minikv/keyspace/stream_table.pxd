from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.chain cimport Chain
from minikv.engine.stores cimport Stores


cdef class StreamTable:
    cdef Stores stores
    cdef readonly uint32_t number   # of the store

    cdef Chain *chain(self) noexcept
    cdef uint8_t *at(self, uint64_t place) noexcept
    cdef uint8_t *start(self, uint64_t place) noexcept


cdef class PendingTable(StreamTable):
    pass


cdef class Names:
    cdef uint64_t serial                # of the store
    cdef dict numbers                   # by name
    cdef dict names                     # by number


cdef class ConsumerTable(StreamTable):
    cdef Names known

    cdef Names names_of(self)
    cdef int forget_dropped(self) except -1
    cdef bytes name_at(self, uint64_t place)
    cdef int64_t *seen_at(self, uint64_t place) noexcept
