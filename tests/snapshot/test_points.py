"""Saves that add points to a history: what is in a layer, what a failed save leaves, what a restart finds."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minikv.commands.digest import value_digest
from minikv.errors import HistoryError, SaveError
from minikv.history import compaction
from minikv.history.chain import History
from minikv.history.loading import load_history
from minikv.history.manifest import BASE, LAYER, Point
from minikv.host import overcommit
from minikv.keyspace.database import Database, Keyspace
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet
from minikv.keyspace.stream import Stream
from minikv.rdb.format import encode_string
from minikv.snapshot import points
from tests.harness import wait_until
from tests.snapshot.test_controller import MB, Bench

KILLED = -1
State = dict[tuple[int, bytes], tuple[int, int]]


def state(keyspace: Keyspace) -> State:
    """Digest and expiry of every key."""
    return {
        (database.number, key): (value_digest(database, key), database.expire_at(key))
        for database in keyspace.databases
        for key in database.keys()  # noqa: SIM118  (a method of Database, not of a dict)
    }


class Historian(Bench):
    """A bench whose saves add points."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.config.set_many([("snapshot-mode", "layers")])
        self.states: dict[int, State] = {}

    @property
    def directory(self) -> str:
        return self.controller.points.directory

    @property
    def points(self) -> tuple[Point, ...]:
        return History.open(self.directory).points

    def save(self, background: bool = False) -> Point:
        """A point of this moment."""
        now = state(self.keyspace)
        if background:
            self.controller.bgsave()
            self.wait()
            assert self.controller.status.ok
        else:
            self.saves.save()
        self.states[self.points[-1].id] = now
        return self.points[-1]

    def refused(self) -> None:
        """A save that fails."""
        with pytest.raises(SaveError):
            self.saves.save()

    def with_faults(self, **faults: tuple[int, int, int]) -> None:
        self.controller.job.inject(faults)

    def restored(self, id: int) -> State:
        found = Keyspace(16, 64 * MB)
        found.set_clock(lambda: self.keyspace.now_ms)
        load_history(self.directory, found, id)
        found.check()
        return state(found)

    def restart(self) -> None:
        """Another server, which loads what is there."""
        self.controller.points.close()
        self.keyspace = Keyspace(16, 64 * MB)
        self.database = self.keyspace.databases[0]
        self.controller = self.make()
        asyncio.run(self.controller.load())

    def check(self) -> None:
        """Each point that was saved can be restored."""
        assert {id: self.restored(id) for id in self.states} == self.states


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Historian]:
    monkeypatch.setattr(overcommit, "warning", lambda: None)
    made = Historian(tmp_path)
    yield made
    made.controller.kill_child()
    made.keyspace.check()
    made.check()
    assert list(tmp_path.rglob("temp-*")) == []


def fill_hash(database: Database, key: bytes, fields: int, size: int = 10) -> None:
    Hash.to_write(database, key).set_all(
        tuple(itertools.chain(*((b"field:%d" % number, b"v" * size) for number in range(fields))))
    )


@pytest.mark.parametrize("background", [False, True])
def test_the_first_point_is_a_base_and_the_next_ones_are_layers(bench: Historian, background: bool) -> None:
    bench.change(1000)
    base = bench.save(background)
    bench.change(10)
    layer = bench.save(background)
    empty = bench.save(background)
    assert (base.kind, base.keys, base.parent) == (BASE, 1000, 0)
    assert (layer.kind, layer.keys, layer.removed, layer.parent, layer.db_keys) == (LAYER, 10, 0, base.id, 1000)
    assert layer.parent_digest == base.digest
    assert (empty.kind, empty.keys) == (LAYER, 0)
    assert layer.nbytes < base.nbytes / 20
    assert bench.keyspace.dirty == 0
    assert not bench.dump.exists()


def test_the_history_of_snapshots_names_the_kind(bench: Historian) -> None:
    for _ in range(2):
        bench.change(5)
        bench.save(background=True)
    bench.config.set_many([("snapshot-mode", "full")])
    bench.controller.bgsave()
    bench.wait()
    assert [entry.fields()["kind"] for entry in bench.controller.history.newest()] == ["full", "layer", "base"]
    assert bench.dump.exists()
    os.unlink(bench.dump)


