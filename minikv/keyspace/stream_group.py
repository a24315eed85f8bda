# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821, F842
"""Consumer groups of streams: what was delivered to whom and is not acknowledged yet.

A group is a part of its stream's tail, in the bytes of the file with numbers of a fixed width:

    name | last ID: 9 + 9 B | entries read: 9 B | 0x80 count: 4 B | pending ...   | 0x80 count: 4 B | consumer ...
    pending     ID: 16 B | delivered at: 8 B, little endian | 0x81 deliveries: 8 B
    consumer    name | seen at: 8 B | 0x80 count: 4 B | IDs of its pending entries, 16 B each

A Group is a copy of these bytes for one command, which changes it and stores it as a whole: one change, or none. Two
tables of fixed width, sorted by ID, are found in them by halving. Names are in order everywhere.

A LargeGroup has its consumers and pending entries in tables of the arena instead, laid out in engine/stream_tail.pxd.
These change row by row, each completely or not at all, so what one command changes takes no more time than in Redis. A
group becomes large when it is stored with too many consumers or pending entries, and small again when it has few
consumers and none of them has a pending entry.

A consumer is told by a number: its place among those of a small group, which is good until one comes or goes; the
number that its rows have in a large one.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memcmp, memcpy, memmove
from cython.cimports.minikv.engine.record import (
    bytes_at,
    length_size,
    minikv_swap32,
    minikv_swap64,
    read_length,
    write_length,
)
from cython.cimports.minikv.engine.stream_tail import (
    CONSUMER_TIME,
    COUNT_SIZE,
    GROUPS_AT,
    NUMBER_SIZE,
    OWNED_ROW,
    OWNER_SIZE,
    PENDING_ROW,
    PENDING_SIZE,
    TABLES_MARK,
    TABLES_SIZE,
    TAIL_MIN,
    behind_group,
    behind_head,
)
from cython.cimports.minikv.keyspace.stream import Stream, StreamNumbers
from cython.cimports.minikv.keyspace.stream_group import NO_CONSUMER, UNKNOWN_READS, Entry, Owned
from cython.cimports.minikv.keyspace.stream_node import (
    ID_SIZE,
    StreamId,
    id_at,
    id_of,
    is_less,
    number_of,
    put_id,
)
from cython.cimports.minikv.keyspace.stream_table import ConsumerTable, PendingTable, StreamTable, table_of

from minikv.errors import ArenaFull

# A small group is read and written as a whole with each change: at most about 6 KiB of pending entries.
SMALL_PENDING = cython.declare(uint64_t, 128)
SMALL_CONSUMERS = cython.declare(uint64_t, 16)
# An entry is looked up by its ID in about the time in which so many are passed by.
LOOKUP_COST = cython.declare(uint64_t, 100)
SPARE = cython.declare(uint64_t, 256)
HEAD_NUMBERS = cython.declare(uint64_t, 3 * NUMBER_SIZE)
NOTHING_PENDING = cython.declare(bytes, b"\x80\0\0\0\0\x80\0\0\0\0")


class Tail(NamedTuple):
    """What a stream has besides nodes. IDs are numbers."""

    length: int
    last_id: int
    first_id: int
    max_deleted_id: int
    entries_added: int
    groups: list

    @staticmethod
    def decode(data: bytes) -> Tail:
        """Of what stream.tail_bytes made."""
        return decode_tail(data)


class Consumer(NamedTuple):
    """seen_ms: when it was last seen. ids: its pending entries."""

    name: bytes
    seen_ms: int
    ids: bytes


class Pending(NamedTuple):
    """One entry that was delivered to a consumer and not acknowledged."""

    id: int
    consumer: bytes
    delivered_ms: int
    deliveries: int


@cython.cfunc
def decode_tail(data: bytes) -> object:
    start: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(data))
    at: cython.pointer[uint8_t] = start + TAIL_MIN
    count: uint64_t = 0
    groups: list = []
    numbers = [
        int.from_bytes(data[place + 1 : place + NUMBER_SIZE], "big") for place in range(0, GROUPS_AT, NUMBER_SIZE)
    ]
    last_id, first_id, max_deleted_id = (numbers[place] << 64 | numbers[place + 1] for place in (1, 3, 5))
    read_length(start + GROUPS_AT, cython.address(count))
    while count:
        groups.append(group_at(at, None))
        at = behind_group(at)
        count -= 1
    return Tail(numbers[0], last_id, first_id, max_deleted_id, numbers[7], groups)


@cython.no_gc
@cython.freelist(4)
@cython.cclass
class Group:
    """last_id: of the last entry delivered. entries_read: how many were, None if that is not known."""

    def __init__(self, name: bytes, last_id: int = 0, entries_read: int | None = None):
        self.name = name
        self.last = id_of(last_id)
        self.reads = UNKNOWN_READS if entries_read is None else entries_read
        self.take(cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(NOTHING_PENDING)), 2 * COUNT_SIZE)

    def __dealloc__(self):
        free(self.data)

    def take(self, data: cython.pointer[cython.const[uint8_t]], size: uint64_t) -> cython.int:
        """Copy the bytes behind a small group's head."""
        count: uint64_t = 0
        self.replace(0, self.size, size)
        memcpy(self.data, data, size)
        read_length(self.data, cython.address(count))
        self.entries = cython.cast(uint32_t, count)
        read_length(self.consumers_at(), cython.address(count))
        self.count = cython.cast(uint32_t, count)
        return 0

    @staticmethod
    def of(stream: Stream, name: bytes) -> Group | None:
        """The group of this name."""
        return group_of(stream, name)

    @staticmethod
    def all_of(stream: Stream) -> list[Group]:
        at: uint64_t = TAIL_MIN
        group: Group
        groups: list = []
        for _ in range(stream.group_count()):
            group = group_at(stream.tail() + at, stream)
            groups.append(group)
            at += group.saved
        return groups

    @property
    def last_id(self) -> int:
        return number_of(self.last)

    @last_id.setter
    def last_id(self, id: int) -> None:
        self.last = id_of(id)

    @property
    def entries_read(self) -> int | None:
        return None if self.reads == UNKNOWN_READS else self.reads

    def encode(self) -> bytes:
        """A small group's bytes."""
        size: uint64_t = head_size(self.name)
        encoded: bytes = PyBytes_FromStringAndSize(cython.NULL, size + self.size)
        at: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(encoded))
        self.write_head(at)
        memcpy(at + size, self.data, self.size)
        return encoded

    def write_head(self, at: cython.pointer[uint8_t]) -> cython.int:
        put_head(at, self.name, self.last, self.reads)
        return 0

    def save(self) -> None:
        """Make it a part of the stream again; counts no change. The group is not to be used any more."""
        self.store()

    def store(self) -> cython.int:
        size: uint64_t = head_size(self.name)
        at: cython.pointer[uint8_t]
        if not self.is_small():
            return spread_group(self)
        at = self.stream.replace_in_tail(self.place, self.saved, size + self.size, 0)
        self.write_head(at)
        memcpy(at + size, self.data, self.size)
        return 0

    def is_small(self) -> bool:
        """Whether it is kept as a whole, or should be."""
        return self.pending_count() <= SMALL_PENDING and self.count <= SMALL_CONSUMERS

    def __len__(self) -> int:
        """Pending entries."""
        return self.pending_count()

    def __bool__(self) -> bool:
        return True

    def pending_count(self) -> uint64_t:
        return self.entries

    # The bytes of a small group

    def replace(self, at: uint64_t, removed: uint64_t, size: uint64_t) -> cython.pointer[uint8_t]:
        """Replace bytes by `size` others, which the caller writes."""
        data: cython.pointer[uint8_t]
        whole: uint64_t = self.size - removed + size
        if whole > self.capacity:
            data = cython.cast(cython.pointer[uint8_t], realloc(self.data, whole + SPARE))
            if data == cython.NULL:
                raise MemoryError
            self.data = data
            self.capacity = whole + SPARE
        if removed != size:
            memmove(self.data + at + size, self.data + at + removed, self.size - at - removed)
        self.size = whole
        return self.data + at

    def pending_at(self, place: uint32_t) -> cython.pointer[uint8_t]:
        return self.data + COUNT_SIZE + cython.cast(uint64_t, place) * PENDING_SIZE

    def consumers_at(self) -> cython.pointer[uint8_t]:
        """Where their number stands."""
        return self.pending_at(self.entries)

    def owned(self, consumer: uint32_t) -> Owned:
        """A consumer by its place; where it would be behind the last."""
        owned: Owned
        count: uint64_t = 0
        owned.end = self.consumers_at() + COUNT_SIZE
        while True:
            owned.name = owned.seen = owned.ids = owned.end
            if consumer == NO_CONSUMER or owned.end == self.data + self.size:
                return owned
            owned.name = read_length(owned.end, cython.address(owned.name_len))
            owned.seen = owned.name + owned.name_len
            owned.ids = read_length(owned.seen + CONSUMER_TIME, cython.address(count))
            if consumer == 0:
                owned.end = owned.ids + count * ID_SIZE
                return owned
            owned.end = owned.ids + count * ID_SIZE
            consumer -= 1

    def place_of(self, raw: cython.pointer[cython.const[uint8_t]]) -> uint32_t:
        """How many pending entries have smaller IDs."""
        return rows_below(self.data + COUNT_SIZE, self.entries, PENDING_SIZE, raw)

    def is_at(self, place: uint32_t, raw: cython.pointer[cython.const[uint8_t]]) -> cython.bint:
        return place < self.entries and memcmp(self.pending_at(place), raw, ID_SIZE) == 0

    def owner(self, raw: cython.pointer[cython.const[uint8_t]]) -> uint32_t:
        """Whose pending entry this is."""
        consumer: uint32_t
        place: uint32_t
        count: uint64_t
        owned: Owned = self.owned(NO_CONSUMER)
        for consumer in range(self.count):
            owned = next_owned(owned)
            count = (owned.end - owned.ids) // ID_SIZE
            place = rows_below(owned.ids, count, ID_SIZE, raw)
            if place < count and memcmp(owned.ids + cython.cast(uint64_t, place) * ID_SIZE, raw, ID_SIZE) == 0:
                return consumer
        return NO_CONSUMER

    def own(self, consumer: uint32_t, raw: cython.pointer[cython.const[uint8_t]]) -> cython.int:
        """Give an ID to a consumer, who does not have it."""
        owned: Owned = self.owned(consumer)
        count: uint64_t = (owned.end - owned.ids) // ID_SIZE
        place: uint64_t = rows_below(owned.ids, count, ID_SIZE, raw)
        write_length(owned.seen + CONSUMER_TIME, count + 1, COUNT_SIZE)
        memcpy(self.replace(owned.ids + place * ID_SIZE - self.data, 0, ID_SIZE), raw, ID_SIZE)
        return 0

    def disown(self, raw: cython.pointer[cython.const[uint8_t]]) -> cython.int:
        owned: Owned = self.owned(self.owner(raw))
        count: uint64_t = (owned.end - owned.ids) // ID_SIZE
        place: uint64_t = rows_below(owned.ids, count, ID_SIZE, raw)
        write_length(owned.seen + CONSUMER_TIME, count - 1, COUNT_SIZE)
        self.replace(owned.ids + place * ID_SIZE - self.data, ID_SIZE, 0)
        return 0

    def read_row(
        self,
        row: cython.pointer[cython.const[uint8_t]],
        consumer: uint32_t,
        entry: cython.pointer[Entry],
    ) -> cython.void:
        """A pending entry's bytes."""
        deliveries: uint64_t
        entry.id = id_at(row)
        entry.consumer = consumer
        memcpy(cython.address(entry.delivered_ms), row + ID_SIZE, 8)
        memcpy(cython.address(deliveries), row + ID_SIZE + 9, 8)
        entry.deliveries = cython.cast(int64_t, minikv_swap64(deliveries))

    # Consumers

    def consumer_of(self, name: bytes) -> uint32_t:
        """NO_CONSUMER: there is none of this name."""
        consumer: uint32_t
        owned: Owned = self.owned(NO_CONSUMER)
        for consumer in range(self.count):
            owned = next_owned(owned)
            if is_name(cython.address(owned), name):
                return consumer
        return NO_CONSUMER

    def name_of(self, consumer: uint32_t) -> bytes:
        owned: Owned = self.owned(consumer)
        return bytes_at(owned.name, owned.name_len)

    def see(self, name: bytes, now_ms: int64_t) -> uint32_t:
        """A consumer that acts now; it is new if there was none."""
        consumer: uint32_t = 0
        owned: Owned = self.owned(NO_CONSUMER)
        order: cython.int = -1
        place: uint64_t = owned.end - self.data
        length: uint64_t = PyBytes_GET_SIZE(name)
        at: cython.pointer[uint8_t]
        for consumer in range(self.count):
            owned = next_owned(owned)
            order = order_of(cython.address(owned), name)
            if order == 0:
                memcpy(owned.seen, cython.address(now_ms), CONSUMER_TIME)
                return consumer
            if order > 0:
                break
            place = owned.end - self.data
        else:
            consumer = self.count
        at = self.replace(place, 0, length_size(length) + length + CONSUMER_TIME + COUNT_SIZE)
        at = write_length(at, length, length_size(length))
        memcpy(at, PyBytes_AS_STRING(name), length)
        memcpy(at + length, cython.address(now_ms), CONSUMER_TIME)
        write_length(at + length + CONSUMER_TIME, 0, COUNT_SIZE)
        self.count += 1
        write_length(self.consumers_at(), self.count, COUNT_SIZE)
        return consumer

    def consumer_count(self) -> uint64_t:
        return self.count

    def owned_count(self, consumer: uint32_t) -> uint64_t:
        """Pending entries of a consumer."""
        owned: Owned = self.owned(consumer)
        return (owned.end - owned.ids) // ID_SIZE

    def drop(self, consumer: uint32_t) -> uint64_t:
        """Take out a consumer with its pending entries; how many there were."""
        owned: Owned = self.owned(consumer)
        before: Owned = self.owned(consumer - 1)
        count: uint64_t = (owned.end - owned.ids) // ID_SIZE
        ids: cython.pointer[uint8_t] = owned.ids
        kept: uint32_t = 0
        place: uint32_t
        head: uint64_t
        for place in range(self.entries):
            if ids < owned.end and memcmp(ids, self.pending_at(place), ID_SIZE) == 0:
                ids += ID_SIZE
            else:
                if kept != place:
                    memcpy(self.pending_at(kept), self.pending_at(place), PENDING_SIZE)
                kept += 1
        head = before.end - self.data
        self.replace(head, owned.end - before.end, 0)
        self.replace(self.pending_at(kept) - self.data, count * PENDING_SIZE, 0)
        self.entries = kept
        self.count -= 1
        write_length(self.data, kept, COUNT_SIZE)
        write_length(self.consumers_at(), self.count, COUNT_SIZE)
        return count

    def reports(self) -> list:
        """Each consumer's name, number, how many entries are pending for it, and when it was last seen."""
        found: list = []
        owned: Owned = self.owned(NO_CONSUMER)
        seen_ms: int64_t
        consumer: uint32_t
        for consumer in range(self.count):
            owned = next_owned(owned)
            memcpy(cython.address(seen_ms), owned.seen, CONSUMER_TIME)
            found.append((bytes_at(owned.name, owned.name_len), consumer, (owned.end - owned.ids) // ID_SIZE, seen_ms))
        return found

    def shares(self) -> list:
        """The names of the consumers that entries are pending for, and for each how many."""
        return [(name, count) for name, _, count, _ in self.reports() if count]

    # Pending entries, in the order of their IDs

    def seek(self, id: StreamId, entry: cython.pointer[Entry]) -> cython.bint:
        """The first pending entry of this ID or a larger one; False for none."""
        raw: uint8_t[ID_SIZE]
        place: uint32_t
        put_id(raw, id)
        place = self.place_of(raw)
        if place == self.entries:
            return False
        self.read_row(self.pending_at(place), self.owner(self.pending_at(place)), entry)
        return True

    def seek_of(self, consumer: uint32_t, id: StreamId, entry: cython.pointer[Entry]) -> cython.bint:
        """The same among the entries of one consumer."""
        raw: uint8_t[ID_SIZE]
        owned: Owned = self.owned(consumer)
        count: uint64_t = (owned.end - owned.ids) // ID_SIZE
        place: uint64_t
        put_id(raw, id)
        place = rows_below(owned.ids, count, ID_SIZE, raw)
        if place == count:
            return False
        self.read_row(self.pending_at(self.place_of(owned.ids + place * ID_SIZE)), consumer, entry)
        return True

    def seek_idle(
        self, consumer: uint32_t, id: StreamId, delivered_max_ms: int64_t, entry: cython.pointer[Entry]
    ) -> cython.bint:
        """The same, delivered no later, to one consumer or (NO_CONSUMER) to any."""
        raw: uint8_t[ID_SIZE]
        place: uint32_t
        while consumer != NO_CONSUMER and self.seek_of(consumer, id, entry):
            if entry.delivered_ms <= delivered_max_ms:
                return True
            id = entry.id
            if not next_id(cython.address(id)):
                return False
        if consumer == NO_CONSUMER:
            put_id(raw, id)
            for place in range(self.place_of(raw), self.entries):
                self.read_row(self.pending_at(place), NO_CONSUMER, entry)
                if entry.delivered_ms <= delivered_max_ms:
                    entry.consumer = self.owner(self.pending_at(place))
                    return True
        return False

    def seek_last(self, entry: cython.pointer[Entry]) -> cython.bint:
        """The last pending entry; False for none."""
        if self.entries:
            self.read_row(self.pending_at(self.entries - 1), 0, entry)
        return self.entries != 0

    def write(self, entry: cython.pointer[cython.const[Entry]]) -> cython.int:
        """Write a pending entry, new or changed; it is its consumer's."""
        raw: uint8_t[ID_SIZE]
        place: uint32_t
        put_id(raw, entry.id)
        place = self.place_of(raw)
        if not self.is_at(place, raw):
            self.replace(self.pending_at(place) - self.data, 0, PENDING_SIZE)
            self.entries += 1
            write_length(self.data, self.entries, COUNT_SIZE)
            self.own(entry.consumer, raw)
        elif self.owner(raw) != entry.consumer:
            self.disown(raw)
            self.own(entry.consumer, raw)
        write_row(self.pending_at(place), entry)
        return 0

    def take_out(self, id: StreamId) -> cython.bint:
        """Take out a pending entry; True if it was there."""
        raw: uint8_t[ID_SIZE]
        place: uint32_t
        put_id(raw, id)
        place = self.place_of(raw)
        if not self.is_at(place, raw):
            return False
        self.disown(raw)
        self.replace(self.pending_at(place) - self.data, PENDING_SIZE, 0)
        self.entries -= 1
        write_length(self.data, self.entries, COUNT_SIZE)
        return True

    # How far it has read

    def read_on(self, numbers: cython.pointer[cython.const[StreamNumbers]], id: StreamId) -> cython.void:
        """An entry above the last one is delivered: go on to it."""
        if self.reads != UNKNOWN_READS and not has_gap(numbers, id):
            self.reads += 1
        elif numbers.added:
            self.reads = entries_up_to(numbers, id)
        self.last = id

    def lag(self, numbers: cython.pointer[cython.const[StreamNumbers]]) -> object:
        """Entries of the stream that are still to be delivered, None if that is not known."""
        read: uint64_t = self.reads
        if not numbers.added:
            return 0
        if read == UNKNOWN_READS or has_gap(numbers, self.last):
            read = entries_up_to(numbers, self.last)
            if read == UNKNOWN_READS:
                return None
        return cython.cast(int64_t, numbers.added - read)

    # For whoever is not compiled

    @property
    def consumers(self) -> dict[bytes, Consumer]:
        """By name, in order."""
        found: dict = {}
        owned: Owned = self.owned(NO_CONSUMER)
        seen_ms: int64_t
        for _ in range(self.count):
            owned = next_owned(owned)
            memcpy(cython.address(seen_ms), owned.seen, CONSUMER_TIME)
            name = bytes_at(owned.name, owned.name_len)
            found[name] = Consumer(name, seen_ms, bytes_at(owned.ids, owned.end - owned.ids))
        return found

    @property
    def pending(self) -> bytes:
        """A small group's table of pending entries."""
        return bytes_at(self.data + COUNT_SIZE, cython.cast(uint64_t, self.entries) * PENDING_SIZE)

    def pending_of(self, consumer: Consumer) -> list[tuple[int, int, int]]:
        """A consumer's pending entries in a small group: ID, when delivered, how often."""
        ids: bytes = consumer.ids
        start: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(ids))
        at: cython.Py_ssize_t
        entry: Entry
        found: list = []
        for at in range(0, PyBytes_GET_SIZE(ids), ID_SIZE):
            self.read_row(self.pending_at(self.place_of(start + at)), 0, cython.address(entry))
            found.append((number_of(entry.id), entry.delivered_ms, entry.deliveries))
        return found

    def find(self, id: int) -> Pending | None:
        """The pending entry of an ID."""
        entry: Entry
        if not self.look_up(id_of(id), cython.address(entry)):
            return None
        return Pending(id, self.name_of(entry.consumer), entry.delivered_ms, entry.deliveries)

    def put(self, pending: Pending) -> None:
        """Write a pending entry, of a consumer that there is."""
        entry: Entry
        entry.id = id_of(pending.id)
        entry.consumer = self.consumer_of(pending.consumer)
        entry.delivered_ms = pending.delivered_ms
        entry.deliveries = pending.deliveries
        self.write(cython.address(entry))

    def remove(self, id: int) -> bool:
        """Take out a pending entry; True if it was there."""
        return self.take_out(id_of(id))

    def see_consumer(self, name: bytes, now_ms: int) -> None:
        """The consumer acts now; it is new if there was none."""
        self.see(name, now_ms)

    def remove_consumer(self, name: bytes) -> int:
        """Take out a consumer with its pending entries; how many there were."""
        return self.drop(self.consumer_of(name))


@cython.no_gc
@cython.final
@cython.cclass
class LargeGroup(Group):
    """table: of pending entries, by ID. owners: of their IDs, by consumer."""

    @cython.cfunc
    def open(self, numbers: cython.pointer[cython.const[uint8_t]]) -> LargeGroup:
        """Find the tables, whose numbers are given."""
        tables: uint32_t[3]
        memcpy(tables, numbers, TABLES_SIZE - 1)
        self.table = table_of(PendingTable, self.stream, tables[0])
        self.owners = table_of(StreamTable, self.stream, tables[1])
        self.consumer_table = table_of(ConsumerTable, self.stream, tables[2])
        self.saved_last = self.last
        self.saved_reads = self.reads
        return self

    def store(self) -> cython.int:
        at: cython.pointer[uint8_t]
        tables: uint32_t[3]
        table: cython.int
        group: Group
        if self.pending_count() or self.consumer_table.count() > SMALL_CONSUMERS:
            if (
                self.last.ms != self.saved_last.ms
                or self.last.sequence != self.saved_last.sequence
                or self.reads != self.saved_reads
            ):
                self.write_head(self.stream.replace_in_tail(self.place, head_size(self.name), head_size(self.name), 0))
            return 0
        group = Group(self.name)
        group.last = self.last
        group.reads = self.reads
        for name, number, _, seen_ms in self.reports():
            group.see(name, seen_ms)
        tables[0] = self.table.number
        tables[1] = self.owners.number
        tables[2] = self.consumer_table.number
        group.stream = self.stream
        group.place = self.place
        group.saved = self.saved
        group.store()
        for table in range(3):
            self.stream.drop_table(tables[table])
        return 0

    def is_small(self) -> bool:
        return False

    @property
    def consumers(self) -> dict[bytes, Consumer]:
        """ids: none, they are in a table."""
        return {name: Consumer(name, seen_ms, b"") for name, _, _, seen_ms in self.reports()}

    def pending_count(self) -> uint64_t:
        return self.table.count()

    # Consumers

    def consumer_count(self) -> uint64_t:
        return self.consumer_table.count()

    def consumer_of(self, name: bytes) -> uint32_t:
        number = self.consumer_table.known.numbers.get(name)
        return NO_CONSUMER if number is None else cython.cast(uint32_t, number)

    def name_of(self, consumer: uint32_t) -> bytes:
        return self.consumer_table.known.names[consumer]

    def see(self, name: bytes, now_ms: int64_t) -> uint32_t:
        """The stream knows a new one at once, before any entry is its own."""
        consumer: uint32_t = self.consumer_of(name)
        if consumer == NO_CONSUMER:
            return self.consumer_table.add(name, now_ms)
        self.consumer_table.see(consumer, now_ms)
        return consumer

    def owned_count(self, consumer: uint32_t) -> uint64_t:
        return self.owned_from(consumer + 1) - self.owned_from(consumer)

    @cython.cfunc
    @cython.exceptval(check=False)
    def owned_from(self, consumer: uint32_t) -> uint64_t:
        """How many rows of owners are of smaller numbers."""
        number: uint32_t = minikv_swap32(consumer)
        row: cython.pointer[uint8_t] = cython.NULL
        return self.owners.seek(
            cython.cast(cython.pointer[uint8_t], cython.address(number)), OWNER_SIZE, cython.address(row)
        )

    def drop(self, consumer: uint32_t) -> uint64_t:
        start: uint64_t = self.owned_from(consumer)
        count: uint64_t = self.owned_from(consumer + 1) - start
        place: uint64_t
        row: cython.pointer[uint8_t] = cython.NULL
        self.consumer_table.thaw_row(consumer)
        if count:
            self.owners.thaw(start)
        if count == self.table.count():
            self.table.remove(0, count)
        else:
            for place in range(start, start + count):
                self.table.thaw(self.table.seek(self.owners.at(place) + OWNER_SIZE, ID_SIZE, cython.address(row)))
            for place in range(start, start + count):
                self.table.remove(self.table.seek(self.owners.at(place) + OWNER_SIZE, ID_SIZE, cython.address(row)), 1)
        self.owners.remove(start, count)
        self.consumer_table.forget(consumer)
        return count

    def reports(self) -> list:
        known = self.consumer_table.known
        pending: dict = {}
        consumer: uint32_t
        start: uint64_t = 0
        behind: uint64_t
        end: uint64_t = self.owners.count()
        while start < end:
            memcpy(cython.address(consumer), self.owners.at(start), OWNER_SIZE)
            consumer = minikv_swap32(consumer)
            behind = self.owned_from(consumer + 1)
            pending[consumer] = behind - start
            start = behind
        return sorted(
            [
                (name, number, pending.get(number, 0), seen_ms)
                for (number, name), seen_ms in zip(known.names.items(), self.consumer_table.all_seen_ms(), strict=True)
            ]
        )

    def shares(self) -> list:
        found: list = []
        consumer: uint32_t
        start: uint64_t = 0
        behind: uint64_t
        end: uint64_t = self.owners.count()
        while start < end:
            memcpy(cython.address(consumer), self.owners.at(start), OWNER_SIZE)
            consumer = minikv_swap32(consumer)
            behind = self.owned_from(consumer + 1)
            found.append((self.name_of(consumer), behind - start))
            start = behind
        return sorted(found)

    # Pending entries

    @cython.cfunc
    @cython.exceptval(check=False)
    def read_wide(self, row: cython.pointer[cython.const[uint8_t]], entry: cython.pointer[Entry]) -> cython.bint:
        """A row of the table of pending entries; False for NULL."""
        consumer: uint32_t
        if row == cython.NULL:
            return False
        memcpy(cython.address(consumer), row + PENDING_SIZE, OWNER_SIZE)
        self.read_row(row, minikv_swap32(consumer), entry)
        return True

    def seek(self, id: StreamId, entry: cython.pointer[Entry]) -> cython.bint:
        raw: uint8_t[ID_SIZE]
        row: cython.pointer[uint8_t] = cython.NULL
        put_id(raw, id)
        self.table.seek(raw, ID_SIZE, cython.address(row))
        return self.read_wide(row, entry)

    def seek_of(self, consumer: uint32_t, id: StreamId, entry: cython.pointer[Entry]) -> cython.bint:
        wanted: uint8_t[OWNED_ROW]
        row: cython.pointer[uint8_t] = cython.NULL
        put_owned(wanted, consumer, id)
        self.owners.seek(wanted, OWNED_ROW, cython.address(row))
        if row == cython.NULL or memcmp(row, wanted, OWNER_SIZE) != 0:
            return False
        memcpy(wanted, row, OWNED_ROW)
        self.table.seek(wanted + OWNER_SIZE, ID_SIZE, cython.address(row))
        return self.read_wide(row, entry)

    def seek_idle(
        self, consumer: uint32_t, id: StreamId, delivered_max_ms: int64_t, entry: cython.pointer[Entry]
    ) -> cython.bint:
        raw: uint8_t[ID_SIZE]
        number: uint32_t = minikv_swap32(consumer)
        row: cython.pointer[uint8_t] = cython.NULL
        place: uint64_t
        if consumer != NO_CONSUMER and self.owned_count(consumer) * LOOKUP_COST < self.table.count():
            return Group.seek_idle(self, consumer, id, delivered_max_ms, entry)
        put_id(raw, id)
        place = self.table.seek(raw, ID_SIZE, cython.address(row))
        return self.read_wide(
            self.table.first_idle(
                place,
                delivered_max_ms,
                cython.NULL
                if consumer == NO_CONSUMER
                else cython.cast(cython.pointer[uint8_t], cython.address(number)),
            ),
            entry,
        )

    def seek_last(self, entry: cython.pointer[Entry]) -> cython.bint:
        return self.table.count() != 0 and self.read_wide(self.table.at(self.table.count() - 1), entry)

    def write(self, entry: cython.pointer[cython.const[Entry]]) -> cython.int:
        """Raises ArenaFull with nothing changed."""
        row: uint8_t[PENDING_ROW]
        owned: uint8_t[OWNED_ROW]
        before: uint8_t[OWNED_ROW]
        found: cython.pointer[uint8_t] = cython.NULL
        place: uint64_t
        write_row(row, entry)
        put_owned(owned, entry.consumer, entry.id)
        memcpy(row + PENDING_SIZE, owned, OWNER_SIZE)
        place = self.table.seek(row, ID_SIZE, cython.address(found))
        if found != cython.NULL and memcmp(found, row, ID_SIZE) == 0:
            self.table.thaw(place)
            found = self.table.at(place)
            if memcmp(found + PENDING_SIZE, owned, OWNER_SIZE) != 0:
                put_owned(before, 0, entry.id)
                memcpy(before, found + PENDING_SIZE, OWNER_SIZE)
                self.thaw_owned(before)
                self.insert_owned(owned)
                self.remove_owned(before)
            self.table.stores.touch(self.table.number)
            memcpy(found, row, PENDING_ROW)
            return 0
        self.insert_owned(owned)
        try:
            self.table.insert(place, row, PENDING_ROW)
        except ArenaFull:
            self.remove_owned(owned)
            raise
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def insert_owned(self, row: cython.pointer[cython.const[uint8_t]]) -> cython.int:
        found: cython.pointer[uint8_t] = cython.NULL
        return self.owners.insert(self.owners.seek(row, OWNED_ROW, cython.address(found)), row, OWNED_ROW)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def thaw_owned(self, row: cython.pointer[cython.const[uint8_t]]) -> cython.int:
        """Make sure that a row can be removed without more room."""
        found: cython.pointer[uint8_t] = cython.NULL
        return self.owners.thaw(self.owners.seek(row, OWNED_ROW, cython.address(found)))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def remove_owned(self, row: cython.pointer[cython.const[uint8_t]]) -> cython.int:
        found: cython.pointer[uint8_t] = cython.NULL
        return self.owners.remove(self.owners.seek(row, OWNED_ROW, cython.address(found)), 1)

    def take_out(self, id: StreamId) -> cython.bint:
        raw: uint8_t[ID_SIZE]
        owned: uint8_t[OWNED_ROW]
        row: cython.pointer[uint8_t] = cython.NULL
        place: uint64_t
        put_id(raw, id)
        place = self.table.seek(raw, ID_SIZE, cython.address(row))
        if row == cython.NULL or memcmp(row, raw, ID_SIZE) != 0:
            return False
        put_owned(owned, 0, id)
        memcpy(owned, row + PENDING_SIZE, OWNER_SIZE)
        self.table.thaw(place)
        self.thaw_owned(owned)
        self.remove_owned(owned)
        self.table.remove(place, 1)
        return True


# Making groups


@cython.cfunc
def group_of(stream: Stream, name: bytes) -> Group:
    """The group of this name, or None."""
    found: cython.bint = False
    at: cython.pointer[uint8_t] = stream.group_at(name, cython.address(found))
    return group_at(at, stream) if found else None


@cython.cfunc
def group_at(at: cython.pointer[uint8_t], stream: Stream | None) -> Group:
    """The group that begins here, in the tail of this stream or (None) of none."""
    body: cython.pointer[uint8_t] = behind_head(at)
    head: cython.pointer[uint8_t] = body - HEAD_NUMBERS
    length: uint64_t = 0
    text: cython.pointer[uint8_t] = read_length(at, cython.address(length))
    end: cython.pointer[uint8_t] = behind_group(at)
    group: Group = LargeGroup.__new__(LargeGroup) if body[0] == TABLES_MARK else Group.__new__(Group)
    group.name = bytes_at(text, length)
    memcpy(cython.address(group.last.ms), head + 1, 8)
    memcpy(cython.address(group.last.sequence), head + NUMBER_SIZE + 1, 8)
    memcpy(cython.address(group.reads), head + 2 * NUMBER_SIZE + 1, 8)
    group.last.ms = minikv_swap64(group.last.ms)
    group.last.sequence = minikv_swap64(group.last.sequence)
    group.reads = minikv_swap64(group.reads)
    group.saved = end - at
    if stream is not None:
        group.stream = stream
        group.place = at - stream.tail()
    if body[0] == TABLES_MARK:
        return cython.cast(LargeGroup, group).open(body + 1)
    group.take(body, end - body)
    return group


@cython.cfunc
def new_group(name: bytes, last: StreamId, reads: uint64_t) -> bytes:
    """The bytes of a group without consumers."""
    return write_group_head(name, last, reads) + NOTHING_PENDING


@cython.cfunc
@cython.exceptval(-1, check=False)
def spread_group(group: Group) -> cython.int:
    """Give a small group that has grown tables of its own, and store it. Raises ArenaFull with nothing stored."""
    stream: Stream = group.stream
    tables: list = []
    number: uint32_t
    at: cython.pointer[uint8_t]
    size: uint64_t = head_size(group.name)
    table: cython.int
    try:
        for width in (PENDING_ROW, OWNED_ROW, 0):
            tables.append(stream.create_table(width))
        fill_tables(group, tables)
        at = stream.replace_in_tail(group.place, group.saved, size + TABLES_SIZE, 0)
    except (ArenaFull, MemoryError):
        for number in tables:
            stream.drop_table(number)
        raise
    group.write_head(at)
    at += size
    at[0] = TABLES_MARK
    for table in range(3):
        number = tables[table]
        memcpy(at + 1 + 4 * table, cython.address(number), 4)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def fill_tables(group: Group, tables: list) -> cython.int:
    """Write the rows of a small group, in order, into three empty tables."""
    pending: PendingTable = table_of(PendingTable, group.stream, tables[0])
    owners: StreamTable = table_of(StreamTable, group.stream, tables[1])
    consumers: ConsumerTable = table_of(ConsumerTable, group.stream, tables[2])
    row: uint8_t[PENDING_ROW]
    owned: Owned = group.owned(NO_CONSUMER)
    numbers: cython.pointer[uint32_t] = cython.NULL
    number: uint32_t
    seen_ms: int64_t
    place: uint32_t
    at: cython.pointer[uint8_t]
    if group.entries:
        numbers = cython.cast(cython.pointer[uint32_t], realloc(cython.NULL, group.entries * OWNER_SIZE))
        if numbers == cython.NULL:
            raise MemoryError
    try:
        for _ in range(group.count):
            owned = next_owned(owned)
            memcpy(cython.address(seen_ms), owned.seen, CONSUMER_TIME)
            number = minikv_swap32(consumers.add(bytes_at(owned.name, owned.name_len), seen_ms))
            memcpy(row, cython.address(number), OWNER_SIZE)
            at = owned.ids
            place = 0
            while at < owned.end:
                memcpy(row + OWNER_SIZE, at, ID_SIZE)
                owners.insert(owners.count(), row, OWNED_ROW)
                # Most often the next ID is the next one pending.
                if not group.is_at(place, at):
                    place = group.place_of(at)
                numbers[place] = number
                place += 1
                at += ID_SIZE
        for place in range(group.entries):
            memcpy(row, group.pending_at(place), PENDING_SIZE)
            memcpy(row + PENDING_SIZE, numbers + place, OWNER_SIZE)
            pending.insert(place, row, PENDING_ROW)
    finally:
        free(numbers)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def spread_large_groups(stream: Stream) -> cython.int:
    """The same for the groups of a stream from a file, as far as there is room: they may be small for a while."""
    at: uint64_t = TAIL_MIN
    left: uint64_t = stream.group_count()
    start: cython.pointer[uint8_t]
    body: cython.pointer[uint8_t]
    entries: uint64_t = 0
    consumers: uint64_t = 0
    while left:
        start = stream.tail() + at
        body = behind_head(start)
        if body[0] != TABLES_MARK:
            body = read_length(body, cython.address(entries))
            read_length(body + entries * PENDING_SIZE, cython.address(consumers))
            if entries > SMALL_PENDING or consumers > SMALL_CONSUMERS:
                with contextlib.suppress(ArenaFull):
                    spread_group(group_at(start, stream))
        at += behind_group(stream.tail() + at) - (stream.tail() + at)
        left -= 1
    return 0


# Bytes


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def head_size(name: bytes) -> uint64_t:
    length: uint64_t = PyBytes_GET_SIZE(name)
    return length_size(length) + length + HEAD_NUMBERS


@cython.cfunc
@cython.exceptval(check=False)
def put_head(at: cython.pointer[uint8_t], name: bytes, last: StreamId, reads: uint64_t) -> cython.void:
    length: uint64_t = PyBytes_GET_SIZE(name)
    at = write_length(at, length, length_size(length))
    memcpy(at, PyBytes_AS_STRING(name), length)
    at = write_length(at + length, last.ms, NUMBER_SIZE)
    at = write_length(at, last.sequence, NUMBER_SIZE)
    write_length(at, reads, NUMBER_SIZE)


@cython.cfunc
def write_group_head(name: bytes, last: StreamId, reads: uint64_t) -> bytes:
    """The bytes of a group before its pending entries."""
    head: bytes = PyBytes_FromStringAndSize(cython.NULL, head_size(name))
    put_head(cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(head)), name, last, reads)
    return head


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rows_below(
    start: cython.pointer[cython.const[uint8_t]],
    count: uint64_t,
    width: uint64_t,
    raw: cython.pointer[cython.const[uint8_t]],
) -> uint32_t:
    """How many of the rows, which begin with rising IDs, have smaller ones."""
    low: uint64_t = 0
    high: uint64_t = count
    middle: uint64_t
    while low < high:
        middle = (low + high) // 2
        if memcmp(start + middle * width, raw, ID_SIZE) < 0:
            low = middle + 1
        else:
            high = middle
    return cython.cast(uint32_t, low)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def next_owned(owned: Owned) -> Owned:
    """The consumer behind another one."""
    count: uint64_t = 0
    owned.name = read_length(owned.end, cython.address(owned.name_len))
    owned.seen = owned.name + owned.name_len
    owned.ids = read_length(owned.seen + CONSUMER_TIME, cython.address(count))
    owned.end = owned.ids + count * ID_SIZE
    return owned


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def is_name(owned: cython.pointer[cython.const[Owned]], name: bytes) -> cython.bint:
    return (
        owned.name_len == cython.cast(uint64_t, PyBytes_GET_SIZE(name))
        and memcmp(owned.name, PyBytes_AS_STRING(name), owned.name_len) == 0
    )


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def order_of(owned: cython.pointer[cython.const[Owned]], name: bytes) -> cython.int:
    """Below, above or equal to 0 as a consumer's name is to this one."""
    length: uint64_t = PyBytes_GET_SIZE(name)
    order: cython.int = memcmp(owned.name, PyBytes_AS_STRING(name), min(length, owned.name_len))
    if order:
        return order
    return -1 if owned.name_len < length else owned.name_len > length


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def write_row(row: cython.pointer[uint8_t], entry: cython.pointer[cython.const[Entry]]) -> cython.void:
    put_id(row, entry.id)
    memcpy(row + ID_SIZE, cython.address(entry.delivered_ms), 8)
    write_length(row + ID_SIZE + 8, cython.cast(uint64_t, entry.deliveries), NUMBER_SIZE)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def put_owned(row: cython.pointer[uint8_t], consumer: uint32_t, id: StreamId) -> cython.void:
    number: uint32_t = minikv_swap32(consumer)
    memcpy(row, cython.address(number), OWNER_SIZE)
    put_id(row + OWNER_SIZE, id)


