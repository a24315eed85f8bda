"""Memory that comes back after a snapshot during which records were written anew."""

from __future__ import annotations

from typing import Any

import pytest

from minikv.keyspace import Keyspace

KEYS = 40_000
VALUE = b"v" * 1000
SEGMENT = 2 << 20


@pytest.fixture
def keyspace() -> Any:
    """40 MB of records, of which every tenth has been replaced while a snapshot was open."""
    tested = Keyspace(databases=1, arena_bytes=256 << 20)
    (db,) = tested.databases
    for number in range(KEYS):
        db.set(b"key:%d" % number, VALUE)
    tested.snapshot_open(True)
    for number in range(0, KEYS, 10):
        db.set(b"key:%d" % number, VALUE)
    tested.snapshot_close()
    return tested


def evacuate(keyspace: Any, thorough: bool) -> int:
    while keyspace.evacuate(100_000, thorough):
        pass
    keyspace.check()
    return int(keyspace.arena_used_bytes)


def test_a_tenth_of_dead_records_is_left_to_later_writes(keyspace: Any) -> None:
    used = keyspace.arena_used_bytes
    assert evacuate(keyspace, thorough=False) == used
    assert used > 1.08 * keyspace.live_bytes


def test_but_not_for_long(keyspace: Any) -> None:
    assert evacuate(keyspace, thorough=True) <= keyspace.live_bytes * 16 / 15 + 2 * SEGMENT
    assert len(keyspace.databases[0]) == KEYS
    assert all(keyspace.databases[0].get(b"key:%d" % number) == VALUE for number in range(KEYS))


def test_a_segment_whose_gaps_are_being_filled_is_not_given_back() -> None:
    """Evacuation takes the next segment to fill while the last one, empty by now, still has a gap to be filled."""
    keyspace = Keyspace(databases=1, arena_bytes=64 << 20, huge_pages=False)
    keyspace.set_debug(poison=True)
    (db,) = keyspace.databases
    value = b"v" * 30_000
    per_segment = SEGMENT // 30_016

    def names(segment: int, first: int = 0, last: int = per_segment) -> list[bytes]:
        return [b"%d:%d" % (segment, number) for number in range(first, last)]

    for segment in range(3):
        for name in names(segment):
            db.set(name, value)
    for name in names(3, 0, 65):
        db.set(name, value)
    for name in names(3, 0, 30) + names(0, 4):
        db.delete(name)
    db.set(b"in the gap", value)
    while keyspace.evacuate(0):
        pass
    for name in [b"in the gap", *names(3, 30, 65), *names(0, 0, 4), *names(1, 10)]:
        db.delete(name)
    while keyspace.evacuate(0):
        pass
    for number in range(5):
        db.set(b"new:%d" % number, value)
    keyspace.check()
    assert all(db.get(name) == value for name in names(1, 0, 10) + names(2))
