"""Memory stays the same however large a file is."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minikv.persistence import rdb_format
from tests.persistence.rdb_files import STRING, plain

MB = 1 << 20
KEYS, MORE_KEYS = 150_000, 450_000  # from the first on, what is kept of names or of a table is full
ALLOWED_GROWTH = 6 * MB


def records(count: int) -> Iterator[bytes]:
    """That many keys, as many members of one set, and a string of that many KB / 10."""
    for number in range(count):
        yield STRING + b"\x14" + b"key:%016d" % (number * 7919 % count) + b"\x0evalue %08d" % number
    yield b"\x02" + plain(b"set") + rdb_format.encode_length(count)
    for number in range(count):
        yield b"\x13member:%012d" % number
    yield STRING + plain(b"large") + rdb_format.encode_length(count * 100)
    for _ in range(100):
        yield b"x" * count


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


def peak_bytes(module: str, *arguments: str) -> int:
    """The largest resident set of a command that must succeed."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss << 10


@pytest.mark.parametrize("command", ["check", "json", "keys", "memory", "largest 20", "diff"])
def test_three_times_the_file_takes_no_more_memory(files: list[Path], command: str) -> None:
    peaks = []
    for path in files:
        if command == "check":
            peaks.append(peak_bytes("minikv.tools.check_rdb", str(path)))
        elif command == "diff":
            peaks.append(peak_bytes("minikv.tools.rdb", "diff", str(path), str(path)))
        else:
            peaks.append(peak_bytes("minikv.tools.rdb", *command.split(), str(path)))
    assert peaks[1] - peaks[0] < ALLOWED_GROWTH
    assert peaks[1] < 80 * MB
