# cython: language_level=3
# distutils: extra_compile_args = -O1
"""The page that a snapshot child writes and its parent reads: 512 words of 64 bits in memory that both share.

    KEYS_DONE RANK_PASSED       written by the walk; RANK_PASSED also by the parent when the child is gone
    RANK_TOTAL                  written by the arena when a snapshot is opened
    the others                  written by the save

The arena clears the page when it opens a snapshot. Nobody else may: it says which deaths are still to be carried out.
Each word is written whole by one process only, so a reader needs no lock; words read together may be a moment apart.
The words, the phases and the child's exit codes are one set of numbers for C and Python: progress.pxd.
"""

import cython

PHASE_NAMES = ("start", "walking", "syncing", "renamed", "verifying", "publishing")


class Progress:
    """A view of the page, which it does not own. page: a buffer of 8-byte words."""

    def __init__(self, page: object) -> None:
        self._words = memoryview(page).cast("B").cast("Q")

    def store(self, word: cython.int, number: int) -> None:
        """The child's side."""
        self._words[word] = number

    def load(self, word: cython.int) -> int:
        """The parent's side."""
        return self._words[word]
