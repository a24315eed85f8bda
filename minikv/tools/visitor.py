# cython: boundscheck=False, wraparound=False
"""The server's reader without storage: it passes what it finds to a Visitor.

So the tools understand what the server understands, and refuse what it refuses, for the same reason
and at the same offset. Memory: one element, or one compact encoding, or a piece of a large string.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.minikv.engine.record import TYPE_STRING, bytes_at
from cython.cimports.minikv.keyspace.footprint import Footprint
from cython.cimports.minikv.keyspace.stream_node import (
    StreamEntry,
    StreamId,
    entry_parts,
    first_entry,
    id_at,
    id_text,
    master_fields,
    master_names,
    node_deleted,
    node_live,
    read_entry,
)
from cython.cimports.minikv.rdb.target import DIRECT_LEN, LoadTarget

from minikv.keyspace.stream_group import Tail
from minikv.rdb import format as rdb_format

TYPE_MODULE = rdb_format.TYPE_MODULE_2  # of everything that is skipped


class Visitor:
    """Receives the contents of a file, in its order; override what you need.

    For each wanted record: begin, then piece or element for each of them, then end. A visitor that does
    not need pieces of strings, or elements, leaves that flag False and does not get them.
    """

    takes_pieces = False
    takes_elements = False

    def begin(self, record: Record) -> object:
        """A record begins; sizes and counts are not known yet. False: the key is a duplicate."""

    def piece(self, data: bytes) -> None:
        """The next bytes of a string."""

    def element(self, name: bytes, value: object) -> object:
        """The next element, with the value of a hash's field or the score of a sorted set's member.

        False: the name is a duplicate. As with keys, the reader then refuses the file.
        """

    def timed_field(self, field: bytes, value: bytes, expire_at_ms: int) -> object:
        """The same for a hash's field that expires."""
        return self.element(field, value)

    def entry(self, id: bytes, parts: list) -> None:
        """The next entry of a stream: its ID as text, and its fields and values alternating."""

    def stream_end(self, tail: bytes) -> None:
        """What a stream has besides entries; see stream_group.Tail."""

    def end(self, record: Record) -> None:
        """The record is complete."""

    def function(self, code: bytes) -> None:
        """A function library."""

    def module_aux(self, module: bytes) -> None:
        """Data of a module that belongs to no key; only the module understands it."""

    def select(self, number: int) -> None:
        """The next records are in this database."""


class Record:
    """One key of a file. Sizes and counts are complete when the visitor's `end` gets it."""


