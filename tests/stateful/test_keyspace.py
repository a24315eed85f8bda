"""Random operations on the compiled keyspace and on its model, compared step by step, with snapshots at any moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from minikv.errors import ArenaFull
from minikv.keyspace import Keyspace, Watch
from tests.engine import model
from tests.harness.examples import scaled
from tests.stateful.snapshots import SnapshotMachine

START_MS = 1_700_000_000_000
ARENA_BYTES = 96 << 20
DATABASES = 3
EVERYTHING = 10**9

Contents = dict[tuple[int, bytes], tuple[bytes, int]]

keys = st.sampled_from(
    [
        b"",
        b"a",
        b"b",
        b"c",
        b"counter",
        b"\0\xff",
        b"k" * 63,
        b"k" * 64,
        b"key with a longer name",
        b"L" * 20_000,
        b"J" * 33_000,
    ]
)
sizes = st.one_of(
    st.integers(0, 20),
    st.sampled_from([43, 44, 45, 62, 63, 64, 65, 500, 4096, 16_383, 16_384, 32_740, 32_768, 33_000, 70_000, 300_000]),
    st.integers(0, 40_000),
)
databases = st.integers(0, DATABASES - 1)
delays_ms = st.one_of(st.just(0), st.integers(1, 50), st.integers(1000, 100_000))
encodings = st.sampled_from([model.AUTO, model.AUTO, model.AUTO, model.EMBSTR, model.RAW])
values = st.builds(lambda size, byte: bytes([byte]) * size, sizes, st.sampled_from(b"0123xyz\0")) | st.sampled_from(
    [b"12345", b"-7", b"9223372036854775807"]
)


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """An RDB length and the place behind it."""
    first = data[at]
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return (first & 0x3F) << 8 | data[at + 1], at + 2
    width = {0x80: 4, 0x81: 8}[first]
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def read_string(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = read_length(data, at)
    assert at + length <= len(data)
    return data[at : at + length], at + length


def parse_stream(data: bytes) -> tuple[Contents, dict[int, tuple[int, int]]]:
    """Keys with value and time, and what RESIZEDB announced for each database."""
    found: Contents = {}
    announced: dict[int, tuple[int, int]] = {}
    at = number = expire_at_ms = 0
    while at < len(data):
        opcode = data[at]
        at += 1
        if opcode == 0xFE:
            number, at = read_length(data, at)
        elif opcode == 0xFB:
            total, at = read_length(data, at)
            with_time, at = read_length(data, at)
            announced[number] = (total, with_time)
        elif opcode == 0xFC:
            expire_at_ms = int.from_bytes(data[at : at + 8], "little")
            assert expire_at_ms, "a key without a time has no expiry opcode"
            at += 8
        else:
            assert opcode == 0, f"opcode {opcode} at {at - 1}"
            key, at = read_string(data, at)
            value, at = read_string(data, at)
            assert (number, key) not in found, "a key twice"
            found[number, key] = (value, expire_at_ms)
            expire_at_ms = 0
    return found, announced


class KeyspaceMachine(SnapshotMachine):
    """`real` is compiled, `model` made of dictionaries; every rule does the same to both."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.real: Any = Keyspace(DATABASES, ARENA_BYTES)
        self.model = model.Keyspace(DATABASES)
        for each in (self.real, self.model):
            each.set_clock(lambda: self.now_ms)
            each.tick()
        self.tokens: list[tuple[Watch, model.Watch]] = []

    @initialize(segments=st.sampled_from([0, 0, 4, 12]), poison=st.booleans())
    def limit(self, segments: int, poison: bool) -> None:
        self.real.set_debug(poison=poison, segment_limit=segments)

    def both(self, operation: Callable[[Any], Any]) -> Any:
        """The result of the operation, which must be the same on both; nothing if the arena is full."""
        dirty = self.real.dirty
        try:
            actual = operation(self.real)
        except ArenaFull:
            assert self.real.dirty == dirty, "ArenaFull after a change"
            return None
        expected = operation(self.model)
        assert actual == expected
        return actual

    # Writes

    @rule(number=databases, key=keys, value=values, delay=delays_ms, keep=st.booleans(), encoding=encodings)
    def set(self, number: int, key: bytes, value: bytes, delay: int, keep: bool, encoding: int) -> None:
        at_ms = self.now_ms + delay if delay else 0
        self.both(lambda each: each.databases[number].set(key, value, at_ms, keep, encoding))

    @rule(number=databases, key=keys, value=values)
    def append(self, number: int, key: bytes, value: bytes) -> None:
        self.both(lambda each: each.databases[number].append(key, value))

    @rule(number=databases, key=keys, offset=sizes, value=values)
    def set_range(self, number: int, key: bytes, offset: int, value: bytes) -> None:
        self.both(lambda each: each.databases[number].set_range(key, offset, value))

    @rule(number=databases, key=keys)
    def make_raw(self, number: int, key: bytes) -> None:
        self.both(lambda each: each.databases[number].make_raw(key))

    @rule(number=databases, key=keys)
    def delete(self, number: int, key: bytes) -> None:
        self.both(lambda each: each.databases[number].delete(key))

    @rule(number=databases, key=keys, delay=st.integers(-100, 100) | st.integers(1000, 10**12))
    def set_expire(self, number: int, key: bytes, delay: int) -> None:
        at_ms = self.now_ms + delay
        self.both(lambda each: each.databases[number].set_expire(key, at_ms))

    @rule(number=databases, key=keys)
    def persist(self, number: int, key: bytes) -> None:
        self.both(lambda each: each.databases[number].persist(key))

    @rule(number=databases, key=keys, new_key=keys)
    def rename(self, number: int, key: bytes, new_key: bytes) -> None:
        self.both(lambda each: each.databases[number].rename(key, new_key))

    @rule(number=databases, key=keys, other=databases, new_key=keys, replace=st.booleans())
    def copy(self, number: int, key: bytes, other: int, new_key: bytes, replace: bool) -> None:
        if (number, key) != (other, new_key):
            self.both(lambda each: each.databases[number].copy_to(key, each.databases[other], new_key, replace))

    @rule(number=databases, key=keys, other=databases)
    def move(self, number: int, key: bytes, other: int) -> None:
        if number != other:
            self.both(lambda each: each.databases[number].move_to(key, each.databases[other]))

    # Many keys at once

    @rule(
        number=databases, count=st.integers(1, 1500), size=sizes.filter(lambda size: size < 3000), timed=st.booleans()
    )
    def fill(self, number: int, count: int, size: int, timed: bool) -> None:
        for i in range(count):
            key, value = b"fill:%d" % i, b"%d" % i + b"f" * size
            at_ms = self.now_ms + 1 + i if timed else 0
            self.both(lambda each, k=key, v=value, t=at_ms: each.databases[number].set(k, v, t))

    @rule(number=databases, step=st.integers(1, 7))
    def drop(self, number: int, step: int) -> None:
        for i in range(0, 1500, step):
            self.both(lambda each, key=b"fill:%d" % i: each.databases[number].delete(key))

    @rule(number=databases)
    def flush(self, number: int) -> None:
        self.drop_expired()
        self.both(lambda each: each.databases[number].flush())

    @rule()
    def flush_all(self) -> None:
        self.drop_expired()
        self.both(lambda each: each.flush_all())

    @rule(a=databases, b=databases)
    def swap(self, a: int, b: int) -> None:
        self.both(lambda each: each.swap(a, b))

    # Reads

    @rule(number=databases, key=keys)
    def get(self, number: int, key: bytes) -> None:
        self.both(lambda each: each.databases[number].get(key))

    @rule(number=databases, key=keys, stats=st.booleans(), touch=st.booleans())
    def look(self, number: int, key: bytes, stats: bool, touch: bool) -> None:
        self.both(lambda each: each.databases[number].lookup(key, stats, touch))
        self.both(lambda each: each.databases[number].strlen(key))
        # A record that its key alone makes jumbo has no room for the mark of a short raw value.
        if len(key) < model.RECORD_MAX:
            self.both(lambda each: each.databases[number].encoding(key))
        self.both(lambda each: each.databases[number].expire_at(key))

    @rule(number=databases, key=keys, start=sizes, stop=sizes)
    def get_range(self, number: int, key: bytes, start: int, stop: int) -> None:
        self.both(lambda each: each.databases[number].get_range(key, start, stop))

    @rule(number=databases, count=st.integers(1, 3000))
    def scan(self, number: int, count: int) -> None:
        found = []
        cursor = 0
        while True:
            cursor, some = self.real.databases[number].scan(cursor, count)
            found += some
            if not cursor:
                break
        assert sorted(found) == sorted(self.model.databases[number].keys())

    @rule(number=databases)
    def random_key(self, number: int) -> None:
        key = self.real.databases[number].random_key()
        assert key in self.model.databases[number].keys() or (key is None and not self.model.databases[number].keys())  # noqa: SIM118

    # Time and watches

    @rule(milliseconds=st.integers(1, 100) | st.integers(1000, 100_000))
    def advance(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        self.both(lambda each: each.tick())

    @rule()
    def drop_expired(self) -> None:
        self.real.expire_cycle(EVERYTHING)
        self.model.expire_cycle(EVERYTHING)
        assert self.real.expire_cycle(EVERYTHING) == 0
        self.both(lambda each: each.expired_keys)

    @rule(limit=st.integers(1, 50))
    def expire_some(self, limit: int) -> None:
        assert self.real.expire_cycle(limit) <= limit

    @rule(number=databases, key=keys, index=st.integers(0, 3))
    def watch(self, number: int, key: bytes, index: int) -> None:
        while len(self.tokens) <= index:
            self.tokens.append((Watch(), model.Watch()))
        real, expected = self.tokens[index]
        self.real.databases[number].watch(key, real)
        self.model.databases[number].watch(key, expected)

    @precondition(lambda self: self.tokens)
    @rule()
    def compare_watches(self) -> None:
        for real, expected in self.tokens:
            assert real.broken == expected.broken

    @precondition(lambda self: self.tokens)
    @rule()
    def unwatch(self) -> None:
        real, expected = self.tokens.pop()
        assert real.broken == expected.broken
        for number in range(DATABASES):
            self.real.databases[number].unwatch(real)
            self.model.databases[number].unwatch(expected)

    # Memory and snapshots

    @rule(budget_us=st.sampled_from([0, 100, 10_000]), thorough=st.booleans())
    def evacuate(self, budget_us: int, thorough: bool) -> None:
        self.real.evacuate(budget_us, thorough)

    def settle(self) -> None:
        self.drop_expired()

    def compare_walk(self, stream: bytes, expected: Contents) -> None:
        found, announced = parse_stream(stream)
        assert found == expected
        for number in range(DATABASES):
            times = [at_ms for (db, _), (_, at_ms) in found.items() if db == number]
            assert announced.get(number, (0, 0)) == (len(times), sum(at_ms > 0 for at_ms in times))

    def contents(self) -> Contents:
        return {
            (db.number, key): (entry.value, entry.expire_at_ms)
            for db in self.model.databases
            for key, entry in db.entries.items()
        }

    # Always

    @invariant()
    def counters_agree(self) -> None:
        assert (self.real.dirty, self.real.hits, self.real.misses) == (
            self.model.dirty,
            self.model.hits,
            self.model.misses,
        )

    @rule()
    def everything_agrees(self) -> None:
        self.drop_expired()
        for real, expected in zip(self.real.databases, self.model.databases, strict=True):
            assert (len(real), real.expires) == (len(expected), expected.expires)
            actual = {key: (real.get_for_write(key), real.expire_at(key)) for key in real.keys()}  # noqa: SIM118
            assert actual == {key: (entry.value, entry.expire_at_ms) for key, entry in expected.entries.items()}
        self.real.check()

    def teardown(self) -> None:
        super().teardown()
        self.everything_agrees()


TestKeyspace = pytest.mark.timeout(600)(KeyspaceMachine.TestCase)
TestKeyspace.settings = scaled(1.2, steps=40)


large_keys = st.sampled_from([b"large:%d" % number for number in range(8)])
large_sizes = st.one_of(
    st.integers(33_000, 1 << 20),
    st.integers(1 << 20, 5 << 20),
    st.sampled_from(
        [350_000, 512_000, 700_000, (1 << 20) - 40, 1 << 20, 1_050_000, 2 << 20, 4 << 20, 8 << 20, (8 << 20) + 8192]
    ),
)
large_values = st.builds(lambda size, byte: bytes([byte, 0, byte]) * (size // 3), large_sizes, st.integers(1, 255))


class LargeValuesMachine(KeyspaceMachine):
    """The same with values that reach over the borders of segments, or have some of their own."""

    @initialize(segments=st.sampled_from([0, 0, 20, 40]), poison=st.booleans())
    def limit(self, segments: int, poison: bool) -> None:
        self.real.set_debug(poison=poison, segment_limit=segments)

    @rule(number=databases, key=large_keys, value=large_values, timed=st.booleans())
    def set_large(self, number: int, key: bytes, value: bytes, timed: bool) -> None:
        self.set(number, key, value, 10**9 if timed else 0, False, model.AUTO)

    @rule(number=databases, value=large_values)
    def set_all_large(self, number: int, value: bytes) -> None:
        for index in range(8):
            self.set(number, b"large:%d" % index, value[: len(value) // 4 + 33_000 + index], 0, False, model.AUTO)

    @rule(number=databases, key=large_keys, size=sizes)
    def grow_large(self, number: int, key: bytes, size: int) -> None:
        self.append(number, key, b"+" * size)

    @rule(number=databases, key=large_keys, offset=large_sizes)
    def write_into_large(self, number: int, key: bytes, offset: int) -> None:
        self.set_range(number, key, offset, b"written" * 1000)

    @rule(number=databases, key=large_keys)
    def delete_large(self, number: int, key: bytes) -> None:
        self.delete(number, key)

    @rule(number=databases, key=large_keys, other=databases, new_key=large_keys)
    def copy_large(self, number: int, key: bytes, other: int, new_key: bytes) -> None:
        self.copy(number, key, other, new_key, True)

    @rule()
    def prove(self) -> None:
        self.real.check()


TestLargeValues = pytest.mark.timeout(600)(LargeValuesMachine.TestCase)
TestLargeValues.settings = scaled(0.8, steps=40)
