# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""Read a stream from a file: nodes, one after another, then everything else at once.

    number of nodes | (ID as a string of 16 B | listpack as a string) ...
    length | last ID                             an ID here is two lengths
    first ID | largest deleted ID | entries added                           from the second form on
    number of groups | groups:
        name | last ID | entries read (second form)
        number of pending entries | (ID 16 B | delivered at 8 B | deliveries) ...
        number of consumers | (name | seen at 8 B | active at 8 B (third form on) | number of IDs | ID 16 B ...) ...
        number of released entries | ID 16 B ... (fifth form)
    seconds | most entries | number of producers | producers (fourth form on):
        name | number of messages | (name | ID) ...
    names added | names refused (fourth form on)

What the first form does not tell is reckoned as Redis does it. Nodes and pending entries may come in any order. All of
it is proved: nodes that do not overlap, pending entries that are each one consumer's. Only the length is not believed:
servers have written wrong ones, so the entries are counted.

A released entry is pending and nobody's, which minikv does not know: it becomes that of a consumer without a name, from
whom others can claim it. What is known of producers is passed over.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cython.cimports.libc.stdint import INT64_MAX, uint8_t, uint64_t
from cython.cimports.libc.stdlib import qsort
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.record import write_length
from cython.cimports.minikv.engine.stream_tail import COUNT_SIZE, NUMBER_SIZE, PENDING_SIZE
from cython.cimports.minikv.keyspace.stream import StreamNumbers
from cython.cimports.minikv.keyspace.stream_group import UNKNOWN_READS, entries_up_to, rows_below, write_group_head
from cython.cimports.minikv.keyspace.stream_node import ID_SIZE, id_of
from cython.cimports.minikv.rdb.format import TYPE_STREAM_1, TYPE_STREAM_2, TYPE_STREAM_4, TYPE_STREAM_5
from cython.cimports.minikv.rdb.input import RdbInput

from minikv.keyspace.stream import tail_bytes
from minikv.keyspace.stream_node import checked_node

NOBODY = b""  # consumer of released entries
# Bytes that a group, a pending entry and a consumer take at least.
GROUP_MIN = cython.declare(uint64_t, 5)
PENDING_MIN = cython.declare(uint64_t, 25)
CONSUMER_MIN = cython.declare(uint64_t, 10)
ID_LEN = cython.declare(uint64_t, 16)
SEEN_SIZE = cython.declare(uint64_t, 8)


