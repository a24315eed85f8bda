"""Lengths of strings in an RDB file."""

from __future__ import annotations

import pytest

from minikv.commands.serialized import serialized_len


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"", 1),
        (b"a", 2),
        (b"0", 2),
        (b"-128", 2),
        (b"128", 3),
        (b"-32769", 5),
        (b"2147483647", 5),
        (b"2147483648", 11),
        (b"-2147483648", 5),
        (b"007", 4),
        (b"-0", 3),
        (b"-", 2),
        (b"+1", 3),
        (b"x" * 63, 64),
        (b"x" * 64, 66),
        (b"x" * 16383, 16385),
        (b"x" * 16384, 16389),
    ],
    ids=lambda value: f"{value[:12]!r}x{len(value)}" if isinstance(value, bytes) else str(value),
)
def test_plain_strings_and_integers(value: bytes, length: int) -> None:
    assert serialized_len(value, compress=False) == length


def test_what_compression_makes_shorter_is_compressed() -> None:
    assert serialized_len(b"x" * 1000, compress=True) < 40 < serialized_len(b"x" * 1000, compress=False)
    assert serialized_len(b"x" * 20, compress=True) == 21
    assert serialized_len(bytes(range(100)), compress=True) == 102
