"""What commands on strings, bits and keys do with a key that holds a collection."""

from __future__ import annotations

import pytest

from tests.harness import ClientPair

WRITES = {
    "hash": "HSET key field value",
    "set": "SADD key member",
    "list": "RPUSH key element",
    "stream": "XADD key 1-1 field value",
}

COMMANDS = [
    "GET key",
    "SET key value GET",
    "SET key value NX",
    "SET key value XX GET",
    "GETSET key value",
    "GETDEL key",
    "GETEX key",
    "GETEX key EX 0",
    "GETEX key PERSIST",
    "MGET key string",
    "SETNX key value",
    "MSETNX key 1 other 2",
    "APPEND key x",
    "STRLEN key",
    "GETRANGE key 0 -1",
    "GETRANGE key x y",
    "SUBSTR key 0 -1",
    "SETRANGE key 0 x",
    ["SETRANGE", "key", "0", ""],
    ["SETRANGE", "key", "-1", ""],
    "SETRANGE key 536870912 x",
    "INCR key",
    "DECRBY key 5",
    "INCRBY key x",
    "INCRBYFLOAT key 1",
    "INCRBYFLOAT key x",
    "LCS key string",
    "LCS string key LEN IDX",
    "SETBIT key 0 1",
    "SETBIT key 0 2",
    "GETBIT key 0",
    "BITCOUNT key",
    "BITCOUNT key x y",
    "BITPOS key 1",
    "BITPOS key 2",
    "BITPOS none 1",
    "BITOP AND out key string",
    "BITOP AND out string key",
    "BITFIELD key GET u8 0",
    "BITFIELD key SET u8 0 1",
    "BITFIELD key nonesuch",
    "BITFIELD key",
    "BITFIELD_RO key GET u8 0",
    "PFADD key x",
    "PFADD key",
    "PFCOUNT key",
    "PFCOUNT none key",
    "PFMERGE out key",
    "PFMERGE key",
    "PFMERGE string key",
    "PFDEBUG nonesuch key",
    "TYPE key",
    "EXISTS key",
    "TOUCH key",
    "OBJECT REFCOUNT key",
    "SCAN 0 TYPE string COUNT 100",
    "SCAN 0 TYPE hash COUNT 100",
    "SCAN 0 TYPE set COUNT 100",
    "SCAN 0 TYPE list COUNT 100",
]


@pytest.mark.parametrize("kind", WRITES)
def test_errors_come_in_the_same_order(pair: ClientPair, kind: str) -> None:
    for command in COMMANDS:
        pair.assert_same("FLUSHALL", WRITES[kind])
        if "SCAN" not in command:
            pair.assert_same("SET string value")
        pair.assert_same(command, "TYPE key", "TYPE out", "TYPE other")


@pytest.mark.parametrize("kind", WRITES)
def test_keys_of_any_type_move_expire_and_are_overwritten(pair: ClientPair, kind: str) -> None:
    pair.assert_same(
        WRITES[kind],
        "EXPIRE key 1000",
        "TTL key",
        "RENAME key renamed",
        "TTL renamed",
        "TYPE renamed",
        "COPY renamed copy",
        "COPY renamed copy REPLACE",
        "TYPE copy",
        "TTL copy",
        "PERSIST copy",
        "MOVE copy 1",
        "SET string value",
        "COPY string renamed REPLACE",
        "GET renamed",
        WRITES[kind],
        "RENAME string key",
        "GET key",
        "DEL key",
        WRITES[kind],
        "SET key value",
        "GET key",
        "FLUSHDB",
        WRITES[kind],
        "MSET key value other value",
        "GET key",
        "UNLINK key",
        WRITES[kind],
        "BITOP NOT key other",
        "TYPE key",
        "DEL key",
        WRITES[kind],
        "SETEX key 100 value",
        "GET key",
        "SELECT 1",
        "TYPE copy",
        "DBSIZE",
        "UNLINK copy",
    )
