# cython: boundscheck=False, wraparound=False
"""DUMP payloads: a value for RESTORE on another server.

[metadata] | type 1 B | value, as in a file | version 2 B LE | CRC-64 of all before it, 8 B LE

A CRC of 0 means that none was computed (since Redis 8.10).
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.keyspace.database import Database
from cython.cimports.minikv.keyspace.events import EVENT_GENERIC, EVENT_NEW
from cython.cimports.minikv.rdb.format import (
    CHECKSUM_LEN,
    FIRST_VERSION_WITH_UNSEALED_PAYLOADS,
    OP_KEY_METADATA,
    PAYLOAD_VERSION_LEN,
    TYPE_HASH_TTL,
    VALKEY_VERSION,
    VERSION_WITH_FIELD_TTLS,
    VERSION_WRITTEN,
)
from cython.cimports.minikv.rdb.input import RdbInput, memory_input
from cython.cimports.minikv.rdb.target import LoadTarget
from cython.cimports.minikv.rdb.value import EMPTY, LOADED, ValueReader

from minikv.errors import RdbError
from minikv.rdb import format as rdb_format
from minikv.rdb.crc64 import checksum
from minikv.rdb.keyspace_target import EngineTarget

FOOTER_LEN = PAYLOAD_VERSION_LEN + CHECKSUM_LEN
TO_THE_END = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)


def seal(value: bytes) -> bytes:
    """The payload of a value that begins with its type."""
    version = VERSION_WITH_FIELD_TTLS if value[0] == TYPE_HASH_TTL else VERSION_WRITTEN
    body = value + version.to_bytes(PAYLOAD_VERSION_LEN, "little")
    return body + checksum(body).to_bytes(CHECKSUM_LEN, "little")


def is_sound(payload: bytes, check: bool = True) -> bool:
    """Whether the version is readable and, if that is to be checked, the checksum is right."""
    if len(payload) < FOOTER_LEN:
        return False
    version = version_of(payload)
    if not rdb_format.is_readable(version, is_valkey(version)):
        return False
    if not check:
        return True
    stored = int.from_bytes(payload[-CHECKSUM_LEN:], "little")
    if stored == 0 and version >= FIRST_VERSION_WITH_UNSEALED_PAYLOADS and not is_valkey(version):
        return True
    return checksum(memoryview(payload)[:-CHECKSUM_LEN]) == stored


def libraries(data: bytes) -> list[bytes]:
    """The libraries of functions that FUNCTION DUMP has written, without what `seal` adds. RdbError."""
    source: RdbInput = memory_input(data, 0, len(data))
    found: list = []
    while source.offset() < cython.cast(uint64_t, len(data)):
        if source.byte() != rdb_format.OP_FUNCTION2:
            raise RdbError("given type is not a function", source.offset())
        found.append(source.string())
    return found


def version_of(payload: bytes) -> int:
    return int.from_bytes(payload[-FOOTER_LEN:-CHECKSUM_LEN], "little")


def is_valkey(version: int) -> bool:
    return version >= VALKEY_VERSION


def restore(
    database: Database,
    key: bytes,
    payload: bytes,
    expire_at_ms: int64_t = 0,
    idle_s: int64_t = 0,
    frequency: cython.int = -1,
) -> bool:
    """Set the key to the value of a sound payload; False, with nothing changed, if it has expired.

    expire_at_ms: 0 for none, negative for one in the past. idle_s, frequency: the access clock, -1 if not
    known.
    RdbError or ArenaFull, with nothing changed.
    """
    source: RdbInput = memory_input(payload, 0, len(payload) - FOOTER_LEN)
    target: LoadTarget = EngineTarget(database.keyspace, True)
    values: ValueReader = ValueReader(source, target, database.keyspace.now_ms)
    type: cython.int
    target.select(database.number)
    values.alone = True
    values.valkey = is_valkey(version_of(payload))
    values.idle_s = idle_s
    values.frequency = frequency
    values.key.decoded = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(key))
    values.key.length = PyBytes_GET_SIZE(key)
    type = source.byte()
    if type == OP_KEY_METADATA and not values.valkey:
        values.read_metadata()
        type = source.byte()
    if type not in rdb_format.type_names(values.valkey):
        raise RdbError(f"Unknown RDB type {type}", 0)
    try:
        values.begin(type, expire_at_ms != 0, expire_at_ms)
        while values.state:
            values.go_on(TO_THE_END)
    except BaseException:
        cython.cast(object, target).abandon()
        raise
    if values.outcome == EMPTY:
        raise RdbError("A collection without elements", 0)
    if values.outcome != LOADED:
        return False
    database.changed(key)
    database.notify(EVENT_NEW, b"new", key)
    database.notify(EVENT_GENERIC, b"restore", key)
    return True
