"""Commands on streams: every option, error and edge, compared with a real redis-server."""

from __future__ import annotations

import random

import pytest

from tests.harness import ClientPair, WireClient, Words
from tests.harness.compare import same_kind

LOOK: list[Words] = ["XLEN s", "XRANGE s - +", "XREVRANGE s + -", "XINFO STREAM s", "XINFO STREAM s FULL COUNT 0"]


def look(key: str = "s") -> list[Words]:
    """All that can be seen of a stream without groups."""
    return [str(command).replace(" s", f" {key}") for command in LOOK]


def test_entries_come_in_order(pair: ClientPair) -> None:
    pair.assert_same(
        "XLEN s",
        "XADD s 1-1 a 1",
        "XADD s 1-2 a 2 b 3",
        "XADD s 1-* a 2 b 3",
        "XADD s 2-* b 2 a 3",
        "XADD s 5 a x",
        "XADD s 5-* a x",
        "TYPE s",
        "OBJECT ENCODING s",
        "EXISTS s",
        *LOOK,
    )


@pytest.mark.parametrize(
    "id",
    [
        "0-0",
        "0",
        "0-*",
        "0-1",
        "1-1",
        "1-0",
        "-",
        "+",
        "",
        "x",
        "1-",
        "-1",
        "1-x",
        "1-*x",
        "1--1",
        "1--01",
        "01-01",
        "+1-+1",
        "1-1-1",
        "*-1",
        "**",
        " 7-1",
        "18446744073709551615-18446744073709551615",
        "18446744073709551615",
        "18446744073709551615-*",
        "18446744073709551616",
        "9223372036854775808-1",
        "1-18446744073709551616",
        "1" * 127,
        "1" * 128,
        "7-1\0x",
        "0000000000000000000000000000000007",
    ],
)
def test_ids(pair: ClientPair, id: str) -> None:
    commands = [
        ["XADD", "s", id, "a", "1"],
        ["XADD", "s", id, "a", "1"],
        ["XADD", "s", "1-1", "a", "1"],
        ["XADD", "s", id, "a", "1"],
        ["XDEL", "s", id],
        ["XRANGE", "s", id, "+"],
        ["XRANGE", "s", "-", id],
        ["XRANGE", "s", "(" + id, "+"],
        ["XRANGE", "s", "-", "(" + id],
        ["XREVRANGE", "s", id, "-"],
        ["XREVRANGE", "s", "(" + id, "-"],
        ["XREAD", "STREAMS", "s", id if id != "+" else "x"],  # since Redis 7.4 it means the last entry
        ["XTRIM", "s", "MINID", id],
        ["XSETID", "s", id],
        ["XGROUP", "CREATE", "s", "g" + id, id],
        ["XGROUP", "SETID", "s", "g" + id, id],
    ]
    pair.assert_same(*commands, *LOOK)


def test_the_last_possible_id(pair: ClientPair) -> None:
    pair.assert_same(
        "XADD s 18446744073709551615-18446744073709551614 a 1",
        "XADD s 18446744073709551615-* a 1",
        "XADD s 18446744073709551615-* a 1",
        "XADD s * a 1",
        "XRANGE s - +",
        "XRANGE s (18446744073709551615-18446744073709551615 +",
        "XREAD STREAMS s 18446744073709551615-18446744073709551615",
        "XREAD STREAMS s 18446744073709551615-18446744073709551614",
        "XADD t 18446744073709551614-18446744073709551615 a 1",
        "XADD t 18446744073709551614-* a 1",
        "XREVRANGE t - (0-0",
    )


