"""How long does a BGSAVE stop a server, by the size of its data?

Strings of 1 KB, 0.1 to 8 GB of them by default; nobody writes; one client pings every half millisecond. For each size
and server: the slowest ping through a BGSAVE, and above the slowest of the second before, which is what the machine
itself contributes; the fork as the server tells it (latest_fork_usec); and the longest stall of the event loop as
minikv's SNAPSHOT HISTORY has it. One server runs at a time, so the largest size must fit once, with its dump.
"""

from __future__ import annotations

import argparse
import time

from benchmarks import bgsave
from benchmarks.client import Client, ReplyError
from benchmarks.datasets import DataSet
from benchmarks.options import Options, positive
from benchmarks.probe import Probe
from benchmarks.report import Report
from benchmarks.servers import Server, running

SIZES_GB = (0.1, 1.0, 4.0, 8.0)
VALUE_LEN = 1024
GB = 1e9
IDLE_S = 1.0  # pings before the BGSAVE
SETTLE_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gb", type=lambda text: tuple(positive(size) for size in text.split(",")), default=SIZES_GB, metavar="GB,...",
        help=f"sizes of the data (default {','.join(f'{size:g}' for size in SIZES_GB)})",
    )  # fmt: skip


def run(options: Options, gb: tuple[float, ...] = SIZES_GB) -> Report:
    report = options.report("pause", __doc__)
    for size in gb:
        keys = max(1, int(size * GB * options.scale / VALUE_LEN))
        for spec in options.servers:
            with running(spec, parent_dir=options.directory) as server:
                DataSet(keys, VALUE_LEN, options.seed).load(server.client())
                time.sleep(SETTLE_S)
                for _ in range(options.rounds):
                    measure(server, report, f"{size:g} GB")
    return report


def measure(server: Server, report: Report, size: str) -> None:
    client = server.client()
    with Probe(server.port) as probe:
        time.sleep(2 * IDLE_S)
        before = bgsave.dump_identity(server)
        start = time.monotonic()
        client.command("BGSAVE")
        bgsave.wait_for_new_dump(server, before)
        bgsave.wait_until_idle(client)
        told = time.monotonic()
    worst = probe.worst_ms(start, told)
    usual = probe.worst_ms(start - IDLE_S, start - 0.001)
    report.add(f"slowest ping through a BGSAVE, {size}", "ms", server.name, worst)
    report.add(f"above the slowest of the second before, {size}", "ms", server.name, worst - usual)
    report.add(f"fork as told (latest_fork_usec), {size}", "ms", server.name, fork_ms(client))
    if (stall_ms := worst_stall_ms(client)) is not None:
        report.add(f"longest stall as told (SNAPSHOT HISTORY), {size}", "ms", server.name, stall_ms)


def fork_ms(client: Client) -> float:
    return int(client.info()["latest_fork_usec"]) / 1000


def worst_stall_ms(client: Client) -> float | None:
    """Of the last snapshot; None for a server that has no such history."""
    try:
        entries = client.command("SNAPSHOT", "HISTORY", "1")
    except ReplyError:
        return None
    entry = entries[0]
    fields = entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
    return int(fields[b"worst-stall-us"]) / 1000
