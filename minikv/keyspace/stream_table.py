# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tables of large consumer groups: sorted rows of one width, in a chain that is a part of the stream's store."""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.chain import Chain
from cython.cimports.minikv.engine.record import bytes_at
from cython.cimports.minikv.keyspace.stream import Stream


class StreamTable:
    """The table of this number; what Stream.create_table has made. A row is found in O(log n) by how it begins."""

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

    def place_of(self, start: bytes) -> int:
        """How many rows are below these first bytes."""
        low: uint64_t = 0
        high: uint64_t = self.chain().nodes.elements
        middle: uint64_t
        while low < high:
            middle = low + (high - low) // 2
            if memcmp(self.at(middle), PyBytes_AS_STRING(start), PyBytes_GET_SIZE(start)) < 0:
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
