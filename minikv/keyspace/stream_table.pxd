from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.chain cimport Chain, Place
from minikv.engine.stores cimport Stores
from minikv.keyspace.group_places cimport Remembered
from minikv.keyspace.stream cimport Stream


cdef class StreamTable:
    cdef Stores stores
    cdef readonly uint32_t number   # of the store

    cdef Chain *chain(self) noexcept
    cdef uint64_t count(self) noexcept
    cdef uint8_t *at(self, uint64_t place) noexcept
    cdef uint64_t seek(self, const uint8_t *start, uint64_t size, uint8_t **row) noexcept
    cdef int insert(self, uint64_t place, const uint8_t *row, uint64_t size) except -1
    cdef int thaw(self, uint64_t place) except -1
    cdef int remove(self, uint64_t place, uint64_t count) except -1


cdef class PendingTable(StreamTable):
    cdef uint8_t *first_idle(self, uint64_t place, int64_t delivered_max_ms, const uint8_t *owner) noexcept


cdef class Names(Remembered):
    cdef dict numbers                   # by name
    cdef dict names                     # by number


cdef class ConsumerTable(StreamTable):
    cdef Names known

    cdef Names names_of(self)
    cdef uint8_t *start(self, uint32_t number, uint64_t *place) noexcept
    cdef int64_t seen_ms(self, uint32_t number) noexcept
    cdef int thaw_row(self, uint32_t number) except -1
    cdef int see(self, uint32_t number, int64_t seen_ms) except -1
    cdef list all_seen_ms(self)
    cdef uint32_t add(self, bytes name, int64_t seen_ms) except 0
    cdef int forget(self, uint32_t number) except -1


cdef StreamTable table_of(type kind, Stream stream, uint32_t number)
