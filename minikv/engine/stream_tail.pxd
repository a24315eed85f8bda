# What a spread stream's root holds besides its nodes, the tail: numbers, then groups (see keyspace/stream.py and
# keyspace/stream_group.py). A number has nine bytes, its length form included.
#
#     numbers: 8 * 9 B | 0x80 number of groups: 4 B | group | ...
#     group   head | 0x80 count: 4 B | pending entry: 33 B ... | 0x80 count: 4 B | consumer ...
#     large   head | 0xFF  table of pending entries: 4 B  table of owners: 4 B  table of consumers: 4 B
#     head    name | last ID: 2 * 9 B | entries read: 9 B
#
# A consumer has its name and 8 bytes; then 0x80, the number of its pending entries and their IDs, 16 bytes each. In a
# large group it has a number of its own, big endian. The tables of a large group are chains in stores of their own, parts
# of the stream (stores.py), told by the numbers of the stores, little endian:
#
#     pending entries     ID: 16 B, delivered at: 8 B, 0x81 deliveries: 8 B | consumer's number: 4 B      sorted by ID
#     owners              consumer's number: 4 B | ID: 16 B                                               sorted
#     consumers           length | consumer's number: 4 B | name | 8 B                                    by number
#
# A consumer's row is an RDB string, as its name in it is. The tables of owners and of consumers have the same order, so a
# snapshot child finds the entries of each consumer by walking along both of them once.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.arena cimport Spread
from minikv.engine.chain cimport Node
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
    TABLES = 3
    TABLES_SIZE = 13
    CONSUMER_TIME = 8
    COUNT_SIZE = 5

cdef enum:                          # StreamTail.step: what comes behind the bytes and rows at hand
    TAIL_END = 0
    TAIL_GROUPS                     # the groups from `at` on
    TAIL_ENTRIES                    # of a large group: its pending entries
    TAIL_CONSUMERS                  # how many consumers it has
    TAIL_CONSUMER                   # the next one
    TAIL_OWNED                      # what is pending for it

cdef struct Rows:                   # of a table, from one of them on
    uint64_t at                     # offset in the arena
    uint64_t end                    # of the node
    uint32_t next                   # node; 0: none

cdef struct StreamTail:             # on its way into a file; zeroed: at its end
    uint8_t *base                   # of the arena
    const Node *nodes
    const Spread *spreads
    uint8_t *start                  # of the tail
    uint8_t *done                   # the bytes before it are written, or replaced
    uint8_t *end
    uint8_t *at                     # next group
    uint64_t groups                 # from `at` on
    uint32_t step
    const uint8_t *bytes            # to be written next
    uint64_t nbytes
    Rows rows                       # of these, a column of the next ones is written then:
    uint64_t left                   # rows
    uint32_t width                  # bytes of a row
    uint32_t column                 # first byte of the column
    uint32_t column_size
    uint32_t tables[TABLES]         # of a large group
    Rows consumers                  # of it, those to come
    uint8_t *consumer               # number of the last one before them
    uint8_t count[COUNT_SIZE]
    int error                       # errno; 0: none


cdef inline uint8_t *behind_head(uint8_t *group) noexcept nogil:
    """Where the pending entries of a group begin, or its tables' numbers stand."""
    cdef uint64_t length
    cdef uint8_t *at = read_length(group, &length)
    return at + length + 3 * NUMBER_SIZE


cdef inline uint8_t *behind_group(uint8_t *group) noexcept nogil:
    cdef uint64_t length
    cdef uint64_t left
    cdef uint8_t *at = behind_head(group)
    if at[0] == TABLES_MARK:
        return at + TABLES_SIZE
    at = read_length(at, &length)
    at += length * PENDING_SIZE
    at = read_length(at, &left)
    while left:
        at = read_length(at, &length)
        at += length + CONSUMER_TIME
        at = read_length(at, &length)
        at += length * PENDING_ID_SIZE
        left -= 1
    return at


cdef void tail_begin(StreamTail *tail, uint8_t *base, const Node *nodes, const Spread *spreads, uint8_t *start,
                     uint64_t nbytes) noexcept nogil
cdef uint64_t tail_fill(StreamTail *tail, uint8_t *out, uint64_t room) noexcept nogil
cdef void tail_next(StreamTail *tail) noexcept nogil
cdef void tail_groups(StreamTail *tail) noexcept nogil
cdef void tail_consumers(StreamTail *tail) noexcept nogil
cdef void tail_consumer(StreamTail *tail) noexcept nogil
cdef void tail_owned(StreamTail *tail) noexcept nogil
cdef void put_count(StreamTail *tail, uint64_t count) noexcept nogil
cdef void put_column(StreamTail *tail, uint64_t rows, uint32_t width, uint32_t column, uint32_t size) noexcept nogil
cdef uint64_t copy_rows(StreamTail *tail, uint8_t *out, uint64_t room) noexcept nogil
cdef Rows rows_of(const StreamTail *tail, uint32_t store) noexcept nogil
cdef bint has_row(const StreamTail *tail, Rows *rows) noexcept nogil
cdef uint64_t count_owned(const StreamTail *tail) noexcept nogil
