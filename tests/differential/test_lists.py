"""Commands on lists: every option, error and edge, compared with a real redis-server."""

from __future__ import annotations

import random

import pytest

from tests.harness import ClientPair, Words

READS: list[Words] = ["LLEN l", "LRANGE l 0 -1", "TYPE l", "EXISTS l"]


def fill(pair: ClientPair, key: str, elements: list[bytes]) -> None:
    for start in range(0, len(elements), 500):
        pair.assert_same(["RPUSH", key, *elements[start : start + 500]])


def test_elements_come_and_go_at_both_ends(pair: ClientPair) -> None:
    pair.assert_same(
        "LPUSHX l x",
        "RPUSHX l x",
        "EXISTS l",
        "LPUSH l a",
        "LPUSH l b c",
        "RPUSH l d e a",
        *READS,
        "LPUSHX l f g",
        "RPUSHX l h i",
        *READS,
        "LPOP l",
        "RPOP l",
        "LPOP l 2",
        "RPOP l 3",
        *READS,
        "LPOP l 0",
        "RPOP l 100",
        *READS,
        "LPOP l",
        "RPOP l 1",
        "LPOP l 0",
    )


def test_any_bytes_are_elements(pair: ClientPair, rng: random.Random) -> None:
    for size in (0, 1, 63, 64, 65, 200, 4089, 4090, 4096, 16383, 16384, 40_000):
        element = rng.randbytes(size)
        pair.assert_same(["LPUSH", "l", element], ["LINDEX", "l", "0"], ["LPOS", "l", element], *READS)
    for size in (1, 300_000, 3_000_000, 1, 100):
        pair.assert_same(["LSET", "l", "5", b"\xff" * size], "LINDEX l 5", "LINDEX l 6", "LINDEX l 4")
    pair.assert_same(*READS, "LPOP l 100")


