cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.keyspace.collection cimport Collection

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t minikv_mix(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t minikv_mix(uint64_t a, uint64_t b) noexcept nogil

cdef enum:                          # how scores of one member become one
    SUM = 0
    LEAST
    MOST

cdef enum:
    GONE = 0xFFFFFFFF

cdef struct Listed:                 # an element of the first collection
    const uint8_t *name
    uint32_t name_len
    uint32_t hash
    uint32_t round                  # how many other collections it has been found in; GONE: it must be in none
    double score


@cython.final
cdef class Listing:
    cdef Listed *items
    cdef uint32_t count
    cdef uint32_t left              # items that are still chosen
    cdef uint32_t round             # of the collection that is compared
    cdef bint wanted                # items must be there, or must not
    cdef int aggregate
    cdef double weight
    cdef uint32_t *slots            # hash table: an item's number plus 1; 0: free
    cdef uint32_t mask
    cdef uint64_t seed

    cdef int compare(self, Collection other, double weight) except -1
    cdef int walk(self, Collection collection, bint listing) except -1
    cdef void visit(self, uint32_t kind, uint8_t *entry, bint listing) noexcept
    cdef int ask(self, Collection other) except -1
    cdef int index(self) except -1
    cdef void found(self, Listed *item, double score) noexcept
    cdef bint is_chosen(self, uint32_t number) noexcept
    cdef list names(self)
    cdef list pairs(self)
