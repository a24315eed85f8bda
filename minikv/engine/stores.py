# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""All stores of an arena: the databases' keys, and the elements of each spread collection.

A store is a set of entries found by a hash table: records by their keys, or elements (a hash's field and value, a
set's member, a sorted set's member and score, a stream's node) by their first string. Its entries lie in segments of
its own. Whether an entry is a record or an element makes a difference in two places only: how its key and size are
read (record.pxd), and who else knows where it lies: the tree of a sorted set or a stream knows its elements. A list's
elements have no names: its store is a chain (chain.py) instead, and has neither entries nor table. So are the parts of
a stream, tables of its groups: stores that come and go with the stream's own.

    store 0 .. databases - 1                    keys
    store databases .. 2 * databases - 1        nodes of a database's short chains
    store 2 * databases .. 3 * databases - 1    chunks of its collections of medium size (chunks.py)
    store 3 * databases ..                      spread collections, numbered as they come; numbers are used again

The record of a spread collection's key (its root) holds the collection's number. What the snapshot child needs besides
(the number of elements, a chain's first node) is in Arena.spreads, which is inherited; table, tree and chain stand
in `indexes`, which are not.

What a dropped store has is freed at once, or it waits, in order, for `free_step`: its table, its tree and its segments
go a few blocks or one segment at a time, in the cron, or when the room is needed. A database that is emptied leaves
what it has to stores with other numbers, which wait.

A change either succeeds or raises ArenaFull with nothing changed: `reserve` makes sure of the blocks that it may
take, room in the arena comes next, and what follows cannot fail.
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.engine.arena import (
    GRANULE,
    PAGES,
    SEGMENT_SHIFT,
    STORES_MAX,
    Arena,
    Heap,
    Segment,
    Spread,
    mark,
    next_live,
    segment_end,
    segment_start,
)
from cython.cimports.minikv.engine.chain import Chain, Chains, Neighbours, Node
from cython.cimports.minikv.engine.changes import Changes
from cython.cimports.minikv.engine.chunks import Chunks
from cython.cimports.minikv.engine.marks import has_deltas
from cython.cimports.minikv.engine.memory import BLOCK_SIZE, BlockPool, reserve, unmap
from cython.cimports.minikv.engine.ordered import (
    Cursor,
    OrderedState,
    OrderedTrees,
    Probe,
    at_member,
    at_pair,
    order_of_id,
    order_of_score,
)
from cython.cimports.minikv.engine.packed import packed_end, packed_first
from cython.cimports.minikv.engine.record import (
    RECORD_MAX,
    SCORE_SIZE,
    TYPE_CHUNK,
    TYPE_HASH_TTL,
    TYPE_LIST,
    TYPE_NODE,
    TYPE_PART,
    TYPE_STREAM,
    TYPE_ZSET,
    Bytes,
    entry_key,
    entry_size,
    field_expire_at,
    is_chain,
    is_chunked,
    read_length,
    record_payload,
    write_field_expiry,
)
from cython.cimports.minikv.engine.stores import Index, spread_of
from cython.cimports.minikv.engine.stream_tail import (
    GROUPS_AT,
    TABLES,
    TABLES_MARK,
    TAIL_MIN,
    behind_group,
    behind_head,
)
from cython.cimports.minikv.engine.table import Tables, TableState, hash_key, move_slot, slot_offset
from cython.cimports.posix.time import CLOCK_MONOTONIC, clock_gettime, timespec

from minikv.errors import BLOCKS_FULL, SEGMENTS_FULL, ArenaFull

# One change takes at most this many blocks: a split of a table with its directory, and a split of each level of a tree.
BLOCKS_PER_CHANGE = cython.declare(uint32_t, 32)
NO_SEGMENT = cython.declare(uint32_t, 0xFFFFFFFF)
# Evacuation looks at the clock after this many entries, and at this many stores in one call.
ENTRIES_PER_CLOCK = cython.declare(cython.int, 32)
NODES_PER_CLOCK = cython.declare(uint32_t, 8)
IN_VAIN = cython.declare(uint32_t, 8)  # segments of pages that are evacuated until it is given up
STORES_PER_CALL = cython.declare(uint32_t, 4096)
# One step of freeing: about as long as it takes to free a segment in small pages.
BLOCKS_PER_STEP = cython.declare(uint32_t, 1024)
OWNERS_PER_STEP = cython.declare(uint32_t, 4096)
# Redis frees what has more parts than this in another thread; its lists have nodes of this many bytes by default.
LAZY_PARTS = cython.declare(uint64_t, 64)
LIST_NODE_SHIFT = cython.declare(cython.int, 13)


class Stores:
    """Stores of `arena`, the first `databases` of them for keys; tables and trees take their blocks from `pool`."""

    def __cinit__(self, arena: Arena, pool: BlockPool, databases: int):
        self.arena = arena
        self.pool = pool
        self.databases = databases
        self.next_fresh = self.folded = 3 * databases
        self.tables = Tables(arena, pool)
        self.trees = OrderedTrees(pool)
        self.trees.elements = arena.base
        self.chains = Chains(arena, pool)
        self.remembered = {}
        self.indexes = cython.cast(cython.pointer[Index], reserve(STORES_MAX * cython.sizeof(Index), False))
        self.chunks = Chunks(arena, self.tables, pool, databases)
        for number in range(self.databases, 2 * self.databases):
            arena.heaps[cython.cast(uint32_t, number)].kind = TYPE_NODE
        self.changes = Changes(arena, databases)

    def __dealloc__(self):
        unmap(cython.cast(Bytes, self.indexes), STORES_MAX * cython.sizeof(Index))

    # Entries

    def reserve(self) -> cython.int:
        """Make sure that a change finds the blocks it needs, and leaves enough of them for reserve_again."""
        while self.pool.available() < 2 * BLOCKS_PER_CHANGE:
            if not self.free_step():
                raise ArenaFull(BLOCKS_FULL)
        return 0

    def reserve_again(self) -> cython.int:
        """The same for a change of what is there already, which goes on when new entries find no room."""
        while self.pool.available() < BLOCKS_PER_CHANGE:
            if not self.free_step():
                raise ArenaFull(BLOCKS_FULL)
        return 0

    def allocate(self, store_number: uint32_t, size: uint64_t) -> uint64_t:
        """Room for an entry of `size`. The caller writes it before any other call."""
        offset: uint64_t = self.arena.allocate(store_number, size)
        if offset == 0:
            raise ArenaFull(SEGMENTS_FULL)
        return offset

    def allocate_again(self, store_number: uint32_t, old_size: uint64_t, size: uint64_t) -> uint64_t:
        """The same for an entry that replaces one of `old_size`: if it is no larger, it may use the arena's reserve."""
        self.arena.may_use_reserve = size <= old_size
        offset: uint64_t = self.arena.allocate(store_number, size)
        self.arena.may_use_reserve = False
        if offset == 0:
            raise ArenaFull(SEGMENTS_FULL)
        return offset

    def place(
        self, store_number: uint32_t, hash_: uint64_t, slot: cython.pointer[uint64_t], size: uint64_t
    ) -> uint64_t:
        """Room for an entry of `size`: a new one (slot NULL), or one that replaces the slot's, in place if possible.

        The caller writes it before any other call.
        """
        offset: uint64_t
        old: uint64_t
        old_size: uint64_t
        self.touch(store_number)
        if slot != cython.NULL:
            self.reserve_again()
            old = slot_offset(slot)
            old_size = entry_size(self.indexes[store_number].table.kind, self.arena.base + old)
            if self.arena.fits(old, old_size, size):
                return old
            offset = self.allocate_again(store_number, old_size, size)
            self.replace(slot, old, old_size, offset, size)
            return offset
        self.reserve()
        offset = self.allocate(store_number, size)
        if self.tables.insert(cython.address(self.indexes[store_number].table), hash_, offset) == cython.NULL:
            self.arena.kill(offset, size)
            raise ArenaFull(BLOCKS_FULL)
        return offset

    def replace(
        self, slot: cython.pointer[uint64_t], old: uint64_t, old_size: uint64_t, offset: uint64_t, size: uint64_t
    ) -> cython.void:
        """Point the slot to a new place and let the old one die."""
        if self.arena.is_frozen(old):
            self.arena.relocated_records += 1
            self.arena.relocated_bytes += size
        self.arena.kill(old, old_size)
        move_slot(slot, offset)

    def add(self, store_number: uint32_t, entry: Bytes) -> cython.int:
        """Copy an element that lies elsewhere into a spread collection, which has none of its name, or to its end."""
        kind: uint32_t = self.indexes[store_number].table.kind
        size: uint64_t = entry_size(kind, entry)
        key_len: uint64_t = 0
        key: Bytes
        offset: uint64_t
        chain: cython.pointer[Chain] = cython.address(self.indexes[store_number].chain)
        if kind == TYPE_LIST:
            memcpy(self.chains.insert(chain, chain.nodes.elements, size), entry, size)
            self.publish_chain(store_number)
            return 0
        key = entry_key(kind, entry, cython.address(key_len))
        offset = self.place(store_number, hash_key(key, key_len), cython.NULL, size)
        memcpy(self.arena.base + offset, entry, size)
        self.arena.spreads[store_number].count += 1
        return self.order_entry(store_number, offset)

    def resize(self, store_number: uint32_t, slot: cython.pointer[uint64_t], size: uint64_t) -> uint64_t:
        """Resize an element, in place if possible; as much of it as fits is kept. Returns its place.

        The caller writes the new size into the element before any other call.
        """
        kind: uint32_t = self.indexes[store_number].table.kind
        old: uint64_t = slot_offset(slot)
        old_size: uint64_t = entry_size(kind, self.arena.base + old)
        offset: uint64_t
        probe: Probe
        if self.arena.fits(old, old_size, size):
            return old
        self.reserve_again()
        offset = self.allocate_again(store_number, old_size, size)
        memcpy(self.arena.base + offset, self.arena.base + old, min(old_size, size))
        if is_ordered(kind):
            probe = self._at_entry(kind, offset)
            self.trees.move(cython.address(self.indexes[store_number].order), cython.address(probe), offset)
        self.replace(slot, old, old_size, offset, size)
        return offset

    # The order of a sorted set or a stream

    def order_entry(self, store_number: uint32_t, offset: uint64_t) -> cython.int:
        """Tell the tree of a new element, which `place` has made sure of blocks for; nothing if there is no tree."""
        probe: Probe
        kind: uint32_t = self.indexes[store_number].table.kind
        if is_ordered(kind):
            probe = self._at_entry(kind, offset)
            self.trees.insert(cython.address(self.indexes[store_number].order), cython.address(probe), offset)
        elif kind == TYPE_HASH_TTL:
            self.order_expiry(store_number, self.arena.base + offset)
        return 0

    def order_expiry(self, store_number: uint32_t, element: Bytes) -> cython.int:
        """Tell the tree of a field that expires. If another of its hash has the same expiry, it gets the next."""
        probe: Probe
        name_len: uint64_t = 0
        name: Bytes
        if field_expire_at(element):
            name = entry_key(TYPE_HASH_TTL, element, cython.address(name_len))
            probe = at_pair(field_expire_at(element), hash_key(name, name_len))
            while not self.chunks.expiry_trees.insert(
                cython.address(self.indexes[store_number].order), cython.address(probe), probe.ref
            ):
                probe.order += 1
            write_field_expiry(element, probe.order)
        return 0

    def become(self, store_number: uint32_t, kind: uint32_t) -> cython.void:
        """Let a spread hash be one with fields that expire, or again one without; the caller changes its root."""
        self.indexes[store_number].table.kind = kind
        self.arena.heaps[store_number].kind = kind
        self.arena.spreads[store_number].kind = kind

    def field_order(self, payload: Bytes) -> cython.pointer[OrderedState]:
        """The tree of the expiries of a hash's fields; NULL for a packed hash, which has none."""
        spread: uint32_t = spread_of(TYPE_HASH_TTL, payload)
        if spread:
            return cython.address(self.indexes[spread].order)
        return self.chunks.expiries_of(payload) if is_chunked(TYPE_HASH_TTL, payload) else cython.NULL

    def first_field_expiry(self, record: Bytes) -> int64_t:
        """When the first field of a hash expires; 0: none does. Looks through a packed hash."""
        payload: Bytes = record_payload(record)
        order: cython.pointer[OrderedState] = self.field_order(payload)
        first_ms: int64_t = 0
        expire_at_ms: int64_t
        at: Bytes
        if order != cython.NULL:
            return self.trees.entry(self.trees.seek_first(order)).order if order.count else 0
        at = packed_first(payload)
        while at < packed_end(payload):
            expire_at_ms = field_expire_at(at)
            if expire_at_ms and (first_ms == 0 or expire_at_ms < first_ms):
                first_ms = expire_at_ms
            at += entry_size(TYPE_HASH_TTL, at)
        return first_ms

    def forget_order(self, store_number: uint32_t, offset: uint64_t) -> cython.int:
        """Tell the tree of an element that is about to go; nothing if there is no tree."""
        probe: Probe
        self.touch(store_number)
        kind: uint32_t = self.indexes[store_number].table.kind
        if is_ordered(kind):
            probe = self._at_entry(kind, offset)
            self.trees.remove(cython.address(self.indexes[store_number].order), cython.address(probe))
        return 0

    def rescore(self, store_number: uint32_t, slot: cython.pointer[uint64_t], score: cython.double) -> cython.int:
        """Change the score of a slot's element, in place if it is not frozen.

        The tree has to read the element to find it, so a copy is complete before the old one dies.
        """
        self.touch(store_number)
        old: uint64_t = slot_offset(slot)
        size: uint64_t = entry_size(TYPE_ZSET, self.arena.base + old)
        offset: uint64_t = old
        self.reserve_again()
        if not self.arena.fits(old, size, size):
            offset = self.allocate_again(store_number, size, size)
            memcpy(self.arena.base + offset, self.arena.base + old, size)
        self.forget_order(store_number, old)
        memcpy(self.arena.base + offset + size - SCORE_SIZE, cython.address(score), SCORE_SIZE)
        self.order_entry(store_number, offset)
        if offset != old:
            self.replace(slot, old, size, offset, size)
        return 0

    def _at_entry(self, kind: uint32_t, offset: uint64_t) -> Probe:
        """The exact place of an element in its tree."""
        member_len: uint64_t = 0
        entry: Bytes = self.arena.base + offset
        member: Bytes = entry_key(kind, entry, cython.address(member_len))
        score: cython.double = 0.0
        if kind == TYPE_STREAM:
            return at_member(order_of_id(member), member, member_len, False)
        memcpy(cython.address(score), member + member_len, SCORE_SIZE)
        return at_member(order_of_score(score), member, member_len, False)

    # Spread collections

    def create(self, kind: uint32_t, owner: uint32_t) -> uint32_t:
        """An empty spread collection for a key of the store `owner`; the caller sets its root."""
        store_number: uint32_t
        self.reserve()
        store_number = self._take_number()
        if store_number == 0:
            raise ArenaFull("command not allowed: too many large collections")
        self.created += 1
        self.indexes[store_number].serial = self.created
        memset(cython.address(self.arena.spreads[store_number]), 0, cython.sizeof(self.arena.spreads[store_number]))
        self.indexes[store_number].table.kind = kind
        self.arena.heaps[store_number].kind = TYPE_NODE if is_chain(kind) else kind
        self.arena.spreads[store_number].kind = kind
        self.arena.spreads[store_number].owner = owner
        # The walk ends there; a short list never gets a segment of its own.
        self.arena.stores_used = max(self.arena.stores_used, store_number + 1)
        self.indexes[store_number].chain.store_number = store_number
        self.indexes[store_number].chain.shared = self.databases + owner
        self.indexes[store_number].chain.patchable = kind == TYPE_LIST
        self.spreads += 1
        return store_number

    def clone(self, source: uint32_t, owner: uint32_t) -> uint32_t:
        """A copy of a spread collection for another key; the caller sets its root."""
        kind: uint32_t = self.indexes[source].table.kind
        store_number: uint32_t = self.create(kind, owner)
        cursor: uint64_t = 0
        offsets: uint64_t[336]
        found: uint32_t = 0
        at: uint32_t
        try:
            if is_chain(kind):
                self.chains.copy(
                    cython.address(self.indexes[source].chain), cython.address(self.indexes[store_number].chain)
                )
                self.publish_chain(store_number)
                return store_number
            while True:
                cursor = self.tables.scan_home(
                    cython.address(self.indexes[source].table), cursor, offsets, cython.address(found)
                )
                for at in range(found):
                    self.add(store_number, self.arena.base + offsets[at])
                if cursor == 0:
                    break
            self.clone_parts(source, store_number)
        except ArenaFull:
            self.drop(store_number)
            raise
        return store_number

    def memory_of(self, store_number: uint32_t) -> uint64_t:
        """Bytes of a spread collection: its elements, rounded to granules or pages, and the blocks of its indexes."""
        chain: cython.pointer[Chain] = cython.address(self.indexes[store_number].chain)
        nbytes: uint64_t
        if is_chain(self.indexes[store_number].table.kind):
            nbytes = chain.bytes + cython.cast(uint64_t, chain.nodes.blocks) * BLOCK_SIZE
        else:
            nbytes = self.arena.heap_bytes(store_number) + self.indexes[store_number].table.blocks * BLOCK_SIZE
        if self.indexes[store_number].next_part:
            nbytes += self.memory_of(self.indexes[store_number].next_part)
        return nbytes

    def resident_bytes(self) -> uint64_t:
        """What is kept of each store that has ever been used, beside its entries and their indexes."""
        return (
            self.next_fresh * (cython.sizeof(Index) + cython.sizeof(Heap) + cython.sizeof(Spread))
            + self.chains.next_fresh * (2 * cython.sizeof(Node) + cython.sizeof(Neighbours))
            + self.chunks.resident_bytes()
        )

    def touch(self, store_number: uint32_t) -> cython.void:
        """Note that the elements of a spread collection change: its root is marked, once in an interval."""
        if self.arena.fresh != cython.NULL and self.indexes[store_number].marked != self.changes.interval:
            self._mark_root(store_number)

    def _mark_root(self, store_number: uint32_t) -> cython.void:
        root: cython.pointer[uint64_t]
        stream: uint32_t = self.indexes[store_number].part_of or store_number
        owner: uint32_t = self.arena.spreads[stream].owner
        self.indexes[store_number].marked = self.changes.interval
        if stream < 3 * self.databases:
            return
        # None leads here yet while a collection is being built; its root will be new.
        root = self.tables.find_spread(cython.address(self.indexes[owner].table), self.indexes[stream].key_hash, stream)
        if root != cython.NULL:
            mark(self.arena, slot_offset(root) + (GRANULE if has_deltas(self.indexes[stream].table.kind) else 0))

    def publish_chain(self, store_number: uint32_t) -> cython.void:
        """Tell the child's table what a change of the store's chain may have changed."""
        self.touch(store_number)
        self.arena.spreads[store_number].count = self.indexes[store_number].chain.nodes.elements
        self.arena.spreads[store_number].head = self.indexes[store_number].chain.first

    def rehome(self, store_number: uint32_t, owner: uint32_t) -> cython.int:
        """Take a spread collection to another database, except for its root."""
        before: uint32_t = self.arena.spreads[store_number].owner
        try:
            self._rehome_all(store_number, owner)
        except ArenaFull:
            # What some of it has just left is still free.
            self._rehome_all(store_number, before)
            raise
        return 0

    def _rehome_all(self, store_number: uint32_t, owner: uint32_t) -> cython.int:
        while store_number:
            if self.arena.spreads[store_number].owner != owner:
                self.chains.share_with(cython.address(self.indexes[store_number].chain), self.databases + owner)
                if is_chain(self.indexes[store_number].table.kind):
                    self.publish_chain(store_number)
                self.arena.spreads[store_number].owner = owner
            store_number = self.indexes[store_number].next_part
        return 0

    # Parts of a stream

    def create_part(self, store_number: uint32_t, width: uint32_t) -> uint32_t:
        """An empty chain, the last part of a spread stream. width: of its elements; 0: they are strings."""
        part: uint32_t = self.create(TYPE_PART, self.arena.spreads[store_number].owner)
        self.indexes[part].chain.width = width
        self.indexes[part].part_of = store_number
        while self.indexes[store_number].next_part:
            store_number = self.indexes[store_number].next_part
        self.indexes[store_number].next_part = part
        return part

    def drop_part(self, store_number: uint32_t, part: uint32_t) -> cython.void:
        while self.indexes[store_number].next_part != part:
            store_number = self.indexes[store_number].next_part
        self.indexes[store_number].next_part = self.indexes[part].next_part
        self.indexes[part].next_part = 0
        self.drop(part)

    def clone_parts(self, source: uint32_t, store_number: uint32_t) -> cython.int:
        """Give a copy of a stream copies of its parts, in the same order."""
        part: uint32_t = self.indexes[source].next_part
        new: uint32_t
        while part:
            new = self.create_part(store_number, self.indexes[part].chain.width)
            self.chains.copy(cython.address(self.indexes[part].chain), cython.address(self.indexes[new].chain))
            self.publish_chain(new)
            part = self.indexes[part].next_part
        return 0

    def renumber_parts(self, source: uint32_t, store_number: uint32_t, tail: Bytes) -> cython.void:
        """Point the tail of a copy, so far that of the source, to its own parts."""
        at: Bytes = tail + TAIL_MIN
        place: Bytes
        groups: uint64_t = 0
        part: uint32_t = 0
        table: uint32_t
        read_length(tail + GROUPS_AT, cython.address(groups))
        while groups:
            place = behind_head(at)
            if place[0] == TABLES_MARK:
                for table in range(TABLES):
                    memcpy(cython.address(part), place + 1 + 4 * table, 4)
                    part = self._twin(source, store_number, part)
                    memcpy(place + 1 + 4 * table, cython.address(part), 4)
            at = behind_group(at)
            groups -= 1

    def _twin(self, source: uint32_t, store_number: uint32_t, part: uint32_t) -> uint32_t:
        """The copy of a part."""
        while source != part:
            source = self.indexes[source].next_part
            store_number = self.indexes[store_number].next_part
        return store_number

    # Dropping

    def drop(self, store_number: uint32_t, lazily: cython.bint = False) -> cython.void:
        """End a spread collection. lazily: its memory is freed later."""
        objects: uint64_t = self._nodes_in_redis(store_number) > LAZY_PARTS
        part: uint32_t
        while store_number:
            part = self.indexes[store_number].next_part
            self._end(store_number, objects, lazily)
            objects = 0
            store_number = part

    def drop_database(self, owner: uint32_t, expiry: cython.pointer[OrderedState], lazily: cython.bint) -> cython.void:
        """Empty a database: its keys, whose times are in `expiry`, its chunks, and its spread collections."""
        objects: uint64_t = self.indexes[owner].table.used
        store_number: uint32_t
        for store_number in range(3 * self.databases, self.next_fresh):
            if self.arena.spreads[store_number].kind and self.arena.spreads[store_number].owner == owner:
                # Its shared nodes go with those of all.
                self.chains.abandon(cython.address(self.indexes[store_number].chain))
                self._end(store_number, 0, lazily)
        if objects:
            self.chunks.drop_owned(owner)
        while not lazily and self.chunks.sweep(OWNERS_PER_STEP):
            pass
        self._drop_own(owner, expiry, objects, lazily)
        self._drop_own(self.databases + owner, cython.NULL, 0, lazily)
        self._drop_own(2 * self.databases + owner, cython.NULL, 0, lazily)

    def _end(self, store_number: uint32_t, objects: uint64_t, lazily: cython.bint) -> cython.void:
        """The store of a collection, or a part, has no owner left."""
        if self.evacuated == store_number and self.evacuated_to:
            self._end_evacuation()
        self.arena.spreads[store_number].kind = 0
        self.spreads -= 1
        if lazily:
            self._wait(store_number, objects)
            return
        self.tables.clear(cython.address(self.indexes[store_number].table))
        self.trees.clear(cython.address(self.indexes[store_number].order))
        self.chains.forget(cython.address(self.indexes[store_number].chain))
        self.arena.drop_store(store_number)
        self._release_number(store_number)

    def _drop_own(
        self, store_number: uint32_t, order: cython.pointer[OrderedState], objects: uint64_t, lazily: cython.bint
    ) -> cython.void:
        """Empty a store of a database, which stays. lazily: a store with another number takes over what there is."""
        table: cython.pointer[TableState] = cython.address(self.indexes[store_number].table)
        waiting: cython.pointer[TableState]
        number: uint32_t = 0
        if self.evacuated == store_number and self.evacuated_to:
            self._end_evacuation()
        if lazily and (self.arena.heaps[store_number].first_segment or table.blocks):
            number = self._take_number()
        if number == 0:
            self.tables.clear(table)
            if order != cython.NULL:
                self.trees.clear(order)
            self.arena.drop_store(store_number)
            return
        waiting = cython.address(self.indexes[number].table)
        waiting[0] = table[0]
        if table.directory == cython.address(table.only):
            waiting.directory = cython.address(waiting.only)
        memset(table, 0, cython.sizeof(TableState))
        table.kind = waiting.kind
        table.changes = waiting.changes + 1
        if order != cython.NULL:
            self.indexes[number].order = order[0]
            memset(order, 0, cython.sizeof(OrderedState))
        self.arena.rename_store(store_number, number)
        self.arena.spreads[number].kind = 0
        self.arena.spreads[number].owner = store_number % self.databases
        self._wait(number, objects)

    def _nodes_in_redis(self, store_number: uint32_t) -> uint64_t:
        """About how many allocations a collection has there: its elements, or a list's nodes."""
        count: uint64_t = self.arena.spreads[store_number].count
        nbytes: uint64_t = self.indexes[store_number].chain.bytes
        return min(count, nbytes >> LIST_NODE_SHIFT) if self.arena.spreads[store_number].kind == TYPE_LIST else count

    def _wait(self, store_number: uint32_t, objects: uint64_t) -> cython.void:
        """Let a store's memory be freed when its turn comes.

        Its nodes in a shared store are freed now: later, its own segments may be another store's, and nothing would
        tell which of its nodes were where.
        """
        index: cython.pointer[Index] = cython.address(self.indexes[store_number])
        self.chains.forget(cython.address(index.chain))
        self.arena.retire_store(store_number)
        index.objects = objects
        index.cleared = index.next_free = 0
        self.waiting_objects += objects
        if self.first_waiting:
            self.indexes[self.last_waiting].next_free = store_number
        else:
            self.first_waiting = store_number
        self.last_waiting = store_number

    def free_step(self) -> cython.bint:
        """Free some of what waits; False if nothing does."""
        store_number: uint32_t = self.first_waiting
        index: cython.pointer[Index] = cython.address(self.indexes[store_number])
        if self.chunks.sweep(OWNERS_PER_STEP):
            return True
        if store_number == 0:
            return False
        if not (
            self.tables.clear_some(cython.address(index.table), cython.address(index.cleared), BLOCKS_PER_STEP)
            and self.trees.clear_some(cython.address(index.order), BLOCKS_PER_STEP)
        ):
            return True
        if self.arena.heaps[store_number].first_segment:
            self.arena.free_retired(1)
            return True
        self.first_waiting = index.next_free
        self.waiting_objects -= index.objects
        self.freed_objects += index.objects
        self.arena.forget_store(store_number)
        self._release_number(store_number)
        return True

    def free_waiting(self, until_ns: int64_t) -> cython.bint:
        """Free what waits until the monotonic clock reaches `until_ns`; False if nothing is left."""
        time: timespec
        while self.free_step():
            clock_gettime(CLOCK_MONOTONIC, cython.address(time))
            if cython.cast(int64_t, time.tv_sec) * 1000000000 + time.tv_nsec >= until_ns:
                return True
        return False

    def _take_number(self) -> uint32_t:
        """The number of an unused store, its index empty; 0 if there is none."""
        store_number: uint32_t = self.free_head
        while store_number == 0 and self.next_fresh == STORES_MAX and self.free_step():
            store_number = self.free_head
        if store_number:
            self.free_head = self.indexes[store_number].next_free
        elif self.next_fresh < STORES_MAX:
            store_number = self.next_fresh
            self.next_fresh += 1
        else:
            return 0
        memset(cython.address(self.indexes[store_number]), 0, cython.sizeof(Index))
        return store_number

    def _release_number(self, store_number: uint32_t) -> cython.void:
        self.indexes[store_number].next_free = self.free_head
        self.free_head = store_number

    # Proof

    def check(self) -> None:
        """Prove the tables, trees and chains of all spread collections: they lead to all elements and nothing else."""
        store_number: uint32_t
        nodes: dict = {self.databases + number: 0 for number in range(self.databases)}
        for store_number in range(3 * self.databases, self.next_fresh):
            if not self.arena.spreads[store_number].kind:
                continue
            assert not self.arena.heaps[store_number].retired
            if is_chain(self.indexes[store_number].table.kind):
                self.check_chain(store_number, nodes)
                continue
            self.tables.check(cython.address(self.indexes[store_number].table))
            assert self.indexes[store_number].table.used == self.arena.spreads[store_number].count
            if is_ordered(self.indexes[store_number].table.kind):
                self.check_order(store_number)
            elif self.indexes[store_number].table.kind == TYPE_HASH_TTL:
                self.check_expiries(store_number)

        self.check_waiting()
        for number, wanted in nodes.items():
            assert self.arena.bytes_in_use(number) == wanted, f"store {number}: nodes have {wanted} bytes"

    def check_waiting(self) -> object:
        """Prove that what waits is counted, and has nothing in other stores."""
        store_number: uint32_t = self.first_waiting
        objects: uint64_t = 0
        while store_number:
            assert self.arena.heaps[store_number].retired and not self.arena.spreads[store_number].kind
            assert self.indexes[store_number].chain.bytes == 0
            objects += self.indexes[store_number].objects
            store_number = self.indexes[store_number].next_free
        assert objects == self.waiting_objects

    def check_chain(self, store_number: uint32_t, nodes: dict) -> object:
        """Add the bytes of its nodes to those of the stores that they lie in."""
        chain: cython.pointer[Chain] = cython.address(self.indexes[store_number].chain)
        for number, count in self.chains.check(chain).items():
            nodes[number] = nodes.get(number, 0) + count
        assert (
            chain.store_number == store_number
            and chain.shared == self.databases + self.arena.spreads[store_number].owner
        )
        assert self.arena.spreads[store_number].count == chain.nodes.elements
        assert self.arena.spreads[store_number].head == chain.first

    def check_expiries(self, store_number: uint32_t) -> object:
        """Prove that the tree of a hash has the fields that expire, and no others."""
        cursor: uint64_t = 0
        offsets: uint64_t[336]
        found: uint32_t = 0
        at: uint32_t
        timed: uint64_t = 0
        name: Bytes
        name_len: uint64_t = 0
        probe: Probe
        order: cython.pointer[OrderedState] = cython.address(self.indexes[store_number].order)
        self.chunks.expiry_trees.check(order)
        while True:
            cursor = self.tables.scan_home(
                cython.address(self.indexes[store_number].table), cursor, offsets, cython.address(found)
            )
            for at in range(found):
                if field_expire_at(self.arena.base + offsets[at]):
                    name = entry_key(TYPE_HASH_TTL, self.arena.base + offsets[at], cython.address(name_len))
                    probe = at_pair(field_expire_at(self.arena.base + offsets[at]), hash_key(name, name_len))
                    assert self.chunks.expiry_trees.contains(order, cython.address(probe))
                    timed += 1
            if cursor == 0:
                break
        assert timed == order.count > 0, f"{order.count} expiries in the tree, {timed} fields that expire"

    def check_order(self, store_number: uint32_t) -> object:
        cursor: uint64_t = 0
        offsets: uint64_t[336]
        found: uint32_t = 0
        at: uint32_t
        probe: Probe
        place: Cursor
        order: cython.pointer[OrderedState] = cython.address(self.indexes[store_number].order)
        self.trees.check(order)
        assert order.count == self.arena.spreads[store_number].count
        while True:
            cursor = self.tables.scan_home(
                cython.address(self.indexes[store_number].table), cursor, offsets, cython.address(found)
            )
            for at in range(found):
                probe = self._at_entry(self.indexes[store_number].table.kind, offsets[at])
                place = self.trees.seek(order, cython.address(probe))
                assert place.leaf and self.trees.entry(place).ref == offsets[at]
            if cursor == 0:
                return None

    # Evacuation

    def fold(self, until_ns: int64_t) -> cython.bint:
        """Fold the patches of chains until the monotonic clock reaches `until_ns`; False if there are none left."""
        time: timespec
        chain: cython.pointer[Chain]
        _step: uint32_t
        if self.arena.snapshot_is_open:
            return False
        while self.chains.patched_nodes:
            chain = cython.address(self.indexes[self.folded].chain)
            if chain.patched == 0:
                self.folded += 1
                if self.folded >= self.next_fresh:
                    self.folded = 3 * self.databases
                continue
            try:
                for _step in range(NODES_PER_CLOCK):
                    if chain.patched:
                        self.chains.thaw(chain, chain.patched, True)
            except ArenaFull:
                return False
            clock_gettime(CLOCK_MONOTONIC, cython.address(time))
            if cython.cast(int64_t, time.tv_sec) * 1000000000 + time.tv_nsec >= until_ns:
                return True
        return False

    def evacuate(self, until_ns: int64_t, share: uint32_t) -> uint64_t:
        """Move entries out of sparse segments until the monotonic clock reaches `until_ns`; returns the bytes moved.

        share: a store's segments may be dead by 1/share.
        """
        moved: uint64_t = 0
        size: uint64_t
        segment: cython.pointer[Segment]
        time: timespec
        entries: cython.int = 0
        while True:
            if self.evacuated_to:
                segment = cython.address(self.arena.segments[(self.evacuated_end - 1) >> SEGMENT_SHIFT])
                if not segment.evacuating or self.arena.snapshot_is_open:
                    self._end_evacuation()
            if self.evacuated_to == 0 and not self._pick(share):
                return moved
            while True:
                self.evacuated_to = next_live(self.arena.live, self.evacuated_to, self.evacuated_end)
                if self.evacuated_to >= self.evacuated_end:
                    self._end_evacuation()
                    break
                size = entry_size(self.arena.heaps[self.evacuated].kind, self.arena.base + self.evacuated_to)
                if not self._move(self.evacuated_to):
                    self._end_evacuation()
                    return moved
                moved += size
                self.evacuated_to += GRANULE
                entries += 1
                if entries % ENTRIES_PER_CLOCK == 0 or size > RECORD_MAX:
                    clock_gettime(CLOCK_MONOTONIC, cython.address(time))
                    if cython.cast(int64_t, time.tv_sec) * 1000000000 + time.tv_nsec >= until_ns:
                        return moved

    def _pick(self, share: uint32_t) -> cython.bint:
        """Choose a segment to evacuate; the stores take turns."""
        number: uint32_t
        reaching: uint64_t
        _step: uint32_t
        for _step in range(min(self.next_fresh, STORES_PER_CALL)):
            if self.evacuated_next >= self.next_fresh:
                self.evacuated_next = 0
            number = self.arena.pick_sparse(self.evacuated_next, share)
            if number != NO_SEGMENT:
                if self.evacuated != self.evacuated_next:
                    self.evacuated = self.evacuated_next
                    self.evacuated_in_vain = 0
                if self.evacuated_in_vain == 0:
                    self.evacuated_least = self.arena.heaps[self.evacuated].page_segments
                self.evacuated_in_vain += self.arena.segments[number].kind == PAGES
                self.arena.segments[number].evacuating = True
                self.evacuated_to = segment_start(number)
                self.evacuated_end = segment_end(number)
                reaching = self.arena.reaching_into(number)
                if reaching and not self._move(reaching):
                    self._end_evacuation()
                    return False
                return True
            self.evacuated_next += 1
        return False

    def _end_evacuation(self) -> cython.void:
        """The segment is done with. If segments of pages do not become fewer, leave the store alone until it changes.

        Records of half a MiB may have no denser place than one that is still sparse.
        """
        heap: cython.pointer[Heap] = cython.address(self.arena.heaps[self.evacuated])
        self.arena.segments[(self.evacuated_end - 1) >> SEGMENT_SHIFT].evacuating = False
        self.evacuated_to = 0
        if heap.page_segments < self.evacuated_least:
            self.evacuated_least = heap.page_segments
            self.evacuated_in_vain = 0
        elif self.evacuated_in_vain > IN_VAIN:
            self.evacuated_least = heap.page_segments
            self.evacuated_in_vain = 0
            heap.vain_pages = heap.live_pages

    def _move(self, old: uint64_t) -> cython.bint:
        """Move one entry; False when there is no room."""
        size: uint64_t = entry_size(self.arena.heaps[self.evacuated].kind, self.arena.base + old)
        new: uint64_t
        self.arena.may_use_reserve = True
        new = self.arena.allocate_fresh(self.evacuated, size)
        self.arena.may_use_reserve = False
        if new == 0:
            return False
        memcpy(self.arena.base + new, self.arena.base + old, size)
        if self.arena.fresh != cython.NULL:
            self.arena.copy_marks(
                old, new, size if self.arena.heaps[self.evacuated].kind == TYPE_CHUNK else min(size, 2 * GRANULE)
            )
        if 2 * self.databases <= self.evacuated < 3 * self.databases:
            self.chunks.moved(cython.address(self.indexes[self.evacuated - 2 * self.databases].table), old, new)
        elif self.arena.heaps[self.evacuated].kind == TYPE_NODE:
            self.chains.moved(old, new)
        else:
            self._moved(old, new)
        self.arena.kill(old, size)
        return True

    def _moved(self, old: uint64_t, new: uint64_t) -> cython.void:
        """Point table and tree to an entry's new place."""
        index: cython.pointer[Index] = cython.address(self.indexes[self.evacuated])
        kind: uint32_t = index.table.kind
        key_len: uint64_t = 0
        key: Bytes = entry_key(kind, self.arena.base + new, cython.address(key_len))
        probe: Probe
        move_slot(self.tables.find_offset(cython.address(index.table), hash_key(key, key_len), old), new)
        if is_ordered(kind):
            probe = self._at_entry(kind, new)
            self.trees.move(cython.address(index.order), cython.address(probe), new)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def is_ordered(kind: uint32_t) -> cython.bint:
    """Whether collections of this kind have a tree."""
    return kind in (TYPE_ZSET, TYPE_STREAM)
