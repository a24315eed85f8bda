# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Arguments, read as strictly as Redis reads them: one spelling for each number, one text for each error.

Every function returns the value or raises the CommandError that the client gets.
"""

from collections.abc import Iterator, Sequence

import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.minikv.engine.int64 import parse_int64

from minikv.errors import CommandError

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
UINT64_MAX = 2**64 - 1

SYNTAX_ERROR = "ERR syntax error"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NOT_A_FLOAT = "ERR value is not a valid float"
NO_SUCH_KEY = "ERR no such key"
SAME_OBJECT = "ERR source and destination objects are the same"
DB_INDEX_OUT_OF_RANGE = "ERR DB index is out of range"
STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

# Milliseconds in the unit of an expiry option, and whether the time counts from now.
EXPIRY_UNITS = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}


def integer(text: bytes, error: str = NOT_AN_INTEGER) -> int:
    """A 64-bit integer in its only spelling: no plus sign, no spaces, no leading zeros, no `-0`."""
    number: int64_t = 0
    start: cython.p_const_uchar = text
    if not parse_int64(start, len(text), cython.address(number)):
        raise CommandError(error)
    return number


def integer_between(text: bytes, low: int, high: int) -> int:
    """An integer of a smaller range."""
    number = integer(text)
    if not low <= number <= high:
        raise CommandError(f"ERR value is out of range, value must between {low} and {high}")
    return number


def next_word(words: Iterator[bytes]) -> bytes:
    """The value that an option needs."""
    word = next(words, None)
    if word is None:
        raise CommandError(SYNTAX_ERROR)
    return word


def cursor(text: bytes) -> int:
    """A SCAN cursor, read as C's strtoul does: signs and leading zeros pass, nothing at all is 0."""
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if not text:
        return 0
    # A 64-bit number has at most 20 digits after its leading zeros.
    if digits.isdigit() and len(digits.lstrip(b"0")) <= 20:
        number = int(digits.lstrip(b"0") or b"0")
        if number <= UINT64_MAX:
            return -number & UINT64_MAX if text[:1] == b"-" else number
    raise CommandError("ERR invalid cursor")


def overflows(at_ms: int) -> bool:
    """Whether a time in milliseconds overflows what Redis keeps it in."""
    return not INT64_MIN <= at_ms <= INT64_MAX


def invalid_expire_time(command_name: str) -> CommandError:
    """The error for a time that is not positive where it must be, or overflows."""
    return CommandError(f"ERR invalid expire time in '{command_name}' command")


def expiry_time(unit: bytes, amount: bytes, now_ms: int, command_name: str) -> int:
    """The Unix time in milliseconds that an option such as `EX 10` means; always in the range of a valid expiry."""
    factor, relative = EXPIRY_UNITS[unit]
    number = integer(amount)
    at_ms = number * factor + (now_ms if relative else 0)
    if number <= 0 or overflows(at_ms):
        raise invalid_expire_time(command_name)
    return at_ms


def clamp_range(first: int, last: int, length: int) -> tuple[int, int]:
    """Redis's inclusive range, which may count from the end, as half-open offsets; (0, 0) if nothing lies in it."""
    if first < 0 and last < 0 and first > last:
        return 0, 0
    if first < 0:
        first = max(first + length, 0)
    if last < 0:
        last = max(last + length, 0)
    stop = min(last + 1, length)
    return (first, stop) if first < stop else (0, 0)


def clamp_positions(first: int, last: int, size: int) -> tuple[int, int]:
    """The same for elements of a list or sorted set: a range that ends before the first of them is empty."""
    start = max(first + size if first < 0 else first, 0)
    stop = min(last + size if last < 0 else last, size - 1) + 1
    return (start, stop) if start < stop else (0, 0)


def keys_end_count(words: Sequence[bytes], ends: dict[bytes, bool]) -> tuple[Sequence[bytes], bool, int]:
    """`numkeys key ... end [COUNT count]`: the keys, which of the two ends is named, and how many."""
    keys = at_least_one(words[0], "ERR numkeys should be greater than 0")
    words = words[1:]
    end = ends.get(words[keys].upper()) if keys < len(words) else None
    if end is None:
        raise CommandError(SYNTAX_ERROR)
    options = words[keys + 1 :]
    if not options:
        return words[:keys], end, 1
    if options[0].upper() != b"COUNT" or len(options) == 1:
        raise CommandError(SYNTAX_ERROR)
    count = at_least_one(options[1], "ERR count should be greater than 0")
    if len(options) > 2:
        raise CommandError(SYNTAX_ERROR)
    return words[:keys], end, count


def at_least_one(text: bytes, error: str) -> int:
    """An integer above 0."""
    number = integer(text, error)
    if number < 1:
        raise CommandError(error)
    return number
