"""The harness itself: two servers, compared byte by byte."""

import pytest

from tests.harness import ClientPair, parse
from tests.harness.compare import WINDOW, WINDOW_BYTES, same_shape, unordered, within
from tests.harness.wire import ReplySplitter, Value


def test_the_same_commands_give_the_same_bytes(pair: ClientPair) -> None:
    pair.assert_same("PING", "SET key value", "GET key", ("SET", b"\x00\r\n", 5), ("GET", b"\x00\r\n"), "GET none")


def test_each_test_starts_with_empty_servers(pair: ClientPair) -> None:
    pair.assert_same("DBSIZE", "SET key value")
    assert pair.subject.value("DBSIZE") == 1


def test_a_difference_shows_both_replies_and_the_commands_before(resp2_pair: ClientPair) -> None:
    resp2_pair.assert_same("SET before 1")
    resp2_pair.subject.value("SET key left")
    resp2_pair.oracle.value("SET key right")
    with pytest.raises(AssertionError, match=r"(?s)SET before 1.*GET key.*left.*right"):
        resp2_pair.assert_same("GET key")


def test_raw_bytes_are_compared_with_the_close_of_the_connection(resp2_pair: ClientPair) -> None:
    outcome = resp2_pair.assert_same_raw(b"*1\r\n$4\r\nPI", b"NG\r\n*1\r\n$4\r\nQUIT\r\n")
    assert outcome == (b"+PONG\r\n+OK\r\n", True)


def test_replies_inside_exec_are_compared_by_their_commands(pair: ClientPair) -> None:
    pair.assert_same("MSET a 1 b 2 c 3", "EXPIRE a 100")
    replies = pair.assert_same("MULTI", "KEYS *", "TTL a", "GET a", "RANDOMKEY", "SCAN 0", "EXEC")
    assert replies[-1].startswith(b"*5\r\n")


def test_a_second_connection_sees_the_same_servers(pair: ClientPair) -> None:
    other = pair.another()
    other.assert_same("SET shared 1")
    pair.assert_same("GET shared")


REPLIES = [
    (b"+OK\r\n", Value(b"+", b"OK")),
    (b":-5\r\n", Value(b":", b"-5")),
    (b"$-1\r\n", Value(b"$", None)),
    (b"$4\r\n\r\n\r\n\r\n", Value(b"$", b"\r\n\r\n")),
    (b"*-1\r\n", Value(b"*", None)),
    (b"*2\r\n*0\r\n_\r\n", Value(b"*", [Value(b"*", []), Value(b"_", None)])),
    (b"%1\r\n+a\r\n:1\r\n", Value(b"%", [Value(b"+", b"a"), Value(b":", b"1")])),
    (b"=7\r\ntxt:abc\r\n", Value(b"=", b"txt:abc")),
    (b",1.5\r\n", Value(b",", b"1.5")),
    (b"#t\r\n", Value(b"#", b"t")),
    (b"~1\r\n(123\r\n", Value(b"~", [Value(b"(", b"123")])),
]


@pytest.mark.parametrize(("wire", "value"), REPLIES)
def test_a_reply_is_split_whole_byte_by_byte_and_with_another_behind_it(wire: bytes, value: Value) -> None:
    assert parse(wire) == value
    splitter = ReplySplitter()
    for index in range(len(wire)):
        assert splitter.next_reply() is None
        splitter.feed(wire[index : index + 1])
    assert splitter.next_reply() == wire
    splitter.feed(wire + b"+next\r\n")
    assert [splitter.next_reply(), splitter.next_reply(), splitter.next_reply()] == [wire, b"+next\r\n", None]


def test_comparisons_forgive_only_what_they_say() -> None:
    assert unordered(b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n")
    assert not unordered(b"*2\r\n+a\r\n+b\r\n", b"~2\r\n+b\r\n+a\r\n")
    assert not unordered(b"*2\r\n+a\r\n+a\r\n", b"*2\r\n+b\r\n+a\r\n")
    assert same_shape(b"*2\r\n:1\r\n$1\r\nx\r\n", b"*2\r\n:2\r\n$2\r\nyy\r\n")
    assert not same_shape(b"*1\r\n:1\r\n", b"*1\r\n$1\r\n1\r\n")
    assert within(10)(b":100\r\n", b":95\r\n")
    assert not within(10)(b":100\r\n", b":80\r\n")
    assert not within(10)(b":-1\r\n", b":-2\r\n")


def test_a_likely_reply_is_taken_as_a_whole_or_not_at_all() -> None:
    splitter = ReplySplitter()
    splitter.feed(b"+OK\r\n:1")
    assert not splitter.take(b"+OK!\r\n") and not splitter.take(b":1\r\n")
    assert splitter.take(b"+OK\r\n")
    assert not splitter.take(b":1\r\n")
    assert splitter.next_reply() is None
    splitter.feed(b"2\r\n$3\r\nab")
    assert splitter.next_reply() == b":12\r\n"
    assert splitter.next_reply() is None
    splitter.feed(b"c\r\n")
    assert splitter.take(b"$3\r\nabc\r\n") and splitter.is_empty


def test_over_resp2_commands_leave_together(pair: ClientPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit into a window; over RESP3 each waits for the reply to the one before."""
    sent: list[bytes] = []
    send = pair.subject.send_raw

    def counted(data: bytes) -> None:
        sent.append(data)
        send(data)

    monkeypatch.setattr(pair.subject, "send_raw", counted)
    commands = [f"SET key {number}" for number in range(2 * WINDOW + 1)]
    large = ("SET", "key", "v" * WINDOW_BYTES)
    replies = pair.assert_same(*commands, large, "GET key")
    assert len(replies) == len(commands) + 2 and len(replies[-1]) > WINDOW_BYTES
    assert len(sent) == (5 if pair.resp == 2 else len(replies))
