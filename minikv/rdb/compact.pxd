from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    ELEMENT_DIGITS = 20             # of the longest integer, -9223372036854775808

cdef enum:                          # Compact.form
    INTSET = 1
    LISTPACK
    ZIPLIST
    ZIPMAP

cdef struct Element:                # what compact_next() finds
    const uint8_t *data             # its bytes: in the encoding, or in `digits`
    uint64_t length
    bint is_number
    int64_t number
    uint8_t digits[ELEMENT_DIGITS]

cdef struct Compact:                # a place in one compact encoding, which it does not own
    const uint8_t *start
    uint64_t size
    uint64_t at                     # of the next element
    uint64_t last                   # of the one before
    uint64_t count                  # elements so far
    int form
    uint8_t width                   # intset: bytes of an integer
    bint value_next                 # zipmap: a value comes next
    int64_t before                  # intset: the last integer
    const char *error               # what is wrong, once compact_next() has said -1

cdef void compact_begin(Compact *compact, int form, const uint8_t *start, uint64_t size) noexcept nogil
cdef int compact_next(Compact *compact, Element *element) noexcept nogil
