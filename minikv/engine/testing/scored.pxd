cimport cython
from cpython.buffer cimport Py_buffer

from minikv.engine.ordered cimport Cursor, OrderedState, OrderedTrees


@cython.final
cdef class ScoredIndex:
    cdef OrderedTrees trees
    cdef OrderedState state
    cdef Py_buffer elements

    cdef tuple pair(self, Cursor cursor)
