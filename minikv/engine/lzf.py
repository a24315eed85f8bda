# cython: boundscheck=False, wraparound=False, cdivision=True
"""LZF strings: proved first, then expanded straight into their place.

A packed string is a sequence of

    000nnnnn  n + 1 bytes                   these bytes
    nnnooooo  oooooooo                      n + 2 bytes (n: 1 to 6) from o + 1 bytes before
    111ooooo  nnnnnnnn  oooooooo            n + 9 bytes from there

`lzf_holds` adds the lengths up and looks at every distance, so no memory is reserved for what a file only claims, and
`lzf_expand` cannot fail. A reference may overlap what it writes: that is how runs are stored.
Source: the public LZF format (liblzf), as Redis stores strings.
"""

import cython
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memcpy

Packed = cython.typedef(cython.pointer[cython.const[uint8_t]])

FIRST_REFERENCE = cython.declare(uint64_t, 32)
LONG_REFERENCE = cython.declare(uint64_t, 7)


def lzf_holds(packed: Packed, packed_len: uint64_t, text_len: uint64_t) -> cython.bint:
    at: uint64_t = 0
    done: uint64_t = 0
    length: uint64_t
    distance: uint64_t
    while at < packed_len:
        length = packed[at] >> 5
        if length == 0:
            length = cython.cast(uint64_t, packed[at]) + 1
            if length > packed_len - at - 1:
                return False
            at += 1 + length
        else:
            if packed_len - at < (3 if length == LONG_REFERENCE else 2):
                return False
            distance = cython.cast(uint64_t, packed[at] & 31) << 8
            if length == LONG_REFERENCE:
                at += 1
                length += packed[at]
            distance += packed[at + 1] + 1
            if distance > done:
                return False
            length += 2
            at += 2
        done += length
        if done > text_len:
            return False
    return done == text_len


def lzf_expand(packed: Packed, packed_len: uint64_t, text: cython.pointer[uint8_t]) -> cython.void:
    end: Packed = packed + packed_len
    length: uint64_t
    distance: uint64_t
    i: uint64_t
    while packed < end:
        length = packed[0]
        packed += 1
        if length < FIRST_REFERENCE:
            length += 1
            memcpy(text, packed, length)
            packed += length
        else:
            distance = ((length & 31) << 8) + 1
            length >>= 5
            if length == LONG_REFERENCE:
                length += packed[0]
                packed += 1
            distance += packed[0]
            packed += 1
            length += 2
            if distance >= length:
                memcpy(text, text - distance, length)
            else:
                for i in range(length):
                    text[i] = (text - distance)[i]
        text += length
