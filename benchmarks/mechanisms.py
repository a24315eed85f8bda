"""What is copy-on-write made of, on this machine?

Each experiment measures one thing on bare memory, without any server, in a fresh process, and draws it:

    fork-time         how long fork takes for each gigabyte mapped, in pages of 4 KiB and of 2 MiB
    first-write       what the first write costs: to a page shared with a child, an untouched one, one only read, an own
    zeroed            memory zeroed by hand against memory that the kernel zeroes, untouched and touched
    set-sizes         resident against proportional set size of memory that processes share
    lazy-or-eager     copy-on-write against copying all at once, and where they cross
    scattered-writes  bytes copied for bytes written, at random and in order, and the map of copied pages
    reference-counts  pages that a child of a Python process copies by reading alone
    overcommit        which promises of memory the kernel refuses (all modes with --switch-overcommit, as root)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from tqdm import tqdm

from benchmarks import picture
from benchmarks.copy_on_write import EXPERIMENTS
from benchmarks.options import Options, positive
from benchmarks.report import Report, number
from benchmarks.servers import ROOT, ServerSpec

HERE = "this machine"
TIMEOUT_S = 300
MODES = ("0", "1", "2")
EPILOG = """\
Examples:
  python -m benchmarks mechanisms                                     all of it, in two minutes
  python -m benchmarks mechanisms --only fork-time --only first-write --memory 4
  sudo python -m benchmarks mechanisms --only overcommit --switch-overcommit
      sets vm.overcommit_memory to 0, 1 and 2 for a moment each and back: not on a machine that others use
"""

AXES = {  # title, x, y of those that are lines
    "fork-time": ("The parent's pause by a fork", "GB mapped and in use", "ms"),
    "set-sizes": ("One mapping shared by processes: who counts it how often?", "processes", "MB"),
    "lazy-or-eager": (
        "Keeping a copy: all at once, or page by page when written",
        "% of the pages overwritten",
        "ms that the writer waits",
    ),
    "scattered-writes": ("Pages copied by writes beside a forked child", "MB written", "MB copied"),
}
BARS = {
    "first-write": "The first write to a page",
    "zeroed": "Who zeroes memory, and when",
    "reference-counts": "What a forked child of a Python process copies",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", action="append", choices=list(EXPERIMENTS), help="repeatable (default: all)")
    parser.add_argument("--memory", type=positive, default=2.0, metavar="GB", help="to use at most (default: 2)")
    parser.add_argument(
        "--switch-overcommit", action="store_true", help="try all modes of vm.overcommit_memory, and put it back"
    )


def default_servers() -> tuple[ServerSpec, ...]:
    """No server is measured."""
    return ()


def run(options: Options, arguments: argparse.Namespace) -> Report:
    names = arguments.only or list(EXPERIMENTS)
    budget = int(arguments.memory * (1 << 30))
    report = Report("mechanisms", (__doc__ or "").strip(), {"memory_gb": arguments.memory}, {HERE: os.uname().release})
    for name in tqdm(names, desc="mechanisms", unit="", disable=None):
        modes = MODES if name == "overcommit" and arguments.switch_overcommit else ()
        found = experiment(name, budget, modes)
        for figure, unit, samples in found["figures"]:
            for sample in samples:
                report.add(figure, unit, HERE, sample)
        for what, answer in found["told"]:
            report.add(what, "granted (1) or refused (0)", HERE, float(answer == "granted"))
        report.series[name] = found
    report.result = "\n".join(f"{name}: {conclusion(name, found)}" for name, found in report.series.items())
    return report


def conclusion(name: str, found: dict[str, Any]) -> str:
    """What came out of one experiment: the ends of its lines, its smallest and largest figure, or what was granted."""
    if found["told"]:
        granted = sum(answer == "granted" for _, answer in found["told"])
        return f"{granted} of {len(found['told'])} promises were granted."
    if name in AXES:
        _, x, y = AXES[name]
        told = "; ".join(
            f"{label}: {number(value)} at {number(at)}" for label, (at, value) in (
                (label, max(line)) for label, line in found["lines"].items()
            )
        )  # fmt: skip
        return f"{y} at {x}: {told}."
    told = "; ".join(
        f"from {number(min(values.values()))} ({min(values, key=lambda label: values[label])})"
        f" to {number(max(values.values()))} {unit} ({max(values, key=lambda label: values[label])})"
        for unit, values in by_unit(found["figures"]).items()
    )
    return f"{told[:1].upper()}{told[1:]}."


def experiment(name: str, budget: int, modes: tuple[str, ...] = ()) -> dict[str, Any]:
    """In a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.copy_on_write", name, str(budget), *modes],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def draw(result: dict[str, Any]) -> dict[str, picture.Figure]:
    """A picture of each experiment."""
    figures = {}
    for name, found in result["series"].items():
        if name in AXES:
            figures[name] = draw_lines(name, found)
        elif name in BARS:
            figures[name] = picture.bars(BARS[name], by_unit(found["figures"]))
        if found["maps"]:
            figures[f"{name}-map"] = draw_maps(found["maps"])
        if found["told"]:
            figures[name] = draw_told(found["told"])
        if name in figures:
            picture.caption(figures[name], conclusion(name, found))
    return figures


