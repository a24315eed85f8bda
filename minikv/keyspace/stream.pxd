from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.keyspace.collection cimport Collection
from minikv.keyspace.database cimport Database
from minikv.keyspace.group_places cimport GroupPlaces
from minikv.keyspace.stream_node cimport StreamEntry, StreamId

cdef extern from * nogil:
    int __builtin_clzl(unsigned long) noexcept

cdef enum:
    PACKED_NODES = 16           # of a packed stream at most, which is looked through node by node
    ENTRY_ROOM = 512            # bytes of an entry that is encoded on the stack


cdef struct StreamNumbers:
    uint64_t length
    StreamId last
    StreamId first
    StreamId max_deleted
    uint64_t added


cdef class Stream(Collection):
    cdef uint64_t tail_at(self) noexcept
    cdef uint8_t *tail(self) noexcept
    cdef uint64_t number(self, uint32_t index) noexcept
    cdef StreamId id_number(self, uint32_t index) noexcept
    cdef StreamNumbers numbers(self) noexcept
    cdef void put_number(self, uint32_t index, uint64_t number) noexcept
    cdef void put_id_number(self, uint32_t index, StreamId id) noexcept
    cdef uint8_t *writable(self) except NULL
    cdef uint32_t nodes(self) noexcept
    cdef uint8_t *node_at(self, uint32_t index) noexcept
    cdef uint8_t *pack_of(self, uint8_t *node) noexcept
    cdef int64_t node_of(self, StreamId id) noexcept
    cdef int put_packed(self, bytes nodes, uint32_t count, bytes tail, int64_t expire_at_ms) except -1
    cdef int put_spread(self, uint32_t spread, bytes tail, int64_t expire_at_ms) except -1
    cdef int grow_nodes(self, uint64_t more) except -1
    cdef bytes tail_now(self)
    cdef int chunk_nodes(self) except -1
    cdef int put_chunked(self, list nodes, bytes tail, int64_t expire_at_ms) except -1
    cdef int spread_nodes(self) except -1
    cpdef bytes add_now(self, uint64_t now_ms, tuple parts, uint64_t max_bytes, uint64_t max_entries)
    cdef int add_above(self, StreamId id, tuple parts, uint64_t max_bytes, uint64_t max_entries) except -1
    cdef int append(self, StreamId id, tuple parts, uint64_t max_bytes, uint64_t max_entries) except -1
    cdef bint has_room(self, uint8_t *node, tuple parts, uint64_t max_bytes, uint64_t max_entries) except -1
    cdef int add_node(self, StreamId id, bytes pack) except -1
    cdef int trim_node(self, uint32_t index) except -1
    cdef uint8_t *grow_node_at(self, uint32_t index, uint8_t *node, uint64_t more) except NULL
    cdef uint8_t *grow_node(self, uint32_t index, uint64_t more) except NULL
    cdef int remove_node(self, uint32_t index) except -1
    cdef int remove_spread_node(self, uint8_t *node) except -1
    cdef int apply_spread(self, dict nodes, bytes tail) except -1
    cdef int64_t exact_node(self, bytes id) except -2
    cdef bint find(self, StreamId id, uint32_t *index, StreamEntry *entry) noexcept
    cdef list between(self, StreamId first, StreamId last, uint64_t count, bint reverse, bytearray ids)
    cdef int collect(self, uint32_t index, StreamId start, StreamId end, uint64_t limit, bint reverse, list found,
                     bytearray ids) except -1
    cdef StreamId edge(self, bint last) noexcept
    cdef StreamId last_of_node(self, uint32_t index) noexcept
    cpdef int64_t trim_to_length(self, uint64_t length, bint approximate, uint64_t limit) except -1
    cdef int64_t trim_before(self, StreamId least, bint approximate, uint64_t limit) except -1
    cdef int drop_first(self, uint64_t count) except -1
    cdef int64_t trimmed(self, uint64_t removed) except -1
    cdef uint32_t mark_entries(self, StreamId end, uint64_t most) except? 0xFFFFFFFF
    cdef uint8_t *group_at(self, bytes name, bint *found) except NULL
    cpdef bint put_group(self, bytes name, bytes group) except -1
    cpdef int create_group(self, bytes name, bytes group) except -1
    cpdef int spread_for_groups(self) except -1
    cdef GroupPlaces group_places(self, uint64_t count)
    cdef bint last_delivered(self, bytes name, StreamId *id) except -1
    cdef uint8_t *replace_in_tail(self, uint64_t at, uint64_t removed, uint64_t size, int groups) except NULL


cdef class StreamLoader:
    cdef Stream stream
    cdef list nodes             # (ID, listpack) of each, until they are too many
    cdef uint64_t size
    cdef uint32_t spread

    cdef int place(self, bytes id, bytes pack) except -1


cdef Stream find_stream(Database database, bytes key, bint stats)
cdef Stream stream_to_write(Database database, bytes key)
