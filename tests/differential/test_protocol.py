"""Requests as bytes: well-formed, malformed and inline, fed whole, byte by byte and with a request behind them.

What comes back and whether the connection is closed must be what Redis does.
"""

import pytest

from tests.harness import ClientPair, encode

PING = encode("PING behind")

WELL_FORMED = {
    "multibulk": b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n",
    "binary argument": b"*2\r\n$4\r\nECHO\r\n$7\r\n\x00\r\n*$\xff\xfe\r\n",
    "empty argument": b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    "lower case": b"*2\r\n$4\r\neCHo\r\n$2\r\nhi\r\n",
    "empty multibulk": b"*0\r\n",
    "null multibulk": b"*-1\r\n",
    "negative multibulk": b"*-12\r\n",
    "empty line": b"\r\n",
    "only a line feed": b"\n",
    "blank line": b"  \t \r\n",
    "several empty requests": b"*0\r\n\r\n*-1\r\n\n*0\r\n",
    "two requests": b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n",
    "inline and multibulk": b"PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n",
    "empty command name": b"*1\r\n$0\r\n\r\n",
    "any two bytes behind a bulk": b"*1\r\n$4\r\nPINGxy",
    "any byte behind a carriage return": b"*1\rx$4\ryPING\r\n",
    "largest plain count": b"*1048577\r\n",
}

MALFORMED = {
    "count without digits": b"*\r\n",
    "count of letters": b"*abc\r\n",
    "count with a plus": b"*+1\r\n",
    "count with a blank": b"* 1\r\n",
    "count with a leading zero": b"*01\r\n",
    "count with a fraction": b"*1.0\r\n",
    "count minus zero": b"*-0\r\n",
    "count beyond 32 bits": b"*2147483648\r\n",
    "count at 32 bits": b"*2147483647\r\n",
    "count beyond 64 bits": b"*99999999999999999999\r\n",
    "no bulk header": b"*1\r\nPING\r\n",
    "integer for a bulk": b"*1\r\n:1\r\n",
    "nested array": b"*1\r\n*1\r\n$4\r\nPING\r\n",
    "carriage return for a bulk": b"*1\r\n\r\n",
    "bulk header is a newline": b"*1\r\n\n\r\n",
    "bulk header is a quote": b"*1\r\n'\r\n",
    "bulk header above ASCII": b"*1\r\n\xff\r\n",
    "second bulk missing": b"*2\r\n$4\r\nECHO\r\nhi\r\n",
    "bulk length without digits": b"*1\r\n$\r\n",
    "bulk length of letters": b"*1\r\n$four\r\nPING\r\n",
    "null bulk": b"*1\r\n$-1\r\n",
    "negative bulk length": b"*1\r\n$-5\r\n",
    "bulk length with a plus": b"*1\r\n$+4\r\nPING\r\n",
    "bulk length with a leading zero": b"*1\r\n$04\r\nPING\r\n",
    "bulk length over the limit": b"*1\r\n$536870913\r\n",
    "bulk length beyond 64 bits": b"*1\r\n$99999999999999999999\r\n",
    "requests before the error are answered": b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*x\r\n",
    "unbalanced double quotes": b'ECHO "abc\r\n',
    "unbalanced single quotes": b"ECHO 'abc\r\n",
    "text behind a closing quote": b'ECHO "abc"def\r\n',
    "text behind a closing single quote": b"ECHO 'abc'def\r\n",
    "lone quote": b'"\r\n',
    "an HTTP request": b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an HTTP header": b"Host: localhost\r\n",
    "an HTTP GET": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}

UNFINISHED = {
    "nothing but the star": b"*",
    "count without line end": b"*1",
    "count without line feed": b"*1\r",
    "no bulk": b"*1\r\n",
    "bulk length without line end": b"*1\r\n$4",
    "bulk without its line end": b"*1\r\n$4\r\nPING",
    "bulk without line feed": b"*1\r\n$4\r\nPING\r",
    "second bulk missing": b"*2\r\n$4\r\nECHO\r\n",
    "inline without line end": b"PING",
    "inline without line feed": b"PING\r",
    "one whole and one unfinished": b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI",
}

INLINE = {
    "plain": b"ECHO hello\r\n",
    "only a line feed": b"ECHO hello\n",
    "blanks around": b"  ECHO   hello  \r\n",
    "tabs": b"\tECHO\thello\t\r\n",
    "carriage return within": b"ECHO a\rb\r\n",
    "vertical tab and form feed": b"ECHO\x0bhello\x0c\r\n",
    "double quotes": b'ECHO "hello world"\r\n',
    "single quotes": b"ECHO 'hello world'\r\n",
    "empty quotes": b"ECHO \"\"\r\nECHO ''\r\n",
    "escapes": rb'ECHO "\n\r\t\b\a\\\"\x41\x7a\xff\q"' + b"\r\n",
    "incomplete hexadecimal escape": rb'ECHO "\x4"' + b"\r\n" + rb'ECHO "\xzz"' + b"\r\n",
    "escapes in single quotes": rb"ECHO 'it\'s \n \x41'" + b"\r\n",
    "quotes within a word": b"ECHO a\"b c\"\r\nECHO a'b c'\r\n",
    "quotes that join": b"ECHO 'a' 'b'\r\n",
    "high bytes": b"ECHO \xc3\xa4\xff\r\n",
    "unknown command": b"nonesuch a b\r\n",
    "quoted command": b'"ECHO" hi\r\n',
    "several in one piece": b"PING\r\nPING\nECHO x\r\n\r\nPING\r\n",
    "RESP3 marks": b">1\r\n%2\r\n+PING\r\n:1\r\n",
}


