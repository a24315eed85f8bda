# cython: language_level=3
"""Consumer groups of streams: what was delivered to whom and is not acknowledged yet.

A group is a part of its stream's tail, in the bytes of the file with numbers of a fixed width:

    name | last ID: 9 + 9 B | entries read: 9 B | 0x80 count: 4 B | pending ...   | 0x80 count: 4 B | consumer ...
    pending     ID: 16 B | delivered at: 8 B, little endian | 0x81 deliveries: 8 B
    consumer    name | seen at: 8 B | 0x80 count: 4 B | IDs of its pending entries, 16 B each

A Group is made from these bytes for one command, which changes it and saves it as a whole: one change, or none. Pending
entries stay bytes: two tables of fixed width, sorted by ID, found by halving. Names are in order everywhere.

A LargeGroup has its pending entries in tables of the arena instead, laid out in engine/stream_tail.pxd. These change
entry by entry, each completely or not at all, so what one command changes takes no more time than in Redis. A group
becomes large when it is saved with too many pending entries, and small again when none is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple, Protocol

from minikv.errors import ArenaFull
from minikv.keyspace.stream import LARGEST_ID, Stream
from minikv.keyspace.stream_node import place_of
from minikv.keyspace.stream_table import StreamTable, rows_of_group

ID_SIZE = 16
PENDING_SIZE = 33
NUMBER_SIZE = 9
COUNT_SIZE = 5
GROUPS_AT = 8 * NUMBER_SIZE  # in a stream's tail
UINT64_MAX = (1 << 64) - 1
UNKNOWN_READS = UINT64_MAX  # entries_read is not known
# A small group is copied with each change: at most about 6 KiB of pending entries.
SMALL_MAX = 128
TABLES_MARK = 0xFF
PENDING_ROW = 37
OWNER_SIZE = 4
OWNED_ROW = 20


def has(table: bytearray, place: int, id: bytes) -> bool:
    """Whether this is what `place_of` found."""
    return table[place : place + ID_SIZE] == id


def raw_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def pending_entry(id: bytes, delivered_ms: int, deliveries: int) -> bytes:
    return id + delivered_ms.to_bytes(8, "little", signed=True) + b"\x81" + (deliveries & UINT64_MAX).to_bytes(8, "big")


def number_bytes(number: int) -> bytes:
    return b"\x81" + number.to_bytes(8, "big")


def count_bytes(count: int) -> bytes:
    return b"\x80" + count.to_bytes(4, "big")


def string_bytes(text: bytes) -> bytes:
    if len(text) < 64:
        return bytes((len(text),)) + text
    return (bytes((0x40 | len(text) >> 8, len(text) & 255)) if len(text) < 16384 else count_bytes(len(text))) + text


def string_at(data: bytes, at: int) -> tuple[bytes, int]:
    """A string of a group and where it ends."""
    length = data[at]
    at += 1
    if length >= 0x80:
        length = int.from_bytes(data[at : at + 4], "big")
        at += 4
    elif length >= 0x40:
        length = (length & 0x3F) << 8 | data[at]
        at += 1
    return data[at : at + length], at + length


class Tail(NamedTuple):
    """What a stream has besides nodes. IDs are numbers."""

    length: int
    last_id: int
    first_id: int
    max_deleted_id: int
    entries_added: int
    groups: list[Group]

    @staticmethod
    def decode(data: bytes) -> Tail:
        """Of what stream.tail_bytes made."""
        numbers = [int.from_bytes(data[at + 1 : at + NUMBER_SIZE], "big") for at in range(0, GROUPS_AT, NUMBER_SIZE)]
        last_id, first_id, max_deleted_id = (numbers[at] << 64 | numbers[at + 1] for at in (1, 3, 5))
        groups = []
        at = GROUPS_AT + COUNT_SIZE
        for _ in range(int.from_bytes(data[GROUPS_AT + 1 : at], "big")):
            group, at = Group.decode_at(data, at)
            groups.append(group)
        return Tail(numbers[0], last_id, first_id, max_deleted_id, numbers[7], groups)


class Consumer:
    """seen_ms: when it was last seen. ids: its pending entries."""

    __slots__ = ("ids", "name", "seen_ms")

    def __init__(self, name: bytes, seen_ms: int, ids: bytearray):
        self.name = name
        self.seen_ms = seen_ms
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids) // ID_SIZE

    def __bool__(self) -> bool:
        return True

    def add(self, id: bytes) -> None:
        place = place_of(self.ids, ID_SIZE, id)
        if not has(self.ids, place, id):
            self.ids[place:place] = id

    def remove(self, id: bytes) -> None:
        place = place_of(self.ids, ID_SIZE, id)
        if has(self.ids, place, id):
            del self.ids[place : place + ID_SIZE]


class Pending:
    """One entry that was delivered and not acknowledged. deliveries: a count of 64 bits that wraps, as in Redis."""

    __slots__ = ("consumer", "delivered_ms", "deliveries", "id")

    def __init__(self, id: int, consumer: Consumer, delivered_ms: int, deliveries: int):
        self.id = id
        self.consumer = consumer
        self.delivered_ms = delivered_ms
        self.deliveries = deliveries


class Group:
    """last_id: of the last entry delivered. entries_read: how many were, None if that is not known."""

    __slots__ = ("consumers", "entries_read", "last_id", "name", "pending")

    def __init__(self, name: bytes, last_id: int = 0, entries_read: int | None = None):
        self.name = name
        self.last_id = last_id
        self.entries_read = entries_read
        self.pending = bytearray()
        self.consumers: dict[bytes, Consumer] = {}

    @staticmethod
    def of(stream: Stream, name: bytes) -> Group | None:
        """The group of this name."""
        data = stream.group(name)
        return None if data is None else Group.decode(data, stream)

    @staticmethod
    def all_of(stream: Stream) -> list[Group]:
        return [Group.decode(data, stream) for data in stream.groups()]

    @staticmethod
    def decode(data: bytes, stream: Stream) -> Group:
        group, at = Group.decode_head(data, 0)
        if data[at] != TABLES_MARK:
            return Group.decode_at(data, 0)[0]
        return LargeGroup(group, stream, data, at + 1)

    @staticmethod
    def decode_head(data: bytes, at: int) -> tuple[Group, int]:
        """What comes before the pending entries of a group, and where it ends."""
        name, at = string_at(data, at)
        last_id = int.from_bytes(data[at + 1 : at + 9] + data[at + 10 : at + 18], "big")
        read = int.from_bytes(data[at + 19 : at + 27], "big")
        return Group(name, last_id, None if read == UNKNOWN_READS else read), at + 27

    @staticmethod
    def decode_at(data: bytes, at: int) -> tuple[Group, int]:
        """A small group that begins here, and where it ends."""
        group, at = Group.decode_head(data, at)
        size = int.from_bytes(data[at + 1 : at + 5], "big") * PENDING_SIZE
        group.pending = bytearray(data[at + 5 : at + 5 + size])
        at += 5 + size
        count = int.from_bytes(data[at + 1 : at + 5], "big")
        at += 5
        for _ in range(count):
            name, at = string_at(data, at)
            seen_ms = int.from_bytes(data[at : at + 8], "little", signed=True)
            size = int.from_bytes(data[at + 9 : at + 13], "big") * ID_SIZE
            group.consumers[name] = Consumer(name, seen_ms, bytearray(data[at + 13 : at + 13 + size]))
            at += 13 + size
        return group, at

    def head(self) -> list[bytes]:
        return [
            string_bytes(self.name),
            number_bytes(self.last_id >> 64),
            number_bytes(self.last_id & UINT64_MAX),
            number_bytes(UNKNOWN_READS if self.entries_read is None else self.entries_read),
        ]

    def encode(self) -> bytes:
        parts = [*self.head(), count_bytes(len(self)), bytes(self.pending), count_bytes(len(self.consumers))]
        for consumer in self.consumers.values():
            parts += (
                string_bytes(consumer.name),
                consumer.seen_ms.to_bytes(8, "little", signed=True),
                count_bytes(len(consumer)),
                bytes(consumer.ids),
            )
        return b"".join(parts)

    def save(self, stream: Stream) -> None:
        """Make it a part of the stream; counts no change. The group is not to be used any more."""
        if len(self) > SMALL_MAX:
            spread_group(self, stream)
        else:
            stream.put_group(self.name, self.encode())

    def __len__(self) -> int:
        """Pending entries."""
        return len(self.pending) // PENDING_SIZE

    def __bool__(self) -> bool:
        return True

    # Consumers

    def add_consumer(self, name: bytes, seen_ms: int) -> Consumer:
        """A new consumer."""
        self.consumers[name] = consumer = Consumer(name, seen_ms, bytearray())
        if next(reversed(self.consumers)) != max(self.consumers):
            self.consumers = dict(sorted(self.consumers.items()))
        return consumer

    def put_consumers(self, consumers: Iterable[Consumer]) -> None:
        """All consumers, from a file; their entries are pending here."""
        self.consumers = {consumer.name: consumer for consumer in sorted(consumers, key=lambda each: each.name)}

    def see_consumer(self, name: bytes, now_ms: int) -> Consumer:
        """A consumer that acts now; it is new if there was none."""
        consumer = self.consumers.get(name)
        if consumer is None:
            return self.add_consumer(name, now_ms)
        consumer.seen_ms = now_ms
        return consumer

    def remove_consumer(self, name: bytes) -> int:
        """Take out a consumer with its pending entries; how many there were."""
        consumer = self.consumers.pop(name)
        mine = {bytes(consumer.ids[at : at + ID_SIZE]) for at in range(0, len(consumer.ids), ID_SIZE)}
        table = self.pending
        kept = [
            table[at : at + PENDING_SIZE]
            for at in range(0, len(table), PENDING_SIZE)
            if bytes(table[at : at + ID_SIZE]) not in mine
        ]
        self.pending = bytearray(b"".join(kept))
        return len(mine)

    # Pending entries

    def owner(self, id: bytes) -> Consumer:
        """Whose pending entry this is."""
        for consumer in self.consumers.values():
            if has(consumer.ids, place_of(consumer.ids, ID_SIZE, id), id):
                return consumer
        raise AssertionError("a pending entry without consumer")

    def pending_at(self, place: int, consumer: Consumer | None = None) -> Pending:
        """The pending entry at an offset of the table."""
        entry = bytes(self.pending[place : place + PENDING_SIZE])
        return Pending(
            int.from_bytes(entry[:ID_SIZE], "big"),
            self.owner(entry[:ID_SIZE]) if consumer is None else consumer,
            int.from_bytes(entry[16:24], "little", signed=True),
            int.from_bytes(entry[25:], "big", signed=True),
        )

    def pending_of(self, consumer: Consumer) -> Iterator[Pending]:
        """All pending entries of one consumer."""
        for at in range(0, len(consumer.ids), ID_SIZE):
            id = bytes(consumer.ids[at : at + ID_SIZE])
            yield self.pending_at(place_of(self.pending, PENDING_SIZE, id), consumer)

    def is_pending(self, id: bytes) -> bool:
        return has(self.pending, place_of(self.pending, PENDING_SIZE, id), id)

    def find(self, id: int) -> Pending | None:
        """The pending entry of an ID."""
        raw = raw_id(id)
        place = place_of(self.pending, PENDING_SIZE, raw)
        return self.pending_at(place) if has(self.pending, place, raw) else None

    def put(self, entry: Pending) -> None:
        """Write a pending entry, new or changed; it is its consumer's."""
        raw = raw_id(entry.id)
        place = place_of(self.pending, PENDING_SIZE, raw)
        size = 0
        if has(self.pending, place, raw):
            size = PENDING_SIZE
            if not has(entry.consumer.ids, place_of(entry.consumer.ids, ID_SIZE, raw), raw):
                self.owner(raw).remove(raw)
        self.pending[place : place + size] = pending_entry(raw, entry.delivered_ms, entry.deliveries)
        entry.consumer.add(raw)

    def remove(self, id: int) -> bool:
        """Take out a pending entry; True if it was there."""
        raw = raw_id(id)
        place = place_of(self.pending, PENDING_SIZE, raw)
        if not has(self.pending, place, raw):
            return False
        self.owner(raw).remove(raw)
        del self.pending[place : place + PENDING_SIZE]
        return True

    def first_pending(self) -> int:
        return int.from_bytes(self.pending[:ID_SIZE], "big")

    def last_pending(self) -> int:
        return int.from_bytes(self.pending[-PENDING_SIZE:][:ID_SIZE], "big")

    def after(self, id: int) -> Pending | None:
        """The first pending entry of this ID or a larger one."""
        place = place_of(self.pending, PENDING_SIZE, raw_id(id))
        return self.pending_at(place) if place < len(self.pending) else None

    def next_of(self, consumer: Consumer, id: int) -> Pending | None:
        """The same among the entries of one consumer."""
        place = place_of(consumer.ids, ID_SIZE, raw_id(id))
        if place >= len(consumer.ids):
            return None
        return self.pending_at(
            place_of(self.pending, PENDING_SIZE, bytes(consumer.ids[place : place + ID_SIZE])), consumer
        )

    # How far it has read

    def read_entry(self, stream: Stream, id: int) -> None:
        """An entry above last_id is delivered: go on to it."""
        if self.entries_read is not None and not has_gap(stream, id):
            self.entries_read += 1
        elif stream.entries_added:
            self.entries_read = entries_up_to(stream, id)
        self.last_id = id

    def lag(self, stream: Stream) -> int | None:
        """Entries of the stream that are still to be delivered, None if that is not known."""
        if not stream.entries_added:
            return 0
        if self.entries_read is not None and not has_gap(stream, self.last_id):
            return stream.entries_added - self.entries_read
        read = entries_up_to(stream, self.last_id)
        return None if read is None else stream.entries_added - read


