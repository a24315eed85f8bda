from minikv.keyspace.collection cimport Collection

cdef class Set(Collection):
    pass
