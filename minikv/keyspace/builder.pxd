cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.record cimport Root
from minikv.engine.table cimport Key
from minikv.keyspace.database cimport Database


cdef struct Gathered:               # an element in the buffer
    uint64_t hash                   # of its name; a list's have none
    uint32_t start                  # in the buffer
    uint32_t size


@cython.final
cdef class Builder:
    cdef Database database
    cdef uint32_t kind
    cdef uint32_t spread            # store of the elements; 0: they are in the buffer
    cdef uint64_t offset            # of the last element there
    cdef int64_t expire_at_ms       # of the next element, a field; 0: none
    cdef uint8_t *buffer
    cdef uint64_t capacity          # bytes of it
    cdef uint64_t size              # in use
    cdef Gathered *elements
    cdef uint32_t element_capacity
    cdef uint32_t count
    cdef uint32_t *names            # hash table: an element's number plus 1; 0: free
    cdef uint32_t name_slots        # a power of two
    cdef bint in_order              # a sorted set's elements came in its order
    cdef bint in_reverse            # or in the opposite one

    cdef void begin(self, Database database, uint32_t kind) noexcept
    cdef bint element(self, const uint8_t *name, uint64_t name_len, const uint8_t *value, uint64_t value_len) except -1
    cdef bint timed(self, const uint8_t *name, uint64_t name_len, const uint8_t *value, uint64_t value_len,
                    int64_t expire_at_ms) except -1
    cdef bint scored(self, const uint8_t *name, uint64_t name_len, double score) except -1
    cdef bint add(self, bytes name, object value) except -1
    cdef int take(self, uint8_t *start, uint8_t *end) except -1
    cdef int take_chain(self, uint32_t store) except -1
    cdef int finish(self, Key key, uint64_t *slot, int64_t expire_at_ms, bint chunked=*) except -1
    cdef int put(self, bytes key, bytes event) except -1
    cdef int replace(self, bytes key, uint64_t hash_, uint64_t *slot, bint chunked) except -1
    cdef void abandon(self) noexcept

    cdef uint8_t *room(self, const uint8_t *name, uint64_t name_len, uint64_t more) except? NULL
    cdef uint8_t *gather(self, uint64_t hash_, uint64_t size) except NULL
    cdef uint8_t *room_spread(self, const uint8_t *name, uint64_t name_len, uint64_t hash_, uint64_t size) except? NULL
    cdef uint8_t *room_in_chain(self, const uint8_t *name, uint64_t name_len, uint64_t size) except NULL
    cdef bint has_name(self, const uint8_t *name, uint64_t name_len, uint64_t hash_) noexcept
    cdef int index_name(self, uint64_t hash_) except -1
    cdef int spread_out(self) except -1
    cdef int put_in_order(self) except -1
    cdef uint8_t *lay_out(self, uint64_t hash_) except NULL
    cdef int lay_out_buckets(self, uint8_t *payload, Root *root, uint32_t buckets) except -1
    cdef int lay_out_in_order(self, uint8_t *payload, Root *root) except -1
    cdef int put_chunk(self, uint8_t *payload, Root *root, const uint32_t *numbers, uint32_t count, uint64_t size) except -1


cdef Py_ssize_t replace_with_names(Database database, bytes key, uint32_t kind, object names, bytes event) except -1
