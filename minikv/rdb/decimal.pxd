from libc.stdint cimport uint8_t, uint64_t

# The double nearest to a decimal number; False if the text is none, or a NaN.
cdef bint parse_decimal(const uint8_t *text, uint64_t length, double *number) except -1
