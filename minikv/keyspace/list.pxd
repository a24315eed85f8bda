from libc.stdint cimport int64_t, uint8_t, uint64_t

from minikv.engine.chain cimport Chain, Place
from minikv.keyspace.collection cimport Collection

cdef class List(Collection):
    cpdef push(self, bytes value, bint left)
    cpdef object push_all(self, tuple values, bint left)
    cpdef bytes pop(self, bint left)
    cpdef remove(self, int64_t index, int64_t count=*)
    cdef uint64_t count(self) noexcept
    cdef Chain *chain(self) noexcept
    cdef uint8_t *entry(self, uint64_t position) noexcept
    cdef uint8_t *room(self, uint64_t position, uint64_t size) except NULL
    cdef uint64_t run(self, uint64_t position, Place *place, uint64_t *first) noexcept
    cdef int remove_packed(self, list positions) except -1
