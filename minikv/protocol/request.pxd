from cpython.object cimport PyObject


cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize" (const char *data, Py_ssize_t length) except NULL
    Py_ssize_t bytes_size "PyBytes_GET_SIZE" (PyObject *value)
    char *bytes_data "PyBytes_AS_STRING" (PyObject *value)
    int resize_bytes "_PyBytes_Resize" (PyObject **value, Py_ssize_t length) except -1
    void Py_INCREF(PyObject *value)
    void Py_DECREF(PyObject *value)
    void Py_XDECREF(PyObject *value)


cdef enum:
    AHEAD_MAX = 16                  # requests that are looked at together


cdef class Lookahead:
    # The first word behind the command's name, mostly a key, of requests that come next
    cdef void look(self, const char **words, const Py_ssize_t *lengths, int count) noexcept


cdef class Limits:
    cdef public long long max_bulk_len, query_buffer_limit
    cdef public Lookahead ahead
    cdef PyObject *names[256]
    cdef unsigned long long words[256]


cdef class RequestReader:
    # The request: argc owned references.
    cdef PyObject **argv
    cdef Py_ssize_t argc
    # Set once the peer has authenticated (or need not).
    cdef public bint trusted
    # Where the socket's bytes should go while `direct` said so.
    cdef char *direct_at
    cdef Py_ssize_t direct_size

    cdef Limits limits
    cdef Py_ssize_t capacity, args_bytes
    cdef long long args_left, bulk_len
    cdef PyObject *bulk
    cdef Py_ssize_t bulk_filled, bulk_capacity
    cdef int skip
    cdef const char *window
    cdef const char *at
    cdef const char *end
    cdef const char *looked_to
    cdef const char *line_at
    cdef Py_ssize_t line_len
    cdef char *kept
    cdef Py_ssize_t kept_len, kept_capacity
    cdef bint line_done
    cdef object source

    cdef void load(self, const char *data, Py_ssize_t length) noexcept
    cdef int hold(self) except -1
    cdef int load_bytes(self, bytes data) except -1
    cdef int next(self) except -1
    cdef void release(self) noexcept
    cdef Py_ssize_t held_bytes(self) noexcept
    cdef Py_ssize_t unparsed_bytes(self) noexcept
    cdef Py_ssize_t parsed_bytes(self) noexcept
    cdef bint direct(self) except -1
    cdef int direct_filled(self, Py_ssize_t length) except -1

    cdef void look_ahead(self) noexcept
    cdef int read_multibulk(self) except -1
    cdef int read_inline(self) except -1
    cdef long long short_header(self) noexcept
    cdef int use_kept_line(self) except -1
    cdef int read_number(self, long long *number) except -1
    cdef int read_line(self, char terminator, str too_long) except -1
    cdef int read_bulk(self) except -1
    cdef int finish_bulk(self) except -1
    cdef int grow_bulk(self, Py_ssize_t wanted) except -1
    cdef int keep(self, const char *data, Py_ssize_t length) except -1
    cdef void forget_line(self) noexcept
    cdef int add_argument(self, const char *data, Py_ssize_t length) except -1
    cdef int add_slot(self, PyObject *argument) except -1
