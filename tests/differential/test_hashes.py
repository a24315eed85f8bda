"""Commands on hashes: every option, error and edge, compared with a real redis-server."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Words, pairs_unordered, parse, plain, same_shape

NOT_INTEGERS = ["", "x", "1.0", "+1", " 1", "01", "-0", "9223372036854775808", "0x10"]
NUMBERS = ["0", "1", "-1", "9223372036854775807", "-9223372036854775808", *NOT_INTEGERS]
DECIMALS = [
    "0",
    "3.0e3",
    "-5.5",
    "0.1",
    "0.2",
    "inf",
    "-inf",
    "nan",
    "1e400",
    "1e-5",
    " 1",
    "1 ",
    "0x1p3",
    "",
    "x",
    "1e4932",
]
READS: list[Words] = ["HLEN h", "HGETALL h", "HKEYS h", "HVALS h", "TYPE h", "EXISTS h"]


def test_fields_are_set_read_and_deleted(pair: ClientPair) -> None:
    pair.assert_same(
        "HSET h a 1",
        "HSET h a 2 b 3 c 4",
        *READS,
        "HGET h a",
        "HGET h nonesuch",
        "HMGET h a nonesuch b a",
        "HEXISTS h a",
        "HEXISTS h nonesuch",
        "HSTRLEN h a",
        "HSTRLEN h nonesuch",
        "HSETNX h a 9",
        "HSETNX h d 9",
        "HMSET h e 5 a 1",
        "HDEL h nonesuch",
        "HDEL h a b a",
        *READS,
        "HDEL h c d e f",
        *READS,
    )


def test_one_command_may_set_a_field_twice(pair: ClientPair) -> None:
    pair.assert_same("HSET h a 1 a 2 a 3", "HGETALL h", "HSET h b 1 a 1 b 2", "HGETALL h")


def test_any_bytes_are_fields_and_values(pair: ClientPair, rng: random.Random) -> None:
    sizes = (0, 1, 63, 64, 65, 200, 16383, 16384, 40_000)
    for size in sizes:
        field, value = rng.randbytes(size), rng.randbytes(sizes[-1] - size)
        pair.assert_same(
            ["HSET", "h", field, value], ["HGET", "h", field], ["HSTRLEN", "h", field], ["HEXISTS", "h", field]
        )
    pair.assert_same(*READS, ["HSET", "h", b"", b""], ["HGET", "h", b""], ["HDEL", "h", b""], "HLEN h")


def test_a_missing_key(pair: ClientPair) -> None:
    pair.assert_same(
        *READS,
        "HGET h a",
        "HMGET h a b",
        "HEXISTS h a",
        "HSTRLEN h a",
        "HDEL h a",
        "HRANDFIELD h",
        "HRANDFIELD h 3",
        "HRANDFIELD h -3",
        "HRANDFIELD h 3 WITHVALUES",
        "HRANDFIELD h 0",
        "HSCAN h 0",
        "HSCAN h 7 nonesuch",
        "HSCAN h x",
        "HSETNX h a 1",
        "HGETALL h",
    )


EVERY_COMMAND: list[Words] = [
    "HSET k a 1",
    "HSET k a",
    "HSET k a 1 b",
    "HMSET k a 1",
    "HMSET k a 1 b",
    "HSETNX k a 1",
    "HGET k a",
    "HMGET k a",
    "HGETALL k",
    "HDEL k a",
    "HLEN k",
    "HEXISTS k a",
    "HKEYS k",
    "HVALS k",
    "HINCRBY k a 1",
    "HINCRBY k a x",
    "HINCRBYFLOAT k a 1",
    "HINCRBYFLOAT k a x",
    "HSTRLEN k a",
    "HRANDFIELD k",
    "HRANDFIELD k 1",
    "HRANDFIELD k x",
    "HRANDFIELD k 1 nonesuch",
    "HRANDFIELD k 1 WITHVALUES x",
    "HSCAN k 0",
    "HSCAN k x",
    "HSCAN k 0 COUNT x",
]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_key_of_another_type(pair: ClientPair, command: str) -> None:
    pair.assert_same("SET k x", command, "GET k", "DEL k", "SADD k x", command, "SMEMBERS k")


@pytest.mark.parametrize("command", ["GET h", "APPEND h x", "INCR h", "SADD h x", "GETRANGE h 0 1", "SETRANGE h 0 x"])
def test_a_hash_is_no_string_and_no_set(pair: ClientPair, command: str) -> None:
    pair.assert_same("HSET h a 1", command, "HGETALL h", "MGET h", "STRLEN h", "SETNX h x", "GETSET h x", "HGETALL h")


def test_set_replaces_a_hash(pair: ClientPair) -> None:
    pair.assert_same("HSET h a 1", "SET h x", "GET h", "DEL h", "HSET h b 2", "HGETALL h")


@pytest.mark.parametrize("increment", NUMBERS)
def test_hincrby(pair: ClientPair, increment: str) -> None:
    pair.assert_same(["HINCRBY", "h", "new", increment], "EXISTS h")
    for value in [*NUMBERS, "9" * 30]:
        pair.assert_same(["HSET", "h", "a", value], ["HINCRBY", "h", "a", increment], "HGET h a")


@pytest.mark.parametrize("increment", DECIMALS)
def test_hincrbyfloat(pair: ClientPair, increment: str) -> None:
    pair.assert_same(["HINCRBYFLOAT", "h", "new", increment], "EXISTS h", "HGET h new")
    for value in [*DECIMALS, *NUMBERS]:
        pair.assert_same(["HSET", "h", "a", value], ["HINCRBYFLOAT", "h", "a", increment], "HGET h a")


def fill(pair: ClientPair, fields: int, value: bytes = b"v") -> None:
    for start in range(0, fields, 100):
        numbers = range(start, min(start + 100, fields))
        pair.assert_same(["HSET", "h", *(word for n in numbers for word in (f"field:{n}", b"%s%d" % (value, n)))])


@pytest.mark.parametrize("fields", [1, 5, 128, 129, 512, 513])
def test_hrandfield(pair: ClientPair, fields: int) -> None:
    fill(pair, fields)
    counts = [0, 1, 2, fields - 1, fields, fields + 1, fields * 5, -1, -7, -fields, 9223372036854775807 // 2]
    for count in counts:
        for options in ([], ["WITHVALUES"], ["withvalues"]):
            pair.assert_same(["HRANDFIELD", "h", count, *options], compare=same_shape)
    pair.assert_same("HRANDFIELD h", compare=same_shape)


@pytest.mark.parametrize("fields", [10, 3000])
def test_hrandfield_gives_fields_of_the_hash(pair: ClientPair, fields: int) -> None:
    fill(pair, fields)
    client = pair.subject
    for count in (1, 5, fields // 2, fields, -20):
        picked = client.value(f"HRANDFIELD h {count}")
        assert len(picked) == abs(count)
        assert set(picked) <= set(client.value("HKEYS h"))
        if count > 0:
            assert len(set(picked)) == count


@pytest.mark.parametrize(
    "options",
    [
        "x",
        "1.0",
        "",
        "9223372036854775807",
        "-9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "1 x",
        "1 WITHVALUES WITHVALUES",
        "1 2",
        "4611686018427387904 WITHVALUES",
        "-4611686018427387904 WITHVALUES",
        "WITHVALUES",
    ],
)
def test_hrandfield_options(pair: ClientPair, options: str) -> None:
    if options == "-9223372036854775807":
        pair.assert_same("HRANDFIELD h -9223372036854775807")  # not with a hash: Redis would reply for ever
        return
    pair.assert_same("HSET h a 1", ["HRANDFIELD", "h", *(options.split(" "))], ["HRANDFIELD", "none", *options.split()])


def test_many_draws_come_in_the_form_of_redis(pair: ClientPair) -> None:
    pair.assert_same("HSET h a 1", "SADD s a", "ZADD z 1 a")
    for command in ("HRANDFIELD h", "SRANDMEMBER s", "ZRANDMEMBER z"):
        pair.assert_same(f"{command} -1000", "MULTI", f"{command} -300", "EXEC")
    pair.assert_same("HRANDFIELD h -1000 WITHVALUES", "ZRANDMEMBER z -1000 WITHSCORES")
    pair.assert_same(["EVAL", "return #redis.call('hrandfield', 'h', -1000)", 0])


@pytest.mark.parametrize(
    "options",
    [
        "",
        "MATCH *",
        "MATCH field:1*",
        "match [^f]*",
        "COUNT 1",
        "COUNT 100000 MATCH *5",
        "COUNT 0",
        "COUNT -1",
        "COUNT x",
        "COUNT",
        "MATCH",
        "TYPE hash",
        "MATCH a MATCH *",
        "COUNT 9223372036854775807",
    ],
)
@pytest.mark.parametrize("fields", [3, 1000])
def test_hscan(pair: ClientPair, fields: int, options: str) -> None:
    fill(pair, fields)
    pair.assert_same(f"HSCAN h 0 {options}", f"HSCAN none 0 {options}", f"HSCAN h x {options}")


def test_hscan_comes_past_every_field(pair: ClientPair) -> None:
    fill(pair, 5000)
    for client in (pair.subject, pair.oracle):
        seen: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:
            cursor, found = plain(parse(client.call(["HSCAN", "h", cursor, "COUNT", "20"])))
            seen.update(zip(found[::2], found[1::2], strict=True))
            if cursor == b"0":
                break
        assert seen == {b"field:%d" % n: b"v%d" % n for n in range(5000)}


@pytest.mark.parametrize("fields", [5, 700])
def test_the_key_as_a_whole(pair: ClientPair, fields: int) -> None:
    fill(pair, fields)
    pair.assert_same(
        "EXPIRE h 1000",
        "COPY h copy",
        "HSET copy field:1 changed",
        "HGET h field:1",
        "HGETALL copy",
        "TTL copy",
        "RENAME h moved",
        "HGETALL moved",
        "TTL moved",
        "HSET moved more 1",
        "MOVE moved 3",
        "EXISTS moved h",
        "SELECT 3",
        "HGETALL moved",
        "HDEL moved more",
        "SWAPDB 0 3",
        "HLEN moved",
        "SELECT 0",
        "HLEN moved",
        "TTL moved",
        "PERSIST moved",
        "COPY copy moved",
        "COPY copy moved REPLACE",
        "HGETALL moved",
        "SCAN 0 COUNT 1000 TYPE hash",
        "SCAN 0 COUNT 1000 TYPE set",
        "SCAN 0 COUNT 1000 TYPE nonesuch",
        "DEL moved copy",
        "DBSIZE",
    )


def test_a_hash_grows_and_shrinks(pair: ClientPair, rng: random.Random) -> None:
    """Over every threshold, with values that change their lengths."""
    for n in range(1500):
        pair.assert_same(["HSET", "h", f"field:{rng.randrange(800)}", "x" * rng.choice([0, 1, 5, 63, 64, 100])])
        if n % 5 == 0:
            pair.assert_same(["HDEL", "h", f"field:{rng.randrange(800)}"])
    pair.assert_same("HGETALL h")
    for n in range(800):
        pair.assert_same(["HDEL", "h", f"field:{n}"])
    pair.assert_same(*READS)


def test_hits_misses_and_changes_are_counted(resp2_pair: ClientPair) -> None:
    commands: list[Words] = [*EVERY_COMMAND, "HSET h a 1 b 2", "HSET h b 3 c 4", "HDEL h a nonesuch", "HSETNX h b 1"]
    resp2_pair.assert_same("CONFIG RESETSTAT", "FLUSHALL")
    before = [changes(client) for client in (resp2_pair.subject, resp2_pair.oracle)]
    for command in commands:
        for client in (resp2_pair.subject, resp2_pair.oracle):
            client.call(command)
        counts = []
        for client, start in zip((resp2_pair.subject, resp2_pair.oracle), before, strict=True):
            info = client.value("INFO stats")
            counts.append(
                [line for line in info.split(b"\r\n") if line.startswith(b"keyspace_")] + [changes(client) - start]
            )
        assert counts[0] == counts[1], command


def changes(client: object) -> int:
    info: bytes = client.value("INFO persistence")  # type: ignore[attr-defined]
    return int(info.split(b"rdb_changes_since_last_save:")[1].split(b"\r\n")[0])


@pytest.mark.parametrize("thresholds", [{}, {"hash_max_listpack_entries": 4}, {"hash_max_ziplist_value": 10}])
def test_encodings(fresh_pair: Callable[..., ClientPair], thresholds: dict[str, int]) -> None:
    pair = fresh_pair(**thresholds)
    for fields in (1, 4, 5, 128, 512, 513):
        pair.assert_same("DEL h")
        fill(pair, fields)
        pair.assert_same("OBJECT ENCODING h", "OBJECT REFCOUNT h", "OBJECT IDLETIME h", "OBJECT FREQ h")
    for size in (1, 10, 11, 64, 65):
        pair.assert_same("DEL h", ["HSET", "h", "a", "x" * size], "OBJECT ENCODING h")
        pair.assert_same("DEL h", ["HSET", "h", "x" * size, "a"], "OBJECT ENCODING h")
    pair.assert_same("CONFIG SET hash-max-listpack-value 3", "HSET g a 1234", "OBJECT ENCODING g")
    pair.assert_same("CONFIG GET hash-max-*", compare=pairs_unordered)


def test_digests_are_those_of_redis(pair: ClientPair) -> None:
    pair.assert_same("HSET h a 1", "DEBUG DIGEST-VALUE h", "DEBUG DIGEST", "HSET h b 2 c 3", "DEBUG DIGEST-VALUE h")
    fill(pair, 1000)
    pair.assert_same("DEBUG DIGEST-VALUE h", "EXPIRE h 1000", "DEBUG DIGEST-VALUE h none", "DEBUG DIGEST")


@pytest.mark.parametrize("fields", [3, 3000])
def test_debug_tells_of_a_hash(resp2_pair: ClientPair, fields: int) -> None:
    fill(resp2_pair, fields)
    subject = resp2_pair.subject
    encoding = resp2_pair.oracle.value("OBJECT ENCODING h")
    assert b"encoding:" + encoding + b" serializedlength:" in subject.value("DEBUG OBJECT h")
    assert subject.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"


def test_memory_usage_counts_every_element(resp2_pair: ClientPair) -> None:
    subject = resp2_pair.subject
    fill(resp2_pair, 3)
    small = int(subject.value("MEMORY USAGE h"))
    assert 3 * 9 < small < 5000  # one key has the whole block of the index
    fill(resp2_pair, 20_000, b"v" * 100)
    large = int(subject.value("MEMORY USAGE h"))
    assert 20_000 * 115 < large < 20_000 * 180


@pytest.mark.parametrize("fields", [1, 3000])
def test_a_dump_keeps_hashes(pair: ClientPair, fields: int) -> None:
    fill(pair, fields)
    pair.assert_same(
        "EXPIRE h 1000", "DEBUG DIGEST", "DEBUG RELOAD", "DEBUG DIGEST", "HLEN h", "HGETALL h", "HSET h a 1"
    )
    pair.assert_same("DEBUG RELOAD NOSAVE NOFLUSH MERGE", "HLEN h", "DEBUG DIGEST", "DBSIZE")
