"""LZF compression: what python-lzf makes the text of again, the same bytes every time, and never more than allowed."""

from __future__ import annotations

import random

import lzf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.engine.lzf import compress
from tests.harness.examples import scaled

PIECE_LEN = 1 << 24  # of the compressor


def expand(packed: bytes, length: int) -> bytes:
    text: bytes = lzf.decompress(packed, length)
    return text


def texts() -> st.SearchStrategy[bytes]:
    """Bytes as they come, and bytes with something to find in them."""
    few = st.lists(st.sampled_from(b"ab"), max_size=600).map(bytes)
    runs = st.lists(st.tuples(st.binary(max_size=12), st.integers(0, 90)), max_size=20)
    return st.one_of(st.binary(max_size=400), few, runs.map(lambda parts: b"".join(one * many for one, many in parts)))


@given(texts())
@scaled(12)
def test_any_text_comes_back(text: bytes) -> None:
    packed = compress(text, 2 * len(text))
    if not text:
        assert packed is None
        return
    assert packed is not None
    assert expand(packed, len(text)) == text
    assert len(packed) <= len(text) + (len(text) + 31) // 32


@given(texts())
@scaled(6)
def test_it_fits_or_there_is_none(text: bytes) -> None:
    packed = compress(text, 2 * len(text))
    if packed is not None:
        assert compress(text, len(packed)) == packed
        for room in {0, 1, len(packed) // 2, len(packed) - 1}:
            assert compress(text, room) is None
    assert compress(text, -1) is None


def test_every_room_below_the_length_is_too_little() -> None:
    text = b"".join(b"%d:%d," % (i % 7, i * i) for i in range(90)) + bytes(700) + random.Random(1).randbytes(99)
    packed = compress(text, len(text))
    assert packed is not None
    assert [compress(text, room) for room in range(len(packed))] == [None] * len(packed)


@pytest.mark.parametrize("distance", [1, 2, 3, 7, 8, 31, 32, 33, 255, 8191, 8192, 8193])
def test_distances(distance: int) -> None:
    rng = random.Random(distance)
    text = rng.randbytes(distance)
    packed = compress(text * (1 + 10_000 // distance), 1 << 20)
    assert packed is not None
    assert expand(packed, 1 << 20) == text * (1 + 10_000 // distance)
    assert (len(packed) < distance * 17 // 16 + 1_000) == (distance <= 8192)


@pytest.mark.parametrize("length", range(3, 300))
def test_lengths_of_references(length: int) -> None:
    """A text with one repetition of so many bytes."""
    part = bytes(i * 89 & 0xFF if i < 256 else 7 * i & 0xFF for i in range(length))
    text = part + b"\x00\xff" * 3 + part + b"\xfe"
    packed = compress(text, 2 * len(text))
    assert packed is not None
    assert expand(packed, len(text)) == text


def test_what_came_before_does_not_matter() -> None:
    rng = random.Random(5)
    texts = [bytes(rng.choices(b"abcdef", k=rng.randrange(1, 9000))) for _ in range(40)]
    packed = {text: compress(text, len(text)) for text in texts}
    for _ in range(400):
        text = rng.choice(texts)
        compress(text, rng.randrange(len(text)))  # most of them given up half-way
        text = rng.choice(texts)
        assert compress(text, len(text)) == packed[text]


def test_positions_start_again_after_4_gib() -> None:
    text = b"".join(b"key:%d " % (i * i) for i in range(500))
    packed = compress(text, len(text))
    zeros = bytes(64 << 20)
    for _ in range(70):
        assert compress(zeros, len(zeros)) is not None
        assert compress(text, len(text)) == packed
    assert packed is not None
    assert expand(packed, len(text)) == text


def test_texts_of_more_than_a_piece() -> None:
    text = (b"".join(b"%d," % i for i in range(900)) * (2 * PIECE_LEN // 3_000))[: 2 * PIECE_LEN + 5]
    for length in (PIECE_LEN - 1, PIECE_LEN, PIECE_LEN + 1, 2 * PIECE_LEN + 5):
        packed = compress(text[:length], length)
        assert packed is not None
        assert expand(packed, length) == text[:length]


def test_compressible_text_behind_random_bytes_is_found() -> None:
    text = random.Random(2).randbytes(1 << 20) + b"the same again; " * 65536
    packed = compress(text, 2 * len(text))
    assert packed is not None
    assert len(packed) < (1 << 20) * 17 // 16
    assert expand(packed, len(text)) == text
