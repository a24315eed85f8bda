from libc.stdint cimport uint64_t

from minikv.keyspace.stream cimport StreamNumbers
from minikv.rdb.input cimport RdbInput


cdef class StreamReader:
    cdef RdbInput source
    cdef int type
    cdef bint partial               # it is some nodes of a stream: the length is that of the whole
    cdef uint64_t nodes_left
    cdef uint64_t live              # entries of all nodes that are not deleted
    cdef uint64_t claimed           # the length that the file has
    cdef uint64_t producers         # that were passed over
    cdef uint64_t released          # pending entries that are nobody's
    cdef list ranges                # first and last ID of each node, 32 bytes together
    cdef object first_id            # of the first entry that is not deleted, None: there is none

    cdef int begin(self, int type) except -1
    cdef tuple node(self)
    cdef bytes tail(self)
    cdef object id(self)
    cdef uint64_t number(self) except? 0
    cdef int check_nodes(self, object last_id) except -1
    cdef bytes group(self, bytes name, const StreamNumbers *numbers)
    cdef bytearray read_pending(self)
    cdef object read_consumer(self, bytearray pending, dict consumers, bytearray owned)
    cdef bytearray read_ids(self, bytearray pending, bytearray owned, bytes before)
    cdef object read_released(self, bytearray pending, dict consumers, bytearray owned)
    cdef int skip_producers(self) except -1
    cdef uint64_t many(self, uint64_t size) except? 0