EVERY_COMMAND: list[Words] = [
    "LPUSH k x",
    "RPUSH k x y",
    "LPUSHX k x",
    "RPUSHX k x",
    "LPOP k",
    "RPOP k",
    "LPOP k 0",
    "RPOP k 2",
    "LPOP k -1",
    "LPOP k x",
    "LPOP k 9223372036854775807",
    "LPOP k 9223372036854775808",
    "RPOP k 1 1",
    "LPOP k 1 1",
    "LLEN k",
    "LRANGE k 0 -1",
    "LRANGE k 1 2",
    "LRANGE k -2 100",
    "LRANGE k 3 1",
    "LRANGE k -100 0",
    "LRANGE k 100 200",
    "LRANGE k x 1",
    "LRANGE k 1 x",
    "LRANGE k 0 9223372036854775808",
    "LINDEX k 0",
    "LINDEX k 3",
    "LINDEX k 4",
    "LINDEX k -1",
    "LINDEX k -4",
    "LINDEX k -5",
    "LINDEX k x",
    "LINDEX k 9223372036854775807",
    "LINDEX k -9223372036854775808",
    "LSET k 0 x",
    "LSET k -1 x",
    "LSET k 3 x",
    "LSET k 4 x",
    "LSET k -5 x",
    "LSET k x x",
    "LINSERT k BEFORE 2 x",
    "LINSERT k after 2 x",
    "LINSERT k BEFORE 1 x",
    "LINSERT k AFTER a x",
    "LINSERT k AFTER nonesuch x",
    "LINSERT k BESIDE 2 x",
    "LREM k 0 2",
    "LREM k 1 2",
    "LREM k -1 2",
    "LREM k -9223372036854775808 2",
    "LREM k 0 nonesuch",
    "LREM k x 2",
    "LTRIM k 0 -1",
    "LTRIM k 1 2",
    "LTRIM k -1 -1",
    "LTRIM k 5 6",
    "LTRIM k 2 1",
    "LTRIM k -100 100",
    "LTRIM k x 1",
    "LTRIM k 1 x",
    "LPOS k 2",
    "LPOS k 2 RANK 2",
    "LPOS k 2 RANK -1",
    "LPOS k 2 RANK -2",
    "LPOS k 2 RANK 3",
    "LPOS k 2 RANK 0",
    "LPOS k 2 RANK x",
    "LPOS k 2 RANK 9223372036854775807",
    "LPOS k 2 RANK -9223372036854775808",
    "LPOS k 2 COUNT 0",
    "LPOS k 2 COUNT 1",
    "LPOS k 2 count 5 rank -1",
    "LPOS k 2 COUNT 0 RANK 2",
    "LPOS k 2 COUNT -1",
    "LPOS k 2 COUNT x",
    "LPOS k 2 COUNT 9223372036854775807",
    "LPOS k 2 MAXLEN 0",
    "LPOS k 2 MAXLEN 1",
    "LPOS k 2 MAXLEN 2",
    "LPOS k 2 MAXLEN 2 RANK -1",
    "LPOS k 2 MAXLEN 2 RANK -1 COUNT 0",
    "LPOS k 2 MAXLEN -1",
    "LPOS k 2 MAXLEN x",
    "LPOS k nonesuch",
    "LPOS k nonesuch COUNT 0",
    "LPOS k 2 COUNT",
    "LPOS k 2 nonesuch",
    "LPOS k 2 nonesuch 1",
    "LMOVE k other LEFT RIGHT",
    "LMOVE k other right left",
    "LMOVE k some LEFT LEFT",
    "LMOVE some k RIGHT RIGHT",
    "LMOVE k k LEFT RIGHT",
    "LMOVE k k RIGHT LEFT",
    "LMOVE k k LEFT LEFT",
    "LMOVE k k RIGHT RIGHT",
    "LMOVE k other UP LEFT",
    "LMOVE k other LEFT DOWN",
    "LMOVE other k LEFT LEFT",
    "RPOPLPUSH k other",
    "RPOPLPUSH k some",
    "RPOPLPUSH some k",
    "RPOPLPUSH k k",
    "RPOPLPUSH other k",
    "LMPOP 1 k LEFT",
    "LMPOP 1 k right",
    "LMPOP 2 other k LEFT COUNT 2",
    "LMPOP 2 some k RIGHT COUNT 100",
    "LMPOP 2 k some LEFT",
    "LMPOP 0 k LEFT",
    "LMPOP -1 k LEFT",
    "LMPOP x k LEFT",
    "LMPOP 1 k UP",
    "LMPOP 2 k LEFT",
    "LMPOP 3 k LEFT COUNT 1",
    "LMPOP 1 k LEFT COUNT 0",
    "LMPOP 1 k LEFT COUNT -1",
    "LMPOP 1 k LEFT COUNT x",
    "LMPOP 1 k LEFT COUNT",
    "LMPOP 1 k LEFT COUNT 1 COUNT 1",
    "LMPOP 1 k LEFT nonesuch 1",
]
AFTERWARDS: list[Words] = ["LRANGE some 0 -1", "EXISTS other", "DBSIZE"]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_missing_key(pair: ClientPair, command: str) -> None:
    pair.assert_same("RPUSH some 1 2", command, "LRANGE k 0 -1", *AFTERWARDS)


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_key_of_another_type(pair: ClientPair, command: str) -> None:
    pair.assert_same("RPUSH some 1 2", "SET k x", command, "GET k", *AFTERWARDS, "DEL k")
    pair.assert_same("SADD k a", command, "SMEMBERS k", *AFTERWARDS)


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_list(pair: ClientPair, command: str) -> None:
    pair.assert_same("RPUSH some 1 2", "RPUSH k 1 2 2 a", command, "LRANGE k 0 -1", "LRANGE other 0 -1", *AFTERWARDS)


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_list_of_many_elements(pair: ClientPair, command: str) -> None:
    fill(pair, "k", [b"1", b"2"] + [b"%d" % number for number in range(1000, 4000)] + [b"2", b"a"])
    pair.assert_same("RPUSH some 1 2", command, "LRANGE k 0 -1", "LRANGE other 0 -1", *AFTERWARDS)


@pytest.mark.parametrize(
    "command", ["GET l", "APPEND l x", "INCR l", "HSET l a b", "SADD l a", "ZADD l 1 a", "STRLEN l"]
)
def test_a_list_is_nothing_else(pair: ClientPair, command: str) -> None:
    pair.assert_same("RPUSH l a", command, "LRANGE l 0 -1", "MGET l", "SETNX l x", "LRANGE l 0 -1")


@pytest.mark.parametrize("elements", [3, 500, 20_000])
def test_positions_of_a_long_list(pair: ClientPair, rng: random.Random, elements: int) -> None:
    fill(pair, "l", [b"%d" % rng.randrange(5) * rng.choice([0, 1, 5, 40]) for _ in range(elements)])
    for _ in range(60):
        here = rng.randrange(-elements - 2, elements + 2)
        there = here + rng.randrange(-5, 50)
        element = b"%d" % rng.randrange(5) * rng.choice([0, 1, 5, 40])
        rank, count, maxlen = (
            rng.choice([-20, -3, -1, 1, 2, 30]),
            rng.randrange(9),
            rng.choice([0, 1, 10, 700, elements]),
        )
        pair.assert_same(
            ["LINDEX", "l", here],
            ["LRANGE", "l", here, there],
            ["LPOS", "l", element, "RANK", rank],
            ["LPOS", "l", element, "RANK", rank, "COUNT", count, "MAXLEN", maxlen],
        )


