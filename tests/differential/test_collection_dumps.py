"""Dumps of collections go both ways between minikv and a real redis-server."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Server, parse, plain, wait_until


def populate(server: Server, rng: random.Random) -> None:
    with server.connect() as client:
        for size in (1, 5, 100, 512, 513, 3000):
            for number in range(size):
                client.call(["HSET", f"hash:{size}", f"field:{number}", "v" * rng.choice([0, 3, 60, 64])])
                client.call(["SADD", f"intset:{size}", rng.choice([number, 70_000 + number, 2**40 + number])])
                client.call(["SADD", f"set:{size}", f"member:{number}"])
                client.call(["LPUSH", f"list:{size}", rng.choice([number, f"element:{number}", "v" * number])])
        client.call(["HSET", "long", "x" * 65, "abc" * 10_000, "y" * 20_000, "1"])
        client.call(["EXPIRE", "long", "100000"])


@pytest.mark.parametrize("compression", ["yes", "no"])
@pytest.mark.parametrize("to_redis", [True, False], ids=["minikv to redis", "redis to minikv"])
def test_dumps_go_both_ways(
    start_minikv: Callable[..., Server],
    start_redis: Callable[..., Server],
    tmp_path: Path,
    rng: random.Random,
    to_redis: bool,
    compression: str,
) -> None:
    first, second = (start_minikv, start_redis) if to_redis else (start_redis, start_minikv)
    writer = first(directory=str(tmp_path), rdbcompression=compression)
    populate(writer, rng)
    with writer.connect() as client:
        digest = plain(parse(client.call("DEBUG DIGEST")))
        assert client.call("BGSAVE").startswith(b"+")
        wait_until(lambda: b"rdb_bgsave_in_progress:0" in client.value("INFO persistence"), "the end of the save")
        assert b"rdb_last_bgsave_status:ok" in client.value("INFO persistence")
    writer.kill()
    reader = second(directory=str(tmp_path))
    with reader.connect() as client:
        assert plain(parse(client.call("DEBUG DIGEST"))) == digest


def test_a_dump_may_end_with_a_compact_collection_of_many_elements(
    start_minikv: Callable[..., Server], start_redis: Callable[..., Server], tmp_path: Path
) -> None:
    writer = start_redis(directory=str(tmp_path))
    writer.call("HSET hash " + " ".join(f"{number} {number}" for number in range(100)))
    assert writer.call("SAVE") == b"+OK\r\n"
    writer.kill()
    assert start_minikv(directory=str(tmp_path)).call("HLEN hash") == b":100\r\n"


@pytest.mark.parametrize("compress_depth", ["0", "1"])
@pytest.mark.parametrize("size", ["-2", "3", "-1"])
def test_quicklists_of_every_kind_are_loaded(
    start_minikv: Callable[..., Server],
    start_redis: Callable[..., Server],
    tmp_path: Path,
    rng: random.Random,
    size: str,
    compress_depth: str,
) -> None:
    options = {"list-max-listpack-size": size, "list-compress-depth": compress_depth, "enable-debug-command": "yes"}
    writer = start_redis(directory=str(tmp_path), **options)
    with writer.connect() as client:
        client.call("DEBUG QUICKLIST-PACKED-THRESHOLD 500B")  # longer ones become plain nodes
        for key, count in (("few", 5), ("some", 300), ("many", 5000)):
            for _ in range(count):
                client.call(["RPUSH", key, rng.choice([rng.randrange(2**40), "text", "z" * rng.randrange(900)])])
        client.call(["RPUSH", "large", "x" * 70_000, "y" * 200_000, 1])
        digest = plain(parse(client.call("DEBUG DIGEST")))
        assert client.call("SAVE") == b"+OK\r\n"
    writer.kill()
    reader = start_minikv(directory=str(tmp_path))
    assert plain(parse(reader.call("DEBUG DIGEST"))) == digest
    assert reader.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"


def test_functions_pass_through(
    start_minikv: Callable[..., Server], start_redis: Callable[..., Server], tmp_path: Path
) -> None:
    """minikv does not run them, but a redis-server that loads its dump has them again."""
    writer = start_redis(directory=str(tmp_path))
    for name in ("one", "other"):
        code = f"#!lua name={name}\nredis.register_function('{name}', function() return '{name * 20}' end)"
        assert writer.call(["FUNCTION", "LOAD", code]).startswith(b"$")
    assert writer.call("SET k v") == writer.call("SAVE") == b"+OK\r\n"
    listed = writer.call("FUNCTION LIST WITHCODE")
    writer.kill()
    between = start_minikv(directory=str(tmp_path))
    assert between.call("DEBUG RELOAD") == between.call("FLUSHALL") == between.call("SET k v") == b"+OK\r\n"
    with between.connect() as client:
        assert client.call("BGSAVE").startswith(b"+")
        wait_until(lambda: b"rdb_bgsave_in_progress:0" in client.value("INFO persistence"), "the end of the save")
    between.kill()
    reader = start_redis(directory=str(tmp_path))
    assert sorted(reader.call("FUNCTION LIST WITHCODE")) == sorted(listed)
    assert plain(parse(reader.call("FCALL one 0"))) == b"one" * 20
