"""Look at single keys of a history: what was done to one, and what it was at a point.

The way goes back from the point to the key's last whole value, by the indexes of the files; only the operations that
count are read, and carried out in a keyspace of their own.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from minikv.errors import HistoryError, RdbError
from minikv.history.chain import ANY_DATABASE, NEVER_MS, History, scan
from minikv.history.head import read_head
from minikv.history.index import SUFFIX, Indexer, find, hash_of
from minikv.history.layer_target import LayerTarget
from minikv.history.manifest import TEMPORARY, Point, open_regular
from minikv.history.operations import OP_DEL, OP_RECORD, OperationList
from minikv.history.writing import encoded_record
from minikv.keyspace.database import Keyspace
from minikv.rdb import format as rdb_format
from minikv.rdb.crc64 import checksum
from minikv.rdb.payload import seal
from minikv.rdb.reader import RdbReader

STEP_BYTES = 64 << 10

Origins = Mapping[int, int | None]
Place = tuple[int, int]  # in a file's index: offset << 2 | what it does, and checksum of an operation


@dataclass(frozen=True, slots=True)
class Operation:
    """One of a file: what it does, to which key, and where it is. rdb_type: -1 of a removal."""

    point: Point
    op: int
    database: int
    key: bytes
    begin: int  # of a delta: of its AUX field
    end: int
    rdb_type: int = -1
    expire_at_ms: int | None = None

    @property
    def is_whole(self) -> bool:
        """What was before does not matter."""
        return self.op in (OP_RECORD, OP_DEL)


def type_word(rdb_type: int) -> str:
    """The type of a key, as TYPE replies it."""
    return rdb_format.TYPE_NAMES.get(rdb_type, "none").partition(" ")[0].removesuffix("_2")


def find_in(history: History, point: Point, hashes: tuple[int, ...]) -> tuple[Origins, list[list[Place]]]:
    """The origins of a point's databases, and the places of keys in its file, whose index may be made. HistoryError."""
    path = f"{history.directory}/{point.file}{SUFFIX}"
    found = find(path, point.digest, point.nbytes, hashes)
    if found is None:
        data = make_index(history, point)
        with contextlib.suppress(OSError):  # a history that may only be read
            write_index(path, data)
        fd = os.memfd_create("index", os.MFD_CLOEXEC)
        try:
            os.write(fd, data)
            found = find(f"/proc/self/fd/{fd}", point.digest, point.nbytes, hashes)
        finally:
            os.close(fd)
    assert found is not None
    return cast(Origins, found[0]), cast("list[list[Place]]", list(found[1:]))


def make_index(history: History, point: Point) -> bytes:
    """The index of a point's file, which is read and checked for it. HistoryError."""
    history.check_file(point)
    path = history.path(point)
    indexer = Indexer()
    try:
        scan(path, indexer)
    except RdbError as error:
        raise history.damage(point, str(error)) from error
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return indexer.encoded(point.digest, view, read_head(path).origins)


def write_index(path: str, data: bytes) -> None:
    """A cache: it is not synced. OSError."""
    temporary = f"{path}.{os.getpid()}{TEMPORARY}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def operations_back(history: History, point: Point, database: int, key: bytes) -> Iterator[list[Operation]]:
    """For each point that did something to the key, from this one back: what, in order.

    It ends where the key did not come from anywhere. HistoryError.
    """
    for each in reversed(history.path_to(point)):
        origins, (places,) = find_in(history, each, (hash_of(database, key),))
        if places:
            found = [found for found in read_operations(history, each, database, places) if found.key == key]
            if found:
                yield found
        origin = origins.get(database, database)
        if origin is None:
            return
        database = origin


def read_operations(history: History, point: Point, database: int, places: Iterable[Place]) -> list[Operation]:
    """The operations at these places of a file, which must have their checksums. HistoryError."""
    found: list[Operation] = []
    with opened(history, point) as fd:
        for place, wanted in places:
            at = place >> 2

            def receive(
                op: int, _: int, key: bytes, begin: int, end: int, rdb_type: int, expire_at_ms: int | None, at: int = at
            ) -> None:
                found.append(Operation(point, op, database, key, at, end, rdb_type, expire_at_ms))

            target = OperationList(receive)
            reader = RdbReader(fd, target, ANY_DATABASE, NEVER_MS, False, target.on_aux)
            target.attach(reader)
            reader.seek(at, database)
            before = len(found)
            try:
                while len(found) == before and reader.step(STEP_BYTES, 1):
                    pass
                del found[before + 1 :]
            except RdbError as error:
                raise history.damage(point, str(error)) from error
            if len(found) == before or sum_of(fd, at, found[before].end) != wanted:
                raise history.damage(point, f"the operation at offset {at} is not what it was")
    return found


