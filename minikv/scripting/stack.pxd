from minikv.scripting.lua cimport lua_State, minikv_body

cdef int add(lua_State *L, bytes name, minikv_body body) except -1
cdef int add_with(lua_State *L, bytes name, minikv_body body) except -1
cdef int set_field(lua_State *L, bytes name) except -1
cdef int raise_where(lua_State *L, bytes text) noexcept
cdef bytes bad_argument(lua_State *L, int index, bytes function, bytes expected)
cdef bytes wrong_argument(int index, bytes function, bytes reason)
cdef bint is_number(lua_State *L, int index, double *number) noexcept
