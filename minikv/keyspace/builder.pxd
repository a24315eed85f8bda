cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.keyspace.database cimport Database

cdef enum:
    FIRST_PACKED = 4096             # as PACKED_MAX: bytes of elements that may become one record


@cython.final
cdef class Builder:
    cdef Database database
    cdef uint32_t kind
    cdef uint32_t spread            # store of the elements; 0: they are in `packed`
    cdef uint32_t size              # bytes of `packed` in use
    cdef uint32_t count             # elements in it
    cdef set names                  # of its elements, once there are many
    cdef uint8_t packed[FIRST_PACKED]

    # Add an element; value: a hash's, a sorted set's score as a float, else None. False: there is one of this name already.
    cdef bint add(self, bytes name, object value) except -1
    # Make it the value of a key, whatever that was (slot NULL: nothing); not without elements.
    cdef int finish(self, const uint8_t *key, uint64_t key_len, uint64_t hash_, uint64_t *slot,
                    int64_t expire_at_ms) except -1
    # The same for any key, known by its bytes, which then has no time.
    cdef int put(self, bytes key) except -1
    cdef void abandon(self) noexcept
    cdef int spread_out(self) except -1
    cdef int put_in_order(self) except -1
    cdef int add_spread(self, bytes name, object value, uint64_t size) except -1
    cdef bint has_packed(self, bytes name) except -1
