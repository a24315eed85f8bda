"""Views of hashes, sets and lists against dicts, sets and lists, under random operations, with snapshots at any moment.

Keys grow from packed to spread and vanish with their last element; roots and elements are moved, copied, overwritten
and evacuated while a forked child walks what was there when it was made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from minikv.errors import ArenaFull, WrongTypeError
from minikv.keyspace import Keyspace
from minikv.keyspace.database import Database
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.keyspace.set import Set, replace_set
from minikv.keyspace.sorted_set import SortedSet
from tests.harness.examples import scaled
from tests.rdb.rdb_files import EOF, read
from tests.stateful.snapshots import SnapshotMachine

ARENA_BYTES = 96 << 20
FOREVER_MS = 2**45
DATABASES = 2

Contents = dict[tuple[int, bytes], tuple[Any, int]]

keys = st.sampled_from([b"a", b"b", b"c", b"key with a longer name", b"L" * 20_000, b"L" * 32_720])
databases = st.integers(0, DATABASES - 1)
counts = st.sampled_from([1, 2, 5, 30, 100, 511, 512, 513, 700, 2000])
sizes = st.sampled_from([0, 1, 5, 20, 63, 64, 100, 1000, 1015, 5000, 32_750, 33_000])
seeds = st.integers(0, 50)


def names(seed: int, count: int) -> Iterator[bytes]:
    """Names that other seeds share in part."""
    rng = random.Random(seed)
    return (b"name:%d" % rng.randrange(3000) for _ in range(count))


class Views(SnapshotMachine):
    """The same operations on a keyspace and on dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.real = Keyspace(DATABASES, ARENA_BYTES, huge_pages=False)
        self.real.set_debug(poison=True)
        self.model: Contents = {}

    @initialize(limit=st.sampled_from([0, 0, 0, 12]), lazily=st.booleans())
    def start(self, limit: int, lazily: bool) -> None:
        self.real.set_debug(poison=True, segment_limit=limit)
        self.real.free_lazily(lazily, lazily)

    def database(self, number: int) -> Database:
        return self.real.databases[number]

    def value(self, number: int, key: bytes, kind: type) -> Any:
        """What the model has for a key that is to become a `kind`; None if it is something else."""
        found = self.model.get((number, key), (kind(), 0))[0]
        return found if isinstance(found, kind) else None

    def keep(self, number: int, key: bytes, value: Any) -> None:
        at_ms = self.model.get((number, key), (None, 0))[1]
        if value:
            self.model[number, key] = (value, at_ms)
        else:
            self.model.pop((number, key), None)

    @rule(number=databases, key=keys, seed=seeds, count=counts, size=sizes)
    def set_fields(self, number: int, key: bytes, seed: int, count: int, size: int) -> None:
        model = self.value(number, key, dict)
        if model is None:
            with pytest.raises(WrongTypeError):
                Hash.to_write(self.database(number), key)
            return
        model = dict(model)
        view = Hash.to_write(self.database(number), key)
        try:
            for name in names(seed, count if size < 5000 else min(count, 30)):
                assert view.set(name, b"v" * size) == (name not in model)
                model[name] = b"v" * size
        except ArenaFull:
            pass
        assert len(view) == len(model)
        self.keep(number, key, model)

    @rule(number=databases, key=keys, seed=seeds, count=counts)
    def delete_fields(self, number: int, key: bytes, seed: int, count: int) -> None:
        model = self.value(number, key, dict)
        if not model:
            return
        model = dict(model)
        view = Hash.at(self.database(number), key)
        assert view is not None
        try:
            for name in names(seed, count):
                assert view.delete(name) == (model.pop(name, None) is not None)
                assert view.get(name) is None
        except ArenaFull:
            model[name] = view.get(name)
        assert len(view) == len(model)
        self.keep(number, key, model)

    @rule(number=databases, key=keys, seed=seeds, count=counts, size=st.sampled_from([0, 0, 0, 60, 1000]))
    def add_members(self, number: int, key: bytes, seed: int, count: int, size: int) -> None:
        model = self.value(number, key, set)
        if model is None:
            with pytest.raises(WrongTypeError):
                Set.to_write(self.database(number), key)
            return
        model = set(model)
        view = Set.to_write(self.database(number), key)
        try:
            for name in names(seed, count):
                assert view.add(name + b"m" * size) == (name + b"m" * size not in model)
                model.add(name + b"m" * size)
        except ArenaFull:
            pass
        self.keep(number, key, model)

    @rule(number=databases, key=keys, seed=seeds, count=counts, popped=st.integers(0, 50))
    def remove_members(self, number: int, key: bytes, seed: int, count: int, popped: int) -> None:
        model = self.value(number, key, set)
        if not model:
            return
        model = set(model)
        view = Set.at(self.database(number), key)
        assert view is not None
        try:
            for name in names(seed, count):
                assert view.remove(name) == (name in model)
                model.discard(name)
            for _ in range(min(popped, len(model))):
                model.remove(view.pop())
        except ArenaFull:
            model = set(view.members())
        assert len(view) == len(model)
        self.keep(number, key, model)

    @rule(number=databases, key=keys, seed=seeds, count=counts, size=sizes, left=st.booleans())
    def push_elements(self, number: int, key: bytes, seed: int, count: int, size: int, left: bool) -> None:
        model = self.value(number, key, list)
        if model is None:
            with pytest.raises(WrongTypeError):
                List.to_write(self.database(number), key)
            return
        model = list(model)
        view = List.to_write(self.database(number), key)
        try:
            for name in names(seed, count if size < 5000 else min(count, 30)):
                view.push(name + b"e" * size, left)
                model.insert(0 if left else len(model), name + b"e" * size)
        except ArenaFull:
            pass
        assert len(view) == len(model)
        self.keep(number, key, model)

    @rule(number=databases, key=keys, seed=seeds, count=counts, size=sizes)
    def change_elements(self, number: int, key: bytes, seed: int, count: int, size: int) -> None:
        """Set, insert, remove and pop at random."""
        model = self.value(number, key, list)
        if not model:
            return
        model = list(model)
        view = List.at(self.database(number), key)
        assert view is not None
        rng = random.Random(seed)
        try:
            for name in names(seed, count if size < 5000 else min(count, 30)):
                index, step = rng.randrange(len(model)), rng.randrange(6)
                if step < 2:
                    assert view.set(index, name + b"e" * size)
                    model[index] = name + b"e" * size
                elif step == 2:
                    view.insert(index, name)
                    model.insert(index, name)
                elif step == 3:
                    taken = min(rng.choice([1, 1, 10, 500]), len(model) - index)
                    view.remove(index, taken)
                    del model[index : index + taken]
                elif step == 4:
                    assert view.pop(index % 2 == 0) == model.pop(0 if index % 2 == 0 else -1)
                else:
                    assert view.remove_equal(model[index], 0, False) == model.count(model[index])
                    model = [element for element in model if element != model[index]]
                if not model:
                    break
        except ArenaFull:
            pass
        assert len(view) == len(model)
        self.keep(number, key, model)

    @rule(number=databases, key=keys, seed=seeds, count=counts)
    def replace(self, number: int, key: bytes, seed: int, count: int) -> None:
        members = set(names(seed, count))
        try:
            assert replace_set(self.database(number), key, members, b"sunionstore") == len(members)
        except ArenaFull:
            return
        self.model[number, key] = (members, 0)

    @rule(number=databases, key=keys)
    def make_a_string(self, number: int, key: bytes) -> None:
        try:
            self.database(number).set(key, b"text" * 20)
        except ArenaFull:
            return
        self.model[number, key] = (b"text" * 20, 0)

    @rule(number=databases, key=keys, timed=st.booleans())
    def set_expire(self, number: int, key: bytes, timed: bool) -> None:
        try:
            if timed:
                self.database(number).set_expire(key, FOREVER_MS)
            else:
                self.database(number).persist(key)
        except ArenaFull:
            return
        if (number, key) in self.model:
            self.model[number, key] = (self.model[number, key][0], FOREVER_MS if timed else 0)

    @rule(number=databases, key=keys)
    def delete(self, number: int, key: bytes) -> None:
        assert self.database(number).delete(key) == (self.model.pop((number, key), None) is not None)

    @rule(number=databases, key=keys)
    def unlink(self, number: int, key: bytes) -> None:
        assert self.database(number).unlink(key) == (self.model.pop((number, key), None) is not None)

    @rule(number=databases, key=keys, new_key=keys)
    def rename(self, number: int, key: bytes, new_key: bytes) -> None:
        try:
            self.database(number).rename(key, new_key)
        except ArenaFull:
            return
        if key != new_key and (number, key) in self.model:
            self.model[number, new_key] = self.model.pop((number, key))

    @rule(number=databases, key=keys, other=databases, new_key=keys)
    def copy(self, number: int, key: bytes, other: int, new_key: bytes) -> None:
        if (number, key) == (other, new_key):
            return
        try:
            self.database(number).copy_to(key, self.database(other), new_key, True)
        except ArenaFull:
            return
        if (number, key) in self.model:
            value, at_ms = self.model[number, key]
            self.model[other, new_key] = (value if isinstance(value, bytes) else value.copy(), at_ms)

    @rule(number=databases, key=keys)
    def move(self, number: int, key: bytes) -> None:
        other = (number + 1) % DATABASES
        try:
            moved = self.database(number).move_to(key, self.database(other))
        except ArenaFull:
            return
        assert moved == ((number, key) in self.model and (other, key) not in self.model)
        if moved:
            self.model[other, key] = self.model.pop((number, key))

    @rule(number=databases, lazily=st.booleans())
    def flush(self, number: int, lazily: bool) -> None:
        self.database(number).flush(lazily)
        self.model = {place: value for place, value in self.model.items() if place[0] != number}

    @rule()
    def swap(self) -> None:
        self.real.swap(0, 1)
        self.model = {(1 - number, key): value for (number, key), value in self.model.items()}

    @rule(budget_us=st.sampled_from([0, 100, 100_000]), thorough=st.booleans())
    def evacuate(self, budget_us: int, thorough: bool) -> None:
        self.real.evacuate(budget_us, thorough)

    def contents(self) -> Contents:
        return {
            place: (value if isinstance(value, bytes) else value.copy(), at_ms)
            for place, (value, at_ms) in self.model.items()
        }

    def compare_walk(self, stream: bytes, expected: Contents) -> None:
        assert loaded(stream) == expected

    @rule()
    def compare(self) -> None:
        assert stored(self.real) == self.model
        self.real.check()

    @rule(number=databases, key=keys, count=st.sampled_from([1, 3, 200, 5000]), distinct=st.booleans())
    def look_at_random(self, number: int, key: bytes, count: int, distinct: bool) -> None:
        model = self.value(number, key, set)
        view = Set.at(self.database(number), key) if model else None
        if view is not None:
            picked = view.sample(count, distinct)
            assert set(picked) <= model
            assert len(picked) == (min(count, len(model)) if distinct else count)
            assert not distinct or len(set(picked)) == len(picked)

    def teardown(self) -> None:
        super().teardown()
        self.compare()
        self.real.flush_all()
        while self.real.evacuate(1_000_000):
            pass
        self.real.check()
        assert self.real.live_bytes == 0
        assert self.real.waiting_objects == 0


