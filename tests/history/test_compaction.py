"""Merging, rebasing, pruning: what is left is what it was, and a crash at any step loses nothing."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from minikv.errors import HistoryError
from minikv.history import compaction, manifest
from minikv.history.chain import History, adopt
from minikv.history.loading import load_history
from minikv.keyspace import Keyspace
from tests.history.history_files import (
    FIRST_MS,
    HOUR_MS,
    SAMPLE_STATES,
    Writer,
    db,
    deleted,
    delta,
    expiring,
    hash_record,
    random_history,
    sample,
)
from tests.history.states import State, state_of
from tests.history.states import states_of_history as states
from tests.rdb.rdb_files import pair


def opened(directory: Path) -> History:
    return History.open(str(directory))


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} - {"manifest", "manifest.lock", "compact.lock"}


def named(directory: Path) -> set[str]:
    return {point.file for point in opened(directory).points}


def only(*ids: int) -> dict[int, State]:
    return {id: SAMPLE_STATES[id] for id in ids}


@pytest.mark.parametrize(("after", "to"), [(1, 3), (1, 4), (2, 4)])
def test_a_merged_layer_does_what_its_layers_did(tmp_path: Path, after: int, to: int) -> None:
    sample(tmp_path)
    history = opened(tmp_path)
    merged = compaction.merge(history, history.point(after), history.point(to))
    assert merged.file == f"layer-{after:010}-{to:010}.rdb"
    assert states(tmp_path) == only(*range(1, after + 1), *range(to, 5))
    assert files(tmp_path) == named(tmp_path)


def test_merged_layers_are_merged_again(tmp_path: Path) -> None:
    writer = sample(tmp_path)
    writer.layer(db(0) + pair(b"b", b"last") + deleted(b"new"))
    for after, to in ((1, 3), (3, 5), (1, 5)):
        history = opened(tmp_path)
        compaction.merge(history, history.point(after), history.point(to))
    last = {place: value for place, value in SAMPLE_STATES[4].items() if place != (0, b"new")}
    assert states(tmp_path) == only(1) | {5: last | {(0, b"b"): b"last"}}


def test_points_that_the_server_adds_follow_a_merged_or_rebased_one(tmp_path: Path) -> None:
    writer = sample(tmp_path)
    history = opened(tmp_path)
    compaction.merge(history, history.point(2), history.point(4))
    writer.layer(db(0) + pair(b"later", b"1"))  # its parent is the point 4 that the server knows
    history = opened(tmp_path)
    compaction.rebase(history, history.point(5))
    writer.layer(db(0) + pair(b"later", b"2"))
    four = SAMPLE_STATES[4]
    expected = {5: four | {(0, b"later"): b"1"}, 6: four | {(0, b"later"): b"2"}}
    assert states(tmp_path) == only(1, 2, 4) | expected


def test_superseded_operations_are_left_out(tmp_path: Path) -> None:
    history = Writer(tmp_path)
    history.base(db(0) + pair(b"old", b"x"))
    for number in range(10):
        history.layer(db(0) + pair(b"k", b"%d" % number * 100) + pair(b"gone", b"y" * 500))
    history.layer(db(0) + deleted(b"gone") + deleted(b"old"))
    opened_history = opened(tmp_path)
    merged = compaction.merge(opened_history, opened_history.point(1), opened_history.point(12))
    assert merged.nbytes < 500
    assert (merged.keys, merged.removed) == (1, 2)
    assert states(tmp_path)[12] == {(0, b"k"): b"9" * 100}


def test_the_last_functions_are_kept(tmp_path: Path) -> None:
    writer = sample(tmp_path)
    writer.layer(functions=[b"#!lua name=last\n"])
    history = opened(tmp_path)
    compaction.merge(history, history.point(1), history.point(5))
    assert load_history(str(tmp_path), Keyspace(16, 1 << 30)).functions == (b"\x10#!lua name=last\n",)
    history = opened(tmp_path)
    compaction.rebase(history, history.point(5))
    assert load_history(str(tmp_path), Keyspace(16, 1 << 30)).functions == (b"\x10#!lua name=last\n",)


def test_rebase_keeps_all_points_and_needs_nothing_older(tmp_path: Path) -> None:
    sample(tmp_path)
    history = opened(tmp_path)
    made = compaction.rebase(history, history.point(3))
    assert (made.kind, made.file, made.keys) == ("base", "base-0000000003.rdb", 7)
    assert states(tmp_path) == SAMPLE_STATES
    (tmp_path / "base-0000000001.rdb").unlink()
    keyspace = Keyspace(16, 1 << 30)
    load_history(str(tmp_path), keyspace, 4)
    assert state_of(keyspace) == SAMPLE_STATES[4]


@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_prune_drops_what_is_older(tmp_path: Path, first: int) -> None:
    sample(tmp_path)
    history = opened(tmp_path)
    gone = compaction.prune(history, history.point(first))
    assert [point.id for point in gone] == list(range(1, first))
    assert states(tmp_path) == only(*range(first, 5))
    assert files(tmp_path) == named(tmp_path)


@pytest.mark.parametrize("keep", [{4}, {1, 4}, {2, 4}, {1, 3, 4}, {2, 3, 4}])
def test_thin_keeps_the_wanted_points(tmp_path: Path, keep: set[int]) -> None:
    sample(tmp_path)
    compaction.thin(opened(tmp_path), keep)
    assert states(tmp_path) == only(*keep)
    assert files(tmp_path) == named(tmp_path)


def test_thin_with_bases_in_between(tmp_path: Path) -> None:
    for keep in ({1, 6}, {1, 4, 6}, {1, 5, 6}, {5, 6}):
        directory = tmp_path / "-".join(map(str, sorted(keep)))
        writer = sample(directory)
        writer.base(db(0) + pair(b"five", b"5"))
        writer.layer(db(0) + pair(b"six", b"6"))
        all_states = SAMPLE_STATES | {5: {(0, b"five"): b"5"}, 6: {(0, b"five"): b"5", (0, b"six"): b"6"}}
        compaction.thin(opened(directory), keep)
        assert states(directory) == {id: all_states[id] for id in keep}


def test_the_newest_point_stays(tmp_path: Path) -> None:
    sample(tmp_path)
    with pytest.raises(HistoryError, match="the newest point cannot be taken away"):
        compaction.thin(opened(tmp_path), {1, 2})


def test_a_change_by_another_process_is_noticed(tmp_path: Path) -> None:
    sample(tmp_path)
    one = opened(tmp_path)
    compaction.merge(opened(tmp_path), one.point(1), one.point(3))
    with pytest.raises(HistoryError):
        compaction.merge(one, one.point(1), one.point(3))
    assert states(tmp_path) == only(1, 3, 4)


def test_two_compactions_at_once_are_refused(tmp_path: Path) -> None:
    sample(tmp_path)
    first, second = compaction.alone(str(tmp_path)), compaction.alone(str(tmp_path))
    with first, pytest.raises(HistoryError, match="another process compacts"), second:
        pass
    with compaction.alone(str(tmp_path)):
        pass


# Random operations against a model


def test_random_layers_merged_at_random(tmp_path: Path, rng: random.Random) -> None:
    for run in range(4):
        directory = tmp_path / str(run)
        expected = random_history(directory, rng, 8)
        assert states(directory) == expected
        keep = {8, *rng.sample(range(1, 8), 3)}
        compaction.thin(opened(directory), keep)
        assert states(directory) == {id: expected[id] for id in keep}


# A crash at each step


class Crash(Exception):
    """The process ends here."""


def crashing(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the nth call of those that change the disk, and all that follow, fail."""
    left = [after]

    def crash(original: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **options: object) -> object:
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            return original(*arguments, **options)

        return called

    for name in ("fsync", "rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, crash(getattr(os, name)))


@pytest.mark.parametrize(
    "change",
    [
        lambda history: compaction.merge(history, history.point(1), history.point(3)),
        lambda history: compaction.rebase(history, history.point(3)),
        lambda history: compaction.prune(history, history.point(3)),
        lambda history: compaction.thin(history, {2, 4}),
    ],
    ids=["merge", "rebase", "prune", "thin"],
)
def test_a_crash_at_any_step_loses_no_point_that_is_listed(tmp_path: Path, change: Callable[[History], object]) -> None:
    steps = 0
    crashed = True
    while crashed:
        directory = tmp_path / str(steps)
        sample(directory)
        with pytest.MonkeyPatch.context() as monkeypatch:
            crashing(monkeypatch, steps)
            try:
                change(opened(directory))
                crashed = False
            except Crash:
                pass
        found = states(directory)
        assert 4 in found
        assert found == {id: SAMPLE_STATES[id] for id in found}
        assert adopt(str(directory)) == []
        compaction.sweep(str(directory))
        assert files(directory) == named(directory)
        steps += 1
    assert steps > 5


# Rules


def points_at(*hours: float) -> list[manifest.Point]:
    return [
        manifest.Point(
            id=number,
            parent=number - 1,
            kind="base",
            file=f"base-{number:010}.rdb",
            time_ms=int(FIRST_MS + hour * HOUR_MS),
            digest=number,
            parent_digest=0,
            nbytes=100,
        )
        for number, hour in enumerate(hours, 1)
    ]


def test_rules_keep_the_newest_point_of_each_of_the_last_units(monkeypatch: pytest.MonkeyPatch) -> None:
    points = points_at(*(hour / 2 for hour in range(24 * 2 * 40)))  # each half an hour, for 40 days
    assert len(compaction.kept_by(points, [("hourly", 24)])) == 24
    assert len(compaction.kept_by(points, [("daily", 30)])) == 30
    assert compaction.kept_by(points, [("last", 3)]) == {1918, 1919, 1920}
    both = compaction.kept_by(points, [("hourly", 24), ("daily", 30), ("monthly", 12)])
    assert both == (
        compaction.kept_by(points, [("hourly", 24)])
        | compaction.kept_by(points, [("daily", 30)])
        | compaction.kept_by(points, [("monthly", 12)])
    )
    assert {1920, 1918} <= both


def test_the_newest_point_is_kept_whatever_the_rules() -> None:
    assert compaction.kept_by(points_at(0, 1, 2), [("daily", 0)]) == {3}
    assert compaction.kept_by([], [("daily", 1)]) == set()


def test_hours_without_points_do_not_count() -> None:
    assert compaction.kept_by(points_at(0, 1, 100, 200), [("hourly", 3)]) == {2, 3, 4}


@pytest.mark.parametrize("text", ["", "hourly", "hourly x", "fortnightly 2", "2 hourly", "hourly -1", "hourly 1 daily"])
def test_wrong_rules_are_refused(text: str) -> None:
    with pytest.raises(HistoryError, match="is no rule"):
        compaction.parse_rules(text)


def test_a_bound_on_bytes_drops_the_oldest(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    expected: dict[int, State] = {}
    writer.base(db(0) + pair(b"0", b"x" * 100))
    for number in range(1, 10):
        writer.layer(db(0) + pair(b"%d" % number, b"x" * 1000))
        expected[number + 1] = {
            (0, b"0"): b"x" * 100,
            **{(0, b"%d" % n): b"x" * 1000 for n in range(1, number + 1)},
        }
    history = compaction.bound(opened(tmp_path), 9_500)
    total = sum(path.stat().st_size for path in tmp_path.glob("*.rdb"))
    assert total <= 9_500
    assert len(history.points) > 1
    assert states(tmp_path) == {point.id: expected[point.id] for point in history.points}
    compaction.bound(opened(tmp_path), 1)
    assert list(states(tmp_path)) == [10]


def test_expired_keys_survive_compaction(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.base(db(0) + expiring(1000, pair(b"k", b"v")))
    writer.layer(db(0) + expiring(2000, hash_record(b"h", {b"a": b"1"})))
    writer.layer(db(0) + delta(expiring(3000, hash_record(b"h", {b"b": b"1"})), 2))
    history = opened(tmp_path)
    compaction.merge(history, history.point(1), history.point(3))
    expected: State = {(0, b"k"): b"v", (0, b"h"): {b"a": b"1", b"b": b"1"}}
    assert states(tmp_path)[3] == expected
    compaction.prune(opened(tmp_path), opened(tmp_path).point(3))
    assert states(tmp_path) == {3: expected}
