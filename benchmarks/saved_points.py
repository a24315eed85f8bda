"""The part `points` of the benchmark `history`: many saves, kept in every way, and each way back.

All servers get the same writes, one after another. While a save is on its way a client pings without pause. Then the
archives get the dumps, all archives at the same time, and some of the points come back.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks import archives, picture, processes
from benchmarks.archives import Archive
from benchmarks.bgsave import SAVE_TIMEOUT_S, children_cpu_s, wait_until_idle
from benchmarks.client import Client, encode
from benchmarks.datasets import KEY_LEN
from benchmarks.keys import Distribution
from benchmarks.options import Options
from benchmarks.report import Report, number
from benchmarks.servers import Server, ServerSpec, running, start
from benchmarks.traffic import Load

HISTORY = "history"
APPEND_ONLY = "appendonlydir"
TOOL = (sys.executable, "-m", "minikv.tools.history")
DUMPS, AOF = "whole dumps", "AOF everysec"
PING_EVERY_S = 0.0002
MARKS = 40  # looks at the disk, for the curves
BATCH = 256  # writes that are sent at once
RESTORED = (0.25, 0.5, 0.95)  # parts of the way from the first point to the last

ON_DISK = "on the disk"
CPU = "CPU time of the server, its children and the archive"
SAVE = "until a point is on the disk"
PING = "slowest ping meanwhile"
BACK = "until a point is a plain dump again"


@dataclass(frozen=True)
class Choice:
    """What is written: `changed` percent of the number of keys before each point."""

    load: Load
    changed: float
    points: int

    @property
    def writes(self) -> int:
        return max(1, int(self.load.count * self.changed / 100))

    @property
    def told(self) -> str:
        shortest, longest = self.load.value_lens
        lens = f"{shortest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
        return f"{self.points:,} points of {self.load.count:,} keys of {lens} B, {self.writes:,} written before each"


def append_only(spec: ServerSpec) -> ServerSpec:
    """The server with an append-only file that keeps everything."""
    settings = ("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
    return replace(spec, name=AOF, command=(*spec.command, *settings))


def run(options: Options, question: str | None, choice: Choice) -> Report:
    """The first server makes the dumps and the append-only file, the last one keeps its own history."""
    reference, layers = options.servers[0], options.servers[-1]
    report = options.report("history-points", question)
    with contextlib.ExitStack() as stack:
        directory = options.new_directory(stack)
        servers = [
            stack.enter_context(running(spec, parent_dir=directory))
            for spec in (reference, append_only(reference), layers)
        ]
        whole = Archive(DUMPS, servers[0].version(), directory / "whole")
        kept = [whole, *archives.installed(directory)]
        report.servers = {archive.name: archive.version for archive in kept}
        report.servers |= {server.name: server.version() for server in servers[1:]}
        report.options |= asdict(choice)
        report.note(choice.told)
        lines = Lines(report, choice)
        seen = take_points(servers, whole, choice, lines)
        feed_archives(kept[1:], whole, choice, lines)
        for archive in kept:
            report.add(ON_DISK, "MB", archive.name, size_of(archive.directory) / 1e6)
        for server in servers[1:]:
            report.add(ON_DISK, "MB", server.name, kept_bytes(server) / 1e6)
        for archive in kept:
            report.add(CPU, "s", archive.name, seen.cpu_s[0] + archive.cpu_s)
        for server, cpu_s in zip(servers[1:], seen.cpu_s[1:], strict=True):
            report.add(CPU, "s", server.name, cpu_s)
        tell_times(report, kept, layers.name, seen)
        ways = ways_back(kept, servers, seen)
        for place in sorted({max(1, round(part * choice.points)) for part in RESTORED}):
            bring_back(report, ways, reference, place, options.directory)
    report.result = conclusion(report, choice)
    return report


# -- the points


@dataclass
class Seen:
    """Of each point: seconds of the saves of dumps and of layers, slowest pings, the end of the append-only file."""

    saves: dict[str, list[float]]
    pings: dict[str, list[float]]
    ends: list[int]
    cpu_s: list[float]  # of the servers


class Lines:
    """Bytes on the disk by point, for the picture."""

    def __init__(self, report: Report, choice: Choice) -> None:
        self.series = report.series
        self.step = max(1, choice.points // MARKS)
        self.last = choice.points

    def look(self, name: str, place: int, nbytes: Callable[[], int]) -> None:
        if place % self.step == 0 or place in (1, self.last):
            line = self.series.setdefault(name, {"point": [], "mb": []})
            line["point"].append(place)
            line["mb"].append(round(nbytes() / 1e6, 3))


def take_points(servers: Sequence[Server], whole: Archive, choice: Choice, lines: Lines) -> Seen:
    dumps, journal, history = servers
    clients, pingers = [server.client() for server in servers], [server.client() for server in servers]
    for server, client in zip(servers, clients, strict=True):
        fill(client, choice, server.name)
    seen = Seen({DUMPS: [], history.name: []}, {DUMPS: [], history.name: []}, [], [])
    whole.begin()
    kept_so_far = 0
    all_writes = [writes_of(choice) for _ in servers]
    cpu_before = [spent_s(server, client) for server, client in zip(servers, clients, strict=True)]
    for place in tqdm(range(1, choice.points + 1), desc="points", unit="", disable=None):
        for server, client, pinger, writes in zip(servers, clients, pingers, all_writes, strict=True):
            client.pipeline(next(writes))
            if server is journal:
                seen.ends.append(increment(server).stat().st_size)
                continue
            name = DUMPS if server is dumps else server.name
            seconds, slowest_s = save(server, client, pinger)
            seen.saves[name].append(seconds)
            seen.pings[name].append(1000 * slowest_s)
        whole.keep(dumps.dump, place)
        kept_so_far += dumps.dump.stat().st_size
        lines.look(whole.name, place, lambda nbytes=kept_so_far: nbytes)  # type: ignore[misc]
        for server in (journal, history):
            lines.look(server.name, place, lambda server=server: kept_bytes(server))  # type: ignore[misc]
    for client in clients:
        wait_until_idle(client)
    after = [spent_s(server, client) for server, client in zip(servers, clients, strict=True)]
    seen.cpu_s = [end - begun for begun, end in zip(cpu_before, after, strict=True)]
    return seen


def fill(client: Client, choice: Choice, shown_as: str) -> None:
    """Store every key once."""
    load = choice.load
    numbers = tqdm(range(load.count), desc=f"filling {shown_as}", unit=" keys", leave=False, disable=None)
    client.pipeline(batches(numbers, load, random.Random(load.seed)))


def writes_of(choice: Choice) -> Iterator[Iterator[tuple[bytes, int]]]:
    """The requests before each point: the same for each server."""
    load = choice.load
    noise = random.Random(load.seed + 1)
    for numbers in Distribution.parse(load.keys, load.count).batches(choice.writes, load.seed):
        yield batches(numbers.tolist(), load, noise)


def batches(numbers: Iterable[int], load: Load, noise: random.Random) -> Iterator[tuple[bytes, int]]:
    """SETs of new values, which neither compress nor occur twice: archives look for both."""
    rest = iter(numbers)
    while batch := list(itertools.islice(rest, BATCH)):
        messages = [
            encode(
                "SET",
                f"{load.prefix}{number:0{KEY_LEN - len(load.prefix)}d}",
                noise.randbytes(noise.randint(*load.value_lens)),
            )
            for number in batch
        ]
        yield b"".join(messages), len(batch)


def save(server: Server, client: Client, pinger: Client) -> tuple[float, float]:
    """BGSAVE: seconds until the point is on the disk, and of the slowest ping until then."""
    wait_until_idle(client)
    before = published(server)
    slowest = 0.0
    began = time.monotonic()
    client.send("BGSAVE")
    while published(server) == before:
        asked = time.monotonic()
        pinger.command("PING")
        slowest = max(slowest, time.monotonic() - asked)
        if asked > began + SAVE_TIMEOUT_S:
            raise TimeoutError(f"{server.name} saved nothing:\n{server.log()[-2000:]}")
        time.sleep(PING_EVERY_S)
    ended = time.monotonic()
    client.receive()
    return ended - began, slowest


def published(server: Server) -> tuple[int, int, int] | None:
    """What changes when a point is there: the dump, or the history's manifest."""
    path = server.directory / HISTORY / "manifest" if keeps_layers(server) else server.dump
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def keeps_layers(server: Server) -> bool:
    return (server.directory / HISTORY).is_dir()


