"""What every benchmark is told by the command line."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Report
from benchmarks.servers import ServerSpec, running


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
