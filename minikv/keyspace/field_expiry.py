# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Active expiry of fields: the first one of a database that is due is known, see hash.py."""

from __future__ import annotations

import cython
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.minikv.engine.record import bytes_at, record_key
from cython.cimports.minikv.keyspace.database import Database, Keyspace
from cython.cimports.minikv.keyspace.hash import Hash

from minikv.errors import ArenaFull
from minikv.keyspace.hash import Hash as Hashes


def expire_fields(keyspace: Keyspace, limit: cython.int) -> int:
    """Delete up to `limit` fields whose time has passed, of the longest overdue hash of a database first."""
    database: Database
    hash_: Hash
    slot: cython.pointer[uint64_t]
    key: cython.pointer[cython.uchar]
    key_hash: uint64_t = 0
    key_len: uint64_t = 0
    done: cython.int = 0
    deleted: cython.int
    for database in keyspace.databases:
        while done < limit:
            slot = database.store.find_fields_due(keyspace.now_ms, cython.address(key_hash))
            if slot == cython.NULL:
                break
            key = record_key(database.store.record(slot), cython.address(key_len))
            hash_ = Hashes.peek(database, bytes_at(key, key_len))
            if hash_ is None:
                continue  # the whole key had expired
            try:
                deleted = hash_.expire_due(limit - done)
            except ArenaFull:
                return done
            done += max(deleted, 1)
    return done
