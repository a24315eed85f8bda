"""What does an empty server cost, and when does it answer?

Time from the start of the process to the first PONG; resident memory and proportional set size (its share of the
libraries that others use too) one second later.
"""

from __future__ import annotations

import time

from benchmarks import processes
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import in_turns, running

SETTLE_S = 1.0


def run(options: Options) -> Report:
    report = options.report("startup", __doc__)
    for turn in range(options.rounds):
        for spec in in_turns(options.servers, turn):
            with running(spec, parent_dir=options.directory) as server:
                time.sleep(SETTLE_S)
                memory = processes.rollup(server.pid)
                report.add("time to the first PING", "ms", spec.name, 1000 * server.ready_s)
                report.add("CPU time until then", "ms", spec.name, 1000 * server.ready_cpu_s)
                report.add("resident memory, empty", "MB", spec.name, memory["Rss"] / 1e6)
                report.add("proportional set size, empty", "MB", spec.name, memory["Pss"] / 1e6)
    return report
