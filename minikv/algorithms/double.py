# cython: language_level=3
# distutils: extra_compile_args = -O1
"""Doubles as C's strtod parses them, as Redis does for scores: `1e3`, `0x10` and `inf` are valid."""

import cython
from cython.cimports.libc import errno
from cython.cimports.libc.stdlib import strtod

SPACES = b" \t\n\v\f\r"


def parse_double(text: bytes) -> float | None:
    """The number that the whole text spells; None if it is none, nan, or out of range."""
    if not text or text[0] in SPACES:
        return None
    start: cython.p_const_char = text
    end: cython.p_char = cython.NULL
    errno.errno = 0
    number: cython.double = strtod(start, cython.address(end))
    failure: cython.int = errno.errno
    if end - start != len(text) or number != number:
        return None
    if failure == errno.ERANGE and (number == 0 or number - number != 0):
        return None
    return number


def parse_bound(text: bytes) -> float | None:
    """A bound of a range, parsed less strictly: leading spaces are skipped, empty is 0, a zero byte ends it."""
    start: cython.p_const_char = text
    end: cython.p_char = cython.NULL
    number: cython.double = strtod(start, cython.address(end))
    if end[0] != 0 or number != number:
        return None
    return number


def parse_weight(text: bytes) -> float | None:
    """A number to sort by, parsed like a bound; None also for overflow and underflow."""
    errno.errno = 0
    number = parse_bound(text)
    return None if errno.errno == errno.ERANGE else number
