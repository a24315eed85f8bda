"""How much memory must a machine keep free for a snapshot?

What a snapshot takes depends on the share of the keys that clients overwrite while the child writes. So each server is
measured once with a small data set of the same values: the child is held while every key is overwritten once, in an
order that jumps about, and the growth is read off share by share. This curve has no scale: it holds for any number of
keys. Then your figures tell how far along the curve a save of yours comes: number of keys, write rate, which keys are
written, and how long the save takes (measured speed, or --save-seconds). Beside it stands the classical worst case,
everything copied, for which people reserve twice the memory.

The figures come from the command line, or with --sample from a server that runs: number of keys and memory, changes a
second, and from the idle times of keys picked at random how many different keys were touched in the last seconds.
A held child has passed nothing, so the curve is the upper bound for servers that profit from the child's progress.
"""

from __future__ import annotations

import argparse
import json
import time
from bisect import bisect_left
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import picture, processes
from benchmarks.bgsave import SETTLE_S
from benchmarks.client import Client, ReplyError
from benchmarks.datasets import KEY_LEN
from benchmarks.keys import Distribution
from benchmarks.options import Options, positive
from benchmarks.report import Report
from benchmarks.servers import MINIKV, REDIS, VALKEY, Server, ServerSpec, attached, installed, running
from benchmarks.snapshot import Plan, add_load_arguments, load_of, measure
from benchmarks.traffic import Load, fill

SAMPLE_BYTES = 128_000_000  # of keys and values behind a curve
FEW_KEYS = 100  # a data set of next to nothing, which shows what a snapshot takes in any case
FEW_WRITES = 5_000
SAMPLE_RATE = 60_000  # writes a second while the child is held: slow enough to be looked at often
HOLD_S = 120.0  # at most
MARGIN = 0.25  # on top of the expected growth
PICKED = 1000  # keys whose idle times are asked for
EPILOG = """\
Examples:
  python -m benchmarks plan --keys 50000000 --value-len 200 --rate 30000 --access zipf
  python -m benchmarks plan --sample redis://:secret@127.0.0.1:6379          your running server
  python -m benchmarks plan --sample redis://127.0.0.1:6379 --save-seconds 90      its disk takes 90 s for a save
  python -m benchmarks plan --curve benchmarks/results/plan-....json --keys 80000000    curves measured before

--sample sends INFO, RANDOMKEY and OBJECT IDLETIME, nothing else; with an LFU policy there are no idle times, and the
written keys are taken to be all different ones. It sees the last seconds only: sample at the busiest hour.
"""


@dataclass(frozen=True)
class Curve:
    """What was measured of one server with the small data set.

    fork_ms, fixed_bytes: of a snapshot without data: the interpreter or the program itself, tables, buffers.
    points: (share of the keys overwritten, growth beyond the fixed one as a share of the data's memory), rising.
    """

    bytes_per_key: float
    keys_per_s: float  # written by the child
    fork_ms: float
    fork_ms_per_gb: float
    fixed_bytes: int
    points: list[tuple[float, float]]

    def growth(self, share: float) -> float:
        """At any share, between the measured points along straight lines; beyond the last as at the last."""
        at = bisect_left(self.points, (share, 0.0))
        if at == len(self.points):
            return self.points[-1][1]
        (x0, y0), (x1, y1) = self.points[at - 1] if at else (0.0, 0.0), self.points[at]
        return y0 + (y1 - y0) * (share - x0) / (x1 - x0) if x1 > x0 else y1


