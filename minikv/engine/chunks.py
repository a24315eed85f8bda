# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Chunks: the elements of collections of medium size, a few hundred bytes of them in each record.

A collection too large to be packed into its key's record and too small for a store of its own is chunked. Its key's
record is the root, which lists the chunks; a chunk holds some elements in the bytes of the file:

    root    mark | number | elements | bytes | chunks | tail | entry | entry | ...      (Root in record.pxd)
    entry   place of the chunk: 40 bits | its elements: 24 bits                         0: an empty bucket
    chunk   number | bytes used, spare granules | element | element | ...

Root and chunks are records like all others: while a snapshot is open, a change writes the chunk and the root anew and
leaves the old ones to the child, which follows the root that it knows. So one write costs a chunk and a root, whatever
the collection holds, and a collection costs no more than the root and 40 bytes here. The chunks of all collections of
a database lie in one store (2 * databases + that of the keys), whose segments the child is done with when it is done
with the keys. A sorted set of more than INDEXED_MIN members has an index (member_index.py), made when a member is
looked for. A hash whose fields expire has a tree of their expiries.

Which elements are in which chunk is the business of chunked.py. Here is what concerns chunks as records: their room,
and their owners. A chunk holds its collection's number; the number gives the key's hash, and that leads to the root.
So a chunk can be moved, and nothing needs to change when a root moves.

Invariants (proved by `check`):
  1. each chunk is live, holds the number of its root, and has as many elements and bytes as root and entry say
  2. the owner of a root's number has the hash of the root's key and its store
  3. an index has the members of its sorted set and no others
  4. the tree of a hash's expiries has the fields that expire, and no others
  5. the chunks of all roots of a database are the live records of its chunk store (Stores.check)
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.engine.arena import Arena
from cython.cimports.minikv.engine.chunks import MemberWalk, Owner
from cython.cimports.minikv.engine.member_index import MemberIndex, MemberIndexes
from cython.cimports.minikv.engine.memory import BLOCK_SIZE, BlockPool, reserve, unmap
from cython.cimports.minikv.engine.ordered import OrderedState, OrderedTrees, Probe, at_pair, order_of_score
from cython.cimports.minikv.engine.record import (
    CHUNK_ENTRY,
    CHUNK_HEADER,
    CHUNKED_ROOT,
    NODE_CAPACITY,
    NODE_HEADER,
    SCORE_SIZE,
    TYPE_CHUNK,
    TYPE_HASH_TTL,
    TYPE_STREAM,
    Bytes,
    ConstBytes,
    Root,
    chunk_entry,
    chunk_owner,
    chunk_size,
    chunk_used,
    entry_elements,
    entry_key,
    entry_place,
    entry_size,
    field_expire_at,
    make_entry,
    read_length,
    record_payload,
    string_size,
    write_chunk_header,
    write_field_expiry,
)
from cython.cimports.minikv.engine.table import Tables, TableState, hash_key, slot_offset

from minikv.errors import BLOCKS_FULL, SEGMENTS_FULL, ArenaFull

# A chunked collection has at least half of this in its elements, its chunks and its root together.
OWNED_MIN = cython.declare(uint64_t, 512)


