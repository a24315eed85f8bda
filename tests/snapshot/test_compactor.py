"""A server that keeps its history small while it serves and saves."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from minikv.commands.digest import as_hex, keyspace_digest
from minikv.history.chain import History, total_bytes
from minikv.history.loading import load_history
from minikv.history.manifest import BASE
from minikv.keyspace.database import Keyspace
from tests.harness import Server, wait_until
from tests.harness.wire import encode
from tests.snapshot.test_controller import Bench

Start = Callable[..., Server]


def history_of(server: Server) -> History:
    return History.open(str(server.directory / "history"))


def save(server: Server) -> None:
    assert server.call("SAVE") == b"+OK\r\n"


def fields(server: Server) -> dict[str, str]:
    return {
        name.removeprefix("minikv_history_"): value
        for name, value in server.info("persistence").items()
        if name.startswith("minikv_history_")
    }


def is_idle(server: Server) -> bool:
    return fields(server)["compaction_in_progress"] == "0"


def change(server: Server, rng: random.Random, keys: int, size: int) -> None:
    client = server.connect()
    client.send_raw(b"".join(encode(["SET", f"key:{rng.randrange(200)}", rng.randbytes(size)]) for _ in range(keys)))
    for _ in range(keys):
        client.read()
    client.close()


def digest_at(server: Server, id: int) -> bytes:
    found = Keyspace(16, 1 << 30)
    load_history(str(server.directory / "history"), found, id)
    found.check()
    return as_hex(keyspace_digest(found.databases))


def test_rules_hold_beside_a_server_that_goes_on_saving(start_minikv: Start, rng: random.Random) -> None:
    server = start_minikv(snapshot_mode="layers", save="", hz=100)
    digests: dict[int, bytes] = {}
    for number in range(60):
        change(server, rng, 20, 100)
        server.call(("HSET", "hash", *[word for n in range(40) for word in (f"{rng.randrange(500)}", "v" * 30)]))
        digests[number + 1] = server.call("DEBUG DIGEST").strip()[1:]
        save(server)
        if number % 15 == 10:
            server.call(("CONFIG", "SET", "history-keep", f"last {8 + number % 2}"))
    server.call(("CONFIG", "SET", "history-keep", "last 5"))
    wait_until(lambda: is_idle(server) and int(fields(server)["points"]) <= 6, "old points go")
    kept = history_of(server).points
    assert {point.id for point in kept[-5:]} == set(range(56, 61))
    assert {id: digest_at(server, id) for id in (point.id for point in kept)} == {p.id: digests[p.id] for p in kept}
    assert int(fields(server)["bytes"]) == total_bytes(kept)
    assert fields(server)["last_compaction_status"] == "ok"
    # What follows, and a restart, build on it.
    change(server, rng, 5, 100)
    digest = server.call("DEBUG DIGEST").strip()[1:]
    save(server)
    assert history_of(server).points[-1].kind != BASE
    server.kill()
    server.start()
    assert server.call("DEBUG DIGEST").strip()[1:] == digest
    assert "History: compaction ended" in server.log()


def test_the_disk_takes_no_more_than_the_bound(start_minikv: Start, rng: random.Random) -> None:
    server = start_minikv(
        snapshot_mode="layers",
        save="",
        hz=100,
        history_max_bytes=400_000,
        history_base_percentage=0,
    )
    for _ in range(12):
        change(server, rng, 200, 500)  # about 100 KB, two thirds of the keys
        save(server)
    wait_until(lambda: is_idle(server) and fields(server)["bound_kept"] == "1", "the oldest points go")
    points = history_of(server).points
    assert total_bytes(points) == int(fields(server)["bytes"]) <= 400_000
    assert points[-1].id == 12
    assert points[0].kind == BASE
    assert digest_at(server, 12) == server.call("DEBUG DIGEST").strip()[1:]


def test_a_bound_that_cannot_be_kept_is_said_and_saves_go_on(start_minikv: Start, rng: random.Random) -> None:
    server = start_minikv(snapshot_mode="layers", save="", hz=100, history_max_bytes=20_000)
    for _ in range(3):
        change(server, rng, 400, 500)
        save(server)
    wait_until(lambda: "the bound is not kept" in server.log(), "the warning")
    wait_until(lambda: is_idle(server), "the end")
    assert fields(server)["bound_kept"] == "0"
    change(server, rng, 400, 500)
    save(server)
    assert digest_at(server, history_of(server).points[-1].id) == server.call("DEBUG DIGEST").strip()[1:]


def test_what_others_have_compacted_is_noticed(start_minikv: Start, rng: random.Random) -> None:
    server = start_minikv(snapshot_mode="layers", save="", hz=100, history_keep="")
    for _ in range(6):
        change(server, rng, 50, 100)
        save(server)
    command = [sys.executable, "-m", "minikv.tools.history", "--history", str(server.directory / "history")]
    subprocess.run([*command, "prune", "--keep", "last 2"], check=True, capture_output=True, timeout=60)
    wait_until(lambda: is_idle(server) and int(fields(server)["points"]) == 2, "the server has looked")
    points = history_of(server).points
    assert int(fields(server)["base_bytes"]) == points[0].nbytes
    assert int(fields(server)["layer_bytes"]) == points[1].nbytes
    assert fields(server)["layers"] == "1"


class Stage(Bench):
    """A controller whose saves add points; its compactor is asked by hand."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.config.set_many([("snapshot-mode", "layers")])
        self.config.history_keep = "last 2"
        self.points = self.controller.points
        self.compactor = self.controller.compactor

    def save(self) -> None:
        self.change(1)
        self.saves.save()

    def run(self) -> None:
        wait_until(lambda: not self.follow(), "compaction ends")

    def follow(self) -> bool:
        self.compactor.cron(base_is_written=False)
        return self.compactor.active


def test_it_starts_when_there_is_something_to_do(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.save()
    assert not stage.follow()
    stage.now += 3600
    stage.compactor.cron(base_is_written=True)
    assert not stage.compactor.active
    assert stage.follow()
    stage.run()
    assert stage.points.new == 0
    stage.now += 7200
    assert not stage.follow()  # nothing is new
    for _ in range(60):
        stage.save()
    assert stage.follow()
    stage.run()
    assert stage.points.count <= 3


def test_one_that_is_killed_does_no_harm_and_the_next_one_ends(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for _ in range(70):
        stage.save()
    stage.compactor.ask()
    assert stage.follow()
    stage.compactor.kill()
    assert not stage.compactor.active
    stage.save()
    stage.compactor.ask()
    assert stage.follow()
    os.kill(stage.compactor.pid, signal.SIGKILL)
    stage.run()
    assert not stage.compactor.ok
    stage.save()
    stage.compactor.ask()
    assert stage.follow()
    stage.run()
    assert stage.compactor.ok
    assert stage.points.count <= 3
    keyspace = Keyspace(16, 64 << 20)
    load_history(stage.points.directory, keyspace)
    assert as_hex(keyspace_digest(keyspace.databases)) == as_hex(keyspace_digest(stage.keyspace.databases))
