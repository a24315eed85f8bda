# cython: language_level=3
"""fork(2) for a snapshot: nothing between the system call and the next command that need not be there.

os.fork, with what has to surround it in one piece of C: behind a fork every page of the interpreter that the parent
touches is copied first, and a few lines of Python touch a hundred.

The child sleeps first, for the few milliseconds in which its parent replies: a new process may be given the very
processor that its parent runs on, for a whole slice of time. It is a batch process, whose waking takes the processor
from nobody; an ordinary one where the kernel forbids that, or if this process has a policy of its own already.

The child begins with all signals blocked: one that came before the child's own handlers are set would run those of
the server, and wake the parent's event loop through the socket that both share. `restore_signals` ends that.
"""

import os

import cython
from cython.cimports.libc.errno import errno
from cython.cimports.minikv.persistence.linux import (
    SCHED_BATCH,
    SCHED_OTHER,
    PyOS_AfterFork_Child,
    PyOS_AfterFork_Parent,
    PyOS_BeforeFork,
    sched_getscheduler,
    sched_param,
    sched_setscheduler,
)
from cython.cimports.posix.signal import SIG_SETMASK, sigfillset, sigprocmask, sigset_t
from cython.cimports.posix.unistd import fork, usleep

HEAD_START_US = cython.declare(cython.uint, 5000)  # for the parent's reply

_signals_before = cython.declare(sigset_t)


def fork_child() -> int:
    """The child's pid, 0 in the child; OSError in the parent if the kernel refuses."""
    every = cython.declare(sigset_t)
    param = cython.declare(sched_param)
    error: cython.int
    pid: cython.int
    sigfillset(cython.address(every))
    param.sched_priority = 0
    PyOS_BeforeFork()
    sigprocmask(SIG_SETMASK, cython.address(every), cython.address(_signals_before))
    as_batch: cython.bint = (
        sched_getscheduler(0) == SCHED_OTHER and sched_setscheduler(0, SCHED_BATCH, cython.address(param)) == 0
    )
    pid = fork()
    if pid == 0:
        usleep(HEAD_START_US)
        PyOS_AfterFork_Child()
        return 0
    error = errno
    if as_batch:
        sched_setscheduler(0, SCHED_OTHER, cython.address(param))
    sigprocmask(SIG_SETMASK, cython.address(_signals_before), cython.NULL)
    PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def restore_signals() -> None:
    """In the child: let those signals through that its parent lets through."""
    sigprocmask(SIG_SETMASK, cython.address(_signals_before), cython.NULL)
