"""Command line of the benchmarks and of the lab: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from benchmarks import (
    bgsave,
    churn,
    collections,
    commands,
    compare,
    eviction,
    growth,
    history,
    load,
    mechanisms,
    medium,
    memory,
    pause,
    picture,
    plan,
    saved_points,
    snapshot,
    startup,
    throughput,
)
from benchmarks.client import ReplyError
from benchmarks.options import Options, count, positive, whole
from benchmarks.report import Report
from benchmarks.servers import MINIKV, REDIS, ROOT, ServerSpec

Draw = Callable[[dict[str, Any]], dict[str, picture.Figure]]


def add_nothing(parser: argparse.ArgumentParser) -> None:
    """Most benchmarks have no arguments of their own."""


@dataclass(frozen=True)
class Benchmark:
    """Fixed questions. run: is given its own arguments by name; benchmarks of several parts yield a report for each."""

    run: Callable[..., Report | Iterator[Report]]
    question: str | None
    add_arguments: Callable[[argparse.ArgumentParser], None] = add_nothing
    own_arguments: tuple[str, ...] = ()
    rounds: int = 5
    drawn: Mapping[str, Draw] = field(default_factory=dict)  # pictures, by the name of the report

    def reports(self, options: Options, arguments: argparse.Namespace) -> Iterator[Report]:
        own = {name: value for name, value in vars(arguments).items() if name in self.own_arguments}
        done = self.run(options, **own)
        yield from [done] if isinstance(done, Report) else done


BENCHMARKS = {
    "throughput": Benchmark(throughput.run, throughput.__doc__),
    "memory": Benchmark(memory.run, memory.__doc__),
    "bgsave": Benchmark(bgsave.run, bgsave.__doc__),
    "pause": Benchmark(pause.run, pause.__doc__, pause.add_arguments, ("gb",), rounds=3, drawn={"pause": pause.draw}),
    "growth": Benchmark(growth.run, growth.__doc__),
    "load": Benchmark(load.run, load.__doc__),
    "collections": Benchmark(collections.run, collections.__doc__),
    "commands": Benchmark(commands.run, commands.__doc__, commands.add_arguments, ("only",)),
    "medium": Benchmark(medium.run, medium.__doc__, medium.add_arguments, ("parts",), rounds=3),
    "churn": Benchmark(churn.run, churn.__doc__, churn.add_arguments, ("seconds",), rounds=1),
    "eviction": Benchmark(eviction.run, eviction.__doc__, rounds=3),
    "history": Benchmark(
        history.run, history.__doc__, history.add_arguments, history.OWN_ARGUMENTS,
        rounds=1, drawn={"history-points": saved_points.draw},
    ),
    "startup": Benchmark(startup.run, startup.__doc__),
}  # fmt: skip


@dataclass(frozen=True)
class Instrument:
    """A part of the lab: it has arguments of its own, and pictures (drawn from its saved results)."""

    run: Callable[[Options, argparse.Namespace], Report]
    draw: Draw
    add_arguments: Callable[[argparse.ArgumentParser], None]
    default_servers: Callable[[], tuple[ServerSpec, ...]]
    question: str | None
    epilog: str
    rounds: int = 1  # 1: it has no --rounds


LAB = {
    "snapshot": Instrument(
        snapshot.run, snapshot.draw, snapshot.add_arguments, snapshot.default_servers,
        snapshot.__doc__, snapshot.EPILOG,
    ),
    "mechanisms": Instrument(
        mechanisms.run, mechanisms.draw, mechanisms.add_arguments, mechanisms.default_servers,
        mechanisms.__doc__, mechanisms.EPILOG,
    ),
    "plan": Instrument(
        plan.run, plan.draw, plan.add_arguments, plan.default_servers, plan.__doc__, plan.EPILOG,
    ),
    "compare": Instrument(
        compare.run, compare.draw, compare.add_arguments, compare.default_servers,
        compare.__doc__, compare.EPILOG, rounds=9,
    ),
}  # fmt: skip

DESCRIPTION = """\
Benchmarks compare minikv with redis-server on this machine: all servers in turns, several rounds, fixed questions.
The lab is an instrument for snapshots: any Redis-compatible server, any load, moment by moment.
Both print a Markdown table (median, and lowest to highest) and write all samples to a JSON file; the lab, history and
pause draw a picture beside it. `python -m benchmarks NAME --help` explains each.

"""

EPILOG = """\
Before you trust a figure:
  - nothing else should run: look at the spread, and at the load average in the JSON file
  - /proc/sys/vm/overcommit_memory should be 1 (see docs of Redis), transparent huge pages `madvise` or `always`
  - at full scale bgsave, growth, collections, medium and snapshot need about 5 GB of memory, and 3 GB of disk in
    --directory

Examples:
  python -m benchmarks all                             every benchmark
  python -m benchmarks throughput --rounds 9
  python -m benchmarks bgsave --scale 0.1              a tenth of the keys: a first look in a minute
  python -m benchmarks medium --part growth,memory --rounds 1
  python -m benchmarks churn --seconds 60
  python -m benchmarks commands --only LTRIM --rounds 1
  python -m benchmarks memory --server redis-server --server valkey=/opt/valkey/valkey-server
  python -m benchmarks snapshot --keys 200000          the lab: growth and latency through a save, drawn
