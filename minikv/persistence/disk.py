"""The system calls that a save makes, as one object, so that a test can let each of them fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from minikv.persistence import forking, writeback


@dataclass(frozen=True, slots=True)
class Disk:
    """What the operating system does for a save; every field raises OSError as its namesake does."""

    open: Callable[..., int] = os.open
    write: Callable[[int, memoryview], int] = os.write
    start_writeback: Callable[[int, int, int], None] = writeback.start
    finish_writeback: Callable[[int, int, int], None] = writeback.finish
    fsync: Callable[[int], None] = os.fsync
    close: Callable[[int], None] = os.close
    rename: Callable[[str, str], None] = os.rename
    unlink: Callable[[str], None] = os.unlink
    fork: Callable[[], int] = forking.fork_child


DISK = Disk()
