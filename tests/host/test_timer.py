"""A timer that is a descriptor."""

from __future__ import annotations

import select
import time

from minikv.host.timer import Timer


def test_it_becomes_readable_at_the_moment_that_it_says() -> None:
    timer = Timer()
    try:
        due = timer.start(0.01)
        assert timer.read() == 0 or time.monotonic() >= due
        poll = select.poll()
        poll.register(timer.fd, select.POLLIN)
        assert poll.poll(10_000)
        assert time.monotonic() >= due
        assert timer.read() >= 1
    finally:
        timer.close()