def test_what_is_removed_is_in_the_layer(bench: Historian) -> None:
    bench.change(100)
    other = bench.keyspace.databases[3]
    bench.save()
    bench.database.delete(b"key:1")
    bench.database.unlink(b"key:2")
    bench.database.rename(b"key:3", b"renamed")
    bench.database.move_to(b"key:4", other)
    bench.database.set_expire(b"key:5", bench.keyspace.now_ms + 10)
    bench.keyspace.set_clock(lambda: bench.keyspace.now_ms + 1000)
    assert bench.database.get(b"key:5") is None
    bench.database.delete(b"key:6")
    bench.database.set(b"key:6", b"again")
    point = bench.save()
    assert (point.kind, point.removed, point.keys) == (LAYER, 6, 3)


@pytest.mark.parametrize("fails", [False, True])
def test_databases_that_were_emptied_or_have_changed_places(bench: Historian, fails: bool) -> None:
    one, two, three = (bench.keyspace.databases[number] for number in (1, 2, 3))
    for number, database in enumerate((one, two, three)):
        for index in range(20):
            database.set(b"%d" % index, b"of %d" % number)
    bench.save()
    one.delete(b"3")
    bench.keyspace.swap(1, 2)
    two.set(b"new", b"in 2")
    three.flush()
    three.set(b"after", b"the flush")
    if fails:
        bench.with_faults(write=(errno.ENOSPC, 1, 1))
        bench.refused()
    bench.keyspace.swap(2, 3)
    one.delete(b"4")
    two.delete(b"after")
    point = bench.save()
    assert point.kind == LAYER
    bench.keyspace.flush_all()
    assert bench.save().kind == LAYER


@pytest.mark.parametrize(
    "faults",
    [
        {"open": (errno.EACCES, 1, 1)},
        {"write": (errno.ENOSPC, 1, 1), "io_submit": (errno.ENOSPC, 1, 1)},
        {"fsync": (errno.EIO, 1, 1)},
        {"rename": (errno.EIO, 1, 1)},
        {"append": (errno.ENOSPC, 1, 1)},
        {"open": (errno.EMFILE, 2, 2)},
        {"open": (errno.EMFILE, 3, 3)},
        {"fsync": (errno.EIO, 2, 2)},
        {"fsync": (errno.EIO, 3, 3)},
        {"write": (KILLED, 1, 1), "io_submit": (KILLED, 1, 1)},
        {"rename": (KILLED, 1, 1)},
        {"append": (KILLED, 1, 1)},
        {"fork": (errno.EAGAIN, 1, 1)},
    ],
    ids=str,
)
def test_what_a_failed_save_had_is_in_the_next_point(bench: Historian, faults: dict[str, tuple[int, int, int]]) -> None:
    bench.change(100)
    bench.save()
    bench.change(10)
    bench.database.delete(b"key:50")
    bench.with_faults(**faults)
    before = state(bench.keyspace)
    if "fork" in faults:
        with pytest.raises(SaveError):
            bench.controller.bgsave()
    else:
        bench.controller.bgsave()
        bench.database.set(b"during", b"the save")
        bench.database.delete(b"key:60")
        bench.wait()
    assert not bench.controller.status.ok
    bench.with_faults()
    left = bench.points[-1]
    bench.database.set(b"later", b"value")
    point = bench.save(background=True)
    assert point.id == left.id + 1 == 2 or faults == {"append": (KILLED, 1, 1)}
    if faults == {"append": (KILLED, 1, 1)}:
        # Its file was there, so it became a point, and all that there is follows it.
        assert [each.kind for each in bench.points] == [BASE, LAYER, BASE]
        assert bench.restored(2) == before
    else:
        assert point.kind == LAYER


def test_too_many_removals_make_a_base(bench: Historian) -> None:
    bench.save()
    for number in range(40_000):
        bench.database.set(b"key:%030d" % number, b"")
    bench.save()
    for number in range(40_000):
        bench.database.delete(b"key:%030d" % number)
    assert bench.save().kind == BASE
    assert bench.save().kind == LAYER


