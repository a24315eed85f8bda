"""Commands on strings: every option, error and edge, compared with a real redis-server."""

from __future__ import annotations

import random

import pytest

from tests.harness import ClientPair, Words

FAR_S = 33_000_000_000
FAR_MS = FAR_S * 1000
NOT_INTEGERS = ["", "x", "1.0", "+1", " 1", "1 ", "01", "-0", "0x1", "1e3", "1_000", "9223372036854775808", "9" * 400]
INTEGERS = ["0", "-1", "1", "9223372036854775807", "-9223372036854775808"]

SET_OPTIONS = [
    "NX",
    "XX",
    "GET",
    "KEEPTTL",
    "EX 100",
    "PX 100000",
    f"EXAT {FAR_S}",
    f"PXAT {FAR_MS}",
    "PERSIST",
    "nx",
    "Xx",
    "gEt",
    "EX",
    "PX",
    "nonesuch",
    "",
    "EX 0",
    "EX -1",
    "EX x",
    "EX 1.5",
    "EX 9223372036854775",
    "EX 9223372036854776",
    "PX 9223372036854775807",
    "PX 9223372036854775000",
    "EXAT 9223372036854775",
    "EXAT 9223372036854776",
    "PXAT 9223372036854775807",
    "PXAT 0",
    "EXAT -5",
]


def with_options(start: list[str | bytes], *options: str) -> Words:
    return [*start, *(word for option in options for word in (option.split(" ") if option else [""]))]


@pytest.mark.parametrize(
    "before", [[], ["SET key before"], ["SET key before EX 1000"]], ids=["missing", "there", "timed"]
)
def test_set_with_every_pair_of_options(resp2_pair: ClientPair, before: list[str]) -> None:
    commands: list[Words] = []
    for first in SET_OPTIONS:
        commands += ["DEL key", *before, with_options(["SET", "key", "value"], first), "GET key", "TTL key"]
        for second in SET_OPTIONS:
            commands += ["DEL key", *before, with_options(["SET", "key", "value"], first, second), "GET key", "TTL key"]
    resp2_pair.assert_same(*commands)


@pytest.mark.parametrize(
    "before", [[], ["SET key value"], ["SET key value EX 1000"]], ids=["missing", "there", "timed"]
)
def test_getex_with_every_pair_of_options(resp2_pair: ClientPair, before: list[str]) -> None:
    commands: list[Words] = []
    for first in SET_OPTIONS:
        commands += ["DEL key", *before, with_options(["GETEX", "key"], first), "TTL key"]
        for second in SET_OPTIONS[:10]:
            commands += ["DEL key", *before, with_options(["GETEX", "key"], first, second), "TTL key"]
    resp2_pair.assert_same(*commands)


def test_a_time_in_the_past(pair: ClientPair) -> None:
    pair.assert_same(
        "SET a 1 PXAT 1",
        "GET a",
        "SET b 1 EXAT 1",
        "EXISTS b",
        "SET c 1",
        "GETEX c EXAT 1",
        "EXISTS c",
        "SET d 1",
        "GETEX d PXAT 1000",
        "GET d",
        "DBSIZE",
    )


def test_set_get_nx_and_xx(pair: ClientPair) -> None:
    pair.assert_same(
        "SET a 1 NX GET",
        "SET a 2 NX GET",
        "GET a",
        "SET a 3 XX GET",
        "SET none 3 XX GET",
        "EXISTS none",
        "SET a 4 KEEPTTL GET EX 5",
        "SET a 4 GET KEEPTTL",
        "GETSET a 5",
        "GETSET b 6",
        "GETDEL b",
        "GETDEL b",
    )


@pytest.mark.parametrize("command", ["SETEX", "PSETEX"])
@pytest.mark.parametrize("amount", ["100000", "0", "-1", "9223372036854775807", "9223372036854775", *NOT_INTEGERS])
def test_setex(resp2_pair: ClientPair, command: str, amount: str) -> None:
    resp2_pair.assert_same("SET key old", [command, "key", amount, "new"], "GET key", "TTL key")


def test_many_keys_at_once(pair: ClientPair) -> None:
    pair.assert_same(
        "MSET a 1 b 2 c 3",
        "MGET a b c d a",
        "MSET a 1 b",
        "MSET a",
        "MSETNX d 4 a 9",
        "MGET a d",
        "MSETNX d 4 e 5 d 6",
        "MGET d e",
        "MSETNX x",
        "MSETNX x 1 y",
        "SETNX a 9",
        "SETNX f 9",
        "SET timed 1 EX 100",
        "MSET timed 2",
        "TTL timed",
    )


