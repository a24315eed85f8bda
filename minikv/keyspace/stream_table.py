# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tables of large consumer groups: sorted rows in a chain that is a part of the stream's store."""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.chain import Chain, Place
from cython.cimports.minikv.engine.record import bytes_at, length_size, read_length, write_length
from cython.cimports.minikv.engine.stream_tail import CONSUMER_TIME, OWNER_SIZE, PENDING_ID_SIZE, PENDING_SIZE
from cython.cimports.minikv.keyspace.stream import Stream


class StreamTable:
    """The table of this number; what Stream.create_table has made. A row is found in O(log n) by how it begins.

    Rows have one width; those of a ConsumerTable are strings, and begin behind their length.
    """

    def __init__(self, stream: Stream, number: uint32_t):
        self.stores = stream.database.store.stores
        self.number = number

    def chain(self) -> cython.pointer[Chain]:
        return cython.address(self.stores.indexes[self.number].chain)

    def __len__(self) -> int:
        return self.chain().nodes.elements

    def __bool__(self) -> bool:
        return True

    def at(self, place: uint64_t) -> cython.pointer[uint8_t]:
        size: uint64_t = 0
        return self.stores.chains.find(self.chain(), place, cython.address(size))

    def start(self, place: uint64_t) -> cython.pointer[uint8_t]:
        length: uint64_t = 0
        at: cython.pointer[uint8_t] = self.at(place)
        return at if self.chain().width else read_length(at, cython.address(length))

    def place_of(self, start: bytes) -> int:
        """How many rows are below these first bytes."""
        low: uint64_t = 0
        high: uint64_t = self.chain().nodes.elements
        middle: uint64_t
        while low < high:
            middle = low + (high - low) // 2
            if memcmp(self.start(middle), PyBytes_AS_STRING(start), PyBytes_GET_SIZE(start)) < 0:
                low = middle + 1
            else:
                high = middle
        return low

    def row(self, place: uint64_t) -> bytes:
        """Empty behind the last one."""
        at: cython.pointer[uint8_t] = self.at(place)
        return b"" if at == cython.NULL else bytes_at(at, self.chain().width)

    def insert(self, place: uint64_t, row: bytes) -> None:
        """Raises ArenaFull with nothing changed."""
        memcpy(self.stores.chains.insert(self.chain(), place, PyBytes_GET_SIZE(row)), PyBytes_AS_STRING(row), len(row))
        self.stores.publish_chain(self.number)

    def write(self, place: uint64_t, row: bytes) -> None:
        """Change a row where it is, as pages allow; nothing can go wrong."""
        memcpy(self.at(place), PyBytes_AS_STRING(row), len(row))

    def remove(self, place: uint64_t, count: uint64_t = 1) -> None:
        self.stores.chains.remove(self.chain(), place, count)
        self.stores.publish_chain(self.number)


class PendingTable(StreamTable):
    """The pending entries of a large group."""

    def first_idle(self, place: uint64_t, delivered_max_ms: int64_t, owner: bytes) -> int:
        """The first place from this one on of an entry that was delivered no later, to this consumer or (b"") to any.

        All entries are looked through, if need be.
        """
        row: Place
        delivered_ms: int64_t
        if not self.stores.chains.place(self.chain(), place, cython.address(row)):
            return place
        while row.at != cython.NULL:
            memcpy(cython.address(delivered_ms), row.at + PENDING_ID_SIZE, 8)
            if delivered_ms <= delivered_max_ms and (
                not owner or memcmp(row.at + PENDING_SIZE, PyBytes_AS_STRING(owner), OWNER_SIZE) == 0
            ):
                break
            self.stores.chains.advance(self.chain(), cython.address(row))
            place += 1
        return place


@cython.cclass
class Names:
    """The consumers of a group by name and by number: memory of the parent, made from the table when it is needed."""

    def __init__(self, serial: uint64_t):
        self.serial = serial
        self.numbers = {}
        self.names = {}


