# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The tail of a spread stream, as a file has it: large groups lie in tables, which stream_tail.pxd describes."""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.arena import Arena
from cython.cimports.minikv.engine.chain import Node
from cython.cimports.minikv.engine.record import bytes_at, minikv_swap32, read_length


class Rows:
    def __cinit__(self, arena: Arena, store: uint32_t, width: uint32_t):
        self.arena = arena
        self.width = width
        self.next = arena.spreads[store].head

    def advance(self) -> cython.bint:
        """Make sure that there is a row at `at`; False behind the last."""
        node: cython.pointer[Node]
        if self.at == self.end:
            if self.next == 0:
                return False
            node = cython.cast(cython.pointer[Node], self.arena.base + self.next)
            self.at = self.next + node.start
            self.end = self.next + node.end
            self.next = node.next
        return True

    def owners(self) -> dict:
        """How many rows begin with each number, of those that are left."""
        number: uint32_t = 0
        counts: dict = {}
        while self.advance():
            memcpy(cython.address(number), self.arena.base + self.at, 4)
            number = minikv_swap32(number)
            counts[number] = counts.get(number, 0) + 1
            self.at += self.width
        return counts

    def take(self, most: uint64_t, start: uint32_t, size: uint32_t) -> bytes:
        """A column of the next rows: so many at most, at least one unless there is none."""
        count: uint64_t
        _step: uint64_t
        to: cython.pointer[cython.char]
        if not self.advance():
            return b""
        count = min((self.end - self.at) // self.width, most)
        taken: bytes = PyBytes_FromStringAndSize(cython.NULL, count * size)
        to = PyBytes_AS_STRING(taken)
        for _step in range(count):
            memcpy(to, self.arena.base + self.at + start, size)
            to += size
            self.at += self.width
        return taken


def wire_tail(arena: Arena, tail: bytes):
    """Give a tail piece by piece; nothing of it is in need of the parent's memory."""
    done: uint64_t = 0
    at: uint64_t = TAIL_MIN
    mark: uint64_t
    end: uint64_t
    for _ in range(int.from_bytes(tail[GROUPS_AT + 1 : TAIL_MIN], "big")):
        mark, end = bounds(tail, at)
        if tail[mark] == TABLES_MARK:
            yield tail[done:mark]
            pending = int.from_bytes(tail[mark + 1 : mark + 5], "little")
            owned = int.from_bytes(tail[mark + 5 : mark + TABLES_SIZE], "little")
            yield count_bytes(arena.spreads[cython.cast(uint32_t, pending)].count)
            rows: Rows = Rows(arena, pending, PENDING_ROW)
            while piece := rows.take(~cython.cast(uint64_t, 0), 0, PENDING_SIZE):
                yield piece
            rows = Rows(arena, owned, OWNED_ROW)
            counts = rows.owners()
            rows = Rows(arena, owned, OWNED_ROW)
            consumers = consumers_at(tail, mark + TABLES_SIZE)
            yield count_bytes(len(consumers))
            for number, head in sorted(consumers):
                left = counts.get(number, 0)
                yield head + count_bytes(left)
                while left:
                    piece = rows.take(left, OWNER_SIZE, PENDING_ID_SIZE)
                    left -= len(piece) // PENDING_ID_SIZE
                    yield piece
            done = end
        at = end
    yield tail[done:]


@cython.cfunc
def bounds(tail: bytes, at: uint64_t) -> tuple:
    """Where the head and the whole of a group end."""
    start: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(tail))
    return behind_head(start + at) - start, behind_group(start + at) - start


@cython.cfunc
def consumers_at(tail: bytes, place: uint64_t) -> list:
    """Of a large group: number, and name with time, of each consumer."""
    at: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(tail)) + place
    start: cython.pointer[uint8_t]
    left: uint64_t = 0
    length: uint64_t = 0
    number: uint32_t = 0
    found: list = []
    at = read_length(at, cython.address(left))
    while left:
        start = at
        at = read_length(at, cython.address(length)) + length + CONSUMER_TIME
        memcpy(cython.address(number), at, 4)
        found.append((minikv_swap32(number), bytes_at(start, at - start)))
        at += OWNER_SIZE
        left -= 1
    return found


@cython.cfunc
def count_bytes(count: uint64_t) -> bytes:
    return b"\x80" + cython.cast(object, count).to_bytes(4, "big")
