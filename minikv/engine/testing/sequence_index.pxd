cimport cython
from libc.stdint cimport uint64_t

from minikv.engine.sequence cimport SequenceCursor, Sequences, SequenceState


@cython.final
cdef class SequenceIndex:
    cdef Sequences sequences
    cdef SequenceState state

    cdef SequenceCursor entry_at(self, uint64_t number) except *
    cdef tuple pair(self, const SequenceCursor *cursor)
