"""Streams from files that no minikv has written: their groups come in any order, and are proved."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from minikv.errors import RdbError
from minikv.keyspace.stream import Stream
from minikv.keyspace.stream_group import SMALL_MAX, Group, LargeGroup
from minikv.persistence.rdb_format import encode_length, encode_string
from tests.persistence.rdb_files import plain, rdb, read
from tests.persistence.test_loading import Bench
from tests.persistence.test_payload import NODE, stream_id


def crowded_stream(pending: list[bytes], owned: dict[bytes, list[bytes]]) -> bytes:
    """Of the second form, with these pending entries of a group and these IDs for its consumers."""
    value = b"\x13" + plain(b"s") + b"\x01\x10" + stream_id(1, 1) + encode_string(NODE)
    value += b"\x03\x06\x00" + b"\x01\x01\x02\x00\x04" + b"\x01\x01g\x06\x00\x04" + encode_length(len(pending))
    value += b"".join(id + struct.pack("<q", number) + b"\x02" for number, id in enumerate(pending))
    value += encode_length(len(owned))
    for name, ids in owned.items():
        value += plain(name) + struct.pack("<q", 5) + encode_length(len(ids)) + b"".join(ids)
    return value


@pytest.mark.parametrize("count", [1, 2, 100, 300])
def test_pending_entries_come_in_any_order(tmp_path: Path, rng: random.Random, count: int) -> None:
    """Few stay with their group, many go into tables."""
    bench = Bench(tmp_path)
    ids = [stream_id(number, number % 3) for number in range(1, count + 1)]
    owned: dict[bytes, list[bytes]] = {b"a": [], b"b": [], b"c": []}
    for id in ids:
        owned[rng.choice([b"a", b"b", b"c"])].append(id)
    pending = rng.sample(ids, count)
    bench.load(rdb(crowded_stream(pending, {name: rng.sample(own, len(own)) for name, own in owned.items()}), 9))
    stream = Stream.at(bench.keyspace.databases[0], b"s")
    assert stream is not None
    (group,) = Group.all_of(stream)
    assert isinstance(group, LargeGroup) == (count > SMALL_MAX)
    for name, own in owned.items():
        found = [(entry.id, entry.delivered_ms, entry.deliveries) for entry in group.pending_of(group.consumers[name])]
        assert found == [(int.from_bytes(id, "big"), pending.index(id), 2) for id in own]
    bench.keyspace.check()


@pytest.mark.parametrize(
    ("pending", "owned", "error"),
    [
        ([(1, 0), (2, 0), (1, 0)], [(1, 0), (2, 0)], "Duplicated global PEL entry"),
        ([(1, 0), (2, 0)], [(1, 0), (2, 0), (1, 0)], "Consumer entry not found in group global PEL, or found twice"),
        ([(1, 0), (2, 0)], [(1, 0), (3, 0)], "Consumer entry not found in group global PEL, or found twice"),
        ([], [(1, 0)], "Consumer entry not found in group global PEL, or found twice"),
        ([(1, 0), (2, 0)], [(2, 0)], "pending entries that are not one consumer's each"),
    ],
)
def test_each_pending_entry_is_one_consumers(
    pending: list[tuple[int, int]], owned: list[tuple[int, int]], error: str
) -> None:
    stream = crowded_stream([stream_id(*id) for id in pending], {b"a": [stream_id(*id) for id in owned]})
    with pytest.raises(RdbError, match=error):
        read(rdb(stream, 9))
