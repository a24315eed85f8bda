"""Make a history smaller, beside a running server: merge layers, put a base in the place of a layer, drop old points.

Each step writes a new file, swaps the manifest, then removes the files that it no longer names. A crash in between
leaves files without a line, which the next step removes. The server only appends: a step changes no line that was not
there when it began, and files named otherwise.

    merge     base 1 <- 2 <- 3 <- 4      merge(1, 3):    base 1 <- 3' <- 4        3' does what 2 and 3 do
    rebase    base 1 <- 2 <- 3 <- 4      rebase(2):      base 1    base 2' <- 3 <- 4
    prune     base 1 <- 2 <- 3 <- 4      prune(3):                 base 3' <- 4
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

from minikv.errors import HistoryError
from minikv.history import manifest
from minikv.history.chain import History, total_bytes
from minikv.history.head import Head, read_head
from minikv.history.index import SUFFIX
from minikv.history.loading import HistoryReader
from minikv.history.looking import Operation, carried_out, last_whole, operations_of
from minikv.history.manifest import BASE, FILE_NAME, LAYER, TEMPORARY, Manifest, Point, locked
from minikv.history.operations import OP_DEL, OP_DELTA, OP_RECORD
from minikv.history.writing import (
    RdbWriter,
    Written,
    head_of_layer,
    name_of,
    new_file,
    removal,
    rewritten,
    save_keyspace,
    selected,
)
from minikv.keyspace.database import Keyspace
from minikv.rdb import format as rdb_format
from minikv.settings import keep_rules

COMPACT_LOCK = "compact.lock"
STEP_BYTES = 1 << 20
MOST_DATABASES = (16, 1024, 65536)  # a history does not say how many its server has: tried in turn

Key = tuple[int, bytes]
Steps = Callable[[HistoryReader], None]
Layers = Callable[[Sequence[Point]], Iterable[Point]]  # goes through layers and may show how far it is


def read_through(reader: HistoryReader) -> None:
    """Without telling anybody how far it is."""
    while reader.step(STEP_BYTES):
        pass


def go_through(layers: Sequence[Point]) -> Iterable[Point]:
    """The same for layers that are merged."""
    return layers


@contextlib.contextmanager
def alone(directory: str) -> Iterator[None]:
    """No other process compacts the history meanwhile. HistoryError, OSError."""
    try:
        with locked(directory, COMPACT_LOCK, wait=False):
            yield
    except BlockingIOError:
        raise HistoryError(f"{directory}: another process compacts this history, or takes points away") from None


def keyspace_at(history: History, point: Point, steps: Steps = read_through) -> tuple[Keyspace, list[bytes]]:
    """The data of a point in a new keyspace, and its libraries of functions. HistoryError, OSError, ArenaFull."""
    for databases in MOST_DATABASES:
        keyspace = Keyspace(databases)
        reader = HistoryReader(history, point, keyspace)
        try:
            steps(reader)
            return keyspace, reader.functions
        except HistoryError as error:
            if f"more than {databases} databases" not in str(error) and f"beyond {databases}" not in str(error):
                raise
        finally:
            reader.close()
    raise HistoryError(f"point {point.id}: it has databases beyond {MOST_DATABASES[-1]}")


# Merging


def merge(history: History, after: Point, to: Point, through: Layers = go_through) -> Point:
    """Put one layer in the place of those that lead from one point to another. HistoryError, OSError."""
    layers = history.between(after, to)
    if len(layers) < 2:
        return to
    file = name_of(LAYER, to.id, after.id)
    with new_file(os.path.join(history.directory, file)) as out:
        written, removed = write_merged(history, after, layers, through, out)
    gone = {point.id for point in layers}
    made = replace(
        rewritten(to, LAYER, file, written),
        parent=after.id,
        parent_digest=after.known_as,
        removed=removed,
        changes=sum(point.changes for point in layers),
        fork_us=sum(point.fork_us for point in layers),
        save_ms=sum(point.save_ms for point in layers),
    )
    swap(history, layers, [made], gone)
    return made


def write_merged(
    history: History, after: Point, layers: Sequence[Point], through: Layers, out: BinaryIO
) -> tuple[Written, int]:
    """The operations of layers in the order of time, without those that a later one makes superfluous."""
    kept, origins, functions = gather(history, through(layers))
    to = layers[-1]
    writer = RdbWriter(out)
    version = max(version_of(history.path(point)) for point in layers)
    head = Head(history.id, to.id, after.id, after.known_as, origins)
    writer.write(head_of_layer(head, version, functions))
    records = removed = 0
    with contextlib.ExitStack() as files:
        sources = {point.id: files.enter_context(mapped(history.path(point))) for point in layers}
        last = 0
        for (database, key), operations in sorted(kept.items(), key=in_file_order):
            if database != last:
                writer.write(selected(database))
                last = database
            for piece, is_record in pieces_of(history, sources, key, operations):
                writer.write(piece)
                records += is_record
            removed += operations[0].op == OP_DEL
        digest = writer.end()
    return Written(records, writer.nbytes, digest), removed


def in_file_order(item: tuple[Key, list[Operation]]) -> tuple[int, bool, int, int]:
    """By database, removals first, then as they came."""
    (database, _), operations = item
    first = operations[0]
    return database, first.op == OP_RECORD or first.op == OP_DELTA, first.point.id, first.begin


def gather(
    history: History, layers: Iterable[Point]
) -> tuple[dict[Key, list[Operation]], dict[int, int | None], list[bytes]]:
    """What layers do to each key from its last whole value on, where databases come from, the last libraries."""
    kept: dict[Key, list[Operation]] = {}
    origins: dict[int, int | None] = {}
    functions: list[bytes] = []
    for point in layers:
        operations, functions = operations_of(history, point)
        moved = read_head(history.path(point)).origins
        if moved:
            kept = moved_keys(kept, moved)
            origins = composed(origins, moved)
        for each in operations:
            place = (each.database, each.key)
            if each.is_whole or place not in kept:
                kept[place] = [each]
            else:
                kept[place].append(each)
    return kept, origins, functions


def moved_keys(kept: Mapping[Key, list[Operation]], origins: Mapping[int, int | None]) -> dict[Key, list[Operation]]:
    """The operations of before, under the numbers that their databases have now; those of emptied ones are gone."""
    now: dict[int, int] = {origin: database for database, origin in origins.items() if origin is not None}
    lost = set(origins) - set(now)
    return {
        (now.get(database, database), key): operations
        for (database, key), operations in kept.items()
        if database not in lost
    }


def composed(first: Mapping[int, int | None], then: Mapping[int, int | None]) -> dict[int, int | None]:
    """The origins of both, one after the other."""
    made: dict[int, int | None] = {}
    for database in {*first, *then}:
        origin = then.get(database, database)
        made[database] = None if origin is None else first.get(origin, origin)
    return {database: origin for database, origin in made.items() if origin != database}


def pieces_of(
    history: History, sources: Mapping[int, mmap.mmap], key: bytes, operations: Sequence[Operation]
) -> Iterator[tuple[bytes, bool]]:
    """The bytes of what is left for a key, and whether each is a record.

    Several operations that begin with a whole value become one record; others stay as they are.
    """
    if len(operations) > 1 and last_whole(list(operations)) == 0:
        record = carried_out(history, operations, key)
        yield (removal(key), False) if record is None else (record, True)
        return
    for each in operations:
        piece = sources[each.point.id][each.begin : each.end]
        yield piece, each.op in (OP_RECORD, OP_DELTA)


@contextlib.contextmanager
def mapped(path: str) -> Iterator[mmap.mmap]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        yield view


def version_of(path: str) -> int:
    with open(path, "rb") as file:
        return int(file.read(rdb_format.HEADER_LEN)[len(rdb_format.MAGIC) :])


# Bases, and old points


def rebase(history: History, point: Point, steps: Steps = read_through) -> Point:
    """Put a base in the place of a layer: what it leads to is loaded and saved. HistoryError, SaveError, OSError."""
    if point.kind == BASE:
        return point
    made = write_base(history, point, steps)
    swap(history, [point], [made], {point.id})
    return made


def write_base(history: History, point: Point, steps: Steps) -> Point:
    """The point, with a base that was written for it."""
    keyspace, functions = keyspace_at(history, point, steps)
    file = name_of(BASE, point.id)
    head = Head(history.id, point.id, point.parent, point.parent_digest)
    # Under another name first: a dump that is being saved is no file of the history.
    with tempfile.TemporaryDirectory(suffix=TEMPORARY, dir=history.directory) as directory:
        base = history.path(history.path_to(point)[0])
        path = os.path.join(directory, file)
        written = save_keyspace(keyspace, path, functions, aux=head.encoded(), time_ms=point.time_ms, like=base)
        os.rename(path, os.path.join(history.directory, file))
        manifest.sync(history.directory)
    return rewritten(point, BASE, file, written)


def prune(history: History, first: Point, steps: Steps = read_through) -> list[Point]:
    """Drop all points before `first`, which becomes a base; returns those that are gone. HistoryError, OSError."""
    older = [point for point in history.points if point.id < first.id]
    if not older:
        return []
    made = first if first.kind == BASE else write_base(history, first, steps)
    swap(history, [*older, first], [made], {first.id, *(point.id for point in older)})
    return older


def thin(history: History, keep: Iterable[int], steps: Steps = read_through, through: Layers = go_through) -> History:
    """Keep these points only, and those that others add meanwhile. The newest must be among them. HistoryError."""
    wanted = sorted(set(keep))
    if history.newest is None or not wanted:
        return history
    if wanted[-1] != history.newest.id:
        raise HistoryError("the newest point cannot be taken away")
    prune(history, history.point(wanted[0]), steps)
    history = History.open(history.directory)
    for after, to in gaps(history.points, wanted):
        start, end = history.point(after), history.point(to)
        between = [point for point in history.points if after < point.id < to]
        if any(point.kind == BASE for point in between) and end.kind != BASE:
            end = rebase(history, end, steps)
            history = History.open(history.directory)
        if end.kind == BASE:
            gone = [point for point in history.points if after < point.id < to]
            swap(history, gone, [], {point.id for point in gone})
        else:
            merge(history, start, end, through)
        history = History.open(history.directory)
    return history


def gaps(points: Iterable[Point], wanted: Iterable[int]) -> list[tuple[int, int]]:
    """Neighbours of those that are wanted between which there are others."""
    found = []
    ids = sorted(wanted)
    there = [point.id for point in points]
    for after, to in itertools.pairwise(ids):
        if bisect.bisect_left(there, to) - bisect.bisect_right(there, after) > 0:
            found.append((after, to))
    return found


def swap(history: History, before: Sequence[Point], after: Sequence[Point], gone: set[int]) -> None:
    """Put points in the place of others in the manifest, then remove the files that it does not name any more."""

    def change(found: Manifest) -> list[Point]:
        there = {point.id: point for point in found.points}
        if any(there.get(point.id) != point for point in before):
            raise HistoryError("the history was changed by another process meanwhile; nothing was done")
        return sorted([*(point for point in found.points if point.id not in gone), *after], key=lambda each: each.id)

    manifest.update(history.directory, change)
    sweep(history.directory)


def sweep(directory: str) -> list[str]:
    """Remove files that a crash or a swap has left: without a line, and not to be adopted. Returns their names."""
    found = manifest.read(directory)
    named = {point.file for point in found.points}
    newest = found.points[-1].id if found.points else 0
    removed = []
    for name in sorted(os.listdir(directory)):
        plain = name.removesuffix(SUFFIX)
        path = os.path.join(directory, name)
        if name.endswith(TEMPORARY):
            if os.path.isdir(path):
                for each in os.listdir(path):
                    os.unlink(os.path.join(path, each))
                os.rmdir(path)
            else:
                os.unlink(path)
        elif FILE_NAME.fullmatch(plain) and plain not in named and id_in(plain) <= newest:
            os.unlink(path)
        else:
            continue
        removed.append(name)
    return removed


def id_in(name: str) -> int:
    """The point that a file is named after."""
    return int(re.split("[-.]", name)[-2])


# Which points to keep

UNITS: dict[str, Callable[[datetime], object]] = {
    "secondly": lambda at: (at.date(), at.hour, at.minute, at.second),
    "minutely": lambda at: (at.date(), at.hour, at.minute),
    "hourly": lambda at: (at.date(), at.hour),
    "daily": lambda at: at.date(),
    "weekly": lambda at: at.isocalendar()[:2],
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: at.year,
}


def parse_rules(text: str) -> list[tuple[str, int]]:
    """`hourly 24 daily 30`: pairs of a unit, or `last`, and a number. HistoryError."""
    try:
        return keep_rules(text)
    except ValueError as error:
        raise HistoryError(f"{text!r} is no rule for points to keep: {error}") from None


def moment_of(point: Point) -> datetime:
    """Its local time; of a clock that had jumped too far, the last one that there is."""
    try:
        return datetime.fromtimestamp(point.time_ms / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        return datetime(9999, 12, 30)


def kept_by(points: Sequence[Point], rules: Iterable[tuple[str, int]]) -> set[int]:
    """The IDs of points to keep: in each of the last n units that have points, the newest; the newest of all always."""
    keep = {points[-1].id} if points else set()
    newest_first = sorted(points, key=lambda point: (point.time_ms, point.id), reverse=True)
    times = [moment_of(point) for point in newest_first]
    for unit, count in rules:
        if unit == "last":
            keep |= {point.id for point in newest_first[:count]}
            continue
        seen: set[object] = set()
        for point, at in zip(newest_first, times, strict=True):
            period = UNITS[unit](at)
            if period not in seen:
                if len(seen) == count:
                    break
                seen.add(period)
                keep.add(point.id)
    return keep


def anchored(history: History, keep: set[int]) -> set[int]:
    """These points; and the base of the oldest, if that is larger than the layers from there."""
    way = history.path_to(history.point(min(keep)))
    return {way[0].id, *keep} if total_bytes(way[1:]) < way[0].nbytes else keep


def first_within(points: Sequence[Point], max_bytes: int, base_bytes: int) -> Point:
    """The oldest point from which on all fit, with a base of about base_bytes; the newest if none does."""
    total = base_bytes
    first = points[-1]
    for point in reversed(points):
        if total > max_bytes:
            break
        first = point
        total += point.nbytes
    return first


def bound(history: History, max_bytes: int, steps: Steps = read_through) -> History:
    """Drop the oldest points until the files take no more than this, as far as the newest one allows it."""
    while len(history.points) > 1 and total_bytes(history.points) > max_bytes:
        base = max(point.nbytes for point in history.points if point.kind == BASE)
        first = first_within(history.points, max_bytes, base)
        if first.id == history.points[0].id:
            first = history.points[1]
        prune(history, first, steps)
        history = History.open(history.directory)
    return history
