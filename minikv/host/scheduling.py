"""The kernel's choice of who runs next."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def batch_children() -> Iterator[None]:
    """A child forked in here is a batch process: neither its start nor its waking takes the processor from anybody.

    An ordinary child may run first, for milliseconds, on the very processor that its parent needs to reply. Does
    nothing where the kernel forbids it, or if this process has a scheduling policy of its own already.
    """
    if os.sched_getscheduler(0) != os.SCHED_OTHER or not _choose(os.SCHED_BATCH):
        yield
        return
    try:
        yield
    finally:
        _choose(os.SCHED_OTHER)


def _choose(policy: int) -> bool:
    try:
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except OSError:
        return False
    return True
