"""Distinguishes a child that hangs from one that is slow.

Progress is any change of what the child publishes: keys, bytes, phase. Each check adds at most one second
of time without progress, so a pause of the whole machine, or of server and child together, does not count.
"""

from __future__ import annotations

from minikv.engine import progress
from minikv.engine.progress import Progress

LONGEST_LOOK_S = 1.0
# During fsync the child publishes no progress. A disk may be as slow as this.
SLOWEST_DISK_BYTES_PER_S = 10 << 20

WATCHED = (progress.KEYS_DONE, progress.BYTES_WRITTEN, progress.PHASE, progress.BYTES_VERIFIED)


class Watchdog:
    """Follows one child; times are monotonic seconds."""

    def __init__(self, page: Progress, now: float) -> None:
        self._page = page
        self._looked_at = now
        self._seen = self._state()
        self.idle_s = 0.0  # without progress

    def _state(self) -> tuple[int, ...]:
        return tuple(self._page.load(index) for index in WATCHED)

    def hangs(self, now: float, timeout_s: float) -> bool:
        """True once the child has made no progress for the timeout; never if that is 0."""
        state = self._state()
        elapsed_s, self._looked_at = now - self._looked_at, now
        if state != self._seen:
            self._seen = state
            self.idle_s = 0.0
        else:
            self.idle_s += min(elapsed_s, LONGEST_LOOK_S)
        return timeout_s > 0 and self.idle_s >= timeout_s + self._grace_s()

    def excuse(self, now: float) -> None:
        """The child waits for others."""
        self._looked_at = now
        self.idle_s = 0.0

    def _grace_s(self) -> float:
        if self._page.load(progress.PHASE) != progress.PHASE_SYNCING:
            return 0.0
        return self._page.load(progress.BYTES_WRITTEN) / SLOWEST_DISK_BYTES_PER_S
