"""Counting, searching and combining bits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minikv.algorithms import bits

data = st.binary(max_size=40) | st.builds(
    lambda before, byte, behind: bytes(before) + bytes([byte]) + bytes(behind),
    st.integers(0, 40),
    st.integers(0, 255),
    st.integers(0, 40),
)


@given(data)
def test_count_ones(value: bytes) -> None:
    assert bits.count_ones(value) == int.from_bytes(value, "big").bit_count()


@given(data)
def test_find_bit(value: bytes) -> None:
    digits = "".join(f"{byte:08b}" for byte in value)
    inverted = bytes(255 - byte for byte in value)
    assert bits.find_bit(value, 1) == bits.find_bit(inverted, 0) == digits.find("1")


@given(data, data)
def test_combine(left: bytes, right: bytes) -> None:
    right = right[: len(left)]
    padded = right.ljust(len(left), b"\0")
    for operation, combined in (
        (bits.AND, bytes(a & b for a, b in zip(left, padded, strict=True))),
        (bits.OR, bytes(a | b for a, b in zip(left, padded, strict=True))),
        (bits.XOR, bytes(a ^ b for a, b in zip(left, padded, strict=True))),
    ):
        target = bytearray(left)
        bits.combine(target, right, operation)
        assert target == combined


@given(data)
def test_invert(value: bytes) -> None:
    target = bytearray(value)
    bits.invert(target)
    assert target == bytes(255 - byte for byte in value)
