"""Where the dumps of many moments are kept, and how one comes back: as they are, in restic, in borg."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

DUMP = "dump.rdb"  # the name under which all points of an archive are kept


@dataclass
class Archive:
    """Dumps as they are, each under a name of its own, and what their keeping took: CPU time, and each time."""

    name: str
    version: str
    directory: Path
    cpu_s: float = 0.0
    keep_s: list[float] = field(default_factory=list)

    def begin(self) -> None:
        self.directory.mkdir()

    def keep(self, dump: Path, number: int) -> None:
        """Add a point."""
        began = time.monotonic()
        self._keep(dump, number)
        self.keep_s.append(time.monotonic() - began)

    def _keep(self, dump: Path, number: int) -> None:
        os.link(dump, self.directory / f"{number}.rdb")  # redis-server puts another file in the place of its dump

    def restore(self, number: int, target: Path) -> Path:
        """The dump of a point, in an empty directory."""
        return Path(shutil.copyfile(self.directory / f"{number}.rdb", target / DUMP))

    def run(self, *command: str | Path, stdin: Path | None = None, cwd: Path | None = None) -> None:
        """A program, in an environment that has nothing of the user's; RuntimeError with what it says."""
        home = str(self.directory.parent)
        environment = {
            **os.environ, "RESTIC_PASSWORD": "x", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "HOME": home, "XDG_CACHE_HOME": f"{home}/cache",
        }  # fmt: skip
        with open(stdin or os.devnull, "rb") as source:
            process = subprocess.Popen(
                [str(word) for word in command], cwd=cwd, env=environment, stdin=source,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert process.stderr is not None
        with process.stderr as errors:
            said = errors.read()
        _, status, used = os.wait4(process.pid, 0)  # of this process alone: archives work at the same time
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s += used.ru_utime + used.ru_stime
        if process.returncode:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said.strip()[-500:]}")


class Restic(Archive):
    def begin(self) -> None:
        self.run("restic", "-r", self.directory, "init")

    def _keep(self, dump: Path, number: int) -> None:
        self.run(
            "restic", "-r", self.directory, "backup", "--stdin", "--stdin-filename", DUMP, "--tag", f"point-{number}",
            stdin=dump,
        )  # fmt: skip

    def restore(self, number: int, target: Path) -> Path:
        self.run("restic", "-r", self.directory, "restore", "latest", "--tag", f"point-{number}", "--target", target)
        return next(target.rglob(DUMP))


class Borg(Archive):
    def begin(self) -> None:
        self.run("borg", "init", "-e", "none", self.directory)

    def _keep(self, dump: Path, number: int) -> None:
        self.run("borg", "create", "--stdin-name", DUMP, f"{self.directory}::point-{number}", "-", stdin=dump)

    def restore(self, number: int, target: Path) -> Path:
        self.run("borg", "extract", f"{self.directory}::point-{number}", cwd=target)
        return next(target.rglob(DUMP))


PROGRAMS: dict[str, tuple[type[Archive], str]] = {"restic": (Restic, "version"), "borg": (Borg, "--version")}


def installed(directory: Path) -> list[Archive]:
    """An archive of each program that is there; what they keep lies in the directory."""
    found = []
    for program, (kind, argument) in PROGRAMS.items():
        if shutil.which(program):
            told = subprocess.run([program, argument], capture_output=True, text=True, check=True).stdout.split()
            found.append(kind(program, told[1], directory / program))
    return found
