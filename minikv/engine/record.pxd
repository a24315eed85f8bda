# A record is what an RDB file holds for a key:
#
#     [0xFC  expire_at_ms: 8 B LE]  type: 1 B  key: length, bytes  payload
#
# The payload of a string (type 0) is its RDB length and its bytes. Lengths are RDB lengths:
#
#     00xxxxxx                        0 .. 63
#     01xxxxxx xxxxxxxx               0 .. 16383, big endian
#     10000000 + 4 B big endian
#     10000001 + 8 B big endian
#
# The payload of a packed collection (list 1, set 2, hash 4, zset_2 5) is a private 4-byte size, which the writer leaves out,
# and the bytes of the file: the number of elements in the two-byte form, then the elements. A collection of medium size is
# chunked: its elements lie in chunks, records of a few hundred bytes, and the payload is the root that leads to them, see
# chunks.py. That of a spread collection, the largest form, is private altogether: its elements are entries of a store of
# its own, see stores.py.
#
# A stream (stream_2) is packed in the same way: the size, then the bytes of the file. A chunked or spread one keeps what the
# file has behind the nodes in its payload, too. A node in the file is its ID and a listpack, both strings, and each chunk of
# a chunked stream is one; as an element of a spread stream it has some room to grow:
#
#     0x10  ID: 16 B, big endian | capacity: 4 B, bytes of the element | 0x80  size: 4 B, big endian  listpack | unused
#
# A chunk has a private header; what is behind it are the bytes of the file:
#
#     number of the collection: 4 B | bytes used: 22 bits, spare granules: 10 bits | element | element | ... | spare
#
# A hash with a field that expires is of the type hash_ttl. A field that expires has its time before it, in the nine-byte form of
# an RDB length; no other element begins with that form. In the file a field without a time has a 0 there, and the writer
# adds it, so that one expiry changes nothing but one element and the type:
#
#     [0x81  expiry + 1: 8 B, big endian]  field  value
#
# Two liberties of the format are used. The length of a string of at most 44 bytes has the two-byte form if OBJECT
# ENCODING has to say raw, in the five-byte form if it has to say embstr of what looks like an integer. A jumbo record (in
# pages, not in a record segment) always has the expiry prefix, 0 meaning none,
# and the nine-byte length, so that a time or a longer value changes a few bytes in place; the writer leaves an empty prefix out.

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #define minikv_swap16 __builtin_bswap16
    #define minikv_swap32 __builtin_bswap32
    #define minikv_swap64 __builtin_bswap64
    """
    uint16_t minikv_swap16(uint16_t) noexcept nogil
    uint32_t minikv_swap32(uint32_t) noexcept nogil
    uint64_t minikv_swap64(uint64_t) noexcept nogil

ctypedef uint8_t *Bytes
ctypedef const uint8_t *ConstBytes

cdef enum:
    EXPIRY_OPCODE = 0xFC
    EXPIRY_SIZE = 9
    JUMBO_LENGTH_SIZE = 9
    TYPE_STRING = 0
    TYPE_LIST = 1
    TYPE_SET = 2
    TYPE_HASH = 4
    TYPE_ZSET = 5                   # zset_2: scores are 8-byte doubles
    TYPE_STREAM = 19                # stream_2
    TYPE_HASH_TTL = 24              # a hash with at least one field that expires
    TYPE_PART = 200                 # private: a table of a spread stream, see stream_tail.pxd
    TYPE_CHUNK = 201                # private: kind of the chunks of a database's collections
    TYPE_NODE = 202                 # private: kind of the records of chains
    KEYS = 0                        # kind of a database's own entries; those of a collection are of its type
    SCORE_SIZE = 8
    FIELD_EXPIRY_MARK = 0x81
    FIELD_EXPIRY_SIZE = 9
    PACKED_HEADER = 4               # size of the bytes that follow
    SPREAD_PAYLOAD = 8              # SPREAD_MARK, number of the store that holds the elements
    SPREAD_MARK = 0xFFFFFFFFu
    SPREAD_STREAM = 12              # the same and the size of the bytes that follow
    CHUNKED_MARK = 0xFFFFFFFEu
    CHUNKED_ROOT = 24               # bytes of a Root, which the entries of the chunks follow
    CHUNK_ENTRY = 8
    CHUNKED_ROOT_FIRST = 32         # with one entry
    CHUNK_HEADER = 8
    CHUNK_USED_BITS = 22
    CHUNK_SPARE_MAX = 1023          # granules
    NODE_PREFIX = 8                 # of a chain's record: number of the node, granules
    NODE_NAME = 17                  # a stream node's ID with its length; its capacity follows
    NODE_CAPACITY = 4
    NODE_HEADER = 26                # everything before its listpack
    EMBSTR_MAX = 44                 # longer strings are raw in Redis
    RECORD_MAX = 32768              # longer records are jumbo
    # What a string's length form says of its encoding
    ENCODING_AUTO = 0               # int, embstr or raw by the bytes
    ENCODING_EMBSTR = 1             # never int
    ENCODING_RAW = 2


cdef struct Root:                   # payload of a chunked collection, at any address: copy it out
    uint32_t mark
    uint32_t number                 # of the collection, see chunks.py
    uint32_t elements               # a stream's: nodes
    uint32_t nbytes                 # of all elements
    uint32_t chunks                 # entries that follow
    uint32_t tail                   # bytes behind the entries: what a stream has behind its nodes


cdef inline bint is_chain(uint32_t kind) noexcept nogil:
    """Whether the elements are a chain, without names."""
    return kind == TYPE_LIST or kind == TYPE_PART


cdef inline bint is_hash(uint32_t kind) noexcept nogil:
    return kind == TYPE_HASH or kind == TYPE_HASH_TTL


cdef inline bint has_buckets(uint32_t kind) noexcept nogil:
    """Whether the hash of an element's name says which chunk it is in."""
    return kind == TYPE_SET or is_hash(kind)