def ways_to_feed(request: bytes) -> dict[str, list[bytes]]:
    return {
        "whole": [request],
        "byte by byte": [request[index : index + 1] for index in range(len(request))],
        "with a request behind": [request + PING],
        "with a request before": [PING + request],
        "cut in the middle": [request[: len(request) // 2], request[len(request) // 2 :] + PING],
    }


def assert_same_however_fed(pair: ClientPair, request: bytes) -> None:
    for chunks in ways_to_feed(request).values():
        pair.another().assert_same_raw(*chunks)


def cases(requests: dict[str, bytes]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("request_bytes", requests.values(), ids=requests.keys())


@cases(WELL_FORMED)
def test_well_formed_requests(resp2_pair: ClientPair, request_bytes: bytes) -> None:
    assert_same_however_fed(resp2_pair, request_bytes)


@cases(MALFORMED)
def test_malformed_requests(resp2_pair: ClientPair, request_bytes: bytes) -> None:
    assert_same_however_fed(resp2_pair, request_bytes)


@cases(UNFINISHED)
def test_unfinished_requests_are_waited_for(resp2_pair: ClientPair, request_bytes: bytes) -> None:
    for chunks in ([request_bytes], [request_bytes[index : index + 1] for index in range(len(request_bytes))]):
        outcome = resp2_pair.another().assert_same_raw(*chunks)
        assert not outcome.closed


@cases(INLINE)
def test_inline_requests(resp2_pair: ClientPair, request_bytes: bytes) -> None:
    assert_same_however_fed(resp2_pair, request_bytes)


LONG = 300_000  # far above Redis's limit of 64 KiB for a line, so that it does not matter how a read cuts it


@pytest.mark.parametrize(
    "request_bytes",
    [b"A" * LONG, b"*" + b"1" * LONG, b"*1\r\n$" + b"1" * LONG],
    ids=["inline", "multibulk count", "bulk length"],
)
def test_a_line_that_does_not_end_is_an_error(resp2_pair: ClientPair, request_bytes: bytes) -> None:
    outcome = resp2_pair.assert_same_raw(request_bytes)
    assert outcome.closed
    assert outcome.received.startswith(b"-ERR Protocol error: too big ")


def test_a_long_inline_request_is_served(resp2_pair: ClientPair) -> None:
    resp2_pair.assert_same_raw(b"ECHO " + b"x" * 60_000 + b"\r\n")


def test_a_request_cut_at_every_byte(resp2_pair: ClientPair) -> None:
    request = encode("SET key value") + encode("GET key") + b"GET key\r\n" + encode(("ECHO", b"\r\n$1\r\n"))
    for cut in range(1, len(request)):
        resp2_pair.assert_same_raw(request[:cut], request[cut:])


def test_a_pipeline_of_mixed_requests_is_answered_in_order(pair: ClientPair) -> None:
    pair.assert_same_pipeline(
        "SET key 10",
        "INCR key",
        "GET key",
        "nonesuch",
        "GET",
        "INCRBY key x",
        "STRLEN key",
        ("ECHO", b""),
        "DEL key",
    )


def test_large_pipelines(pair: ClientPair) -> None:
    commands = [("SET", f"key:{index}", "v" * (index % 300)) for index in range(10_000)]
    pair.assert_same_pipeline(*commands)
    pair.assert_same_pipeline(*[("GET", f"key:{index}") for index in range(0, 10_000, 3)])
    pair.assert_same("DBSIZE")


@pytest.mark.parametrize(
    ("count", "size", "command"),
    [(50_000, 100, "GET key"), (1000, 10_000, "ECHO"), (2000, 20_000, "GET key"), (30, 1_000_000, "ECHO")],
    ids=["many small GETs", "ECHO", "larger GETs", "few large ECHOs"],
)
def test_a_pipeline_may_be_sent_as_a_whole_before_its_replies_are_read(
    resp2_pair: ClientPair, count: int, size: int, command: str
) -> None:
    """As most client libraries do: they would wait for ever for a server that stops reading too early."""
    value = b"v" * size
    resp2_pair.assert_same(("SET", "key", value))
    resp2_pair.assert_same_pipeline(*[command if command != "ECHO" else ("ECHO", value)] * count)


@pytest.mark.parametrize("size", [1, 15_999, 16_384, 32_767, 32_768, 65_536, 1_000_000, 10_000_000])
def test_values_of_every_size_come_back(pair: ClientPair, size: int) -> None:
    value = (b"0123456789abcdef\r\n" * (size // 18 + 1))[:size]
    pair.assert_same(("SET", "key", value), "STRLEN key", "GET key", ("ECHO", value), "GETRANGE key -5 -1")


def test_many_arguments(pair: ClientPair) -> None:
    keys = [f"key:{index}" for index in range(5_000)]
    pair.assert_same(["MSET", *(word for key in keys for word in (key, key * 3))], ["MGET", *keys], ["EXISTS", *keys])
    pair.assert_same(["DEL", *keys])


@pytest.mark.parametrize(
    "unknown", ["nonesuch", "nonesuch a", "NONESUCH a b c", ("x" * 200, "y" * 200, "z"), ("", "a"), ("a\r\nb", "c\nd")]
)
def test_unknown_commands(pair: ClientPair, unknown: str) -> None:
    pair.assert_same(unknown, "PING")


def test_unknown_commands_show_the_beginning_of_their_arguments_only(pair: ClientPair) -> None:
    for count in range(0, 60, 7):
        pair.assert_same(["nonesuch", *(f"argument{index}" for index in range(count))])
    for length in (1, 20, 120, 127, 128, 129, 200):
        pair.assert_same(["n" * length], ["n" * length, "a" * length, "b" * length])
