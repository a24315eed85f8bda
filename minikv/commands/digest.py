"""DEBUG DIGEST: one number for the whole data set, equal to that of a redis-server with the same data.

A digest is a 160-bit integer. Data goes into it in two ways: by `stir` its SHA-1 is xored in, so the order does not
matter; by `mix` the result is hashed once more, so it does.

    data set = database numbers mixed, keys stirred        key = name mixed, type mixed, value, expiry stirred
    string: mixed        set: members stirred              hash: field and value mixed, each pair stirred
    list: elements mixed                                   sorted set: the same with member and score
    stream: IDs, fields and values mixed

Of a key or field that expires it is known that it does, not when.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from typing import Any

from minikv.commands.encoding import HASH, LIST, SET, SORTED_SET, STREAM, STRING
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet
from minikv.keyspace.stream import LARGEST_ID, Stream

DIGEST_LEN = 20


def hashed(data: bytes) -> int:
    return int.from_bytes(sha1(data).digest())


def stir(digest: int, data_hash: int) -> int:
    return digest ^ data_hash


def mix(digest: int, data_hash: int) -> int:
    return hashed((digest ^ data_hash).to_bytes(DIGEST_LEN))


# Of Redis's numbers of the types, by RDB's.
NUMBERS = {STRING: 0, LIST: 1, SET: 2, SORTED_SET: 3, HASH: 4, STREAM: 6}
TYPES = {kind: hashed(number.to_bytes(4)) for kind, number in NUMBERS.items()}
EXPIRY = hashed(b"!!expire!!")
FIELD_EXPIRY = hashed(b"!!hexpire!!")


def pair_digest(name: bytes, value: bytes, expires: bool = False) -> int:
    """The hash of a field with its value, or of a member with its score, to be stirred."""
    digest = mix(mix(0, hashed(name)), hashed(value))
    return hashed((stir(digest, FIELD_EXPIRY) if expires else digest).to_bytes(DIGEST_LEN))


def value_digest(database: Any, key: bytes, start: int = 0) -> int:
    """The digest of a key's value, and of whether it expires, mixed into `start`; 0 for a missing key."""
    kind = database.lookup(key, False, False)
    if kind < 0:
        return 0
    digest = mix(start, TYPES[kind])
    if kind == STRING:
        digest = mix(digest, hashed(database.get_for_write(key)))
    elif kind == LIST and (elements := List.peek(database, key)) is not None:
        for element in elements.range(0, len(elements)):
            digest = mix(digest, hashed(element))
    elif kind == SET and (members := Set.peek(database, key)) is not None:
        for member in members.members():
            digest = stir(digest, hashed(member))
    elif kind == HASH and (fields := Hash.peek(database, key)) is not None:
        items = fields.items()
        for field, value in zip(items[::2], items[1::2], strict=True):
            digest = stir(digest, pair_digest(field, value, fields.expire_at(field) > 0))
    elif kind == SORTED_SET and (scored := SortedSet.peek(database, key)) is not None:
        for member, score in scored.by_rank(0, len(scored)):
            digest = stir(digest, pair_digest(member, b"%.17g" % score))
    elif kind == STREAM and (stream := Stream.peek(database, key)) is not None:
        for id, parts in stream.range(0, LARGEST_ID):
            digest = mix(digest, hashed(id.replace(b"-", b".")))
            for part in parts:
                digest = mix(digest, hashed(part))
    return stir(digest, EXPIRY) if database.expire_at(key) else digest


def keyspace_digest(databases: Iterable[Any]) -> int:
    """The digest of all keys of all databases."""
    digest = 0
    for database in databases:
        if len(database):
            digest = mix(digest, hashed(database.number.to_bytes(4)))
            for key in database.keys():  # noqa: SIM118  (a method of Database, not of a dict)
                of_key = value_digest(database, key, mix(0, hashed(key)))
                digest = stir(digest, hashed(of_key.to_bytes(DIGEST_LEN)))
    return digest


def as_hex(digest: int) -> bytes:
    return b"%040x" % digest
