"""Dumps of a real redis-server: the tools find what the server says it holds, and agree with redis-check-rdb."""

from __future__ import annotations

import io
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from minikv.tools import check_rdb
from minikv.tools import rdb as tool
from tests.harness import Server
from tests.tools.test_rdb import content_of
from tests.tools.test_text import original

FAR_MS = 4_102_444_800_000  # the year 2100

# Settings under which the server chooses one encoding or another.
SETTINGS: dict[str, dict[str, object]] = {
    "compact": {},
    "uncompressed": {"rdbcompression": "no"},
    "plain": {
        "hash-max-listpack-entries": 0,
        "zset-max-listpack-entries": 0,
        "set-max-intset-entries": 0,
        "list-max-listpack-size": 1,
        "stream-node-max-entries": 1,
    },
    "unchecked": {"rdbchecksum": "no"},
}

Content = dict[tuple[int, bytes], tuple[str, Any, int | None]]


@pytest.fixture(scope="module", params=SETTINGS)
def filled(request: pytest.FixtureRequest, module_redis: Callable[..., Server]) -> Server:
    """A server with values of every type and size, saved; a test must not change them."""
    server = module_redis(**SETTINGS[request.param])
    rng = random.Random(f"{request.config.option.seed} {request.param}")
    for number in (0, 3, 15):
        with server.redis(db=number) as client:
            pipe = client.pipeline(transaction=False)
            fill(pipe, rng)
            pipe.execute()
    with server.redis() as client:
        client.save()
    return server


def some_bytes(rng: random.Random) -> bytes:
    """Text, numbers, what LZF makes shorter, what it does not, and nothing."""
    return rng.choice(
        [
            b"%d"
            % rng.choice([rng.randrange(-200, 200), rng.randrange(-(2**31), 2**31), rng.randrange(-(2**63), 2**63)]),
            rng.randbytes(rng.choice([0, 1, 60, 64, 300, 5000])),
            b"abc" * rng.choice([1, 21, 22, 1500]),
            "käse ☃\n".encode() * rng.randrange(4),
        ]
    )


