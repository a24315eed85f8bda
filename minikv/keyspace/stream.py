# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""Streams: entries with rising IDs in nodes (see stream_node), and consumer groups (see stream_group).

A packed stream is one record, its payload in the bytes of the file. When its nodes have become too large they become
chunks, one each; and in the end elements in a store of its own, where a tree finds each by its ID. The record keeps
what the file has behind the nodes, the tail:

    packed    size | 0x80 number of nodes: 4 B | node | node | ... | tail
    chunked   root | entry | entry | ... | tail                 chunks: node, node, ...
    spread    mark, store, size | tail                          elements: node, node, ...
    tail      length | last ID | first ID | largest deleted ID | entries ever added | number of groups | group | ...

All numbers of the tail up to the groups have a fixed width: nine bytes (0x81), or five for the number of groups, so
that they change in place. The last node's end packs a stream again, unless it has large groups, whose pending entries
lie in tables, parts of the store (engine/stream_tail.pxd), or many groups (see group_places).

A node that a snapshot has frozen does not get more entries, unless it is short: the next one begins a new node, so the
frozen one is not written anew.

A stream is not deleted with its last entry.
"""

import contextlib

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.arena import mark
from cython.cimports.minikv.engine.chunked import edit_chunk, insert_chunk, remove_chunks, span_of, trim_chunk
from cython.cimports.minikv.engine.chunks import CHUNKED_MAX, root_of
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.listpack import pack_size, write_integer
from cython.cimports.minikv.engine.ordered import Cursor, Entry, Probe, at_member, order_of_id
from cython.cimports.minikv.engine.packed import PACKED_MAX
from cython.cimports.minikv.engine.record import (
    CHUNK_ENTRY,
    CHUNK_HEADER,
    CHUNKED_MARK,
    CHUNKED_ROOT,
    NODE_CAPACITY,
    NODE_HEADER,
    NODE_NAME,
    PACKED_HEADER,
    SPREAD_MARK,
    SPREAD_STREAM,
    TYPE_STREAM,
    Root,
    bytes_at,
    make_entry,
    minikv_swap64,
    read_length,
    record_expire_at,
    write_length,
)
from cython.cimports.minikv.engine.stores import Stores
from cython.cimports.minikv.engine.stream_tail import (
    GROUPS_AT,
    NUMBER_SIZE,
    TABLES,
    TABLES_MARK,
    TAIL_MIN,
    behind_group,
    behind_head,
)
from cython.cimports.minikv.engine.table import hash_key
from cython.cimports.minikv.keyspace.database import Database, key_of
from cython.cimports.minikv.keyspace.group_places import (
    GROUPS_WALKED,
    GroupPlaces,
    Remembered,
    order_of_name,
    remember,
    remembered,
)
from cython.cimports.minikv.keyspace.stream import ENTRY_ROOM, PACKED_NODES, StreamNumbers, __builtin_clzl
from cython.cimports.minikv.keyspace.stream_node import (
    FLAG_DELETED,
    FLAG_SAME_FIELDS,
    ID_SIZE,
    StreamEntry,
    StreamId,
    append_entry,
    encode_entry,
    entry_parts,
    first_entry,
    id_at,
    id_of,
    id_text,
    is_less,
    master_fields,
    master_names,
    new_node,
    node_deleted,
    node_live,
    node_size_in_redis,
    number_of,
    put_id,
    read_entry,
    room_for,
    set_node_counts,
)

from minikv.errors import ArenaFull

NODES_START = cython.declare(uint32_t, PACKED_HEADER + 5)
# A node that grows gets as much again as it holds, at most so much.
GROWTH_MAX = cython.declare(uint64_t, 4096)
# The numbers of the tail, in units of NUMBER_SIZE. An ID is two.
LENGTH = cython.declare(uint32_t, 0)
LAST = cython.declare(uint32_t, 1)
FIRST = cython.declare(uint32_t, 3)
MAX_DELETED = cython.declare(uint32_t, 5)
ADDED = cython.declare(uint32_t, 7)
# A longer node that is frozen is left as it is: a new one takes fewer bytes than to write it anew.
FROZEN_NODE_MAX = cython.declare(uint32_t, 256)
# A chunk that grows gets a quarter more, at most so much.
CHUNK_GROWTH_MAX = cython.declare(uint64_t, 256)
NO_NODE = cython.declare(uint32_t, 0xFFFFFFFF)
NODE_MAX_BYTES = cython.declare(uint64_t, 1 << 30)

LARGEST_ID = (1 << 128) - 1


def tail_bytes(
    length: int, last_id: int, first_id: int, max_deleted_id: int, entries_added: int, groups: list[bytes]
) -> bytes:
    """The tail of a stream with these encoded groups, in the order of their names."""
    numbers: list = [length]
    for id in (last_id, first_id, max_deleted_id):
        numbers += (id >> 64, id & 0xFFFFFFFFFFFFFFFF)
    numbers.append(entries_added)
    head = b"".join([b"\x81" + number.to_bytes(8, "big") for number in numbers])
    return head + b"\x80" + len(groups).to_bytes(4, "big") + b"".join(groups)


class Stream:
    """A view of one stream; make it with Stream.at."""

    @staticmethod
    def at(database: Database, key: bytes, stats: cython.bint = True) -> Stream | None:
        """The stream of a key. None: there is none. Raises WrongTypeError."""
        return find_stream(database, key, stats)

    @staticmethod
    def peek(database: Database, key: bytes) -> Stream | None:
        """The same for a look from outside: counts neither hit nor access."""
        view: Stream = Stream.__new__(Stream)
        return view if view.open(database, key, TYPE_STREAM, False, False) else None

    @staticmethod
    def to_write(database: Database, key: bytes) -> Stream:
        """The stream of a key, for a write: the key is born with its first entry or group. Raises WrongTypeError."""
        return stream_to_write(database, key)

    # The tail

    def tail_at(self) -> uint64_t:
        """Where the tail begins in the payload."""
        payload: cython.pointer[uint8_t] = self.payload()
        at: cython.pointer[uint8_t] = payload + NODES_START
        left: uint64_t = 0
        if self.spread:
            return SPREAD_STREAM
        if self.chunked:
            return CHUNKED_ROOT + CHUNK_ENTRY * cython.cast(uint64_t, root_of(payload).chunks)
        read_length(payload + PACKED_HEADER, cython.address(left))
        while left:
            at += NODE_HEADER - NODE_CAPACITY
            at += pack_size(at)
            left -= 1
        return at - payload

    def tail(self) -> cython.pointer[uint8_t]:
        return self.payload() + self.tail_at()

    def number(self, index: uint32_t) -> uint64_t:
        return number_at(self.tail(), index)

    def id_number(self, index: uint32_t) -> StreamId:
        return id_number_at(self.tail(), index)

    def numbers(self) -> StreamNumbers:
        """All of them at once."""
        numbers: StreamNumbers
        tail: cython.pointer[uint8_t] = self.tail()
        numbers.length = number_at(tail, LENGTH)
        numbers.last = id_number_at(tail, LAST)
        numbers.first = id_number_at(tail, FIRST)
        numbers.max_deleted = id_number_at(tail, MAX_DELETED)
        numbers.added = number_at(tail, ADDED)
        return numbers

    def put_number(self, index: uint32_t, number: uint64_t) -> cython.void:
        """Only after `writable`."""
        write_length(self.tail() + index * NUMBER_SIZE, number, NUMBER_SIZE)

    def put_id_number(self, index: uint32_t, id: StreamId) -> cython.void:
        self.put_number(index, id.ms)
        self.put_number(index + 1, id.sequence)

    def writable(self) -> cython.pointer[uint8_t]:
        """The payload, in a place where it may be changed. Nodes of large streams are marked one by one."""
        return self.database.store.rewrite_part(self.at_slot(), 0, 0, 0)

    @property
    def exists(self) -> bool:
        """False for a view to write of a key that is not there yet."""
        return self.at_slot() != cython.NULL

    def __len__(self) -> int:
        return self.number(LENGTH) if self.at_slot() != cython.NULL else 0

    @property
    def last_id(self) -> int:
        """The largest ID ever added, or set."""
        return number_of(self.id_number(LAST)) if self.at_slot() != cython.NULL else 0

    @property
    def first_id(self) -> int:
        """Of the first entry, as far as it is known; 0 for none."""
        return number_of(self.id_number(FIRST))

    @property
    def max_deleted_id(self) -> int:
        return number_of(self.id_number(MAX_DELETED))

    @property
    def entries_added(self) -> int:
        return self.number(ADDED)

    def set_numbers(self, last_id: int, max_deleted_id: int, entries_added: int) -> None:
        """Set what XSETID sets; counts no change."""
        self.writable()
        self.put_id_number(LAST, id_of(last_id))
        self.put_id_number(MAX_DELETED, id_of(max_deleted_id))
        self.put_number(ADDED, entries_added)

    def create(self) -> None:
        """Make the key an empty stream, which is not counted as a change."""
        self.put_packed(b"", 0, tail_bytes(0, 0, 0, 0, 0, []), 0)

    def put_packed(self, nodes: bytes, count: uint32_t, tail: bytes, expire_at_ms: int64_t) -> cython.int:
        """Make the key a packed stream, which may be what it was."""
        size: uint32_t = 5 + PyBytes_GET_SIZE(nodes) + PyBytes_GET_SIZE(tail)
        payload: cython.pointer[uint8_t] = self.database.store.put_payload(
            key_of(self.key, self.hash_),
            self.at_slot(),
            TYPE_STREAM,
            PACKED_HEADER + size,
            expire_at_ms,
        )
        memcpy(payload, cython.address(size), PACKED_HEADER)
        payload = write_length(payload + PACKED_HEADER, count, 5)
        memcpy(payload, PyBytes_AS_STRING(nodes), PyBytes_GET_SIZE(nodes))
        memcpy(payload + PyBytes_GET_SIZE(nodes), PyBytes_AS_STRING(tail), PyBytes_GET_SIZE(tail))
        self.spread = 0
        self.chunked = False
        return 0

    def put_spread(self, spread: uint32_t, tail: bytes, expire_at_ms: int64_t) -> cython.int:
        """Make the key the root of a spread stream, whose nodes are there already."""
        words: uint32_t[3]
        payload: cython.pointer[uint8_t] = self.database.store.put_payload(
            key_of(self.key, self.hash_),
            self.at_slot(),
            TYPE_STREAM,
            SPREAD_STREAM + PyBytes_GET_SIZE(tail),
            expire_at_ms,
        )
        words[0] = SPREAD_MARK
        words[1] = spread
        words[2] = cython.cast(uint32_t, PyBytes_GET_SIZE(tail))
        memcpy(payload, words, SPREAD_STREAM)
        memcpy(payload + SPREAD_STREAM, PyBytes_AS_STRING(tail), PyBytes_GET_SIZE(tail))
        self.database.store.stores.indexes[spread].key_hash = self.hash_
        self.spread = spread
        self.chunked = False
        return 0

    # Nodes

    def nodes(self) -> uint32_t:
        count: uint64_t = 0
        if self.spread:
            return cython.cast(uint32_t, self.database.store.arena.spreads[self.spread].count)
        if self.chunked:
            return root_of(self.payload()).chunks
        read_length(self.payload() + PACKED_HEADER, cython.address(count))
        return cython.cast(uint32_t, count)

    def node_at(self, index: uint32_t) -> cython.pointer[uint8_t]:
        """A node by its place in the order of IDs; good until the next change."""
        store: KeyStore = self.database.store
        at: cython.pointer[uint8_t]
        if self.spread:
            return (
                store.arena.base
                + store.stores.trees.entry(
                    store.stores.trees.seek_rank(cython.address(store.stores.indexes[self.spread].order), index)
                ).ref
            )
        if self.chunked:
            return span_of(store.arena.base, self.payload(), index).start
        at = self.payload() + NODES_START
        while index:
            at += NODE_HEADER - NODE_CAPACITY
            at += pack_size(at)
            index -= 1
        return at

    def pack_of(self, node: cython.pointer[uint8_t]) -> cython.pointer[uint8_t]:
        """A node's listpack."""
        return node + (NODE_HEADER if self.spread else NODE_HEADER - NODE_CAPACITY)

    def node_of(self, id: StreamId) -> int64_t:
        """The last node that begins at an ID or before it; -1: none does."""
        store: KeyStore = self.database.store
        raw: uint8_t[ID_SIZE]
        probe: Probe
        at: cython.pointer[uint8_t]
        index: int64_t = 0
        left: uint32_t
        middle: uint32_t
        put_id(raw, id)
        if self.spread:
            probe = at_member(order_of_id(raw), raw, ID_SIZE, True)
            return (
                cython.cast(
                    int64_t,
                    store.stores.trees.rank(
                        cython.address(store.stores.indexes[self.spread].order), cython.address(probe)
                    ),
                )
                - 1
            )
        left = self.nodes()
        if self.chunked:
            while index < left:
                middle = (index + left) >> 1
                if memcmp(self.node_at(middle) + 1, raw, ID_SIZE) <= 0:
                    index = middle + 1
                else:
                    left = middle
            return index - 1
        at = self.payload() + NODES_START
        while left and memcmp(at + 1, raw, ID_SIZE) <= 0:
            at += NODE_HEADER - NODE_CAPACITY
            at += pack_size(at)
            index += 1
            left -= 1
        return index - 1

    def grow_nodes(self, more: uint64_t) -> cython.int:
        """Take a form that has room for so many more bytes of nodes; True if it is another one."""
        grown: cython.bint = False
        if (
            not self.spread
            and not self.chunked
            and (self.tail_at() + more > PACKED_MAX or self.nodes() >= PACKED_NODES)
        ):
            self.chunk_nodes()
            grown = True
        if self.chunked and root_of(self.payload()).nbytes + more > CHUNKED_MAX:
            self.spread_nodes()
            grown = True
        return grown

    def tail_now(self) -> bytes:
        payload: cython.pointer[uint8_t] = self.payload()
        at: uint64_t = self.tail_at()
        if self.chunked:
            return bytes_at(payload + at, root_of(payload).tail)
        return bytes_at(payload + at, cython.cast(uint64_t, pack_size(payload)) + PACKED_HEADER - at)

    def chunk_nodes(self) -> cython.int:
        """Make the nodes of a packed stream chunks."""
        index: uint32_t
        node: cython.pointer[uint8_t]
        nodes: list = []
        for index in range(self.nodes()):
            node = self.node_at(index)
            nodes.append((bytes_at(node + 1, ID_SIZE), bytes_at(self.pack_of(node), pack_size(self.pack_of(node)))))
        return self.put_chunked(nodes, self.tail_now(), record_expire_at(self.database.store.record(self.at_slot())))

    def put_chunked(self, nodes: list, tail: bytes, expire_at_ms: int64_t) -> cython.int:
        """Make the key a chunked stream of these nodes, (ID, listpack) in order."""
        store: KeyStore = self.database.store
        root: Root
        head: cython.Py_ssize_t = CHUNKED_ROOT + CHUNK_ENTRY * len(nodes)
        payload: bytearray = bytearray(head) + tail
        start: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(payload))
        entry: uint64_t
        size: uint64_t
        root.mark = CHUNKED_MARK
        root.elements = root.nbytes = root.chunks = root.tail = 0
        root.number = store.stores.chunks.create(store.number, self.hash_)
        try:
            for id, pack in nodes:
                size = NODE_HEADER - NODE_CAPACITY + len(pack)
                entry = store.stores.chunks.allocate(root.number, size, 0)
                write_node(store.arena.base + entry + CHUNK_HEADER, id, pack)
                entry = make_entry(entry, 1)
                memcpy(start + CHUNKED_ROOT + CHUNK_ENTRY * root.chunks, cython.address(entry), CHUNK_ENTRY)
                root.chunks += 1
                root.elements += 1
                root.nbytes += cython.cast(uint32_t, size)
            root.tail = cython.cast(uint32_t, PyBytes_GET_SIZE(tail))
            memcpy(start, cython.address(root), CHUNKED_ROOT)
            store.put_chunked(
                key_of(self.key, self.hash_),
                self.at_slot(),
                TYPE_STREAM,
                start,
                expire_at_ms,
            )
        except ArenaFull:
            root.tail = 0
            memcpy(start, cython.address(root), CHUNKED_ROOT)
            store.stores.chunks.drop(start)
            raise
        self.spread = 0
        self.chunked = True
        return 0

    def spread_nodes(self) -> cython.int:
        """Give the nodes a store of their own."""
        store: KeyStore = self.database.store
        tail: bytes = self.tail_now()
        spread: uint32_t = store.stores.create(TYPE_STREAM, store.number)
        index: uint32_t
        node: cython.pointer[uint8_t]
        try:
            for index in range(self.nodes()):
                node = self.node_at(index)
                place_node(store, spread, node + 1, self.pack_of(node))
            self.put_spread(spread, tail, record_expire_at(store.record(self.at_slot())))
        except BaseException:
            store.stores.drop(spread)
            raise
        return 0

    # Adding

    def add(self, id: object, parts: tuple, max_bytes: uint64_t, max_entries: uint64_t) -> None:
        """Append an entry, fields and values by turns; its ID is above last_id.

        max_bytes, max_entries: Redis's limits of a node, 0 for none. The key is born if need be.
        """
        self.add_above(id_of(id), parts, max_bytes, max_entries)

    def add_above(self, id: StreamId, parts: tuple, max_bytes: uint64_t, max_entries: uint64_t) -> cython.int:
        created: cython.bint = self.at_slot() == cython.NULL
        if created:
            self.create()
        try:
            self.append(id, parts, max_bytes, max_entries)
        except ArenaFull:
            if created:
                self.database.store.remove(self.at_slot(), self.hash_)
            raise
        self.changed()
        return 0

    def add_now(self, now_ms: uint64_t, parts: tuple, max_bytes: uint64_t, max_entries: uint64_t) -> bytes | None:
        """The same with the ID that follows from the clock, which is returned; None if the largest one is taken."""
        id: StreamId
        id.ms = id.sequence = 0
        if self.at_slot() != cython.NULL:
            id = self.id_number(LAST)
        if id.ms < now_ms:
            id.ms = now_ms
            id.sequence = 0
        else:
            id.sequence += 1
            if id.sequence == 0:
                id.ms += 1
                if id.ms == 0:
                    return None
        self.add_above(id, parts, max_bytes, max_entries)
        return id_text(id)

    def append(self, id: StreamId, parts: tuple, max_bytes: uint64_t, max_entries: uint64_t) -> cython.int:
        last: uint32_t
        node: cython.pointer[uint8_t]
        pack: bytes
        size: uint64_t = room_for(parts)
        elements: uint32_t = 0
        room: uint8_t[ENTRY_ROOM]
        entry: cython.pointer[uint8_t] = room
        tail: cython.pointer[uint8_t]
        # From here on the tail can be written, whatever becomes of the nodes.
        self.writable()
        last = self.nodes() - 1
        node = self.node_at(last) if last != NO_NODE else cython.NULL
        if node != cython.NULL and self.has_room(node, parts, max_bytes, max_entries):
            if size > ENTRY_ROOM:
                entry = cython.cast(cython.pointer[uint8_t], malloc(size))
                if entry == cython.NULL:
                    raise MemoryError
            try:
                size = encode_entry(entry, self.pack_of(node), id_at(node + 1), id, parts, cython.address(elements))
                if self.grow_nodes(size):
                    node = self.node_at(last)
                append_entry(self.grow_node_at(last, node, size), entry, cython.cast(uint32_t, size), elements)
            finally:
                if entry != cython.address(room[0]):
                    free(entry)
        else:
            pack = new_node(id, parts)
            self.grow_nodes(NODE_HEADER + PyBytes_GET_SIZE(pack))
            self.add_node(id, pack)
        tail = self.tail()
        add_one(tail + LENGTH * NUMBER_SIZE)
        add_one(tail + ADDED * NUMBER_SIZE)
        write_length(tail + LAST * NUMBER_SIZE, id.ms, NUMBER_SIZE)
        write_length(tail + (LAST + 1) * NUMBER_SIZE, id.sequence, NUMBER_SIZE)
        if number_at(tail, LENGTH) == 1:
            self.put_id_number(FIRST, id)
        return 0

    def has_room(
        self, node: cython.pointer[uint8_t], parts: tuple, max_bytes: uint64_t, max_entries: uint64_t
    ) -> cython.bint:
        """Whether Redis would add the entry to this last node, and no snapshot makes that expensive."""
        pack: cython.pointer[uint8_t] = self.pack_of(node)
        size: uint64_t = 0
        part: bytes
        if (
            (self.spread or self.chunked)
            and pack_size(pack) > FROZEN_NODE_MAX
            and self.database.store.arena.is_frozen(node - self.database.store.arena.base)
        ):
            return False
        for part in parts:
            size += PyBytes_GET_SIZE(part)
        if max_bytes == 0 or max_bytes > NODE_MAX_BYTES:
            max_bytes = NODE_MAX_BYTES
        if node_size_in_redis(pack) + size >= max_bytes:
            return False
        return max_entries == 0 or node_live(pack) + node_deleted(pack) < max_entries

    def add_node(self, id: StreamId, pack: bytes) -> cython.int:
        """Add a node behind all others."""
        raw: uint8_t[ID_SIZE]
        at: cython.pointer[uint8_t]
        place: uint64_t
        count: uint32_t = self.nodes()
        size: uint64_t = PyBytes_GET_SIZE(pack)
        put_id(raw, id)
        if self.spread:
            place_node(
                self.database.store,
                self.spread,
                raw,
                cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(pack)),
            )
            return self.trim_node(count - 1) if count else 0
        if self.chunked:
            write_node(
                insert_chunk(self.database.store, self.at_slot(), count, NODE_HEADER - NODE_CAPACITY + size, 0),
                bytes_at(raw, ID_SIZE),
                pack,
            )
            return trim_chunk(self.database.store, self.slot, count - 1) if count else 0
        place = self.tail_at()
        at = self.database.store.splice(self.slot, place, 0, NODE_HEADER - NODE_CAPACITY + size)
        write_length(at - place + PACKED_HEADER, count + 1, 5)
        return write_node(at, bytes_at(raw, ID_SIZE), pack)

    def trim_node(self, index: uint32_t) -> cython.int:
        """Give back the room that a node no longer grows into."""
        store: KeyStore = self.database.store
        node: cython.pointer[uint8_t] = self.node_at(index)
        size: uint64_t = NODE_HEADER + cython.cast(uint64_t, pack_size(self.pack_of(node)))
        hash_: uint64_t = 0
        if capacity_of(node) == size or store.arena.is_frozen(node - store.arena.base):
            return 0
        try:
            node = store.arena.base + store.stores.resize(
                self.spread, self.find_spread(bytes_at(node + 1, ID_SIZE), cython.address(hash_)), size
            )
        except ArenaFull:
            return 0
        set_capacity(node, size)
        return 0

    def grow_node(self, index: uint32_t, more: uint64_t) -> cython.pointer[uint8_t]:
        """The listpack of a node, in a place where it may be changed and has room for so many more bytes."""
        return self.grow_node_at(index, self.node_at(index), more)

    def grow_node_at(self, index: uint32_t, node: cython.pointer[uint8_t], more: uint64_t) -> cython.pointer[uint8_t]:
        """The same for the node that lies there."""
        store: KeyStore = self.database.store
        size: uint64_t = NODE_HEADER + cython.cast(uint64_t, pack_size(self.pack_of(node))) + more
        hash_: uint64_t = 0
        place: uint64_t
        at: cython.pointer[uint8_t]
        if self.chunked:
            node = edit_chunk(
                store,
                self.at_slot(),
                index,
                size - NODE_CAPACITY - more,
                0,
                more,
                0,
                min(size // 4, CHUNK_GROWTH_MAX) if more else 0,
            ) - (size - NODE_CAPACITY - more)
            write_length(node + NODE_NAME, size - NODE_HEADER, 5)
            return self.pack_of(node)
        if not self.spread:
            if more == 0:
                place = node - self.payload()
                return self.pack_of(self.writable() + place)
            place = node - self.payload() + size - NODE_CAPACITY - more
            at = store.splice(self.slot, place, 0, more)
            at -= size - NODE_CAPACITY - more
            write_length(at + NODE_NAME, size - NODE_HEADER, 5)
            return self.pack_of(at)
        if size > capacity_of(node):
            size += min(size // 2, GROWTH_MAX)
        else:
            size = capacity_of(node)
        if size != capacity_of(node) or store.arena.is_frozen(node - store.arena.base):
            node = store.arena.base + store.stores.resize(
                self.spread, self.find_spread(bytes_at(node + 1, ID_SIZE), cython.address(hash_)), size
            )
            set_capacity(node, size)
        elif store.arena.fresh != cython.NULL:
            mark(store.arena, node - store.arena.base)
        write_length(node + NODE_NAME + NODE_CAPACITY, pack_size(self.pack_of(node)) + more, 5)
        return self.pack_of(node)

    # Reading

    def range(self, start: object, end: object, count: uint64_t = 0, reverse: cython.bint = False) -> list:
        """Entries from ID to ID, both included, as [ID, [field, value, ...]]; so many at most, 0 for all."""
        return self.between(id_of(start), id_of(end), count, reverse, None)

    def between(
        self, first: StreamId, last: StreamId, count: uint64_t, reverse: cython.bint, ids: bytearray | None
    ) -> list:
        """The same for StreamIds; those of the entries are appended to `ids`, if there is such an array."""
        found: list = []
        index: int64_t
        nodes: int64_t = self.nodes()
        if count == 0:
            count = ~cython.cast(uint64_t, 0)
        if is_less(last, first):
            return found
        index = self.node_of(last if reverse else first)
        if index < 0:
            if reverse:
                return found
            index = 0
        while 0 <= index < nodes and cython.cast(uint64_t, len(found)) < count:
            if not reverse and is_less(last, id_at(self.node_at(index) + 1)):
                break
            self.collect(index, first, last, count - len(found), reverse, found, ids)
            if reverse and is_less(id_at(self.node_at(index) + 1), first):
                break
            index += -1 if reverse else 1
        return found

    def collect(
        self,
        index: uint32_t,
        start: StreamId,
        end: StreamId,
        limit: uint64_t,
        reverse: cython.bint,
        found: list,
        ids: bytearray | None,
    ) -> cython.int:
        """Append what a node has of a range."""
        node: cython.pointer[uint8_t] = self.node_at(index)
        pack: cython.pointer[uint8_t] = self.pack_of(node)
        master: StreamId = id_at(node + 1)
        fields: uint32_t = master_fields(pack)
        names: list | None = None
        left: uint32_t = node_live(pack) + node_deleted(pack)
        count: uint32_t = 0
        entry: cython.pointer[StreamEntry]
        entries: cython.pointer[StreamEntry]
        at: cython.pointer[uint8_t]
        if left == 0:
            return 0
        entries = cython.cast(cython.pointer[StreamEntry], malloc(left * cython.sizeof(StreamEntry)))
        if entries == cython.NULL:
            raise MemoryError
        try:
            at = first_entry(pack)
            while left and (reverse or count < limit):
                entry = entries + count
                read_entry(at, master, fields, entry)
                at = entry.next
                left -= 1
                if is_less(end, entry.id):
                    break
                if not entry.deleted and not is_less(entry.id, start):
                    count += 1
            limit = min(limit, cython.cast(uint64_t, count))
            for left in range(limit):
                entry = entries + (count - 1 - left if reverse else left)
                if entry.same_fields and names is None:
                    names = master_names(pack)
                found.append([id_text(entry.id), entry_parts(entry, names)])
            if ids is not None:
                append_ids(ids, entries, cython.cast(uint32_t, limit))
        finally:
            free(entries)
        return 0

    def find(self, id: StreamId, index: cython.pointer[uint32_t], entry: cython.pointer[StreamEntry]) -> cython.bint:
        """Where an entry is; False if there is none, or it is deleted."""
        node_index: int64_t = self.node_of(id)
        node: cython.pointer[uint8_t]
        pack: cython.pointer[uint8_t]
        left: uint32_t
        fields: uint32_t
        at: cython.pointer[uint8_t]
        if node_index < 0:
            return False
        node = self.node_at(cython.cast(uint32_t, node_index))
        pack = self.pack_of(node)
        left = node_live(pack) + node_deleted(pack)
        fields = master_fields(pack)
        at = first_entry(pack)
        index[0] = cython.cast(uint32_t, node_index)
        while left:
            read_entry(at, id_at(node + 1), fields, entry)
            if not is_less(entry.id, id):
                return not entry.deleted and not is_less(id, entry.id)
            at = entry.next
            left -= 1
        return False

    def contains(self, id: object) -> bool:
        index: uint32_t = 0
        entry: StreamEntry
        return self.find(id_of(id), cython.address(index), cython.address(entry))

    def edge(self, last: cython.bint) -> StreamId:
        """The ID of the first or last entry that is not deleted; 0-0 for none."""
        nodes: int64_t = self.nodes()
        index: int64_t = nodes - 1 if last else 0
        node: cython.pointer[uint8_t]
        pack: cython.pointer[uint8_t]
        at: cython.pointer[uint8_t]
        left: uint32_t
        fields: uint32_t
        entry: StreamEntry
        id: StreamId
        id.ms = id.sequence = 0
        while 0 <= index < nodes:
            node = self.node_at(cython.cast(uint32_t, index))
            pack = self.pack_of(node)
            if node_live(pack):
                left = node_live(pack) + node_deleted(pack)
                fields = master_fields(pack)
                at = first_entry(pack)
                while left:
                    read_entry(at, id_at(node + 1), fields, cython.address(entry))
                    if not entry.deleted:
                        id = entry.id
                        if not last:
                            break
                    at = entry.next
                    left -= 1
                return id
            index += -1 if last else 1
        return id

    def first_entry_id(self) -> int:
        """Of the first entry that is there; 0 for none."""
        return number_of(self.edge(False))

    def last_entry_id(self) -> int:
        """Of the last entry that is there; 0 for none."""
        return number_of(self.edge(True))

    @property
    def node_count(self) -> int:
        return self.nodes()

    def node_depths(self, most: uint32_t) -> bytes:
        """How many first bytes the IDs of the first nodes share with the next one's: a byte for each but the last.

        The tree of a spread stream knows the first half of each, so most nodes are not looked at.
        """
        store: KeyStore = self.database.store
        count: uint32_t = min(self.nodes(), most)
        depths: bytes = PyBytes_FromStringAndSize(cython.NULL, count - 1 if count else 0)
        out: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(depths))
        index: uint32_t
        cursor: Cursor
        entry: Entry
        before: Entry
        if self.spread:
            cursor = store.stores.trees.seek_rank(cython.address(store.stores.indexes[self.spread].order), 0)
        for index in range(count):
            if self.spread:
                entry = store.stores.trees.entry(cursor)
                cursor = store.stores.trees.following(cursor)
            else:
                entry.order = 0
                entry.ref = self.node_at(index) - store.arena.base
            if index:
                if entry.order != before.order:
                    out[index - 1] = cython.cast(uint8_t, __builtin_clzl(entry.order ^ before.order) >> 3)
                else:
                    out[index - 1] = shared_bytes(store.arena.base + before.ref + 1, store.arena.base + entry.ref + 1)
            before = entry
        return depths

    # Taking out

    def remove_node(self, index: uint32_t) -> cython.int:
        """Take out a node with its entries, without counting them."""
        store: KeyStore = self.database.store
        node: cython.pointer[uint8_t] = self.node_at(index)
        payload: cython.pointer[uint8_t]
        place: uint64_t
        if self.chunked:
            if self.nodes() == 1:
                return self.put_packed(b"", 0, self.tail_now(), record_expire_at(store.record(self.slot)))
            store.forget_element(self.at_slot(), node + 1, ID_SIZE)
            return remove_chunks(store, self.at_slot(), index, 1)
        if not self.spread:
            place = node - self.payload()
            payload = (
                store.splice(
                    self.slot,
                    place,
                    NODE_HEADER - NODE_CAPACITY + cython.cast(uint64_t, pack_size(self.pack_of(node))),
                    0,
                )
                - place
            )
            write_length(payload + PACKED_HEADER, self.nodes() - 1, 5)
            return 0
        if (
            self.nodes() == 1
            and store.stores.indexes[self.spread].next_part == 0
            and self.group_count() <= GROUPS_WALKED
        ):
            payload = self.payload()
            return self.put_packed(
                b"",
                0,
                bytes_at(payload + SPREAD_STREAM, pack_size(payload + SPREAD_STREAM - PACKED_HEADER)),
                record_expire_at(store.record(self.slot)),
            )
        return self.remove_spread_node(node)

    def remove_spread_node(self, node: cython.pointer[uint8_t]) -> cython.int:
        store: KeyStore = self.database.store
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t]
        store.forget_element(self.at_slot(), node + 1, ID_SIZE)
        slot = self.find_spread(bytes_at(node + 1, ID_SIZE), cython.address(hash_))
        store.stores.forget_order(self.spread, node - store.arena.base)
        store.tables.remove(cython.address(store.stores.indexes[self.spread].table), slot)
        store.arena.kill(node - store.arena.base, capacity_of(node))
        store.arena.spreads[self.spread].count -= 1
        return 0

    def delete(self, id: object) -> bool:
        """Take out an entry; True if it was there. first_id and max_deleted_id are the business of `deleted`."""
        index: uint32_t = 0
        entry: StreamEntry
        pack: cython.pointer[uint8_t]
        place: uint64_t
        if not self.find(id_of(id), cython.address(index), cython.address(entry)):
            return False
        self.writable()
        self.find(id_of(id), cython.address(index), cython.address(entry))
        pack = self.pack_of(self.node_at(index))
        if node_live(pack) == 1:
            self.remove_node(index)
        else:
            place = entry.flags - pack
            pack = self.grow_node(index, 0)
            write_integer(pack + place, FLAG_DELETED | (FLAG_SAME_FIELDS if entry.same_fields else 0))
            set_node_counts(pack, node_live(pack) - 1, node_deleted(pack) + 1)
        self.put_number(LENGTH, self.number(LENGTH) - 1)
        return True

    def deleted(self, ids: list) -> None:
        """Entries of these IDs have been deleted: keep first_id and max_deleted_id right. Counts the changes."""
        self.writable()
        if number_of(self.id_number(FIRST)) in ids or self.number(LENGTH) == 0:
            self.put_id_number(FIRST, self.edge(False))
        self.put_id_number(MAX_DELETED, id_of(max(self.max_deleted_id, max(ids))))
        self.database.shrunk(self.key)
        self.database.keyspace.dirty += len(ids) - 1

    # Trimming, node by node as Redis does it

    def trim_to_length(self, length: uint64_t, approximate: cython.bint, limit: uint64_t) -> int64_t:
        """Delete the oldest entries until so many are left; approximate: whole nodes only. Returns how many.

        limit: of the entries to delete, 0 for none. Counts no change: that is for `mark_trimmed`.
        """
        removed: uint64_t = 0
        count: uint64_t
        while self.nodes() and self.number(LENGTH) > length:
            count = node_live(self.pack_of(self.node_at(0)))
            if limit and removed + count > limit:
                break
            if self.number(LENGTH) - count < length:
                if not approximate:
                    removed += self.mark_entries(id_of(LARGEST_ID), self.number(LENGTH) - length)
                break
            self.drop_first(count)
            removed += count
        return self.trimmed(removed)

    def trim_below(self, id: object, approximate: cython.bint, limit: uint64_t) -> int:
        """Delete the entries below an ID, in the same way."""
        return self.trim_before(id_of(id), approximate, limit)

    def trim_before(self, least: StreamId, approximate: cython.bint, limit: uint64_t) -> int64_t:
        removed: uint64_t = 0
        count: uint64_t
        while self.nodes():
            count = node_live(self.pack_of(self.node_at(0)))
            if limit and removed + count > limit:
                break
            if not is_less(self.last_of_node(0), least):
                if not approximate:
                    removed += self.mark_entries(least, ~cython.cast(uint64_t, 0))
                break
            self.drop_first(count)
            removed += count
        return self.trimmed(removed)

    def drop_first(self, count: uint64_t) -> cython.int:
        """Take out the first node, which has so many entries."""
        self.writable()
        self.remove_node(0)
        self.put_number(LENGTH, self.number(LENGTH) - count)
        return 0

    def trimmed(self, removed: uint64_t) -> int64_t:
        if removed:
            self.writable()
            self.put_id_number(FIRST, self.edge(False))
        return removed

    def mark_entries(self, end: StreamId, most: uint64_t) -> uint32_t:
        """Delete the first entries of the first node, below an ID and so many at most."""
        node: cython.pointer[uint8_t]
        pack: cython.pointer[uint8_t]
        at: cython.pointer[uint8_t]
        left: uint32_t
        fields: uint32_t
        marked: uint32_t = 0
        entry: StreamEntry
        self.writable()
        self.grow_node(0, 0)
        node = self.node_at(0)
        pack = self.pack_of(node)
        left = node_live(pack) + node_deleted(pack)
        fields = master_fields(pack)
        at = first_entry(pack)
        while left and marked < most:
            read_entry(at, id_at(node + 1), fields, cython.address(entry))
            if not is_less(entry.id, end):
                break
            if not entry.deleted:
                write_integer(entry.flags, FLAG_DELETED | (FLAG_SAME_FIELDS if entry.same_fields else 0))
                marked += 1
            at = entry.next
            left -= 1
        set_node_counts(pack, node_live(pack) - marked, node_deleted(pack) + marked)
        self.put_number(LENGTH, self.number(LENGTH) - marked)
        return marked

    def last_of_node(self, index: uint32_t) -> StreamId:
        """The ID of a node's last entry, deleted or not."""
        node: cython.pointer[uint8_t] = self.node_at(index)
        pack: cython.pointer[uint8_t] = self.pack_of(node)
        at: cython.pointer[uint8_t] = first_entry(pack)
        left: uint32_t
        entry: StreamEntry
        entry.id = id_at(node + 1)
        for left in range(node_live(pack) + node_deleted(pack)):
            read_entry(at, id_at(node + 1), master_fields(pack), cython.address(entry))
            at = entry.next
        return entry.id

    # What a layer of a history does

    def apply(self, nodes: dict, tail: bytes, expire_at_ms: int64_t) -> None:
        """Put nodes, {ID: listpack} as checked_node gave them, in the place of those with their IDs; then the tail."""
        loader: StreamLoader
        index: uint32_t
        node: cython.pointer[uint8_t]
        if self.spread:
            self.apply_spread(nodes, tail)
            return
        all_nodes: dict = {}
        for index in range(self.nodes()):
            node = self.node_at(index)
            all_nodes[bytes_at(node + 1, ID_SIZE)] = bytes_at(self.pack_of(node), pack_size(self.pack_of(node)))
        all_nodes.update(nodes)
        loader = StreamLoader(self.database, self.key)
        for id in all_nodes:
            loader.node(id, all_nodes[id])
        loader.finish(tail, expire_at_ms)

    def apply_spread(self, nodes: dict, tail: bytes) -> cython.int:
        id: bytes
        pack: bytes
        index: int64_t
        payload: cython.pointer[uint8_t]
        store: KeyStore = self.database.store
        for id, pack in nodes.items():
            index = self.exact_node(id)
            if index >= 0:
                self.remove_spread_node(self.node_at(cython.cast(uint32_t, index)))
            place_node(
                store,
                self.spread,
                cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(id)),
                cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(pack)),
            )
        for name in self.groups():
            self.put_group(name, None)  # with its tables
        store.stores.remembered.pop(self.spread, None)
        payload = self.payload()
        payload = store.splice(
            self.at_slot(),
            SPREAD_STREAM,
            pack_size(payload + SPREAD_STREAM - PACKED_HEADER),
            PyBytes_GET_SIZE(tail),
        )
        memcpy(payload, PyBytes_AS_STRING(tail), PyBytes_GET_SIZE(tail))
        return 0

    def exact_node(self, id: bytes) -> int64_t:
        """The place of the node of this ID; -1: there is none."""
        raw: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(id))
        index: int64_t = -1
        if PyBytes_GET_SIZE(id) == ID_SIZE:
            index = self.node_of(id_at(raw))
        if index >= 0 and memcmp(self.node_at(cython.cast(uint32_t, index)) + 1, raw, ID_SIZE) != 0:
            return -1
        return index

    def drop_node(self, id: bytes) -> None:
        """Take out the node of this ID, if there is one, without counting its entries."""
        index: int64_t = self.exact_node(id)
        if index >= 0:
            self.remove_node(cython.cast(uint32_t, index))

    # Groups, as bytes; stream_group knows what is in them

    def group_count(self) -> int:
        count: uint64_t = 0
        read_length(self.tail() + GROUPS_AT, cython.address(count))
        return count

    def groups(self) -> list[bytes]:
        """The bytes of every group, in the order of their names."""
        at: cython.pointer[uint8_t] = self.tail() + TAIL_MIN
        end: cython.pointer[uint8_t]
        found: list = []
        for _ in range(self.group_count()):
            end = behind_group(at)
            found.append(bytes_at(at, end - at))
            at = end
        return found

    def group_at(self, name: bytes, found: cython.pointer[cython.bint]) -> cython.pointer[uint8_t]:
        """A group, or where one of this name would have its place."""
        at: cython.pointer[uint8_t] = self.tail()
        count: uint64_t = 0
        order: cython.int
        places: GroupPlaces
        index: uint32_t
        read_length(at + GROUPS_AT, cython.address(count))
        found[0] = False
        if count > GROUPS_WALKED and self.spread:
            places = self.group_places(count)
            index = places.seek(at, name, found)
            if index < places.count:
                return at + places.places[index]
            payload: cython.pointer[uint8_t] = self.payload()
            return payload + pack_size(payload + SPREAD_STREAM - PACKED_HEADER) + SPREAD_STREAM
        at += TAIL_MIN
        while count:
            order = order_of_name(at, name)
            if order >= 0:
                found[0] = order == 0
                break
            at = behind_group(at)
            count -= 1
        return at

    def group_places(self, count: uint64_t) -> GroupPlaces:
        """The places of the groups of a spread stream, of which there are so many."""
        stores: Stores = self.database.store.stores
        known: Remembered = remembered(stores, self.spread)
        places: GroupPlaces
        if known is not None:
            return cython.cast(GroupPlaces, known)
        places = GroupPlaces.__new__(GroupPlaces)
        places.learn(self.tail(), count)
        remember(stores, self.spread, places)
        return places

    def group(self, name: bytes) -> bytes | None:
        """The bytes of one group."""
        found: cython.bint = False
        at: cython.pointer[uint8_t] = self.group_at(name, cython.address(found))
        return bytes_at(at, behind_group(at) - at) if found else None

    def last_delivered(self, name: bytes, id: cython.pointer[StreamId]) -> cython.bint:
        """The last ID that a group has delivered; False if there is no such group."""
        found: cython.bint = False
        at: cython.pointer[uint8_t] = self.group_at(name, cython.address(found))
        length: uint64_t = 0
        if found:
            at = read_length(at, cython.address(length)) + length
            id[0] = id_number_at(at, 0)
        return found

    def put_group(self, name: bytes, group: bytes | None) -> cython.bint:
        """Add a group, or replace the one of this name; None: take it out with its tables. Counts no change.

        True if there was one.
        """
        found: cython.bint = False
        at: cython.pointer[uint8_t] = self.group_at(name, cython.address(found))
        size: uint64_t = behind_group(at) - at if found else 0
        new_size: uint64_t = 0 if group is None else PyBytes_GET_SIZE(group)
        mark: cython.pointer[uint8_t]
        tables: uint32_t[TABLES]
        table: cython.int
        tables[0] = 0
        if found and group is None:
            mark = behind_head(at)
            if mark[0] == TABLES_MARK:
                memcpy(tables, mark + 1, TABLES * 4)
        if group is None and not found:
            return False
        at = self.replace_in_tail(
            at - self.tail(), size, new_size, (group is not None) - cython.cast(cython.int, found)
        )
        if group is not None:
            memcpy(at, PyBytes_AS_STRING(group), new_size)
        if tables[0]:
            for table in range(TABLES):
                self.drop_table(tables[table])
        return found

    def create_table(self, width: uint32_t) -> int:
        """An empty table for a group, whose bytes must tell its number; see stream_table."""
        if not self.spread:
            self.spread_nodes()
        return self.database.store.stores.create_part(self.spread, width)

    def drop_table(self, number: uint32_t) -> None:
        self.database.store.stores.drop_part(self.spread, number)

    def create_group(self, name: bytes, group: bytes) -> cython.int:
        """Add a group of a new name; the key is born if need be."""
        if self.at_slot() == cython.NULL:
            self.put_packed(b"", 0, tail_bytes(0, 0, 0, 0, 0, [group]), 0)
            self.changed()
        else:
            self.put_group(name, group)
            self.spread_for_groups()
            self.database.keyspace.dirty += 1
        return 0

    def spread_for_groups(self) -> cython.int:
        """Give a stream with many groups a store, beside which their places are remembered; not if there is no room."""
        count: uint64_t = 0
        read_length(self.tail() + GROUPS_AT, cython.address(count))
        if not self.spread and count > GROUPS_WALKED:
            with contextlib.suppress(ArenaFull):
                self.spread_nodes()
        return 0

    def replace_in_tail(
        self, at: uint64_t, removed: uint64_t, size: uint64_t, groups: cython.int
    ) -> cython.pointer[uint8_t]:
        """Replace bytes of a group, or a whole one, by `size` others, which the caller writes to the address returned.

        at: their place in the tail. The number of groups changes by `groups`.
        """
        count: uint64_t = 0
        start: uint64_t = self.tail_at()
        root: Root
        known: Remembered = None
        place: cython.pointer[uint8_t]
        read_length(self.payload() + start + GROUPS_AT, cython.address(count))
        if self.spread and count > GROUPS_WALKED:
            known = self.group_places(count)
            cython.cast(GroupPlaces, known).reserve(count)
        if self.chunked:
            place = self.database.store.rewrite_part(self.at_slot(), start + at, removed, size)
            root = root_of(place - at - start)
            root.tail = cython.cast(uint32_t, root.tail - removed + size)
            memcpy(place - at - start, cython.address(root), CHUNKED_ROOT)
        elif self.spread:
            place = self.database.store.splice_part(self.at_slot(), start + at, removed, size)
        else:
            place = self.database.store.splice(self.at_slot(), start + at, removed, size)
        if groups:
            write_length(place - at + GROUPS_AT, count + groups, 5)
        if known is not None:
            cython.cast(GroupPlaces, known).replaced(at, removed, size, groups)
            if count + groups == GROUPS_WALKED:
                del self.database.store.stores.remembered[self.spread]
        return place

    def mark_trimmed(self, entries: int) -> None:
        """A trim has deleted so many entries: count the changes."""
        self.database.shrunk(self.key)
        self.database.keyspace.dirty += entries - 1


