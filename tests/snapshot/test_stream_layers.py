"""Layers of streams: nodes that changed, and what is behind them, for streams of every form."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from minikv.commands.digest import as_hex, keyspace_digest
from minikv.history.append_only import write_append_only
from minikv.history.chain import History
from minikv.history.compaction import merge
from minikv.history.loading import load_history
from minikv.history.looking import value_at
from minikv.history.manifest import BASE, LAYER
from minikv.keyspace.database import Keyspace
from minikv.keyspace.stream import Stream
from tests.harness import Server, wait_until
from tests.harness.wire import WireClient, Words, encode
from tests.snapshot.test_points import Historian, bench

__all__ = ["bench"]

Start = Callable[..., Server]
ENTRIES = {"packed": 5, "chunked": 400, "spread": 12_000}  # of about 120 bytes


def run(client: WireClient, commands: list[Words]) -> None:
    for start in range(0, len(commands), 500):
        part = commands[start : start + 500]
        client.send_raw(b"".join(encode(list(words)) for words in part))
        for _ in part:
            client.read()


def digest_at(directory: Path, id: int) -> bytes:
    found = Keyspace(16, 1 << 30)
    load_history(str(directory), found, id)
    found.check()
    return as_hex(keyspace_digest(found.databases))


def random_commands(rng: random.Random, last: dict[str, int]) -> list[Words]:
    key = rng.choice(list(ENTRIES))
    choice = rng.randrange(14)
    some = str(rng.randrange(last[key] + 1) + 1)
    if choice < 5:
        made = []
        for _ in range(rng.choice([1, 3, 60])):
            last[key] += 1
            made.append(("XADD", key, f"{last[key]}-0", "field", "v" * rng.randrange(200)))
        return made
    if choice < 7:
        return [("XDEL", key, *(f"{rng.randrange(last[key] + 1) + 1}-0" for _ in range(rng.choice([1, 200]))))]
    if choice == 7:
        return (
            [("XTRIM", key, "MINID", some)] if rng.random() < 0.1 else [("XTRIM", key, "MINID", str(last[key] // 20))]
        )
    if choice == 8:
        return [("XGROUP", "CREATE", key, rng.choice("gh"), some)]
    if choice < 11:
        who = rng.choice(["al", "bo"])
        return [("XREADGROUP", "GROUP", rng.choice("gh"), who, "COUNT", rng.choice(["1", "700"]), "STREAMS", key, ">")]
    if choice == 11:
        return [("XACK", key, rng.choice("gh"), *(f"{rng.randrange(last[key] + 1) + 1}-0" for _ in range(90)))]
    if choice == 12:
        return [rng.choice([("XGROUP", "DESTROY", key, "h"), ("XGROUP", "DELCONSUMER", key, "g", "bo")])]
    return [("PEXPIRE", key, "100000000"), ("XSETID", key, f"{last[key] + 1}-0")]


def test_random_changes_of_streams(start_minikv: Start, start_redis: Start, rng: random.Random) -> None:
    server = start_minikv(snapshot_mode="layers", save="", history_base_percentage=0)
    client = server.connect()
    last = dict.fromkeys(ENTRIES, 0)
    for key, count in ENTRIES.items():
        run(client, [("XADD", key, f"{n}-0", "field", "v" * 100) for n in range(1, count + 1)])
        last[key] = count
    digests = {}
    directory = server.directory / "history"
    for _ in range(25):
        for _ in range(rng.choice([1, 10, 40])):
            run(client, random_commands(rng, last))
        if rng.random() < 0.3:  # what a failed save was handed is noted again
            server.call("CONFIG SET rdb-key-save-delay 100000")
            server.call("BGSAVE")
            run(client, random_commands(rng, last))
            server.call("BGSAVE CANCEL")
            server.call("CONFIG SET rdb-key-save-delay 0")
            wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", "the save ends")
        digest = server.call("DEBUG DIGEST").strip()[1:]
        assert server.call("SAVE") == b"+OK\r\n"
        history = History.open(str(directory))
        assert history.newest is not None
        digests[history.newest.id] = digest
    server.call("DEBUG ENGINE-CHECK")
    server.kill()
    assert {point.kind for point in history.points[1:]} >= {LAYER}
    assert {id: digest_at(directory, id) for id in digests} == digests
    # A key by itself, merged layers, and a restart.
    keyspace = Keyspace(16, 1 << 30)
    load_history(str(directory), keyspace, history.newest.id)
    for key in ENTRIES:
        found = value_at(history, history.newest, 0, key.encode())
        assert (found is None) == (keyspace.databases[0].dump(key.encode(), False) is None)
    write_append_only(history, history.newest, str(directory.parent / "aof"))
    redis = start_redis(directory=directory.parent / "aof", appendonly="yes", save="")
    merge(history, history.points[0], history.newest)
    assert digest_at(directory, history.newest.id) == digests[history.newest.id]
    server.start()
    assert server.call("DEBUG DIGEST").strip()[1:] == digests[history.newest.id]
    for key in ENTRIES:
        for command in (("XRANGE", key, "-", "+"), ("XINFO", "GROUPS", key), ("XLEN", key), ("XPENDING", key, "g")):
            assert redis.call(command) == server.call(command)


def test_a_layer_has_the_nodes_that_changed(bench: Historian) -> None:
    for key, count in ENTRIES.items():
        for number in range(count):
            Stream.to_write(bench.database, key.encode()).add(number + 1, (b"f", b"v" * 100), 4096, 100)
    assert bench.save().kind == BASE
    empty = bench.save().nbytes
    for key in ("chunked", "spread"):
        stream = Stream.to_write(bench.database, key.encode())
        stream.add(stream.last_id + 1, (b"f", b"v" * 100), 4096, 100)
        assert 100 < bench.save().nbytes - empty < 5000
        assert stream.delete(200)
        stream.deleted([200])
        assert bench.save().nbytes - empty < 5000
        assert stream.trim_to_length(len(stream) - 150, False, 0) == 150
        assert bench.save().nbytes - empty < 5000
        stream.set_numbers(stream.last_id + 5, 0, stream.entries_added)
        assert bench.save().nbytes - empty < 500
        assert bench.save().keys == 0
