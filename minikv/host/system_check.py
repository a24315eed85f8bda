"""`minikv-server --check-system`: what this machine does to snapshots, and what to change."""

import resource
from typing import NamedTuple

from minikv.host import huge_pages
from minikv.host.cgroup import read_cgroup_memory
from minikv.host.files import read_number
from minikv.host.limits import RESERVED_FILES
from minikv.host.memory import MachineMemory, read_memory
from minikv.host.overcommit import ALWAYS, HEURISTIC, STRICT, read_overcommit


class Finding(NamedTuple):
    """One checked subject; advice is empty if nothing needs to change."""

    subject: str
    found: str
    meaning: str
    advice: str = ""


def check_system(
    maxclients: int, tcp_backlog: int, proc: str = "/proc", sys: str = "/sys", root: str = ""
) -> list[Finding]:
    """All findings, the most important for snapshots first."""
    memory = read_memory(proc)
    return [
        _overcommit(proc),
        _huge_pages(sys),
        _memory(memory),
        _cgroup(proc, root),
        _swap(memory, proc),
        _open_files(maxclients),
        _backlog(tcp_backlog, proc),
    ]


def memory_findings(proc: str = "/proc", root: str = "") -> list[Finding]:
    """What can be checked without a trial while a server runs: how memory is promised and limited."""
    memory = read_memory(proc)
    return [_overcommit(proc), _memory(memory), _cgroup(proc, root), _swap(memory, proc)]


def report(findings: list[Finding]) -> str:
    """The findings as text; warnings with their advice."""
    lines = []
    for finding in findings:
        lines.append(f"[{'warning' if finding.advice else 'ok'}] {finding.subject}: {finding.found}")
        lines.append(f"    {finding.meaning}")
        if finding.advice:
            lines.append(f"    To change: {finding.advice}")
    warnings = sum(bool(finding.advice) for finding in findings)
    lines.append(f"{warnings} warning{'s' * (warnings != 1)}." if warnings else "No warnings: this machine is ready.")
    return "\n".join(lines)


def _overcommit(proc: str) -> Finding:
    state = read_overcommit(proc)
    found = f"vm.overcommit_memory = {state.mode}"
    advice = "'sysctl vm.overcommit_memory=1', and 'vm.overcommit_memory = 1' in /etc/sysctl.conf to keep it"
    if state.mode == ALWAYS:
        return Finding("overcommit", found, "A fork is never refused for lack of promised memory.")
    if state.mode == HEURISTIC:
        meaning = "The kernel may refuse the fork of a BGSAVE when the data set is large beside the free memory."
        return Finding("overcommit", found, meaning, advice)
    if state.mode == STRICT:
        found += f", {_size(state.left_bytes or 0)} of {_size(state.commit_limit_bytes)} left to promise"
        meaning = "Each fork must find room for a whole second copy of the data set, though it will hardly use it."
        return Finding("overcommit", found, meaning, advice)
    return Finding("overcommit", "the kernel does not say", "Whether a fork can be refused is not known.")


def _huge_pages(sys: str) -> Finding:
    mode = huge_pages.read_mode(sys)
    trial = huge_pages.probe()
    found = f"transparent_hugepage/enabled = {mode or 'missing'}, defrag = {huge_pages.read_defrag(sys) or 'missing'}"
    if trial.available and trial.copies_whole_page:
        meaning = (
            "A write to a shared huge page copies 2 MiB on this kernel, so minikv uses 4 KiB pages: forks take about "
            "10 ms per GB."
        )
        return Finding("huge pages", found, meaning, "Linux 5.8 or later")
    if trial.available:
        meaning = "A write to a shared huge page copies 4 KiB, so minikv uses huge pages: forks take under 1 ms per GB."
        return Finding("huge pages", found, meaning)
    meaning = "minikv gets no huge pages and uses 4 KiB pages: forks take about 10 ms per GB."
    advice = "'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled'"
    if mode in ("always", "madvise"):
        advice = "free memory: the setting is right, but no huge page was to be had"
    return Finding("huge pages", found, meaning, advice)


def _memory(memory: MachineMemory) -> Finding:
    found = f"{_size(memory.available_bytes)} of {_size(memory.total_bytes)} available"
    meaning = "A snapshot needs, beside the data set, the bytes that are written anew while it runs."
    advice = "stop something or add memory" if memory.available_bytes < memory.total_bytes // 10 else ""
    return Finding("memory", found, meaning, advice)


def _cgroup(proc: str, root: str) -> Finding:
    limit = read_cgroup_memory(proc, root)
    if limit is None:
        return Finding("control group", "no memory limit", "Only the machine's memory limits this process.")
    found = f"limit {_size(limit.limit_bytes)}, {_size(limit.left_bytes)} left (version {limit.version}, {limit.path})"
    meaning = "Server and snapshot child count together; above the limit the kernel kills one of them."
    advice = "raise the limit of the container or service" if limit.left_bytes < limit.limit_bytes // 4 else ""
    return Finding("control group", found, meaning, advice)


def _swap(memory: MachineMemory, proc: str) -> Finding:
    swappiness = read_number(f"{proc}/sys/vm/swappiness")
    used = memory.swap_total_bytes - memory.swap_free_bytes
    if not memory.swap_total_bytes:
        return Finding("swap", "none", "When memory runs short, processes are killed; nothing becomes slow first.")
    found = f"{_size(used)} of {_size(memory.swap_total_bytes)} used, vm.swappiness = {swappiness}"
    meaning = "Data that was swapped out makes commands and snapshots wait for the disk."
    advice = (
        "free memory; 'sysctl vm.swappiness=1' makes the kernel swap less" if used > memory.total_bytes // 20 else ""
    )
    return Finding("swap", found, meaning, advice)


def _open_files(maxclients: int) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = maxclients + RESERVED_FILES
    found = f"{_limit(soft)}, may be raised to {_limit(hard)}"
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return Finding("open files", found, f"Enough for {maxclients} clients.")
    meaning = f"{maxclients} clients need {wanted} open files; minikv will accept fewer clients."
    return Finding("open files", found, meaning, f"'ulimit -Hn {wanted}', or LimitNOFILE={wanted} in a systemd unit")


def _backlog(tcp_backlog: int, proc: str) -> Finding:
    allowed = read_number(f"{proc}/sys/net/core/somaxconn")
    found = f"net.core.somaxconn = {'unknown' if allowed is None else allowed}"
    if allowed is None or allowed >= tcp_backlog:
        return Finding("connection queue", found, "Bursts of new connections find room in the queue.")
    meaning = f"The kernel cuts tcp-backlog {tcp_backlog} to {allowed}: bursts of new connections may be refused."
    return Finding("connection queue", found, meaning, f"'sysctl net.core.somaxconn={tcp_backlog}'")


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def _size(number: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"
