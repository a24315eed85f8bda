"""Random operations on hashes whose fields expire and on a model of them, with snapshots at any moment.

The hashes are of every form, and change it. A snapshot must hold the model's contents at the fork, and loaded into
another keyspace give the same fields with the same expiries.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from minikv.errors import ArenaFull
from minikv.keyspace import Keyspace
from minikv.keyspace.field_expiry import expire_fields
from minikv.keyspace.hash import NO_FIELD, Hash
from minikv.rdb import payload
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from tests.harness.examples import scaled
from tests.rdb.rdb_files import rdb
from tests.stateful.snapshots import SnapshotMachine
from tests.stateful.test_keyspace import ARENA_BYTES, EVERYTHING, START_MS

DATABASES = 2

keys = st.sampled_from([b"a", b"b", b"c", b"J" * 33_000])
fields = st.integers(0, 40).map(lambda number: b"f:%d" % number)
values = st.builds(
    lambda size, byte: bytes([byte]) * size, st.integers(0, 30) | st.integers(0, 3000), st.integers(65, 70)
)
delays_ms = st.just(0) | st.integers(1, 50) | st.integers(1000, 100_000)
databases = st.integers(0, DATABASES - 1)
# Fields at once and the bytes of each: packed, chunked and spread hashes.
crowds = st.sampled_from([(20, 10), (400, 0), (150, 100), (500, 100), (40, 30_000), (3000, 2)])


@dataclass
class Model:
    """One key's hash: field to value and expiry (0: none)."""

    fields: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    expire_at_ms: int = 0


Contents = dict[tuple[int, bytes], tuple[dict[bytes, tuple[bytes, int]], int]]


