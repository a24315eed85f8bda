"""How many bytes does a key cost beyond its key and value?

500,000 strings (keys of 16 bytes, values of 100) are written to an empty server; the growth of its proportional set
size over the empty server, per key, less the 116 bytes that were sent. Then half of the keys, at random, are deleted:
what is left of the growth, once it has stopped to fall, shows whether memory comes back.
"""

from __future__ import annotations

import time

from benchmarks import processes
from benchmarks.datasets import DataSet
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import in_turns, running

KEYS = 500_000
VALUE_LEN = 100
SETTLE_S = 2.0
SETTLE_TIMEOUT_S = 30.0


def run(options: Options) -> Report:
    report = options.report("memory", __doc__)
    data = DataSet(options.scaled(KEYS), VALUE_LEN, options.seed)
    for turn in range(options.rounds):
        for spec in in_turns(options.servers, turn):
            with running(spec, parent_dir=options.directory) as server:
                client = server.client()
                time.sleep(SETTLE_S)
                empty = processes.pss(server.pid)
                data.load(client)
                time.sleep(SETTLE_S)
                grown = processes.pss(server.pid) - empty
                data.verify(client)
                report.add(
                    "memory per key over key and value", "B", spec.name, (grown - data.payload_bytes) / data.count
                )
                report.add("growth by the data set", "MB", spec.name, grown / 1e6)
                client.pipeline(data.deletes(data.sample(data.count // 2, turn)))
                left = settled_pss(server.pid) - empty
                report.add("of it left when half of the keys are deleted", "MB", spec.name, left / 1e6)
    return report


def settled_pss(pid: int) -> int:
    """Proportional set size when it has not fallen by a percent for a while: servers give memory back bit by bit."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    now = processes.pss(pid)
    while time.monotonic() < deadline:
        before = now
        time.sleep(SETTLE_S)
        now = processes.pss(pid)
        if now > 0.99 * before:
            break
    return now
