"""Memory stays the same however large a file is."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minikv.rdb import format as rdb_format
from tests.rdb.rdb_files import STRING, plain
from tests.tools.test_rdb import stream

pytestmark = pytest.mark.slow

MB = 1 << 20
KEYS, MORE_KEYS = 150_000, 450_000  # from the first on, what is kept of names or of a table is full
ALLOWED_GROWTH = 6 * MB
ALLOWED = 80 * MB

# Runs a command and says then how large its resident set was at most. The ru_maxrss of a child does not tell: over exec
# it inherits what the parent had.
LAUNCHER = """
import importlib, re, sys
code = importlib.import_module(sys.argv.pop(1)).main()
with open("/proc/self/status") as status:
    sys.stderr.write(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1])
sys.exit(code)
"""


def records(count: int) -> Iterator[bytes]:
    """That many keys, as many members of one set and entries of a stream, and a string of that many KB / 10."""
    for number in range(count):
        yield STRING + b"\x14" + b"key:%016d" % (number * 7919 % count) + b"\x0evalue %08d" % number
    yield b"\x02" + plain(b"set") + rdb_format.encode_length(count)
    for number in range(count):
        yield b"\x13member:%012d" % number
    yield STRING + plain(b"large") + rdb_format.encode_length(count * 100)
    for _ in range(100):
        yield b"x" * count
    yield stream(b"stream", [[b"value"] * 100] * (count // 100))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of two sizes."""
    directory = tmp_path_factory.mktemp("large")
    paths = []
    for count in (KEYS, MORE_KEYS):
        paths.append(directory / f"{count}.rdb")
        with paths[-1].open("wb") as file:
            file.write(b"REDIS0010")
            for record in records(count):
                file.write(record)
            file.write(b"\xff" + struct.pack("<Q", 0))
    return paths


def peak_bytes(command: str, path: Path) -> int:
    """The largest resident set of a command, which must succeed."""
    match command.split():
        case ["check"]:
            arguments = ["minikv.tools.check_rdb", str(path)]
        case ["diff"]:
            arguments = ["minikv.tools.rdb", "diff", str(path), str(path)]
        case words:
            arguments = ["minikv.tools.rdb", *words, str(path)]
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr) << 10


@pytest.mark.parametrize("command", ["check", "json", "keys", "memory", "largest 20", "diff"])
def test_three_times_the_file_takes_no_more_memory(files: list[Path], command: str) -> None:
    small, large = (peak_bytes(command, path) for path in files)
    assert large - small < ALLOWED_GROWTH
    assert large < ALLOWED


def test_memory_that_grows_is_seen(files: list[Path]) -> None:
    """Who asks for more keys than there are has all of them kept."""
    small, large = (peak_bytes(f"largest {MORE_KEYS}", path) for path in files)
    assert large - small > 2 * ALLOWED_GROWTH
    assert large > ALLOWED


def test_the_size_of_this_process_does_not_count(files: list[Path]) -> None:
    ballast = b"x" * (2 * ALLOWED)
    assert peak_bytes("keys", files[0]) < len(ballast) // 2
