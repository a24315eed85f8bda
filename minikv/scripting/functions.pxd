from minikv.dispatch.client cimport Client
from minikv.scripting.interpreter cimport Interpreter
from minikv.scripting.scripts cimport Scripts


cdef class Function:
    cdef readonly bytes name, description
    cdef readonly int reference, flags
    cdef readonly object library


cdef class Functions:
    cdef object server, log, on_change
    cdef Scripts scripts
    cdef readonly dict libraries, functions
    cdef readonly Interpreter interpreter
    cdef long long load_began_ns
    cdef readonly list unusable
