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
    """Takes everything but strings, for which it has no room, and keeps nothing.

    The contract stands in rdb_target.pxd.
    """

    def select(self, number):
        return 0

    def string(self, key, key_len, value_len, expire_at_ms):
        raise NotImplementedError

    def piece(self, start, nbytes):
        return 0

    def collection(self, key, key_len, kind, expire_at_ms):
        return 1

    def element(self, name, name_len, value, value_len):
        return 1

    def scored(self, name, name_len, score):
        return 1

    def node(self, id, pack):
        return 0

    def stream_end(self, tail):
        return 0

    def field_expiry(self, at_ms):
        return 1

    def collection_end(self):
        return 0

    def used(self, key, key_len, idle_s, frequency):
        return 0

    def record_end(self, offset):
        return 0

    def function(self, code, encoded):
        return 0

    def module(self, name, key, nbytes):
        return 0

    def end(self):
        return 0


@cython.cclass
class RecordTarget(LoadTarget):
    """Hands each record to `receive(database, key, value, expire_at_ms)` as Python objects. Memory: one record.

    The value of a string is bytes, of a list a list, of a set a set, of a hash a dict, of a sorted set a dict with the
    scores. Times of fields are dropped.
    """

    def __init__(self, receive):
        self._receive = receive

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
