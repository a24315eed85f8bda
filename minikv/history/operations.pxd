from libc.stdint cimport int64_t, uint64_t

from minikv.rdb.pointers cimport ConstBytes
from minikv.rdb.target cimport LoadTarget

cpdef enum:                     # what an operation does; numbers of the index file
    OP_RECORD = 0               # the key is replaced as a whole
    OP_DEL = 1                  # it goes
    OP_REM = 2                  # an element goes
    OP_DELTA = 3                # elements come, or change


cdef class Operations(LoadTarget):
    cdef object _scratch_of         # owns `_scratch`
    cdef char *_scratch             # for strings, whose bytes nobody wants
    cdef object _reader
    cdef uint64_t _number           # of the database
    cdef bint _delta
    cdef uint64_t _delta_at
    cdef readonly uint64_t databases    # the largest number, plus 1
    cdef readonly uint64_t records
    cdef readonly uint64_t removed
    cdef readonly list functions

    cdef int begin(self, ConstBytes key, uint64_t key_len) except -1
    cdef int operation(self, int op, ConstBytes key, uint64_t key_len, uint64_t begin, uint64_t end) except -1


cdef class OperationList(Operations):
    cdef object _receive
    cdef bytes _key
