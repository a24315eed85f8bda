from minikv.keyspace.collection cimport Collection

cdef class Hash(Collection):
    cpdef bint set(self, bytes field, bytes value) except -1
