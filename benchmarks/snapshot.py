"""What does a snapshot take from machine and clients, moment by moment, under a load of your choice?

Each server holds the data set; clients write and read at the rate that you choose, and a light client times single
GETs and SETs. BGSAVE is sent when all has run for --before seconds. Parent and child are looked at every 20 ms, from
outside: any server that speaks RESP and runs on this machine can be measured. With --hold the child is stopped
(SIGSTOP) for a while as soon as it exists, as if the disk were slow: the growth for each byte written then shows bare.

Growth is what parent and child occupy together (resident(parent) + private(child), page tables included) less what the
parent had before the fork. Latency through the save counts from BGSAVE to the child's end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks import picture, processes
from benchmarks.bgsave import SAVE_TIMEOUT_S, SETTLE_S, wait_until_idle
from benchmarks.client import Client
from benchmarks.figures import percentiles
from benchmarks.keys import Distribution
from benchmarks.options import Options, amount, count, whole
from benchmarks.probe import Probe
from benchmarks.report import Report, number
from benchmarks.servers import IN_PLACE, MINIKV, REDIS, VALKEY, Server, ServerSpec, in_turns, installed, running
from benchmarks.traffic import SLOTS, Load, Traffic, fill
from benchmarks.watch import Sample, Watcher

PROBE_PERIOD_S = 0.002
POLL_S = 0.001
BIN_S = 0.05  # of the latency's curve
RANKS = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "worst": 100.0}
PHASES = ("before", "during", "after")
LEFT = (  # why the line does not come back to 0
    "What minikv keeps after the save is room in its arena: the old versions of overwritten records lie dead among live"
    " ones. The writes that follow fill their places, so from save to save ever less is left (--snapshots 4 shows it)."
)
EPILOG = """\
Examples:
  python -m benchmarks snapshot                                  redis-server, minikv and minikv in-place, 1 GB each
  python -m benchmarks snapshot --keys 200000 --before 1 --after 2       a first look, in half a minute
  python -m benchmarks snapshot --hold 3 --rate 30000            the child held for 3 s: growth per byte written
  python -m benchmarks snapshot --access zipf --rate 0 --read-share 0.8  all out, mostly reads, some keys popular
  python -m benchmarks snapshot --server redis://127.0.0.1:6379 --server minikv
                                     a server that runs already: it must be empty; the lab deletes its keys afterwards
  python -m benchmarks snapshot --server "redis io=redis-server --io-threads 2" --server valkey-server

