from minikv.keyspace.database cimport ChangeListener


cpdef enum:
    # Tracker.flags
    TRACKING = 1
    BROADCAST = 2
    OPT_IN = 4
    OPT_OUT = 8
    NO_LOOP = 16
    CACHING = 32
    BROKEN_REDIRECT = 64


cdef class Tracker:
    cdef readonly long long id, redirect, prefix_bytes
    cdef public int flags
    # The command that CLIENT CACHING was for has come.
    cdef public bint is_spent
    cdef public dict prefixes

    cdef bint remembers(self) noexcept
    cdef void next_command(self, bint is_client_command) noexcept


cdef class Prefix:
    cdef readonly dict trackers, changed


cdef class Tracking(ChangeListener):
    cdef object services
    cdef public object on_broadcast
    cdef public Py_ssize_t max_keys
    cdef dict table, prefixes, lengths
    cdef list after_answer
    cdef object receiver
    cdef public bint outside_call, has_broadcasts
    cdef readonly Py_ssize_t clients, items
    cdef readonly long long table_bytes
    cdef Py_ssize_t hand

    cdef int add(self, Tracker tracker, bytes key) except -1
    cdef int add_second(self, Tracker tracker, bytes key, object found) except -1
    cdef int drop_gone(self, set trackers) except -1
    cdef int invalidate(self, bytes key, object found) except -1
    cdef int note_broadcast(self, bytes key) except -1
    cdef object current(self)
    cdef int send(self, Tracker tracker, bytes payload) except -1
    cdef int deliver(self, object client, object target, bytes data) except -1
    cpdef int limit(self) except -1
    cpdef int broadcast(self) except -1
    cdef int announce(self, Prefix prefix) except -1
    cdef int update(self) except -1
