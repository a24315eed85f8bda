"""BGSAVE: fork a child that writes the dump, follow it, and report what it costs.

    idle --bgsave()--> forking --the child is there--> running --the child's end--> idle
                         |                               |  kill_child(), cancel(): SIGUSR1, then SIGKILL
                         |  it failed: idle              |  every second: progress and growth into the log and INFO
                                                         |  no progress: the watchdog kills it

A thread forks while the loop serves (saving/fork_thread.py); where there is none, or writes do not relocate, bgsave()
itself forks.

Opening a snapshot freezes the arena: until it is closed, the engine writes new versions elsewhere. So the
controller closes it on every path: a refused fork, the child's success, failure or death. There is one
snapshot at a time.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import signal
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from minikv.engine import progress
from minikv.engine.progress import Progress
from minikv.errors import MinikvError, SaveError
from minikv.history.manifest import LAYER
from minikv.host import overcommit, smaps
from minikv.saving import fork, heap, interposed, temp_file
from minikv.saving.save_job import SaveJob
from minikv.saving.settings import ChildSettings, SaveSettings
from minikv.snapshot import preflight
from minikv.snapshot.compactor import Compactor
from minikv.snapshot.cost import SnapshotCost, format_end, format_failure
from minikv.snapshot.cost_meter import ReadRollup
from minikv.snapshot.history import FULL, Entry, History
from minikv.snapshot.loader import Loader
from minikv.snapshot.output import SYNC, Output
from minikv.snapshot.points import Plan, Points
from minikv.snapshot.preflight import Estimate, Finding, Room, Verdict
from minikv.snapshot.process import GENTLE_KILL_S, OOM_SCORE, End
from minikv.snapshot.running_snapshot import CANCELLED, AtFork, RunningSnapshot
from minikv.snapshot.status import BY_HAND, SCHEDULED, SaveStatus

if TYPE_CHECKING:
    from minikv.config import Config
    from minikv.log import Log

HARD_KILL_S = 5.0  # a killed child may still have to wait for the disk

IN_PROGRESS = "Background save already in progress"


class LatencyMonitor(Protocol):
    def add(self, event: str, duration_ms: int) -> None: ...


class SnapshotController:
    """What saves in the background, and loads, for commands, cron and INFO.

    job: what every save works with, in turn. input_bytes_per_s: what clients send at present. read_room: what the
    machine has left for a snapshot. child_oom_score: what the settings want, None without a wish.
    """

    def __init__(
        self,
        config: Config,
        keyspace: Any,
        log: Log,
        latency: LatencyMonitor | None = None,
        *,
        job: SaveJob | None = None,
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
        self.job = job if job is not None else SaveJob()
        self._clock = clock
        self._monotonic = monotonic
        self._read_rollup = read_rollup
        self._read_room = read_room
        self._input_bytes_per_s = input_bytes_per_s
        self._child_oom_score = child_oom_score
        self._loop: AbstractEventLoop | None = None
        self._running: RunningSnapshot | None = None
        self._progress = Progress(keyspace.snapshot_progress)
        self._forking = False  # the thread has not said yet that the child of `_running` is there
        self._counts_forks = overcommit.read_mode() == overcommit.STRICT  # the kernel promises each child its memory
        self._warned = False  # of the overcommit mode, at the last save
        self._listening = False  # the loop notices when it says so
        self._hide: Callable[[], int] | None = (
            None  # from children, what has come since the last time; None: nothing is
        )
        self.finding: Finding | None = None  # of the last preflight
        self.history = History()
        self.status = SaveStatus(log, clock, monotonic)
        self.points = Points(config, keyspace, log)
        self.compactor = Compactor(config, log, self.points, monotonic=monotonic)
        self.loader = Loader(config, keyspace, log, self.points, clock=clock)
        config.on_change("snapshot-mode", self._mode_changed)
        for name in ("history-keep", "history-max-bytes"):
            config.on_change(name, lambda _: self.compactor.ask())
        self.scheduled = False

    # -- what others ask

    @property
    def in_progress(self) -> bool:
        """A snapshot child is alive."""
        return self._running is not None

    @property
    def child_pid(self) -> int:
        """0: none. Waits for one that is being made."""
        self._await_fork()
        return self._running.process.pid if self._running else 0

    @property
    def loading(self) -> bool:
        """A dump is being read: commands get -LOADING."""
        return self.loader.active

    @property
    def writes_denied(self) -> bool:
        """Whether writes get the MISCONF error."""
        config = self._config
        return not self.status.ok and config.stop_writes_on_bgsave_error and bool(config.save)

    def running_cost(self) -> SnapshotCost | None:
        """What the snapshot that is running has cost so far."""
        return self._running.cost() if self._running else None

    def keep_functions(self, libraries: tuple[bytes, ...]) -> None:
        """The libraries of functions have changed: strings of the RDB format, for the next dump."""
        self.loader.functions = libraries

    @property
    def page(self) -> Progress:
        """What the last save has published of itself."""
        return self._progress

    def _mode_changed(self, mode: object) -> None:
        if mode == FULL:
            self.compactor.kill()
            self.points.close()

    def call_on_change(self, function: Callable[[], None]) -> None:
        """Have it called when `writes_denied` or `loading` may have changed."""
        self.status.on_change = self.loader.on_change = function

    # -- start

    def attach(self, loop: AbstractEventLoop) -> None:
        """Notice a child's beginning and end through this loop at once; without it cron() notices."""
        self._loop = loop
        self._listen()

    def remove_stale_files(self) -> None:
        """Remove temporary files of saves that were killed together with their server."""
        self._remove_stale_files_of(self._config.dir)
        if self.points.on:
            self._remove_stale_files_of(self.points.directory)

    def _remove_stale_files_of(self, directory: str) -> None:
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
        await self.loader.load()

    def stop_loading(self) -> None:
        """Make load() end with CancelledError: the server stops."""
        self.loader.stop()

    def freeze(self) -> None:
        """Take what exists out of the garbage collector's sight, and out of a child's (saving/fork.py).

        After this, this thread alone may save in the background, and the process can't fork by other means.
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
        heap.watch()
        if self._config.bgsave_fork == "thread" and self.fork_in_thread():
            self._hide = self.job.thread.hide  # type: ignore[union-attr]
        else:
            self._hide = partial(fork.hide, fork.thread_address())
        self._hide()

    def fork_in_thread(self) -> bool:
        """Let a thread fork from now on; False if there can be none."""
        started = self.job.start_thread()
        self._listen()
        return started

    def _listen(self) -> None:
        if self._loop is not None and self.job.thread is not None and not self._listening:
            self._loop.add_reader(self.job.thread.event_fd, self._hear)
            self._listening = True

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.job.thread.event_fd)  # type: ignore[union-attr]
        self._end_fork()

    @property
    def fork_mode(self) -> str:
        """How the next snapshot is forked: in a "thread", or by the event "loop", which stops meanwhile."""
        if self.job.thread is None or self._config.snapshot_writes != "relocate" or self._counts_forks:
            return "loop"
        return "thread"

    # -- background saving

    def schedule(self) -> None:
        """BGSAVE SCHEDULE: cron() starts it as soon as possible."""
        self.scheduled = True
        self.status.retry.asked_for()

    def cancel(self) -> str | None:
        """BGSAVE CANCEL: what was cancelled, "running" or "scheduled"."""
        self._await_fork()
        if self._running:
            self._running.process.ask_to_end(CANCELLED)
            return "running"
        if self.scheduled:
            self.scheduled = False
            return "scheduled"
        return None

    def bgsave(self, cause: str = BY_HAND, output: Output | None = None) -> None:
        """Fork a child that writes the dump; SaveError if there is one already, or it is refused.

        cause: BY_HAND, SCHEDULED, or the save point that is due; SYNC if there is an output, to which the child writes
        instead. Returns before the child is there if a thread makes it; what is saved is the state of this moment
        nevertheless. A failure is then logged and counted only; an output hears of it.
        """
        if self._running:
            raise SaveError(IN_PROGRESS)
        began = time.perf_counter()
        try:
            plan = self.points.plan() if self.points.on and output is None else None
        except SaveError as error:
            raise self._not_started(cause, str(error), str(error)) from error
        in_thread = self.fork_mode == "thread"
        preflight_ = partial(
            self._preflight,
            self._needs(plan) if self._config.bgsave_preflight != "off" else None,
            directory=self._config.dir if plan is None else self.points.directory,
            needs_disk=output is None or not output.is_pipe,
            warn=cause == BY_HAND,
        )
        # It takes a while to ask the kernel: after the fork, in a thread, if nothing depends on the answer.
        later = in_thread and self._loop is not None and self._config.bgsave_preflight != "refuse"
        finding = None if later else preflight_()
        if finding is not None and finding.verdict == Verdict.SHORT and self._config.bgsave_preflight == "refuse":
            raise self._not_started(cause, f"Can't save in background: {'; '.join(finding.reasons)}", "refused")
        if output is None:
            self.status.counters.saves += 1
        before = AtFork.of(self._keyspace, cause, finding, began, plan.kind if plan else FULL)
        settings = SaveSettings.of(
            self._config,
            self.loader.functions,
            self._keyspace.used_bytes,
            has_field_ttls=self._keyspace.has_field_ttls,
        )
        if output is not None:
            settings = settings.into(output.fd, is_pipe=output.is_pipe)
        # Done before the fork: after it, the kernel copies each page that is written to.
        running = RunningSnapshot(
            before,
            keyspace=self._keyspace,
            page=self._progress,
            log=self._log,
            directory=self.points.directory if plan else settings.directory,
            started_at_ms=int(self._clock() * 1000),
            read_rollup=self._read_rollup,
            preflight=preflight_ if later else None,
            output=output,
            cpu_share=self._config.bgsave_cpu_share,
        )
        try:
            self._fork(settings, plan, in_thread)
            self._running = running
            self._forking = in_thread
            if not in_thread:
                self._follow(*self.job.fork())
        except (OSError, MinikvError) as error:
            raise self._fork_failed(cause, error) from error
        running.beat(self._loop)

    def _follow(self, pid: int, fork_ns: int) -> None:
        """The child is there."""
        fork_us = fork_ns // 1000
        self.status.counters.forks += 1
        self.status.counters.fork_us = fork_us
        if self._latency is not None and not self._forking:  # else nobody has waited
            self._latency.add("fork", fork_us // 1000)
        self._forking = False
        running = self._running
        assert running is not None
        running.follow(pid, fork_us, self._loop, self._reap)
        if running.output is not None:
            running.output.started()

    def _end_fork(self) -> bool:
        """Follow the child that the thread has made; False: not yet."""
        running = self._running
        if running is None or not self._forking:
            return True
        try:
            forked = self.job.forked()
        except OSError as error:
            running.give_up()
            self.scheduled |= running.before.cause == SCHEDULED
            self._fork_failed(running.before.cause, error)
            if running.output is not None:
                running.output.ended(False)
            return True
        if forked is None:
            return False
        self._keyspace.snapshot_cloned()
        self._follow(*forked)
        return True

    def _await_fork(self) -> None:
        if self._forking:
            self.job.await_fork()
            self._end_fork()

    def _fork_failed(self, cause: str, error: OSError | MinikvError) -> SaveError:
        """Record a fork that has failed, or was not tried; returns the error to raise."""
        self._running = None
        self._forking = False
        self._keyspace.snapshot_close()
        self.points.end(self._progress, saved=False)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return self._not_started(cause, f"Can't save in background: fork: {reason}", f"fork refused: {reason}")

    def _preflight(
        self, needs: Callable[[], Estimate] | None, *, directory: str, needs_disk: bool = True, warn: bool = True
    ) -> Finding | None:
        """Whether the snapshot will fit; None if the preflight is off. Any thread may ask.

        warn: of the overcommit mode; otherwise only if this is news, for there may be a save each second.
        """
        self._counts_forks = overcommit.read_mode() == overcommit.STRICT
        warning = overcommit.warning()
        if warning is not None and (warn or not self._warned):
            self._log.warning(warning)
        self._warned = warning is not None
        if needs is None:
            self.finding = None
            return None
        room = self._read_room(directory)
        finding = self.finding = preflight.judge(needs(), room if needs_disk else replace(room, disk_bytes=None))
        write = self._log.warning if finding.verdict == Verdict.SHORT else self._log.notice
        for reason in finding.reasons:
            write(f"Preflight: {reason}")
        return finding

    def _needs(self, plan: Plan | None) -> Callable[[], Estimate]:
        """What the snapshot will need, by the figures of this moment."""
        keyspace = self._keyspace
        live_bytes = keyspace.live_bytes
        relocates = self._config.snapshot_writes == "relocate"
        return partial(
            self._estimate,
            live_bytes if relocates else keyspace.arena_resident_bytes,
            live_bytes,
            self._input_bytes_per_s(),
            is_layer=plan is not None and plan.is_layer,
        )

    def _estimate(self, frozen_bytes: int, live_bytes: int, network_bytes_per_s: int, *, is_layer: bool) -> Estimate:
        history = self.history
        return preflight.estimate(
            frozen_bytes=frozen_bytes,
            live_bytes=live_bytes,
            network_bytes_per_s=network_bytes_per_s,
            growth_bytes_per_s=history.growth_bytes_per_s,
            save_bytes_per_s=history.save_bytes_per_s,
            file_share=history.layer_share if is_layer else history.file_share,
        )

    def _not_started(self, cause: str, text: str, outcome: str) -> SaveError:
        """Record a save that did not start; returns the error to raise."""
        self._log.warning(text)
        finding = self.finding
        self.history.add(
            Entry(
                started_at_ms=int(self._clock() * 1000),
                cause=cause,
                outcome=outcome,
                live_bytes=self._keyspace.live_bytes,
                estimate=finding.estimate if finding else None,
            )
        )
        if cause != SYNC:
            self.status.failed(cause)
        return SaveError(text)

    def _fork(self, settings: SaveSettings, plan: Plan | None, in_thread: bool) -> None:
        """Open the snapshot, prepare the save and, in a thread, begin the fork; MinikvError, OSError."""
        log, oom_score = self._log, self._child_oom_score()
        child = ChildSettings(
            log_path=os.fsencode(log.path),
            log_fd=log.fd,
            log_threshold=log.threshold,
            utc_offset_s=time.localtime().tm_gmtoff,
            oom_score=OOM_SCORE if oom_score is None else oom_score,
            verifier=settings.verifier(),
        )
        self._keyspace.snapshot_open(self._config.snapshot_writes == "relocate", in_thread)
        if plan is not None:
            settings = self.points.begin(plan, settings)
        layer = plan is not None and plan.is_layer
        self.job.prepare(self._keyspace.walker(True) if layer else self._keyspace.walker(), settings, child)
        if in_thread:
            self.job.begin_fork()

    # -- the child's life

    def cron(self, now: float) -> None:
        """Ten times a second: follow the child, or start the save that is due. now: on the monotonic clock."""
        running = self._running
        if self.points.is_open:
            self.compactor.cron(base_is_written=running is not None and running.before.kind != LAYER)
        if running is None:
            self._start_what_is_due(now)
        elif self._end_fork() and not self._reap():
            running.look(self._config.bgsave_stall_timeout)

    def _start_what_is_due(self, now: float) -> None:
        if self.loading or not self.status.retry.allows(now):
            return
        for seconds, changes in self._config.save:
            if self._keyspace.dirty >= changes and now - self.status.saved_at_monotonic > seconds:
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
        self._await_fork()
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
        published = self._progress.load(progress.PHASE) == progress.PHASE_RENAMED
        self.points.end(self._progress, saved=published, cleared=entry.saved and entry.kind == LAYER)
        self.status.took(entry.cost)
        what = "saving" if running.output is None else "RDB transfer"
        if entry.saved:
            self._log.notice(f"Background {what} terminated with success")
        else:
            self._log_failure(end, entry.outcome, what if running.output is None else "transfer")
        if running.output is None:
            if entry.saved:
                self._keyspace.dirty = max(0, self._keyspace.dirty - running.before.dirty)
            else:
                self._remove_temp_file(running)
        self._log.notice(format_end(entry.cost) if entry.saved else format_failure(entry.cost))
        if self._hide is not None:
            # Hide what heap.py has not seen. In a thread: the kernel takes a millisecond to list all mappings.
            _thread.start_new_thread(self._hide, ())
        self.history.add(entry)
        if running.output is not None:
            running.output.ended(entry.saved)
        elif entry.saved:
            self.status.succeeded()
        elif entry.outcome != CANCELLED:
            self.status.failed(entry.cause)

    def _log_failure(self, end: End, outcome: str, what: str) -> None:
        """Log a failure in Redis's words. what: "saving" or "transfer"."""
        if outcome == CANCELLED:
            self._log.warning(f"Background {what} terminated by signal {int(signal.SIGUSR1)}")
        elif end.exit_code is not None and end.exit_code < 0:
            self._log.warning(f"Background {what} terminated by signal {-end.exit_code}")
        else:
            self._log.warning(f"Background {what} error")

    def _remove_temp_file(self, running: RunningSnapshot) -> None:
        with contextlib.suppress(OSError):  # the child has removed it itself, or the directory is gone
            os.unlink(os.path.join(running.directory, temp_file.temp_name(running.process.pid)))
