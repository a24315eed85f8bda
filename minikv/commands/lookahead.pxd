from minikv.keyspace.database cimport Database
from minikv.protocol.request cimport Lookahead


cdef class KeyLookahead(Lookahead):
    cdef public Database database
