"""Command line of the benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import collections, growth, load, memory, snapshot, startup, throughput
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.servers import MINIKV, REDIS, ROOT, ServerSpec

BENCHMARKS: dict[str, tuple[Callable[[Options], Report], str | None]] = {
    "throughput": (throughput.run, throughput.__doc__),
    "memory": (memory.run, memory.__doc__),
    "snapshot": (snapshot.run, snapshot.__doc__),
    "growth": (growth.run, growth.__doc__),
    "load": (load.run, load.__doc__),
    "collections": (collections.run, collections.__doc__),
    "startup": (startup.run, startup.__doc__),
}

DESCRIPTION = """\
Compare minikv with redis-server on this machine. Every benchmark runs all servers in turns, several rounds, prints a
Markdown table (median, and lowest to highest) and writes all samples to a JSON file.

"""

EPILOG = """\
Before you trust a figure:
  - nothing else should run: look at the spread, and at the load average in the JSON file
  - /proc/sys/vm/overcommit_memory should be 1 (see docs of Redis), transparent huge pages `madvise` or `always`
  - at full scale snapshot, growth and collections need about 5 GB of memory, and 3 GB of disk in --directory

Examples:
  python -m benchmarks all
  python -m benchmarks throughput --rounds 9
  python -m benchmarks snapshot --scale 0.1            a tenth of the keys: a first look in a minute
  python -m benchmarks memory --server redis=redis-server --server valkey=/opt/valkey/valkey-server
"""


def main() -> int:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that servers are stopped
    options = Options(
        tuple(arguments.server or (REDIS, MINIKV)),
        arguments.rounds,
        arguments.seed,
        arguments.scale,
        arguments.directory,
    )
    names = list(BENCHMARKS) if arguments.benchmark == "all" else [arguments.benchmark]
    for name in names:
        report = BENCHMARKS[name][0](options)
        path = report.save(arguments.results)
        print(f"\n## {name}: {report.question.splitlines()[0]}\n\n{report.markdown()}\n\n{path}", flush=True)
    return 0


def parser() -> argparse.ArgumentParser:
    questions = "".join(f"{name}: {text}\n" for name, (_, text) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=DESCRIPTION + questions,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "all"], help="which question to answer")
    parser.add_argument(
        "--server", action="append", type=ServerSpec.parse, metavar="NAME=COMMAND",
        help="a server to measure, repeatable; the first is the reference (default: redis-server, then minikv)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="samples of each figure (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on numbers of keys and requests (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="decides every random value and key (default: 1)")
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()),
        help="where the servers keep their dumps; a RAM disk takes the disk out of the figures (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "benchmarks" / "results",
        help="where the JSON goes (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
