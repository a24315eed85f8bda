from libc.stdint cimport uint64_t

from minikv.history.operations cimport Operations
from minikv.rdb.pointers cimport ConstBytes

cdef extern from "<fcntl.h>":
    enum:
        O_CLOEXEC


cdef struct Entry:
    uint64_t hash
    uint64_t place              # offset of the operation, above two bits for what it does
    uint64_t sum                # its end; in the index file the CRC-64 of its bytes


cdef class Indexer(Operations):
    cdef Entry *_entries
    cdef uint64_t _count
    cdef uint64_t _capacity

    cdef int _sum_up(self, ConstBytes data, uint64_t length) except -1
