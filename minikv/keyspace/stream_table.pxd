from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.chain cimport Chain
from minikv.engine.stores cimport Stores


cdef class StreamTable:
    cdef Stores stores
    cdef readonly uint32_t number   # of the store

    cdef Chain *chain(self) noexcept
    cdef uint8_t *at(self, uint64_t place) noexcept


# Which pending entry of a small group has an ID, most probably the one that is guessed; `count` if none has.
cdef uint64_t row_of_id(const uint8_t *rows, uint64_t count, const uint8_t *id, uint64_t guess) noexcept nogil
