from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from * nogil:
    bint add_overflows "__builtin_saddll_overflow"(long long a, long long b, long long *sum)
    bint multiply_overflows "__builtin_smulll_overflow"(long long a, long long b, long long *product)


# An integer of `width` bits at a bit offset: u1 to u63, i1 to i64.
cdef struct Field:
    int64_t offset, operand
    uint8_t operation, overflow, width, is_signed


# A run of bytes of a string, from the byte `start` on; what lies outside reads as zeros.
cdef struct Window:
    uint8_t *data
    int64_t start, stop
