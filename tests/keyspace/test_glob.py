"""Glob patterns; the corner cases come from KEYS of a real redis-server (tests/differential/test_keys.py)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.keyspace.glob import glob_match

CASES = [
    ("", "", True),
    ("", "a", False),
    ("*", "", False),
    ("*", "anything", True),
    ("**", "anything", True),
    ("a*", "a", True),
    ("a*b*c", "a--b--b--c", True),
    ("a*b*c", "a--b--b--", False),
    ("*c", "abc", True),
    ("*bc", "abcbd", False),
    ("?", "a", True),
    ("?", "", False),
    ("??", "a", False),
    ("h[ae]llo", "hallo", True),
    ("h[ae]llo", "hillo", False),
    ("h[^e]llo", "hallo", True),
    ("h[^e]llo", "hello", False),
    ("h[a-c]llo", "hbllo", True),
    ("h[c-a]llo", "hbllo", True),
    ("h[a-c]llo", "hdllo", False),
    ("[a-]", "]", True),
    ("[a-]", "Z", False),
    ("[abc", "b", True),
    ("[", "[", False),
    ("[^", "x", True),
    ("[]", "]", False),
    ("[]a]", "a]", False),
    ("[\\]]", "]", True),
    ("[a\\-c]", "b", False),
    ("[a\\-c]", "-", True),
    ("\\*", "*", True),
    ("\\*", "a", False),
    ("\\", "\\", True),
    ("a\\", "a\\", True),
    ("*\\*", "ab*", True),
    ("*[ab]*", "xxbxx", True),
]


@pytest.mark.parametrize(("pattern", "text", "fits"), CASES)
def test_cases(pattern: str, text: str, fits: bool) -> None:
    assert glob_match(pattern.encode(), text.encode()) is fits


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("ABC*", "abcd", True),
        ("[A-C]x", "bX", True),
        ("[^A]", "a", False),
        ("\\A", "a", True),
        ("[\\A]", "a", False),
        ("[Z-a]", "z", False),
    ],
)
def test_cases_without_regard_to_case(pattern: str, text: str, fits: bool) -> None:
    assert glob_match(pattern.encode(), text.encode(), True) is fits


def test_bytes_above_127_are_negative_in_a_range() -> None:
    assert glob_match(b"[\x80-a]", b"\xff")
    assert glob_match(b"[\xff-a]", b"\x00")
    assert not glob_match(b"[a-\xff]", b"z")


@pytest.mark.parametrize(
    "pattern", [b"a*" * 50 + b"b", b"*a" * 200 + b"*b", b"*" * 100_000 + b"b", b"[ab]*" * 100 + b"c"]
)
def test_no_pattern_takes_long(pattern: bytes) -> None:
    started = time.process_time()
    assert not glob_match(pattern, b"a" * 20_000)
    assert time.process_time() - started < 5


def plainly_matches(pattern: bytes, text: bytes) -> bool:
    """By trying everything; patterns of letters, `*` and `?` only."""
    if not pattern:
        return not text
    if pattern[:1] == b"*":
        return any(plainly_matches(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[:1] in (b"?", text[:1]) and plainly_matches(pattern[1:], text[1:])


@given(st.lists(st.sampled_from([b"a", b"b", b"?", b"*"]), max_size=8), st.text("ab", min_size=1, max_size=10))
def test_stars_are_tried_at_every_place(pattern: list[bytes], text: str) -> None:
    joined = b"".join(pattern)
    assert glob_match(joined, text.encode()) == plainly_matches(joined, text.encode())


@given(st.binary(max_size=20), st.binary(max_size=20), st.booleans())
def test_any_bytes_give_an_answer(pattern: bytes, text: bytes, nocase: bool) -> None:
    assert glob_match(pattern, text, nocase) in (True, False)
