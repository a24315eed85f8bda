from minikv.dispatch.script_client cimport ScriptClient
from minikv.dispatch.table cimport CommandTable
from minikv.scripting.lua cimport lua_State, minikv_lua


cdef class Interpreter:
    cdef lua_State *L
    cdef minikv_lua memory
    cdef public ScriptClient client
    cdef public object on_busy, log
    cdef CommandTable table
    cdef object bug
    cdef unsigned short random[3]
    cdef int runs
    cdef bint killed, is_library
    cdef object register

    cdef int compile(self, bytes source, bytes name) except -2
    cdef object run(self, int reference, bytes name, tuple arguments, int keys, bint as_globals, int caller_resp)
    cdef object add_redis(self)
    cdef int set_globals(self, int index) except -1
    cdef int register_from(self, lua_State *L) except? -1
    cdef tuple named_arguments(self, lua_State *L)
    cdef void collect(self) noexcept
    cdef int stop(self, lua_State *L, object error) noexcept
    cdef object execute(self, lua_State *L)
    cdef object failure(self, int status, bytes name)
    cdef int call(self, lua_State *L, bint raises) noexcept
    cdef int interrupt(self, lua_State *L) noexcept
