"""Long doubles. INCRBYFLOAT against a real redis-server (tests/differential/test_strings.py) compares the digits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.algorithms.long_double import LongDouble


def parsed(text: bytes) -> LongDouble:
    number = LongDouble.parse(text)
    assert number is not None
    return number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"0", b"0"),
        (b"-0", b"0"),
        (b"3.0", b"3"),
        (b"-1.50", b"-1.5"),
        (b"100", b"100"),
        (b"1e20", b"100000000000000000000"),
        (b"1e-17", b"0.00000000000000001"),
        (b"0x10", b"16"),
        (b"+.5", b"0.5"),
        (b"5.", b"5"),
    ],
)
def test_text(text: bytes, shown: bytes) -> None:
    assert parsed(text).text() == shown


def test_more_digits_than_a_float_has() -> None:
    assert (parsed(b"0.1") + parsed(b"0.2")).text() == b"0.3"
    assert parsed(b"9007199254740993").text() == b"9007199254740993"


@pytest.mark.parametrize(
    "text",
    [b"", b" 1", b"\t1", b"1 ", b"1\x00", b"x", b"nan", b"-nan", b"1e5000", b"1e-5000", b"1e", b"1_0", b"0" * 5120],
)
def test_what_is_no_number(text: bytes) -> None:
    assert LongDouble.parse(text) is None


def test_infinity_is_a_number_but_not_finite() -> None:
    assert not parsed(b"inf").is_finite()
    assert not (parsed(b"1e4932") + parsed(b"1e4932")).is_finite()
    assert (parsed(b"1e4931") + parsed(b"-1e4931")).is_finite()
    assert not (parsed(b"inf") + parsed(b"-inf")).is_finite()


def test_the_longest_text() -> None:
    assert len(parsed(b"-1.18e4932").text()) == 4934


@given(st.binary(max_size=12))
def test_any_bytes_give_a_number_or_none(text: bytes) -> None:
    number = LongDouble.parse(text)
    assert number is None or number.text()
