"""Load the dump: at start in slices between which clients are served, or at once for DEBUG RELOAD.

A dump is loaded whole or not at all: an error is logged with offset and reason and raised; the file is
not changed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from minikv.errors import DataLost, HistoryError, MinikvError, RdbError
from minikv.history.loading import HistoryReader
from minikv.rdb import format as rdb_format
from minikv.rdb.check import CheckTarget
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from minikv.snapshot.points import Points

if TYPE_CHECKING:
    from minikv.config import Config
    from minikv.log import Log

Reader = RdbReader | HistoryReader

SLICE_BYTES = 512 << 10  # a few milliseconds, even of small records
AT_ONCE_BYTES = 64 << 20
SHORTEST_SLEEP_US = 1000  # the event loop's resolution
POPULATE_MIN_BYTES = 16 << 20  # a smaller dump is loaded before a second thread helps
AUX_SHOWN_LEN = 1000  # bytes of an AUX field to log
MB = 1 << 20


class Loader:
    """Reads dumps into a keyspace; keeps progress and counts for INFO."""

    def __init__(
        self,
        config: Config,
        keyspace: Any,
        log: Log,
        points: Points,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._keyspace = keyspace
        self._log = log
        self._points = points
        self._clock = clock
        self._reader: Reader | None = None
        self._stopped = False
        self._began_at = 0.0  # Unix seconds
        self._used_memory = 0  # of the dump's writer
        self.keys_loaded = 0
        self.keys_expired = 0
        self.skips_checksums = False  # DEBUG SET-SKIP-CHECKSUM-VALIDATION
        self.functions: tuple[bytes, ...] = ()  # libraries of the dump, verbatim, for the next save
        self.on_change: Callable[[], None] | None = None  # called when loading begins or ends
        self.on_functions: Callable[[tuple[bytes, ...]], None] | None = None  # these libraries were loaded

    @property
    def active(self) -> bool:
        return self._reader is not None

    async def load(self) -> None:
        """Read the dump in slices; without one the data set is empty. RdbError, OSError, ArenaFull, CancelledError."""
        point = 0
        while True:
            try:
                await self._load_once(self._reading_history(point) if self._points.on else self._reading())
                return
            except HistoryError as error:
                if self._config.history_damaged != "previous" or not error.previous:
                    raise
                point = error.previous
                self._log.warning(f"History: loading point {point} instead (history-damaged previous)")
                self._keyspace.flush_all()

    async def _load_once(self, reading: AbstractContextManager[Reader | None]) -> None:
        delay_us = max(self._config.key_load_delay, 0)
        owed_us = 0
        with reading as reader:
            while reader is not None and reader.step(SLICE_BYTES, max_keys=1 if delay_us else 0):
                owed_us += delay_us
                sleep_us = owed_us if owed_us >= SHORTEST_SLEEP_US else 0
                owed_us -= sleep_us
                await asyncio.sleep(sleep_us * 1e-6)
                if self._stopped:
                    raise asyncio.CancelledError("the server stops")

    def stop(self) -> None:
        """End load() after its slice: the server stops, and half a data set must not be saved."""
        self._stopped = True

    def reload(self, *, flush: bool = True, merge: bool = False) -> None:
        """Read the dump at once; keeps `dirty`. RdbError or OSError (also without a dump): nothing changed.

        The whole file is checked before the keyspace is touched. What the check cannot find because it
        stores nothing (duplicate keys, too little room) raises DataLost.
        flush: empty the keyspace first. merge: keys of the dump replace existing ones, which are an error
        otherwise.
        """
        checked = self._check()
        if not (flush or merge) and set(checked.functions) & set(self.functions):
            self._log.warning("Can't load the DB: a library of functions is there already")
            raise RdbError("a library of functions is there already", 0)
        dirty = self._keyspace.dirty
        if flush:
            self._keyspace.flush_all()
        try:
            with self._reading(merge=merge, functions=() if flush else self.functions) as reader:
                while reader is not None and reader.step(AT_ONCE_BYTES):
                    pass
                if reader is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)
        except (MinikvError, OSError) as error:
            self._keyspace.flush_all()  # half a data set is worse than none
            raise DataLost(str(error)) from error
        self._keyspace.dirty = dirty

    def _check(self) -> CheckTarget:
        """Read the dump without storing it. RdbError, OSError, both logged."""
        config, path = self._config, self._path
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                target = CheckTarget()
                now_ms = int(self._clock() * 1000)
                reader = RdbReader(fd, target, config.databases, now_ms, self._verifies)
                while reader.step(AT_ONCE_BYTES):
                    pass
            finally:
                os.close(fd)
            return target
        except (MinikvError, OSError) as error:
            self._log.warning(f"Can't load the DB from {path}: {error}")
            raise

    @property
    def _verifies(self) -> bool:
        """Whether checksums of dumps are compared."""
        return self._config.rdbchecksum and not self.skips_checksums

    @property
    def _path(self) -> str:
        return os.path.join(self._config.dir, self._config.dbfilename)

    @contextmanager
    def _reading(self, *, merge: bool = False, functions: tuple[bytes, ...] = ()) -> Iterator[RdbReader | None]:
        """The reader of the dump, or None without a dump; logs and counts around its work.

        functions: libraries to keep besides those of the dump.
        """
        path = self._path
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            self._log.warning(f"Fatal error: can't open the RDB file {path} for reading: {error.strerror}")
            raise
        began = time.monotonic()
        target = EngineTarget(self._keyspace, merge)
        try:
            reader = self._start(fd, target)
            with self._memory_made_ready(reader.size):
                yield reader
            self._take(reader, functions + tuple(library for library in target.functions if library not in functions))
        except (MinikvError, OSError) as error:
            self._tell_what_is_not_there(target)
            if isinstance(error, RdbError):
                self._log.warning(f"Internal error in RDB reading offset {error.offset}: {error.reason}")
            self._log.warning(f"Fatal error loading the DB from {path}: {error}")
            raise
        finally:
            os.close(fd)
            self._reader = None
            self._changed()
        if reader.unchecked and self._config.rdbchecksum:
            self._log.notice("RDB file was saved with checksum disabled: no check performed.")
        for key in reader.empty_keys:
            self._log.notice(f"RDB: skipping empty key: {key.decode('utf-8', 'backslashreplace')}")
        self._tell_what_was_loaded(reader, target, began)

    @contextmanager
    def _reading_history(self, id: int) -> Iterator[Reader | None]:
        """The same for a point of the history, 0 for the newest; without points, for the dump."""
        began = time.monotonic()
        try:
            history = self._points.open()
            point = history.point(id) if id else history.newest
            reader = HistoryReader(history, point, self._keyspace, self._on_aux) if point else None
        except (MinikvError, OSError) as error:
            self._log.warning(f"Fatal error loading the history {self._points.directory}: {error}")
            raise
        if reader is None or point is None:
            with self._reading() as plain:
                yield plain
            return
        self._begin(reader)
        try:
            with self._memory_made_ready(reader.size):
                yield reader
            self._take(reader, tuple(reader.functions))
            self._keyspace.dirty = 0
        except (MinikvError, OSError) as error:
            self._log.warning(f"Fatal error loading the history {self._points.directory}: {error}")
            raise
        finally:
            reader.close()
            self._reader = None
            self._changed()
        self._points.follow(point)
        self._log.notice(f"History: point {point.id} of {history.directory}, {reader.files} files")
        self._tell_what_was_loaded(reader, reader, began)

    def _take(self, reader: Reader, functions: tuple[bytes, ...]) -> None:
        self.keys_loaded, self.keys_expired = reader.keys_loaded, reader.keys_expired
        self.functions = functions
        if self.on_functions is not None:
            self.on_functions(self.functions)

    def _tell_what_was_loaded(self, reader: Reader, target: EngineTarget | HistoryReader, began: float) -> None:
        for remark in reader.remarks:
            self._log.warning(f"RDB: {remark}")
        self._tell_what_is_not_there(target)
        counts = f"keys loaded: {self.keys_loaded}, keys expired: {self.keys_expired}"
        if reader.keys_empty:
            counts += f", empty keys skipped: {reader.keys_empty}"
        self._log.notice(f"Done loading RDB, {counts}.")
        self._log.notice(f"DB loaded from disk: {time.monotonic() - began:.3f} seconds")

    def _tell_what_is_not_there(self, target: EngineTarget | HistoryReader) -> None:
        """Log what the dump has and no command will find."""
        for name, (keys, others) in target.modules.items():
            self._log.warning(
                f"Data of a type that minikv does not have was left out: {name.decode()!r}, {keys} keys,"
                f" {others} auxiliary fields"
            )
        if target.functions:
            self._log.notice(f"{len(target.functions)} function libraries in the dump")

    @contextmanager
    def _memory_made_ready(self, nbytes: int) -> Iterator[None]:
        """Let a second thread populate the arena ahead of the reader."""
        if nbytes < POPULATE_MIN_BYTES:
            yield
            return
        populator = self._keyspace.populator(nbytes)
        thread = threading.Thread(target=populator.run, name="populate", daemon=True)
        thread.start()
        try:
            yield
        finally:
            populator.stop()
            thread.join()
            populator.finish()

    def _begin(self, reader: Reader) -> None:
        self._began_at = self._clock()
        self._used_memory = 0
        self._reader = reader
        self._changed()

    def _start(self, fd: int, target: EngineTarget) -> RdbReader:
        reader = RdbReader(
            fd,
            target,
            self._config.databases,
            int(self._clock() * 1000),
            self._verifies,
            self._on_aux,
        )
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self._begin(reader)
        return reader

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _on_aux(self, name: bytes, value: bytes) -> None:
        text = value[:AUX_SHOWN_LEN].decode("utf-8", "backslashreplace")
        label = name[:AUX_SHOWN_LEN].decode("utf-8", "backslashreplace")
        number = int(value) if value.isdigit() and len(value) < 20 else 0
        if name == b"redis-ver":
            self._log.notice(f"Loading RDB produced by version {text}")
        elif name == b"valkey-ver":
            self._log.notice(f"Loading RDB produced by Valkey version {text}")
        elif name == b"ctime":
            self._log.notice(f"RDB age {max(0, int(self._began_at) - number)} seconds")
        elif name == b"used-mem":
            self._used_memory = number
            self._log.notice(f"RDB memory usage when created {number / MB:.2f} Mb")
        elif name.startswith(b"%"):  # by Redis's convention, for the log
            self._log.notice(f"RDB '{label}': {text}")
        elif name != rdb_format.PADDING:
            self._log.debug(f"RDB AUX field {label}: {text}")

    def info_fields(self) -> dict[str, int | float | str]:
        """The INFO fields loading_*; none when nothing is being loaded."""
        reader = self._reader
        if reader is None:
            return {}
        done, size = reader.offset, reader.size
        elapsed_s = self._clock() - self._began_at
        return {
            "loading_start_time": int(self._began_at),
            "loading_total_bytes": size,
            "loading_rdb_used_mem": self._used_memory,
            "loading_loaded_bytes": done,
            "loading_loaded_perc": f"{100 * done / size if size else 100:.2f}",
            "loading_eta_seconds": int(elapsed_s * (size - done) / done) if done else 1,
        }
