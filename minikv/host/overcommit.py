"""How the kernel promises memory: vm.overcommit_memory and what follows from it for a fork.

0  heuristic: an obvious overcommit is refused, and a fork of a large process may be
1  always: a fork is never refused for lack of promised memory
2  strict: every private writable byte counts against CommitLimit, once more at fork
"""

from typing import NamedTuple

from minikv.host.files import read_number
from minikv.host.memory import read_memory

HEURISTIC = 0
ALWAYS = 1
STRICT = 2

# The words of redis-server, which monitoring looks for.
WARNING = (
    "WARNING Memory overcommit must be enabled! Without it, a background save or replication may fail under low memory "
    "condition. Being disabled, it can can also cause failures without low memory condition, see "
    "https://github.com/jemalloc/jemalloc/issues/1328. To fix this issue add 'vm.overcommit_memory = 1' to "
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
    """The state of this moment; it may change while the server runs."""
    mode = read_number(f"{proc}/sys/vm/overcommit_memory")
    memory = read_memory(proc)
    return Overcommit(
        mode=-1 if mode is None else mode,
        ratio=read_number(f"{proc}/sys/vm/overcommit_ratio") or 0,
        commit_limit_bytes=memory.commit_limit_bytes,
        committed_bytes=memory.committed_bytes,
    )


def warning(proc: str = "/proc") -> str | None:
    """The warning that start and BGSAVE log whenever the mode is not 1."""
    return None if read_number(f"{proc}/sys/vm/overcommit_memory") in (ALWAYS, None) else WARNING
