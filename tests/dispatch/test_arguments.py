"""How arguments are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.dispatch import arguments
from minikv.dispatch.arguments import INT64_MAX, INT64_MIN, clamp_range, cursor, expiry_time, integer
from minikv.errors import CommandError

NOW_MS = 1_700_000_000_000
numbers = st.integers(INT64_MIN, INT64_MAX) | st.integers(-1000, 1000)


def plain_integer(text: bytes) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number).encode() == text and INT64_MIN <= number <= INT64_MAX else None


@given(
    st.binary(max_size=25) | st.text("0123456789- +_", max_size=25).map(str.encode) | st.integers().map(b"%d".__mod__)
)
def test_an_integer_has_one_spelling(text: bytes) -> None:
    try:
        number = integer(text)
    except CommandError as error:
        assert str(error) == arguments.NOT_AN_INTEGER
        assert plain_integer(text) is None
    else:
        assert number == plain_integer(text)


@pytest.mark.parametrize("number", [INT64_MIN, INT64_MAX, 0, -1])
def test_the_ends_of_64_bits(number: int) -> None:
    assert integer(b"%d" % number) == number


@pytest.mark.parametrize("number", [INT64_MIN - 1, INT64_MAX + 1, 2**64 - 1, 2**64, -(2**64), 10**20])
def test_numbers_beyond_64_bits(number: int) -> None:
    with pytest.raises(CommandError):
        integer(b"%d" % number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"", 0),
        (b"0", 0),
        (b"007", 7),
        (b"+7", 7),
        (b"-1", 2**64 - 1),
        (b"18446744073709551615", 2**64 - 1),
        (b"0" * 100 + b"5", 5),
    ],
)
def test_cursor(text: bytes, number: int) -> None:
    assert cursor(text) == number


@pytest.mark.parametrize(
    "text", [b"x", b"-", b"+", b" 1", b"1 ", b"1_0", b"18446744073709551616", b"9" * 10_000, b"--1"]
)
def test_wrong_cursors(text: bytes) -> None:
    with pytest.raises(CommandError, match="ERR invalid cursor"):
        cursor(text)


@pytest.mark.parametrize(
    ("unit", "amount", "at_ms"),
    [
        (b"EX", b"10", NOW_MS + 10_000),
        (b"PX", b"10", NOW_MS + 10),
        (b"EXAT", b"10", 10_000),
        (b"PXAT", b"10", 10),
        (b"EXAT", b"9223372036854775", 9223372036854775000),
        (b"PXAT", b"9223372036854775807", INT64_MAX),
    ],
)
def test_expiry_time(unit: bytes, amount: bytes, at_ms: int) -> None:
    assert expiry_time(unit, amount, NOW_MS, "set") == at_ms


@pytest.mark.parametrize(
    ("unit", "amount"),
    [
        (b"EX", b"0"),
        (b"EX", b"-1"),
        (b"EX", b"9223372036854775"),
        (b"PX", b"9223372036854775807"),
        (b"EXAT", b"9223372036854776"),
        (b"EX", b"-9223372036854775808"),
    ],
)
def test_times_that_are_none(unit: bytes, amount: bytes) -> None:
    with pytest.raises(CommandError, match="ERR invalid expire time in 'getex' command"):
        expiry_time(unit, amount, NOW_MS, "getex")


@given(st.integers(0, 30), numbers, numbers)
def test_ranges_are_slices_but_for_two_negative_ends_in_the_wrong_order(length: int, first: int, last: int) -> None:
    start, stop = clamp_range(first, last, length)
    assert (start, stop) == (0, 0) or 0 <= start < stop <= length
    places = [i for i in range(length) if max(first + length if first < 0 else first, 0) <= i]
    places = [i for i in places if i <= max(last + length if last < 0 else last, 0)]
    if first < 0 and last < 0 and first > last:
        places = []
    assert list(range(start, stop)) == places
