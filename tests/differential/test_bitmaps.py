"""Commands on bits: every option, error and edge, compared with a real redis-server."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.harness import ClientPair, Server, Words

VALUES = [
    b"",
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x01",
    b"\x00\x00\x00",
    b"\xff\xff\xff",
    b"\xff\xf0\x00",
    b"\x00\xff\xf0",
    b"\x00" * 9 + b"\x10" + b"\x00" * 9,
    b"\xff" * 9 + b"\xef" + b"\xff" * 9,
    b"foobar",
    b"12345",
]
ENDS = ["0", "1", "2", "-1", "-2", "-3", "5", "7", "8", "9", "-8", "-9", "17", "75", "100", "-100"]
UNITS: list[list[str]] = [[], ["BYTE"], ["BIT"]]
NOT_INTEGERS = ["", "x", "1.0", "+1", " 1", "01", "-0", "9223372036854775808"]


@pytest.mark.parametrize("value", VALUES)
def test_bitcount_and_bitpos_of_every_range(resp2_pair: ClientPair, value: bytes) -> None:
    resp2_pair.assert_same(["SET", "key", value], "BITCOUNT key", "BITPOS key 0", "BITPOS key 1")
    commands: list[Words] = []
    for start in ENDS:
        commands += [["BITPOS", "key", bit, start] for bit in "01"]
        for end, unit in itertools.product(ENDS, UNITS):
            commands.append(["BITCOUNT", "key", start, end, *unit])
            commands += [["BITPOS", "key", bit, start, end, *unit] for bit in "01"]
    resp2_pair.assert_same_pipeline(*commands)


def test_ranges_of_long_values(resp2_pair: ClientPair, rng: random.Random) -> None:
    """Longer than what is worked through at once."""
    size = 700_000
    sparse = bytearray(size)
    sparse[600_001] = 0x04
    values = [rng.randbytes(size), bytes(sparse), bytes(255 - byte for byte in sparse)]
    for value in values:
        resp2_pair.assert_same(["SET", "key", value], "BITCOUNT key", "BITPOS key 0", "BITPOS key 1")
        for _ in range(30):
            start, end = sorted(rng.randrange(8 * size) for _ in range(2))
            for unit, scale in (("BIT", 1), ("BYTE", 8)):
                limits = [start // scale, end // scale, unit]
                resp2_pair.assert_same(
                    ["BITCOUNT", "key", *limits], ["BITPOS", "key", 0, *limits], ["BITPOS", "key", 1, *limits]
                )


@pytest.mark.parametrize("before", ["DEL key", "SET key foobar", ["SET", "key", ""]], ids=["missing", "there", "empty"])
def test_wrong_arguments_of_bitcount_and_bitpos(pair: ClientPair, before: Words) -> None:
    pair.assert_same(
        before,
        "BITCOUNT key 0",
        "BITCOUNT key x",
        "BITCOUNT key x 1",
        "BITCOUNT key 1 x",
        "BITCOUNT key 0 1 nonesuch",
        "BITCOUNT key -1 -2 nonesuch",
        "BITCOUNT key x 1 nonesuch",
        "BITCOUNT key 0 1 bit",
        "BITCOUNT key 0 1 BIT x",
        "BITPOS key 2",
        "BITPOS key x",
        "BITPOS key -1",
        "BITPOS key 2 x",
        "BITPOS key 0 x",
        "BITPOS key 0 0 x",
        "BITPOS key 0 x x",
        "BITPOS key 0 0 1 nonesuch",
        "BITPOS key 0 x 1 nonesuch",
        "BITPOS key 0 0 x nonesuch",
        "BITPOS key 0 0 x BIT",
        "BITPOS key 1 0 1 bYtE",
        "BITPOS key 1 0 1 BIT x",
    )


@pytest.mark.parametrize("offset", ["0", "7", "8", "1000", "4294967295", "4294967296", "-1", "#1", *NOT_INTEGERS])
def test_offsets_of_single_bits(resp2_pair: ClientPair, offset: str) -> None:
    commands: list[Words] = [["GETBIT", "key", offset], "SET key foobar", ["GETBIT", "key", offset]]
    if len(offset) < 8:  # a string of 512 MB in each server is for another test
        for bit in ("1", "1", "0", "0", "2", "-1", "x", ""):
            commands += [["SETBIT", "key", offset, bit], "GET key", ["GETBIT", "key", offset]]
        commands += ["DEL key", ["SETBIT", "key", offset, "0"], "GET key", "OBJECT ENCODING key"]
    else:
        commands += [["SETBIT", "key", offset, "2"], ["SETBIT", "key", offset, "x"], "EXISTS key"]
    resp2_pair.assert_same(*commands)


def test_setbit_keeps_the_time_and_makes_the_value_raw(pair: ClientPair) -> None:
    pair.assert_same(
        "SET number 10 EX 100",
        "OBJECT ENCODING number",
        "SETBIT number 1 0",
        "OBJECT ENCODING number",
        "TTL number",
        "SETBIT number 100 1",
        "TTL number",
        "GET number",
        "SET other 10",
        "BITFIELD other SET u8 0 49",
        "OBJECT ENCODING other",
        "SET third 10",
        "BITFIELD third GET u8 0",
        "OBJECT ENCODING third",
    )


def test_setbit_to_what_it_was_leaves_watches_alone(pair: ClientPair) -> None:
    other = pair.another()
    for change in (
        "SETBIT key 1 1",
        "SETBIT key 2 0",
        "SETBIT key 2 1",
        "SETBIT key 100 0",
        "BITFIELD key SET u8 0 97",
    ):
        pair.assert_same("SET key a", "WATCH key", "MULTI", "PING")
        other.assert_same(change)
        pair.assert_same("EXEC")


@pytest.mark.parametrize("operation", ["AND", "OR", "XOR", "NOT", "xor", "nonesuch"])
def test_bitop(resp2_pair: ClientPair, operation: str) -> None:
    names = [f"v{i}" for i in range(len(VALUES))]
    resp2_pair.assert_same(*(["SET", name, value] for name, value in zip(names, VALUES, strict=True)))
    resp2_pair.assert_same(
        *(
            command
            for sources in [
                *((name,) for name in names),
                *itertools.product([*names, "none"], repeat=2),
                tuple(names),
                (),
            ]
            for command in (["BITOP", operation, "out", *sources], "GET out", "OBJECT ENCODING out")
        )
    )


def test_bitop_onto_a_source_and_its_time(pair: ClientPair) -> None:
    pair.assert_same(
        "SET a abc EX 100",
        "SET b xy",
        "BITOP OR a a b",
        "GET a",
        "TTL a",
        "BITOP NOT b b",
        "GET b",
        "BITOP AND b none",
        "EXISTS b",
        "BITOP NOT none none",
        "BITOP NOT out a b",
    )


def test_bitop_of_long_values(resp2_pair: ClientPair, rng: random.Random) -> None:
    values = [rng.randbytes(size) for size in (600_000, 262_144, 1, 599_999)]
    resp2_pair.assert_same(*(["SET", f"v{i}", value] for i, value in enumerate(values)))
    for operation in ("AND", "OR", "XOR"):
        resp2_pair.assert_same(["BITOP", operation, "out", "v1", "v0", "v2", "v3"], "GET out")
    resp2_pair.assert_same("BITOP NOT out v3", "GET out")


TYPES = ["u1", "i1", "u5", "i5", "u8", "i8", "u16", "i32", "u63", "i63", "i64"]
OPERANDS = ["0", "1", "-1", "15", "16", "-16", "-17", "127", "128", "255", "256", "-128", "-129"]
OPERANDS += ["9223372036854775807", "-9223372036854775808", "4611686018427387904"]


@pytest.mark.parametrize("overflow", ["WRAP", "SAT", "FAIL"])
@pytest.mark.parametrize("kind", TYPES)
def test_bitfield_at_the_ends_of_its_types(resp2_pair: ClientPair, kind: str, overflow: str) -> None:
    commands: list[Words] = []
    for start, operand in itertools.product(OPERANDS, repeat=2):
        commands += [
            ["BITFIELD", "key", "OVERFLOW", overflow, "SET", kind, "3", start, "INCRBY", kind, "3", operand],
            ["BITFIELD", "key", "GET", kind, "3", "GET", "u63", "0", "SET", kind, "#1", operand],
        ]
    resp2_pair.assert_same_pipeline(*commands, "GET key")


@pytest.mark.parametrize(
    "kind", ["u0", "i0", "u64", "i65", "u", "i", "", "8", "x8", "U8", "u8x", "u08", "u+8", "u-8", "u 8", "#8"]
)
def test_bitfield_with_wrong_types(resp2_pair: ClientPair, kind: str) -> None:
    for command in ("BITFIELD", "BITFIELD_RO"):
        resp2_pair.assert_same([command, "key", "GET", kind, "0"], [command, "key", "SET", kind, "0", "1"])


@pytest.mark.parametrize(
    "offset",
    ["0", "#0", "#7", "4294967295", "4294967296", "-1", "#-1", "#", "##1", "x", "#x", "", "01", "#01", "#536870912"],
)
def test_bitfield_offsets(resp2_pair: ClientPair, offset: str) -> None:
    resp2_pair.assert_same("SET key foobar")
    for kind in ("u1", "u8", "i64"):
        resp2_pair.assert_same(
            ["BITFIELD", "key", "GET", kind, offset],
            ["BITFIELD_RO", "key", "GET", kind, offset],
            ["BITFIELD", "key", "GET", "u8", "0", "GET", kind, offset],
            ["BITFIELD", "none", "INCRBY", kind, offset, "x"],
        )


@pytest.mark.parametrize(
    "words",
    [
        "",
        "GET",
        "GET u8",
        "GET u8 0 SET",
        "SET u8 0",
        "SET u8 0 x",
        "SET u8 0 1.5",
        "INCRBY u8 0",
        "INCRBY u8 0 9223372036854775808",
        "OVERFLOW",
        "OVERFLOW nonesuch",
        "OVERFLOW WRAP",
        "overflow sat get u8 0",
        "nonesuch u8 0",
        "GET u8 0 nonesuch",
        "SET u8 0 1 GET u8 0 INCRBY u8 0 5 GET u8 0",
        "OVERFLOW FAIL INCRBY u2 0 5 OVERFLOW SAT INCRBY u2 0 5 OVERFLOW WRAP INCRBY u2 0 5",
        "OVERFLOW FAIL SET u8 800 300",
        "SET i8 0 200 GET i8 0 GET u8 0",
        "SET u8 #3 1 GET u8 #3",
    ],
)
def test_bitfield_words(pair: ClientPair, words: str) -> None:
    for before in ("DEL key", "SET key foobar"):
        pair.assert_same(
            before,
            ["BITFIELD_RO", "key", *words.split()],
            ["BITFIELD", "key", *words.split()],
            "GET key",
            "EXISTS key",
        )


@pytest.mark.parametrize("reach", [80, 800, 800_000])
def test_bitfields_of_many_operations(resp2_pair: ClientPair, rng: random.Random, reach: int) -> None:
    """Fields that overlap, side by side or far apart; the value, its encoding and the number of changes are equal."""
    for _ in range(40):
        words: list[str | int] = []
        for _ in range(rng.choice([1, 2, 7, 40, 300])):
            kind, place = rng.choice(TYPES), rng.choice([str(rng.randrange(reach)), f"#{rng.randrange(reach // 64)}"])
            operand = rng.choice([int(rng.choice(OPERANDS)), rng.getrandbits(64) - (1 << 63)])
            words += rng.choice([
                ["GET", kind, place],
                ["SET", kind, place, operand],
                ["INCRBY", kind, place, operand],
                ["OVERFLOW", rng.choice(["wrap", "SAT", "Fail"])],
            ])  # fmt: skip
        resp2_pair.assert_same(["BITFIELD", "key", *words], "GET key", "OBJECT ENCODING key")
        if rng.random() < 0.2:
            resp2_pair.assert_same("DEL key")


def test_arity(pair: ClientPair) -> None:
    for name in ("SETBIT", "GETBIT", "BITCOUNT", "BITPOS", "BITOP", "BITFIELD", "BITFIELD_RO"):
        for count in range(7):
            pair.assert_same([name, *["1"] * count])


def test_the_largest_bitmap(minikv: Server) -> None:
    """Bits at the far end of 512 MB: right, and without work for what is not asked for."""
    with minikv.connect() as client:
        assert client.value("SETBIT key 4294967295 1") == 0
        assert client.value("STRLEN key") == 512 << 20
        assert client.value("GETBIT key 4294967295") == 1
        assert client.value("BITCOUNT key -1 -1") == 1
        assert client.value("BITPOS key 1 -1000") == 4294967295
        assert client.value("BITPOS key 0") == 0
        assert client.value("SETBIT key 0 1") == 0
        assert client.value("BITCOUNT key") == 2
        assert client.call("BITFIELD key GET u8 #536870911 INCRBY u8 #536870911 1") == b"*2\r\n:1\r\n:2\r\n"
        assert client.value("DEL key") == 1
