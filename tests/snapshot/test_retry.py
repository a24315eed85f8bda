"""The waits between automatic saves that fail."""

from __future__ import annotations

from minikv.snapshot.retry import Retry


def test_the_wait_doubles_up_to_five_minutes() -> None:
    retry = Retry()
    assert retry.delay_s == 0
    waits = []
    for _ in range(100):
        retry.failed(0.0, automatic=True)
        waits.append(retry.delay_s)
    assert waits[:8] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert set(waits[8:]) == {300}


def test_a_failure_by_hand_counts_once() -> None:
    retry = Retry()
    for _ in range(3):
        retry.failed(0.0, automatic=False)
    assert (retry.failures, retry.delay_s) == (1, 5)


def test_it_may_be_tried_when_the_wait_is_over() -> None:
    retry = Retry()
    assert retry.allows(0.0)
    retry.failed(100.0, automatic=True)
    assert not retry.allows(100.0)
    assert not retry.allows(105.0)
    assert retry.left_s(102.0) == 3
    assert retry.allows(105.1)
    assert retry.left_s(105.1) == 0


def test_success_ends_the_waiting() -> None:
    retry = Retry()
    retry.failed(100.0, automatic=True)
    retry.succeeded()
    assert retry.allows(100.0)


def test_whoever_asks_for_a_save_need_not_wait() -> None:
    retry = Retry()
    for _ in range(5):
        retry.failed(100.0, automatic=True)
    retry.asked_for()
    assert retry.allows(100.0)
    retry.failed(100.0, automatic=True)
    assert not retry.allows(100.0)
    assert retry.delay_s == 160