class StreamLoader:
    """A stream on its way from a file; its nodes come first, in any order, its tail last.

    The key may be there already, of any type; it is replaced in the end.
    """

    def __init__(self, database: Database, key: bytes) -> None:
        stream: Stream = Stream.__new__(Stream)
        stream.database = database
        stream.key = key
        stream.kind = TYPE_STREAM
        stream.slot = database.find(key, cython.address(stream.hash_))
        stream.changes = database.store.table.changes
        self.stream = stream
        self.nodes = []

    def node(self, id: bytes, pack: bytes) -> None:
        """Add a node that checked_node gave. Nodes that overlap do no harm as long as the stream is abandoned then."""
        if not self.spread:
            self.size += NODE_HEADER + PyBytes_GET_SIZE(pack)
            if self.size <= CHUNKED_MAX:
                self.nodes.append((id, pack))
                return
            self.spread = self.stream.database.store.stores.create(TYPE_STREAM, self.stream.database.store.number)
            for other_id, other_pack in self.nodes:
                self.place(other_id, other_pack)
            self.nodes = []
        self.place(id, pack)

    def place(self, id: bytes, pack: bytes) -> cython.int:
        place_node(
            self.stream.database.store,
            self.spread,
            cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(id)),
            cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(pack)),
        )
        return 0

    def abandon(self) -> None:
        """Give up the nodes."""
        if self.spread:
            self.stream.database.store.stores.drop(self.spread)
            self.spread = 0

    def finish(self, tail: bytes, expire_at_ms: int) -> None:
        """The key is born, or replaced."""
        self.nodes.sort()
        if self.spread:
            self.stream.put_spread(self.spread, tail, expire_at_ms)
            self.spread = 0
        elif self.size > PACKED_MAX or len(self.nodes) > PACKED_NODES:
            self.stream.put_chunked(self.nodes, tail, expire_at_ms)
        else:
            nodes = [b"\x10" + id + b"\x80" + len(pack).to_bytes(4, "big") + pack for id, pack in self.nodes]
            self.stream.put_packed(b"".join(nodes), len(nodes), tail, expire_at_ms)


