from cpython.object cimport PyObject

from minikv.acl.user cimport Selector, User


cdef class Requirements:
    cdef readonly int number
    cdef readonly object spec
    cdef bint always, has_keys, decides
    # One range of keys, found here; else the functions in keys.py look.
    cdef bint is_plain
    cdef Py_ssize_t first, last, step
    cdef int access
    # Channels: none, all arguments, all as patterns, the first.
    cdef int channels

    cpdef long check_request(self, User user, object request, Selector selector=*) except -1
    cdef long check(self, User user, PyObject **argv, Py_ssize_t argc) except -1
    cdef long check_selector(self, Selector selector, PyObject **argv, Py_ssize_t argc) except -1
    cdef long check_keys(self, Selector selector, PyObject **argv, Py_ssize_t argc) except -1
    cdef long check_channels(self, Selector selector, PyObject **argv, Py_ssize_t argc) except -1