def kept_bytes(server: Server) -> int:
    """Of the history, or of the append-only file."""
    return size_of(server.directory / (HISTORY if keeps_layers(server) else APPEND_ONLY))


def size_of(directory: Path) -> int:
    found = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a temporary file that has got its name
            if path.is_file():
                found += path.stat().st_size
    return found


def spent_s(server: Server, client: Client) -> float:
    """CPU time of the server and its ended children so far."""
    return processes.cpu_s(server.pid) + children_cpu_s(client)


def increment(server: Server) -> Path:
    """The part of the append-only file that is being written."""
    (found,) = (server.directory / APPEND_ONLY).glob("*.incr.aof")
    return found


# -- archives


def feed_archives(kept: Sequence[Archive], whole: Archive, choice: Choice, lines: Lines) -> None:
    """Every dump into each archive; the archives work at the same time, as they are most of the time one thread."""
    stop = threading.Event()
    progress = tqdm(total=choice.points * len(kept), desc="archives", unit="", disable=None)

    def feed(archive: Archive) -> None:
        archive.begin()
        for place in range(1, choice.points + 1):
            if stop.is_set():
                return
            archive.keep(whole.directory / f"{place}.rdb", place)
            lines.look(archive.name, place, lambda: size_of(archive.directory))
            progress.update()

    with progress, ThreadPoolExecutor(max(1, len(kept))) as pool:
        try:
            for done in [pool.submit(feed, archive) for archive in kept]:
                done.result()
        finally:
            stop.set()


