"""CRC-64: anycrc's checksum, whichever way it is computed."""

from __future__ import annotations

import random
from itertools import pairwise

import anycrc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.rdb.crc64 import WIDTH, checksum, checksum_by, joined
from tests.harness.examples import scaled

ORACLE = anycrc.Model("CRC64-REDIS")
DATA = memoryview(random.Random(64).randbytes(1 << 20))
CRCS = st.integers(0, 2**64 - 1)

widths = pytest.mark.parametrize("width", [width for width in (0, 128, 512) if width <= WIDTH])


@widths
def test_check_value(width: int) -> None:
    assert checksum_by(width, b"123456789") == checksum(b"123456789") == 0xE9C6D914C4B8D9CA


@widths
def test_every_length(width: int) -> None:
    for length in range(4096):
        data = DATA[length % 67 :][:length]
        assert checksum_by(width, data) == ORACLE.calc(data, 0)


@widths
@given(start=st.integers(0, 100), length=st.integers(0, 4096), crc=CRCS)
@scaled(6)
def test_any_start_length_and_beginning(width: int, start: int, length: int, crc: int) -> None:
    data = DATA[start : start + length]
    assert checksum_by(width, data, crc) == ORACLE.calc(data, crc)


@widths
@given(data=st.binary(max_size=700), copies=st.integers(0, 20), crc=CRCS)
@scaled(6)
def test_any_bytes(width: int, data: bytes, copies: int, crc: int) -> None:
    assert checksum_by(width, data * copies, crc) == ORACLE.calc(data * copies, crc)


@widths
@given(ends=st.lists(st.integers(0, 20_000), max_size=12))
@scaled(4)
def test_pieces_one_after_another(width: int, ends: list[int]) -> None:
    crc = 0
    for start, end in pairwise([0, *sorted(ends)]):
        crc = checksum_by(width, DATA[start:end], crc)
    assert crc == ORACLE.calc(DATA[: max(ends, default=0)], 0)


@widths
def test_large_data(width: int) -> None:
    for length in (1 << 20, (1 << 20) - 1, (1 << 20) - 511, (1 << 19) + 17):
        assert checksum_by(width, DATA[:length]) == ORACLE.calc(DATA[:length], 0)
    data = DATA.tobytes() * 65
    assert checksum_by(width, data) == checksum(data) == ORACLE.calc(data, 0)


def test_what_is_no_bytes_is_refused() -> None:
    with pytest.raises(TypeError):
        checksum("text")  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, 1, 7, 4096, 100_003])
def test_the_checksum_of_two_parts_is_known_from_theirs(length: int) -> None:
    data = random.Random(length).randbytes(50 + length)
    assert joined(checksum(data[:50]), checksum(data[50:]), length) == checksum(data)
