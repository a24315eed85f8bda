"""The child runs on idle processors, and competes while it lacks its share."""

from __future__ import annotations

import os
from collections.abc import Callable

import psutil
import pytest

from minikv.snapshot.cpu_share import CpuShare, ran_and_waited_ns
from tests.harness import Server, wait_until
from tests.harness.saving import held_save


class Child:
    """Times that are set, and the policies that it got."""

    def __init__(self, percent: int) -> None:
        self.ran, self.waited = 0, 0
        self.policies: list[int] = []
        self.share = CpuShare(
            1,
            percent,
            times=lambda pid: (self.ran, self.waited),
            set_policy=lambda pid, policy, param: self.policies.append(policy),
            may_return=lambda: True,
        )

    def look(self, ran: int, waited: int) -> None:
        self.ran, self.waited = ran, waited
        self.share.look()


def test_a_child_that_lacks_its_share_competes_until_it_has_it() -> None:
    child = Child(25)
    assert child.policies == [os.SCHED_IDLE]
    child.look(1000, 10)
    child.look(1000, 2900)
    assert child.policies == [os.SCHED_IDLE]
    child.look(1000, 3100)
    child.look(1010, 3200)
    assert child.policies == [os.SCHED_IDLE, os.SCHED_BATCH]
    child.look(2000, 3300)
    assert child.policies == [os.SCHED_IDLE, os.SCHED_BATCH, os.SCHED_IDLE]


@pytest.mark.parametrize(("percent", "policies"), [(100, []), (0, [os.SCHED_IDLE])])
def test_a_child_may_compete_always_or_never(percent: int, policies: list[int]) -> None:
    child = Child(percent)
    child.look(10, 100_000)
    child.look(100_000, 10)
    assert child.policies == policies


def test_the_kernel_counts_what_a_process_waits_for() -> None:
    ran, _waited = ran_and_waited_ns(os.getpid())
    assert ran > 0
    with pytest.raises(OSError, match="No such file"):
        ran_and_waited_ns(2**22)


@pytest.mark.parametrize("share", [0, 100])
def test_the_setting_counts_for_the_next_save(start_minikv: Callable[..., Server], share: int) -> None:
    server = start_minikv()
    server.call("SET a b")
    server.call("SET c d")
    assert server.call(f"CONFIG SET bgsave-cpu-share {share}") == b"+OK\r\n"
    child: psutil.Process = held_save(server)
    wanted = os.SCHED_IDLE if share == 0 else os.SCHED_BATCH
    wait_until(lambda: os.sched_getscheduler(child.pid) == wanted, "the child has its policy")
    assert server.call("BGSAVE CANCEL") == b"+Background saving cancelled\r\n"
    wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "0", "the child has ended")
