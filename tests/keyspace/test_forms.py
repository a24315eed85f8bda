"""Collections of each type on their way from nothing past every form's limit and back: packed, chunked, spread.

Nobody sees the form; so what is compared is the contents, what the arena proves of itself, and the memory that is left.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from minikv.errors import ArenaFull
from minikv.keyspace import Keyspace
from minikv.keyspace.database import Database
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet
from minikv.keyspace.stream import Stream
from tests.rdb.rdb_files import rdb, read
from tests.stateful.snapshots import Child

KEY = b"key"
LATER, LATEST = 4_000_000_000_000, (1 << 46) - 1  # Unix ms
BEYOND = 1_300_000  # bytes of elements: more than a chunked collection holds
NODE_BYTES, NODE_ENTRIES = 4096, 100


class Collection:
    """One key's collection and what it should hold."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.source = random.Random(seed)
        self.number = 0
        self.nbytes = 0
        self.expected: Any = self.nothing()

    def nothing(self) -> Any:
        return {}

    def text(self) -> bytes:
        """Mostly short, sometimes longer than a chunk."""
        return self.source.randbytes(self.source.choice([3, 10, 30, 30, 100, 700, 5000]))

    def add(self) -> None: ...
    def change(self) -> None: ...
    def remove(self) -> None: ...
    def actual(self) -> Any: ...

    def check(self) -> None:
        self.database.keyspace.check()
        assert self.actual() == self.expected


class Hashes(Collection):
    def add(self) -> None:
        self.number += 1
        field, value = b"field:%d" % self.number, self.text()
        assert Hash.to_write(self.database, KEY).set(field, value)
        self.expected[field] = value
        self.nbytes += len(field) + len(value)

    def change(self) -> None:
        field, value = self.source.choice(list(self.expected)), self.text()
        assert not Hash.to_write(self.database, KEY).set(field, value)
        self.nbytes += len(value) - len(self.expected[field])
        self.expected[field] = value

    def remove(self) -> None:
        field = self.source.choice(list(self.expected))
        assert Hash.to_write(self.database, KEY).delete(field)
        self.nbytes -= len(field) + len(self.expected.pop(field))

    def actual(self) -> Any:
        items = Hash.to_write(self.database, KEY).items()
        assert all(Hash.to_write(self.database, KEY).get(field) == self.expected.get(field) for field in items[::17])
        return dict(zip(items[::2], items[1::2], strict=True))


class TimedHashes(Collection):
    """Most fields expire, far from now, in no order."""

    def at_ms(self) -> int:
        return self.source.choice([0, self.source.randrange(LATER, LATER + 1000), self.source.randrange(LATER, LATEST)])

    def put(self, field: bytes, is_new: bool) -> None:
        value, at_ms = self.text(), self.at_ms()
        assert Hash.to_write(self.database, KEY).set_until(field, value, at_ms) is is_new
        self.expected[field] = (value, at_ms)
        self.nbytes += len(field) + len(value) + 9

    def add(self) -> None:
        self.number += 1
        self.put(b"field:%d" % self.number, True)

    def change(self) -> None:
        field = self.source.choice(list(self.expected))
        value, at_ms = self.expected[field]
        action = self.source.randrange(3)
        if action == 0:
            self.nbytes -= len(field) + len(value) + 9
            self.put(field, False)
        elif action == 1:
            assert not Hash.to_write(self.database, KEY).keep_expiry(field, value[::-1])
            self.expected[field] = (value[::-1], at_ms)
        else:
            assert not Hash.to_write(self.database, KEY).set(field, value)
            self.expected[field] = (value, 0)

    def remove(self) -> None:
        field = self.source.choice(list(self.expected))
        assert Hash.to_write(self.database, KEY).delete(field)
        self.nbytes -= len(field) + len(self.expected.pop(field)[0]) + 9

    def actual(self) -> Any:
        view = Hash.to_write(self.database, KEY)
        items = view.items()
        assert all(view.get(field) == self.expected[field][0] for field in items[::34])
        assert self.database.hashes_with_ttls == any(at_ms for _, at_ms in self.expected.values())
        return {field: (value, view.expire_at(field)) for field, value in zip(items[::2], items[1::2], strict=True)}


class Sets(Collection):
    def add(self) -> None:
        self.number += 1
        member = b"%d:" % self.number + self.text()
        assert Set.to_write(self.database, KEY).add(member)
        self.expected[member] = None
        self.nbytes += len(member)

    def change(self) -> None:
        assert not Set.to_write(self.database, KEY).add(self.source.choice(list(self.expected)))

    def remove(self) -> None:
        member = self.source.choice(list(self.expected))
        assert Set.to_write(self.database, KEY).remove(member)
        del self.expected[member]
        self.nbytes -= len(member)

    def actual(self) -> Any:
        view = Set.to_write(self.database, KEY)
        assert set(scan_all(view)) == set(view.members())
        return dict.fromkeys(view.members())


