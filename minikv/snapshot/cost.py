"""What a snapshot costs, for the log and INFO."""

from __future__ import annotations

import os
from dataclasses import dataclass

MB = 1 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class SnapshotCost:
    """What a snapshot has cost so far, or in the end; bytes."""

    fork_us: int = 0
    duration_s: float = 0.0
    keys_total: int = 0
    keys_done: int = 0
    bytes_written: int = 0
    bytes_shared: int = 0  # of these, with the dump before
    private_dirty: int = 0  # of the child, as Redis reports it
    private_dirty_peak: int = 0
    private_dirty_average: int = 0
    baseline_pss: int = 0  # of the parent before the fork
    parent_pss: int = 0
    child_pss: int = 0
    growth: int = 0  # of parent and child together, since the fork
    growth_peak: int = 0
    growth_average: int = 0
    relocated_bytes: int = 0
    relocated_records: int = 0
    segments: int = 0
    segments_passed: int = 0
    sampled_at: float = 0.0  # monotonic; 0: not yet

    @property
    def percent(self) -> float:
        """Percentage of keys done; 100 for an empty data set."""
        return 100.0 * self.keys_done / self.keys_total if self.keys_total else 100.0

    @property
    def bytes_per_sec(self) -> int:
        return int(self.bytes_written / self.duration_s) if self.duration_s > 0 else 0

    @property
    def copied_pages(self) -> int:
        """Pages of which the child holds the only old copy, at most: the few that it wrote itself are among them."""
        return self.private_dirty_peak // PAGE_BYTES


def info_fields(prefix: str, cost: SnapshotCost) -> dict[str, int | float | str]:
    """INFO fields that Redis does not have."""
    return {
        f"{prefix}_fork_usec": cost.fork_us,
        f"{prefix}_msec": int(cost.duration_s * 1000),
        f"{prefix}_keys": cost.keys_done,
        f"{prefix}_bytes_written": cost.bytes_written,
        f"{prefix}_bytes_shared": cost.bytes_shared,
        f"{prefix}_bytes_per_sec": cost.bytes_per_sec,
        f"{prefix}_pss_before": cost.baseline_pss,
        f"{prefix}_pss_parent": cost.parent_pss,
        f"{prefix}_pss_child": cost.child_pss,
        f"{prefix}_growth": cost.growth,
        f"{prefix}_growth_peak": cost.growth_peak,
        f"{prefix}_growth_average": cost.growth_average,
        f"{prefix}_pages_copied": cost.copied_pages,
        f"{prefix}_relocated_bytes": cost.relocated_bytes,
        f"{prefix}_relocated_records": cost.relocated_records,
        f"{prefix}_segments": cost.segments,
        f"{prefix}_segments_passed": cost.segments_passed,
    }


def format_progress(cost: SnapshotCost, rate: float) -> str:
    """The log line of a running snapshot. rate: bytes written per second, recently."""
    return (
        f"Snapshot {cost.percent:.1f}%: {cost.keys_done} of {cost.keys_total} keys,"
        f" {megabytes(cost.bytes_written)} written, {megabytes(rate)}/s;"
        f" memory growth {megabytes(cost.growth)} (Pss of both {megabytes(cost.parent_pss + cost.child_pss)},"
        f" {megabytes(cost.baseline_pss)} before), {cost.copied_pages} pages copied,"
        f" {megabytes(cost.relocated_bytes)} relocated"
    )


def format_end(cost: SnapshotCost) -> str:
    """The log line of a finished snapshot."""
    shared = f" ({megabytes(cost.bytes_shared)} of it shared with the dump before)" if cost.bytes_shared else ""
    return (
        f"Snapshot took {cost.duration_s:.3f} s, its fork {cost.fork_us} us: {cost.keys_done} keys,"
        f" {megabytes(cost.bytes_written)} written{shared}, {megabytes(cost.bytes_per_sec)}/s;"
        f" memory growth {megabytes(cost.growth)}, peak {megabytes(cost.growth_peak)},"
        f" average {megabytes(cost.growth_average)}; {cost.copied_pages} pages copied,"
        f" {megabytes(cost.relocated_bytes)} relocated in {cost.relocated_records} records"
    )


def format_failure(cost: SnapshotCost) -> str:
    """The log line of a failed snapshot."""
    return (
        f"Snapshot failed after {cost.duration_s:.3f} s, its fork {cost.fork_us} us:"
        f" {cost.keys_done} of {cost.keys_total} keys, {megabytes(cost.bytes_written)} written;"
        f" memory growth peak {megabytes(cost.growth_peak)}"
    )


def megabytes(nbytes: float) -> str:
    return f"{nbytes / MB:.1f} MB"


def amount(nbytes: int) -> str:
    """The same for what may be a few bytes only."""
    return megabytes(nbytes) if nbytes >= MB else f"{nbytes} bytes"
