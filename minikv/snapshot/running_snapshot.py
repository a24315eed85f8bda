"""One snapshot while its child lives: progress, watchdog, cost."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from asyncio import AbstractEventLoop, Handle
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minikv.engine import progress
from minikv.engine.progress import EXIT_FAILED, EXIT_KILLED_ON_PURPOSE, EXIT_SAVED, Progress
from minikv.snapshot.cost import SnapshotCost, format_progress, megabytes
from minikv.snapshot.cost_meter import CostMeter, ReadRollup
from minikv.snapshot.cpu_share import ALL, CpuShare
from minikv.snapshot.heartbeat import Heartbeat
from minikv.snapshot.history import FULL, SAVED, Entry
from minikv.snapshot.output import Output
from minikv.snapshot.preflight import Finding
from minikv.snapshot.process import ChildProcess, End
from minikv.snapshot.watchdog import Watchdog

if TYPE_CHECKING:
    from minikv.log import Log

LOG_INTERVAL_S = 1.0
BEGIN_AFTER_S = 0.002  # log lines and the meter's thread can wait until clients have had their replies

# Outcomes that the parent causes.
CANCELLED = "cancelled"
STALLED = "killed: no progress"


@dataclass(frozen=True, slots=True)
class AtFork:
    """The state right before the fork."""

    cause: str
    finding: Finding | None  # of the preflight; None if there was none before the fork
    keys: int
    live_bytes: int
    dirty: int
    parent_faults: int  # minor page faults of this process until then
    began: float  # perf_counter, when the save was asked for
    kind: str = FULL  # of dump: a layer, a base, or an ordinary one

    @classmethod
    def of(cls, keyspace: Any, cause: str, finding: Finding | None, began: float, kind: str = FULL) -> AtFork:
        return cls(
            cause=cause,
            finding=finding,
            keys=sum(len(database) for database in keyspace.databases),
            live_bytes=keyspace.live_bytes,
            dirty=keyspace.dirty,
            parent_faults=_own_faults(),
            began=began,
            kind=kind,
        )


class RunningSnapshot:
    """Follows a child from its fork to its end."""

    process: ChildProcess

    def __init__(
        self,
        before: AtFork,
        *,
        keyspace: Any,
        page: Progress,
        log: Log,
        directory: str,
        started_at_ms: int,
        read_rollup: ReadRollup,
        preflight: Callable[[], Finding | None] | None = None,
        output: Output | None = None,
        cpu_share: int = ALL,
    ) -> None:
        """preflight: called in the background, for what `before` does not have."""
        self.fork_us = 0
        self.before = before
        self.finding = before.finding
        self._preflight = preflight
        self._announced: threading.Event | None = None  # where a thread announces
        self.output = output  # None: the dump
        self._cpu_percent = cpu_share
        self._cpu_share: CpuShare | None = None
        self.directory = directory  # of the new file
        self._keyspace = keyspace
        self._page = page
        self._log = log
        self._started_at_ms = started_at_ms
        self._began = time.monotonic()
        self._meter = CostMeter(os.getpid(), read_rollup)
        self._heartbeat = Heartbeat(before.began)
        self._watchdog = Watchdog(page, self._began)
        self._logged_at = self._began
        self._logged_bytes = 0
        self._beginning: Handle | None = None  # the loop will call _begin

    def beat(self, loop: AbstractEventLoop | None) -> None:
        """Start measuring the loop's stalls."""
        if loop is not None:
            self._heartbeat.start(loop)

    def give_up(self) -> None:
        """There will be no child."""
        self._heartbeat.stop()

    def follow(self, pid: int, fork_us: int, loop: AbstractEventLoop | None, on_end: Callable[[], object]) -> None:
        """Start measuring and watching for the child's end; with a loop only after the reply to BGSAVE."""
        self.process = ChildProcess(pid)
        self.fork_us = fork_us
        self._cpu_share = CpuShare(pid, self._cpu_percent)
        if loop is None:
            self._announce()
            self._meter.start(pid)
        else:
            self._beginning = loop.call_later(BEGIN_AFTER_S, self._begin, loop, on_end)

    def _begin(self, loop: AbstractEventLoop, on_end: Callable[[], object]) -> None:
        self._beginning = None
        self._announced = threading.Event()
        self._meter.start(self.process.pid, self._announce)  # in its thread: the log and the kernel may take a while
        self.process.watch(loop, on_end)

    def _announce(self) -> None:
        if self._preflight is not None:
            self.finding = self._preflight()
        what = "saving" if self.output is None else "RDB transfer"
        self._log.notice(f"Background {what} started by pid {self.process.pid}")
        self._log.notice(
            f"Snapshot: fork took {self.fork_us} us; {self.before.keys} keys,"
            f" {megabytes(self._keyspace.arena_used_bytes)} of arena in use"
        )
        if self.finding is not None:
            self._log.notice(str(self.finding))
        if self._announced is not None:
            self._announced.set()

    def look(self, stall_timeout_s: float) -> None:
        """Called by cron while the child lives: log progress, kill a child that hangs or ignores SIGUSR1."""
        self._log_progress()
        if self._cpu_share is not None:
            self._cpu_share.look()
        if self.output is not None and self.output.is_full:
            self._watchdog.excuse(time.monotonic())
        elif not self.process.why and self._watchdog.hangs(time.monotonic(), stall_timeout_s):
            self._log.warning(
                f"Background saving: child {self.process.pid} has made no progress for {self._watchdog.idle_s:.0f} s"
                f" ({self._phase_name}, {self._page.load(progress.KEYS_DONE)} of {self.before.keys} keys)."
                " Killing it!"
            )
            self.process.ask_to_end(STALLED)
        self.process.insist()

    def _log_progress(self) -> None:
        now = time.monotonic()
        if now - self._logged_at < LOG_INTERVAL_S:
            return
        cost = self.cost()
        rate = (cost.bytes_written - self._logged_bytes) / (now - self._logged_at)
        self._logged_at, self._logged_bytes = now, cost.bytes_written
        self._log.verbose(format_progress(cost, rate))

    @property
    def _phase_name(self) -> str:
        return progress.PHASE_NAMES[self._page.load(progress.PHASE)]

    def cost(self) -> SnapshotCost:
        """What it has cost so far."""
        load, meter, keyspace = self._page.load, self._meter, self._keyspace
        seen = meter.private_dirty  # our samples; the child's own figures stop with the child
        sample = meter.sample
        return SnapshotCost(
            fork_us=self.fork_us,
            duration_s=time.monotonic() - self._began,
            keys_total=self.before.keys,
            keys_done=load(progress.KEYS_DONE),
            bytes_written=load(progress.BYTES_WRITTEN),
            bytes_shared=load(progress.BYTES_SHARED),
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

    def finish(self, end: End) -> Entry:
        """The child has exited: its history entry. Call it before the keyspace's snapshot is closed."""
        if self._beginning is not None:
            self._beginning.cancel()
            self._announce()
        if self._announced is not None:
            self._announced.wait(LOG_INTERVAL_S)
        self._heartbeat.stop()
        self._meter.stop()
        self._meter.finish(self._page.load(progress.PRIVATE_DIRTY))
        self.process.close()
        before = self.before
        return Entry(
            started_at_ms=self._started_at_ms,
            cause=before.cause,
            outcome=self._outcome(end),
            kind=before.kind,
            live_bytes=before.live_bytes,
            cost=self.cost(),
            estimate=self.finding.estimate if self.finding else None,
            child_faults=end.minor_faults,
            parent_faults=_own_faults() - before.parent_faults,
            child_cpu_us=end.cpu_us,
            stall_us=int(self._heartbeat.worst_s * 1e6),
        )

    def _outcome(self, end: End) -> str:
        """The outcome in words."""
        code = end.exit_code
        if code is None:  # the progress page says how far it came
            code = EXIT_SAVED if self._page.load(progress.PHASE) == progress.PHASE_RENAMED else EXIT_FAILED
        if code == EXIT_SAVED:
            return SAVED
        if self.process.why:
            return self.process.why
        if code in (EXIT_KILLED_ON_PURPOSE, -signal.SIGUSR1):
            return CANCELLED
        if code < 0:
            return f"killed by signal {-code} while {self._phase_name}"
        number = self._page.load(progress.ERRNO)
        return f"failed while {self._phase_name}: {os.strerror(number) if number else 'see the log'}"


def _own_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