@pytest.mark.parametrize(
    "command",
    [
        "XADD s",
        "XADD s *",
        "XADD s * a",
        "XADD s * a b c",
        "XADD s 5-5 a b c",
        "XADD s NOMKSTREAM 9-9 a b",
        "XADD new NOMKSTREAM 9-9 a b",
        "XADD s nomkstream 9-9 a b",
        "XADD s MAXLEN",
        "XADD s MAXLEN 5",
        "XADD s MAXLEN 5 9-9",
        "XADD s MAXLEN 5 9-9 a b",
        "XADD s MAXLEN x 9-9 a b",
        "XADD s MAXLEN -1 9-9 a b",
        "XADD s MAXLEN = 2 9-9 a b",
        "XADD s MAXLEN ~ 2 9-9 a b",
        "XADD s MAXLEN ~ 2 LIMIT 1 9-9 a b",
        "XADD s MAXLEN ~ 2 LIMIT 0 9-9 a b",
        "XADD s MAXLEN ~ 2 LIMIT -1 9-9 a b",
        "XADD s MAXLEN ~ 2 LIMIT x 9-9 a b",
        "XADD s MAXLEN = 2 LIMIT 1 9-9 a b",
        "XADD s MAXLEN 2 LIMIT 1 9-9 a b",
        "XADD s MAXLEN 2 LIMIT 0 9-9 a b",
        "XADD s LIMIT 1 9-9 a b",
        "XADD s LIMIT 0 9-9 a b",
        "XADD s LIMIT 1 MAXLEN ~ 2 9-9 a b",
        "XADD s MAXLEN 2 MAXLEN 2 9-9 a b",
        "XADD s MAXLEN 2 MINID 2 9-9 a b",
        "XADD s MINID 2 MAXLEN 2 9-9 a b",
        "XADD s MINID 3 9-9 a b",
        "XADD s MINID = 3-0 9-9 a b",
        "XADD s MINID ~ 3-0 9-9 a b",
        "XADD s MINID x 9-9 a b",
        "XADD s MINID - 9-9 a b",
        "XADD s MINID 0 9-9 a b",
        "XADD s MINID 100 9-9 a b",
        "XADD s MAXLEN 0 9-9 a b",
        "XADD s MAXLEN ~ 0 9-9 a b",
        "XADD s MAXLEN ~ 9-9 a b",
        "XADD s MAXLEN = 9-9 a b",
        "XADD s MAXLEN 9223372036854775808 9-9 a b",
        "XADD s 9-9 MAXLEN 2 a b",
        "XTRIM s",
        "XTRIM s MAXLEN",
        "XTRIM s MAXLEN 2",
        "XTRIM s MAXLEN 0",
        "XTRIM s MAXLEN -1",
        "XTRIM s MAXLEN x",
        "XTRIM s MAXLEN = 2",
        "XTRIM s MAXLEN ~ 2",
        "XTRIM s MAXLEN ~ 2 LIMIT 5",
        "XTRIM s MAXLEN 2 LIMIT 5",
        "XTRIM s LIMIT 5 MAXLEN ~ 2",
        "XTRIM s LIMIT 5",
        "XTRIM s LIMIT 0 LIMIT 0",
        "XTRIM s MAXLEN 2 MINID 3",
        "XTRIM s MINID 3",
        "XTRIM s MINID 3-1",
        "XTRIM s MINID ~ 3",
        "XTRIM s MINID 0",
        "XTRIM s MINID 99999999999999999999",
        "XTRIM s NOMKSTREAM MAXLEN 2",
        "XTRIM s nonesuch 2",
        "XTRIM nonesuch MAXLEN 2",
        "XDEL s 1-1",
        "XDEL s 1-1 1-1 3-1",
        "XDEL s 5-1 4-1 9-9",
        "XDEL s 1-1 x",
        "XDEL nonesuch x",
        "XDEL s 1-1 2-1 3-1 4-1 5-1",
        "XRANGE s - + COUNT",
        "XRANGE s - + COUNT 0",
        "XRANGE s - + COUNT -1",
        "XRANGE s - + COUNT 2",
        "XRANGE s - + COUNT 2 COUNT 1",
        "XRANGE s - + COUNT x",
        "XRANGE s - + LIMIT 2",
        "XRANGE s - + COUNT 1 x",
        "XRANGE s + -",
        "XRANGE s 2 4",
        "XRANGE s (2 4",
        "XRANGE s (2-1 (4-1",
        "XRANGE s ( +",
        "XRANGE s - (",
        "XRANGE s (- +",
        "XRANGE s - (0",
        "XRANGE s (18446744073709551615 +",
        "XRANGE nonesuch - +",
        "XRANGE nonesuch - + COUNT 0",
        "XREVRANGE s 4 2",
        "XREVRANGE s + - COUNT 2",
        "XREVRANGE s (4-1 (2",
        "XREVRANGE s 1 5",
        "XREVRANGE s 99 - COUNT 1",
        "XREVRANGE s 0 -",
        "XSETID s",
        "XSETID s 3-1",
        "XSETID s 5-1",
        "XSETID s 5-0",
        "XSETID s 50-1",
        "XSETID s x",
        "XSETID s -",
        "XSETID s 50-1 ENTRIESADDED",
        "XSETID s 50-1 ENTRIESADDED 7",
        "XSETID s 50-1 ENTRIESADDED 3",
        "XSETID s 50-1 ENTRIESADDED -1",
        "XSETID s 50-1 ENTRIESADDED x",
        "XSETID s 50-1 MAXDELETEDID 4-1",
        "XSETID s 50-1 MAXDELETEDID 51-1",
        "XSETID s 50-1 MAXDELETEDID x",
        "XSETID s 50-1 MAXDELETEDID 0-0",
        "XSETID s 50-1 ENTRIESADDED 9 MAXDELETEDID 4-1",
        "XSETID s 50-1 nonesuch 9",
        "XSETID nonesuch 50-1",
        "XSETID nonesuch x",
        "XLEN s x",
        "XINFO STREAM s FULL",
        "XINFO STREAM s FULL COUNT 2",
        "XINFO STREAM s FULL COUNT -2",
        "XINFO STREAM s FULL COUNT 0",
        "XINFO STREAM s FULL COUNT x",
        "XINFO STREAM s FULL COUNT",
        "XINFO STREAM s nonesuch",
        "XINFO STREAM s FULL nonesuch 1",
        "XINFO STREAM s nonesuch COUNT 1",
        "XINFO STREAM nonesuch",
        "XINFO STREAM nonesuch nonesuch",
        "XINFO GROUPS s",
        "XINFO GROUPS nonesuch",
        "XINFO CONSUMERS s nonesuch",
        "XINFO CONSUMERS nonesuch nonesuch",
        "XREAD STREAMS s 0",
        "XREAD STREAMS s $",
        "XREAD STREAMS s 3-1",
        "XREAD STREAMS s 5-1",
        "XREAD STREAMS s",
        "XREAD STREAMS s s 0 0",
        "XREAD STREAMS s s 0",
        "XREAD STREAMS s nonesuch 0 0",
        "XREAD STREAMS nonesuch s $ 4-1",
        "XREAD STREAMS s nonesuch 0 x",
        "XREAD STREAMS s >",
        "XREAD COUNT 2 STREAMS s 0",
        "XREAD COUNT 0 STREAMS s 0",
        "XREAD COUNT -1 STREAMS s 0",
        "XREAD COUNT x STREAMS s 0",
        "XREAD COUNT STREAMS s 0",
        "XREAD count 2 streams s 0",
        "XREAD NOACK STREAMS s 0",
        "XREAD GROUP g c STREAMS s 0",
        "XREAD BLOCK x STREAMS s 0",
        "XREAD BLOCK -1 STREAMS s 0",
        "XREAD BLOCK 10 STREAMS s 0",
        "XREAD BLOCK 1 STREAMS s $",
        "XREAD BLOCK 1 STREAMS nonesuch $",
        "XREAD BLOCK 9223372036854775808 STREAMS s 0",
        "XREAD s 0 x x",
        "XREAD COUNT 2 STREAMS",
        "XREADGROUP STREAMS s > a b c",
        "XREADGROUP COUNT 2 COUNT 2 STREAMS s >",
        "XREADGROUP GROUP g c STREAMS s >",
        "XREADGROUP GROUP g c STREAMS nonesuch >",
        "XREADGROUP GROUP g c STREAMS s",
        "XACK s g 1-1",
        "XACK nonesuch g x",
        "XACK s g x",
        "XPENDING s g",
        "XPENDING nonesuch g",
        "XPENDING s g -",
        "XPENDING s g - + x",
        "XCLAIM s g c 0 1-1",
        "XCLAIM nonesuch g c x 1-1",
        "XAUTOCLAIM s g c 0 0",
        "XAUTOCLAIM s g c x 0",
        "XGROUP nonesuch s g",
        "XINFO nonesuch s",
    ],
)
def test_options_and_errors(pair: ClientPair, command: str) -> None:
    build = [f"XADD s {n}-1 a {n} b x" for n in range(1, 6)]
    pair.assert_same(*build, command, *LOOK)
    pair.assert_same("DEL s", "SET s x", command, "DEL s", command, *look("new"))


