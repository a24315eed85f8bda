"""DEBUG DIGEST's numbers, as a redis-server 7.0.15 gave them."""

from __future__ import annotations

from minikv.commands.digest import as_hex, keyspace_digest, value_digest
from tests.engine.model import Keyspace


def test_a_value() -> None:
    database = Keyspace().databases[0]
    database.set(b"k", b"v")
    assert as_hex(value_digest(database, b"k")) == b"d79ee9fe5d5ad902d7f6620efc3b07b75ddd742f"
    assert as_hex(value_digest(database, b"nonesuch")) == b"0" * 40


def test_an_expiry_is_part_of_it_but_not_its_time() -> None:
    database = Keyspace().databases[0]
    database.set(b"i", b"12", 2**50)
    first = as_hex(value_digest(database, b"i"))
    database.set(b"i", b"12", 2**51)
    assert first == as_hex(value_digest(database, b"i")) == b"83df3a94c43338a2db2a05ddb5dbb794b842c619"


def test_a_data_set() -> None:
    keyspace = Keyspace()
    assert as_hex(keyspace_digest(keyspace.databases)) == b"0" * 40
    keyspace.databases[0].set(b"k", b"v")
    keyspace.databases[0].set(b"i", b"12", 2**50)
    assert as_hex(keyspace_digest(keyspace.databases)) == b"aa02d9e46b6e45dde096a8a1170eedbb6acd6c6f"
