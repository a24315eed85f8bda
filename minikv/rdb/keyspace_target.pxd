from libc.stdint cimport int64_t, uint64_t

from minikv.keyspace.builder cimport Builder
from minikv.keyspace.database cimport Database, Keyspace
from minikv.keyspace.stream cimport StreamLoader
from minikv.rdb.pointers cimport ConstBytes
from minikv.rdb.target cimport LoadTarget


cdef class EngineTarget(LoadTarget):
    cdef Keyspace _keyspace
    cdef Database _database
    cdef bint _merge
    cdef Builder _builder               # of the collection at hand
    cdef StreamLoader _stream           # of the stream at hand
    cdef ConstBytes _key                # its key
    cdef uint64_t _key_len
    cdef uint64_t _hash
    cdef uint64_t *_slot                # its slot when the collection began
    cdef uint64_t _changes              # TableState.changes then
    cdef int64_t _expire_at_ms
    cdef int64_t _field_expire_at_ms    # of the next element
    cdef readonly list functions
    cdef readonly dict modules

    cdef void _prefetch(self, uint64_t hash_) noexcept nogil
    cdef int _break_watches(self, ConstBytes key, uint64_t key_len) except -1
