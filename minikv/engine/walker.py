# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The arena as a stream of RDB bytes: each database's records, then each spread collection with its elements.

A walk goes through the items that Arena.plan laid down and finds the live entries of each by their bits. A list it goes
along from node to node instead, wherever they lie, and its items are passed when it is done. It reads the arena, the
bitmap, the items and the table of spread collections, all inherited, and its own fields: nothing that belongs to the
parent alone. Entries are copied as they are, except for what is private to the arena: an empty expiry prefix, the size
of a packed collection, the root of a spread one. With a `compress` function, strings are replaced by their LZF form.

    SELECTDB 0, RESIZEDB, record, record ...    SELECTDB 1 ...    [SELECTDB n,] key, count, element, element ...   ...

The walk over a single value (value_bytes, for DUMP) is the parent's own. It finds the elements by their table.

In a child, `publish` tells the parent how far the walk is, and `release` gives the memory that it has passed back:
behind the walk the parent's writes cost no copies.
"""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.arena import (
    BITMAP_PER_SEGMENT,
    GRANULE,
    KEYS_DONE,
    RANK_PASSED,
    SEGMENT_SHIFT,
    SEGMENT_SIZE,
    WORDS_PER_SEGMENT,
    Arena,
    Spread,
    segment_end,
    segment_start,
)
from cython.cimports.minikv.engine.chain import Node
from cython.cimports.minikv.engine.memory import give_back
from cython.cimports.minikv.engine.record import (
    EXPIRY_OPCODE,
    EXPIRY_SIZE,
    KEYS,
    NODE_CAPACITY,
    PACKED_HEADER,
    RECORD_MAX,
    SPREAD_STREAM,
    TYPE_HASH,
    TYPE_LIST,
    TYPE_PART,
    TYPE_STREAM,
    TYPE_STRING,
    bytes_at,
    entry_size,
    length_size,
    payload_size,
    read_length,
    record_expire_at,
    record_payload,
    record_size,
    skip_expiry,
    string_size,
    write_length,
)
from cython.cimports.minikv.engine.stores import Stores, spread_of

from minikv.engine.stream_tail import wire_tail

OPCODE_SELECTDB = cython.declare(cython.int, 0xFE)
OPCODE_RESIZEDB = cython.declare(cython.int, 0xFB)
LZF_STRING = cython.declare(cython.int, 0xC3)
# Redis does not try to compress shorter strings; longer ones than the maximum would double the child's memory.
COMPRESS_MIN = cython.declare(uint64_t, 21)
COMPRESS_MAX = cython.declare(uint64_t, 16 << 20)
# After so many strings in a row that did not become shorter, one in 64 is tried: data that is compressed already,
# or random, would otherwise cost more processor time than all the rest of the save.
VAIN_TRIES = cython.declare(uint32_t, 64)
VAIN_MASK = cython.declare(uint32_t, 63)
# Room that `fill` needs before it begins a record: the largest one outside pages, or a short string's header.
BUFFER_MIN = cython.declare(uint64_t, RECORD_MAX + 64)
VALUE_BUFFER = 1 << 20  # bytes of a collection copied at a time for one value
LZF_HEADER = cython.declare(uint64_t, 19)  # of a compressed string, at most


class Walker:
    """One walk through `arena` by parts: (database, its store, keys, keys with a time, first item, items) in order."""

    def __cinit__(self, arena: Arena, parts: list):
        self.arena = arena
        self.parts = parts
        self.databases = {part[1]: part[0] for part in parts}
        self.roots = {}
        self.tails = {}
        self.spread = 2 * len(parts)
        self.spread_end = arena.stores_used

    @property
    def rank(self) -> int:
        """Items of the walk (segments or runs of segments) that lie behind."""
        return self.passed

    def fill(self, buffer, max_keys: int = 0, compress=None) -> int:
        """Write RDB bytes into a writable buffer of at least 64 KiB; returns how many, 0 at the end.

        max_keys: stop after so many (0: no limit). compress: like lzf.compress(data, max_len), None for no compression.
        """
        view: cython.uchar[::1] = buffer
        start: cython.pointer[uint8_t] = cython.address(view[0])
        out: cython.pointer[uint8_t] = start
        out_end: cython.pointer[uint8_t] = start + view.shape[0]
        keys_end: uint64_t = self.keys + cython.cast(uint64_t, max_keys) if max_keys else ~cython.cast(uint64_t, 0)
        entry: cython.pointer[uint8_t]
        opcodes: bytes
        if view.shape[0] < 2 * RECORD_MAX:
            raise ValueError("the buffer is too small for a record")
        if self.pending_len:
            out = self._drain(out, out_end)
        while self.pending_len == 0 and out + BUFFER_MIN <= out_end and self.keys < keys_end:
            if self.at == 0:
                opcodes = self._begin_part()
                if opcodes is None:
                    break
                out = self._copy(
                    out,
                    out_end,
                    cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(opcodes)),
                    len(opcodes),
                    opcodes,
                )
                self._seek()
                continue
            if self.kind == TYPE_LIST:
                out = self._in_node(out, out_end, compress)
                continue
            entry = self.arena.base + self.at
            if self.kind == KEYS:
                out = self._record(out, out_end, entry, compress)
            else:
                out = self._element(out, out_end, entry, compress)
            self.at = self.arena._next_live(self.at + GRANULE, self.end)
            if self.at >= self.end:
                self.item += 1
                self._seek()
        if self.pending_len == 0:
            self.passed = self.item
        return out - start

    def _seek(self) -> cython.void:
        """Go to the first live entry from the item on; `at` becomes 0 if the part has none."""
        segment: uint64_t
        if self.kind == TYPE_LIST:
            self._enter(self.node)
            return
        if self.stores is not None:
            self._seek_in_table()
            return
        while self.item < self.part_end:
            segment = self.arena.walk[self.item].segment
            self.end = segment_end(segment)
            self.at = self.arena._next_live(segment_start(segment), self.end)
            if self.at < self.end:
                return
            self.item += 1
        self.at = 0

    def _enter(self, node: uint64_t) -> cython.void:
        """Go to the elements of a list's node; `at` becomes 0 behind the last, and its items are passed."""
        header: cython.pointer[Node] = cython.cast(cython.pointer[Node], self.arena.base + node)
        if node == 0:
            self.at = 0
            self.item = self.part_end
            return
        self.at = node + header.start
        self.end = node + header.end
        self.node = header.next

    def _seek_in_table(self) -> cython.void:
        """The same by the table: while a snapshot is open, bits stand also for entries that have been replaced."""
        number: uint32_t = self.spread - 1
        while self.found == 0:
            if self.cursor == 0 and self.begun:
                self.at = 0
                return
            self.cursor = self.stores.tables.scan_home(
                cython.address(self.stores.indexes[number].table),
                self.cursor,
                self.offsets,
                cython.address(self.found),
            )
            self.begun = True
        self.found -= 1
        self.at = self.offsets[self.found]

    def _begin_part(self) -> bytes:
        """Go on to the next database or spread collection; what the file says of it first. None: the walk is over."""
        while self.part < len(self.parts):
            database, _, keys, timed, first, items = self.parts[self.part]
            self.part += 1
            self.kind = KEYS
            self.item = first
            self.part_end = first + items
            if keys:
                return self._select(database) + bytes([OPCODE_RESIZEDB]) + length_bytes(keys) + length_bytes(timed)
        return self._begin_spread()

    def _begin_spread(self) -> bytes:
        number: uint32_t
        spread: cython.pointer[Spread]
        if self.tail is not None:
            piece = next(self.tail, None)
            if piece is not None:
                return piece
            self.tail = None
        while self.spread < self.spread_end:
            number = self.spread
            spread = cython.address(self.arena.spreads[number])
            self.spread += 1
            if spread.kind == TYPE_STREAM or (spread.kind and spread.kind != TYPE_PART and spread.count):
                self.kind = spread.kind
                self.node = spread.head
                self.item = spread.walk_first
                self.part_end = spread.walk_first + spread.walk_count
                self.keys += 1
                if spread.kind == TYPE_STREAM:
                    self.tail = wire_tail(self.arena, self.tails.pop(number))
                return self._select(self.databases[spread.owner]) + self.roots.pop(number) + length_bytes(spread.count)
        self.item = self.arena.walk_len
        return None

    def _select(self, database) -> bytes:
        if database == self.selected:
            return b""
        self.selected = database
        return bytes([OPCODE_SELECTDB]) + length_bytes(database)

    def _copy(
        self,
        out: cython.pointer[uint8_t],
        out_end: cython.pointer[uint8_t],
        start: cython.pointer[cython.const[uint8_t]],
        nbytes: uint64_t,
        owner,
    ) -> cython.pointer[uint8_t]:
        """Write bytes, or as many as fit and keep the rest for the next call."""
        if nbytes <= cython.cast(uint64_t, out_end - out):
            memcpy(out, start, nbytes)
            return out + nbytes
        self.pending = start
        self.pending_len = nbytes
        self.pending_owner = owner
        return self._drain(out, out_end)

    def _drain(self, out: cython.pointer[uint8_t], out_end: cython.pointer[uint8_t]) -> cython.pointer[uint8_t]:
        """Continue what did not fit."""
        nbytes: uint64_t = min(self.pending_len, cython.cast(uint64_t, out_end - out))
        memcpy(out, self.pending, nbytes)
        self.pending += nbytes
        self.pending_len -= nbytes
        if self.pending_len == 0:
            self.pending_owner = None
        return out + nbytes

    def _record(
        self, out: cython.pointer[uint8_t], out_end: cython.pointer[uint8_t], record: cython.pointer[uint8_t], compress
    ) -> cython.pointer[uint8_t]:
        """A key with its value; nothing for the root of a spread collection, whose turn comes later."""
        nbytes: uint64_t = record_size(record)
        kind: uint8_t = skip_expiry(record)[0]
        payload: cython.pointer[uint8_t] = record_payload(record)
        spread: uint32_t = spread_of(kind, payload)
        header: uint64_t
        rest: bytes
        if record[0] == EXPIRY_OPCODE and record_expire_at(record) == 0:
            record += EXPIRY_SIZE
            nbytes -= EXPIRY_SIZE
        header = cython.cast(uint64_t, payload - record)
        if spread:
            # Kept: when the elements' turn comes, the root's segment may have been given back.
            self.roots[spread] = bytes_at(record, header)
            if kind == TYPE_STREAM:
                self.tails[spread] = bytes_at(payload + SPREAD_STREAM, nbytes - header - SPREAD_STREAM)
            return out
        self.keys += 1
        if kind == TYPE_STRING:
            # A key of this size leaves no room to begin the value behind it.
            if compress is None or header > RECORD_MAX // 2:
                return self._copy(out, out_end, record, nbytes, None)
            out = self._copy(out, out_end, record, header, None)
            return self._string(out, out_end, payload, compress)
        nbytes -= header + PACKED_HEADER
        if header + nbytes <= cython.cast(uint64_t, out_end - out):
            memcpy(out, record, header)
            memcpy(out + header, payload + PACKED_HEADER, nbytes)
            return out + header + nbytes
        rest = bytes_at(record, header) + bytes_at(payload + PACKED_HEADER, nbytes)
        return self._copy(
            out, out_end, cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(rest)), header + nbytes, rest
        )

    def _element(
        self, out: cython.pointer[uint8_t], out_end: cython.pointer[uint8_t], entry: cython.pointer[uint8_t], compress
    ) -> cython.pointer[uint8_t]:
        size: uint64_t
        name_size: uint64_t = string_size(entry)
        if self.kind == TYPE_STREAM:
            out = self._copy(out, out_end, entry, name_size, None)
            entry += name_size + NODE_CAPACITY
            if compress is None:
                return self._copy(out, out_end, entry, string_size(entry), None)
            return self._string(out, out_end, entry, compress)
        size = entry_size(self.kind, entry)
        if compress is None or name_size > RECORD_MAX // 2:
            return self._copy(out, out_end, entry, size, None)
        out = self._string(out, out_end, entry, compress)
        if self.kind == TYPE_HASH:
            return self._string(out, out_end, entry + name_size, compress)
        return self._copy(out, out_end, entry + name_size, size - name_size, None)

    def _in_node(
        self, out: cython.pointer[uint8_t], out_end: cython.pointer[uint8_t], compress
    ) -> cython.pointer[uint8_t]:
        """Elements of a list, to the end of the node or as many as there is room for."""
        at: uint64_t = self.at
        if compress is None:
            self.at = self.end
            out = self._copy(out, out_end, self.arena.base + at, self.end - at, None)
        while self.at < self.end and self.pending_len == 0 and out + BUFFER_MIN <= out_end:
            at = self.at
            self.at += string_size(self.arena.base + at)
            out = self._string(out, out_end, self.arena.base + at, compress)
        if self.at == self.end:
            self._enter(self.node)
        return out

    def _string(
        self, out: cython.pointer[uint8_t], out_end: cython.pointer[uint8_t], string: cython.pointer[uint8_t], compress
    ) -> cython.pointer[uint8_t]:
        """A string in LZF form if that is shorter, and seems worth trying."""
        length: uint64_t = 0
        data: cython.pointer[uint8_t] = read_length(string, cython.address(length))
        packed: object = None
        packed_len: uint64_t
        if COMPRESS_MIN <= length <= COMPRESS_MAX:
            self.in_vain += 1
            if self.in_vain <= VAIN_TRIES or self.in_vain & VAIN_MASK == 0:
                packed = compress(bytes_at(data, length), length - 4)
        if packed is None:
            return self._copy(out, out_end, string, cython.cast(uint64_t, data - string) + length, None)
        self.in_vain = 0
        packed_len = len(packed)
        out[0] = LZF_STRING
        out = write_length(out + 1, packed_len, length_size(packed_len))
        out = write_length(out, length, length_size(length))
        return self._copy(
            out, out_end, cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(packed)), packed_len, packed
        )

    def publish(self) -> None:
        """Tell the parent how far this walk is."""
        self.arena.progress[KEYS_DONE] = self.keys
        self.arena.progress[RANK_PASSED] = self.passed

    def release(self) -> None:
        """Give the memory of the items that lie behind back to the system. Only in a child: it loses the data."""
        number: uint64_t
        count: uint64_t
        while self.released < self.passed:
            number = self.arena.walk[self.released].segment
            count = self.arena.walk[self.released].segments
            give_back(self.arena.base + (number << SEGMENT_SHIFT), count * SEGMENT_SIZE)
            give_back(
                cython.cast(cython.pointer[uint8_t], self.arena.live + number * WORDS_PER_SEGMENT),
                count * BITMAP_PER_SEGMENT,
            )
            self.released += 1


