from minikv.dispatch.client cimport Client
from minikv.dispatch.script_client cimport ScriptClient
from minikv.dispatch.table cimport CommandTable
from minikv.scripting.interpreter cimport Interpreter


cdef class Script:
    cdef readonly bytes sha, body
    cdef readonly int reference, flags


cdef class Scripts:
    cdef public object server, log
    cdef CommandTable table
    cdef ScriptClient client
    cdef readonly dict by_sha, by_body
    cdef readonly Interpreter interpreter
    cdef readonly long long bytes

    cdef object run(self, Client caller, Script script, int keys, tuple arguments, bint ro)
    cdef bint check(self, Client caller, int flags, bint read_only) except? -1
