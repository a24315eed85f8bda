cimport cython
from libc.stdint cimport uint32_t

from minikv.engine.arena cimport Arena


@cython.final
cdef class Populator:
    cdef Arena _arena
    cdef readonly uint32_t reached  # segments before it are used or ready; read by others when the thread has ended
    cdef uint32_t _limit
    cdef bint _stopped              # set by one thread, read by the other

    cdef void _work(self) noexcept nogil