cdef inline uint32_t length_size(uint64_t length) noexcept nogil:
    return 1 if length < 64 else 2 if length < 16384 else 5 if length <= 0xFFFFFFFFu else 9


cdef inline uint32_t string_length_size(uint64_t length, int encoding) noexcept nogil:
    """Bytes of the length that marks a string's encoding."""
    if encoding == ENCODING_AUTO or length > EMBSTR_MAX:
        return length_size(length)
    return 2 if encoding == ENCODING_RAW else 5


cdef inline int string_encoding(uint64_t length, uint64_t size) noexcept nogil:
    """The mark of a string whose length takes `size` bytes."""
    if length > EMBSTR_MAX:
        return ENCODING_AUTO
    return ENCODING_RAW if size == 2 else ENCODING_EMBSTR if size == 5 else ENCODING_AUTO


cdef inline uint8_t *write_length(uint8_t *at, uint64_t length, uint32_t size) noexcept nogil:
    cdef uint16_t two
    cdef uint32_t four
    cdef uint64_t eight
    if size == 1:
        at[0] = <uint8_t>length
    elif size == 2:
        two = minikv_swap16(<uint16_t>(0x4000 | length))
        memcpy(at, &two, 2)
    elif size == 5:
        at[0] = 0x80
        four = minikv_swap32(<uint32_t>length)
        memcpy(at + 1, &four, 4)
    else:
        at[0] = 0x81
        eight = minikv_swap64(length)
        memcpy(at + 1, &eight, 8)
    return at + size


cdef inline uint8_t *read_length(uint8_t *at, uint64_t *length) noexcept nogil:
    cdef uint32_t four
    cdef uint64_t eight
    cdef uint8_t first = at[0]
    if first < 0x40:
        length[0] = first
        return at + 1
    if first < 0x80:
        length[0] = (<uint64_t>(first & 0x3F) << 8) | at[1]
        return at + 2
    if first == 0x80:
        memcpy(&four, at + 1, 4)
        length[0] = minikv_swap32(four)
        return at + 5
    memcpy(&eight, at + 1, 8)
    length[0] = minikv_swap64(eight)
    return at + 9


cdef inline bytes bytes_at(const uint8_t *data, uint64_t nbytes):
    return PyBytes_FromStringAndSize(<const char *>data, <Py_ssize_t>nbytes)


