"""How many requests a second, and how much of the server's CPU does one take?

redis-benchmark with 50 clients, each workload on each server in turns, several rounds. Keys are random among 100,000
that exist, so that reads find them. A valkey-server on the PATH is measured, too. Requests per second depend on the
client and on who else uses the machine; the CPU time per request (user and system, of the server's process) much less,
so it is given beside them.

redis-benchmark knows no transactions: those of the last workloads (MULTI, three commands, EXEC) come from one client of
our own, which sends the next pipeline of them before it reads the replies to the last one.
"""

from __future__ import annotations

import csv
import io
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.client import encode
from benchmarks.datasets import DataSet
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import MINIKV, REDIS, VALKEY, Server, ServerSpec, all_running, in_turns, installed

CLIENTS = 50
KEYS = 100_000
# Tests of redis-benchmark that would first fill their list, which would be measured too.
COMMANDS = {"lrange_100": ["LRANGE", "mylist", "0", "99"]}


# The test that is not one of redis-benchmark's.
TRANSACTION = "multi set get incr exec"
TRANSACTIONS_READY = 1000  # made before the clock starts


@dataclass(frozen=True)
class Workload:
    """One call of redis-benchmark. `requests` is chosen to run for about two seconds on redis-server.

    A transaction counts as one request. tracks: all clients say CLIENT TRACKING ON first, so that the server remembers
    who has read which key.
    """

    test: str
    pipeline: int
    requests: int
    value_len: int = 100
    tracks: bool = False

    @property
    def name(self) -> str:
        size = "" if self.value_len == 100 else f" of {self.value_len} B"
        tracks = " tracked" if self.tracks else ""
        return f"{self.test.upper()}{size}{tracks}, pipeline {self.pipeline}"

    @property
    def arguments(self) -> list[str]:
        tracking = ["--enable-tracking"] if self.tracks else []
        return [*tracking, *(COMMANDS.get(self.test) or ["-t", self.test])]


WORKLOADS = (
    Workload("get", 1, 150_000),
    Workload("set", 1, 150_000),
    Workload("get", 16, 1_500_000),
    Workload("set", 16, 1_200_000),
    Workload("get", 64, 2_000_000),
    Workload("set", 64, 1_600_000),
    Workload("get", 1, 150_000, tracks=True),
    Workload("get", 16, 1_000_000, tracks=True),
    Workload("incr", 16, 1_200_000),
    Workload("lpush", 16, 1_200_000),
    Workload("mset", 1, 100_000),
    Workload("mset", 16, 200_000),
    Workload("get", 16, 1_000_000, 1024),
    Workload("set", 16, 600_000, 1024),
    Workload(TRANSACTION, 1, 60_000),
    Workload(TRANSACTION, 16, 200_000),
)


def default_servers() -> tuple[ServerSpec, ...]:
    return REDIS, MINIKV, *installed(VALKEY)


def run(options: Options) -> Report:
    report = options.report("throughput", __doc__)
    keys = options.scaled(KEYS)
    with all_running(options.servers, options.directory) as servers:
        for value_len in sorted({workload.value_len for workload in WORKLOADS}):
            data = DataSet(keys, value_len, options.seed)
            for server in servers:
                server.client().command("FLUSHALL")
                data.load(server.client())
            for turn in range(options.rounds):
                for workload in (w for w in WORKLOADS if w.value_len == value_len):
                    for server in in_turns(servers, turn):
                        measure(server, workload, keys, report, options)
    return report


def measure(server: Server, workload: Workload, keys: int, report: Report, options: Options) -> None:
    requests = options.scaled(workload.requests)
    before = processes.cpu_s(server.pid)
    send = transactions if workload.test == TRANSACTION else redis_benchmark
    per_s = send(server, workload, requests, keys)
    used = processes.cpu_s(server.pid) - before
    report.add(workload.name, "thousand requests/s", server.name, per_s / 1000)
    report.add(workload.name, "us of CPU per request", server.name, 1e6 * used / requests)
    if workload.test == "lpush":
        server.client().command("DEL", "mylist")


def redis_benchmark(server: Server, workload: Workload, requests: int, keys: int) -> float:
    """Run the workload; requests per second."""
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", server.port, "-c", CLIENTS, "-n", requests, "-r", keys]
    command += ["-P", workload.pipeline, "-d", workload.value_len, "--csv", *workload.arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if len(rows) != 1:
        raise RuntimeError(f"redis-benchmark said: {done.stdout}{done.stderr}")
    return float(rows[0]["rps"])


def transactions(server: Server, workload: Workload, requests: int, keys: int) -> float:
    """Run the workload of transactions, one client; transactions per second."""
    draw = random.Random(requests)
    ready = [transaction(draw, workload.value_len, keys) for _ in range(TRANSACTIONS_READY)]
    step = workload.pipeline

    def batches() -> Iterator[tuple[bytes, int]]:
        for start in range(0, requests, step):
            place = start % (TRANSACTIONS_READY - step)
            yield b"".join(ready[place : place + step]), 5 * step

    started = time.perf_counter()
    server.client().pipeline(batches())
    return requests / (time.perf_counter() - started)


def transaction(draw: random.Random, value_len: int, keys: int) -> bytes:
    """MULTI, three commands on keys of the data, EXEC."""
    written, read, counter = (f"key:{draw.randrange(keys):012d}" for _ in range(3))
    commands = [("MULTI",), ("SET", written, "v" * value_len), ("GET", read), ("INCR", f"n:{counter}"), ("EXEC",)]
    return b"".join(encode(*command) for command in commands)
