from cpython.object cimport PyObject


cdef extern from "Python.h":
    Py_ssize_t refcount "Py_REFCNT" (PyObject *value)


cdef class SimpleString:
    cdef readonly bytes text
    cdef bytes wire


cdef class Decimal:
    cdef readonly bytes digits


cdef class Verbatim:
    cdef readonly bytes form, data


cdef class Push:
    cdef readonly object items


cdef class Set:
    cdef readonly object items


cdef class Transcript:
    cdef readonly Py_ssize_t count
    cdef readonly list items


cdef class Draws:
    cdef readonly Py_ssize_t count
    cdef readonly object portions


cdef class Raw:
    cdef readonly bytes data


cdef class Marker:
    cdef str name


cdef class Sink:
    cdef int flush(self, ReplyBuffer buffer) except -1
    cdef int pass_on(self, ReplyBuffer buffer, bytes value) except -1
    cdef bint refuses(self, ReplyBuffer buffer) except -1


cdef class ReplyBuffer:
    cdef char *data
    cdef Py_ssize_t size, capacity
    cdef Sink sink

    cdef int write_value(self, object value, int resp) except -1
    cdef int write_other(self, object value, int resp) except -1
    cdef int write_items(self, list items, int resp) except -1
    cdef int write_draws(self, Draws value, int resp) except -1
    cdef int write_long_bulk(self, bytes value) except -1
    cdef int write_long_bytes(self, const char *data, Py_ssize_t length) except -1
    cdef int write_bulk(self, const char *data, Py_ssize_t length) except -1
    cdef int write_header(self, char kind, long long number) except -1
    cdef int write_double(self, bytes digits, int resp) except -1
    cdef int write_error(self, str text) except -1
    cdef int write_verbatim(self, Verbatim value, int resp) except -1
    cdef int write_line(self, bytes line) except -1
    cdef int write_bytes(self, const char *data, Py_ssize_t length) except -1
    cdef int reserve(self, Py_ssize_t length) except -1
    cdef int make_room(self, Py_ssize_t length) except -1
    cdef void reset(self) noexcept
