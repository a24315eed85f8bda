"""What Keyspace and Database promise, told once and tried on both: the model and the compiled one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from minikv.errors import ArenaFull
from tests.engine import model

NO_EXPIRY = 0
STRING = 0
MISSING = -1
EMBSTR, RAW = 1, 2
START_MS = 1_700_000_000_000
SMALL_ARENA = 64 << 20


class Clock:
    """Time that moves when it is told to."""

    def __init__(self, keyspace: Any) -> None:
        self.keyspace = keyspace
        self.now_ms = START_MS
        keyspace.set_clock(lambda: self.now_ms)
        keyspace.tick()

    def advance(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        self.keyspace.tick()


def compiled() -> ModuleType:
    module = importlib.import_module("minikv.keyspace")
    if not hasattr(module, "Keyspace"):
        pytest.skip("NOT TESTED: minikv.keyspace has no Keyspace yet")
    return module


@pytest.fixture(params=["model", "compiled"])
def implementation(request: pytest.FixtureRequest) -> ModuleType:
    return model if request.param == "model" else compiled()


@pytest.fixture
def keyspace(implementation: ModuleType) -> Iterator[Any]:
    tested = implementation.Keyspace(databases=4, arena_bytes=SMALL_ARENA)
    yield tested
    tested.check()


@pytest.fixture
def clock(keyspace: Any) -> Clock:
    return Clock(keyspace)


@pytest.fixture
def db(keyspace: Any, clock: Clock) -> Any:
    return keyspace.databases[0]


@pytest.fixture
def other(keyspace: Any, clock: Clock) -> Any:
    return keyspace.databases[1]


def contents(db: Any) -> dict[bytes, tuple[bytes, int]]:
    return {key: (db.get_for_write(key), db.expire_at(key)) for key in db.keys()}  # noqa: SIM118


def scan_all(db: Any, count: int = 10) -> list[bytes]:
    """Every key that one whole scan gives, with repetitions."""
    cursor, found = db.scan(0, count)
    while cursor:
        cursor, more = db.scan(cursor, count)
        found += more
    return found


# Set and get


def test_get_gives_what_set_stored(db: Any) -> None:
    db.set(b"key", b"value")
    assert db.get(b"key") == b"value"
    assert db.get(b"none") is None
    assert db.get_for_write(b"key") == b"value"
    assert db.get_for_write(b"none") is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\0",
        b"0",
        b"-1",
        b"12345",
        b"9223372036854775807",
        b"9223372036854775808",
        b"007",
        b"x" * 63,
        b"x" * 64,
        b"y" * 16383,
        b"y" * 16384,
        b"z" * 32_700,
        b"z" * 33_000,
        bytes(range(256)) * 5000,
    ],
    ids=lambda value: f"{len(value)}-{value[:4].hex()}",
)
@pytest.mark.parametrize("key", [b"", b"\0\xff", b"k" * 63, b"k" * 70, b"k" * 20_000], ids=len)
def test_any_bytes_are_kept(db: Any, key: bytes, value: bytes) -> None:
    db.set(key, value)
    assert db.get(key) == value
    assert db.strlen(key) == len(value)
    assert db.keys() == [key]
    db.set(key, value[::-1])
    assert db.get(key) == value[::-1]
    assert len(db) == 1


def test_a_value_changes_its_size_in_every_direction(db: Any) -> None:
    sizes = [0, 1, 10, 60, 70, 200, 5000, 16_000, 17_000, 40_000, 300_000, 3_000_000]
    for before in sizes:
        for after in sizes:
            db.set(b"key", b"a" * before)
            db.set(b"key", b"b" * after)
            assert db.get(b"key") == b"b" * after


def test_many_keys(db: Any, keyspace: Any) -> None:
    expected = {b"key:%d" % i: b"%d" % i * (i % 50) for i in range(20_000)}
    for key, value in expected.items():
        db.set(key, value)
    keyspace.check()
    assert len(db) == len(expected)
    assert {key: db.get(key) for key in db.keys()} == expected  # noqa: SIM118
    for i in range(0, 20_000, 2):
        assert db.delete(b"key:%d" % i)
        del expected[b"key:%d" % i]
    keyspace.check()
    assert {key: db.get(key) for key in db.keys()} == expected  # noqa: SIM118


def test_databases_are_apart(db: Any, other: Any) -> None:
    db.set(b"key", b"here")
    assert other.get(b"key") is None
    other.set(b"key", b"there")
    assert (db.get(b"key"), other.get(b"key")) == (b"here", b"there")
    assert db.delete(b"key")
    assert other.get(b"key") == b"there"


def test_set_without_keep_ttl_clears_the_time(db: Any) -> None:
    db.set(b"key", b"1", START_MS + 1000)
    db.set(b"key", b"2")
    assert db.expire_at(b"key") == NO_EXPIRY


def test_set_with_keep_ttl_keeps_the_time(db: Any) -> None:
    db.set(b"key", b"1", START_MS + 1000)
    db.set(b"key", b"2", keep_ttl=True)
    assert (db.get(b"key"), db.expire_at(b"key")) == (b"2", START_MS + 1000)


def test_keep_ttl_of_a_new_key_gives_it_none(db: Any) -> None:
    db.set(b"key", b"2", keep_ttl=True)
    assert db.expire_at(b"key") == NO_EXPIRY


def test_delete(db: Any) -> None:
    db.set(b"key", b"value")
    assert db.delete(b"key")
    assert not db.delete(b"key")
    assert (db.get(b"key"), len(db)) == (None, 0)


# Parts of values


@pytest.mark.parametrize("length", [0, 5, 100, 20_000, 100_000])
def test_get_range_is_a_half_open_slice(db: Any, length: int) -> None:
    value = bytes(i % 251 for i in range(length))
    db.set(b"key", value)
    places = sorted({0, 1, length // 2, max(length - 1, 0), length, length + 1, length + 10_000})
    for start in places:
        for stop in places:
            assert db.get_range(b"key", start, stop) == value[start:stop]
    assert db.get_range(b"none", 0, 10) == b""


@pytest.mark.parametrize("length", [0, 5, 60, 70, 16_380, 32_760, 100_000])
def test_set_range_overwrites_and_pads_with_zeros(db: Any, length: int) -> None:
    value = b"v" * length
    for offset in sorted({0, 1, length // 2, length, length + 1, length + 40_000}):
        for size in (1, 10, 40_000):
            db.set(b"key", value)
            expected = bytearray(value.ljust(offset, b"\0"))
            expected[offset : offset + size] = b"n" * size
            assert db.set_range(b"key", offset, b"n" * size) == len(expected)
            assert db.get(b"key") == bytes(expected)


def test_set_range_creates_a_key(db: Any) -> None:
    assert db.set_range(b"key", 3, b"ab") == 5
    assert db.get(b"key") == b"\0\0\0ab"


def test_set_range_without_data_changes_nothing(db: Any, keyspace: Any) -> None:
    db.set(b"key", b"value")
    dirty = keyspace.dirty
    assert db.set_range(b"key", 100, b"") == 5
    assert db.set_range(b"none", 100, b"") == 0
    assert (db.get(b"key"), db.lookup(b"none"), keyspace.dirty) == (b"value", MISSING, dirty)


@pytest.mark.parametrize("change", ["append", "set_range"])
def test_changes_of_a_part_keep_the_time(db: Any, change: str) -> None:
    db.set(b"key", b"value", START_MS + 5000)
    if change == "append":
        db.append(b"key", b"x" * 50_000)
    else:
        db.set_range(b"key", 50_000, b"x")
    assert db.expire_at(b"key") == START_MS + 5000


def test_append(db: Any) -> None:
    assert db.append(b"key", b"") == 0
    assert db.lookup(b"key") == STRING
    expected = b""
    for size in (1, 20, 40, 100, 16_000, 1000, 40_000, 0, 100_000):
        expected += b"%d" % (size % 10) * size
        assert db.append(b"key", b"%d" % (size % 10) * size) == len(expected)
        assert db.get(b"key") == expected


def test_increment_counts_from_zero_and_keeps_the_time(db: Any) -> None:
    assert db.increment(b"key", 5) == 5
    db.set_expire(b"key", START_MS + 5000)
    before = db.keyspace.dirty
    for amount in (-5, -1, 10**18, -(10**18), 100, -99):
        db.increment(b"key", amount)
    assert db.get(b"key") == b"0" and db.encoding(b"key") == b"int"
    assert db.expire_at(b"key") == START_MS + 5000
    assert db.keyspace.dirty == before + 6


@pytest.mark.parametrize(
    "text", [b"", b" 1", b"1 ", b"+1", b"01", b"-0", b"-", b"--1", b"1.0", b"x", b"1\0", b"9223372036854775808",
             b"-9223372036854775809", b"18446744073709551617", b"1" * 40]
)  # fmt: skip
def test_increment_takes_an_integer_in_its_only_spelling(db: Any, text: bytes) -> None:
    db.set(b"key", text)
    with pytest.raises(ValueError):
        db.increment(b"key", 1)
    assert db.get(b"key") == text and db.encoding(b"key") in (b"embstr", b"raw")


@pytest.mark.parametrize("end, step", [(2**63 - 1, 1), (-(2**63), -1)])
def test_increment_stops_at_64_bits(db: Any, end: int, step: int) -> None:
    assert db.increment(b"key", end - step) == end - step
    assert db.increment(b"key", step) == end
    for amount in (step, end):
        with pytest.raises(OverflowError):
            db.increment(b"key", amount)
    assert db.get(b"key") == b"%d" % end and db.encoding(b"key") == b"int"


# Expiry


def test_a_key_lives_through_its_last_millisecond(db: Any, clock: Clock) -> None:
    db.set(b"key", b"value", START_MS + 100)
    clock.advance(100)
    assert db.get(b"key") == b"value"
    clock.advance(1)
    assert db.get(b"key") is None


@pytest.mark.parametrize(
    "touch",
    [
        lambda db, other: db.lookup(b"key") == MISSING,
        lambda db, other: db.get(b"key") is None,
        lambda db, other: db.get_for_write(b"key") is None,
        lambda db, other: db.strlen(b"key") == 0,
        lambda db, other: db.get_range(b"key", 0, 10) == b"",
        lambda db, other: db.delete(b"key") is False,
        lambda db, other: db.expire_at(b"key") == MISSING,
        lambda db, other: db.set_expire(b"key", START_MS * 2) is False,
        lambda db, other: db.persist(b"key") is False,
        lambda db, other: db.rename(b"key", b"new") is False,
        lambda db, other: db.copy_to(b"key", db, b"new", True) is False,
        lambda db, other: db.move_to(b"key", other) is False,
        lambda db, other: db.set_range(b"key", 0, b"") == 0,
        lambda db, other: db.encoding(b"key") is None,
        lambda db, other: db.memory_usage(b"key") is None,
    ],
)
def test_an_expired_key_is_gone_for_every_method(db: Any, other: Any, keyspace: Any, clock: Clock, touch: Any) -> None:
    db.set(b"key", b"value", START_MS + 100)
    clock.advance(101)
    dirty = keyspace.dirty
    assert touch(db, other)
    assert (len(db), db.expires, keyspace.expired_keys, keyspace.dirty) == (0, 0, 1, dirty)


@pytest.mark.parametrize(
    "write",
    [
        lambda db: db.set(b"key", b"new"),
        lambda db: db.set(b"key", b"new", keep_ttl=True),
        lambda db: db.append(b"key", b"new"),
        lambda db: db.set_range(b"key", 0, b"new"),
    ],
)
def test_a_write_over_an_expired_key_starts_anew(db: Any, keyspace: Any, clock: Clock, write: Any) -> None:
    db.set(b"key", b"value", START_MS + 100)
    clock.advance(101)
    write(db)
    assert (db.get(b"key"), db.expire_at(b"key"), keyspace.expired_keys) == (b"new", NO_EXPIRY, 1)


def test_set_expire_and_persist(db: Any) -> None:
    db.set(b"key", b"value")
    assert db.expire_at(b"key") == NO_EXPIRY
    assert db.expire_at(b"none") == MISSING
    assert db.set_expire(b"key", START_MS + 5)
    assert db.expire_at(b"key") == START_MS + 5
    assert db.set_expire(b"key", START_MS + 50_000)
    assert (db.expire_at(b"key"), db.get(b"key"), db.expires) == (START_MS + 50_000, b"value", 1)
    assert db.persist(b"key")
    assert not db.persist(b"key")
    assert not db.persist(b"none")
    assert not db.set_expire(b"none", START_MS + 5)
    assert (db.expire_at(b"key"), db.get(b"key"), db.expires) == (NO_EXPIRY, b"value", 0)


def test_times_from_the_epoch_to_the_end_of_64_bits(db: Any) -> None:
    for at_ms in (1, START_MS - 1):
        db.set(b"past", b"x", at_ms)
        assert db.get(b"past") is None
    for at_ms in (2**31, 2**32, 2**53 + 1, 2**63 - 1):
        db.set(b"far", b"x", max(at_ms, START_MS))
        assert db.expire_at(b"far") == max(at_ms, START_MS)
        db.set(b"later", b"y")
        db.set_expire(b"later", max(at_ms, START_MS))
        assert db.expire_at(b"later") == max(at_ms, START_MS)


def test_expire_cycle_takes_the_longest_overdue_of_a_database_first(
    db: Any, other: Any, keyspace: Any, clock: Clock
) -> None:
    for i in range(10):
        other.set(b"%d" % i, b"x", START_MS + 10 * i)
    db.set(b"here", b"x", START_MS)
    clock.advance(51)
    assert keyspace.expire_cycle(3) == 3
    assert (len(db), len(other)) == (0, 8)
    clock.now_ms = START_MS  # so that what is left is not due when it is looked at
    keyspace.tick()
    assert sorted(other.keys()) == [b"%d" % i for i in range(2, 10)]
    clock.advance(51)
    assert keyspace.expire_cycle(1000) == 4
    assert keyspace.expire_cycle(1000) == 0
    assert sorted(other.keys()) == [b"6", b"7", b"8", b"9"]
    assert keyspace.expired_keys == 7


def test_average_ttl(db: Any) -> None:
    assert db.average_ttl_ms() == 0
    db.set(b"forever", b"x")
    assert db.average_ttl_ms() == 0
    db.set(b"a", b"x", START_MS + 1000)
    db.set(b"b", b"x", START_MS + 3000)
    assert abs(db.average_ttl_ms() - 2000) <= 20


def test_expires_counts_keys_with_a_time(db: Any, other: Any) -> None:
    db.set(b"a", b"x", START_MS + 1000)
    db.set(b"b", b"x", START_MS + 1000)
    db.set(b"c", b"x")
    assert db.expires == 2
    db.rename(b"a", b"c")
    assert db.expires == 2
    db.move_to(b"b", other)
    assert (db.expires, other.expires) == (1, 1)
    db.copy_to(b"c", other, b"copy", False)
    assert (db.expires, other.expires) == (1, 2)
    db.set(b"c", b"x")
    other.flush()
    assert (db.expires, other.expires) == (0, 0)


# Whole values


@pytest.mark.parametrize("size", [3, 100, 50_000])
def test_rename_moves_value_and_time(db: Any, size: int) -> None:
    db.set(b"a", b"v" * size, START_MS + 1000)
    db.set(b"b", b"old", START_MS + 9000)
    assert db.rename(b"a", b"b")
    assert contents(db) == {b"b": (b"v" * size, START_MS + 1000)}
    assert not db.rename(b"a", b"b")
    assert db.rename(b"b", b"a longer name " * 5)
    assert contents(db) == {b"a longer name " * 5: (b"v" * size, START_MS + 1000)}


def test_rename_over_a_key_with_a_time_takes_the_own_one(db: Any) -> None:
    db.set(b"a", b"1")
    db.set(b"b", b"2", START_MS + 1000)
    assert db.rename(b"a", b"b")
    assert contents(db) == {b"b": (b"1", NO_EXPIRY)}


@pytest.mark.parametrize("size", [3, 100, 50_000])
def test_copy(db: Any, other: Any, size: int) -> None:
    db.set(b"a", b"v" * size, START_MS + 1000)
    assert db.copy_to(b"a", db, b"b", False)
    assert db.copy_to(b"a", other, b"a", False)
    assert contents(db) == {b"a": (b"v" * size, START_MS + 1000), b"b": (b"v" * size, START_MS + 1000)}
    assert contents(other) == {b"a": (b"v" * size, START_MS + 1000)}
    db.set(b"a", b"new")
    assert not db.copy_to(b"a", other, b"a", False)
    assert db.copy_to(b"a", other, b"a", True)
    assert contents(other) == {b"a": (b"new", NO_EXPIRY)}
    assert not db.copy_to(b"none", other, b"a", True)
    db.set_range(b"a", 0, b"N")
    assert other.get(b"a") == b"new"


@pytest.mark.parametrize("size", [3, 100, 50_000])
def test_move(db: Any, other: Any, size: int) -> None:
    db.set(b"a", b"v" * size, START_MS + 1000)
    assert db.move_to(b"a", other)
    assert (contents(db), contents(other)) == ({}, {b"a": (b"v" * size, START_MS + 1000)})
    assert not db.move_to(b"a", other)
    db.set(b"a", b"again")
    assert not db.move_to(b"a", other)
    assert contents(db) == {b"a": (b"again", NO_EXPIRY)}


def test_an_expired_target_does_not_stop_copy_and_move(db: Any, other: Any, clock: Clock) -> None:
    other.set(b"a", b"old", START_MS + 10)
    other.set(b"b", b"old", START_MS + 10)
    db.set(b"a", b"new")
    clock.advance(11)
    assert db.copy_to(b"a", other, b"b", False)
    assert db.move_to(b"a", other)
    assert contents(other) == {b"a": (b"new", NO_EXPIRY), b"b": (b"new", NO_EXPIRY)}


def test_swap(keyspace: Any, db: Any, other: Any) -> None:
    db.set(b"a", b"1", START_MS + 1000)
    other.set(b"b", b"2")
    keyspace.swap(0, 1)
    assert [each.number for each in keyspace.databases] == [0, 1, 2, 3]
    first, second = keyspace.databases[:2]
    assert contents(first) == {b"b": (b"2", NO_EXPIRY)}
    assert contents(second) == {b"a": (b"1", START_MS + 1000)}
    # Whoever holds a database object (a client that selected it) sees the new contents.
    assert (db.get(b"b"), other.get(b"a")) == (b"2", b"1")
    first.set(b"c", b"3")
    keyspace.swap(1, 1)
    keyspace.swap(1, 2)
    assert contents(keyspace.databases[2]) == {b"a": (b"1", START_MS + 1000)}
    assert contents(keyspace.databases[0]) == {b"b": (b"2", NO_EXPIRY), b"c": (b"3", NO_EXPIRY)}
    keyspace.check()


def test_flush(keyspace: Any, db: Any, other: Any) -> None:
    for i in range(1000):
        db.set(b"%d" % i, b"x" * i, NO_EXPIRY if i % 2 else START_MS + 1000)
        other.set(b"%d" % i, b"x" * i)
    dirty = keyspace.dirty
    assert db.flush() == 1000
    assert (len(db), db.expires, db.keys(), len(other)) == (0, 0, [], 1000)
    assert db.flush() == 0
    db.set(b"a", b"b")
    keyspace.check()
    assert keyspace.flush_all() == 1001
    assert keyspace.dirty == dirty + 1000 + 1 + 1001
    assert [len(each) for each in keyspace.databases] == [0] * 4


def test_flush_of_an_unused_database_leaves_its_later_keys_alone(keyspace: Any, db: Any, other: Any) -> None:
    keyspace.flush_all()
    db.set(b"here", b"x")
    other.set(b"there", b"x")
    db.flush()
    assert (db.get(b"here"), other.get(b"there")) == (None, b"x")


def test_memory_comes_back_after_flush(keyspace: Any, db: Any) -> None:
    before = keyspace.live_bytes
    for i in range(5000):
        db.set(b"%d" % i, b"x" * 1000)
    assert keyspace.live_bytes >= 5_000_000
    assert keyspace.used_bytes >= keyspace.live_bytes
    assert keyspace.peak_bytes >= keyspace.used_bytes
    keyspace.flush_all()
    assert keyspace.live_bytes == before


# Many keys


def test_keys_and_random_key_leave_out_expired_ones(db: Any, clock: Clock) -> None:
    assert db.random_key() is None
    db.set(b"gone", b"x", START_MS + 10)
    clock.advance(11)
    assert db.random_key() is None
    db.set(b"gone", b"x", START_MS + 20)
    db.set(b"stays", b"x")
    clock.advance(11)
    assert {db.random_key() for _ in range(50)} == {b"stays"}
    db.set(b"gone", b"x", clock.now_ms + 1)
    clock.advance(2)
    assert db.keys() == [b"stays"]


def test_random_key_finds_every_key(db: Any) -> None:
    names = {b"%d" % i for i in range(20)}
    for name in names:
        db.set(name, b"x")
    assert {db.random_key() for _ in range(2000)} == names


@pytest.mark.parametrize("count", [1, 7, 100, 100_000])
@pytest.mark.parametrize("size", [0, 1, 100, 3000])
def test_scan_of_a_still_database_gives_each_key_once(db: Any, size: int, count: int) -> None:
    names = [b"key:%d" % i for i in range(size)]
    for name in names:
        db.set(name, b"x")
    if size * 100 > count * 10_000:
        pytest.skip("many small steps over many keys: slow on the model")
    assert sorted(scan_all(db, count)) == sorted(names)


def test_scan_leaves_out_expired_keys(db: Any, clock: Clock) -> None:
    db.set(b"gone", b"x", START_MS + 10)
    db.set(b"stays", b"x")
    clock.advance(11)
    assert scan_all(db) == [b"stays"]


@pytest.mark.parametrize("change", ["grow", "shrink", "both"])
def test_scan_gives_every_key_that_is_there_all_the_time(db: Any, change: str) -> None:
    stays = {b"stays:%d" % i for i in range(300)}
    for name in stays:
        db.set(name, b"x")
    for i in range(2000):
        db.set(b"goes:%d" % i, b"x")
    found: list[bytes] = []
    cursor, step = 0, 0
    while True:
        cursor, some = db.scan(cursor, 50)
        found += some
        if not cursor:
            break
        for i in range(step * 40, step * 40 + 40):
            if change != "grow":
                db.delete(b"goes:%d" % i)
            if change != "shrink" and step < 60:
                db.set(b"new:%d" % i, b"x")
        step += 1
        assert step < 5000
    assert stays <= set(found)


@pytest.mark.parametrize("cursor", [1, 12345, 2**31, 2**32, 2**48 - 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_scan_takes_any_cursor(db: Any, cursor: int) -> None:
    for i in range(500):
        db.set(b"key:%d" % i, b"x")
    cursor, found = db.scan(cursor, 10)
    for _ in range(1000):
        if not cursor:
            break
        cursor, more = db.scan(cursor, 10)
        found += more
    assert cursor == 0
    assert set(found) <= {b"key:%d" % i for i in range(500)}


# About a key


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"0", b"int"),
        (b"-1", b"int"),
        (b"9223372036854775807", b"int"),
        (b"-9223372036854775808", b"int"),
        (b"9223372036854775808", b"embstr"),
        (b"-0", b"embstr"),
        (b"01", b"embstr"),
        (b"+1", b"embstr"),
        (b" 1", b"embstr"),
        (b"", b"embstr"),
        (b"-", b"embstr"),
        (b"1.0", b"embstr"),
        (b"x" * 44, b"embstr"),
        (b"x" * 45, b"raw"),
    ],
)
def test_encoding(db: Any, value: bytes, name: bytes) -> None:
    db.set(b"key", value)
    assert db.encoding(b"key") == name
    db.set(b"key", value, encoding=EMBSTR)
    assert db.encoding(b"key") == (b"raw" if name == b"raw" else b"embstr")
    assert db.copy_to(b"key", db, b"copy", True)
    assert db.encoding(b"copy") == db.encoding(b"key")
    db.set(b"key", value, encoding=RAW)
    assert db.encoding(b"key") == b"raw"
    assert db.copy_to(b"key", db, b"copy", True)
    assert (db.encoding(b"copy"), db.get(b"copy")) == (b"raw", value)
    db.set(b"key", value)
    assert db.encoding(b"key") == name
    assert db.encoding(b"none") is None


def test_changed_values_are_raw_until_they_are_set_anew(db: Any) -> None:
    db.append(b"key", b"12")
    assert db.encoding(b"key") == b"int"
    db.append(b"key", b"34")
    assert db.encoding(b"key") == b"raw"
    db.rename(b"key", b"other")
    assert db.encoding(b"other") == b"raw"
    db.set(b"other", b"1234", keep_ttl=True)
    assert db.encoding(b"other") == b"int"
    db.set_range(b"other", 0, b"9")
    assert db.encoding(b"other") == b"raw"


@pytest.mark.parametrize("expire_at_ms", [NO_EXPIRY, START_MS + 1000])
@pytest.mark.parametrize("size", [0, 3, 44, 45, 50_000])
def test_make_raw_is_no_change_for_anybody_else(
    implementation: ModuleType, keyspace: Any, db: Any, size: int, expire_at_ms: int
) -> None:
    token = implementation.Watch()
    db.set(b"key", b"1" * size, expire_at_ms)
    db.watch(b"key", token)
    dirty = keyspace.dirty
    db.make_raw(b"key")
    db.make_raw(b"none")
    assert db.encoding(b"key") == b"raw"
    assert (db.get(b"key"), db.expire_at(b"key")) == (b"1" * size, expire_at_ms)
    assert (len(db), keyspace.dirty, token.broken) == (1, dirty, False)
    db.unwatch(token)


def test_idle_time_counts_from_the_last_read(db: Any, clock: Clock) -> None:
    db.set(b"key", b"x")
    clock.advance(30_000)
    assert abs(db.idle_seconds(b"key") - 30) <= 1
    db.lookup(b"key", True, False)
    assert abs(db.idle_seconds(b"key") - 30) <= 1
    db.get(b"key")
    assert db.idle_seconds(b"key") <= 1


def test_hits_and_misses(db: Any, keyspace: Any) -> None:
    db.set(b"key", b"x")
    assert (keyspace.hits, keyspace.misses) == (0, 0)
    for name in (b"key", b"none"):
        db.get(name)
        db.strlen(name)
        db.lookup(name)
    assert (keyspace.hits, keyspace.misses) == (3, 3)
    for name in (b"key", b"none"):
        db.get_for_write(name)
        db.get_range(name, 0, 1)
        db.lookup(name, False, False)
        db.expire_at(name)
        db.encoding(name)
        db.append(name, b"y")
    assert (keyspace.hits, keyspace.misses) == (3, 3)


def test_memory_usage_is_at_least_key_and_value(db: Any) -> None:
    for i in range(1000):  # an index of a few keys costs more for each
        db.set(b"%d" % i, b"x", START_MS + 1000)
    db.set(b"key", b"x" * 1000)
    assert 1003 <= db.memory_usage(b"key") <= 1100
    assert db.memory_usage(b"none") is None


# Dirty and watches

CHANGES = {
    "set": (lambda keyspace, db: db.set(b"key", b"new"), 1),
    "set with a time": (lambda keyspace, db: db.set(b"key", b"new", START_MS + 1000), 1),
    "append": (lambda keyspace, db: db.append(b"key", b"new"), 1),
    "set_range": (lambda keyspace, db: db.set_range(b"key", 0, b"new"), 1),
    "delete": (lambda keyspace, db: db.delete(b"key"), 1),
    "set_expire": (lambda keyspace, db: db.set_expire(b"key", START_MS + 1000), 1),
    "persist": (lambda keyspace, db: db.persist(b"timed"), 1),
    "rename from": (lambda keyspace, db: db.rename(b"key", b"new"), 1),
    "rename to": (lambda keyspace, db: db.rename(b"timed", b"key"), 1),
    "copy to": (lambda keyspace, db: db.copy_to(b"timed", db, b"key", True), 1),
    "move from": (lambda keyspace, db: db.move_to(b"key", keyspace.databases[1]), 1),
    "swap": (lambda keyspace, db: keyspace.swap(0, 1), 1),
    "flush": (lambda keyspace, db: db.flush(), 2),
    "flush_all": (lambda keyspace, db: keyspace.flush_all(), 2),
}
WATCHED = {"persist": b"timed"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_counts_and_breaks_the_watch(
    implementation: ModuleType, keyspace: Any, db: Any, other: Any, name: str
) -> None:
    change, count = CHANGES[name]
    db.set(b"key", b"value")
    db.set(b"timed", b"value", START_MS + 5000)
    token, bystander, elsewhere = (implementation.Watch() for _ in range(3))
    db.watch(WATCHED.get(name, b"key"), token)
    db.watch(b"bystander", bystander)
    other.watch(b"another", elsewhere)
    dirty = keyspace.dirty
    change(keyspace, db)
    assert keyspace.dirty == dirty + count
    assert (token.broken, bystander.broken, elsewhere.broken) == (True, False, False)
    for each in keyspace.databases:
        each.unwatch(token)
        each.unwatch(bystander)
        each.unwatch(elsewhere)


NO_CHANGES = {
    "get": lambda db, other: db.get(b"key"),
    "lookup": lambda db, other: db.lookup(b"key"),
    "range": lambda db, other: db.get_range(b"key", 0, 2),
    "empty set_range": lambda db, other: db.set_range(b"key", 0, b""),
    "delete of nothing": lambda db, other: db.delete(b"none"),
    "persist without a time": lambda db, other: db.persist(b"key"),
    "rename of nothing": lambda db, other: db.rename(b"none", b"key"),
    "copy from": lambda db, other: db.copy_to(b"key", db, b"new", False),
    "copy to an existing key": lambda db, other: db.copy_to(b"timed", db, b"key", False),
    "change of another key": lambda db, other: db.set(b"timed", b"x"),
    "the key of another database": lambda db, other: other.set(b"key", b"x"),
    "flush of another database": lambda db, other: other.flush(),
}


@pytest.mark.parametrize("name", NO_CHANGES)
def test_what_leaves_the_key_alone_keeps_the_watch(implementation: ModuleType, db: Any, other: Any, name: str) -> None:
    db.set(b"key", b"value")
    db.set(b"timed", b"value", START_MS + 5000)
    token = implementation.Watch()
    db.watch(b"key", token)
    NO_CHANGES[name](db, other)
    assert not token.broken
    db.unwatch(token)
    db.set(b"key", b"changed")
    assert not token.broken


@pytest.mark.parametrize("how", ["nobody looks", "lazily", "actively"])
def test_expiry_breaks_the_watch(implementation: ModuleType, keyspace: Any, db: Any, clock: Clock, how: str) -> None:
    token, other_token = implementation.Watch(), implementation.Watch()
    db.set(b"key", b"x", START_MS + 10)
    db.watch(b"key", token)
    clock.advance(10)
    assert not token.broken
    clock.advance(1)
    if how == "lazily":
        db.get(b"key")
    if how == "actively":
        keyspace.expire_cycle(100)
    db.watch(b"key", other_token)
    assert (token.broken, other_token.broken) == (True, False)
    clock.now_ms = START_MS
    keyspace.tick()
    assert token.broken
    db.unwatch(token)
    db.unwatch(other_token)


def test_a_key_that_was_expired_before_its_watch_breaks_nothing(
    implementation: ModuleType, keyspace: Any, db: Any, clock: Clock
) -> None:
    token = implementation.Watch()
    db.set(b"key", b"x", START_MS + 10)
    clock.advance(11)
    db.watch(b"key", token)
    keyspace.expire_cycle(100)
    assert db.get(b"key") is None
    assert not token.broken
    db.unwatch(token)


def test_creation_breaks_the_watch_of_a_missing_key(implementation: ModuleType, db: Any) -> None:
    token = implementation.Watch()
    db.watch(b"key", token)
    assert db.get(b"key") is None
    assert not token.broken
    db.set(b"key", b"x")
    assert token.broken
    db.unwatch(token)


def test_many_watchers(implementation: ModuleType, db: Any) -> None:
    tokens = [implementation.Watch() for _ in range(50)]
    for i, token in enumerate(tokens):
        db.watch(b"key:%d" % (i % 5), token)
        db.watch(b"key:%d" % (i % 7), token)
        db.watch(b"key:%d" % (i % 5), token)
    db.unwatch(tokens[0])
    db.set(b"key:0", b"x")
    assert [token.broken for token in tokens] == [i > 0 and (i % 5 == 0 or i % 7 == 0) for i in range(50)]
    for token in tokens:
        db.unwatch(token)


# A full arena


def test_a_full_arena_harms_nobody(implementation: ModuleType) -> None:
    if implementation is model:
        pytest.skip("the model has no arena")
    keyspace = implementation.Keyspace(databases=1, arena_bytes=SMALL_ARENA)
    db = keyspace.databases[0]
    stored = {}
    with pytest.raises(ArenaFull):
        for i in range(2 * SMALL_ARENA // 10_000):
            db.set(b"key:%d" % i, b"%d" % i * 2000)
            stored[b"key:%d" % i] = b"%d" % i * 2000
    dirty = keyspace.dirty
    assert len(stored) * 10_000 > SMALL_ARENA // 2
    for write in (
        lambda: db.set(b"key:0", b"x" * SMALL_ARENA),
        lambda: db.append(b"key:0", b"x" * SMALL_ARENA),
        lambda: db.set_range(b"key:0", SMALL_ARENA, b"x"),
        lambda: db.set_range(b"new", SMALL_ARENA, b"x"),
    ):
        with pytest.raises(ArenaFull):
            write()
    keyspace.check()
    assert keyspace.dirty == dirty
    assert {key: db.get(key) for key in db.keys()} == stored  # noqa: SIM118
    assert all(db.delete(key) for key in stored)
    db.set(b"key", b"x" * (SMALL_ARENA // 2))
    keyspace.check()


@pytest.mark.parametrize("size", [100, 30_000, 1 << 20, (1 << 20) + 5000])
def test_what_was_made_sure_of_finds_room(implementation: ModuleType, size: int) -> None:
    if implementation is model:
        pytest.skip("the model has no arena")
    db = implementation.Keyspace(databases=1, arena_bytes=SMALL_ARENA).databases[0]
    number = 0
    while True:
        keys = [b"key:%d:%d" % (number, i) for i in range(10)]
        try:
            db.make_sure_of(10, sum(map(len, keys)) + 10 * size)
        except ArenaFull:
            break
        for key in keys:
            db.set(key, b"x" * size)
        number += 1
    assert number * 10 * size > SMALL_ARENA // 8


def test_a_few_gaps_that_are_too_small_do_not_hold_up_a_larger_record(implementation: ModuleType) -> None:
    if implementation is model:
        pytest.skip("the model has no arena")
    keyspace = implementation.Keyspace(databases=1, arena_bytes=SMALL_ARENA)
    db = keyspace.databases[0]
    for i in range(400):
        db.set(b"key:%d" % i, b"x" * 20_000)
    for i in range(0, 400, 5):
        db.delete(b"key:%d" % i)
    for i in range(400):
        db.set(b"larger:%d" % i, b"y" * 30_000)
    keyspace.check()


def test_the_dead_space_of_a_full_arena_is_used_again(implementation: ModuleType) -> None:
    if implementation is model:
        pytest.xfail("the model has no arena")
    keyspace = implementation.Keyspace(databases=1, arena_bytes=SMALL_ARENA)
    db = keyspace.databases[0]
    sizes = [100] * 20 + [8000]
    keys = []
    with pytest.raises(ArenaFull):
        while True:
            keys.append(b"key:%d" % len(keys))
            db.set(keys[-1], b"x" * sizes[len(keys) % len(sizes)])
    for key in keys[::2]:
        db.delete(key)
    for i in range(1000):
        db.set(b"again:%d" % i, b"y" * 7000)
    keyspace.check()


# Clock


def test_the_clock_is_read_by_tick_alone(keyspace: Any) -> None:
    now = START_MS
    keyspace.set_clock(lambda: now)
    keyspace.tick()
    assert keyspace.now_ms == START_MS
    now += 5
    assert keyspace.now_ms == START_MS
    keyspace.tick()
    assert keyspace.now_ms == START_MS + 5
    keyspace.set_clock(None)
    keyspace.tick()
    assert keyspace.now_ms > START_MS + 5
