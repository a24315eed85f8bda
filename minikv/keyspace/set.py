# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Sets: members. An element is one string."""

import cython
from cython.cimports.cpython.bytes import PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.minikv.engine.int64 import is_int64
from cython.cimports.minikv.engine.record import TYPE_SET, Bytes, length_size
from cython.cimports.minikv.keyspace.builder import replace_with_names
from cython.cimports.minikv.keyspace.collection import BUILT_AT_ONCE, write_string
from cython.cimports.minikv.keyspace.database import Database

# Members that are taken out of a table before they are looked up elsewhere, since a limit may end it all.
LOOKED_AT_ONCE = cython.declare(cython.Py_ssize_t, 64)


class Set:
    """A view of one set; make it with Set.at."""

    @staticmethod
    def at(database: Database, key: bytes, stats: cython.bint = True) -> Set | None:
        """The set of a key. None: there is none. Raises WrongTypeError."""
        view: Set = Set.__new__(Set)
        return view if view.open(database, key, TYPE_SET, stats) else None

    @staticmethod
    def peek(database: Database, key: bytes) -> Set | None:
        """The same for a look from outside: counts neither hit nor access."""
        view: Set = Set.__new__(Set)
        return view if view.open(database, key, TYPE_SET, False, False) else None

    @staticmethod
    def to_write(database: Database, key: bytes) -> Set:
        """The set of a key, for a write: the first element creates the key. Raises WrongTypeError."""
        view: Set = Set.__new__(Set)
        view.open(database, key, TYPE_SET, False)
        return view

    def contains(self, member: bytes) -> cython.bint:
        return self.find_entry(member) != cython.NULL

    def add(self, member: bytes) -> cython.bint:
        """True if the member is new."""
        member_len: uint64_t = PyBytes_GET_SIZE(member)
        size: uint64_t = length_size(member_len) + member_len
        hash_: uint64_t = 0
        at: Bytes
        if not self.spread:
            if self.find_entry(member) != cython.NULL:
                return False
            if self.must_grow(size):
                self.grow_out()
                if not self.spread:
                    return self.add(member)
        if self.spread:
            if self.find_spread(member, cython.address(hash_)) != cython.NULL:
                return False
            at = self.place_spread(hash_, cython.NULL, size)
        elif self.chunked:
            at = self.room_in_bucket(member, size)
        else:
            at = self.grow_packed(cython.NULL, size)
        write_string(at, member, member_len)
        self.changed()
        return True

    def add_all(self, members: tuple) -> cython.Py_ssize_t:
        """How many of the members are new."""
        member: bytes
        count: cython.Py_ssize_t = 0
        if len(members) >= BUILT_AT_ONCE and self.at_slot() == cython.NULL:
            return self.build(members, None)
        self.database.make_sure_of_all(members)
        for member in members:
            count += self.add(member)
        return count

    def remove_all(self, members: tuple) -> cython.Py_ssize_t:
        """How many of the members were there."""
        member: bytes
        count: cython.Py_ssize_t = 0
        for member in members:
            count += self.remove(member)
        return count

    def contains_each(self, members: tuple) -> list:
        """1 for each member that is there, 0 for each that is not."""
        return [1 if self.find_entry(member) != cython.NULL else 0 for member in members]

    def remove(self, member: bytes) -> cython.bint:
        """True if the member was there; the last one takes the key with it."""
        entry: Bytes = self.find_entry(member)
        if entry == cython.NULL:
            return False
        self.shrink(member, entry)
        return True

    def members(self) -> list[bytes]:
        return self.entries_of()

    def count_in(self, others: list, limit: cython.Py_ssize_t) -> int:
        """How many members all other sets have, `limit` at most."""
        other: Set
        entry: Bytes
        cursor: uint64_t = 0
        count: cython.Py_ssize_t = 0
        while True:
            for member in self.gather(cython.address(cursor), LOOKED_AT_ONCE):
                for other in others:
                    entry = other.find_entry(member)
                    if entry == cython.NULL:
                        break
                else:
                    count += 1
                    if count == limit:
                        return count
            if cursor == 0:
                return count

    def sample(self, count: int, distinct: bool) -> list[bytes]:
        """Random members; distinct: none twice, at most all."""
        return self.pick(count, distinct)

    def pop(self) -> bytes:
        """Take out a random member."""
        member: bytes = self.pick(1, True)[0]
        self.remove(member)
        return member

    def encoding(self, max_entries: int) -> bytes:
        """intset as long as it has so few members, all of them integers; else hashtable."""
        if len(self) > max_entries:
            return b"hashtable"
        for member in self.entries_of():
            if not is_int64(member):
                return b"hashtable"
        return b"intset"


def replace_set(database: Database, key: bytes, members: object, event: bytes) -> int:
    """Make the key a set of these members, all different, whatever it was before; without members it is deleted.

    Returns their number. One change, or ArenaFull and none.
    """
    return replace_with_names(database, key, TYPE_SET, members, event)
