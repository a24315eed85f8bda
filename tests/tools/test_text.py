"""Bytes become text that leads back to the same bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.tools.text import in_a_line, readable

ESCAPED = {b"\\x%02x" % byte: bytes([byte]) for byte in range(256)} | {rb"\\": b"\\"}


def original(text: str) -> bytes:
    """What a reader of the text does, as --help tells it."""
    return re.sub(rb"\\\\|\\x[0-9a-f]{2}", lambda found: ESCAPED[found[0]], text.encode())


@pytest.mark.parametrize(
    ("data", "text", "line"),
    [
        (b"", "", ""),
        (b"plain", "plain", "plain"),
        ("käse ☃ 🎈".encode(), "käse ☃ 🎈", "käse ☃ 🎈"),
        (rb"back\slash \x41", r"back\\slash \\x41", r"back\\slash \\x41"),
        (b"\xff\xc3", r"\xff\xc3", r"\xff\xc3"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80", r"\xed\xa0\x80"),  # half of a surrogate pair is no UTF-8
        (b"\xc0\x80\xf5", r"\xc0\x80\xf5", r"\xc0\x80\xf5"),
        (b"a\nb\t\0\x7f", "a\nb\t\0\x7f", r"a\x0ab\x09\x00\x7f"),
        ("\x9b31m\u2028".encode(), "\x9b31m\u2028", r"\xc2\x9b31m\xe2\x80\xa8"),
    ],
)
def test_the_form(data: bytes, text: str, line: str) -> None:
    assert (readable(data), in_a_line(data)) == (text, line)
    assert original(text) == original(line) == data


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_come_back(data: bytes) -> None:
    assert original(readable(data)) == data
    line = in_a_line(data)
    assert original(line) == data
    assert len(line.splitlines()) <= 1
