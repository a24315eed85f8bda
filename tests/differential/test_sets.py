"""Commands on sets: every option, error and edge, compared with a real redis-server."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Words, parse, plain, same_shape

READS: list[Words] = ["SCARD s", "SMEMBERS s", "TYPE s", "EXISTS s"]


def test_members_come_and_go(pair: ClientPair) -> None:
    pair.assert_same(
        "SADD s a",
        "SADD s a b a c",
        *READS,
        "SISMEMBER s a",
        "SISMEMBER s nonesuch",
        "SMISMEMBER s a nonesuch b a",
        "SREM s nonesuch",
        "SREM s a nonesuch a b",
        *READS,
        "SREM s c d",
        *READS,
    )


def test_any_bytes_are_members(pair: ClientPair, rng: random.Random) -> None:
    for size in (0, 1, 63, 64, 65, 200, 16383, 16384, 40_000):
        member = rng.randbytes(size)
        pair.assert_same(["SADD", "s", member], ["SISMEMBER", "s", member], ["SADD", "s", member])
    pair.assert_same(*READS, ["SREM", "s", b""], *READS)


@pytest.mark.parametrize("member", ["0", "-0", "1", "-1", "01", "+1", "9223372036854775807", "9223372036854775808"])
def test_numbers_are_members_as_they_are_written(pair: ClientPair, member: str) -> None:
    pair.assert_same(["SADD", "s", member], "SADD s 5 6", *READS, ["SISMEMBER", "s", member], ["SREM", "s", member])


EVERY_COMMAND: list[Words] = [
    "SADD k a",
    "SREM k a",
    "SISMEMBER k a",
    "SMISMEMBER k a b",
    "SCARD k",
    "SMEMBERS k",
    "SPOP k",
    "SPOP k 0",
    "SPOP k 2",
    "SPOP k -1",
    "SPOP k x",
    "SPOP k 1 1",
    "SRANDMEMBER k",
    "SRANDMEMBER k 0",
    "SRANDMEMBER k 1",
    "SRANDMEMBER k x",
    "SRANDMEMBER k 1 1",
    "SRANDMEMBER k -9223372036854775808",
    "SMOVE k other a",
    "SMOVE other k a",
    "SMOVE some k a",
    "SMOVE some k 1",
    "SINTER k",
    "SINTER nonesuch k",
    "SINTER k nonesuch",
    "SINTERSTORE other k",
    "SINTERSTORE other nonesuch k",
    "SINTERSTORE other some k",
    "SINTERCARD 1 k",
    "SINTERCARD 2 nonesuch k",
    "SUNION k",
    "SUNION some k",
    "SUNIONSTORE other k",
    "SUNIONSTORE other some k",
    "SDIFF k",
    "SDIFF nonesuch k",
    "SDIFF k some",
    "SDIFFSTORE other k",
    "SDIFFSTORE other nonesuch k",
    "SSCAN k 0",
    "SSCAN k x",
    "SSCAN k 0 COUNT x",
]
AT_RANDOM = ("SPOP", "SRANDMEMBER")


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_missing_key(pair: ClientPair, command: str) -> None:
    pair.assert_same("SADD some 1 2", command, "SMEMBERS k", "SMEMBERS some", "SMEMBERS other", "DBSIZE")


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_key_of_another_type(pair: ClientPair, command: str) -> None:
    pair.assert_same("SADD some 1 2", "SET k x", command, "GET k", "SMEMBERS some", "SMEMBERS other", "DEL k")
    pair.assert_same("HSET k a b", command, "HGETALL k", "SMEMBERS some", "EXISTS other")


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_set(pair: ClientPair, command: str) -> None:
    compare = same_shape if command.startswith(AT_RANDOM) else None
    pair.assert_same("SADD some 1 2", "SADD k 1 2 a b")
    pair.assert_same(command, compare=compare)
    pair.assert_same("SCARD k", "SMEMBERS some", "SMEMBERS other", "DBSIZE")


@pytest.mark.parametrize("command", ["GET s", "APPEND s x", "INCR s", "HSET s a b", "GETRANGE s 0 1", "SETRANGE s 0 x"])
def test_a_set_is_no_string_and_no_hash(pair: ClientPair, command: str) -> None:
    pair.assert_same("SADD s a", command, "SMEMBERS s", "MGET s", "STRLEN s", "SETNX s x", "GETSET s x", "SMEMBERS s")


def fill(pair: ClientPair, key: str, members: range, form: str) -> None:
    for start in range(members.start, members.stop, 100):
        pair.assert_same(["SADD", key, *(form % n for n in range(start, min(start + 100, members.stop)))])


@pytest.mark.parametrize("form", ["%d", "member:%d"])
@pytest.mark.parametrize("members", [1, 5, 512, 3000])
def test_members_at_random(pair: ClientPair, members: int, form: str) -> None:
    fill(pair, "s", range(members), form)
    counts = [0, 1, 2, members - 1, members, members + 1, members * 5, 2**63 - 1]
    for count in [*counts, -1, -7, -members]:
        pair.assert_same(["SRANDMEMBER", "s", count], compare=same_shape)
    for client in (pair.subject, pair.oracle):
        everything = set(client.value("SMEMBERS s"))
        for count in (1, 3, members // 2, members, -20):
            picked = client.value(f"SRANDMEMBER s {count}")
            assert set(picked) <= everything
            assert len(picked) == min(abs(count), members) if count > 0 else len(picked) == -count
            assert count < 0 or len(set(picked)) == len(picked)


@pytest.mark.parametrize("members", [1, 5, 512, 3000])
@pytest.mark.parametrize("count", [0, 1, 2, 100, 511, 512, 2999, 3000, 2**63 - 1])
def test_spop(pair: ClientPair, members: int, count: int) -> None:
    fill(pair, "s", range(members), "member:%d")
    before = set(pair.subject.value("SMEMBERS s"))
    pair.oracle.call(["SPOP", "s", count])
    popped = pair.subject.value(["SPOP", "s", count])
    assert len(popped) == min(count, members)
    assert set(pair.subject.value("SMEMBERS s")) == before - set(popped)
    pair.assert_same("SCARD s", "EXISTS s", ["SPOP", "s", 2**63])
    pair.assert_same("SPOP s", ["SPOP", "s", members], "SPOP s", "SPOP s 1", compare=same_shape)
    pair.assert_same("EXISTS s")


def test_smove(pair: ClientPair) -> None:
    pair.assert_same(
        "SADD s a b",
        "SMOVE s t a",
        "SMEMBERS t",
        "SMOVE s t a",
        "SMOVE s s b",
        "SMOVE s s nonesuch",
        "SADD t b",
        "SMOVE s t b",
        *READS,
        "SMEMBERS t",
        "SMOVE s t b",
        "SET x 1",
        "SMOVE t x a",
        "SMOVE t x nonesuch",
        "SMOVE none x a",
        "SMOVE x t a",
    )


@pytest.mark.parametrize("form", ["%d", "member:%d"])
@pytest.mark.parametrize("sizes", [(10, 20, 5), (600, 1000, 700), (3000, 10, 4000)])
def test_several_sets(pair: ClientPair, sizes: tuple[int, int, int], form: str) -> None:
    for key, size, start in zip("abc", sizes, (0, 3, 7), strict=True):
        fill(pair, key, range(start, start + size), form)
    for keys in ("a", "a b", "b a c", "a a", "a none", "none", "none a", "c a b none", "a b c a b c"):
        pair.assert_same(f"SINTER {keys}", f"SUNION {keys}", f"SDIFF {keys}")
        for store in ("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"):
            pair.assert_same(f"{store} d {keys}", "SMEMBERS d", "SCARD d", "EXISTS d")
        count = len(keys.split())
        for limit in ("", "LIMIT 0", "LIMIT 1", "limit 4", "LIMIT 100000"):
            pair.assert_same(f"SINTERCARD {count} {keys} {limit}")


def test_a_result_may_replace_a_source_or_another_type(pair: ClientPair) -> None:
    pair.assert_same(
        "SADD a 1 2 3",
        "SADD b 2 3 4",
        "EXPIRE a 100",
        "SINTERSTORE a a b",
        "TTL a",
        "SMEMBERS a",
        "SUNIONSTORE a a b a",
        "SMEMBERS a",
        "SDIFFSTORE a a b a",
        "EXISTS a",
        "SET a x",
        "SUNIONSTORE a b",
        "SMEMBERS a",
        "HSET h f v",
        "SDIFFSTORE h b none",
        "SMEMBERS h",
        "SET a x",
        "SINTERSTORE a none b",
        "EXISTS a",
    )
    fill(pair, "big", range(2000), "member:%d")
    pair.assert_same(
        "SUNIONSTORE big big b",
        "SCARD big",
        "SINTERSTORE big big b",
        "SMEMBERS big",
        "SDIFFSTORE big big big",
        "EXISTS big",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        "0 a",
        "-1 a",
        "x a",
        "2 a",
        "9223372036854775807 a",
        "9223372036854775808 a",
        "1 a b",
        "1 a LIMIT",
        "1 a LIMIT x",
        "1 a LIMIT -1",
        "1 a LIMIT 9223372036854775807",
        "1 a LIMIT 1 LIMIT 2",
        "1 a nonesuch 1",
        "2 a LIMIT 1",
        "3 a LIMIT 1",
    ],
)
def test_sintercard_options(pair: ClientPair, arguments: str) -> None:
    pair.assert_same("SADD a 1 2 3", f"SINTERCARD {arguments}", f"COMMAND GETKEYS SINTERCARD {arguments}")


@pytest.mark.parametrize(
    "options",
    [
        "",
        "MATCH *",
        "MATCH *1*",
        "match [^m]*",
        "COUNT 1",
        "COUNT 100000 MATCH *5",
        "COUNT 0",
        "COUNT x",
        "COUNT",
        "MATCH",
        "TYPE set",
        "MATCH a MATCH *",
        "COUNT 9223372036854775807",
        "nonesuch 1",
    ],
)
@pytest.mark.parametrize("members", [3, 1000])
def test_sscan(pair: ClientPair, members: int, options: str) -> None:
    fill(pair, "s", range(members), "member:%d")
    pair.assert_same(f"SSCAN s 0 {options}", f"SSCAN none 0 {options}", f"SSCAN s x {options}")


def test_sscan_comes_past_every_member(pair: ClientPair) -> None:
    fill(pair, "s", range(5000), "member:%d")
    for client in (pair.subject, pair.oracle):
        seen, cursor = set(), b"0"
        while True:
            cursor, found = plain(parse(client.call(["SSCAN", "s", cursor, "COUNT", "20"])))
            seen.update(found)
            if cursor == b"0":
                break
        assert seen == {b"member:%d" % n for n in range(5000)}


@pytest.mark.parametrize("members", [5, 3000])
def test_the_key_as_a_whole(pair: ClientPair, members: int) -> None:
    fill(pair, "s", range(members), "member:%d")
    pair.assert_same(
        "EXPIRE s 1000",
        "COPY s copy",
        "SADD copy more",
        "SISMEMBER s more",
        "SCARD copy",
        "TTL copy",
        "RENAME s moved",
        "SMEMBERS moved",
        "TTL moved",
        "MOVE moved 3",
        "EXISTS moved s",
        "SELECT 3",
        "SREM moved member:1",
        "SMEMBERS moved",
        "SWAPDB 0 3",
        "SCARD moved",
        "SELECT 0",
        "SMEMBERS moved",
        "PERSIST moved",
        "COPY copy moved REPLACE",
        "SCAN 0 COUNT 1000 TYPE set",
        "SCAN 0 COUNT 1000 TYPE hash",
        "UNLINK moved copy",
        "DBSIZE",
    )


def test_hits_misses_and_changes_are_counted(resp2_pair: ClientPair) -> None:
    clients = (resp2_pair.subject, resp2_pair.oracle)
    commands: list[Words] = [*EVERY_COMMAND, "SADD k 1 2 a", "SADD some 1 3", *EVERY_COMMAND, "SADD k 1 2 3"]
    commands += ["SPOP k 2", "SPOP k 2", "SADD k 1 2", "SMOVE k other 1", "SMOVE k other 2", "SUNIONSTORE k k other"]
    resp2_pair.assert_same("CONFIG RESETSTAT", "FLUSHALL")
    before = [counters(client) for client in clients]
    for command in commands:
        if command not in ("SPOP k", "SPOP k 2"):
            for client in clients:
                client.call(command)
        after = [counters(client) for client in clients]
        grown = [{name: now[name] - then[name] for name in now} for now, then in zip(after, before, strict=True)]
        assert grown[0] == grown[1], command


def counters(client: object) -> dict[str, int]:
    text: bytes = client.value("INFO everything")  # type: ignore[attr-defined]
    fields = dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)
    return {name: int(fields[name]) for name in ("keyspace_hits", "keyspace_misses", "rdb_changes_since_last_save")}


@pytest.mark.parametrize("thresholds", [{}, {"set_max_intset_entries": 4}])
def test_encodings(fresh_pair: Callable[..., ClientPair], thresholds: dict[str, int]) -> None:
    pair = fresh_pair(**thresholds)
    for form in ("%d", "member:%d"):
        for members in (1, 4, 5, 128, 512, 513):
            pair.assert_same("DEL s")
            fill(pair, "s", range(members), form)
            pair.assert_same("OBJECT ENCODING s", "OBJECT REFCOUNT s", "OBJECT IDLETIME s", "OBJECT FREQ s")
    for member in ("01", "-0", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "", "+1", " 1"):
        pair.assert_same("DEL s", ["SADD", "s", member], "OBJECT ENCODING s")
    pair.assert_same("CONFIG SET set-max-intset-entries 1", "SADD t 1", "OBJECT ENCODING t", "SADD t 2")
    pair.assert_same("OBJECT ENCODING t", "CONFIG GET set-max-*")


def test_digests_are_those_of_redis(pair: ClientPair) -> None:
    pair.assert_same("SADD s a", "DEBUG DIGEST-VALUE s", "DEBUG DIGEST", "SADD s b 1 2", "DEBUG DIGEST-VALUE s")
    fill(pair, "s", range(1000), "%d")
    pair.assert_same("DEBUG DIGEST-VALUE s", "EXPIRE s 1000", "DEBUG DIGEST-VALUE s none", "DEBUG DIGEST")


@pytest.mark.parametrize("form", ["%d", "member:%d"])
@pytest.mark.parametrize("members", [1, 3000])
def test_a_dump_keeps_sets(pair: ClientPair, members: int, form: str) -> None:
    fill(pair, "s", range(members), form)
    pair.assert_same(
        "EXPIRE s 1000", "DEBUG DIGEST", "DEBUG RELOAD", "DEBUG DIGEST", "SCARD s", "SMEMBERS s", "SADD s x"
    )
    pair.assert_same("DEBUG RELOAD NOSAVE NOFLUSH MERGE", "SCARD s", "DEBUG DIGEST", "DBSIZE")
    assert pair.subject.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"


@pytest.mark.parametrize("limit", [1, 2, 63, 64, 65, 700, 1500])
def test_limit_of_large_intersections(pair: ClientPair, limit: int) -> None:
    pair.assert_same(["SADD", "a", *map(str, range(2000))], ["SADD", "b", *map(str, range(1000, 5000))])
    pair.assert_same(["ZADD", "z", *[word for number in range(500, 4000) for word in ("1", str(number))]])
    pair.assert_same(f"SINTERCARD 2 a b LIMIT {limit}", f"ZINTERCARD 2 a b LIMIT {limit}")
    pair.assert_same(
        f"ZINTERCARD 3 a z b LIMIT {limit}", f"ZINTERCARD 2 b z LIMIT {limit}", "ZINTERCARD 2 b none LIMIT 3"
    )