@dataclass(frozen=True)
class Demand:
    """What clients do. memory: of the data, 0 if not known. idle_s: how long ago each of some keys was touched."""

    keys: int
    changes_per_s: float
    access: str = "uniform"
    memory: int = 0
    idle_s: tuple[float, ...] = ()

    def overwritten(self, seconds: float) -> float:
        """The share of the keys that are overwritten at least once in this time."""
        changes = self.changes_per_s * seconds
        if not self.idle_s:
            return min(1.0, Distribution.parse(self.access, self.keys).distinct(changes) / self.keys)
        # Idle times are told in ticks of a clock of whole seconds: below n is, on the average, n - 0.5 seconds.
        ticks = max(2.0, seconds)
        touched = sum(idle < ticks for idle in self.idle_s) / len(self.idle_s) * (seconds / (ticks - 0.5))
        return min(touched, changes / self.keys, 1.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_load_arguments(parser)
    parser.add_argument("--sample", metavar="URL", help="a running server to take the figures from")
    parser.add_argument("--seconds", type=positive, default=10.0, help="to sample for (default: 10)")
    parser.add_argument("--save-seconds", type=positive, metavar="S", help="time of a save, if you know it")
    parser.add_argument(
        "--curve", type=Path, metavar="FILE", help="curves of an earlier plan (JSON) instead of new ones"
    )


def default_servers() -> tuple[ServerSpec, ...]:
    return installed(REDIS, VALKEY, MINIKV)


def run(options: Options, arguments: argparse.Namespace) -> Report:
    load = load_of(arguments)
    demand = sampled(arguments.sample, arguments.seconds) if arguments.sample else Demand(
        load.count, load.rate, load.keys
    )  # fmt: skip
    report = options.report("plan", __doc__)
    if arguments.curve:
        told = json.loads(arguments.curve.read_text())["series"]["curves"]
        curves = {name: Curve(**curve) for name, curve in told.items() if name in report.servers}
    else:
        curves = {
            spec.name: calibrate(spec, load, options)
            for spec in tqdm(options.servers, desc="curves", unit="", disable=None)
        }
    report.options |= {"demand": asdict(demand) | {"idle_s": len(demand.idle_s)}}
    marks = {}
    for name, curve in curves.items():
        marks[name] = tell(report, name, curve, demand, arguments.save_seconds)
    report.series = {"curves": {name: asdict(curve) for name, curve in curves.items()}, "marks": marks}
    report.result = "Your save: " + "; ".join(
        f"{name} grows by {100 * grown:.3g} % of the data while {100 * share:.3g} % of the keys are overwritten"
        for name, (share, grown) in marks.items()
    ) + "."  # fmt: skip
    return report


def calibrate(spec: ServerSpec, load: Load, options: Options) -> Curve:
    """Hold the child while every key of a small data set is overwritten once, and before, the few keys of another."""
    few = Load(FEW_KEYS, load.value_lens, "uniform", rate=SAMPLE_RATE, seed=load.seed)
    count = min(load.count, int(SAMPLE_BYTES / (KEY_LEN + load.mean_value_len)))
    small = Load(count, load.value_lens, "shuffled", rate=SAMPLE_RATE, seed=load.seed)
    with running(spec, parent_dir=options.directory) as server:
        client = server.client()
        empty = processes.pss(server.pid)
        fill(client, few)
        nothing = measure(server, Plan(few, before_s=0.2, after_s=0.2, hold_s=HOLD_S, hold_writes=FEW_WRITES))
        fill(client, small, shown_as=spec.name)
        time.sleep(SETTLE_S)
        data = max(1, processes.pss(server.pid) - empty)
        seen = measure(server, Plan(small, before_s=0.2, after_s=0.2, hold_s=HOLD_S, hold_writes=count))
    writes = seen.baseline().writes
    held = [(sample, grown) for sample, grown in seen.growth() if sample.at < seen.released]
    fixed = max([0, *(grown for sample, grown in nothing.growth() if sample.at < nothing.released)])
    return Curve(
        bytes_per_key=data / count,
        keys_per_s=count / max(0.001, seen.ended - seen.released),
        fork_ms=nothing.fork_ms,
        fork_ms_per_gb=max(0.0, seen.fork_ms - nothing.fork_ms) / (data / 1e9),
        fixed_bytes=fixed,
        points=rising([(min(1.0, (s.writes - writes) / count), (grown - fixed) / data) for s, grown in held]),
    )


def rising(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """By share, one point for each, and never falling: what has grown once must be there."""
    found: list[tuple[float, float]] = []
    for share, grown in sorted(points):
        highest = max(grown, found[-1][1]) if found else max(0.0, grown)
        if found and found[-1][0] == share:
            found.pop()
        found.append((share, highest))
    return found or [(0.0, 0.0)]


def tell(report: Report, name: str, curve: Curve, demand: Demand, save_s: float | None) -> tuple[float, float]:
    """Every figure of one server; the point on the curve."""
    data = demand.memory or demand.keys * curve.bytes_per_key
    save_s = save_s or demand.keys / curve.keys_per_s
    share = demand.overwritten(save_s)
    grown = curve.fixed_bytes + curve.growth(share) * data
    report.add("memory of the data", "MB", name, data / 1e6)
    report.add("fork pause to expect", "ms", name, curve.fork_ms + curve.fork_ms_per_gb * data / 1e9)
    report.add("time of a save", "s", name, save_s)
    report.add("keys overwritten meanwhile", "%", name, 100 * share)
    report.add("growth by the measured curve", "MB", name, grown / 1e6)
    report.add(f"to keep free: growth and {MARGIN:.0%}", "MB", name, (1 + MARGIN) * grown / 1e6)
    report.add("classical worst case: everything copied (2 x the memory)", "MB", name, data / 1e6)
    return share, curve.growth(share)


# -- a running server


def sampled(url: str, seconds: float) -> Demand:
    """What its clients do, from the outside."""
    server = attached(ServerSpec.parse(url))
    try:
        client = server.client()
        keys = total_keys(client)
        if not keys:
            raise ValueError(f"{server.spec.told} holds no keys")
        before, began = changes(client), time.monotonic()
        time.sleep(seconds)
        changed = changes(client) - before
        if changed < 0:  # a save has ended meanwhile, and set the counter back
            changed = changes(client)
        rate = changed / (time.monotonic() - began)
        return Demand(keys, rate, memory=data_memory(server, client), idle_s=idle_times(client))
    finally:
        server.stop()


def total_keys(client: Client) -> int:
    """Of all databases."""
    return sum(keyspace(client.info("keyspace")).values())


def keyspace(info: dict[str, str]) -> dict[int, int]:
    """Keys by database, from INFO keyspace (`db0:keys=5,expires=0,...`)."""
    return {
        int(name[2:]): int(dict(part.split("=") for part in told.split(","))["keys"])
        for name, told in info.items()
        if name.startswith("db")
    }


def changes(client: Client) -> int:
    return int(client.info("persistence")["rdb_changes_since_last_save"])


def data_memory(server: Server, client: Client) -> int:
    """Resident memory less what the server holds without data, where it tells that."""
    info = client.info("memory")
    return max(1, processes.status(server.pid)["VmRSS"] - int(info.get("used_memory_startup", 0)))


def idle_times(client: Client) -> tuple[float, ...]:
    """Seconds since some random keys of the largest database were touched; () if the server does not know."""
    databases = keyspace(client.info("keyspace"))
    client.command("SELECT", max(databases, key=lambda number: databases[number]))
    idle = []
    for _ in range(PICKED):
        key = client.command("RANDOMKEY")
        try:
            seconds = client.command("OBJECT", "IDLETIME", key)
        except ReplyError:
            return ()
        if seconds is not None:
            idle.append(float(seconds))
    return tuple(idle)


def draw(result: dict[str, Any]) -> dict[str, picture.Figure]:
    """The curves, your point on each, and the worst case."""
    figure, axes = picture.panel(
        "What a snapshot takes, by what clients overwrite meanwhile",
        "% of the keys overwritten while the child writes",
        "memory growth, % of the data",
    )
    for (color, marker), (name, curve) in zip(picture.styles(), result["series"]["curves"].items(), strict=False):
        points = [(100 * share, 100 * grown) for share, grown in curve["points"]]
        axes.plot(*zip(*points, strict=True), color=color)
        share, grown = result["series"]["marks"][name]
        axes.plot(
            100 * share, 100 * grown, marker, color=color, markersize=9, clip_on=False,
            label=f"{name} {result['servers'][name]} (where your save ends)",
        )  # fmt: skip
    axes.axhline(100, linestyle="--", color="black", label="classical worst case: 2 x the memory")
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    picture.legend(figure, axes, columns=2)
    picture.caption(figure, result.get("result", ""))
    return {"": figure}