How to read it: growth is the memory that the snapshot took; a peak near the size of the data set is the classical
doubling. `times the new bytes` above 1 is what copying whole pages costs. `worst` holds the pause of the fork.
"""


@dataclass(frozen=True)
class Plan:
    """One measurement: the load, and the times around the save in seconds.

    hold_writes: the child is released after so many writes, if they come before hold_s is over; 0: whatever comes.
    """

    load: Load
    before_s: float
    after_s: float
    hold_s: float = 0.0
    hold_writes: int = 0


@dataclass(frozen=True)
class Run:
    """What was seen of one snapshot; times are monotonic."""

    samples: list[Sample]
    probe: Probe
    before_s: float
    asked: float
    released: float  # the held child; asked if it was not held
    ended: float
    until: float
    fork_ms: float
    load_cpu: float  # of a core, through the whole run

    def span(self, phase: str) -> tuple[float, float]:
        """Of "before", "during", "after"."""
        return {
            "before": (self.asked - self.before_s, self.asked),
            "during": (self.asked, self.ended),
            "after": (self.ended, self.until),
        }[phase]

    def baseline(self) -> Sample:
        """The last look before BGSAVE."""
        return [sample for sample in self.samples if sample.at <= self.asked][-1]

    def probe_writes(self, until: float) -> int:
        """SETs of the timing client since BGSAVE."""
        return sum(a.kind == "SET" and self.asked <= a.start < until for a in self.probe.answers)

    def growth(self) -> list[tuple[Sample, int]]:
        """From BGSAVE on, where it is known."""
        baseline = self.baseline().held or 0
        return [
            (sample, held - baseline)
            for sample in self.samples
            if sample.at > self.asked and (held := sample.held) is not None
        ]


def add_arguments(parser: argparse._ActionsContainer) -> None:
    add_load_arguments(parser)
    parser.add_argument("--snapshots", type=count, default=1, help="snapshots of each server, in turns (default: 1)")
    parser.add_argument("--before", type=amount, default=3.0, metavar="S", help="load before BGSAVE (default: 3 s)")
    parser.add_argument("--after", type=amount, default=3.0, metavar="S", help="load after the end (default: 3 s)")
    parser.add_argument("--hold", type=amount, default=0.0, metavar="S", help="stop the child for so long (default: 0)")
    parser.add_argument(
        "--hold-writes", type=whole, default=0, metavar="N", help="release it after so many writes, if --hold lasts"
    )


def add_load_arguments(parser: argparse._ActionsContainer) -> None:
    """The data set and what clients do with it."""
    parser.add_argument("--keys", type=count, default=1_000_000, help="in the data set (default: 1,000,000)")
    add_key_arguments(parser)
    parser.add_argument("--rate", type=amount, default=20_000, help="writes a second; 0: all out (default: 20,000)")
    parser.add_argument("--read-share", type=amount, default=0.0, help="of all requests, below 1 (default: 0)")
    parser.add_argument("--pipeline", type=count, default=16, help="requests in a batch (default: 16)")


def add_key_arguments(parser: argparse._ActionsContainer) -> None:
    """How long values are, and which keys are touched."""
    parser.add_argument(
        "--value-len", default="1024", metavar="N[-M]", help="bytes, or from N to M, evenly (default: 1024)"
    )
    parser.add_argument(
        "--access", default="uniform", metavar="KIND",
        help="which keys are touched: uniform, zipf[:S], sequential, shuffled, hot[:PART[:SHARE]] (default: uniform)",
    )  # fmt: skip


def value_lens(text: str) -> tuple[int, int]:
    """The shortest and longest value: `1024`, or `100-2000`. ValueError."""
    shortest, _, longest = text.partition("-")
    if not shortest.isdecimal() or not (longest or shortest).isdecimal() or int(shortest) > int(longest or shortest):
        raise ValueError(f"--value-len must be N or N-M, not {text!r}")
    return int(shortest), int(longest or shortest)


def load_of(arguments: argparse.Namespace) -> Load:
    """ValueError if the arguments make no load."""
    lens = value_lens(arguments.value_len)
    if arguments.read_share >= 1:
        raise ValueError("--read-share must be below 1")
    if arguments.pipeline > SLOTS:
        raise ValueError(f"--pipeline must be at most {SLOTS}")
    Distribution.parse(arguments.access, arguments.keys)
    return Load(
        count=arguments.keys,
        value_lens=lens,
        keys=arguments.access,
        rate=arguments.rate,
        read_share=arguments.read_share,
        pipeline=arguments.pipeline,
        seed=arguments.seed,
    )


def default_servers() -> tuple[ServerSpec, ...]:
    return installed(REDIS, VALKEY, MINIKV, IN_PLACE)


def run(options: Options, arguments: argparse.Namespace) -> Report:
    plan = Plan(load_of(arguments), arguments.before, arguments.after, arguments.hold, arguments.hold_writes)
    report = options.report("snapshot", __doc__)
    report.options |= asdict(plan)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(filled(spec, plan.load, options)) for spec in options.servers]
        time.sleep(SETTLE_S)
        turns = [server for turn in range(arguments.snapshots) for server in in_turns(servers, turn)]
        for server in tqdm(turns, desc="snapshots", unit="", disable=None):
            seen = measure(server, plan)
            tell(report, server.name, plan, seen)
            report.series.setdefault(server.name, []).append(curves(plan, seen))
    report.result = conclusion(report)
    return report


def conclusion(report: Report) -> str:
    """Peak growth and the slowest SET of each server."""
    told = []
    for name in report.servers:
        peak, left, worst = (
            report.figure(figure, unit).samples.get(name)
            for figure, unit in (
                ("peak growth", "MB"), ("left of the growth at the end", "MB"), ("SET worst during", "ms")
            )
        )  # fmt: skip
        if peak and left and worst:
            told.append(
                f"{name} grew by {number(median(peak))} MB ({number(max(0.0, median(left)))} left at the end),"
                f" slowest SET {number(median(worst))} ms"
            )
    return f"During the save: {'; '.join(told)}." if told else ""


@contextlib.contextmanager
def filled(spec: ServerSpec, load: Load, options: Options) -> Iterator[Server]:
    """The server with the data set. One that ran before must be empty, and is emptied again."""
    with running(spec, parent_dir=options.directory) as server:
        client = server.client()
        if (keys := client.command("DBSIZE")) != 0:
            raise ValueError(f"{spec.told} holds {keys} keys: the lab fills only empty servers")
        try:
            fill(client, load, shown_as=spec.name)
            yield server
        finally:
            if spec.url:
                fill(server.client(), load, "DEL")


def measure(server: Server, plan: Plan) -> Run:
    """One snapshot under the load."""
    client = server.client()
    wait_until_idle(client)
    probe = Probe(
        server.port, ("GET", "SET"), PROBE_PERIOD_S, password=server.password,
        prefix=plan.load.prefix, keys=plan.load.count, value_len=int(plan.load.mean_value_len),
    )  # fmt: skip
    with Traffic(server, plan.load) as traffic, probe, Watcher(server.pid, traffic) as watcher:
        began, cpu_before = time.monotonic(), traffic.cpu_s
        time.sleep(plan.before_s)
        known = processes.children(server.pid)
        asked = released = time.monotonic()
        client.send("BGSAVE")
        if plan.hold_s:
            child = processes.stop_first_child(server.pid, known)
            watcher.child = child
            client.receive()
            try:
                hold(traffic, plan)
            finally:
                os.kill(child, signal.SIGCONT)
                released = time.monotonic()
        else:
            child = processes.first_child(server.pid, known)
            watcher.child = child
            client.receive()
        ended = wait_for_end(child)
        watcher.child = 0
        time.sleep(plan.after_s)
        until = time.monotonic()
        load_cpu = (traffic.cpu_s - cpu_before) / (until - began)
    wait_until_idle(client)
    return Run(watcher.samples, probe, plan.before_s, asked, released, ended, until, fork_ms(client), load_cpu)


def hold(traffic: Traffic, plan: Plan) -> None:
    """Wait for as long as the child is to be held."""
    deadline = time.monotonic() + plan.hold_s
    enough = traffic.writes + plan.hold_writes if plan.hold_writes else sys.maxsize
    while time.monotonic() < deadline and traffic.writes < enough:
        if traffic.process.poll() is not None:
            raise RuntimeError("the load broke off")
        time.sleep(POLL_S)


def wait_for_end(child: int) -> float:
    """The monotonic time at which the child had ended."""
    deadline = time.monotonic() + SAVE_TIMEOUT_S
    while processes.state(child) not in ("", "Z"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the child {child} does not end")
        time.sleep(POLL_S)
    return time.monotonic()


def fork_ms(client: Client) -> float:
    """As the server tells it; 0 if it does not."""
    return int(client.info().get("latest_fork_usec", 0)) / 1000


def tell(report: Report, name: str, plan: Plan, seen: Run) -> None:
    """Every figure of one snapshot."""
    value_len = plan.load.mean_value_len
    report.add("fork pause as told (latest_fork_usec)", "ms", name, seen.fork_ms)
    report.add("time from BGSAVE to the child's end", "s", name, seen.ended - seen.asked)
    growth = [(sample, grown) for sample, grown in seen.growth() if sample.at <= seen.ended]
    peak_at, peak = max(growth, key=lambda pair: pair[1], default=(seen.baseline(), 0))
    report.add("peak growth", "MB", name, peak / 1e6)
    report.add("average growth", "MB", name, sum(grown for _, grown in growth) / max(1, len(growth)) / 1e6)
    writes = peak_at.writes - seen.baseline().writes + seen.probe_writes(peak_at.at)
    report.add("new bytes written until the peak", "MB", name, writes * value_len / 1e6)
    if writes:
        report.add("peak growth", "times the new bytes", name, peak / (writes * value_len))
    report.add("peak growth", "% of the memory before", name, 100 * peak / seen.baseline().parent_rss)
    last = seen.samples[-1]
    report.add("left of the growth at the end", "MB", name, (last.parent_rss - seen.baseline().parent_rss) / 1e6)
    for phase in PHASES:
        since, until = seen.span(phase)
        inside = [sample for sample in seen.samples if since <= sample.at <= until]
        if len(inside) > 1:
            rate = (inside[-1].writes - inside[0].writes) / (inside[-1].at - inside[0].at)
            report.add(f"load {phase}", "thousand writes/s", name, rate / 1000)
    inside = [sample for sample in seen.samples if seen.asked <= sample.at <= seen.ended]
    if inside:
        faults = inside[-1].parent_faults - seen.baseline().parent_faults
        report.add("minor faults of the parent during the save", "thousand", name, faults / 1000)
        report.add("page tables of the child, peak", "MB", name, max(s.child_page_tables for s in inside) / 1e6)
    for kind in ("GET", "SET"):
        for phase in PHASES:
            latencies = seen.probe.latencies_ms(kind, *seen.span(phase))
            for rank, value in zip(RANKS, percentiles(latencies, tuple(RANKS.values())), strict=True):
                if latencies:
                    report.add(f"{kind} {rank} {phase}", "ms", name, value)
    report.add("the load's own CPU time", "% of a core", name, 100 * seen.load_cpu)


def curves(plan: Plan, seen: Run) -> dict[str, Any]:
    """What is drawn: seconds since BGSAVE, MB, ms."""
    growth = seen.growth()
    base_writes, value_len = seen.baseline().writes, plan.load.mean_value_len
    worst: dict[int, float] = {}
    for answer in seen.probe.answers:
        at = int((answer.start - seen.asked) // BIN_S)
        worst[at] = max(worst.get(at, 0.0), 1000 * answer.latency_s)
    writes = [(sample.at - seen.asked, sample.writes) for sample in seen.samples]
    return {
        "ended_s": seen.ended - seen.asked,
        "growth_s": [round(sample.at - seen.asked, 4) for sample, _ in growth],
        "growth_mb": [round(grown / 1e6, 3) for _, grown in growth],
        "new_mb": [round((sample.writes - base_writes) * value_len / 1e6, 3) for sample, _ in growth],
        "latency_s": [round(at * BIN_S, 3) for at in sorted(worst)],
        "latency_ms": [round(worst[at], 4) for at in sorted(worst)],
        "writes_s": [round(at, 4) for at, _ in writes],
        "writes": [count - base_writes for _, count in writes],
        "samples": [asdict(sample) | {"at": round(sample.at - seen.asked, 4)} for sample in seen.samples],
    }


def draw(result: dict[str, Any]) -> dict[str, picture.Figure]:
    """Growth over time, a line for each server; percentiles of latency before, during and after the save."""
    figure, (above, below) = picture.stacked(2, heights=(3.4, 2.6))
    told, load = result["options"], result["options"]["load"]
    above.axvline(0, color=picture.GREY, linewidth=1, linestyle=":", label="BGSAVE")
    for (color, marker), (name, runs) in zip(picture.styles(), result["series"].items(), strict=False):
        label = f"{name} {result['servers'][name]}"
        for turn, run in enumerate(runs):
            grown = [0, *run["growth_mb"]]
            above.plot([0, *run["growth_s"]], grown, color=color)
            above.axvline(run["ended_s"], color=color, linewidth=1, linestyle=":")
            above.plot(
                run["ended_s"], at_time(run, run["ended_s"]), marker, color=color, markersize=7,
                label=None if turn else f"{label} (its child's end)",
            )  # fmt: skip
    longest = max(run["ended_s"] for runs in result["series"].values() for run in runs)
    above.set_xlim(-min(told["before_s"], 0.2 * longest + 0.5), longest + min(told["after_s"], 0.2 * longest + 0.5))
    above.set_ylabel("memory growth, MB")
    above.set_xlabel("seconds since BGSAVE")
    draw_latencies(below, result)
    shortest, longest_value = load["value_lens"]
    size = f"{shortest:,}" if shortest == longest_value else f"{shortest:,} to {longest_value:,}"
    rate = f"{load['rate']:,.0f} writes/s" if load["rate"] else "writes all out"
    held = f",\nthe child held for {told['hold_s']:g} s" if told["hold_s"] else ""
    above.set_title(f"BGSAVE of {load['count']:,} keys of {size} B under {rate} ({load['keys']}){held}", fontsize=11)
    picture.legend(figure, above, columns=2)
    picture.caption(figure, f"{result.get('result', '')} {LEFT if 'minikv' in result['series'] else ''}".strip())
    return {"": figure}


def draw_latencies(axes: picture.Axes, result: dict[str, Any]) -> None:
    """For each phase and server from p50 (hollow) over p99 (filled) to the slowest (a dash): medians of the runs."""
    samples = {figure["name"]: figure["samples"] for figure in result["figures"] if figure["unit"] == "ms"}
    names = list(result["series"])
    for place, ((color, marker), name) in enumerate(zip(picture.styles(), names, strict=False)):
        for phase_number, phase in enumerate(PHASES):
            found = [samples.get(f"SET {rank} {phase}", {}).get(name) for rank in ("p50", "p99", "worst")]
            if not all(found):
                continue
            p50, p99, worst = (median(each) for each in found if each)
            x = phase_number + 0.18 * (place - (len(names) - 1) / 2)
            axes.plot([x, x], [p50, worst], color=color, linewidth=1)
            axes.plot(x, p50, marker, color=color, markerfacecolor="white")
            axes.plot(x, p99, marker, color=color)
            axes.plot(x, worst, "_", color=color, markersize=12, markeredgewidth=2)
    axes.set_xticks(range(len(PHASES)), [f"{phase} the save" for phase in PHASES])
    axes.set_xlim(-0.5, len(PHASES) - 0.5)
    picture.logarithmic(axes)
    axes.set_ylabel("SET, ms: p50 hollow,\np99 filled, slowest a dash")


def at_time(run: dict[str, Any], at: float) -> float:
    """The growth at the last look before this time."""
    known = [grown for second, grown in zip(run["growth_s"], run["growth_mb"], strict=True) if second <= at]
    return known[-1] if known else 0.0