class ConsumerTable(StreamTable):
    """The consumers of a large group. A number (4 bytes) is a consumer's own as long as the group is large."""

    def __init__(self, stream: Stream, number: uint32_t):
        StreamTable.__init__(self, stream, number)
        self.known = self.stores.remembered.get(number)
        if self.known is None or self.known.serial != self.stores.indexes[number].serial:
            self.known = self.names_of()
            self.stores.remembered[number] = self.known
            self.forget_dropped()

    def names_of(self) -> Names:
        names: Names = Names(self.stores.indexes[self.number].serial)
        place: uint64_t
        for place in range(len(self)):
            name = self.name_at(place)
            number = bytes_at(self.start(place), OWNER_SIZE)
            names.numbers[name] = number
            names.names[number] = name
        return names

    def forget_dropped(self) -> cython.int:
        """Each time that twice as many tables are remembered, forget those that are gone."""
        count: cython.Py_ssize_t = len(self.stores.remembered)
        names: Names
        if count & (count - 1) == 0:
            for number, names in list(self.stores.remembered.items()):
                if names.serial != self.stores.indexes[number].serial or not self.stores.arena.spreads[number].kind:
                    del self.stores.remembered[number]
        return 0

    def name_at(self, place: uint64_t) -> bytes:
        length: uint64_t = 0
        at: cython.pointer[uint8_t] = read_length(self.start(place) + OWNER_SIZE, cython.address(length))
        return bytes_at(at, length)

    def seen_at(self, place: uint64_t) -> cython.pointer[int64_t]:
        length: uint64_t = 0
        at: cython.pointer[uint8_t] = read_length(self.start(place) + OWNER_SIZE, cython.address(length))
        return cython.cast(cython.pointer[int64_t], at + length)

    @property
    def numbers(self) -> dict[bytes, bytes]:
        """Of all consumers, by name; not to be changed."""
        return self.known.numbers

    @property
    def names(self) -> dict[bytes, bytes]:
        """The same the other way round."""
        return self.known.names

    def seen_ms(self, number: bytes) -> int:
        seen_ms: int64_t
        memcpy(cython.address(seen_ms), self.seen_at(self.place_of(number)), CONSUMER_TIME)
        return seen_ms

    def see(self, number: bytes, seen_ms: int64_t) -> None:
        """Change when a consumer was last seen, as pages allow."""
        memcpy(self.seen_at(self.place_of(number)), cython.address(seen_ms), CONSUMER_TIME)

    def all_seen_ms(self) -> list[int]:
        """When each consumer was last seen, in the order of their numbers."""
        seen_ms: int64_t
        place: uint64_t
        found: list = []
        for place in range(len(self)):
            memcpy(cython.address(seen_ms), self.seen_at(place), CONSUMER_TIME)
            found.append(seen_ms)
        return found

    def add(self, name: bytes, seen_ms: int64_t) -> bytes:
        """Add a consumer with the next number, which is returned. Raises ArenaFull with nothing changed."""
        count: uint64_t = len(self)
        name_len: uint64_t = PyBytes_GET_SIZE(name)
        size: uint64_t = OWNER_SIZE + length_size(name_len) + name_len + CONSUMER_TIME
        number: bytes = next_number(b"" if count == 0 else bytes_at(self.start(count - 1), OWNER_SIZE))
        at: cython.pointer[uint8_t] = self.stores.chains.insert(self.chain(), count, length_size(size) + size)
        at = write_length(at, size, length_size(size))
        memcpy(at, PyBytes_AS_STRING(number), OWNER_SIZE)
        at = write_length(at + OWNER_SIZE, name_len, length_size(name_len))
        memcpy(at, PyBytes_AS_STRING(name), name_len)
        memcpy(at + name_len, cython.address(seen_ms), CONSUMER_TIME)
        self.stores.publish_chain(self.number)
        self.known.numbers[name] = number
        self.known.names[number] = name
        return number

    def forget(self, number: bytes) -> None:
        """Take a consumer out; none of its entries is in the other tables any more."""
        self.remove(self.place_of(number))
        del self.known.numbers[self.known.names.pop(number)]


@cython.cfunc
def next_number(number: bytes) -> bytes:
    return (int.from_bytes(number, "big") + 1).to_bytes(OWNER_SIZE, "big")
