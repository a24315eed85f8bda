"""What does BGSAVE cost: how long a pause, how much time, how much memory?

Pause and time: 1,000,000 strings of 1 KB, nobody writes, one client pings every half millisecond. The pause is what the
server tells as latest_fork_usec and the slowest ping from the BGSAVE until the new dump is in its place; the slowest
ping of the second before shows what the machine itself contributes. The save ends when the new file appears.

Growth: BGSAVE, the child is stopped (SIGSTOP) as soon as it exists, then keys are overwritten or read. Parent and child
stand side by side as they would in the middle of a long save on a slow disk. Growth is what both hold now (proportional
set sizes) less what the server held before the BGSAVE; it is set against the bytes of the new values. With the child
released and gone, what is left of the growth is measured too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.datasets import DataSet
from benchmarks.options import Options
from benchmarks.pinger import Pinger
from benchmarks.report import Report
from benchmarks.servers import Server, all_running, in_turns

KEYS = 1_000_000
IDLE_S = 1.0  # pings before the BGSAVE
SETTLE_S = 2.0  # for expiry cycles, page tables and returned memory to come to rest
SAVE_TIMEOUT_S = 300.0
POLL_S = 0.0005


@dataclass(frozen=True)
class Held:
    """What clients do while the child is stopped."""

    name: str
    overwrites: int = 0
    reads: int = 0


LARGE = (Held("100,000 overwrites of 1 KB", overwrites=100_000), Held("100,000 reads of 1 KB", reads=100_000))
SMALL = (Held("20,000 overwrites of 100 B", overwrites=20_000),)


def run(options: Options) -> Report:
    report = options.report("snapshot", __doc__)
    large = DataSet(options.scaled(KEYS), 1024, options.seed)
    with loaded(large, options) as servers:
        for turn in range(options.rounds):
            for server in in_turns(servers, turn):
                measure_pause(server, report)
        measure_held(servers, large, LARGE, report, options)
    small = DataSet(options.scaled(KEYS), 100, options.seed)
    with loaded(small, options) as servers:
        measure_held(servers, small, SMALL, report, options)
    return report


@contextlib.contextmanager
def loaded(data: DataSet, options: Options) -> Iterator[list[Server]]:
    """All servers, holding the data set."""
    with all_running(options.servers, options.directory) as servers:
        for server in servers:
            data.load(server.client())
        time.sleep(SETTLE_S)
        yield servers


def measure_pause(server: Server, report: Report) -> None:
    client = server.client()
    with Pinger(server.port) as pinger:
        time.sleep(2 * IDLE_S)
        start = time.monotonic()
        before = dump_identity(server)
        client.command("BGSAVE")
        end = wait_for_new_dump(server, before)
        wait_until_idle(client)
        told = time.monotonic()
    report.add(
        "fork pause as told (latest_fork_usec)", "ms", server.name, int(client.info()["latest_fork_usec"]) / 1000
    )
    report.add("slowest ping through a BGSAVE", "ms", server.name, pinger.worst_ms(start, told))
    report.add("slowest ping in the second before", "ms", server.name, pinger.worst_ms(start - IDLE_S, start - 0.001))
    report.add("time of a BGSAVE", "s", server.name, end - start)
    report.add("size of the dump", "MB", server.name, server.dump.stat().st_size / 1e6)


def measure_held(servers: list[Server], data: DataSet, works: Iterable[Held], report: Report, options: Options) -> None:
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
            versions |= dict.fromkeys(data.sample(options.scaled(work.overwrites), turn), turn + 1)
    return versions


def hold(server: Server, data: DataSet, work: Held, turn: int, report: Report, options: Options) -> None:
    """Do the work while the snapshot child is stopped, and record the growth."""
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
        numbers = data.sample(options.scaled(work.overwrites or work.reads), turn)
        client.pipeline(data.writes(numbers, turn + 1) if work.overwrites else data.reads(numbers))
        grown = processes.pss(server.pid) + processes.pss(child) - before
    finally:
        os.kill(child, signal.SIGCONT)
    report.add(f"growth, child held, {work.name}", "MB", server.name, grown / 1e6)
    if work.overwrites:
        new_bytes = len(numbers) * data.value_len
        report.add(f"growth, child held, {work.name}", "times the new bytes", server.name, grown / new_bytes)
    report.add(f"of it before the {work.name}", "MB", server.name, (forked - before) / 1e6)
    wait_for_new_dump(server, file_before)
    wait_until_idle(client)
    time.sleep(SETTLE_S)
    left = processes.pss(server.pid) - before
    report.add(f"left after the save, {work.name}", "MB", server.name, left / 1e6)


def dump_identity(server: Server) -> tuple[int, int] | None:
    """What changes when a new dump takes the old one's place."""
    try:
        found = server.dump.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def wait_for_new_dump(server: Server, before: tuple[int, int] | None) -> float:
    """The monotonic time at which the dump was replaced."""
    deadline = time.monotonic() + SAVE_TIMEOUT_S
    while time.monotonic() < deadline:
        if dump_identity(server) != before:
            return time.monotonic()
        time.sleep(POLL_S)
    raise TimeoutError(f"{server.name} wrote no dump:\n{server.log()[-2000:]}")


def wait_until_idle(client: Client) -> None:
    """Wait until the server knows that its save is over, and fail if it failed."""
    while True:
        info = client.info("persistence")
        if info["rdb_bgsave_in_progress"] == "0":
            break
        time.sleep(0.01)
    if info["rdb_last_bgsave_status"] != "ok":
        raise RuntimeError("the save failed")
