"""A history as a chain of points: the way from a base to a point, points by ID or time, damaged files.

base 1 <- layer 2 <- layer 3 <- base 4 <- layer 5         the way to 3 is 1 2 3, to 5 it is 4 5
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from minikv.errors import HistoryError, MinikvError
from minikv.history import manifest
from minikv.history.head import Head, head_of, read_head
from minikv.history.manifest import BASE, LAYER, Manifest, Point, as_hex
from minikv.history.operations import Operations
from minikv.rdb import format as rdb_format
from minikv.rdb.reader import RdbReader

ANY_DATABASE = 2**31
NEVER_MS = -(2**63)  # at this time no key has expired: all of them are read
STEP_BYTES = 4 << 20
SMALLEST_FILE = rdb_format.HEADER_LEN + 1 + rdb_format.CHECKSUM_LEN
ADOPTABLE = re.compile(r"(base|layer)-([0-9]{10,15})\.rdb")

Told = Callable[[int], object]


def ignore(_: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class History:
    """A history as it was when it was opened; others may add points or compact it meanwhile."""

    directory: str
    manifest: Manifest

    @classmethod
    def open(cls, directory: str) -> History:
        """HistoryError if there is none, or its manifest is damaged. OSError."""
        try:
            return cls(directory, manifest.read(directory))
        except (FileNotFoundError, NotADirectoryError):
            raise HistoryError(f"{directory}: no history, for it has no manifest") from None

    @property
    def id(self) -> str:
        return self.manifest.history

    @property
    def points(self) -> tuple[Point, ...]:
        return self.manifest.points

    @property
    def newest(self) -> Point | None:
        return self.points[-1] if self.points else None

    def path(self, point: Point) -> str:
        return os.path.join(self.directory, point.file)

    def point(self, id: int) -> Point:
        """HistoryError if there is none of this ID."""
        found = next((point for point in self.points if point.id == id), None)
        if found is not None:
            return found
        if not self.points:
            raise HistoryError(f"no point {id}: the history is empty")
        first, last = self.points[0].id, self.points[-1].id
        between = "; it is in the span of a later one, compacted" if first < id < last else ""
        there = f"{first} to {last}" if first < last else f"{first} alone"
        raise HistoryError(f"no point {id}: the history has {there}{between}")

    def path_to(self, point: Point) -> list[Point]:
        """The points from its base to it, whose files lead there. HistoryError."""
        by_id = {each.id: each for each in self.points}
        way = [point]
        while way[-1].kind != BASE:
            parent = by_id.get(way[-1].parent)
            if parent is None:
                raise HistoryError(f"point {way[-1].parent}, the parent of {way[-1].id}, is not in the manifest")
            if parent.known_as != way[-1].parent_digest:
                raise HistoryError(
                    f"point {way[-1].id} follows a point {parent.id} of digest {as_hex(way[-1].parent_digest)},"
                    f" not {as_hex(parent.known_as)}"
                )
            way.append(parent)
        return way[::-1]

    def between(self, after: Point, to: Point) -> list[Point]:
        """The points whose files lead from one to a later one. HistoryError if they do not: a base comes in between."""
        way: list[Point] = []
        for point in reversed(self.path_to(to)):
            if point.id == after.id:
                return way[::-1]
            way.append(point)
        raise HistoryError(f"no layers lead from point {after.id} to {to.id}: a base comes in between")

    def find(self, text: str) -> Point:
        """A point by its ID, by time (the newest that is not later), or `newest`. HistoryError."""
        if text == "newest":
            if self.newest is None:
                raise HistoryError("the history is empty")
            return self.newest
        if re.fullmatch("[0-9]{1,15}", text):
            return self.point(int(text))
        return self.at(time_ms_of(text))

    def at(self, time_ms: int) -> Point:
        """The newest point that is not later. HistoryError."""
        found = [point for point in self.points if point.time_ms <= time_ms]
        if found:
            return max(found, key=lambda point: (point.time_ms, point.id))
        if not self.points:
            raise HistoryError("the history is empty")
        first = min(self.points, key=lambda point: point.time_ms)
        raise HistoryError(f"the history begins at {text_of(first.time_ms)}, with point {first.id}")

    # Files

    def check_file(self, point: Point, *, contents: bool = False, told: Told = ignore) -> None:
        """Whether the file is the one of the manifest, and readable throughout if contents. HistoryError names it.

        told: gets the bytes read so far of the contents.
        """
        fd, _ = self.open_file(point)
        os.close(fd)
        if contents:
            with self.named(point):
                found = read_operations(self.path(point), told)
                if found.records != point.keys:
                    raise self.damage(point, f"it has {found.records} records, not {point.keys}")

    def open_file(self, point: Point) -> tuple[int, Head]:
        """A descriptor of the file, which is the one of the manifest, and its head. HistoryError names it."""
        fd = -1
        try:
            with self.named(point):
                fd = manifest.open_regular(self.path(point))
                nbytes = os.fstat(fd).st_size
                if nbytes != point.nbytes or nbytes < SMALLEST_FILE:
                    raise self.damage(point, f"it has {nbytes} bytes, not {point.nbytes}")
                tail = os.pread(fd, rdb_format.CHECKSUM_LEN, nbytes - rdb_format.CHECKSUM_LEN)
                digest = int.from_bytes(tail, "little")
                if digest != point.digest:
                    raise self.damage(point, f"its digest is {as_hex(digest)}, not {as_hex(point.digest)}")
                head = head_of(fd, point.file)
                if not head.is_of(self.id, point):
                    raise self.damage(point, f"it is {described(head, self.id)}")
                return fd, head
        except BaseException:
            if fd >= 0:
                os.close(fd)
            raise

    @contextlib.contextmanager
    def named(self, point: Point) -> Iterator[None]:
        """Whatever goes wrong with a point's file is a HistoryError that names it."""
        try:
            yield
        except FileNotFoundError:
            raise self.damage(point, "it is missing") from None
        except OSError as error:
            raise self.damage(point, f"it cannot be read: {error.strerror}") from error
        except HistoryError as error:
            if error.previous or str(error).startswith(f"point {point.id}"):
                raise
            raise self.damage(point, str(error).partition(": ")[2]) from None
        except MinikvError as error:
            raise self.damage(point, str(error)) from None

    def damage(self, point: Point, reason: str) -> HistoryError:
        """The error that says what is wrong with a point's file, and which point does not need it."""
        previous = self.before(point)
        offer = f"point {previous} is the newest before it" if previous else "no point before it is left"
        return HistoryError(f"point {point.id}: {point.file}: {reason}; {offer}", previous)

    def before(self, point: Point) -> int:
        """The newest older point that can be reached without this one's file; 0 if there is none."""
        for other in reversed(self.points):
            if other.id < point.id:
                with contextlib.suppress(HistoryError):
                    self.path_to(other)
                    return other.id
        return 0