class Chunks:
    """Chunks and owners of all databases' chunked collections."""

    def __cinit__(self, arena: Arena, tables: Tables, pool: BlockPool, databases: int):
        store_number: uint32_t
        self.indexes = MemberIndexes(pool)
        self.arena = arena
        self.tables = tables
        self.databases = databases
        self.capacity = cython.cast(
            uint32_t, min((cython.cast(uint64_t, arena.segment_count) << 21) // OWNED_MIN + 2, 0xFFFFFFFF)
        )
        self.owners = cython.cast(
            cython.pointer[Owner],
            reserve(cython.cast(cython.size_t, self.capacity) * cython.sizeof(Owner), False),
        )
        self.expiry_trees = OrderedTrees(pool)
        self.expiries = cython.cast(
            cython.pointer[OrderedState],
            reserve(cython.cast(cython.size_t, self.capacity) * cython.sizeof(OrderedState), False),
        )
        self.dropped = cython.cast(cython.pointer[uint32_t], calloc(databases, cython.sizeof(uint32_t)))
        if self.dropped == cython.NULL:
            raise MemoryError
        self.next_fresh = self.generation = 1
        for store_number in range(2 * self.databases, 3 * self.databases):
            arena.heaps[store_number].kind = TYPE_CHUNK

    def __dealloc__(self):
        free(self.dropped)
        unmap(
            cython.cast(Bytes, self.owners),
            cython.cast(cython.size_t, self.capacity) * cython.sizeof(Owner),
        )
        unmap(
            cython.cast(Bytes, self.expiries),
            cython.cast(cython.size_t, self.capacity) * cython.sizeof(OrderedState),
        )

    # Owners

    def create(self, store_number: uint32_t, hash_: uint64_t) -> uint32_t:
        """The number of a new collection, for a key of this hash in `store`."""
        number: uint32_t = self.free_head
        if number:
            self.free_head = self.owners[number].next_free
        elif self.next_fresh < self.capacity:
            number = self.next_fresh
            self.next_fresh += 1
        elif self.sweep(self.capacity):
            return self.create(store_number, hash_)
        else:
            raise ArenaFull(BLOCKS_FULL)
        self.owners[number].next_free = 0
        self.owners[number].hash = hash_
        self.owners[number].store_number = store_number
        self.owners[number].generation = self.generation
        return number

    def release(self, number: uint32_t) -> cython.void:
        """The collection is gone; the caller disposes of its chunks."""
        self.indexes.clear(cython.address(self.owners[number].index))
        if self.owners[number].next_free:
            self.expiry_trees.clear(cython.address(self.expiries[number]))
        self.owners[number].generation = 0
        self.owners[number].next_free = self.free_head
        self.free_head = number

    # Chunks

    def allocate(self, number: uint32_t, used: uint64_t, spare: uint64_t) -> uint64_t:
        """Room for a chunk of `used` bytes and `spare` more, its header written; the caller writes the elements."""
        place: uint64_t = self.try_allocate(number, used, spare)
        if place == 0:
            raise ArenaFull(SEGMENTS_FULL)
        return place

    def try_allocate(self, number: uint32_t, used: uint64_t, spare: uint64_t) -> uint64_t:
        """The same; 0 if there is no room."""
        size: uint64_t = (CHUNK_HEADER + used + 7 & ~cython.cast(uint64_t, 7)) + (spare & ~cython.cast(uint64_t, 7))
        place: uint64_t = self.arena.allocate(2 * self.databases + self.owners[number].store_number, size)
        if place:
            write_chunk_header(self.arena.base + place, number, used, size)
        return place

    def discard(self, place: uint64_t) -> cython.void:
        """Kill a chunk that no root leads to; 0: there is none."""
        if place:
            self.arena.kill(place, chunk_size(self.arena.base + place))

    def replaced(self, place: uint64_t, size: uint64_t) -> cython.void:
        """The same for one that is rewritten elsewhere, with `size` bytes."""
        if place and self.arena.is_frozen(place):
            self.arena.relocated_records += 1
            self.arena.relocated_bytes += size
        self.discard(place)

    def drop(self, payload: ConstBytes) -> cython.void:
        """End a collection: all of its chunks die, and the root is about to."""
        root: Root = root_of(payload)
        number: uint32_t
        for number in range(root.chunks):
            self.discard(entry_place(chunk_entry(payload, number)))
        self.release(root.number)

    def drop_owned(self, store_number: uint32_t) -> cython.void:
        """End every collection of a database; the caller disposes of its chunk store. `sweep` frees the owners."""
        self.dropped[store_number] = self.generation
        self.generation += 1
        self.sweep_next = 1
        self.sweep_end = self.next_fresh

    def sweep(self, limit: uint32_t) -> cython.bint:
        """Look at up to `limit` owners for those that were dropped; False if there are none left to look at."""
        owner: cython.pointer[Owner]
        if self.sweep_next >= self.sweep_end:
            return False
        while limit and self.sweep_next < self.sweep_end:
            owner = cython.address(self.owners[self.sweep_next])
            if owner.generation and owner.generation <= self.dropped[owner.store_number]:
                self.release(self.sweep_next)
            self.sweep_next += 1
            limit -= 1
        return True

    def clone(self, payload: ConstBytes, store_number: uint32_t, hash_: uint64_t) -> Bytes:
        """The payload of a copy for another key, to be freed by the caller; its chunks are there."""
        root: Root = root_of(payload)
        head: cython.size_t = CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(cython.size_t, root.chunks)
        copy: Bytes = cython.cast(Bytes, malloc(head + root.tail))
        number: uint32_t
        entry: uint64_t
        place: uint64_t
        used: uint64_t
        if copy == cython.NULL:
            raise ArenaFull(BLOCKS_FULL)
        memcpy(copy, payload, head + root.tail)
        try:
            root.number = self.create(store_number, hash_)
            root.chunks = 0
            memcpy(copy, cython.address(root), CHUNKED_ROOT)
            for number in range(root_of(payload).chunks):
                entry = chunk_entry(payload, number)
                if entry:
                    used = chunk_used(self.arena.base + entry_place(entry))
                    place = self.allocate(root.number, used, 0)
                    memcpy(
                        self.arena.base + place + CHUNK_HEADER,
                        self.arena.base + entry_place(entry) + CHUNK_HEADER,
                        used,
                    )
                    entry = make_entry(place, entry_elements(entry))
                memcpy(copy + CHUNKED_ROOT + CHUNK_ENTRY * number, cython.address(entry), CHUNK_ENTRY)
                root.chunks += 1
                memcpy(copy, cython.address(root), CHUNKED_ROOT)
        except ArenaFull:
            if root.number != root_of(payload).number:
                self.drop(copy)
            free(copy)
            raise
        return copy

    def resident_bytes(self) -> uint64_t:
        """What is kept of each number that has ever been used."""
        return cython.cast(uint64_t, self.next_fresh) * cython.sizeof(Owner)

    def memory_of(self, payload: ConstBytes) -> uint64_t:
        """Bytes of a collection's chunks and its owner."""
        root: Root = root_of(payload)
        number: uint32_t
        index: cython.pointer[MemberIndex] = cython.address(self.owners[root.number].index)
        total: uint64_t = cython.sizeof(Owner)
        if index.block:
            total += cython.cast(uint64_t, BLOCK_SIZE) << index.depth
        for number in range(root.chunks):
            if chunk_entry(payload, number):
                total += chunk_size(self.arena.base + entry_place(chunk_entry(payload, number)))
        return total

    # The members of a sorted set

    def index_of(self, payload: ConstBytes) -> cython.pointer[MemberIndex]:
        """A sorted set's index, made if there should be one; NULL: there is none."""
        root: Root = root_of(payload)
        index: cython.pointer[MemberIndex] = cython.address(self.owners[root.number].index)
        if index.block == 0 and (root.elements <= INDEXED_MIN or not self.build_index(payload)):
            return cython.NULL
        return index

    def next_member(self, payload: ConstBytes, walk: cython.pointer[MemberWalk]) -> cython.bint:
        """Move a walk past one more member; False at the end."""
        chunk: Bytes
        name: Bytes
        name_len: uint64_t = 0
        score: cython.double = 0.0
        while walk.at == walk.end:
            if walk.number == root_of(payload).chunks:
                return False
            chunk = self.arena.base + entry_place(chunk_entry(payload, walk.number))
            walk.at = chunk + CHUNK_HEADER
            walk.end = walk.at + chunk_used(chunk)
            walk.number += 1
        name = read_length(walk.at, cython.address(name_len))
        memcpy(cython.address(score), name + name_len, SCORE_SIZE)
        walk.hash = hash_key(name, name_len)
        walk.order = order_of_score(score)
        walk.at = name + name_len + SCORE_SIZE
        return True

    def build_index(self, payload: ConstBytes) -> cython.bint:
        """Make the index of a sorted set anew; False if it can't be had."""
        root: Root = root_of(payload)
        index: cython.pointer[MemberIndex] = cython.address(self.owners[root.number].index)
        walk: MemberWalk
        memset(cython.address(walk), 0, cython.sizeof(MemberWalk))
        if not self.indexes.begin(index, root.elements):
            return False
        while self.next_member(payload, cython.address(walk)):
            if not self.indexes.insert(index, walk.hash, walk.order):
                self.indexes.clear(index)
                return False
        return True

    def index_member(self, payload: ConstBytes, hash_: uint64_t, order: int64_t) -> cython.void:
        """A member has come to a sorted set; it is in its chunk."""
        index: cython.pointer[MemberIndex] = cython.address(self.owners[root_of(payload).number].index)
        if index.block and not self.indexes.insert(index, hash_, order):
            self.build_index(payload)

    def check_index(self, payload: ConstBytes) -> object:
        """Prove that an index has all members, and no others."""
        root: Root = root_of(payload)
        index: cython.pointer[MemberIndex] = cython.address(self.owners[root.number].index)
        walk: MemberWalk
        order: int64_t = 0
        step: uint32_t
        memset(cython.address(walk), 0, cython.sizeof(MemberWalk))
        if index.block == 0:
            return None
        assert index.used == root.elements, f"{index.used} members in an index of {root.elements}"
        while self.next_member(payload, cython.address(walk)):
            step = 0
            while True:
                assert self.indexes.find(index, walk.hash, cython.address(step), cython.address(order)), (
                    "a member is not in its index"
                )
                if order == walk.order:
                    break
        return None

    # The fields of a hash that expire

    def expiries_of(self, payload: ConstBytes) -> cython.pointer[OrderedState]:
        """The tree of a hash's expiries, for whoever adds some."""
        number: uint32_t = root_of(payload).number
        self.owners[number].next_free = 1
        return cython.address(self.expiries[number])

    def order_expiries(self, payload: ConstBytes) -> cython.int:
        """Make the tree of a new hash. Of two fields with one hash and one expiry, the second gets the next expiry."""
        root: Root = root_of(payload)
        order: cython.pointer[OrderedState] = self.expiries_of(payload)
        number: uint32_t
        at: Bytes
        end: Bytes
        name: Bytes
        name_len: uint64_t = 0
        expire_at_ms: int64_t
        probe: Probe
        for number in range(root.chunks):
            if chunk_entry(payload, number) == 0:
                continue
            at = self.arena.base + entry_place(chunk_entry(payload, number))
            end = at + CHUNK_HEADER + chunk_used(at)
            at += CHUNK_HEADER
            while at < end:
                expire_at_ms = field_expire_at(at)
                if expire_at_ms:
                    name = entry_key(TYPE_HASH_TTL, at, cython.address(name_len))
                    probe = at_pair(expire_at_ms, hash_key(name, name_len))
                    while not self.expiry_trees.insert(order, cython.address(probe), probe.ref):
                        probe.order += 1
                    write_field_expiry(at, probe.order)
                at += entry_size(TYPE_HASH_TTL, at)
        return 0

    def check_expiries(self, payload: ConstBytes) -> object:
        """Prove that the tree of a hash's expiries has all fields that expire, and no others."""
        root: Root = root_of(payload)
        order: cython.pointer[OrderedState] = cython.address(self.expiries[root.number])
        timed: uint64_t = 0
        number: uint32_t
        at: Bytes
        end: Bytes
        name: Bytes
        name_len: uint64_t = 0
        probe: Probe
        assert self.owners[root.number].next_free == 1
        self.expiry_trees.check(order)
        for number in range(root.chunks):
            if chunk_entry(payload, number) == 0:
                continue
            at = self.arena.base + entry_place(chunk_entry(payload, number))
            end = at + CHUNK_HEADER + chunk_used(at)
            at += CHUNK_HEADER
            while at < end:
                if field_expire_at(at):
                    name = entry_key(TYPE_HASH_TTL, at, cython.address(name_len))
                    probe = at_pair(field_expire_at(at), hash_key(name, name_len))
                    assert self.expiry_trees.contains(order, cython.address(probe)), "an expiry is not in its tree"
                    timed += 1
                at += entry_size(TYPE_HASH_TTL, at)
        assert timed == order.count > 0, f"{order.count} expiries in the tree, {timed} fields that expire"

    # Evacuation

    def moved(self, table: cython.pointer[TableState], old: uint64_t, new: uint64_t) -> cython.void:
        """A chunk has been copied to a new place: update its root, which no snapshot may have frozen.

        table: of the keys of its database.
        """
        number: uint32_t = chunk_owner(self.arena.base + new)
        payload: Bytes = record_payload(
            self.arena.base + slot_offset(self.tables.find_chunked(table, self.owners[number].hash, number))
        )
        at: uint32_t = 0
        entry: uint64_t
        while entry_place(chunk_entry(payload, at)) != old:
            at += 1
        entry = make_entry(new, entry_elements(chunk_entry(payload, at)))
        memcpy(payload + CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, at), cython.address(entry), CHUNK_ENTRY)

    # Proof

    def check(self, kind: uint32_t, payload: ConstBytes, store_number: uint32_t, hash_: uint64_t) -> tuple:
        """Prove a root and its chunks; returns (chunks, bytes of them)."""
        root: Root = root_of(payload)
        number: uint32_t
        entry: uint64_t
        place: uint64_t
        elements: uint64_t = 0
        nbytes: uint64_t = 0
        used: uint64_t = 0
        chunks: uint64_t = 0
        assert self.owners[root.number].hash == hash_, "a root has another owner"
        assert self.owners[root.number].store_number == store_number
        assert self.owners[root.number].generation > self.dropped[store_number], "a root's owner is free"
        for number in range(root.chunks):
            entry = chunk_entry(payload, number)
            place = entry_place(entry)
            if place == 0:
                assert entry == 0
                continue
            assert self.arena.is_live(place), f"chunk {number} at {place} is not live"
            assert chunk_owner(self.arena.base + place) == root.number, f"chunk {number} belongs to another collection"
            assert self.count(kind, place) == entry_elements(entry) > 0, f"chunk {number} has other elements"
            elements += entry_elements(entry)
            nbytes += chunk_used(self.arena.base + place)
            used += chunk_size(self.arena.base + place)
            chunks += 1
        assert (elements, nbytes) == (root.elements, root.nbytes), f"{elements}, {nbytes} but root says otherwise"
        assert root.tail == 0 or kind == TYPE_STREAM
        self.check_index(payload)
        if kind == TYPE_HASH_TTL:
            self.check_expiries(payload)
        return chunks, used

    @cython.ccall
    def count(self, kind: uint32_t, place: uint64_t) -> object:
        """The elements of a chunk, which must fill it exactly."""
        at: uint64_t = place + CHUNK_HEADER
        end: uint64_t = at + chunk_used(self.arena.base + place)
        elements: int = 0
        while at < end:
            if kind == TYPE_STREAM:
                at += NODE_HEADER - NODE_CAPACITY - 5
                at += string_size(self.arena.base + at)
            else:
                at += entry_size(kind, self.arena.base + at)
            elements += 1
        assert at == end, "the elements of a chunk do not fill it"
        return elements
