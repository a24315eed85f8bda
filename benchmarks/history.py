"""What does a history of snapshots cost, against whole dumps, restic, borg and the append-only file?

Parts; all run unless --part names some:
  points   10,000 strings of 1 KB, of which 1 % is written before each of 720 saves; what is written is yours to choose.
           redis-server's dumps are kept whole, in a repository of restic and in one of borg (where they are
           installed); a second redis-server has an append-only file that is synced each second and never rewritten;
           minikv keeps layers. Bytes on the disk; CPU time of the server, its children and the archive, the writes
           included; the time until a point is on the disk, and the slowest ping meanwhile; the time until a point is a
           plain dump again. What comes back is loaded by redis-server and must be equal to its own dump of that moment.
           Of the append-only file a point is the part up to it, which a redis-server loads and saves. Drawn.
  layer    1,000,000 strings of 1 KB, then of 100 B, of which 1 % is overwritten at random; 1,000 hashes of 10,000
           fields, of which one field each is. Then a save: its time and its bytes, beside the first save of everything.
  second   20,000 writes/s by popularity (zipf) on 1,000,000 strings of 100 B: a layer each second against an
           append-only file that is synced each second: bytes written per second, and the slowest SET of a light client.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any

from benchmarks import saved_points
from benchmarks.bgsave import wait_until_idle
from benchmarks.client import Client, encode
from benchmarks.datasets import DataSet
from benchmarks.keys import Distribution
from benchmarks.options import Options, amount, count, positive
from benchmarks.probe import Probe
from benchmarks.report import Report
from benchmarks.saved_points import HISTORY, Choice, keeps_layers, kept_bytes, size_of, spent_s
from benchmarks.servers import MINIKV, REDIS, Server, ServerSpec, in_turns, running
from benchmarks.snapshot import add_key_arguments, value_lens
from benchmarks.traffic import Load, Traffic, fill

PARTS = ("points", "layer", "second")
KEYS = 1_000_000
CHANGED = 0.01
HASHES, FIELDS = 1000, 10_000
SECONDS = 30.0

LAYERS = ServerSpec("minikv layers", (*MINIKV.command, "--snapshot-mode", "layers", "--snapshot-history", HISTORY))


@dataclass(frozen=True)
class Chosen:
    """What the command line may choose. changed: percent of the number of keys."""

    points: int = 720
    keys: int = 10_000
    value_len: str = "1024"
    access: str = "uniform"
    changed: float = 1.0
    seconds: float = SECONDS
    rate: float = 20_000.0

    def choice(self, options: Options) -> Choice:
        """Of the part points. ValueError."""
        load = Load(options.scaled(self.keys), value_lens(self.value_len), self.access, seed=options.seed)
        Distribution.parse(load.keys, load.count)
        return Choice(load, self.changed, self.points)


OWN_ARGUMENTS = ("parts", *(field.name for field in fields_of(Chosen)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part", dest="parts", type=parse_parts, default=list(PARTS), metavar="PART[,PART]",
        help=f"of {', '.join(PARTS)} (default: all)",
    )  # fmt: skip
    usual = Chosen()
    of_points = parser.add_argument_group("the part points")
    of_points.add_argument("--points", type=count, default=usual.points, help="saves (default: %(default)s)")
    of_points.add_argument("--keys", type=count, default=usual.keys, help="times --scale (default: %(default)s)")
    add_key_arguments(of_points)
    of_points.add_argument(
        "--changed", type=positive, default=usual.changed, metavar="PERCENT",
        help="writes before each save, by the number of keys (default: %(default)g)",
    )  # fmt: skip
    of_second = parser.add_argument_group("the part second")
    of_second.add_argument("--seconds", type=positive, default=usual.seconds, help="length (default: %(default)g)")
    of_second.add_argument("--rate", type=amount, default=usual.rate, help="writes a second (default: %(default)g)")


def parse_parts(text: str) -> list[str]:
    parts = text.split(",")
    for part in parts:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    return parts


def default_servers() -> tuple[ServerSpec, ...]:
    return REDIS, LAYERS


def run(options: Options, parts: Sequence[str] = PARTS, **chosen: Any) -> Iterator[Report]:
    told = Chosen(**chosen)
    choice = told.choice(options)
    if "points" in parts:
        yield saved_points.run(options, __doc__, choice)
    if "layer" in parts:
        yield layer(options)
    if "second" in parts:
        yield each_second(options, told.seconds, told.rate)


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


def written(server: Server) -> int:
    """Bytes of the history, or of the dump."""
    if keeps_layers(server):
        return size_of(server.directory / HISTORY)
    return server.dump.stat().st_size if server.dump.exists() else 0


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


# -- a save each second


def each_second(options: Options, seconds: float, rate: float) -> Report:
    report = options.report("history-second", __doc__)
    load = Load(options.scaled(KEYS), (100, 100), "zipf", rate=rate, seed=options.seed)
    for turn in range(options.rounds):
        for spec in in_turns(options.servers, turn):
            with running(spec, parent_dir=options.directory) as server:
                client = server.client()
                fill(client, load)
                settle(server, client)
                before = kept_bytes(server)
                cpu_before = spent_s(server, client)
                with (
                    Traffic(server, load) as traffic,
                    Probe(server.port, ("SET",), prefix=load.prefix, keys=load.count, value_len=100) as probe,
                ):
                    begun, writes = time.monotonic(), traffic.writes
                    time.sleep(seconds)
                    ended, writes = time.monotonic(), traffic.writes - writes
                    grown = kept_bytes(server) - before
                    cpu = spent_s(server, client) - cpu_before
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
