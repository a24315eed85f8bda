cdef class Census:
    cdef readonly long long memory_bytes, input_peak, output_peak
    cdef dict clients
    # Numbers of the clients that the round has yet to visit, the next one last; what it has found so far.
    cdef list waiting
    cdef long long round_memory, round_input, round_output

    cpdef int go_on(self, Py_ssize_t count) except -1
