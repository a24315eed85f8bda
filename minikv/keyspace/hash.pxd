from minikv.keyspace.collection cimport Collection

cdef class Hash(Collection):
    cpdef bytes get(self, bytes field)
    cpdef bint contains(self, bytes field) except -1
    cpdef bint delete(self, bytes field) except -1
    cpdef bint set(self, bytes field, bytes value) except -1