@cython.cfunc
def find_stream(database: Database, key: bytes, stats: cython.bint) -> Stream:
    """Stream.at for compiled code."""
    view: Stream = Stream.__new__(Stream)
    return view if view.open(database, key, TYPE_STREAM, stats) else None


@cython.cfunc
def stream_to_write(database: Database, key: bytes) -> Stream:
    """Stream.to_write for compiled code."""
    view: Stream = Stream.__new__(Stream)
    view.open(database, key, TYPE_STREAM, False)
    return view


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def number_at(tail: cython.pointer[cython.const[uint8_t]], index: uint32_t) -> uint64_t:
    number: uint64_t
    memcpy(cython.address(number), tail + index * NUMBER_SIZE + 1, 8)
    return minikv_swap64(number)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def id_number_at(tail: cython.pointer[cython.const[uint8_t]], index: uint32_t) -> StreamId:
    id: StreamId
    id.ms = number_at(tail, index)
    id.sequence = number_at(tail, index + 1)
    return id


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def add_one(number: cython.pointer[uint8_t]) -> cython.void:
    """Count a number of the tail up."""
    count: uint64_t
    memcpy(cython.address(count), number + 1, 8)
    write_length(number, minikv_swap64(count) + 1, NUMBER_SIZE)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def shared_bytes(one: cython.pointer[cython.const[uint8_t]], other: cython.pointer[cython.const[uint8_t]]) -> uint8_t:
    """How many first bytes two IDs share."""
    depth: uint8_t = 0
    while depth < ID_SIZE and one[depth] == other[depth]:
        depth += 1
    return depth


