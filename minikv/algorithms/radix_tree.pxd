cdef int shared_bytes(bytes one, bytes other) except -1
