"""The request reader: each case is fed whole, byte by byte, cut in two at every place, and with a request behind it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.errors import ProtocolError
from minikv.protocol.request import Limits, Lookahead, RequestReader, split_words

BEHIND = b"*1\r\n$6\r\nBEHIND\r\n"


def request(*args: bytes) -> bytes:
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args)


def read_all(chunks: Iterable[bytes], trusted: bool = True) -> tuple[list[list[bytes]], str | None, int]:
    """The requests in the chunks, the error that ended them if one did, and the bytes still held.

    Whether somebody looks ahead makes no difference.
    """
    chunks = list(chunks)
    found = read_with(None, chunks, trusted)
    assert read_with(Lookahead(), chunks, trusted) == found
    return found


def read_with(ahead: Lookahead | None, chunks: list[bytes], trusted: bool) -> tuple[list[list[bytes]], str | None, int]:
    limits = Limits()
    limits.ahead = ahead
    reader = RequestReader(limits)
    reader.trusted = trusted
    requests: list[list[bytes]] = []
    try:
        for chunk in chunks:
            reader.feed(chunk)
            while (found := reader.read()) is not None:
                requests.append(found)
    except ProtocolError as error:
        return requests, str(error), reader.held
    return requests, None, reader.held


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


GOOD = {
    "one word": (request(b"PING"), [[b"PING"]]),
    "binary": (request(b"SET", b"\0\r\n", b"\xff" * 300), [[b"SET", b"\0\r\n", b"\xff" * 300]]),
    "empty strings": (request(b"", b""), [[b"", b""]]),
    "nine bytes are more than a cached name": (request(b"INCRBYFLOAT", b"a"), [[b"INCRBYFLOAT", b"a"]]),
    "five digits": (request(b"SET", b"x" * 12_345), [[b"SET", b"x" * 12_345]]),
    "a request without arguments": (b"*0\r\n", []),
    "a request with less than none": (b"*-1\r\n", []),
    "inline": (b"set a  b\r\n", [[b"set", b"a", b"b"]]),
    "inline without CR": (b"ping\n", [[b"ping"]]),
    "empty lines": (b"\r\n\n  \r\n", []),
    "inline quotes": (b'echo "a\\x41\\n" \'it\\\'s\' ""\r\n', [[b"echo", b"aA\n", b"it's", b""]]),
    "both kinds in turn": (b"ping\r\n" + request(b"GET", b"a") + b"ping\r\n", [[b"ping"], [b"GET", b"a"], [b"ping"]]),
    "what stands behind a bulk string is not looked at": (b"*1\r\n$4\r\nPINGxx", [[b"PING"]]),
    "nor what follows a header's CR": (b"*1\rx$4\ryPING\r\n", [[b"PING"]]),
}

BAD = {
    b"*x\r\n": "invalid multibulk length",
    b"*1 \r\n": "invalid multibulk length",
    b"*+1\r\n": "invalid multibulk length",
    b"*01\r\n": "invalid multibulk length",
    b"*\r\n": "invalid multibulk length",
    b"*2147483648\r\n": "invalid multibulk length",
    b"*99999999999999999999\r\n": "invalid multibulk length",
    b"*1\r\nPING\r\n": "expected '$', got 'P'",
    b"*1\r\n\r\n": "expected '$', got '\r'",
    b"*1\r\n\xff\r\n": "expected '$', got '\udcff'",
    b"*1\r\n*1\r\n": "expected '$', got '*'",
    b"*1\r\n$-1\r\n": "invalid bulk length",
    b"*1\r\n$\r\n": "invalid bulk length",
    b"*1\r\n$00\r\n": "invalid bulk length",
    b"*1\r\n$536870913\r\n": "invalid bulk length",
    b'echo "a\r\n': "unbalanced quotes in request",
    b"echo 'a\r\n": "unbalanced quotes in request",
    b'echo "a"b\r\n': "unbalanced quotes in request",
    b"*" + b"1" * 70_000: "too big mbulk count string",
    b"*1\r\n$" + b"1" * 70_000: "too big bulk count string",
    b"a" * 70_000: "too big inline request",
}


@pytest.mark.parametrize(("data", "expected"), GOOD.values(), ids=GOOD.keys())
def test_requests(data: bytes, expected: list[list[bytes]]) -> None:
    assert read_all([data]) == (expected, None, 0)
    assert read_all(bytewise(data)) == (expected, None, 0)
    assert read_all([data + BEHIND]) == ([*expected, [b"BEHIND"]], None, 0)
    assert read_all(bytewise(data + BEHIND)) == ([*expected, [b"BEHIND"]], None, 0)
    for cut in range(0, len(data), max(1, len(data) // 400)):
        assert read_all([data[:cut], data[cut:] + BEHIND]) == ([*expected, [b"BEHIND"]], None, 0)


@pytest.mark.parametrize(("data", "reason"), BAD.items(), ids=[repr(data[:24]) for data in BAD])
def test_requests_that_break_the_protocol(data: bytes, reason: str) -> None:
    error = f"ERR Protocol error: {reason}"
    assert read_all([data])[:2] == ([], error)
    assert read_all([BEHIND + data])[:2] == ([[b"BEHIND"]], error)
    assert read_all(bytewise(data))[:2] == ([], error)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (request(*[b"x"] * 10), None),
        (b"*11\r\n", "unauthenticated multibulk length"),
        (request(b"x" * 16_384), None),
        (b"*1\r\n$16385\r\n", "unauthenticated bulk length"),
        (b"*2\r\n$10000\r\n" + b"x" * 10_000 + b"\r\n$10000\r\n", "unauthenticated bulk length"),
        (b"x" * 17_000, "too big inline request"),
    ],
)
def test_strangers_may_send_little(data: bytes, error: str | None) -> None:
    assert read_all([data], trusted=False)[1] == (error and f"ERR Protocol error: {error}")


def test_memory_follows_what_came_not_what_was_claimed() -> None:
    reader = RequestReader(Limits())
    reader.feed(b"*2147483647\r\n$536870912\r\nabc")
    assert reader.read() is None
    assert reader.held < 1024


def test_a_long_string_in_small_pieces_takes_linear_memory_and_comes_back_whole() -> None:
    value = bytes(range(256)) * 4000
    data = request(b"SET", b"key", value)
    reader = RequestReader(Limits())
    for start in range(0, len(data), 1000):
        assert reader.held <= 2 * start + 2048
        reader.feed(data[start : start + 1000])
    assert reader.read() == [b"SET", b"key", value]
    assert reader.held == 0


def test_the_limit_of_bulk_strings_is_a_setting() -> None:
    limits = Limits()
    limits.max_bulk_len = 10
    reader = RequestReader(limits)
    reader.feed(b"*1\r\n$11\r\n")
    with pytest.raises(ProtocolError, match="invalid bulk length"):
        reader.read()


def test_names_that_share_a_slot_of_the_cache_do_not_share_their_object() -> None:
    names = [b"%x" % number for number in range(5000)] + [b"a", b"a\0", b"a\0\0"]
    assert read_all([b"".join(map(request, names))])[0] == [[name] for name in names]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b" \t\v\f", []),
        (b"a b", [b"a", b"b"]),
        (b"a\0b", [b"a\0b"]),
        (b'pre"fix"', [b"prefix"]),
        (b'"\\x4"', [b"x4"]),
        (b'"\\xzz\\q\\t\\b\\a\\r"', [b"xzzq\t\b\a\r"]),
        (b"'\\n'", [b"\\n"]),
        (b'"', None),
        (b"'", None),
        (b'"\\', None),
        (b'"\\"', None),
        (b"''x", None),
    ],
)
def test_words_of_an_inline_request(line: bytes, words: list[bytes] | None) -> None:
    assert split_words(line) == words


piece = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"*1\r\n", b"*2\r\n", b"*-1\r\n", b"$0\r\n", b"$3\r\n", b"$300\r\n", b"\r\n", b"\n", b'"', b"'", b"*", b"$"]
    ),
    st.lists(st.binary(max_size=8), min_size=1, max_size=3).map(lambda args: request(*args)),
)


@given(st.lists(piece, max_size=12).map(b"".join), st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_any_bytes_give_requests_or_a_protocol_error_however_they_are_cut(
    data: bytes, cuts: list[int], trusted: bool
) -> None:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    chunks = [data[start:end] for start, end in itertools.pairwise(places)]
    whole, cut = read_all([data], trusted), read_all(chunks, trusted)
    assert cut[:2] == whole[:2]
    assert read_all(bytewise(data), trusted)[:2] == whole[:2]
