# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O3
"""Prefetching: bring the data of a pipeline's next keys into the cache while their requests are still being parsed.

Each key costs two waits for memory, one for its bucket in the table and one for its record; for requests that come
together they overlap. It is a hint: a word that is no key, or a key of another database, does no harm.
"""

import cython
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memcmp
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.table import hash_key
from cython.cimports.minikv.keyspace.database import Database
from cython.cimports.minikv.protocol.request import AHEAD_MAX

from minikv.protocol.request import Lookahead

# A table of fewer keys stays in the cache anyway.
KEYS_MIN = 10_000


@cython.cclass
class KeyLookahead(Lookahead):
    """Looks for the keys of one database."""

    @cython.cfunc
    @cython.exceptval(check=False)
    def look(
        self,
        words: cython.pointer[cython.p_const_char],
        lengths: cython.pointer[cython.const[cython.Py_ssize_t]],
        count: cython.int,
    ) -> cython.void:
        hashes = cython.declare(uint64_t[AHEAD_MAX])
        store: KeyStore = self.database.store
        index: cython.int
        found: cython.int = 0
        for index in range(count):
            if (
                index
                and lengths[index] == lengths[index - 1]
                and memcmp(words[index], words[index - 1], lengths[index]) == 0
            ):
                continue
            hashes[found] = hash_key(cython.cast(cython.pointer[uint8_t], words[index]), lengths[index])
            store.tables.prefetch_bucket(store.table, hashes[found])
            found += 1
        for index in range(found):
            store.tables.prefetch_record(store.table, hashes[index])


def largest(databases: list[Database]) -> Database | None:
    """The database whose keys are worth looking ahead for."""
    database = max(databases, key=len)
    return database if len(database) >= KEYS_MIN else None
