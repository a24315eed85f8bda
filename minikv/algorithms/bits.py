# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821

"""Loops over the bits of strings: count, search, combine. Bit 0 is the highest bit of the first byte."""

import cython
from cython.cimports.libc.string import memcpy

AND, OR, XOR = range(3)


def count_ones(data: bytes) -> int:
    """How many bits are set."""
    at: cython.p_const_uchar = data
    length: cython.Py_ssize_t = len(data)
    i: cython.Py_ssize_t = 0
    word: cython.ulonglong = 0
    total: cython.ulonglong = 0
    while length - i >= 8:
        memcpy(cython.address(word), at + i, 8)
        total += popcount(word)
        i += 8
    while i < length:
        total += popcount(at[i])
        i += 1
    return total


def find_bit(data: bytes, bit: cython.int) -> int:
    """Offset of the first bit with this value, -1 if there is none."""
    at: cython.p_const_uchar = data
    length: cython.Py_ssize_t = len(data)
    i: cython.Py_ssize_t = 0
    nothing: cython.ulonglong = 0 if bit else cython.cast(cython.ulonglong, -1)
    word: cython.ulonglong = 0
    byte: cython.int
    while length - i >= 8:
        memcpy(cython.address(word), at + i, 8)
        if word != nothing:
            break
        i += 8
    while i < length:
        byte = at[i] if bit else 255 - at[i]
        if byte:
            return 8 * i + leading_zeros(byte) - 24
        i += 1
    return -1


def combine(target: bytearray, data: bytes, operation: cython.int) -> None:
    """target = target AND, OR or XOR data, byte by byte; data is padded with zeros."""
    length: cython.Py_ssize_t = min(len(target), len(data))
    total: cython.Py_ssize_t = len(target)
    to: cython.p_uchar = target
    source: cython.p_const_uchar = data
    i: cython.Py_ssize_t
    if operation == AND:
        for i in range(length):
            to[i] &= source[i]
        for i in range(length, total):
            to[i] = 0
    elif operation == OR:
        for i in range(length):
            to[i] |= source[i]
    else:
        for i in range(length):
            to[i] ^= source[i]


def invert(target: bytearray) -> None:
    """Invert every bit."""
    to: cython.p_uchar = target
    i: cython.Py_ssize_t
    for i in range(len(target)):
        to[i] = ~to[i]
