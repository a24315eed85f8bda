"""Dumps of streams go both ways between minikv and a real redis-server, with their groups."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.harness import ClientPair, Server, WireClient, encode, parse, plain, wait_until
from tests.harness.compare import same_but_times

SIZES = (0, 1, 3, 99, 100, 101, 700, 2000)


def requests(rng: random.Random) -> Iterator[list[str]]:
    for size in SIZES:
        key = f"stream:{size}"
        yield ["XGROUP", "CREATE", key, "empty", "0", "MKSTREAM"]
        yield ["XGROUP", "CREATE", key, "group", "0"]
        for number in range(size):
            fields = ["field", str(number)] if rng.random() < 0.8 else ["other", "x" * rng.randrange(80)]
            yield ["XADD", key, f"{number // 3 + 1}-*", *fields, "more", rng.choice(["1", "-70000", "y"])]
        for number in range(0, size, 11):
            yield ["XDEL", key, f"{number // 3 + 1}-1"]
        for consumer in ("alice", "bob", "c" * 100):
            yield ["XREADGROUP", "GROUP", "group", consumer, "COUNT", str(size // 5), "STREAMS", key, ">"]
        yield ["XGROUP", "CREATECONSUMER", key, "empty", "idle"]
    yield ["XDEL", "stream:1", "1-0"]
    yield ["XADD", "large", "1-1", "a", "z" * 100_000, "b", "abc" * 10_000]
    yield ["EXPIRE", "large", "100000"]
    yield ["XSETID", "stream:3", "50-50", "ENTRIESADDED", "70", "MAXDELETEDID", "40-1"]


def populate(server: Server, rng: random.Random) -> None:
    remaining = requests(rng)
    with server.connect() as client:
        while batch := list(islice(remaining, 500)):
            client.send_raw(b"".join(map(encode, batch)))
            assert not any(client.read().startswith(b"-") for _ in batch)


def everything(client: WireClient) -> list[bytes]:
    """All that can be seen of all streams."""
    keys = ["large", *(f"stream:{size}" for size in SIZES)]
    seen = [client.call(["XINFO", "STREAM", key, "FULL", "COUNT", "0"]) for key in keys]
    seen += [client.call(["XPENDING", key, "group", "-", "+", "10000"]) for key in keys[1:]]
    return seen


@pytest.mark.parametrize(("save", "compression"), [("SAVE", "yes"), ("BGSAVE", "no")])
@pytest.mark.parametrize("way", ["minikv to redis", "redis to minikv", "minikv to minikv"])
def test_dumps_go_both_ways(
    start_minikv: Callable[..., Server],
    start_redis: Callable[..., Server],
    tmp_path: Path,
    rng: random.Random,
    way: str,
    save: str,
    compression: str,
) -> None:
    starts = {"minikv": start_minikv, "redis": start_redis}
    first, second = way.split(" to ")
    writer = starts[first](directory=str(tmp_path), rdbcompression=compression)
    populate(writer, rng)
    with writer.connect() as client:
        before = everything(client)
        digest = plain(parse(client.call("DEBUG DIGEST")))
        assert client.call(save).startswith(b"+")
        wait_until(lambda: b"rdb_bgsave_in_progress:0" in client.value("INFO persistence"), "the end of the save")
        assert b"rdb_last_bgsave_status:ok" in client.value("INFO persistence")
    writer.kill()
    reader = starts[second](directory=str(tmp_path))
    with reader.connect() as client:
        for one, other in zip(everything(client), before, strict=True):
            assert same_but_times(one, other)
        assert plain(parse(client.call("DEBUG DIGEST"))) == digest


def test_streams_go_on_after_a_reload(pair: ClientPair, rng: random.Random) -> None:
    """Redis has made its nodes itself, minikv has them from Redis's encoding or its own: the rest must be equal."""
    pair.assert_same("CONFIG SET stream-node-max-entries 20")
    number = 0
    for _ in range(8):
        for _ in range(70):
            number += 1
            pair.assert_same(["XADD", "s", f"{number}-1", "a", str(number), "b", "x" * rng.randrange(30)])
        pair.assert_same(f"XDEL s {number - 3}-1 {number - 50}-1", "DEBUG RELOAD", "XINFO STREAM s FULL COUNT 0")
    pair.assert_same("XTRIM s MAXLEN ~ 300", "XINFO STREAM s", "XTRIM s MINID 444", "XINFO STREAM s FULL COUNT 0")


@pytest.mark.parametrize("to_redis", [True, False], ids=["minikv to redis", "redis to minikv"])
def test_payloads_go_both_ways(pair: ClientPair, rng: random.Random, to_redis: bool) -> None:
    writer, reader = pair.servers if to_redis else reversed(pair.servers)
    populate(writer, rng)
    with writer.connect() as source, reader.connect() as target:
        for key in ("large", *(f"stream:{size}" for size in SIZES)):
            payload = plain(parse(source.call(["DUMP", key])))
            assert target.call(["RESTORE", key, "0", payload]) == b"+OK\r\n"
            assert target.call(["RESTORE", key, "0", payload, "REPLACE"]) == b"+OK\r\n"
        for one, other in zip(everything(target)[1:], everything(source)[1:], strict=True):
            assert same_but_times(one, other)
