# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O1
"""Memory for a load, made ready by a second thread.

The kernel clears every page before a process gets it. For a dump of 1 GB that takes longer than all else that the load
does, so a Populator does it beside the reader: its thread faults in the segments which the arena will take next, never
more than AHEAD of them, and never more than the dump can fill. It only touches free segments' memory, not one field of
the arena. A segment that both threads faulted in at once would be cleared twice, so the thread stays clear of those
that the reader comes to first: a reader that is faster faults some in itself, the thread the ones behind them.

    segments   | used by the load | the reader's | ready ...  | untouched
               0           high_water     + DISTANCE     reached       _limit

What has been made ready and was not needed is given back by `finish`.
"""

import cython
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.minikv.engine.arena import SEGMENT_SHIFT, SEGMENT_SIZE, Arena
from cython.cimports.minikv.engine.memory import give_back, populate
from cython.cimports.posix.unistd import usleep

AHEAD = cython.declare(uint32_t, 32)  # segments: 64 MiB, which the fastest reader needs some ten milliseconds for
DISTANCE = cython.declare(uint32_t, 2)
PAUSE_US = cython.declare(cython.uint, 200)


class Populator:
    """Makes memory ready for about `nbytes` of records; `run` is for a thread of its own."""

    def __cinit__(self, arena: Arena, nbytes: uint64_t):
        self._arena = arena
        self.reached = arena.high_water
        self._limit = cython.cast(
            uint32_t, min(arena.high_water + (nbytes >> SEGMENT_SHIFT), cython.cast(uint64_t, arena.segment_limit))
        )

    def run(self) -> None:
        """Work, without Python's lock, until `stop` or until there is nothing left to do."""
        with cython.nogil:
            self._work()

    def _work(self) -> cython.void:
        while not self._stopped and self.reached < self._limit:
            if self.reached < self._arena.high_water + DISTANCE:
                self.reached = min(self._arena.high_water + DISTANCE, self._limit)  # behind it is others' memory
            elif self.reached >= self._arena.high_water + AHEAD:
                usleep(PAUSE_US)
            elif populate(self._arena.base + (cython.cast(uint64_t, self.reached) << SEGMENT_SHIFT), SEGMENT_SIZE):
                self.reached += 1
            else:
                return  # Linux before 5.14, or no memory: the reader faults its pages in itself, or fails

    def stop(self) -> None:
        """Let `run` return; it may take the time of clearing one segment."""
        self._stopped = True

    def finish(self) -> None:
        """After `run` has returned: give back what the load did not use."""
        number: uint32_t
        for number in range(self._arena.high_water, self.reached):
            give_back(self._arena.base + (cython.cast(uint64_t, number) << SEGMENT_SHIFT), SEGMENT_SIZE)
