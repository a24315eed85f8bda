from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    ID_SIZE = 16
    ID_TEXT_MAX = 41                # characters of two numbers of 64 bits and a dash
    NODE_EMPTY = 18                 # bytes of a listpack before its number of master fields
    FLAG_DELETED = 1
    FLAG_SAME_FIELDS = 2

cdef struct StreamId:
    uint64_t ms
    uint64_t sequence

cdef struct StreamEntry:
    uint8_t *flags                  # address of the element
    uint8_t *parts                  # its values, or its fields and values
    uint8_t *next                   # the entry behind it
    StreamId id
    uint32_t fields
    bint same_fields
    bint deleted


cdef inline bint is_less(StreamId a, StreamId b) noexcept nogil:
    return a.ms < b.ms or (a.ms == b.ms and a.sequence < b.sequence)


cdef StreamId id_at(const uint8_t *raw) noexcept nogil
cdef void put_id(uint8_t *raw, StreamId id) noexcept nogil
cdef StreamId id_of(object number) except *
cdef object number_of(StreamId id)
cdef bytes id_text(StreamId id)
cdef uint8_t *put_digits(uint8_t *end, uint64_t number) noexcept nogil

cdef uint32_t node_live(const uint8_t *pack) noexcept nogil
cdef uint32_t node_deleted(const uint8_t *pack) noexcept nogil
cdef void set_node_counts(uint8_t *pack, uint32_t live, uint32_t deleted) noexcept nogil
cdef uint64_t node_size_in_redis(const uint8_t *pack) noexcept nogil
cdef uint32_t master_fields(const uint8_t *pack) noexcept nogil
cdef uint8_t *first_entry(uint8_t *pack) noexcept nogil
cdef void read_entry(uint8_t *at, StreamId master, uint32_t fields, StreamEntry *entry) noexcept nogil
cdef list entry_parts(const StreamEntry *entry, list master)
cdef list master_names(const uint8_t *pack)
cdef bytes new_node(StreamId id, tuple parts)
cdef uint64_t room_for(tuple parts) noexcept
cdef uint64_t encode_entry(uint8_t *room, const uint8_t *pack, StreamId master, StreamId id, tuple parts,
                           uint32_t *elements) noexcept
cdef void append_entry(uint8_t *pack, const uint8_t *entry, uint32_t size, uint32_t added) noexcept nogil
