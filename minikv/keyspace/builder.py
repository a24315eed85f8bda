# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""A collection built whole before any key has it: for the loader, for results that replace another, and for a change
of form.

Elements gather in a buffer. In the end they are laid out in the form that is right for them: packed into one record, or
in chunks, as many as there should be, one after another; beyond CHUNKED_MAX they spread over a store of their own as
they come. The key is touched last and once, so a full arena, or elements that turn out to be wrong, leave it as it was.

A new name is looked up in a hash table of those in the buffer; a spread collection has a table anyway.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc, qsort, realloc
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.minikv.engine.chain import Chain, Place
from cython.cimports.minikv.engine.chunked import bucket_of
from cython.cimports.minikv.engine.chunks import CHUNKED_MAX, Chunks, bucket_count, chunk_bytes
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.packed import PACKED_COUNT, PACKED_MAX, PACKED_START, set_packed_count
from cython.cimports.minikv.engine.record import (
    CHUNK_ENTRY,
    CHUNK_HEADER,
    CHUNKED_MARK,
    CHUNKED_ROOT,
    FIELD_EXPIRY_SIZE,
    SCORE_SIZE,
    TYPE_HASH,
    TYPE_HASH_TTL,
    TYPE_LIST,
    TYPE_ZSET,
    Bytes,
    ConstBytes,
    Root,
    entry_key,
    entry_size,
    field_expiry_size,
    has_buckets,
    is_hash,
    length_size,
    make_entry,
    read_length,
    record_expire_at,
    write_field_expiry,
    write_length,
)
from cython.cimports.minikv.engine.table import Key, hash_key
from cython.cimports.minikv.keyspace.database import Database, key_of
from cython.cimports.minikv.keyspace.events import EVENT_NEW, event_class_of

from minikv.errors import ArenaFull

BUFFER_FIRST = cython.declare(uint64_t, 4096)
ELEMENTS_FIRST = cython.declare(uint32_t, 64)
# Names looked through one by one before they get a hash table.
MANY_NAMES = cython.declare(uint32_t, 8)


