"""The section Persistence of INFO, in Redis's order; figures of our own stand at its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from minikv.snapshot import preflight
from minikv.snapshot.cost import SnapshotCost, info_fields

if TYPE_CHECKING:
    from minikv.snapshot.controller import SnapshotController


def persistence_fields(snapshots: SnapshotController, dirty: int) -> dict[str, int | float | str]:
    """dirty: changes since the last save."""
    status, loader = snapshots.status, snapshots.loader
    running = snapshots.running_cost()
    cost = running or SnapshotCost()
    sample_age_s = int(time.monotonic() - cost.sampled_at) if cost.sampled_at else 0
    return {
        "loading": int(snapshots.loading),
        "async_loading": 0,
        "current_cow_peak": cost.private_dirty_peak,
        "current_cow_size": cost.private_dirty,
        "current_cow_size_age": sample_age_s,
        "current_fork_perc": f"{cost.percent if running else 0:.2f}",
        "current_save_keys_processed": cost.keys_done,
        "current_save_keys_total": cost.keys_total,
        "rdb_changes_since_last_save": dirty,
        "rdb_bgsave_in_progress": int(running is not None),
        "rdb_last_save_time": status.saved_at,
        "rdb_last_bgsave_status": "ok" if status.ok else "err",
        "rdb_last_bgsave_time_sec": status.bgsave_s,
        "rdb_current_bgsave_time_sec": int(cost.duration_s) if running else -1,
        "rdb_saves": status.counters.saves,
        "rdb_last_cow_size": status.cost.private_dirty_peak,
        "rdb_last_load_keys_expired": loader.keys_expired,
        "rdb_last_load_keys_loaded": loader.keys_loaded,
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
        "aof_last_rewrite_time_sec": -1,
        "aof_current_rewrite_time_sec": -1,
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": "ok",
        "aof_last_cow_size": 0,
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
        **loader.info_fields(),
        "minikv_fork_mode": snapshots.fork_mode,
        "minikv_bgsave_failures_in_row": status.retry.failures,
        "minikv_bgsave_retry_sec": status.retry_in_s,
        **snapshots.points.info_fields(),
        **(snapshots.compactor.info_fields() if snapshots.points.on else {}),
        **preflight.info_fields(snapshots.finding),
        **(info_fields("minikv_snapshot_current", cost) if running else {}),
        **status.cost_fields,
    }
