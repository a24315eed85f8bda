cdef class Subscriptions:
    cdef readonly dict channels, patterns, shard


cdef class Message:
    cdef tuple items
    cdef bytes resp2, resp3


cdef class Registry:
    cdef readonly dict channels, shard, patterns, lengths, clients
    cdef readonly Py_ssize_t pattern_count

    cpdef object publish(self, bytes channel, bytes data)