def described(head: Head, history: str) -> str:
    if not head.history:
        return "no file of a history"
    if head.history != history:
        return f"of another history, {head.history}"
    return f"point {head.id} after {head.parent} ({as_hex(head.parent_digest)})"


def read_operations(path: str, told: Told = ignore) -> Operations:
    """Read and check a whole file. RdbError, HistoryError, OSError."""
    target = Operations()
    scan(path, target, told)
    return target


def scan(path: str, target: Operations, told: Told = ignore) -> None:
    """Pass the operations of a file to the target. RdbError, HistoryError if it has no checksum, OSError.

    told: gets the bytes read so far.
    """
    fd = manifest.open_regular(path)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        reader = RdbReader(fd, target, ANY_DATABASE, NEVER_MS, True, target.on_aux)
        target.attach(reader)
        while reader.step(STEP_BYTES):
            told(reader.offset)
        if reader.unchecked:
            raise HistoryError(f"{os.path.basename(path)}: it has no checksum")
        if reader.trailing:
            raise HistoryError(f"{os.path.basename(path)}: {reader.trailing} bytes follow its end")
    finally:
        os.close(fd)


# After a crash


def adopt(directory: str) -> list[str]:
    """Put right what a crash has left: a cut line goes, whole files that follow the newest point become points.

    Returns a sentence about each. HistoryError, OSError.
    """
    told = []
    if cut := manifest.repair(directory):
        told.append(f"The manifest's last line was cut by a crash: {cut} bytes removed")
    while True:
        history = History.open(directory)
        point = next(orphans(history), None)
        if point is None:
            return told
        try:
            manifest.append(directory, point)
        except HistoryError:
            newest = History.open(directory).newest
            if newest is None or newest.id < point.id:
                raise
            continue  # a server has just added it
        told.append(f"{point.file} was complete but not in the manifest: point {point.id} added")


def orphans(history: History) -> Iterator[Point]:
    """Points of files that have no line, and follow the newest point."""
    newest = history.newest
    parent, known_as = (newest.id, newest.known_as) if newest is not None else (0, 0)
    for name in sorted(os.listdir(history.directory)):
        found = ADOPTABLE.fullmatch(name)
        if found is None or int(found[2]) <= parent:
            continue
        path = os.path.join(history.directory, name)
        with contextlib.suppress(MinikvError, OSError):
            head = read_head(path)
            if (head.history, head.id, head.parent) != (history.id, int(found[2]), parent):
                continue
            if head.parent_digest != known_as or (found[1] == LAYER and parent == 0):
                continue
            operations = read_operations(path)
            with open(path, "rb") as file:
                nbytes = file.seek(-rdb_format.CHECKSUM_LEN, os.SEEK_END) + rdb_format.CHECKSUM_LEN
                digest = int.from_bytes(file.read(), "little")
            yield Point(
                id=head.id,
                parent=head.parent,
                kind=found[1],
                file=name,
                time_ms=(int(time.time()) if head.ctime is None else head.ctime) * 1000,
                digest=digest,
                parent_digest=head.parent_digest,
                nbytes=nbytes,
                keys=operations.records,
                removed=operations.removed,
                known_as=digest,
            )


# Times


def time_ms_of(text: str) -> int:
    """Unix ms of "2026-11-30 12:00:00" (local time), "2026-11-30T12:00:00Z", "12:00" (today), "@1700000000".

    HistoryError.
    """
    if re.fullmatch(r"@[0-9]{1,11}(\.[0-9]{1,9})?", text):
        return int(float(text[1:]) * 1000)
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text):
            text = f"{datetime.now().astimezone():%Y-%m-%d} {text.zfill(5) if text.count(':') == 1 else text.zfill(8)}"
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise HistoryError(f"{text!r} is neither an ID nor a time (2026-11-30 12:00:00, @1700000000)") from None


def text_of(time_ms: int) -> str:
    """A time for people, local."""
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"@{time_ms / 1000}"


def total_bytes(points: Sequence[Point]) -> int:
    return sum(point.nbytes for point in points)
