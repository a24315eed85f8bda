cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from minikv.rdb.keyspace_target cimport EngineTarget
from minikv.rdb.pointers cimport ConstBytes


@cython.final
cdef class HashSet:                 # of 64-bit hashes; 0 counts as 1
    cdef uint64_t *_table
    cdef uint64_t _mask             # of its places, minus 1
    cdef readonly uint64_t count

    cdef void prefetch(self, uint64_t hash_) noexcept nogil
    cdef bint has(self, uint64_t hash_) noexcept nogil
    cdef int add(self, uint64_t hash_) except -1
    cdef int _grow(self) except -1


@cython.final
cdef class Newest:
    cdef HashSet _decided           # keys of which a newer file has the last whole value, or that they are gone
    cdef uint64_t *_whole           # the same of the file at hand
    cdef uint64_t _whole_count
    cdef uint64_t _whole_room
    cdef HashSet _partly            # keys in `_waiting`
    cdef uint64_t hash              # of the key that was asked for last
    cdef dict _waiting              # (database, key): the file of the value that its changes apply to, or NOWHERE
    cdef set _begun                 # keys whose value the file at hand has given, as changes are carried out
    cdef int64_t _position          # of the file at hand
    cdef list _places               # for each of its databases the number at the end, or GONE
    cdef readonly bint has_changes  # of elements, that count

    cdef int64_t place(self, uint64_t number) except -2
    cdef int decided(self, int64_t place, ConstBytes key, uint64_t key_len) except -1
    cdef int hash_decided(self, int64_t place, uint64_t hash_) noexcept
    cdef int whole(self, int64_t place, ConstBytes key, uint64_t key_len) except -1
    cdef int change(self, int64_t place, ConstBytes key, uint64_t key_len) except -1
    cdef int begins(self, int64_t place, bytes key) except -1
    cdef int applies(self, int64_t place, bytes key) except -1


@cython.final
cdef class NewestTarget(EngineTarget):
    cdef Newest _newest
    cdef object _other_aux
    cdef int64_t _place             # of the database at hand
    cdef bint _delta                # the next record is one
    cdef uint8_t _next[64]          # the key that is said to come, and its hash
    cdef uint64_t _next_len
    cdef uint64_t _next_hash
    cdef uint64_t _wanted           # records of this file that were stored

    cdef int _no_delta(self) except -1
