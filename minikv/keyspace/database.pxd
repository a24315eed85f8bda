cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.arena cimport Arena
from minikv.engine.key_store cimport KeyStore
from minikv.engine.memory cimport BlockPool
from minikv.engine.stores cimport Stores
from minikv.engine.table cimport Key, make_key


cdef enum:
    # Keys whose way to their records is prefetched together: a core waits for about ten lines of memory at a time
    PREFETCHED = 16


cdef inline Key key_of(bytes key, uint64_t hash_) noexcept:
    """A key's bytes, which are good as long as the object."""
    return make_key(<const uint8_t *> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), hash_)


cdef class ChangeListener:
    cdef int key_changed(self, bytes key) except -1
    cdef int emptied(self) except -1


@cython.final
cdef class Watch:
    cdef bint _broken
    cdef list keys                  # (database, key) of each watched key


@cython.final
cdef class Keyspace:
    cdef readonly list databases
    cdef Arena arena
    cdef BlockPool pool
    cdef Stores stores
    cdef list parts                 # what the open snapshot's walk covers
    cdef object clock
    cdef public object on_crowded   # called between commands: evacuate
    cdef public object is_compact   # (database, key): whether Redis keeps a collection in one piece, which is freed at once
    cdef public dict ready          # (database number, key) of awaited keys that have changed, in that order: None
    cdef Watch awaited              # among a key's watchers: somebody waits for it
    cdef ChangeListener listener
    cdef uint64_t random_state
    cdef public int64_t now_ms
    cdef public int64_t dirty
    cdef public int64_t hits, misses, expired_keys, expired_fields, evicted_keys
    cdef public bint active_expire, keeps_expired
    cdef bint frees_expired_lazily
    cdef public bint lfu
    cdef bint keeps_clocks          # reads leave the access clocks as they are
    cdef bint is_plain_lru          # neither of the two
    cdef public int lfu_log_factor
    cdef public int lfu_decay_time
    cdef uint64_t peak
    cdef uint64_t slack             # resident bytes that serve neither live records nor new ones; see claimed
    cdef uint64_t slack_pages       # the arena's resident pages when slack was measured
    cdef list observers             # (classes, reader) of each
    cdef int event_classes          # that any of them wants

    cpdef void tick(self)
    cpdef int keep_clocks(self, bint keep) except -1
    cdef int tell(self, int event_class, bytes event, int number, bytes key) except -1
    cdef uint64_t claimed(self) noexcept
    cdef void measure_slack(self) noexcept
    cdef list walk_parts(self, bint relocate, bint opening, bint threaded)
    cdef uint64_t random(self) noexcept nogil
    cdef uint32_t aged_frequency(self, uint32_t clock) noexcept nogil


@cython.final
cdef class Database:
    cdef readonly Keyspace keyspace
    cdef readonly int number
    cdef KeyStore store
    cdef dict watchers              # key: list of Watch
    cdef int observed               # see events.pxd

    cpdef bytes get(self, bytes key)
    cpdef bytes get_for_write(self, bytes key)
    cpdef set(self, bytes key, bytes value, int64_t expire_at_ms=*, bint keep_ttl=*, int encoding=*)
    cpdef write(self, bytes key, bytes value, int encoding=*)
    cpdef bint delete(self, bytes key) except -1
    cpdef bint unlink(self, bytes key) except -1
    cpdef bint discard(self, bytes key) except -1
    cdef bint remove_lazily(self, bytes key, uint64_t *slot, uint64_t hash_) except -1
    cpdef int set_all(self, tuple pairs) except -1
    cpdef list get_all(self, tuple keys)
    cpdef object increment(self, bytes key, int64_t amount)
    cpdef int lookup(self, bytes key, bint stats=*, bint touch=*) except -2

    cpdef object dump(self, bytes key, bint compress)
    cdef uint8_t *load_string(self, const uint8_t *key, uint64_t key_len, uint64_t value_len, int64_t expire_at_ms,
                              bint replace) except? NULL
    cdef void set_used(self, const uint8_t *key, uint64_t key_len, int64_t idle_s, int frequency) noexcept

    cdef uint64_t *find(self, bytes key, uint64_t *hash_) except? NULL
    cdef uint64_t *find_hashed(self, bytes key, uint64_t hash_) except? NULL
    cdef void prefetch(self, tuple keys, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step, uint64_t *hashes) noexcept
    cdef int put(self, bytes key, bytes value, uint64_t hash_, uint64_t *slot, int64_t expire_at_ms, int encoding) except -1
    cdef int note_put(self, bytes key, bint is_new) except -1
    cdef uint64_t *read(self, bytes key, uint64_t *hash_, bint stats, bint touch) except? NULL
    cdef int note_miss(self, bytes key, bint stats) except -1
    cdef void note_hit(self, const uint64_t *slot, bint stats, bint touch) noexcept
    cdef bytes string_at(self, const uint64_t *slot, uint64_t start, uint64_t stop)
    cdef void touch_clock(self, const uint64_t *slot) noexcept
    cdef int evict(self, uint64_t *slot, bint lazily) except -1
    cdef int drop_expired(self, bytes key, uint64_t *slot, uint64_t hash_) except -1
    cdef bint has_expired(self, bytes key) noexcept
    cdef int64_t time_of(self, bytes key) noexcept
    cpdef int notify(self, int event_class, bytes event, bytes key) except -1
    cdef int fields_expired(self, bytes key, int count) except -1
    cdef int changed(self, bytes key) except -1
    cdef void drop_watchers(self, bytes key) noexcept
    cdef void update_watched(self) noexcept
    cpdef int break_watches(self, bytes key) except -1
    cdef int note_change(self, bytes key, bint wakes) except -1
    cdef uint64_t field_expiry_bytes(self, uint8_t *payload) noexcept
    cdef bint is_roomy(self, uint64_t count) noexcept
    cdef list collect(self, uint64_t *cursor, Py_ssize_t count, bint drop)
    cdef int copy_record(self, bytes key, Database target, bytes new_key, bint move) except -1
    cdef int copy_chunked(self, uint8_t *record, Database target, Key new_key, uint64_t *new_slot, bint move) except -1
    cdef int move_record(self, bytes key, Database target, bytes new_key) except -1
