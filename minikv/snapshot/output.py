"""Where a snapshot goes that does not become the dump: to those who have asked for a copy of the data."""

from __future__ import annotations

from typing import Protocol

SYNC = "sync"  # the cause of such a snapshot


class Output(Protocol):
    """What the child writes to, and who is told how it went.

    fd: open until `started`. is_pipe: whether it leads into a pipe.
    """

    is_pipe: bool

    @property
    def fd(self) -> int: ...

    @property
    def is_full(self) -> bool:
        """Whether the child waits because nobody takes what it writes."""
        ...

    def started(self) -> None:
        """The child has its own descriptor now."""
        ...

    def ended(self, complete: bool) -> None:
        """The child has exited, or there is none."""
        ...
