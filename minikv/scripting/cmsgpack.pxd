from minikv.scripting.lua cimport lua_State

cdef int add_cmsgpack(lua_State *L) except -1


cdef class Packer:
    cdef lua_State *L
    cdef bytearray out

    cdef bint write(self, int level) except -1
    cdef int write_number(self, double number) except -1
    cdef int write_integer(self, long long number) except -1
    cdef int write_string(self) except -1
    cdef bint write_table(self, int level) except -1
    cdef int write_head(self, int kind, unsigned long long value, int size) except -1
    cdef Py_ssize_t array_length(self) except -2


cdef class Unpacker:
    cdef lua_State *L
    cdef const unsigned char *data
    cdef size_t at, length
    cdef bytes error

    cdef bint value(self, int level) except -1
    cdef bint need(self, size_t size) except -1
    cdef unsigned long long number(self, int size) noexcept
    cdef bint push_string(self, size_t size) except -1
    cdef bint push_array(self, size_t count, int level) except -1
    cdef bint push_map(self, size_t count, int level) except -1
