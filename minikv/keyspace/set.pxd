from minikv.keyspace.collection cimport Collection

cdef class Set(Collection):
    cpdef bint contains(self, bytes member) except -1
    cpdef bint remove(self, bytes member) except -1
    cpdef bytes pop(self)
    cpdef bint add(self, bytes member) except -1
    cpdef Py_ssize_t add_all(self, tuple members) except -1
    cpdef Py_ssize_t remove_all(self, tuple members) except -1
    cpdef list contains_each(self, tuple members)
