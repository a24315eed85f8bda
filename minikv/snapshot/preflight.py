"""Before a fork: will this snapshot fit into memory and onto the disk?

    worst       everything that the child reads is overwritten before the child is past it
    expected    what clients write during the save, if that is less
                (both include the fixed cost of a snapshot, OWN_BYTES)
    room        free memory of the machine, or of the tightest control group if that is less

    room >= worst       ok
    room >= expected    tight: enough unless clients write far more than recently
    else                short: expect the kernel to OOM-kill or to swap

In overcommit mode 2 the kernel must also promise the fork a second copy of every private writable
mapping that the child inherits, and the disk must have room for the new file beside the old one: if
one does not fit, the verdict is short, too.

The write rate comes from the network or from the growth during earlier snapshots, whichever is more;
the time of a save from earlier saves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from minikv.host.cgroup import read_cgroup_memory
from minikv.host.disk import free_bytes
from minikv.host.memory import read_memory
from minikv.host.overcommit import STRICT, forked_bytes, left_for_fork, read_mode
from minikv.snapshot.cost import MB, megabytes

MACHINE = "MemAvailable"
# The fixed cost of a snapshot: pages that both processes touch, the child's blocks.
OWN_BYTES = 16 * MB
# Before the first save: what a slow disk takes.
FIRST_BYTES_PER_S = 100 * MB
# A file system full to the last block fails in other ways.
DISK_RESERVE_BYTES = 1 * MB


class Verdict(StrEnum):
    """Whether a snapshot fits."""

    OFF = "off"
    OK = "ok"
    TIGHT = "tight"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a snapshot will need, in bytes, and how long it will take."""

    worst_bytes: int = 0
    expected_bytes: int = 0
    file_bytes: int = 0
    save_s: float = 0.0
    write_bytes_per_s: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """The room there is. disk_bytes: None if unknown. commit_bytes: None unless overcommit is strict."""

    memory_bytes: int
    memory_of: str  # who sets the limit
    disk_bytes: int | None
    commit_bytes: int | None = None
    commit_needed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict and, in words, what is missing."""

    verdict: Verdict
    estimate: Estimate
    room: Room
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        estimate, room = self.estimate, self.room
        return (
            f"Preflight {self.verdict}: {megabytes(estimate.expected_bytes)} of memory expected"
            f" (at worst {megabytes(estimate.worst_bytes)}), {megabytes(room.memory_bytes)} left ({room.memory_of});"
            f" file about {megabytes(estimate.file_bytes)}"
            + (f", {megabytes(room.disk_bytes)} free" if room.disk_bytes is not None else "")
        )


def estimate(
    *,
    frozen_bytes: int,
    live_bytes: int,
    network_bytes_per_s: int,
    growth_bytes_per_s: int,
    save_bytes_per_s: int,
    file_share: float,
) -> Estimate:
    """What the next snapshot will need.

    frozen_bytes: what can be overwritten while the child still needs it. file_share: bytes of file per live byte.
    save_bytes_per_s: 0 before the first save.
    """
    file_bytes = int(live_bytes * file_share)
    save_s = file_bytes / (save_bytes_per_s or FIRST_BYTES_PER_S)
    write_bytes_per_s = max(network_bytes_per_s, growth_bytes_per_s)
    worst_bytes = frozen_bytes + OWN_BYTES
    return Estimate(
        worst_bytes=worst_bytes,
        expected_bytes=min(worst_bytes, int(write_bytes_per_s * save_s) + OWN_BYTES),
        file_bytes=file_bytes,
        save_s=save_s,
        write_bytes_per_s=write_bytes_per_s,
    )


def read_room(directory: str, proc: str = "/proc", root: str = "") -> Room:
    """What machine, control groups and file system have left now; takes 0.2 ms, more in overcommit mode 2."""
    memory_bytes, memory_of = read_memory(proc).available_bytes, MACHINE
    group = read_cgroup_memory(proc, root)
    if group is not None and group.left_bytes < memory_bytes:
        memory_bytes, memory_of = group.left_bytes, f"control group {group.path}"
    strict = read_mode(proc) == STRICT
    return Room(
        memory_bytes=memory_bytes,
        memory_of=memory_of,
        disk_bytes=free_bytes(directory),
        commit_bytes=left_for_fork(proc) if strict else None,
        commit_needed_bytes=forked_bytes(proc) if strict else 0,
    )


def judge(estimate: Estimate, room: Room) -> Finding:
    """Compare what is needed with what there is."""
    short, tight = [], []
    if estimate.expected_bytes > room.memory_bytes:
        short.append(
            f"the snapshot is expected to need {megabytes(estimate.expected_bytes)} of memory"
            f" ({megabytes(estimate.write_bytes_per_s)}/s are written, it takes {estimate.save_s:.1f} s),"
            f" {megabytes(room.memory_bytes)} are left ({room.memory_of})"
        )
    elif estimate.worst_bytes > room.memory_bytes:
        tight.append(
            f"if all data were overwritten meanwhile the snapshot would need {megabytes(estimate.worst_bytes)} of"
            f" memory, {megabytes(room.memory_bytes)} are left ({room.memory_of})"
        )
    if room.commit_bytes is not None and room.commit_needed_bytes > room.commit_bytes:
        short.append(
            f"with vm.overcommit_memory 2 the fork needs a promise of {megabytes(room.commit_needed_bytes)},"
            f" {megabytes(room.commit_bytes)} are left below the commit limit"
        )
    needed_on_disk = estimate.file_bytes + DISK_RESERVE_BYTES
    if room.disk_bytes is not None and needed_on_disk > room.disk_bytes:
        short.append(
            f"the file will take about {megabytes(estimate.file_bytes)}, {megabytes(room.disk_bytes)} are free on the"
            f" disk: {megabytes(needed_on_disk - room.disk_bytes)} too little"
        )
    verdict = Verdict.SHORT if short else Verdict.TIGHT if tight else Verdict.OK
    return Finding(verdict, estimate, room, (*short, *tight))


def info_fields(finding: Finding | None) -> dict[str, int | float | str]:
    """The last finding, for INFO."""
    if finding is None:
        return {"minikv_preflight_verdict": Verdict.OFF.value}
    estimate, room = finding.estimate, finding.room
    return {
        "minikv_preflight_verdict": finding.verdict.value,
        "minikv_preflight_expected_bytes": estimate.expected_bytes,
        "minikv_preflight_worst_bytes": estimate.worst_bytes,
        "minikv_preflight_memory_left": room.memory_bytes,
        "minikv_preflight_memory_limit": "machine" if room.memory_of == MACHINE else "cgroup",
        "minikv_preflight_file_bytes": estimate.file_bytes,
        "minikv_preflight_disk_free": -1 if room.disk_bytes is None else room.disk_bytes,
        "minikv_preflight_save_msec": int(estimate.save_s * 1000),
        "minikv_preflight_write_bytes_per_sec": estimate.write_bytes_per_s,
        "minikv_preflight_commit_needed": room.commit_needed_bytes,
        "minikv_preflight_commit_left": -1 if room.commit_bytes is None else room.commit_bytes,
    }
