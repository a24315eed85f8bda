# A user and what the user may do, as it is asked for each command.

cdef extern from "<string.h>" nogil:
    int memcmp(const void *a, const void *b, size_t length)


cpdef enum:
    ACCESS_READ = 1
    ACCESS_WRITE = 2
    ACCESS_BOTH = 3

# Why a command is refused; the larger one is reported if the selectors disagree.
cpdef enum:
    ALLOWED = 0
    DENIED_COMMAND = 1
    DENIED_KEY = 2
    DENIED_CHANNEL = 3


cdef class Pattern:
    cdef readonly bytes text
    cdef public int access
    cdef int kind
    cdef Py_ssize_t literal_len

    cdef bint matches(self, bytes string) except -1


cdef class Selector:
    cdef readonly object bits
    cdef public bint all_commands, all_keys, all_channels
    cdef public dict first_args, patterns, channels
    cdef public str described
    cdef bytes packed
    cdef list key_patterns, channel_patterns

    cdef bint allows_command(self, int id, bytes first_arg) except -1
    cpdef bint allows_key(self, bytes key, int access) except -1
    cpdef bint allows_channel(self, bytes channel, bint is_pattern) except -1
    cpdef bint allows_all_keys(self, int access) except -1


cdef class User:
    cdef readonly bytes name
    cdef public bint enabled, nopass, skips_sanitizing, sanitizes
    cdef public list passwords, selectors
    cdef public bint unrestricted
