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


cdef class Raw:
    cdef readonly bytes data


cdef class Marker:
    cdef str name


cdef class ReplyBuffer:
    cdef char *data
    cdef Py_ssize_t size, capacity

    cdef int write_value(self, object value, int resp) except -1
    cdef int write_list(self, list items, int resp) except -1
    cdef int write_other(self, object value, int resp) except -1
    cdef int write_bulk(self, const char *data, Py_ssize_t length) except -1
    cdef int write_header(self, char kind, long long number) except -1
    cdef int write_double(self, bytes digits, int resp) except -1
    cdef int write_error(self, str text) except -1
    cdef int write_verbatim(self, Verbatim value, int resp) except -1
    cdef int write_line(self, bytes line) except -1
    cdef int write_bytes(self, const char *data, Py_ssize_t length) except -1
    cdef int reserve(self, Py_ssize_t length) except -1
    cdef void reset(self) noexcept
