"""The view of streams against a list of entries, under random operations, with snapshots at any moment.

A stream grows from one record to a store of its own and back, and is trimmed, deleted from, copied and evacuated while
a forked child walks what was there when it was made. What the child wrote is loaded into another keyspace.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from minikv.errors import ArenaFull
from minikv.keyspace import Keyspace
from minikv.keyspace.stream import LARGEST_ID, Stream
from minikv.keyspace.stream_group import Group, LargeGroup, Pending
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from tests.harness.examples import scaled
from tests.rdb.rdb_files import EOF, open_bytes
from tests.stateful.snapshots import SnapshotMachine

ARENA_BYTES = 96 << 20
NODE_BYTES = 4096
NODE_ENTRIES = 100
KEYS = [b"a", b"b", b"key with a longer name"]

keys = st.sampled_from(KEYS)
counts = st.sampled_from([1, 2, 30, 100, 101, 400, 1500])
sizes = st.sampled_from([0, 1, 10, 60, 500, 5000, 40_000])
places = st.floats(0, 1)

Entries = list[tuple[int, tuple[bytes, ...]]]


class Model:
    """One stream: its entries, its last ID, and what is pending in its group: ID to (consumer, deliveries)."""

    def __init__(self) -> None:
        self.entries: Entries = []
        self.last_id = 0
        self.pending: dict[int, tuple[bytes, int]] = {}

    def copy(self) -> Model:
        other = Model()
        other.entries, other.last_id, other.pending = list(self.entries), self.last_id, dict(self.pending)
        return other


def shown(id: int) -> bytes:
    return b"%d-%d" % (id >> 64, id & 0xFFFFFFFFFFFFFFFF)


def assert_equal(keyspace: Keyspace, contents: dict[bytes, Model]) -> None:
    database = keyspace.databases[0]
    assert sorted(database.keys()) == sorted(contents)
    for key, model in contents.items():
        stream = Stream.peek(database, key)
        assert stream is not None
        wanted = [[shown(id), list(parts)] for id, parts in model.entries]
        assert len(stream) == len(wanted)
        assert stream.last_id == model.last_id
        assert stream.range(0, LARGEST_ID) == wanted
        assert stream.range(0, LARGEST_ID, 0, True) == wanted[::-1]
        assert stream.first_id == (model.entries[0][0] if model.entries else 0)
        group = Group.of(stream, b"group")
        assert group is not None
        assert len(group) == len(model.pending)
        for id, (consumer, deliveries) in model.pending.items():
            entry = group.find(id)
            assert entry is not None and (entry.consumer, entry.deliveries) == (consumer, deliveries)


class Streams(SnapshotMachine):
    """The same operations on a keyspace and on models."""

    def __init__(self) -> None:
        super().__init__()
        self.real = Keyspace(1, ARENA_BYTES, huge_pages=False)
        self.database = self.real.databases[0]
        self.model: dict[bytes, Model] = {}

    @initialize(limit=st.sampled_from([0, 0, 0, 6]))
    def start(self, limit: int) -> None:
        self.real.set_debug(poison=True, segment_limit=limit)

    def open(self, key: bytes) -> tuple[Stream, Model]:
        """A stream with its group; it is made if need be."""
        stream = Stream.to_write(self.database, key)
        if not stream.exists:
            stream.create_group(b"group", Group(b"group").encode())
            self.model[key] = Model()
        return stream, self.model[key]

    @rule(key=keys, count=counts, size=sizes, gap=st.sampled_from([1, 1, 7, 1 << 64, 5 << 70]))
    def add(self, key: bytes, count: int, size: int, gap: int) -> None:
        try:
            stream, model = self.open(key)
            for number in range(count if size < 5000 else min(count, 20)):
                id = model.last_id + gap
                parts = (b"n", b"%d" % number, b"pad", b"x" * size)
                if number % 9 == 8:
                    parts = (b"other", b"y" * (number % 100))
                stream.add(id, parts, NODE_BYTES, NODE_ENTRIES)
                model.entries.append((id, parts))
                model.last_id = id
        except ArenaFull:
            pass

    @rule(key=keys, place=places, count=st.integers(1, 300), step=st.integers(1, 3))
    def delete(self, key: bytes, place: float, count: int, step: int) -> None:
        if key not in self.model:
            return
        stream, model = self.open(key)
        start = int(place * len(model.entries))
        wanted = [id for id, _ in model.entries[start : start + count : step]]
        gone: list[int] = []
        try:
            for id in wanted:
                assert stream.contains(id)
                assert stream.delete(id)
                gone.append(id)
                assert not stream.delete(id) and not stream.contains(id)
        except ArenaFull:
            pass
        if gone:
            stream.deleted(gone)
            dead = set(gone)
            model.entries = [entry for entry in model.entries if entry[0] not in dead]

    @rule(key=keys, place=places, approximate=st.booleans())
    def trim_to_length(self, key: bytes, place: float, approximate: bool) -> None:
        if key not in self.model:
            return
        stream, model = self.open(key)
        length = int(place * len(model.entries))
        try:
            stream.trim_to_length(length, approximate, 0)
        except ArenaFull:
            pass
        else:
            assert approximate or len(stream) == length
        assert len(stream) >= length
        model.entries = model.entries[len(model.entries) - len(stream) :]

    @rule(key=keys, place=places, approximate=st.booleans())
    def trim_below(self, key: bytes, place: float, approximate: bool) -> None:
        if key not in self.model or not self.model[key].entries:
            return
        stream, model = self.open(key)
        least = model.entries[int(place * (len(model.entries) - 1))][0]
        try:
            stream.trim_below(least, approximate, 0)
        except ArenaFull:
            pass
        else:
            assert approximate or stream.first_entry_id() == least
        model.entries = model.entries[len(model.entries) - len(stream) :]

    @rule(key=keys, consumer=st.sampled_from([b"alice", b"bob"]), place=places, count=st.integers(1, 200))
    def deliver(self, key: bytes, consumer: bytes, place: float, count: int) -> None:
        if key not in self.model:
            return
        stream, model = self.open(key)
        group = Group.of(stream, b"group")
        assert group is not None
        start = int(place * len(model.entries))
        pending = dict(model.pending)
        saved = pending if isinstance(group, LargeGroup) else model.pending
        try:
            for id, _ in model.entries[start : start + count]:
                deliveries = pending.get(id, (b"", 0))[1] + 1
                group.see_consumer(consumer, 5)
                group.put(Pending(id, consumer, 7, deliveries))
                pending[id] = (consumer, deliveries)
            group.save()
        except ArenaFull:
            model.pending = saved
        else:
            model.pending = pending

    @rule(key=keys, count=st.integers(1, 200))
    def acknowledge(self, key: bytes, count: int) -> None:
        if key not in self.model:
            return
        stream, model = self.open(key)
        group = Group.of(stream, b"group")
        assert group is not None
        ids = sorted(model.pending)[:count]
        for id in ids:
            assert group.remove(id)
        try:
            group.save()
        except ArenaFull:
            if not isinstance(group, LargeGroup):
                return
        for id in ids:
            del model.pending[id]

    @rule(key=keys, count=st.integers(1, 40))
    def add_consumers(self, key: bytes, count: int) -> None:
        if key not in self.model:
            return
        stream, _ = self.open(key)
        group = Group.of(stream, b"group")
        assert group is not None
        wanted = {*group.consumers, *(b"worker %d" % number for number in range(count))}
        with suppress(ArenaFull):
            for name in sorted(wanted - {*group.consumers}):
                group.see_consumer(name, 5)
            group.save()
            group = Group.of(stream, b"group")
            assert group is not None
            assert list(group.consumers) == sorted(wanted)

    @rule(key=keys, consumer=st.sampled_from([b"alice", b"bob", b"worker 3", b"worker 30"]))
    def remove_consumer(self, key: bytes, consumer: bytes) -> None:
        if key not in self.model:
            return
        stream, model = self.open(key)
        group = Group.of(stream, b"group")
        assert group is not None
        if consumer not in group.consumers:
            return
        rest = {id: entry for id, entry in model.pending.items() if entry[0] != consumer}
        try:
            removed = group.remove_consumer(consumer)
            group.save()
        except ArenaFull:
            group = Group.of(stream, b"group")
            assert group is not None
            removed = len(model.pending) - len(group)
            if not removed:
                return
        assert removed == len(model.pending) - len(rest)
        model.pending = rest

    @rule(key=keys)
    def replace_group(self, key: bytes) -> None:
        if key not in self.model:
            return
        stream, model = self.open(key)
        with suppress(ArenaFull):
            stream.put_group(b"group", None)
            model.pending = {}
        with suppress(ArenaFull):
            if stream.group(b"group") is None:
                stream.put_group(b"group", Group(b"group").encode())
                return
        if stream.group(b"group") is None:
            self.database.delete(key)
            del self.model[key]

    @rule(key=keys, place=places, count=st.integers(1, 50))
    def look(self, key: bytes, place: float, count: int) -> None:
        if key not in self.model:
            return
        stream, model = self.open(key)
        start = int(place * len(model.entries))
        part = model.entries[start : start + count]
        if part:
            wanted = [shown(id) for id, _ in part]
            assert [entry[0] for entry in stream.range(part[0][0], part[-1][0])] == wanted
            assert [entry[0] for entry in stream.range(part[0][0], LARGEST_ID, len(part))] == wanted
            assert [entry[0] for entry in stream.range(0, part[-1][0], len(part), True)] == wanted[::-1]

    @rule(key=keys, other=keys)
    def copy(self, key: bytes, other: bytes) -> None:
        if key in self.model and key != other:
            try:
                self.database.copy_to(key, self.database, other, True)
            except ArenaFull:
                return
            self.model[other] = self.model[key].copy()

    @rule(key=keys, other=keys)
    def rename(self, key: bytes, other: bytes) -> None:
        if key in self.model and key != other:
            try:
                self.database.rename(key, other)
            except ArenaFull:
                return
            self.model[other] = self.model.pop(key)

    @rule(key=keys, at_ms=st.sampled_from([2**45, 2**46]))
    def expire(self, key: bytes, at_ms: int) -> None:
        with suppress(ArenaFull):
            self.database.set_expire(key, at_ms)

    @rule(key=keys)
    def remove(self, key: bytes) -> None:
        assert self.database.delete(key) == (self.model.pop(key, None) is not None)

    @rule(budget_us=st.sampled_from([100, 100_000]), thorough=st.booleans())
    def evacuate(self, budget_us: int, thorough: bool) -> None:
        self.real.evacuate(budget_us, thorough)

    def contents(self) -> dict[bytes, Model]:
        return {key: model.copy() for key, model in self.model.items()}

    def compare_walk(self, stream: bytes, expected: dict[bytes, Model]) -> None:
        assert_equal(loaded(stream), expected)

    @invariant()
    def is_sound(self) -> None:
        self.real.check()

    def teardown(self) -> None:
        super().teardown()
        assert_equal(self.real, self.model)
        self.real.evacuate(1_000_000)
        self.real.check()
        assert_equal(self.real, self.model)


def loaded(written: bytes) -> Keyspace:
    """A keyspace with what a child wrote."""
    keyspace = Keyspace(1, ARENA_BYTES, huge_pages=False)
    with open_bytes(b"REDIS0010" + written + EOF + bytes(8)) as fd:
        reader = RdbReader(fd, EngineTarget(keyspace), 1, 1000)
        while reader.step(1000):
            pass
    keyspace.check()
    return keyspace


TestStreams: Any = pytest.mark.timeout(600)(Streams.TestCase)
TestStreams.settings = scaled(0.8, steps=30)
