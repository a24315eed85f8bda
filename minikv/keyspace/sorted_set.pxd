from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.chunked cimport ChunkPlace
from minikv.engine.member_index cimport MemberIndex
from minikv.engine.ordered cimport OrderedState, Probe
from minikv.keyspace.collection cimport Collection

cdef class SortedSet(Collection):
    cpdef object score(self, bytes member)
    cpdef bint set(self, bytes member, double score) except -1
    cpdef Py_ssize_t set_all(self, tuple members, list scores) except -1
    cpdef bint remove(self, bytes member) except -1
    cpdef object rank(self, bytes member)

    cdef bint set_spread(self, bytes member, double score, uint64_t size) except -1
    cdef OrderedState *order(self) noexcept
    cdef uint8_t *packed_place(self, double score, bytes member) noexcept
    cdef int rescore_packed(self, uint8_t *entry, bytes member, uint64_t size, double score) except -1
    cdef ChunkPlace seek_chunked(self, const Probe *probe) noexcept
    cdef ChunkPlace seek_element(self, const Probe *probe) noexcept
    cdef uint8_t *find_indexed(self, MemberIndex *index, bytes name, uint32_t *number) noexcept
    cdef void note_member(self, bytes member, double score) noexcept
    cdef void forget_member(self, bytes member, double score) noexcept
    cdef int remove_chunked(self, bytes member) except -1
    cdef uint8_t *room_chunked(self, bytes member, double score, uint64_t size) except NULL
    cdef int rescore_chunked(self, uint32_t number, uint8_t *entry, bytes member, uint64_t size, double score) except -1
    cdef uint64_t members_below(self, const Probe *probe) noexcept
    cdef int collect_chunked(self, long long start, long long stop, bint scores, list found) except -1
    cdef list ranked(self, long long start, long long stop, bint reverse, bint scores)
    cdef uint64_t count_below(self, const Probe *probe) noexcept
    cdef uint64_t bisect_members(self, const Probe *probe) noexcept
