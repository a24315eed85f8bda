"""What a snapshot costs in memory, measured while it runs.

Pages that parent and child share exist once, so their resident sizes must not be added. Together they
occupy

    resident(parent) + private(child)

and `growth` is this sum minus what the parent had at the fork, when the child had no pages of its own.
It equals the sum of their proportional set sizes (Pss), but is correct even when the two are not read
at the same instant: between two reads the child may give back hundreds of megabytes of shared pages,
which moves Pss from one process to the other.

The numbers come from /proc/<pid>/smaps_rollup, for which the kernel walks page tables: microseconds
with huge pages, milliseconds per gigabyte without. So a thread reads them and takes at most SHARE of
one core.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from minikv.host.smaps import MemoryUse

FIRST_INTERVAL_S = 0.02  # a small data set is saved in less than a tenth of a second: look early,
LONGEST_INTERVAL_S = 1.0  # then once a second as Redis does
SHARE = 0.01  # of the time that looking may take


ReadRollup = Callable[[int], MemoryUse | None]  # by pid; None: the process is gone


def rollup_or_none(read: ReadRollup, pid: int) -> MemoryUse | None:
    """The figures of a process; None also if we may not read them, for example after setuid."""
    try:
        return read(pid)
    except OSError:
        return None


class Statistic:
    """Last, largest and mean value of a quantity."""

    def __init__(self) -> None:
        self.current = self.peak = self._sum = self._count = 0

    def add(self, value: int) -> None:
        self.current = value
        self.peak = max(self.peak, value)
        self._sum += value
        self._count += 1

    @property
    def average(self) -> int:
        return self._sum // self._count if self._count else 0


class Pace:
    """When to sample: often at first, then rarely, and never for more than SHARE of the time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._interval_s = FIRST_INTERVAL_S
        self._next = clock() + self._interval_s
        self._began = 0.0

    def due(self) -> bool:
        return self._clock() >= self._next

    def begin(self) -> None:
        self._began = self._clock()

    def end(self) -> float:
        """End a sample; returns the seconds until the next one."""
        now = self._clock()
        self._interval_s = min(2 * self._interval_s, LONGEST_INTERVAL_S)
        wait_s = max(self._interval_s, (now - self._began) / SHARE)
        self._next = now + wait_s
        return wait_s


@dataclass(frozen=True, slots=True)
class Sample:
    """Parent and child at about one time, in bytes."""

    at: float
    parent_rss: int
    parent_pss: int
    child_pss: int
    child_private: int
    child_private_dirty: int


class CostMeter:
    """Follows parent and child from the fork to the child's end; its fields may be read at any time."""

    def __init__(self, parent_pid: int, read: ReadRollup) -> None:
        self._parent_pid = parent_pid
        self._child_pid = 0
        self._read = read
        self._first: Callable[[], None] | None = None
        self._stop: threading.Event | None = None  # until `start`
        self.baseline_bytes = 0  # the parent's resident size at the fork; 0 until known
        self.baseline_pss = 0  # of both at the fork, and so of the parent before it
        self.growth = Statistic()
        self.private_dirty = Statistic()  # of the child
        self.sample: Sample | None = None

    def start(self, child_pid: int, first: Callable[[], None] | None = None) -> None:
        """Start sampling, in a thread. first: called there before."""
        self._child_pid = child_pid
        self._first = first
        self._stop = threading.Event()
        _thread.start_new_thread(self._run, ())  # threading.Thread would wait for it to run

    def stop(self) -> None:
        """Stop sampling; does not wait for a sample in progress."""
        if self._stop is not None:
            self._stop.set()

    def finish(self, private_dirty_bytes: int) -> None:
        """Use the child's own last figure, for a child that was too short-lived to be sampled."""
        if self.sample is None and self.baseline_bytes:
            self.growth.add(private_dirty_bytes)

    def _run(self) -> None:
        assert self._stop is not None
        first, self._first = self._first, None
        if first is not None:
            first()
        parent = rollup_or_none(self._read, self._parent_pid)
        if parent is None:
            return
        child = rollup_or_none(self._read, self._child_pid)
        self.baseline_bytes = parent.rss
        self.baseline_pss = parent.pss + (child.pss if child else 0)
        pace = Pace()
        wait_s = FIRST_INTERVAL_S
        while not self._stop.wait(wait_s):
            pace.begin()
            self._look()
            wait_s = pace.end()

    def _look(self) -> None:
        assert self._stop is not None
        parent = rollup_or_none(self._read, self._parent_pid)
        child = rollup_or_none(self._read, self._child_pid)
        if parent is None or child is None or not child.rss or self._stop.is_set():
            return  # a process that has ended, but was not reaped yet, has no memory
        sample = Sample(
            at=time.monotonic(),
            parent_rss=parent.rss,
            parent_pss=parent.pss,
            child_pss=child.pss,
            child_private=child.private_clean + child.private_dirty,
            child_private_dirty=child.private_dirty,
        )
        self.growth.add(max(0, sample.parent_rss + sample.child_private - self.baseline_bytes))
        self.private_dirty.add(sample.child_private_dirty)
        self.sample = sample
