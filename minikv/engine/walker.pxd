cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.arena cimport Arena, Spread, WalkItem
from minikv.engine.chain cimport PATCHES_MAX, Node, Patch
from minikv.engine.changes cimport Changes
from minikv.engine.lzf cimport Lzf
from minikv.engine.memory cimport Mapping
from minikv.engine.stores cimport Stores
from minikv.engine.stream_tail cimport StreamTail

cdef extern from * nogil:
    void __builtin_prefetch(const void *, ...) noexcept


cdef struct WalkPart:               # a database
    uint64_t keys
    uint64_t timed                  # keys with a time
    uint32_t database
    uint32_t store_number
    uint64_t removals               # layer: where those that matter begin in the log
    uint32_t first                  # items of the plan
    uint32_t items                  # of keys
    uint32_t chunk_items            # of chunks, behind them

cdef struct Kept:                   # root of a spread collection; the bytes follow
    uint64_t header                 # bytes: time, type, key and number of elements, as the file has them
    bint delta
    uint64_t tail                   # bytes: stream: what lies behind them in the record

cdef struct Piece:
    const uint8_t *start
    uint64_t nbytes

cdef struct Walk:                   # inherited, as is all that it points to
    # What is walked through
    uint8_t *base                   # of the arena
    const uint64_t *live
    const Spread *spreads
    const Node *nodes               # of chains
    const WalkItem *items
    const WalkPart *parts
    const uint32_t *databases       # number of the database by its store
    uint64_t *progress
    uint32_t item_count
    uint32_t part_count
    uint32_t spread_end             # no spread collection has this number or a higher one
    bint compress                   # strings into LZF form
    bint aligned                    # runs of records begin at multiples of 4 KiB in the file
    # A layer: only what is marked here, and what has been removed; see changes.py
    const uint64_t *fresh           # NULL: everything is walked
    const uint8_t *touched
    const uint8_t *log
    uint64_t log_end
    uint64_t segments               # that the two maps may have something of
    # How far it is
    uint64_t keys                   # handed out
    uint64_t expected               # layer: so many should be when the walk is over
    uint64_t removed                # layer: removals handed out
    uint32_t passed                 # items that lie behind
    uint32_t released
    int error                       # errno; 0: none
    # Where it is
    uint32_t part                   # next database
    uint32_t spread                 # next store to look at for a spread collection
    uint32_t selected               # database that the last SELECTDB named
    uint32_t kind                   # of the entries in this part of the walk: KEYS, or a collection's type
    uint32_t item                   # item of the walk that `at` is in
    uint32_t begun                  # the item that what is pending is in
    uint32_t part_end               # first item behind this part
    uint32_t chunk_items            # items behind that which this part leads to
    uint32_t in_vain                # strings since the last one that compression made shorter
    uint64_t log_at                 # layer: next removal in the log
    bint delta                      # only the marked elements of the collection at hand
    uint64_t changed                # how many those of a chunked one are
    bint whole_chunk                # all of the chunk at hand
    uint64_t at                     # next entry; 0: the part is done
    uint64_t end                    # of the item's segment; of the elements in a list's node
    uint32_t node                   # list: the next node, 0: there is none
    uint64_t body                   # of the node at hand
    Patch patches[PATCHES_MAX]      # of it
    uint32_t patch                  # the next one of them
    uint32_t patch_count
    StreamTail tail                 # stream: what the file has behind its nodes
    # In a chunked collection, or a packed hash whose fields expire, whose record `at` is
    uint8_t *root                   # its payload; NULL: in none
    uint32_t chunk_kind             # its type
    uint32_t chunk                  # next entry; a packed hash's: 0 before its elements
    uint8_t *element                # next element of the chunk at hand
    uint8_t *chunk_end
    # Where the bytes go
    uint64_t offset                 # in the file, of the buffer
    uint64_t run_offset             # in the file: where the run at hand begins; 0: the next record begins one
    uint64_t run_bytes              # of its records by now
    uint32_t run_item               # that the last of them is in
    bint at_run                     # walk_fill has stopped before the first one
    uint8_t *start
    uint8_t *out
    uint8_t *out_end
    Piece pending                   # what did not fit
    Piece behind                    # and what comes behind it
    # Memory of the walk's own, mapped when it is needed
    Mapping places                  # of Kept in `kept`, by the collection's number; 0: none
    Mapping kept
    uint64_t kept_end               # bytes used
    Mapping packed                  # a string in LZF form that did not fit into the buffer
    Lzf *lzf


