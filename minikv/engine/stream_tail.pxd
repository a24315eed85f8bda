# What a spread stream's root holds besides its nodes, the tail: numbers, then groups (see keyspace/stream.py and
# keyspace/stream_group.py). A number has nine bytes, its length form included.
#
#     numbers: 8 * 9 B | 0x80 number of groups: 4 B | group | ...
#     group   head | 0x80 count: 4 B | pending entry: 33 B ... | 0x80 count: 4 B | consumer ...
#     large   head | 0xFF  table of pending entries: 4 B  table of owners: 4 B | 0x80 count: 4 B | consumer ...
#     head    name | last ID: 2 * 9 B | entries read: 9 B
#
# A consumer has its name and 8 bytes; then 0x80, the number of its pending entries and their IDs, 16 bytes each; in a
# large group its own number instead: 4 bytes, big endian. The tables of a large group are chains of rows of one width in
# stores of their own, parts of the stream (stores.py), told by the numbers of the stores, little endian:
#
#     pending entries     ID: 16 B, delivered at: 8 B, 0x81 deliveries: 8 B | consumer's number: 4 B      sorted by ID
#     owners              consumer's number: 4 B | ID: 16 B                                               sorted
#
# So a snapshot child finds the entries of each consumer by walking along the second table once.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.arena cimport Arena
from minikv.engine.record cimport read_length

cdef enum:
    NUMBER_SIZE = 9
    GROUPS_AT = 8 * 9
    TAIL_MIN = 8 * 9 + 5
    PENDING_ID_SIZE = 16
    PENDING_SIZE = 33
    PENDING_ROW = 37
    OWNER_SIZE = 4
    OWNED_ROW = 20
    TABLES_MARK = 0xFF
    TABLES_SIZE = 9
    CONSUMER_TIME = 8


cdef inline uint8_t *behind_head(uint8_t *group) noexcept nogil:
    """Where the pending entries of a group begin, or its tables' numbers stand."""
    cdef uint64_t length
    cdef uint8_t *at = read_length(group, &length)
    return at + length + 3 * NUMBER_SIZE


cdef inline uint8_t *behind_group(uint8_t *group) noexcept nogil:
    cdef uint64_t length
    cdef uint64_t left
    cdef uint8_t *at = behind_head(group)
    cdef bint large = at[0] == TABLES_MARK
    if large:
        at += TABLES_SIZE
    else:
        at = read_length(at, &length)
        at += length * PENDING_SIZE
    at = read_length(at, &left)
    while left:
        at = read_length(at, &length)
        at += length + CONSUMER_TIME
        if large:
            at += OWNER_SIZE
        else:
            at = read_length(at, &length)
            at += length * PENDING_ID_SIZE
        left -= 1
    return at


cdef class Rows:
    """The rows of a table from its first one on, as a child can read them too."""

    cdef Arena arena
    cdef uint64_t next
    cdef uint64_t at
    cdef uint64_t end
    cdef uint32_t width

    cdef bint advance(self) noexcept
    cdef dict owners(self)
    cdef bytes take(self, uint64_t most, uint32_t start, uint32_t size)
