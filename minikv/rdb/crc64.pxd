from libc.stdint cimport uint8_t, uint64_t

cdef uint64_t crc64_moved(uint64_t crc, uint64_t nbytes) noexcept nogil
cdef uint64_t crc64(uint64_t crc, const uint8_t *data, uint64_t length) noexcept nogil
