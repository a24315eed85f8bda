"""Tests that are alone get their turn, and keep it."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

from tests.harness import wait_until
from tests.harness.turns import Turns


class Worker:
    """A process of the run, as a thread."""

    def __init__(self, path: Path) -> None:
        self._turns = Turns(path)
        self.end = self._turns.end
        self.runs = threading.Event()

    def take(self, alone: bool) -> None:
        self.runs.clear()
        threading.Thread(target=self._take, args=[alone], daemon=True).start()

    def _take(self, alone: bool) -> None:
        self._turns.take(alone)
        self.runs.set()


def is_held(path: Path) -> bool:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_others_run_side_by_side(tmp_path: Path) -> None:
    workers = [Worker(tmp_path / "x") for _ in range(3)]
    for worker in workers:
        worker.take(alone=False)
        assert worker.runs.wait(60)


def test_nobody_begins_before_one_that_waits_to_be_alone(tmp_path: Path) -> None:
    first, alone, late = (Worker(tmp_path / "x") for _ in range(3))
    first.take(alone=False)
    assert first.runs.wait(60)
    alone.take(alone=True)
    wait_until(lambda: is_held(tmp_path / "x.gate"), "it waits for the first")
    late.take(alone=False)
    assert not late.runs.wait(0.05) and not alone.runs.is_set()
    first.end()
    assert alone.runs.wait(60)
    assert not late.runs.wait(0.05)
    alone.end()
    assert late.runs.wait(60)


def test_the_next_one_that_wants_to_be_alone_need_not_wait_again(tmp_path: Path) -> None:
    alone, other = Worker(tmp_path / "x"), Worker(tmp_path / "x")
    alone.take(alone=True)
    assert alone.runs.wait(60)
    other.take(alone=False)
    alone.end(keeps=True)
    alone.take(alone=True)
    assert alone.runs.wait(60)
    assert not other.runs.wait(0.05)
    alone.end()
    assert other.runs.wait(60)
