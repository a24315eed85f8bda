"""Tests side by side in several processes, and those that must be alone."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Turns:
    """When the tests of one process may run: side by side with those of others, or alone, while all others wait.

    Who waits to be alone holds the gate, so that no other test begins: without it the others would go on side by side,
    and this process would stand still until the end of the run.

    path: of the lock files, without their ending; the same for all processes.
    """

    def __init__(self, path: Path) -> None:
        self._gate, self._room = (
            os.open(path.with_name(f"{path.name}.{name}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            for name in ("gate", "lock")
        )
        self._is_alone = False

    def take(self, alone: bool) -> None:
        """Return when the next test may run."""
        if not self._is_alone:
            fcntl.flock(self._gate, fcntl.LOCK_EX)
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            fcntl.flock(self._gate, fcntl.LOCK_UN)
            self._is_alone = alone

    def end(self, keeps: bool = False) -> None:
        """The test has run. keeps: the next one wants to be alone too."""
        if not (self._is_alone and keeps):
            fcntl.flock(self._room, fcntl.LOCK_UN)
            self._is_alone = False
