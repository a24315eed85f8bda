"""The page that a snapshot child writes and its parent reads: 512 numbers of 64 bits in memory that both share.

    0 keys       written to the buffer              engine: Walker.publish
    1 bytes      in the file                        child
    2 rank       segments that the walk has passed  engine: Walker.publish; the parent too, when the child is gone
    3 dirty      the child's private dirty bytes    child, when it last looked
    4 phase      a Phase                            child
    5 errno      of what failed, or 0               child
    6 segments   in all                             engine, when the snapshot is opened
    7 peak       largest value of 3                 child
    8 average    of the values of 3                 child
    9 verified   bytes read again                   child

Only the engine clears the page, when it opens a snapshot: the page says which deaths are still queued.
Each number is written whole by one process only, so readers need no lock; numbers read together may be
from different moments.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

KEYS = 0
BYTES = 1
RANK = 2
PRIVATE_DIRTY = 3
PHASE = 4
ERRNO = 5
PRIVATE_DIRTY_PEAK = 7
PRIVATE_DIRTY_AVERAGE = 8
VERIFIED = 9


class Phase(IntEnum):
    """What the child is doing."""

    START = 0
    WALKING = 1
    SYNCING = 2
    RENAMED = 3
    VERIFYING = 4  # between the two before it


class Progress:
    """The numbers by name; a view that owns nothing."""

    def __init__(self, page: Any) -> None:
        self._numbers = memoryview(page).cast("B").cast("Q")

    def store(self, index: int, number: int) -> None:
        """The child's side."""
        self._numbers[index] = number

    def load(self, index: int) -> int:
        """The parent's side."""
        return self._numbers[index]
