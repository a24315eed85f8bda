"""What does a history of snapshots cost, against whole dumps, restic, borg and the append-only file?

Parts; all run unless --part names some:
  layer    1,000,000 strings of 1 KB, then of 100 B, of which 1 % is overwritten at random; 1,000 hashes of 10,000
           fields, of which one field each is. Then a save: its time and its bytes, beside the first save of everything.
  points   100,000 strings of 1 KB, of which 1 % is overwritten before each of --points saves. redis-server's dumps are
           kept whole, in a repository of restic and in one of borg (where they are installed): bytes on the disk, CPU
           time of all that is kept, and the time until a point in the middle is a plain dump again. What the history
           gives back is loaded by redis-server, and must be equal to redis-server's own dump of that moment.
  second   20,000 writes/s by popularity (zipf) on 1,000,000 strings of 100 B: a layer each second against an
           append-only file that is synced each second: bytes written per second, and the slowest SET of a light client.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import processes
from benchmarks.bgsave import children_cpu_s, wait_until_idle
from benchmarks.client import Client, encode
from benchmarks.datasets import DataSet
from benchmarks.options import Options, count, positive
from benchmarks.probe import Probe
from benchmarks.report import Report
from benchmarks.servers import MINIKV, REDIS, Server, ServerSpec, in_turns, running
from benchmarks.traffic import Load, Traffic, fill

PARTS = ("layer", "points", "second")
KEYS = 1_000_000
POINT_KEYS = 100_000
CHANGED = 0.01
HASHES, FIELDS = 1000, 10_000
RATE = 20_000.0
POINTS = 48
SECONDS = 30.0
HISTORY = "history"
TOOL = (sys.executable, "-m", "minikv.tools.history")

LAYERS = ServerSpec("minikv layers", (*MINIKV.command, "--snapshot-mode", "layers", "--snapshot-history", HISTORY))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part", dest="parts", type=parse_parts, default=list(PARTS), metavar="PART[,PART]",
        help=f"of {', '.join(PARTS)} (default: all)",
    )  # fmt: skip
    parser.add_argument("--points", type=count, default=POINTS, help="saves of the part points (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=positive, default=SECONDS, help="length of the part second (default: %(default)s)"
    )


def parse_parts(text: str) -> list[str]:
    parts = text.split(",")
    for part in parts:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    return parts


def default_servers() -> tuple[ServerSpec, ...]:
    return REDIS, LAYERS


def run(
    options: Options, parts: Sequence[str] = PARTS, points: int = POINTS, seconds: float = SECONDS
) -> Iterator[Report]:
    if "layer" in parts:
        yield layer(options)
    if "points" in parts:
        yield kept_points(options, points)
    if "second" in parts:
        yield each_second(options, seconds)


# -- one save


@dataclass
class Saved:
    """What a save has written, and how long it took from the command on."""

    nbytes: int
    seconds: float


def save(server: Server, client: Client) -> Saved:
    """BGSAVE, and wait for its end."""
    before = written(server)
    began = time.monotonic()
    client.command("BGSAVE")
    wait_until_idle(client)
    return Saved(written(server) - (before if keeps_layers(server) else 0), time.monotonic() - began)


def keeps_layers(server: Server) -> bool:
    return (server.directory / HISTORY).is_dir()


def written(server: Server) -> int:
    """Bytes of the history, or of the dump."""
    if keeps_layers(server):
        return size_of(server.directory / HISTORY)
    return server.dump.stat().st_size if server.dump.exists() else 0


def size_of(directory: Path) -> int:
    found = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a temporary file that has got its name
            if path.is_file():
                found += path.stat().st_size
    return found


def layer(options: Options) -> Report:
    report = options.report("history-layer", __doc__)
    for turn in range(options.rounds):
        for value_len in (1024, 100):
            data = DataSet(options.scaled(KEYS), value_len, options.seed)
            for spec in in_turns(options.servers, turn):
                with running(spec, parent_dir=options.directory) as server:
                    client = server.client()
                    data.load(client)
                    first = save(server, client)
                    numbers = data.sample(max(1, int(data.count * CHANGED)), turn)
                    client.pipeline(data.writes(numbers, version=1))
                    add_saves(report, server, f"strings of {value_len} B", first, save(server, client), data, numbers)
        for spec in in_turns(options.servers, turn):
            with running(spec, parent_dir=options.directory) as server:
                client = server.client()
                hashes = options.scaled(HASHES)
                for number in range(hashes):
                    client.pipeline([(fields(number, range(FIELDS), 0), 1)])
                first = save(server, client)
                client.pipeline((fields(number, [number * 7919 % FIELDS], 1), 1) for number in range(hashes))
                second = save(server, client)
                report.add(
                    "hashes, a field each: the save after it", "B per field", server.name, second.nbytes / hashes
                )
                report.add("hashes: the first save", "s", server.name, first.seconds)
                report.add("hashes, a field each: the save after it", "s", server.name, second.seconds)
    return report


def fields(number: int, names: Sequence[int], version: int) -> bytes:
    words = [word for name in names for word in (b"field:%05d" % name, b"value %010d" % (name + version))]
    return encode("HSET", b"hash:%06d" % number, *words)


def add_saves(
    report: Report, server: Server, what: str, first: Saved, second: Saved, data: DataSet, numbers: list[int]
) -> None:
    changed = len(numbers) * data.payload_bytes // data.count
    report.add(f"{what}: the first save", "s", server.name, first.seconds)
    report.add(f"{what}, 1 % overwritten: the save after it", "s", server.name, second.seconds)
    report.add(
        f"{what}, 1 % overwritten: its bytes over the changed ones", "times", server.name, second.nbytes / changed
    )


# -- many points


@dataclass
class Archive:
    """A way to keep dumps: `keep` takes one more, `restore` gives one back."""

    name: str
    version: str
    directory: Path
    cpu_s: float = 0.0

    def run(self, *command: str | Path, cwd: Path | None = None) -> None:
        environment = {**os.environ, "RESTIC_PASSWORD": "x", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        environment |= {"HOME": str(self.directory.parent), "XDG_CACHE_HOME": str(self.directory.parent / "cache")}
        before = os.times()
        subprocess.run(
            [str(word) for word in command], cwd=cwd, env=environment, check=True, capture_output=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        after = os.times()
        self.cpu_s += after.children_user - before.children_user + after.children_system - before.children_system

    def begin(self) -> None:
        self.directory.mkdir()

    def keep(self, dump: Path, number: int) -> None:
        shutil.copyfile(dump, self.directory / f"{number}.rdb")

    def restore(self, number: int, target: Path) -> Path:
        return Path(shutil.copyfile(self.directory / f"{number}.rdb", target / "dump.rdb"))


class Restic(Archive):
    def begin(self) -> None:
        self.run("restic", "-r", self.directory, "init")

    def keep(self, dump: Path, number: int) -> None:
        self.run("restic", "-r", self.directory, "backup", "--tag", f"point-{number}", "dump.rdb", cwd=dump.parent)

    def restore(self, number: int, target: Path) -> Path:
        self.run("restic", "-r", self.directory, "restore", "latest", "--tag", f"point-{number}", "--target", target)
        return next(target.rglob("dump.rdb"))


class Borg(Archive):
    def begin(self) -> None:
        self.run("borg", "init", "-e", "none", self.directory)

    def keep(self, dump: Path, number: int) -> None:
        self.run("borg", "create", f"{self.directory}::point-{number}", "dump.rdb", cwd=dump.parent)

    def restore(self, number: int, target: Path) -> Path:
        self.run("borg", "extract", f"{self.directory}::point-{number}", cwd=target)
        return target / "dump.rdb"


def archives(directory: Path) -> list[Archive]:
    """Whole dumps, and what is installed."""
    found = [Archive("whole dumps", "", directory / "whole")]
    for kind, program, argument in ((Restic, "restic", "version"), (Borg, "borg", "--version")):
        if shutil.which(program):
            told = subprocess.run([program, argument], capture_output=True, text=True, check=True).stdout.split()
            found.append(kind(program, told[1], directory / program))
    return found


def kept_points(options: Options, points: int) -> Report:
    """All archives are fed by the first server's dumps; the last server keeps its own history."""
    reference, layers = options.servers[0], options.servers[-1]
    report = options.report("history-points", __doc__)
    data = DataSet(options.scaled(POINT_KEYS), 1024, options.seed)
    changed = max(1, int(data.count * CHANGED))
    middle = (points + 1) // 2
    with contextlib.ExitStack() as stack:
        directory = options.new_directory(stack)
        dumps, history = (
            stack.enter_context(running(spec, parent_dir=options.directory)) for spec in (reference, layers)
        )
        kept = archives(directory)
        report.servers = {archive.name: archive.version for archive in kept} | {layers.name: history.version()}
        clients = [dumps.client(), history.client()]
        for archive in kept:
            archive.begin()
        for client in clients:
            data.load(client)
        cpu_before = children_cpu_s(clients[1])
        for number in range(1, points + 1):
            numbers = data.sample(changed, number)
            for server, client in zip((dumps, history), clients, strict=True):
                client.pipeline(data.writes(numbers, version=number))
                save(server, client)
            for archive in kept:
                archive.keep(dumps.dump, number)
        report.note(f"{points} points of {data.count} keys, {changed} overwritten before each")
        for archive in kept:
            report.add("on the disk", "MB", archive.name, size_of(archive.directory) / 1e6)
            report.add("CPU time of keeping, without redis-server's", "s", archive.name, archive.cpu_s)
        report.add("on the disk", "MB", layers.name, written(history) / 1e6)
        report.add(
            "CPU time of keeping, without redis-server's", "s", layers.name, children_cpu_s(clients[1]) - cpu_before
        )
        for archive in kept:
            target = directory / f"from {archive.name}"
            target.mkdir()
            began = time.monotonic()
            archive.restore(middle, target)
            report.add("a point in the middle as a plain dump", "s", archive.name, time.monotonic() - began)
        expected = digest(reference, kept[0].directory / f"{middle}.rdb", options)
        restored = directory / "restored.rdb"
        began = time.monotonic()
        give_back(history.directory / HISTORY, middle, restored)
        report.add("a point in the middle as a plain dump", "s", layers.name, time.monotonic() - began)
        if digest(reference, restored, options) != expected:
            raise RuntimeError(f"point {middle} of the history is not what the dump of that moment holds")
    return report


