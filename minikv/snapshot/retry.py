"""When an automatic save is tried again after a failure: 5 s later, then 10, 20, ... up to 5 minutes.

A save by hand is tried at once and does not lengthen the delay. Any success resets it.
"""

from __future__ import annotations

FIRST_DELAY_S = 5  # as in Redis, which never waits longer
LONGEST_DELAY_S = 300


class Retry:
    """Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.failures = 0  # of automatic saves in a row
        self._tried_at = 0.0

    @property
    def delay_s(self) -> int:
        """Delay between the last try and the next; 0 if nothing has failed."""
        return min(FIRST_DELAY_S << min(self.failures - 1, 16), LONGEST_DELAY_S) if self.failures else 0

    def failed(self, now: float, automatic: bool) -> None:
        """Count a save that failed or was refused."""
        self._tried_at = now
        if automatic or not self.failures:
            self.failures += 1

    def succeeded(self) -> None:
        self.failures = 0

    def asked_for(self) -> None:
        """A save was requested: do not delay the next try."""
        self._tried_at = -float("inf")

    def allows(self, now: float) -> bool:
        """Whether an automatic save may be tried."""
        return self.failures == 0 or now - self._tried_at > self.delay_s

    def left_s(self, now: float) -> int:
        """Seconds until the next try; 0 if it may be made."""
        return 0 if self.allows(now) else max(1, int(self._tried_at + self.delay_s - now))