class Builder:
    """One collection on its way; begin() makes it good for another."""

    def __init__(self, database: Database, kind: uint32_t):
        self.begin(database, kind)

    def __dealloc__(self):
        free(self.buffer)
        free(self.elements)
        free(self.names)

    def begin(self, database: Database, kind: uint32_t) -> cython.void:
        """Start anew, with nothing left of the collection before."""
        self.database = database
        self.kind = kind
        self.spread = self.count = 0
        self.size = 0
        self.expire_at_ms = 0
        self.in_order = self.in_reverse = True
        self.name_slots = 0

    def abandon(self) -> cython.void:
        """Give up the elements: without a key they have no owner. Flushing the database does it too."""
        if self.spread:
            self.database.store.stores.drop(self.spread)
            self.spread = 0

    # Elements

    def add(self, name: bytes, value: object) -> cython.bint:
        """Add an element given as objects; value: a hash's, a sorted set's score as a float, else None.

        False if there is an element of this name.
        """
        at: ConstBytes = cython.cast(Bytes, PyBytes_AS_STRING(name))
        name_len: uint64_t = PyBytes_GET_SIZE(name)
        if value is None:
            return self.element(at, name_len, cython.NULL, 0)
        if self.kind == TYPE_ZSET:
            return self.scored(at, name_len, value)
        return self.element(at, name_len, cython.cast(Bytes, PyBytes_AS_STRING(value)), PyBytes_GET_SIZE(value))

    def element(self, name: ConstBytes, name_len: uint64_t, value: ConstBytes, value_len: uint64_t) -> cython.bint:
        """Add an element, with a hash's value (else NULL); False if there is one of this name."""
        has_value: cython.bint = is_hash(self.kind)
        at: Bytes = self.room(name, name_len, length_size(value_len) + value_len if has_value else 0)
        if at == cython.NULL:
            return False
        if has_value:
            memcpy(write_length(at, value_len, length_size(value_len)), value, value_len)
        return True

    def timed(
        self, name: ConstBytes, name_len: uint64_t, value: ConstBytes, value_len: uint64_t, expire_at_ms: int64_t
    ) -> cython.bint:
        """Add a field that expires, of a hash; False if there is one of this name."""
        added: cython.bint
        if self.kind == TYPE_HASH:
            self.kind = TYPE_HASH_TTL
            if self.spread:
                self.database.store.stores.become(self.spread, TYPE_HASH_TTL)
        self.expire_at_ms = expire_at_ms
        added = self.element(name, name_len, value, value_len)
        self.expire_at_ms = 0
        if added and self.spread:
            self.database.store.stores.order_entry(self.spread, self.offset)
        return added

    def scored(self, name: ConstBytes, name_len: uint64_t, score: cython.double) -> cython.bint:
        """Add a member of a sorted set; False if there is one of this name."""
        at: Bytes = self.room(name, name_len, SCORE_SIZE)
        rises: cython.bint
        if at == cython.NULL:
            return False
        score += 0.0  # makes 0.0 of -0.0
        memcpy(at, cython.address(score), SCORE_SIZE)
        if self.spread:
            self.database.store.stores.order_entry(self.spread, self.offset)
        elif self.count > 1 and (self.in_order or self.in_reverse):
            rises = precedes(
                self.buffer + self.elements[self.count - 2].start, self.buffer + self.elements[self.count - 1].start
            )
            self.in_order &= rises
            self.in_reverse &= not rises
        return True

    def room(self, name: ConstBytes, name_len: uint64_t, more: uint64_t) -> Bytes:
        """Write a new element's name; returns where the `more` bytes behind it go. NULL: there is one of this name."""
        size: uint64_t = length_size(name_len) + name_len + more + (FIELD_EXPIRY_SIZE if self.expire_at_ms else 0)
        hash_: uint64_t = 0 if self.kind == TYPE_LIST else hash_key(name, name_len)
        at: Bytes
        if self.spread == 0 and self.size + size > CHUNKED_MAX:
            self.spread_out()
        if self.spread:
            return self.room_spread(name, name_len, hash_, size)
        if self.kind != TYPE_LIST and self.has_name(name, name_len, hash_):
            return cython.NULL
        at = self.gather(hash_, size)
        if self.kind != TYPE_LIST:
            self.index_name(hash_)
        if self.expire_at_ms:
            at = write_field_expiry(at, self.expire_at_ms)
        at = write_length(at, name_len, length_size(name_len))
        memcpy(at, name, name_len)
        return at + name_len

    def take(self, start: Bytes, end: Bytes) -> cython.int:
        """Add all elements of another collection of this kind from start to end, in its order."""
        size: uint64_t
        name: Bytes
        name_len: uint64_t = 0
        hash_: uint64_t = 0
        while start < end:
            size = entry_size(self.kind, start)
            if has_buckets(self.kind):
                name = entry_key(self.kind, start, cython.address(name_len))
                hash_ = hash_key(name, name_len)
            memcpy(self.gather(hash_, size), start, size)
            start += size
        if self.kind == TYPE_ZSET:
            self.in_order = False
            self.in_reverse = False
        return 0

    def take_chain(self, store: uint32_t) -> cython.int:
        """Add all elements of a chain, in its order."""
        place: Place
        chain: cython.pointer[Chain] = cython.address(self.database.store.stores.indexes[store].chain)
        self.database.store.stores.chains.place(chain, 0, cython.address(place))
        while place.at != cython.NULL:
            self.take(place.at, place.at + entry_size(TYPE_LIST, place.at))
            self.database.store.stores.chains.advance(chain, cython.address(place))
        return 0

    def gather(self, hash_: uint64_t, size: uint64_t) -> Bytes:
        """Room for one more element in the buffer."""
        grown: cython.p_void
        if self.size + size > self.capacity:
            grown = realloc(self.buffer, max(2 * self.capacity, self.size + size, BUFFER_FIRST))
            if grown == cython.NULL:
                raise MemoryError
            self.buffer = cython.cast(Bytes, grown)
            self.capacity = max(2 * self.capacity, self.size + size, BUFFER_FIRST)
        if self.count == self.element_capacity:
            grown = realloc(self.elements, max(2 * self.element_capacity, ELEMENTS_FIRST) * cython.sizeof(Gathered))
            if grown == cython.NULL:
                raise MemoryError
            self.elements = cython.cast(cython.pointer[Gathered], grown)
            self.element_capacity = max(2 * self.element_capacity, ELEMENTS_FIRST)
        self.elements[self.count].hash = hash_
        self.elements[self.count].start = cython.cast(uint32_t, self.size)
        self.elements[self.count].size = cython.cast(uint32_t, size)
        self.count += 1
        self.size += size
        return self.buffer + self.size - size

    def has_name(self, name: ConstBytes, name_len: uint64_t, hash_: uint64_t) -> cython.bint:
        number: uint32_t
        index: uint32_t
        if self.name_slots == 0:
            for number in range(self.count):
                if self.elements[number].hash == hash_ and has_this_name(
                    self.buffer + self.elements[number].start, name, name_len
                ):
                    return True
            return False
        index = cython.cast(uint32_t, hash_) & (self.name_slots - 1)
        while self.names[index]:
            number = self.names[index] - 1
            if self.elements[number].hash == hash_ and has_this_name(
                self.buffer + self.elements[number].start, name, name_len
            ):
                return True
            index = (index + 1) & (self.name_slots - 1)
        return False

    def index_name(self, hash_: uint64_t) -> cython.int:
        """Put the last element into the hash table, which grows to hold twice as many at least."""
        number: uint32_t
        first: uint32_t = self.count - 1
        index: uint32_t
        grown: cython.p_void
        if self.count <= MANY_NAMES:
            return 0
        if self.count * 2 > self.name_slots:
            self.name_slots = max(self.name_slots * 4, 8 * MANY_NAMES)
            grown = realloc(self.names, self.name_slots * cython.sizeof(uint32_t))
            if grown == cython.NULL:
                self.name_slots = 0
                raise MemoryError
            self.names = cython.cast(cython.pointer[uint32_t], grown)
            memset(self.names, 0, self.name_slots * cython.sizeof(uint32_t))
            first = 0
        for number in range(first, self.count):
            index = cython.cast(uint32_t, self.elements[number].hash) & (self.name_slots - 1)
            while self.names[index]:
                index = (index + 1) & (self.name_slots - 1)
            self.names[index] = number + 1
        return 0

    def spread_out(self) -> cython.int:
        """Give the elements a store of their own."""
        store: KeyStore = self.database.store
        number: uint32_t
        self.spread = store.stores.create(self.kind, store.number)
        for number in range(self.count):
            store.stores.add(self.spread, self.buffer + self.elements[number].start)
        return 0

    def room_spread(self, name: ConstBytes, name_len: uint64_t, hash_: uint64_t, size: uint64_t) -> Bytes:
        store: KeyStore = self.database.store
        at: Bytes
        if self.kind == TYPE_LIST:
            return self.room_in_chain(name, name_len, size)
        if (
            store.tables.find(cython.address(store.stores.indexes[self.spread].table), name, name_len, hash_)
            != cython.NULL
        ):
            return cython.NULL
        self.offset = store.stores.place(self.spread, hash_, cython.NULL, size)
        at = write_field_expiry(store.arena.base + self.offset, self.expire_at_ms)
        at = write_length(at, name_len, length_size(name_len))
        memcpy(at, name, name_len)
        store.arena.spreads[self.spread].count += 1
        return at + name_len

    def room_in_chain(self, name: ConstBytes, name_len: uint64_t, size: uint64_t) -> Bytes:
        store: KeyStore = self.database.store
        chain: cython.pointer[Chain] = cython.address(store.stores.indexes[self.spread].chain)
        at: Bytes = store.stores.chains.insert(chain, chain.nodes.elements, size)
        at = write_length(at, name_len, length_size(name_len))
        memcpy(at, name, name_len)
        store.stores.publish_chain(self.spread)
        return at + name_len

    # The key

    def put(self, key: bytes, event: bytes) -> cython.int:
        """Make the collection the value of a key, which then has no expiry; observers get the event."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.database.find(key, cython.address(hash_))
        is_new: cython.bint = slot == cython.NULL
        self.finish(key_of(key, hash_), slot, 0)
        self.database.changed(key)
        if is_new:
            self.database.notify(EVENT_NEW, b"new", key)
        return self.database.notify(event_class_of(self.kind), event, key)

    def replace(self, key: bytes, hash_: uint64_t, slot: cython.pointer[uint64_t], chunked: cython.bint) -> cython.int:
        """Make the collection the value of a key in place of one that has these elements; its expiry stays."""
        return self.finish(
            key_of(key, hash_),
            slot,
            record_expire_at(self.database.store.record(slot)),
            chunked,
        )

    def finish(
        self,
        key: Key,
        slot: cython.pointer[uint64_t],
        expire_at_ms: int64_t,
        chunked: cython.bint = False,
    ) -> cython.int:
        """Make the collection, which has elements, the value of a key, whatever that was (slot NULL: nothing).

        chunked: even if it could be packed.
        """
        store: KeyStore = self.database.store
        payload: Bytes
        packed: uint32_t = cython.cast(uint32_t, PACKED_START - 4 + self.size)
        kind: uint8_t = cython.cast(uint8_t, self.kind)
        if self.spread:
            store.put_root(key, slot, kind, self.spread, expire_at_ms)
            self.spread = 0
            return 0
        if self.kind == TYPE_ZSET and not self.in_order:
            self.put_in_order()
        if chunked or self.size > PACKED_MAX or self.count > PACKED_COUNT:
            payload = self.lay_out(key.hash)
            try:
                store.put_chunked(key, slot, kind, payload, expire_at_ms)
            except BaseException:
                store.stores.chunks.drop(payload)
                raise
            finally:
                free(payload)
            return 0
        payload = store.put_payload(key, slot, kind, PACKED_START + self.size, expire_at_ms)
        memcpy(payload, cython.address(packed), 4)
        set_packed_count(payload, self.count)
        payload += PACKED_START
        for number in range(self.count):
            memcpy(payload, self.buffer + self.elements[number].start, self.elements[number].size)
            payload += self.elements[number].size
        return 0

    def put_in_order(self) -> cython.int:
        """Sort the elements of a sorted set; the buffer stays as it is."""
        number: uint32_t
        element: Gathered
        pointers: cython.pointer[Bytes]
        if self.in_reverse:
            for number in range(self.count // 2):
                element = self.elements[number]
                self.elements[number] = self.elements[self.count - 1 - number]
                self.elements[self.count - 1 - number] = element
            return 0
        pointers = cython.cast(cython.pointer[Bytes], malloc(max(self.count, 1) * cython.sizeof(Bytes)))
        if pointers == cython.NULL:
            raise MemoryError
        for number in range(self.count):
            pointers[number] = self.buffer + self.elements[number].start
        qsort(pointers, self.count, cython.sizeof(Bytes), compare_pointers)
        for number in range(self.count):
            self.elements[number].start = cython.cast(uint32_t, pointers[number] - self.buffer)
            self.elements[number].size = cython.cast(uint32_t, entry_size(TYPE_ZSET, pointers[number]))
        free(pointers)
        return 0

    # Chunks

    def lay_out(self, hash_: uint64_t) -> Bytes:
        """The elements in chunks, for a key of this hash: the payload of their root, to be freed by the caller."""
        chunks: Chunks = self.database.store.stores.chunks
        root: Root
        buckets: uint64_t = 0
        most: uint64_t = self.count + 1
        payload: Bytes
        if has_buckets(self.kind):
            most = buckets = bucket_count(self.size, self.count)
        payload = cython.cast(Bytes, malloc(CHUNKED_ROOT + CHUNK_ENTRY * most))
        if payload == cython.NULL:
            raise MemoryError
        root.mark = CHUNKED_MARK
        root.elements = self.count
        root.nbytes = cython.cast(uint32_t, self.size)
        root.chunks = root.tail = 0
        try:
            root.number = chunks.create(self.database.store.number, hash_)
        except ArenaFull:
            free(payload)
            raise
        try:
            if buckets:
                self.lay_out_buckets(payload, cython.address(root), cython.cast(uint32_t, buckets))
            else:
                self.lay_out_in_order(payload, cython.address(root))
            memcpy(payload, cython.address(root), CHUNKED_ROOT)
            if self.kind == TYPE_HASH_TTL:
                chunks.order_expiries(payload)
        except BaseException:
            memcpy(payload, cython.address(root), CHUNKED_ROOT)
            chunks.drop(payload)
            free(payload)
            raise
        return payload

    def lay_out_buckets(self, payload: Bytes, root: cython.pointer[Root], buckets: uint32_t) -> cython.int:
        number: uint32_t
        bucket: uint32_t
        start: uint32_t
        # Where each bucket's elements begin in the order of buckets; then the elements in it.
        starts: cython.pointer[uint32_t] = cython.cast(
            cython.pointer[uint32_t], calloc(2 * cython.cast(cython.size_t, buckets) + 1 + self.count, 4)
        )
        sizes: cython.pointer[uint32_t] = starts + buckets + 1
        numbers: cython.pointer[uint32_t] = sizes + buckets
        if starts == cython.NULL:
            raise MemoryError
        try:
            for number in range(self.count):
                bucket = bucket_of(self.elements[number].hash, buckets)
                self.elements[number].hash = bucket  # the whole hash is no longer needed
                starts[bucket + 1] += 1
                sizes[bucket] += self.elements[number].size
            for bucket in range(buckets):
                starts[bucket + 1] += starts[bucket]
            for number in range(self.count):
                bucket = cython.cast(uint32_t, self.elements[number].hash)
                numbers[starts[bucket]] = number
                starts[bucket] += 1
            start = 0
            for bucket in range(buckets):
                self.put_chunk(payload, root, numbers + start, starts[bucket] - start, sizes[bucket])
                start = starts[bucket]
        finally:
            free(starts)
        return 0

    def lay_out_in_order(self, payload: Bytes, root: cython.pointer[Root]) -> cython.int:
        full: uint64_t = chunk_bytes(self.kind, self.size)
        first: uint32_t = 0
        number: uint32_t
        size: uint64_t = 0
        numbers: cython.pointer[uint32_t] = cython.cast(
            cython.pointer[uint32_t], malloc((cython.cast(cython.size_t, self.count) + 1) * 4)
        )
        if numbers == cython.NULL:
            raise MemoryError
        try:
            for number in range(self.count):
                numbers[number] = number
                if size and size + self.elements[number].size > full:
                    self.put_chunk(payload, root, numbers + first, number - first, size)
                    first = number
                    size = 0
                size += self.elements[number].size
            if first < self.count:
                self.put_chunk(payload, root, numbers + first, self.count - first, size)
        finally:
            free(numbers)
        return 0

    def put_chunk(
        self,
        payload: Bytes,
        root: cython.pointer[Root],
        numbers: cython.pointer[cython.const[uint32_t]],
        count: uint32_t,
        size: uint64_t,
    ) -> cython.int:
        """Write the elements of these numbers into the next chunk, none into an empty bucket."""
        entry: uint64_t = 0
        place: uint64_t
        at: Bytes
        index: uint32_t
        if count:
            place = self.database.store.stores.chunks.allocate(root.number, size, 0)
            at = self.database.store.arena.base + place + CHUNK_HEADER
            for index in range(count):
                memcpy(at, self.buffer + self.elements[numbers[index]].start, self.elements[numbers[index]].size)
                at += self.elements[numbers[index]].size
            entry = make_entry(place, count)
        memcpy(payload + CHUNKED_ROOT + CHUNK_ENTRY * root.chunks, cython.address(entry), CHUNK_ENTRY)
        root.chunks += 1
        return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def replace_with_names(
    database: Database, key: bytes, kind: uint32_t, names: object, event: bytes
) -> cython.Py_ssize_t:
    """Make the key a set or list of these elements, whatever it was; without elements it is deleted.

    Returns their number. One change, or ArenaFull and none.
    """
    name: bytes
    builder: Builder
    if not names:
        database.discard(key)
        return 0
    builder = Builder(database, kind)
    try:
        for name in names:
            builder.add(name, None)
        builder.put(key, event)
    except BaseException:
        builder.abandon()
        raise
    return len(names)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def has_this_name(element: Bytes, name: ConstBytes, name_len: uint64_t) -> cython.bint:
    length: uint64_t = 0
    data: Bytes = read_length(element + field_expiry_size(element), cython.address(length))
    return length == name_len and memcmp(data, name, length) == 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def compare_pointers(one: cython.p_const_void, other: cython.p_const_void) -> cython.int:
    """For qsort: pointers to elements of a sorted set, all of different names."""
    if precedes(
        cython.cast(cython.pointer[Bytes], one)[0],
        cython.cast(cython.pointer[Bytes], other)[0],
    ):
        return -1
    return 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def precedes(one: Bytes, other: Bytes) -> cython.bint:
    """Whether one element of a sorted set comes before another, of another name."""
    one_len: uint64_t = 0
    other_len: uint64_t = 0
    one_name: Bytes = read_length(one, cython.address(one_len))
    other_name: Bytes = read_length(other, cython.address(other_len))
    one_score: cython.double = 0.0
    other_score: cython.double = 0.0
    order: cython.int
    memcpy(cython.address(one_score), one_name + one_len, SCORE_SIZE)
    memcpy(cython.address(other_score), other_name + other_len, SCORE_SIZE)
    if one_score != other_score:
        return one_score < other_score
    order = memcmp(one_name, other_name, min(one_len, other_len))
    return order < 0 or (order == 0 and one_len < other_len)
