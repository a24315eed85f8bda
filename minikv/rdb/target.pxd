from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    DIRECT_LEN = 65536      # strings from this length on go straight to their place, or to the target in pieces


cdef class LoadTarget:
    cdef uint8_t *room      # where the bytes of the last value go; the caller writes them all before the next call
    cdef bint in_pieces     # set by the target: it has no room for strings of DIRECT_LEN, but takes their pieces
    cdef bint takes_empty   # set by the target: it wants to know of collections without elements
    cdef bint looks_ahead   # set by the target: it is told of keys before their turn
    cdef bint chooses       # set by the target: it is asked about each record, and need not want it

    # Of the record at hand, set by the reader before the first call about it.
    cdef uint64_t record_at     # offset in the file of its first byte, opcodes before the type included
    cdef int record_type
    cdef bint has_expiry        # distinguishes an expiry of 0 from none
    cdef int64_t expiry_ms      # which it is, if there is one
    cdef int string_encoding    # special encoding of a string's value, -1 for none

    cdef int select(self, uint64_t number) except -1
    cdef void comes(self, const uint8_t *key, uint64_t key_len) noexcept nogil
    cdef int passes_over(self, const uint8_t *key, uint64_t key_len) except -1
    cdef int string(self, const uint8_t *key, uint64_t key_len, uint64_t value_len, int64_t expire_at_ms) except -1
    cdef int piece(self, const uint8_t *start, uint64_t nbytes) except -1
    cdef int collection(self, const uint8_t *key, uint64_t key_len, int kind, int64_t expire_at_ms) except -1
    cdef int element(self, const uint8_t *name, uint64_t name_len, const uint8_t *value, uint64_t value_len) except -1
    cdef int scored(self, const uint8_t *name, uint64_t name_len, double score) except -1
    cdef int node(self, bytes id, bytes pack) except -1
    cdef int stream_end(self, bytes tail) except -1
    cdef int field_expiry(self, int64_t at_ms) except -1
    cdef int collection_end(self) except -1
    cdef int used(self, const uint8_t *key, uint64_t key_len, int64_t idle_s, int frequency) except -1
    cdef int record_end(self, uint64_t offset) except -1
    cdef int function(self, bytes code, bytes encoded) except -1
    cdef int module(self, bytes name, object key, uint64_t nbytes) except -1
    cdef int end(self) except -1


cdef class RecordTarget(LoadTarget):
    cdef object _receive
    cdef object _pending
    cdef object _elements       # dict of a hash or a sorted set, set of a set, list of a list
    cdef object _value
    cdef uint64_t _database
    cdef int64_t _field_expire_at_ms    # of the next element

    cdef int _flush(self) except -1
