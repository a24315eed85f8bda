"""SNAPSHOT ADVISE: sentences that follow from the host's state and from the snapshots so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minikv.commands.memory_figures import human
from minikv.host.system_check import Finding
from minikv.snapshot.history import Entry

# Limits below which there is no advice.
SLOW_FORK_US = 10_000
SLOW_FORK_US_PER_GB = 3_000  # with 2 MiB pages it is under 1000, with 4 KiB pages about 10,000
LONG_STALL_US = 50_000
BIG_BYTES = 100 << 20
SLOW_BYTES_PER_S = 100 << 20
MUCH_GROWTH = 0.5  # of the data set
BUSY_SHARE = 0.5  # of the time in which a child saves
GB = 1 << 30


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the server knows about itself."""

    huge_pages: bool
    relocates: bool
    live_bytes: int


def advise(findings: Sequence[Finding], entries: Sequence[Entry], server: Circumstances) -> str:
    """What to change, or that there is nothing. entries: newest first."""
    advice = [
        f"{finding.found}. {finding.meaning} To change: {finding.advice}." for finding in findings if finding.advice
    ]
    advice += from_history(entries, server)
    if not advice:
        seen = f"the last {len(entries)} snapshots" if entries else "no snapshot yet"
        return f"Nothing to change for better snapshots was found on this host ({seen}).\n"
    return "What to change:\n\n" + "".join(f"- {sentence}\n" for sentence in advice)


def from_history(entries: Sequence[Entry], server: Circumstances) -> Iterator[str]:
    saved = [entry for entry in entries if entry.saved]
    yield from failures(entries)
    if not saved:
        return
    yield from slow_forks(saved, server)
    yield from growth(saved, server)
    yield from stalls(saved)
    yield from slow_saves(saved)


def failures(entries: Sequence[Entry]) -> Iterator[str]:
    failed = [entry for entry in entries if not entry.saved and entry.outcome != "cancelled"]
    if failed:
        yield (
            f"{len(failed)} of the last {len(entries)} snapshots failed, the last of them: {failed[0].outcome}"
            f" ({failed[0].cause}). The log says more."
        )
    if any("No space left" in entry.outcome for entry in failed):
        yield "The disk was full: a dump is written beside the old one, so there must be room for both."
    if any(entry.outcome.startswith("fork refused") for entry in failed):
        yield "The kernel refused a fork: with vm.overcommit_memory 1 it does not count what a snapshot might need."
    if any(entry.outcome.startswith("killed by signal 9") for entry in failed):
        yield (
            "A child was killed by SIGKILL, as the kernel does when memory runs out ('dmesg' would tell): give machine"
            " or container more memory, or set bgsave-preflight to refuse."
        )
    if any(entry.outcome == "killed: no progress" for entry in failed):
        yield "A child hung until it was killed: look for a disk or network file system that does not answer."


def slow_forks(saved: Sequence[Entry], server: Circumstances) -> Iterator[str]:
    worst = max(saved, key=lambda entry: entry.cost.fork_us)
    fork_us, gigabytes = worst.cost.fork_us, worst.live_bytes / GB
    if fork_us <= SLOW_FORK_US or fork_us <= SLOW_FORK_US_PER_GB * gigabytes:
        return
    yield f"A fork took {fork_us / 1000:.1f} ms, in which no client was served" + (
        ": on a machine with other load, give the server a core of its own."
        if server.huge_pages
        else ". The arena has no huge pages: 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled' and a restart"
        " (arena-huge-pages auto or yes) make forks ten times shorter."
    )


def growth(saved: Sequence[Entry], server: Circumstances) -> Iterator[str]:
    worst = max(saved, key=lambda entry: entry.cost.growth_peak)
    peak = worst.cost.growth_peak
    if peak < BIG_BYTES or peak < MUCH_GROWTH * worst.live_bytes:
        return
    yield f"Memory grew by {human(peak)} during a snapshot of {human(worst.live_bytes)}: " + (
        "clients write much while it lasts. Save when they write less, or keep that much memory free."
        if server.relocates
        else "'CONFIG SET snapshot-writes relocate' writes changed records elsewhere instead of copying whole pages."
    )


def stalls(saved: Sequence[Entry]) -> Iterator[str]:
    worst = max(saved, key=lambda entry: entry.stall_us)
    if worst.stall_us > LONG_STALL_US:
        yield (
            f"Clients once had to wait {worst.stall_us / 1000:.0f} ms during a snapshot (the fork took"
            f" {worst.cost.fork_us / 1000:.1f} ms of that): SLOWLOG and LATENCY tell whether a command did it."
        )


def slow_saves(saved: Sequence[Entry]) -> Iterator[str]:
    large = [entry for entry in saved if entry.cost.bytes_written >= BIG_BYTES]
    if large and (rate := min(entry.cost.bytes_per_sec for entry in large)) < SLOW_BYTES_PER_S:
        yield (
            f"The disk took {human(rate)} per second: a faster one makes snapshots shorter, and then less memory is"
            " copied for them."
        )
    if len(saved) < 3:
        return
    seconds = sum(entry.cost.duration_s for entry in saved)
    span_s = (saved[0].started_at_ms - saved[-1].started_at_ms) / 1000 + saved[0].cost.duration_s
    if seconds > 10 and seconds > BUSY_SHARE * span_s:
        yield (
            f"A child is saving {100 * seconds / span_s:.0f} % of the time: set save points further apart"
            " ('CONFIG GET save')."
        )
