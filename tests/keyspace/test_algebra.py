"""Intersections and differences of sets and sorted sets in all forms, against Python's."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import pytest

from minikv.keyspace import Database, Keyspace
from minikv.keyspace.algebra import (
    ADD,
    TAKE_LEAST,
    TAKE_MOST,
    count_members_in,
    members_in,
    scores_in,
    scores_not_in,
)
from minikv.keyspace.set import Set, replace_set
from minikv.keyspace.sorted_set import SortedSet, replace_sorted_set

COUNTS = [1, 2, 30, 600, 3000]
# Names of these lengths, about: their sets are packed, in chunks, or have a store of their own.
LENGTHS = [0, 4, 8, 20, 500]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    keyspace = Keyspace(1, 256 << 20, huge_pages=False)
    yield keyspace.databases[0]
    keyspace.check()


def some_names(rng: random.Random, length: int) -> list[bytes]:
    numbers = rng.sample(range(5000), rng.choice(COUNTS))
    return [b"%d" % number + b"x" * length for number in numbers]


def a_set(database: Database, key: bytes, names: list[bytes]) -> Set:
    replace_set(database, key, names, b"sunionstore")
    view = Set.at(database, key)
    assert view is not None
    return view


def a_sorted_set(database: Database, key: bytes, scores: dict[bytes, float]) -> SortedSet:
    replace_sorted_set(database, key, list(scores.items()), b"zunionstore")
    view = SortedSet.at(database, key)
    assert view is not None
    return view


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("seed", range(8))
def test_sets(database: Database, seed: int, length: int) -> None:
    rng = random.Random(seed)
    models = [set(some_names(rng, length)) for _ in range(rng.randrange(1, 5))]
    first, *others = [a_set(database, b"%d" % number, list(model)) for number, model in enumerate(models)]
    common = models[0].intersection(*models[1:])
    found = members_in(first, others, True)
    assert len(found) == len(common) == count_members_in(first, others)
    assert set(found) == common
    found = members_in(first, others, False)
    assert sorted(found) == sorted(models[0].difference(*models[1:]))


AGGREGATES: dict[int, Callable[[float, float], float]] = {
    ADD: lambda total, score: 0.0 if math.isnan(total + score) else total + score,
    TAKE_LEAST: lambda total, score: score if score < total else total,
    TAKE_MOST: lambda total, score: score if score > total else total,
}


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("seed", range(4))
def test_sorted_sets(database: Database, seed: int, length: int, aggregate: int) -> None:
    rng = random.Random(seed)
    values = [0.0, 1.0, -1.5, 1e300, math.inf, -math.inf]
    models = [{name: rng.choice(values) for name in some_names(rng, length)} for _ in range(rng.randrange(1, 4))]
    weights = [rng.choice([1.0, 2.0, 0.0, -1.0, math.inf]) for _ in models]
    first, *others = [a_sorted_set(database, b"%d" % number, model) for number, model in enumerate(models)]
    expected = {}
    for name in set(models[0]).intersection(*models[1:]):
        total = models[0][name] * weights[0]
        total = 0.0 if math.isnan(total) else total
        for model, weight in zip(models[1:], weights[1:], strict=True):
            total = AGGREGATES[aggregate](total, model[name] * weight)
        expected[name] = total
    found = scores_in(first, weights[0], list(others), weights[1:], aggregate)
    assert found == sorted(expected.items(), key=lambda pair: (pair[1], pair[0]))
    assert count_members_in(first, list(others)) == len(expected)
    only = {name: score for name, score in models[0].items() if not any(name in model for model in models[1:])}
    assert scores_not_in(first, list(others)) == sorted(only.items(), key=lambda pair: (pair[1], pair[0]))


def test_a_set_takes_part_with_scores_of_one(database: Database) -> None:
    scored = a_sorted_set(database, b"z", {b"a": 5.0, b"b": 7.0})
    plain = a_set(database, b"s", [b"b", b"c"])
    assert scores_in(scored, 1.0, [plain], [10.0], ADD) == [(b"b", 17.0)]
    assert scores_in(plain, 2.0, [scored], [1.0], TAKE_LEAST) == [(b"b", 2.0)]
    assert scores_not_in(plain, [scored]) == [(b"c", 1.0)]


def test_many_keys_at_once(database: Database) -> None:
    keys = [b"many:%d" % number for number in range(100)]
    pairs = tuple(word for number, key in enumerate(keys) for word in (key, b"%d" % number))
    database.set_all(pairs[:60])
    database.set_all((*pairs, b"many:5", b"again"))
    a_set(database, b"a set", [b"x"])
    found = database.get_all((*keys, b"nosuch", b"a set"))
    assert found == [*(b"again" if key == b"many:5" else b"%d" % n for n, key in enumerate(keys)), None, None]
    assert database.get_all(()) == []
