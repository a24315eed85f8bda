# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O1
"""Where a reader puts what it finds: the contract, and two targets for readers without a keyspace."""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.minikv.engine.record import TYPE_LIST, TYPE_SET, bytes_at


@cython.cclass
class LoadTarget:
    """Takes everything but strings, for which it has no room, and keeps nothing. Its methods have the contract.

    All calls come in the order of the file; expire_at_ms 0 is no expiry. A pointer is valid during the call, that to a
    collection's key until collection_end.
    """

    def select(self, number):
        """The next records belong to this database."""
        return 0

    def comes(self, key, key_len):
        """The next key, perhaps: memory that it needs can be fetched while the record at hand is read."""

    def passes_over(self, key, key_len):
        """Whether the record that begins is not wanted: it is checked, and nothing else is called for it."""
        return 0

    def string(self, key, key_len, value_len, expire_at_ms):
        """Make room for a string's bytes; 0 if the key exists already."""
        raise NotImplementedError

    def piece(self, start, nbytes):
        """The next bytes of a string of DIRECT_LEN or more, if the target takes pieces."""
        return 0

    def collection(self, key, key_len, kind, expire_at_ms):
        """A collection begins (kind: its plain RDB type); 0 if the key exists already."""
        return 1

    def element(self, name, name_len, value, value_len):
        """The next element of a hash or, without a value (NULL), of a set or list.

        0 if the name is a duplicate, except in a list.
        """
        return 1

    def scored(self, name, name_len, score):
        """The next element of a sorted set; 0 if the name is a duplicate."""
        return 1

    def node(self, id, pack):
        """The next node of a stream: its 16-byte ID, and its listpack in the arena's form."""
        return 0

    def stream_end(self, tail):
        """The stream is complete, perhaps empty; tail: what it has besides nodes, in the arena's form."""
        return 0

    def field_expiry(self, at_ms):
        """The next element, a hash's, expires at at_ms."""
        return 0

    def collection_end(self):
        """The collection is complete and not empty."""
        return 0

    def used(self, key, key_len, idle_s, frequency):
        """The access clock of the last string or collection: idle seconds, or LFU counter; -1: not known."""
        return 0

    def record_end(self, offset):
        """The record is complete; the next item is at this offset."""
        return 0

    def function(self, code, encoded):
        """A function library: its code, and its encoded string in the file."""
        return 0

    def module(self, name, key, nbytes):
        """Module data that the reader has skipped: a key's value (record_end follows) or, without key, aux data."""
        return 0

    def end(self):
        """The file was read completely and is correct."""
        return 0


@cython.cclass
class RecordTarget(LoadTarget):
    """Hands each record to `receive(database, key, value, expire_at_ms)` as Python objects. Memory: one record.

    The value of a string is bytes, of a list a list, of a set a set, of a hash a dict, of a sorted set a dict with the
    scores. The value of a field that expires is (value, Unix ms).
    """

    def __init__(self, receive):
        self._receive = receive
        self._field_expire_at_ms = 0

    def field_expiry(self, at_ms):
        self._field_expire_at_ms = at_ms
        return 0

    def select(self, number):
        self._flush()
        self._database = number
        return 0

    def string(self, key, key_len, value_len, expire_at_ms):
        self._flush()
        value: bytes = PyBytes_FromStringAndSize(cython.NULL, value_len)
        self._value = value
        self._pending = (self._database, bytes_at(key, key_len), expire_at_ms)
        self.room = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(value))
        return 1

    def collection(self, key, key_len, kind, expire_at_ms):
        self._flush()
        self._elements = set() if kind == TYPE_SET else [] if kind == TYPE_LIST else {}
        self._pending = (self._database, bytes_at(key, key_len), expire_at_ms)
        return 1

    def element(self, name, name_len, value, value_len):
        element = bytes_at(name, name_len)
        if isinstance(self._elements, list):
            self._elements.append(element)
            return 1
        if element in self._elements:
            return 0
        if value == cython.NULL:
            self._elements.add(element)
        else:
            self._elements[element] = bytes_at(value, value_len)
            if self._field_expire_at_ms:
                self._elements[element] = (self._elements[element], self._field_expire_at_ms)
                self._field_expire_at_ms = 0
        return 1

    def scored(self, name, name_len, score):
        element = bytes_at(name, name_len)
        if element in self._elements:
            return 0
        self._elements[element] = score
        return 1

    def collection_end(self):
        self._value = self._elements
        self._elements = None
        return self._flush()

    def end(self):
        return self._flush()

    def _flush(self):
        if self._pending is not None:
            database, key, expire_at_ms = self._pending
            self._pending = None
            self._receive(database, key, self._value, expire_at_ms)
        return 0
