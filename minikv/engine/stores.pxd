cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from minikv.engine.arena cimport Arena
from minikv.engine.chain cimport Chain, Chains
from minikv.engine.changes cimport Changes
from minikv.engine.chunks cimport Chunks
from minikv.engine.memory cimport BlockPool
from minikv.engine.ordered cimport OrderedState, OrderedTrees, Probe
from minikv.engine.table cimport Tables, TableState

cdef struct Index:                  # parent-only: what leads to the entries of a store
    TableState table
    OrderedState order              # sorted set: by (score, member); stream: by ID; hash: by (expiry, hash of the field)
    Chain chain                     # list: its elements
    uint64_t key_hash               # of a spread collection's key
    uint32_t marked                 # interval of Changes in which its root was marked
    uint32_t part_of                # part: the stream's store
    uint64_t serial                 # no other store ever has it: for what is remembered beside a collection
    uint32_t next_part              # stream: its first part; part: the next one; 0: none
    uint32_t next_free              # number of the next store that is free or waits, as this one
    uint32_t cleared                # while it waits: place in the table's directory; blocks before it are free
    uint64_t objects                # while it waits: Redis's count of what is freed with it


@cython.final
cdef class Stores:
    cdef readonly Arena arena
    cdef readonly BlockPool pool
    cdef Tables tables
    cdef OrderedTrees trees
    cdef Chains chains
    cdef Chunks chunks
    cdef Index *indexes
    cdef readonly Changes changes
    cdef readonly uint32_t databases    # stores 0 to databases - 1
    cdef uint32_t next_fresh            # lowest store never used
    cdef uint32_t free_head
    cdef dict remembered                # store: what the keyspace keeps beside it, with the store's serial
    cdef uint64_t created               # spread collections, since the start
    cdef readonly uint64_t spreads      # spread collections that exist
    cdef bint replaces_lazily           # what a new value replaces waits
    cdef uint32_t first_waiting         # dropped store whose memory is to be freed; 0: none
    cdef uint32_t last_waiting
    cdef readonly uint64_t waiting_objects
    cdef public uint64_t freed_objects  # of those that have waited
    cdef uint32_t evacuated             # store whose segment is being evacuated
    cdef uint64_t evacuated_to          # next entry to move, 0: no segment is being evacuated
    cdef uint64_t evacuated_end
    cdef uint32_t evacuated_least       # segments of pages that the store had at least since evacuation came to it
    cdef uint32_t evacuated_in_vain     # segments evacuated since there were so few
    cdef uint32_t evacuated_next        # store to look at next
    cdef uint32_t folded                # store whose chain is folded

    cdef int reserve(self) except -1
    cdef int reserve_again(self) except -1
    cdef uint64_t allocate(self, uint32_t store_number, uint64_t size) except 0
    cdef uint64_t allocate_again(self, uint32_t store_number, uint64_t old_size, uint64_t size) except 0
    cdef uint64_t place(self, uint32_t store_number, uint64_t hash_, uint64_t *slot, uint64_t size) except 0
    cdef void replace(self, uint64_t *slot, uint64_t old, uint64_t old_size, uint64_t offset, uint64_t size) noexcept nogil
    cdef uint64_t resize(self, uint32_t store_number, uint64_t *slot, uint64_t size) except 0
    cdef int add(self, uint32_t store_number, uint8_t *entry) except -1
    cdef int order_entry(self, uint32_t store_number, uint64_t offset) except -1
    cdef int forget_order(self, uint32_t store_number, uint64_t offset) except -1
    cdef int order_expiry(self, uint32_t store_number, uint8_t *element) except -1
    cdef void become(self, uint32_t store_number, uint32_t kind) noexcept nogil
    cdef OrderedState *field_order(self, uint8_t *payload) noexcept nogil
    cdef int64_t first_field_expiry(self, uint8_t *record) noexcept nogil
    cdef int rescore(self, uint32_t store_number, uint64_t *slot, double score) except -1
    cdef uint32_t create(self, uint32_t kind, uint32_t owner) except 0
    cdef uint32_t clone(self, uint32_t source, uint32_t owner) except 0
    cdef uint32_t create_part(self, uint32_t store_number, uint32_t width) except 0
    cdef void drop_part(self, uint32_t store_number, uint32_t part) noexcept nogil
    cdef int clone_parts(self, uint32_t source, uint32_t store_number) except -1
    cdef void renumber_parts(self, uint32_t source, uint32_t store_number, uint8_t *tail) noexcept nogil
    cdef uint32_t _twin(self, uint32_t source, uint32_t store_number, uint32_t part) noexcept nogil
    cdef int rehome(self, uint32_t store_number, uint32_t owner) except -1
    cdef int _rehome_all(self, uint32_t store_number, uint32_t owner) except -1
    cdef void touch(self, uint32_t store_number) noexcept nogil
    cdef void _mark_root(self, uint32_t store_number) noexcept nogil
    cdef void publish_chain(self, uint32_t store_number) noexcept nogil
    cdef uint64_t memory_of(self, uint32_t store_number) noexcept nogil
    cdef uint64_t resident_bytes(self) noexcept nogil
    cdef void drop(self, uint32_t store_number, bint lazily=*) noexcept nogil
    cdef void drop_database(self, uint32_t owner, OrderedState *expiry, bint lazily) noexcept nogil
    cdef bint free_step(self) noexcept nogil
    cdef bint free_waiting(self, int64_t until_ns) noexcept nogil
    cdef void _end(self, uint32_t store_number, uint64_t objects, bint lazily) noexcept nogil
    cdef void _drop_own(self, uint32_t store_number, OrderedState *order, uint64_t objects, bint lazily) noexcept nogil
    cdef uint64_t _nodes_in_redis(self, uint32_t store_number) noexcept nogil
    cdef void _wait(self, uint32_t store_number, uint64_t objects) noexcept nogil
    cdef uint32_t _take_number(self) noexcept nogil
    cdef void _release_number(self, uint32_t store_number) noexcept nogil
    cdef uint64_t evacuate(self, int64_t until_ns, uint32_t share) noexcept nogil
    cdef bint _pick(self, uint32_t share) noexcept nogil
    cdef void _end_evacuation(self) noexcept nogil
    cdef bint _move(self, uint64_t old) noexcept nogil
    cdef void _moved(self, uint64_t old, uint64_t new) noexcept nogil
    cdef object check_waiting(self)
    cdef object check_chain(self, uint32_t store_number, dict nodes)
    cdef object check_order(self, uint32_t store_number)
    cdef object check_expiries(self, uint32_t store_number)
    cdef Probe _at_entry(self, uint32_t kind, uint64_t offset) noexcept nogil
    cdef bint fold(self, int64_t until_ns) except -1


cdef inline uint32_t spread_of(uint8_t kind, uint8_t *payload) noexcept nogil:
    """Number of the store with the elements, if this is the payload of a spread collection; else 0."""
    cdef uint32_t words[2]
    if kind == 0:
        return 0
    memcpy(words, payload, 8)
    return words[1] if words[0] == 0xFFFFFFFFu else 0
