# What has changed since the last point of the history; changes.py explains it.

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.arena cimport Arena

cdef enum:                          # a removal in the log: a word, then an RDB string
    REMOVAL_STORE = 0xFFFFFF        # bits of the word: the store that the key is in
    REMOVAL_ELEMENT = 0x1000000     # the string holds the length of the key in 4 bytes, the key, and an element's name
    REMOVAL_WORD = 4                # bytes

cdef struct Content:                # of a store of keys
    uint32_t home                   # database whose content it was at the last point
    bint emptied                    # since then; all that is there has come since
    uint64_t since                  # removals in the log before this one no longer matter


@cython.final
cdef class Changes:
    cdef Arena arena
    cdef uint32_t databases
    cdef uint32_t interval          # number of the interval; 0: nothing is marked yet
    cdef readonly bint overflowed   # there were too many removals: what is noted is not all
    cdef bint overflowed_before     # at the hand-over
    cdef readonly bint handed       # a hand-over waits for its outcome
    cdef int filling                # number of the map being filled
    cdef uint8_t *maps[2]
    cdef uint64_t map_bytes
    cdef Content *contents          # by store
    cdef Content *before            # the same at the hand-over
    cdef uint8_t *log               # of removals
    cdef uint64_t log_room
    cdef readonly uint64_t log_end
    cdef readonly uint64_t handed_end   # end of those that were handed over

    cdef void removed(self, uint32_t store_number, const uint8_t *key, uint64_t key_len) noexcept nogil
    cdef void removed_element(self, uint32_t store_number, const uint8_t *key, uint64_t key_len,
                              const uint8_t *name, uint64_t name_len) noexcept nogil
    cdef void emptied(self, uint32_t store_number) noexcept nogil
    cdef bint had_mark(self, uint64_t offset) noexcept nogil
    cdef uint64_t *bits_before(self) noexcept nogil
    cdef uint8_t *touched_before(self) noexcept nogil
    cdef uint8_t *_append(self, uint32_t word, uint64_t length) noexcept nogil
    cdef bint is_crowded(self) noexcept nogil
    cdef uint64_t _limit(self) noexcept nogil
    cdef void _fill(self, int number) noexcept nogil
    cdef void _join(self) noexcept nogil


cdef void clear_map(uint64_t *bits, uint8_t *touched, uint64_t segments) noexcept nogil
