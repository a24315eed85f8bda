"""Results: medians with their spread, as a Markdown table and as JSON with commit, machine and seed."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.servers import ROOT


@dataclass
class Figure:
    """One row: what was measured, in which unit, and every sample of every server."""

    name: str
    unit: str
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, server: str, value: float) -> None:
        self.samples.setdefault(server, []).append(value)

    def ratio(self, server: str, reference: str) -> float | None:
        """Median of the ratios of samples taken in the same round; None without a reference above zero."""
        pairs = zip(self.samples.get(server, []), self.samples.get(reference, []), strict=False)
        ratios = [mine / theirs for mine, theirs in pairs if theirs > 0]
        return median(ratios) if ratios else None


@dataclass
class Report:
    """All figures of one benchmark; the first server is the one that the others are compared with."""

    benchmark: str
    question: str
    options: dict[str, Any]
    servers: dict[str, str]
    figures: list[Figure] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)  # what pictures are drawn from
    notes: list[str] = field(default_factory=list)  # what no number says: a failure, a way of measuring
    result: str = ""  # what came out, in a sentence
    started_at: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def figure(self, name: str, unit: str) -> Figure:
        """The figure of this name, new or old."""
        for figure in self.figures:
            if (figure.name, figure.unit) == (name, unit):
                return figure
        self.figures.append(Figure(name, unit))
        return self.figures[-1]

    def add(self, name: str, unit: str, server: str, value: float) -> None:
        self.figure(name, unit).add(server, value)

    def note(self, text: str) -> None:
        """Show this under the table, once."""
        if text not in self.notes:
            self.notes.append(text)

    def markdown(self) -> str:
        """A table: median, and lowest to highest where there are several samples; the notes below it."""
        names = list(self.servers)
        others = names[1:]
        heads = ["", *(f"{name} {version}" for name, version in self.servers.items())]
        heads += [f"{name} / {names[0]}" for name in others]
        rows = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
        for figure in self.figures:
            row = [f"{figure.name}, {figure.unit}"]
            row += [show(figure.samples.get(name, [])) for name in names]
            row += [f"{ratio:.2f}" if (ratio := figure.ratio(name, names[0])) is not None else "" for name in others]
            rows.append(row)
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        return "\n".join([table, *(f"\n{note}" for note in self.notes)])

    def sentence(self) -> str:
        """The result; by default the first figure of all servers, and how the last compares with the first in all."""
        if self.result or not self.figures:
            return self.result
        names, first = list(self.servers), self.figures[0]
        told = [f"{name} {number(median(first.samples[name]))}" for name in names if first.samples.get(name)]
        text = f"{first.name}, {first.unit}: {'; '.join(told)}."
        ratios = [ratio for figure in self.figures if (ratio := figure.ratio(names[-1], names[0])) is not None]
        if len(names) > 1 and ratios:
            text += f" {names[-1]} / {names[0]}: {median(ratios):.2f} in the median of {len(ratios)} figures."
        return text

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "question": self.question,
            "commit": commit(),
            "started_at": self.started_at,
            "machine": machine(),
            "options": self.options,
            "servers": self.servers,
            "figures": [
                {"name": figure.name, "unit": figure.unit, "samples": figure.samples} for figure in self.figures
            ],
            "series": self.series,
            "notes": self.notes,
            "result": self.sentence(),
        }

    def save(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.benchmark}-{self.started_at.replace(':', '')}.json"
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n")
        return path


def show(samples: list[float]) -> str:
    if not samples:
        return ""
    if len(samples) == 1:
        return number(samples[0])
    return f"{number(median(samples))} ({number(min(samples))} to {number(max(samples))})"


def number(value: float) -> str:
    """Three significant digits, thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def commit() -> str:
    """The checkout's commit, with + if files differ from it; "" outside a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return described.stdout.strip()


def machine() -> dict[str, Any]:
    """What the figures depend on and a reader cannot guess."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "cpu": next((line.partition(": ")[2] for line in cpuinfo if line.startswith("model name")), platform.machine()),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "overcommit_memory": Path("/proc/sys/vm/overcommit_memory").read_text().strip(),
        "transparent_hugepage": Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text().strip(),
        "load_average": os.getloadavg(),
    }
