# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""How many bytes of the arena a key would take, without an arena: the arithmetic of Store and Builder alone.

What counts is the record and the elements, each rounded as the arena rounds it. The indexes are not in the arena, and
not counted. How the elements of a hash or set of medium size fall into buckets depends on their hashes, which are
others in each server: what is counted are as many buckets as are likely to be used. A sorted set is taken to come in
order. Whoever changes how the engine lays records out changes this too; tests compare it with the real thing.
"""

import cython
from cython.cimports.libc.math import exp
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.minikv.engine.arena import GRANULE
from cython.cimports.minikv.engine.chain import node_bytes
from cython.cimports.minikv.engine.chunks import CHUNKED_MAX, SMALL_COLLECTION, bucket_count, chunk_bytes
from cython.cimports.minikv.engine.packed import PACKED_COUNT, PACKED_MAX, PACKED_START
from cython.cimports.minikv.engine.record import (
    CHUNK_ENTRY,
    CHUNK_HEADER,
    CHUNKED_ROOT,
    EXPIRY_SIZE,
    FIELD_EXPIRY_SIZE,
    JUMBO_LENGTH_SIZE,
    NODE_CAPACITY,
    NODE_HEADER,
    NODE_PREFIX,
    PACKED_HEADER,
    RECORD_MAX,
    SCORE_SIZE,
    SPREAD_PAYLOAD,
    SPREAD_STREAM,
    TYPE_HASH,
    TYPE_LIST,
    TYPE_SET,
    TYPE_STREAM,
    TYPE_STRING,
    TYPE_ZSET,
    length_size,
)
from cython.cimports.minikv.engine.stream_tail import (
    CONSUMER_TIME,
    OWNED_ROW,
    OWNER_SIZE,
    PENDING_ID_SIZE,
    PENDING_ROW,
    PENDING_SIZE,
    TABLES,
    TABLES_SIZE,
)
from cython.cimports.minikv.keyspace.group_places import GROUPS_WALKED
from cython.cimports.minikv.keyspace.stream import PACKED_NODES

COUNT_SIZE = cython.declare(uint64_t, 5)
PAGE = cython.declare(uint64_t, 4096)


class Footprint:
    """Of one record after the other: begin, string or add as often as there are elements, nbytes."""

    def begin(self, kind: uint32_t, key_len: uint64_t, has_expiry: cython.bint) -> cython.void:
        """Begin a new record; has_expiry: it has an expiry."""
        self.kind = kind
        self.header = 1 + length_size(key_len) + key_len + (EXPIRY_SIZE if has_expiry else 0)
        self.prefixed = has_expiry
        self.value_len = self.count = self.size = self.entries = self.node_left = 0
        self.tail_len = self.groups = self.in_tables = self.tables = 0
        self.small.used = self.small.nbytes = self.small.chunks = 0
        self.large = self.small

    def string(self, value_len: uint64_t) -> cython.void:
        """Give it the value of a string."""
        self.value_len = value_len

    def add(self, name_len: uint64_t, value_len: uint64_t, expires: cython.bint = False) -> cython.void:
        """Add an element, by the lengths of its strings; only a hash has values, a sorted set's scores are known.

        expires: it is a field with an expiry.
        """
        size: uint64_t = length_size(name_len) + name_len
        if self.kind == TYPE_HASH:
            size += length_size(value_len) + value_len + (FIELD_EXPIRY_SIZE if expires else 0)
        elif self.kind == TYPE_ZSET:
            size += SCORE_SIZE
        self.count += 1
        self.size += size
        if self.kind == TYPE_LIST:
            self._add_to_chain(size)
        else:
            self.entries += rounded(size)
        add_to_chunks(cython.address(self.small), size, chunk_bytes(self.kind, 0))
        add_to_chunks(cython.address(self.large), size, chunk_bytes(self.kind, CHUNKED_MAX))

    def node(self, pack_len: uint64_t) -> cython.void:
        """Add the node of a stream, by the bytes of its listpack."""
        self.count += 1
        self.size += NODE_HEADER + pack_len
        self.entries += rounded(NODE_HEADER + pack_len)
        self.small.nbytes += rounded(CHUNK_HEADER + NODE_HEADER - NODE_CAPACITY + pack_len)

    def tail(self, tail_len: uint64_t, groups: uint64_t) -> cython.void:
        """Give it the tail of a stream, which has so many groups."""
        self.tail_len = tail_len
        self.groups = groups

    def large_group(self, pending: uint64_t, names: list) -> object:
        """See stream_tail.pxd: what small groups have in the tail is in tables instead. names: of the consumers."""
        width: uint64_t
        size: uint64_t
        self.in_tables += 2 * COUNT_SIZE + pending * (PENDING_SIZE + PENDING_ID_SIZE)
        self.in_tables -= TABLES_SIZE
        self.tables += TABLES
        self.node_left = 0
        for name in names:
            size = len(name)
            size += length_size(size) + CONSUMER_TIME
            self.in_tables += size + COUNT_SIZE
            size += OWNER_SIZE
            self._add_to_chain(length_size(size) + size)
        for width in (PENDING_ROW, OWNED_ROW):
            self.node_left = 0
            for _row in range(pending):
                self._add_to_chain(width)

    def nbytes(self) -> uint64_t:
        """What it all takes."""
        if self.kind == TYPE_STRING:
            return self._record(length_size(self.value_len) + self.value_len)
        if self.kind == TYPE_STREAM:
            return self._stream()
        if self.count <= PACKED_COUNT and self.size <= PACKED_MAX:
            return self._record(PACKED_START + self.size)
        if self.size > CHUNKED_MAX:
            return self._record(SPREAD_PAYLOAD) + self.entries
        if self.kind in (TYPE_HASH, TYPE_SET):
            return self._buckets()
        cut: Cut = self.small if self.size < SMALL_COLLECTION else self.large
        return (
            self._record(CHUNKED_ROOT + CHUNK_ENTRY * (cut.chunks + 1)) + cut.nbytes + rounded(CHUNK_HEADER + cut.used)
        )

    def _buckets(self) -> uint64_t:
        """As Builder.lay_out makes them."""
        buckets: uint64_t = bucket_count(self.size, self.count)
        in_use: uint64_t = cython.cast(uint64_t, buckets * (1 - exp(-cython.cast(cython.double, self.count) / buckets)))
        return self._record(CHUNKED_ROOT + CHUNK_ENTRY * buckets) + self.size + in_use * (CHUNK_HEADER + GRANULE // 2)

    def _stream(self) -> uint64_t:
        """Packed nodes do without their capacity; their number is a length of five bytes."""
        payload: uint64_t = SPREAD_STREAM
        entries: uint64_t = self.entries
        if self.size <= PACKED_MAX and self.count <= PACKED_NODES:
            payload = PACKED_HEADER + 5 + self.size - self.count * NODE_CAPACITY
            entries = 0
        elif self.size <= CHUNKED_MAX:
            payload = CHUNKED_ROOT + CHUNK_ENTRY * self.count
            entries = self.small.nbytes
        if self.tables == 0:
            if self.groups > GROUPS_WALKED:
                return self._record(SPREAD_STREAM + self.tail_len) + self.entries
            return self._record(payload + self.tail_len) + entries
        # It gets its tables, and with them nodes of their own, when all else is there; room for a time stays.
        if self.header + payload + self.tail_len > RECORD_MAX and not self.prefixed:
            self.header += EXPIRY_SIZE
            self.prefixed = True
        return self._record(SPREAD_STREAM + self.tail_len - self.in_tables) + self.entries

    def _add_to_chain(self, size: uint64_t) -> cython.void:
        """As a push at the right end does it."""
        if self.node_left < size:
            self.entries += rounded(node_bytes(size))
            self.node_left = node_bytes(size) - NODE_PREFIX
        self.node_left -= size

    def _record(self, payload_len: uint64_t) -> uint64_t:
        """A whole record; one of many pages always has room for a time, and the longest form of a string's length."""
        size: uint64_t = self.header + payload_len
        if size > RECORD_MAX:
            if not self.prefixed:
                size += EXPIRY_SIZE
            if self.kind == TYPE_STRING:
                size += JUMBO_LENGTH_SIZE - length_size(self.value_len)
        return rounded(size)


@cython.cfunc
@cython.exceptval(check=False)
def add_to_chunks(cut: cython.pointer[Cut], size: uint64_t, full: uint64_t) -> cython.void:
    if cut.used and cut.used + size > full:
        cut.nbytes += rounded(CHUNK_HEADER + cut.used)
        cut.chunks += 1
        cut.used = 0
    cut.used += size


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def rounded(size: uint64_t) -> uint64_t:
    """Up to granules or pages, as the arena deals them out."""
    return in_pages(size) if size > RECORD_MAX else (size + GRANULE - 1) & ~(GRANULE - 1)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def in_pages(size: uint64_t) -> uint64_t:
    return (size + PAGE - 1) & ~(PAGE - 1)
