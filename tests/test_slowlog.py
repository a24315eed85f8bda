"""The slow log on its own: order, limits, what it leaves out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minikv.config import Config
from minikv.slowlog import REDACTED, SlowLog, redacted, shortened

CALLER = SimpleNamespace(addr=b"127.0.0.1:5", name=b"me")


def make_log(max_len: int = 128, now_s: float = 1000.5) -> SlowLog:
    config = Config()
    config.slowlog_max_len = max_len
    return SlowLog(config, clock=lambda: now_s)


def test_an_entry_tells_what_happened() -> None:
    log = make_log()
    log.add(CALLER, [b"GET", b"key"], 1234)
    entry = log.newest(-1)[0]
    assert (entry.id, entry.time_s, entry.duration_us) == (0, 1000, 1234)
    assert (entry.args, entry.addr, entry.name) == ([b"GET", b"key"], b"127.0.0.1:5", b"me")


def test_the_newest_come_first_and_the_oldest_go() -> None:
    log = make_log(max_len=3)
    for number in range(5):
        log.add(CALLER, [b"%d" % number], 1)
    assert [entry.id for entry in log.newest(-1)] == [4, 3, 2]
    assert [entry.id for entry in log.newest(2)] == [4, 3]
    assert log.newest(0) == [] and len(log) == 3


def test_numbers_go_on_after_clear() -> None:
    log = make_log()
    log.add(CALLER, [b"PING"], 1)
    log.clear()
    assert len(log) == 0
    log.add(CALLER, [b"PING"], 1)
    assert log.newest(1)[0].id == 1


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        ([b"a"] * 32, [b"a"] * 32),
        ([b"a"] * 33, [b"a"] * 31 + [b"... (2 more arguments)"]),
        ([b"a"] * 1031, [b"a"] * 31 + [b"... (1000 more arguments)"]),
        ([b"x" * 128], [b"x" * 128]),
        ([b"x" * 129], [b"x" * 128 + b"... (1 more bytes)"]),
    ],
    ids=["32", "33", "1031", "128 bytes", "129 bytes"],
)
def test_long_requests_are_shortened(args: list[bytes], kept: list[bytes]) -> None:
    assert shortened(args) == kept


MIGRATE_AUTH = [b"MIGRATE", b"h", b"1", b"auth", b"0", b"9"]  # a key of this name


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        ([b"auth", b"p"], [b"auth", REDACTED]),
        ([b"AUTH", b"u", b"p"], [b"AUTH", REDACTED, REDACTED]),
        (
            [b"HELLO", b"3", b"auth", b"u", b"p", b"SETNAME", b"n"],
            [b"HELLO", b"3", b"auth", *[REDACTED] * 2, b"SETNAME", b"n"],
        ),
        (
            [b"HELLO", b"3", b"SETNAME", b"auth", b"AUTH", b"u", b"p", b"AUTH", b"u", b"q"],
            [b"HELLO", b"3", b"SETNAME", b"auth", b"AUTH", *[REDACTED] * 2, b"AUTH", *[REDACTED] * 2],
        ),
        (
            [*MIGRATE_AUTH, b"AUTH", b"auth2", b"AUTH2", b"u", b"p", b"KEYS", b"auth", b"k"],
            [*MIGRATE_AUTH, b"AUTH", REDACTED, b"AUTH2", REDACTED, REDACTED, b"KEYS", b"auth", b"k"],
        ),
        (
            [b"config", b"set", b"tls-client-key-file-pass", b"p"],
            [b"config", b"set", b"tls-client-key-file-pass", REDACTED],
        ),
        ([b"HELLO", b"3", b"AUTH", b"u"], [b"HELLO", b"3", b"AUTH", REDACTED]),
        (
            [b"config", b"set", b"hz", b"5", b"RequirePass", b"p"],
            [b"config", b"set", b"hz", b"5", b"RequirePass", REDACTED],
        ),
        ([b"acl", b"SetUser", b"u", b">p"], [b"acl", b"SetUser", REDACTED, REDACTED]),
        ([b"ACL", b"DRYRUN", b"u", b"GET"], [b"ACL", b"DRYRUN", b"u", b"GET"]),
        ([b"CONFIG", b"SET", b"requirepass"], [b"CONFIG", b"SET", b"requirepass"]),
        ([b"CONFIG", b"GET", b"requirepass"], [b"CONFIG", b"GET", b"requirepass"]),
        ([b"SET", b"auth", b"p"], [b"SET", b"auth", b"p"]),
    ],
)
def test_secrets_are_hidden(request_: list[bytes], shown: list[bytes]) -> None:
    assert list(redacted(request_)) == shown


def test_secrets_of_a_renamed_command_are_hidden() -> None:
    assert list(redacted([b"cfg", b"set", b"requirepass", b"p"], b"config|set"))[3] == REDACTED
    assert list(redacted([b"auth", b"a", b"b"], b"get")) == [b"auth", b"a", b"b"]