def tell_times(report: Report, kept: Sequence[Archive], layers: str, seen: Seen) -> None:
    """Times of all points: of an archive those of the dump and of its own program."""
    whole, *others = kept
    for seconds in seen.saves[DUMPS]:
        report.add(SAVE, "ms", whole.name, 1000 * seconds)
    for archive in others:
        for seconds, more in zip(seen.saves[DUMPS], archive.keep_s, strict=True):
            report.add(SAVE, "ms", archive.name, 1000 * (seconds + more))
    for seconds in seen.saves[layers]:
        report.add(SAVE, "ms", layers, 1000 * seconds)
    for name, pings in seen.pings.items():
        for slowest_ms in pings:
            report.add(PING, "ms", name, slowest_ms)


# -- back

Way = Callable[[int, Path], Path]  # a point, and an empty directory: the plain dump


def ways_back(kept: Sequence[Archive], servers: Sequence[Server], seen: Seen) -> dict[str, Way]:
    _, journal, history = servers
    ways: dict[str, Way] = {archive.name: archive.restore for archive in kept}
    ways[journal.name] = lambda place, target: replay(journal, seen.ends[place - 1], target)
    ways[history.name] = lambda place, target: give_back(history.directory / HISTORY, place, target / archives.DUMP)
    return ways


def bring_back(report: Report, ways: dict[str, Way], reference: ServerSpec, place: int, directory: Path) -> None:
    """One point by all ways, which must be equal."""
    digests = {}
    for name, way in ways.items():
        with tempfile.TemporaryDirectory(prefix="benchmark-back-", dir=directory) as target:
            began = time.monotonic()
            dump = way(place, Path(target))
            report.add(BACK, "s", name, time.monotonic() - began)
            digests[name] = digest(reference, dump, directory)
    if len(set(digests.values())) > 1:
        raise RuntimeError(f"point {place} is not the same everywhere: {digests}")


def give_back(history: Path, place: int, target: Path) -> Path:
    """One point of a history as a plain dump."""
    command = [*TOOL, "--quiet", "--history", str(history), "restore", str(place), str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target


def replay(server: Server, end: int, target: Path) -> Path:
    """What the append-only file held when it was so long: a server loads that much of it, and saves."""
    copy = target / APPEND_ONLY
    shutil.copytree(server.directory / APPEND_ONLY, copy)
    with (copy / increment(server).name).open("r+b") as file:
        file.truncate(end)
    again = start(server.spec, target)
    try:
        again.wait_until_ready()
        again.client().command("SAVE")
    finally:
        again.stop()
    return again.dump


def digest(spec: ServerSpec, dump: Path, directory: Path) -> object:
    """DEBUG DIGEST of a dump, as this server loads it."""
    spec = replace(spec, command=(*spec.command, "--enable-debug-command", "local"))
    with running(spec, dump, directory) as server:
        return server.client().command("DEBUG", "DIGEST")


# -- what came out


def conclusion(report: Report, choice: Choice) -> str:
    sizes = report.figure(ON_DISK, "MB").samples
    told = ", ".join(f"{name} {number(samples[0])} MB" for name, samples in sizes.items())
    return f"{choice.told}: {told}."


def draw(result: dict[str, Any]) -> dict[str, picture.Figure]:
    """Bytes on the disk by point; below, bars of CPU time, time of a point, and time to get one back."""
    figure, above, below = picture.one_above(3)
    samples = {figure["name"]: figure["samples"] for figure in result["figures"]}
    looks = dict(zip(result["servers"], picture.styles(), strict=False))
    for place, (name, version) in enumerate(result["servers"].items()):
        color, marker = looks[name]
        line = result["series"][name]
        above.plot(
            line["point"], line["mb"], f"{marker}-", color=color, markersize=max(4, 9 - 2 * place), linewidth=1,
            label=f"{name} {version}".strip(),
        )  # fmt: skip
    picture.logarithmic(above)
    above.set_xlabel("points")
    above.set_ylabel("on the disk, MB")
    load = result["options"]["load"]
    above.set_title(
        f"A history of {load['count']:,} keys ({load['keys']}), {result['options']['changed']:g} % written"
        " before each point",
        fontsize=11,
    )
    names = list(result["servers"])
    for axes, (figure_name, title) in zip(
        below,
        ((CPU, "CPU time, s"), (SAVE, "a point is saved, ms"), (BACK, "a point comes back, s")),
        strict=True,
    ):
        for place, name in enumerate(names):
            if found := samples[figure_name].get(name):
                bar = axes.barh(place, median(found), color=looks[name][0], height=0.7)
                axes.bar_label(bar, [number(median(found))], padding=3, fontsize=8)
        axes.set_yticks(range(len(names)), names if axes is below[0] else [""] * len(names))
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.margins(x=0.25)
        axes.set_xlabel(title)
    picture.legend(figure, above, columns=3)
    picture.caption(figure, result.get("result", ""))
    return {"": figure}
