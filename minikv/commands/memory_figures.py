# cython: language_level=3
"""Where the process's memory is, in bytes: what INFO memory and the MEMORY commands report.

    used = live      records and their indexes, and what a large collection has beside its elements
         + deferred  what is deleted, or written elsewhere, and waits for a snapshot's child
         + clients   requests and replies on their way, and the fixed part of each client
         + scripts   the texts of scripts and libraries

    resident = used + gaps between records, free blocks + the interpreter with its modules

maxmemory limits `used` without what `not_counted` is. dispatch/memory_limit.py, docs/memory.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from minikv.dispatch.client import CLIENT_BYTES, Client
from minikv.host.memory import machine_bytes


@dataclass(slots=True)
class MemoryFigures:
    """All in bytes; keyspace is what arena and indexes have resident, keyspace_peak the largest that this has been."""

    startup: int
    interpreter: int
    claimed: int
    deferred: int
    keyspace: int
    keyspace_peak: int
    live: int
    index: int
    clients: int
    fixed: int
    scripts: int
    arena_reserved: int
    arena_used: int
    resident: int
    machine: int

    @property
    def used(self) -> int:
        return self.claimed + self.deferred + self.clients + self.scripts

    @property
    def peak(self) -> int:
        return max(self.keyspace_peak + self.clients + self.scripts, self.used)

    @property
    def overhead(self) -> int:
        """What is used for anything but keys and values."""
        return self.startup + self.index + self.clients + self.scripts

    @property
    def dataset(self) -> int:
        return max(self.used - self.overhead, 0)

    @property
    def dataset_percent(self) -> float:
        """The data set's share of what was added since the start."""
        return 100 * self.dataset / max(self.used - self.startup, 1)

    @property
    def peak_percent(self) -> float:
        return 100 * self.used / max(self.peak, 1)

    @property
    def not_counted(self) -> int:
        """What maxmemory does not limit: no key that goes would make it less."""
        return self.deferred + self.fixed

    @property
    def active(self) -> int:
        """What is used, with the gaps between it."""
        return max(self.keyspace + self.clients + self.scripts, self.used)

    @property
    def fragmentation_ratio(self) -> float:
        return self.active / max(self.used, 1)

    @property
    def own_resident(self) -> int:
        """What is resident without the interpreter."""
        return max(self.resident - self.interpreter, self.active)

    @property
    def resident_ratio(self) -> float:
        return self.resident / max(self.used, 1)


def measure(ctx: Client) -> MemoryFigures:
    """The figures of this moment."""
    server, keyspace = ctx.server, ctx.keyspace
    limit = server.memory_limit
    server.count_memory()
    fixed = CLIENT_BYTES * len(server.clients)
    return MemoryFigures(
        startup=server.startup_bytes,
        interpreter=server.interpreter_bytes,
        claimed=keyspace.claimed_bytes,
        deferred=keyspace.deferred_bytes,
        keyspace=keyspace.used_bytes,
        keyspace_peak=keyspace.peak_bytes,
        live=keyspace.live_bytes,
        index=keyspace.index_bytes,
        clients=limit.client_bytes + fixed,
        fixed=fixed,
        scripts=limit.other_bytes,
        arena_reserved=keyspace.arena_bytes,
        arena_used=keyspace.arena_used_bytes,
        resident=server.resident_bytes(),
        machine=machine_bytes(),
    )


def human(size: int) -> str:
    """Bytes as INFO's *_human fields write them."""
    if size < 1024:
        return f"{size}B"
    for power, unit in enumerate("KMGTP", 1):
        if size < 1024 ** (power + 1) or unit == "P":
            return f"{size / 1024**power:.2f}{unit}"
    raise AssertionError(size)
