"""A bound of memory for a server: a control group (version 1 or 2) where one can be made, as root and with cgroups.

Beyond the bound the kernel kills the server, as it does in a container.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.servers import ServerSpec

ROOTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))  # version 1, version 2
LIMITS = ("memory.limit_in_bytes", "memory.max")
JOIN = 'echo $$ > "$0" && exec "$@"'


@contextlib.contextmanager
def memory_group(nbytes: int) -> Iterator[Path | None]:
    """A control group of its own that holds so many bytes; None where none can be made."""
    group = new_group(nbytes)
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def new_group(nbytes: int) -> Path | None:
    for root, limit in zip(ROOTS, LIMITS, strict=True):
        group = root / f"benchmark-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        with contextlib.suppress(OSError):  # no such file: the controller is not enabled here
            with (group / limit).open("r+") as file:
                file.write(str(nbytes))
            return group
        with contextlib.suppress(OSError):
            group.rmdir()
    return None


def within(spec: ServerSpec, group: Path) -> ServerSpec:
    """The same server, started in the group."""
    return replace(spec, command=("sh", "-c", JOIN, str(group / "cgroup.procs"), *spec.command))
