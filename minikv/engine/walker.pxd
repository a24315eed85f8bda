cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.arena cimport Arena


@cython.final
cdef class Walker:
    cdef Arena arena
    cdef list parts                 # (database, keys, keys with a time, first item, items) of each database
    cdef Py_ssize_t part
    cdef uint32_t item              # next item of the walk
    cdef uint32_t part_end          # first item of the next part
    cdef uint64_t at                # in the item's segment: where to look for the next live record; 0: item not begun
    cdef uint64_t end
    cdef const uint8_t *pending     # rest of a record that did not fit into the buffer
    cdef uint64_t pending_len
    cdef object pending_owner       # what keeps `pending` alive if it does not lie in the arena
    cdef uint32_t released
    cdef readonly uint64_t keys

    cdef bint _next_record(self) except -1
    cdef uint8_t *_opcodes(self, uint8_t *out) except NULL
    cdef uint8_t *_drain(self, uint8_t *out, uint8_t *out_end) noexcept
    cdef uint8_t *_plain(self, uint8_t *out, uint8_t *out_end, uint8_t *record) noexcept
    cdef uint8_t *_compressed(self, uint8_t *out, uint8_t *out_end, uint8_t *record, object compress) except NULL
    cdef uint8_t *_string(self, uint8_t *out, uint8_t *out_end, uint8_t *data, uint64_t length, object compress) except NULL
