cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.arena cimport Arena
from minikv.engine.ordered cimport OrderedIndex
from minikv.engine.stores cimport Stores
from minikv.engine.table cimport Key, Tables, TableState


@cython.final
cdef class KeyStore:
    cdef readonly Arena arena
    cdef readonly Stores stores
    cdef Tables tables
    cdef TableState *table
    cdef readonly OrderedIndex expiry       # (expire_at_ms, hash of the key)
    cdef readonly OrderedIndex field_expiry # hashes whose fields expire: (first expiry, hash of the key)
    cdef readonly uint32_t number

    cdef uint64_t *find(self, const uint8_t *key, uint64_t key_len, uint64_t hash_) noexcept nogil
    cdef uint8_t *record(self, const uint64_t *slot) noexcept nogil
    cdef uint8_t *put_string(self, Key key, uint64_t *slot, uint64_t value_len, int encoding, int64_t expire_at_ms) except NULL
    cdef uint8_t *put_payload(self, Key key, uint64_t *slot, uint8_t kind, uint64_t payload_len, int64_t expire_at_ms) except NULL
    cdef uint8_t *splice(self, uint64_t *slot, uint64_t at, uint64_t removed, uint64_t inserted) except NULL
    cdef uint8_t *rewrite(self, uint64_t *slot, uint64_t at, uint64_t removed, uint64_t inserted) except NULL
    cdef uint8_t *rewrite_part(self, uint64_t *slot, uint64_t at, uint64_t removed, uint64_t inserted) except NULL
    cdef uint8_t *splice_part(self, uint64_t *slot, uint64_t at, uint64_t removed, uint64_t inserted) except NULL
    cdef bint _is_whole(self, const uint64_t *slot) noexcept nogil
    cdef void _mark_part(self, const uint64_t *slot, uint64_t old) noexcept nogil
    cdef void forget_element(self, const uint64_t *slot, const uint8_t *name, uint64_t name_len) noexcept nogil
    cdef int put_chunked(self, Key key, uint64_t *slot, uint8_t kind, const uint8_t *payload, int64_t expire_at_ms) except -1
    cdef int put_root(self, Key key, uint64_t *slot, uint8_t kind, uint32_t spread, int64_t expire_at_ms) except -1
    cdef int put_copy(self, Key key, uint64_t *slot, const uint8_t *source, uint32_t spread) except -1
    cdef int write_range(self, uint64_t *slot, uint64_t at, const uint8_t *data, uint64_t data_len) except -1
    cdef int set_expire(self, uint64_t *slot, uint64_t hash_, int64_t at_ms) except -1
    cdef void remove(self, uint64_t *slot, uint64_t hash_, bint lazily=*) noexcept nogil
    cdef void remove_root(self, uint64_t *slot, uint64_t hash_) noexcept nogil
    cdef uint64_t *find_due(self, int64_t now_ms, uint64_t *hash_) noexcept nogil
    cdef uint64_t *find_fields_due(self, int64_t now_ms, uint64_t *hash_) noexcept nogil
    cdef int note_fields(self, uint64_t *slot, uint64_t hash_) except -1
    cdef void forget_fields(self, uint64_t *slot, uint64_t hash_) noexcept nogil
    cdef void clear(self, bint lazily) noexcept nogil

    cdef uint64_t _place(self, uint64_t hash_, uint64_t *slot, uint64_t size, int64_t expire_at_ms) except 0
    cdef uint64_t _place_for_chunked(self, uint64_t *slot, uint64_t size) except 0
    cdef int _move_expiry(self, uint64_t hash_, int64_t old_ms, int64_t new_ms) except -1
    cdef void _remove_record(self, uint64_t *slot, uint64_t hash_) noexcept nogil
    cdef int _make_jumbo(self, uint64_t *slot, uint64_t hash_, int64_t at_ms) except -1
