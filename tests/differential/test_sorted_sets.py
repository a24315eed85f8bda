"""Commands on sorted sets: every option, error and edge, compared with a real redis-server."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Words, parse, plain, same_shape

NUMBERS = [
    *("0", "-0", "1", "-1.5", "+1", "01", "1e3", "0x10", "1e17", "-4503599627370497", "0.1", "3.0", "1e400", "1e-400"),
    *(
        "inf",
        "+inf",
        "-inf",
        "Infinity",
        "nan",
        "",
        " 1",
        "1 ",
        "x",
        "1x",
        "9223372036854775807",
        "(1",
        "((1",
        "( 1",
        "(",
    ),
]
MEMBER_BOUNDS = ["-", "+", "[", "(", "[b", "(b", "[c", "(d", "[z", "b", "", "-x", "+x", "--"]
READS: list[Words] = ["ZCARD z", "ZRANGE z 0 -1 WITHSCORES", "ZRANGE z 0 -1 REV", "TYPE z", "EXISTS z"]


def test_members_come_and_go(pair: ClientPair) -> None:
    pair.assert_same(
        "ZADD z 1 a",
        "ZADD z 2 a 3 b 1 c 3 b",
        *READS,
        "ZSCORE z a",
        "ZSCORE z nonesuch",
        "ZMSCORE z a nonesuch b a",
        "ZRANK z a",
        "ZRANK z nonesuch",
        "ZREVRANK z a",
        "ZREVRANK z nonesuch",
        "ZREM z nonesuch",
        "ZREM z a nonesuch a b",
        *READS,
        "ZREM z c d",
        *READS,
    )


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers(pair: ClientPair, text: str) -> None:
    pair.assert_same("ZADD z 1 a 2 b 3.5 c inf d -inf e")
    pair.assert_same(["ZADD", "z", text, "x"], ["ZADD", "z", "1", "y", text, "x"], "ZSCORE z x", "ZSCAN z 0", *READS)
    pair.assert_same(["ZINCRBY", "z", text, "a"], ["ZINCRBY", "z", text, "d"], ["ZADD", "z", "INCR", text, "e"], *READS)
    pair.assert_same(["ZCOUNT", "z", text, "+inf"], ["ZCOUNT", "z", "-inf", text], ["ZCOUNT", "nonesuch", text, "1"])
    pair.assert_same(["ZRANGEBYSCORE", "z", text, "3", "WITHSCORES"], ["ZREVRANGEBYSCORE", "z", "3", text])
    pair.assert_same(["ZRANGE", "z", text, "1"], ["ZRANGE", "z", "0", text], ["ZREVRANGE", "z", "0", text])
    pair.assert_same(["ZRANGE", "z", text, "inf", "BYSCORE"], ["ZRANGE", "z", "inf", text, "BYSCORE", "REV"])
    pair.assert_same(["ZRANGEBYSCORE", "z", "-inf", "inf", "LIMIT", text, "2"])
    pair.assert_same(["ZRANGEBYSCORE", "z", "-inf", "inf", "LIMIT", "1", text])
    pair.assert_same(["ZUNION", "1", "z", "WEIGHTS", text, "WITHSCORES"], ["ZINTER", "1", "z", "WEIGHTS", text])
    pair.assert_same(["ZUNION", text, "z"], ["ZINTERCARD", text, "z"], ["ZINTERCARD", "1", "z", "LIMIT", text])
    pair.assert_same(["ZMPOP", text, "z", "MIN"], ["ZMPOP", "1", "z", "MIN", "COUNT", text], *READS)
    pair.assert_same(["ZPOPMIN", "z", text], ["ZPOPMAX", "nonesuch", text], ["ZRANDMEMBER", "nonesuch", text], *READS)
    pair.assert_same(["ZREMRANGEBYRANK", "z", text, "1"], ["ZREMRANGEBYSCORE", "z", "0", text], *READS)


OPTIONS = ["NX", "XX", "GT", "LT", "CH", "INCR"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_options_of_zadd(pair: ClientPair, count: int) -> None:
    pair.assert_same("ZADD z 1 a 2 b 3 c")
    for options in itertools.combinations(OPTIONS, count):
        for pairs in (
            ["0", "a"],
            ["9", "b"],
            ["3", "c"],
            ["5", "new"],
            ["5", "a", "1", "b", "2", "n"],
            ["5"],
            [],
            ["x", "a"],
        ):
            pair.assert_same(["ZADD", "z", *options, *pairs], ["ZADD", "y", *options, *pairs], "ZREM z new n", "DEL y")
        pair.assert_same(*READS)
    pair.assert_same("ZADD z nx", "ZADD z nx nx 1 q", "ZADD z ch 1 q Ch", "ZINCRBY z nx a", "ZINCRBY z nx 1", *READS)


EVERY_COMMAND: list[Words] = [
    "ZADD k 1 a",
    "ZADD k XX 1 a",
    "ZADD k XX INCR 1 a",
    "ZADD k NX 1 a",
    "ZADD k x a",
    "ZADD k 1 a x b",
    "ZADD k INCR 1 a",
    "ZINCRBY k 1 a",
    "ZINCRBY k x a",
    "ZREM k a",
    "ZCARD k",
    "ZSCORE k a",
    "ZMSCORE k a b",
    "ZRANK k a",
    "ZREVRANK k a",
    "ZCOUNT k 1 2",
    "ZCOUNT k x 2",
    "ZLEXCOUNT k - +",
    "ZLEXCOUNT k - x",
    "ZRANGE k 0 -1",
    "ZRANGE k 0 x",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZRANGE k 0 -1 LIMIT 0 1",
    "ZRANGE k 0 -1 LIMIT 0 -1",
    "ZRANGE k 0 -1 LIMIT 0",
    "ZRANGE k 0 -1 REV REV",
    "ZRANGE k 0 -1 BYLEX BYSCORE",
    "ZRANGE k - + BYLEX WITHSCORES",
    "ZRANGE k 1 2 BYSCORE REV WITHSCORES",
    "ZRANGE k 2 1 BYSCORE REV WITHSCORES LIMIT 0 1 LIMIT 1 1",
    "ZREVRANGE k 0 -1 WITHSCORES",
    "ZREVRANGE k 0 -1 REV",
    "ZREVRANGE k 0 -1 BYSCORE",
    "ZRANGEBYSCORE k 1 2",
    "ZRANGEBYSCORE k 1 2 REV",
    "ZRANGEBYSCORE k 1 2 BYSCORE",
    "ZREVRANGEBYSCORE k 2 (1",
    "ZRANGEBYLEX k - +",
    "ZRANGEBYLEX k - + WITHSCORES",
    "ZREVRANGEBYLEX k + - LIMIT 1 1",
    "ZRANGESTORE other k 0 -1",
    "ZRANGESTORE other nonesuch 0 -1",
    "ZRANGESTORE k some 0 0",
    "ZRANGESTORE k k 0 0",
    "ZRANGESTORE other k 0 -1 WITHSCORES",
    "ZRANGESTORE other k 0 x",
    "ZRANGESTORE other k 2 1 BYSCORE REV LIMIT 0 1",
    "ZPOPMIN k",
    "ZPOPMIN k 0",
    "ZPOPMIN k 2",
    "ZPOPMIN k -1",
    "ZPOPMIN k 1 1",
    "ZPOPMAX k",
    "ZPOPMAX k 3",
    "ZPOPMAX k x",
    "ZMPOP 1 k MIN",
    "ZMPOP 2 nonesuch k MAX COUNT 2",
    "ZMPOP 2 some k MAX",
    "ZMPOP 2 k MAX",
    "ZMPOP 1 k",
    "ZMPOP 1 k MID",
    "ZMPOP 1 k MIN COUNT",
    "ZMPOP 1 k MIN COUNT 1 COUNT 1",
    "ZMPOP 1 k MIN COUNT 0",
    "ZMPOP 0 k MIN",
    "ZREMRANGEBYRANK k 0 1",
    "ZREMRANGEBYRANK k x 1",
    "ZREMRANGEBYRANK k 0 -1",
    "ZREMRANGEBYSCORE k 1 2",
    "ZREMRANGEBYSCORE k x 2",
    "ZREMRANGEBYLEX k - +",
    "ZREMRANGEBYLEX k - x",
    "ZUNION 1 k",
    "ZUNION 2 k some WITHSCORES",
    "ZUNION 2 k some WEIGHTS 2 3 AGGREGATE MAX WITHSCORES",
    "ZUNION 2 k some WEIGHTS 2",
    "ZUNION 2 k some AGGREGATE AVG",
    "ZUNION 3 k some",
    "ZUNION 2 k k WITHSCORES",
    "ZUNION 2 nonesuch k WEIGHTS x 1",
    "ZINTER 2 k some WITHSCORES",
    "ZINTER 2 k k AGGREGATE MIN WITHSCORES",
    "ZINTER 2 nonesuch k",
    "ZINTER 2 plain k WITHSCORES",
    "ZDIFF 2 k some WITHSCORES",
    "ZDIFF 2 some k",
    "ZDIFF 2 k k",
    "ZDIFF 1 k WEIGHTS 1",
    "ZDIFF 2 plain k WITHSCORES",
    "ZINTERCARD 2 k some",
    "ZINTERCARD 2 k k LIMIT 1",
    "ZINTERCARD 1 k LIMIT 0",
    "ZINTERCARD 1 k LIMIT",
    "ZINTERCARD 1 k WITHSCORES",
    "ZUNIONSTORE other 2 k some",
    "ZUNIONSTORE k 2 k some WEIGHTS 1 2",
    "ZUNIONSTORE other 2 k some WITHSCORES",
    "ZUNIONSTORE other 1 nonesuch",
    "ZUNIONSTORE other 2 plain k",
    "ZINTERSTORE other 2 k some AGGREGATE MIN",
    "ZINTERSTORE k 2 k nonesuch",
    "ZDIFFSTORE other 2 k some",
    "ZDIFFSTORE k 2 k k",
    "ZDIFFSTORE other 0 k",
    "ZRANDMEMBER k",
    "ZRANDMEMBER k 0",
    "ZRANDMEMBER k 1",
    "ZRANDMEMBER k -3 WITHSCORES",
    "ZRANDMEMBER k 2 WITHSCORES",
    "ZRANDMEMBER k 2 x",
    "ZRANDMEMBER k 2 WITHSCORES x",
    "ZRANDMEMBER k -9223372036854775808",
    "ZRANDMEMBER k 9223372036854775807 WITHSCORES",
    "ZSCAN k 0",
    "ZSCAN k x",
    "ZSCAN k 0 COUNT x",
    "ZSCAN k 0 MATCH a*",
]
OTHERS: list[Words] = ["ZRANGE some 0 -1 WITHSCORES", "ZRANGE other 0 -1 WITHSCORES", "DBSIZE"]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_missing_key(pair: ClientPair, command: str) -> None:
    pair.assert_same("ZADD some 1 a 2 x", "SADD plain a x", command, "ZRANGE k 0 -1 WITHSCORES", *OTHERS)


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_key_of_another_type(pair: ClientPair, command: str) -> None:
    compare = same_shape if command.startswith("ZRANDMEMBER") else None
    for birth in ("SET k x", "HSET k a b", "SADD k a b"):
        pair.assert_same("FLUSHALL", "ZADD some 1 a 2 x", "SADD plain a x", birth)
        pair.assert_same(command, compare=compare)
        pair.assert_same("TYPE k", *OTHERS)


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_sorted_set(pair: ClientPair, command: str) -> None:
    compare = same_shape if command.startswith("ZRANDMEMBER") else None
    pair.assert_same("ZADD some 1 a 2 x", "SADD plain a x", "SET other x", "ZADD k 1 a 2 b 2 aa inf c -1.5 d")
    pair.assert_same(command, compare=compare)
    pair.assert_same("ZRANGE k 0 -1 WITHSCORES", *OTHERS, "TYPE other", "TTL k")


@pytest.mark.parametrize(
    "command", ["GET z", "APPEND z x", "INCR z", "HSET z a b", "SADD z a", "SINTER z", "GETSET z x"]
)
def test_a_sorted_set_is_nothing_else(pair: ClientPair, command: str) -> None:
    pair.assert_same("ZADD z 1 a", command, "MGET z", "STRLEN z", "SETNX z x", *READS)


def fill(pair: ClientPair, key: str, count: int, score: Callable[[int], object]) -> None:
    for start in range(0, count, 100):
        numbers = range(start, min(start + 100, count))
        pair.assert_same(["ZADD", key, *(part for n in numbers for part in (score(n), f"member:{n}"))])


@pytest.mark.parametrize("count", [5, 120, 1200])
def test_ranges_by_rank_and_score(pair: ClientPair, count: int, rng: random.Random) -> None:
    fill(pair, "z", count, lambda n: n * 7 % 50 / 2)
    places = [0, 1, 2, count // 2, count - 1, count, count + 1, -1, -2, -count, -count - 1, 2**63 - 1, -(2**63)]
    for _ in range(60):
        first, last = rng.choice(places), rng.choice(places)
        pair.assert_same(["ZRANGE", "z", first, last], ["ZREVRANGE", "z", first, last, "WITHSCORES"])
    bounds = ["-inf", "inf", "0", "(0", "3", "(3", "3.2", "24.5", "(24.5", "25", "(inf", "(-inf"]
    for _ in range(60):
        low, high = rng.choice(bounds), rng.choice(bounds)
        limit = ["LIMIT", rng.choice([0, 1, 5, 5000, -1, 2**63 - 1]), rng.choice([0, 1, 7, -1, -5, 2**63 - 1])]
        pair.assert_same(["ZCOUNT", "z", low, high], ["ZRANGEBYSCORE", "z", low, high, "WITHSCORES"])
        pair.assert_same(["ZREVRANGEBYSCORE", "z", low, high, *limit], ["ZRANGEBYSCORE", "z", low, high, *limit])
        pair.assert_same(["ZRANGE", "z", low, high, "BYSCORE", *limit, "REV", "WITHSCORES"])
        pair.assert_same(["ZRANGESTORE", "d", "z", low, high, "BYSCORE", *limit], "ZRANGE d 0 -1 WITHSCORES")
    for _ in range(8):
        low, high = rng.choice(bounds), rng.choice(bounds)
        pair.assert_same(["ZREMRANGEBYSCORE", "z", low, high], "ZRANGE z 0 -1")
        pair.assert_same(["ZREMRANGEBYRANK", "z", rng.choice(places), rng.choice(places)], "ZRANGE z 0 -1")
        fill(pair, "z", count, lambda n: n * 7 % 50 / 2)


@pytest.mark.parametrize("count", [0, 6, 700])
def test_ranges_by_member(pair: ClientPair, count: int) -> None:
    pair.assert_same("ZADD z 3 a 3 b 3 bb 3 c 3 d", *READS)
    fill(pair, "z", count, lambda _: 3)
    for low, high in itertools.product(MEMBER_BOUNDS, repeat=2):
        pair.assert_same(["ZLEXCOUNT", "z", low, high], ["ZRANGEBYLEX", "z", low, high])
        pair.assert_same(
            ["ZREVRANGEBYLEX", "z", low, high, "LIMIT", "1", "3"], ["ZRANGE", "z", low, high, "BYLEX", "REV"]
        )
    pair.assert_same(
        "ZREMRANGEBYLEX z (b [c", *READS, "ZREMRANGEBYLEX z - (member:3", *READS, "ZREMRANGEBYLEX z - +", *READS
    )


@pytest.mark.parametrize("count", [1, 6, 700])
def test_ranges_by_member_where_scores_rise_with_the_members(pair: ClientPair, count: int) -> None:
    pair.assert_same("ZADD z -1 a 0 b 1 bb 2 c 3 d", *READS)
    for number in range(count):
        pair.assert_same(["ZADD", "z", str(10 + number), f"member:{number:03}"])
    for low, high in itertools.product([*MEMBER_BOUNDS, "[member:003", "(member:600"], repeat=2):
        pair.assert_same(["ZLEXCOUNT", "z", low, high], ["ZRANGEBYLEX", "z", low, high])
        pair.assert_same(["ZRANGE", "z", low, high, "BYLEX", "REV"], ["ZRANGESTORE", "copy", "z", low, high, "BYLEX"])
    pair.assert_same("ZREMRANGEBYLEX z (b [c", *READS, "ZREMRANGEBYLEX z [member:003 +", *READS)


@pytest.mark.parametrize("sizes", [(3, 5, 0), (40, 700, 20), (700, 600, 1500)])
def test_algebra(pair: ClientPair, sizes: tuple[int, ...], rng: random.Random) -> None:
    scores = ["1", "0.1", "-2.5", "inf", "-inf", "0", "1e300"]
    for key, size in zip("abc", sizes, strict=True):
        fill(pair, key, size, lambda _: rng.choice(scores))
    pair.assert_same(["SADD", "s", *(f"member:{n}" for n in range(0, 900, 7))])
    for _ in range(40):
        keys = [rng.choice("abcsn") for _ in range(rng.randint(1, 4))]
        request: list[object] = [len(keys), *keys]
        weights = ["WEIGHTS", *(rng.choice(["1", "0", "-1", "0.1", "inf"]) for _ in keys)] if rng.random() < 0.6 else []
        aggregate = ["AGGREGATE", rng.choice(["SUM", "min", "MAX"])] if rng.random() < 0.6 else []
        pair.assert_same(["ZUNION", *request, *weights, *aggregate, "WITHSCORES"])
        pair.assert_same(
            ["ZINTER", *request, *aggregate, *weights, "WITHSCORES"], ["ZINTERCARD", *request, "LIMIT", "3"]
        )
        pair.assert_same(["ZDIFF", *request, "WITHSCORES"], ["ZDIFFSTORE", "d", *request], "ZRANGE d 0 -1 WITHSCORES")
        pair.assert_same(["ZUNIONSTORE", "d", *request, *weights, *aggregate], "ZCARD d", "TYPE d")
        pair.assert_same(["ZINTERSTORE", "d", *request, *weights, *aggregate], "ZCARD d")


@pytest.mark.parametrize("count", [1, 5, 130, 600])
def test_members_at_random_and_in_steps(pair: ClientPair, count: int) -> None:
    fill(pair, "z", count, lambda n: n)
    for number in (0, 1, 2, count, count + 1, 2**62, -1, -7):
        pair.assert_same(["ZRANDMEMBER", "z", number], ["ZRANDMEMBER", "z", number, "WITHSCORES"], compare=same_shape)
    for client in (pair.subject, pair.oracle):
        seen, cursor = {}, b"0"
        while True:
            cursor, found = plain(parse(client.call(["ZSCAN", "z", cursor, "COUNT", "20"])))
            seen.update(zip(found[::2], found[1::2], strict=True))
            if cursor == b"0":
                break
        assert seen == {b"member:%d" % n: b"%d" % n for n in range(count)}


@pytest.mark.parametrize("count", [5, 700])
def test_popping(pair: ClientPair, count: int) -> None:
    fill(pair, "z", count, lambda n: n % 10)
    pair.assert_same(
        "ZPOPMIN z", "ZPOPMAX z 2", "ZMPOP 2 y z MAX", "ZMPOP 1 z MIN COUNT 3", *READS, "ZPOPMIN z 1000", *READS
    )


@pytest.mark.parametrize("count", [5, 700])
def test_the_key_as_a_whole(pair: ClientPair, count: int) -> None:
    fill(pair, "z", count, lambda n: n / 3)
    pair.assert_same(
        "EXPIRE z 1000",
        "COPY z copy",
        "ZADD copy 1000 member:1",
        "ZSCORE z member:1",
        "ZRANGE copy 0 -1",
        "TTL copy",
        "RENAME z moved",
        "ZRANGE moved 0 -1",
        "MOVE moved 3",
        "SELECT 3",
        "ZADD moved -1 member:1",
        "ZRANGE moved 0 -1",
        "SWAPDB 0 3",
        "SELECT 0",
        "TTL moved",
        "SCAN 0 COUNT 1000 TYPE zset",
        "DEBUG DIGEST",
        "DEBUG DIGEST-VALUE moved nonesuch",
        "ZUNIONSTORE moved 1 moved",
        "TTL moved",
    )


def test_a_sorted_set_grows_and_shrinks(pair: ClientPair, rng: random.Random) -> None:
    """Over every threshold."""
    for n in range(1500):
        pair.assert_same(["ZADD", "z", rng.choice(["1", "2.5", str(n), str(-n)]), f"member:{rng.randrange(800)}"])
        if n % 5 == 0:
            pair.assert_same(
                ["ZREM", "z", f"member:{rng.randrange(800)}"], ["ZRANK", "z", f"member:{rng.randrange(800)}"]
            )
    pair.assert_same(*READS, "DEBUG DIGEST")
    for n in range(800):
        pair.assert_same(["ZREM", "z", f"member:{n}"])
    pair.assert_same(*READS)


def test_hits_misses_and_changes_are_counted(resp2_pair: ClientPair) -> None:
    clients = (resp2_pair.subject, resp2_pair.oracle)
    resp2_pair.assert_same("CONFIG RESETSTAT", "FLUSHALL")
    before = [changes(client) for client in clients]
    for command in [
        *EVERY_COMMAND,
        "ZADD k 1 a 2 b 2 c",
        "ZADD some 3 b",
        "ZADD k 1 a",
        "SADD plain a",
        *EVERY_COMMAND,
    ]:
        counts = []
        for client, start in zip(clients, before, strict=True):
            client.call(command)
            info = client.value("INFO stats")
            counts.append([line for line in info.split(b"\r\n") if line.startswith(b"keyspace_")])
            counts[-1].append(changes(client) - start)
        assert counts[0] == counts[1], command
        resp2_pair.assert_same("ZRANGE k 0 -1", "ZRANGE some 0 -1")


def changes(client: object) -> int:
    info: bytes = client.value("INFO persistence")  # type: ignore[attr-defined]
    return int(info.split(b"rdb_changes_since_last_save:")[1].split(b"\r\n")[0])


@pytest.mark.parametrize("thresholds", [{}, {"zset_max_listpack_entries": 4}, {"zset_max_ziplist_value": 10}])
def test_encodings(fresh_pair: Callable[..., ClientPair], thresholds: dict[str, int]) -> None:
    pair = fresh_pair(**thresholds)
    for count in (1, 4, 5, 128, 129):
        pair.assert_same("DEL z")
        fill(pair, "z", count, lambda n: n)
        pair.assert_same("OBJECT ENCODING z", "OBJECT REFCOUNT z", "OBJECT IDLETIME z", "OBJECT FREQ z")
    for size in (1, 10, 11, 64, 65):
        pair.assert_same("DEL z", ["ZADD", "z", "1", "x" * size], "OBJECT ENCODING z")
