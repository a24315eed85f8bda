"""Dumps on standard input and compressed ones: read as plain ones are, refused in one line."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minikv.tools import check_rdb, opening
from minikv.tools import rdb as tool
from tests.rdb.rdb_files import pair, rdb

DATA = rdb(b"".join(pair(b"key:%d" % number, b"value") for number in range(5000)))
VALKEY = {"lz4": b"VCS\1\1\0\1", "zstd": b"VCS\1\2\0\1"}


def zstd(data: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(data))


def lz4(data: bytes) -> bytes:
    return bytes(pytest.importorskip("lz4.frame").compress(data))


PACKED = {
    "gzip": gzip.compress,
    "gzip in parts": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    "zstd": zstd,
    "zstd in parts": lambda data: zstd(data[:1000]) + zstd(data[1000:]),
    "lz4": lz4,
    "valkey lz4": lambda data: VALKEY["lz4"] + lz4(data),
    "valkey zstd": lambda data: VALKEY["zstd"] + zstd(data),
}


def verdict(path: Path) -> tuple[int, list[str]]:
    lines: list[str] = []
    return check_rdb.check(str(path), lines.append), lines


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_compressed_dumps_are_read_as_plain_ones(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "dump.rdb.packed"
    path.write_bytes(pack(DATA))
    assert verdict(path)[0] == 0
    out = io.StringIO()
    tool.run(tool.parser().parse_args(["keys", str(path)]), out)
    assert out.getvalue().splitlines() == [f"key:{number}" for number in range(5000)]


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_damaged_compressed_dumps_are_refused(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "dump.rdb.packed"
    data = pack(DATA)
    for length in (8, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        try:
            assert verdict(path)[0] == 1
        except OSError as error:
            assert error.filename == str(path)
            assert "Bad compressed data" in str(error)


@pytest.mark.parametrize("head", [b"VCS", b"VCS\2\1\0\1", b"VCS\1\3\0\1", b"VCS\1\1\0\2"])
def test_other_forms_of_valkey_are_refused(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(head)
    with pytest.raises(OSError, match="Compressed by Valkey in an unknown way"):
        verdict(path)


@pytest.mark.parametrize(("pack", "codec"), [(zstd, "zstd"), (lz4, "LZ4")], ids=["zstd", "lz4"])
def test_a_missing_library_is_one_line(  # type: ignore[no-untyped-def]
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pack, codec: str
) -> None:
    path = tmp_path / "dump.rdb.packed"
    path.write_bytes(pack(DATA))
    for name in ("zstandard", "lz4", "lz4.frame"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "argv", ["minikv-check-rdb", str(path)])
    assert check_rdb.main() == 1
    assert capsys.readouterr().err == (
        f"minikv-check-rdb: {path}: Compressed by {codec}, which needs a library: pip install minikv[compressed]\n"
    )


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("arguments", [["minikv.tools.check_rdb", "-"], ["minikv.tools.rdb", "keys", "-"]])
def test_standard_input(tmp_path: Path, arguments: list[str], piped: bool, packed: bool) -> None:
    data = gzip.compress(DATA) if packed else DATA
    path = tmp_path / "dump.rdb"
    path.write_bytes(data)
    command = [sys.executable, "-m", *arguments]
    if piped:
        done = subprocess.run(command, input=data, capture_output=True)
    else:
        with path.open("rb") as file:
            done = subprocess.run(command, stdin=file, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"RDB looks OK" in done.stdout or done.stdout.startswith(b"key:0\nkey:1\n")


def test_one_side_of_a_difference_may_come_from_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(DATA)
    command = [sys.executable, "-m", "minikv.tools.rdb", "diff"]
    assert subprocess.run([*command, "-", str(path)], input=DATA, capture_output=True).returncode == 0
    done = subprocess.run([*command, "-", "-"], input=DATA, capture_output=True)
    assert (done.returncode, done.stderr) == (2, b"minikv-rdb: Standard input can be one of the files only\n")


def test_a_plain_file_is_read_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(DATA)
    with opening.opened(str(path)) as fd:
        assert os.fstat(fd).st_ino == path.stat().st_ino
