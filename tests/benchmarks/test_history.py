"""Histories in the lab: every part measures every server, and what a history gives back is what was saved."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the lab is an extra: pip install -e '.[lab]'")

from benchmarks import archives, command_line, history, saved_points
from benchmarks.options import Options
from benchmarks.report import Report

pytestmark = pytest.mark.usefixtures("oracle_command")


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(history.default_servers(), rounds=1, seed=7, scale=0.002, directory=tmp_path)


def measured(report: Report) -> dict[str, set[str]]:
    return {figure.name: set(figure.samples) for figure in report.figures}


def test_a_layer_takes_what_has_changed(options: Options) -> None:
    (report,) = history.run(options, ["layer"])
    assert all(names == {"redis-server", "minikv layers"} for names in measured(report).values())
    times = [figure.samples for figure in report.figures if figure.unit == "times"]
    assert len(times) == 2
    for samples in times:
        assert samples["minikv layers"][0] < 10 < samples["redis-server"][0]


TINY: dict[str, object] = {"points": 3, "keys": 10_000, "value_len": "50-100", "access": "zipf", "changed": 2.0}


def test_points_are_kept_and_given_back_in_every_way_and_drawn(
    options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without restic and borg, which take seconds for a file of kilobytes. Points that differ are a RuntimeError."""
    monkeypatch.setattr(archives, "PROGRAMS", {})
    (report,) = history.run(replace(options, scale=0.01), ["points"], **TINY)
    ways = {"whole dumps", "AOF everysec", "minikv layers"}
    assert all(measured(report)[name] == ways for name in (saved_points.ON_DISK, saved_points.CPU, saved_points.BACK))
    assert measured(report)[saved_points.SAVE] == ways - {"AOF everysec"}
    assert set(report.series) == ways
    assert all(line["point"] == [1, 2, 3] for line in report.series.values())
    assert "2 written before each" in report.result
    path = report.save(tmp_path)
    assert command_line.redraw(path) == 0
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("program", archives.PROGRAMS)
def test_an_archive_gives_each_dump_back(tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    monkeypatch.setattr(archives, "PROGRAMS", {program: archives.PROGRAMS[program]})
    (archive,) = archives.installed(tmp_path)
    archive.begin()
    for number in (1, 2):
        (tmp_path / "source").write_bytes(b"dump %d" % number)
        archive.keep(tmp_path / "source", number)
    target = tmp_path / "back"
    target.mkdir()
    assert archive.restore(1, target).read_bytes() == b"dump 1"
    assert archive.cpu_s > 0 and len(archive.keep_s) == 2


def test_an_archive_that_fails_says_why(tmp_path: Path) -> None:
    archive = archives.Archive("none", "", tmp_path)
    with pytest.raises(RuntimeError, match="sh ended with 3: no room"):
        archive.run("sh", "-c", "echo no room >&2; exit 3")


def test_the_same_writes_go_to_every_server() -> None:
    choice = history.Chosen(keys=50, access="hot", changed=10, value_len="3-9").choice(Options((), 1, 1, 1.0, Path()))
    first, second = saved_points.writes_of(choice), saved_points.writes_of(choice)
    for _ in range(3):
        batches = list(next(first))
        assert batches == list(next(second))
        assert sum(count for _, count in batches) == 5


def test_a_layer_each_second_is_compared_with_an_append_only_file(options: Options) -> None:
    (report,) = history.run(options, ["second"], seconds=1.5)
    written = next(figure.samples for figure in report.figures if figure.unit == "MB/s")
    assert all(values[0] > 0 for values in written.values()) and len(written) == 2


def test_a_load_that_is_none_is_refused(options: Options) -> None:
    for wrong in ({"access": "gauss"}, {"value_len": "9-3"}, {"value_len": "x"}):
        with pytest.raises(ValueError):
            list(history.run(options, ["points"], **wrong))


def test_unknown_parts_are_refused() -> None:
    with pytest.raises(Exception, match="'no' is none of points, layer, second"):
        history.parse_parts("layer,no")
