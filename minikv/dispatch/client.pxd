from minikv.dispatch.tracking cimport Tracker
from minikv.keyspace.database cimport Database


cdef class Transaction:
    cdef public list queued
    cdef public bint failed
    cdef public int flags, common_flags
    cdef public long long queued_bytes


cdef class Waiting:
    cdef readonly Client client
    cdef readonly Database database
    cdef readonly list keys
    cdef readonly int kind
    cdef readonly object serve, lost, interest
    cdef readonly double ends_at
    cdef public object timer, command
    cdef public list request
    cdef public long long elapsed_ns


cdef class Client:
    cdef public object server, keyspace
    cdef public Database db
    cdef public long long id
    cdef public int resp, fd
    cdef public bytes name, lib_name, lib_ver, user, addr, laddr
    cdef public bint authenticated, is_unix, is_monitor, no_evict, in_exec
    cdef public long long created_ns, last_interaction_ns
    cdef public object transaction, watch, last_command, subscriptions
    cdef public Waiting blocked
    cdef public Tracker tracker
    cdef public bint close_after_reply, paused
    cdef public int reply_mode
