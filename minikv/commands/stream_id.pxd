from libc.stdint cimport uint64_t

from minikv.keyspace.stream_node cimport StreamId

cdef int read_id(bytes text, uint64_t missing_sequence, StreamId *id) except -1
cdef int read_id_or_end(bytes text, uint64_t missing_sequence, StreamId *id) except -1
cdef int read_start(bytes text, StreamId *id) except -1
cdef int read_end(bytes text, StreamId *id) except -1
