"""Memory of the machine and of this process, from /proc, in bytes."""

import os
from typing import NamedTuple

from minikv.host.files import read_text


class MachineMemory(NamedTuple):
    """available_bytes: what can be allocated without swapping, by the kernel's own estimate."""

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int
    commit_limit_bytes: int
    committed_bytes: int
    huge_page_bytes: int


def read_memory(proc: str = "/proc") -> MachineMemory:
    """Read /proc/meminfo; missing fields are 0."""
    values = {}
    for line in (read_text(f"{proc}/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        number, *unit = rest.split() or ["0"]
        if number.isdecimal():
            values[name] = int(number) * (1024 if unit == ["kB"] else 1)
    return MachineMemory(
        total_bytes=values.get("MemTotal", 0),
        available_bytes=values.get("MemAvailable", values.get("MemFree", 0)),
        swap_total_bytes=values.get("SwapTotal", 0),
        swap_free_bytes=values.get("SwapFree", 0),
        commit_limit_bytes=values.get("CommitLimit", 0),
        committed_bytes=values.get("Committed_AS", 0),
        huge_page_bytes=values.get("AnonHugePages", 0),
    )


class OwnMemory(NamedTuple):
    """What this process has resident. shared_bytes: of it, what files back."""

    resident_bytes: int
    shared_bytes: int


def read_own_memory(proc: str = "/proc") -> OwnMemory:
    """What /proc/self/statm says; zeros if it cannot be read."""
    fields = (read_text(f"{proc}/self/statm") or "0 0 0").split()
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return OwnMemory(int(fields[1]) * page_bytes, int(fields[2]) * page_bytes)


def private_bytes() -> int:
    """Resident memory of this process that no file backs."""
    memory = read_own_memory()
    return memory.resident_bytes - memory.shared_bytes


def machine_bytes() -> int:
    """MemTotal, without reading the rest."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
