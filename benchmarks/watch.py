"""What a snapshot takes from the machine, looked at every 20 ms from outside: /proc of the server and of its child.

Pages that both share exist once, so their resident sets must not be added. What both occupy together is

    resident(parent) + private(child)      growth = this, less what the parent had before the fork

which is the sum of their proportional set sizes (Pss). The parent's resident size and the page tables are counters
that the kernel keeps (/proc/PID/status). Private memory and Pss are not: for /proc/PID/smaps_rollup it walks the page
tables, which takes milliseconds for each gigabyte in 4 KiB pages. So rollups are read as often as they take no more
than a tenth of a core; a sample without one has 0 there, and growth is known only where the child's has been read.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType

from benchmarks import processes
from benchmarks.traffic import Traffic

PERIOD_S = 0.02
ROLLUP_SHARE = 0.1


@dataclass
class Sample:
    """One look; bytes and counts. child_private: -1 if it was not read."""

    at: float
    writes: int
    parent_rss: int
    parent_faults: int
    parent_page_tables: int
    parent_pss: int = 0
    parent_private_dirty: int = 0
    child_rss: int = 0
    child_faults: int = 0
    child_page_tables: int = 0
    child_private: int = -1
    child_private_dirty: int = 0
    child_pss: int = 0

    @property
    def held(self) -> int | None:
        """Bytes that parent and child occupy together, page tables included; None if not known."""
        if self.child_private < 0:
            return None
        return self.parent_rss + self.child_private + self.parent_page_tables + self.child_page_tables


class Pace:
    """Lets something happen as often as it takes no more than a share of the time."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.next = 0.0

    def due(self) -> bool:
        return time.monotonic() >= self.next

    def took(self, seconds: float) -> None:
        self.next = time.monotonic() + seconds / self.share - seconds


class Watcher:
    """Samples in a thread, as a context manager. `child` is set from outside when it has been found, 0 if none."""

    def __init__(self, pid: int, traffic: Traffic | None = None, period_s: float = PERIOD_S) -> None:
        self.pid = pid
        self.child = 0
        self.traffic = traffic
        self.period_s = period_s
        self.samples: list[Sample] = []
        self.ended = threading.Event()
        self.paces = {"parent": Pace(ROLLUP_SHARE), "child": Pace(ROLLUP_SHARE)}

    def __enter__(self) -> Watcher:
        self.samples.append(self.look())
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ended.set()
        self.thread.join()

    def run(self) -> None:
        due = time.monotonic()
        while not self.ended.wait(max(0.0, due - time.monotonic())):
            try:
                self.samples.append(self.look())
            except (FileNotFoundError, ProcessLookupError):
                return  # the server has gone; whoever talks to it says so
            due = max(due + self.period_s, time.monotonic())

    def look(self) -> Sample:
        parent = processes.status(self.pid)
        sample = Sample(
            time.monotonic(),
            self.traffic.writes if self.traffic else 0,
            parent["VmRSS"],
            processes.faults(self.pid),
            parent["VmPTE"],
        )
        child = self.child
        if child:
            self.look_at_child(child, sample)
        else:
            sample.child_private = 0
        if self.paces["parent"].due():
            rollup = self.rollup("parent", self.pid)
            sample.parent_pss = rollup["Pss"]
            sample.parent_private_dirty = rollup["Private_Dirty"]
        return sample

    def look_at_child(self, child: int, sample: Sample) -> None:
        """A child that ends meanwhile has nothing any more."""
        try:
            if self.paces["child"].due():
                rollup = self.rollup("child", child)
                sample.child_private_dirty = rollup["Private_Dirty"]
                sample.child_pss = rollup["Pss"]
                sample.child_private = rollup["Private_Dirty"] + rollup["Private_Clean"]
            status = processes.status(child)
            sample.child_rss, sample.child_page_tables = status["VmRSS"], status["VmPTE"]
            sample.child_faults = processes.faults(child)
        except (FileNotFoundError, ProcessLookupError, KeyError):  # KeyError: a zombie has no memory
            if processes.state(child) in ("", "Z"):
                sample.child_private = 0

    def rollup(self, whose: str, pid: int) -> dict[str, int]:
        began = time.thread_time()  # waiting for a core is not work
        try:
            return processes.rollup(pid)
        finally:
            self.paces[whose].took(time.thread_time() - began)
