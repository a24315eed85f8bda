"""How much of the processors a snapshot child gets while clients want them, too.

A child of the policy SCHED_IDLE runs on processors that nobody else wants at the moment: whoever wakes up takes one
from it at once, so clients do not wait for it. Where all are busy all the time it would hardly run at all, and the
longer a snapshot is open the more memory it takes. So the child is an ordinary process for a while whenever it has had
less than its share. Going back takes a privilege; without it the child gets a nice value instead, which gives it about
a tenth of a processor that others want as well.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable

ALL = 100  # percent: an ordinary process all the time
NICE = 10
CAP_SYS_NICE = 23


def ran_and_waited_ns(pid: int) -> tuple[int, int]:
    """How long a process has run, and how long it would have; OSError if it is gone, or the kernel does not count."""
    with open(f"/proc/{pid}/schedstat") as file:
        ran, waited, _slices = file.read().split()
    return int(ran), int(waited)


def may_go_back() -> bool:
    """Whether this process may let a child of the idle policy be an ordinary one again."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NICE)
    if soft >= 20 or soft == resource.RLIM_INFINITY:  # of a nice value of 0
        return True
    with contextlib.suppress(OSError, StopIteration, ValueError), open("/proc/self/status") as status:
        mask = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
        return bool(mask >> CAP_SYS_NICE & 1)
    return False


class CpuShare:
    """Looks after one child. percent: of the time that it could run, at the least."""

    def __init__(
        self,
        pid: int,
        percent: int,
        *,
        times: Callable[[int], tuple[int, int]] = ran_and_waited_ns,
        set_policy: Callable[[int, int, os.sched_param], None] = os.sched_setscheduler,
        may_return: Callable[[], bool] = may_go_back,
    ) -> None:
        self._pid = pid
        self._percent = percent
        self._times = times
        self._set_policy = set_policy
        self._is_idle = False
        if percent < ALL and os.sched_getscheduler(0) == os.SCHED_OTHER:  # a policy that somebody has chosen stays
            with contextlib.suppress(OSError):
                if percent == 0 or may_return():
                    self._be_idle(True)
                else:
                    os.setpriority(os.PRIO_PROCESS, pid, NICE)
                    self._percent = ALL

    def look(self) -> None:
        """Some times a second: give the child what it lacks."""
        if not 0 < self._percent < ALL:
            return
        with contextlib.suppress(OSError):  # the child is gone
            ran, waited = self._times(self._pid)
            lacks = ran * 100 < self._percent * (ran + waited)
            if lacks == self._is_idle:
                self._be_idle(not lacks)

    def _be_idle(self, idle: bool) -> None:
        self._set_policy(self._pid, os.SCHED_IDLE if idle else os.SCHED_BATCH, os.sched_param(0))
        self._is_idle = idle
