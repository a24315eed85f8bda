"""How much address space the arena reserves unless its size is given."""

import os

from minikv.host import overcommit

GIB = 1 << 30
ARENA_MAX = 1 << 39
# In overcommit mode 2: pools that do not grow with the arena (0.5 GB), the interpreter, something for other processes.
STRICT_FIXED_BYTES = 1 << 30
STRICT_LEAST_BYTES = 64 << 20


def default_arena_bytes() -> int:
    """Address space for the arena: four times the machine's memory, 64 GiB at least.

    Where every reserved byte counts as used (overcommit mode 2), what is left is shared between the arena, the
    parent-only memory that grows with it (3/8 of it), and the arena once more, for the fork.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    wanted = min(max(4 * memory, 64 * GIB), ARENA_MAX)
    if overcommit.read_mode() == overcommit.STRICT:
        wanted = min(wanted, max((overcommit.left_for_fork() - STRICT_FIXED_BYTES) * 2 // 5, STRICT_LEAST_BYTES))
    return wanted
