from minikv.keyspace.collection cimport Collection

cdef class Hash(Collection):
    pass
