from cpython.object cimport PyObject


cdef class Argv:
    cdef PyObject **words               # borrowed from `items`
    cdef Py_ssize_t count
    cdef tuple items
