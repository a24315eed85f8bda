from minikv.keyspace.collection cimport Collection

cdef class Set(Collection):
    cpdef bint add(self, bytes member) except -1