class Owner(Consumer):
    """A consumer of a large group. number: what its pending entries know it by."""

    __slots__ = ("number", "owned")

    def __init__(self, name: bytes, seen_ms: int, number: int, owned: StreamTable):
        super().__init__(name, seen_ms, bytearray())
        self.number = owner_bytes(number)
        self.owned = owned

    def __len__(self) -> int:
        return self.end() - self.start()

    def start(self) -> int:
        """Where its rows begin."""
        return self.owned.place_of(self.number)

    def end(self) -> int:
        return self.owned.place_of(owner_bytes(int.from_bytes(self.number, "big") + 1))


class LargeGroup(Group):
    """entries: table of pending entries, by ID. owned: table of their IDs, by consumer."""

    __slots__ = ("by_number", "entries", "owned", "stream")

    def __init__(self, head: Group, stream: Stream, data: bytes, at: int):
        super().__init__(head.name, head.last_id, head.entries_read)
        self.stream = stream
        self.entries = StreamTable(stream, int.from_bytes(data[at : at + 4], "little"))
        self.owned = StreamTable(stream, int.from_bytes(data[at + 4 : at + 8], "little"))
        self.by_number: dict[bytes, Owner] = {}
        count = int.from_bytes(data[at + 9 : at + 13], "big")
        at += 13
        for _ in range(count):
            name, at = string_at(data, at)
            seen_ms = int.from_bytes(data[at : at + 8], "little", signed=True)
            self.know(Owner(name, seen_ms, int.from_bytes(data[at + 8 : at + 12], "big"), self.owned))
            at += 12
        self.consumers = dict(sorted(self.consumers.items()))

    def know(self, consumer: Owner) -> Owner:
        self.consumers[consumer.name] = self.by_number[consumer.number] = consumer
        return consumer

    def encode(self) -> bytes:
        return large_group(self, self.entries, self.owned, self.by_number.values())

    def save(self, stream: Stream) -> None:
        if len(self):
            stream.put_group(self.name, self.encode())
            return
        stream.put_group(self.name, super().encode())
        stream.drop_table(self.entries.number)
        stream.drop_table(self.owned.number)

    def __len__(self) -> int:
        return len(self.entries)

    # Consumers

    def add_consumer(self, name: bytes, seen_ms: int) -> Consumer:
        """The stream knows it at once, before any entry is its own."""
        number = int.from_bytes(max(self.by_number, default=owner_bytes(0)), "big") + 1
        consumer = self.know(Owner(name, seen_ms, number, self.owned))
        self.consumers = dict(sorted(self.consumers.items()))
        self.stream.put_group(self.name, self.encode())
        return consumer

    def remove_consumer(self, name: bytes) -> int:
        consumer = self.consumers.pop(name)
        assert isinstance(consumer, Owner)
        del self.by_number[consumer.number]
        self.stream.put_group(self.name, self.encode())
        start, count = consumer.start(), len(consumer)
        if count == len(self):
            self.entries.remove(0, count)
        else:
            for place in range(start, start + count):
                self.entries.remove(self.entries.place_of(self.owned.row(place)[OWNER_SIZE:]))
        self.owned.remove(start, count)
        return count

    # Pending entries

    def pending_at(self, place: int, consumer: Consumer | None = None) -> Pending:
        row = self.entries.row(place)
        return Pending(
            int.from_bytes(row[:ID_SIZE], "big"),
            self.by_number[row[PENDING_SIZE:]] if consumer is None else consumer,
            int.from_bytes(row[16:24], "little", signed=True),
            int.from_bytes(row[25:PENDING_SIZE], "big", signed=True),
        )

    def pending_of(self, consumer: Consumer) -> Iterator[Pending]:
        entry = self.next_of(consumer, 0)
        while entry is not None:
            yield entry
            entry = None if entry.id == LARGEST_ID else self.next_of(consumer, entry.id + 1)

    def is_pending(self, id: bytes) -> bool:
        return self.entries.row(self.entries.place_of(id))[:ID_SIZE] == id

    def find(self, id: int) -> Pending | None:
        raw = raw_id(id)
        place = self.entries.place_of(raw)
        return self.pending_at(place) if self.entries.row(place)[:ID_SIZE] == raw else None

    def put(self, entry: Pending) -> None:
        """Raises ArenaFull with nothing changed."""
        raw = raw_id(entry.id)
        consumer = entry.consumer
        assert isinstance(consumer, Owner)
        place = self.entries.place_of(raw)
        before = self.entries.row(place)
        row = pending_entry(raw, entry.delivered_ms, entry.deliveries) + consumer.number
        if before[:ID_SIZE] == raw:
            if before[PENDING_SIZE:] != consumer.number:
                self.own(consumer.number + raw)
                self.disown(before[PENDING_SIZE:] + raw)
            self.entries.write(place, row)
            return
        self.own(consumer.number + raw)
        try:
            self.entries.insert(place, row)
        except ArenaFull:
            self.disown(consumer.number + raw)
            raise

    def own(self, row: bytes) -> None:
        self.owned.insert(self.owned.place_of(row), row)

    def disown(self, row: bytes) -> None:
        self.owned.remove(self.owned.place_of(row))

    def remove(self, id: int) -> bool:
        raw = raw_id(id)
        place = self.entries.place_of(raw)
        row = self.entries.row(place)
        if row[:ID_SIZE] != raw:
            return False
        self.disown(row[PENDING_SIZE:] + raw)
        self.entries.remove(place)
        return True

    def first_pending(self) -> int:
        return self.pending_at(0).id

    def last_pending(self) -> int:
        return self.pending_at(len(self) - 1).id

    def after(self, id: int) -> Pending | None:
        place = self.entries.place_of(raw_id(id))
        return self.pending_at(place) if place < len(self) else None

    def next_of(self, consumer: Consumer, id: int) -> Pending | None:
        assert isinstance(consumer, Owner)
        row = self.owned.row(self.owned.place_of(consumer.number + raw_id(id)))
        if row[:OWNER_SIZE] != consumer.number:
            return None
        return self.pending_at(self.entries.place_of(row[OWNER_SIZE:]), consumer)