@cython.cfunc
@cython.exceptval(-1, check=False)
def append_ids(ids: bytearray, entries: cython.pointer[cython.const[StreamEntry]], count: uint32_t) -> cython.int:
    size: cython.Py_ssize_t = PyByteArray_GET_SIZE(ids)
    step: uint32_t
    PyByteArray_Resize(ids, size + count * cython.sizeof(StreamId))
    id: cython.pointer[StreamId] = cython.cast(cython.pointer[StreamId], PyByteArray_AS_STRING(ids) + size)
    for step in range(count):
        id[step] = entries[step].id
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def capacity_of(node: cython.pointer[uint8_t]) -> uint64_t:
    """Bytes of a node that is an element."""
    capacity: uint32_t
    memcpy(cython.address(capacity), node + NODE_NAME, NODE_CAPACITY)
    return capacity


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def set_capacity(node: cython.pointer[uint8_t], size: uint64_t) -> cython.void:
    capacity: uint32_t = cython.cast(uint32_t, size)
    memcpy(node + NODE_NAME, cython.address(capacity), NODE_CAPACITY)


@cython.cfunc
@cython.exceptval(-1, check=False)
def write_node(at: cython.pointer[uint8_t], id: bytes, pack: bytes) -> cython.int:
    """A node in the bytes of the file."""
    at[0] = ID_SIZE
    memcpy(at + 1, PyBytes_AS_STRING(id), ID_SIZE)
    at = write_length(at + NODE_NAME, PyBytes_GET_SIZE(pack), 5)
    memcpy(at, PyBytes_AS_STRING(pack), PyBytes_GET_SIZE(pack))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def place_node(
    store: KeyStore,
    spread: uint32_t,
    raw: cython.pointer[cython.const[uint8_t]],
    pack: cython.pointer[cython.const[uint8_t]],
) -> cython.int:
    """Make a node an element of a spread stream."""
    size: uint64_t = NODE_HEADER + cython.cast(uint64_t, pack_size(pack))
    offset: uint64_t = store.stores.place(spread, hash_key(raw, ID_SIZE), cython.NULL, size)
    node: cython.pointer[uint8_t] = store.arena.base + offset
    node[0] = ID_SIZE
    memcpy(node + 1, raw, ID_SIZE)
    set_capacity(node, size)
    memcpy(write_length(node + NODE_NAME + NODE_CAPACITY, size - NODE_HEADER, 5), pack, size - NODE_HEADER)
    store.arena.spreads[spread].count += 1
    return store.stores.order_entry(spread, offset)
