"""MONITOR: what it shows of other clients' requests, and what it hides."""

from __future__ import annotations

import re

from tests.harness import ClientPair, Words

SHOWN: list[Words] = [
    "PING",
    ("SET", "key", b'a"b\\c\r\n\t\x00\xff'),
    "get key",
    "SELECT 3",
    "GET key",
    "GETEX",
    "NONESUCH a",
    "CONFIG GET save",
    "SLOWLOG LEN",
    "DEBUG SLEEP 0",
    "MULTI",
    "SET key 1",
    "EXEC",
    "HELLO 2 SETNAME me",
]
SCRIPT = "redis.call('SET', KEYS[1], 'a b') return redis.pcall('get', KEYS[1], 'x')"
LIBRARY = "#!lua name=l\nredis.register_function('f', function(keys) return redis.call('del', keys[1]) end)"
SCRIPTS: list[Words] = [
    ("EVAL", SCRIPT, "1", "key"),
    ("FUNCTION", "LOAD", "REPLACE", LIBRARY),
    "FCALL f 1 key",
    "MULTI",
    ("EVAL", SCRIPT, "1", "key"),
    "SELECT 2",
    "FCALL f 1 key",
    "EVALSHA 0000000000000000000000000000000000000000 0",
    ("EVAL_RO", "return redis.call('get', KEYS[1])", "1", "key"),
    "EXEC",
    ("EVAL", "redis.call('select', 3) return redis.call('ping')", "0"),
    "FUNCTION FLUSH",
]
SECRET: list[Words] = [
    "AUTH secret",
    "AUTH user secret",
    "HELLO 2 AUTH user secret",
    "CONFIG SET hz 10 masterauth secret",
    ("CONFIG", "SET", "masterauth", ""),
]


def assert_same_lines(pair: ClientPair, commands: list[Words]) -> list[bytes]:
    """Sends the commands, then a mark; the lines up to it are the same but for time and address."""
    lines: list[list[bytes]] = []
    for watcher, actor in zip(
        (pair.subject, pair.oracle), (pair.another().subject, pair.another().oracle), strict=True
    ):
        assert watcher.call("MONITOR") == b"+OK\r\n"
        for command in commands:
            actor.call(command)
        actor.call("PING the-end")
        lines.append([])
        while not lines[-1] or b"the-end" not in lines[-1][-1]:
            lines[-1].append(without_time_and_address(watcher.read()))
    assert lines[0] == lines[1]
    return lines[0]


def without_time_and_address(line: bytes) -> bytes:
    stripped = re.sub(rb"^\+\d+\.\d{6} \[(\d+) (?:(lua)|unix:[^\]]+)\]", rb"+[\1 \2]", line)
    assert stripped != line
    return stripped


def test_requests_are_shown_as_redis_shows_them(resp2_pair: ClientPair) -> None:
    assert len(assert_same_lines(resp2_pair, SHOWN)) > 8


def test_scripts_come_before_what_they_call_in_transactions_too(resp2_pair: ClientPair) -> None:
    lines = assert_same_lines(resp2_pair, SCRIPTS)
    assert sum(b" lua]" in line for line in lines) > 5


def test_secrets_are_hidden(resp2_pair: ClientPair) -> None:
    lines = assert_same_lines(resp2_pair, SECRET)
    assert not any(b"secret" in line for line in lines)
