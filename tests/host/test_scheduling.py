"""The scheduling policy of children."""

from __future__ import annotations

import os

import pytest

from minikv.host.scheduling import batch_children


@pytest.mark.parametrize(("own", "of_child"), [(os.SCHED_OTHER, os.SCHED_BATCH), (os.SCHED_IDLE, os.SCHED_IDLE)])
def test_a_child_is_a_batch_process_its_parent_is_not(own: int, of_child: int) -> None:
    pid = os.fork()
    if pid == 0:  # a process whose policy nobody else minds
        os.sched_setscheduler(0, own, os.sched_param(0))
        with batch_children():
            pid = os.fork()
            if pid == 0:
                os._exit(os.sched_getscheduler(0) != of_child)
        status = os.waitpid(pid, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) or os.sched_getscheduler(0) != own)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
