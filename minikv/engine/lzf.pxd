from libc.stdint cimport uint8_t, uint64_t

# True if the packed bytes stand for text of exactly this length: nothing is read or written outside of either.
cdef bint lzf_holds(const uint8_t *packed, uint64_t packed_len, uint64_t text_len) noexcept nogil
# Write that text; only after lzf_holds.
cdef void lzf_expand(const uint8_t *packed, uint64_t packed_len, uint8_t *text) noexcept nogil