def give_back(history: Path, point: int, target: Path) -> None:
    """One point of a history as a plain dump."""
    subprocess.run(
        [*TOOL, "--history", str(history), "restore", str(point), str(target)], check=True, stdout=subprocess.DEVNULL
    )


def digest(spec: ServerSpec, dump: Path, options: Options) -> object:
    """DEBUG DIGEST of a dump, as this server loads it."""
    spec = replace(spec, command=(*spec.command, "--enable-debug-command", "local"))
    with running(spec, dump, options.directory) as server:
        return server.client().command("DEBUG", "DIGEST")


# -- a save each second


def each_second(options: Options, seconds: float) -> Report:
    report = options.report("history-second", __doc__)
    load = Load(options.scaled(KEYS), (100, 100), "zipf", rate=RATE, seed=options.seed)
    for turn in range(options.rounds):
        for spec in in_turns(options.servers, turn):
            with running(spec, parent_dir=options.directory) as server:
                client = server.client()
                fill(client, load)
                settle(server, client)
                before = kept_bytes(server)
                cpu_before = processes.cpu_s(server.pid) + children_cpu_s(client)
                with (
                    Traffic(server, load) as traffic,
                    Probe(server.port, ("SET",), prefix=load.prefix, keys=load.count, value_len=100) as probe,
                ):
                    begun, writes = time.monotonic(), traffic.writes
                    time.sleep(seconds)
                    ended, writes = time.monotonic(), traffic.writes - writes
                    grown = kept_bytes(server) - before
                    cpu = processes.cpu_s(server.pid) + children_cpu_s(client) - cpu_before
                report.add("written to the disk", "MB/s", server.name, grown / 1e6 / (ended - begun))
                report.add("slowest SET", "ms", server.name, probe.worst_ms(begun, ended))
                report.add("writes", "per s", server.name, writes / (ended - begun))
                report.add("CPU time of server and children", "s per s", server.name, cpu / (ended - begun))
    return report


def settle(server: Server, client: Client) -> None:
    """Everything is on the disk once, and from now on each second's changes are."""
    if keeps_layers(server) or "layers" in server.spec.command:
        client.command("BGSAVE")
        wait_until_idle(client)
        client.command("CONFIG", "SET", "save", "1 1")
        return
    client.command("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
    client.command("CONFIG", "SET", "appendonly", "yes")
    while (info := client.info("persistence"))["aof_rewrite_in_progress"] == "1" or info[
        "aof_rewrite_scheduled"
    ] == "1":
        time.sleep(0.05)


def kept_bytes(server: Server) -> int:
    return size_of(server.directory / (HISTORY if keeps_layers(server) else "appendonlydir"))
