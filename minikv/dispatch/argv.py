# cython: language_level=3
# distutils: extra_compile_args = -O3
"""A request that comes as a sequence, in the form in which dispatch reads requests."""

import cython
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc
from cython.cimports.cpython.object import PyObject


@cython.cclass
class Argv:
    """An array of words that lives as long as this object. Whoever executes it leaves the slots as they were."""

    def __cinit__(self, request: object):
        index: cython.Py_ssize_t
        self.items = tuple(request)
        self.count = len(self.items)
        self.words = cython.cast(
            cython.pointer[cython.pointer[PyObject]],
            PyMem_Malloc((self.count + 1) * cython.sizeof(cython.pointer[PyObject])),
        )
        if self.words == cython.NULL:
            raise MemoryError
        for index in range(self.count):
            self.words[index] = cython.cast(cython.pointer[PyObject], self.items[index])

    def __dealloc__(self):
        PyMem_Free(self.words)