# Numbers


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_id(id: cython.pointer[StreamId]) -> cython.bint:
    """Go to the next ID; False behind the largest."""
    id.sequence += 1
    if id.sequence == 0:
        id.ms += 1
        return id.ms != 0
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def is_zero(id: StreamId) -> cython.bint:
    return id.ms == 0 and id.sequence == 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_gap(numbers: cython.pointer[cython.const[StreamNumbers]], start: StreamId) -> cython.bint:
    """Whether an entry at an ID or behind it has been deleted, as far as the stream's numbers tell."""
    if numbers.length == 0 or is_zero(numbers.max_deleted) or is_less(numbers.max_deleted, numbers.first):
        return False
    return not is_less(numbers.max_deleted, start)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def entries_up_to(numbers: cython.pointer[cython.const[StreamNumbers]], id: StreamId) -> uint64_t:
    """How many entries were ever added up to an ID, UNKNOWN_READS if that cannot be told."""
    added: uint64_t = numbers.added
    if added == 0 or (numbers.length == 0 and not is_less(numbers.last, id)):
        return added
    if not is_less(id, numbers.last):
        return UNKNOWN_READS if is_less(numbers.last, id) else added
    if is_zero(numbers.max_deleted) or is_less(numbers.max_deleted, numbers.first):
        if is_less(id, numbers.first):
            return added - numbers.length
        if not is_less(numbers.first, id):
            return added - numbers.length + 1
    return UNKNOWN_READS
