"""What the kernel says about a process.

Memory is counted as proportional set size (Pss): a page that two processes share counts half in each, so that parent
and snapshot child together are what the machine really holds. RSS would count every shared page twice.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def rollup(pid: int) -> dict[str, int]:
    """Bytes by name (Rss, Pss, Private_Dirty ...) of /proc/PID/smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":", 1) for line in lines)}


def pss(pid: int) -> int:
    """Proportional set size in bytes."""
    return rollup(pid)["Pss"]


def page_table_bytes(pid: int) -> int:
    """Bytes of page tables, which are in no set size and are what fork copies."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmPTE:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid: int) -> float:
    """User and system seconds of all threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def thread_run_s(pid: int) -> float:
    """Seconds that the process's first thread has run, to the microsecond; waiting for a core does not count."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def state(pid: int) -> str:
    """One letter: R, S, D, T (stopped), Z (zombie) ...; "" if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid: int) -> list[int]:
    """Living children of any of the process's threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except FileNotFoundError:
            continue
    return [child for child in found if state(child) not in ("Z", "")]


def stop_first_child(pid: int, timeout_s: float = 30.0) -> int:
    """Wait for a child to appear, SIGSTOP it at once, and return its pid when it stands."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for child in children(pid):
            os.kill(child, signal.SIGSTOP)
            while state(child) not in ("T", "Z", ""):
                time.sleep(0.0002)
            if state(child) == "T":
                return child
    raise TimeoutError(f"process {pid} has no child after {timeout_s} s")