@cython.cclass
class StreamReader:
    """One stream; ValueReader asks for its parts."""

    def __init__(self, source: RdbInput):
        self.source = source

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin(self, type: cython.int) -> cython.int:
        self.type = type
        self.live = self.claimed = self.producers = self.released = 0
        self.ranges = []
        self.first_id = None
        self.nodes_left = self.source.count()
        return 0

    @cython.cfunc
    def node(self) -> tuple:
        """The next node: its ID and its listpack as it is kept in the arena."""
        id: bytes = self.source.string()
        if len(id) != ID_LEN:
            self.source.fail("Stream node key entry is not the size of a stream ID")
        pack: bytes = self.source.string()
        try:
            pack, first, last, live = checked_node(id, pack)
        except ValueError as error:
            self.source.fail(f"Stream listpack integrity check failed: {error}")
        self.live += live
        self.ranges.append(id + last)
        if first is not None and (self.first_id is None or first < self.first_id):
            self.first_id = first
        self.nodes_left -= 1
        return id, pack

    @cython.cfunc
    def tail(self) -> bytes:
        """All behind the nodes, as it is kept in the arena."""
        length: uint64_t = self.live
        self.claimed = self.number()
        if self.partial:
            length = self.claimed
        last_id = self.id()
        first_id = int.from_bytes(self.first_id, "big") if self.first_id is not None else 0
        max_deleted_id = 0
        added: uint64_t = length
        groups: dict = {}
        _step: uint64_t
        self.check_nodes(last_id)
        if self.type != TYPE_STREAM_1:
            first_id = self.id()
            max_deleted_id = self.id()
            added = self.number()
        numbers: StreamNumbers
        numbers.length = length
        numbers.last = id_of(last_id)
        numbers.first = id_of(first_id)
        numbers.max_deleted = id_of(max_deleted_id)
        numbers.added = added
        for _step in range(self.many(GROUP_MIN)):
            name: bytes = self.source.string()
            group = self.group(name, cython.address(numbers))
            if name in groups:
                self.source.fail(f"Duplicated consumer group name {name[:128]!r}")
            groups[name] = group
        if self.type >= TYPE_STREAM_4:
            self.skip_producers()
        encoded: list = [groups[name] for name in sorted(groups)]
        return tail_bytes(length, last_id, first_id, max_deleted_id, added, encoded)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_nodes(self, last_id: object) -> cython.int:
        """The nodes are all read: none reaches into another, none is above the last ID."""
        before: bytes = b""
        self.ranges.sort()
        for both in self.ranges:
            if both[:16] <= before:
                self.source.fail("Stream nodes that overlap")
            before = both[16:]
        if int.from_bytes(before, "big") > last_id:
            self.source.fail("Stream with an entry above its last ID")
        self.ranges = []
        return 0

    @cython.cfunc
    def id(self) -> object:
        ms: object = self.source.length()
        return ms << 64 | self.source.length()

    @cython.cfunc
    @cython.exceptval(0, check=True)
    def number(self) -> uint64_t:
        """A number of entries."""
        number: uint64_t = self.source.length()
        if number > cython.cast(uint64_t, INT64_MAX):
            self.source.fail("Stream with a number of entries that cannot be")
        return number

    @cython.cfunc
    @cython.exceptval(0, check=True)
    def many(self, size: uint64_t) -> uint64_t:
        """A number of things that take so many bytes each at least."""
        count: uint64_t = self.source.count()
        if count > self.source.left() // size:
            self.source.need_no_more(count * size)
        return count

    @cython.cfunc
    def group(self, name: bytes, numbers: cython.pointer[cython.const[StreamNumbers]]) -> bytes:
        """The next group as it is kept in the arena."""
        last_id = self.id()
        reads: uint64_t = entries_up_to(numbers, id_of(last_id))
        _step: uint64_t
        if self.type != TYPE_STREAM_1:
            reads = self.source.length()
            if reads > cython.cast(uint64_t, INT64_MAX) and reads != UNKNOWN_READS:
                self.source.fail("Stream group with a number of entries that cannot be")
        pending: bytearray = self.read_pending()
        owned: bytearray = bytearray((len(pending) - COUNT_SIZE) // PENDING_SIZE)
        consumers: dict = {}
        for _step in range(self.many(CONSUMER_MIN)):
            self.read_consumer(pending, consumers, owned)
        if self.type == TYPE_STREAM_5:
            self.read_released(pending, consumers, owned)
        if not all(owned):
            self.source.fail("Stream group with pending entries that are not one consumer's each")
        parts: list = [
            write_group_head(name, id_of(last_id), reads),
            pending,
            b"\x80" + len(consumers).to_bytes(4, "big"),
        ]
        for consumer in sorted(consumers):
            parts += (string_bytes(consumer), consumers[consumer])
        return b"".join(parts)

    @cython.cfunc
    def read_pending(self) -> bytearray:
        """The pending entries behind their number, as they are kept in the arena."""
        source: RdbInput = self.source
        count: uint64_t = self.many(PENDING_MIN)
        table: bytearray = bytearray(COUNT_SIZE + count * PENDING_SIZE)
        start: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(table))
        row: cython.pointer[uint8_t] = write_length(start, count, COUNT_SIZE)
        deliveries: uint64_t
        _step: uint64_t
        for _step in range(count):
            source.need(ID_LEN + SEEN_SIZE)
            memcpy(row, source.buffer + source.at, ID_LEN + SEEN_SIZE)
            source.at += ID_LEN + SEEN_SIZE
            deliveries = source.length()
            row = write_length(row + ID_LEN + SEEN_SIZE, deliveries, NUMBER_SIZE)
        if sort_rows(start + COUNT_SIZE, count, PENDING_SIZE):
            source.fail("Duplicated global PEL entry loading stream consumer group")
        return table

    @cython.cfunc
    def read_consumer(self, pending: bytearray, consumers: dict, owned: bytearray) -> object:
        source: RdbInput = self.source
        name: bytes = source.string()
        source.need(SEEN_SIZE)
        seen: bytes = source.buffer[source.at : source.at + SEEN_SIZE]
        source.at += SEEN_SIZE
        if name in consumers:
            source.fail(f"Duplicate stream consumer detected: {name[:128]!r}")
        if self.type > TYPE_STREAM_2:
            source.skip(8)
        consumers[name] = seen + self.read_ids(pending, owned, b"")
        return None

    @cython.cfunc
    def read_ids(self, pending: bytearray, owned: bytearray, before: bytes) -> bytearray:
        """The count and the sorted IDs of `before` and of the entries read: pending in the group, not yet owned."""
        source: RdbInput = self.source
        count: uint64_t = self.many(ID_LEN)
        before_len: uint64_t = len(before)
        all_ids: uint64_t = before_len // ID_SIZE + count
        ids: bytearray = bytearray(COUNT_SIZE) + before + bytearray(count * ID_SIZE)
        at: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(ids))
        start: cython.pointer[uint8_t] = write_length(at, all_ids, COUNT_SIZE)
        table: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(pending))
        taken: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(owned))
        entries: uint64_t = PyByteArray_GET_SIZE(owned)
        place: uint64_t = 0
        _step: uint64_t
        table += COUNT_SIZE
        at = start + before_len
        for _step in range(count):
            source.need(ID_LEN)
            memcpy(at, source.buffer + source.at, ID_LEN)
            source.at += ID_LEN
            # Most often the next ID is the next one pending.
            if place >= entries or memcmp(table + place * PENDING_SIZE, at, ID_SIZE) != 0:
                place = rows_below(table, entries, PENDING_SIZE, at)
            if place == entries or memcmp(table + place * PENDING_SIZE, at, ID_SIZE) != 0:
                source.fail("Consumer entry not found in group global PEL")
            if taken[place]:
                source.fail("Stream consumer PEL entry already has a consumer assigned")
            taken[place] = 1
            place += 1
            at += ID_SIZE
        sort_rows(start, all_ids, ID_SIZE)
        return ids

    @cython.cfunc
    def read_released(self, pending: bytearray, consumers: dict, owned: bytearray) -> object:
        known: bytes = bytes(consumers.get(NOBODY, bytes(SEEN_SIZE + COUNT_SIZE)))
        ids: bytearray = self.read_ids(pending, owned, known[SEEN_SIZE + COUNT_SIZE :])
        released: uint64_t = (len(ids) + SEEN_SIZE - len(known)) // ID_SIZE
        if released:
            self.released += released
            consumers[NOBODY] = known[:SEEN_SIZE] + ids
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def skip_producers(self) -> cython.int:
        source: RdbInput = self.source
        _producer: uint64_t
        _message: uint64_t
        source.length()
        source.length()
        self.producers = source.count()
        for _producer in range(self.producers):
            source.skip_string()
            for _message in range(source.count()):
                source.skip_string()
                source.length()
                source.length()
        source.length()
        source.length()
        return 0


@cython.cfunc
def string_bytes(text: bytes) -> bytes:
    """A string as a file has it."""
    length = len(text)
    if length < 64:
        return bytes((length,)) + text
    return (bytes((0x40 | length >> 8, length & 255)) if length < 16384 else b"\x80" + length.to_bytes(4, "big")) + text


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def sort_rows(start: cython.pointer[uint8_t], count: uint64_t, width: uint64_t) -> cython.bint:
    """Sort rows that begin with IDs, most often they are; True if two have the same."""
    row: uint64_t
    for row in range(1, count):
        if memcmp(start + (row - 1) * width, start + row * width, ID_SIZE) >= 0:
            break
    else:
        return False
    qsort(start, count, width, by_id)
    row = 1
    while row < count and memcmp(start + (row - 1) * width, start + row * width, ID_SIZE) != 0:
        row += 1
    return row < count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def by_id(a: cython.pointer[cython.const[cython.void]], b: cython.pointer[cython.const[cython.void]]) -> cython.int:
    return memcmp(a, b, ID_SIZE)