@pytest.mark.parametrize("number", INTEGERS + NOT_INTEGERS)
def test_integers_are_read_strictly(resp2_pair: ClientPair, number: str) -> None:
    for command in ("INCRBY", "DECRBY"):
        for stored in ("5", "-5", "0"):
            resp2_pair.assert_same(["SET", "key", stored], [command, "key", number], "GET key", "OBJECT ENCODING key")
    for command in ("INCR", "DECR"):
        resp2_pair.assert_same(["SET", "key", number], "OBJECT ENCODING key", [command, "key"], "GET key")
    resp2_pair.assert_same(
        "SET key hello",
        ["GETRANGE", "key", number, "3"],
        ["GETRANGE", "key", "0", number],
        ["SUBSTR", "key", number, number],
        ["SETRANGE", "key", number if len(number) < 4 else "x" + number, "x"],
        ["SETRANGE", "none", number, ""],
    )


def test_counters_stop_at_the_ends_of_64_bits(pair: ClientPair) -> None:
    pair.assert_same(
        "SET up 9223372036854775806",
        "INCR up",
        "INCR up",
        "INCRBY up 5",
        "GET up",
        "SET down -9223372036854775807",
        "DECR down",
        "DECR down",
        "DECRBY down 1",
        "DECRBY down -9223372036854775808",
        "INCRBY down 9223372036854775807",
        "INCR new",
        "DECRBY other -7",
        "SET timed 1 EX 100",
        "INCR timed",
        "TTL timed",
        "SET word x",
        "INCR word",
        "GET word",
    )


FLOATS = [
    "0",
    "-0",
    "0.0",
    "1",
    "3.0",
    "3.14",
    "-3.14",
    ".5",
    "5.",
    "+5",
    "1e3",
    "1E-3",
    "1e-17",
    "1e-18",
    "1e17",
    "1e20",
    "123456789012345678901234567890",
    "0.1",
    "0.2",
    "0.30000000000000004",
    "1e4932",
    "-1e4932",
    "1e4933",
    "1e-4950",
    "1e-5000",
    "0x10",
    "0x1.8p1",
    "inf",
    "-inf",
    "infinity",
    "nan",
    "NAN(1)",
    "",
    " 1",
    "1 ",
    "1\x00",
    "1.5.5",
    "--1",
    "1,5",
    "x",
    "9" * 200,
    "9" * 5200,
    "9223372036854775807",
]


def test_incrbyfloat_with_every_pair_of_numbers(resp2_pair: ClientPair) -> None:
    for stored in FLOATS:
        resp2_pair.assert_same_pipeline(
            *(
                command
                for amount in FLOATS
                for command in (
                    ["SET", "key", stored],
                    ["INCRBYFLOAT", "key", amount],
                    "GET key",
                    "OBJECT ENCODING key",
                )
            )
        )


def test_incrbyfloat_gives_every_digit(resp2_pair: ClientPair, rng: random.Random) -> None:
    def number() -> str:
        digits = f"{rng.randrange(10 ** rng.randrange(1, 19))}.{rng.randrange(10 ** rng.randrange(1, 19))}"
        exponent = f"e{rng.randrange(-25, 25)}" if rng.random() < 0.3 else ""
        return rng.choice(["", "-"]) + digits + exponent

    for _ in range(40):
        resp2_pair.assert_same_pipeline(
            *(
                command
                for _ in range(50)
                for command in (["SET", "key", number()], ["INCRBYFLOAT", "key", number()], "GET key")
            )
        )


def test_incrbyfloat_of_a_new_key_and_of_one_with_a_time(pair: ClientPair) -> None:
    pair.assert_same(
        "INCRBYFLOAT new 10.5",
        "INCRBYFLOAT new -10.5",
        "OBJECT ENCODING new",
        "INCR new",
        "OBJECT ENCODING new",
        "SET timed 1 EX 100",
        "INCRBYFLOAT timed 0.1",
        "TTL timed",
        "COPY new other",
        "INCRBYFLOAT other 1",
        "RENAME other renamed",
        "OBJECT ENCODING renamed",
        "COPY renamed copy",
        "OBJECT ENCODING copy",
    )


@pytest.mark.parametrize("length", [0, 1, 5, 44, 45, 20_000])
def test_ranges(resp2_pair: ClientPair, length: int) -> None:
    ends = sorted(
        {-length - 2, -length - 1, -length, -2, -1, 0, 1, length - 1, length, length + 1, 2**63 - 1, -(2**63)}
    )
    resp2_pair.assert_same(["SET", "key", bytes(i % 251 for i in range(length))])
    for start in ends:
        resp2_pair.assert_same_pipeline(*(["GETRANGE", "key", start, end] for end in ends))
    resp2_pair.assert_same("GETRANGE none 0 -1", "SUBSTR none 0 -1", "STRLEN key", "STRLEN none")


