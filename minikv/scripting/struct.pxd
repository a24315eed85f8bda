from minikv.scripting.lua cimport lua_State

cdef int add_struct(lua_State *L) except -1


cdef class Layout:
    cdef lua_State *L
    cdef bytes text, name, error
    cdef Py_ssize_t at
    cdef int align, option
    cdef long long size
    cdef bint big_endian

    cdef bint next(self) except -1
    cdef bint control(self) except -1
    cdef long long count(self, long long otherwise) except -1
    cdef bint fail(self, bytes text) except -1
    cdef long long padding(self, long long position) noexcept
