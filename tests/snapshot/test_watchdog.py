"""When a child counts as hanging."""

from __future__ import annotations

import pytest

from minikv.engine import progress
from minikv.engine.progress import Progress
from minikv.snapshot.watchdog import Watchdog


@pytest.fixture
def page() -> Progress:
    return Progress(bytearray(4096))


def first_hang(watchdog: Watchdog, timeout_s: float, step_s: float = 0.1, until_s: float = 1000.0) -> float:
    """When it first says so, looking every step_s."""
    now = 0.0
    while now < until_s:
        now += step_s
        if watchdog.hangs(now, timeout_s):
            return now
    return until_s


def test_no_progress_for_the_timeout_is_hanging(page: Progress) -> None:
    assert first_hang(Watchdog(page, 0.0), 60) == pytest.approx(60, abs=0.2)


def test_without_a_timeout_nothing_hangs(page: Progress) -> None:
    assert first_hang(Watchdog(page, 0.0), 0) == 1000


@pytest.mark.parametrize("index", [progress.KEYS_DONE, progress.BYTES_WRITTEN, progress.PHASE, progress.BYTES_VERIFIED])
def test_any_progress_begins_the_wait_anew(page: Progress, index: int) -> None:
    watchdog = Watchdog(page, 0.0)
    for second in range(1, 11):
        assert not watchdog.hangs(float(second), 60)
    page.store(index, 1)
    assert not watchdog.hangs(11.0, 60)
    assert watchdog.idle_s == 0


def test_a_machine_that_stood_still_is_not_held_against_the_child(page: Progress) -> None:
    watchdog = Watchdog(page, 0.0)
    assert not watchdog.hangs(3600.0, 60)
    assert watchdog.idle_s == 1


def test_a_slow_disk_may_take_its_time_over_a_large_file(page: Progress) -> None:
    page.store(progress.PHASE, progress.PHASE_SYNCING)
    page.store(progress.BYTES_WRITTEN, 1 << 30)
    assert first_hang(Watchdog(page, 0.0), 60) == pytest.approx(162.4, abs=0.2)
