"""What segments cost: large values across their borders, figures that are true, the end of the arena."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest

from minikv.errors import ArenaFull
from minikv.keyspace import Keyspace
from minikv.keyspace.hash import Hash

ARENA_BYTES = 256 << 20
SMALL_ARENA = 64 << 20  # 32 segments, of which two are the reserve
SEGMENT = 2 << 20
START_MS = 1_700_000_000_000


def make(arena_bytes: int = ARENA_BYTES) -> Keyspace:
    return Keyspace(databases=1, arena_bytes=arena_bytes)


def evacuate(keyspace: Keyspace) -> None:
    while keyspace.evacuate(100_000):
        pass


def fill(keyspace: Keyspace, size: int) -> int:
    """Store values until the arena is full; how many there are."""
    for number in count():
        try:
            keyspace.databases[0].set(b"key:%d" % number, b"v" * size)
        except ArenaFull:
            return number
    raise AssertionError


# Large values


@pytest.mark.parametrize("size", [350_000, 512_000, 700_000, 1 << 20, 1_050_000, 1_600_000, 2_200_000, 5_000_000])
def test_large_values_lose_little(size: int) -> None:
    keyspace = make()
    (db,) = keyspace.databases
    number = 100_000_000 // size
    for index in range(number):
        db.set(b"key:%d" % index, b"v" * size)
    keyspace.check()
    assert keyspace.live_bytes < 1.02 * number * size
    assert keyspace.used_bytes < 1.05 * number * size


def test_a_value_just_above_a_mebibyte_does_not_count_twice() -> None:
    keyspace = make()
    keyspace.databases[0].set(b"key", b"v" * 1_050_000)
    assert keyspace.used_bytes < 1.1 * 1_050_000


@pytest.mark.parametrize("size", [350_000, 700_000, 1_050_000, 3_000_000])
def test_values_across_borders_are_moved_together(size: int) -> None:
    keyspace = make()
    (db,) = keyspace.databases
    number = 120_000_000 // size
    for index in range(number):
        db.set(b"key:%d" % index, b"%d" % (index % 10) * size)
    for index in range(number):
        if index % 4:
            db.delete(b"key:%d" % index)
    evacuate(keyspace)
    keyspace.check()
    assert keyspace.used_bytes < 1.3 * keyspace.live_bytes + 2 * SEGMENT
    assert all(db.get(b"key:%d" % index) == b"%d" % (index % 10) * size for index in range(0, number, 4))


def test_a_record_that_ends_in_a_frozen_segment_waits_for_it() -> None:
    keyspace = make()
    (db,) = keyspace.databases
    keyspace.set_debug(poison=True)
    for index in range(10):
        db.set(b"key:%d" % index, b"%d" % index * 700_000)
    keyspace.snapshot_open(True)
    walker = keyspace.walker()
    buffer = bytearray(1 << 20)
    while keyspace.passed_segments < 1:
        walker.fill(buffer, 1)
        walker.publish()
    # The third one begins in the segment that has been passed.
    for index in range(10):
        db.delete(b"key:%d" % index)
    evacuate(keyspace)
    keyspace.check()
    assert keyspace.stats()["deferred_deaths"] == 8
    while walker.fill(buffer):
        walker.publish()
    keyspace.snapshot_close()
    evacuate(keyspace)
    assert keyspace.stats()["segments_used"] == 0


# Growth, and what backs a segment


def test_a_write_to_a_large_collection_grows_by_what_is_written() -> None:
    keyspace = make()
    (db,) = keyspace.databases
    hash_ = Hash.to_write(db, b"hash")
    for number in range(30_000):
        hash_.set(b"field:%d" % number, b"v" * 50)
    keyspace.snapshot_open(True)
    before = keyspace.used_bytes
    hash_.set(b"field:7", b"w" * 50)
    assert keyspace.used_bytes - before < 64 << 10
    keyspace.snapshot_close()
    keyspace.check()


def small_mappings(keyspace: Keyspace) -> int:
    """Mappings in the arena that are not to be backed by huge pages."""
    start = keyspace.segment_map().address
    mappings = re.findall(
        r"^([0-9a-f]+)-[0-9a-f]+ .*?^VmFlags: (.*?)$", Path("/proc/self/smaps").read_text(), re.M | re.S
    )
    return sum(
        start <= int(address, 16) < start + keyspace.arena_bytes and " nh" in f" {flags}" for address, flags in mappings
    )


def test_what_was_in_small_pages_is_for_huge_ones_again() -> None:
    keyspace = make()
    (db,) = keyspace.databases
    db.set(b"small", b"v")
    db.set(b"jumbo", b"v" * 100_000)
    db.set(b"run", b"v" * 5_000_000)
    keyspace.snapshot_open(True)
    db.set(b"fresh", b"v")
    assert small_mappings(keyspace) > 0
    keyspace.snapshot_close()
    db.flush()
    assert (small_mappings(keyspace), keyspace.stats()["segments_used"]) == (0, 0)
    keyspace.check()


def test_a_segment_that_has_become_full_is_for_huge_pages() -> None:
    keyspace = make()
    for number in range(3 * SEGMENT // 1000):
        keyspace.databases[0].set(b"key:%d" % number, b"v" * 1000)
    assert small_mappings(keyspace) == 0
    keyspace.check()


# Figures


def test_gaps_are_used_but_do_not_count_against_maxmemory() -> None:
    keyspace = make()
    (db,) = keyspace.databases
    for number in range(100_000):
        db.set(b"key:%d" % number, b"v" * 500)
    full = keyspace.used_bytes
    for number in range(0, 100_000, 2):
        db.delete(b"key:%d" % number)
    assert keyspace.used_bytes > 0.95 * full
    assert keyspace.claimed_bytes < 0.6 * full
    for number in range(0, 100_000, 2):
        db.set(b"new:%d" % number, b"v" * 500)
    assert keyspace.used_bytes < 1.15 * full
    evacuate(keyspace)
    keyspace.check()


# The end of the arena


@pytest.mark.parametrize("size", [1000, 30_000, 700_000])
def test_a_full_arena_can_be_evacuated(size: int) -> None:
    keyspace = make(SMALL_ARENA)
    (db,) = keyspace.databases
    number = fill(keyspace, size)
    for index in range(0, number, 2):
        db.delete(b"key:%d" % index)
    before = keyspace.stats()["segments_used"]
    evacuate(keyspace)
    keyspace.check()
    assert keyspace.stats()["segments_used"] < 0.75 * before
    assert all(db.get(b"key:%d" % index) == b"v" * size for index in range(1, number, 2))


@pytest.mark.parametrize("size", [500, 50_000])
def test_chunks_in_a_full_arena_can_be_evacuated(size: int) -> None:
    keyspace = make(SMALL_ARENA)
    (db,) = keyspace.databases
    keys = []
    with pytest.raises(ArenaFull):
        for number in count():
            keys.append(b"hash:%d" % number)
            hash_ = Hash.to_write(db, keys[-1])
            for field in range(100_000 // size):
                hash_.set(b"field:%d" % field, b"v" * size)
    for key in keys[::2]:
        db.delete(key)
    before = keyspace.stats()["segments_used"]
    evacuate(keyspace)
    keyspace.check()
    assert keyspace.stats()["segments_used"] < 0.75 * before
    for key in keys[1:-1:2]:
        view = Hash.at(db, key)
        assert view is not None and view.values() == [b"v" * size] * (100_000 // size)


@pytest.mark.parametrize("size", [1000, 30_000, 700_000])
def test_in_a_full_arena_values_can_become_smaller_and_get_times(size: int) -> None:
    keyspace = make(SMALL_ARENA)
    keyspace.set_clock(lambda: START_MS)
    (db,) = keyspace.databases
    assert fill(keyspace, size) > 50
    keyspace.snapshot_open(True)  # so that nothing can be written where it is
    for index in range(50):
        key = b"key:%d" % index
        assert db.set_expire(key, START_MS + 1000)
        db.set(key, b"w" * min(size - 1, 900))
        assert db.get(key) == b"w" * min(size - 1, 900)
        assert db.delete(key)
    keyspace.snapshot_close()
    keyspace.check()


def test_in_a_full_arena_collections_can_become_smaller() -> None:
    keyspace = make(SMALL_ARENA)
    (db,) = keyspace.databases
    hashes = [Hash.to_write(db, b"hash:%d" % number) for number in range(50)]
    for hash_ in hashes:
        for number in range(20):
            hash_.set(b"field:%d" % number, b"v" * 20)
    fill(keyspace, 1000)
    fill(keyspace, 1)
    keyspace.snapshot_open(True)
    for number in range(50):
        hash_ = Hash.to_write(db, b"hash:%d" % number)
        assert all(hash_.delete(b"field:%d" % number) for number in range(19))
        assert len(hash_) == 1
    keyspace.snapshot_close()
    keyspace.check()


def test_the_error_says_what_is_full() -> None:
    keyspace = make(SMALL_ARENA)
    (db,) = keyspace.databases
    with pytest.raises(ArenaFull, match="arena is full"):
        db.set(b"key", b"v" * SMALL_ARENA)
    with pytest.raises(ArenaFull, match="memory for indexes is full"):
        for number in count():
            db.set(b"%d" % number, b"")
    assert db.delete(b"7")
    db.set(b"8", b"")
    keyspace.check()
