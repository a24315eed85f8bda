# Lines of text without an allocation, a locale or a lock, for a process that has no heap: append to a buffer of chars, get the
# place behind. The buffer ends in a zero, and the caller sees to it that it is large enough.

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


cdef inline char *put_number(char *at, unsigned long long number) noexcept nogil:
    cdef unsigned long long rest = number
    cdef int digits = 1
    while rest > 9:
        rest //= 10
        digits += 1
    return put_digits(at, number, digits)
