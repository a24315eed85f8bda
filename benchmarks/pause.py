"""How long does a BGSAVE stop a server, by the size of its data?

Strings of 1 KB, 0.1 to 11 GB of them by default; nobody writes; one client pings every half millisecond. Measured are
redis-server, valkey-server if there is one, and minikv with both values of bgsave-fork. For each size and server: the
slowest ping through a BGSAVE, and above the slowest of the second before, which is what the machine itself contributes;
the fork as the server tells it (latest_fork_usec); and the longest stall of the event loop as minikv's SNAPSHOT HISTORY
has it. One server runs at a time: 11 GB take 13 GB of memory in redis-server and 11 GB of disk. Drawn.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

from benchmarks import bgsave, picture
from benchmarks.client import Client, ReplyError
from benchmarks.options import Options, positive
from benchmarks.probe import Probe
from benchmarks.report import Report
from benchmarks.servers import MINIKV, REDIS, VALKEY, Server, ServerSpec, installed, running
from benchmarks.traffic import Load, fill

SIZES_GB = (0.1, 1.0, 4.0, 11.0)
VALUE_LEN = 1024
GB = 1e9
IDLE_S = 1.0  # pings before the BGSAVE
SETTLE_S = 2.0
SLOWEST, ABOVE = "slowest ping through a BGSAVE", "above the slowest of the second before"
FORK, STALL = "fork as told (latest_fork_usec)", "longest stall as told (SNAPSHOT HISTORY)"

LOOP = ServerSpec("minikv, its loop forks", (*MINIKV.command, "--bgsave-fork", "loop"))
THREAD = ServerSpec("minikv", (*MINIKV.command, "--bgsave-fork", "thread"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gb", type=sizes, default=SIZES_GB, metavar="GB,...",
        help=f"sizes of the data (default {','.join(f'{size:g}' for size in SIZES_GB)})",
    )  # fmt: skip


def sizes(text: str) -> tuple[float, ...]:
    return tuple(positive(size) for size in text.split(","))


def default_servers() -> tuple[ServerSpec, ...]:
    return installed(REDIS, VALKEY, LOOP, THREAD)


def run(options: Options, gb: tuple[float, ...] = SIZES_GB) -> Report:
    report = options.report("pause", __doc__)
    report.options["gb"] = gb
    for size in gb:
        load = Load(max(1, int(size * GB * options.scale / VALUE_LEN)), (VALUE_LEN, VALUE_LEN), seed=options.seed)
        for spec in options.servers:
            with running(spec, parent_dir=options.directory) as server:
                fill(server.client(), load, shown_as=f"{spec.name}, {size:g} GB")
                time.sleep(SETTLE_S)
                for _ in range(options.rounds):
                    measure(server, report, f"{size:g} GB")
    report.result = conclusion(report, gb)
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
    report.add(f"{SLOWEST}, {size}", "ms", server.name, worst)
    report.add(f"{ABOVE}, {size}", "ms", server.name, worst - usual)
    report.add(f"{FORK}, {size}", "ms", server.name, fork_ms(client))
    if (stall_ms := worst_stall_ms(client)) is not None:
        report.add(f"{STALL}, {size}", "ms", server.name, stall_ms)


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


def conclusion(report: Report, gb: tuple[float, ...]) -> str:
    """The slowest ping at the largest size."""
    found = report.figure(f"{SLOWEST}, {max(gb):g} GB", "ms").samples
    told = "; ".join(f"{name} {median(samples):,.1f} ms" for name, samples in found.items())
    return f"{SLOWEST[:1].upper()}{SLOWEST[1:]} of {max(gb):g} GB: {told}."


def draw(result: dict[str, Any]) -> dict[str, picture.Figure]:
    """Slowest pings by size, from the best to the worst save of each, and without a save; forks dotted."""
    figure, axes = picture.panel(
        "How long a BGSAVE stops an idle server (dotted: its fork, as told)", "GB of data", "ms"
    )
    samples = {figure["name"]: figure["samples"] for figure in result["figures"]}
    gb = result["options"]["gb"]
    places = range(len(gb))
    for (color, marker), (name, version) in zip(picture.styles(), result["servers"].items(), strict=False):
        pings = [samples[f"{SLOWEST}, {size:g} GB"][name] for size in gb]
        axes.vlines(places, [min(found) for found in pings], [max(found) for found in pings], color=color, linewidth=1)
        axes.plot(places, [median(found) for found in pings], f"{marker}-", color=color, label=f"{name} {version}")
        forks = [median(samples[f"{FORK}, {size:g} GB"][name]) for size in gb]
        axes.plot(places, forks, ":", color=color, linewidth=1)
    usual = [median(without_a_save(samples, f"{size:g} GB")) for size in gb]
    axes.plot(places, usual, "--", color=picture.GREY, linewidth=1, label="any of them without a save")
    axes.set_xticks(places, [f"{size:g}" for size in gb])
    picture.logarithmic(axes)
    picture.legend(figure, axes)
    picture.caption(figure, result.get("result", ""))
    return {"": figure}


def without_a_save(samples: dict[str, dict[str, list[float]]], size: str) -> list[float]:
    """The slowest pings of the second before, of all servers."""
    pairs = [
        zip(slowest, samples[f"{ABOVE}, {size}"][name], strict=True)
        for name, slowest in samples[f"{SLOWEST}, {size}"].items()
    ]
    return [worst - above for pair in pairs for worst, above in pair]
