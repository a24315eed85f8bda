from libc.stdint cimport uint64_t

cdef class Visitor:
    pass


cdef class Record:
    cdef readonly uint64_t database
    cdef readonly bytes key
    cdef readonly int kind              # plain RDB type of what it is
    cdef readonly int rdb_type          # RDB type as it stands in the file
    cdef readonly int string_encoding   # special encoding of the value, -1 for none
    cdef readonly object expire_at_ms   # None for none
    cdef readonly uint64_t offset       # of its first byte in the file
    cdef readonly uint64_t nbytes       # in the file
    cdef readonly uint64_t arena_bytes  # that it would take in the arena
    cdef readonly uint64_t elements     # 1 for a string
    cdef readonly uint64_t largest      # bytes of the longest string in it
    cdef readonly bytes module          # name of a module's type whose value it is, else None
    cdef readonly object idle_s         # since it was used, None if not known
    cdef readonly object frequency      # LFU counter, None if not known
