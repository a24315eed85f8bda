"""Commands on keys: every option, error and edge, compared with a real redis-server."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.harness import ClientPair, Words, parse, unordered, wait_until

FAR_S = 33_000_000_000
EXPIRE_COMMANDS = ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"]
CONDITIONS = ["NX", "XX", "GT", "LT", "nx", "nonesuch", ""]
AMOUNTS = {
    "EXPIRE": ["1000", "5000", "100000", "0", "-1"],
    "PEXPIRE": ["1000000", "5000000", "100000000", "0", "-1"],
    "EXPIREAT": [str(FAR_S), str(FAR_S + 1000), str(FAR_S - 1000), "0", "1"],
    "PEXPIREAT": [f"{FAR_S}000", f"{FAR_S + 1000}000", f"{FAR_S - 1000}000", "0", "-1"],
}
EDGES = [
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "9223372036854775",
    "9223372036854776",
    "-9223372036854775",
    "-9223372036854776",
    "9223370000000000",
    "9223372036854770000",
    "",
    "x",
    "1.5",
    "+1",
    "01",
    " 1",
]


@pytest.mark.parametrize("command", EXPIRE_COMMANDS)
@pytest.mark.parametrize("before", ["DEL key", "SET key 1", "SET key 1 EX 4000"], ids=["missing", "there", "timed"])
def test_expire_with_every_pair_of_conditions(resp2_pair: ClientPair, command: str, before: str) -> None:
    pairs = [(), *((each,) for each in CONDITIONS), *itertools.product(CONDITIONS, repeat=2), ("XX", "GT", "LT")]
    for amount in AMOUNTS[command]:
        for conditions in pairs:
            resp2_pair.assert_same(before, [command, "key", amount, *conditions], "TTL key", "EXISTS key")


@pytest.mark.parametrize("command", EXPIRE_COMMANDS)
@pytest.mark.parametrize("amount", EDGES)
def test_times_at_the_edges(resp2_pair: ClientPair, command: str, amount: str) -> None:
    resp2_pair.assert_same(
        [command, "none", amount],
        [command, "none", amount, "nonesuch"],
        "SET key 1",
        [command, "key", amount, "NX", "XX"],
        [command, "key", amount],
        "EXISTS key",
        "EXPIRETIME key",
        "PEXPIRETIME key",
        "PTTL key",
        "TTL key",
    )


def test_reading_times(pair: ClientPair) -> None:
    pair.assert_same(
        "SET key 1",
        *(f"{command} {key}" for command in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME") for key in ("key", "none")),
        f"PEXPIREAT key {FAR_S}499",
        "EXPIRETIME key",
        "PEXPIRETIME key",
        f"PEXPIREAT key {FAR_S}500",
        "EXPIRETIME key",
        "PEXPIRETIME key",
        "PERSIST key",
        "PERSIST key",
        "PERSIST none",
        "TTL key",
    )


def test_a_key_expires(resp2_pair: ClientPair) -> None:
    resp2_pair.assert_same("SET a 1 PX 30", "SET b 1 PX 30", "SET c 1 PX 100000")
    wait_until(lambda: resp2_pair.subject.value("DBSIZE") == resp2_pair.oracle.value("DBSIZE") == 1, "the keys expire")
    resp2_pair.assert_same("GET a", "EXISTS b", "TTL a", "TYPE a", "RENAME a b", "COPY a b", "KEYS *", "RANDOMKEY")
    for server in resp2_pair.servers:
        assert int(server.info("stats")["expired_keys"]) >= 2


def test_delete_exists_touch_type(pair: ClientPair) -> None:
    pair.assert_same(
        "MSET a 1 b 2 c 3",
        "EXISTS a b c d a",
        "TOUCH a b d a",
        "TYPE a",
        "TYPE none",
        "DEL a a none",
        "UNLINK b b none",
        "EXISTS a b c",
        "DEL c",
        "DBSIZE",
    )


def test_rename(pair: ClientPair) -> None:
    pair.assert_same(
        "RENAME none other",
        "RENAME none none",
        "RENAMENX none other",
        "RENAMENX none none",
        "SET a 1 EX 1000",
        "SET b 2 EX 5000",
        "RENAME a a",
        "RENAMENX a a",
        "RENAMENX a b",
        "TTL a",
        "RENAME a b",
        "GET b",
        "TTL b",
        "EXISTS a",
        "RENAMENX b c",
        "TTL c",
        "SET d 1",
        "RENAME d c",
        "TTL c",
        "RENAMENX none c",
        "DBSIZE",
    )


DATABASES = ["0", "1", "15", "16", "-1", "x", "", "1.0", "2147483647", "2147483648", "-2147483649", "9" * 30]


@pytest.mark.parametrize("number", DATABASES)
def test_database_numbers(resp2_pair: ClientPair, number: str) -> None:
    resp2_pair.assert_same(
        "SET key value EX 1000",
        ["MOVE", "none", number],
        ["COPY", "key", "other", "DB", number],
        ["COPY", "none", "other", "DB", number],
        ["COPY", "key", "key", "DB", number],
        ["COPY", "key", "key", "DB", number, "REPLACE"],
        ["MOVE", "key", number],
        "DBSIZE",
    )


def test_move_and_copy(pair: ClientPair) -> None:
    pair.assert_same(
        "SET a 1 EX 1000",
        "MOVE a 1",
        "EXISTS a",
        "SET a 2",
        "MOVE a 1",
        "MOVE a 0",
        "MOVE none 0",
        "SELECT 1",
        "TTL a",
        "GET a",
        "COPY a b",
        "TTL b",
        "COPY a b",
        "COPY a b REPLACE",
        "COPY a a",
        "COPY a a REPLACE",
        "COPY none none",
        "COPY none x",
        "COPY none b REPLACE",
        "GET b",
        "COPY a a DB 0",
        "COPY a a DB 0 REPLACE",
        "COPY a a replace db 2",
        "COPY a c DB",
        "COPY a c DB 0 DB 3",
        "COPY a c nonesuch",
        "COPY a c REPLACE nonesuch",
        "SELECT 0",
        "GET a",
        "TTL a",
        "DBSIZE",
        "SELECT 3",
        "TTL c",
        "SET d 12",
        "APPEND d 3",
        "COPY d e",
        "OBJECT ENCODING e",
    )


LETTERS = [b"a", b"b", b"c", b"A", b"-", b"]", b"[", b"^", b"*", b"?", b"\\", b"\xff", b"\x00", b"\x80", b"_"]


def test_keys_with_random_patterns(resp2_pair: ClientPair, rng: random.Random) -> None:
    names = {b"".join(rng.choices(LETTERS, k=rng.randrange(7))) for _ in range(400)} | {b""}
    resp2_pair.assert_same_pipeline(*(["SET", name, "1"] for name in names))
    weights = [3, 3, 2, 1, 3, 5, 6, 3, 5, 2, 3, 1, 1, 1, 1]
    for _ in range(800):
        pattern = b"".join(rng.choices(LETTERS, weights=weights, k=rng.randrange(9)))
        resp2_pair.assert_same(["KEYS", pattern], compare=unordered)


def scan_all(pair: ClientPair, side: str, *options: str) -> list[bytes]:
    client = getattr(pair, side)
    found: list[bytes] = []
    cursor = b"0"
    while True:
        cursor, some = (part.payload for part in client.value(["SCAN", cursor, *options]))
        found += [name.payload for name in some]
        if cursor == b"0":
            return found


@pytest.mark.parametrize("size", [0, 1, 50, 3000])
@pytest.mark.parametrize(
    "options",
    ["", "COUNT 7", "MATCH *1*", "MATCH * COUNT 1000", "TYPE string", "TYPE STRING MATCH ?2", "TYPE list", "type none"],
)
def test_scan_gives_what_redis_gives(resp2_pair: ClientPair, size: int, options: str) -> None:
    if size:
        resp2_pair.assert_same(["MSET", *(word for i in range(size) for word in (i, "x"))])
    subject, oracle = (scan_all(resp2_pair, side, *options.split()) for side in ("subject", "oracle"))
    assert len(subject) == len(set(subject))
    assert sorted(subject) == sorted(oracle)


@pytest.mark.parametrize(
    "words",
    [
        "x",
        "1.0",
        " 0",
        "0 COUNT",
        "0 COUNT 0",
        "0 COUNT -1",
        "0 COUNT x",
        "0 COUNT 9223372036854775808",
        "0 MATCH",
        "0 TYPE",
        "0 nonesuch",
        "0 COUNT 10 nonesuch x",
        "0 MATCH a MATCH * COUNT 1 COUNT 1000",
        "+0",
        "-0",
        "00",
        "0x0",
        "-",
        "+",
        "18446744073709551616",
        "99999999999999999999999",
        "0 count 9223372036854775807",
    ],
)
def test_scan_arguments(pair: ClientPair, words: str) -> None:
    pair.assert_same("SET key value", ["SCAN", *words.split(" ")])
    pair.assert_same(["SCAN", *words.split(" "), ""], ["SCAN", ""])


def test_random_key(pair: ClientPair) -> None:
    pair.assert_same("RANDOMKEY", "SET key value", "SET gone value PXAT 1")
    assert {pair.subject.value("RANDOMKEY") for _ in range(20)} == {b"key"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "-1",
        "9999",
        "10000",
        "-5",
        "9223372036854775807",
        "9223372036854775808",
        "01",
        "3.0",
        "x" * 44,
        "x" * 45,
    ],
)
def test_object(pair: ClientPair, value: str) -> None:
    for command in ("ENCODING", "REFCOUNT", "IDLETIME", "FREQ", "nonesuch", "encoding"):
        pair.assert_same(["SET", "key", value], ["OBJECT", command, "key"], ["OBJECT", command, "none"])
    pair.assert_same("OBJECT", "OBJECT ENCODING", "OBJECT ENCODING a b", "OBJECT HELP x", "OBJECT REFCOUNT")


def test_object_help_has_the_same_subcommands(resp2_pair: ClientPair) -> None:
    subject, oracle = (
        [line.payload for line in parse(client.call("OBJECT HELP")).payload if not line.payload.startswith(b" ")]
        for client in (resp2_pair.subject, resp2_pair.oracle)
    )
    assert subject == oracle


def test_object_freq_needs_its_policy(pair: ClientPair) -> None:
    pair.assert_same(
        "SET key value", "OBJECT FREQ key", "OBJECT IDLETIME key", "OBJECT FREQ none", "OBJECT IDLETIME none"
    )


@pytest.mark.parametrize("maxmemory", ["0", "1gb"])
def test_refcount_of_small_numbers(fresh_pair, maxmemory: str) -> None:  # type: ignore[no-untyped-def]
    pair = fresh_pair(maxmemory=maxmemory)
    pair.assert_same("MSET a 1 b 9999 c 10000 d x", *(f"OBJECT REFCOUNT {key}" for key in "abcd"))


def test_hits_and_misses(resp2_pair: ClientPair) -> None:
    """keyspace_hits and keyspace_misses count what Redis counts."""
    commands: list[Words] = [
        "GET key",
        "GET none",
        "SET key 1 GET",
        "SET key 1 NX",
        "SET key 1 KEEPTTL",
        "GETSET key 2",
        "GETDEL none",
        "GETEX key",
        "MGET key none key",
        "SETNX key 1",
        "MSETNX key 1 none 2",
        "APPEND key 1",
        "STRLEN key",
        "STRLEN none",
        "GETRANGE key 0 -1",
        "SUBSTR none 0 -1",
        "SETRANGE key 0 x",
        "SET key 1",
        "INCR key",
        "INCRBYFLOAT key 1",
        "LCS key none",
        "SETBIT key 1 1",
        "GETBIT key 1",
        "GETBIT none 1",
        "BITCOUNT key",
        "BITCOUNT none",
        "BITPOS key 1",
        "BITPOS none 1",
        "BITOP AND out key none",
        "BITFIELD key GET u8 0",
        "BITFIELD none GET u8 0",
        "BITFIELD key SET u8 0 1",
        "BITFIELD_RO key GET u8 0",
        "EXISTS key none",
        "TYPE key",
        "TYPE none",
        "TOUCH key none",
        "TTL key",
        "PTTL none",
        "EXPIRETIME key",
        "EXPIRE key 1000",
        "EXPIRE none 1000",
        "PERSIST key",
        "RENAME key other",
        "RENAME other key",
        "RENAMENX key key",
        "COPY key copy",
        "COPY none copy",
        "MOVE copy 1",
        "KEYS *",
        "SCAN 0 COUNT 100 TYPE string",
        "OBJECT ENCODING key",
        "OBJECT REFCOUNT none",
        "OBJECT IDLETIME key",
        "DEL key none",
        "UNLINK none",
    ]
    for command in commands:
        counts = []
        before = [server.info("stats") for server in resp2_pair.servers]
        resp2_pair.assert_same(command)
        after = [server.info("stats") for server in resp2_pair.servers]
        for old, new in zip(before, after, strict=True):
            counts.append([int(new[name]) - int(old[name]) for name in ("keyspace_hits", "keyspace_misses")])
        assert counts[0] == counts[1], command


def test_arity(pair: ClientPair) -> None:
    names = [
        "DEL",
        "UNLINK",
        "EXISTS",
        "TYPE",
        "TTL",
        "PTTL",
        "EXPIRETIME",
        "PEXPIRETIME",
        "PERSIST",
        "RENAME",
        "RENAMENX",
    ]
    names += ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "COPY", "MOVE", "KEYS", "SCAN", "RANDOMKEY", "TOUCH"]
    for name in names:
        for count in range(6):
            pair.assert_same([name, *["100000"] * count])  # also a time that does not pass meanwhile


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_scan_of_a_tiny_database_needs_one_call(pair: ClientPair, count: int) -> None:
    pair.assert_same(*[f"SET key:{number} 1" for number in range(count)])
    for client in (pair.subject, pair.oracle):
        cursor, keys = (part.payload for part in client.value("SCAN 0"))
        assert (cursor, len(keys)) == (b"0", count)


@pytest.mark.parametrize("number", ["2147483647", "2147483648", "-2147483649", "9223372036854775808", "x"])
def test_numbers_of_databases_beyond_a_c_int(pair: ClientPair, number: str) -> None:
    pair.assert_same(f"SELECT {number}", f"SWAPDB {number} 0", f"SWAPDB 0 {number}", f"COPY a b DB {number}")


@pytest.mark.parametrize("count", ["9" * 5000, "+" + "9" * 11, "0" * 5000 + "1", "-" + "9" * 5000, "0" * 50])
def test_counts_of_keys_that_are_long(pair: ClientPair, count: str) -> None:
    pair.assert_same(f"COMMAND GETKEYS ZUNION {count} a")
    pair.assert_same(f"COMMAND GETKEYS EVAL x {count} a")
    pair.assert_same(f"ZUNION {count} a")
