cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from minikv.engine.arena cimport Arena
from minikv.engine.memory cimport BlockPool
from minikv.engine.ordered cimport OrderedIndex
from minikv.engine.table cimport Table


@cython.final
cdef class Store:
    cdef readonly Arena arena
    cdef readonly Table table
    cdef readonly OrderedIndex expiry       # (expire_at_ms, hash of the key)
    cdef readonly uint16_t number
    cdef BlockPool pool
    cdef uint64_t evacuated_to              # next record to move, 0: no segment is being evacuated
    cdef uint64_t evacuated_end

    cdef uint64_t *find(self, const uint8_t *key, uint64_t key_len, uint64_t hash_) noexcept nogil
    cdef uint8_t *record(self, const uint64_t *slot) noexcept nogil
    cdef uint8_t *put_string(self, const uint8_t *key, uint64_t key_len, uint64_t hash_, uint64_t *slot,
                             uint64_t value_len, int encoding, int64_t expire_at_ms) except NULL
    cdef uint8_t *put_payload(self, const uint8_t *key, uint64_t key_len, uint64_t hash_, uint64_t *slot,
                              uint8_t kind, uint64_t payload_len, int64_t expire_at_ms) except NULL
    cdef int put_copy(self, const uint8_t *key, uint64_t key_len, uint64_t hash_, uint64_t *slot,
                      const uint8_t *source) except -1
    cdef int write_range(self, uint64_t *slot, uint64_t hash_, uint64_t at, const uint8_t *data,
                         uint64_t data_len) except -1
    cdef int set_expire(self, uint64_t *slot, uint64_t hash_, int64_t at_ms) except -1
    cdef void remove(self, uint64_t *slot, uint64_t hash_) noexcept nogil
    cdef uint64_t *find_due(self, int64_t now_ms, uint64_t *hash_) noexcept nogil
    cdef uint64_t evacuate(self, int64_t until_ns) noexcept nogil
    cdef void clear(self) noexcept nogil

    cdef int _reserve(self) except -1
    cdef uint64_t _place(self, uint64_t hash_, uint64_t *slot, uint64_t size, int64_t expire_at_ms) except 0
    cdef int _replace(self, uint64_t *slot, uint64_t old, uint64_t old_size, uint64_t offset, uint64_t size) except -1
    cdef int _move_expiry(self, uint64_t hash_, int64_t old_ms, int64_t new_ms) except -1
    cdef int _make_jumbo(self, uint64_t *slot, uint64_t hash_, int64_t at_ms) except -1
