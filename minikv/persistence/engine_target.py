# cython: boundscheck=False, wraparound=False
"""The keyspace as the place where a reader puts what it finds: values go straight into the arena."""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.keyspace.database import Database, Keyspace
from cython.cimports.minikv.persistence.rdb_reader import LoadTarget


@cython.final
@cython.cclass
class EngineTarget(LoadTarget):
    """Puts records into the databases of a keyspace. merge: a key that is there already is replaced."""

    _keyspace: Keyspace
    _database: Database
    _merge: cython.bint

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
    def end(self) -> cython.int:
        self._keyspace.load_end()
        return 0
