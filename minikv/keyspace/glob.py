# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O3
"""Redis's glob patterns: `*`, `?`, `[abc]`, `[^a-z]` and `\\` before a literal byte.

Every element but `*` matches exactly one byte. So when a match fails, only the last `*` needs to take one byte more:
an earlier one could only leave a shorter rest for the same elements. That bounds the work by pattern length times
string length, whatever the pattern, without recursion.

Redis's corner cases are kept (all seen on a real server): bytes in a range compare as signed, a range may be written
backwards, `[a-]` is a range up to `]`, an unclosed class ends with the pattern, an empty string matches the empty
pattern alone. So is its limit: a pattern matches nothing beyond the 1,000th `*` that it comes to, unless that ends it.
"""

import cython

MAX_STARS = cython.declare(cython.int, 1000)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def signed(byte: cython.int) -> cython.int:
    """The byte as a C `signed char`, which is how ranges compare."""
    return byte - 256 if byte > 127 else byte


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def lower(byte: cython.int) -> cython.int:
    return byte + 32 if 65 <= byte <= 90 else byte


@cython.cfunc
@cython.exceptval(check=False)
def class_end(pattern: bytes, p: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Index behind the class whose content starts at p."""
    end: cython.Py_ssize_t = len(pattern)
    while p < end:
        if pattern[p] == 92 and p + 1 < end:
            p += 2
        elif pattern[p] == 93:
            return p + 1
        elif p + 2 < end and pattern[p + 1] == 45:
            p += 3
        else:
            p += 1
    return end


@cython.cfunc
@cython.exceptval(check=False)
def in_class(pattern: bytes, p: cython.Py_ssize_t, byte: cython.int, nocase: cython.bint) -> cython.bint:
    """Whether the class whose content starts at p names the byte; escaped bytes are never folded."""
    end: cython.Py_ssize_t = len(pattern)
    first: cython.int
    last: cython.int
    while p < end:
        first = pattern[p]
        if first == 92 and p + 1 < end:
            if cython.cast(cython.int, pattern[p + 1]) == byte:
                return True
            p += 2
        elif first == 93:
            return False
        elif p + 2 < end and pattern[p + 1] == 45:
            last = pattern[p + 2]
            if in_range(signed(first), signed(last), signed(byte), nocase):
                return True
            p += 3
        else:
            if first == byte or (nocase and lower(first) == lower(byte)):
                return True
            p += 1
    return False


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def in_range(first: cython.int, last: cython.int, byte: cython.int, nocase: cython.bint) -> cython.bint:
    """Redis puts the ends in order before it folds case."""
    if first > last:
        first, last = last, first
    if nocase:
        first, last, byte = lower(first), lower(last), lower(byte)
    return first <= byte <= last


@cython.ccall
def glob_match(pattern: bytes, string: bytes, nocase: cython.bint = False) -> cython.bint:
    """Whether the whole string fits the pattern."""
    p: cython.Py_ssize_t = 0
    s: cython.Py_ssize_t = 0
    pattern_end: cython.Py_ssize_t = len(pattern)
    string_end: cython.Py_ssize_t = len(string)
    retry_p: cython.Py_ssize_t = -1
    retry_s: cython.Py_ssize_t = 0
    next_p: cython.Py_ssize_t
    stars: cython.int = 0
    element: cython.int
    byte: cython.int
    fits: cython.bint
    negated: cython.bint
    if string_end == 0:
        return pattern_end == 0
    while s < string_end:
        fits = False
        next_p = p
        if p < pattern_end:
            element = pattern[p]
            byte = string[s]
            next_p = p + 1
            if element == 42:
                while next_p < pattern_end and pattern[next_p] == 42:
                    next_p += 1
                if next_p == pattern_end:
                    return True
                stars += 1
                if stars > MAX_STARS:
                    return False
                retry_p, retry_s = next_p, s
                p = next_p
                continue
            if element == 63:
                fits = True
            elif element == 91:
                negated = next_p < pattern_end and pattern[next_p] == 94
                if negated:
                    next_p += 1
                fits = in_class(pattern, next_p, byte, nocase) != negated
                next_p = class_end(pattern, next_p)
            else:
                if element == 92 and next_p < pattern_end:
                    element = pattern[next_p]
                    next_p += 1
                fits = element == byte or (nocase and lower(element) == lower(byte))
        if fits:
            p = next_p
            s += 1
        elif retry_p < 0:
            return False
        else:
            retry_s += 1
            p, s = retry_p, retry_s
    while p < pattern_end and pattern[p] == 42:
        p += 1
    return p == pattern_end