@cython.final
@cython.cclass
class VisitorTarget(LoadTarget):
    """Passes what a reader finds to a visitor: everything, or the records for which wants(record) is true."""

    _visitor: object
    _wants: object
    _takes_pieces: cython.bint
    _takes_elements: cython.bint
    _database: uint64_t
    _record: Record
    _wanted: cython.bint  # the current record
    _footprint: Footprint
    _field_expiry_ms: int64_t  # of the next element, 0 for none
    _text: bytes  # of a string that the reader is to fill
    _scratch: cython.pointer[uint8_t]  # for strings that are not wanted

    def __cinit__(self):
        self._scratch = cython.cast(cython.pointer[uint8_t], malloc(DIRECT_LEN))
        if self._scratch == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._scratch)

    def __init__(self, visitor: Visitor, wants=None):
        self._visitor = visitor
        self._wants = wants
        self._takes_pieces = visitor.takes_pieces
        self._takes_elements = visitor.takes_elements
        self._footprint = Footprint()
        self.in_pieces = True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def select(self, number: uint64_t) -> cython.int:
        self._database = number
        self._visitor.select(number)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def string(
        self,
        key: cython.pointer[cython.const[uint8_t]],
        key_len: uint64_t,
        value_len: uint64_t,
        expire_at_ms: int64_t,
    ) -> cython.int:
        if not self._begin(bytes_at(key, key_len), TYPE_STRING):
            return 0
        self._footprint.string(value_len)
        self._record.elements = 1
        self._record.largest = value_len
        self._text = None
        self.room = self._scratch
        if value_len < DIRECT_LEN and self._wanted and self._takes_pieces:
            self._text = PyBytes_FromStringAndSize(cython.NULL, value_len)
            self.room = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(self._text))
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def piece(self, start: cython.pointer[cython.const[uint8_t]], nbytes: uint64_t) -> cython.int:
        if self._wanted and self._takes_pieces:
            self._visitor.piece(bytes_at(start, nbytes))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def collection(
        self,
        key: cython.pointer[cython.const[uint8_t]],
        key_len: uint64_t,
        kind: cython.int,
        expire_at_ms: int64_t,
    ) -> cython.int:
        return self._begin(bytes_at(key, key_len), kind)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def element(
        self,
        name: cython.pointer[cython.const[uint8_t]],
        name_len: uint64_t,
        value: cython.pointer[cython.const[uint8_t]],
        value_len: uint64_t,
    ) -> cython.int:
        at_ms: int64_t = self._field_expiry_ms
        self._field_expiry_ms = 0
        self._count(name_len, value_len, at_ms != 0)
        if not (self._wanted and self._takes_elements):
            return 1
        if value == cython.NULL:
            return self._visitor.element(bytes_at(name, name_len), None) is not False
        if at_ms:
            return self._visitor.timed_field(bytes_at(name, name_len), bytes_at(value, value_len), at_ms) is not False
        return self._visitor.element(bytes_at(name, name_len), bytes_at(value, value_len)) is not False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def scored(
        self, name: cython.pointer[cython.const[uint8_t]], name_len: uint64_t, score: cython.double
    ) -> cython.int:
        self._count(name_len, 0, False)
        if self._wanted and self._takes_elements:
            return self._visitor.element(bytes_at(name, name_len), score) is not False
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _count(self, name_len: uint64_t, value_len: uint64_t, expires: cython.bint) -> cython.int:
        self._record.elements += 1
        self._record.largest = max(self._record.largest, max(name_len, value_len))
        self._footprint.add(name_len, value_len, expires)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def record_end(self, offset: uint64_t) -> cython.int:
        record: Record = self._record
        if not self._wanted:
            return 0
        if self._text is not None:
            self._visitor.piece(self._text)
        record.nbytes = offset - record.offset
        record.arena_bytes = self._footprint.nbytes() if record.module is None else 0
        self._visitor.end(record)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def node(self, id: bytes, pack: bytes) -> cython.int:
        entry = cython.declare(StreamEntry)
        data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(pack))
        master: StreamId = id_at(cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(id)))
        fields: uint32_t = master_fields(data)
        left: uint32_t = node_live(data) + node_deleted(data)
        names: list
        if not self._wanted:
            return 0
        self._footprint.node(len(pack))
        names = master_names(data)
        entry.next = first_entry(data)
        while left:
            left -= 1
            read_entry(entry.next, master, fields, cython.address(entry))
            if not entry.deleted:
                self._entry(id_text(entry.id), entry_parts(cython.address(entry), names))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _entry(self, id: bytes, parts: list) -> cython.int:
        self._record.elements += 1
        for part in parts:
            self._record.largest = max(self._record.largest, cython.cast(uint64_t, len(part)))
        if self._takes_elements:
            self._visitor.entry(id, parts)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def stream_end(self, tail: bytes) -> cython.int:
        groups: list = Tail.decode(tail).groups
        self._footprint.tail(len(tail), len(groups))
        for group in groups:
            if not group.is_small():
                self._footprint.large_group(len(group), list(group.consumers))
        if self._wanted and self._takes_elements:
            self._visitor.stream_end(tail)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def field_expiry(self, at_ms: int64_t) -> cython.int:
        self._field_expiry_ms = at_ms
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def used(
        self,
        key: cython.pointer[cython.const[uint8_t]],
        key_len: uint64_t,
        idle_s: int64_t,
        frequency: cython.int,
    ) -> cython.int:
        if idle_s >= 0:
            self._record.idle_s = idle_s
        if frequency >= 0:
            self._record.frequency = frequency
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def function(self, code: bytes, encoded: bytes) -> cython.int:
        if self._wants is None:
            self._visitor.function(code)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def module(self, name: bytes, key: object, nbytes: uint64_t) -> cython.int:
        if key is None:
            if self._wants is None:
                self._visitor.module_aux(name)
            return 0
        return self._begin(key, TYPE_MODULE, name)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _begin(self, key: bytes, kind: cython.int, module: bytes | None = None) -> cython.int:
        record: Record = Record()
        record.database = self._database
        record.key = key
        record.kind = kind
        record.module = module
        record.rdb_type = self.record_type
        record.string_encoding = self.string_encoding if kind == TYPE_STRING else -1
        record.expire_at_ms = self.expiry_ms if self.has_expiry else None
        record.offset = self.record_at
        self._record = record
        self._footprint.begin(kind, len(key), self.has_expiry)
        self._text = None
        self._wanted = self._wants is None or self._wants(record)
        return not self._wanted or self._visitor.begin(record) is not False
