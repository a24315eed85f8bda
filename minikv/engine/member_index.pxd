"""Layout and C surface of the member indexes; the head of member_index.py explains them."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.memory cimport BlockPool

cdef enum:
    MEMBERS_PER_BLOCK = 340
    MEMBERS_MAX = 272               # of a block, before there are twice as many blocks
    FEW_BLOCKS_DEPTH = 2            # up to 4 blocks have no directory
    INDEX_DEPTH_MAX = 10            # 1,024 blocks: their directory is one block

cdef struct MemberIndex:            # one index; zeroed: none
    uint32_t block                  # the first with members, or the directory; 0: none
    uint32_t depth                  # 2 ** depth blocks
    uint32_t used                   # members

cdef struct MemberBlock:
    uint32_t tag[MEMBERS_PER_BLOCK]     # 0: empty
    int64_t order[MEMBERS_PER_BLOCK]
    uint32_t used
    uint32_t others[3]              # of the first of up to four blocks: the others


@cython.final
cdef class MemberIndexes:
    cdef BlockPool pool

    cdef bint begin(self, MemberIndex *index, uint32_t members) noexcept nogil
    cdef void clear(self, MemberIndex *index) noexcept nogil
    cdef bint insert(self, MemberIndex *index, uint64_t hash_, int64_t order) noexcept nogil
    cdef bint remove(self, MemberIndex *index, uint64_t hash_, int64_t order) noexcept nogil
    cdef bint find(self, const MemberIndex *index, uint64_t hash_, uint32_t *step, int64_t *order) noexcept nogil
    cdef MemberBlock *_at(self, uint32_t block) noexcept nogil
    cdef uint32_t *_number(self, const MemberIndex *index, uint32_t place) noexcept nogil
    cdef MemberBlock *_block(self, const MemberIndex *index, uint64_t hash_) noexcept nogil
