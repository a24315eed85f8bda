from libc.stdint cimport uint32_t, uint64_t


cdef struct Cut:                    # elements in chunks, as Builder.lay_out_in_order cuts them
    uint64_t used                   # bytes of the last chunk's elements
    uint64_t nbytes                 # of the chunks before it
    uint64_t chunks


cdef class Footprint:
    cdef uint32_t kind
    cdef uint64_t header            # bytes of the record before its payload
    cdef bint prefixed              # by an expiry
    cdef uint64_t value_len         # of a string
    cdef uint64_t count             # elements added
    cdef uint64_t size              # their bytes
    cdef uint64_t tail_len          # of a stream, all groups small
    cdef uint64_t groups            # of a stream
    cdef uint64_t in_tables         # bytes of the tail that large groups do without
    cdef uint32_t tables            # of large groups
    cdef uint64_t entries           # their bytes as entries of a store of their own, or all nodes of a chain
    cdef uint64_t node_left         # bytes that are free in a chain's last node
    cdef Cut small                  # in order into chunks of a small collection
    cdef Cut large                  # and of a large one

    cdef void begin(self, uint32_t kind, uint64_t key_len, bint has_expiry) noexcept
    cdef void string(self, uint64_t value_len) noexcept
    cdef void add(self, uint64_t name_len, uint64_t value_len, bint expires=*) noexcept
    cdef void node(self, uint64_t pack_len) noexcept
    cdef void tail(self, uint64_t tail_len, uint64_t groups) noexcept
    cdef object large_group(self, uint64_t pending, list names)
    cdef uint64_t nbytes(self) noexcept
