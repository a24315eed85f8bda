"""The log: Redis's format, levels, files that are rotated away."""

import os
import re
import time
from pathlib import Path

import pytest

from minikv.log import LEVELS, Log

MOMENT = time.mktime((2026, 11, 21, 7, 50, 17, 0, 0, -1)) + 0.3551


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def test_the_format_is_that_of_redis(path: Path) -> None:
    log = Log("debug", str(path), clock=lambda: MOMENT)
    log.debug("a")
    log.verbose("b")
    log.notice("c")
    log.warning("d")
    start = f"{os.getpid()}:M 21 Nov 2026 07:50:17.355"
    assert lines(path) == [f"{start} . a", f"{start} - b", f"{start} * c", f"{start} # d"]


@pytest.mark.parametrize("level", LEVELS)
def test_only_lines_of_the_level_and_above(path: Path, level: str) -> None:
    log = Log(path=str(path))
    log.set_level(level)
    assert log.level == level
    for number, name in enumerate(LEVELS):
        log.write(number, name)
    assert [line.split()[-1] for line in lines(path)] == list(LEVELS[LEVELS.index(level) :])


def test_a_descriptor_gets_whole_lines() -> None:
    reading, writing = os.pipe()
    log = Log(fd=writing)
    log.notice("x\udcffy")
    assert re.fullmatch(rb"\d+:M .* \* x\xffy\n", os.read(reading, 1000))
    os.close(reading)
    os.close(writing)
    log.notice("nobody reads this, and nothing breaks")


def test_a_file_that_was_moved_away_is_created_anew(path: Path) -> None:
    log = Log(path=str(path))
    log.notice("one")
    path.rename(path.with_suffix(".1"))
    log.notice("two")
    assert [line.split()[-1] for line in lines(path)] == ["two"]


def test_what_is_there_is_appended_to(path: Path) -> None:
    path.write_text("before\n")
    Log(path=str(path)).notice("after")
    assert lines(path)[0] == "before"
    assert len(lines(path)) == 2


def test_a_relative_file_stays_where_it_was_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = Log(path="server.log")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    log.notice("x")
    assert (tmp_path / "server.log").exists()


def test_check_tells_what_is_wrong_and_writing_never_raises(tmp_path: Path) -> None:
    log = Log(path=str(tmp_path / "missing" / "server.log"))
    with pytest.raises(FileNotFoundError):
        log.check()
    log.warning("lost")