def fill(client: Any, rng: random.Random) -> None:
    for index in range(100):
        client.set(some_bytes(rng) + b"%d" % index, some_bytes(rng), px=rng.choice([None, 10**12]))
    client.set("large", rng.randbytes(200_000))
    client.set("packed", "minikv " * 100_000)
    for size in (1, 5, 100, 600):
        client.rpush(f"list:{size}", *(some_bytes(rng) for _ in range(size)))
        client.hset(f"hash:{size}", mapping={some_bytes(rng) + b"%d" % i: some_bytes(rng) for i in range(size)})
        client.sadd(f"intset:{size}", *(rng.randrange(-(2 ** rng.choice([8, 20, 40])), 2**40) for _ in range(size)))
        client.sadd(f"set:{size}", *(some_bytes(rng) + b"%d" % i for i in range(size)))
        scores = [rng.choice([0, -1.5, 1e300, 5e-324, float("inf"), float("-inf"), i, i / 7]) for i in range(size)]
        client.zadd(f"zset:{size}", {some_bytes(rng) + b"%d" % i: score for i, score in enumerate(scores)})
        for index in range(size):
            extra = {some_bytes(rng) + b"+": some_bytes(rng)} if index % 3 else {}
            client.xadd(f"stream:{size}", {"same": index, **extra}, id=f"{index // 7 + 1}-*")
        client.xdel(f"stream:{size}", "1-0", "1-3", "3-3")
    client.xgroup_create("stream:100", "some group", "0-0")
    client.xreadgroup("some group", "one", {"stream:100": ">"}, count=7)
    client.xreadgroup("some group", b"\xff", {"stream:100": ">"}, count=20)
    client.xgroup_create("stream:100", "other", "$")
    client.xtrim("stream:600", 250, approximate=False)
    client.xgroup_create("only a group", "g", mkstream=True)
    client.pexpireat("set:5", FAR_MS)
    client.rpush("long list", *(b"%d" % number for number in range(20_000)), rng.randbytes(100_000))
    client.geoadd("geo", [13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"])
    client.pfadd("hll", *range(5000))


READ: dict[bytes, Callable[[Any, bytes], Any]] = {
    b"string": lambda client, key: client.get(key),
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"hash": lambda client, key: client.hgetall(key),
    b"set": lambda client, key: client.smembers(key),
    b"stream": lambda client, key: client.execute_command("XINFO", "STREAM", key, "FULL", "COUNT", 0),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
}


def held(server: Server) -> Content:
    """What the server says it holds."""
    content: Content = {}
    for number in range(16):
        with server.redis(db=number) as client:
            keys = list(client.scan_iter(count=1000))
            kinds = ask(client, keys, lambda pipe, key: pipe.type(key))
            times = ask(client, keys, lambda pipe, key: pipe.pexpiretime(key))
            kind_of = dict(zip(keys, kinds, strict=True))
            values = ask(client, keys, lambda pipe, key, kind_of=kind_of: READ[kind_of[key]](pipe, key))
        for key, kind, at_ms, value in zip(keys, kinds, times, values, strict=True):
            if kind == b"zset":
                value = dict(value)
            if kind == b"stream":
                value = stream_of(value)
            content[number, key] = (kind.decode(), value, None if at_ms < 0 else at_ms)
    return content


def stream_of(reply: Any) -> dict[str, Any]:
    """What XINFO STREAM FULL says, in the form that minikv-rdb gives it."""
    said = by_name(reply)
    return {
        "entries": [{"id": id, "fields": fields} for id, fields in said[b"entries"]],
        "last_id": said[b"last-generated-id"],
        "first_id": said[b"recorded-first-entry-id"],
        "max_deleted_id": said[b"max-deleted-entry-id"],
        "entries_added": said[b"entries-added"],
        "groups": [group_of(by_name(group)) for group in said[b"groups"]],
    }


def group_of(said: dict[bytes, Any]) -> dict[str, Any]:
    return {
        "name": said[b"name"],
        "last_id": said[b"last-delivered-id"],
        "entries_read": said[b"entries-read"],
        "consumers": [
            {
                "name": consumer[b"name"],
                "seen_ms": consumer[b"seen-time"],
                "pending": [
                    {"id": id, "delivered_ms": delivered_ms, "deliveries": deliveries}
                    for id, delivered_ms, deliveries in consumer[b"pending"]
                ],
            }
            for consumer in map(by_name, said[b"consumers"])
        ],
    }


def by_name(reply: Any) -> dict[bytes, Any]:
    """A map, which RESP2 has as an array."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def ask(client: redis.Redis, keys: list[bytes], question: Callable[[Any, bytes], object]) -> list[Any]:
    """The replies for all keys, at once."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        question(pipe, key)
    return pipe.execute()


def found(path: Path) -> Content:
    """What minikv-rdb says that the dump holds."""
    out = io.StringIO()
    assert tool.run(tool.parser().parse_args(["json", str(path)]), out) == 0
    content: Content = {}
    for line in out.getvalue().split("\n")[:-1]:
        record = json.loads(line)
        value = content_of(record)
        if record["type"] == "set":
            assert len(set(value)) == len(value)
            value = set(value)
        content[record["database"], original(record["key"])] = (record["type"], value, record.get("expire_at_ms"))
    return content


def test_json_says_what_the_server_holds(filled: Server) -> None:
    assert found(filled.dump_path) == held(filled)


def redis_check(path: Path) -> tuple[int, list[str]]:
    done = subprocess.run(["redis-check-rdb", str(path)], capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(errors="backslashreplace").splitlines()


def our_check(path: Path) -> tuple[int, list[str]]:
    lines: list[str] = []
    return check_rdb.check(str(path), lines.append), lines


def test_check_rdb_says_the_same_as_redis(filled: Server) -> None:
    code, lines = our_check(filled.dump_path)
    assert (code, [line for line in lines if " of type " not in line]) == redis_check(filled.dump_path)


def test_what_redis_refuses_is_refused(filled: Server, rng: random.Random, tmp_path: Path) -> None:
    """Cut and damaged, with the checksum and without: there may be more that is refused here, never less."""
    data = filled.dump_path.read_bytes()
    path = tmp_path / "damaged.rdb"
    for index in range(24):
        damaged = bytearray(data)
        if index % 3 == 0:
            del damaged[rng.randrange(len(data)) :]
        else:
            damaged[rng.randrange(9, len(data))] ^= 1 << rng.randrange(8)
        if index % 3 == 1:
            damaged[-8:] = bytes(8)
        path.write_bytes(damaged)
        if redis_check(path)[0] != 0:
            assert our_check(path)[0] == 1


def test_diff_of_two_dumps(filled: Server, start_redis: Callable[..., Server], tmp_path: Path) -> None:
    before, now = tmp_path / "before.rdb", tmp_path / "dump.rdb"
    before.write_bytes(filled.dump_path.read_bytes())
    now.write_bytes(before.read_bytes())
    with start_redis(directory=tmp_path).redis() as client:
        for name, value in (
            ("hash-max-listpack-entries", 10**6),
            ("zset-max-listpack-entries", 10**6),
            ("rdbcompression", "no"),
        ):
            client.config_set(name, value)
        client.execute_command("DEBUG", "RELOAD")
        assert diff(before, now) == (0, [])
        client.delete("hash:5")
        client.hset("hash:100", "new", "field")
        client.persist("set:5")
        client.zadd("zset:1", {"member": 5})
        client.append("large", "x")
        client.lset("list:100", 50, "changed")
        client.set("another", 1)
        client.xdel("stream:600", "70-0")
        client.xack("stream:100", "some group", "1-1")
        client.save()
    assert diff(before, now) == (
        1,
        [
            "+ 0 another: string",
            "! 0 hash:100: value",
            "- 0 hash:5: hash",
            "! 0 large: value",
            "! 0 list:100: value",
            f"! 0 set:5: expiry {FAR_MS}, now none",
            "! 0 stream:100: value",
            "! 0 stream:600: value",
            "! 0 zset:1: value",
        ],
    )


def diff(before: Path, now: Path) -> tuple[int, list[str]]:
    out = io.StringIO()
    code = tool.run(tool.parser().parse_args(["diff", str(before), str(now)]), out)
    return code, out.getvalue().splitlines()
