from libc.stdint cimport uint8_t, uint64_t

cdef bint parse_decimal(const uint8_t *text, uint64_t length, double *number) except -1
cdef bint parse_as_c(const uint8_t *text, uint64_t length, double *number) noexcept