def test_a_tiny_history_is_not_made_of_bases(bench: Historian) -> None:
    bench.change(10)
    assert [bench.save().kind for _ in range(2)] == [BASE, LAYER]
    for _ in range(5):
        bench.change(10)
        assert bench.save().kind == LAYER


def test_many_layers_make_a_base(bench: Historian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "MOST_LAYERS", 3)
    bench.change(1000)
    assert [bench.save().kind for _ in range(6)] == [BASE, LAYER, LAYER, LAYER, BASE, LAYER]


def test_layers_that_have_grown_as_large_as_the_base_make_a_base(
    bench: Historian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "BASE_LEAST_BYTES", 1)
    bench.config.set_many([("history-base-percentage", "200")])
    bench.change(1000)
    bench.save()
    kinds = []
    for _ in range(5):
        bench.change(700)
        kinds.append(bench.save().kind)
    assert kinds == [LAYER, LAYER, LAYER, BASE, LAYER]


def test_a_restart_loads_the_newest_point_and_goes_on_with_layers(bench: Historian) -> None:
    bench.change(100)
    bench.save()
    bench.change(10)
    bench.database.delete(b"key:99")
    bench.save()
    expected = state(bench.keyspace)
    bench.restart()
    assert state(bench.keyspace) == expected
    assert bench.keyspace.dirty == 0
    bench.database.set(b"key:1", b"after")
    bench.database.delete(b"key:2")
    point = bench.save()
    assert (point.kind, point.keys, point.removed) == (LAYER, 1, 1)


def test_a_key_that_expires_while_the_server_is_down_is_removed_by_the_next_layer(bench: Historian) -> None:
    bench.database.set(b"key", b"value", bench.keyspace.now_ms + 5)
    bench.database.set(b"other", b"value")
    bench.save()
    now_ms = bench.keyspace.now_ms + 1000
    bench.restart()
    bench.keyspace.set_clock(lambda: now_ms)
    assert len(bench.database) == 2
    bench.keyspace.expire_cycle(10)
    assert len(bench.database) == 1
    assert bench.save().removed == 1
    bench.states.clear()


def test_a_plain_dump_is_loaded_where_there_is_no_history_yet(bench: Historian) -> None:
    bench.config.set_many([("snapshot-mode", "full")])
    bench.change(50)
    bench.saves.save()
    bench.config.set_many([("snapshot-mode", "layers")])
    bench.restart()
    assert len(bench.database) == 50
    assert bench.save().kind == BASE
    os.unlink(bench.dump)


def test_a_second_server_is_refused_by_name(bench: Historian) -> None:
    bench.save()
    other = bench.make()
    with pytest.raises(SaveError, match=f"another server, of PID {os.getpid()}, writes this history"):
        other.bgsave()
    with pytest.raises(HistoryError, match="another server"):
        asyncio.run(other.load())


def test_a_reload_makes_the_next_point_a_base(bench: Historian) -> None:
    bench.change(10)
    bench.save()
    bench.saves.reload()
    assert bench.save().kind == BASE
    os.unlink(bench.dump)


def test_full_mode_and_back(bench: Historian) -> None:
    bench.change(10)
    bench.save()
    bench.config.set_many([("snapshot-mode", "full")])
    assert not bench.keyspace.tracks_changes
    bench.change(3)
    bench.config.set_many([("snapshot-mode", "layers")])
    point = bench.save()
    assert (point.kind, point.parent) == (BASE, 1)


def test_mode_changed_while_a_point_is_saved(bench: Historian) -> None:
    bench.change(10)
    bench.save()
    bench.controller.bgsave()
    bench.config.set_many([("snapshot-mode", "full")])
    bench.wait()
    bench.config.set_many([("snapshot-mode", "layers")])
    assert bench.save().kind == BASE


