"""Names of RDB types for users: what TYPE replies, and the encoding in the file."""

from __future__ import annotations

from minikv.rdb import format as rdb_format
from minikv.tools.visitor import Record

TYPES = {
    rdb_format.TYPE_STRING: "string",
    rdb_format.TYPE_LIST: "list",
    rdb_format.TYPE_SET: "set",
    rdb_format.TYPE_HASH: "hash",
    rdb_format.TYPE_ZSET_2: "zset",
    rdb_format.TYPE_MODULE_2: "module",
    rdb_format.TYPE_STREAM_2: "stream",
}

ORDERED = {rdb_format.TYPE_STRING, rdb_format.TYPE_LIST}  # their order matters

STRING_ENCODINGS = {
    -1: "plain",
    rdb_format.SPECIAL_INT8: "int",
    rdb_format.SPECIAL_INT16: "int",
    rdb_format.SPECIAL_INT32: "int",
    rdb_format.SPECIAL_LZF: "lzf",
}


def type_name(record: Record) -> str:
    """As TYPE replies it."""
    return TYPES[record.kind]


def encoding_name(record: Record) -> str:
    """The value's encoding in the file: plain, or a special or compact one."""
    if record.kind == rdb_format.TYPE_STRING:
        return STRING_ENCODINGS[record.string_encoding]
    name = rdb_format.TYPE_NAMES[record.rdb_type].partition(" (")[0]
    return name.partition(" ")[2] or "plain"
