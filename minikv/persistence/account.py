"""The cost of a snapshot, for the log and INFO."""

from __future__ import annotations

import os
from dataclasses import dataclass

MB = 1 << 20


@dataclass(slots=True)
class Account:
    """What a snapshot has cost so far, or in the end; bytes."""

    fork_us: int = 0
    duration_s: float = 0.0
    keys_total: int = 0
    keys_done: int = 0
    bytes_written: int = 0
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
        """Upper bound of the pages that the kernel copied: the few that the child wrote itself are included."""
        return self.private_dirty_peak // os.sysconf("SC_PAGE_SIZE")


def own_fields(prefix: str, account: Account) -> dict[str, int | float | str]:
    """INFO fields that Redis does not have."""
    return {
        f"{prefix}_fork_usec": account.fork_us,
        f"{prefix}_msec": int(account.duration_s * 1000),
        f"{prefix}_keys": account.keys_done,
        f"{prefix}_bytes_written": account.bytes_written,
        f"{prefix}_bytes_per_sec": account.bytes_per_sec,
        f"{prefix}_pss_before": account.baseline_pss,
        f"{prefix}_pss_parent": account.parent_pss,
        f"{prefix}_pss_child": account.child_pss,
        f"{prefix}_growth": account.growth,
        f"{prefix}_growth_peak": account.growth_peak,
        f"{prefix}_growth_average": account.growth_average,
        f"{prefix}_pages_copied": account.copied_pages,
        f"{prefix}_relocated_bytes": account.relocated_bytes,
        f"{prefix}_relocated_records": account.relocated_records,
        f"{prefix}_segments": account.segments,
        f"{prefix}_segments_passed": account.segments_passed,
    }


def describe(account: Account, rate: float) -> str:
    """The log line of a running snapshot. rate: bytes written per second, recently."""
    return (
        f"Snapshot {account.percent:.1f}%: {account.keys_done} of {account.keys_total} keys,"
        f" {megabytes(account.bytes_written)} written, {megabytes(rate)}/s;"
        f" memory growth {megabytes(account.growth)} (Pss of both {megabytes(account.parent_pss + account.child_pss)},"
        f" {megabytes(account.baseline_pss)} before), {account.copied_pages} pages copied,"
        f" {megabytes(account.relocated_bytes)} relocated"
    )


def describe_end(account: Account) -> str:
    """The log line of a finished snapshot."""
    return (
        f"Snapshot took {account.duration_s:.3f} s, its fork {account.fork_us} us: {account.keys_done} keys,"
        f" {megabytes(account.bytes_written)} written, {megabytes(account.bytes_per_sec)}/s;"
        f" memory growth {megabytes(account.growth)}, peak {megabytes(account.growth_peak)},"
        f" average {megabytes(account.growth_average)}; {account.copied_pages} pages copied,"
        f" {megabytes(account.relocated_bytes)} relocated in {account.relocated_records} records"
    )


def describe_failure(account: Account) -> str:
    """The log line of a failed snapshot."""
    return (
        f"Snapshot failed after {account.duration_s:.3f} s, its fork {account.fork_us} us:"
        f" {account.keys_done} of {account.keys_total} keys, {megabytes(account.bytes_written)} written;"
        f" memory growth peak {megabytes(account.growth_peak)}"
    )


def megabytes(nbytes: float) -> str:
    return f"{nbytes / MB:.1f} MB"
