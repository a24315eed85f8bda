from minikv.scripting.lua cimport lua_State

cdef int add_bit(lua_State *L) except -1
