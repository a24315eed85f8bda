"""OBJECT ENCODING: the name that Redis's thresholds give a value, however minikv keeps it.

Redis does not go back to the compact encoding when a collection shrinks; minikv's label follows what is there.
"""

from __future__ import annotations

from minikv.config import Config
from minikv.keyspace import Database
from minikv.keyspace.hash import Hash
from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet

STRING, LIST, SET, HASH, SORTED_SET, STREAM = 0, 1, 2, 4, 5, 19  # RDB's numbers of the types


def encoding_of(database: Database, key: bytes, config: Config) -> bytes | None:
    """None if there is no such key. Counts neither hit nor access; a collection may be looked through."""
    kind = database.lookup(key, False, False)
    if kind == LIST:
        return b"quicklist"  # before 7.2 Redis has no other
    if kind == SET:
        members = Set.peek(database, key)
        return None if members is None else members.encoding(config.set_max_intset_entries)
    if kind == HASH:
        fields = Hash.peek(database, key)
        if fields is None:
            return None
        return fields.encoding(config.hash_max_listpack_entries, config.hash_max_listpack_value)
    if kind == SORTED_SET:
        scored = SortedSet.peek(database, key)
        if scored is None:
            return None
        return scored.encoding(config.zset_max_listpack_entries, config.zset_max_listpack_value)
    return b"stream" if kind == STREAM else database.encoding(key)


def is_compact(config: Config, database: Database, key: bytes) -> bool:
    """Whether Redis keeps a collection in one allocation."""
    return encoding_of(database, key, config) in (b"listpack", b"intset")
