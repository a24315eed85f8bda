# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""Stream IDs as clients write them: `<milliseconds>-<sequence>`, and the bounds of ranges."""

from __future__ import annotations

import re

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.minikv.keyspace.stream_group import next_id
from cython.cimports.minikv.keyspace.stream_node import StreamId, id_of, number_of

from minikv.errors import CommandError

INVALID_ID = "ERR Invalid stream ID specified as stream command argument"
LONGEST_ID = 127  # characters
UINT64_END = 1 << 64
LARGEST_SEQUENCE = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)
SAFE_DIGITS = cython.declare(cython.Py_ssize_t, 19)  # never beyond 64 bits
DASH = cython.declare(uint8_t, 45)
ZERO = cython.declare(uint8_t, 48)

# What C's strtoull reads, to which Redis turns when a number is not in its only spelling.
UNSIGNED = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


def parse_id(text: bytes, missing_sequence: int = 0) -> int:
    """An ID, which may lack its sequence number; `-` and `+` are none."""
    id: StreamId
    read_id(text, missing_sequence, cython.address(id))
    return number_of(id)


@cython.cfunc
@cython.exceptval(-1, check=False)
def read_id(text: bytes, missing_sequence: uint64_t, id: cython.pointer[StreamId]) -> cython.int:
    """The same into a struct."""
    start: cython.pointer[cython.const[uint8_t]] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(text))
    end: cython.pointer[cython.const[uint8_t]] = start + PyBytes_GET_SIZE(text)
    at: cython.pointer[cython.const[uint8_t]] = read_digits(start, end, cython.address(id.ms))
    id.sequence = missing_sequence
    if at != cython.NULL and at == end:
        return 0
    if at != cython.NULL and at[0] == DASH and read_digits(at + 1, end, cython.address(id.sequence)) == end:
        return 0
    number, _ = parse_open_id(text, missing_sequence, False)
    id[0] = id_of(number)
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def read_digits(
    at: cython.pointer[cython.const[uint8_t]],
    end: cython.pointer[cython.const[uint8_t]],
    number: cython.pointer[uint64_t],
) -> cython.pointer[cython.const[uint8_t]]:
    """Read a number of few enough digits; returns the address after them, NULL if there are none or too many."""
    start: cython.pointer[cython.const[uint8_t]] = at
    found: uint64_t = 0
    while at < end and at[0] >= ZERO and at[0] <= ZERO + 9:
        found = found * 10 + (at[0] - ZERO)
        at += 1
        if at - start > SAFE_DIGITS:
            return cython.NULL
    number[0] = found
    return cython.NULL if at == start else at


def parse_open_id(text: bytes, missing_sequence: int = 0, may_be_open: bool = True) -> tuple[int, bool]:
    """An ID, and whether its sequence number is given; `<milliseconds>-*` leaves it open."""
    if len(text) > LONGEST_ID:
        raise CommandError(INVALID_ID)
    first, dash, second = text.split(b"\0")[0].partition(b"-")
    ms = unsigned(first)
    if dash and second == b"*" and may_be_open:
        return ms << 64, False
    return ms << 64 | (unsigned(second) if dash else missing_sequence), True


@cython.cfunc
@cython.exceptval(-1, check=False)
def read_id_or_end(text: bytes, missing_sequence: uint64_t, id: cython.pointer[StreamId]) -> cython.int:
    """The same, where `-` is the smallest ID and `+` the largest."""
    if len(text) <= LONGEST_ID and text[:1] in (b"-", b"+") and text.split(b"\0")[0] in (b"-", b"+"):
        id.ms = id.sequence = 0 if text[:1] == b"-" else ~cython.cast(uint64_t, 0)
        return 0
    return read_id(text, missing_sequence, id)


@cython.cfunc
@cython.exceptval(-1, check=False)
def read_start(text: bytes, id: cython.pointer[StreamId]) -> cython.int:
    """The first ID of a range; after `(` it is the next one."""
    if len(text) > 1 and text[:1] == b"(":
        read_id(text[1:], 0, id)
        if not next_id(id):
            raise CommandError("ERR invalid start ID for the interval")
        return 0
    return read_id_or_end(text, 0, id)


@cython.cfunc
@cython.exceptval(-1, check=False)
def read_end(text: bytes, id: cython.pointer[StreamId]) -> cython.int:
    """The last ID of a range; after `(` it is the one before."""
    if len(text) > 1 and text[:1] == b"(":
        read_id(text[1:], LARGEST_SEQUENCE, id)
        if id.ms == 0 and id.sequence == 0:
            raise CommandError("ERR invalid end ID for the interval")
        id.ms -= id.sequence == 0
        id.sequence -= 1
        return 0
    return read_id_or_end(text, LARGEST_SEQUENCE, id)


def unsigned(text: bytes) -> int:
    """A number of 64 bits."""
    if text.isdigit() and len(text) <= SAFE_DIGITS:
        return int(text)
    match = UNSIGNED.fullmatch(text)
    if match is None or len(match[2].lstrip(b"0")) > 20:
        raise CommandError(INVALID_ID)
    number = int(match[2])
    if number >= UINT64_END or (match[1] == b"-" and text[:1] == b"-" and is_plain_negative(match[2])):
        raise CommandError(INVALID_ID)
    return -number % UINT64_END if match[1] == b"-" else number


def is_plain_negative(digits: bytes) -> bool:
    """Whether Redis reads a minus sign and these digits as a negative number, which is no ID."""
    return not digits.startswith(b"0") and int(digits) <= 1 << 63
