from minikv.keyspace.collection cimport Collection

cdef class Set(Collection):
    cpdef bint contains(self, bytes member) except -1
    cpdef bint remove(self, bytes member) except -1
    cpdef bytes pop(self)
    cpdef bint add(self, bytes member) except -1
