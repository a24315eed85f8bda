from libc.stdint cimport int64_t, uint64_t
from minikv.tools.names cimport Names
from minikv.tools.visitor cimport Visitor

cdef enum:
    KINDS = 32


cdef class Checker(Visitor):
    cdef object _reader
    cdef object _say
    cdef int64_t _now_ms
    cdef Names _keys
    cdef Names _elements
    cdef uint64_t _place                # of the name at hand among all
    cdef bint _ordered                  # elements of the record at hand have places, not names
    cdef uint64_t[KINDS] _counts        # of keys, by their plain RDB type
    cdef uint64_t _expires
    cdef uint64_t _expired
    cdef uint64_t _last_database
    cdef uint64_t _timed_fields
    cdef object _modules                # how often each was met


cdef class SecondChecker(Checker):
    cdef frozenset _key_hashes
    cdef frozenset _element_hashes
    cdef set _known_keys
    cdef set _known_elements
