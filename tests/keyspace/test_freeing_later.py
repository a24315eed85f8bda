"""What is dropped lazily: it is gone at once, and its memory goes step by step, or when others need it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from minikv.dispatch.memory_limit import MemoryLimit
from minikv.errors import ArenaFull
from minikv.keyspace import Keyspace
from minikv.keyspace.database import Database
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet
from tests.keyspace.test_collections import Contents, loaded, stored
from tests.stateful.snapshots import Child

ARENA_BYTES = 128 << 20
SEGMENT_BYTES = 2 << 20
DATABASES = 2
LARGE = 2 << 20  # bytes of elements, so that they have a store of their own


@pytest.fixture
def keyspace() -> Iterator[Keyspace]:
    keyspace = Keyspace(DATABASES, ARENA_BYTES, huge_pages=False)
    keyspace.set_debug(poison=True)
    yield keyspace
    keyspace.check()
    free_everything(keyspace)
    keyspace.check()


def free_everything(keyspace: Keyspace) -> None:
    while keyspace.evacuate(0):
        pass
    assert keyspace.waiting_objects == 0


def fill_hash(database: Database, key: bytes) -> dict[bytes, bytes]:
    value = {b"f%d" % n: b"v" * 1000 for n in range(LARGE // 1000)}
    view = Hash.to_write(database, key)
    for field, text in value.items():
        view.set(field, text)
    return value


def fill_set(database: Database, key: bytes) -> set[bytes]:
    value = {b"%d" % n * 100 for n in range(LARGE // 400)}
    view = Set.to_write(database, key)
    for member in value:
        view.add(member)
    return value


def fill_list(database: Database, key: bytes) -> list[bytes]:
    value = [b"%d" % n * 100 for n in range(LARGE // 400)]
    List.to_write(database, key).push_all(tuple(value), False)
    return value


def fill_short_list(database: Database, key: bytes) -> list[bytes]:
    """Its first nodes are in a store that it shares."""
    value = [b"x" * 30_000 + b"%d" % n for n in range(50)]
    List.to_write(database, key).push_all(tuple(value), False)
    return value


def fill_sorted_set(database: Database, key: bytes) -> None:
    view = SortedSet.to_write(database, key)
    for n in range(LARGE // 100):
        view.set(b"%d" % n * 20, float(n))


FILLS: list[Callable[[Database, bytes], object]] = [fill_hash, fill_set, fill_list, fill_short_list, fill_sorted_set]
fills = pytest.mark.parametrize("fill", FILLS, ids=lambda fill: fill.__name__)


@fills
def test_an_unlinked_collection_is_gone_and_its_memory_follows(
    keyspace: Keyspace, fill: Callable[[Database, bytes], object]
) -> None:
    database = keyspace.databases[0]
    database.set(b"other", b"x")
    before = keyspace.arena_used_bytes, keyspace.index_bytes
    fill(database, b"k")
    assert database.unlink(b"k")
    assert not database.unlink(b"k")
    assert database.keys() == [b"other"]
    keyspace.check()
    steps = 0
    while keyspace.evacuate(0):
        keyspace.check()
        steps += 1
    assert steps > 1 or fill is fill_short_list
    keyspace.evacuate(1000, True)  # what its chunks were in before
    assert (keyspace.arena_used_bytes, keyspace.index_bytes) == before


def test_a_write_gets_the_segments_that_wait(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    keyspace.set_debug(poison=True, segment_limit=12)
    for _ in range(20):
        fill_hash(database, b"h")
        assert database.unlink(b"h")
    database.set(b"run", b"x" * (9 << 20))
    assert database.unlink(b"run")
    fill_set(database, b"s")
    fill_list(database, b"l")
    database.unlink(b"s")
    database.set(b"run", b"y" * (9 << 20))
    assert database.get(b"run") == b"y" * (9 << 20)
    keyspace.check()


def test_segments_of_a_list_with_shared_nodes_are_another_store_s_before_its_turn_comes(keyspace: Keyspace) -> None:
    """The nodes that it shared come last, so freeing them leads past those whose segments are used again."""
    database = keyspace.databases[0]
    keyspace.set_debug(poison=True, segment_limit=12)
    unlinked = List.to_write(database, b"unlinked")
    unlinked.push_all((b"x" * 8000,) * 100, False)
    for _ in range(1200):
        List.to_write(database, b"unlinked").push_all((b"y" * 8000,), True)
    database.unlink(b"unlinked")
    value = [b"%04d" % n + b"z" * 8000 for n in range(2000)]
    for item in value:
        List.to_write(database, b"k").push_all((item,), False)
    keyspace.check()
    free_everything(keyspace)
    keyspace.check()
    written = List.at(database, b"k")
    assert written is not None
    assert written.range(0, len(value)) == value


def test_a_full_arena_says_so_with_nothing_waiting(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    keyspace.set_debug(poison=True, segment_limit=12)
    fill_hash(database, b"h")
    database.unlink(b"h")
    with pytest.raises(ArenaFull):
        for n in range(40):
            database.set(b"%d" % n, b"x" * (1 << 20))
    assert len(database) > 8
    keyspace.check()


def test_a_flushed_database_is_empty_at_once_and_takes_new_keys(keyspace: Keyspace) -> None:
    one, other = keyspace.databases
    for n in range(2000):
        one.set(b"%d" % n, b"x" * 1000, 10**15 + n)
        Hash.to_write(one, b"chunked:%d" % n).set(b"field", b"v" * 5000)
    for number, fill in enumerate(FILLS):
        fill(one, b"large:%d" % number)
        fill(one, b"unlinked:%d" % number)
        one.unlink(b"unlinked:%d" % number)
    other.set(b"stays", b"x")
    assert one.flush(True) == 4000 + len(FILLS)
    assert len(one) == one.expires == 0 and len(other) == 1
    assert keyspace.waiting_objects >= 4000 + len(FILLS)
    keyspace.check()
    keyspace.swap(0, 1)
    contents: Contents = {}
    for n in range(1500):
        Hash.to_write(other, b"chunked:%d" % n).set(b"field", b"w" * 5000)
        contents[1, b"chunked:%d" % n] = ({b"field": b"w" * 5000}, 0)
        if n % 50 == 0:
            keyspace.evacuate(0)
            keyspace.check()
    contents[0, b"stays"] = (b"x", 0)
    contents[1, b"h"] = (fill_hash(other, b"h"), 0)
    free_everything(keyspace)
    assert stored(keyspace) == contents


def test_flushes_that_follow_each_other(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    for round_ in range(5):
        for n in range(300):
            Hash.to_write(database, b"chunked:%d" % n).set(b"field", b"v" * 5000)
        fill_list(database, b"l")
        database.flush(round_ % 2 == 0)
        keyspace.check()
        keyspace.evacuate(0)
    assert keyspace.freed_objects + keyspace.waiting_objects == 3 * 301


@pytest.mark.parametrize("relocate", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_large_collections_are_unlinked_in_slices_during_a_snapshot(
    keyspace: Keyspace, relocate: bool, seed: int
) -> None:
    """What the child writes is the state at the fork, whatever goes, comes and is freed meanwhile."""
    rng = random.Random(seed)
    contents: Contents = {}
    models: list[Callable[[Database, bytes], object]] = [fill_hash, fill_set, fill_list, fill_short_list]
    for number in range(8):
        key, place = b"large:%d" % number, number % DATABASES
        contents[place, key] = (models[number % len(models)](keyspace.databases[place], key), 0)
    for number in range(500):
        keyspace.databases[0].set(b"s%d" % number, b"old" * 100)
        contents[0, b"s%d" % number] = (b"old" * 100, 0)
    keyspace.databases[0].unlink(b"large:0")  # waits while the snapshot is opened
    del contents[0, b"large:0"]
    keyspace.evacuate(0)
    keyspace.snapshot_open(relocate)
    child = Child(keyspace)
    try:
        for number in range(1, 8):
            database = keyspace.databases[number % DATABASES]
            for _ in range(200):
                database.set(b"s%d" % rng.randrange(600), b"new" * rng.randrange(200))
            view = Hash.to_write(database, b"new:%d" % number)
            for n in range(100):
                view.set(b"%d" % n, b"v" * 1000)
            if number == 4:
                touched = Hash.at(database, b"large:%d" % number)
                assert touched is not None
                for n in range(0, 2000, 7):
                    touched.set(b"f%d" % n, b"changed")
            assert database.unlink(b"large:%d" % number) == (number < 7)  # the last one has been flushed
            for _ in range(rng.randrange(4)):
                keyspace.evacuate(0)
                keyspace.check()
            if number == 5:
                keyspace.databases[1].flush(True)
            if number == 6:
                keyspace.swap(0, 1)
            for _ in range(rng.randrange(20)):
                child.step()
        while child.step():
            keyspace.evacuate(0)
    finally:
        status = child.end()
        keyspace.snapshot_close()
    assert status == 0
    assert loaded(child.stream) == contents
    free_everything(keyspace)


@fills
def test_what_a_string_replaces_or_time_ends_can_be_freed_later(
    keyspace: Keyspace, fill: Callable[[Database, bytes], object]
) -> None:
    database = keyspace.databases[0]
    now_ms = 10**12
    keyspace.set_clock(lambda: now_ms)
    for lazily in (False, True):
        keyspace.free_lazily(lazily, lazily)
        fill(database, b"k")
        fill(database, b"expiring")
        used = keyspace.arena_used_bytes
        database.set_expire(b"expiring", now_ms + 1)
        database.set(b"k", b"x")
        now_ms += 10
        keyspace.tick()
        assert database.get(b"expiring") is None
        # The nodes that lists share a segment for go at once.
        assert (keyspace.arena_used_bytes >= used - SEGMENT_BYTES) == lazily
        keyspace.check()
        free_everything(keyspace)
        assert keyspace.arena_used_bytes < used
        database.flush()


def test_room_for_a_limit_is_made_of_what_waits(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    database.set(b"k", b"x")
    limit = MemoryLimit(keyspace)
    limit.limit = keyspace.claimed_bytes + (1 << 20)
    fill_sorted_set(database, b"z")
    assert not limit.make_room()
    database.unlink(b"z")
    assert limit.make_room()


def test_evacuation_leaves_a_store_that_is_dropped(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    for lazily in (True, False):
        view = Hash.to_write(database, b"h")
        for n in range(20_000):
            view.set(b"%d" % n, b"v" * 1000)
        for n in range(20_000):
            if n % 3:
                view.delete(b"%d" % n)
        assert keyspace.evacuate(0) > 0
        if lazily:
            database.unlink(b"h")
        else:
            database.delete(b"h")
        keyspace.check()
        free_everything(keyspace)
        assert len(database) == 0
