from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.stream_tail cimport OWNED_ROW, PENDING_ROW, PENDING_SIZE
from minikv.keyspace.stream cimport Stream, StreamNumbers
from minikv.keyspace.stream_node cimport ID_SIZE, StreamId
from minikv.keyspace.stream_table cimport ConsumerTable, PendingTable, StreamTable

cdef enum:
    NO_CONSUMER = 0xFFFFFFFF

cdef enum:
    UNKNOWN_READS = 0xFFFFFFFFFFFFFFFF  # how many entries were read is not known

cdef struct Entry:                  # a pending entry
    StreamId id
    uint32_t consumer               # a small group's by its place among them, a large one's by its number
    int64_t delivered_ms
    int64_t deliveries              # a count of 64 bits that wraps, as in Redis

cdef struct Owned:                  # a consumer of a small group; good until the group changes
    uint8_t *name
    uint64_t name_len
    uint8_t *seen                   # the time, then the number of IDs, then the IDs
    uint8_t *ids
    uint8_t *end


cdef class Group:
    cdef readonly bytes name
    cdef StreamId last              # of the last entry delivered
    cdef uint64_t reads             # entries read, or UNKNOWN_READS
    cdef Stream stream              # None: the group is not in a stream
    cdef uint64_t place             # in the stream's tail
    cdef uint64_t saved             # bytes that it has there
    # Of a small group: the bytes behind its head.
    cdef uint8_t *data
    cdef uint64_t size
    cdef uint64_t capacity
    cdef uint32_t entries
    cdef uint32_t count             # consumers

    cdef int take(self, const uint8_t *data, uint64_t size) except -1
    cdef uint8_t *consumers_at(self) noexcept
    cdef uint8_t *pending_at(self, uint32_t place) noexcept
    cdef Owned owned(self, uint32_t consumer) noexcept
    cdef uint32_t place_of(self, const uint8_t *raw) noexcept
    cdef bint is_at(self, uint32_t place, const uint8_t *raw) noexcept
    cdef uint32_t owner(self, const uint8_t *raw) noexcept
    cdef void read_row(self, const uint8_t *row, uint32_t consumer, Entry *entry) noexcept
    cdef uint8_t *replace(self, uint64_t at, uint64_t removed, uint64_t size) except NULL
    cdef int own(self, uint32_t consumer, const uint8_t *raw) except -1
    cdef int disown(self, const uint8_t *raw) except -1
    cdef int write_head(self, uint8_t *at) except -1

    # Consumers
    cdef uint64_t consumer_count(self) noexcept
    cdef uint32_t consumer_of(self, bytes name) noexcept
    cdef bytes name_of(self, uint32_t consumer)
    cdef uint32_t see(self, bytes name, int64_t now_ms) except 0xFFFFFFFF
    cdef uint64_t owned_count(self, uint32_t consumer) noexcept
    cdef uint64_t drop(self, uint32_t consumer) except? 0xFFFFFFFFFFFFFFFF
    cdef list reports(self)
    cdef list shares(self)

    # Pending entries
    cdef uint64_t pending_count(self) noexcept
    cdef bint seek(self, StreamId id, Entry *entry) noexcept
    cdef bint seek_of(self, uint32_t consumer, StreamId id, Entry *entry) noexcept
    cdef bint seek_idle(self, uint32_t consumer, StreamId id, int64_t delivered_max_ms, Entry *entry) noexcept
    cdef bint seek_last(self, Entry *entry) noexcept
    cdef int write(self, const Entry *entry) except -1
    cdef bint take_out(self, StreamId id) except -1
    cdef inline bint look_up(self, StreamId id, Entry *entry) noexcept:
        """The pending entry of an ID; False if there is none."""
        return self.seek(id, entry) and entry.id.ms == id.ms and entry.id.sequence == id.sequence

    # How far it has read
    cdef void read_on(self, const StreamNumbers *numbers, StreamId id) noexcept
    cdef object lag(self, const StreamNumbers *numbers)

    cdef int store(self) except -1


cdef class LargeGroup(Group):
    cdef PendingTable table
    cdef StreamTable owners         # IDs of pending entries by consumer
    cdef ConsumerTable consumer_table
    cdef StreamId saved_last
    cdef uint64_t saved_reads

    cdef LargeGroup open(self, const uint8_t *numbers)
    cdef uint64_t owned_from(self, uint32_t consumer) noexcept
    cdef bint read_wide(self, const uint8_t *row, Entry *entry) noexcept
    cdef int insert_owned(self, const uint8_t *row) except -1
    cdef int thaw_owned(self, const uint8_t *row) except -1
    cdef int remove_owned(self, const uint8_t *row) except -1


cdef Group group_of(Stream stream, bytes name)
cdef bytes new_group(bytes name, StreamId last, uint64_t reads)
cdef int spread_large_groups(Stream stream) except -1
cdef uint64_t entries_up_to(const StreamNumbers *numbers, StreamId id) noexcept nogil
cdef uint32_t rows_below(const uint8_t *start, uint64_t count, uint64_t width, const uint8_t *raw) noexcept nogil
cdef bytes write_group_head(bytes name, StreamId last, uint64_t reads)
cdef bint next_id(StreamId *id) noexcept nogil
