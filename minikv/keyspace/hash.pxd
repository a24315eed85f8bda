from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.keyspace.collection cimport Collection

cdef class Hash(Collection):
    cpdef bytes get(self, bytes field)
    cpdef bint contains(self, bytes field) except -1
    cpdef bint delete(self, bytes field) except -1
    cpdef bint set(self, bytes field, bytes value) except -1
    cpdef Py_ssize_t set_all(self, tuple pairs) except -1
    cpdef Py_ssize_t delete_all(self, tuple fields) except -1

    cdef bint must_grow_by(self, uint64_t old_size, uint64_t size) noexcept
    cdef int set_value(self, uint32_t number, uint8_t *at, bytes value, uint64_t size) except -1
    cdef bint set_spread(self, bytes field, bytes value, uint64_t size) except -1
