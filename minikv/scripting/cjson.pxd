from minikv.scripting.lua cimport lua_State


cdef struct JsonSettings:
    int encode_depth, decode_depth, precision, sparse_ratio, sparse_safe, encode_invalid
    bint sparse_convert, decode_invalid, keep_buffer


cdef int add_cjson(lua_State *L) except -1


cdef class Writer:
    cdef lua_State *L
    cdef JsonSettings *settings
    cdef bytearray out
    cdef bytes error

    cdef bint write(self, int depth) except -1
    cdef bint write_number(self, double number) except -1
    cdef bint write_table(self, int depth) except -1
    cdef bint write_string(self, int index) except -1
    cdef bint fail(self, bytes text) except -1
    cdef int array_length(self) except -2


cdef class Reader:
    cdef lua_State *L
    cdef JsonSettings *settings
    cdef const char *data
    cdef Py_ssize_t at, length
    cdef int depth, kind
    cdef Py_ssize_t token_at
    cdef double number
    cdef bytes text, error

    cdef int next(self) except -1
    cdef int broken(self, bytes text) except -1
    cdef int next_string(self) except -1
    cdef int next_number(self) except -1
    cdef bint odd_number(self) noexcept
    cdef int escape(self, Py_ssize_t at, bytearray out) except -1
    cdef int hex4(self, Py_ssize_t at) noexcept
    cdef bint value(self) except -1
    cdef bint object(self) except -1
    cdef bint array(self) except -1
    cdef bint expected(self, bytes what) except -1
    cdef bint descend(self) except -1
