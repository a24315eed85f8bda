from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef class LoadTarget:
    # Where a reader puts what it finds. All calls come in the order of the file.

    cdef uint8_t *room      # where the value of the last put() goes

    # What follows belongs to this database.
    cdef int select(self, uint64_t number) except -1

    # Make room for a record; 0 if there is such a key already. The caller writes the payload_len bytes of the value, in wire
    # form, to `room`, before the next call. expire_at_ms: 0 is no expiry.
    cdef int put(self, uint8_t *key, uint64_t key_len, int type, uint64_t payload_len, int64_t expire_at_ms) except -1

    # The wire form of a string's length as this target wants it: bytes written to `header`, at most 9.
    cdef int string_header(self, uint8_t *header, uint64_t key_len, uint64_t length, int64_t expire_at_ms) noexcept

    # The whole file has been read and was right.
    cdef int end(self) except -1


cdef class RecordTarget(LoadTarget):
    cdef object _receive
    cdef object _pending
    cdef bytes _payload
    cdef uint64_t _database

    cdef int _flush(self) except -1


cdef int write_length(uint8_t *header, uint64_t length) noexcept
