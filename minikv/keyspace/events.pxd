# Classes of keyspace events; events.py has their contract. A database's `observed` is a union of these and WATCHED.

from libc.stdint cimport uint32_t

cdef enum:
    WATCHED = 1                 # no class: somebody watches a key, waits for one, or listens to all changes

cpdef enum:
    EVENT_GENERIC = 1 << 2      # del, expire, rename_from ...: of any type
    EVENT_STRING = 1 << 3
    EVENT_LIST = 1 << 4
    EVENT_SET = 1 << 5
    EVENT_HASH = 1 << 6
    EVENT_SORTED_SET = 1 << 7
    EVENT_EXPIRED = 1 << 8
    EVENT_EVICTED = 1 << 9
    EVENT_STREAM = 1 << 10
    EVENT_MISSED = 1 << 11      # a read has found no key
    EVENT_MODULE = 1 << 13
    EVENT_NEW = 1 << 14         # a key has come


cdef int event_class_of(uint32_t kind) noexcept nogil
