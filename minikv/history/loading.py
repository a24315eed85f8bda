"""Load a point of a history into a keyspace: its base and each layer up to it, in the reader's slices.

    reader = HistoryReader(History.open(directory), point, keyspace)
    while reader.step(1 << 20):
        ...

Nothing expires on the way: the keyspace holds what the server's held at the moment of the fork.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from minikv.errors import HistoryError, RdbError
from minikv.history.chain import NEVER_MS, History, total_bytes
from minikv.history.head import Head
from minikv.history.layer_target import LayerTarget
from minikv.history.manifest import Point
from minikv.history.newest_first import Newest, NewestTarget
from minikv.keyspace.database import Keyspace
from minikv.rdb.reader import RdbReader

AT_ONCE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """point: None if the history is empty. functions: libraries, as in a dump."""

    point: Point | None
    functions: tuple[bytes, ...] = ()
    keys: int = 0


class HistoryReader:
    """One pass through the files of a point, into an empty keyspace; what it tells is what an RdbReader does.

    The files are read from the newest one back to the base, so that each key is stored once (newest_first.py); those
    that change elements are read again, forwards. If it is not known how many keys the point has, or that is not what
    comes out, they are read in order of time instead, each applied to what there is: then the file that is wrong is
    named.

    All files are looked at and opened before the first is read, so compaction may remove them meanwhile. HistoryError,
    RdbError, OSError, ArenaFull: the keyspace then holds a part.
    """

    def __init__(
        self,
        history: History,
        point: Point,
        keyspace: Keyspace,
        on_aux: Callable[[bytes, bytes], None] | None = None,
    ) -> None:
        self._history = history
        self._keyspace = keyspace
        self._on_aux = on_aux
        self._way = history.path_to(point)
        self._fds: dict[int, int] = {}  # by place on the way
        self._heads: list[Head] = []
        self._open_most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
        self._newest: Newest | None = None
        self._todo: deque[int] = deque()  # files to be read, by place
        self._again: list[int] = []  # files to be read a second time
        self._forwards = False
        self._reader: RdbReader | None = None
        self._target: LayerTarget | NewestTarget | None = None
        self._done_bytes = 0
        self.size = total_bytes(self._way)
        self.point = point
        self.functions: list[bytes] = []
        self.modules: Mapping[bytes, tuple[int, int]] = {}
        self.remarks: list[str] = []
        self.keys_loaded = 0  # at the end: in the keyspace
        self.keys_expired = 0
        self.keys_empty = 0
        self.unchecked = False
        try:
            for place, each in enumerate(self._way):
                fd, head = history.open_file(each)
                self._heads.append(head)
                if place < self._open_most:
                    self._fds[place] = fd
                else:
                    os.close(fd)
            if point.db_keys is None or len(self._way) == 1:
                self._go_forwards()
            else:
                self._newest = Newest()
                self._places = places_of(self._way, self._heads, len(keyspace.databases))
                self._todo.extend(reversed(range(len(self._way))))
        except BaseException:
            self.close()
            raise

    def _go_forwards(self) -> None:
        """Apply the files in order of time."""
        self._forwards = True
        self._newest = None
        self._todo.extend(range(len(self._way)))

    @property
    def files(self) -> int:
        return len(self._way)

    @property
    def offset(self) -> int:
        """Bytes read of all files together."""
        return self._done_bytes + (self._reader.offset if self._reader is not None else 0)

    def step(self, budget_bytes: int, max_keys: int = 0) -> bool:
        """Read about budget_bytes, or max_keys keys (0: any number); False at the end."""
        try:
            stop_at = self.offset + budget_bytes
            while True:
                place = self._todo[0]
                if self._reader is None:
                    self._begin(place)
                assert self._reader is not None
                try:
                    more = self._reader.step(max(stop_at - self.offset, 1), max_keys)
                except RdbError as error:
                    raise self._history.damage(self._way[place], str(error)) from error
                if more:
                    return True
                self._end(place)
                self._todo.popleft()
                if not self._todo and not self._goes_on():
                    self.close()
                    return False
                if max_keys or self.offset >= stop_at:
                    return True
        except BaseException:
            self.close()
            raise

    def _begin(self, place: int) -> None:
        point, is_layer = self._way[place], place > 0
        fd = self._fds.get(place, -1)
        if fd < 0:
            fd, _ = self._history.open_file(point)
            self._fds[place] = fd
        os.lseek(fd, 0, os.SEEK_SET)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        # A log has the lines of the base; those of a thousand layers would bury it.
        other_aux = None if is_layer else self._on_aux
        if self._newest is None:
            if is_layer:
                apply_origins(self._keyspace, self._heads[place].origins, point)
            self._target = LayerTarget(self._keyspace, is_layer, other_aux)
        else:
            self._newest.begin(place, self._places[place])
            if self._forwards:
                self._target = LayerTarget(self._keyspace, True, None, self._newest)
            else:
                self._target = NewestTarget(self._keyspace, self._newest, is_layer, other_aux)
        databases = len(self._keyspace.databases)
        self._reader = RdbReader(fd, self._target, databases, NEVER_MS, True, self._target.on_aux)

    def _end(self, place: int) -> None:
        """A file has been read."""
        reader, target, point = self._reader, self._target, self._way[place]
        assert reader is not None
        assert target is not None
        if reader.unchecked:
            raise self._history.damage(point, "it has no checksum")
        self._done_bytes += reader.size
        self._reader = None
        if self._newest is None:
            self._compare_keys(point)
        elif not self._forwards and self._newest.has_changes:
            self._again.append(place)
            self.size += point.nbytes
        if self._newest is None or not self._forwards:
            self.remarks += [f"{point.file}: {remark}" for remark in reader.remarks]
            self.keys_empty += reader.keys_empty
        if self.point is point and not (self._forwards and self._newest is not None):
            self.functions, self.modules = target.functions, target.modules
        if place not in self._again:
            os.close(self._fds.pop(place))

    def _goes_on(self) -> bool:
        """What comes after the last file: those that are to be read again, or all in order of time."""
        if self._newest is not None and not self._forwards and self._again:
            self._forwards = True
            self._todo.extend(reversed(self._again))
            self._again = []
            return True
        self.keys_loaded = keys = self._keys()
        if self._newest is not None and keys != self.point.db_keys:
            self._keyspace.flush_all()
            self.remarks.clear()
            self.keys_empty = 0
            self.size += total_bytes(self._way)
            self._go_forwards()
            return True
        return False

    def _keys(self) -> int:
        return sum(len(database) for database in self._keyspace.databases)

    def _compare_keys(self, point: Point) -> None:
        if point.db_keys is not None and self._keys() != point.db_keys:
            raise self._history.damage(point, f"with it there are {self._keys()} keys, not {point.db_keys}")

    def close(self) -> None:
        """Give up, if it is not at its end."""
        while self._fds:
            os.close(self._fds.popitem()[1])
        if self._target is not None:
            self._target.abandon()
            self._target = None


def places_of(way: Sequence[Point], heads: Sequence[Head], databases: int) -> list[list[int]]:
    """For each file, and each of its databases: the number that it has in the end; -1: it was emptied. HistoryError."""
    places = [list(range(databases))]
    for point, head in zip(reversed(way[1:]), reversed(heads[1:]), strict=True):
        check_origins(head.origins, databases, point)
        after, before = places[-1], [-1] * databases
        for number in range(databases):
            origin = head.origins.get(number, number)
            if origin is not None:
                before[origin] = after[number]
        places.append(before)
    return places[::-1]


def check_origins(origins: Mapping[int, int | None], databases: int, point: Point) -> None:
    """HistoryError if there are not as many databases."""
    if any(number >= databases for pair in origins.items() for number in pair if number is not None):
        raise HistoryError(f"point {point.id}: {point.file}: it has databases beyond {databases}")


def apply_origins(keyspace: Keyspace, origins: Mapping[int, int | None], point: Point) -> None:
    """Let databases begin as what others were, all at once. HistoryError."""
    if not origins:
        return
    databases = len(keyspace.databases)
    check_origins(origins, databases, point)
    wanted = {number: origins.get(number, number) for number in range(databases)}
    for number in set(range(databases)) - set(wanted.values()):
        keyspace.databases[number].flush()
    place = list(range(databases))  # where what a database was is now
    holds = list(range(databases))  # and the other way round
    for number, origin in wanted.items():
        if origin is not None and place[origin] != number:
            other, displaced = place[origin], holds[number]
            keyspace.swap(number, other)
            holds[number], holds[other] = origin, displaced
            place[origin], place[displaced] = number, other


def load_history(directory: str, keyspace: Keyspace, up_to: int | None = None) -> Loaded:
    """Load a point, the newest without up_to, into an empty keyspace at once. HistoryError, OSError, ArenaFull."""
    history = History.open(directory)
    if not history.points and up_to is None:
        return Loaded(None)
    point = history.find("newest") if up_to is None else history.point(up_to)
    reader = HistoryReader(history, point, keyspace)
    with contextlib.closing(reader):
        while reader.step(AT_ONCE_BYTES):
            pass
    return Loaded(point, tuple(reader.functions), reader.keys_loaded)