class HashMachine(SnapshotMachine):
    may_compress = True

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.real: Any = Keyspace(DATABASES, ARENA_BYTES, huge_pages=False)
        self.real.set_clock(lambda: self.now_ms)
        self.model: dict[tuple[int, bytes], Model] = {}

    @initialize(segments=st.sampled_from([0, 0, 0, 6, 12]))
    def limit(self, segments: int) -> None:
        self.real.set_debug(poison=True, segment_limit=segments)

    # The model

    def live(self, number: int, key: bytes) -> dict[bytes, tuple[bytes, int]]:
        """Fields that have not expired; the expired ones are gone."""
        found = self.model.get((number, key))
        if found is None:
            return {}
        if found.expire_at_ms and self.now_ms > found.expire_at_ms:
            del self.model[number, key]
            return {}
        for name in [name for name, (_, at_ms) in found.fields.items() if at_ms and self.now_ms > at_ms]:
            del found.fields[name]
        if not found.fields:
            del self.model[number, key]
        return found.fields

    def view(self, number: int, key: bytes) -> Any:
        return Hash.to_write(self.real.databases[number], key)

    def put(
        self, number: int, key: bytes, name: bytes, value: bytes, at_ms: int | None, write: Callable[..., bool]
    ) -> None:
        """at_ms None: that of before."""
        before = self.live(number, key)
        with contextlib.suppress(ArenaFull):
            assert write() is (name not in before)
            if at_ms is None:
                at_ms = before.get(name, (b"", 0))[1]
            self.model.setdefault((number, key), Model()).fields[name] = (value, at_ms)

    # Writes

    @rule(number=databases, key=keys, name=fields, value=values, delay=delays_ms)
    def set_until(self, number: int, key: bytes, name: bytes, value: bytes, delay: int) -> None:
        at_ms = self.now_ms + delay if delay else 0
        self.put(number, key, name, value, at_ms, lambda: self.view(number, key).set_until(name, value, at_ms))

    @rule(number=databases, key=keys, name=fields, value=values)
    def set(self, number: int, key: bytes, name: bytes, value: bytes) -> None:
        self.put(number, key, name, value, 0, lambda: self.view(number, key).set(name, value))

    @rule(number=databases, key=keys, name=fields, value=values)
    def keep_expiry(self, number: int, key: bytes, name: bytes, value: bytes) -> None:
        self.put(number, key, name, value, None, lambda: self.view(number, key).keep_expiry(name, value))

    @rule(number=databases, key=keys, crowd=crowds, spread_ms=st.sampled_from([0, 1, 3000]))
    def fill(self, number: int, key: bytes, crowd: tuple[int, int], spread_ms: int) -> None:
        count, size = crowd
        for index in range(count):
            name, value = b"f:%d" % index, b"v" * size
            at_ms = self.now_ms + 10 + index % spread_ms if spread_ms and index % 5 else 0
            self.put(
                number,
                key,
                name,
                value,
                at_ms,
                lambda n=name, v=value, t=at_ms: self.view(number, key).set_until(n, v, t),
            )

    @rule(number=databases, key=keys, name=fields)
    def delete(self, number: int, key: bytes, name: bytes) -> None:
        before = self.live(number, key)
        with contextlib.suppress(ArenaFull):
            assert self.view(number, key).delete(name) is (name in before)
            before.pop(name, None)

    @rule(number=databases, key=keys, step=st.integers(1, 5))
    def thin_out(self, number: int, key: bytes, step: int) -> None:
        for name in list(self.live(number, key))[::step]:
            self.delete(number, key, name)

    # The key

    @rule(number=databases, key=keys)
    def delete_key(self, number: int, key: bytes) -> None:
        self.live(number, key)
        self.real.databases[number].delete(key)
        self.model.pop((number, key), None)

    @rule(number=databases, key=keys)
    def overwrite(self, number: int, key: bytes) -> None:
        with contextlib.suppress(ArenaFull):
            self.real.databases[number].set(key, b"")
            self.model.pop((number, key), None)
        self.real.databases[number].delete(key)
        self.model.pop((number, key), None)

    @rule(number=databases, key=keys, delay=st.integers(1, 50) | st.integers(1000, 10**9))
    def expire_key(self, number: int, key: bytes, delay: int) -> None:
        self.settle()
        with contextlib.suppress(ArenaFull):
            if self.real.databases[number].set_expire(key, self.now_ms + delay):
                self.model[number, key].expire_at_ms = self.now_ms + delay

    @rule(
        number=databases,
        key=keys,
        other=databases,
        new_key=keys,
        how=st.sampled_from(["copy", "rename", "move", "restore"]),
    )
    def carry(self, number: int, key: bytes, other: int, new_key: bytes, how: str) -> None:
        self.settle()
        source, target = self.real.databases[number], self.real.databases[other]
        was = self.model.get((number, key))
        if was is None or (number, key) == (other, new_key):
            return
        place = (other, new_key)
        with contextlib.suppress(ArenaFull):
            if how == "copy":
                assert source.copy_to(key, target, new_key, True)
            elif how == "restore":
                assert payload.restore(target, new_key, payload.seal(source.dump(key, True)), was.expire_at_ms)
            elif how == "rename":
                assert source.rename(key, new_key)
                place = (number, new_key)
                del self.model[number, key]
            elif number == other or (other, key) in self.model:
                return
            else:
                assert source.move_to(key, target)
                place = (other, key)
                del self.model[number, key]
            self.model[place] = Model(dict(was.fields), was.expire_at_ms)

    @rule(number=databases, lazily=st.booleans())
    def flush(self, number: int, lazily: bool) -> None:
        self.real.databases[number].flush(lazily)
        for place in [place for place in self.model if place[0] == number]:
            del self.model[place]

    # Time

    @rule(milliseconds=st.integers(1, 100) | st.integers(1000, 100_000))
    def advance(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        self.real.tick()

    @rule(limit=st.integers(1, 50))
    def expire_some(self, limit: int) -> None:
        before = self.real.expired_fields
        done = expire_fields(self.real, limit)
        assert self.real.expired_fields - before == done <= limit

    def settle(self) -> None:
        """Nothing expired is left, as far as there is room to delete it."""
        for number, key in list(self.model):
            self.live(number, key)
        self.real.expire_cycle(EVERYTHING)
        expire_fields(self.real, EVERYTHING)
        assert expire_fields(self.real, EVERYTHING) == 0

    # Reads

    @rule(number=databases, key=keys, name=fields)
    def look(self, number: int, key: bytes, name: bytes) -> None:
        value, at_ms = self.live(number, key).get(name, (None, NO_FIELD))
        view = self.view(number, key)
        assert (view.get(name), view.expire_at(name), view.contains(name)) == (value, at_ms, value is not None)
        assert view.value_len(name) == len(value or b"")

    @rule(number=databases, key=keys, count=st.integers(1, 40), distinct=st.booleans())
    def look_at_all(self, number: int, key: bytes, count: int, distinct: bool) -> None:
        expected = {name: value for name, (value, _) in self.live(number, key).items()}
        view = self.view(number, key)
        items = view.items()
        assert dict(zip(items[::2], items[1::2], strict=True)) == expected
        cursor, seen = 0, {}
        while True:
            cursor, some = view.scan(cursor, count)
            seen |= dict(zip(some[::2], some[1::2], strict=True))
            if cursor == 0:
                break
        assert seen == expected
        some = view.sample(count, distinct)
        assert dict(zip(some[::2], some[1::2], strict=True)).items() <= expected.items()
        assert len(some) == 2 * (min(count, len(expected)) if distinct else count if expected else 0)
        assert not distinct or len(set(some[::2])) == len(some) // 2

    # Snapshots

    def contents(self) -> Contents:
        return {place: (dict(model.fields), model.expire_at_ms) for place, model in self.model.items()}

    def compare_walk(self, stream: bytes, expected: Contents) -> None:
        assert loaded(stream, expected) == expected

    @rule(budget_us=st.sampled_from([0, 10_000]))
    def evacuate(self, budget_us: int) -> None:
        self.real.evacuate(budget_us, True)

    # Always

    @rule()
    def everything_agrees(self) -> None:
        self.settle()
        self.real.check()
        assert self.real.has_field_ttls == has_ttls(self.contents())
        assert held(self.real) == self.contents()
        for number, database in enumerate(self.real.databases):
            assert database.hashes_with_ttls == sum(
                any(at_ms for _, at_ms in model.fields.values())
                for (place, _), model in self.model.items()
                if place == number
            )
            for key in database.keys():  # noqa: SIM118 (not a dict)
                assert len(self.view(number, key)) == len(self.model[number, key].fields)

    def teardown(self) -> None:
        super().teardown()
        self.everything_agrees()


def has_ttls(contents: Contents) -> bool:
    return any(at_ms for hash_, _ in contents.values() for _, at_ms in hash_.values())


def held(keyspace: Keyspace) -> Contents:
    """What the hashes of a keyspace hold."""
    found: Contents = {}
    for number, database in enumerate(keyspace.databases):
        for key in database.keys():  # noqa: SIM118
            view = Hash.to_write(database, key)
            items = view.items()
            timed = {n: (v, view.expire_at(n)) for n, v in zip(items[::2], items[1::2], strict=True)}
            found[number, key] = (timed, database.expire_at(key))
    return found


def loaded(stream: bytes, expected: Contents) -> Contents:
    """What another keyspace holds when it has loaded a walk's bytes, at the beginning of the test's time."""
    keyspace = Keyspace(DATABASES, ARENA_BYTES, huge_pages=False)
    keyspace.set_clock(lambda: START_MS)
    with tempfile.TemporaryFile() as file:
        file.write(rdb(stream, 12 if has_ttls(expected) else 10))
        file.seek(0)
        reader = RdbReader(file.fileno(), EngineTarget(keyspace), DATABASES, START_MS, True)
        while reader.step(os.sysconf("SC_PAGE_SIZE")):
            pass
    keyspace.check()
    return held(keyspace)


TestHashTtl = pytest.mark.timeout(600)(HashMachine.TestCase)
TestHashTtl.settings = scaled(0.5, steps=40)
