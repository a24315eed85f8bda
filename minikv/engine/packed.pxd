# A packed collection's payload:
#
#     size: 4 B LE | count: 2 B, the two-byte form of an RDB length | element | element | ...
#                  |<------------------------- size --------------------------------------->|
#
# An element is a string (list, set), two strings (hash: field, value), with an expiry before them in a hash whose fields
# expire, or a string and a score (sorted set).

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from minikv.engine.record cimport (
    SCORE_SIZE,
    TYPE_HASH,
    TYPE_HASH_TTL,
    TYPE_ZSET,
    entry_key,
    entry_size,
    read_length,
    string_size,
    write_length,
)

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


cdef inline uint64_t last_word(const uint8_t *name, uint64_t name_len) noexcept nogil:
    """The last 8 bytes of a name, or all of a shorter one, as a number."""
    cdef uint64_t word = 0
    if name_len >= 8:
        memcpy(&word, name + name_len - 8, 8)
    else:
        memcpy(&word, name, name_len)
    return word


cdef inline uint8_t *find_timed_element(uint8_t *at, uint8_t *end, const uint8_t *name, uint64_t name_len) noexcept nogil:
    """The same as find_element in a hash whose fields expire."""
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
    """The element from `at` to `end`, which are in the arena, whose first string is `name`; NULL if there is none.

    Names that are equally long often begin alike: their ends are compared first. Of a name shorter than a word, what
    is before it in the record is read, too.
    """
    cdef uint64_t last = last_word(name, name_len)
    cdef uint64_t shift = 64 - 8 * name_len if name_len < 8 else 0
    cdef uint8_t *start
    cdef uint8_t *data
    cdef uint64_t length, word
    if kind == TYPE_HASH_TTL:
        return find_timed_element(at, end, name, name_len)
    while at < end:
        start = at
        data = read_length(at, &length)
        at = data + length
        if length == name_len:
            memcpy(&word, at - 8, 8)
            if name_len == 0 or (
                word >> shift == last and (name_len <= 8 or memcmp(data, name, name_len - 8) == 0)
            ):
                return start
        if kind == TYPE_HASH:
            at += string_size(at)
        elif kind == TYPE_ZSET:
            at += SCORE_SIZE
    return NULL


cdef inline uint8_t *packed_find(uint32_t kind, uint8_t *payload, const uint8_t *name, uint64_t name_len) noexcept nogil:
    return find_element(kind, packed_first(payload), packed_end(payload), name, name_len)
