cimport cython
from libc.stdint cimport uint8_t, uint64_t

from minikv.rdb.read_ahead cimport ReadAhead


@cython.final
cdef class Text:                    # a string that was read; RdbInput.data() tells where its bytes are
    cdef uint64_t length
    cdef uint64_t at                # offset in the input, if `decoded` is NULL
    cdef uint8_t *decoded           # in `own`: what an integer or a compressed string stands for, or a kept copy
    cdef uint8_t *own
    cdef uint64_t capacity

    cdef uint8_t *room(self, uint64_t length) except NULL


@cython.final
cdef class RdbInput:
    cdef int fd                     # -1: the buffer holds all there is
    cdef ReadAhead ahead            # reads a large file, or None
    cdef object owner               # of a buffer that is not ours
    cdef readonly uint64_t size     # bytes of the whole
    cdef bint verify
    cdef uint64_t checksum          # of the bytes before `summed`

    cdef uint8_t *buffer            # `own`, or what `ahead` lends
    cdef uint8_t *own               # NULL: the buffer is `owner`'s
    cdef uint64_t capacity          # of `own`
    cdef uint64_t base              # offset in the file of the buffer's first byte
    cdef uint64_t at                # in the buffer: next byte to be understood
    cdef uint64_t tail              # in the buffer: end of what was read
    cdef uint64_t summed            # in the buffer: end of what the checksum covers
    cdef uint64_t held              # in the buffer: what lies from here on stays until release()
    cdef bint special               # the length just read is the number of a special encoding

    cdef uint64_t offset(self) noexcept
    cdef uint64_t left(self) noexcept
    cdef int fail(self, str reason) except -1
    cdef int need(self, uint64_t nbytes) except -1
    cdef int need_no_more(self, uint64_t nbytes) except -1

    # Between hold() and release() the strings that are read stay where data() finds them.
    cdef void hold(self) noexcept
    cdef void release(self) noexcept
    cdef const uint8_t *data(self, Text text) noexcept
    cdef int keep(self, Text text) except -1

    cdef int byte(self) except -1
    cdef uint64_t big_endian(self, int nbytes) except? 0
    cdef uint64_t little_endian(self, int nbytes) except? 0
    cdef double double_(self) except? 0
    cdef uint64_t any_length(self) except? 0
    cdef uint64_t length(self) except? 0
    cdef uint64_t count(self) except? 0

    cdef int read_text(self, Text text) except -1
    cdef int read_special(self, uint64_t encoding, Text text) except -1
    cdef uint64_t read_packed(self, uint64_t *packed_len) except? 0
    cdef bytes string(self)
    cdef int skip(self, uint64_t nbytes) except -1
    cdef int skip_string(self) except -1
    cdef uint64_t read_direct(self, uint8_t *room, uint64_t nbytes) except? 0

    cdef void sum_up(self) noexcept
    cdef int _refill(self, uint64_t nbytes) except -1
    cdef int _borrow(self, uint64_t keep) except -1
    cdef void _rebase(self, uint64_t keep) noexcept
    cdef int _grow(self, uint64_t nbytes) except -1
    cdef Py_ssize_t _read_into(self, uint8_t *start, uint64_t nbytes) except -1
    cdef void _sum(self, uint8_t *start, uint64_t nbytes) noexcept


cdef RdbInput file_input(int fd, bint verify)
cdef RdbInput memory_input(bytes data, uint64_t start, uint64_t end)
cdef bytes bytes_of(const uint8_t *start, uint64_t length)