def test_setrange_and_append(pair: ClientPair) -> None:
    pair.assert_same(
        ["SETRANGE", "none", "10", ""],
        "EXISTS none",
        "SETRANGE key 5 hello",
        "GET key",
        "SETRANGE key 0 XY",
        "GET key",
        "SETRANGE key 20 z",
        "GET key",
        ["SETRANGE", "key", "100", ""],
        ["SETRANGE", "key", "-1", ""],
        "SETRANGE key -1 x",
        "SETRANGE key 536870911 x",
        "SETRANGE key 536870912 x",
        "SETRANGE key 9223372036854775807 x",
        "SETRANGE none 536870912 x",
        ["SETRANGE", "none", "9223372036854775807", ""],
        "OBJECT ENCODING key",
        "APPEND new 12",
        "OBJECT ENCODING new",
        "APPEND new 34",
        "OBJECT ENCODING new",
        "GET new",
        ["APPEND", "empty", ""],
        "EXISTS empty",
        ["APPEND", "empty", ""],
        "OBJECT ENCODING empty",
        "SET timed 1 EX 100",
        "APPEND timed x",
        "SETRANGE timed 4 y",
        "TTL timed",
        "GET timed",
    )


def test_no_string_may_be_longer_than_the_limit(fresh_pair) -> None:  # type: ignore[no-untyped-def]
    pair = fresh_pair(proto_max_bulk_len="1mb")
    pair.assert_same(
        ["SET", "key", b"x" * (1 << 20)],
        "APPEND key y",
        ["APPEND", "key", ""],
        "STRLEN key",
        ["SET", "key", b"x" * ((1 << 20) - 3)],
        "APPEND key 1234",
        "APPEND key 123",
        "SETRANGE key 1048575 y",
        "SETRANGE key 1048576 y",
        "SETRANGE key 1048575 yz",
        "SETRANGE none 1048576 y",
        ["SETRANGE", "none", 1 << 20, ""],
        ["APPEND", "new", b"x" * (1 << 20)],
        "SETBIT bits 8388607 1",
        "SETBIT bits 8388608 1",
        "GETBIT bits 8388608",
        "BITFIELD field SET u8 8388607 255",
        "BITFIELD field GET u8 8388608",
        "STRLEN field",
        ["MSET", "a", b"ab" * 500, "b", b"ba" * 500],
        ["LCS", "a", "b", "LEN"],
    )


LCS_PAIRS = [
    ("ohmytext", "mynewtext"),
    ("", ""),
    ("", "abc"),
    ("abc", ""),
    ("abc", "abc"),
    ("abc", "xyz"),
    ("aaaa", "aa"),
    ("aa", "aaaa"),
    ("abcdefgh", "hgfedcba"),
    ("xaxbxcx", "abc"),
    ("abc", "xaxbxcx"),
    ("\x00\xff", "\xff\x00"),
]
LCS_OPTIONS = [
    "",
    "LEN",
    "IDX",
    "idx withmatchlen",
    "IDX MINMATCHLEN 2",
    "IDX MINMATCHLEN 3 WITHMATCHLEN",
    "IDX MINMATCHLEN -5 WITHMATCHLEN",
    "IDX MINMATCHLEN 0",
    "MINMATCHLEN 4",
    "WITHMATCHLEN",
    "LEN MINMATCHLEN 4",
    "LEN IDX",
    "IDX LEN WITHMATCHLEN",
    "MINMATCHLEN",
    "MINMATCHLEN x",
    "IDX MINMATCHLEN 9223372036854775807",
    "nonesuch",
]


@pytest.mark.parametrize(("a", "b"), LCS_PAIRS)
def test_lcs(pair: ClientPair, a: str, b: str) -> None:
    pair.assert_same(["MSET", "a", a.encode("latin-1"), "b", b.encode("latin-1")])
    for options in LCS_OPTIONS:
        pair.assert_same(["LCS", "a", "b", *options.split()], ["LCS", "b", "none", *options.split()])


def test_lcs_of_random_strings(resp2_pair: ClientPair, rng: random.Random) -> None:
    for _ in range(150):
        letters = rng.choice([b"ab", b"abc", b"abcdefghij", bytes(range(256))])
        a, b = (bytes(rng.choices(letters, k=rng.randrange(rng.choice([3, 10, 70])))) for _ in range(2))
        resp2_pair.assert_same(["MSET", "a", a, "b", b], "LCS a b", "LCS a b LEN", "LCS a b IDX WITHMATCHLEN")


