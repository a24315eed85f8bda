cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from minikv.keyspace.database cimport Database


@cython.final
cdef class HyperLogLog:
    cdef Database database
    cdef bytes key
    cdef uint64_t hash_
    cdef uint64_t *slot             # NULL: the key is not there (yet)

    cdef bint open(self, Database database, bytes key, bint stats) except -1
    cdef uint8_t *sketch(self, uint64_t *length) noexcept
    cdef uint8_t *to_change(self) except NULL
    cdef bytearray copy(self)
    cdef int store(self, bytearray sketch) except -1
    cdef int changed(self, int64_t changes) except -1
    cdef int raise_dense(self, tuple elements) except -1
    cdef int raise_sparse(self, tuple elements, uint64_t most) except -1
