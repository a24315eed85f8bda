# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tables of large consumer groups: sorted rows of one width, in a chain that is a part of the stream's store."""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.chain import Chain
from cython.cimports.minikv.engine.record import bytes_at
from cython.cimports.minikv.engine.stream_tail import (
    OWNED_ROW,
    OWNER_SIZE,
    PENDING_ID_SIZE,
    PENDING_ROW,
    PENDING_SIZE,
)
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

    def extend(self, rows: bytearray, width: uint64_t) -> None:
        """Put rows of this width behind the last one. Raises ArenaFull with some of them there."""
        at: uint64_t
        start: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(rows))
        chain: cython.pointer[Chain] = self.chain()
        try:
            for at in range(0, cython.cast(uint64_t, len(rows)), width):
                memcpy(self.stores.chains.insert(chain, chain.nodes.elements, width), start + at, width)
        finally:
            self.stores.publish_chain(self.number)

    def write(self, place: uint64_t, row: bytes) -> None:
        """Change a row where it is, as pages allow; nothing can go wrong."""
        memcpy(self.at(place), PyBytes_AS_STRING(row), len(row))

    def remove(self, place: uint64_t, count: uint64_t = 1) -> None:
        self.stores.chains.remove(self.chain(), place, count)
        self.stores.publish_chain(self.number)


def rows_of_group(pending: bytearray, consumers: list) -> tuple:
    """The rows of a group's two tables: of its sorted pending entries, and of their owners.

    consumers: the number of each, ascending, and its sorted IDs, which are all pending.
    """
    count: uint64_t = len(pending) // PENDING_SIZE
    entries: bytearray = PyByteArray_FromStringAndSize(cython.NULL, count * PENDING_ROW)
    owned: bytearray = PyByteArray_FromStringAndSize(cython.NULL, count * OWNED_ROW)
    source: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(pending))
    to_entries: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(entries))
    to_owned: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(owned))
    number: bytes
    ids: bytearray
    id: cython.pointer[uint8_t]
    row: uint64_t
    _step: uint64_t
    for row in range(count):
        memcpy(to_entries + row * PENDING_ROW, source + row * PENDING_SIZE, PENDING_SIZE)
    for number, ids in consumers:
        id = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(ids))
        row = 0
        for _step in range(cython.cast(uint64_t, len(ids)) // PENDING_ID_SIZE):
            row = row_of_id(source, count, id, row)
            memcpy(to_entries + row * PENDING_ROW + PENDING_SIZE, PyBytes_AS_STRING(number), OWNER_SIZE)
            memcpy(to_owned, PyBytes_AS_STRING(number), OWNER_SIZE)
            memcpy(to_owned + OWNER_SIZE, id, PENDING_ID_SIZE)
            to_owned += OWNED_ROW
            id += PENDING_ID_SIZE
            row += 1
    return entries, owned


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def row_of_id(
    rows: cython.pointer[cython.const[uint8_t]],
    count: uint64_t,
    id: cython.pointer[cython.const[uint8_t]],
    guess: uint64_t,
) -> uint64_t:
    low: uint64_t = 0
    high: uint64_t = count
    middle: uint64_t
    if guess < count and memcmp(rows + guess * PENDING_SIZE, id, PENDING_ID_SIZE) == 0:
        return guess
    while low < high:
        middle = low + (high - low) // 2
        if memcmp(rows + middle * PENDING_SIZE, id, PENDING_ID_SIZE) < 0:
            low = middle + 1
        else:
            high = middle
    return low if low < count and memcmp(rows + low * PENDING_SIZE, id, PENDING_ID_SIZE) == 0 else count
