"""Is B better than A? Two commits, two settings or two servers in turns, with the spread.

Any benchmark, or the lab's `snapshot`, runs with A and B as its servers, round by round, so that both meet the same
machine. Each round gives one ratio B / A for each figure. Given are the median of the ratios and the interval that
holds the true median with 95 %, whatever the distribution; if 1 lies inside, the run has shown no difference.
Fewer than 6 rounds cannot show one. Of many figures one in twenty differs by chance: run twice before you believe.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import bgsave, growth, load, memory, picture, snapshot, startup, throughput
from benchmarks.figures import Ratio, ratio
from benchmarks.options import Options
from benchmarks.report import Report, show
from benchmarks.servers import MINIKV, ROOT, ServerSpec

BUILDS = ROOT / "build" / "benchmarks"
BUILD_TIMEOUT_S = 1800
EPILOG = """\
A and B are each
  - a commit, tag or branch of this checkout: it is unpacked and built under build/benchmarks, once
  - settings of this checkout's minikv, in quotes and after an equals sign: --b="--snapshot-writes in-place"
  - a server as in --server of the other benchmarks: minikv, redis-server, NAME=COMMAND

Examples:
  python -m benchmarks compare growth --a main --b HEAD --scale 0.2 --rounds 9
  python -m benchmarks compare snapshot --a minikv --b="--snapshot-writes in-place" --keys 200000 --rounds 8
  python -m benchmarks compare throughput --a="--arena-huge-pages yes" --b="--arena-huge-pages no" --scale 0.2
  python -m benchmarks compare bgsave --a minikv --b minikv       the same twice: what your machine's noise looks like
"""

WORKS: dict[str, Callable[[Options], Report]] = {
    "throughput": throughput.run,
    "memory": memory.run,
    "bgsave": bgsave.run,
    "growth": growth.run,
    "load": load.run,
    "startup": startup.run,
}


@dataclass
class Comparison(Report):
    """A report on two servers, whose table tells what their difference is worth."""

    def ratios(self) -> list[tuple[str, Ratio]]:
        """Of every figure that has pairs of samples."""
        a, b = self.servers
        found = []
        for figure in self.figures:
            told = ratio(figure.samples.get(a, []), figure.samples.get(b, []))
            if told is not None:
                found.append((f"{figure.name}, {figure.unit}", told))
        return found

    def markdown(self) -> str:
        a, b = self.servers
        told = dict(self.ratios())
        rows = [f"|  | {a} | {b} | B / A (95 %) | verdict on B |", "| --- | ---: | ---: | ---: | --- |"]
        for figure in self.figures:
            name = f"{figure.name}, {figure.unit}"
            if name in told:
                r = told[name]
                cells = [name, show(figure.samples[a]), show(figure.samples[b])]
                cells += [f"{r.median:.3f} ({r.low:.3f} to {r.high:.3f})", r.verdict]
                rows.append("| " + " | ".join(cells) + " |")
        return "\n".join(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("work", choices=[*WORKS, "snapshot"], metavar="WORK", help=f"{', '.join(WORKS)} or snapshot")
    parser.add_argument("--a", required=True, metavar="A", help="the reference")
    parser.add_argument("--b", required=True, metavar="B", help="what is to be judged")
    snapshot.add_arguments(parser.add_argument_group("with snapshot"))


def default_servers() -> tuple[ServerSpec, ...]:
    """--a and --b name them."""
    return ()


def run(options: Options, arguments: argparse.Namespace) -> Report:
    a, b = (contender(text) for text in (arguments.a, arguments.b))
    if a.name == b.name:
        a, b = replace(a, name=f"{a.name} (A)"), replace(b, name=f"{b.name} (B)")
    options = replace(options, servers=(a, b))
    if arguments.work == "snapshot":
        arguments.snapshots = options.rounds
        report = snapshot.run(options, arguments)
    else:
        report = WORKS[arguments.work](options)
    comparison = Comparison(
        "compare", (__doc__ or "").strip(), report.options | {"work": arguments.work}, report.servers, report.figures
    )
    ratios = comparison.ratios()
    comparison.series["ratios"] = {name: asdict(told) for name, told in ratios}
    shown = [name for name, told in ratios if told.low > 1 or told.high < 1]
    comparison.result = f"{len(shown)} of {len(ratios)} figures differ beyond the noise: {'; '.join(shown) or 'none'}."
    return comparison


def contender(text: str) -> ServerSpec:
    """A or B from the command line; ValueError if it is none."""
    if text.startswith("--"):
        return ServerSpec(f"minikv {text}", (*MINIKV.command, *text.split()))
    commit = commit_of(text)
    if commit:
        return ServerSpec(f"minikv at {text}", MINIKV.command, built(commit))
    spec = ServerSpec.parse(text)
    if spec.url:
        raise ValueError("benchmarks empty the servers that they measure: they start their own")
    return spec


def commit_of(text: str) -> str:
    """The commit's full number; "" if this names none."""
    found = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{text}^{{commit}}"], cwd=ROOT, capture_output=True, text=True
    )
    return found.stdout.strip()


def built(commit: str) -> Path:
    """The directory of the commit's finished build."""
    directory = BUILDS / commit[:12]
    done = directory / "build" / "finished"
    if not done.exists():
        print(f"building {commit[:12]} in {directory}", file=sys.stderr, flush=True)
        directory.mkdir(parents=True, exist_ok=True)
        with subprocess.Popen(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE) as git:
            assert git.stdout is not None
            with tarfile.open(fileobj=git.stdout, mode="r|") as files:
                files.extractall(directory, filter="data")
        build = ["make", f"PYTHON={sys.executable}"]
        if (directory / "setup.py").exists():  # a commit before Makefile and CMake
            build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(build, cwd=directory, check=True, capture_output=True, timeout=BUILD_TIMEOUT_S)
        done.parent.mkdir(exist_ok=True)
        done.touch()
    return directory


def draw(result: dict[str, Any]) -> dict[str, picture.Figure]:
    """The ratios with their intervals, a line for each figure."""
    ratios = result["series"]["ratios"]
    figure = picture.tall(len(ratios))
    axes = figure.subplots()
    picture.dress(axes)
    for row, told in enumerate(ratios.values()):
        shown = told["low"] > 1 or told["high"] < 1
        axes.plot([told["low"], told["high"]], [row, row], color=picture.BAD if shown else picture.GREY, linewidth=3)
        axes.plot(told["median"], row, "o", color=picture.BAD if shown else picture.GREY)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(ratios)), list(ratios))
    axes.invert_yaxis()
    axes.set_xscale("log")
    a, b = result["servers"]
    axes.set_xlabel(f"{b} / {a} (95 % interval; coloured: a difference is shown)")
    picture.caption(figure, result.get("result", ""))
    return {"": figure}
