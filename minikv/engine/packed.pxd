# A packed collection's payload:
#
#     size: 4 B LE | count: 2 B, the two-byte form of an RDB length | element | element | ...
#                  |<------------------------- size --------------------------------------->|
#
# An element is a string (list, set), two strings (hash: field, value), with an expiry before them in a hash whose fields
# expire, or a string and a score (sorted set).

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from minikv.engine.record cimport TYPE_HASH_TTL, entry_key, entry_size, read_length, write_length

cdef enum:
    PACKED_START = 6                # first element, from the payload's first byte
    PACKED_MAX = 2048               # bytes of elements: beyond, a collection is chunked
    PACKED_COUNT = 512              # elements: the same; both bound what one operation looks through and copies


cdef inline uint32_t packed_count(uint8_t *payload) noexcept nogil:
    return (<uint32_t>(payload[4] & 0x3F) << 8) | payload[5]


cdef inline void set_packed_count(uint8_t *payload, uint32_t count) noexcept nogil:
    write_length(payload + 4, count, 2)


cdef inline uint8_t *packed_first(uint8_t *payload) noexcept nogil:
    return payload + PACKED_START


cdef inline uint8_t *packed_end(uint8_t *payload) noexcept nogil:
    cdef uint32_t size
    memcpy(&size, payload, 4)
    return payload + 4 + size


cdef inline uint8_t *find_timed_element(uint8_t *at, uint8_t *end, const uint8_t *name, uint64_t name_len) noexcept nogil:
    """The same in a hash whose fields expire."""
    cdef uint8_t *data
    cdef uint64_t length
    while at < end:
        data = entry_key(TYPE_HASH_TTL, at, &length)
        if length == name_len and memcmp(data, name, name_len) == 0:
            return at
        at += entry_size(TYPE_HASH_TTL, at)
    return NULL


cdef inline uint8_t *find_element(
    uint32_t kind, uint8_t *at, uint8_t *end, const uint8_t *name, uint64_t name_len
) noexcept nogil:
    """The element from `at` to `end` whose first string is `name`; NULL if there is none."""
    cdef uint8_t *data
    cdef uint64_t length
    if kind == TYPE_HASH_TTL:
        return find_timed_element(at, end, name, name_len)
    while at < end:
        data = read_length(at, &length)
        if length == name_len and memcmp(data, name, name_len) == 0:
            return at
        at += entry_size(kind, at)
    return NULL


cdef inline uint8_t *packed_find(uint32_t kind, uint8_t *payload, const uint8_t *name, uint64_t name_len) noexcept nogil:
    return find_element(kind, packed_first(payload), packed_end(payload), name, name_len)
