# cython: language_level=3
# distutils: extra_compile_args = -O1
# ruff: noqa: F821

"""C's long double, which Redis counts with in INCRBYFLOAT and HINCRBYFLOAT.

Python's float has 53 bits, a long double has 64 on x86: "0.1" plus "0.2" is "0.3" only there. The C
library parses and prints the numbers, as in Redis, so every digit is the same.
"""

import cython
from cython.cimports.libc import errno
from cython.cimports.libc.math import ceill
from cython.cimports.libc.stdio import snprintf

LONGEST_TEXT = 5 * 1024  # bytes, Redis's buffer. The largest number has 4933 digits before the point.
SPACES = b" \t\n\v\f\r"
INT64_MIN = -(2**63)
LOWEST = cython.declare(cython.longdouble, -9223372036854775808.0)


@cython.cclass
class LongDouble:
    """One long double."""

    @staticmethod
    def parse(text: bytes) -> LongDouble:
        """The number that the whole text spells for strtold (`0x10`, `1e3` and `inf` are valid); None if none.

        Leading spaces, nan, overflow and underflow to zero are refused.
        """
        if not 0 < len(text) < LONGEST_TEXT or text[0] in SPACES:
            return None
        start: cython.p_const_char = text
        end: cython.p_char = cython.NULL
        errno.errno = 0
        number: cython.longdouble = strtold(start, cython.address(end))
        failure: cython.int = errno.errno
        if end - start != len(text) or number != number:
            return None
        if failure == errno.ERANGE and (number == 0 or number - number != 0):
            return None
        parsed: LongDouble = LongDouble.__new__(LongDouble)
        parsed.number = number
        return parsed

    def __add__(self, other: LongDouble) -> LongDouble:
        total: LongDouble = LongDouble.__new__(LongDouble)
        total.number = self.number + other.number
        return total

    def is_finite(self) -> bool:
        """Neither infinite nor nan."""
        return self.number - self.number == 0

    def thousandths(self) -> int:
        """A thousand times the number, rounded up; INT64_MIN for results beyond 64 bits, as on x86."""
        scaled: cython.longdouble = ceill(self.number * 1000)
        if not LOWEST <= scaled < -LOWEST:
            return INT64_MIN
        return cython.cast(cython.longlong, scaled)

    def text(self) -> bytes:
        """At most 17 digits after the point, no exponent, no trailing zeros, no `-0`."""
        buffer = cython.declare(cython.char[5120])
        length: cython.int = snprintf(buffer, 5120, b"%.17Lf", self.number)
        digits: bytes = buffer[:length]
        digits = digits.rstrip(b"0").removesuffix(b".")
        return b"0" if digits == b"-0" else digits