def draw_lines(name: str, found: dict[str, Any]) -> picture.Figure:
    figure, axes = picture.panel(*AXES[name])
    for (color, marker), (label, line) in zip(picture.styles(), found["lines"].items(), strict=False):
        dashed = label.startswith("eager")
        axes.plot(*zip(*line, strict=True), "--" if dashed else f"{marker}-", color=color, markersize=5, label=label)
    if name == "scattered-writes":
        end = max(point[0] for line in found["lines"].values() for point in line)
        axes.plot([0, end], [0, end], ":", color="black", label="as many bytes as written")
    axes.set_ylim(bottom=0)
    picture.legend(figure, axes, columns=2)
    return figure


def by_unit(figures: list[tuple[str, str, list[float]]]) -> dict[str, dict[str, float]]:
    """Medians by name, by unit."""
    units: dict[str, dict[str, float]] = {}
    for name, unit, samples in figures:
        units.setdefault(unit, {})[name] = sorted(samples)[len(samples) // 2]
    return units


def draw_maps(maps: dict[str, list[str]]) -> picture.Figure:
    figure, all_axes = picture.side_by_side(len(maps))
    told = []
    for axes, (name, rows) in zip(all_axes, maps.items(), strict=True):
        cells = [[int(bit) for bit in row] for row in rows]
        copied = sum(map(sum, cells))
        told.append(f"{name}: {copied:,} of {sum(map(len, cells)):,} pages copied")
        axes.imshow(cells, cmap="Oranges", interpolation="nearest", vmin=0, vmax=1.2)
        axes.set_title(name)
        axes.set_axis_off()
    picture.caption(figure, f"{'; '.join(told)}.")
    return figure


def draw_told(told: list[tuple[str, str]]) -> picture.Figure:
    """Promises down, modes across."""
    modes = list(dict.fromkeys(what.split(": ")[0] for what, _ in told))
    promises = list(dict.fromkeys(what.split(": ")[1] for what, _ in told))
    figure, axes = picture.panel("", "", "")
    figure.suptitle("What the kernel promises, by vm.overcommit_memory")
    for what, answer in told:
        mode, promise = what.split(": ")
        color = picture.GOOD if answer == "granted" else picture.BAD
        axes.text(
            modes.index(mode), promises.index(promise), answer,
            color="white", ha="center", va="center", bbox={"facecolor": color, "edgecolor": "none", "pad": 6},
        )  # fmt: skip
    axes.set_xticks(range(len(modes)), modes)
    axes.set_yticks(range(len(promises)), promises)
    axes.set_xlim(-0.5, len(modes) - 0.5)
    axes.set_ylim(len(promises) - 0.5, -0.5)
    axes.grid(False)
    return figure
