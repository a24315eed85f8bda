# cython: language_level=3
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""maxmemory: what it limits, and what happens above it.

    used = Keyspace.claimed_bytes     live records and their indexes
         + client_bytes               requests and replies that clients hold
         + other_bytes                texts of scripts and libraries, keys that clients track

What the process itself takes is not in it, nor are gaps that new records fill. docs/memory.md explains the figures.

Above the limit keys are evicted until it holds again, or until no key may go. That takes as much time as
maxmemory-eviction-tenacity gives to one command; then the command runs, and the rest is left to `on_unfinished`.
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.minikv.keyspace.database import Keyspace
from cython.cimports.minikv.keyspace.eviction import NOTHING

from minikv.keyspace.eviction import Evictor

FOREVER_NS = cython.declare(int64_t, (1 << 63) - 1)
# Keys that are evicted between two looks at the clock, as in Redis.
KEYS_PER_CLOCK = cython.declare(cython.int, 16)


@cython.cfunc
@cython.exceptval(check=False)
def monotonic_ns() -> int64_t:
    now: timespec
    clock_gettime(CLOCK_MONOTONIC, cython.address(now))
    return cython.cast(int64_t, now.tv_sec) * 1000000000 + now.tv_nsec


@cython.cclass
class MemoryLimit:
    """limit: maxmemory in bytes, 0 without.

    on_unfinished(): keys are to be evicted still; call make_room again soon. on_delay(event, ms): for the latency
    monitor. exceeded_ns: for how long the limit was exceeded all together, up to the last time that it held.
    """

    def __init__(self, keyspace: Keyspace):
        self.keyspace = keyspace
        self.evictor = Evictor(keyspace)
        self.set_tenacity(10)

    def set_tenacity(self, tenacity: cython.int) -> None:
        """maxmemory-eviction-tenacity, 0 to 100: the time that a command may spend on eviction."""
        if tenacity <= 10:
            self.slice_ns = 50_000 * tenacity
        elif tenacity < 100:
            self.slice_ns = int(500_000 * 1.15 ** (tenacity - 10))
        else:
            self.slice_ns = FOREVER_NS

    @property
    def used_bytes(self) -> int:
        """What the limit is compared with."""
        self.keyspace.claimed_bytes  # noqa: B018  measures what `used` takes for granted
        return self.used()

    @property
    def is_exceeded(self) -> bool:
        """Whether there is a limit, and more is used."""
        return self.limit > 0 and self.used_bytes > self.limit

    @property
    def current_exceeded_ns(self) -> int:
        """For how long the limit has been exceeded, 0 while it holds."""
        return monotonic_ns() - self.exceeded_since_ns if self.exceeded_since_ns else 0

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.exceeded_ns = self.exceeded_since_ns = 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def used(self) -> uint64_t:
        return self.keyspace.claimed() + cython.cast(uint64_t, self.client_bytes + self.other_bytes)

    def make_room(self) -> cython.bint:
        """Evict what has to go. False: the limit is exceeded, and no key may go."""
        if self.limit == 0 or self.used() <= self.limit:
            return True if self.exceeded_since_ns == 0 else self.note(False)
        if self.keyspace.keeps_expired:  # CLIENT PAUSE: the data stays as it is
            return True
        return self.evict()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def evict(self) -> cython.bint:
        began_ns: int64_t = monotonic_ns()
        now_ns: int64_t = began_ns
        keys: cython.int = 0
        may_run: cython.bint = True
        is_done: cython.bint = False
        while not is_done:
            # What was dropped lazily goes before another key does.
            if self.keyspace.stores.free_step():
                keys = 0
            elif self.evictor.choice == NOTHING or not self.evictor.evict():
                may_run = False
                break
            else:
                keys += 1
            is_done = self.used() <= self.limit
            if keys % KEYS_PER_CLOCK == 0 and not is_done:
                now_ns = monotonic_ns()
                if now_ns - began_ns > self.slice_ns:
                    if self.on_unfinished is not None:
                        self.on_unfinished()
                    break
        now_ns = monotonic_ns()
        if self.on_delay is not None and now_ns - began_ns >= 1000000:
            self.on_delay("eviction-cycle", (now_ns - began_ns) // 1000000)
        self.note(not is_done)
        return may_run

    @cython.cfunc
    @cython.exceptval(check=False)
    def note(self, exceeded: cython.bint) -> cython.bint:
        """Measure for how long the limit is exceeded; True."""
        if exceeded and self.exceeded_since_ns == 0:
            self.exceeded_since_ns = monotonic_ns()
        elif not exceeded and self.exceeded_since_ns:
            self.exceeded_ns += monotonic_ns() - self.exceeded_since_ns
            self.exceeded_since_ns = 0
        return True