class SortedSets(Collection):
    def score(self) -> float:
        return float(self.source.randrange(50)) / 4

    def add(self) -> None:
        self.number += 1
        member, score = b"%d:" % self.number + self.text(), self.score()
        assert SortedSet.to_write(self.database, KEY).set(member, score)
        self.expected[member] = score
        self.nbytes += len(member) + 8

    def change(self) -> None:
        member, score = self.source.choice(list(self.expected)), self.score()
        assert not SortedSet.to_write(self.database, KEY).set(member, score)
        self.expected[member] = score

    def remove(self) -> None:
        member = self.source.choice(list(self.expected))
        assert SortedSet.to_write(self.database, KEY).remove(member)
        del self.expected[member]
        self.nbytes -= len(member) + 8

    def actual(self) -> Any:
        view = SortedSet.to_write(self.database, KEY)
        pairs = view.by_rank(0, 1 << 40)
        order = sorted(self.expected.items(), key=lambda pair: (pair[1], pair[0]))
        assert pairs == order
        assert {member for member, _ in scan_all(view)} == set(self.expected)
        for rank in range(0, len(order), 97):
            assert view.rank(order[rank][0]) == rank
            assert view.rank_of_score(order[rank][1], True) == sum(s <= order[rank][1] for s in self.expected.values())
        assert view.by_rank(3, 40, True) == order[::-1][3:40]
        return dict(pairs)


class Lists(Collection):
    def nothing(self) -> Any:
        return []

    def add(self) -> None:
        value = self.text()
        at = self.source.choice([0, len(self.expected), self.source.randrange(len(self.expected) + 1)])
        List.to_write(self.database, KEY).insert(at, value)
        self.expected.insert(at, value)
        self.nbytes += len(value)

    def change(self) -> None:
        at, value = self.source.randrange(len(self.expected)), self.text()
        assert List.to_write(self.database, KEY).set(at, value)
        self.nbytes += len(value) - len(self.expected[at])
        self.expected[at] = value

    def remove(self) -> None:
        at = self.source.choice([0, len(self.expected) - 1, self.source.randrange(len(self.expected))])
        List.to_write(self.database, KEY).remove(at)
        self.nbytes -= len(self.expected.pop(at))

    def actual(self) -> Any:
        view = List.to_write(self.database, KEY)
        assert all(view.get(at) == self.expected[at] for at in range(0, len(self.expected), 61))
        return view.range(0, 1 << 40)


class Streams(Collection):
    def add(self) -> None:
        self.number += 1
        parts = (b"field", self.text())
        Stream.to_write(self.database, KEY).add(self.number << 64, parts, NODE_BYTES, NODE_ENTRIES)
        self.expected[b"%d-0" % self.number] = list(parts)
        self.nbytes += len(parts[1]) + 10

    def change(self) -> None:
        """Nothing of a stream changes."""

    def remove(self) -> None:
        id = self.source.choice(list(self.expected))
        assert Stream.to_write(self.database, KEY).delete(int(id[:-2]) << 64)
        self.nbytes -= len(self.expected.pop(id)[1]) + 10

    def actual(self) -> Any:
        view = Stream.to_write(self.database, KEY)
        return dict(view.range(0, (1 << 128) - 1)) if view.exists else {}


KINDS = [Hashes, TimedHashes, Sets, SortedSets, Lists, Streams]


def scan_all(view: Any) -> list[Any]:
    cursor, found = 0, []
    while True:
        cursor, some = view.scan(cursor, 20)
        found += some
        if cursor == 0:
            return found


def values_in(data: bytes) -> dict[tuple[int, bytes], object]:
    return {(record.database, record.key): record.value for record in read(rdb(data)).records}


def walked(keyspace: Keyspace) -> bytes:
    walker, buffer, parts = keyspace.walker(), bytearray(1 << 20), []
    while filled := walker.fill(buffer):
        parts.append(bytes(buffer[:filled]))
    return b"".join(parts)


