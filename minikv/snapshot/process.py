"""The snapshot child as its parent sees it: a pid to wait for and to kill.

SIGUSR1 asks the child to exit; SIGKILL follows if it does not, because a stopped process, or one that
waits for the disk, does not handle signals.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass

GENTLE_KILL_S = 0.05  # the child exits on SIGUSR1 at once, unless it waits for the disk

OOM_SCORE = 800  # of -1000 to 1000, as for Redis's children


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended. exit_code: negative for a signal, None if something else reaped it."""

    exit_code: int | None
    minor_faults: int = 0
    cpu_us: int = 0


class ChildProcess:
    """One child; call `close` after its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.why = ""  # why it was asked to exit; empty: it was not
        self._pidfd = _open_pidfd(pid)  # readable when the child has exited; -1 without pidfds
        self._loop: AbstractEventLoop | None = None
        self._kill_at = 0.0  # monotonic time of SIGKILL; 0: not asked to exit

    def watch(self, loop: AbstractEventLoop, on_end: Callable[[], object]) -> None:
        """Call back as soon as it exits, if the kernel has pidfds; `poll` works without."""
        if self._pidfd >= 0:
            self._loop = loop
            loop.add_reader(self._pidfd, on_end)

    def poll(self) -> End | None:
        """How it ended; None while it lives."""
        try:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            return End(None)  # for example, SIGCHLD is ignored
        if pid == 0:
            return None
        return End(os.waitstatus_to_exitcode(status), used.ru_minflt, int((used.ru_utime + used.ru_stime) * 1e6))

    def wait(self, timeout_s: float) -> None:
        """Wait until it has exited or the timeout is over; it may return early."""
        if self._pidfd < 0:
            time.sleep(min(timeout_s, 0.001))
            return
        poll = select.poll()  # select() stops at descriptor 1024
        poll.register(self._pidfd, select.POLLIN)
        poll.poll(timeout_s * 1000)

    def ask_to_end(self, why: str) -> None:
        """Ask it to exit; `insist` kills it if it does not."""
        self.why = self.why or why
        with contextlib.suppress(OSError):  # one that runs on idle processors only could not even end
            if os.sched_getscheduler(self.pid) == os.SCHED_IDLE:
                os.sched_setscheduler(self.pid, os.SCHED_BATCH, os.sched_param(0))
        self._kill_at = time.monotonic() + GENTLE_KILL_S
        self._send(signal.SIGUSR1)

    def insist(self) -> None:
        """Kill a child that was asked to exit and did not in time."""
        if self._kill_at and time.monotonic() >= self._kill_at:
            self.kill()

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        """Signal the child; it is not reaped, so the pid is still its own."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        if self._pidfd >= 0:
            if self._loop is not None:
                self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


def _open_pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:  # no descriptor left: poll() tells
        return -1
