cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

from minikv.engine.arena cimport GRANULE_SHIFT, Arena
from minikv.engine.memory cimport BlockPool

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030E0000
    #define minikv_hash_bytes Py_HashBuffer
    #else
    /* exported by all of them, but 3.13 declares it in an internal header only */
    PyAPI_FUNC(Py_hash_t) _Py_HashBytes(const void *, Py_ssize_t);
    #define minikv_hash_bytes _Py_HashBytes
    #endif
    """
    Py_hash_t minikv_hash_bytes(const void *, Py_ssize_t) noexcept nogil

cdef extern from * nogil:
    int __builtin_ctzll(unsigned long long) noexcept
    void __builtin_prefetch(const void *, ...) noexcept

cdef enum:
    BUCKETS = 48                    # per block
    ENTRIES = 7                     # per bucket
    BUCKET_SIZE = 64
    BLOCK_ENTRIES = 336
    CLOCKS_AT = 3072                # byte in the block
    CLOCK_SIZE = 3
    HEADER_AT = 4080
    PREFIX_BITS = 22                # of the hash, kept in each entry: the deepest directory
    TAG_BITS = 28                   # of an entry: home bucket (6 bits), prefix (22 bits)

cdef struct BlockHeader:
    uint32_t used
    uint32_t depth
    uint64_t unused

cdef uint64_t hash_key(const uint8_t *key, uint64_t key_len) noexcept nogil

cdef struct Key:                    # of a record; the bytes are its owner's
    const uint8_t *bytes
    uint64_t len
    uint64_t hash


cdef inline Key make_key(const uint8_t *bytes, uint64_t len, uint64_t hash_) noexcept nogil:
    cdef Key key
    key.bytes = bytes
    key.len = len
    key.hash = hash_
    return key


cdef inline uint64_t slot_offset(const uint64_t *slot) noexcept nogil:
    """Offset in the arena of the record that an entry points to; 0 for an empty entry."""
    return slot[0] >> TAG_BITS << GRANULE_SHIFT


cdef inline uint64_t slot_hash(const uint64_t *slot) noexcept nogil:
    """A hash with the bits that a table knows of its entry's: it leads to the entry as the whole hash would."""
    cdef uint64_t tag = slot[0] & ((<uint64_t>1 << TAG_BITS) - 1)
    cdef uint64_t home = tag >> PREFIX_BITS
    cdef uint64_t fingerprint = (<const uint8_t *> (<uintptr_t> slot & ~<uintptr_t> (BUCKET_SIZE - 1)))[
        ((<uintptr_t> slot >> 3) & 7) - 1
    ]
    return tag << (64 - PREFIX_BITS) | ((home << 16) + BUCKETS - 1) // BUCKETS << 8 | fingerprint


cdef inline void move_slot(uint64_t *slot, uint64_t offset) noexcept nogil:
    slot[0] = (slot[0] & ((<uint64_t>1 << TAG_BITS) - 1)) | (offset >> GRANULE_SHIFT << TAG_BITS)


cdef struct TableState:             # parent-only; all zero for an empty table
    uint32_t *directory             # 2 ** depth block numbers; NULL before the first key
    uint32_t only                   # the directory of depth 0
    uint32_t directory_block        # where a directory of up to 1024 entries lies, 0: none
    uint32_t *directory_map         # a larger one, NULL: none
    uint32_t depth
    uint32_t kind                   # of the entries: 0 records by key, else elements of a collection, by its RDB type
    uint64_t used
    uint64_t changes                # inserts and removes: a slot is good while this stays the same
    uint64_t blocks
    uint32_t blocks_at_depth[23]


@cython.final
cdef class Tables:
    cdef Arena arena
    cdef BlockPool pool

    cdef uint64_t *find(self, TableState *table, const uint8_t *key, uint64_t key_len, uint64_t hash_) noexcept nogil
    cdef uint64_t *find_offset(self, TableState *table, uint64_t hash_, uint64_t offset) noexcept nogil
    cdef uint64_t *find_expiring(self, TableState *table, uint64_t hash_, int64_t expire_at_ms) noexcept nogil
    cdef uint64_t *find_hash_ttl(self, TableState *table, uint64_t hash_) noexcept nogil
    cdef uint64_t *find_chunked(self, TableState *table, uint64_t hash_, uint32_t number) noexcept nogil
    cdef uint64_t *find_spread(self, TableState *table, uint64_t hash_, uint32_t number) noexcept nogil
    cdef uint64_t *_find_root(self, TableState *table, uint64_t hash_, uint32_t mark, uint32_t number) noexcept nogil
    # Before the find of a key: the first brings its bucket into the cache, the second, some time later, its record
    cdef void prefetch_bucket(self, const TableState *table, uint64_t hash_) noexcept nogil
    cdef void prefetch_record(self, const TableState *table, uint64_t hash_) noexcept nogil
    cdef uint64_t *insert(self, TableState *table, uint64_t hash_, uint64_t offset) noexcept nogil
    cdef void remove(self, TableState *table, uint64_t *slot) noexcept nogil
    cdef uint32_t get_clock(self, const uint64_t *slot) noexcept nogil
    cdef void set_clock(self, const uint64_t *slot, uint32_t clock) noexcept nogil
    cdef uint64_t scan_home(self, TableState *table, uint64_t cursor, uint64_t *offsets, uint32_t *found) noexcept nogil
    cdef uint64_t random_offset(self, TableState *table, uint64_t random) noexcept nogil
    cdef uint64_t *random_slot(self, TableState *table, uint64_t random) noexcept nogil
    cdef uint32_t sample(self, TableState *table, uint64_t random, uint32_t buckets, uint64_t **slots) noexcept nogil
    cdef uint64_t *find_tag(self, TableState *table, uint64_t hash_) noexcept nogil
    cdef void clear(self, TableState *table) noexcept nogil
    cdef bint clear_some(self, TableState *table, uint32_t *place, uint32_t limit) noexcept nogil
    cdef void check(self, TableState *table) except *

    cdef uint8_t *_block(self, uint32_t number) noexcept nogil
    cdef uint64_t *_find_where(self, TableState *table, uint64_t hash_, uint64_t offset, int64_t expire_at_ms) noexcept nogil
    cdef uint64_t *_insert_entry(self, uint8_t *block, uint64_t fingerprint, uint64_t entry, uint32_t clock) noexcept nogil
    cdef bint _double_directory(self, TableState *table) noexcept nogil
    cdef bint _split(self, TableState *table, uint32_t index) noexcept nogil
    cdef void _merge(self, TableState *table, uint32_t prefix) noexcept nogil
    cdef uint8_t *_random_block(self, TableState *table, uint64_t *random) noexcept nogil
    cdef uint64_t _first_from(self, TableState *table, uint64_t random) noexcept nogil
