# Text without allocation, locale or locks, for a process without a heap: append to a buffer of chars, which returns the
# position after the text. The buffer ends in a zero; the caller makes sure that it is large enough.

cdef inline char *put_text(char *at, const char *text) noexcept nogil:
    while text[0]:
        at[0] = text[0]
        at += 1
        text += 1
    at[0] = 0
    return at


cdef inline char *put_digits(char *at, unsigned long long number, int digits) noexcept nogil:
    """So many digits, with zeros in front."""
    cdef int i
    for i in range(digits - 1, -1, -1):
        at[i] = <char>(48 + number % 10)
        number //= 10
    at[digits] = 0
    return at + digits


cdef inline char *put_hex(char *at, unsigned long long number) noexcept nogil:
    """All 16 digits."""
    cdef int i
    for i in range(15, -1, -1):
        at[i] = <char>(48 + (number & 15) if (number & 15) < 10 else 87 + (number & 15))
        number >>= 4
    at[16] = 0
    return at + 16


cdef inline char *put_number(char *at, unsigned long long number) noexcept nogil:
    cdef unsigned long long rest = number
    cdef int digits = 1
    while rest > 9:
        rest //= 10
        digits += 1
    return put_digits(at, number, digits)
