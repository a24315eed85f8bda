"""How many requests a second, and how much of the server's CPU does one take?

redis-benchmark with 50 clients, each workload on each server in turns, several rounds. Keys are random among 100,000
that exist, so that reads find them. A valkey-server on the PATH is measured, too. Requests per second depend on the
client and on who else uses the machine; the CPU time per request (user and system, of the server's process) much less,
so it is given beside them.
"""

from __future__ import annotations

import csv
import io
import subprocess
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.datasets import DataSet
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import MINIKV, REDIS, VALKEY, Server, ServerSpec, all_running, in_turns, installed

CLIENTS = 50
KEYS = 100_000
# Tests of redis-benchmark that would first fill their list, which would be measured too.
COMMANDS = {"lrange_100": ["LRANGE", "mylist", "0", "99"]}


@dataclass(frozen=True)
class Workload:
    """One call of redis-benchmark. `requests` is chosen to run for about two seconds on redis-server."""

    test: str
    pipeline: int
    requests: int
    value_len: int = 100

    @property
    def name(self) -> str:
        size = "" if self.value_len == 100 else f" of {self.value_len} B"
        return f"{self.test.upper()}{size}, pipeline {self.pipeline}"

    @property
    def arguments(self) -> list[str]:
        return COMMANDS.get(self.test) or ["-t", self.test]


WORKLOADS = (
    Workload("get", 1, 150_000),
    Workload("set", 1, 150_000),
    Workload("get", 16, 1_500_000),
    Workload("set", 16, 1_200_000),
    Workload("get", 64, 2_000_000),
    Workload("set", 64, 1_600_000),
    Workload("incr", 16, 1_200_000),
    Workload("lpush", 16, 1_200_000),
    Workload("mset", 1, 100_000),
    Workload("mset", 16, 200_000),
    Workload("get", 16, 1_000_000, 1024),
    Workload("set", 16, 600_000, 1024),
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
    per_s = redis_benchmark(server.port, workload, requests, keys)
    used = processes.cpu_s(server.pid) - before
    report.add(workload.name, "thousand requests/s", server.name, per_s / 1000)
    report.add(workload.name, "us of CPU per request", server.name, 1e6 * used / requests)
    if workload.test == "lpush":
        server.client().command("DEL", "mylist")


def redis_benchmark(port: int, workload: Workload, requests: int, keys: int) -> float:
    """Run the workload; requests per second."""
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", port, "-c", CLIENTS, "-n", requests, "-r", keys]
    command += ["-P", workload.pipeline, "-d", workload.value_len, "--csv", *workload.arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if len(rows) != 1:
        raise RuntimeError(f"redis-benchmark said: {done.stdout}{done.stderr}")
    return float(rows[0]["rps"])
