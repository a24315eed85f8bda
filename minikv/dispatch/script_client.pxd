from minikv.dispatch.client cimport Client


cdef class ScriptClient(Client):
    cdef public Client caller
    cdef public bint read_only, allow_oom, out_of_memory, wrote

    cpdef begin(self, Client caller, bint read_only, bint allow_oom, bint out_of_memory)
