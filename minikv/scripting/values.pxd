from minikv.scripting.lua cimport lua_State

cdef int push_bytes(lua_State *L, bytes text) except -1
cdef int push_field(lua_State *L, bytes name, bytes text) except -1
cdef int push_value(lua_State *L, object value, int resp) except -1
cdef bytes bytes_at(lua_State *L, int index)
cdef bytes number_text(double number)
cdef object value_at(lua_State *L, int resp, int caller_resp, long long *left)
