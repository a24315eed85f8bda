"""How saves went: what LASTSAVE, MISCONF, INFO, the save points and the retries go by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minikv.snapshot.cost import SnapshotCost, info_fields
from minikv.snapshot.retry import Retry

if TYPE_CHECKING:
    from minikv.log import Log

BY_HAND = "BGSAVE"
SCHEDULED = "BGSAVE SCHEDULE"
LAST = "minikv_snapshot_last"  # how its fields in INFO begin


@dataclass(slots=True)
class Counters:
    """What CONFIG RESETSTAT clears."""

    forks: int = 0
    fork_us: int = 0
    saves: int = 0
    syncs: int = 0


class SaveStatus:
    """Follows all saves, in this process and in the background.

    on_change is called when the status has changed. clock: Unix seconds. monotonic: seconds that nobody sets, which
    save points and retries count.
    """

    def __init__(
        self,
        log: Log,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._clock = clock
        self._monotonic = monotonic
        self.ok = True  # of the last save, where failures of SAVE do not count
        self.saved_at = int(clock())  # Unix seconds of the last success, or of the start
        self.saved_at_monotonic = monotonic()
        self.bgsave_s = -1  # how long the last one took
        self.cost = SnapshotCost()  # of the last snapshot
        self.cost_fields = info_fields(LAST, self.cost)
        self.counters = Counters()
        self.retry = Retry()
        self.on_change: Callable[[], None] | None = None

    def took(self, cost: SnapshotCost) -> None:
        """A snapshot has ended."""
        self.cost = cost
        self.cost_fields = info_fields(LAST, cost)
        self.bgsave_s = int(cost.duration_s)

    def succeeded(self) -> None:
        """The dump is new."""
        self.saved_at, self.saved_at_monotonic = int(self._clock()), self._monotonic()
        self.retry.succeeded()
        self._set(ok=True)

    def failed(self, cause: str) -> None:
        """A background save has failed, or was refused. cause: BY_HAND, SCHEDULED or the save point."""
        retry = self.retry
        retry.failed(self._monotonic(), automatic=cause != BY_HAND)
        if cause != BY_HAND:
            self._log.notice(
                f"{retry.failures} automatic save{'s' * (retry.failures > 1)} failed in a row;"
                f" the next is tried in {retry.delay_s} seconds"
            )
        self._set(ok=False)

    @property
    def retry_in_s(self) -> int:
        """Until the next automatic save may be tried; 0: now."""
        return self.retry.left_s(self._monotonic())

    def _set(self, *, ok: bool) -> None:
        changed = self.ok != ok
        self.ok = ok
        if changed and self.on_change is not None:
            self.on_change()