def stored(keyspace: Keyspace) -> Contents:
    """Everything that views see."""
    found: Contents = {}
    for database in keyspace.databases:
        for key in database.keys():  # noqa: SIM118  (a method of Database)
            kind = database.lookup(key)
            value: Any
            if kind == 0:
                value = database.get(key)
            elif kind == 2:
                members = scanned(Set.at(database, key))
                value = set(members)
                assert len(value) == len(members)
            elif kind == 1:
                elements = List.at(database, key)
                assert elements is not None
                value = elements.range(0, len(elements))
                assert [elements.get(index) for index in (0, -1, len(elements) // 2)] == [
                    value[index] for index in (0, -1, len(elements) // 2)
                ]
            else:
                items = scanned(Hash.at(database, key))
                value = dict(zip(items[::2], items[1::2], strict=True))
            found[database.number, key] = (value, database.expire_at(key))
    return found


def scanned(view: Any) -> list[bytes]:
    found: list[bytes]
    cursor, found = view.scan(0, 100)
    while cursor:
        cursor, more = view.scan(cursor, 100)
        found += more
    return found


def loaded(stream: bytes) -> Contents:
    """What a walk wrote, as the reader of dumps finds it; duplicates and wrong counts are its errors."""
    file = b"REDIS0010" + stream + EOF + bytes(8)
    return {
        (record.database, record.key): (record.value, record.expire_at_ms)
        for record in read(file, databases=DATABASES).records
    }


TestViews = Views.TestCase
TestViews.settings = scaled(1, steps=40)


@pytest.fixture
def keyspace() -> Iterator[Keyspace]:
    keyspace = Keyspace(DATABASES, ARENA_BYTES, huge_pages=False)
    keyspace.set_debug(poison=True)
    yield keyspace
    keyspace.check()


def test_a_view_that_outlives_other_keys_changes_still_finds_its_own(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    view = Hash.to_write(database, b"h")
    for number in range(3000):
        view.set(b"f%d" % (number % 700), b"v%d" % number)
        database.set(b"other:%d" % number, b"x")
        if number % 3 == 0:
            database.delete(b"other:%d" % (number // 2))
    assert len(view) == 700
    assert view.get(b"f5") == b"v2805"


def test_the_last_element_takes_the_key_with_it(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    for count in (1, 600):
        hash_, set_ = Hash.to_write(database, b"h"), Set.to_write(database, b"s")
        for number in range(count):
            hash_.set(b"%d" % number, b"")
            set_.add(b"%d" % number)
        for number in range(count):
            assert len(database) == 2
            hash_.delete(b"%d" % number)
            set_.remove(b"%d" % number)
        assert len(database) == 0
        assert Hash.at(database, b"h") is None
        assert hash_.set(b"again", b"x") and set_.add(b"again")
        assert database.keys() in ([b"h", b"s"], [b"s", b"h"])
        database.flush()


@pytest.mark.parametrize("change", [lambda view, n: view.set(b"f%d" % n, b"v" * 100)], ids=["set"])
def test_a_full_arena_refuses_whole_changes(keyspace: Keyspace, change: Callable[[Hash, int], object]) -> None:
    keyspace.set_debug(poison=True, segment_limit=6)
    view = Hash.to_write(keyspace.databases[0], b"h")
    number = 0
    with pytest.raises(ArenaFull):
        while True:
            change(view, number)
            number += 1
    assert len(view) == number
    assert view.get(b"f%d" % number) is None
    assert set(view.fields()) == {b"f%d" % n for n in range(number)}


def test_a_result_that_does_not_fit_leaves_the_key_as_it_was(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    replace_set(database, b"s", [b"old"], b"sunionstore")
    keyspace.set_debug(poison=True, segment_limit=6)
    with pytest.raises(ArenaFull):
        replace_set(database, b"s", [b"%d" % n * 20 for n in range(120_000)], b"sunionstore")
    view = Set.at(database, b"s")
    assert view is not None and view.members() == [b"old"]
    keyspace.check()


def test_a_key_whose_first_element_finds_no_room_is_not_born(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    database.set(b"other", b"x")
    keyspace.set_debug(poison=True, segment_limit=1)
    large = b"x" * 5000
    for add in (
        lambda: Hash.to_write(database, b"k").set(b"field", large),
        lambda: Set.to_write(database, b"k").add(large),
        lambda: SortedSet.to_write(database, b"k").set(large, 1.0),
        lambda: List.to_write(database, b"k").push(large, True),
    ):
        with pytest.raises(ArenaFull):
            add()
        assert database.keys() == [b"other"]
        keyspace.check()
