from libc.stdint cimport uint8_t, uint64_t

cdef uint64_t crc64(uint64_t crc, const uint8_t *data, uint64_t length) noexcept nogil
