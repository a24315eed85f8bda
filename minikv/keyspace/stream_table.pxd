from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.chain cimport Chain
from minikv.engine.stores cimport Stores


cdef class StreamTable:
    cdef Stores stores
    cdef readonly uint32_t number   # of the store

    cdef Chain *chain(self) noexcept
    cdef uint8_t *at(self, uint64_t place) noexcept
