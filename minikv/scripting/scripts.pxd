from minikv.dispatch.client cimport Client
from minikv.dispatch.script_client cimport ScriptClient
from minikv.dispatch.table cimport CommandTable
from minikv.scripting.interpreter cimport Interpreter


cdef class Script:
    cdef readonly bytes sha, name, body
    cdef readonly int reference, flags


cdef class Scripts:
    cdef public object server, log
    cdef readonly CommandTable table
    cdef readonly ScriptClient client
    cdef readonly dict by_sha, by_body
    cdef readonly Interpreter interpreter
    cdef readonly long long kept_bytes
    cdef readonly object running
    cdef readonly bint is_busy
    cdef bint killed
    cdef bytes called_name
    cdef tuple arguments
    cdef int keys
    cdef readonly long long began_ns
    cdef long long threshold_ns

    cdef object run(self, Client caller, Script script, int keys, tuple arguments, bint ro)
    cdef int begin(self, Client caller, object script, int flags, bint ro, tuple arguments, int keys) except? -1
    cdef void end(self) noexcept
    cdef bint check(self, int flags, bint read_only) except? -1


cdef int key_count(bytes text, Py_ssize_t argc, str error=*) except? -1
