"""Load a point of a history into a keyspace: its base, then each layer up to it, in the reader's slices.

    reader = HistoryReader(History.open(directory), point, keyspace)
    while reader.step(1 << 20):
        ...

Nothing expires on the way: the keyspace holds what the server's held at the moment of the fork.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from minikv.errors import HistoryError, RdbError
from minikv.history.chain import NEVER_MS, History, total_bytes
from minikv.history.head import head_of
from minikv.history.layer_target import LayerTarget
from minikv.history.manifest import Point
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
    """One pass from a base to a point, into an empty keyspace; what it tells is what an RdbReader does.

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
        self._next = 0
        self._fds: list[int] = []  # of the first files that are not read yet
        self._open_most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
        self._reader: RdbReader | None = None
        self._target: LayerTarget | None = None
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
            for each in self._way:
                history.check_file(each)
                if len(self._fds) < self._open_most:
                    self._fds.append(self._open(each))
        except BaseException:
            self.close()
            raise

    def _open(self, point: Point) -> int:
        try:
            return os.open(self._history.path(point), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._history.damage(point, "it is missing") from None

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
            if self._reader is None:
                self._begin(self._way[self._next])
            assert self._reader is not None
            try:
                more = self._reader.step(budget_bytes, max_keys)
            except RdbError as error:
                raise self._history.damage(self._way[self._next], str(error)) from error
            if more:
                return True
            self._end(self._way[self._next])
            self._next += 1
            return self._next < len(self._way)
        except BaseException:
            self.close()
            raise

    def _begin(self, point: Point) -> None:
        if not self._fds:
            self._fds.append(self._open(point))
        fd = self._fds[0]
        if point is not self._way[0]:
            apply_origins(self._keyspace, head_of(fd, point.file).origins, point)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        is_layer = point is not self._way[0]
        # A log has the lines of the base; those of a thousand layers would bury it.
        self._target = LayerTarget(self._keyspace, is_layer, None if is_layer else self._on_aux)
        databases = len(self._keyspace.databases)
        self._reader = RdbReader(fd, self._target, databases, NEVER_MS, True, self._target.on_aux)

    def _end(self, point: Point) -> None:
        reader, target = self._reader, self._target
        assert reader is not None
        assert target is not None
        if reader.unchecked:
            raise self._history.damage(point, "it has no checksum")
        keys = sum(len(database) for database in self._keyspace.databases)
        if point.db_keys is not None and keys != point.db_keys:
            raise self._history.damage(point, f"with it there are {keys} keys, not {point.db_keys}")
        self._done_bytes += reader.size
        self.remarks += [f"{point.file}: {remark}" for remark in reader.remarks]
        self.keys_empty += reader.keys_empty
        self.keys_loaded = keys
        self.functions, self.modules = target.functions, target.modules
        self._reader = None
        os.close(self._fds.pop(0))

    def close(self) -> None:
        """Give up, if it is not at its end."""
        while self._fds:
            os.close(self._fds.pop())
        if self._target is not None:
            self._target.abandon()
            self._target = None


def apply_origins(keyspace: Keyspace, origins: Mapping[int, int | None], point: Point) -> None:
    """Let databases begin as what others were, all at once. HistoryError."""
    if not origins:
        return
    databases = len(keyspace.databases)
    if any(number >= databases for pair in origins.items() for number in pair if number is not None):
        raise HistoryError(f"point {point.id}: {point.file}: it has databases beyond {databases}")
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
