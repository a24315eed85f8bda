"""What a walk writes: the same bytes whatever the buffer, and the same values, compressed or not."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minikv.keyspace import Keyspace
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet
from minikv.keyspace.stream import Stream
from minikv.keyspace.stream_group import Group, Pending, Tail
from tests.rdb.rdb_files import Found, rdb, read
from tests.snapshot.test_loader import Bench

BUFFER_MIN = 1 << 16
GUARD = b"\xdb" * 4096  # behind a buffer
SIZES = (0, 1, 20, 21, 70, 1000, 5000, 16_300, 32_700, 33_000, 70_000, 300_000)


@pytest.fixture
def keyspace() -> Iterator[Keyspace]:
    keyspace = Keyspace(16, 256 << 20, huge_pages=False)
    keyspace.set_debug(poison=True)
    yield keyspace
    keyspace.check()


def walk(keyspace: Keyspace, compress: bool = False, size: int = 1 << 20, max_keys: int = 0) -> bytes:
    walker, memory, parts = keyspace.walker(), bytearray(size) + GUARD, []
    buffer = memoryview(memory)[:size]
    while filled := walker.fill(buffer, max_keys, compress):
        assert filled <= size
        parts.append(bytes(buffer[:filled]))
    assert walker.fill(buffer, max_keys, compress) == 0
    assert memory[size:] == GUARD
    assert walker.keys == sum(len(database) for database in keyspace.databases)
    return b"".join(parts)


def found(walked: bytes) -> Found:
    return read(rdb(walked))


def texts(source: random.Random, size: int) -> list[bytes]:
    """Of one size: no shorter in LZF form, shorter, and not so easily."""
    return [source.randbytes(size), (b"again and " * (size // 10 + 1))[:size], bytes(source.choices(b"abcd ", k=size))]


def fill_strings(keyspace: Keyspace) -> None:
    source = random.Random(1)
    for database in (keyspace.databases[0], keyspace.databases[7], keyspace.databases[15]):
        for size in SIZES:
            for number, text in enumerate(texts(source, size)):
                database.set(b"%d:%d" % (size, number), text, 10**15 if number == 1 else 0)
                database.set(b"key of" + text, text, 10**15 if number == 2 else 0)
    keyspace.databases[3].set(b"17 MiB", b"long " * (17 << 20 // 5))


def fill_collections(keyspace: Keyspace) -> None:
    """Packed and spread ones, with elements of all sizes."""
    source = random.Random(2)
    for database in (keyspace.databases[0], keyspace.databases[15]):
        for name, count, sizes in (
            (b"few", 5, SIZES[:5]),
            (b"packed", 40, (30, 400)),
            (b"many", 3000, (5, 30, 90)),
            (b"large", 40, SIZES),
            (b"k" * 40_000, 700, (50, 60)),
            (b"f" * 40_000, 5, (50, 60)),
        ):
            chain, table = List.to_write(database, b"list " + name), Hash.to_write(database, b"hash " + name)
            members, scores = Set.to_write(database, b"set " + name), SortedSet.to_write(database, b"zset " + name)
            stream = Stream.to_write(database, b"stream " + name)
            for number in range(count):
                text = source.choice(texts(source, source.choice(sizes)))
                element = b"%d " % number + text
                chain.push(element, number % 2 == 0)
                table.set(element, text)
                members.add(element)
                scores.set(element, source.random())
                stream.add(number + 1, (b"field", text), 4096, 100)
        assert database.set_expire(b"hash many", 10**15)


def deliver(stream: Stream, name: bytes, consumers: list[bytes], count: int) -> None:
    """Create a group in which each consumer, seen in this order, has some of the first `count` entries."""
    stream.create_group(name, Group(name).encode())
    group = Group.of(stream, name)
    assert group is not None
    for consumer in consumers:
        group.see_consumer(consumer, 5)
    for number in range(count):
        group.see_consumer(owner(consumers, number), 5)
        group.put(Pending(number + 1, owner(consumers, number), 7, number))
    group.save()
    if len(consumers) > 2 and count > 2:  # a late one, and one that has left
        group = Group.of(stream, name)
        assert group is not None
        group.see_consumer(b"0", 5)
        group.put(Pending(1, b"0", 7, 0))
        group.remove_consumer(consumers[1])
        group.save()


def delivered(consumers: list[bytes], count: int) -> tuple[bytes, dict[bytes, bytes]]:
    """What is pending after that."""
    owners = [owner(consumers, number) for number in range(count)]
    consumers = list(consumers)
    if len(consumers) > 2 and count > 2:
        owners[0] = b"0"
        owners = [b"" if name == consumers[1] else name for name in owners]
        consumers = [b"0", consumers[0], *consumers[2:]]
    rows = [
        (number + 1).to_bytes(16, "big") + (7).to_bytes(8, "little") + b"\x81" + number.to_bytes(8, "big")
        for number in range(count)
        if owners[number]
    ]
    return b"".join(rows), {
        name: b"".join((number + 1).to_bytes(16, "big") for number in range(count) if owners[number] == name)
        for name in consumers
    }


def owner(consumers: list[bytes], number: int) -> bytes:
    return consumers[number * number % len(consumers)]


def groups_of(count: int) -> dict[bytes, tuple[list[bytes], int]]:
    """Consumers and pending entries, in the tail and in tables; names are not in the order of the numbers."""
    source = random.Random(3)
    names = [b"%d" % source.randrange(10**9) for _ in range(300)]
    small_and_large = ((b"a small", 100), (b"b large", 130), (b"c small", 3), (b"d large", 19_000))
    return {name: (names[: 1 + pending // 3], min(pending, count)) for name, pending in small_and_large} | {
        b"of long names": ([b"%d" % number * 40_000 for number in range(3)], min(200, count)),
        b"without entries": ([b"alice"], 0),
    }


STREAMS = {b"stream one": 1, b"stream short": 150, b"stream long": 20_000}


def fill_groups(keyspace: Keyspace) -> None:
    for key, count in STREAMS.items():
        stream = Stream.to_write(keyspace.databases[0], key)
        for number in range(count):
            stream.add(number + 1, (b"field", b"%d" % number), 4096, 100)
        for name, (consumers, pending) in groups_of(count).items():
            deliver(stream, name, consumers, pending)


FILLINGS = (fill_strings, fill_collections, fill_groups)


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("fill", FILLINGS)
def test_the_bytes_do_not_depend_on_the_buffer(keyspace: Keyspace, fill: Any, compress: bool) -> None:
    fill(keyspace)
    whole = walk(keyspace, compress, 256 << 20)
    for size in (BUFFER_MIN, BUFFER_MIN + 1, 100_003, 1 << 20):
        assert walk(keyspace, compress, size) == whole
    for most in (1, 7):
        assert walk(keyspace, compress, 1 << 20, most) == whole
    with pytest.raises(ValueError, match="too small"):
        walk(keyspace, compress, BUFFER_MIN - 1)


@pytest.mark.parametrize("fill", FILLINGS)
def test_compressed_strings_come_back(keyspace: Keyspace, fill: Any, tmp_path: Path) -> None:
    fill(keyspace)
    plain, packed = walk(keyspace), walk(keyspace, compress=True)
    assert len(packed) < len(plain)
    assert walk_again(packed, tmp_path) == walk_again(plain, tmp_path)


def walk_again(walked: bytes, directory: Path) -> bytes:
    """After a load into another keyspace."""
    bench = Bench(directory, 256 << 20)
    bench.load(rdb(walked))
    return walk(bench.keyspace)


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("fill", FILLINGS)
def test_dump_gives_the_values_of_the_walk(keyspace: Keyspace, fill: Any, compress: bool) -> None:
    fill(keyspace)
    dumped = [
        b"\xfe" + bytes((database.number,)) + value[:1] + string(key) + value[1:]
        for database in keyspace.databases
        for key in database.keys()  # noqa: SIM118 (not a dict)
        if (value := database.dump(key, compress)) is not None
    ]
    assert values(found(b"".join(dumped))) == values(found(walk(keyspace, compress)))


def string(text: bytes) -> bytes:
    return b"\x80" + len(text).to_bytes(4, "big") + text


def values(found: Found) -> dict[tuple[int, bytes], object]:
    """A reader of records tells nothing of streams."""
    return {
        (record.database, record.key): record.value for record in found.records if not record.key.startswith(b"stream")
    }


@pytest.mark.parametrize(("key", "count"), STREAMS.items())
def test_each_consumer_has_its_entries(keyspace: Keyspace, key: bytes, count: int) -> None:
    fill_groups(keyspace)
    value = keyspace.databases[0].dump(key, False)
    assert value is not None
    tail = value[value.index(b"\x81" + count.to_bytes(8, "big") + b"\x81" + bytes(8)) :]  # length, last ID
    assert tail in walk(keyspace)
    found = {
        group.name: (bytes(group.pending), {name: bytes(each.ids) for name, each in group.consumers.items()})
        for group in Tail.decode(tail).groups
    }
    assert found == {name: delivered(*made) for name, made in groups_of(count).items()}


# -- which strings are tried


def packed_keys(walked: bytes, keys: list[bytes]) -> list[bytes]:
    """Those whose value is in LZF form."""
    return [key for key in keys if walked[walked.index(key) + len(key)] == 0xC3]


def good_after_vain(keyspace: Keyspace, vain: int) -> list[bytes]:
    """Keys of 60 strings that become shorter, behind so many that do not."""
    source = random.Random(vain)
    for number in range(vain):
        keyspace.databases[0].set(b"vain:%05d" % number, source.randbytes(40))
    keys = [b"good:%05d" % number for number in range(60)]
    for key in keys:
        keyspace.databases[0].set(key, b"x" * 40)
    return keys


def test_what_never_becomes_shorter_is_tried_less_and_less(keyspace: Keyspace) -> None:
    keys = good_after_vain(keyspace, 100)
    # The 128th string is the first one that is tried again, and then every one is worth it.
    assert packed_keys(walk(keyspace, compress=True), keys) == keys[27:]


def test_every_string_is_tried_at_first(keyspace: Keyspace) -> None:
    keys = good_after_vain(keyspace, 63)
    assert packed_keys(walk(keyspace, compress=True), keys) == keys


@pytest.mark.parametrize(("length", "is_packed"), [(20, False), (21, True), (16 << 20, True), ((16 << 20) + 1, False)])
def test_short_and_huge_strings_stay_as_they_are(keyspace: Keyspace, length: int, is_packed: bool) -> None:
    keyspace.databases[0].set(b"the key", b"x" * length)
    assert bool(packed_keys(walk(keyspace, compress=True), [b"the key"])) == is_packed
    dumped = keyspace.databases[0].dump(b"the key", True)
    assert dumped is not None
    assert (dumped[1] == 0xC3) == is_packed


# -- memory of its own


def in_a_child(action: Any) -> None:
    """It must return True there."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if action() else 2
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_without_memory_for_the_roots_the_walk_fails(keyspace: Keyspace) -> None:
    fill_groups(keyspace)
    walker, buffer = keyspace.walker(), bytearray(1 << 20)

    def fails() -> bool:
        resource.setrlimit(resource.RLIMIT_AS, (1, 1))
        try:
            while walker.fill(buffer):
                pass
        except MemoryError:
            return True
        return False

    in_a_child(fails)