def owner_bytes(number: int) -> bytes:
    return number.to_bytes(OWNER_SIZE, "big")


def large_group(group: Group, entries: StreamTable, owned: StreamTable, consumers: Iterable[Owner]) -> bytes:
    """The bytes of a group with these tables."""
    parts = [
        *group.head(),
        bytes((TABLES_MARK,)),
        entries.number.to_bytes(4, "little"),
        owned.number.to_bytes(4, "little"),
        count_bytes(len(group.consumers)),
    ]
    for consumer in consumers:
        seen = consumer.seen_ms.to_bytes(8, "little", signed=True)
        parts += (string_bytes(consumer.name), seen, consumer.number)
    return b"".join(parts)


def spread_group(group: Group, stream: Stream) -> None:
    """Give a small group that has grown tables of its own, and save it. Raises ArenaFull with nothing saved."""
    tables: list[StreamTable] = []
    try:
        for width in (PENDING_ROW, OWNED_ROW):
            tables.append(StreamTable(stream, stream.create_table(width)))
        entries, owned = tables
        owners = [Owner(c.name, c.seen_ms, number, owned) for number, c in enumerate(group.consumers.values(), 1)]
        ids = [(owner.number, group.consumers[owner.name].ids) for owner in owners]
        for table, rows, width in zip(tables, rows_of_group(group.pending, ids), (PENDING_ROW, OWNED_ROW), strict=True):
            table.extend(rows, width)
        stream.put_group(group.name, large_group(group, entries, owned, owners))
    except ArenaFull:
        for table in tables:
            stream.drop_table(table.number)
        raise


