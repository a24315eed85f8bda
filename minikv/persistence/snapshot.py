"""BGSAVE: fork a child that writes the dump, follow it, and report what it costs.

    idle --bgsave()--> running --the child's end--> idle
                         |  kill_child(), cancel(): SIGUSR1, then SIGKILL
                         |  every second: progress and growth into the log and INFO
                         |  no progress: the watchdog kills it

Opening a snapshot freezes the arena: until it is closed, the engine writes new versions elsewhere. So the
controller closes it on every path: a refused fork, the child's success, failure or death. There is one
snapshot at a time.

SAVE, SHUTDOWN and FLUSHALL save in this process with the same writer. Which of them resets `dirty`, the
status and the time of the last save follows redis-server 7.0.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from minikv.errors import MinikvError, SaveError
from minikv.host import overcommit, smaps
from minikv.persistence import forking, interposed, preflight, rdb_writer, temp_file
from minikv.persistence.account import Account, describe_end, describe_failure, own_fields
from minikv.persistence.child_process import GENTLE_KILL_S, OOM_SCORE, End
from minikv.persistence.cost import ReadRollup
from minikv.persistence.history import Entry, History
from minikv.persistence.loading import Loader
from minikv.persistence.preflight import Estimate, Finding, Room, Verdict
from minikv.persistence.progress import Progress
from minikv.persistence.rdb_writer import SaveSettings
from minikv.persistence.retry import Retry
from minikv.persistence.running import CANCELLED, AtFork, RunningSnapshot
from minikv.persistence.saver import Saver

if TYPE_CHECKING:
    from minikv.config import Config
    from minikv.log import Log

HARD_KILL_S = 5.0  # a killed child may still have to wait for the disk

IN_PROGRESS = "Background save already in progress"

BY_HAND = "BGSAVE"
SCHEDULED = "BGSAVE SCHEDULE"


class LatencyMonitor(Protocol):
    def add(self, event: str, duration_ms: int) -> None: ...


@dataclass(slots=True)
class Counters:
    """What CONFIG RESETSTAT resets."""

    forks: int = 0
    fork_us: int = 0
    saves: int = 0


@dataclass(slots=True)
class LastSave:
    """How the last saves went."""

    at: int  # Unix seconds of the last success, or of the start
    monotonic_at: float  # the same on the monotonic clock, for save points
    bgsave_ok: bool = True
    bgsave_s: int = -1
    account: Account = field(default_factory=Account)


class SnapshotController:
    """Everything that saves, for commands, cron, INFO and shutdown.

    on_status_change is called when `writes_denied` or `loading` may have changed. input_bytes_per_s: the
    current rate of client input. read_room: the room that the machine has for a snapshot.
    child_oom_score: from the settings, None if they set none.
    """

    def __init__(
        self,
        config: Config,
        keyspace: Any,
        log: Log,
        latency: LatencyMonitor | None = None,
        *,
        saver: Saver | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        read_rollup: ReadRollup = smaps.rollup,
        read_room: Callable[[str], Room] = preflight.read_room,
        input_bytes_per_s: Callable[[], int] = lambda: 0,
        child_oom_score: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._config = config
        self._keyspace = keyspace
        self._log = log
        self._latency = latency
        self._saver = saver if saver is not None else Saver()
        self._clock = clock
        self._monotonic = monotonic
        self._read_rollup = read_rollup
        self._read_room = read_room
        self._input_bytes_per_s = input_bytes_per_s
        self._child_oom_score = child_oom_score
        self._loop: AbstractEventLoop | None = None
        self._running: RunningSnapshot | None = None
        self._progress = Progress(keyspace.snapshot_progress)
        self._last = LastSave(at=int(clock()), monotonic_at=monotonic())
        self._counters = Counters()
        self._retry = Retry()
        self._thread = 0  # the only thread that may fork once the heap is hidden; 0: not hidden
        self._finding: Finding | None = None  # of the last preflight
        self.history = History()
        self._loader = Loader(config, keyspace, log, clock=clock)
        self._loader.on_change = self._changed
        self.scheduled = False
        self.on_status_change: Callable[[], None] | None = None

    # -- what others ask

    @property
    def in_progress(self) -> bool:
        """A snapshot child is alive."""
        return self._running is not None

    @property
    def child_pid(self) -> int:
        """0: none."""
        return self._running.process.pid if self._running else 0

    @property
    def loading(self) -> bool:
        """A dump is being read: commands get -LOADING."""
        return self._loader.active

    @property
    def writes_denied(self) -> bool:
        """Whether writes get the MISCONF error."""
        config = self._config
        return not self._last.bgsave_ok and config.stop_writes_on_bgsave_error and bool(config.save)

    @property
    def last_save_at(self) -> int:
        """LASTSAVE: Unix seconds."""
        return self._last.at

    @property
    def last_ok(self) -> bool:
        """The status of the last background save."""
        return self._last.bgsave_ok

    @property
    def latest_fork_us(self) -> int:
        return self._counters.fork_us

    @property
    def total_forks(self) -> int:
        return self._counters.forks

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self._counters = Counters()

    # -- start

    def attach(self, loop: AbstractEventLoop) -> None:
        """Notice a child's end through this loop at once; without it cron() notices."""
        self._loop = loop

    def remove_stale_files(self) -> None:
        """Remove temporary files of saves that were killed together with their server."""
        directory = self._config.dir
        with contextlib.suppress(OSError):  # a missing directory fails at the first save
            for name in temp_file.stale_files(directory):
                try:
                    os.unlink(os.path.join(directory, name))
                except OSError as error:
                    self._log.warning(f"Cannot remove the stale temp RDB file {name} in {directory}: {error.strerror}")
                else:
                    self._log.notice(f"Removed the stale temp RDB file {name} in {directory}")

    async def load(self) -> None:
        """Read the dump, if there is one; RdbError or OSError, already logged."""
        await self._loader.load()

    def stop_loading(self) -> None:
        """Make load() end with CancelledError: the server stops."""
        self._loader.stop()

    def freeze(self) -> None:
        """Hide existing objects from the garbage collector, and the heap from children (forking.py).

        After this, only this thread may save in the background, and the process must not fork otherwise.
        """
        gc.collect()
        gc.freeze()
        if libraries := interposed.libraries():
            for path, calls in libraries.items():
                self._log.warning(
                    f"{path} stands between minikv and the C library ({', '.join(calls)}). It may need memory that a"
                    " snapshot child does not get, so children get all: forks take longer."
                )
            return
        self._thread = forking.thread_address()
        forking.hide(self._thread)

    # -- saving in this process

    def save(self) -> None:
        """SAVE: write the dump and block; SaveError."""
        if self._running:
            raise SaveError(IN_PROGRESS)
        self._counters.saves += 1  # as in Redis, other saves in this process are not counted
        self._save_here()

    def _save_here(self) -> None:
        if self._running:
            raise SaveError(IN_PROGRESS)
        try:
            rdb_writer.save(
                self._keyspace.walker(),
                SaveSettings.of(self._config, self._loader.functions),
                used_memory=self._keyspace.used_bytes,
                saver=self._saver,
            )
        except MinikvError as error:
            self._log.warning(str(error))
            if isinstance(error, SaveError):
                raise
            raise SaveError(str(error)) from error
        self._log.notice("DB saved on disk")
        self._keyspace.dirty = 0
        self._note_time()
        self._succeeded()

    def after_flush_all(self) -> None:
        """FLUSHALL also empties the dump if there are save points; failures are logged."""
        self.kill_child()
        if self._config.save:
            with contextlib.suppress(SaveError):
                self._save_here()

    def shutdown_save(self, save: bool | None = None, force: bool = False) -> bool:
        """The last save. save: None saves if there are save points. Returns False if the server must not exit."""
        if self._running:
            self._log.warning("There is a child saving an .rdb. Killing it!")
            self.kill_child()
        if not (bool(self._config.save) if save is None else save):
            return True
        self._log.notice("Saving the final RDB snapshot before exiting.")
        try:
            self._save_here()
        except SaveError:
            if force:
                self._log.warning("Error trying to save the DB. Exit anyway.")
                return True
            self._log.warning("Error trying to save the DB, can't exit.")
            return False
        return True

    def reload(self, save: bool = True, flush: bool = True, merge: bool = False) -> None:
        """DEBUG RELOAD: write the dump and read it again, at once; SaveError. See Loader.reload."""
        if self._running:
            raise SaveError(IN_PROGRESS)
        if save:
            self._save_here()
        self._loader.reload(flush=flush, merge=merge)
        self._log.warning("DB reloaded by DEBUG RELOAD")

    # -- background saving

    def schedule(self) -> None:
        """BGSAVE SCHEDULE: cron() starts it as soon as possible."""
        self.scheduled = True
        self._retry.asked_for()

    def cancel(self) -> str | None:
        """BGSAVE CANCEL: what was cancelled, "running" or "scheduled"."""
        if self._running:
            self._running.process.ask_to_end(CANCELLED)
            return "running"
        if self.scheduled:
            self.scheduled = False
            return "scheduled"
        return None

    def bgsave(self, cause: str = BY_HAND) -> None:
        """Fork a child that writes the dump; SaveError if there is one already, or it is refused.

        cause: BY_HAND, SCHEDULED, or the save point that is due.
        """
        if self._running:
            raise SaveError(IN_PROGRESS)
        began = time.perf_counter()
        if (warning := overcommit.warning()) is not None:
            self._log.warning(warning)
        finding = self._finding = self._preflight()
        if finding is not None and finding.verdict == Verdict.SHORT and self._config.bgsave_preflight == "refuse":
            raise self._not_started(cause, f"Can't save in background: {'; '.join(finding.reasons)}", "refused")
        self._counters.saves += 1
        before = AtFork.of(self._keyspace, cause, finding, began)
        settings = SaveSettings.of(self._config, self._loader.functions)
        # Done before the fork: after it, the kernel copies each page that is written to.
        running = RunningSnapshot(
            before,
            keyspace=self._keyspace,
            page=self._progress,
            log=self._log,
            directory=settings.directory,
            started_at_ms=int(self._clock() * 1000),
            read_rollup=self._read_rollup,
        )
        try:
            pid, fork_us = self._fork(settings)
        except (OSError, MinikvError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            text = f"Can't save in background: fork: {reason}"
            raise self._not_started(cause, text, f"fork refused: {reason}") from error
        self._counters.forks += 1
        self._counters.fork_us = fork_us
        if self._latency is not None:
            self._latency.add("fork", fork_us // 1000)
        running.follow(pid, fork_us, self._loop, self._reap)
        self._running = running

    def _preflight(self) -> Finding | None:
        """Whether the snapshot will fit; None if the preflight is off."""
        if self._config.bgsave_preflight == "off":
            return None
        finding = preflight.judge(self._estimate(), self._read_room(self._config.dir))
        write = self._log.warning if finding.verdict == Verdict.SHORT else self._log.notice
        for reason in finding.reasons:
            write(f"Preflight: {reason}")
        return finding

    def _estimate(self) -> Estimate:
        keyspace, history = self._keyspace, self.history
        relocates = self._config.snapshot_writes == "relocate"
        return preflight.estimate(
            frozen_bytes=keyspace.live_bytes if relocates else keyspace.arena_resident_bytes,
            live_bytes=keyspace.live_bytes,
            network_bytes_per_s=self._input_bytes_per_s(),
            growth_bytes_per_s=history.growth_bytes_per_s,
            save_bytes_per_s=history.save_bytes_per_s,
            file_share=history.file_share,
        )

    def _not_started(self, cause: str, text: str, outcome: str) -> SaveError:
        """Record a save that did not start; returns the error to raise."""
        self._log.warning(text)
        finding = self._finding
        self.history.add(
            Entry(
                started_at_ms=int(self._clock() * 1000),
                cause=cause,
                outcome=outcome,
                live_bytes=self._keyspace.live_bytes,
                estimate=finding.estimate if finding else None,
            )
        )
        self._failed(cause)
        return SaveError(text)

    def _fork(self, settings: SaveSettings) -> tuple[int, int]:
        """The child's pid and the microseconds that the fork took."""
        keyspace, saver, log = self._keyspace, self._saver, self._log
        keyspace.snapshot_open(self._config.snapshot_writes == "relocate")
        try:
            rdb_writer.prepare(keyspace.walker(), settings, used_memory=keyspace.used_bytes, saver=saver)
            oom_score = self._child_oom_score()
            saver.for_child(
                log_path=os.fsencode(log.path),
                log_fd=log.fd,
                log_threshold=log.threshold,
                utc_offset_s=time.localtime().tm_gmtoff,
                oom_score=OOM_SCORE if oom_score is None else oom_score,
                verifier=rdb_writer.verifier_arguments(settings),
            )
            pid, fork_ns = saver.fork()
        except BaseException:
            keyspace.snapshot_close()
            raise
        return pid, fork_ns // 1000

    # -- the child's life

    def cron(self, now: float) -> None:
        """Ten times a second: follow the child, or start the save that is due. now: on the monotonic clock."""
        running = self._running
        if running is None:
            self._start_what_is_due(now)
        elif not self._reap():
            running.look(self._config.bgsave_stall_timeout)

    def _start_what_is_due(self, now: float) -> None:
        if self.loading or not self._retry.allows(now):
            return
        for seconds, changes in self._config.save:
            if self._keyspace.dirty >= changes and now - self._last.monotonic_at > seconds:
                self._log.notice(f"{changes} changes in {seconds} seconds. Saving...")
                self._bgsave_or_log(f"save {seconds} {changes}")
                return
        if self.scheduled and self._bgsave_or_log(SCHEDULED):
            self.scheduled = False

    def _bgsave_or_log(self, cause: str) -> bool:
        try:
            self.bgsave(cause)
        except SaveError:
            return False  # it is in the log
        return True

    def kill_child(self) -> bool:
        """Kill the child and wait for its end; False if it does not exit (stuck in a disk driver)."""
        running = self._running
        if running is None:
            return True
        running.process.ask_to_end(CANCELLED)
        if not self._wait_for_end(running, GENTLE_KILL_S):
            running.process.kill()
            if not self._wait_for_end(running, HARD_KILL_S):
                self._log.warning(f"Background saving: the killed child {running.process.pid} does not end")
                return False
        return True

    def _wait_for_end(self, running: RunningSnapshot, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not self._reap():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            running.process.wait(left_s)
        return True

    def _reap(self) -> bool:
        """Handle the child's end; False while it lives."""
        running = self._running
        if running is None:
            return True
        end = running.process.poll()
        if end is None:
            return False
        self._finish(running, end)
        return True

    def _finish(self, running: RunningSnapshot, end: End) -> None:
        """Close the snapshot of a child that has exited, and record its outcome."""
        entry = running.finish(end)
        self._running = None
        self._keyspace.snapshot_close()
        self._last.account = entry.account
        self._last.bgsave_s = int(entry.account.duration_s)
        if entry.saved:
            self._log.notice("Background saving terminated with success")
            self._keyspace.dirty = max(0, self._keyspace.dirty - running.before.dirty)
            self._note_time()
        else:
            self._remove_temp_file(running)
            self._tell_failure(end, entry.outcome)
        self._log.notice(describe_end(entry.account) if entry.saved else describe_failure(entry.account))
        if self._thread:
            # Hide what the heap has grown by. In a thread: the kernel takes a millisecond to list all mappings.
            threading.Thread(target=forking.hide, args=(self._thread,), name="hide the heap", daemon=True).start()
        self.history.add(entry)
        if entry.saved:
            self._succeeded()
        elif entry.outcome != CANCELLED:
            self._failed(entry.cause)

    def _tell_failure(self, end: End, outcome: str) -> None:
        """Log a failure in Redis's words."""
        if outcome == CANCELLED:
            self._log.warning(f"Background saving terminated by signal {int(signal.SIGUSR1)}")
        elif end.exit_code is not None and end.exit_code < 0:
            self._log.warning(f"Background saving terminated by signal {-end.exit_code}")
        else:
            self._log.warning("Background saving error")

    def _remove_temp_file(self, running: RunningSnapshot) -> None:
        with contextlib.suppress(OSError):  # the child has removed it itself, or the directory is gone
            os.unlink(os.path.join(running.directory, temp_file.temp_name(running.process.pid)))

    def _note_time(self) -> None:
        self._last.at, self._last.monotonic_at = int(self._clock()), self._monotonic()

    def _succeeded(self) -> None:
        self._retry.succeeded()
        self._set_status(ok=True)

    def _failed(self, cause: str) -> None:
        retry = self._retry
        retry.failed(self._monotonic(), automatic=cause != BY_HAND)
        if cause != BY_HAND:
            self._log.notice(
                f"{retry.failures} automatic save{'s' * (retry.failures > 1)} failed in a row;"
                f" the next is tried in {retry.delay_s} seconds"
            )
        self._set_status(ok=False)

    def _set_status(self, *, ok: bool) -> None:
        changed = self._last.bgsave_ok != ok
        self._last.bgsave_ok = ok
        if changed:
            self._changed()

    def _changed(self) -> None:
        if self.on_status_change is not None:
            self.on_status_change()

    # -- what it tells

    def info_fields(self) -> dict[str, int | float | str]:
        """The fields of INFO persistence in Redis's order, then our own."""
        running, last = self._running, self._last
        account = running.account() if running else Account()
        keyspace = self._keyspace
        age_s = int(time.monotonic() - account.sampled_at) if account.sampled_at else 0
        return {
            "loading": int(self.loading),
            "async_loading": 0,
            "current_cow_peak": account.private_dirty_peak,
            "current_cow_size": account.private_dirty,
            "current_cow_size_age": age_s,
            "current_fork_perc": f"{account.percent if running else 0:.2f}",
            "current_save_keys_processed": account.keys_done,
            "current_save_keys_total": account.keys_total,
            "rdb_changes_since_last_save": keyspace.dirty,
            "rdb_bgsave_in_progress": int(running is not None),
            "rdb_last_save_time": last.at,
            "rdb_last_bgsave_status": "ok" if last.bgsave_ok else "err",
            "rdb_last_bgsave_time_sec": last.bgsave_s,
            "rdb_current_bgsave_time_sec": int(account.duration_s) if running else -1,
            "rdb_saves": self._counters.saves,
            "rdb_last_cow_size": last.account.private_dirty_peak,
            "rdb_last_load_keys_expired": self._loader.keys_expired,
            "rdb_last_load_keys_loaded": self._loader.keys_loaded,
            "aof_enabled": 0,
            "aof_rewrite_in_progress": 0,
            "aof_rewrite_scheduled": 0,
            "aof_last_rewrite_time_sec": -1,
            "aof_current_rewrite_time_sec": -1,
            "aof_last_bgrewrite_status": "ok",
            "aof_last_write_status": "ok",
            "aof_last_cow_size": 0,
            "module_fork_in_progress": 0,
            "module_fork_last_cow_size": 0,
            **self._loader.info_fields(),
            "minikv_bgsave_failures_in_row": self._retry.failures,
            "minikv_bgsave_retry_sec": self._retry.left_s(self._monotonic()),
            **preflight.info_fields(self._finding),
            **(own_fields("minikv_snapshot_current", account) if running else {}),
            **own_fields("minikv_snapshot_last", last.account),
        }
