"""How long a string is inside an RDB file: DEBUG OBJECT's serializedlength."""

from __future__ import annotations

from minikv.engine import lzf

COMPRESSED_ABOVE = 20  # bytes; the writer does not try to compress shorter strings
LONGEST_INTEGER = 11  # characters of the longest number that is stored as an integer, -2147483648
INTEGER_LENS = ((1 << 7, 2), (1 << 15, 3), (1 << 31, 5))  # range of an integer, its length with the byte before it


def serialized_len(value: bytes, compress: bool) -> int:
    """Bytes of a string with its length, as Redis writes it: an integer, compressed or plain."""
    if len(value) <= LONGEST_INTEGER:
        integer_len = serialized_integer_len(value)
        if integer_len:
            return integer_len
    if compress and len(value) > COMPRESSED_ABOVE:
        compressed = lzf.compress(value, len(value) - 4)
        if compressed:
            return 1 + length_len(len(compressed)) + length_len(len(value)) + len(compressed)
    return length_len(len(value)) + len(value)


def serialized_integer_len(value: bytes) -> int:
    """Bytes of a number in its only spelling, 0 for anything else."""
    digits = value.removeprefix(b"-")
    if not digits.isdigit() or b"%d" % int(value) != value:
        return 0
    return next((size for limit, size in INTEGER_LENS if -limit <= int(value) < limit), 0)


def length_len(number: int) -> int:
    """Bytes of an RDB length."""
    return 1 if number < 1 << 6 else 2 if number < 1 << 14 else 5 if number < 1 << 32 else 9