def sum_of(fd: int, begin: int, end: int) -> int:
    """The checksum of a part of a file."""
    crc = 0
    while begin < end and (piece := os.pread(fd, min(STEP_BYTES, end - begin), begin)):
        crc = checksum(piece, crc)
        begin += len(piece)
    return crc


@contextlib.contextmanager
def opened(history: History, point: Point) -> Iterator[int]:
    """The descriptor of a point's file. HistoryError."""
    with history.named(point):
        fd = open_regular(history.path(point))
    try:
        yield fd
    finally:
        os.close(fd)


def last_whole(operations: list[Operation]) -> int:
    """The place of the last operation before which nothing matters; -1: there is none."""
    return max((place for place, each in enumerate(operations) if each.is_whole), default=-1)


def value_at(history: History, point: Point, database: int, key: bytes) -> bytes | None:
    """The key's record at a point, as in a dump; None if there is no such key. HistoryError."""
    wanted: list[list[Operation]] = []
    for operations in operations_back(history, point, database, key):
        place = last_whole(operations)
        wanted.append(operations[max(place, 0) :])
        if place >= 0:
            break
    return carried_out(history, [each for group in reversed(wanted) for each in group], key)


def payload_of(record: bytes, key: bytes) -> bytes:
    """A record as DUMP has it: without its expiry and key."""
    start = 9 if record[0] == rdb_format.OP_EXPIRETIME_MS else 0
    name = len(rdb_format.encode_string(key))
    return seal(record[start : start + 1] + record[start + 1 + name :])


def carried_out(history: History, operations: Iterable[Operation], key: bytes) -> bytes | None:
    """The record that these operations make of nothing, one after another; None if it is nothing. HistoryError."""
    keyspace = Keyspace(1)
    keyspace.set_clock(lambda: 0)  # nothing expires
    target = LayerTarget(keyspace, True)
    for point, group in by_point(operations):
        with opened(history, point) as fd:
            for each in group:
                reader = RdbReader(fd, target, 1, NEVER_MS, False, target.on_aux)
                reader.seek(each.begin, 0)
                try:
                    while reader.offset < each.end and reader.step(each.end - reader.offset):
                        pass
                except RdbError as error:
                    raise history.damage(point, str(error)) from error
    database = keyspace.databases[0]
    value = database.dump(key, False)
    return None if value is None else encoded_record(key, value, database.expire_at(key))


def by_point(operations: Iterable[Operation]) -> Iterator[tuple[Point, list[Operation]]]:
    """Neighbours of one file together."""
    group: list[Operation] = []
    for each in operations:
        if group and group[-1].point is not each.point:
            yield group[0].point, group
            group = []
        group.append(each)
    if group:
        yield group[0].point, group


def operations_of(history: History, point: Point) -> tuple[list[Operation], list[bytes]]:
    """All operations of a file in order, and its libraries of functions. HistoryError."""
    found: list[Operation] = []
    history.check_file(point)

    def receive(
        op: int, database: int, key: bytes, begin: int, end: int, rdb_type: int, expire_at_ms: int | None
    ) -> None:
        found.append(Operation(point, op, database, key, begin, end, rdb_type, expire_at_ms))

    target = OperationList(receive)
    try:
        scan(history.path(point), target)
    except RdbError as error:
        raise history.damage(point, str(error)) from error
    except HistoryError as error:
        raise history.damage(point, str(error).partition(": ")[2]) from error
    return found, target.functions


@dataclass(frozen=True, slots=True)
class Change:
    """What layers did to a key in the end. whole: it was written as a whole; rdb_type: -1 if it was removed."""

    rdb_type: int
    whole: bool = True


def changes_between(
    history: History, after: Point, to: Point, steps: Callable[[Point], object] = lambda point: None
) -> tuple[dict[tuple[int, bytes], Change], set[int]]:
    """What the layers from one point to another did: keys, and databases that were emptied before. HistoryError."""
    found: dict[tuple[int, bytes], Change] = {}
    emptied: set[int] = set()
    for point in history.between(after, to):
        operations, _ = operations_of(history, point)
        origins = read_head(history.path(point)).origins
        if origins:
            now = {origin: database for database, origin in origins.items() if origin is not None}
            lost = set(origins) - set(now)
            found = {
                (now.get(database, database), key): change
                for (database, key), change in found.items()
                if database not in lost
            }
            emptied = {now.get(database, database) for database in emptied - lost}
            emptied |= {database for database, origin in origins.items() if origin is None}
        for each in operations:
            place = (each.database, each.key)
            if each.is_whole:
                found[place] = Change(each.rdb_type)
            elif place not in found or found[place].rdb_type < 0:
                found[place] = Change(each.rdb_type, False)
            elif each.rdb_type >= 0:
                found[place] = Change(each.rdb_type, found[place].whole)
        steps(point)
    return found, emptied