@pytest.fixture
def keyspace() -> Keyspace:
    keyspace = Keyspace(2, 96 << 20, huge_pages=False)
    keyspace.set_debug(poison=True)
    return keyspace


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snapshots", [False, True])
def test_a_collection_goes_through_every_form_and_back(
    keyspace: Keyspace, kind: Callable[[Database, int], Collection], snapshots: bool
) -> None:
    collection = kind(keyspace.databases[0], 1)
    next_check = 1
    child: Child | None = None
    frozen = b""
    steps = 0

    def end_snapshot() -> None:
        nonlocal child
        if child is not None:
            while child.step():
                pass
            assert child.end() == 0
            assert child.stream == frozen
            keyspace.snapshot_close()
            child = None

    def step(action: Callable[[], None]) -> None:
        nonlocal child, frozen, steps
        action()
        steps += 1
        if steps % 7 == 0 and collection.expected:
            collection.change()
        if snapshots and steps % 50 == 0:
            end_snapshot()
            keyspace.evacuate(1000)
            keyspace.snapshot_open(True)
            frozen = walked(keyspace)
            child = Child(keyspace)

    while collection.nbytes < BEYOND:
        step(collection.add)
        if collection.nbytes >= next_check:
            collection.check()
            next_check *= 2
    collection.check()
    while collection.expected:
        step(collection.remove)
        if collection.nbytes <= next_check:
            collection.check()
            next_check //= 2
    end_snapshot()
    collection.check()
    keyspace.evacuate(10_000, True)
    assert keyspace.live_bytes < 1000


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_become_small_is_small_again(keyspace: Keyspace, kind: Callable[[Database, int], Collection]) -> None:
    collection = kind(keyspace.databases[0], 2)
    while collection.nbytes < BEYOND:
        collection.add()
    while len(collection.expected) > 5:
        collection.remove()
    collection.check()
    assert keyspace.live_bytes < 40_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_full_arena_changes_nothing(
    keyspace: Keyspace, kind: Callable[[Database, int], Collection], frozen: bool
) -> None:
    collection = kind(keyspace.databases[0], 3)
    for size in (500, 3000, 60_000, 400_000):
        while collection.nbytes < size:
            collection.add()
        for limit in range(1, 24):
            if frozen:
                keyspace.snapshot_open(True)
            keyspace.set_debug(poison=True, segment_limit=limit)
            for action in (collection.add, collection.change, collection.remove):
                with contextlib.suppress(ArenaFull):
                    action()
                assert collection.actual() == collection.expected
            keyspace.set_debug(poison=True)
            if frozen:
                keyspace.snapshot_close()
            collection.check()


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_moves_of_every_form(keyspace: Keyspace, kind: Callable[[Database, int], Collection]) -> None:
    one, other = keyspace.databases
    collection = kind(one, 4)
    for size in (200, 5000, 200_000, BEYOND):
        while collection.nbytes < size:
            collection.add()
        assert one.copy_to(KEY, one, b"copy", True)
        assert one.copy_to(KEY, other, b"copy", True)
        assert one.rename(b"copy", b"renamed")
        assert one.move_to(b"renamed", other)
        assert other.rename(b"renamed", b"copy")
        keyspace.check()
        contents = values_in(walked(keyspace))
        assert contents[0, KEY] == contents[1, b"copy"]
        collection.check()
        while keyspace.evacuate(10_000, True):
            pass
        collection.check()
    assert other.delete(b"copy")
    keyspace.check()


LIMITS = (0, 1, 1015, 1020, 1030, 32_700, 32_770, 33_000, 66_000, 900_000, 1_048_560, 1_048_590, 2_000_000)


@pytest.mark.parametrize("key", [KEY, b"k" * 20_000, b"k" * 32_720, b"k" * 40_000], ids=len)
@pytest.mark.parametrize("frozen", [False, True])
def test_an_element_of_any_size_among_small_ones(keyspace: Keyspace, key: bytes, frozen: bool) -> None:
    """One element becomes as large as each limit and small again; the root lies in a record or in pages."""
    db = keyspace.databases[0]
    for size in LIMITS + LIMITS[::-1]:
        if frozen:
            keyspace.snapshot_open(True)
        large = b"x" * size
        Hash.to_write(db, b"h" + key).set(b"field", large)
        Hash.to_write(db, b"t" + key).set_until(b"field", large, LATER)
        Set.to_write(db, b"s" + key).add(large)
        SortedSet.to_write(db, b"z" + key).set(large, -1.0)
        List.to_write(db, b"l" + key).insert(0, large)
        for number in range(30):
            small = b"%d" % number * 10
            Hash.to_write(db, b"h" + key).set(small, small)
            Hash.to_write(db, b"t" + key).set_until(small, small, LATER if number % 2 else 0)
            Set.to_write(db, b"s" + key).add(small)
            SortedSet.to_write(db, b"z" + key).set(small, float(number))
            List.to_write(db, b"l" + key).push(small, False)
        assert List.to_write(db, b"l" + key).set(3, large)
        SortedSet.to_write(db, b"z" + key).set(large, 7.5)
        if frozen:
            keyspace.snapshot_close()
        keyspace.check()
        hash_, set_ = Hash.to_write(db, b"h" + key), Set.to_write(db, b"s" + key)
        sorted_set, list_ = SortedSet.to_write(db, b"z" + key), List.to_write(db, b"l" + key)
        assert hash_.get(b"field") == large and len(hash_) == 31
        timed = Hash.to_write(db, b"t" + key)
        assert timed.get(b"field") == large and timed.expire_at(b"field") == LATER and len(timed) == 31
        assert set_.contains(large) and len(set_) == 31
        assert sorted_set.by_rank(8, 9) == [(large, 7.5)]
        assert list_.get(0) == list_.get(3) == large
        assert set_.remove(large) and sorted_set.remove(large)
        assert list_.remove_equal(large, 0, True) == 2
        list_.remove(0, len(list_))
    contents = values_in(walked(keyspace))
    assert contents[0, b"t" + key] == {b"field": (b"", LATER)} | {
        b"%d" % n * 10: (b"%d" % n * 10, LATER) if n % 2 else b"%d" % n * 10 for n in range(30)
    }
    assert contents[0, b"h" + key] == {b"field": b""} | {b"%d" % n * 10: b"%d" % n * 10 for n in range(30)}


