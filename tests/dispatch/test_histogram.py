"""Durations of calls: every duration falls into the counter whose end is nearest above it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikv.dispatch.histogram import Histogram, cumulative, percentiles_us

MAX_NS = 1_000_000_000
DURATIONS = st.lists(st.one_of(st.integers(0, 3000), st.integers(0, MAX_NS)), max_size=50)


def filled_by(*durations_ns: int) -> Histogram:
    histogram = Histogram()
    for duration_ns in durations_ns:
        histogram.record_ns(duration_ns)
    return histogram


@given(st.integers(0, MAX_NS))
def test_a_counter_ends_less_than_a_hundredth_above_its_durations(duration_ns: int) -> None:
    ((end_ns, calls),) = filled_by(duration_ns).filled()
    assert calls == 1 and duration_ns <= end_ns <= duration_ns * 1.01


@pytest.mark.parametrize(("duration_ns", "counted_ns"), [(-5, 0), (MAX_NS + 1, MAX_NS), (10**15, MAX_NS)])
def test_durations_out_of_range_count_at_its_ends(duration_ns: int, counted_ns: int) -> None:
    assert filled_by(duration_ns).filled() == filled_by(counted_ns).filled()


@given(st.lists(st.integers(0, MAX_NS), min_size=1, max_size=200))
def test_percentiles_are_durations_that_so_many_calls_did_not_exceed(durations_ns: list[int]) -> None:
    durations_ns.sort()
    for percent, value_us in zip(
        (50.0, 99.0, 100.0), percentiles_us(filled_by(*durations_ns), (50.0, 99.0, 100.0)), strict=True
    ):
        place = max(1, int(percent / 100 * len(durations_ns) + 0.5)) - 1
        assert durations_ns[place] <= value_us * 1000 + 0.5 <= durations_ns[place] * 1.01 + 1


@given(st.lists(st.integers(0, MAX_NS), max_size=200))
def test_groups_add_up_to_all_calls(durations_ns: list[int]) -> None:
    histogram = filled_by(*durations_ns)
    groups = cumulative(histogram)
    assert list(groups) == sorted(groups) and list(groups.values()) == sorted(set(groups.values()))
    assert max(groups.values(), default=0) == histogram.total == len(durations_ns)


def test_figures_seen_on_a_real_server() -> None:
    """LATENCY HISTOGRAM and INFO latencystats of redis-server 7.0.15 for calls of these durations."""
    histogram = filled_by(1_000, 4_000, 4_100, 16_000, 33_000, 10_200_000)
    assert cumulative(histogram) == {1: 1, 4: 3, 16: 4, 33: 5, 16908: 6}
    assert [f"{value:.3f}" for value in percentiles_us(histogram, (50, 99, 99.9))] == [
        "4.127",
        "10223.615",
        "10223.615",
    ]


def test_an_empty_histogram_has_no_figures() -> None:
    assert (Histogram().filled(), cumulative(Histogram()), percentiles_us(Histogram(), (50,))) == ([], {}, [0])


def test_clear_forgets_everything() -> None:
    histogram = filled_by(1, 2, 3)
    histogram.clear()
    assert histogram.total == 0 and histogram.filled() == []
    histogram.record_ns(7)
    assert histogram.filled() == [(7, 1)]


@given(DURATIONS, st.permutations([0.0, 50.0, 99.0, 99.9, 100.0]))
def test_percentiles_may_be_asked_for_in_any_order(durations_ns: list[int], percents: list[float]) -> None:
    histogram = filled_by(*durations_ns)
    assert percentiles_us(histogram, percents) == [percentiles_us(histogram, [each])[0] for each in percents]


@given(DURATIONS)
def test_cumulative_counts_are_those_of_the_counters(durations_ns: list[int]) -> None:
    histogram = filled_by(*durations_ns)
    ends_ns = [1032 << group for group in range(21)]
    counts = {end: sum(calls for longest, calls in histogram.filled() if longest < end) for end in ends_ns}
    grown = {
        end: count
        for before, (end, count) in zip([0, *counts.values()], counts.items(), strict=False)
        if count > before
    }
    assert cumulative(histogram) == {end // 1000: count for end, count in grown.items()}
