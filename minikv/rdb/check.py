# cython: boundscheck=False, wraparound=False
"""A target that stores nothing, to check whether a file could be loaded."""

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.minikv.rdb.target import DIRECT_LEN, LoadTarget


@cython.final
@cython.cclass
class CheckTarget(LoadTarget):
    """Accepts everything.

    Memory: one element, or a piece of a large string.
    """

    _scratch: cython.pointer[uint8_t]
    functions = cython.declare(list, visibility="readonly")  # libraries, encoded

    def __init__(self):
        self.functions = []

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def function(self, code: bytes, encoded: bytes) -> cython.int:
        self.functions.append(encoded)
        return 0

    def __cinit__(self):
        self._scratch = cython.cast(cython.pointer[uint8_t], malloc(DIRECT_LEN))
        if self._scratch == cython.NULL:
            raise MemoryError
        self.in_pieces = True

    def __dealloc__(self):
        free(self._scratch)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def string(
        self,
        key: cython.pointer[cython.const[uint8_t]],
        key_len: uint64_t,
        value_len: uint64_t,
        expire_at_ms: int64_t,
    ) -> cython.int:
        self.room = self._scratch
        return 1
