from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from * nogil:
    int __builtin_ctzll(unsigned long long) noexcept

cdef enum:
    LZF_SLOTS = 16384

cdef struct Lzf:                    # working memory of the compressor: 64 KiB, zeroed before its first use
    uint32_t base                   # positions in the texts before this one are at most so high
    uint32_t slots[LZF_SLOTS]       # hash of three bytes -> base + 1 + where in the text they were seen last

cdef uint64_t lzf_compress(
    Lzf *state, const uint8_t *text, uint64_t length, uint8_t *packed, uint64_t room
) noexcept nogil
cdef bint lzf_holds(const uint8_t *packed, uint64_t packed_len, uint64_t text_len) noexcept nogil
cdef void lzf_expand(const uint8_t *packed, uint64_t packed_len, uint8_t *text) noexcept nogil


cdef inline uint32_t three_bytes(const uint8_t *at) noexcept nogil:
    """The next three as a number; four are read."""
    cdef uint32_t word
    memcpy(&word, at, 4)
    return word << 8


cdef inline uint64_t word64(const uint8_t *at) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, at, 8)
    return word


cdef inline uint32_t slot_of(uint32_t word, int shift) noexcept nogil:
    return <uint32_t>(word * <uint32_t>2654435761) >> shift


cdef inline uint64_t common_len(const uint8_t *one, const uint8_t *other, uint64_t limit) noexcept nogil:
    """How many bytes are the same in both, at most `limit`."""
    cdef uint64_t length = 0
    cdef uint64_t difference
    while limit - length >= 8:
        difference = word64(one + length) ^ word64(other + length)
        if difference:
            return length + (__builtin_ctzll(difference) >> 3)
        length += 8
    while length < limit and one[length] == other[length]:
        length += 1
    return length


cdef inline uint64_t literals_len(uint64_t length) noexcept nogil:
    """What put_literals() writes."""
    return length + ((length + 31) >> 5)


cdef inline uint8_t *put_literals(uint8_t *to, const uint8_t *text, uint64_t length) noexcept nogil:
    """Write bytes as they are, a head before every 32; the end of what was written."""
    cdef uint64_t piece
    while length:
        piece = length if length < 32 else 32
        to[0] = <uint8_t>(piece - 1)
        memcpy(to + 1, text, piece)
        to += 1 + piece
        text += piece
        length -= piece
    return to


cdef inline uint8_t *put_reference(uint8_t *to, uint64_t distance, uint64_t length) noexcept nogil:
    """Write `length` bytes (3 to 264) from `distance` before; the end of what was written."""
    distance -= 1
    length -= 2
    if length < 7:
        to[0] = <uint8_t>(length << 5 | distance >> 8)
        to[1] = <uint8_t>distance
        return to + 2
    to[0] = <uint8_t>(7 << 5 | distance >> 8)
    to[1] = <uint8_t>(length - 7)
    to[2] = <uint8_t>distance
    return to + 3
