cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from minikv.keyspace.database cimport Database

cdef enum:
    FIRST_PACKED = 4096             # as PACKED_MAX: bytes of elements that may become one record
    NAME_SLOTS = 1024               # twice PACKED_COUNT


@cython.final
cdef class Builder:
    cdef Database database
    cdef uint32_t kind
    cdef uint32_t spread            # store of the elements; 0: they are in `packed`
    cdef uint64_t offset            # of the last element there
    cdef uint32_t size              # bytes of `packed` in use
    cdef uint32_t count             # elements in it
    cdef uint32_t last              # where the last of them begins
    cdef bint in_order              # a sorted set's elements came in its order
    cdef bint indexed               # `names` holds all of them
    cdef uint8_t packed[FIRST_PACKED]
    cdef uint16_t names[NAME_SLOTS] # hash table of the packed elements: where they begin, plus 1; 0: free

    # Start anew, with nothing left of the collection before.
    cdef void begin(self, Database database, uint32_t kind) noexcept
    # Add an element, with a hash's value (else NULL) or a sorted set's score. False: there is one of this name already.
    cdef bint element(self, const uint8_t *name, uint64_t name_len, const uint8_t *value, uint64_t value_len) except -1
    cdef bint scored(self, const uint8_t *name, uint64_t name_len, double score) except -1
    # The same for objects; value: a hash's, a sorted set's score as a float, else None.
    cdef bint add(self, bytes name, object value) except -1
    # Make it the value of a key, whatever that was (slot NULL: nothing); not without elements.
    cdef int finish(self, const uint8_t *key, uint64_t key_len, uint64_t hash_, uint64_t *slot,
                    int64_t expire_at_ms) except -1
    # The same for any key, known by its bytes, which then has no time.
    cdef int put(self, bytes key) except -1
    cdef void abandon(self) noexcept

    cdef uint8_t *room(self, const uint8_t *name, uint64_t name_len, uint64_t more) except? NULL
    cdef uint8_t *room_spread(self, const uint8_t *name, uint64_t name_len, uint64_t size) except? NULL
    cdef uint8_t *room_in_chain(self, const uint8_t *name, uint64_t name_len, uint64_t size) except NULL
    cdef bint has_packed(self, const uint8_t *name, uint64_t name_len) noexcept
    cdef void index_packed(self) noexcept
    cdef bint index_name(self, const uint8_t *name, uint64_t name_len, uint32_t start, bint add) noexcept
    cdef int spread_out(self) except -1
    cdef int put_in_order(self) except -1


# Make the key a set or list of these elements, whatever it was; without elements it is deleted. Returns their number.
# One change, or ArenaFull and none.
cdef Py_ssize_t replace_with_names(Database database, bytes key, uint32_t kind, object names) except -1
