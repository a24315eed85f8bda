cimport cython
from libc.stdint cimport uint8_t, uint64_t

from minikv.engine.arena cimport Arena
from minikv.engine.chain cimport Chain, Chains


@cython.final
cdef class ElementChain:
    cdef readonly Arena arena
    cdef Chains chains
    cdef Chain chain
    cdef list seen_nodes

    cpdef fill_from(self, ElementChain source)
    cdef uint64_t size_of(self, bytes element) except 0
    cdef object write(self, uint8_t *at, bytes element)
    cdef bytes read(self, uint8_t *at)
