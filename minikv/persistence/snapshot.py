"""BGSAVE: fork a child that writes the dump, follow it, and tell what it costs.

    idle --bgsave()--> running --the child's end--> idle
                         |  kill_child(), cancel(): SIGUSR1, and SIGKILL if that does not help
                         |  every second: progress and growth into the log and INFO

Opening a snapshot freezes the arena: until it is closed the engine writes new versions elsewhere. So the controller
closes it on every way out: a refused fork, the child's success, its failure, its death. One snapshot at a time.

SAVE, SHUTDOWN and FLUSHALL save in this process by the same writer. Which of them reduces `dirty`, sets the status
and the time of the last save follows redis-server 7.0.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import time
import warnings
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from minikv.errors import MinikvError, SaveError
from minikv.host import overcommit, smaps
from minikv.host.scheduling import batch_children
from minikv.persistence import child, progress, rdb_writer, temp_file
from minikv.persistence.account import Account, describe, describe_end, megabytes, own_fields
from minikv.persistence.cost import CostMeter, ReadRollup
from minikv.persistence.disk import DISK, Disk
from minikv.persistence.loading import Loader
from minikv.persistence.progress import Phase, Progress
from minikv.persistence.rdb_writer import SaveSettings

if TYPE_CHECKING:
    from minikv.config import Config
    from minikv.log import Log

RETRY_DELAY_S = 5  # after a failed save, as Redis
TELL_INTERVAL_S = 1.0
GENTLE_KILL_S = 0.05  # the child answers SIGUSR1 between two buffers, unless it is stopped or waits for the disk
HARD_KILL_S = 5.0  # a killed child may still have to wait for the disk

IN_PROGRESS = "Background save already in progress"


class LatencyMonitor(Protocol):
    def add(self, event: str, duration_ms: int) -> None: ...


@dataclass(slots=True)
class Running:
    """The snapshot that is being taken."""

    pid: int
    pidfd: int  # readable when the child has ended; -1 where the kernel has none
    settings: SaveSettings
    keys: int  # in the data set at the fork
    dirty_before: int
    fork_us: int
    began: float  # monotonic
    meter: CostMeter
    told: float = 0.0
    told_bytes: int = 0
    kill_at: float = 0.0  # SIGKILL is due; 0: nobody wants it dead
    on_purpose: bool = False


@dataclass(slots=True)
class Counters:
    """What CONFIG RESETSTAT sets back."""

    forks: int = 0
    fork_us: int = 0
    saves: int = 0


@dataclass(slots=True)
class LastSave:
    """How the last saves went."""

    at: int  # Unix seconds of the last success, or of the start
    tried_at: float = 0.0
    bgsave_ok: bool = True
    bgsave_s: int = -1
    account: Account = field(default_factory=Account)


class SnapshotController:
    """Everything that saves, for commands, cron, INFO and shutdown.

    on_status_change is called when `writes_denied` or `loading` may have changed.
    """

    def __init__(
        self,
        config: Config,
        keyspace: Any,
        log: Log,
        latency: LatencyMonitor | None = None,
        *,
        disk: Disk = DISK,
        clock: Callable[[], float] = time.time,
        read_rollup: ReadRollup = smaps.rollup,
    ) -> None:
        self._config = config
        self._keyspace = keyspace
        self._log = log
        self._latency = latency
        self._disk = disk
        self._clock = clock
        self._read_rollup = read_rollup
        self._loop: AbstractEventLoop | None = None
        self._running: Running | None = None
        self._progress = Progress(keyspace.snapshot_progress)
        self._last = LastSave(at=int(clock()))
        self._counters = Counters()
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
        return self._running.pid if self._running else 0

    @property
    def loading(self) -> bool:
        """A dump is being read: commands get -LOADING."""
        return self._loader.active

    @property
    def writes_denied(self) -> bool:
        """MISCONF holds."""
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
        """Learn of a child's end from this loop, at once; cron() alone learns of it within its period."""
        self._loop = loop

    def remove_stale_files(self) -> None:
        """Clear away what saves left that were killed together with their server."""
        directory = self._config.dir
        with contextlib.suppress(OSError):  # a missing directory shows at the first save
            for name in temp_file.stale_files(directory):
                try:
                    os.unlink(os.path.join(directory, name))
                except OSError as error:
                    self._log.warning(f"Cannot remove the stale temp RDB file {name} in {directory}: {error.strerror}")
                else:
                    self._log.notice(f"Removed the stale temp RDB file {name} in {directory}")

    async def load(self) -> None:
        """Read the dump, if there is one; RdbError or OSError after having said why in the log."""
        await self._loader.load()

    def stop_loading(self) -> None:
        """The server stops: load() ends with CancelledError."""
        self._loader.stop()

    def freeze(self) -> None:
        """Take what exists out of the garbage collector's sight: its marks would be page copies during a snapshot."""
        gc.collect()
        gc.freeze()

    # -- saving in this process

    def save(self) -> None:
        """SAVE: write the dump while nothing else happens; SaveError."""
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
                disk=self._disk,
            )
        except SaveError as error:
            self._log.warning(str(error))
            raise
        self._log.notice("DB saved on disk")
        self._keyspace.dirty = 0
        self._last.at = int(self._clock())
        self._set_status(ok=True)

    def after_flush_all(self) -> None:
        """FLUSHALL also empties the dump, if save points exist; a failure is in the log."""
        self.kill_child()
        if self._config.save:
            with contextlib.suppress(SaveError):
                self._save_here()

    def shutdown_save(self, save: bool | None = None, force: bool = False) -> bool:
        """The last save. save: None means, if save points exist. False: the server must not exit, the log says why."""
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
        """DEBUG RELOAD: write the dump and read it again, at once; SaveError, RdbError, OSError. See Loader.reload."""
        if self._running:
            raise SaveError(IN_PROGRESS)
        if save:
            self._save_here()
        self._loader.reload(flush=flush, merge=merge)
        self._log.warning("DB reloaded by DEBUG RELOAD")

    # -- background saving

    def schedule(self) -> None:
        """BGSAVE SCHEDULE: cron() starts it as soon as it can."""
        self.scheduled = True

    def cancel(self) -> str | None:
        """BGSAVE CANCEL: what was cancelled, "running" or "scheduled"."""
        if self._running:
            self._ask_to_end(self._running)
            return "running"
        if self.scheduled:
            self.scheduled = False
            return "scheduled"
        return None

    def bgsave(self) -> None:
        """Fork a child that writes the dump; SaveError if there is one already or the fork fails."""
        if self._running:
            raise SaveError(IN_PROGRESS)
        if (warning := overcommit.warning()) is not None:
            self._log.warning(warning)
        keyspace = self._keyspace
        self._counters.saves += 1
        self._last.tried_at = self._clock()
        dirty, keys = keyspace.dirty, sum(len(database) for database in keyspace.databases)
        settings = SaveSettings.of(self._config, self._loader.functions)
        try:
            pid, fork_us = self._fork(settings)
        except (OSError, MinikvError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            text = f"Can't save in background: fork: {reason}"
            self._log.warning(text)
            self._set_status(ok=False)
            raise SaveError(text) from error
        self._running = Running(
            pid=pid,
            pidfd=_open_pidfd(pid),
            settings=settings,
            keys=keys,
            dirty_before=dirty,
            fork_us=fork_us,
            began=time.monotonic(),
            meter=CostMeter(os.getpid(), pid, self._read_rollup),
        )
        self._follow(self._running)

    def _fork(self, settings: SaveSettings) -> tuple[int, int]:
        """The child's pid and the microseconds that the fork took. Returns in the parent only."""
        keyspace = self._keyspace
        keyspace.snapshot_open(self._config.snapshot_writes == "relocate")
        # A signal between the fork and the child's first lines would reach the parent's event loop through the child.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            job = child.Job(
                make_walker=keyspace.walker,
                settings=settings,
                used_memory=keyspace.used_bytes,
                progress=self._progress,
                log=self._log,
                disk=self._disk,
                read_rollup=self._read_rollup,
                parent_pid=os.getpid(),
                signal_mask=mask,
            )
            with warnings.catch_warnings(), batch_children():
                # Python 3.12 warns of forks with threads. The meter's thread takes no lock that the child needs.
                warnings.simplefilter("ignore", DeprecationWarning)
                began_ns = time.perf_counter_ns()
                pid = self._disk.fork()
                if pid == 0:
                    child.run(job)
                return pid, (time.perf_counter_ns() - began_ns) // 1000
        except BaseException:
            keyspace.snapshot_close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _follow(self, running: Running) -> None:
        self._counters.forks += 1
        self._counters.fork_us = running.fork_us
        if self._latency is not None:
            self._latency.add("fork", running.fork_us // 1000)
        if self._loop is not None and running.pidfd >= 0:
            self._loop.add_reader(running.pidfd, self._reap)
            self._loop.call_soon(running.meter.start)  # a thread's start takes 0.1 ms: after the reply
        else:
            running.meter.start()
        running.told = running.began
        self._log.notice(f"Background saving started by pid {running.pid}")
        self._log.notice(
            f"Snapshot: fork took {running.fork_us} us; {running.keys} keys,"
            f" {megabytes(self._keyspace.arena_used_bytes)} of arena in use"
        )

    # -- the child's life

    def cron(self, now: float) -> None:
        """Ten times a second: follow the child, or start the save that is due."""
        running = self._running
        if running is None:
            self._start_what_is_due(now)
        elif not self._reap():
            self._tell_progress(running)
            if running.kill_at and time.monotonic() >= running.kill_at:
                _kill(running.pid, signal.SIGKILL)

    def _start_what_is_due(self, now: float) -> None:
        if self.loading or not (self._last.bgsave_ok or now - self._last.tried_at > RETRY_DELAY_S):
            return
        for seconds, changes in self._config.save:
            if self._keyspace.dirty >= changes and now - self._last.at > seconds:
                self._log.notice(f"{changes} changes in {seconds} seconds. Saving...")
                self._bgsave_or_log()
                return
        if self.scheduled and self._bgsave_or_log():
            self.scheduled = False

    def _bgsave_or_log(self) -> bool:
        try:
            self.bgsave()
        except SaveError:
            return False  # it is in the log
        return True

    def kill_child(self) -> bool:
        """End the child now and wait for its end; False if the kernel does not let it go (stuck in a disk's driver)."""
        running = self._running
        if running is None:
            return True
        self._ask_to_end(running)
        if not self._wait_for_end(running, GENTLE_KILL_S):
            _kill(running.pid, signal.SIGKILL)  # a stopped process hears no other signal
            if not self._wait_for_end(running, HARD_KILL_S):
                self._log.warning(f"Background saving: the killed child {running.pid} does not end")
                return False
        return True

    @staticmethod
    def _ask_to_end(running: Running) -> None:
        running.on_purpose = True
        running.kill_at = time.monotonic() + GENTLE_KILL_S
        _kill(running.pid, signal.SIGUSR1)

    def _wait_for_end(self, running: Running, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not self._reap():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            if running.pidfd >= 0:
                _wait_readable(running.pidfd, left_s)
            else:
                time.sleep(min(left_s, 0.001))
        return True

    def _reap(self) -> bool:
        """Take notice of the child's end; False while it lives."""
        running = self._running
        if running is None:
            return True
        try:
            pid, status = os.waitpid(running.pid, os.WNOHANG)
        except ChildProcessError:
            # Somebody took it, or SIGCHLD is ignored: the progress page tells how far it came.
            pid, status = running.pid, 0 if self._progress.load(progress.PHASE) == Phase.RENAMED else 1 << 8
        if pid == 0:
            return False
        self._finish(running, os.waitstatus_to_exitcode(status))
        return True

    def _finish(self, running: Running, exit_code: int) -> None:
        """The child has ended; exit_code is negative for a signal."""
        running.meter.stop()
        running.meter.finish(self._progress.load(progress.PRIVATE_DIRTY))
        self._close_pidfd(running)
        account = self._account(running)
        self._running = None
        self._keyspace.snapshot_close()
        self._last.account = account
        self._last.bgsave_s = int(account.duration_s)
        if exit_code == child.EXIT_SAVED:
            self._log.notice("Background saving terminated with success")
            self._keyspace.dirty = max(0, self._keyspace.dirty - running.dirty_before)
            self._last.at = int(self._clock())
        else:
            self._remove_temp_file(running)
            if exit_code == child.EXIT_KILLED_ON_PURPOSE or running.on_purpose:
                exit_code = -signal.SIGUSR1
            if exit_code > 0:
                self._log.warning("Background saving error")
            else:
                self._log.warning(f"Background saving terminated by signal {-exit_code}")
        self._log.notice(describe_end(account))
        if exit_code != -signal.SIGUSR1:
            self._set_status(ok=exit_code == child.EXIT_SAVED)

    def _close_pidfd(self, running: Running) -> None:
        if running.pidfd >= 0:
            if self._loop is not None:
                self._loop.remove_reader(running.pidfd)
            os.close(running.pidfd)
            running.pidfd = -1

    def _remove_temp_file(self, running: Running) -> None:
        with contextlib.suppress(OSError):  # the child has removed it itself, or the directory is gone
            self._disk.unlink(os.path.join(running.settings.directory, temp_file.temp_name(running.pid)))

    def _set_status(self, *, ok: bool) -> None:
        changed = self._last.bgsave_ok != ok
        self._last.bgsave_ok = ok
        if changed:
            self._changed()

    def _changed(self) -> None:
        if self.on_status_change is not None:
            self.on_status_change()

    # -- what it costs

    def _account(self, running: Running) -> Account:
        load, meter, keyspace = self._progress.load, running.meter, self._keyspace
        seen = meter.private_dirty  # by us; the child's own figures stop with the child
        sample = meter.sample
        return Account(
            fork_us=running.fork_us,
            duration_s=time.monotonic() - running.began,
            keys_total=running.keys,
            keys_done=load(progress.KEYS),
            bytes_written=load(progress.BYTES),
            private_dirty=seen.current or load(progress.PRIVATE_DIRTY),
            private_dirty_peak=max(seen.peak, load(progress.PRIVATE_DIRTY_PEAK)),
            private_dirty_average=seen.average or load(progress.PRIVATE_DIRTY_AVERAGE),
            baseline_pss=meter.baseline_pss,
            parent_pss=sample.parent_pss if sample else 0,
            child_pss=sample.child_pss if sample else 0,
            growth=meter.growth.current,
            growth_peak=meter.growth.peak,
            growth_average=meter.growth.average,
            relocated_bytes=keyspace.relocated_bytes,
            relocated_records=keyspace.relocated_records,
            segments=keyspace.frozen_segments,
            segments_passed=keyspace.passed_segments,
            sampled_at=sample.at if sample else 0.0,
        )

    def _tell_progress(self, running: Running) -> None:
        now = time.monotonic()
        if now - running.told < TELL_INTERVAL_S:
            return
        account = self._account(running)
        rate = (account.bytes_written - running.told_bytes) / (now - running.told)
        running.told, running.told_bytes = now, account.bytes_written
        self._log.verbose(describe(account, rate))

    def info_fields(self) -> dict[str, int | float | str]:
        """The section Persistence of INFO, in its order; ends with figures of our own."""
        running, last = self._running, self._last
        account = self._account(running) if running else Account()
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
            **(own_fields("minikv_snapshot_current", account) if running else {}),
            **own_fields("minikv_snapshot_last", last.account),
        }


def _open_pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:  # no descriptor left: cron() asks waitpid
        return -1


def _wait_readable(fd: int, timeout_s: float) -> None:
    poll = select.poll()  # select() stops at descriptor 1024
    poll.register(fd, select.POLLIN)
    poll.poll(timeout_s * 1000)


def _kill(pid: int, number: signal.Signals) -> None:
    """The child is not reaped, so that its number is still its own."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
