"""LATENCY GRAPH's pictures."""

from __future__ import annotations

from minikv.algorithms.sparkline import sparkline
from minikv.commands.latency import age_label, graph
from minikv.latency import Event, Sample


def test_a_staircase() -> None:
    """Twelve heights, three in each row, and everything below a top is filled."""
    assert sparkline(range(13), ["1s"] * 13).splitlines() == [
        "         _-``",
        "      _-`||||",
        "   _-`|||||||",
        "_-`||||||||||",
        "             ",
        "1111111111111",
        "sssssssssssss",
    ]


def test_equal_values_lie_on_the_ground() -> None:
    assert sparkline([5, 5], ["1s", "10m"]).splitlines() == ["  ", "  ", "  ", "__", "  ", "11", "s0", " m"]


def test_long_rows_are_broken_after_80_columns() -> None:
    first, second = sparkline([1] * 100, ["s"] * 100).split("\n\n")
    assert {len(line) for line in first.splitlines()} == {80}
    assert {len(line) for line in second.splitlines()} == {20}


def test_ages() -> None:
    ages = [0, 59, 60, 3599, 3600, 86399, 86400, 10**7]
    assert [age_label(age) for age in ages] == ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "115d"]


def test_the_head_tells_the_extremes() -> None:
    event = Event()
    for sample in (Sample(100, 500), Sample(101, 20), Sample(102, 30)):
        event.add(sample)
    event.samples.popleft()
    head, line, *_ = graph("fork", event, 103.9).splitlines()
    assert head == "fork - high 30 ms, low 20 ms (all time high 500 ms)"
    assert line == "-" * 80
