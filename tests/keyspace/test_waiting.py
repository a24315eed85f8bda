"""Keys that somebody waits for: every change of one is noted, once until the note is taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minikv.keyspace import Keyspace, Watch
from minikv.keyspace.sorted_set import SortedSet

MB = 1 << 20


@pytest.fixture
def keyspace() -> Iterator[Keyspace]:
    keyspace = Keyspace(databases=3, arena_bytes=64 * MB)
    for number in range(3):
        keyspace.databases[number].wait_for(b"k")
    yield keyspace
    keyspace.check()


def noted(keyspace: Keyspace) -> list[tuple[int, bytes]]:
    ready, keyspace.ready = keyspace.ready, {}
    return list(ready)


def test_changes_of_other_keys_are_not_noted(keyspace: Keyspace) -> None:
    keyspace.databases[0].set(b"other", b"1")
    keyspace.databases[0].lookup(b"k")
    assert noted(keyspace) == []


def test_each_change_is_noted_once_in_the_order_of_the_first(keyspace: Keyspace) -> None:
    for number in (2, 0, 1, 0, 2):
        keyspace.databases[number].set(b"k", b"1")
    assert noted(keyspace) == [(2, b"k"), (0, b"k"), (1, b"k")]
    keyspace.databases[1].append(b"k", b"1")
    assert noted(keyspace) == [(1, b"k")]


def test_every_way_to_change_a_key_is_noted(keyspace: Keyspace) -> None:
    db, other = keyspace.databases[:2]
    for change in (
        lambda: db.set(b"k", b"1"),
        lambda: db.set_expire(b"k", keyspace.now_ms + 1000),
        lambda: db.persist(b"k"),
        lambda: db.delete(b"k"),
        lambda: SortedSet.to_write(db, b"k").set(b"m", 1.0),
        lambda: SortedSet.to_write(db, b"k").remove(b"m"),
        lambda: (db.set(b"x", b"1"), db.rename(b"x", b"k")),
        lambda: db.rename(b"k", b"x"),
        lambda: db.copy_to(b"x", db, b"k", False),
        lambda: db.flush(),
    ):
        change()
        assert noted(keyspace) == [(0, b"k")]
    other.set(b"k", b"1")
    assert noted(keyspace) == [(1, b"k")]
    for change in (lambda: other.move_to(b"k", db), lambda: keyspace.swap(0, 1)):
        change()
        assert sorted(noted(keyspace)) == [(0, b"k"), (1, b"k")]


def test_the_end_of_a_key_by_its_time_is_noted(keyspace: Keyspace) -> None:
    now_ms = keyspace.now_ms
    for look in (lambda: keyspace.databases[0].lookup(b"k"), lambda: keyspace.expire_cycle(10)):
        keyspace.set_clock(lambda: now_ms)
        keyspace.databases[0].set(b"k", b"1", now_ms + 1)
        noted(keyspace)
        keyspace.set_clock(lambda: now_ms + 2)
        look()
        assert noted(keyspace) == [(0, b"k")]


def test_nothing_is_noted_after_forget(keyspace: Keyspace) -> None:
    db = keyspace.databases[0]
    watch = Watch()
    db.watch(b"k", watch)
    db.forget(b"k")
    db.set(b"k", b"1")
    assert watch.broken
    assert noted(keyspace) == []
    db.unwatch(watch)
    db.wait_for(b"k")
    db.set(b"k", b"2")
    assert noted(keyspace) == [(0, b"k")]
