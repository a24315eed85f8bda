"""DUMP and RESTORE: options and errors as in a real redis-server, and payloads that go both ways."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Server, Words, parse, plain, within
from tests.harness.payloads import BROKEN, HELLO, SOUND, sealed
from tests.harness.wire import WireClient

LATER_MS = 33177117420000


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["REPLACE"],
        ["replace", "ABSTTL"],
        ["IDLETIME", "10"],
        ["FREQ", "10"],
        ["IDLETIME", "10", "REPLACE"],
        ["IDLETIME"],
        ["FREQ"],
        ["IDLETIME", "-1"],
        ["IDLETIME", "x"],
        ["IDLETIME", "9223372036854775807"],
        ["FREQ", "-1"],
        ["FREQ", "256"],
        ["FREQ", "255"],
        ["FREQ", "x"],
        ["IDLETIME", "1", "FREQ", "1"],
        ["FREQ", "1", "IDLETIME", "1"],
        ["FREQ", "1", "FREQ", "2"],
        ["nonesuch"],
        ["REPLACE", "nonesuch"],
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_options(pair: ClientPair, words: list[str], there: bool) -> None:
    if there:
        pair.assert_same("HSET k a 1", "EXPIRE k 1000")
    for data in (HELLO, BROKEN, b"", HELLO[:-1]):
        for ttl in ("0", "x", "-1"):
            pair.assert_same(["RESTORE", "k", ttl, data, *words], "TYPE k")
    pair.assert_same("TTL k", ["RESTORE", "k", "0", HELLO, "REPLACE"], "GET k", "TTL k")


@pytest.mark.parametrize("options", [[], ["ABSTTL"], ["REPLACE"], ["ABSTTL", "REPLACE"]])
@pytest.mark.parametrize("ttl", ["0", "1", "5", "100000", str(LATER_MS), "9223372036854775807", "9223372036854775808"])
def test_times(pair: ClientPair, ttl: str, options: list[str]) -> None:
    pair.assert_same("SET other 1", "SET k 2")
    pair.assert_same(["RESTORE", "new", ttl, HELLO, *options], ["RESTORE", "k", ttl, HELLO, *options])
    if "ABSTTL" in options or int(ttl) not in (1, 5):  # a few milliseconds may have passed in one of the servers
        pair.assert_same("EXISTS new", "EXISTS k", "TTL new", "TTL k", "DBSIZE")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 9,
        b"x" * 10,
        HELLO[:-1],
        HELLO + b"x",
        HELLO[:3] + b"X" + HELLO[4:],
        HELLO[:-8] + bytes(8),
        sealed(b"\x00\x05hello", 9),
        sealed(b"\x00\x05hello", 6),
        sealed(b"\x00\x05hello", 16),
        sealed(b"\x00\x05hello", 82),
        sealed(b"\x00\x05hello", 65535),
        sealed(b""),
        sealed(b"\x00"),
        sealed(b"\x00\x20hello"),
        sealed(b"\x00\xc4"),
        sealed(b"\x06\x01"),
        sealed(b"\x07" + b"\x81" + bytes(8)),
        sealed(b"\x1a\x01a"),
        sealed(b"\xf5\x01a"),
        sealed(b"\xff"),
        sealed(b"\xfc" + bytes(8) + b"\x00\x01a"),
        sealed(b"\x02\x00"),
        sealed(b"\x04\x00"),
        sealed(b"\x05\x00"),
        sealed(b"\x02\x02\x01a\x01a"),
        sealed(b"\x05\x01\x01a" + struct.pack("<d", float("nan"))),
    ],
)
def test_payloads_that_are_refused(pair: ClientPair, data: bytes) -> None:
    pair.assert_same("SET k before", "SET other before", "EXPIREAT k 33177117420")
    pair.assert_same(["RESTORE", "new", "0", data], "EXISTS new", "DBSIZE")
    pair.assert_same(["RESTORE", "k", "0", data, "REPLACE"], "GET k", "TTL k")


def test_errors_come_in_redis_order(pair: ClientPair) -> None:
    pair.assert_same(
        "RESTORE",
        "RESTORE k",
        "RESTORE k 0",
        "DUMP",
        "DUMP a b",
        "DUMP nonesuch",
        "SET k v",
        "RESTORE k x broken nonesuch",
        "RESTORE k x broken IDLETIME x",
        "RESTORE k x broken",
        "RESTORE k x broken REPLACE",
        "RESTORE k -1 broken REPLACE",
        "RESTORE k 0 broken REPLACE",
    )


def test_a_restored_key_breaks_watches_and_counts_as_one_change(pair: ClientPair) -> None:
    other = pair.another()
    for command in (
        ["RESTORE", "k", "0", HELLO],
        ["RESTORE", "k", "0", BROKEN, "REPLACE"],
        ["RESTORE", "x", "0", HELLO],
    ):
        pair.assert_same("WATCH k")
        other.assert_same(command)
        pair.assert_same("MULTI", "GET k", "EXEC")
    pair.assert_same("WATCH k")
    other.assert_same(["RESTORE", "k", "5", HELLO, "REPLACE", "ABSTTL"])
    pair.assert_same("MULTI", "EXISTS k", "EXEC")


def test_idle_times(pair: ClientPair) -> None:
    for idle_s in ("0", "5", "1000", "10000000", "100000000", "9223372036854775807"):
        pair.assert_same(["RESTORE", "k", "0", HELLO, "REPLACE", "IDLETIME", idle_s])
        pair.assert_same("OBJECT IDLETIME k", compare=within(2))
    pair.assert_same(["RESTORE", "k", "0", HELLO, "REPLACE"], ["RESTORE", "k", "0", HELLO, "REPLACE", "FREQ", "7"])
    pair.assert_same("OBJECT IDLETIME k", compare=within(2))


def test_values_made_by_hand(pair: ClientPair) -> None:
    for data in SOUND:
        pair.assert_same(["RESTORE", "k", "0", data, "REPLACE"], "TYPE k", "DEBUG DIGEST-VALUE k", "OBJECT ENCODING k")


def populate(client: WireClient, rng: random.Random) -> list[str]:
    """Values of every type and encoding; returns their keys."""
    commands: list[Words] = [["SET", "text:0", ""], ["SET", "text:5", "hello"], ["SET", "packs", "abc" * 1000]]
    commands += [["SET", f"number:{number}", str(number)] for number in (0, 127, -128, 32767, 65536, -(2**31), 2**62)]
    commands += [["SET", "large", rng.randbytes(100_000)], ["SET", "large packs", b"ab" * 200_000]]
    commands += [["SET", "raw", "12"], ["APPEND", "raw", "3"], ["SET", "timed", "1", "PXAT", str(LATER_MS)]]
    for size in (1, 20, 200, 600, 5000):
        for number in range(size):
            commands.append(["HSET", f"hash:{size}", f"field:{number}", rng.choice(["", "17", "value " * 20])])
            commands.append(["SADD", f"set:{size}", f"member:{number}"])
            commands.append([rng.choice(["LPUSH", "RPUSH"]), f"list:{size}", rng.choice(["", "17", "value " * 20])])
            commands.append(["SADD", f"intset:{size}", str(rng.choice([number, 70_000 + number, 2**40 + number]))])
            commands.append(
                ["ZADD", f"zset:{size}", rng.choice(["1", "-0.5", "inf", "3e99", repr(rng.random())]), f"m{number}"]
            )
    commands += [["HSET", "jumbo", "x" * 40_000, "y" * 40_000], ["SADD", "jumbo set", "x" * 40_000, "1"]]
    commands += [["RPUSH", "jumbo list", "x" * 40_000, "1", "y" * 70_000]]
    for command in commands:
        client.send(command)
    for _ in commands:
        assert not client.read().startswith(b"-")
    keys: list[bytes] = plain(parse(client.call("KEYS *")))
    return sorted(key.decode() for key in keys)


def digests(client: WireClient, keys: list[str]) -> list[bytes]:
    found: list[bytes] = plain(parse(client.call(["DEBUG", "DIGEST-VALUE", *keys])))
    return found


@pytest.mark.parametrize("to_redis", [True, False], ids=["minikv to redis", "redis to minikv"])
@pytest.mark.parametrize("compression", ["yes", "no"])
@pytest.mark.parametrize("packed", [True, False])
def test_payloads_go_both_ways(
    start_minikv: Callable[..., Server],
    start_redis: Callable[..., Server],
    rng: random.Random,
    to_redis: bool,
    compression: str,
    packed: bool,
) -> None:
    settings: dict[str, object] = {"rdbcompression": compression, "sanitize_dump_payload": "yes"}
    if not packed:
        settings |= {
            "list-max-listpack-size": 3,
            "hash-max-listpack-entries": 0,
            "zset-max-listpack-entries": 0,
            "set-max-intset-entries": 0,
        }
    first, second = (start_minikv, start_redis) if to_redis else (start_redis, start_minikv)
    with first(**settings).connect() as writer, second(**settings).connect() as reader:
        keys = populate(writer, rng)
        for key in keys:
            data = writer.value(["DUMP", key])
            assert reader.call(["RESTORE", key, "0", data]) == b"+OK\r\n", key
        if "timed" in keys:
            writer.call("PERSIST timed")
        assert digests(reader, keys) == digests(writer, keys)


def test_a_payload_of_a_value_that_changes_under_a_snapshot(
    start_minikv: Callable[..., Server], rng: random.Random
) -> None:
    """Entries that a snapshot's child still needs are not those that a payload holds."""
    server = start_minikv(**{"rdb-key-save-delay": "100000"})
    with server.connect() as client:
        keys = populate(client, rng)
        assert client.call("BGSAVE").startswith(b"+")
        for number in range(0, 5000, 7):
            client.call(["HSET", "hash:5000", f"field:{number}", "new"])
            client.call(["SREM", "set:5000", f"member:{number}"])
            client.call(["ZADD", "zset:5000", "77", f"m{number}"])
            client.call(["LSET", "list:5000", str(number), "new"])
        assert b"rdb_bgsave_in_progress:1" in client.value("INFO persistence")
        for key in keys:
            data = client.value(["DUMP", key])
            assert client.call(["RESTORE", "copy", "0", data, "REPLACE"]) == b"+OK\r\n", key
            client.call(["PERSIST", key])
            copy, original = digests(client, ["copy", key])
            assert copy == original, key
