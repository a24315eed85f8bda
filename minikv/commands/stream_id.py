# cython: language_level=3
"""Stream IDs as clients write them: `<milliseconds>-<sequence>`, and the bounds of ranges."""

from __future__ import annotations

import re

from minikv.errors import CommandError
from minikv.keyspace.stream import LARGEST_ID

INVALID_ID = "ERR Invalid stream ID specified as stream command argument"
LONGEST_ID = 127  # characters
LONGEST_NUMBER = 20  # digits of the largest one
UINT64_END = 1 << 64
LARGEST_SEQUENCE = UINT64_END - 1

# What C's strtoull reads, to which Redis turns when a number is not in its only spelling.
UNSIGNED = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


def parse_id(text: bytes, missing_sequence: int = 0) -> int:
    """An ID, which may lack its sequence number; `-` and `+` are none."""
    number, _ = parse_open_id(text, missing_sequence, False)
    return number


def parse_open_id(text: bytes, missing_sequence: int = 0, may_be_open: bool = True) -> tuple[int, bool]:
    """An ID, and whether its sequence number is given; `<milliseconds>-*` leaves it open."""
    if len(text) > LONGEST_ID:
        raise CommandError(INVALID_ID)
    first, dash, second = text.split(b"\0")[0].partition(b"-")
    ms = unsigned(first)
    if dash and second == b"*" and may_be_open:
        return ms << 64, False
    return ms << 64 | (unsigned(second) if dash else missing_sequence), True


def parse_id_or_end(text: bytes, missing_sequence: int = 0) -> int:
    """The same, where `-` is the smallest ID and `+` the largest."""
    if text[:1] in (b"-", b"+") and len(text) <= LONGEST_ID and text.split(b"\0")[0] in (b"-", b"+"):
        return 0 if text[:1] == b"-" else LARGEST_ID
    return parse_id(text, missing_sequence)


def parse_start(text: bytes) -> int:
    """The first ID of a range; after `(` it is the next one."""
    if len(text) > 1 and text[:1] == b"(":
        number = parse_id(text[1:])
        if number == LARGEST_ID:
            raise CommandError("ERR invalid start ID for the interval")
        return number + 1
    return parse_id_or_end(text)


def parse_end(text: bytes) -> int:
    """The last ID of a range; after `(` it is the one before."""
    if len(text) > 1 and text[:1] == b"(":
        number = parse_id(text[1:], LARGEST_SEQUENCE)
        if number == 0:
            raise CommandError("ERR invalid end ID for the interval")
        return number - 1
    return parse_id_or_end(text, LARGEST_SEQUENCE)


def unsigned(text: bytes) -> int:
    """A number of 64 bits."""
    if text.isdigit() and len(text) < LONGEST_NUMBER:  # most are: the pattern takes half a microsecond
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
