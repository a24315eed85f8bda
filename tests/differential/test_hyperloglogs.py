"""HyperLogLogs: replies and, by GET, every byte of the values, compared with a real redis-server."""

from __future__ import annotations

import random

import pytest

from tests.harness import ClientPair, Words

HEADER = b"HYLL\x01\0\0\0" + b"\0" * 7 + b"\x80"
DENSE_HEADER = b"HYLL\0\0\0\0" + b"\0" * 7 + b"\x80"
READS: list[Words] = ["PFCOUNT h", "GET h", "OBJECT ENCODING h", "TTL h"]


def add(pair: ClientPair, key: str, start: int, stop: int, step: int = 100) -> None:
    for first in range(start, stop, step):
        pair.assert_same(["PFADD", key, *(f"element:{n}" for n in range(first, min(first + step, stop)))])


def test_elements_of_every_length_are_hashed_alike(pair: ClientPair, rng: random.Random) -> None:
    for length in range(70):
        pair.assert_same(["PFADD", "h", rng.randbytes(length)], ["PFADD", "h", "x" * length], "GET h")
    pair.assert_same(*READS)


def test_a_key_is_born(pair: ClientPair) -> None:
    pair.assert_same("PFADD h", *READS, "PFADD h", *READS, "PFADD h a", "PFADD h a", "PFADD h a b a c", *READS)
    pair.assert_same(
        "PFMERGE new", "GET new", "PFMERGE other h nonesuch", "GET other", "PFMERGE none nonesuch", "GET none"
    )


def test_a_sparse_one_becomes_dense(pair: ClientPair) -> None:
    """By its size: every byte on the way is the same."""
    for number in range(0, 2600, 20):
        pair.assert_same(["PFADD", "h", *range(number, number + 20)], "GET h", "PFDEBUG ENCODING h", "PFCOUNT h")
    pair.assert_same(*READS, "STRLEN h", "PFDEBUG DECODE h", "PFDEBUG GETREG h")


@pytest.mark.parametrize("most", [0, 18, 19, 20, 100, 12400, 20000])
def test_the_limit_of_sparse_ones_is_a_setting(pair: ClientPair, most: int) -> None:
    pair.assert_same(["CONFIG", "SET", "hll-sparse-max-bytes", most], "CONFIG GET hll-sparse-max-bytes")
    for number in range(0, 300, 3):
        pair.assert_same(["PFADD", "h", number, -number, number * 7], "GET h")
    add(pair, "h", 0, 20000, 2000)
    pair.assert_same(*READS, "CONFIG SET hll-sparse-max-bytes 3000")


def test_counts_up_to_many(pair: ClientPair) -> None:
    for size in (1, 10, 1000, 20000, 100000):
        add(pair, "h", 0, size, 5000)
        pair.assert_same("PFCOUNT h", "PFCOUNT h h", "GET h")


def test_registers_that_only_a_dense_one_can_hold(pair: ClientPair) -> None:
    """A value above 32, which no element of a test would have, comes by a merge."""
    registers = bytearray(12288)
    registers[0] = 51
    registers[3:6] = b"\x21\xff\x84"
    for sketch in (DENSE_HEADER + bytes(registers), DENSE_HEADER + b"\xff" * 12288, DENSE_HEADER + b"\x30" * 12288):
        pair.assert_same(
            "FLUSHALL", "PFADD h a b", ["SET", "d", sketch], "PFCOUNT d", "PFCOUNT d h", "GET d", "PFCOUNT d"
        )
        pair.assert_same("PFMERGE h d", *READS, "PFDEBUG GETREG h")


def test_the_cardinality_is_kept(pair: ClientPair) -> None:
    """It is believed as long as it is not out of date, whatever it says."""
    for kept in (b"\x2a" + bytes(7), b"\xff" * 7 + b"\x7f", b"\xff" * 8, bytes(7) + b"\x80"):
        pair.assert_same(["SET", "h", HEADER[:8] + kept + b"\x7f\xff"], "EXPIRE h 1000", *READS, "PFADD h x", *READS)


def test_merging(pair: ClientPair) -> None:
    add(pair, "small", 0, 50)
    add(pair, "middle", 30, 900)
    add(pair, "large", 500, 9000, 500)
    pair.assert_same("PFCOUNT small middle", "PFCOUNT small large nonesuch", "PFCOUNT small middle large small")
    for keys in ("small", "small middle", "large", "small large", "nonesuch", "to"):
        for target in ("nothing", "small", "middle", "large"):
            pair.assert_same("DEL to", f"COPY {target} to", "EXPIRE to 100", f"PFMERGE to {keys}", "GET to", "TTL to")
            pair.assert_same("PFCOUNT to", "OBJECT ENCODING to", "PFDEBUG ENCODING to")


