"""What the kernel says about a process.

Memory is counted as proportional set size (Pss): a page that two processes share counts half in each, so that parent
and snapshot child together are what the machine really holds. RSS would count every shared page twice.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

import psutil

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def rollup(pid: int) -> dict[str, int]:
    """Bytes by name (Rss, Pss, Private_Dirty ...) of /proc/PID/smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":", 1) for line in lines)}


def pss(pid: int) -> int:
    """Proportional set size in bytes."""
    return rollup(pid)["Pss"]


def status(pid: int) -> dict[str, int]:
    """Bytes by name (VmRSS, VmPTE ...) of /proc/PID/status: counters that the kernel keeps anyway, read in no time."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words[-1] == "kB"}


def cpu_s(pid: int) -> float:
    """User and system seconds of all threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def thread_run_s(pid: int) -> float:
    """Seconds that the process's first thread has run, to the microsecond; waiting for a core does not count."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def run_s(pid: int) -> float:
    """The same of all threads that live."""
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has just ended
            found += int((task / "schedstat").read_text().split()[0])
    return found / 1e9


def state(pid: int) -> str:
    """One letter: R, S, D, T (stopped), Z (zombie) ...; "" if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def faults(pid: int) -> int:
    """Minor page faults so far: first touches, and copies of shared pages."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def listener(port: int) -> int:
    """The process that listens on this TCP port."""
    for connection in psutil.net_connections("tcp"):
        local = tuple(connection.laddr)
        if connection.status == psutil.CONN_LISTEN and local[1:2] == (port,) and connection.pid:
            return connection.pid
    raise ProcessLookupError(f"no process of this machine that may be looked at listens on port {port}")


def children(pid: int) -> list[int]:
    """Living children of any of the process's threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except FileNotFoundError:
            continue  # the thread has just ended
    return [child for child in found if state(child) not in ("Z", "")]


def first_child(pid: int, known: Collection[int] = (), timeout_s: float = 30.0) -> int:
    """Wait for a child beside the known ones."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for child in children(pid):
            if child not in known:
                return child
    raise TimeoutError(f"process {pid} has no new child after {timeout_s} s")


def stop_first_child(pid: int, known: Collection[int] = (), timeout_s: float = 30.0) -> int:
    """Wait for a child beside the known ones, SIGSTOP it at once, and return its pid when it stands."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        child = first_child(pid, known, timeout_s)
        os.kill(child, signal.SIGSTOP)
        while state(child) not in ("T", "Z", ""):
            time.sleep(0.0002)
        if state(child) == "T":
            return child
    raise TimeoutError(f"process {pid} has no child after {timeout_s} s")
