"""What does BGSAVE cost the clients, and how long does it take?

1,000,000 strings of 1 KB; nobody writes; one client pings every half millisecond. The pause is what the server tells as
latest_fork_usec and the slowest ping from the BGSAVE until the server knows that it has ended; the slowest ping of the
second before shows what the machine itself contributes. The save ends when the new file appears in the old one's place.
A disk that is slower than the servers levels the save times: `--directory /dev/shm` takes it out. CPU times depend
least on disk and neighbours: of the server until it replies (what the fork and all around it take), and of the child.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.datasets import DataSet, Filling
from benchmarks.options import Options
from benchmarks.probe import Probe
from benchmarks.report import Report
from benchmarks.servers import Server, all_running, in_turns

KEYS = 1_000_000
VALUE_LEN = 1024
IDLE_S = 1.0  # pings before the BGSAVE
SETTLE_S = 2.0  # for expiry cycles, page tables and returned memory to come to rest
SAVE_TIMEOUT_S = 300.0
POLL_S = 0.0005


def run(options: Options) -> Report:
    report = options.report("bgsave", __doc__)
    data = DataSet(options.scaled(KEYS), VALUE_LEN, options.seed)
    with loaded(data, options) as servers:
        for turn in range(options.rounds):
            for server in in_turns(servers, turn):
                measure(server, report)
    return report


@contextlib.contextmanager
def loaded(data: Filling, options: Options) -> Iterator[list[Server]]:
    """All servers, holding the data set."""
    with all_running(options.servers, options.directory) as servers:
        for server in servers:
            data.load(server.client())
        time.sleep(SETTLE_S)
        yield servers


def measure(server: Server, report: Report) -> None:
    client = server.client()
    with Probe(server.port) as probe:
        time.sleep(2 * IDLE_S)
        start = time.monotonic()
        before = dump_identity(server)
        cpu_before = children_cpu_s(client)
        run_before = processes.thread_run_s(server.pid)
        client.command("BGSAVE")
        ran = processes.thread_run_s(server.pid) - run_before
        end = wait_for_new_dump(server, before)
        wait_until_idle(client)
        told = time.monotonic()
    report.add(
        "fork pause as told (latest_fork_usec)", "ms", server.name, int(client.info()["latest_fork_usec"]) / 1000
    )
    report.add("CPU time of the server until its reply to BGSAVE", "ms", server.name, 1000 * ran)
    report.add("slowest ping through a BGSAVE", "ms", server.name, probe.worst_ms(start, told))
    report.add("slowest ping in the second before", "ms", server.name, probe.worst_ms(start - IDLE_S, start - 0.001))
    report.add("time of a BGSAVE", "s", server.name, end - start)
    report.add("CPU time of the child", "s", server.name, children_cpu_s(client) - cpu_before)
    report.add("size of the dump", "MB", server.name, server.dump.stat().st_size / 1e6)


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


def children_cpu_s(client: Client) -> float:
    """User and system seconds of all ended children, as the server tells them."""
    info = client.info("cpu")
    return float(info["used_cpu_user_children"]) + float(info["used_cpu_sys_children"])


def wait_until_idle(client: Client) -> None:
    """Wait until the server knows that its save is over, and fail if it failed."""
    while True:
        info = client.info("persistence")
        if info["rdb_bgsave_in_progress"] == "0":
            break
        time.sleep(0.01)
    if info["rdb_last_bgsave_status"] != "ok":
        raise RuntimeError("the save failed")
