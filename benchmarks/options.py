"""What every benchmark is told by the command line."""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Report
from benchmarks.servers import ServerSpec, running


def count(text: str) -> int:
    """An argument of the command line: a whole number from 1 on."""
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def whole(text: str) -> int:
    """A whole number from 0 on."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def amount(text: str) -> float:
    """A number from 0 on."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def positive(text: str) -> float:
    """A number above 0."""
    number = amount(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


@dataclass(frozen=True)
class Options:
    """How to measure.

    servers: the first is the reference. rounds: samples of each figure. seed: decides every key and value.
    scale: factor on numbers of keys and requests. directory: where the servers keep their dumps.
    """

    servers: tuple[ServerSpec, ...]
    rounds: int
    seed: int
    scale: float
    directory: Path

    def scaled(self, count: int) -> int:
        """A number of keys or requests at this run's scale."""
        return max(1, int(count * self.scale))

    def report(self, benchmark: str, question: str | None) -> Report:
        """An empty report; asks every server for its version."""
        versions: dict[str, str] = {}
        for spec in self.servers:
            with running(spec, parent_dir=self.directory) as server:
                versions[spec.name] = server.version()
        told = {
            "rounds": self.rounds,
            "seed": self.seed,
            "scale": self.scale,
            "commands": {spec.name: spec.told for spec in self.servers},
        }
        return Report(benchmark, (question or "").strip(), told, versions)

    def new_directory(self, stack: contextlib.ExitStack) -> Path:
        """A directory beside the servers' (files can be linked), removed with the stack."""
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", dir=self.directory)))
