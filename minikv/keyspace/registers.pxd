# A HyperLogLog is a string, in Redis's own form:
#
#     "HYLL" | form: 1 B | not used: 3 B | cardinality: 8 B LE | registers
#
# The cardinality is the last estimate; its highest bit is set when it is out of date. There are 16384 registers of 0 to 63.
#
# Dense (form 0): 6 bits each, from the lowest bit of the first byte on: 12288 bytes.
# Sparse (form 1): runs of equal registers, from the first to the last:
#
#     00nnnnnn                        n + 1 zeros (1 .. 64)
#     01nnnnnn nnnnnnnn               n + 1 zeros (1 .. 16384), big endian
#     1vvvvvnn                        n + 1 registers (1 .. 4) of v + 1 (1 .. 32)

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    SKETCH_FORM = 4                 # offsets in the string
    SKETCH_CARDINALITY = 8
    SKETCH_OUT_OF_DATE = 15         # byte with the highest bit of the cardinality
    SKETCH_START = 16               # of the registers
    DENSE = 0
    SPARSE = 1
    REGISTERS = 16384
    INDEX_BITS = 14
    RANK_BITS = 50                  # of a hash, behind those of the index
    REGISTER_BITS = 6
    REGISTER_VALUES = 64
    DENSE_SIZE = SKETCH_START + REGISTERS * REGISTER_BITS // 8
    SHORT_ZEROS = 64                # longest runs of the three kinds
    LONG_ZEROS = 16384
    LONGEST_RUN = 4
    HIGHEST_SPARSE = 32             # value
    LONGEST_SPLIT = 5               # bytes of what a run becomes when one of its registers changes


cdef inline uint32_t dense_get(const uint8_t *registers, uint32_t index) noexcept nogil:
    cdef uint32_t bit = index * REGISTER_BITS
    cdef const uint8_t *at = registers + (bit >> 3)
    cdef uint32_t shift = bit & 7
    # The last register ends in the last byte, so nothing is read behind it.
    cdef uint32_t next_byte = at[1] if shift > 2 else 0
    return ((at[0] | next_byte << 8) >> shift) & 63


cdef inline bint dense_raise(uint8_t *registers, uint32_t index, uint32_t value) noexcept nogil:
    """Raise a register to a value; False if it is as high already."""
    cdef uint32_t bit = index * REGISTER_BITS
    cdef uint8_t *at = registers + (bit >> 3)
    cdef uint32_t shift = bit & 7
    cdef uint32_t pair
    if dense_get(registers, index) >= value:
        return False
    at[0] = <uint8_t>((at[0] & ~(63u << shift)) | (value << shift))
    if shift > 2:
        at[1] = <uint8_t>((at[1] & ~(63u >> (8 - shift))) | (value >> (8 - shift)))
    return True


cdef inline uint32_t read_run(const uint8_t *at, const uint8_t *end, uint32_t *length, uint32_t *value) noexcept nogil:
    """Read a sparse byte; returns how many bytes the run takes. A second byte that is missing counts as 0."""
    if at[0] & 0x80:
        value[0] = (at[0] >> 2 & 31) + 1
        length[0] = (at[0] & 3) + 1
        return 1
    value[0] = 0
    length[0] = (at[0] & 63) + 1
    if at[0] < 0x40:
        return 1
    length[0] = ((<uint32_t>(at[0] & 63) << 8) | (at[1] if at + 1 < end else 0)) + 1
    return 2


cdef uint32_t place_of(bytes element, uint32_t *value) noexcept
cdef bint is_sketch(const uint8_t *data, uint64_t length) noexcept
cdef int raise_register(bytearray sketch, uint32_t index, uint32_t value, uint64_t most) except -2
cdef bint make_dense(bytearray sketch) except -1
cdef bint raise_all(uint8_t *values, const uint8_t *sketch, uint64_t length) noexcept
cdef bint count_values(int64_t *counts, const uint8_t *sketch, uint64_t length) noexcept
cdef int64_t estimate(const int64_t *counts) noexcept