@pytest.mark.parametrize("kind", [Hash, Set, SortedSet])
@pytest.mark.parametrize("seed", range(4))
def test_scan_returns_what_stays_whatever_form_it_takes(keyspace: Keyspace, kind: Any, seed: int) -> None:
    db = keyspace.databases[0]
    source = random.Random(seed)
    padding = b"p" * source.choice([0, 20, 300])

    def add(prefix: bytes, number: int) -> None:
        name = prefix + b"%d" % number + padding
        if kind is Set:
            Set.to_write(db, KEY).add(name)
        else:
            kind.to_write(db, KEY).set(name, b"" if kind is Hash else float(number % 50))

    def remove(number: int) -> None:
        view = kind.to_write(db, KEY)
        (view.delete if kind is Hash else view.remove)(b"other" + b"%d" % number + padding)

    for _ in range(12):
        staying = source.choice([5, 100, 400, 1000])
        for number in range(staying):
            add(b"stays", number)
        for number in range(source.choice([0, 500, 4000])):
            add(b"other", number)
        cursor, seen = 0, set()
        while True:
            cursor, some = kind.to_write(db, KEY).scan(cursor, source.choice([1, 10, 100]))
            seen |= {item[0] if isinstance(item, tuple) else item for item in some}
            if cursor == 0:
                break
            if source.random() < 0.2:
                grows = source.random() < 0.5
                for _step in range(source.choice([10, 1000])):
                    if grows:
                        add(b"other", source.randrange(4000))
                    else:
                        remove(source.randrange(4000))
        assert seen >= {b"stays%d" % number + padding for number in range(staying)}
        db.flush()
    keyspace.check()


@pytest.mark.parametrize("seed", range(12))
def test_in_a_full_arena_a_member_has_one_score(seed: int) -> None:
    source = random.Random(seed)
    keyspace = Keyspace(1, 32 << 20, huge_pages=False)
    keyspace.set_debug(poison=True)
    (db,) = keyspace.databases
    expected = {b"%d" % n + b"m" * source.choice([10, 1000, 30_000]): float(n) for n in range(12)}
    for member, score in expected.items():
        SortedSet.to_write(db, KEY).set(member, score)
    keyspace.set_debug(poison=True, segment_limit=source.choice([1, 2, 3]))
    others = 0
    for size in (500, 3):
        with pytest.raises(ArenaFull):
            while True:
                db.set(b"%d" % others, b"v" * size)
                others += 1
    if seed % 2:
        keyspace.snapshot_open(True)
    for _ in range(60):
        if source.random() < 0.3:
            db.delete(b"%d" % source.randrange(others))
        member, score = source.choice(list(expected)), source.random() * 20
        with contextlib.suppress(ArenaFull):
            SortedSet.to_write(db, KEY).set(member, score)
            expected[member] = score
        view = SortedSet.to_write(db, KEY)
        assert view.by_rank(0, 100) == sorted(expected.items(), key=lambda pair: (pair[1], pair[0]))
    keyspace.check()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_range_of_a_list_goes_with_its_chunks(keyspace: Keyspace, seed: int, frozen: bool) -> None:
    source = random.Random(seed)
    expected = [source.randbytes(source.choice([3, 30, 100, 900])) for _ in range(3000)]
    database = keyspace.databases[0]
    assert List.to_write(database, KEY).push_all(tuple(expected), False) == len(expected)
    if frozen:
        keyspace.snapshot_open(True)
    while len(expected) > 20:
        start = source.randrange(len(expected) - 1)
        count = source.randrange(1, min(len(expected) - start, len(expected) - 1) + 1)
        List.to_write(database, KEY).remove(start, count)
        del expected[start : start + count]
        keyspace.check()
        assert List.to_write(database, KEY).range(0, 1 << 40) == expected
    if frozen:
        keyspace.snapshot_close()
        keyspace.check()
