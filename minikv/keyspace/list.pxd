from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.chain cimport Chain, Place
from minikv.engine.chunked cimport ChunkPlace
from minikv.keyspace.collection cimport Collection

cdef class List(Collection):
    cpdef push(self, bytes value, bint left)
    cpdef object push_all(self, tuple values, bint left)
    cpdef bytes pop(self, bint left)
    cpdef remove(self, int64_t index, int64_t count=*)
    cdef uint64_t count(self) noexcept
    cdef Chain *chain(self) noexcept
    cdef uint8_t *entry(self, uint64_t position) noexcept
    cdef uint8_t *room(self, uint64_t position, uint64_t size) except NULL
    cdef uint64_t run(self, uint64_t position, Place *place, uint64_t *first) noexcept
    cdef int remove_packed(self, list positions) except -1
    cdef int grow_for(self, uint64_t size) except -1
    cdef ChunkPlace chunk_place(self, uint64_t position) noexcept
    cdef uint8_t *room_for_other(self, int64_t index, uint8_t *entry, uint64_t old_size, uint64_t size) except NULL
    cdef int fill_from_chunks(self, list values, int64_t start) except -1
    cdef uint64_t remove_whole(self, uint32_t number, uint64_t most) except 0
    cdef int remove_chunked(self, uint64_t index, uint64_t count) except -1
    cdef uint64_t remove_equal_chunked(self, bytes value, uint64_t limit, bint from_end) except? 0
    cdef uint32_t drop_equal(self, uint32_t number, bytes value, uint64_t limit, bint from_end) except? 0
    cdef int join_between(self, uint32_t number, uint32_t last) except -1
