"""Decimal numbers: the same double as Python's, whichever way they take."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.rdb.decimal import decimal


def bits(number: float | None) -> bytes | None:
    return None if number is None else struct.pack("<d", number)


def expected(text: bytes) -> float | None:
    try:
        number = float(text) if text.strip() == text and b"_" not in text else float("nan")
    except ValueError:
        return None
    return number if number == number else None


@pytest.mark.parametrize(
    "text",
    [
        b"0", b"-0", b"1", b"-1", b"+1", b"1.", b".5", b"-.5", b".", b"", b"-", b"1e5", b"1e+5", b"1e-5", b"1e",
        b"1e+", b"1e5x", b"1e400", b"1e-400", b"inf", b"-inf", b"nan", b"infinity", b" 1", b"1 ", b"1_0", b"0x10",
        b"1.2.3", b"9007199254740993", b"9007199254740992.5", b"9007199254740993.0000000001",
        b"18446744073709551615", b"18446744073709551616", b"9999999999999999999", b"1e22", b"1e23", b"1e27",
        b"1e28", b"1e-27", b"1e-28", b"4.9e-324", b"1.7976931348623157e308", b"0.1", b"0.30000000000000004",
        b"5e-324", b"0" * 126 + b"1", b"0" * 127 + b"1", b"1" * 19, b"1" * 20, b"0.0000000000000000001", b"1\0",
        b"\xff",
    ],
)  # fmt: skip
def test_edges(text: bytes) -> None:
    assert bits(decimal(text)) == (bits(expected(text)) if len(text) < 128 else None)


def test_numbers_as_redis_writes_them() -> None:
    rng = random.Random(3)
    for _ in range(200_000):
        number = rng.choice((rng.random(), rng.uniform(-1e6, 1e6), rng.gauss(0, 1) * 10 ** rng.randrange(-30, 30)))
        assert bits(decimal(b"%.17g" % number)) == bits(number)
        assert bits(decimal(repr(number).encode())) == bits(number)


def test_numbers_between_two_doubles() -> None:
    rng = random.Random(4)
    for _ in range(50_000):
        whole = rng.randrange(1 << 53, 1 << 63)
        text = (
            b"%de-%d" % (whole, rng.randrange(28)) if rng.random() < 0.5 else b"%d.%d" % (whole >> 8, rng.randrange(10))
        )
        assert bits(decimal(text)) == bits(float(text))
        middle = (rng.randrange(1 << 52, 1 << 53) * 2 + 1) << rng.randrange(10)
        assert bits(decimal(b"%d" % middle)) == bits(float(middle))


@given(
    st.one_of(
        st.floats(allow_nan=False).map(repr),
        st.decimals(allow_nan=False).map(str),
        st.text("0123456789.eE+-", max_size=30),
    )
)
def test_any_number(text: str) -> None:
    assert bits(decimal(text.encode())) == (bits(expected(text.encode())) if len(text) < 128 else None)
