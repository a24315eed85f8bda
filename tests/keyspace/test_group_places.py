"""Streams with many groups against a dict, under random changes: each group is found, and no other is touched."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from minikv.errors import ArenaFull
from minikv.keyspace import Database, Keyspace
from minikv.keyspace.stream import LARGEST_ID, Stream
from minikv.keyspace.stream_group import Group, Pending
from tests.keyspace.test_stream import loaded
from tests.stateful.snapshots import Child

WALKED = 128  # groups that are looked through one by one
NODE_BYTES = 4096
NODE_ENTRIES = 100

Groups = dict[bytes, dict[int, bytes]]  # by name: what is pending for whom


@pytest.fixture
def keyspace() -> Iterator[Keyspace]:
    keyspace = Keyspace(1, 96 << 20, huge_pages=False)
    keyspace.set_debug(poison=True)
    yield keyspace
    keyspace.check()


def assert_groups(keyspace: Keyspace, key: bytes, groups: Groups) -> None:
    stream = Stream.peek(keyspace.databases[0], key)
    assert stream is not None
    assert [group.name for group in Group.all_of(stream)] == sorted(groups)
    for name, pending in groups.items():
        group = Group.of(stream, name)
        assert group is not None
        assert len(group) == len(pending)
        for id, consumer in pending.items():
            entry = group.find(id)
            assert entry is not None and entry.consumer == consumer
    for name in (b"", b"zzz", *[name + b"x" for name in groups]):
        assert Group.of(stream, name) is None


def change(source: random.Random, stream: Stream, groups: Groups) -> None:
    """Create, destroy, grow or shrink one group."""
    name = b"%d" % source.randrange(400)
    if name not in groups:
        stream.create_group(name, Group(name, source.randrange(LARGEST_ID)).encode())
        groups[name] = {}
    elif source.random() < 0.2:
        stream.put_group(name, None)
        del groups[name]
    else:
        group = Group.of(stream, name)
        assert group is not None
        for _ in range(source.choice((1, 5, 140))):
            id = source.randrange(1, 400)
            if source.random() < 0.3:
                assert group.remove(id) == (groups[name].pop(id, None) is not None)
            else:
                consumer = source.choice((b"alice", b"bob"))
                group.see_consumer(consumer, 5)
                group.put(Pending(id, consumer, 7, 1))
                groups[name][id] = consumer
        group.save()


@pytest.mark.parametrize("entries", [0, 3, 2000])
@pytest.mark.parametrize("seed", [1, 2])
def test_groups_are_found_among_many(keyspace: Keyspace, entries: int, seed: int) -> None:
    source = random.Random(seed)
    database = keyspace.databases[0]
    stream, groups = Stream.to_write(database, b"s"), dict[bytes, dict[int, bytes]]()
    for number in range(entries):
        stream.add(number + 1, (b"field", b"%d" % number), NODE_BYTES, NODE_ENTRIES)
    for step in range(1500):
        change(source, Stream.to_write(database, b"s"), groups)
        if step % 300 == 299:
            assert_groups(keyspace, b"s", groups)
            keyspace.check()
    assert len(groups) > WALKED
    assert database.copy_to(b"s", database, b"copy", True)
    copied = {name: dict(pending) for name, pending in groups.items()}
    for _ in range(200):
        change(source, Stream.to_write(database, b"copy"), copied)
        change(source, Stream.to_write(database, b"s"), groups)
    assert_groups(keyspace, b"s", groups)
    assert_groups(keyspace, b"copy", copied)
    for name in sorted(groups)[5:]:
        Stream.to_write(database, b"s").put_group(name, None)
        del groups[name]
    assert_groups(keyspace, b"s", groups)


def test_the_last_entry_leaves_many_groups_as_they_are(keyspace: Keyspace) -> None:
    source, groups = random.Random(3), dict[bytes, dict[int, bytes]]()
    database = keyspace.databases[0]
    stream = Stream.to_write(database, b"s")
    stream.add(1, (b"a", b"b"), NODE_BYTES, NODE_ENTRIES)
    for number in range(WALKED + 20):
        stream.create_group(b"g%d" % number, Group(b"g%d" % number).encode())
        groups[b"g%d" % number] = {}
    assert stream.delete(1)
    stream.deleted([1])
    assert_groups(keyspace, b"s", groups)
    stream = Stream.to_write(database, b"s")
    stream.add(2, (b"a", b"b"), NODE_BYTES, NODE_ENTRIES)
    for _ in range(50):
        change(source, Stream.to_write(database, b"s"), groups)
    assert_groups(keyspace, b"s", groups)


def test_another_stream_of_the_same_key_has_its_own_groups(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    for prefix in (b"a", b"bb", b"c"):
        groups: Groups = {b"%s%d" % (prefix, number): {} for number in range(WALKED + 50)}
        for name in groups:
            stream = Stream.to_write(database, b"s")
            stream.create_group(name, Group(name).encode())
        assert_groups(keyspace, b"s", groups)
        assert database.delete(b"s")


def test_a_snapshot_has_the_groups_of_its_moment(keyspace: Keyspace) -> None:
    source, groups = random.Random(4), dict[bytes, dict[int, bytes]]()
    database = keyspace.databases[0]
    Stream.to_write(database, b"s").add(1, (b"a", b"b"), NODE_BYTES, NODE_ENTRIES)
    for _ in range(800):
        change(source, Stream.to_write(database, b"s"), groups)
    keyspace.snapshot_open(True)
    frozen = {name: dict(pending) for name, pending in groups.items()}
    child = Child(keyspace)
    for _ in range(300):
        change(source, Stream.to_write(database, b"s"), groups)
    while child.step():
        pass
    assert child.end() == 0
    keyspace.snapshot_close()
    assert_groups(keyspace, b"s", groups)
    assert_groups(loaded(child.stream), b"s", frozen)


def test_without_room_for_a_store_many_groups_are_walked(keyspace: Keyspace) -> None:
    database = keyspace.databases[0]
    groups: Groups = {}
    keyspace.set_debug(poison=True, segment_limit=1)
    Stream.to_write(database, b"s").add(1, (b"a", b"b"), NODE_BYTES, NODE_ENTRIES)
    for number in range(WALKED + 200):
        name = b"g%d" % number
        try:
            Stream.to_write(database, b"s").create_group(name, Group(name).encode())
        except ArenaFull:
            break
        groups[name] = {}
    assert len(groups) > WALKED
    assert_groups(keyspace, b"s", groups)


@pytest.mark.parametrize("others", [0, WALKED + 10])
@pytest.mark.parametrize("pending", [5, 300])
def test_a_group_reads_on_while_a_snapshot_is_open(keyspace: Keyspace, pending: int, others: int) -> None:
    """Its last ID changes, which lies beside what a large group's tables are found by."""
    database = keyspace.databases[0]
    stream = Stream.to_write(database, b"s")
    stream.add(1, (b"a", b"b"), NODE_BYTES, NODE_ENTRIES)
    for name in (b"group", *(b"other %d" % number for number in range(others))):
        Stream.to_write(database, b"s").create_group(name, Group(name).encode())
    read_on(database, range(1, pending + 1))
    keyspace.snapshot_open(True)
    child = Child(keyspace)
    read_on(database, range(pending + 1, pending + 10))
    while child.step():
        pass
    assert child.end() == 0
    keyspace.snapshot_close()
    for found, last_id in ((keyspace, pending + 9), (loaded(child.stream), pending)):
        group = Group.of(Stream.to_write(found.databases[0], b"s"), b"group")
        assert group is not None
        assert (group.last_id, len(group)) == (last_id, last_id)
        assert all(group.find(id) for id in range(1, last_id + 1))
        assert group.remove(1)
        group.save()
        found.check()


def read_on(database: Database, ids: range) -> None:
    group = Group.of(Stream.to_write(database, b"s"), b"group")
    assert group is not None
    group.see_consumer(b"alice", 5)
    for id in ids:
        group.put(Pending(id, b"alice", 7, 1))
        group.last_id = id
    group.save()
