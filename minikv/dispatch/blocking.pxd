from minikv.dispatch.client cimport Waiting
from minikv.dispatch.table cimport CommandTable
from minikv.keyspace.database cimport Database, Keyspace


cdef class Blocking:
    cdef CommandTable table
    cdef Keyspace keyspace
    cdef object call_later
    cdef public dict queues
    cdef public Py_ssize_t count, timeouts

    cpdef add(self, Waiting waiting)
    cpdef remove(self, Waiting waiting)
    cdef answer(self, Waiting waiting, object value)
    cdef set_timer(self, Waiting waiting)
    cdef look_at(self, Database database, bytes key)
    cdef dict queues_of(self, tuple place)
    cdef tell_losers(self, dict queues, kind)
    cpdef serve(self, Waiting waiting, bytes key)
