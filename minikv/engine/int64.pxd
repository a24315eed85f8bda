# Signed 64-bit integers as decimal text, in the only spelling that Redis takes for a number: no plus sign, no spaces,
# no leading zeros, no "-0".

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint64_t

cdef enum:
    INT64_DIGITS = 20               # characters of the longest, -9223372036854775808


cdef inline bint parse_int64(const uint8_t *text, uint64_t length, int64_t *number) noexcept nogil:
    """Whether `text` is such a number, which is then in `number`."""
    cdef bint negative = length > 1 and text[0] == b"-"
    cdef uint64_t at = 1 if negative else 0
    cdef uint64_t total = 0
    cdef uint8_t digit
    if length == 0 or length - at > 19 or (text[at] == b"0" and length > 1):
        return False
    while at < length:
        digit = text[at] - <uint8_t>b"0"
        if digit > 9:
            return False
        total = total * 10 + digit  # 19 digits are below 2^64
        at += 1
    if total > <uint64_t>INT64_MAX + negative:
        return False
    number[0] = <int64_t>(0 - total if negative else total)
    return True


cdef inline bint is_int64(bytes text):
    cdef int64_t number = 0
    return parse_int64(<const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &number)


cdef inline uint64_t format_int64(uint8_t *text, int64_t number) noexcept nogil:
    """Write the number to the end of `text`, which has INT64_DIGITS bytes; return its length."""
    cdef uint64_t rest = <uint64_t>number
    cdef uint64_t at = INT64_DIGITS
    if number < 0:
        rest = 0 - rest
    while True:
        at -= 1
        text[at] = <uint8_t>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if number < 0:
        at -= 1
        text[at] = b"-"
    return INT64_DIGITS - at
