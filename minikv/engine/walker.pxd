cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from minikv.engine.arena cimport Arena
from minikv.engine.stores cimport Stores
from minikv.engine.table cimport BLOCK_ENTRIES


@cython.final
cdef class Walker:
    cdef Arena arena
    cdef list parts                 # (database, its store, keys, keys with a time, first item, items) of each database
    cdef dict databases             # store: database
    cdef Py_ssize_t part
    cdef uint32_t spread            # next store to look at for a spread collection
    cdef uint32_t spread_end        # the last one is below this number
    cdef object selected            # database that the last SELECTDB named
    cdef uint32_t kind              # of the entries in this part of the walk: KEYS, or a collection's type
    cdef uint32_t item              # item of the walk that `at` is in
    cdef uint32_t part_end          # first item behind this part
    cdef uint64_t at                # next entry; 0: the part is done
    cdef uint64_t end               # of the item's segment; of the elements in a list's node
    cdef uint64_t node              # list: the next node, 0: there is none
    cdef const uint8_t *pending     # rest of what did not fit into the buffer
    cdef uint64_t pending_len
    cdef object pending_owner       # what keeps `pending` alive if it does not lie in the arena
    cdef uint32_t in_vain           # strings since the last one that compression made shorter
    cdef uint32_t passed            # items that lie behind
    cdef uint32_t released
    cdef dict tails                 # spread stream: what the file has behind its nodes
    cdef object tail                # that of the one at hand, an iterator over its bytes
    cdef dict roots                 # spread collection: its header (time, type, key), as the file has it
    cdef Stores stores              # of the walk over one value, which is the parent's; None for all others
    cdef uint64_t cursor            # of that value's table: next bucket
    cdef uint64_t offsets[BLOCK_ENTRIES]    # entries of the bucket before
    cdef uint32_t found             # how many of them are still to come
    cdef bint begun                 # a cursor of 0 is the end
    cdef readonly uint64_t keys

    cdef bytes _begin_part(self)
    cdef bytes _begin_spread(self)
    cdef bytes _select(self, object database)
    cdef void _seek(self) noexcept
    cdef void _enter(self, uint64_t node) noexcept
    cdef void _seek_in_table(self) noexcept
    cdef uint8_t *_drain(self, uint8_t *out, uint8_t *out_end) noexcept
    cdef uint8_t *_copy(self, uint8_t *out, uint8_t *out_end, const uint8_t *start, uint64_t nbytes, object owner) noexcept
    cdef uint8_t *_record(self, uint8_t *out, uint8_t *out_end, uint8_t *record, object compress) except NULL
    cdef uint8_t *_element(self, uint8_t *out, uint8_t *out_end, uint8_t *entry, object compress) except NULL
    cdef uint8_t *_in_node(self, uint8_t *out, uint8_t *out_end, object compress) except NULL
    cdef uint8_t *_string(self, uint8_t *out, uint8_t *out_end, uint8_t *string, object compress) except NULL


# The type and the value of a record, without key and time, as a file has them.
cdef bytes value_bytes(Stores stores, uint8_t *record, object compress)
