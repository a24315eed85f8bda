cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.chunked cimport ChunkPlace
from minikv.keyspace.database cimport Database

cdef bytes string_at(uint8_t *at)
cdef uint8_t *write_string(uint8_t *at, bytes text, uint64_t length) except NULL


cdef enum:
    BUILT_AT_ONCE = 5               # elements of one command that make a new collection by a Builder


@cython.no_gc
cdef class Collection:
    cdef readonly Database database
    cdef readonly bytes key
    cdef uint64_t hash_
    cdef uint64_t *slot             # NULL: the key is not there (yet)
    cdef uint64_t changes           # TableState.changes when slot was looked up
    cdef uint32_t kind
    cdef bint chunked               # the elements are in chunks
    cdef readonly bint has_changed  # an element has come, gone or changed
    cdef bint is_new                # the key was not there, and no event has said yet that it has come
    cdef uint32_t spread            # store of the elements; 0: packed, or chunked

    cdef bint open(self, Database database, bytes key, uint32_t kind, bint stats, bint touch=*) except -1
    cdef uint64_t *at_slot(self) noexcept
    cdef uint8_t *payload(self) noexcept
    cdef uint8_t *find_packed(self, bytes name) noexcept
    cdef uint8_t *find_in_form(self, bytes name, uint32_t *number) noexcept
    cdef uint8_t *find_chunked(self, bytes name, uint32_t *number) noexcept
    cdef uint64_t *find_spread(self, bytes name, uint64_t *hash_) noexcept
    cdef uint8_t *find_entry(self, bytes name) noexcept
    cdef Py_ssize_t build(self, tuple names, object values) except -1
    cdef uint8_t *grow_packed(self, uint8_t *before, uint64_t size) except NULL
    cdef uint8_t *room_in_bucket(self, bytes name, uint64_t size) except NULL
    cdef uint8_t *room_in_order(self, ChunkPlace place, uint64_t size, uint64_t spare) except NULL
    cdef int room_for_growth(self, uint64_t more) except -1
    cdef uint8_t *replace_chunked(self, uint32_t number, uint8_t *at, uint64_t old_size, uint64_t size) except NULL
    cdef int shrink_chunked(self, uint32_t number, uint8_t *at, uint64_t size, uint32_t count) except -1
    cdef int make_smaller(self) except -1
    cdef uint8_t *place_spread(self, uint64_t hash_, uint64_t *slot, uint64_t size) except NULL
    cdef int take_out(self, bytes name, uint8_t *entry) except -1
    cdef int shrink(self, bytes name, uint8_t *entry) except -1
    cdef void forget_element(self, bytes name) noexcept
    cdef void vanish(self) noexcept
    cdef void vanish_if_empty(self) noexcept
    cdef bint must_grow(self, uint64_t more) noexcept
    cdef int grow_out(self) except -1
    cdef int chunk_out(self) except -1
    cdef int spread_out(self) except -1
    cdef uint64_t bytes_now(self) noexcept
    cdef int changed(self) except -1
    cpdef int notify(self, bytes event) except -1
    cpdef int notify_taken(self, bytes event) except -1
    cdef list entries_of(self)
    cdef list gather_by_prefix(self, uint64_t *cursor, Py_ssize_t wanted)
    cdef list gather_buckets(self, uint64_t *cursor, Py_ssize_t wanted)
    cdef list gather(self, uint64_t *cursor, Py_ssize_t wanted)
    cdef list pick(self, Py_ssize_t count, bint distinct)
    cdef int draw(self, Py_ssize_t count, bint distinct, list picked) except -1
    cdef uint8_t *random_entry(self) noexcept
    cdef object parts(self, uint8_t *entry, list out)