def test_a_damaged_layer_is_refused_or_the_point_before_it_is_loaded(bench: Historian) -> None:
    for number in range(3):
        bench.database.set(b"key:%d" % number, b"value")
        bench.save()
    path = Path(bench.directory) / bench.points[-1].file
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    with pytest.raises(HistoryError, match=r"point 3: layer-0000000003\.rdb: .*; point 2 is the newest before it"):
        bench.restart()
    bench.config.set_many([("history-damaged", "previous")])
    bench.restart()
    assert bench.database.keys() == [b"key:0", b"key:1"] or set(bench.database.keys()) == {b"key:0", b"key:1"}
    del bench.states[3]
    assert bench.save().kind == BASE


def test_one_field_of_a_large_hash_costs_its_own_bytes(bench: Historian) -> None:
    fill_hash(bench.database, b"hash", 10_000)
    for number in range(3000):
        SortedSet.to_write(bench.database, b"zset").set(b"member:%d" % number, float(number))
        Set.to_write(bench.database, b"set").add(b"member:%d" % number)
    bench.save()
    empty = bench.save().nbytes
    Hash.to_write(bench.database, b"hash").set(b"field:77", b"w" * 10)
    point = bench.save()
    assert point.keys == 1
    assert point.nbytes - empty < 120
    Hash.to_write(bench.database, b"hash").set(b"field:78", b"longer than it was")
    Hash.to_write(bench.database, b"hash").delete(b"field:79")
    SortedSet.to_write(bench.database, b"zset").set(b"member:5", 5.5)
    Set.to_write(bench.database, b"set").remove(b"member:9")
    point = bench.save()
    assert point.nbytes - empty < 4000
    assert point.removed == 2


def test_a_spread_hash_is_walked_by_field(bench: Historian) -> None:
    fill_hash(bench.database, b"hash", 2000, 1000)  # beyond what chunks hold
    bench.save()
    empty = bench.save().nbytes
    view = Hash.to_write(bench.database, b"hash")
    view.set(b"field:5", random.Random(1).randbytes(1000))
    view.set(b"new", b"w")
    view.delete(b"field:6")
    point = bench.save()
    assert (point.keys, point.removed) == (1, 1)
    assert 1000 < point.nbytes - empty < 1400


def test_layers_are_verified_as_dumps_are(bench: Historian) -> None:
    bench.config.set_many([("rdb-verify", "yes")])
    fill_hash(bench.database, b"hash", 5000)
    bench.change(10)
    bench.save()
    Hash.to_write(bench.database, b"hash").set(b"field:5", b"0" * 10)
    Hash.to_write(bench.database, b"hash").delete(b"field:6")
    bench.database.delete(b"key:3")
    bench.database.set_expire(b"key:4", bench.keyspace.now_ms + 100_000)
    assert bench.save().keys == 2
    bench.save()


def test_evacuation_changes_nothing(bench: Historian) -> None:
    for number in range(30_000):
        bench.database.set(b"key:%d" % number, b"x" * 200)
    fill_hash(bench.database, b"hash", 5000)
    bench.save()
    for number in range(0, 30_000):
        if number % 3:
            bench.database.delete(b"key:%d" % number)
    bench.save()
    Hash.to_write(bench.database, b"hash").set(b"field:5", b"0" * 10)
    bench.database.set(b"key:0", b"y" * 200)
    while bench.keyspace.evacuate(10_000, True):
        pass
    point = bench.save()
    assert point.keys == 2
    assert point.nbytes < 2000


def test_random_changes_of_large_collections(bench: Historian) -> None:
    choose = random.Random(5)
    bench.config.set_many([("history-base-percentage", "0")])
    kinds: list[Callable[[], Any]] = [
        lambda: Hash.to_write(bench.database, b"h").set(b"%d" % choose.randrange(900), b"v" * choose.randrange(30)),
        lambda: Hash.to_write(bench.database, b"h").delete(b"%d" % choose.randrange(900)),
        lambda: Set.to_write(bench.database, b"s").add(b"%d" % choose.randrange(3000)),
        lambda: Set.to_write(bench.database, b"s").remove(b"%d" % choose.randrange(3000)),
        lambda: SortedSet.to_write(bench.database, b"z").set(b"%d" % choose.randrange(900), choose.randrange(900)),
        lambda: SortedSet.to_write(bench.database, b"z").remove(b"%d" % choose.randrange(900)),
        lambda: List.to_write(bench.database, b"l").push(b"x" * choose.randrange(90), choose.random() < 0.5),
        lambda: Stream.to_write(bench.database, b"x").add(
            Stream.to_write(bench.database, b"x").last_id + 1, (b"f", b"v"), 4096, 100
        ),
    ]
    for _ in range(60):
        for _ in range(choose.choice((3, 30, 300))):
            choose.choice(kinds)()
        if choose.random() < 0.3:
            bench.controller.bgsave()
            for _ in range(50):
                choose.choice(kinds)()
            bench.controller.kill_child()
        bench.save(background=choose.random() < 0.3)
    # A child that is killed while it publishes may leave a file, and then a base follows.
    assert LAYER in {point.kind for point in bench.points[1:]}