def test_lcs_of_long_strings(resp2_pair: ClientPair, rng: random.Random) -> None:
    a, b = (bytes(rng.choices(b"ACGT", k=size)) for size in (3000, 1000))
    resp2_pair.assert_same(["MSET", "a", a, "b", b])
    for one, other in ("ab", "ba"):
        resp2_pair.assert_same(
            ["LCS", one, other], ["LCS", one, other, "LEN"], ["LCS", one, other, "IDX", "MINMATCHLEN", "3"]
        )
    long = b"x" * 20_000
    resp2_pair.assert_same(["MSET", "a", long, "b", long], "LCS a b LEN")


@pytest.mark.parametrize(
    "value", [b"", b"\r\n", b"\x00" * 10, bytes(range(256)), b"$5\r\nhello\r\n", "ä€".encode(), b"x" * 100_000]
)
def test_any_bytes_are_keys_and_values(pair: ClientPair, value: bytes) -> None:
    key = value[:1000]
    pair.assert_same(
        ["SET", key, value],
        ["GET", key],
        ["STRLEN", key],
        ["MGET", key, b"x" + key],
        ["APPEND", key, value],
        ["GETRANGE", key, 1, -2],
        ["GETSET", key, value[::-1]],
        ["GETDEL", key],
        ["EXISTS", key],
    )


STRING_COMMANDS = [
    *("GET", "SET", "SETNX", "SETEX", "PSETEX", "GETSET", "GETDEL", "GETEX", "MGET", "MSET", "MSETNX"),
    *("STRLEN", "APPEND", "SETRANGE", "GETRANGE", "SUBSTR", "LCS"),
    *("INCR", "DECR", "INCRBY", "DECRBY", "INCRBYFLOAT"),
]


def test_arity(pair: ClientPair) -> None:
    for name in STRING_COMMANDS:
        for count in range(6):
            pair.assert_same([name, *["100000"] * count])  # also a time that does not pass meanwhile


def test_dirty_counts_each_change(resp2_pair: ClientPair) -> None:
    """rdb_changes_since_last_save decides when save points fire."""

    def dirty(commands: list[Words]) -> list[int]:
        counts = []
        for command in commands:
            before = [server.info("persistence")["rdb_changes_since_last_save"] for server in resp2_pair.servers]
            resp2_pair.assert_same(command)
            after = [server.info("persistence")["rdb_changes_since_last_save"] for server in resp2_pair.servers]
            changes = [int(new) - int(old) for new, old in zip(after, before, strict=True)]
            assert changes[0] == changes[1], f"{command}: {changes[0]} changes, {changes[1]} in Redis"
            counts.append(changes[0])
        return counts

    dirty(
        [
            "SET a 1",
            "SET a 1 EX 100",
            "SET a 1 NX",
            "SET none 1 XX",
            "SETNX a 1",
            "SETNX b 1",
            "MSET a 1 b 2 c 3",
            "MSETNX a 1 d 2",
            "MSETNX x 1 y 2",
            "GETSET a 2",
            "GETEX a EX 100",
            "GETEX a PERSIST",
            "GETEX a PERSIST",
            "GETEX a EXAT 1",
            "GETDEL b",
            "GETDEL b",
            ["APPEND", "c", ""],
            "APPEND c x",
            ["SETRANGE", "c", "0", ""],
            "SETRANGE c 0 x",
            "INCR n",
            "INCRBYFLOAT n 0",
            "SETBIT bits 7 0",
            "SETBIT bits 7 0",
            "SETBIT bits 7 1",
            "BITFIELD bits SET u8 0 1 SET u8 0 1 INCRBY u8 0 1 GET u8 0",
            "BITFIELD bits OVERFLOW FAIL INCRBY u2 0 100",
            "BITFIELD long SET u8 800 0 SET u8 0 0",
            "BITOP NOT out bits",
            "BITOP AND out none",
            "BITOP AND out none",
            "EXPIRE c 100",
            "EXPIRE c 100",
            "EXPIRE c 100 NX",
            "PERSIST c",
            "PERSIST c",
            "EXPIRE c -1",
            "RENAME n m",
            "RENAME m m",
            "RENAMENX m x",
            "COPY m copy",
            "COPY m copy",
            "COPY m copy REPLACE",
            "MOVE m 1",
            "DEL x y none",
            "UNLINK copy",
            "SWAPDB 0 1",
            "SWAPDB 0 0",
            "FLUSHDB",
            "MSET a 1 b 2",
            "FLUSHALL",
        ]
    )
