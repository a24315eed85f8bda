"""Commands with many elements in one request: on a new key, which is built at once, and on one that is there."""

from __future__ import annotations

import random

import pytest

from tests.harness import ClientPair, Words, unordered

COUNTS = [4, 5, 9, 130, 600, 3000]

Word = bytes | str


def texts(rng: random.Random, count: int) -> list[bytes]:
    """Short and long, of equal lengths and not, one of them empty, some of them twice."""
    found = [b"", b"x", *(b"element:%04d" % each for each in range(count)), *(rng.randbytes(each) for each in range(9))]
    rng.shuffle(found)
    found = found[:count]
    return found + rng.choices(found, k=count // 10)


def requests(kind: str, rng: random.Random, count: int) -> list[Words]:
    """Two requests for each way to add elements of a type."""
    found: list[Words] = []
    for _ in range(2):
        elements = texts(rng, count)
        if kind in ("RPUSH", "LPUSH", "SADD"):
            found.append([kind, "k", *elements])
            continue
        second = [str(rng.randrange(9)).encode() for _ in elements] if kind == "ZADD" else texts(rng, 2 * count)
        pairs = list(zip(elements, second, strict=False))
        words: list[Word] = [part for pair in pairs for part in (pair[::-1] if kind == "ZADD" else pair)]
        found.append([kind, "k", *words])
    return found


READS: dict[str, list[Words]] = {
    "RPUSH": ["LRANGE k 0 -1", "LLEN k"],
    "LPUSH": ["LRANGE k 0 -1", "LLEN k"],
    "SADD": ["SMEMBERS k", "SCARD k"],
    "HSET": ["HLEN k"],
    "ZADD": ["ZRANGE k 0 -1 WITHSCORES", "ZCARD k"],
}


def changes(pair: ClientPair) -> list[str]:
    return [server.info("persistence")["rdb_changes_since_last_save"] for server in pair.servers]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", READS)
def test_many_elements_in_one_request(pair: ClientPair, rng: random.Random, kind: str, count: int) -> None:
    first, second = requests(kind, rng, count)
    before = changes(pair)
    pair.assert_same(first)
    after = changes(pair)
    assert int(after[0]) - int(before[0]) == int(after[1]) - int(before[1])
    for _ in range(2):
        for read in READS[kind]:
            pair.assert_same(read, compare=unordered if read == "SMEMBERS k" else None)
        if kind == "HSET":
            pair.assert_same(["HMGET", "k", *first[2::2], *second[2::2]])
        if kind == "SADD":
            pair.assert_same(["SMISMEMBER", "k", *second[2:], *first[2:], b"none"])
        pair.assert_same(second)
    pair.assert_same("DEBUG DIGEST-VALUE k", "TTL k")
    assert pair.subject.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"
    if kind in ("SADD", "HSET"):
        remove = {"SADD": "SREM", "HSET": "HDEL"}[kind]
        step = {"SADD": 1, "HSET": 2}[kind]
        pair.assert_same([remove, "k", *first[2::step], b"none"], "DEBUG DIGEST-VALUE k")
        pair.assert_same([remove, "k", *second[2::step]], "EXISTS k")


@pytest.mark.parametrize("kind", READS)
def test_a_new_key_begins_anew(pair: ClientPair, rng: random.Random, kind: str) -> None:
    first, _ = requests(kind, rng, 50)
    pair.assert_same(
        "SET k v", first, "GET k", "EXPIRE k 1000", "DEL k", first, "TTL k", "MULTI", "DEL k", first, "EXEC"
    )
    pair.assert_same("WATCH k", "DEL k", "MULTI", "PING", "EXEC", "WATCH k", first, "MULTI", "PING", "EXEC")


def test_who_waits_for_a_list_gets_the_first_of_many_elements(pair: ClientPair) -> None:
    waiting = pair.another()
    for server, client in zip(pair.servers, (waiting.subject, waiting.oracle), strict=True):
        client.send("BLPOP k 0")
        server.barrier()
    pair.assert_same("RPUSH k a b c d e f g")
    assert waiting.subject.read() == waiting.oracle.read()
    pair.assert_same("LRANGE k 0 -1")


@pytest.mark.parametrize("size", [600, 5000, 40_000])
def test_ranges_of_a_list_go(pair: ClientPair, rng: random.Random, size: int) -> None:
    elements = [b"%d:" % each + b"v" * rng.randrange(30) for each in range(size)]
    pair.assert_same(["RPUSH", "l", *elements])
    for start, stop in ((1, -2), (size // 10, -1), (0, -size // 10), (size // 7, -size // 9), (size // 5, size // 3)):
        pair.assert_same(f"LTRIM l {start} {stop}", "LLEN l", "LINDEX l 0", "LINDEX l -1", "DEBUG DIGEST-VALUE l")
        assert pair.subject.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"
    pair.assert_same("LPOP l 100", "RPOP l 100", "LRANGE l 0 -1")
