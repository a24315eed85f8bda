# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sets: members. An element is one string."""

import cython
from cython.cimports.cpython.bytes import PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.minikv.engine.record import TYPE_SET, length_size
from cython.cimports.minikv.keyspace.collection import write_string
from cython.cimports.minikv.keyspace.database import Database

from minikv.keyspace.database import is_int64


class Set:
    """A view of one set; make it with Set.at."""

    @staticmethod
    def at(database: Database, key: bytes, create: cython.bint = False, stats: cython.bint = True) -> Set | None:
        """The set of a key. None: there is none, and it is not to be created. Raises WrongTypeError."""
        view: Set = Set.__new__(Set)
        return view if view.open(database, key, TYPE_SET, create, stats) else None

    def contains(self, member: bytes) -> bool:
        return self.find_entry(member) != cython.NULL

    def add(self, member: bytes) -> bool:
        """True if the member is new."""
        member_len: uint64_t = PyBytes_GET_SIZE(member)
        size: uint64_t = length_size(member_len) + member_len
        hash_: uint64_t = 0
        if not self.spread:
            if self.at_slot() != cython.NULL and self.find_packed(member) != cython.NULL:
                return False
            if not self.must_spread(size):
                write_string(self.grow_packed(cython.NULL, size), member, member_len)
                self.changed()
                return True
            self.spread_out()
        if self.find_spread(member, cython.address(hash_)) != cython.NULL:
            return False
        write_string(self.place_spread(hash_, cython.NULL, size), member, member_len)
        self.changed()
        return True

    def remove(self, member: bytes) -> bool:
        """True if the member was there; the last one takes the key with it."""
        entry: cython.pointer[uint8_t] = self.find_entry(member)
        if entry == cython.NULL:
            return False
        self.shrink(member, entry)
        return True

    def members(self) -> list[bytes]:
        return self.entries_of()

    def sample(self, count: int, distinct: bool) -> list[bytes]:
        """Random members; distinct: none twice, at most all."""
        return [element[0] for element in self.pick(count, distinct)]

    def pop(self) -> bytes:
        """Take out a random member."""
        member: bytes = self.pick(1, True)[0][0]
        self.remove(member)
        return member

    def encoding(self, max_entries: int) -> bytes:
        """intset as long as it has so few members, all of them integers; else hashtable."""
        if len(self) > max_entries:
            return b"hashtable"
        return b"intset" if all([is_int64(member) for member in self.entries_of()]) else b"hashtable"
