"""What do hashes, lists, sets and sorted sets cost: in memory, per request, in a snapshot, at a start?

Memory: one collection of 500,000 elements (names of 16 bytes, values of 16) in an empty server; the growth of its
proportional set size per element, less the bytes that were sent (a score counts as 8). Throughput: redis-benchmark's
tests, as in `throughput`. BGSAVE, growth and load, as in the benchmarks of these names: about 1 GB of all types, a
tenth of it in four large collections, into which 100,000 random changes go while the snapshot child is stopped.
"""

from __future__ import annotations

import time

from benchmarks import bgsave, growth, load, processes, throughput
from benchmarks.memory import SETTLE_S
from benchmarks.mixed import SCORE_BYTES, Collections, Part, mixed
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import all_running, in_turns, running
from benchmarks.throughput import Workload

ELEMENTS = 500_000
VALUE_LEN = 16
CHANGES = 100_000
LISTED = 100_000  # elements of the list that LRANGE reads from, and beyond which LPUSH and RPOP work

WORKLOADS = (
    Workload("hset", 16, 1_000_000),
    Workload("sadd", 16, 1_000_000),
    Workload("zadd", 16, 600_000),
    Workload("lpush", 16, 1_000_000),
    Workload("rpop", 16, 1_000_000),
    Workload("incr", 16, 1_200_000),
    Workload("lrange_100", 1, 100_000),
)


def run(options: Options) -> Report:
    report = options.report("collections", __doc__)
    measure_memory(report, options)
    measure_throughput(report, options)
    data = Collections(mixed(options.scale), options.seed)
    measure_snapshots(data, report, options)
    load.measure_all(data, report, options)
    return report


def measure_memory(report: Report, options: Options) -> None:
    elements = options.scaled(ELEMENTS)
    parts = [Part("hash", 1, elements, VALUE_LEN), Part("zset", 1, elements), Part("set", 1, elements)]
    parts.append(Part("list", 1, elements, VALUE_LEN))
    for turn in range(options.rounds):
        for part in parts:
            data = Collections([part], options.seed)
            for spec in in_turns(options.servers, turn):
                with running(spec, parent_dir=options.directory) as server:
                    client = server.client()
                    time.sleep(SETTLE_S)
                    empty = processes.pss(server.pid)
                    data.load(client)
                    time.sleep(SETTLE_S)
                    over = processes.pss(server.pid) - empty - part.payload_bytes
                    data.verify(client)
                report.add(f"one {part.kind}, memory per element over payload", "B", spec.name, over / elements)


def measure_throughput(report: Report, options: Options) -> None:
    listed = Part("list", 1, options.scaled(LISTED), 100)
    with all_running(options.servers, options.directory) as servers:
        for server in servers:
            server.client().pipeline(Collections([listed], options.seed).writes(listed))
            server.client().command("RENAME", listed.key(0), "mylist")
        for turn in range(options.rounds):
            for workload in WORKLOADS:
                for server in in_turns(servers, turn):
                    throughput.measure(server, workload, options.scaled(throughput.KEYS), report, options)


def measure_snapshots(data: Collections, report: Report, options: Options) -> None:
    """BGSAVE as it is, then with the child stopped while the large collections change."""
    versions: dict[tuple[Part, int], int] = {}
    changed = [part for part in data.parts if part.keys == 1 and part.kind != "set"]
    with bgsave.loaded(data, options) as servers:
        for turn in range(options.rounds):
            for server in in_turns(servers, turn):
                bgsave.measure(server, report)
        for turn in range(options.rounds):
            for part in changed:
                elements = data.sample(part, options.scaled(CHANGES), turn)
                new_bytes = len(elements) * (SCORE_BYTES if part.kind == "zset" else part.filler_len)
                for server in in_turns(servers, turn):
                    requests = data.changes(part, elements, turn + 1)
                    growth.grow(server, f"{len(elements):,} random {part.change_name}", requests, new_bytes, report)
                versions |= {(part, element): turn + 1 for element in elements}
        for server in servers:
            data.verify(server.client(), versions)