cdef inline uint8_t *skip_expiry(uint8_t *record) noexcept nogil:
    """The type byte."""
    return record + EXPIRY_SIZE if record[0] == EXPIRY_OPCODE else record


cdef inline int64_t record_expire_at(uint8_t *record) noexcept nogil:
    """Unix milliseconds; 0 for none."""
    cdef int64_t at_ms = 0
    if record[0] == EXPIRY_OPCODE:
        memcpy(&at_ms, record + 1, 8)
    return at_ms


cdef inline uint8_t *record_key(uint8_t *record, uint64_t *key_len) noexcept nogil:
    return read_length(skip_expiry(record) + 1, key_len)


cdef inline uint8_t *record_payload(uint8_t *record) noexcept nogil:
    cdef uint64_t key_len
    cdef uint8_t *key = record_key(record, &key_len)
    return key + key_len


cdef inline uint64_t string_size(uint8_t *at) noexcept nogil:
    """Bytes of an RDB string, its length included."""
    cdef uint64_t length
    cdef uint8_t *data = read_length(at, &length)
    return <uint64_t>(data - at) + length


cdef inline uint64_t payload_size(uint8_t kind, uint8_t *payload) noexcept nogil:
    """Bytes of a payload: a string, the bytes of a packed collection with their size, or the number of a spread one."""
    cdef uint32_t size
    cdef Root root
    if kind == TYPE_STRING:
        return string_size(payload)
    memcpy(&size, payload, 4)
    if size < CHUNKED_MARK:
        return PACKED_HEADER + size
    if size == CHUNKED_MARK:
        memcpy(&root, payload, CHUNKED_ROOT)
        return CHUNKED_ROOT + CHUNK_ENTRY * <uint64_t>root.chunks + root.tail
    if kind != TYPE_STREAM:
        return SPREAD_PAYLOAD
    memcpy(&size, payload + SPREAD_PAYLOAD, 4)
    return SPREAD_STREAM + size


cdef inline bint is_chunked(uint8_t kind, uint8_t *payload) noexcept nogil:
    cdef uint32_t mark
    memcpy(&mark, payload, 4)
    return kind != TYPE_STRING and mark == CHUNKED_MARK


# Entries of a chunked collection's root: where a chunk lies (0: an empty bucket, which has none), and how many elements it has


cdef inline uint64_t chunk_entry(const uint8_t *payload, uint32_t number) noexcept nogil:
    cdef uint64_t entry
    memcpy(&entry, payload + CHUNKED_ROOT + CHUNK_ENTRY * <uint64_t>number, CHUNK_ENTRY)
    return entry


cdef inline uint64_t make_entry(uint64_t place, uint32_t elements) noexcept nogil:
    return place << 21 | elements


cdef inline uint64_t entry_place(uint64_t entry) noexcept nogil:
    return entry >> 24 << 3


cdef inline uint32_t entry_elements(uint64_t entry) noexcept nogil:
    return entry & 0xFFFFFF


cdef inline uint32_t chunk_owner(const uint8_t *chunk) noexcept nogil:
    cdef uint32_t number
    memcpy(&number, chunk, 4)
    return number


cdef inline uint32_t chunk_used(const uint8_t *chunk) noexcept nogil:
    """Bytes of a chunk's elements."""
    cdef uint32_t word
    memcpy(&word, chunk + 4, 4)
    return word & ((1 << CHUNK_USED_BITS) - 1)


cdef inline uint64_t chunk_size(const uint8_t *chunk) noexcept nogil:
    """Bytes of a chunk with all that belongs to it, whole granules."""
    cdef uint32_t word
    memcpy(&word, chunk + 4, 4)
    return ((CHUNK_HEADER + 7 + (word & ((1 << CHUNK_USED_BITS) - 1))) & ~<uint64_t>7) + (<uint64_t>(word >> CHUNK_USED_BITS) << 3)


# Records of a chain's nodes, see chain.py

cdef inline uint32_t node_owner(const uint8_t *record) noexcept nogil:
    cdef uint32_t number
    memcpy(&number, record, 4)
    return number


