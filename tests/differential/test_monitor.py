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
SECRET: list[Words] = [
    "AUTH secret",
    "AUTH user secret",
    "HELLO 2 AUTH user secret",
    "CONFIG SET hz 10 masterauth secret",
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
    stripped = re.sub(rb"^\+\d+\.\d{6} \[(\d+) unix:[^\]]+\]", rb"+[\1]", line)
    assert stripped != line
    return stripped


def test_requests_are_shown_as_redis_shows_them(resp2_pair: ClientPair) -> None:
    assert len(assert_same_lines(resp2_pair, SHOWN)) > 8


def test_secrets_are_hidden(resp2_pair: ClientPair) -> None:
    lines = assert_same_lines(resp2_pair, SECRET)
    assert not any(b"secret" in line for line in lines)
