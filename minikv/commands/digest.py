"""DEBUG DIGEST: one number for the whole data set, equal to that of a redis-server with the same data.

Two ways to take something in: `stir` xors its SHA-1 (the order does not matter), `mix` hashes the result once more (the
order matters). A digest is a 160-bit integer here.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from typing import Any

STRING = 0  # Redis's number of the type
EXPIRY_MARK = b"!!expire!!"


def stir(digest: int, data: bytes) -> int:
    return digest ^ int.from_bytes(sha1(data).digest())


def mix(digest: int, data: bytes) -> int:
    return int.from_bytes(sha1(stir(digest, data).to_bytes(20)).digest())


def value_digest(database: Any, key: bytes, start: int = 0) -> int:
    """The digest of a key's value and of whether it expires, taken into `start`; 0 for a missing key."""
    value = database.get_for_write(key)
    if value is None:
        return 0
    digest = mix(mix(start, STRING.to_bytes(4)), value)
    return stir(digest, EXPIRY_MARK) if database.expire_at(key) else digest


def keyspace_digest(databases: Iterable[Any]) -> int:
    """The digest of all keys of all databases."""
    digest = 0
    for database in databases:
        if len(database):
            digest = mix(digest, database.number.to_bytes(4))
            for key in database.keys():  # noqa: SIM118  (a method of Database, not of a dict)
                digest = stir(digest, value_digest(database, key, mix(0, key)).to_bytes(20))
    return digest


def as_hex(digest: int) -> bytes:
    return b"%040x" % digest
