"""Records as JSON, one per line, written as they are read."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable
from typing import TextIO

from minikv.keyspace.stream_group import Consumer, Group, Tail
from minikv.keyspace.stream_node import format_id
from minikv.rdb import format as rdb_format
from minikv.tools.record_types import type_name
from minikv.tools.text import readable
from minikv.tools.visitor import Record, Visitor

quoted = json.JSONEncoder(ensure_ascii=False).encode

BRACKETS = {
    "string": ('"', '"'),
    "list": ("[", "]"),
    "set": ("[", "]"),
    "hash": ("{", "}"),
    "zset": ("{", "}"),
    "module": ("null", ""),
    "stream": ('{"entries":[', "}"),
}


class JsonLines(Visitor):
    """Writes what it reads."""

    takes_pieces = True
    takes_elements = True

    def __init__(self, out: TextIO) -> None:
        self._write = out.write
        self._closing = ""
        self._comma = ""
        self._pieces = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def begin(self, record: Record) -> None:
        name = type_name(record)
        expiry = "" if record.expire_at_ms is None else f'"expire_at_ms":{record.expire_at_ms},'
        module = "" if record.module is None else f'"module":{quoted(readable(record.module))},'
        opening, self._closing = BRACKETS[name]
        self._comma = ""
        self._write(
            f'{{"database":{record.database},"key":{quoted(readable(record.key))},"type":"{name}",'
            f'{expiry}{module}"value":{opening}'
        )

    def piece(self, data: bytes) -> None:
        """The end of a piece may split a UTF-8 character."""
        self._write(quoted(self._pieces.decode(data.replace(b"\\", b"\\\\")))[1:-1])

    def element(self, name: bytes, value: bytes | float | None) -> None:
        text = self._comma + quoted(readable(name))
        if isinstance(value, bytes):
            text += ":" + quoted(readable(value))
        elif value is not None:
            text += ":" + number(value)
        self._write(text)
        self._comma = ","

    def timed_field(self, field: bytes, value: bytes, expire_at_ms: int) -> None:
        self._write(
            f'{self._comma}{quoted(readable(field))}:{{"value":{quoted(readable(value))},"expire_at_ms":{expire_at_ms}}}'
        )
        self._comma = ","

    def entry(self, id: bytes, parts: list[bytes]) -> None:
        self._write(f'{self._comma}{{"id":"{id.decode()}","fields":{array(quoted(readable(part)) for part in parts)}}}')
        self._comma = ","

    def stream_end(self, tail: bytes) -> None:
        stream = Tail.decode(tail)
        self._write(
            f'],"last_id":{id_(stream.last_id)},"first_id":{id_(stream.first_id)},'
            f'"max_deleted_id":{id_(stream.max_deleted_id)},"entries_added":{stream.entries_added},'
            f'"groups":{array(map(group_object, stream.groups))}'
        )

    def end(self, record: Record) -> None:
        if record.kind == rdb_format.TYPE_STRING:
            self._write(quoted(self._pieces.decode(b"", final=True))[1:-1])
        text = self._closing
        if record.idle_s is not None:
            text += f',"idle_s":{record.idle_s}'
        if record.frequency is not None:
            text += f',"frequency":{record.frequency}'
        self._write(text + "}\n")

    def function(self, code: bytes) -> None:
        self._write(f'{{"function":{quoted(readable(code))}}}\n')


def number(score: float) -> str:
    """A score; JSON has no infinite numbers, so these are strings."""
    text = repr(score)
    return f'"{text}"' if "n" in text else text


def array(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"


def id_(number: int) -> str:
    """A stream's ID."""
    return f'"{format_id(number).decode()}"'


def group_object(group: Group) -> str:
    """A consumer group; pending entries are shown with their consumers."""
    read = "null" if group.entries_read is None else group.entries_read
    return (
        f'{{"name":{quoted(readable(group.name))},"last_id":{id_(group.last_id)},"entries_read":{read},'
        f'"consumers":{array(consumer_object(group, consumer) for consumer in group.consumers.values())}}}'
    )


def consumer_object(group: Group, consumer: Consumer) -> str:
    pending = array(
        f'{{"id":{id_(id)},"delivered_ms":{delivered_ms},"deliveries":{deliveries}}}'
        for id, delivered_ms, deliveries in group.pending_of(consumer)
    )
    return f'{{"name":{quoted(readable(consumer.name))},"seen_ms":{consumer.seen_ms},"pending":{pending}}}'