def value_bytes(stores: Stores, record: cython.pointer[uint8_t], compress) -> bytes:
    """compress: as for Walker.fill."""
    kind: uint8_t = skip_expiry(record)[0]
    payload: cython.pointer[uint8_t] = record_payload(record)
    spread: uint32_t = spread_of(kind, payload)
    size: uint64_t = payload_size(kind, payload)
    walker: Walker = Walker(stores.arena, [])
    out: cython.pointer[uint8_t]
    parts: list = [bytes([kind])]
    if spread:
        walker.stores = stores
        walker.roots[spread] = parts.pop()
        if kind == TYPE_STREAM:
            walker.tails[spread] = bytes_at(payload + SPREAD_STREAM, size - SPREAD_STREAM)
        walker.databases[stores.arena.spreads[spread].owner] = None
        walker.spread = spread
        walker.spread_end = spread + 1
        buffer = bytearray(VALUE_BUFFER)
        while filled := walker.fill(buffer, 0, compress):
            parts.append(bytes_at(cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(buffer)), filled))
    elif kind == TYPE_STRING and compress is not None and size <= COMPRESS_MAX:
        buffer = bytearray(size + LZF_HEADER)
        out = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(buffer))
        filled = walker._string(out, out + len(buffer), payload, compress) - out
        parts.append(memoryview(buffer)[:filled])
    elif kind == TYPE_STRING:
        parts.append(bytes_at(payload, size))
    else:
        parts.append(bytes_at(payload + PACKED_HEADER, size - PACKED_HEADER))
    return b"".join(parts)


@cython.cfunc
def length_bytes(length: uint64_t) -> bytes:
    """An RDB length."""
    out: uint8_t[9]
    write_length(out, length, length_size(length))
    return bytes_at(out, length_size(length))
