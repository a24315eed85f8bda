"""Histories in the lab: every part measures every server, and what a history gives back is what was saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import history
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


def test_points_are_kept_and_given_back(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without restic and borg, which take seconds for a file of kilobytes."""
    monkeypatch.setattr(
        history, "archives", lambda directory: [history.Archive("whole dumps", "", directory / "whole")]
    )
    (report,) = history.run(replace(options, scale=0.01), ["points"], points=3)
    assert all({"whole dumps", "minikv layers"} <= names for names in measured(report).values())


def test_a_layer_each_second_is_compared_with_an_append_only_file(options: Options) -> None:
    (report,) = history.run(options, ["second"], seconds=1.5)
    written = next(figure.samples for figure in report.figures if figure.unit == "MB/s")
    assert all(values[0] > 0 for values in written.values()) and len(written) == 2


def test_unknown_parts_are_refused() -> None:
    with pytest.raises(Exception, match="'no' is none of layer, points, second"):
        history.parse_parts("layer,no")
