"""How much memory does a snapshot take while clients go on?

BGSAVE, the child is stopped (SIGSTOP) as soon as it exists, then keys are overwritten or read. Parent and child stand
side by side as they would in the middle of a long save on a slow disk. Growth is what both hold now (proportional set
sizes) less what the server held before the BGSAVE; it is set against the bytes of the new values. What the fork itself
added is told apart, and what is left of the growth when the child has been released and has gone.
Once with 1,000,000 strings of 1 KB, once with as many of 100 B.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.bgsave import SETTLE_S, dump_identity, loaded, wait_for_new_dump, wait_until_idle
from benchmarks.datasets import DataSet
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import Server, in_turns

KEYS = 1_000_000


@dataclass(frozen=True)
class Held:
    """What clients do while the child is stopped: a data set's value size, and how many random keys they touch."""

    value_len: int
    overwrites: int = 0
    reads: int = 0

    def numbers(self, data: DataSet, turn: int, options: Options) -> list[int]:
        """The keys to touch in this turn, each once."""
        return data.sample(options.scaled(self.overwrites or self.reads), turn)

    def name(self, options: Options) -> str:
        what = "overwrites" if self.overwrites else "reads"
        return f"{options.scaled(self.overwrites or self.reads):,} {what} of {self.value_len:,} B"


WORKS = (Held(1024, overwrites=100_000), Held(1024, reads=100_000), Held(100, overwrites=20_000))


def run(options: Options) -> Report:
    report = options.report("growth", __doc__)
    for value_len in dict.fromkeys(work.value_len for work in WORKS):
        data = DataSet(options.scaled(KEYS), value_len, options.seed)
        works = [work for work in WORKS if work.value_len == value_len]
        with loaded(data, options) as servers:
            measure(servers, data, works, report, options)
    return report


def measure(servers: list[Server], data: DataSet, works: Iterable[Held], report: Report, options: Options) -> None:
    for turn in range(options.rounds):
        for work in works:
            for server in in_turns(servers, turn):
                hold(server, data, work, turn, report, options)
    for server in servers:
        data.verify(server.client(), versions_after(data, works, options))


def versions_after(data: DataSet, works: Iterable[Held], options: Options) -> dict[int, int]:
    """The version that each overwritten key must have in the end."""
    versions: dict[int, int] = {}
    for turn in range(options.rounds):
        for work in works:
            if work.overwrites:
                versions |= dict.fromkeys(work.numbers(data, turn, options), turn + 1)
    return versions


def hold(server: Server, data: DataSet, work: Held, turn: int, report: Report, options: Options) -> None:
    """Do the work while the snapshot child is stopped, and record the growth."""
    numbers = work.numbers(data, turn, options)
    requests = data.writes(numbers, turn + 1) if work.overwrites else data.reads(numbers)
    new_bytes = len(numbers) * data.value_len if work.overwrites else 0
    grow(server, work.name(options), requests, new_bytes, report)


def grow(server: Server, name: str, requests: Iterable[tuple[bytes, int]], new_bytes: int, report: Report) -> None:
    """Send requests, which bring so many new bytes, while the snapshot child is stopped, and record the growth."""
    client = server.client()
    wait_until_idle(client)
    time.sleep(SETTLE_S)
    file_before = dump_identity(server)
    before = processes.pss(server.pid)
    client.send("BGSAVE")
    child = processes.stop_first_child(server.pid)
    try:
        client.receive()
        forked = processes.pss(server.pid) + processes.pss(child)
        client.pipeline(requests)
        grown = processes.pss(server.pid) + processes.pss(child) - before
    finally:
        os.kill(child, signal.SIGCONT)
    report.add(f"growth, child held, {name}", "MB", server.name, grown / 1e6)
    if new_bytes:
        report.add(f"growth, child held, {name}", "times the new bytes", server.name, grown / new_bytes)
    report.add(f"of it by the fork alone, {name}", "MB", server.name, (forked - before) / 1e6)
    wait_for_new_dump(server, file_before)
    wait_until_idle(client)
    time.sleep(SETTLE_S)
    left = processes.pss(server.pid) - before
    report.add(f"left after the save, {name}", "MB", server.name, left / 1e6)
