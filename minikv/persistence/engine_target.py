# cython: boundscheck=False, wraparound=False
"""The keyspace as the place where a reader puts what it finds: values go straight into the arena."""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.engine.table import hash_key
from cython.cimports.minikv.keyspace.builder import Builder
from cython.cimports.minikv.keyspace.database import Database, Keyspace
from cython.cimports.minikv.persistence.rdb_reader import LoadTarget


@cython.final
@cython.cclass
class EngineTarget(LoadTarget):
    """Puts records into the databases of a keyspace. merge: a key that is there already is replaced."""

    _keyspace: Keyspace
    _database: Database
    _merge: cython.bint
    _builder: Builder  # of the collection at hand
    _key: bytes
    _expire_at_ms: int64_t

    def __init__(self, keyspace: Keyspace, merge=False):
        self._keyspace = keyspace
        self._merge = merge
        self._database = keyspace.databases[0]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def select(self, number: uint64_t) -> cython.int:
        self._database = self._keyspace.databases[number]
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def string(
        self,
        key: cython.pointer[cython.const[uint8_t]],
        key_len: uint64_t,
        value_len: uint64_t,
        expire_at_ms: int64_t,
    ) -> cython.int:
        self.room = self._database.load_string(key, key_len, value_len, expire_at_ms)
        if self.room == cython.NULL and self._merge:
            self._database.delete(
                PyBytes_FromStringAndSize(cython.cast(cython.pointer[cython.const[cython.char]], key), key_len)
            )
            self.room = self._database.load_string(key, key_len, value_len, expire_at_ms)
        return self.room != cython.NULL

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def collection(
        self,
        key: cython.pointer[cython.const[uint8_t]],
        key_len: uint64_t,
        kind: cython.int,
        expire_at_ms: int64_t,
    ) -> cython.int:
        hash_: uint64_t = 0
        self._key = PyBytes_FromStringAndSize(cython.cast(cython.pointer[cython.const[cython.char]], key), key_len)
        if self._database.find(self._key, cython.address(hash_)) != cython.NULL:
            if not self._merge:
                return 0
            self._database.delete(self._key)
        self._expire_at_ms = expire_at_ms
        self._builder = Builder(self._database, kind)
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def element(self, name: bytes, value: object) -> cython.int:
        return self._builder.add(name, value)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def collection_end(self) -> cython.int:
        key: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(self._key))
        key_len: uint64_t = PyBytes_GET_SIZE(self._key)
        self._builder.finish(key, key_len, hash_key(key, key_len), cython.NULL, self._expire_at_ms)
        self._builder = None
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end(self) -> cython.int:
        self._keyspace.load_end()
        return 0
