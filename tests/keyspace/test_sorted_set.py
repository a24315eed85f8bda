"""Sorted sets against a model that sorts: packed and spread, while snapshots come and go and memory is poisoned."""

from __future__ import annotations

import random
from bisect import bisect_left

import pytest

from minikv.errors import ArenaFull
from minikv.keyspace import Database, Keyspace
from minikv.keyspace.sorted_set import SortedSet, replace_sorted_set

INFINITY = float("inf")
SCORES = [0.0, -0.0, 1.0, -1.0, 1.5, 2.0**-1074, -(2.0**-1074), 1e308, INFINITY, -INFINITY, 3.0, 17.0]
Model = dict[bytes, float]


def in_order(model: Model) -> list[tuple[bytes, float]]:
    return sorted(model.items(), key=lambda pair: (pair[1], pair[0]))


def assert_same(database: Database, key: bytes, model: Model, rng: random.Random) -> None:
    view = SortedSet.at(database, key)
    if not model:
        assert view is None
        return
    assert view is not None
    pairs = in_order(model)
    assert len(view) == len(pairs)
    assert view.by_rank(0, len(pairs)) == pairs
    assert view.by_rank(-5, len(pairs) + 5, True) == pairs[::-1]
    for _ in range(5):
        rank = rng.randrange(len(pairs))
        member, score = pairs[rank]
        assert view.rank(member) == rank
        assert view.score(member) == score
        stop = rng.randrange(len(pairs) + 1)
        assert view.by_rank(rank, stop) == pairs[rank:stop]
        assert view.by_rank(rank, stop, True) == pairs[::-1][rank:stop]
        score = rng.choice([score, *SCORES])
        assert view.rank_of_score(score, False) == sum(other < score for _, other in pairs)
        assert view.rank_of_score(score, True) == sum(other <= score for _, other in pairs)
    assert view.rank(b"nonesuch") is None
    assert view.score(b"nonesuch") is None


def random_member(rng: random.Random, members: int) -> bytes:
    number = rng.randrange(members)
    return b"%d" % number + b"." * (number % 7 * 10)


@pytest.mark.parametrize("members", [5, 60, 700, 3000])
@pytest.mark.parametrize("seed", range(3))
def test_a_sorted_set_is_its_model(keyspace: Keyspace, members: int, seed: int) -> None:
    rng = random.Random(seed)
    database = keyspace.databases[0]
    model: Model = {}
    is_open = False
    for step in range(4000):
        view = SortedSet.to_write(database, b"key")
        member = random_member(rng, members)
        choice = rng.random()
        if choice < 0.6:
            score = rng.choice(SCORES) if rng.random() < 0.5 else rng.uniform(-100, 100)
            assert view.set(member, score) is (member not in model)
            model[member] = score
        elif choice < 0.95:
            assert view.remove(member) is (model.pop(member, None) is not None)
        elif choice < 0.97:
            keyspace.snapshot_close() if is_open else keyspace.snapshot_open(rng.random() < 0.8)
            is_open = not is_open
        elif choice < 0.98:
            keyspace.evacuate(200)
        elif choice < 0.985 and model:
            database.rename(b"key", b"other")
            database.set_expire(b"other", keyspace.now_ms + 1_000_000)
            database.copy_to(b"other", keyspace.databases[1], b"copy", True)
            database.rename(b"other", b"key")
            assert_same(keyspace.databases[1], b"copy", model, rng)
        if step % 200 == 0:
            assert_same(database, b"key", model, rng)
            keyspace.check()
    assert_same(database, b"key", model, rng)
    keyspace.check()
    for member in list(model):
        view = SortedSet.to_write(database, b"key")
        assert view.remove(member)
    assert database.lookup(b"key") == -1
    if is_open:
        keyspace.snapshot_close()


@pytest.mark.parametrize("count", [0, 1, 100, 512, 513, 4000])
def test_replacing_makes_it_whole(keyspace: Keyspace, count: int) -> None:
    rng = random.Random(count)
    database = keyspace.databases[0]
    database.set(b"key", b"a string")
    for number in (3, 2000, count):
        model = {b"%d" % n: rng.choice(SCORES) for n in range(number)}
        assert replace_sorted_set(database, b"key", list(model.items()), b"zunionstore") == number
        assert_same(database, b"key", model, rng)
        keyspace.check()


@pytest.mark.parametrize("step", [0.0, 0.5])
@pytest.mark.parametrize("count", [10, 400, 2000])
def test_members_are_found_by_name(keyspace: Keyspace, count: int, step: float) -> None:
    database = keyspace.databases[0]
    names = sorted(b"%d" % (n * 3) for n in range(count))
    view = SortedSet.to_write(database, b"key")
    for place, name in enumerate(names):
        view.set(name, 1.5 + step * place)
    for name in [*names[:20], b"", b"\xff", b"1", b"22", b"22\0"]:
        assert view.rank_of_member_bound(name, False) == bisect_left(names, name)
        assert view.rank_of_member_bound(name, True) == bisect_left(names, name) + (name in names)


def test_a_full_arena_changes_nothing(keyspace: Keyspace) -> None:
    rng = random.Random(5)
    keyspace.set_debug(poison=True, segment_limit=6)
    database = keyspace.databases[0]
    model: Model = {}
    refused = 0
    is_open = False
    for step in range(60_000):
        if step % 15_000 == 14_999:
            keyspace.snapshot_close() if is_open else keyspace.snapshot_open(True)
            is_open = not is_open
        member = b"%d" % rng.randrange(20_000) + b"." * 200
        view = SortedSet.to_write(database, b"key")
        score = rng.random()
        try:
            view.set(member, score)
            model[member] = score
        except ArenaFull:
            refused += 1
            if refused == 50:
                break
    assert refused
    assert_same(database, b"key", model, rng)
    keyspace.check()
    if is_open:
        keyspace.snapshot_close()


def test_flushing_and_expiry_give_everything_back(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    for name in (b"a", b"b", b"c"):
        replace_sorted_set(database, name, [(b"%d" % n, float(n)) for n in range(3000)], b"zunionstore")
    database.delete(b"a")
    database.set(b"b", b"x")
    keyspace.check()
    database.flush()
    keyspace.check()