EVERY_COMMAND: list[Words] = [
    "PFADD h",
    "PFADD h a",
    "PFCOUNT h",
    "PFCOUNT h good",
    "PFCOUNT good h",
    "PFCOUNT nonesuch h",
    "PFMERGE h",
    "PFMERGE h good",
    "PFMERGE good h",
    "PFMERGE new h",
    "PFDEBUG ENCODING h",
    "PFDEBUG DECODE h",
    "PFDEBUG TODENSE h",
    "PFDEBUG GETREG h",
    "PFDEBUG nonesuch h",
]
# None of them is a HyperLogLog, or one without sense.
VALUES: list[bytes] = [
    b"",
    b"HYLL",
    b"12345",
    HEADER[:15],
    HEADER,
    b"HYLX" + HEADER[4:] + b"\x7f\xff",
    b"HYLL\x02" + HEADER[5:] + b"\x7f\xff",
    DENSE_HEADER,
    DENSE_HEADER + bytes(12287),
    DENSE_HEADER + bytes(12289),
    HEADER + b"\x7f\xfe",
    HEADER + b"\x7f\xff\x00",
    HEADER + b"\x7f\xff\x7f\xff",
    HEADER + b"\x7f\xfd\x84",
    HEADER + b"\x7f\xff\x84",
    HEADER + b"\x40",
    HEADER + b"\x80",
    HEADER + b"\x00" * 5,
    HEADER + b"\x3f" * 256,
    HEADER + b"\x83" * 4096,
    HEADER + b"\x40\x00" * 16384,
    HEADER + b"\x83" * 4096 + b"\x80",
    HEADER + b"\x83" * 4095 + b"\x40",
]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_values_that_are_no_hyperloglogs(pair: ClientPair, command: str) -> None:
    for value in VALUES:
        pair.assert_same("FLUSHALL", ["SET", "h", value], "PFADD good x y", command, "GET h", "GET good", "GET new")


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_keys_of_other_types_and_none(pair: ClientPair, command: str) -> None:
    for birth in ("PING", "HSET h a b", "SADD h a", "ZADD h 1 a", "PFADD h x z"):
        pair.assert_same("FLUSHALL", birth, "PFADD good x y", command, "TYPE h", "GET good", "GET new")


def test_flipped_bytes(pair: ClientPair, rng: random.Random) -> None:
    """Broken runs give the same errors and, as far as they work, the same bytes."""
    add(pair, "h", 0, 300)
    sketch = pair.subject.value("GET h")
    assert isinstance(sketch, bytes)
    for _ in range(300):
        broken = bytearray(sketch)
        for _ in range(rng.randint(1, 3)):
            broken[rng.randrange(len(broken))] = rng.choice([0, 0x40, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        pair.assert_same(["SET", "h", bytes(broken)], ["PFADD", "h", rng.randbytes(3)], "GET h", "PFCOUNT h")
        pair.assert_same("PFMERGE h new", "PFDEBUG DECODE h", ["SETRANGE", "h", "15", b"\x80"])


def test_encoding_of_a_value_that_came_as_a_string(pair: ClientPair) -> None:
    for command in (
        "PFCOUNT h",
        "PFCOUNT h h",
        "PFADD h",
        "PFADD h a",
        "PFMERGE x h",
        "PFMERGE h",
        "PFDEBUG ENCODING h",
    ):
        pair.assert_same("DEL h x", "PFADD h a", "PFCOUNT h", "GET h")
        sketch = pair.subject.value("GET h")
        assert isinstance(sketch, bytes)
        for kept in (sketch, sketch[:15] + b"\x80" + sketch[16:]):
            pair.assert_same(["SET", "h", kept], "OBJECT ENCODING h", command, "OBJECT ENCODING h", "GET h")


def test_hits_misses_and_changes_are_counted(resp2_pair: ClientPair) -> None:
    clients = (resp2_pair.subject, resp2_pair.oracle)
    resp2_pair.assert_same("CONFIG RESETSTAT", "FLUSHALL")
    before = [figures(client) for client in clients]
    for command in ["PFADD h a b c", "PFADD good a", *EVERY_COMMAND, "PFADD h a b c new", "PFCOUNT h", "PFCOUNT h"]:
        resp2_pair.assert_same(command)
        after = [figures(client) for client in clients]
        assert changes(before[0], after[0]) == changes(before[1], after[1]), command


def figures(client: object) -> dict[str, int]:
    lines = client.value("INFO everything").decode().splitlines()  # type: ignore[attr-defined]
    wanted = ("keyspace_hits", "keyspace_misses", "rdb_changes_since_last_save")
    return {name: int(value) for name, _, value in (line.partition(":") for line in lines) if name in wanted}


def changes(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in before}


def test_watches_break(resp2_pair: ClientPair) -> None:
    """PFCOUNT that writes the cardinality down counts as a change."""
    other = resp2_pair.another()
    for command in ("PFADD h", "PFADD h a", "PFADD h new", "PFCOUNT h", "PFCOUNT h", "PFMERGE h", "PFMERGE x h"):
        resp2_pair.assert_same("PFADD h a", "WATCH h")
        other.assert_same(command)
        resp2_pair.assert_same("MULTI", "PING", "EXEC")


def test_self_test(pair: ClientPair) -> None:
    pair.assert_same("PFSELFTEST")
