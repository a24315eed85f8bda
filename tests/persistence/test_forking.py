"""The fork of a snapshot child: its scheduling policy, its signals, a kernel that refuses."""

from __future__ import annotations

import errno
import os
import resource
import signal

import pytest

from minikv.persistence.forking import fork_child, restore_signals


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(("own", "of_child"), [(os.SCHED_OTHER, os.SCHED_BATCH), (os.SCHED_IDLE, os.SCHED_IDLE)])
def test_a_child_is_a_batch_process_its_parent_is_not(own: int, of_child: int) -> None:
    pid = os.fork()
    if pid == 0:  # a process whose policy nobody else minds
        os.sched_setscheduler(0, own, os.sched_param(0))
        pid = fork_child()
        if pid == 0:
            os._exit(os.sched_getscheduler(0) != of_child)
        os._exit(exit_code(pid) or os.sched_getscheduler(0) != own)
    assert exit_code(pid) == 0


def test_a_child_begins_deaf_to_signals_and_gets_its_parents_mask_back() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        pid = fork_child()
        if pid == 0:
            deaf = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            restore_signals()
            after = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            os._exit({signal.SIGUSR1, signal.SIGTERM} > deaf or after != before | {signal.SIGUSR2})
        assert exit_code(pid) == 0
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before | {signal.SIGUSR2}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_refused_fork_is_an_error_and_changes_nothing() -> None:
    pid = os.fork()
    if pid == 0:  # a process that may lose its right to fork
        code = 1
        try:
            if os.getuid() == 0:
                os.setuid(65534)  # no limit holds for root
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            fork_child()
        except OSError as error:
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            code = error.errno != errno.EAGAIN or bool(blocked) or os.sched_getscheduler(0) != os.SCHED_OTHER
        finally:
            os._exit(code)
    assert exit_code(pid) == 0
