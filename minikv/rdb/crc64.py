# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""CRC-64 of RDB files and DUMP payloads: polynomial 0xad93d23594c935a9, reflected, from 0, nothing added at the end.

If the processor has carry-less multiplication, long data is folded to 16 bytes with the same remainder
(carryless.pxd). These 16 bytes, and data that is not folded, go through 16 tables, 16 bytes at a time:
TABLES[n][byte] is the effect of a byte on the remainder when n more bytes follow.

Tables and choice are made at import and never change, and `crc64` allocates nothing: a forked child
without an interpreter may call it.
Source: Redis's crc64.c for the parameters; "123456789" gives 0xe9c6d914c4b8d9ca.
"""

import cython
from cython.cimports.cpython.buffer import PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.rdb.carryless import fold_128, fold_512, fold_width
from cython.cimports.minikv.rdb.pointers import ConstBytes

POLYNOMIAL = cython.declare(uint64_t, 0x95AC9329AC4BC9B5)  # reflected: the highest bit is x^0
ONE = cython.declare(uint64_t, 0x8000000000000000)
FOLD_128_FROM = cython.declare(uint64_t, 128)  # bytes
FOLD_512_FROM = cython.declare(uint64_t, 2048)  # bytes: below, the remaining 512 are not worth it

TABLES = cython.declare(uint64_t[256][16])  # Cython reverses the dimensions: in C it is TABLES[16][256]
BY_128 = cython.declare(uint64_t[2])
BY_1024 = cython.declare(uint64_t[2])
BY_4096 = cython.declare(uint64_t[2])
POWERS = cython.declare(uint64_t[64])  # x^8, x^16, x^32 ...: what 1, 2, 4 ... bytes multiply a checksum by
BITS = cython.declare(cython.int)  # folded at once: 512, 128 or 0


def crc64(crc: uint64_t, data: ConstBytes, length: uint64_t) -> uint64_t:
    """The checksum of some bytes, continuing from that of the bytes before them; 0 to begin with."""
    return fold_or_look_up(BITS, crc, data, length)


def crc64_moved(crc: uint64_t, nbytes: uint64_t) -> uint64_t:
    """The checksum after so many zeros more. Add (^) that of other bytes, from 0, for theirs in the place of zeros."""
    power: cython.int = 0
    while nbytes:
        if nbytes & 1:
            crc = times(crc, POWERS[power])
        nbytes >>= 1
        power += 1
    return crc


def joined(first: uint64_t, then: uint64_t, nbytes: uint64_t) -> uint64_t:
    """The checksum of some bytes and nbytes more, by those of both."""
    return crc64_moved(first, nbytes) ^ then


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def times(one: uint64_t, other: uint64_t) -> uint64_t:
    """The product mod P."""
    product: uint64_t = 0
    while other:
        product ^= one & -(other >> 63)
        one = one >> 1 ^ (POLYNOMIAL & -(one & 1))
        other <<= 1
    return product


def checksum(data: object, crc: uint64_t = 0) -> uint64_t:
    """The checksum of a bytes-like object, continuing from that of the bytes before it."""
    return checksum_by(BITS, data, crc)


def checksum_by(width: cython.int, data: object, crc: uint64_t = 0) -> uint64_t:
    """The same, folding `width` bits at once: 0, or up to WIDTH."""
    view: cython.Py_buffer
    PyObject_GetBuffer(data, cython.address(view), PyBUF_SIMPLE)
    crc = fold_or_look_up(min(width, BITS), crc, cython.cast(ConstBytes, view.buf), view.len)
    PyBuffer_Release(cython.address(view))
    return crc


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def fold_or_look_up(width: cython.int, crc: uint64_t, data: ConstBytes, length: uint64_t) -> uint64_t:
    rest: uint8_t[512]
    whole: uint64_t
    if width >= 512 and length >= FOLD_512_FROM:
        whole = length & ~cython.cast(uint64_t, 511)
        fold_512(rest, crc, data, whole, BY_4096)
        data += whole
        length -= whole
        fold_128(rest, 0, rest, 512, BY_128, BY_1024)
        crc = look_up(0, rest, 16)
    if width >= 128 and length >= FOLD_128_FROM:
        whole = length & ~cython.cast(uint64_t, 15)
        fold_128(rest, crc, data, whole, BY_128, BY_1024)
        data += whole
        length -= whole
        crc = look_up(0, rest, 16)
    return look_up(crc, data, length)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def look_up(crc: uint64_t, data: ConstBytes, length: uint64_t) -> uint64_t:
    one: uint64_t
    two: uint64_t
    while length >= 16:
        memcpy(cython.address(one), data, 8)
        memcpy(cython.address(two), data + 8, 8)
        one ^= crc
        crc = (
            TABLES[15][one & 0xFF]
            ^ TABLES[14][one >> 8 & 0xFF]
            ^ TABLES[13][one >> 16 & 0xFF]
            ^ TABLES[12][one >> 24 & 0xFF]
            ^ TABLES[11][one >> 32 & 0xFF]
            ^ TABLES[10][one >> 40 & 0xFF]
            ^ TABLES[9][one >> 48 & 0xFF]
            ^ TABLES[8][one >> 56]
            ^ TABLES[7][two & 0xFF]
            ^ TABLES[6][two >> 8 & 0xFF]
            ^ TABLES[5][two >> 16 & 0xFF]
            ^ TABLES[4][two >> 24 & 0xFF]
            ^ TABLES[3][two >> 32 & 0xFF]
            ^ TABLES[2][two >> 40 & 0xFF]
            ^ TABLES[1][two >> 48 & 0xFF]
            ^ TABLES[0][two >> 56]
        )
        data += 16
        length -= 16
    while length:
        crc = TABLES[0][(crc ^ data[0]) & 0xFF] ^ crc >> 8
        data += 1
        length -= 1
    return crc


@cython.cfunc
def times_x(remainder: uint64_t, powers: cython.int) -> uint64_t:
    """remainder * x^powers mod P."""
    for _ in range(powers):
        remainder = remainder >> 1 ^ (POLYNOMIAL if remainder & 1 else 0)
    return remainder


@cython.cfunc
def make_tables() -> cython.void:
    n: cython.int
    byte: cython.int
    for byte in range(256):
        TABLES[0][byte] = times_x(byte, 8)
    for n in range(1, 16):
        for byte in range(256):
            TABLES[n][byte] = times_x(TABLES[n - 1][byte], 8)


@cython.cfunc
def make_powers(powers: cython.pointer[uint64_t]) -> cython.void:
    n: cython.int
    powers[0] = times_x(ONE, 8)
    for n in range(1, 64):
        powers[n] = times(powers[n - 1], powers[n - 1])


@cython.cfunc
def make_multipliers(by: cython.pointer[uint64_t], distance: cython.int) -> cython.void:
    by[0] = times_x(ONE, distance + 63)
    by[1] = times_x(ONE, distance - 1)


make_tables()
make_powers(POWERS)
make_multipliers(BY_128, 128)
make_multipliers(BY_1024, 1024)
make_multipliers(BY_4096, 4096)
BITS = fold_width()
WIDTH = BITS  # for Python
