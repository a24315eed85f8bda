"""Keys of requests, by key specifications that no command here has yet as well as by those of SET and BITFIELD."""

from __future__ import annotations

import pytest

from minikv.commands.geo import georadius, georadiusbymember
from minikv.commands.sort import sort
from minikv.commands.stream_read import xreadgroup
from minikv.dispatch.keys import bitfield_flags, find_keys, key_flags, key_places, places_checked, set_flags
from minikv.dispatch.spec import KeySpec, describe

RANGES = [
    (("index", 1), ("range", 0, 1, 0), "GET a b", [1]),
    (("index", 1), ("range", -1, 1, 0), "DEL a b c", [1, 2, 3]),
    (("index", 1), ("range", -1, 2, 0), "MSET a 1 b 2", [1, 3]),
    (("index", 1), ("range", -1, 2, 0), "MSET a 1 b", [1, 3]),
    (("index", 1), ("range", 1, 1, 0), "RENAME a b", [1, 2]),
    (("index", 1), ("range", 1, 1, 0), "RENAME a", [1]),
    (("index", 1), ("range", -2, 1, 0), "BLPOP a b 0", [1, 2]),
    (("index", 2), ("range", 0, 1, 0), "OBJECT FREQ", []),
    (("index", 2), ("keynum", 0, 1, 1), "EVAL script 2 a b c", [3, 4]),
    (("index", 2), ("keynum", 0, 1, 1), "EVAL script 0 a", []),
    (("index", 2), ("keynum", 0, 1, 1), "EVAL script 5 a", []),
    (("index", 2), ("keynum", 0, 1, 1), "EVAL script x a", []),
    (("index", 2), ("keynum", 0, 1, 1), "EVAL script -1 a", []),
    (("index", 1), ("keynum", 0, 1, 2), "X 2 a 1 b 2", [2, 4]),
    (("keyword", "STREAMS", 1), ("range", -1, 1, 2), "XREAD COUNT 2 streams a b 0 0", [4, 5]),
    (("keyword", "STREAMS", 1), ("range", -1, 1, 2), "XREAD COUNT 2", []),
    (("keyword", "KEYS", -2), ("range", -1, 1, 0), "MIGRATE host port x 0 5 keys a b", [7, 8]),
    (("keyword", "KEYS", -2), ("range", -1, 1, 0), "MIGRATE host port x 0 5 keys", []),
    (("unknown",), ("unknown",), "SORT a", []),
]


@pytest.mark.parametrize(("begin", "find", "request_", "places"), RANGES)
def test_places(begin: tuple[object, ...], find: tuple[object, ...], request_: str, places: list[int]) -> None:
    assert list(key_places(KeySpec("RO", begin, find), request_.encode().split()) or ()) == places


@pytest.mark.parametrize(
    ("request_", "flags"),
    [
        ("SET a 1", "OW update"),
        ("SET a get", "OW update"),
        ("SET a 1 EX 5 gEt", "RW access update"),
    ],
)
def test_set_reads_only_with_get(request_: str, flags: str) -> None:
    assert set_flags(request_.encode().split()) == flags.split()


@pytest.mark.parametrize(
    ("request_", "flags"),
    [
        ("BITFIELD a", "RO access"),
        ("BITFIELD a GET u8 0", "RO access"),
        ("BITFIELD a get u8 0 overflow sat GET u8 8", "RO access"),
        ("BITFIELD a GET u8 0 SET u8 0 1", "RW access update"),
        ("BITFIELD a incrby u8 0 1", "RW access update"),
        ("BITFIELD a OVERFLOW WRAP", "RO access"),
        ("BITFIELD a OVERFLOW WRAP SET u8 0 1", "RW access update"),
    ],
)
def test_bitfield_writes_unless_it_only_gets(request_: str, flags: str) -> None:
    assert bitfield_flags(request_.encode().split()) == flags.split()


def test_flags_come_in_the_order_of_redis() -> None:
    assert key_flags(KeySpec("update access rw", ("index", 1), ("range", 0, 1, 0))) == ["RW", "access", "update"]


def test_each_key_comes_with_what_the_command_does_with_it() -> None:
    spec = describe(
        "BITOP",
        arity=-4,
        keys=(2, -1, 1),
        keyspecs=[
            KeySpec("OW update", ("index", 2), ("range", 0, 1, 0)),
            KeySpec("RO access", ("index", 3), ("range", -1, 1, 0)),
        ],
    )
    write, read = ["OW", "update"], ["RO", "access"]
    assert find_keys(spec, [b"bitop", b"AND", b"d", b"a", b"b"]) == [(b"d", write), (b"a", read), (b"b", read)]


@pytest.mark.parametrize(
    ("handler", "request_", "places"),
    [
        (sort, "SORT k STORE a", [1, 3]),
        (sort, "SORT k STORE a STORE b", [1, 5]),
        (sort, "SORT k STORE store BY nosort", [1, 4, 3]),
        (sort, "SORT k GET store STORE b", [1, 5]),
        (sort, "SORT k STORE", [1]),
        (georadius, "GEORADIUS k 0 0 1 m STORE a", [1, 7]),
        (georadius, "GEORADIUS k 0 0 1 m STORE a STORE b", [1, 7, 9]),
        (georadius, "GEORADIUS k 0 0 1 m STORE a ASC STOREDIST b", [1, 7, 10]),
        (georadius, "GEORADIUS k 0 0 1 m STORE storedist STOREDIST b", [1, 7, 8, 9]),
        (georadius, "GEORADIUS k 0 0 1 m COUNT 1 STORE", [1]),
        (georadiusbymember, "GEORADIUSBYMEMBER k store 1 m STORE b", [1, 6]),
        (georadiusbymember, "GEORADIUSBYMEMBER k m 1 m COUNT store STORE b", [1, 7, 8]),
        (xreadgroup, "XREADGROUP GROUP g c STREAMS a b 0 0", [5, 6]),
        (xreadgroup, "XREADGROUP GROUP streams streams STREAMS b 0", [5]),
        (xreadgroup, "XREADGROUP COUNT 1 GROUP g streams STREAMS b >", [6, 7]),
        (xreadgroup, "XREADGROUP GROUP g c", []),
    ],
)
def test_rights_are_needed_for_the_keys_that_the_command_uses(
    handler: object, request_: str, places: list[int]
) -> None:
    """Also where an option comes twice, or a value looks like one."""
    (spec,) = handler.__command_specs__  # type: ignore[attr-defined]
    assert [place for place, _ in places_checked(spec, request_.encode().split())] == places
