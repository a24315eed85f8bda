from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.stores cimport Stores

cdef enum:
    GROUPS_WALKED = 128             # of a stream at most, which are looked through one by one


cdef class Remembered:
    cdef uint64_t serial            # of the store


cdef class GroupPlaces(Remembered):
    cdef uint32_t *places           # from the start of the tail, rising
    cdef uint32_t count
    cdef uint32_t capacity

    cdef int learn(self, uint8_t *tail, uint64_t groups) except -1
    cdef int reserve(self, uint64_t count) except -1
    cdef uint32_t seek(self, uint8_t *tail, bytes name, bint *found) noexcept
    cdef void replaced(self, uint64_t at, uint64_t removed, uint64_t size, int groups) noexcept


cdef int remember(Stores stores, uint32_t store, Remembered what) except -1
cdef Remembered remembered(Stores stores, uint32_t store)
cdef int order_of_name(uint8_t *group, bytes name) noexcept
