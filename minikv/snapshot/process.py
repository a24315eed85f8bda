"""The snapshot child as its parent sees it: a pid to wait for, and to kill.

kill: SIGUSR1 first, on which the child ends by itself; SIGKILL if that does not help, since a stopped process, or one
that waits for the disk, does not hear it.
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

GENTLE_KILL_S = 0.05  # the child answers SIGUSR1 at once, unless it waits for the disk

OOM_SCORE = 800  # of -1000 to 1000, as Redis gives its children


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended. exit_code: negative for a signal, None if somebody else has taken notice of it."""

    exit_code: int | None
    minor_faults: int = 0
    cpu_us: int = 0


class ChildProcess:
    """One child; `close` when it has ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.why = ""  # it was told to end; empty: it was not
        self._pidfd = _open_pidfd(pid)  # readable when the child has ended; -1 where the kernel has none
        self._loop: AbstractEventLoop | None = None
        self._kill_at = 0.0  # monotonic: SIGKILL is due; 0: nobody wants it dead

    def watch(self, loop: AbstractEventLoop, on_end: Callable[[], object]) -> None:
        """Call back when it ends, at once, if the kernel can tell; `poll` tells in any case."""
        if self._pidfd >= 0:
            self._loop = loop
            loop.add_reader(self._pidfd, on_end)

    def poll(self) -> End | None:
        """How it ended; None while it lives."""
        try:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            return End(None)  # SIGCHLD is ignored, for one
        if pid == 0:
            return None
        return End(os.waitstatus_to_exitcode(status), used.ru_minflt, int((used.ru_utime + used.ru_stime) * 1e6))

    def wait(self, timeout_s: float) -> None:
        """Until it has ended, perhaps, or the time is over."""
        if self._pidfd < 0:
            time.sleep(min(timeout_s, 0.001))
            return
        poll = select.poll()  # select() stops at descriptor 1024
        poll.register(self._pidfd, select.POLLIN)
        poll.poll(timeout_s * 1000)

    def ask_to_end(self, why: str) -> None:
        """Tell it to end, and let `insist` kill it if it does not."""
        self.why = self.why or why
        self._kill_at = time.monotonic() + GENTLE_KILL_S
        self._send(signal.SIGUSR1)

    def insist(self) -> None:
        """Kill a child that was asked to end and has had its time."""
        if self._kill_at and time.monotonic() >= self._kill_at:
            self.kill()

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        """The child is not reaped, so that its number is still its own."""
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
