from cpython.object cimport PyObject

from minikv.acl.user cimport User
from minikv.dispatch.tracking cimport Tracker
from minikv.keyspace.database cimport Database


cdef class Transaction:
    cdef readonly list queued
    cdef list counts
    cdef PyObject **argv                # each word is a reference of ours
    cdef Py_ssize_t argc, room
    cdef public bint failed
    cdef readonly int flags, common_flags
    cdef readonly long long queued_bytes

    cdef int add(self, object command, int flags, PyObject **argv, Py_ssize_t argc) except -1
    cdef int grow(self, Py_ssize_t more) except -1


cdef class Waiting:
    cdef readonly Client client
    cdef readonly Database database
    cdef readonly list keys
    cdef readonly int kind
    cdef readonly object serve, lost, interest, late
    cdef readonly double ends_at
    cdef public object timer, command
    cdef public list request
    cdef public long long elapsed_ns


cdef class Client:
    cdef public object server, keyspace
    cdef public Database db
    cdef public long long id
    cdef public int resp, fd
    cdef public bytes name, lib_name, lib_ver, addr, laddr
    cdef public User user
    cdef public bint authenticated, unrestricted, must_log_in, is_unix, is_monitor, no_evict, no_touch, in_exec
    cdef public long long created_ns, last_interaction_ns
    cdef public Transaction transaction
    cdef public object watch, last_command, subscriptions
    cdef public Waiting blocked
    cdef public Tracker tracker
    cdef public bint close_after_reply, paused
    cdef public int reply_mode

    cpdef object discard_transaction(self)
    cpdef object begin_array(self, Py_ssize_t count)
    cdef object run_item(self, object array, object command, PyObject **argv, Py_ssize_t argc)
