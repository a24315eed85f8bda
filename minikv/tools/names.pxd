from libc.stdint cimport uint64_t

cdef struct Name:
    uint64_t hash_              # never 0, which is an empty slot
    uint64_t place


cdef class Names:
    cdef Name *_slots           # open addressing, linear
    cdef uint64_t _count        # of slots, a power of two
    cdef uint64_t _count_max    # then they are written out
    cdef uint64_t _used
    cdef object _file           # None before the first are written out
    cdef list _spills           # of each time that was done, in bytes, how many there are up to the end of each part
    cdef readonly list suspects

    cpdef int add(self, bytes name, uint64_t salt, uint64_t place) except -1

    cdef int _insert(self, Name name) except -1
    cdef int _put(self, Name name) noexcept
    cdef int _resize(self, uint64_t count) except -1
    cdef int _write_out(self) except -1
    cdef int _compare(self) except -1
    cdef int _compare_part(self, uint64_t part) except -1
    cdef int _empty(self) except -1
    cdef int _suspect(self, Name name) except -1


cpdef uint64_t hash_of(bytes name, uint64_t salt) noexcept
