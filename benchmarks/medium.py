"""What do many collections of medium size cost: in memory, per request, in a snapshot, at a start?

From 20 to some thousand elements, as users have them, where `collections` has small ones and a few large ones. The
parts, each with a table and a JSON file of its own:

    big-fields  60,000 hashes with one field of 5 KB: are they stored, what do they take, fork and save?
    growth      data sets of 4 million elements: fork, save, start, growth under random writes with the child held
    load        starts with many small hashes, many short strings, a few long streams with groups
    memory      resident memory over payload, by type and number of elements; large strings; keys with and without TTL
    bound       how many hashes fit into 512 MB?
    throughput  commands on random elements, by number of elements
    million     fork, save, start and growth with a million collections of 200

The payload is what was sent of the elements, without commands, keys and IDs; a score counts as 8 bytes. Memory is the
proportional set size above that of the empty server. A part of a server that fails is noted under the table.
All parts take about twenty minutes a round; `million` (14 GB for redis-server) runs if it is asked for, or at full
scale where 24 GB are free.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from benchmarks import access, growth, load, processes
from benchmarks.bgsave import SETTLE_S, dump_identity, wait_for_new_dump, wait_until_idle
from benchmarks.bounds import memory_group, within
from benchmarks.client import Client, ReplyError, encode
from benchmarks.datasets import DataSet, Filling, in_batches
from benchmarks.mixed import Part
from benchmarks.options import Options
from benchmarks.population import Grouped, Population, shaped
from benchmarks.report import Report
from benchmarks.servers import Server, ServerSpec, in_turns, running

KB = 1024
MB = 1_000_000

BIG_FIELDS = Part("hash", 60_000, 1, 5000)

GROWING = (
    Part("hash", 30_000, 150, 40),
    Part("set", 15_000, 200, 16),
    Part("zset", 15_000, 200, 8),
    Part("stream", 8_000, 200, 40),
    Part("list", 20_000, 200, 40),
)
WRITES = 20_000

LOADED = (Part("hash", 300_000, 10, 16), Part("stream", 10, 50_000, 24))
LOADED_STRINGS = 2_000_000
LOADED_STRING_LEN = 10

KINDS = ("hash", "set", "zset", "list", "stream")
SIZES = (20, 100, 300, 1000, 5000)
SHAPE_BYTES = 60 * MB  # payload of all collections of one shape
STRING_LENS = (350 * KB, 512 * KB, 700 * KB)
STRING_BYTES = 200 * MB
KEYS = 500_000
KEY_VALUE_LEN = 100
TTL_S = 1_000_000
SETTLED_S = 3.0

BOUND_BYTES = 512 * KB * KB
LEFT_BYTES = 40 * KB * KB  # of the bound, where nothing but this benchmark watches it
LEAST_BOUND_BYTES = 96 * KB * KB  # an empty server takes some of it
BOUNDED = Part("hash", 240_000, 100, 40)

MILLION = 1_000_000
MILLION_ELEMENTS = 200
MILLION_WRITES = 100_000
MILLION_NEEDS_BYTES = 24_000 * MB  # of one server at a time, with what a held child adds


def run(options: Options, parts: Sequence[str] = ()) -> Iterator[Report]:
    """A report for each part."""
    for name in parts or default_parts(options):
        yield PARTS[name](options)


def default_parts(options: Options) -> list[str]:
    enough = options.scale >= 1 and psutil.virtual_memory().available >= MILLION_NEEDS_BYTES * options.scale
    return [name for name in PARTS if name != "million" or enough]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part", dest="parts", type=part_names, default=[], metavar="PART,...",
        help=f"what to measure, of {', '.join(PARTS)} (default: all but million; see above)",
    )  # fmt: skip


def part_names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no part of this name: {', '.join(sorted(unknown))}")
    return names


# -- the parts


def big_fields(options: Options) -> Report:
    """Are 60,000 hashes with one field of 5 KB stored, and what do they cost?"""
    report = options.report("medium-big-fields", big_fields.__doc__)
    data = Population([scaled(BIG_FIELDS, options)], options.seed)
    name = f"{data.count:,} hashes with one field"
    for spec in turns(options):
        with failures_noted(report, spec, name), running(spec, parent_dir=options.directory) as server:
            client = server.client()
            empty = rested_pss(server)
            try:
                data.load(client)
            finally:
                report.add(f"stored of {name}", "keys", server.name, server.client().command("DBSIZE"))
            report.add("resident memory", "MB", server.name, (rested_pss(server) - empty) / 1e6)
            data.verify(client)
            save(server, name, report)
    return report


def grown(options: Options) -> Report:
    """What do fork, save and start take with collections of 150 and 200, and how much memory random writes meanwhile?

    Growth as in the benchmark of this name: the child is stopped while 20,000 random elements are written.
    """
    report = options.report("medium-growth", grown.__doc__)
    for part in GROWING:
        data = Population([scaled(part, options)], options.seed)
        measure_snapshots(data, data.parts[0].name, options.scaled(WRITES), report, options)
    return report


def loaded(options: Options) -> Report:
    """How long does a start take with many small hashes, many short strings, a few long streams?

    Each server reads its own dump. Each stream has 4 groups with 1,000 pending entries each.
    """
    report = options.report("medium-load", loaded.__doc__)
    hashes, streams = (scaled(part, options) for part in LOADED)
    strings = options.scaled(LOADED_STRINGS)
    measure_load(Population([hashes], options.seed), hashes.name, report, options)
    name = f"{strings:,} strings of {LOADED_STRING_LEN} B"
    measure_load(DataSet(strings, LOADED_STRING_LEN, options.seed), name, report, options)
    measure_load(Grouped([streams], options.seed), f"{streams.name} with 4 groups", report, options)
    return report


def memory(options: Options) -> Report:
    """What do collections take over their payload, by type and number of elements? And large strings, and keys?

    An element is of 32 bytes: in a hash a field and a value of 16 each, in a sorted set a member of 24 and a score, in
    a stream an entry with a field of 8 and a value of 24. About 60 MB of each. Strings of 350, 512 and 700 KB: about
    200 MB of each. Keys of 16 bytes with values of 100: what a key takes beyond these, without and with a TTL.
    """
    report = options.report("medium-memory", memory.__doc__)
    for kind, elements in itertools.product(KINDS, SIZES):
        part = shaped(kind, elements, options.scaled(SHAPE_BYTES))
        measure_memory(part, f"{kind} of {elements:,}", report, options)
    for nbytes in STRING_LENS:
        part = Part("string", max(1, options.scaled(STRING_BYTES) // nbytes), 1, nbytes)
        measure_memory(part, f"string of {nbytes // KB} KB", report, options)
    keys = options.scaled(KEYS)
    for data in (DataSet(keys, KEY_VALUE_LEN, options.seed), Expiring(keys, KEY_VALUE_LEN, options.seed)):
        name = "key with a TTL" if isinstance(data, Expiring) else "key without a TTL"
        for spec in turns(options):
            with failures_noted(report, spec, name):
                over = growth_by(spec, data, options) - data.payload_bytes
                report.add(f"{name}, memory over key and value", "B", spec.name, over / keys)
    return report


def bound(options: Options) -> Report:
    """How many hashes of 100 fields with values of 40 B fit into 512 MB?

    In a control group of that size, until the server refuses a write or is killed. Where no control group can be made,
    until the server's resident memory comes within 40 MB of it. The note says which.
    """
    report = options.report("medium-bound", bound.__doc__)
    nbytes = max(LEAST_BOUND_BYTES, options.scaled(BOUND_BYTES))
    data = Population([scaled(BOUNDED, options)], options.seed)
    for spec in turns(options):
        with memory_group(nbytes) as group:
            report.note(
                f"bound: {'a control group' if group else 'by watching the resident memory'}, {nbytes / KB / KB:.0f} MB"
            )
            where = within(spec, group) if group else spec
            watched = None if group else nbytes - LEFT_BYTES
            with failures_noted(report, spec, "the end"), running(where, parent_dir=options.directory) as server:
                fill_until_full(server, data, watched, report)
    return report


def fill_until_full(server: Server, data: Population, watched: int | None, report: Report) -> None:
    """Fill until the server fails, or until its resident memory exceeds what is watched for."""
    client = server.client()
    stored = 0
    try:
        for requests, count in data.writes(data.parts[0]):
            if watched is not None and processes.status(server.pid)["VmRSS"] > watched:
                break
            client.pipeline([(requests, count)])
            stored += count
    finally:
        report.add(f"hashes stored, of {data.count:,}", "keys", server.name, stored)


def million(options: Options) -> Report:
    """What do fork, save, start and random writes take with a million collections of 200 elements, of all types?"""
    report = options.report("medium-million", million.__doc__)
    keys = options.scaled(MILLION) // len(KINDS)
    parts = [replace(shaped(kind, MILLION_ELEMENTS, 0), keys=max(1, keys)) for kind in KINDS]
    name = f"{sum(part.keys for part in parts):,} collections of {MILLION_ELEMENTS}"
    data = Population(parts, options.seed)
    measure_snapshots(data, name, options.scaled(MILLION_WRITES), report, options)
    return report


PARTS: dict[str, Callable[[Options], Report]] = {
    "big-fields": big_fields,
    "growth": grown,
    "load": loaded,
    "memory": memory,
    "bound": bound,
    "throughput": access.run,
    "million": million,
}


# -- what they are made of


@dataclass
class Expiring(DataSet):
    """Keys that all have a TTL."""

    def load(self, client: Client) -> None:
        super().load(client)
        for batch in in_batches(range(self.count)):
            client.pipeline([(b"".join([encode("EXPIRE", self.key(n), TTL_S) for n in batch]), len(batch))])


def scaled(part: Part, options: Options) -> Part:
    """Fewer collections of the same shape."""
    return replace(part, keys=options.scaled(part.keys))


def turns(options: Options) -> Iterator[ServerSpec]:
    """Every server in every round."""
    for turn in range(options.rounds):
        yield from in_turns(options.servers, turn)


@contextlib.contextmanager
def failures_noted(report: Report, spec: ServerSpec, what: str) -> Iterator[None]:
    """Let the other servers and data sets be measured when this server fails with this one."""
    try:
        yield
    except (ReplyError, OSError, RuntimeError) as error:
        report.note(f"{spec.name}, {what}: {error or type(error).__name__}")


def rested_pss(server: Server) -> int:
    time.sleep(SETTLED_S)
    return processes.pss(server.pid)


def growth_by(spec: ServerSpec, data: Filling, options: Options) -> int:
    """Bytes by which the data set makes an empty server grow."""
    with running(spec, parent_dir=options.directory) as server:
        empty = rested_pss(server)
        client = server.client()
        data.load(client)
        grown = rested_pss(server) - empty
        data.verify(client)
    return grown


def measure_memory(part: Part, name: str, report: Report, options: Options) -> None:
    data = Population([part], options.seed)
    for spec in turns(options):
        with failures_noted(report, spec, name):
            grown = growth_by(spec, data, options)
            report.add(f"{name}, memory", "times the payload", spec.name, grown / part.payload_bytes)


def measure_snapshots(data: Population, name: str, writes: int, report: Report, options: Options) -> None:
    """Fork, save, growth under random writes with the child held, and the start with the first dump."""
    for turn in range(options.rounds):
        for spec in in_turns(options.servers, turn):
            with failures_noted(report, spec, name), contextlib.ExitStack() as stack:
                dump = options.new_directory(stack) / "dump.rdb"
                with running(spec, parent_dir=options.directory) as server:
                    data.load(server.client())
                    data.verify(server.client())
                    save(server, name, report)
                    os.link(server.dump, dump)
                    write_beside_child(server, data, name, writes, turn, report)
                measure_start(spec, dump, data, name, report, options)


def save(server: Server, name: str, report: Report) -> None:
    """A BGSAVE of a server at rest."""
    client = server.client()
    time.sleep(SETTLE_S)
    before = dump_identity(server)
    began = time.monotonic()
    client.command("BGSAVE")
    ended = wait_for_new_dump(server, before)
    wait_until_idle(client)
    fork_us = int(client.info()["latest_fork_usec"])
    report.add(f"fork pause as told (latest_fork_usec), {name}", "ms", server.name, fork_us / 1000)
    report.add(f"time of a BGSAVE, {name}", "s", server.name, ended - began)


def write_beside_child(server: Server, data: Population, name: str, writes: int, turn: int, report: Report) -> None:
    picks = {part: data.picks(part, writes // len(data.parts), turn) for part in data.parts}
    requests = itertools.chain.from_iterable(data.edits(part, picked, turn + 1) for part, picked in picks.items())
    new_bytes = sum(len(picked) * data.edited_bytes(part) for part, picked in picks.items())
    growth.grow(server, f"{writes:,} random writes, {name}", requests, new_bytes, report)
    for part, picked in picks.items():
        data.verify_edits(server.client(), part, picked, turn + 1)


def measure_load(data: Filling, name: str, report: Report, options: Options) -> None:
    with contextlib.ExitStack() as stack:
        dumps = {}
        for spec in options.servers:
            with failures_noted(report, spec, name):
                dumps[spec] = load.dump_of(spec, data, options, stack)
        for spec in turns(options):
            if spec in dumps:
                with failures_noted(report, spec, name):
                    measure_start(spec, dumps[spec], data, name, report, options)


def measure_start(spec: ServerSpec, dump: Path, data: Filling, name: str, report: Report, options: Options) -> None:
    load.warm_memory(2 * dump.stat().st_size)
    with running(spec, dump, options.directory) as server:
        load.record_start(server, name, report)
        data.verify(server.client())