cdef inline uint64_t node_size(const uint8_t *record) noexcept nogil:
    """Bytes, whole granules."""
    cdef uint32_t granules
    memcpy(&granules, record + 4, 4)
    return <uint64_t>granules << 3


cdef inline void write_node_prefix(uint8_t *record, uint32_t number, uint64_t size) noexcept nogil:
    cdef uint32_t words[2]
    words[0] = number
    words[1] = <uint32_t>((size + 7) >> 3)
    memcpy(record, words, NODE_PREFIX)


cdef inline void write_chunk_header(uint8_t *chunk, uint32_t number, uint64_t used, uint64_t size) noexcept nogil:
    cdef uint32_t words[2]
    words[0] = number
    words[1] = <uint32_t>(used | (size - ((CHUNK_HEADER + 7 + used) & ~<uint64_t>7)) >> 3 << CHUNK_USED_BITS)
    memcpy(chunk, words, CHUNK_HEADER)


cdef inline uint64_t record_size(uint8_t *record) noexcept nogil:
    cdef uint64_t key_len
    cdef uint8_t *key = record_key(record, &key_len)
    cdef uint8_t *payload = key + key_len
    return <uint64_t>(payload - record) + payload_size(skip_expiry(record)[0], payload)


cdef inline uint32_t field_expiry_size(const uint8_t *element) noexcept nogil:
    """Bytes before the field of a hash's element."""
    return FIELD_EXPIRY_SIZE if element[0] == FIELD_EXPIRY_MARK else 0


cdef inline int64_t field_expire_at(const uint8_t *element) noexcept nogil:
    """Unix milliseconds; 0 for none."""
    cdef uint64_t eight
    if element[0] != FIELD_EXPIRY_MARK:
        return 0
    memcpy(&eight, element + 1, 8)
    return <int64_t>(minikv_swap64(eight) - 1)


cdef inline uint8_t *write_field_expiry(uint8_t *at, int64_t expire_at_ms) noexcept nogil:
    """Write what stands before a field; returns where the field goes."""
    return write_length(at, <uint64_t>expire_at_ms + 1, FIELD_EXPIRY_SIZE) if expire_at_ms else at


cdef inline uint8_t *entry_key(uint32_t kind, uint8_t *entry, uint64_t *key_len) noexcept nogil:
    """What a table finds an entry by: a record's key, or an element (the field of a hash, the member of a set)."""
    if kind == KEYS:
        return record_key(entry, key_len)
    if kind == TYPE_HASH_TTL:
        entry += field_expiry_size(entry)
    return read_length(entry, key_len)


cdef inline uint64_t entry_size(uint32_t kind, uint8_t *entry) noexcept nogil:
    """Bytes of a record, or of an element: field and value, member, member and score, stream node."""
    cdef uint64_t size
    cdef uint32_t capacity
    if kind == KEYS:
        return record_size(entry)
    if kind >= TYPE_STREAM:
        if kind == TYPE_CHUNK:
            return chunk_size(entry)
        if kind == TYPE_NODE:
            return node_size(entry)
        if kind == TYPE_STREAM:
            memcpy(&capacity, entry + NODE_NAME, 4)
            return capacity
        if kind == TYPE_HASH_TTL:
            size = field_expiry_size(entry)
            size += string_size(entry + size)
            return size + string_size(entry + size)
    size = string_size(entry)
    if kind == TYPE_HASH:
        size += string_size(entry + size)
    elif kind == TYPE_ZSET:
        size += SCORE_SIZE
    return size


cdef inline uint8_t *write_header(
    uint8_t *record, bint prefixed, int64_t expire_at_ms, uint8_t kind, const uint8_t *key, uint64_t key_len
) noexcept nogil:
    """Everything before the payload; returns where the payload goes."""
    cdef uint8_t *at = record
    if prefixed:
        at[0] = EXPIRY_OPCODE
        memcpy(at + 1, &expire_at_ms, 8)
        at += EXPIRY_SIZE
    at[0] = kind
    at = write_length(at + 1, key_len, length_size(key_len))
    memcpy(at, key, key_len)
    return at + key_len
