from libc.stdint cimport uint8_t, uint64_t

# The double nearest to a decimal number; False if the text is none, or a NaN.
cdef bint parse_decimal(const uint8_t *text, uint64_t length, double *number) except -1

# The number that a text begins with, as C reads it: spaces before it, hexadecimal digits, anything behind it. False if there is none.
cdef bint parse_as_c(const uint8_t *text, uint64_t length, double *number) noexcept
