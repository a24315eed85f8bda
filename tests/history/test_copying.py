"""Copies of files: whole on any file system, and free of charge on those whose files share blocks."""

from __future__ import annotations

import errno
import io
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from minikv.history import copying
from minikv.history.chain import History
from minikv.tools import history as tool
from tests.harness.machine import SHARING, loop_disk, used_bytes
from tests.history.history_files import Writer, db
from tests.history.states import state_of_dump
from tests.rdb.rdb_files import pair

MB = 1 << 20


@pytest.fixture(scope="module", params=["ext4", *SHARING])
def disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with loop_disk(tmp_path_factory.mktemp("disks") / request.param, request.param) as path:
        yield request.param, path


def copy(source: Path, target: Path, before: bytes = b"") -> int:
    with target.open("wb") as out:
        out.write(before)
        return copying.copy_into(str(source), out)


def test_a_copy_takes_no_room_where_blocks_can_be_shared(disk: tuple[str, Path]) -> None:
    kind, path = disk
    data = random.Random(1).randbytes(8 * MB + 5)
    (path / "one").write_bytes(data)
    used = used_bytes(path)
    assert copy(path / "one", path / "two") == len(data)
    assert (path / "two").read_bytes() == data
    assert (used_bytes(path) - used < MB) == (kind in SHARING)


def test_a_base_is_restored_as_a_copy(disk: tuple[str, Path], tmp_path: Path) -> None:
    _, path = disk
    values = {b"key %d" % number: random.Random(number).randbytes(4000) for number in range(100)}
    Writer(path / "h").base(db(0) + b"".join(pair(key, value) for key, value in values.items()))
    options = tool.parser().parse_args(["--history", str(path / "h"), "restore", "1", str(path / "dump.rdb")])
    assert tool.run(options, io.StringIO()) == 0
    assert state_of_dump(path / "dump.rdb") == {(0, key): value for key, value in values.items()}
    base = History.open(str(path / "h")).path(History.open(str(path / "h")).points[0])
    assert (path / "dump.rdb").read_bytes() == Path(base).read_bytes()


def test_from_one_file_system_to_another(disk: tuple[str, Path], tmp_path: Path) -> None:
    _, path = disk
    (tmp_path / "one").write_bytes(b"text" * MB)
    assert copy(tmp_path / "one", path / "elsewhere", b"head") == 4 * MB
    assert (path / "elsewhere").read_bytes() == b"head" + b"text" * MB


@pytest.mark.parametrize("number", sorted(copying.UNSUPPORTED))
def test_a_kernel_that_does_not_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "one").write_bytes(b"text" * MB)
    assert copy(tmp_path / "one", tmp_path / "two", b"head") == 4 * MB
    assert (tmp_path / "two").read_bytes() == b"head" + b"text" * MB


def test_what_the_kernel_copies_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "AT_ONCE", 1000)
    (tmp_path / "one").write_bytes(b"text" * 1001)
    assert copy(tmp_path / "one", tmp_path / "two") == 4004
    assert (tmp_path / "two").read_bytes() == b"text" * 1001


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "one").write_bytes(b"text")
    with pytest.raises(OSError, match="No space"):
        copy(tmp_path / "one", tmp_path / "two")
