# cython: boundscheck=False, wraparound=False, cdivision=True
# ruff: noqa: F821
"""A thread that forks while the event loop goes on serving.

clone(2) takes a millisecond, and 0.3 more for each gigabyte in huge pages, for which the kernel holds the lock of the
address space. Other threads go on meanwhile, if they neither fault nor map: they may read all there is, and write to
what the child does not inherit. To anything else a write would wait; or the child would see it, if it came before the
kernel had got there. So the child's state is that of the moment when the snapshot was opened, and until the child is
there (CloneSetup.busy) the loop writes only to

    memory that children never inherit: heap, indexes, its stack and thread storage, the C library's variables
    the arena's landing segments, and their part of the bitmap, which this child does not inherit (Arena.open)

and waits, by `Arena.await_clone`, before any other write: an edit of a large string,
FLUSHALL, a store more than there are landing segments. Records are never changed while a snapshot is open.

The child goes on with this thread's stack and thread storage, which lie in a reservation that is inherited. Of the C
library's variables (malloc's are written all the time) it gets a copy, moved to where the library has them before the
child calls any of its functions but `syscall`.
"""

import os

import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.memory import (
    CloneSetup,
    is_set,
    keep_from_children,
    populate,
    reserve,
    unmap,
    use_huge_pages,
    wait_while,
    wake,
)
from cython.cimports.minikv.saving.fork import CPU_WORDS, CopiedData, copy_data, fork_for, hide_mappings
from cython.cimports.minikv.saving.linux import (
    MINIKV_SANITIZED,
    SCHED_BATCH,
    SCHED_OTHER,
    SYS_gettid,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    sched_getcpu,
    sched_getscheduler,
    sched_param,
    sched_setscheduler,
    syscall,
)
from cython.cimports.minikv.saving.save import Save
from cython.cimports.posix.signal import SIG_SETMASK, sigfillset, sigset_t
from cython.cimports.posix.unistd import usleep, write

STATE_LEN = cython.declare(uint64_t, 64 << 10)
STACK_LEN = cython.declare(uint64_t, 960 << 10)  # thread storage included; what is not used takes no memory
NAP_US = cython.declare(uint32_t, 1000)
ONE = cython.declare(uint64_t, 1)

assert cython.sizeof(Forking) <= 64 << 10


class ForkThread:
    """Waits for `begin`, forks, and says so by the eventfd `event_fd`."""

    def __cinit__(self):
        self.state = cython.cast(cython.pointer[Forking], reserve(STATE_LEN + STACK_LEN, True))
        use_huge_pages(cython.cast(cython.pointer[uint8_t], self.state), STATE_LEN + STACK_LEN, False)
        self.event_fd = self.state.event_fd = -1

    def __dealloc__(self):
        if self.running:
            wake(cython.address(self.state.order), END)
            with cython.nogil:
                pthread_join(self.thread, cython.NULL)
        unmap(cython.cast(cython.pointer[uint8_t], self.state), STATE_LEN + STACK_LEN)
        if self.event_fd >= 0:
            os.close(self.event_fd)

    def start(self) -> bool:
        """False where the kernel, or a build, cannot: then forks are made by the thread that asks for them."""
        attributes: pthread_attr_t
        every: sigset_t
        before: sigset_t
        error: cython.int
        start: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], self.state)
        if MINIKV_SANITIZED or not populate(start, 4096):
            return False
        try:
            self.event_fd = self.state.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            return False
        if pthread_attr_init(cython.address(attributes)) != 0:
            return False
        sigfillset(cython.address(every))
        pthread_sigmask(SIG_SETMASK, cython.address(every), cython.address(before))
        error = pthread_attr_setstack(cython.address(attributes), start + STATE_LEN, STACK_LEN)
        if error == 0:
            error = pthread_create(cython.address(self.thread), cython.address(attributes), run_forks, self.state)
        pthread_sigmask(SIG_SETMASK, cython.address(before), cython.NULL)
        pthread_attr_destroy(cython.address(attributes))
        self.running = error == 0
        return self.running

    def hide(self) -> int:
        """Hide from children what there is by now (fork.py); how many mappings that were. Any thread may ask."""
        count: cython.int
        state: cython.pointer[Forking] = self.state
        with cython.nogil:
            count = hide_mappings(0, cython.address(state.data))
        return count

    def delay(self, us: int) -> None:
        """For tests: let each fork take so much longer, also one that waits already."""
        self.state.delay_us = us

    def begin(self, save: cython.pointer[Save], clone: cython.pointer[CloneSetup]) -> cython.void:
        self.state.save = save
        self.state.clone = clone
        self.keep_away()
        clone.busy = 1
        wake(cython.address(self.state.order), FORK)

    def keep_away(self) -> cython.void:
        """Let the thread run on another processor than this one: it would have to wait while that one clones."""
        data: cython.pointer[CopiedData] = cython.address(self.state.data)
        cpu: cython.int = sched_getcpu()
        cpus: uint64_t[CPU_WORDS]
        others: uint64_t = 0
        word: cython.int
        length: cython.long = syscall(SYS_sched_getaffinity, 0, cython.sizeof(cpus), data.cpus)
        data.cpus_len = 0
        if length <= 0 or not 0 <= cpu < 8 * length or self.state.tid == 0:
            return
        memcpy(cpus, data.cpus, length)
        cpus[cpu >> 6] &= ~(cython.cast(uint64_t, 1) << (cpu & 63))
        for word in range(length // 8):
            others |= cpus[word]
        if others and syscall(SYS_sched_setaffinity, self.state.tid, length, cpus) == 0:
            data.cpus_len = length

    def done(self) -> cython.bint:
        return not is_set(cython.address(self.state.clone.busy))

    def wait(self) -> cython.void:
        wait_while(cython.address(self.state.clone.busy), 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def run_forks(argument: cython.p_void) -> cython.p_void:
    state: ForkingP = cython.cast(ForkingP, argument)
    param: sched_param
    param.sched_priority = 0
    if sched_getscheduler(0) == SCHED_OTHER:
        sched_setscheduler(0, SCHED_BATCH, cython.address(param))  # whoever runs where it wakes goes on
    state.tid = syscall(SYS_gettid)
    while True:
        wait_while(cython.address(state.order), NOTHING)
        if state.order == END:
            return cython.NULL
        state.order = NOTHING
        fork_now(state)


def fork_now(state: cython.pointer[Forking]) -> cython.void:
    clone: cython.pointer[CloneSetup] = state.clone
    number: uint32_t
    waited_us: uint32_t = 0
    while waited_us < state.delay_us:
        usleep(NAP_US)
        waited_us += NAP_US
    for number in range(clone.hidden_count):
        keep_from_children(clone.hidden[number].start, clone.hidden[number].nbytes, True)
    for number in range(clone.ready_count):
        populate(clone.ready[number].start, clone.ready[number].nbytes)
    copy_data(cython.address(state.data))
    state.pid = fork_for(state.save, cython.address(state.ns), cython.address(state.data))
    # This child was the only one that must not have them: what is written there from now on is the next one's.
    for number in range(clone.hidden_count):
        keep_from_children(clone.hidden[number].start, clone.hidden[number].nbytes, False)
    wake(cython.address(clone.busy), 0)
    if state.event_fd >= 0:
        write(state.event_fd, cython.address(ONE), 8)