def test_an_id_of_now(pair: ClientPair) -> None:
    pair.assert_same("XADD s NOMKSTREAM * a b", "EXISTS s", "XADD s 1-1 a b")
    pair.assert_same("XADD s NOMKSTREAM * a b", "XADD s * a b", compare=same_kind)
    pair.assert_same("XLEN s", "XADD s 2-* a b")


@pytest.mark.parametrize(
    "field", ["0", "-1", "127", "128", "4095", "4096", "-4096", "-4097", "32767", "32768", "-32769"]
)
def test_numbers_are_fields_and_values(pair: ClientPair, field: str) -> None:
    pair.assert_same(
        ["XADD", "s", "1-1", field, field],
        ["XADD", "s", "1-2", field, field + "0"],
        ["XADD", "s", "1-3", field, "0" + field, field, "x"],
        ["XADD", "s", "1-4", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-0"],
        ["XADD", "s", "1-5", "8388607", "8388608", "-8388608", "-8388609", "2147483647", "2147483648"],
        ["XADD", "s", "1-6", "-2147483648", "-2147483649", "+1", " 1", "", "1.0"],
        *LOOK,
    )


def test_any_bytes_are_fields_and_values(pair: ClientPair, rng: random.Random) -> None:
    for size in (0, 1, 12, 63, 64, 65, 127, 128, 4095, 4096, 16382, 16383, 16384, 40_000, 100, 100):
        data = rng.randbytes(size)
        pair.assert_same(["XADD", "s", f"{size + 1}-*", data, data, b"x", data])
    pair.assert_same(*LOOK)


def test_ids_far_apart(pair: ClientPair) -> None:
    for id in ("0-1", "0-300", "1-0", "1-18446744073709551615", "2-5", "300-4", "9223372036854775807-1"):
        pair.assert_same(f"XADD s {id} a 1 b 2")
    pair.assert_same("XADD s 9223372036854775809-1 a 1", "XADD s 18446744073709551615-0 a 1", *LOOK)
    pair.assert_same(
        "XRANGE s 1 1", "XRANGE s 1-5 300", "XREVRANGE s 9223372036854775808 2-6", "XDEL s 1-0 300-4", *LOOK
    )


@pytest.mark.parametrize("entries", [0, 1, 3, 100])
@pytest.mark.parametrize("nbytes", [0, 40, 4096])
def test_nodes_are_cut_as_in_redis(pair: ClientPair, rng: random.Random, entries: int, nbytes: int) -> None:
    """The number of nodes decides what an approximate trim deletes."""
    pair.assert_same(f"CONFIG SET stream-node-max-entries {entries} stream-node-max-bytes {nbytes}")
    for n in range(1, 240):
        fields = ["a", str(n), "b", "x" * rng.randrange(20)] if rng.random() < 0.8 else ["other", "y" * n]
        pair.assert_same(["XADD", "s", f"{n // 7 + 1}-*", *fields])
        if n % 40 == 0:
            pair.assert_same("XINFO STREAM s", f"XDEL s {n // 14}-1 {n // 10}-2 1-1", "XINFO STREAM s")
    pair.assert_same("XINFO STREAM s FULL COUNT 0", "XRANGE s 5-2 17-4", "XREVRANGE s 17-4 5-2", "XRANGE s - + COUNT 7")
    for command in (
        "XTRIM s MAXLEN ~ 220",
        "XTRIM s MAXLEN ~ 200 LIMIT 3",
        "XTRIM s MINID ~ 8-3",
        "XTRIM s MAXLEN 150",
        "XADD s MAXLEN ~ 140 100-1 a 5",
        "XTRIM s MINID 15-2",
        "XADD s MAXLEN 100 100-2 a 5",
        "XTRIM s MINID ~ 30 LIMIT 0",
        "XTRIM s MAXLEN 3",
        "XTRIM s MAXLEN 0",
    ):
        pair.assert_same(command, "XINFO STREAM s", "XRANGE s - +", "XREVRANGE s + - COUNT 3")


@pytest.mark.parametrize("size", [1, 50, 2000])
def test_large_streams(pair: ClientPair, rng: random.Random, size: int) -> None:
    """Beyond one record, which entries are looked for in the middle, and which are deleted."""
    lines = [["XADD", "s", f"{n}-1", "name", f"value {n}", "more", "x" * size] for n in range(1, 1200)]
    for start in range(0, len(lines), 200):
        pair.assert_same(*lines[start : start + 200])
    for _ in range(60):
        low, high = sorted((rng.randrange(1, 1300), rng.randrange(1, 1300)))
        pair.assert_same(
            f"XRANGE s {low} {high} COUNT 3",
            f"XREVRANGE s {high} {low} COUNT 3",
            f"XDEL s {low}-1 {high}-1 {low + 1}-1",
            f"XREAD COUNT 2 STREAMS s {low}",
        )
    pair.assert_same("XINFO STREAM s", "COPY s t", "XLEN t", "XINFO STREAM t", "XRANGE t - + COUNT 5", "RENAME t u")
    pair.assert_same("XTRIM u MAXLEN 300", "XINFO STREAM u", "XINFO STREAM s", "XTRIM s MINID 700", "XINFO STREAM s")
    pair.assert_same("DEBUG DIGEST-VALUE s t u", "DEBUG DIGEST", "EXPIRE s 1000", "COPY s u REPLACE", "XLEN u", "TTL u")
    pair.assert_same("XTRIM s MAXLEN 0", *LOOK, "XADD s 2000-* a b", "XLEN s", "DEL s", "FLUSHALL")


def test_large_groups(pair: ClientPair, rng: random.Random) -> None:
    """Thousands of pending entries of several consumers in two groups, and what becomes of them in every way."""
    about: list[Words] = ["XINFO GROUPS s", "XPENDING s g", "XPENDING s h", "XINFO CONSUMERS s g"]
    pair.assert_same_pipeline(*[f"XADD s {n}-1 a {n}" for n in range(1, 3001)])
    pair.assert_same("XGROUP CREATE s g 0", "XGROUP CREATE s h 0", "XGROUP CREATE s small 0")
    for number in range(25):
        pair.assert_same(f"XREADGROUP GROUP g reader{number % 7} COUNT 100 STREAMS s >")
        pair.assert_same("XREADGROUP GROUP h alice COUNT 129 STREAMS s >")
    pair.assert_same("XREADGROUP GROUP small bob COUNT 5 STREAMS s >", *about)
    for _ in range(60):
        id = rng.randrange(1, 2700)
        reader = f"reader{rng.randrange(9)}"
        pair.assert_same(
            f"XACK s g {id}-1 {id + 2}-1",
            f"XPENDING s g {id} + 5",
            f"XPENDING s g - {id} 5 {reader}",
            f"XCLAIM s g {reader} 0 {id + 3}-1 IDLE 9000000",
            f"XPENDING s g IDLE 5000000 - {id + 500} 9",
            f"XPENDING s g IDLE 5000000 {id} + 9 {reader}",
            f"XREADGROUP GROUP g {reader} COUNT 3 STREAMS s {id}",
            f"XCLAIM s g {reader} 0 {id + 1}-1 {id + 5}-1 FORCE JUSTID",
            f"XDEL s {id + 7}-1",
            f"XAUTOCLAIM s g {reader} 0 {id} COUNT 7",
        )
    pair.assert_same(*about, "XINFO STREAM s FULL COUNT 0", "DEBUG RELOAD", *about, "XINFO STREAM s FULL COUNT 0")
    pair.assert_same("COPY s t", "XACK s g 1000-1", "XINFO STREAM t FULL COUNT 0", "XGROUP DELCONSUMER t g reader1")
    pair.assert_same("XGROUP DESTROY t h", "XINFO STREAM t FULL COUNT 0", "MOVE t 1", "SELECT 1")
    pair.assert_same("XINFO GROUPS t", "XACK t g 55-1", "RENAME t u", "XINFO STREAM u FULL", "COPY u u DB 0", "DEL u")
    pair.assert_same("SELECT 0", "XINFO STREAM u FULL", "DEBUG RELOAD", "XINFO STREAM u FULL", "XPENDING s g")
    pair.assert_same("XTRIM s MAXLEN 0", "XLEN s", *about, "DEBUG RELOAD", *about, "XADD s 5000-1 a b", *about)
    pair.assert_same("COPY s u REPLACE", "XGROUP DELCONSUMER s h alice", *about, "XAUTOCLAIM u h bob 0 - COUNT 5000")
    ours, theirs = (client.value("DUMP u") for client in (pair.subject, pair.oracle))
    for payload in (ours, theirs):
        pair.assert_same(["RESTORE", "back", "0", payload, "REPLACE"], "XINFO STREAM back FULL COUNT 0")
    pair.assert_same(["XACK", "s", "g", *[f"{n}-1" for n in range(1, 3001)]], *about, "XINFO STREAM s FULL", "DEL s u")


def dirty(client: WireClient) -> int:
    return int(client.value("INFO persistence").partition(b"rdb_changes_since_last_save:")[2].split()[0])


def test_changes_of_groups_are_counted(pair: ClientPair) -> None:
    """A consumer that claims nothing is neither made nor seen; a later last ID counts unless something else does."""
    pair.assert_same(*[f"XADD s {n}-1 a b" for n in range(1, 7)], "XGROUP CREATE s g 0")
    for command in (
        "XREADGROUP GROUP g c COUNT 4 STREAMS s >",
        "XREADGROUP GROUP g c STREAMS s 0",
        "XREADGROUP GROUP g d STREAMS s 0",
        "XREADGROUP GROUP g e COUNT 1 NOACK STREAMS s >",
        "XCLAIM s g slow 100000 1-1",
        "XCLAIM s g none 0 9-1",
        "XCLAIM s g none 0 9-1 FORCE",
        "XCLAIM s g forced 0 6-1 FORCE",
        "XCLAIM s g one 0 1-1 2-1",
        "XCLAIM s g one 0 1-1 JUSTID",
        "XCLAIM s g late 100000 1-1 LASTID 9-9",
        "XCLAIM s g two 0 1-1 LASTID 10-9",
        "XCLAIM s g two 100000 1-1 LASTID 1-9",
        "XDEL s 2-1",
        "XCLAIM s g three 0 2-1 LASTID 22-1",
        "XCLAIM s g three 0 2-1 LASTID 23-1",
        "XAUTOCLAIM s g slow 100000 0",
        "XAUTOCLAIM s g four 0 0 COUNT 1",
        "XAUTOCLAIM s g four -5 0 COUNT 1 JUSTID",
        "XAUTOCLAIM s g none 0 99",
        "XTRIM s MAXLEN 0",
        "XAUTOCLAIM s g five 0 0",
        "XAUTOCLAIM s g five 0 0",
        "XACK s g 1-1",
        "XGROUP SETID s g 0",
        "XGROUP CREATECONSUMER s g six",
        "XGROUP CREATECONSUMER s g six",
        "XGROUP DELCONSUMER s g six",
        "XGROUP DELCONSUMER s g six",
        "XGROUP DESTROY s g",
        "XGROUP DESTROY s g",
    ):
        before = [dirty(client) for client in (pair.subject, pair.oracle)]
        pair.assert_same(command, "XINFO GROUPS s")
        ours, theirs = (dirty(client) - old for client, old in zip((pair.subject, pair.oracle), before, strict=True))
        assert (command, ours) == (command, theirs)


@pytest.mark.parametrize(
    "request_",
    [
        "XINFO stream s foo",
        "XINFO sTream s FULL COUNT",
        "XGROUP create s g 0 0 0",
        "XGROUP setid s g 0 0 0",
        "xgroup Foo",
    ],
)
def test_errors_spell_the_subcommand_as_it_came(pair: ClientPair, request_: str) -> None:
    pair.assert_same("XADD s 1-1 a b", "XGROUP CREATE s g 0", request_)


def test_nothing_is_behind_the_largest_id(pair: ClientPair) -> None:
    last = "18446744073709551615-18446744073709551615"
    pair.assert_same(
        "XADD s 1-1 a b", f"XADD s {last} a b", "XADD s * a b", f"XGROUP CREATE s g {last}", "XGROUP CREATE s h 0"
    )
    pair.assert_same(f"XREAD STREAMS s {last}", "XREADGROUP GROUP g c STREAMS s >", "XREADGROUP GROUP h c STREAMS s >")
    pair.assert_same("XREADGROUP GROUP h c STREAMS s >", "XREADGROUP GROUP h c COUNT 1 STREAMS s 0", "XINFO GROUPS s")
    pair.assert_same("XPENDING s h - + 5", "XAUTOCLAIM s h d 0 0", "XACK s h 1-1", "XDEL s 1-1", "XINFO STREAM s FULL")


def test_many_consumers(pair: ClientPair, rng: random.Random) -> None:
    """More consumers than are kept in the group's own bytes, of few and of many pending entries, and few again."""
    about: list[Words] = ["XINFO GROUPS s", "XPENDING s g", "XINFO CONSUMERS s g", "XINFO STREAM s FULL COUNT 0"]
    pair.assert_same("XGROUP CREATE s g 0 MKSTREAM", *[f"XADD s {n}-1 a {n}" for n in range(1, 501)])
    names = [f"worker:{number:03}" for number in range(120)] + ["", "n" * 63, "n" * 64, "m" * 20_000, "\0", "z" * 5]
    rng.shuffle(names)
    for number, name in enumerate(names):
        pair.assert_same(["XGROUP", "CREATECONSUMER", "s", "g", name])
        if number % 3 == 0:
            pair.assert_same(["XREADGROUP", "GROUP", "g", name, "COUNT", "2", "STREAMS", "s", ">"])
        if number in (14, 15, 16, 17, 60):
            pair.assert_same(*about)
    for _ in range(60):
        one, other = rng.sample(names, 2)
        id = rng.randrange(1, 120)
        pair.assert_same(
            ["XCLAIM", "s", "g", one, "0", f"{id}-1", f"{id + 1}-1", "FORCE"],
            ["XAUTOCLAIM", "s", "g", other, "0", f"{id}", "COUNT", "3", "JUSTID"],
            ["XREADGROUP", "GROUP", "g", other, "COUNT", "1", "STREAMS", "s", "0"],
            ["XPENDING", "s", "g", "-", "+", "3", one],
            ["XCLAIM", "s", "g", one, "0", f"{id + 4}-1", f"{id + 5}-1", "IDLE", "9000000"],
            ["XPENDING", "s", "g", "IDLE", "5000000", "-", f"{id + 30}", "6", one],
            ["XPENDING", "s", "g", "IDLE", "5000000", f"{id}", "+", "6", other],
            f"XPENDING s g IDLE 5000000 {id} + 7",
            f"XPENDING s g {id} + 5",
            f"XACK s g {id + 2}-1 {id + 9}-1",
        )
    pair.assert_same(*about, "COPY s t", "DEBUG RELOAD", *about, "XINFO STREAM t FULL COUNT 0")
    ours, theirs = (client.value("DUMP s") for client in (pair.subject, pair.oracle))
    for payload in (ours, theirs):
        pair.assert_same(["RESTORE", "u", "0", payload, "REPLACE"], "XINFO STREAM u FULL COUNT 0")
    for name in names[:115]:
        pair.assert_same(["XGROUP", "DELCONSUMER", "s", "g", name], ["XGROUP", "DELCONSUMER", "s", "g", name])
    pair.assert_same(*about, ["XACK", "s", "g", *[f"{n}-1" for n in range(1, 501)]], *about, "XACK s g 1-1")
    pair.assert_same("XGROUP CREATECONSUMER s g a", "XGROUP CREATECONSUMER t g a", *about, "XINFO CONSUMERS t g")
    pair.assert_same("DEL t", "COPY u t", "XINFO CONSUMERS t g", "FLUSHALL", *about)


def test_groups(pair: ClientPair) -> None:
    about: list[Words] = ["XINFO GROUPS s", "XPENDING s g", "XPENDING s h"]
    pair.assert_same(
        "XGROUP CREATE s g $",
        "XGROUP CREATE s g $ MKSTREAM",
        "XGROUP CREATE s g $ MKSTREAM",
        "XGROUP CREATE s h 0 ENTRIESREAD 5",
        *LOOK[:4],
        *about,
        *[f"XADD s {n}-1 a {n}" for n in range(1, 9)],
        *about,
        "XREADGROUP GROUP g alice COUNT 2 STREAMS s >",
        *about,
        "XREADGROUP GROUP g bob COUNT 2 STREAMS s >",
        "XREADGROUP GROUP g bob COUNT 2 NOACK STREAMS s >",
        "XREADGROUP GROUP g bob STREAMS s 0",
        "XREADGROUP GROUP g bob STREAMS s 3-1",
        "XREADGROUP GROUP g bob COUNT 1 STREAMS s 0",
        "XREADGROUP GROUP g carol STREAMS s 0",
        "XREADGROUP GROUP h bob COUNT 3 STREAMS s >",
        *about,
        "XDEL s 3-1",
        "XREADGROUP GROUP g bob STREAMS s 0",
        *about,
        "XACK s g 3-1 1-1 9-1",
        *about,
        "XREADGROUP GROUP g dave STREAMS s >",
        "XREADGROUP GROUP g dave STREAMS s >",
        "XREADGROUP GROUP g dave STREAMS s $",
        "XGROUP CREATECONSUMER s g zoe",
        "XGROUP CREATECONSUMER s g zoe",
        "XGROUP DELCONSUMER s g alice",
        "XGROUP DELCONSUMER s g alice",
        *about,
        "XGROUP SETID s g 2-1",
        *about,
        "XREADGROUP GROUP g alice STREAMS s >",
        *about,
        "XGROUP SETID s g $ ENTRIESREAD 3",
        *about,
        "XGROUP SETID s g -",
        "XGROUP SETID s g + ENTRIESREAD -1",
        "XGROUP SETID s g 3 ENTRIESREAD -2",
        "XGROUP SETID s g 3 ENTRIESREAD x",
        "XGROUP SETID s g 3 ENTRIESREAD",
        "XGROUP SETID s g 3 MKSTREAM",
        *about,
        "XGROUP DESTROY s h",
        "XGROUP DESTROY s h",
        *about,
        "XTRIM s MAXLEN 0",
        *about,
        "DEBUG DIGEST-VALUE s",
    )


def test_lag_is_known_or_not(pair: ClientPair, rng: random.Random) -> None:
    for round_ in range(12):
        key = f"s{round_}"
        pair.assert_same(f"XGROUP CREATE {key} g {rng.choice(['$', '0', '3-0'])} MKSTREAM")
        last = 1
        for _ in range(40):
            last += 1
            command = rng.choice(
                [
                    f"XADD {key} {last} a b",
                    f"XADD {key} {last} a b",
                    f"XREADGROUP GROUP g c COUNT {rng.randrange(1, 4)} STREAMS {key} >",
                    f"XDEL {key} {rng.randrange(1, last + 1)}",
                    f"XTRIM {key} MAXLEN {rng.randrange(1, 20)}",
                    f"XGROUP SETID {key} g {rng.randrange(0, last + 2)}",
                    f"XGROUP SETID {key} g {rng.randrange(0, last + 2)} ENTRIESREAD {rng.randrange(0, 9)}",
                    f"XSETID {key} {last} ENTRIESADDED {rng.randrange(20, 40)}",
                    f"XSETID {key} {last + 1} ENTRIESADDED 50 MAXDELETEDID {rng.randrange(1, last)}",
                ]
            )
            pair.assert_same(command, f"XINFO GROUPS {key}", f"XINFO STREAM {key}")


@pytest.mark.parametrize(
    "command",
    [
        "XGROUP CREATE s g 0",
        "XGROUP CREATE s new 0",
        "XGROUP CREATE s new $",
        "XGROUP CREATE s new 2",
        "XGROUP CREATE s new x",
        "XGROUP CREATE s new - ",
        "XGROUP CREATE s new 0 MKSTREAM ENTRIESREAD 3",
        "XGROUP CREATE s new 0 ENTRIESREAD 3 MKSTREAM",
        "XGROUP CREATE s new 0 MKSTREAM MKSTREAM MKSTREAM",
        "XGROUP CREATE s new 0 MKSTREAM MKSTREAM MKSTREAM MKSTREAM",
        "XGROUP CREATE s new 0 ENTRIESREAD",
        "XGROUP CREATE s new 0 ENTRIESREAD -1",
        "XGROUP CREATE s new 0 ENTRIESREAD -2",
        "XGROUP CREATE s new 0 nonesuch",
        "XGROUP CREATE nonesuch g 0",
        "XGROUP CREATE new g x MKSTREAM",
        "XGROUP CREATE new g 5-1 MKSTREAM",
        "XGROUP SETID nonesuch g 0",
        "XGROUP SETID s nonesuch 0",
        "XGROUP SETID s g x",
        "XGROUP DESTROY nonesuch g",
        "XGROUP DESTROY s nonesuch",
        "XGROUP DESTROY s g",
        "XGROUP CREATECONSUMER nonesuch g c",
        "XGROUP CREATECONSUMER s nonesuch c",
        "XGROUP DELCONSUMER nonesuch g c",
        "XGROUP DELCONSUMER s nonesuch c",
        "XGROUP DELCONSUMER s g alice",
        "XGROUP DELCONSUMER s g nonesuch",
        "XINFO CONSUMERS s nonesuch",
        "XREADGROUP GROUP g alice STREAMS s >",
        "XREADGROUP GROUP g alice STREAMS s s > 0",
        "XREADGROUP GROUP g alice STREAMS s s > >",
        "XREADGROUP GROUP g alice COUNT 1 STREAMS s s > >",
        "XREADGROUP GROUP g alice STREAMS s x",
        "XREADGROUP GROUP g alice STREAMS s -",
        "XREADGROUP GROUP g alice STREAMS s nonesuch > >",
        "XREADGROUP GROUP nonesuch alice STREAMS s >",
        "XREADGROUP GROUP g alice COUNT 0 STREAMS s >",
        "XREADGROUP GROUP g alice COUNT -1 STREAMS s 0",
        "XREADGROUP GROUP g alice NOACK STREAMS s >",
        "XREADGROUP GROUP g alice STREAMS s 18446744073709551615-18446744073709551614",
        "XREADGROUP GROUP g alice STREAMS s 18446744073709551615-18446744073709551615",
        "XREADGROUP GROUP g alice STREAMS s s 18446744073709551615-18446744073709551615 0",
        "XREADGROUP GROUP g new BLOCK 1 STREAMS s >",
        "XREADGROUP BLOCK 1 STREAMS s > x x",
        "XACK s g 1-1 2-1 2-1 7-1",
        "XACK s g 1-1 x",
        "XACK s nonesuch x",
        "XPENDING s nonesuch",
        "XPENDING s g - + 10",
        "XPENDING s g - + 2",
        "XPENDING s g - + 0",
        "XPENDING s g - + -1",
        "XPENDING s g (1-1 (3-1 10",
        "XPENDING s g (18446744073709551615-18446744073709551615 + 10",
        "XPENDING s g - (0-0 10",
        "XPENDING s g + - 10",
        "XPENDING s g x + 10",
        "XPENDING s g - x 10",
        "XPENDING s g - + 10 alice",
        "XPENDING s g - + 10 nonesuch",
        "XPENDING s g - + 10 alice x",
        "XPENDING s g IDLE 0 - + 10",
        "XPENDING s g IDLE 0 - + 10 bob",
        "XPENDING s g IDLE 100000 - + 10",
        "XPENDING s g IDLE -5 - + 10",
        "XPENDING s g IDLE x - + 10",
        "XPENDING s g IDLE 0 - +",
        "XPENDING s g IDLE 0 - + 10 bob x",
        "XPENDING s g IDLE - + 10",
        "XCLAIM s g bob 0 1-1",
        "XCLAIM s g bob 0 1-1 2-1 9-1",
        "XCLAIM s g new 0 1-1 JUSTID",
        "XCLAIM s g bob 0 1-1 JUSTID RETRYCOUNT 9",
        "XCLAIM s g bob 100000 1-1",
        "XCLAIM s g bob -5 1-1",
        "XCLAIM s g bob x 1-1",
        "XCLAIM s g bob 0 7-1",
        "XCLAIM s g bob 0 7-1 FORCE",
        "XCLAIM s g bob 0 7-1 FORCE JUSTID",
        "XCLAIM s g bob 100000 7-1 FORCE",
        "XCLAIM s g bob 0 99-1 FORCE",
        "XCLAIM s g bob 0 1-1 IDLE 1000",
        "XCLAIM s g bob 0 1-1 IDLE -1000",
        "XCLAIM s g bob 0 1-1 IDLE x",
        "XCLAIM s g bob 0 1-1 IDLE",
        "XCLAIM s g bob 0 1-1 TIME 1000",
        "XCLAIM s g bob 0 1-1 TIME -1",
        "XCLAIM s g bob 0 1-1 TIME x",
        "XCLAIM s g bob 0 1-1 RETRYCOUNT 7",
        "XCLAIM s g bob 0 1-1 RETRYCOUNT -7",
        "XCLAIM s g bob 0 1-1 RETRYCOUNT 9223372036854775807",
        "XCLAIM s g bob 0 1-1 RETRYCOUNT x",
        "XCLAIM s g bob 0 1-1 LASTID 7-1",
        "XCLAIM s g bob 0 1-1 LASTID 1-1",
        "XCLAIM s g bob 0 1-1 LASTID x",
        "XCLAIM s g bob 0 1-1 nonesuch",
        "XCLAIM s g bob 0 nonesuch",
        "XCLAIM s g bob 0 1-1 FORCE 2-1",
        "XCLAIM s nonesuch bob 0 1-1",
        "XAUTOCLAIM s g bob 0 0",
        "XAUTOCLAIM s g bob 0 - COUNT 1",
        "XAUTOCLAIM s g bob 0 (1-1 COUNT 2",
        "XAUTOCLAIM s g bob 0 0 JUSTID",
        "XAUTOCLAIM s g bob 0 0 COUNT 1 JUSTID",
        "XAUTOCLAIM s g bob 0 0 COUNT 0",
        "XAUTOCLAIM s g bob 0 0 COUNT x",
        "XAUTOCLAIM s g bob 0 0 COUNT 9223372036854775807",
        "XAUTOCLAIM s g bob 0 0 COUNT 576460752303423487",
        "XAUTOCLAIM s g bob 0 0 COUNT",
        "XAUTOCLAIM s g bob 0 0 nonesuch",
        "XAUTOCLAIM s g bob 100000 0",
        "XAUTOCLAIM s g bob -5 0",
        "XAUTOCLAIM s g bob x x",
        "XAUTOCLAIM s g bob 0 x",
        "XAUTOCLAIM s g bob 0 (18446744073709551615-18446744073709551615",
        "XAUTOCLAIM s nonesuch bob 0 0",
        "XAUTOCLAIM s g new 0 4-1",
        "XAUTOCLAIM nonesuch g new 0 0",
        "XSETID s 99-1 MAXDELETEDID 7-1",
        "XDEL s 6-1",
    ],
)
def test_what_is_pending(pair: ClientPair, command: str) -> None:
    pair.assert_same(
        *[f"XADD s {n}-1 a {n}" for n in range(1, 9)],
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g alice COUNT 3 STREAMS s >",
        "XREADGROUP GROUP g bob COUNT 3 STREAMS s >",
        "XDEL s 2-1",
        command,
        "XINFO GROUPS s",
        "XPENDING s g",
        "XREADGROUP GROUP g alice STREAMS s 0",
        "XREADGROUP GROUP g bob STREAMS s 0",
        "XREADGROUP GROUP g new STREAMS s 0",
        "XPENDING s g - + 10",
        "XINFO STREAM s FULL",
        "XINFO CONSUMERS s g",
    )
    pair.assert_same("DEL s", "SET s x", command)


def test_many_groups(pair: ClientPair, rng: random.Random) -> None:
    """One is found without a look at the others; they are created, grow and go in any order."""
    names = [f"g{rng.randrange(10**6)}" for _ in range(300)]
    pair.assert_same(*[f"XADD s {n}-1 a {n}" for n in range(1, 200)])
    for step, name in enumerate(names):
        pair.assert_same(f"XGROUP CREATE s {name} {rng.randrange(150)}", f"XGROUP CREATE s {name} 0")
        other = rng.choice(names)
        pair.assert_same(
            f"XREADGROUP GROUP {other} c{rng.randrange(3)} COUNT {rng.choice((1, 3, 150))} STREAMS s >",
            f"XPENDING s {other}",
            f"XACK s {other} 3-1 50-1 {rng.randrange(200)}-1",
            f"XGROUP SETID s {other} {rng.randrange(150)}",
        )
        if step % 4 == 0:
            pair.assert_same(f"XGROUP DESTROY s {rng.choice(names)}", f"XGROUP CREATECONSUMER s {other} d")
    look: tuple[Words, ...] = ("XINFO GROUPS s", "XINFO STREAM s FULL COUNT 1", "XINFO STREAM s")
    pair.assert_same(*look, "DEBUG RELOAD", *look, "COPY s t", "XTRIM s MAXLEN 0", *look, "XADD s 500-1 a b", *look)
    pair.assert_same(*[f"XGROUP DESTROY s {name}" for name in names], *look, "XGROUP CREATE s again $", *look)
    pair.assert_same("RENAME t s", *look, *[f"XACK s {name} 20-1 21-1 22-1" for name in names], *look)


@pytest.mark.parametrize("id", [">", "18446744073709551615-18446744073709551615", "18446744073709551615-*", "0", "3"])
def test_the_largest_id_stands_for_new_entries(pair: ClientPair, id: str) -> None:
    pair.assert_same("XADD s 1-1 a b", "XADD s 5-1 a b", "XADD t 1-1 a b", "XGROUP CREATE s g 0", "XGROUP CREATE t g 0")
    pair.assert_same(f"XREADGROUP GROUP g c COUNT 1 STREAMS s {id}", f"XREADGROUP GROUP g c STREAMS s t {id} {id}")
    pair.assert_same("XPENDING s g", "XPENDING t g", "XINFO STREAM s FULL", f"XREAD STREAMS s {id}")


@pytest.mark.parametrize("idle", ["0", "1000000", "-1", "9223372036854775807", "-9223372036854775808", "-5000000"])
@pytest.mark.parametrize("entries", [3, 300])
def test_pending_entries_by_idle_time(pair: ClientPair, entries: int, idle: str) -> None:
    pair.assert_same(*[f"XADD s {n}-1 a {n}" for n in range(1, entries + 1)], "XGROUP CREATE s g 0")
    pair.assert_same("XREADGROUP GROUP g c COUNT 2 STREAMS s >", "XREADGROUP GROUP g d STREAMS s >")
    pair.assert_same("XCLAIM s g c 0 1-1 2-1 IDLE 9000000 JUSTID", "XCLAIM s g e 0 1-1 IDLE 9000000 JUSTID")
    for consumer in ("", "c", "d", "e", "none"):
        pair.assert_same(f"XPENDING s g IDLE {idle} - + 400 {consumer}")
        pair.assert_same(f"XPENDING s g IDLE {idle} (1-1 (3-1 400 {consumer}")
