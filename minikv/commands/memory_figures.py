# cython: language_level=3
"""Where the process's memory is, in bytes: what INFO memory and the MEMORY commands report.

    used = startup       the interpreter, its modules and the compiled code, measured before any data came
         + keyspace      what of the arena and of the indexes is resident: records, the gaps between them, free blocks
         + clients       requests and replies on their way

maxmemory limits the keyspace alone, and of that only Keyspace.claimed_bytes; `not_counted` is the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from minikv.dispatch.client import Client
from minikv.host.memory import machine_bytes


@dataclass(slots=True)
class MemoryFigures:
    """All in bytes; keyspace_peak is the largest that the keyspace has been."""

    startup: int
    keyspace: int
    keyspace_peak: int
    live: int
    index: int
    clients: int
    arena_reserved: int
    arena_used: int
    resident: int
    machine: int

    @property
    def used(self) -> int:
        return self.startup + self.keyspace + self.clients

    @property
    def peak(self) -> int:
        return max(self.startup + self.keyspace_peak, self.used)

    @property
    def overhead(self) -> int:
        """What is used for anything but keys and values."""
        return self.startup + self.index + self.clients

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
        """What maxmemory does not count."""
        return self.startup + self.clients

    @property
    def allocated(self) -> int:
        """Bytes that hold something."""
        return self.startup + self.live + self.index + self.clients

    @property
    def fragmentation_ratio(self) -> float:
        return self.used / max(self.allocated, 1)

    @property
    def resident_ratio(self) -> float:
        return self.resident / max(self.used, 1)


def measure(ctx: Client) -> MemoryFigures:
    """The figures of this moment."""
    server, keyspace = ctx.server, ctx.keyspace
    return MemoryFigures(
        startup=server.startup_bytes,
        keyspace=keyspace.used_bytes,
        keyspace_peak=keyspace.peak_bytes,
        live=keyspace.live_bytes,
        index=keyspace.index_bytes,
        clients=server.count_clients().memory_bytes,
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
