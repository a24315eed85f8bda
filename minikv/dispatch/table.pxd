from cpython.object cimport PyObject

from minikv.dispatch.client cimport Client, Waiting
from minikv.dispatch.histogram cimport Histogram
from minikv.dispatch.memory_limit cimport MemoryLimit
from minikv.dispatch.permissions cimport Requirements
from minikv.dispatch.script_client cimport ScriptClient
from minikv.dispatch.stats cimport Stats
from minikv.dispatch.tracking cimport Tracker, Tracking


cdef extern from "Python.h":
    object PyObject_Vectorcall(object callable, PyObject **args, size_t nargs, PyObject *kwnames)


cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *now)
    enum: CLOCK_MONOTONIC


cdef object POSTPONED


cdef class Command:
    cdef public object spec, handler
    cdef public bytes full_name
    cdef public int arity, flags
    cdef public long long calls, usec, rejected, failed
    cdef public dict subcommands, replies
    cdef public Requirements requirements
    cdef public Histogram histogram
    cdef int role, depth
    # Where the keys are, if it takes no more than this to say: the first (0: it does), the last (negative: from the end), the step.
    cdef int first_key, last_key, key_step


cdef class CommandTable:
    cdef public dict commands
    cdef public Stats stats
    cdef public Tracking tracking
    cdef public object services
    cdef public MemoryLimit memory_limit
    cdef public int gates
    cdef public bint keeps_histograms
    cdef public long long slow_us, latency_us, slow_gate_us
    cdef dict spellings
    cdef long long mark_ns
    cdef public bint allows_noscript
    cdef PyObject *called_name
    cdef str busy_error
    # Of the last call of `denial`.
    cdef long denied

    cdef void begin_batch(self) noexcept
    cdef object execute(self, Client client, PyObject **argv, Py_ssize_t argc)
    cdef Command find(self, PyObject **argv, Py_ssize_t argc)
    cdef object call(self, Client client, Command command, PyObject **argv, Py_ssize_t argc)
    cdef object call_queued(self, Client client, Command command, PyObject **argv, Py_ssize_t argc)
    cdef object call_and_wake(self, Client client, Command command, PyObject **argv, Py_ssize_t argc)
    cpdef object call_again(self, Waiting waiting, bytes key)
    cpdef object count_unblocked(self, Waiting waiting, object value)
    cdef object count_answered(self, Waiting waiting, long long elapsed_ns)
    cpdef object set_waiting(self, bint waiting)
    cpdef object set_tracking(self, bint tracking)
    cpdef object set_no_touch(self, bint no_touch)
    cdef int remember_keys(self, Client client, Command command, PyObject **argv, Py_ssize_t argc) except -1
    cdef bint make_room(self)
    cdef object failed(self, Command command, object error)
    cdef int show_script(self, Client client, Command command, PyObject **argv, Py_ssize_t argc) except -1
    cdef int flags_of_script(self, Command command, PyObject **argv, Py_ssize_t argc) except -1
    cdef object guard(self, Client client, Command command, PyObject **argv, Py_ssize_t argc)
    cpdef object set_busy(self, object error)
    cpdef bint out_of_memory(self)
    cpdef bint writes_refused(self)
    cdef object call_from_script(self, ScriptClient client, PyObject **argv, Py_ssize_t argc)
    cdef long denial(self, Client client, Command command, PyObject **argv, Py_ssize_t argc, bytes context) except -1
    cdef object refuse(self, Client client, Command command, str text)
    cdef void note_slow(self, Client client, Command command, list args, long long elapsed_us, str event)