def test_without_memory_for_a_packed_string_it_stays_as_it_is(keyspace: Keyspace) -> None:
    keyspace.databases[0].set(b"the key", b"x" * 200_000)
    walker, buffer = keyspace.walker(), bytearray(BUFFER_MIN)

    def is_plain() -> bool:
        resource.setrlimit(resource.RLIMIT_AS, (1, 1))
        return walker.fill(buffer, 0, True) == BUFFER_MIN and walker.fill(buffer, 0, True) == BUFFER_MIN

    in_a_child(is_plain)


def test_items_are_passed_although_something_is_always_pending() -> None:
    """Values larger than the buffer, each in segments of its own: each fill but the last ends within one of them."""
    keyspace = Keyspace(1, 256 << 20, huge_pages=False)
    for number in range(5):
        keyspace.databases[0].set(b"%d" % number, b"v" * (9 << 20))
    keyspace.snapshot_open(True)
    walker, buffer, passed = keyspace.walker(), bytearray(BUFFER_MIN), []
    while walker.fill(buffer):
        walker.publish()
        passed.append((walker.keys, keyspace.passed_segments))
    assert passed[-1] == (5, 5)
    assert all(behind == keys - 1 for keys, behind in passed[:-1])
    keyspace.snapshot_close()
    keyspace.check()
