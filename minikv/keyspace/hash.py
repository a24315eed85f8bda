# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Hashes: fields with values. An element is two strings, field and value."""

import cython
from cython.cimports.cpython.bytes import PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.minikv.engine.chunks import CHUNKED_MAX, root_of
from cython.cimports.minikv.engine.packed import PACKED_MAX, packed_end, packed_first
from cython.cimports.minikv.engine.record import TYPE_HASH, Bytes, length_size, read_length, string_size
from cython.cimports.minikv.keyspace.builder import BUILT_AT_ONCE, build_new
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
        """The hash of a key, for a write: the first element creates the key. Raises WrongTypeError."""
        view: Hash = Hash.__new__(Hash)
        view.open(database, key, TYPE_HASH, False)
        return view

    def get(self, field: bytes) -> bytes | None:
        """The field's value."""
        entry: Bytes = self.find_entry(field)
        return None if entry == cython.NULL else string_at(entry + string_size(entry))

    def contains(self, field: bytes) -> cython.bint:
        return self.find_entry(field) != cython.NULL

    def value_len(self, field: bytes) -> int:
        """Bytes of the field's value; 0 if there is no such field."""
        entry: Bytes = self.find_entry(field)
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
        size: uint64_t = field_size + value_size
        entry: Bytes = cython.NULL
        number: uint32_t = 0
        if self.at_slot() != cython.NULL and not self.spread:
            entry = self.find_in_form(field, cython.address(number))
            if entry != cython.NULL and self.must_grow_by(string_size(entry + string_size(entry)), value_size):
                self.grow_out()
                return self.set(field, value)
        if self.spread:
            return self.set_spread(field, value, size)
        if entry != cython.NULL:
            self.set_value(number, entry + string_size(entry), value, value_size)
            return False
        if self.must_grow(size):
            self.grow_out()
            return self.set(field, value)
        entry = self.room_in_bucket(field, size) if self.chunked else self.grow_packed(cython.NULL, size)
        write_string(write_string(entry, field, field_len), value, value_len)
        self.changed()
        return True

    def set_all(self, pairs: tuple) -> cython.Py_ssize_t:
        """How many of the fields, each before its value, are new."""
        count: cython.Py_ssize_t = 0
        place: cython.Py_ssize_t
        is_new: cython.bint = len(pairs) >= 2 * BUILT_AT_ONCE and self.at_slot() == cython.NULL
        if is_new and build_new(self.database, self.key, TYPE_HASH, pairs[::2], pairs[1::2]):
            return len(pairs) // 2
        self.database.make_sure_of_all(pairs)
        for place in range(0, len(pairs), 2):
            count += self.set(pairs[place], pairs[place + 1])
        return count

    def delete_all(self, fields: tuple) -> cython.Py_ssize_t:
        """How many of the fields were there."""
        field: bytes
        count: cython.Py_ssize_t = 0
        for field in fields:
            count += self.delete(field)
        return count

    def must_grow_by(self, old_size: uint64_t, size: uint64_t) -> cython.bint:
        """Whether a value of another size is too much for the form that the hash has; its field is there."""
        payload: Bytes = self.payload()
        if size <= old_size:
            return False
        if self.chunked:
            return root_of(payload).nbytes - old_size + size > CHUNKED_MAX
        return cython.cast(uint64_t, packed_end(payload) - packed_first(payload)) - old_size + size > PACKED_MAX

    def set_value(self, number: uint32_t, at: Bytes, value: bytes, size: uint64_t) -> cython.int:
        """Put a value in the place of the one at `at`, in chunk `number` or packed."""
        old_size: uint64_t = string_size(at)
        if self.chunked:
            at = self.replace_chunked(number, at, old_size, size)
        else:
            at = self.database.store.splice(self.slot, at - self.payload(), old_size, size)
        write_string(at, value, PyBytes_GET_SIZE(value))
        if self.chunked:
            if size < old_size:
                self.make_smaller()
            else:
                self.room_for_growth(0)
        return self.changed()

    def set_spread(self, field: bytes, value: bytes, size: uint64_t) -> cython.bint:
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find_spread(field, cython.address(hash_))
        write_string(
            write_string(self.place_spread(hash_, slot, size), field, PyBytes_GET_SIZE(field)),
            value,
            PyBytes_GET_SIZE(value),
        )
        self.changed()
        return slot == cython.NULL

    def delete(self, field: bytes) -> cython.bint:
        """True if the field was there; the last one takes the key with it."""
        entry: Bytes = self.find_entry(field)
        if entry == cython.NULL:
            return False
        self.shrink(field, entry)
        return True

    def parts(self, entry: Bytes, out: list) -> object:
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
