"""What the last snapshots cost, and estimates for the next one.

The estimates use the worst of the newest RECENT successful saves: the slowest save, the fastest growth,
the largest file. Copies over a connection are as slow as their reader, and do not count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from minikv.history.manifest import LAYER
from minikv.snapshot.cost import SnapshotCost
from minikv.snapshot.output import SYNC
from minikv.snapshot.preflight import OWN_BYTES, Estimate

KEPT = 128  # as in the slow log
RECENT = 3

SAVED = "saved"
FULL = "full"


@dataclass(frozen=True, slots=True)
class Entry:
    """One snapshot, from its cause to its end.

    outcome: "saved", or the failure in words. live_bytes: of the data set at the fork. stall_us: the
    longest stall of the event loop, with what the fork takes of it. Faults are minor page
    faults.
    """

    started_at_ms: int
    cause: str
    outcome: str
    kind: str = FULL  # of dump: a point of a history is a base or a layer
    live_bytes: int = 0
    cost: SnapshotCost = field(default_factory=SnapshotCost)
    estimate: Estimate | None = None  # of the preflight
    child_faults: int = 0
    parent_faults: int = 0
    child_cpu_us: int = 0
    stall_us: int = 0

    @property
    def saved(self) -> bool:
        return self.outcome == SAVED

    def fields(self) -> dict[str, int | str]:
        """The fields of SNAPSHOT HISTORY; bytes unless the name says otherwise."""
        cost, estimate = self.cost, self.estimate or Estimate()
        return {
            "started-ms": self.started_at_ms,
            "cause": self.cause,
            "outcome": self.outcome,
            "kind": self.kind,
            "fork-us": cost.fork_us,
            "duration-ms": int(cost.duration_s * 1000),
            "keys": cost.keys_done,
            "bytes": cost.bytes_written,
            "bytes-shared": cost.bytes_shared,
            "bytes-per-sec": cost.bytes_per_sec,
            "growth": cost.growth,
            "growth-peak": cost.growth_peak,
            "growth-average": cost.growth_average,
            "pages-copied": cost.copied_pages,
            "relocated-bytes": cost.relocated_bytes,
            "minor-faults-parent": self.parent_faults,
            "minor-faults-child": self.child_faults,
            "child-cpu-us": self.child_cpu_us,
            "worst-stall-us": self.stall_us,
            "expected-growth": estimate.expected_bytes,
            "worst-case-growth": estimate.worst_bytes,
            "expected-duration-ms": int(estimate.save_s * 1000),
            "expected-bytes": estimate.file_bytes,
        }


class History:
    """The last KEPT snapshots, newest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        self._entries.appendleft(entry)

    def newest(self, count: int = KEPT) -> list[Entry]:
        return list(islice(self._entries, count))

    def clear(self) -> None:
        self._entries.clear()

    def _recent(self, *, layers: bool = False) -> Iterator[Entry]:
        """Whole dumps, or layers: how fast a layer of a few keys is says nothing."""
        saved = (entry for entry in self._entries if entry.saved and entry.cause != SYNC)
        return islice((entry for entry in saved if (entry.kind == LAYER) is layers), RECENT)

    @property
    def save_bytes_per_s(self) -> int:
        """Speed of the slowest recent save; 0 without one."""
        return min((entry.cost.bytes_per_sec for entry in self._recent()), default=0)

    @property
    def growth_bytes_per_s(self) -> int:
        """The fastest growth of memory, without the fixed cost of a snapshot."""
        return max(
            (
                int(max(0, entry.cost.growth_peak - OWN_BYTES) / entry.cost.duration_s)
                for entry in self._recent()
                if entry.cost.duration_s > 0
            ),
            default=0,
        )

    @property
    def file_share(self) -> float:
        """The most bytes of file per live byte; before the first save 1, as without compression."""
        return self._share(layers=False)

    @property
    def layer_share(self) -> float:
        """The same of layers."""
        return self._share(layers=True)

    def _share(self, *, layers: bool) -> float:
        entries = [entry for entry in self._recent(layers=layers) if entry.live_bytes]
        return max((entry.cost.bytes_written / entry.live_bytes for entry in entries), default=1.0)
