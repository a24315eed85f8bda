# cython: boundscheck=False, wraparound=False, cdivision=True
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
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint64_t
from cython.cimports.minikv.rdb.input import RdbInput

from minikv.keyspace.stream import tail_bytes
from minikv.keyspace.stream_group import Consumer, Group, entries_up_to, pending_entry
from minikv.keyspace.stream_node import checked_node
from minikv.rdb import format as rdb_format

FIRST_FORM = cython.declare(cython.int, rdb_format.TYPE_STREAM)
SECOND_FORM = cython.declare(cython.int, rdb_format.TYPE_STREAM_2)
FOURTH_FORM = cython.declare(cython.int, rdb_format.TYPE_STREAM_4)
FIFTH_FORM = cython.declare(cython.int, rdb_format.TYPE_STREAM_5)
NOBODY = b""  # consumer of released entries
# Bytes that a group, a pending entry and a consumer take at least.
GROUP_MIN = cython.declare(uint64_t, 5)
PENDING_MIN = cython.declare(uint64_t, 25)
CONSUMER_MIN = cython.declare(uint64_t, 10)
ID_LEN = cython.declare(uint64_t, 16)
UINT64_MAX = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)


class StreamNumbers:
    """What entries_up_to wants to know of a stream."""

    def __init__(self, length: int, last_id: int, first_id: int, max_deleted_id: int, entries_added: int):
        self.length = length
        self.last_id = last_id
        self.first_id = first_id
        self.max_deleted_id = max_deleted_id
        self.entries_added = entries_added

    def __len__(self) -> int:
        return self.length


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
        last_id = self.id()
        first_id = int.from_bytes(self.first_id, "big") if self.first_id is not None else 0
        max_deleted_id = 0
        added: uint64_t = length
        groups: dict = {}
        _step: uint64_t
        self.check_nodes(last_id)
        if self.type != FIRST_FORM:
            first_id = self.id()
            max_deleted_id = self.id()
            added = self.number()
        numbers = StreamNumbers(length, last_id, first_id, max_deleted_id, added)
        for _step in range(self.many(GROUP_MIN)):
            group = self.group(numbers)
            if group.name in groups:
                self.source.fail(f"Duplicated consumer group name {group.name[:128]!r}")
            groups[group.name] = group
        if self.type >= FOURTH_FORM:
            self.skip_producers()
        encoded: list = [groups[name].encode() for name in sorted(groups)]
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
    def group(self, numbers: object) -> object:
        name: bytes = self.source.string()
        last_id = self.id()
        read: uint64_t = UINT64_MAX
        group: object = Group(name, last_id)
        _step: uint64_t
        if self.type == FIRST_FORM:
            group.entries_read = entries_up_to(numbers, last_id)
        else:
            read = self.source.length()
            if read > cython.cast(uint64_t, INT64_MAX) and read != UINT64_MAX:
                self.source.fail("Stream group with a number of entries that cannot be")
            group.entries_read = None if read == UINT64_MAX else read
        self.read_pending(group)
        consumers: dict = {}
        owned: set = set()
        for _step in range(self.many(CONSUMER_MIN)):
            self.read_consumer(group, consumers, owned)
        if self.type == FIFTH_FORM:
            self.read_released(group, consumers, owned)
        group.put_consumers(consumers.values())
        if len(owned) != len(group):
            self.source.fail("Stream group with pending entries that are not one consumer's each")
        return group

    @cython.cfunc
    def read_pending(self, group: object) -> object:
        source: RdbInput = self.source
        entries: list = []
        delivered_ms: int64_t
        _step: uint64_t
        for _step in range(self.many(PENDING_MIN)):
            source.need(ID_LEN)
            raw: bytes = source.buffer[source.at : source.at + ID_LEN]
            source.at += ID_LEN
            delivered_ms = cython.cast(int64_t, source.little_endian(8))
            entries.append(pending_entry(raw, delivered_ms, source.length()))
        entries.sort()
        group.pending = bytearray(b"".join(entries))
        before: bytes = b""
        for entry in entries:
            if entry[:16] == before:
                source.fail("Duplicated global PEL entry loading stream consumer group")
            before = entry[:16]
        return None

    @cython.cfunc
    def read_consumer(self, group: object, consumers: dict, owned: set) -> object:
        source: RdbInput = self.source
        name: bytes = source.string()
        seen_ms: int64_t = cython.cast(int64_t, source.little_endian(8))
        if name in consumers:
            source.fail(f"Duplicate stream consumer detected: {name[:128]!r}")
        if self.type > SECOND_FORM:
            source.skip(8)
        consumers[name] = Consumer(name, seen_ms, bytearray(b"".join(self.read_ids(group, owned))))
        return None

    @cython.cfunc
    def read_ids(self, group: object, owned: set) -> list:
        """IDs of entries that are pending in the group and not yet owned, in order."""
        source: RdbInput = self.source
        ids: list = []
        _step: uint64_t
        for _step in range(self.many(ID_LEN)):
            source.need(ID_LEN)
            raw: bytes = source.buffer[source.at : source.at + ID_LEN]
            source.at += ID_LEN
            if raw in owned or not group.is_pending(raw):
                source.fail("Consumer entry not found in group global PEL, or found twice")
            owned.add(raw)
            ids.append(raw)
        ids.sort()
        return ids

    @cython.cfunc
    def read_released(self, group: object, consumers: dict, owned: set) -> object:
        ids: list = self.read_ids(group, owned)
        if ids:
            self.released += cython.cast(uint64_t, len(ids))
            nobody = consumers.setdefault(NOBODY, Consumer(NOBODY, 0, bytearray()))
            for raw in ids:
                nobody.add(raw)
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
