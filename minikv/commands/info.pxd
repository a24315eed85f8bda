from minikv.dispatch.table cimport Command
from minikv.engine.int64 cimport INT64_DIGITS, format_int64


cdef enum:
    TEXT_BYTES = 4096


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL


# Lines of INFO in the making: full pieces, and the one that is being filled.
cdef class Lines:
    cdef list pieces
    cdef Py_ssize_t size
    cdef char text[TEXT_BYTES]

    cpdef int add_section(self, str name, dict fields) except -1
    cdef int add(self, str words) except -1
    cdef int add_field(self, str name, object value) except -1
    cdef int make_room(self, Py_ssize_t wanted) except -1
    cpdef bytes taken(self)
