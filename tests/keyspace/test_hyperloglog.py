"""HyperLogLogs in the arena: an open snapshot keeps the bytes that it saw, a full arena changes nothing."""

from __future__ import annotations

import random

import pytest

from minikv.errors import ArenaFull, CommandError
from minikv.keyspace import Keyspace
from minikv.keyspace.hyperloglog import HyperLogLog, cardinality_of, no_values
from minikv.keyspace.registers import EMPTY_SKETCH, self_test

SPARSE_MAX = 3000


def dump(keyspace: Keyspace) -> bytes:
    """What a snapshot's child writes."""
    walker = keyspace.walker()
    buffer = bytearray(1 << 20)
    written = b""
    while filled := walker.fill(buffer):
        written += buffer[:filled]
    return written


def elements(start: int, stop: int) -> tuple[bytes, ...]:
    return tuple(b"%d" % number for number in range(start, stop))


@pytest.mark.parametrize("count", [0, 3, 200, 5000])
def test_what_a_snapshot_saw_stays(keyspace: Keyspace, count: int) -> None:
    database = keyspace.databases[0]
    for key in (b"add", b"count", b"merge", b"dense"):
        HyperLogLog.to_write(database, key).add(elements(0, count), SPARSE_MAX)
    database.set_expire(b"add", keyspace.now_ms + 1_000_000)
    keyspace.snapshot_open(True)
    before = dump(keyspace)
    assert HyperLogLog.to_write(database, b"add").add(elements(count, 3 * count + 10), SPARSE_MAX)
    assert HyperLogLog.at(database, b"count").cardinality() == pytest.approx(count, rel=0.03)
    values = no_values()
    HyperLogLog.at(database, b"add").merge_into(values)
    HyperLogLog.to_write(database, b"merge").raise_to(values, True, SPARSE_MAX)
    HyperLogLog.at(database, b"dense").to_dense()
    assert dump(keyspace) == before
    keyspace.check()
    keyspace.snapshot_close()
    assert HyperLogLog.at(database, b"merge").cardinality() == cardinality_of(values)
    assert HyperLogLog.at(database, b"add").cardinality() == pytest.approx(3 * count + 10, rel=0.03)
    assert database.expire_at(b"add") == keyspace.now_ms + 1_000_000


def test_a_full_arena_changes_nothing(keyspace: Keyspace) -> None:
    rng = random.Random(1)
    keyspace.set_debug(poison=True, segment_limit=4)
    database = keyspace.databases[0]
    kept: dict[bytes, bytes | None] = {}
    refused = 0
    while refused < 20:
        key = b"%d" % rng.randrange(2000)
        try:
            HyperLogLog.to_write(database, key).add(elements(0, rng.choice([1, 50, 3000])), SPARSE_MAX)
            kept[key] = database.get(key)
        except ArenaFull:
            refused += 1
            assert database.get(key) == kept.get(key)
    keyspace.check()
    keyspace.snapshot_open(True)
    for key in list(kept)[:50]:
        assert HyperLogLog.at(database, key).cardinality() > 0  # even if it can't be kept
    keyspace.snapshot_close()


def test_other_values_are_refused(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    assert HyperLogLog.at(database, b"missing") is None
    database.set(b"string", EMPTY_SKETCH[:-3])
    with pytest.raises(CommandError, match=r"^WRONGTYPE Key is not a valid HyperLogLog"):
        HyperLogLog.at(database, b"string")
    database.set(b"broken", EMPTY_SKETCH[:-1])
    with pytest.raises(CommandError, match=r"^INVALIDOBJ"):
        HyperLogLog.at(database, b"broken").merge_into(no_values())
    database.set(b"sketch", EMPTY_SKETCH)
    assert HyperLogLog.at(database, b"sketch").cardinality() == 0


def test_the_self_test_passes() -> None:
    assert self_test() == ""
