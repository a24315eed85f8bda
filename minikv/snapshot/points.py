"""The history that the server writes, with `snapshot-mode layers`: each save adds a point to it.

    open     at start, or at the first save: lock the directory, put right what a crash has left
    follow   the keyspace holds this point: from now on the engine notes what changes (engine/changes.py)
    plan     what comes next: a layer; or a base if there is none, too much was removed, or the layers are large
    begin    at the fork: what was noted is handed over to the save
    end      published: the next point follows it. Not: what was handed over is noted again

Where a child ends while it changes file and manifest, the manifest says whether the point is there. A file without a
line leaves that open: then the history is opened again, and the next point is a base.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from minikv.engine import progress
from minikv.errors import ArenaFull, HistoryError, SaveError
from minikv.history import manifest
from minikv.history.chain import History, adopt
from minikv.history.head import Head
from minikv.history.manifest import BASE, LAYER, MANIFEST, MANIFEST_LOCK, Point, as_hex
from minikv.history.writing import name_of
from minikv.saving.settings import PointSettings, SaveSettings
from minikv.snapshot.cost import amount

if TYPE_CHECKING:
    from minikv.config import Config
    from minikv.engine.progress import Progress
    from minikv.log import Log

LOCK = "lock"
LAYERS = "layers"
BASE_LEAST_BYTES = 1 << 20  # a smaller base counts as one of this size: a new one each second would be no better
MOST_LAYERS = 5000  # since the last base: a start opens them all


@dataclass(frozen=True, slots=True)
class Plan:
    """The next point."""

    id: int
    parent: int
    parent_digest: int
    kind: str
    why: str  # it is a base

    @property
    def file(self) -> str:
        return name_of(self.kind, self.id)

    @property
    def is_layer(self) -> bool:
        return self.kind == LAYER


class Points:
    """The history of a server; nothing while `snapshot-mode` is full."""

    def __init__(self, config: Config, keyspace: Any, log: Log) -> None:
        self._config = config
        self._keyspace = keyspace
        self._log = log
        self._lock = -1  # descriptor
        self._directory = ""  # empty: not open
        self._id = ""
        self._last_id = 0  # of the points that are there, and files that look like some
        self._newest: tuple[int, int] = (0, 0)  # ID and digest of the point before the next one
        self._follows = ""  # why the keyspace does not; empty: what has changed since the newest point is known
        self._base = ""  # path of the newest base that this server knows of; empty: there is none
        self._base_bytes = 0  # of it
        self._layer_bytes = 0  # of the layers since
        self.layers = 0  # their number
        self.count = 0  # of all points
        self.nbytes = 0  # of all files
        self.new = 0  # points since the last compaction began
        self._since: list[tuple[int, str, int]] | None = None  # ID, kind and bytes of points while a compaction runs
        self._inode = 0  # of the manifest whose points are counted
        self._saving: Plan | None = None

    @property
    def on(self) -> bool:
        return self._config.snapshot_mode == LAYERS

    @property
    def directory(self) -> str:
        return os.path.join(self._config.dir, self._config.snapshot_history)

    @property
    def is_open(self) -> bool:
        return bool(self._directory)

    @property
    def newest(self) -> int:
        """ID of the newest point; 0: none."""
        return self._newest[0]

    # -- open and close

    def open(self) -> History:
        """Lock the history, which is created if there is none. HistoryError, OSError."""
        directory = os.path.abspath(self.directory)
        os.makedirs(directory, exist_ok=True)
        if self._lock < 0:
            self._lock = lock(directory)
        if not os.path.lexists(os.path.join(directory, MANIFEST)):
            if stray := next(
                (name for name in sorted(os.listdir(directory)) if manifest.FILE_NAME.fullmatch(name)), ""
            ):
                raise HistoryError(f"{directory}: {stray} is there, but no manifest")
            manifest.create(directory)
        for sentence in adopt(directory):
            self._log.warning(f"History: {sentence}")
        history = History.open(directory)
        self._directory, self._id = directory, history.id
        self._look_back(history)
        self._follows = "the server has loaded no point"
        return history

    def _look_back(self, history: History) -> None:
        self._newest = (0, 0) if history.newest is None else (history.newest.id, history.newest.known_as)
        self._last_id = self.newest
        for name in os.listdir(history.directory):
            if manifest.FILE_NAME.fullmatch(name):
                self._last_id = max(self._last_id, int(name.removesuffix(".rdb").rpartition("-")[2]))
        self._base_bytes = self._layer_bytes = self.layers = self.count = self.nbytes = 0
        for point in history.points:
            self._count(point.kind, point.nbytes)
        bases = [history.path(point) for point in history.points if point.kind == BASE]
        self._base = bases[-1] if bases else ""
        self.new = self.count
        self._inode = inode_of(history.directory)

    def _count(self, kind: str, nbytes: int) -> None:
        self.count += 1
        self.nbytes += nbytes
        if kind == BASE:
            self._base_bytes, self._layer_bytes, self.layers = nbytes, 0, 0
        else:
            self._layer_bytes += nbytes
            self.layers += 1

    # -- compaction, by other processes

    @property
    def changed_by_others(self) -> bool:
        """Whether the manifest was swapped by others than the server's own compaction."""
        return self._inode != 0 and inode_of(self._directory) not in (self._inode, 0)

    def compaction_begins(self) -> None:
        self._since = []

    def compaction_failed(self) -> None:
        """What it has done shows by the manifest."""
        self._since = None

    def compacted(self, state: dict[str, int]) -> tuple[int, int]:
        """It has left this (tools/history_keep.py); points that were saved after that are added.

        Returns how many points are gone, and how many bytes.
        """
        since, self._since = self._since or [], None
        points, nbytes = self.count, self.nbytes
        self.count, self.nbytes = state["points"], state["bytes"]
        self._base_bytes, self._layer_bytes, self.layers = state["base_bytes"], state["layer_bytes"], state["layers"]
        self._inode = state["inode"]
        self.new = 0
        for id, kind, size in since:
            if id > state["newest"]:
                self._count(kind, size)
                self.new += 1
        return points - self.count, nbytes - self.nbytes

    def close(self) -> None:
        """`snapshot-mode` has become full: the history is left to others."""
        self._keyspace.track_changes(False)
        self._directory = ""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def follow(self, point: Point) -> None:
        """The keyspace holds this point, and nothing else."""
        self._track(f"point {point.id} was loaded, which is not the newest" if point.id != self.newest else "")

    def lose(self, why: str) -> None:
        """What is in memory does not follow the newest point any more: the next one is a base."""
        if self._directory and self._saving is None:
            self._follows = why

    def _track(self, why_not: str) -> None:
        try:
            self._keyspace.track_changes(True)
            self._follows = why_not
        except ArenaFull as error:
            self._log.warning(f"History: every point will be a base: {error}")
            self._follows = str(error)

    # -- a save

    def plan(self) -> Plan:
        """The next point; SaveError if there can be none."""
        try:
            if self._directory and (reason := self._displaced()):
                self._log.warning(f"History: {reason}; it is opened again")
                self._directory = ""
            if not self._directory:
                self.open()
        except (HistoryError, OSError) as error:
            raise SaveError(f"Can't save: the history {self.directory}: {error}") from error
        why = self._why_base()
        return Plan(self._last_id + 1, *self._newest, BASE if why else LAYER, why)

    def _displaced(self) -> str:
        """What somebody has done to the history meanwhile; empty: its place and its end are as the server left them.

        A layer that followed a point of another history, or one that is not listed any more, could not be restored.
        """
        try:
            there = os.path.samestat(os.stat(os.path.join(self._directory, LOCK)), os.fstat(self._lock))
        except OSError:
            there = False
        if not there:
            os.close(self._lock)
            self._lock = -1
            return f"{self._directory} is not the directory that it was, or its lock is gone"
        if not manifest.ends_with(self._directory, self._id, self.newest):
            return f"the manifest in {self._directory} does not end with point {self.newest} of history {self._id}"
        return ""

    def _why_base(self) -> str:
        share = self._config.history_base_percentage
        if self.newest == 0:
            return "it is the first point"
        if self._follows:
            return self._follows
        if self._keyspace.lost_track:
            return "too many keys were removed"
        if share and self._layer_bytes * 100 > max(self._base_bytes, BASE_LEAST_BYTES) * share:
            return f"the layers since the last base have {amount(self._layer_bytes)}"
        if self.layers >= MOST_LAYERS:
            return f"there are {self.layers} layers since the last base"
        return ""

    def begin(self, plan: Plan, settings: SaveSettings) -> SaveSettings:
        """Hand over what has changed by now; how to save it. `end` follows."""
        keyspace = self._keyspace
        if not keyspace.tracks_changes:
            self._track(self._follows)
        if keyspace.tracks_changes:
            keyspace.hand_changes_over()
        origins = {}
        if plan.is_layer:
            origins = {database: None if origin < 0 else origin for database, origin in keyspace.origins()}
        head = Head(self._id, plan.id, plan.parent, plan.parent_digest, origins)
        keys = sum(len(database) for database in keyspace.databases)
        line = (
            f"point id={plan.id} parent={plan.parent} kind={plan.kind} file={plan.file}"
            f" time={keyspace.now_ms} parent-digest={as_hex(plan.parent_digest)}"
            f" db-keys={keys} changes={max(keyspace.dirty, 0)}"
        )
        self._saving = plan
        return replace(
            settings,
            directory=self._directory,
            filename=plan.file,
            checksum=True,
            fields=head.encoded(),
            dump_before=self._base,
            point=PointSettings(
                os.path.join(self._directory, MANIFEST), os.path.join(self._directory, MANIFEST_LOCK), line.encode()
            ),
        )

    def end(self, page: Progress, *, saved: bool, cleared: bool = False) -> None:
        """The save of `begin` is over, or has not begun. cleared: the child has cleared its marks."""
        plan, self._saving = self._saving, None
        if plan is None:
            return
        in_doubt = not saved and page.load(progress.PHASE) == progress.PHASE_PUBLISHING
        last = self._last_point() if in_doubt else 0
        saved = saved or last == plan.id
        self._keyspace.changes_settled(saved, cleared)
        if saved:
            self._newest = (plan.id, page.load(progress.DIGEST))
            self._last_id = plan.id
            nbytes = page.load(progress.BYTES_WRITTEN)
            self._count(plan.kind, nbytes)
            if plan.kind == BASE:
                self._base = os.path.join(self._directory, plan.file)
            if self._since is not None:
                self._since.append((plan.id, plan.kind, nbytes))
            self.new += 1
            self._follows = "" if self._keyspace.tracks_changes else self._follows
            self._log.notice(
                f"History: point {plan.id} is a {plan.kind} of {page.load(progress.KEYS_DONE)} keys,"
                f" {amount(nbytes)}{f' ({plan.why})' if plan.why else ''}"
            )
        elif in_doubt and (last != self.newest or os.path.lexists(os.path.join(self._directory, plan.file))):
            self._directory = ""  # the next plan reads it again
            self._log.warning(f"History: point {plan.id} may be there or not, so the next one is a base")

    def _last_point(self) -> int:
        """The ID of the manifest's last line; -1: it is cut, or not known."""
        with contextlib.suppress(HistoryError, OSError):
            found = manifest.read(self._directory)
            if not found.cut:
                return found.points[-1].id if found.points else 0
        return -1

    # -- figures

    def info_fields(self) -> dict[str, int | str]:
        if not self.on:
            return {}
        return {
            "minikv_history_point": self.newest,
            "minikv_history_points": self.count,
            "minikv_history_bytes": self.nbytes,
            "minikv_history_layers": self.layers,
            "minikv_history_layer_bytes": self._layer_bytes,
            "minikv_history_base_bytes": self._base_bytes,
            "minikv_history_follows": int(self.newest > 0 and not self._follows and not self._keyspace.lost_track),
        }


def inode_of(directory: str) -> int:
    """Of the manifest; 0: there is none."""
    try:
        return os.stat(os.path.join(directory, MANIFEST)).st_ino
    except OSError:
        return 0


def lock(directory: str) -> int:
    """A descriptor that keeps others from writing into a history; HistoryError names who does."""
    fd = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise HistoryError(f"another server, of PID {owner}, writes this history") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd
