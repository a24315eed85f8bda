"""The latency monitor: when the server was blocked, by event.

Events are `command` and `fast-command` (a slow handler), `fork` (the snapshot's fork),
`expire-cycle`, `eviction-cycle` and whatever else calls `add`. Delays of at least
latency-monitor-threshold milliseconds are kept: the worst of each second, the last 160 of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from minikv.config import Config

HISTORY_SAMPLES = 160


class Sample(NamedTuple):
    """The longest delay of one second."""

    time_s: int
    duration_ms: int


@dataclass
class Event:
    """The samples of one event, oldest first; worst_ms is the worst since the last reset."""

    worst_ms: int = 0
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=HISTORY_SAMPLES))

    def add(self, sample: Sample) -> None:
        self.worst_ms = max(self.worst_ms, sample.duration_ms)
        if self.samples and self.samples[-1].time_s == sample.time_s:
            self.samples[-1] = max(self.samples[-1], sample)
        else:
            self.samples.append(sample)

    @property
    def average_ms(self) -> float:
        return sum(sample.duration_ms for sample in self.samples) / len(self.samples)

    @property
    def mean_deviation_ms(self) -> float:
        """Mean absolute deviation of the samples from their average."""
        average_ms = self.average_ms
        return sum(abs(sample.duration_ms - average_ms) for sample in self.samples) / len(self.samples)

    def period_s(self, now_s: float) -> float:
        """Mean time between samples, from the oldest until now."""
        return max(now_s - self.samples[0].time_s, 1.0) / len(self.samples)


class LatencyMonitor:
    """All events that ever reached the threshold, by name."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.clock = clock
        self.events: dict[str, Event] = {}

    def add(self, event: str, duration_ms: int) -> None:
        """Keep a delay if the monitor is on and the delay reaches the threshold."""
        threshold_ms = self.config.latency_monitor_threshold
        if threshold_ms and duration_ms >= threshold_ms:
            self.events.setdefault(event, Event()).add(Sample(int(self.clock()), duration_ms))

    def reset(self, names: list[str]) -> int:
        """Forget the named events, or all if none is named; returns how many were forgotten."""
        forgotten = [name for name in names or list(self.events) if self.events.pop(name, None) is not None]
        return len(forgotten)
