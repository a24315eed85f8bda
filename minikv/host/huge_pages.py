"""Transparent huge pages: what the kernel is set to, what it does, and whether the arena should use them.

With 2 MiB pages a fork copies 512 times fewer page-table entries. The cost depends on the kernel:
since Linux 5.8 a write to a shared huge page splits it and copies 4 KiB; earlier kernels copied
2 MiB. The version number does not decide it (distributions backport), so the probe tries it: map,
fork, write one byte in the child, read the child's private dirty memory.
"""

import mmap
import os
import select
import signal
from typing import NamedTuple

from minikv.host.files import chosen_word, read_text
from minikv.host.smaps import rollup

HUGE_PAGE = 2 << 20
SMALL_COPY = 256 << 10  # a child that copied less than this after one write copied small pages
TIMEOUT_MS = 200  # a probe takes about 2 ms; one that hangs is killed

_COPIES_SMALL = 0
_COPIES_HUGE = 1
_UNKNOWN = 2


class Probe(NamedTuple):
    """Whether the kernel gave a huge page, and whether one write to a shared one copies all of it."""

    available: bool
    copies_whole_page: bool


class HugePages(NamedTuple):
    """use: the arena asks for huge pages. report: why, for the log."""

    use: bool
    report: str


def read_mode(sys: str = "/sys") -> str:
    """always, madvise or never; empty if the kernel has no transparent huge pages."""
    return chosen_word(read_text(f"{sys}/kernel/mm/transparent_hugepage/enabled") or "")


def read_defrag(sys: str = "/sys") -> str:
    """When the kernel compacts memory to make huge pages: always, defer, defer+madvise, madvise or never."""
    return chosen_word(read_text(f"{sys}/kernel/mm/transparent_hugepage/defrag") or "")


def probe() -> Probe:
    """Try it: maps 4 MiB and forks once; about 2 ms. Call it before there are threads."""
    with mmap.mmap(-1, 2 * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:  # a kernel without huge pages
            return Probe(available=False, copies_whole_page=False)
        before = rollup()
        for offset in range(0, len(memory), mmap.PAGESIZE):
            memory[offset] = 1
        after = rollup()
        if before is None or after is None or after.huge_pages - before.huge_pages < HUGE_PAGE:
            return Probe(available=False, copies_whole_page=False)
        return Probe(available=True, copies_whole_page=_fork_and_write(memory) != _COPIES_SMALL)


def _fork_and_write(memory: mmap.mmap) -> int:
    """How much a child copies when it writes one byte; _UNKNOWN if it does not answer in time."""
    pid = os.fork()
    if pid == 0:
        answer = _UNKNOWN
        try:
            answer = _write_and_measure(memory)
        finally:
            os._exit(answer)
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(TIMEOUT_MS):
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _write_and_measure(memory: mmap.mmap) -> int:
    before = rollup()
    # The last byte of the first 2 MiB lies in a whole huge page wherever the mapping starts.
    memory[HUGE_PAGE - 1] = 2
    after = rollup()
    if before is None or after is None:
        return _UNKNOWN
    return _COPIES_SMALL if after.private_dirty - before.private_dirty < SMALL_COPY else _COPIES_HUGE


def choose(setting: str, mode: str, trial: Probe) -> HugePages:
    """What `arena-huge-pages auto|yes|no` means on this kernel."""
    found = f"transparent_hugepage is '{mode}'" if mode else "this kernel has no transparent huge pages"
    if trial.available:
        found += f", a write to a shared huge page copies {'2 MiB' if trial.copies_whole_page else '4 KiB'}"
    elif mode and mode != "never":
        found += ", but none was given"
    if setting == "no":
        use, why = False, "arena-huge-pages no"
    elif not trial.available:
        use, why = False, "a fork costs about 10 ms per GB"
    elif setting == "yes":
        use, why = True, "arena-huge-pages yes"
    else:
        use = not trial.copies_whole_page
        why = "short forks at no price" if use else "short forks would cost memory during a snapshot"
    return HugePages(use, f"Huge pages: {found}; the arena uses {'2 MiB' if use else '4 KiB'} pages ({why})")