def spread_large_groups(stream: Stream) -> None:
    """The same for the groups of a stream from a file, as far as there is room: they may be small for a while."""
    for data in stream.groups():
        group = Group.decode(data, stream)
        if not isinstance(group, LargeGroup) and len(group) > SMALL_MAX:
            with suppress(ArenaFull):
                group.save(stream)


class StreamNumbers(Protocol):
    """What tells how many entries came before one: a Stream has it."""

    @property
    def last_id(self) -> int: ...
    @property
    def first_id(self) -> int: ...
    @property
    def max_deleted_id(self) -> int: ...
    @property
    def entries_added(self) -> int: ...
    def __len__(self) -> int: ...


def has_gap(stream: Stream, start: int) -> bool:
    """Whether an entry at an ID or behind it has been deleted, as far as the stream's numbers tell."""
    if not len(stream) or not stream.max_deleted_id or stream.first_id > stream.max_deleted_id:
        return False
    return start <= stream.max_deleted_id <= LARGEST_ID


def entries_up_to(stream: StreamNumbers, id: int) -> int | None:
    """How many entries were ever added up to an ID, None if that cannot be told."""
    added = stream.entries_added
    if not added or (not len(stream) and id <= stream.last_id):
        return added
    if id >= stream.last_id:
        return added if id == stream.last_id else None
    if not stream.max_deleted_id or stream.max_deleted_id < stream.first_id:
        if id < stream.first_id:
            return added - len(stream)
        if id == stream.first_id:
            return added - len(stream) + 1
    return None
