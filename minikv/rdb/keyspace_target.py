# cython: boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O1
"""The target that loads into a keyspace: values go straight into the arena."""

import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.minikv.engine.record import TYPE_HASH_TTL, TYPE_STREAM, bytes_at
from cython.cimports.minikv.engine.table import hash_key, make_key
from cython.cimports.minikv.keyspace.builder import Builder
from cython.cimports.minikv.keyspace.database import Keyspace
from cython.cimports.minikv.keyspace.stream import Stream, StreamLoader
from cython.cimports.minikv.keyspace.stream_group import spread_large_groups
from cython.cimports.minikv.rdb.pointers import ConstBytes
from cython.cimports.minikv.rdb.target import LoadTarget

SMALL_TAIL = 4096  # bytes: no group in it is large


class EngineTarget(LoadTarget):
    """Puts records into the databases of a keyspace.

    merge: an existing key is replaced once its new value is complete.
    functions: libraries as in the file, each once. modules: numbers of skipped keys and other data, by type.
    """

    def __init__(self, keyspace: Keyspace, merge=False):
        self._keyspace = keyspace
        self._merge = merge
        self._database = keyspace.databases[0]
        self._builder = Builder(self._database, 0)
        self.functions = []
        self.modules = {}
        self.looks_ahead = True

    def comes(self, key: ConstBytes, key_len: uint64_t) -> cython.void:
        self._prefetch(hash_key(key, key_len))

    def _prefetch(self, hash_: uint64_t) -> cython.void:
        self._database.store.tables.prefetch_bucket(self._database.store.table, hash_)

    def select(self, number: uint64_t) -> cython.int:
        self._database = self._keyspace.databases[number]
        return 0

    def string(self, key: ConstBytes, key_len: uint64_t, value_len: uint64_t, expire_at_ms: int64_t) -> cython.int:
        self.room = self._database.load_string(key, key_len, value_len, expire_at_ms, self._merge)
        self._break_watches(key, key_len)
        return self.room != cython.NULL

    def collection(self, key: ConstBytes, key_len: uint64_t, kind: cython.int, expire_at_ms: int64_t) -> cython.int:
        self._hash = hash_key(key, key_len)
        self._slot = self._database.store.find(key, key_len, self._hash)
        self._changes = self._database.store.table.changes
        if self._slot != cython.NULL and not self._merge:
            return 0
        self._key = key
        self._key_len = key_len
        self._expire_at_ms = expire_at_ms
        if kind == TYPE_STREAM:
            self._stream = StreamLoader(self._database, bytes_at(key, key_len))
        else:
            self._builder.begin(self._database, kind)
        return 1

    def element(self, name: ConstBytes, name_len: uint64_t, value: ConstBytes, value_len: uint64_t) -> cython.int:
        expire_at_ms: int64_t = self._field_expire_at_ms
        if expire_at_ms:
            self._field_expire_at_ms = 0
            return self._builder.timed(name, name_len, value, value_len, expire_at_ms)
        return self._builder.element(name, name_len, value, value_len)

    def scored(self, name: ConstBytes, name_len: uint64_t, score: cython.double) -> cython.int:
        return self._builder.scored(name, name_len, score)

    def node(self, id: bytes, pack: bytes) -> cython.int:
        self._stream.node(id, pack)
        return 0

    def stream_end(self, tail: bytes) -> cython.int:
        self._stream.finish(tail, self._expire_at_ms)
        self._stream = None
        if len(tail) > SMALL_TAIL:
            stream = Stream.peek(self._database, bytes_at(self._key, self._key_len))
            if stream is not None:
                stream.spread_for_groups()
                spread_large_groups(stream)
        return self._break_watches(self._key, self._key_len)

    def field_expiry(self, at_ms: int64_t) -> cython.int:
        self._field_expire_at_ms = at_ms
        return 0

    def collection_end(self) -> cython.int:
        if self._changes != self._database.store.table.changes:
            self._slot = self._database.store.find(self._key, self._key_len, self._hash)
        self._builder.finish(make_key(self._key, self._key_len, self._hash), self._slot, self._expire_at_ms)
        if self._builder.kind == TYPE_HASH_TTL:
            self._database.store.note_fields(
                self._database.store.find(self._key, self._key_len, self._hash), self._hash
            )
        return self._break_watches(self._key, self._key_len)

    def _break_watches(self, key: ConstBytes, key_len: uint64_t) -> cython.int:
        """Clients can watch keys only if a running server loads."""
        return self._database.break_watches(bytes_at(key, key_len)) if self._database.observed else 0

    def used(self, key: ConstBytes, key_len: uint64_t, idle_s: int64_t, frequency: cython.int) -> cython.int:
        self._database.set_used(key, key_len, idle_s, frequency)
        return 0

    def function(self, code: bytes, encoded: bytes) -> cython.int:
        if encoded not in self.functions:
            self.functions.append(encoded)
        return 0

    def module(self, name: bytes, key: object, nbytes: uint64_t) -> cython.int:
        keys, others = self.modules.get(name, (0, 0))
        self.modules[name] = (keys, others + 1) if key is None else (keys + 1, others)
        return 0

    def end(self) -> cython.int:
        self._keyspace.load_end()
        return 0

    def abandon(self) -> None:
        """Drop a collection that will not be completed."""
        self._builder.abandon()
        if self._stream is not None:
            self._stream.abandon()
            self._stream = None
