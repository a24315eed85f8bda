# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O1
"""Decimal text to double, correctly rounded and fast: old and compact sorted sets have scores as text.

A number of at most 19 digits is an integer that fits a 64-bit mantissa, times or divided by a power of ten
that fits, too. One operation in x87's extended precision gives the result rounded to 64 bits; rounding
that to 53 bits rounds the true value, unless it is exactly halfway between two doubles. Python handles
that case and all others, at ten times the cost.
"""

import cython
from cython.cimports.cpython.conversion import PyOS_string_to_double
from cython.cimports.libc.float import LDBL_MANT_DIG
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.stdlib import strtod
from cython.cimports.libc.string import memchr, memcpy
from cython.cimports.minikv.rdb.pointers import ConstBytes

LONGEST = cython.declare(uint64_t, 127)  # `%.17g` needs 24
DIGITS_MAX = cython.declare(cython.int, 19)
POWER_MAX = cython.declare(cython.int, 27)  # 5 ** 27 is below 2 ** 64
MANTISSA_LEN = cython.declare(cython.int, 64)  # bits of the long double that this needs
LOW_BITS = cython.declare(uint64_t, 0x7FF)  # of the mantissa: bits that a double does not have
MIDDLE = cython.declare(uint64_t, 0x400)


def parse_decimal(text: ConstBytes, length: uint64_t, number: cython.pointer[cython.double]) -> cython.bint:
    """The double nearest to a decimal number; False if the text is none, or a NaN."""
    digits = cython.declare(cython.char[128])
    if length > LONGEST:
        return False
    if parse_short(text, length, number):
        return True
    if memchr(text, 0, length):
        return False
    memcpy(digits, text, length)
    digits[length] = 0
    try:
        number[0] = PyOS_string_to_double(digits, cython.NULL, cython.NULL)
    except ValueError:
        return False
    return number[0] == number[0]


def parse_as_c(text: ConstBytes, length: uint64_t, number: cython.pointer[cython.double]) -> cython.bint:
    """The number that a text begins with, as C reads it: after spaces, perhaps hexadecimal. False if there is none."""
    digits = cython.declare(cython.char[256])
    end: cython.p_char = digits
    length = min(length, cython.cast(uint64_t, 255))
    memcpy(digits, text, length)
    digits[length] = 0
    number[0] = strtod(digits, cython.address(end))
    return end != digits


@cython.cfunc
@cython.exceptval(check=False)
def parse_short(text: ConstBytes, length: uint64_t, number: cython.pointer[cython.double]) -> cython.bint:
    """The same for a short number; False also if it is not simple enough."""
    negative: cython.bint = length > 0 and text[0] == 45  # minus
    at: uint64_t = negative
    mantissa: uint64_t = 0
    low: uint64_t = 0
    digits: cython.int = 0
    power: cython.int = 0
    exponent: cython.int = 0
    exponent_negative: cython.bint
    in_fraction: cython.bint = False
    digit: uint8_t
    value: cython.longdouble
    while at < length:
        digit = text[at] - 48
        if digit > 9:
            if text[at] != 46 or in_fraction:  # point
                break
            in_fraction = True
        else:
            mantissa = mantissa * 10 + digit
            digits += 1
            power -= in_fraction
        at += 1
    if digits == 0 or digits > DIGITS_MAX:
        return False
    if at < length:
        if (text[at] | 32) != 101 or length - at < 2 or length - at > 4:  # e
            return False
        at += 1
        exponent_negative = text[at] == 45
        at += exponent_negative or text[at] == 43  # plus
        if at == length:
            return False
        while at < length:
            digit = text[at] - 48
            if digit > 9:
                return False
            exponent = exponent * 10 + digit
            at += 1
        power += -exponent if exponent_negative else exponent
    if power > POWER_MAX or power < -POWER_MAX or LDBL_MANT_DIG != MANTISSA_LEN:
        return False
    value = mantissa
    if power < 0:
        value /= power_of_ten(-power)
    else:
        value *= power_of_ten(power)
    memcpy(cython.address(low), cython.address(value), 8)
    if low & LOW_BITS == MIDDLE:
        return False
    number[0] = cython.cast(cython.double, -value if negative else value)
    return True


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def power_of_ten(power: cython.int) -> cython.longdouble:
    """10 ** power, exact up to POWER_MAX."""
    value: cython.longdouble = 1
    base: cython.longdouble = 10
    while power:
        if power & 1:
            value *= base
        base *= base
        power >>= 1
    return value


def decimal(text: bytes) -> float | None:
    """The number that a text spells."""
    number: cython.double = 0.0
    start: cython.p_const_uchar = text
    return number if parse_decimal(start, len(text), cython.address(number)) else None
