"""Replies: every type of value in RESP2 and RESP3."""

from __future__ import annotations

import pytest

from minikv.errors import CommandError, WrongTypeError
from minikv.protocol.reply import (
    NO_REPLY,
    NULL_ARRAY,
    OK,
    Decimal,
    Push,
    Raw,
    ReplyBuffer,
    Set,
    SimpleString,
    Transcript,
    Verbatim,
    encode,
    format_double,
)

CASES: list[tuple[object, bytes, bytes]] = [
    (b"", b"$0\r\n\r\n", b"$0\r\n\r\n"),
    (b"a\r\nb\0", b"$5\r\na\r\nb\0\r\n", b"$5\r\na\r\nb\0\r\n"),
    (bytearray(b"ab"), b"$2\r\nab\r\n", b"$2\r\nab\r\n"),
    (0, b":0\r\n", b":0\r\n"),
    (-1, b":-1\r\n", b":-1\r\n"),
    (2**63 - 1, b":9223372036854775807\r\n", b":9223372036854775807\r\n"),
    (-(2**63), b":-9223372036854775808\r\n", b":-9223372036854775808\r\n"),
    (2**63, b":9223372036854775808\r\n", b"(9223372036854775808\r\n"),
    (None, b"$-1\r\n", b"_\r\n"),
    (True, b":1\r\n", b"#t\r\n"),
    (False, b":0\r\n", b"#f\r\n"),
    (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
    (float("inf"), b"$3\r\ninf\r\n", b",inf\r\n"),
    (Decimal(b"1.50"), b"$4\r\n1.50\r\n", b",1.50\r\n"),
    (OK, b"+OK\r\n", b"+OK\r\n"),
    (SimpleString(b"PONG"), b"+PONG\r\n", b"+PONG\r\n"),
    (CommandError("ERR a\r\nb"), b"-ERR a  b\r\n", b"-ERR a  b\r\n"),
    (CommandError("ERR \udcff"), b"-ERR \xff\r\n", b"-ERR \xff\r\n"),
    ([], b"*0\r\n", b"*0\r\n"),
    ([b"a", (1, None)], b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n"),
    ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
    ({7}, b"*1\r\n:7\r\n", b"~1\r\n:7\r\n"),
    (frozenset(), b"*0\r\n", b"~0\r\n"),
    (Set([{b"a": 1}]), b"*1\r\n*2\r\n$1\r\na\r\n:1\r\n", b"~1\r\n%1\r\n$1\r\na\r\n:1\r\n"),
    (Push([b"a"]), b"*1\r\n$1\r\na\r\n", b">1\r\n$1\r\na\r\n"),
    (Verbatim(b"txt", b"hi"), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
    (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
    (Transcript(3, [(None, 2), (None, 3)]), b"*3\r\n$-1\r\n_\r\n", b"*3\r\n$-1\r\n_\r\n"),
    (Raw(b"+x\r\n"), b"+x\r\n", b"+x\r\n"),
    (NO_REPLY, b"", b""),
]


@pytest.mark.parametrize(("value", "resp2", "resp3"), CASES, ids=[repr(case[0])[:30] for case in CASES])
def test_values(value: object, resp2: bytes, resp3: bytes) -> None:
    assert encode(value, 2) == resp2
    assert encode(value, 3) == resp3
    assert encode([value, b"x"], 2) == b"*2\r\n" + resp2 + b"$1\r\nx\r\n"


def test_every_number_of_digits() -> None:
    for digits in range(1, 19):
        for number in (10**digits - 1, 10**digits, -(10**digits)):
            assert encode(number) == b":%d\r\n" % number


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, b"0"),
        (-0.0, b"-0"),
        (3.0, b"3"),
        (-3.0, b"-3"),
        (999_999_999_999_999.0, b"999999999999999"),
        (1e15, b"1000000000000000"),
        (1e17, b"1e+17"),
        (123_456_789_012_345.5, b"123456789012345.5"),
        (0.1, b"0.10000000000000001"),
        (1e100, b"1e+100"),
        (-float("inf"), b"-inf"),
        (float("nan"), b"nan"),
    ],
)
def test_doubles_have_seventeen_digits(number: float, text: bytes) -> None:
    assert format_double(number) == text


def test_a_text_is_a_bug_of_the_handler() -> None:
    with pytest.raises(TypeError, match="str"):
        encode("text")


def test_an_error_of_a_handler_keeps_its_code() -> None:
    assert encode(WrongTypeError()).startswith(b"-WRONGTYPE Operation")


def test_a_list_that_somebody_else_holds_is_left_as_it_is() -> None:
    items = [b"a"] * 1000
    for value in (items, Set(items), [items], {b"k": items}):
        assert encode(value).endswith(b"$1\r\na\r\n" * 1000)
    assert items == [b"a"] * 1000


def test_a_large_reply_does_not_disturb_the_next() -> None:
    buffer = ReplyBuffer()
    buffer.add(b"x" * 3_000_000)
    assert buffer.take() == b"$3000000\r\n" + b"x" * 3_000_000 + b"\r\n"
    assert buffer.take() == b""
    buffer.add([1] * 1000)
    assert buffer.take() == b"*1000\r\n" + b":1\r\n" * 1000
