"""Redis's test suite, from the distribution's source package of redis 7.0.

The package is fetched once with apt-get and its tests are kept in the user's cache directory; nothing of it is part of
this repository. apt verifies the download against the distribution's signed index. Where the machine has no deb-src
entries, the same entries as for binary packages are used, from a list in a temporary directory: the machine's own
lists do not change.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

WANTED = "7.0."
PARTS = ("tests", "utils", "redis.conf")  # what the suite needs of the package
ONE_LINE = re.compile(r"^deb\s+(\[[^]]*\]\s+)?(\S+)\s+(\S+)\s")


class SuiteMissing(Exception):
    """The suite cannot be had; the text says why and what to do."""


def cache_directory() -> Path:
    """Where the suite and the results of redis-server are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minikv" / "conformance"


def suite_directory() -> Path:
    """The suite's directory, fetched if it is not there yet."""
    for tool, package in (("tclsh", "tcl"), ("apt-get", "apt"), ("dpkg-source", "dpkg-dev")):
        if shutil.which(tool) is None:
            raise SuiteMissing(f"{tool} is missing. Debian, Ubuntu: apt-get install {package}")
    kept = cache_directory() / "suite"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="minikv-suite-", dir=kept.parent) as work:
            unpacked = _fetch(Path(work))
            chosen = Path(work) / "suite"
            chosen.mkdir()
            for part in PARTS:
                shutil.move(unpacked / part, chosen / part)
            (chosen / "version").write_text(unpacked.name.removeprefix("redis-") + "\n")
            chosen.rename(kept)
    return kept


def suite_version(suite: Path) -> str:
    return (suite / "version").read_text().strip()


def _fetch(work: Path) -> Path:
    """Download and unpack the source package; its directory."""
    options = _options(work)
    target = work / "package"
    target.mkdir()
    if "deb-src" not in _configured() or not _apt(["source", "redis"], [], target, check=False):
        _apt(["update"], options, target)
        _apt(["source", "redis"], options, target)
    found = [path for path in target.glob("redis-*") if path.is_dir()]
    if len(found) != 1 or not found[0].name.startswith(f"redis-{WANTED}"):
        names = ", ".join(path.name for path in found) or "nothing"
        raise SuiteMissing(f"this distribution's source package of redis is not {WANTED}x: {names}")
    return found[0]


def _apt(arguments: list[str], options: list[str], directory: Path, check: bool = True) -> bool:
    command = ["apt-get", "--quiet", *options, *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode and check:
        raise SuiteMissing(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def _options(work: Path) -> list[str]:
    """Options by which apt reads source entries of its own and writes only below `work`."""
    lists, cache = work / "lists", work / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    parts = work / "sources"
    parts.mkdir()
    for number, path in enumerate(_source_files()):
        (parts / f"{number}{path.suffix}").write_text(_with_sources(path.read_text(), path.suffix))
    return [
        *("-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={parts}"),
        *("-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"),
    ]


def _source_files() -> list[Path]:
    etc = Path("/etc/apt")
    return [path for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))] if _is_source(path)]


def _is_source(path: Path) -> bool:
    return path.is_file() and path.suffix in (".list", ".sources")


def _configured() -> str:
    return "\n".join(path.read_text() for path in _source_files())


def _with_sources(text: str, suffix: str) -> str:
    """The distribution's entries of a list of apt as entries of source packages; others are left out."""
    release = _codename()
    if suffix == ".list":
        lines = [line for line in text.splitlines() if (entry := ONE_LINE.match(line)) and entry[3].startswith(release)]
        return "".join(f"deb-src{line[3:]}\n" for line in lines)
    stanzas = re.split(r"\n\s*\n", text)
    chosen = [stanza for stanza in stanzas if re.search(rf"(?m)^Suites:.*\b{re.escape(release)}\b", stanza)]
    return "\n\n".join(re.sub(r"(?m)^Types:.*$", "Types: deb-src", stanza) for stanza in chosen) + "\n"


def _codename() -> str:
    found = re.search(r"(?m)^VERSION_CODENAME=\"?(\w+)", Path("/etc/os-release").read_text())
    if found is None:
        raise SuiteMissing("/etc/os-release names no VERSION_CODENAME: not Debian or Ubuntu?")
    return found[1]
