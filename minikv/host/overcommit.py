"""How the kernel promises memory: vm.overcommit_memory and what follows from it for a fork.

0  heuristic: obvious overcommits are refused, and forks of large processes may be
1  always: a fork is never refused for lack of promised memory
2  strict: every private writable byte counts against CommitLimit, and again at each fork
"""

import os
from typing import NamedTuple

from minikv.host.files import read_number, read_text
from minikv.host.memory import read_memory

HEURISTIC = 0
ALWAYS = 1
STRICT = 2

# The words of redis-server, which monitoring looks for, without its link to an allocator that minikv does not use.
WARNING = (
    "WARNING Memory overcommit must be enabled! Without it, a background save or replication may fail under low memory "
    "condition. To fix this issue add 'vm.overcommit_memory = 1' to "
    "/etc/sysctl.conf and then reboot or run the command 'sysctl vm.overcommit_memory=1' for this to take effect."
)


class Overcommit(NamedTuple):
    """mode is -1 if the kernel does not say."""

    mode: int
    ratio: int
    commit_limit_bytes: int
    committed_bytes: int

    @property
    def left_bytes(self) -> int | None:
        """What may still be promised in mode 2; None in the modes that do not count."""
        return max(self.commit_limit_bytes - self.committed_bytes, 0) if self.mode == STRICT else None


def read_overcommit(proc: str = "/proc") -> Overcommit:
    """The current state; it may change while the server runs."""
    memory = read_memory(proc)
    return Overcommit(
        mode=read_mode(proc),
        ratio=read_number(f"{proc}/sys/vm/overcommit_ratio") or 0,
        commit_limit_bytes=memory.commit_limit_bytes,
        committed_bytes=memory.committed_bytes,
    )


def read_mode(proc: str = "/proc") -> int:
    """0, 1 or 2; -1 if the kernel does not say."""
    mode = read_number(f"{proc}/sys/vm/overcommit_memory")
    return -1 if mode is None else mode


def left_for_fork(proc: str = "/proc") -> int:
    """What a fork may still be promised in mode 2, without the kernel's reserve for root unless we are root."""
    left = read_overcommit(proc).left_bytes or 0
    kept_kb = 0 if os.geteuid() == 0 else read_number(f"{proc}/sys/vm/admin_reserve_kbytes") or 0
    return max(left - kept_kb * 1024, 0)


def forked_bytes(proc: str = "/proc") -> int:
    """What a fork of this process must be promised in mode 2, where each mapping counts by its size.

    The kernel marks mappings that it accounts for with `ac`, and those that a child does not inherit
    with `dc`. It walks the page tables to answer, as for smaps_rollup.
    """
    total = size = 0
    for line in (read_text(f"{proc}/self/smaps") or "").splitlines():
        name, _, rest = line.partition(":")
        if name == "Size":
            size = int(rest.split()[0]) * 1024
        elif name == "VmFlags":
            flags = rest.split()
            if "ac" in flags and "dc" not in flags:
                total += size
    return total


def warning(proc: str = "/proc") -> str | None:
    """The warning that start and BGSAVE log if the mode is not 1."""
    return None if read_mode(proc) in (ALWAYS, -1) else WARNING