"""

SERVERS = """\
a server to measure, repeatable; the first is the reference. A name (redis-server, valkey-server, minikv,
minikv-in-place, minikv-4k), NAME=COMMAND, or in the lab NAME=redis://[:PASSWORD@]127.0.0.1:PORT"""


def main() -> int:
    """Run what the command line says; what goes wrong is one line."""
    name = " ".join(["python -m benchmarks", *sys.argv[1:2]])
    try:
        with contextlib.suppress(BrokenPipeError):
            try:
                return run()
            finally:
                sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        return 0
    except (OSError, ValueError, RuntimeError, ReplyError) as error:
        if isinstance(error, OSError) and error.strerror and error.filename:
            sys.exit(f"{name}: {error.filename}: {error.strerror}")
        sys.exit(f"{name}: {error}")


def run() -> int:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that servers are stopped
    if arguments.name == "draw":
        return redraw(arguments.file)
    instrument = LAB.get(arguments.name)
    servers = tuple(arguments.server or default_servers(arguments.name))
    if instrument is None and any(spec.url for spec in servers):
        sys.exit("benchmarks empty the servers that they measure: they start their own, a URL is for the lab")
    for spec in servers:
        if spec.command and shutil.which(spec.command[0]) is None:
            raise ValueError(f"{spec.command[0]}: no such program (see --help for the servers that it knows)")
    options = Options(servers, arguments.rounds, arguments.seed, arguments.scale, arguments.directory)
    if instrument is not None:
        report = instrument.run(options, arguments)
        path = show(arguments.name, report, arguments.results)
        redraw(path)
        return 0
    for name in BENCHMARKS if arguments.name == "all" else [arguments.name]:
        for report in BENCHMARKS[name].reports(options, arguments):
            path = show(report.benchmark, report, arguments.results)
            if report.benchmark in BENCHMARKS[name].drawn:
                redraw(path)
    return 0


def default_servers(name: str) -> tuple[ServerSpec, ...]:
    """What a benchmark or an instrument measures if the command line does not say."""
    if name in LAB:
        return LAB[name].default_servers()
    own = {
        "throughput": throughput.default_servers, "history": history.default_servers, "pause": pause.default_servers,
    }  # fmt: skip
    return own[name]() if name in own else (REDIS, MINIKV)


def show(name: str, report: Report, results: Path) -> Path:
    path = report.save(results)
    text = f"## {name}: {report.question.splitlines()[0]}\n\n{report.markdown()}\n\n{report.sentence()}\n\n{path}"
    print(f"\n{text}", flush=True)
    return path


def redraw(path: Path) -> int:
    """Draw the pictures of saved results."""
    try:
        result = json.loads(path.read_text())
        name = result["benchmark"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is no result of the lab") from None
    drawn = {name: instrument.draw for name, instrument in LAB.items()}
    for benchmark in BENCHMARKS.values():
        drawn |= benchmark.drawn
    if name not in drawn:
        raise ValueError(f"{path}: {name} draws nothing")
    print(*picture.save(drawn[name](result), path), sep="\n")
    return 0


def parser() -> argparse.ArgumentParser:
    questions = "".join(f"{name}: {benchmark.question}\n" for name, benchmark in BENCHMARKS.items())
    questions += "".join(f"{name} (lab): {instrument.question}\n" for name, instrument in LAB.items())
    parser = new_parser("python -m benchmarks", DESCRIPTION + questions, EPILOG)
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    add_common(names.add_parser("all", **texts("All benchmarks, one after another.", EPILOG)), rounds=5)
    for name, benchmark in BENCHMARKS.items():
        own = names.add_parser(name, **texts(benchmark.question, EPILOG))
        benchmark.add_arguments(own)
        add_common(own, benchmark.rounds)
    for name, instrument in LAB.items():
        own = names.add_parser(name, **texts(instrument.question, instrument.epilog))
        instrument.add_arguments(own)
        add_common(own, instrument.rounds, repeated=instrument.rounds > 1)
    drawing = names.add_parser("draw", **texts("Draw the pictures of saved results again.", ""))
    drawing.add_argument("file", type=Path, help="a JSON file that the lab wrote")
    return parser


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def new_parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return Parser(
        prog=prog, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def texts(question: str | None, epilog: str) -> dict[str, Any]:
    """Help of a subcommand: its first line in the list, the whole of it in its own --help."""
    text = (question or "").strip()
    return {
        "help": text.splitlines()[0],
        "description": text,
        "epilog": epilog,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_common(parser: argparse.ArgumentParser, rounds: int, repeated: bool = True) -> None:
    parser.add_argument("--server", action="append", type=ServerSpec.parse, metavar="SERVER", help=SERVERS)
    if repeated:
        parser.add_argument(
            "--rounds", type=count, default=rounds, help="samples of each figure (default: %(default)s)"
        )
        parser.add_argument("--scale", type=positive, default=1.0, help="factor on numbers of keys and requests")
    else:
        parser.set_defaults(rounds=rounds, scale=1.0)
    parser.add_argument("--seed", type=whole, default=1, help="decides every random value and key (default: 1)")
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()),
        help="where the servers keep their dumps; a RAM disk takes the disk out of the figures (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "benchmarks" / "results",
        help="where JSON and pictures go (default: %(default)s)",
    )
