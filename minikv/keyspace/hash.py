# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hashes: fields with values. An element is two strings, field and value."""

import cython
from cython.cimports.cpython.bytes import PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.minikv.engine.packed import PACKED_MAX, packed_end, packed_first
from cython.cimports.minikv.engine.record import TYPE_HASH, length_size, read_length, string_size
from cython.cimports.minikv.keyspace.collection import string_at, write_string
from cython.cimports.minikv.keyspace.database import Database


class Hash:
    """A view of one hash; make it with Hash.at."""

    @staticmethod
    def at(database: Database, key: bytes, stats: cython.bint = True) -> Hash | None:
        """The hash of a key. None: there is none. Raises WrongTypeError."""
        view: Hash = Hash.__new__(Hash)
        return view if view.open(database, key, TYPE_HASH, stats) else None

    @staticmethod
    def peek(database: Database, key: bytes) -> Hash | None:
        """The same for a look from outside: counts neither hit nor access."""
        view: Hash = Hash.__new__(Hash)
        return view if view.open(database, key, TYPE_HASH, False, False) else None

    @staticmethod
    def to_write(database: Database, key: bytes) -> Hash:
        """The hash of a key, for a write: the key is born with its first element. Raises WrongTypeError."""
        view: Hash = Hash.__new__(Hash)
        view.open(database, key, TYPE_HASH, False)
        return view

    def get(self, field: bytes) -> bytes | None:
        """The field's value."""
        entry: cython.pointer[uint8_t] = self.find_entry(field)
        return None if entry == cython.NULL else string_at(entry + string_size(entry))

    def contains(self, field: bytes) -> cython.bint:
        return self.find_entry(field) != cython.NULL

    def value_len(self, field: bytes) -> int:
        """Bytes of the field's value; 0 if there is no such field."""
        entry: cython.pointer[uint8_t] = self.find_entry(field)
        length: uint64_t = 0
        if entry != cython.NULL:
            read_length(entry + string_size(entry), cython.address(length))
        return length

    def set(self, field: bytes, value: bytes) -> cython.bint:
        """True if the field is new."""
        field_len: uint64_t = PyBytes_GET_SIZE(field)
        value_len: uint64_t = PyBytes_GET_SIZE(value)
        field_size: uint64_t = length_size(field_len) + field_len
        value_size: uint64_t = length_size(value_len) + value_len
        entry: cython.pointer[uint8_t] = cython.NULL
        payload: cython.pointer[uint8_t]
        slot: cython.pointer[uint64_t] = cython.NULL
        hash_: uint64_t = 0
        old_size: uint64_t
        if not self.spread:
            if self.at_slot() != cython.NULL:
                entry = self.find_packed(field)
            if entry != cython.NULL:
                payload = self.payload()
                entry += string_size(entry)
                old_size = string_size(entry)
                if cython.cast(uint64_t, packed_end(payload) - packed_first(payload)) - old_size + value_size <= (
                    PACKED_MAX
                ):
                    write_string(
                        self.database.store.splice(
                            self.slot, cython.cast(uint64_t, entry - payload), old_size, value_size
                        ),
                        value,
                        value_len,
                    )
                    self.changed()
                    return False
                self.spread_out()
            elif self.must_spread(field_size + value_size):
                self.spread_out()
            else:
                write_string(
                    write_string(self.grow_packed(cython.NULL, field_size + value_size), field, field_len),
                    value,
                    value_len,
                )
                self.changed()
                return True
        slot = self.find_spread(field, cython.address(hash_))
        write_string(
            write_string(self.place_spread(hash_, slot, field_size + value_size), field, field_len), value, value_len
        )
        self.changed()
        return slot == cython.NULL

    def delete(self, field: bytes) -> cython.bint:
        """True if the field was there; the last one takes the key with it."""
        entry: cython.pointer[uint8_t] = self.find_entry(field)
        if entry == cython.NULL:
            return False
        self.shrink(field, entry)
        return True

    def parts(self, entry: cython.pointer[uint8_t], out: list) -> object:
        out.append(string_at(entry))
        out.append(string_at(entry + string_size(entry)))

    def items(self) -> list[bytes]:
        """Field, value, field, value ..."""
        return self.entries_of()

    def fields(self) -> list[bytes]:
        return self.entries_of()[::2]

    def values(self) -> list[bytes]:
        return self.entries_of()[1::2]

    def sample(self, count: int, distinct: bool) -> list[bytes]:
        """Random fields with their values, in a row; distinct: none twice, at most all."""
        return self.pick(count, distinct)

    def encoding(self, max_entries: int, max_value: int) -> bytes:
        """listpack as long as it has so few fields, none of them or their values longer; else hashtable."""
        if len(self) > max_entries:
            return b"hashtable"
        for part in self.entries_of():
            if len(part) > max_value:
                return b"hashtable"
        return b"listpack"
