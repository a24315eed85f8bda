from libc.stdint cimport uint8_t, uint64_t

# The checksum of some bytes, continued from that of the bytes before them; 0 to begin with.
cdef uint64_t crc64(uint64_t crc, const uint8_t *data, uint64_t length) noexcept nogil
