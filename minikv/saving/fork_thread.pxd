"""A thread that forks while others go on; fork_thread.py explains it."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from posix.signal cimport sigset_t

from minikv.engine.memory cimport CloneSetup
from minikv.saving.fork cimport CopiedData
from minikv.saving.save cimport Save

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass

    ctypedef struct pthread_attr_t:
        pass

    int pthread_attr_init(pthread_attr_t *attributes)
    int pthread_attr_destroy(pthread_attr_t *attributes)
    int pthread_attr_setstack(pthread_attr_t *attributes, void *start, size_t nbytes)
    int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *) noexcept nogil,
                       void *argument)
    int pthread_join(pthread_t thread, void **result)

cdef extern from "<signal.h>" nogil:
    int pthread_sigmask(int how, const sigset_t *signals, sigset_t *before)

cdef enum:                          # orders
    NOTHING = 0
    FORK
    END

cdef struct Forking:                # inherited
    uint32_t order
    uint32_t delay_us               # tests: how long a fork waits before the clone
    Save *save
    CloneSetup *clone
    CopiedData data
    int pid                         # of the child; minus errno
    unsigned long long ns           # that the clone took
    int event_fd                    # -1: none
    long tid                        # of the thread; 0: it has not begun

ctypedef Forking *ForkingP


@cython.final
cdef class ForkThread:
    cdef Forking *state
    cdef pthread_t thread
    cdef bint running
    cdef readonly int event_fd      # readable when a fork is done

    cdef void begin(self, Save *save, CloneSetup *clone) noexcept
    cdef void keep_away(self) noexcept
    cdef bint done(self) noexcept
    cdef void wait(self) noexcept nogil


cdef void fork_now(Forking *state) noexcept nogil
