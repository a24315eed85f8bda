"""A point as an append-only directory, loaded by a redis-server of the distribution."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from minikv.errors import HistoryError
from minikv.history.append_only import encoded, moves, write_append_only
from minikv.history.chain import History
from tests.harness import Server
from tests.history.history_files import (
    FIRST_MS,
    SAMPLE_STATES,
    Writer,
    db,
    deleted,
    delta,
    expiring,
    hash_record,
    random_history,
    removed,
    sample,
    set_record,
    sorted_set_record,
)
from tests.history.states import State, expiries_of_dump, state_of_dump
from tests.rdb.rdb_files import STRING, pair
from tests.rdb.test_reader import compressed

StartServer = Callable[..., Server]


def loaded_by(start: StartServer, directory: Path) -> tuple[State, dict[tuple[int, bytes], int], list[bytes]]:
    """What a server makes of the directory: values, expiries, names of libraries."""
    server = start(directory=directory, appendonly="yes")
    with server.redis() as client:
        client.save()
        names = [
            dict(zip(library[::2], library[1::2], strict=True))[b"library_name"] for library in client.function_list()
        ]
    server.stop()
    return state_of_dump(server.dump_path), expiries_of_dump(server.dump_path), names


@pytest.mark.parametrize("id", SAMPLE_STATES)
def test_redis_loads_each_point(tmp_path: Path, start_redis: StartServer, id: int) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    assert write_append_only(history, history.point(id), str(tmp_path / "aof")) == id
    state, expiries, names = loaded_by(start_redis, tmp_path / "aof")
    assert state == SAMPLE_STATES[id]
    assert expiries == ({(0, b"new"): 2 * FIRST_MS} if id == 4 else {})
    assert names == {1: [b"one"], 2: [], 3: [b"two"], 4: []}[id]


def test_redis_loads_random_layers(tmp_path: Path, start_redis: StartServer, rng: random.Random) -> None:
    expected = random_history(tmp_path / "h", rng, 20, timed=False)
    history = History.open(str(tmp_path / "h"))
    write_append_only(history, history.point(20), str(tmp_path / "aof"))
    assert loaded_by(start_redis, tmp_path / "aof")[0] == expected[20]


def test_expiries_and_large_deltas(tmp_path: Path, start_redis: StartServer) -> None:
    later = 2 * FIRST_MS
    fields = {b"f%d" % n: b"v" for n in range(2_000)}
    writer = Writer(tmp_path / "h")
    writer.base(db(0) + hash_record(b"h", fields) + expiring(later, set_record(b"s", [b"a"])) + pair(b"k", b"v" * 100))
    writer.layer(
        db(0)
        + delta(expiring(later + 1, hash_record(b"h", {b"f%d" % n: b"w" for n in range(1_000, 3_000)})))
        + delta(set_record(b"s", [b"b"]))
        + delta(sorted_set_record(b"z", {b"m": float("inf"), b"n": -0.1}))
        + expiring(later + 2, pair(b"k", b"x" * 16_000))
    )
    writer.layer(db(0) + removed(b"h", b"f0") + removed(b"z", b"n") + removed(b"none", b"n"))
    history = History.open(str(tmp_path / "h"))
    write_append_only(history, history.point(3), str(tmp_path / "aof"))
    state, expiries, _ = loaded_by(start_redis, tmp_path / "aof")
    fields |= {b"f%d" % n: b"w" for n in range(1_000, 3_000)}
    del fields[b"f0"]
    assert state == {
        (0, b"h"): fields,
        (0, b"s"): {b"a", b"b"},
        (0, b"z"): {b"m": float("inf")},
        (0, b"k"): b"x" * 16_000,
    }
    assert expiries == {(0, b"h"): later + 1, (0, b"k"): later + 2}


def test_compressed_keys_and_values_are_taken_as_they_are(tmp_path: Path, start_redis: StartServer) -> None:
    key, value = b"k" * 500, b"v" * 5_000
    body = db(0) + STRING + compressed(key) + compressed(value) + b"\0\xc1\x39\x30\xc2" + struct.pack("<i", -70_000)
    writer = Writer(tmp_path / "h")
    writer.base()
    writer.layer(body)
    history = History.open(str(tmp_path / "h"))
    write_append_only(history, history.point(2), str(tmp_path / "aof"))
    assert loaded_by(start_redis, tmp_path / "aof")[0] == {(0, key): value, (0, b"12345"): b"-70000"}


def test_removals_of_a_key_that_the_layer_deletes_first(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "h")
    writer.base(db(0) + set_record(b"s", [b"a"]))
    writer.layer(db(0) + deleted(b"s") + removed(b"s", b"a"))
    history = History.open(str(tmp_path / "h"))
    write_append_only(history, history.point(2), str(tmp_path / "aof"))
    text = (tmp_path / "aof/appendonlydir/appendonly.aof.1.incr.aof").read_bytes()
    assert text == encoded((b"DEL", b"s")) + encoded((b"SREM", b"s", b"a"))


def test_moves_are_flushes_then_swaps() -> None:
    assert list(moves({})) == []
    assert list(moves({0: 3, 3: 0})) == [(b"SWAPDB", b"0", b"3"), (b"SELECT", b"0")]
    assert list(moves({2: None})) == [(b"SELECT", b"2"), (b"FLUSHDB", b"SYNC"), (b"SELECT", b"0")]


# What is refused


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    (tmp_path / "aof").mkdir()
    (tmp_path / "aof/mine").write_text("")
    with pytest.raises(OSError, match="not empty"):
        write_append_only(history, history.point(2), str(tmp_path / "aof"))
    assert [path.name for path in (tmp_path / "aof").iterdir()] == ["mine"]
    (tmp_path / "aof/mine").unlink()
    write_append_only(history, history.point(2), str(tmp_path / "aof"))
    assert [path.name for path in (tmp_path / "aof").iterdir()] == ["appendonlydir"]


def test_a_damaged_layer_leaves_nothing(tmp_path: Path) -> None:
    writer = sample(tmp_path / "h")
    history = History.open(str(tmp_path / "h"))
    path = tmp_path / "h" / writer.points[2].file
    data = path.read_bytes()
    path.write_bytes(data[:60] + bytes((data[60] ^ 1,)) + data[61:])
    with pytest.raises(HistoryError, match=r"point 3: layer-0000000003\.rdb"):
        write_append_only(history, history.point(4), str(tmp_path / "aof"))
    assert {each.name for each in tmp_path.iterdir()} == {"h"}
