# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Tables of large consumer groups: sorted rows in a chain that is a part of the stream's store."""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.chain import Chain, Place
from cython.cimports.minikv.engine.record import bytes_at, length_size, minikv_swap32, read_length, write_length
from cython.cimports.minikv.engine.stream_tail import CONSUMER_TIME, OWNER_SIZE, PENDING_ID_SIZE, PENDING_SIZE
from cython.cimports.minikv.keyspace.group_places import Remembered, remember, remembered
from cython.cimports.minikv.keyspace.stream import Stream


@cython.no_gc
@cython.cclass
class StreamTable:
    """The table of a number; what Stream.create_table has made. A row is found in O(log n) by how it begins.

    Rows have one width; those of a ConsumerTable are strings, and begin behind their length. A pointer to a row is good
    until the table changes.
    """

    def chain(self) -> cython.pointer[Chain]:
        return cython.address(self.stores.indexes[self.number].chain)

    def count(self) -> uint64_t:
        return self.chain().nodes.elements

    def at(self, place: uint64_t) -> cython.pointer[uint8_t]:
        """NULL behind the last row."""
        size: uint64_t = 0
        return self.stores.chains.find(self.chain(), place, cython.address(size))

    def seek(
        self,
        start: cython.pointer[cython.const[uint8_t]],
        size: uint64_t,
        row: cython.pointer[cython.pointer[uint8_t]],
    ) -> uint64_t:
        """The first row that does not lie below these bytes, NULL if all do; returns its place.

        Nodes are halved first, so the tree is asked only a few times; then the rows of one.
        """
        chain: cython.pointer[Chain] = self.chain()
        width: uint64_t = chain.width
        low: uint64_t = 0
        high: uint64_t = chain.nodes.elements
        first: uint64_t = 0
        count: uint64_t
        middle: uint64_t
        node: Place
        row[0] = cython.NULL
        while low < high:
            count = self.stores.chains.run(chain, low + (high - low) // 2, cython.address(node), cython.address(first))
            if memcmp(node.at, start, size) >= 0:
                high = first
                row[0] = node.at
            elif memcmp(node.end - width, start, size) < 0:
                low = first + count
            else:
                low = 0
                high = count
                while low < high:
                    middle = (low + high) // 2
                    if memcmp(node.at + middle * width, start, size) < 0:
                        low = middle + 1
                    else:
                        high = middle
                row[0] = node.at + low * width
                return first + low
        return low

    def insert(self, place: uint64_t, row: cython.pointer[cython.const[uint8_t]], size: uint64_t) -> cython.int:
        """Raises ArenaFull with nothing changed."""
        memcpy(self.stores.chains.insert(self.chain(), place, size), row, size)
        self.stores.publish_chain(self.number)
        return 0

    def thaw(self, place: uint64_t) -> cython.int:
        """Make sure that a row may be changed where it is, and that it can be removed without more room."""
        self.stores.chains.thaw_at(self.chain(), place)
        return 0

    def remove(self, place: uint64_t, count: uint64_t) -> cython.int:
        """Raises ArenaFull with nothing changed, but not for one row that is thawed."""
        self.stores.chains.remove(self.chain(), place, count)
        self.stores.publish_chain(self.number)
        return 0


@cython.no_gc
@cython.cclass
class PendingTable(StreamTable):
    """The pending entries of a large group."""

    def first_idle(
        self, place: uint64_t, delivered_max_ms: int64_t, owner: cython.pointer[cython.const[uint8_t]]
    ) -> cython.pointer[uint8_t]:
        """The first row from a place on that was delivered no later, to this consumer or (NULL) to any; NULL for none.

        All entries are looked through, if need be.
        """
        row: Place
        delivered_ms: int64_t
        self.stores.chains.place(self.chain(), place, cython.address(row))
        while row.at != cython.NULL:
            memcpy(cython.address(delivered_ms), row.at + PENDING_ID_SIZE, 8)
            if delivered_ms <= delivered_max_ms and (
                owner == cython.NULL or memcmp(row.at + PENDING_SIZE, owner, OWNER_SIZE) == 0
            ):
                break
            self.stores.chains.advance(self.chain(), cython.address(row))
        return row.at


@cython.cclass
class Names(Remembered):
    """The consumers of a large group by name and by number."""


@cython.no_gc
@cython.cclass
class ConsumerTable(StreamTable):
    """The consumers of a large group. A number, above 0, is a consumer's own as long as the group is large."""

    def names_of(self) -> Names:
        """What the table has of names, from its rows unless that is remembered."""
        names: Names
        known: Remembered = remembered(self.stores, self.number)
        length: uint64_t = 0
        number: uint32_t
        row: Place
        at: cython.pointer[uint8_t]
        if known is not None:
            return cython.cast(Names, known)
        names = Names.__new__(Names)
        names.numbers = {}
        names.names = {}
        self.stores.chains.place(self.chain(), 0, cython.address(row))
        while row.at != cython.NULL:
            at = read_length(row.at, cython.address(length))
            number = number_at(at)
            at = read_length(at + OWNER_SIZE, cython.address(length))
            name: bytes = bytes_at(at, length)
            names.numbers[name] = number
            names.names[number] = name
            self.stores.chains.advance(self.chain(), cython.address(row))
        remember(self.stores, self.number, names)
        return names

    def start(self, number: uint32_t, place: cython.pointer[uint64_t]) -> cython.pointer[uint8_t]:
        """Where the row of a number that there is begins, and its place.

        Numbers are given out one by one: no row lies behind the place of its number less one, and most lie there.
        """
        chain: cython.pointer[Chain] = self.chain()
        low: uint64_t = 0
        high: uint64_t = min(chain.nodes.elements, cython.cast(uint64_t, number))
        middle: uint64_t = high - 1
        first: uint64_t = 0
        count: uint64_t
        length: uint64_t = 0
        node: Place
        found: Place
        at: cython.pointer[uint8_t] = cython.NULL
        found.at = cython.NULL
        while low < high:
            count = self.stores.chains.run(chain, middle, cython.address(node), cython.address(first))
            if number_at(read_length(node.at, cython.address(length))) > number:
                high = first
            else:
                found = node
                place[0] = first
                low = first + count
            middle = low + (high - low) // 2
        while True:
            at = read_length(found.at, cython.address(length))
            if number_at(at) >= number:
                return at
            found.at = at + length
            place[0] += 1

    def seen_ms(self, number: uint32_t) -> int64_t:
        seen_ms: int64_t
        place: uint64_t = 0
        memcpy(cython.address(seen_ms), seen_at(self.start(number, cython.address(place))), CONSUMER_TIME)
        return seen_ms

    def thaw_row(self, number: uint32_t) -> cython.int:
        """The same for a number that there is."""
        place: uint64_t = 0
        self.start(number, cython.address(place))
        return self.thaw(place)

    def see(self, number: uint32_t, seen_ms: int64_t) -> cython.int:
        """Change when a consumer was last seen."""
        place: uint64_t = 0
        self.thaw_row(number)
        self.stores.touch(self.number)
        memcpy(seen_at(self.start(number, cython.address(place))), cython.address(seen_ms), CONSUMER_TIME)
        return 0

    def all_seen_ms(self) -> list:
        """When each consumer was last seen, in the order of their numbers."""
        seen_ms: int64_t
        length: uint64_t = 0
        row: Place
        found: list = []
        self.stores.chains.place(self.chain(), 0, cython.address(row))
        while row.at != cython.NULL:
            memcpy(cython.address(seen_ms), seen_at(read_length(row.at, cython.address(length))), CONSUMER_TIME)
            found.append(seen_ms)
            self.stores.chains.advance(self.chain(), cython.address(row))
        return found

    def add(self, name: bytes, seen_ms: int64_t) -> uint32_t:
        """Add a consumer with the next number, which is returned. Raises ArenaFull with nothing changed."""
        count: uint64_t = self.count()
        name_len: uint64_t = PyBytes_GET_SIZE(name)
        size: uint64_t = OWNER_SIZE + length_size(name_len) + name_len + CONSUMER_TIME
        length: uint64_t = 0
        number: uint32_t = 1
        swapped: uint32_t
        at: cython.pointer[uint8_t]
        if count:
            number += number_at(read_length(self.at(count - 1), cython.address(length)))
        swapped = minikv_swap32(number)
        at = self.stores.chains.insert(self.chain(), count, length_size(size) + size)
        at = write_length(at, size, length_size(size))
        memcpy(at, cython.address(swapped), OWNER_SIZE)
        at = write_length(at + OWNER_SIZE, name_len, length_size(name_len))
        memcpy(at, PyBytes_AS_STRING(name), name_len)
        memcpy(at + name_len, cython.address(seen_ms), CONSUMER_TIME)
        self.stores.publish_chain(self.number)
        self.known.numbers[name] = number
        self.known.names[number] = name
        return number

    def forget(self, number: uint32_t) -> cython.int:
        """Take a consumer out; none of its entries is in the other tables any more."""
        place: uint64_t = 0
        self.start(number, cython.address(place))
        self.remove(place, 1)
        del self.known.numbers[self.known.names.pop(number)]
        return 0


@cython.cfunc
def table_of(kind: type, stream: Stream, number: uint32_t) -> StreamTable:
    """The table of this number and kind."""
    table: StreamTable = kind.__new__(kind)
    table.stores = stream.database.store.stores
    table.number = number
    if kind is ConsumerTable:
        cython.cast(ConsumerTable, table).known = cython.cast(ConsumerTable, table).names_of()
    return table


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def number_at(start: cython.pointer[cython.const[uint8_t]]) -> uint32_t:
    """The number of a consumer, in front of its row."""
    number: uint32_t
    memcpy(cython.address(number), start, OWNER_SIZE)
    return minikv_swap32(number)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def seen_at(start: cython.pointer[uint8_t]) -> cython.pointer[uint8_t]:
    length: uint64_t = 0
    at: cython.pointer[uint8_t] = read_length(start + OWNER_SIZE, cython.address(length))
    return at + length
