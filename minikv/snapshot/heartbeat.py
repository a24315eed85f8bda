"""The longest stall of the event loop during a snapshot.

A timer measures how late the loop answers it: every millisecond at first, when the fork and all that belongs to it is
done, then more rarely. It runs only during a snapshot, and takes about 0.2 % of a core.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop

from minikv.host.timer import Timer

FIRST_INTERVAL_S = 0.001
FIRST_BEATS = 100
INTERVAL_S = 0.005


class Heartbeat:
    """Beats from `start` to `stop`. began: when the work before the fork began to block the loop (perf_counter)."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._loop: AbstractEventLoop | None = None
        self._timer: Timer | None = None
        self._interval_s = FIRST_INTERVAL_S
        self._due = 0.0
        self._beats = 0
        self.worst_s = 0.0

    def start(self, loop: AbstractEventLoop) -> None:
        """Start; what has begun to block the loop before counts until the loop is free."""
        self._loop = loop
        loop.call_soon(self._free)

    def _free(self) -> None:
        if self._loop is None:
            return
        self.worst_s = max(self.worst_s, time.perf_counter() - self._began)
        try:
            self._timer = Timer()
            self._due = self._timer.start(self._interval_s)
            self._loop.add_reader(self._timer.fd, self._beat)
        except OSError:  # no descriptor left
            self.stop()

    def _beat(self) -> None:
        if self._timer is None:
            return
        self._measure()
        self._due += self._timer.read() * self._interval_s
        self._beats += 1
        if self._beats == FIRST_BEATS:
            self._interval_s = INTERVAL_S
            self._due = self._timer.start(INTERVAL_S)

    def _measure(self) -> None:
        self.worst_s = max(self.worst_s, time.monotonic() - self._due)

    def stop(self) -> None:
        loop, timer = self._loop, self._timer
        self._loop = self._timer = None
        if loop is not None and timer is not None:
            if time.monotonic() > self._due:
                self._measure()
            loop.remove_reader(timer.fd)
            timer.close()
