from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.keyspace.collection cimport Collection

cdef class Hash(Collection):
    cpdef bytes get(self, bytes field)
    cpdef bint contains(self, bytes field) except -1
    cpdef bint delete(self, bytes field) except -1
    cpdef bint set(self, bytes field, bytes value) except -1
    cpdef Py_ssize_t set_all(self, tuple pairs) except -1
    cpdef Py_ssize_t delete_all(self, tuple fields) except -1

    cpdef bint set_until(self, bytes field, bytes value, int64_t expire_at_ms) except -1
    cpdef bint keep_expiry(self, bytes field, bytes value) except -1
    cpdef int64_t expire_at(self, bytes field) except? -1
    cpdef int expire_due(self, int limit) except -1

    cdef uint8_t *find_live(self, bytes field) except? NULL
    cdef uint8_t *live(self, bytes field, uint8_t *entry) except? NULL
    cdef bint is_expired(self, uint8_t *entry) noexcept
    cdef int begin_change(self) except -1
    cdef int end_change(self) except -1
    cdef void become(self, uint32_t kind) noexcept
    cdef bint put_field(self, bytes field, bytes value, int64_t expire_at_ms) except -1
    cdef bint put_spread_field(self, bytes field, bytes value, int64_t expire_at_ms) except -1
    cdef int64_t free_expiry(self, uint64_t hash_, int64_t old_ms, int64_t expire_at_ms) noexcept
    cdef int move_expiry(self, uint64_t hash_, int64_t old_ms, int64_t expire_at_ms) except -1
    cdef int take_field(self, bytes field, uint8_t *entry) except -1
    cdef int take_field_now(self, bytes field, uint8_t *entry) except -1
    cdef uint8_t *find_due(self) noexcept
    cdef list sample_timed(self, Py_ssize_t count, bint distinct)

    cdef bint must_grow_by(self, uint64_t old_size, uint64_t size) noexcept
    cdef int set_value(self, uint32_t number, uint8_t *at, bytes value, uint64_t size) except -1
    cdef bint set_spread(self, bytes field, bytes value, uint64_t size) except -1
