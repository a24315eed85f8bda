"""Lists in the arena: what they cost, how short ones share segments, and what a snapshot sees of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minikv.errors import ArenaFull
from minikv.keyspace import Database, Keyspace
from minikv.keyspace.list import List
from tests.rdb.rdb_files import EOF, read


@pytest.fixture
def keyspace() -> Iterator[Keyspace]:
    keyspace = Keyspace(2, 256 << 20, huge_pages=False)
    keyspace.set_debug(poison=True)
    yield keyspace
    keyspace.check()
    keyspace.flush_all()
    keyspace.check()
    assert keyspace.live_bytes == 0


@pytest.fixture
def database(keyspace: Keyspace) -> Database:
    return keyspace.databases[0]


def filled(database: Database, key: bytes, elements: list[bytes]) -> List:
    view = List.to_write(database, key)
    for element in elements:
        view.push(element, False)
    return view


def elements_of(database: Database, key: bytes) -> list[bytes]:
    view = List.at(database, key)
    return [] if view is None else view.range(0, len(view))


def in_a_snapshot(keyspace: Keyspace) -> dict[bytes, object]:
    walker, buffer, stream = keyspace.walker(), bytearray(1 << 17), b""
    while size := walker.fill(buffer):
        stream += buffer[:size]
    return {record.key: record.value for record in read(b"REDIS0010" + stream + EOF + bytes(8)).records}


@pytest.mark.parametrize("size", [3, 10, 64, 100])
def test_a_long_list_takes_at_most_four_bytes_beside_each_element(database: Database, size: int) -> None:
    filled(database, b"l", [b"x" * size] * 100_000)
    used = database.memory_usage(b"l")
    assert used is not None
    assert used / 100_000 - size <= 4


def test_short_lists_share_segments(keyspace: Keyspace, database: Database) -> None:
    elements = [b"element:%d" % number for number in range(600)]
    for number in range(500):
        filled(database, b"%d" % number, elements)
    assert keyspace.stats()["segments_used"] <= 6
    for number in range(0, 500, 2):
        assert database.delete(b"%d" % number)
    keyspace.check()
    assert all(elements_of(database, b"%d" % number) == elements for number in range(1, 500, 2))
    assert len(in_a_snapshot(keyspace)) == 250


def test_a_long_list_goes_by_whole_segments(keyspace: Keyspace, database: Database) -> None:
    filled(database, b"short", [b"x" * 100] * 100)
    before = keyspace.stats()["segments_used"]
    filled(database, b"long", [b"x" * 1000] * 20_000)
    assert keyspace.stats()["segments_used"] > before + 5
    assert database.delete(b"long")
    assert keyspace.stats()["segments_used"] <= before + 1  # one that short lists share waits for the next of them


def test_the_only_list_of_a_keyspace_is_in_its_snapshot(keyspace: Keyspace, database: Database) -> None:
    for count in (1, 600, 50_000):
        elements = [b"element:%d" % number for number in range(count)]
        filled(database, b"l", elements)
        assert in_a_snapshot(keyspace) == {b"l": elements}
        database.delete(b"l")


def test_elements_larger_than_the_walk_s_buffer(keyspace: Keyspace, database: Database) -> None:
    elements = [b"a" * 300_000, b"b", b"c" * 3_000_000, b"", b"d" * 70_000]
    filled(database, b"l", elements)
    assert in_a_snapshot(keyspace) == {b"l": elements}


@pytest.mark.parametrize("count", [100, 700, 50_000])
def test_a_list_moves_with_all_its_elements(keyspace: Keyspace, database: Database, count: int) -> None:
    other = keyspace.databases[1]
    elements = [b"element:%d" % number for number in range(count)]
    filled(database, b"l", elements)
    assert database.move_to(b"l", other)
    keyspace.check()
    assert database.flush() == 0
    assert elements_of(other, b"l") == elements
    assert other.copy_to(b"l", database, b"copy", False)
    other.flush()
    assert elements_of(database, b"copy") == elements


def test_a_move_that_finds_no_room_leaves_the_list_where_it_was(keyspace: Keyspace, database: Database) -> None:
    elements = [b"element:%d" % number for number in range(1000)]
    filled(database, b"l", elements)
    keyspace.databases[1].set(b"other", b"x")
    keyspace.set_debug(poison=True, segment_limit=keyspace.stats()["segments_used"])
    with pytest.raises(ArenaFull):
        database.move_to(b"l", keyspace.databases[1])
    keyspace.check()
    assert elements_of(database, b"l") == elements


def test_swapped_databases_keep_their_short_lists(keyspace: Keyspace) -> None:
    one, other = keyspace.databases
    filled(one, b"l", [b"one"] * 1000)
    filled(other, b"l", [b"other"] * 1000)
    keyspace.swap(0, 1)
    filled(one, b"m", [b"new"] * 1000)
    keyspace.check()
    one.flush()
    keyspace.check()
    assert elements_of(other, b"l") == [b"one"] * 1000


def test_a_queue_that_runs_empty_again_and_again_leaves_nothing(keyspace: Keyspace, database: Database) -> None:
    for _ in range(50):
        view = filled(database, b"q", [b"job" * 40] * 200)
        for _ in range(200):
            assert view.pop(True) == b"job" * 40
        assert len(database) == 0
    assert keyspace.stats()["segments_used"] <= 2
