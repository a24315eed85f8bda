"""SLOWLOG: what it keeps of slow commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Words, parse, plain


@pytest.fixture
def logged(fresh_pair: Callable[..., ClientPair]) -> ClientPair:
    """Both servers log every command."""
    return fresh_pair(slowlog_log_slower_than=0)


def assert_same_log(pair: ClientPair, count: int = -1) -> list[list[object]]:
    """Compares the logs without what differs by nature: time, duration, address. Returns minikv's."""
    logs = []
    for client in (pair.subject, pair.oracle):
        entries = plain(parse(client.call(f"SLOWLOG GET {count}")))
        logs.append([[number, args, name] for number, _, _, args, _, name in entries])
    assert logs[0] == logs[1]
    return logs[0]


def test_entries_hold_number_request_and_name_the_newest_first(logged: ClientPair) -> None:
    logged.assert_same("SET a 1", "CLIENT SETNAME somebody", "get a", "SLOWLOG LEN")
    names = [entry[2] for entry in assert_same_log(logged)]
    assert names[:3] == [b"somebody"] * 3 and names[-1] == b""


def test_an_entry_tells_time_duration_and_address(logged: ClientPair) -> None:
    logged.subject.value("DEBUG SLEEP 0.01")
    number, time_s, duration_us, args, address, name = plain(parse(logged.subject.call("SLOWLOG GET 1")))[0]
    now_s = int(plain(parse(logged.subject.call("TIME")))[0])
    assert args == [b"DEBUG", b"SLEEP", b"0.01"] and name == b""
    assert number >= 0 and 0 <= now_s - time_s <= 60 and 10_000 <= duration_us < 10_000_000
    assert b":" in address


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "k", "x" * 127),
        ("SET", "k", "x" * 128),
        ("SET", "k", "x" * 129),
        ("SET", "k", "x" * 100_000),
        ["DEL", *range(30)],
        ["DEL", *range(31)],
        ["DEL", *range(32)],
        ["DEL", *range(1000)],
        ("SET", b"\x00\xff\r\n", b""),
        ["MGET", *["y" * 200] * 40],
    ],
    ids=lambda command: f"{command[0]}-{len(command)}-{len(command[-1]) if isinstance(command[-1], str) else ''}",
)
def test_long_requests_are_shortened(logged: ClientPair, command: Words) -> None:
    logged.assert_same(command)
    assert_same_log(logged, 1)


@pytest.mark.parametrize(
    "command",
    [
        "AUTH secret",
        "AUTH user secret",
        "HELLO 3 AUTH user secret",
        "CONFIG SET requirepass secret maxclients 100",
    ],
)
def test_secrets_are_not_kept(logged: ClientPair, command: str) -> None:
    logged.subject.call(command)
    logged.oracle.call(command)
    assert b"secret" not in repr(assert_same_log(logged)).encode()


def test_the_log_keeps_the_newest_of_slowlog_max_len(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(slowlog_log_slower_than=0, slowlog_max_len=3)
    pair.assert_same("PING", "PING a", "PING b", "PING c", "SLOWLOG LEN", "CONFIG SET slowlog-max-len 1", "SLOWLOG LEN")
    assert_same_log(pair)
    pair.assert_same("CONFIG SET slowlog-max-len 0", "SLOWLOG LEN")


def test_reset_empties_the_log_and_numbers_go_on(logged: ClientPair) -> None:
    logged.assert_same("PING", "PING", "SLOWLOG RESET", "SLOWLOG LEN")
    assert_same_log(logged)


def test_nothing_is_logged_when_it_is_off(fresh_pair: Callable[..., ClientPair]) -> None:
    fresh_pair(slowlog_log_slower_than=-1).assert_same("DEBUG SLEEP 0.02", "SLOWLOG LEN", "SLOWLOG GET")


def test_commands_in_a_transaction_are_logged_one_by_one(logged: ClientPair) -> None:
    logged.assert_same("MULTI", "SET a 1", "GET a", "EXEC")
    assert_same_log(logged)


@pytest.mark.parametrize("arguments", ["GET -2", "GET x", "GET 1 2", "GET 0", "LEN x", "nonesuch", ""])
def test_arguments(pair: ClientPair, arguments: str) -> None:
    pair.assert_same(f"SLOWLOG {arguments}")
