"""Snapshots that end in every way and at every moment, under writes: each dump is the moment of its fork."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from minikv.config import Config
from minikv.keyspace.database import Database, Keyspace
from minikv.snapshot.controller import SnapshotController
from tests.rdb.rdb_files import read
from tests.snapshot.test_loader import Lines

MB = 1 << 20
ENDS = ["success"] * 4 + ["SIGKILL", "SIGUSR1", "cancel", "stop and cancel", "flush", "shut down"]
Model = dict[bytes, tuple[bytes, int]]


def change(database: Database, model: Model, rng: random.Random) -> None:
    """One change of a random kind."""
    key = b"key:%d" % rng.randrange(3000)
    kind = rng.randrange(10)
    if kind < 5:
        size = rng.choice([5, 60, 70, 1000, 1000, 5000, 32_700, 40_000, 300_000]) if kind else 20
        value, at_ms = rng.randbytes(size), rng.choice([0, 0, 4_000_000_000_000 + rng.randrange(1000)])
        database.set(key, value, at_ms)
        model[key] = (value, at_ms)
    elif kind < 7:
        database.delete(key)
        model.pop(key, None)
    elif key in model:
        value, at_ms = model[key]
        if kind == 7:
            database.set_range(key, len(value) // 2, b"changed")
            middle = len(value) // 2
            model[key] = (value[:middle] + b"changed" + value[middle + 7 :], at_ms)
        elif kind == 8:
            database.append(key, b"appended")
            model[key] = (value + b"appended", at_ms)
        else:
            database.set_expire(key, 4_000_000_000_000)
            model[key] = (value, 4_000_000_000_000)


def contents(database: Database) -> Model:
    found: Model = {}
    for key in database.keys():  # noqa: SIM118 (not a dict)
        value = database.get(key)
        assert value is not None
        found[key] = (value, database.expire_at(key))
    return found


def differences(actual: Model, expected: Model) -> list[str]:
    return [
        f"{key!r}: {len(actual[key][0]) if key in actual else None} instead of"
        f" {len(expected[key][0]) if key in expected else None} bytes"
        for key in sorted(actual.keys() | expected.keys())
        if actual.get(key) != expected.get(key)
    ][:10]


def saved(path: Path) -> Model:
    return {record.key: (record.value, record.expire_at_ms) for record in read(path.read_bytes()).records}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["relocate", "in-place"])
def test_random_ends(tmp_path: Path, rng: random.Random, way: str) -> None:
    config = Config()
    config.dir = str(tmp_path)
    config.save = ()
    config.snapshot_writes = way
    keyspace = Keyspace(16, 512 * MB)
    database = keyspace.databases[0]
    controller = SnapshotController(config, keyspace, Lines())
    dump = tmp_path / config.dbfilename
    model: Model = {}
    at_last_save: Model = {}
    for end in rng.sample(ENDS * 2, len(ENDS) * 2):
        for _ in range(rng.randrange(1500)):
            change(database, model, rng)
        config.rdbcompression = rng.random() < 0.3
        config.rdb_key_save_delay = rng.choice([0, 0, 20, 100]) if end == "success" else rng.choice([0, 100, 1000])
        at_fork = dict(model)
        controller.bgsave()
        child = controller.child_pid
        for _ in range(rng.randrange(1000)):
            change(database, model, rng)
            if rng.random() < 0.02:
                keyspace.evacuate(100)
                controller.cron(time.monotonic())
        finish(controller, keyspace, child, end)
        if end == "flush":
            keyspace.flush_all()
            model.clear()
        if dump.exists():
            found = saved(dump)
            ended_before = end != "success" and found == at_last_save
            assert ended_before or differences(found, at_fork) == [], end
            at_last_save = found
        assert [path.name for path in tmp_path.iterdir() if path != dump] == []
        keyspace.check()
        assert differences(contents(database), model) == []


def finish(controller: SnapshotController, keyspace: Keyspace, child: int, end: str) -> None:
    """Bring the snapshot to its end in this way, if it has not come to one by itself."""
    if not controller.in_progress:
        return
    if end in ("SIGKILL", "SIGUSR1"):
        os.kill(child, signal.Signals[end])
    elif end.startswith("stop"):
        os.kill(child, signal.SIGSTOP)
    if end.endswith("cancel"):
        controller.cancel()
    elif end in ("flush", "shut down"):
        controller.kill_child()
    while controller.in_progress:
        controller.cron(time.monotonic())
        keyspace.evacuate(50)
        time.sleep(0.001)