cdef uint64_t walk_fill(Walk *walk, uint8_t *buffer, uint64_t size, uint64_t max_keys) noexcept nogil
cdef void walk_publish(Walk *walk) noexcept nogil
cdef void walk_release(Walk *walk) noexcept nogil
cdef void walk_end(Walk *walk) noexcept nogil
cdef void walk_forget(Walk *walk) noexcept nogil

cdef bint begin_part(Walk *walk) noexcept nogil
cdef void begin_database(Walk *walk, const WalkPart *part) noexcept nogil
cdef void begin_spread(Walk *walk, uint32_t number) noexcept nogil
cdef void select(Walk *walk, uint32_t database) noexcept nogil
cdef void seek(Walk *walk) noexcept nogil
cdef void begin_layer(Walk *walk, const WalkPart *part) noexcept nogil
cdef uint64_t count_marked(const Walk *walk, uint32_t first, uint32_t end) noexcept nogil
cdef uint64_t tail_size(uint8_t *record, uint64_t header) noexcept nogil
cdef bint is_marked_at(const Walk *walk, uint64_t at) noexcept nogil
cdef void put_delta_mark(Walk *walk, uint64_t count) noexcept nogil
cdef void put_delta(Walk *walk, uint8_t *record, uint64_t header) noexcept nogil
cdef uint64_t count_changed(const Walk *walk, uint8_t kind, uint8_t *payload) noexcept nogil
cdef bint is_changed(const Walk *walk, const uint8_t *start, const uint8_t *end) noexcept nogil
cdef void put_changed_chunk(Walk *walk) noexcept nogil
cdef bint ends_run(uint8_t *record, uint64_t run_bytes, bint in_next_item, bint compressed) noexcept nogil
cdef void count_in_run(Walk *walk) noexcept nogil
cdef bint begins_run(const Walk *walk) noexcept nogil
cdef void begin_run(Walk *walk) noexcept nogil
cdef void put_removals(Walk *walk) noexcept nogil
cdef void put_aux(Walk *walk, const char *name) noexcept nogil
cdef uint64_t next_removal(const Walk *walk, uint64_t at) noexcept nogil
cdef uint64_t next_entry(const Walk *walk, uint64_t at) noexcept nogil
cdef void enter(Walk *walk, uint32_t number) noexcept nogil
cdef void advance(Walk *walk) noexcept nogil
cdef void keep(Walk *walk, uint32_t number, const uint8_t *record, uint64_t header, uint64_t tail, bint delta) noexcept nogil
cdef Kept *kept_at(const Walk *walk, uint32_t number) noexcept nogil
cdef void put(Walk *walk, const uint8_t *start, uint64_t nbytes) noexcept nogil
cdef void drain(Walk *walk) noexcept nogil
cdef void put_record(Walk *walk, uint8_t *record) noexcept nogil
cdef void put_element(Walk *walk, uint32_t kind, uint8_t *entry) noexcept nogil
cdef void begin_chunks(Walk *walk, uint8_t kind, uint8_t *payload) noexcept nogil
cdef void put_chunk(Walk *walk) noexcept nogil
cdef void put_packed_hash(Walk *walk) noexcept nogil
cdef uint8_t *put_base(uint8_t *out) noexcept nogil
cdef void end_chunks(Walk *walk) noexcept nogil
cdef void prefetch_chunks(const Walk *walk) noexcept nogil
cdef void prefetch_chunk(const Walk *walk, uint32_t number) noexcept nogil
cdef void put_node(Walk *walk) noexcept nogil
cdef uint64_t next_patch(const Walk *walk) noexcept nogil
cdef void put_tail(Walk *walk) noexcept nogil
cdef void put_string(Walk *walk, uint8_t *string) noexcept nogil
cdef bint put_packed(Walk *walk, const uint8_t *text, uint64_t length) noexcept nogil


@cython.final
cdef class Walker:
    cdef Arena arena                # keeps it alive
    cdef Changes changes            # the same
    cdef Walk *walk                 # for as long as this object is there
    cdef uint64_t reserved          # bytes


cdef bytes value_bytes(Stores stores, uint8_t *record, bint compress)
cdef bytes string_bytes(uint8_t *string, bint compress)
cdef bytes elements_bytes(Stores stores, uint8_t kind, uint8_t *payload, bint compress)