@pytest.mark.parametrize("elements", [3, 400, 5000])
def test_changes_in_the_middle(pair: ClientPair, rng: random.Random, elements: int) -> None:
    fill(pair, "l", [b"%d:" % number * rng.choice([1, 2, 30]) for number in range(elements)])
    for number in range(300):
        here = rng.randrange(elements)
        pivot = pair.subject.value(["LINDEX", "l", here])
        value = b"%d" % rng.randrange(20) * rng.choice([0, 1, 9, 9, 100, 2000])
        change: list[Words] = [
            ["LSET", "l", here, value],
            ["LINSERT", "l", rng.choice(["BEFORE", "AFTER"]), pivot or b"", value],
            ["LREM", "l", rng.choice([0, 1, -1, 2]), value],
            ["LREM", "l", rng.choice([0, 1, -1, 2]), pivot or b""],
        ]
        pair.assert_same(rng.choice(change), "LLEN l", ["LRANGE", "l", here - 3, here + 3])
        if number % 50 == 0:
            pair.assert_same(*READS)
    pair.assert_same(*READS, ["LTRIM", "l", elements // 3, -elements // 3], *READS, "LTRIM l 1 1", *READS)


def test_a_queue(pair: ClientPair) -> None:
    for number in range(700):
        pair.assert_same(["LPUSH", "l", b"job:%d" % number * 3], ["LPUSH", "l", number])
        if number % 3:
            pair.assert_same("RPOP l", "LINDEX l -1")
    for _ in range(1000):
        pair.assert_same("RPOPLPUSH l done", "LINDEX l -1", "LINDEX done 0")
    pair.assert_same(*READS, "LRANGE done 0 -1")


@pytest.mark.parametrize("elements", [1, 5, 700, 5000])
def test_object_encoding(pair: ClientPair, elements: int) -> None:
    fill(pair, "l", [b"%d" % number for number in range(elements)])
    pair.assert_same("OBJECT ENCODING l", "LTRIM l 0 0", "OBJECT ENCODING l", "LPOP l", "OBJECT ENCODING l")


@pytest.mark.parametrize("elements", [1, 5, 700, 5000])
def test_lists_move_and_are_copied(pair: ClientPair, elements: int) -> None:
    fill(pair, "l", [b"element:%d" % number for number in range(elements)])
    pair.assert_same(
        "COPY l m",
        "LPUSH m x",
        "LRANGE m 0 -1",
        "LLEN l",
        "RENAME l n",
        "EXPIRE n 1000",
        "MOVE n 3",
        "EXISTS n",
        "COPY m n",
        "RPOP n",
        "DEL m",
        "LRANGE n 0 -1",
        "SELECT 3",
        "TTL n",
        "LSET n 0 changed",
        "RPUSH n x",
        "LRANGE n 0 -1",
        "SWAPDB 0 3",
        "LLEN n",
        "FLUSHDB",
        "SELECT 0",
        "LRANGE n 0 -1",
        "UNLINK n",
        "DBSIZE",
        "SELECT 3",
        "DBSIZE",
        "SELECT 0",
    )


def test_changes_are_counted(pair: ClientPair) -> None:
    commands: list[Words] = [
        "RPUSH l 1 2 3 4 5 6 7 8 2",
        "LPUSHX nonesuch 1",
        "LPOP l 2",
        "RPOP l 0",
        "LSET l 0 x",
        "LINSERT l AFTER x y",
        "LINSERT l AFTER nonesuch y",
        "LREM l 0 nonesuch",
        "LREM l 0 2",
        "LTRIM l 0 -1",
        "LTRIM l 1 -2",
        "LMOVE l l LEFT RIGHT",
        "LMOVE l m LEFT RIGHT",
        "LMPOP 1 l LEFT COUNT 10",
        "LTRIM m 5 6",
    ]
    for command in commands:
        changes = []
        for client in (pair.subject, pair.oracle):
            before = changes_of(client.value("INFO persistence"))
            client.call(command)
            changes.append(changes_of(client.value("INFO persistence")) - before)
        assert changes[0] == changes[1], command


def changes_of(info: bytes) -> int:
    return int(dict(line.split(b":") for line in info.split() if b":" in line)[b"rdb_changes_since_last_save"])


@pytest.mark.parametrize(
    "command", ["LTRIM l 0 -1", "LPOP l 0", "LREM l 0 nonesuch", "LINSERT l BEFORE nonesuch x", "LMOVE l l LEFT LEFT"]
)
def test_watchers_notice_what_redis_calls_a_change(pair: ClientPair, command: str) -> None:
    other = pair.another()
    pair.assert_same("RPUSH l a b", "WATCH l")
    other.assert_same(command)
    pair.assert_same("MULTI", "PING", "EXEC")
