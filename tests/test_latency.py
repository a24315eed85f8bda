"""The latency monitor on its own, with a clock that the test turns."""

from __future__ import annotations

from minikv.config import Config
from minikv.latency import HISTORY_SAMPLES, LatencyMonitor, Sample


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def make_monitor(threshold_ms: int = 10) -> tuple[LatencyMonitor, Clock]:
    config, clock = Config(), Clock()
    config.latency_monitor_threshold = threshold_ms
    return LatencyMonitor(config, clock), clock


def test_only_what_reaches_the_threshold_is_kept() -> None:
    monitor, _ = make_monitor(10)
    monitor.add("fork", 9)
    assert monitor.events == {}
    monitor.add("fork", 10)
    assert list(monitor.events["fork"].samples) == [Sample(1000, 10)]


def test_a_threshold_of_zero_keeps_nothing() -> None:
    monitor, _ = make_monitor(0)
    monitor.add("fork", 10_000)
    assert monitor.events == {}


def test_a_second_keeps_its_worst_delay() -> None:
    monitor, clock = make_monitor()
    for duration_ms in (20, 50, 30):
        monitor.add("command", duration_ms)
        clock.now_s += 0.1
    clock.now_s = 1001.0
    monitor.add("command", 15)
    event = monitor.events["command"]
    assert list(event.samples) == [Sample(1000, 50), Sample(1001, 15)] and event.worst_ms == 50


def test_the_history_is_bounded_and_the_worst_is_remembered() -> None:
    monitor, clock = make_monitor()
    monitor.add("command", 999)
    for _ in range(HISTORY_SAMPLES):
        clock.now_s += 1
        monitor.add("command", 20)
    event = monitor.events["command"]
    assert len(event.samples) == HISTORY_SAMPLES and event.worst_ms == 999
    assert {sample.duration_ms for sample in event.samples} == {20}


def test_figures_of_an_event() -> None:
    monitor, clock = make_monitor()
    for duration_ms in (10, 30):
        monitor.add("command", duration_ms)
        clock.now_s += 5
    event = monitor.events["command"]
    assert (event.average_ms, event.mean_deviation_ms, event.period_s(clock.now_s)) == (20, 10, 5)


def test_reset_counts_what_it_forgets() -> None:
    monitor, _ = make_monitor()
    for name in ("fork", "command", "expire-cycle"):
        monitor.add(name, 20)
    assert monitor.reset(["fork", "nonesuch", "fork"]) == 1
    assert monitor.reset([]) == 2
    assert monitor.reset([]) == 0