def test_libraries_of_functions_are_in_each_layer(bench: Historian) -> None:
    bench.save()
    library = encode_string(b"#!lua name=l\nreturn")
    bench.controller.keep_functions((library,))
    bench.save()
    bench.restart()
    assert bench.controller.loader.functions == (library,)


def test_a_child_that_is_killed_after_it_has_published_counts(bench: Historian) -> None:
    bench.change(10)
    bench.save()
    bench.change(5)
    bench.controller.bgsave()
    wait_until(lambda: len(bench.points) == 2, "the point is there")
    bench.controller.kill_child()
    bench.change(1)
    point = bench.save()
    assert (point.id, point.kind, point.keys) == (3, LAYER, 1)


# What others do to the directory of a running server


def saved_three(bench: Historian) -> Path:
    bench.config.set_many([("history-base-percentage", "0")])
    for number in range(3):
        bench.database.set(b"key:%d" % number, b"value" * 100)
        bench.save()
    assert [point.kind for point in bench.points] == [BASE, LAYER, LAYER]
    return Path(bench.directory)


def check_next(bench: Historian, *kinds: str) -> None:
    """What is saved now can be restored, also by another server."""
    bench.database.set(b"later", b"value")
    expected = state(bench.keyspace)
    assert bench.save(background=True).kind == BASE
    assert [point.kind for point in bench.points] == [*kinds, BASE]
    bench.restart()
    assert state(bench.keyspace) == expected


def test_a_history_that_was_removed_begins_anew(bench: Historian) -> None:
    shutil.rmtree(saved_three(bench))
    bench.states.clear()
    check_next(bench)


@pytest.mark.parametrize("whole", [False, True])
def test_another_history_in_its_place_gets_a_base(bench: Historian, tmp_path: Path, whole: bool) -> None:
    directory = saved_three(bench)
    other = Historian(tmp_path / "other")
    theirs = saved_three(other)
    other.controller.points.close()
    if whole:
        directory.rename(tmp_path / "away")
        theirs.rename(directory)
    else:
        shutil.copy(theirs / "manifest", directory / "manifest")
    bench.states.clear()
    check_next(bench, BASE, LAYER, LAYER)
    if whole:
        assert [point.id for point in History.open(str(tmp_path / "away")).points] == [1, 2, 3]


def test_a_point_whose_line_was_taken_away_comes_back(bench: Historian) -> None:
    path = saved_three(bench) / "manifest"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    check_next(bench, BASE, LAYER, LAYER)


@pytest.mark.parametrize("length", [0, 40])
def test_a_manifest_that_was_cut_refuses_saves(bench: Historian, length: int) -> None:
    path = saved_three(bench) / "manifest"
    data = path.read_bytes()
    path.write_bytes(data[:length])
    for _ in range(2):
        with pytest.raises(SaveError, match=r"Can't save: the history .*: manifest: "):
            bench.controller.bgsave()
    assert path.read_bytes() == data[:length]
    path.write_bytes(data)
    check_next(bench, BASE, LAYER, LAYER)


def test_compaction_by_others_is_no_reason_for_a_base(bench: Historian) -> None:
    saved_three(bench)
    history = History.open(bench.directory)
    compaction.merge(history, history.point(1), history.point(3))
    del bench.states[2]
    assert bench.save().kind == LAYER
    compaction.rebase(History.open(bench.directory), bench.points[-1])
    assert bench.save().kind == LAYER
