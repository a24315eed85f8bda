# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
"""Read the value of a key, of any type and encoding, from a file or a DUMP payload, into a target.

    values.read_key(); values.begin(type, has_expiry, expire_at_ms)
    while values.state:                     # not for small values
        values.go_on(stop_at)               # offset in the input at which to return; the server answers clients then
    ... values.outcome ...

A collection goes to the target element by element, over as many steps as it takes; a compact encoding is
parsed in one. The input is untrusted: a value is parsed completely, or RdbError says where it is wrong:
truncation, unknown types, lengths that do not fit, duplicates, elements out of order. A large value needs
memory for one piece of it, a compact encoding for its bytes.

Module data, and types that minikv lacks, are skipped if their length is known, and reported to the target.
A new type is one more branch in begin(), and one more state if it can be large.

A hash of Redis 8.10 may take its fields from a template, which precedes it in a file and is part of a
payload:

    template   identifier | number of fields | field ...      the shorter fields first, those of one length in order
    hash       identifier | value ...                         in the order of the template's fields

`remarks` has what a user should know about the file: for each kind of remark the count and the first case.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.lzf import lzf_expand
from cython.cimports.minikv.engine.record import (
    TYPE_HASH,
    TYPE_LIST,
    TYPE_SET,
    TYPE_STREAM,
    TYPE_STRING,
    TYPE_ZSET,
    bytes_at,
)
from cython.cimports.minikv.rdb.compact import (
    INTSET,
    LISTPACK,
    ZIPLIST,
    ZIPMAP,
    Compact,
    Element,
    compact_begin,
    compact_next,
)
from cython.cimports.minikv.rdb.decimal import parse_as_c, parse_decimal
from cython.cimports.minikv.rdb.format import (
    CONTAINER_PACKED,
    CONTAINER_PLAIN,
    METADATA_CLASSES_MAX,
    METADATA_MAY_BE_IGNORED,
    MODULE_DOUBLE,
    MODULE_END,
    MODULE_FLOAT,
    MODULE_SIGNED,
    MODULE_STRING,
    MODULE_UNSIGNED,
    SPECIAL_LZF,
    TYPE_ARRAY,
    TYPE_GCRA,
    TYPE_HASH_LISTPACK,
    TYPE_HASH_LISTPACK_TTL,
    TYPE_HASH_LISTPACK_TTL_PRE_GA,
    TYPE_HASH_TTL,
    TYPE_HASH_TTL_PRE_GA,
    TYPE_HASH_ZIPLIST,
    TYPE_HASH_ZIPMAP,
    TYPE_LIST_QUICKLIST,
    TYPE_LIST_QUICKLIST_2,
    TYPE_LIST_ZIPLIST,
    TYPE_MODULE_2,
    TYPE_SET_INTSET,
    TYPE_SET_LISTPACK,
    TYPE_STREAM_1,
    TYPE_STREAM_2,
    TYPE_STREAM_3,
    TYPE_STREAM_4,
    TYPE_STREAM_5,
    TYPE_TEMPLATE_ARRAY,
    TYPE_TEMPLATE_ARRAY_ALONE,
    TYPE_TEMPLATE_LISTPACK,
    TYPE_TEMPLATE_LISTPACK_ALONE,
    TYPE_ZSET_1,
    TYPE_ZSET_LISTPACK,
    TYPE_ZSET_ZIPLIST,
)
from cython.cimports.minikv.rdb.input import RdbInput, Text
from cython.cimports.minikv.rdb.pointers import Bytes, ConstBytes
from cython.cimports.minikv.rdb.stream import StreamReader
from cython.cimports.minikv.rdb.target import DIRECT_LEN, LoadTarget
from cython.cimports.minikv.rdb.value import (
    ARRAY,
    DIRECT,
    ELEMENTS,
    EMPTY,
    EXPIRED,
    IDLE,
    LOADED,
    MODULE,
    NODES,
    PASSED_OVER,
    PIECES,
    SKIPPED,
)

from minikv.errors import RdbError
from minikv.rdb import format as rdb_format

# How the fields of a template, and the elements of an array, are held.
FIELDS_IN_LISTPACK = cython.declare(uint64_t, 0)
FIELDS_ONE_BY_ONE = cython.declare(uint64_t, 1)
ARRAY_INTEGER = cython.declare(uint64_t, 1)
ARRAY_DOUBLE = cython.declare(uint64_t, 2)
ARRAY_TAG_MAX = cython.declare(uint64_t, 3)  # larger ones are strings

SHOWN_LEN = cython.declare(uint64_t, 128)  # of a name in an error text
COMPACT_SCORE_LEN = cython.declare(uint64_t, 127)  # Redis reads no more of a compact score
OLD_SCORE_NAN = cython.declare(cython.int, 253)  # lengths of an old score that are words
OLD_SCORE_INF = cython.declare(cython.int, 254)
FIELD_HEAD = cython.declare(uint64_t, 8)  # bytes of a field's length, in a template that was read
FIELD_TIME_MAX = cython.declare(uint64_t, 1 << 48)  # ms; Redis keeps times of fields in 48 bits


class ValueReader:
    """One value after another; see the module's head."""

    def __init__(self, source: RdbInput, target: LoadTarget, now_ms: int64_t):
        self.source = source
        self.target = target
        self.nowhere = LoadTarget()
        self.now_ms = now_ms
        self.key = Text()
        self.name = Text()
        self.stream = StreamReader(source)
        self.value = Text()
        self.templates = {}
        self.metadata = []
        self.remarks = {}
        self.idle_s = self.frequency = -1

    # What is common to all types

    def read_key(self) -> cython.int:
        """The key; begin() must follow."""
        self.has_key = False
        self.source.hold()
        self.source.read_text(self.key)
        self.has_key = True
        return 0

    def begin(self, type: cython.int, has_expiry: cython.bint, expire_at_ms: int64_t) -> cython.int:
        """Read a value of this type, or its beginning if it is large."""
        self.type = type
        self.expire_at_ms = expire_at_ms if has_expiry else 0
        self.outcome = LOADED
        self.into = self.target
        if self.metadata:
            self.remark_metadata()
        if has_expiry and expire_at_ms < self.now_ms:
            self.outcome = EXPIRED
            self.into = self.nowhere
        if self.unwanted:
            self.outcome = PASSED_OVER
            self.into = self.nowhere
        if type == TYPE_STRING:
            return self.begin_string()
        self.source.keep(self.key)
        self.source.release()
        self.opened = False
        self.fields_expired = 0
        self.base_ms = 0
        self.kind = type
        if type in (TYPE_LIST, TYPE_HASH, TYPE_SET, TYPE_ZSET):
            return self.begin_elements()
        if type in (TYPE_LIST_QUICKLIST, TYPE_LIST_QUICKLIST_2):
            self.kind = TYPE_LIST
            return self.begin_elements()
        if type == TYPE_LIST_ZIPLIST:
            self.kind = TYPE_LIST
            return self.read_compact(ZIPLIST)
        if type in (TYPE_HASH_LISTPACK, TYPE_HASH_ZIPLIST, TYPE_HASH_ZIPMAP):
            self.kind = TYPE_HASH
            return self.read_compact(
                LISTPACK if type == TYPE_HASH_LISTPACK else ZIPLIST if type == TYPE_HASH_ZIPLIST else ZIPMAP
            )
        if type in (TYPE_SET_INTSET, TYPE_SET_LISTPACK):
            self.kind = TYPE_SET
            return self.read_compact(INTSET if type == TYPE_SET_INTSET else LISTPACK)
        if type in (TYPE_ZSET_LISTPACK, TYPE_ZSET_ZIPLIST):
            self.kind = TYPE_ZSET
            return self.read_compact(LISTPACK if type == TYPE_ZSET_LISTPACK else ZIPLIST)
        if type == TYPE_ZSET_1:
            self.kind = TYPE_ZSET
            return self.begin_elements()
        if type in (TYPE_HASH_TTL, TYPE_HASH_TTL_PRE_GA):
            self.kind = TYPE_HASH
            if type == TYPE_HASH_TTL:
                self.base_ms = self.source.little_endian(8)
            return self.begin_elements()
        if type in (TYPE_HASH_LISTPACK_TTL, TYPE_HASH_LISTPACK_TTL_PRE_GA) and not self.valkey:
            self.kind = TYPE_HASH
            if type == TYPE_HASH_LISTPACK_TTL:
                self.source.little_endian(8)  # the earliest expiry of its fields
            return self.read_compact(LISTPACK)
        if TYPE_TEMPLATE_LISTPACK_ALONE <= type <= TYPE_TEMPLATE_ARRAY:
            return self.begin_template_hash()
        if type in (TYPE_STREAM_1, TYPE_STREAM_2, TYPE_STREAM_3, TYPE_STREAM_4, TYPE_STREAM_5):
            self.kind = TYPE_STREAM
            return self.begin_stream()
        if type == TYPE_MODULE_2 and not self.alone:
            return self.begin_module(bytes_at(self.source.data(self.key), self.key.length))
        if type in (TYPE_ARRAY, TYPE_GCRA) and not self.alone:
            return self.begin_unknown()
        return self.refuse(f"The type {rdb_format.type_names(self.valkey)[type]} ({type}) of {{}} is not supported")

    def go_on(self, stop_at: uint64_t) -> cython.int:
        """Continue until the value is complete or this offset is reached."""
        if self.state == ELEMENTS:
            return self.go_on_elements(stop_at)
        if self.state == DIRECT:
            return self.go_on_direct(stop_at)
        if self.state == MODULE:
            return self.go_on_module(stop_at)
        if self.state == NODES:
            return self.go_on_stream(stop_at)
        if self.state == ARRAY:
            return self.go_on_array(stop_at)
        return self.go_on_pieces(stop_at)

    def named_key(self, preposition: str = "in") -> str:
        """The key and its database, for an error's text."""
        name = repr(bytes_at(self.source.data(self.key), min(self.key.length, SHOWN_LEN)))[1:]
        return f"key {name}" if self.alone else f"key {name} {preposition} DB {self.database}"

    def refuse(self, reason: str) -> cython.int:
        """Refuse the value; {} in the text is replaced by the key."""
        raise RdbError(reason.format(self.named_key()), self.record_at)

    def remark(self, kind: str, what: str) -> cython.int:
        """Record something that a user should know about the file."""
        count, first = self.remarks.get(kind, (0, what))
        self.remarks[kind] = (count + 1, first)
        return 0

    def duplicate_key(self) -> cython.int:
        return self.refuse("RDB has duplicated {}")

    def only(self, nbytes: uint64_t) -> cython.int:
        """Fail unless nbytes are left; exactly nbytes if the value is a payload. Called before it is stored."""
        self.source.need_no_more(nbytes)
        if self.alone and nbytes != self.source.left():
            self.source.fail(f"{self.source.left() - nbytes} bytes follow the value")
        return 0

    # Strings

    def begin_string(self) -> cython.int:
        length: uint64_t = self.source.any_length()
        self.target.string_encoding = -1
        if not self.source.special:
            return self.plain_string(length)
        self.target.string_encoding = cython.cast(cython.int, length)
        if length == SPECIAL_LZF:
            return self.packed_string()
        self.source.read_special(length, self.value)
        self.only(0)
        return self.whole_string(self.source.data(self.value), self.value.length)

    def plain_string(self, length: uint64_t) -> cython.int:
        self.only(length)
        if length < DIRECT_LEN:
            self.source.need(length)
            self.source.at += length
            return self.whole_string(self.source.buffer + (self.source.at - length), length)
        self.left = length
        self.state = SKIPPED
        if self.outcome == LOADED:
            self.direct_to = self.string_room(length)
            self.state = PIECES if self.into.in_pieces else DIRECT
        self.source.release()
        return 0

    def packed_string(self) -> cython.int:
        """Expand a compressed string straight to its destination; it has been validated."""
        packed_len: uint64_t = 0
        length: uint64_t = self.source.read_packed(cython.address(packed_len))
        room: Bytes
        self.only(packed_len)
        if self.outcome == LOADED and (length < DIRECT_LEN or not self.into.in_pieces):
            room = self.string_room(length)
            lzf_expand(self.source.buffer + self.source.at, packed_len, room)
        elif self.outcome == LOADED:
            room = self.value.room(length)
            lzf_expand(self.source.buffer + self.source.at, packed_len, room)
            self.string_room(length)
            self.into.piece(room, length)
        self.source.at += packed_len
        return self.string_end()

    def string_room(self, length: uint64_t) -> Bytes:
        """Where the bytes of the string go."""
        if not self.into.string(self.source.data(self.key), self.key.length, length, self.expire_at_ms):
            self.duplicate_key()
        if self.idle_s >= 0 or self.frequency >= 0:
            self.into.used(self.source.data(self.key), self.key.length, self.idle_s, self.frequency)
        return self.into.room

    def whole_string(self, text: ConstBytes, length: uint64_t) -> cython.int:
        """Store a string that was read already."""
        if self.outcome == LOADED:
            memcpy(self.string_room(length), text, length)
        return self.string_end()

    def string_end(self) -> cython.int:
        self.source.release()
        self.state = IDLE
        return self.into.record_end(self.source.offset()) if self.outcome == LOADED else 0

    def go_on_direct(self, stop_at: uint64_t) -> cython.int:
        done: uint64_t
        while self.left and self.source.offset() < stop_at:
            done = self.source.read_direct(self.direct_to, self.left)
            self.direct_to += done
            self.left -= done
        return 0 if self.left else self.string_end()

    def go_on_pieces(self, stop_at: uint64_t) -> cython.int:
        """Pass the bytes of a large string to the target in order, or skip them."""
        piece: uint64_t
        while self.left and self.source.offset() < stop_at:
            piece = min(self.left, cython.cast(uint64_t, DIRECT_LEN))
            self.source.need(piece)
            if self.state == PIECES:
                self.into.piece(self.source.buffer + self.source.at, piece)
            self.source.at += piece
            self.left -= piece
        return 0 if self.left else self.string_end()

    # Collections, element by element

    def begin_elements(self) -> cython.int:
        self.left = self.source.count()
        if self.left == 0:
            return self.elements_end()
        self.state = ELEMENTS
        return 0

    def go_on_elements(self, stop_at: uint64_t) -> cython.int:
        nodes: cython.bint = self.type == TYPE_LIST_QUICKLIST or self.type == TYPE_LIST_QUICKLIST_2
        while self.left and self.source.offset() < stop_at:
            self.source.hold()
            if nodes:
                self.read_node()
            else:
                self.read_element()
            self.source.release()
            self.left -= 1
        return 0 if self.left else self.elements_end()

    def read_element(self) -> cython.int:
        source: RdbInput = self.source
        score: cython.double
        at_ms: int64_t = 0
        if self.type == TYPE_HASH_TTL or (self.type == TYPE_HASH_TTL_PRE_GA and not self.valkey):
            at_ms = self.field_time(source.length())
        if self.type == TYPE_TEMPLATE_ARRAY or self.type == TYPE_TEMPLATE_ARRAY_ALONE:
            source.read_text(self.value)
            return self.give_by_template(source.data(self.value), self.value.length)
        source.read_text(self.name)
        if self.kind == TYPE_HASH:
            source.read_text(self.value)
            if self.type == TYPE_HASH_TTL_PRE_GA and self.valkey:
                at_ms = self.field_time(source.little_endian(8) + 1)
            return self.give(
                source.data(self.name), self.name.length, source.data(self.value), self.value.length, at_ms
            )
        if self.kind == TYPE_ZSET:
            score = source.double_() if self.type == TYPE_ZSET else self.old_score()
            if score != score:
                self.not_a_number()
            return self.give_scored(source.data(self.name), self.name.length, score)
        return self.give(source.data(self.name), self.name.length, cython.NULL, 0, 0)

    def read_node(self) -> cython.int:
        """A node of a quicklist: a ziplist, a listpack (perhaps empty) or one large element."""
        source: RdbInput = self.source
        container: uint64_t
        if self.type == TYPE_LIST_QUICKLIST:
            return self.read_strings(ZIPLIST)
        container = source.length()
        if container == CONTAINER_PACKED:
            return self.read_strings(LISTPACK)
        if container != CONTAINER_PLAIN:
            source.fail(f"A node of {self.named_key()} is of the unknown kind {container}")
        source.read_text(self.name)
        if self.name.length == 0:
            source.fail(f"A node of {self.named_key()} is of the plain kind and empty")
        return self.give(source.data(self.name), self.name.length, cython.NULL, 0, 0)

    def open(self) -> cython.int:
        """Begin the collection at the target, before its first element."""
        self.opened = True
        if not self.into.collection(self.source.data(self.key), self.key.length, self.kind, self.expire_at_ms):
            self.duplicate_key()
        return 0

    def give(
        self, name: ConstBytes, name_len: uint64_t, value: ConstBytes, value_len: uint64_t, at_ms: int64_t
    ) -> cython.int:
        """Pass an element to the target; at_ms: a field's expiry, 0 for none."""
        if at_ms:
            if at_ms < self.now_ms:
                self.fields_expired += 1
                return 0
            self.into.field_expiry(at_ms)
        if not self.opened:
            self.open()
        if not self.into.element(name, name_len, value, value_len):
            self.duplicate_element(name, name_len)
        return 0

    def give_scored(self, name: ConstBytes, name_len: uint64_t, score: cython.double) -> cython.int:
        if not self.opened:
            self.open()
        if not self.into.scored(name, name_len, score):
            self.duplicate_element(name, name_len)
        return 0

    def duplicate_element(self, name: ConstBytes, name_len: uint64_t) -> cython.int:
        shown = bytes_at(name, min(name_len, SHOWN_LEN))
        self.source.fail(f"Duplicate element {shown!r} in {self.named_key('of')}")

    def elements_end(self) -> cython.int:
        """End the collection."""
        self.state = IDLE
        self.source.release()
        self.only(0)
        if self.into.takes_empty and not self.opened:
            self.open()
        if self.opened:
            self.into.collection_end()
            if self.outcome == LOADED and (self.idle_s >= 0 or self.frequency >= 0):
                self.into.used(self.source.data(self.key), self.key.length, self.idle_s, self.frequency)
            self.into.record_end(self.source.offset())
        elif self.outcome != PASSED_OVER:
            self.outcome = EXPIRED if self.fields_expired else EMPTY
        return 0

    # Scores and times

    def old_score(self) -> cython.double:
        """A length and digits; lengths above 252 stand for nan and infinities."""
        length: cython.int = self.source.byte()
        if length == OLD_SCORE_NAN:
            self.not_a_number()
        if length >= OLD_SCORE_INF:
            return float("inf") if length == OLD_SCORE_INF else float("-inf")
        self.source.need(length)
        self.source.at += length
        return self.score_of(self.source.buffer + (self.source.at - length), length, True)

    def score_of(self, text: ConstBytes, length: uint64_t, strict: cython.bint) -> cython.double:
        """The number that a text spells, or begins with, as Redis reads it; strict: else that is 0."""
        score: cython.double = 0.0
        found: cython.bint = parse_decimal(text, length, cython.address(score))
        if not found:
            if not strict:
                length = min(length, COMPACT_SCORE_LEN)
            found = parse_as_c(text, length, cython.address(score)) or not strict
        if not found or score != score:
            self.not_a_number()
        return score

    def not_a_number(self) -> cython.int:
        self.source.fail(f"A score of {self.named_key()} is not a number")

    def field_time(self, ttl: uint64_t) -> int64_t:
        """A field's expiry in Unix milliseconds, 0 for none; some forms are relative to a base, plus one."""
        at_ms: uint64_t = ttl
        if ttl == 0:
            return 0
        if self.type == TYPE_HASH_TTL:
            at_ms += self.base_ms - 1
        elif self.valkey:
            at_ms -= 1
        if ttl > FIELD_TIME_MAX or self.base_ms > FIELD_TIME_MAX or at_ms > FIELD_TIME_MAX:
            self.source.fail(f"A field of {self.named_key()} has a time that cannot be")
        return max(cython.cast(int64_t, at_ms), 1)

    # Compact encodings

    def read_compact(self, form: cython.int) -> cython.int:
        """A small collection in one string with a compact encoding."""
        compact = cython.declare(Compact)
        name = cython.declare(Element)
        value = cython.declare(Element)
        found: cython.int
        source: RdbInput = self.source
        source.hold()
        if self.kind == TYPE_SET or self.kind == TYPE_LIST:
            self.read_strings(form)
            return self.elements_end()
        source.read_text(self.value)
        compact_begin(cython.address(compact), form, source.data(self.value), self.value.length)
        if self.type == TYPE_HASH_LISTPACK_TTL or self.type == TYPE_HASH_LISTPACK_TTL_PRE_GA:
            return self.read_triples(cython.address(compact))
        while True:
            found = compact_next(cython.address(compact), cython.address(name))
            if found <= 0:
                break
            found = compact_next(cython.address(compact), cython.address(value))
            if found <= 0:
                break
            if self.kind == TYPE_HASH:
                self.give(name.data, name.length, value.data, value.length, 0)
            elif value.is_number:
                self.give_scored(name.data, name.length, cython.cast(cython.double, value.number))
            else:
                self.give_scored(name.data, name.length, self.score_of(value.data, value.length, False))
        if found < 0:
            self.compact_wrong(cython.address(compact), compact.error.decode())
        if compact.count % 2:
            self.compact_wrong(cython.address(compact), "a field without value")
        return self.elements_end()

    def read_strings(self, form: cython.int) -> cython.int:
        """String elements in one string with a compact encoding."""
        compact = cython.declare(Compact)
        element = cython.declare(Element)
        found: cython.int
        self.source.read_text(self.value)
        compact_begin(cython.address(compact), form, self.source.data(self.value), self.value.length)
        while True:
            found = compact_next(cython.address(compact), cython.address(element))
            if found <= 0:
                break
            self.give(element.data, element.length, cython.NULL, 0, 0)
        if found < 0:
            self.compact_wrong(cython.address(compact), compact.error.decode())
        return 0

    def read_triples(self, compact: cython.pointer[Compact]) -> cython.int:
        """Triples of field, value and expiry."""
        name = cython.declare(Element)
        value = cython.declare(Element)
        at_ms = cython.declare(Element)
        found: cython.int
        while True:
            found = compact_next(compact, cython.address(name))
            if found > 0:
                found = compact_next(compact, cython.address(value))
            if found > 0:
                found = compact_next(compact, cython.address(at_ms))
            if found <= 0:
                break
            if not at_ms.is_number or at_ms.number < 0:
                self.compact_wrong(compact, "a field with a time that cannot be")
            self.give(name.data, name.length, value.data, value.length, self.field_time(at_ms.number))
        if found < 0:
            self.compact_wrong(compact, compact.error.decode())
        if compact.count % 3:
            self.compact_wrong(compact, "a field without value or time")
        return self.elements_end()

    def compact_wrong(self, compact: cython.pointer[Compact], reason: str) -> cython.int:
        """Raise with the offset inside the encoding, unless it was compressed."""
        offset: uint64_t = self.record_at
        if self.value.decoded == cython.NULL:
            offset = self.value.at + min(compact.at, compact.size)
        layout: str = rdb_format.layout_name(self.type, self.valkey)
        raise RdbError(f"{layout} integrity check failed: {self.named_key()} has {reason}", offset)

    # Hashes with templates

    def read_template(self) -> cython.int:
        """A template of the file, for the hashes that follow."""
        identifier: uint64_t = self.source.length()
        if identifier in self.templates:
            self.source.fail(f"Duplicate hash template {identifier}")
        self.read_fields()
        self.templates[identifier] = (bytes(self.fields), self.fields_left)
        return 0

    def read_fields(self) -> cython.int:
        """The fields of a template, one by one."""
        _step: uint64_t
        count: uint64_t = self.source.count()
        self.fields = bytearray()
        self.fields_left = 0
        for _step in range(count):
            self.source.read_text(self.name)
            self.add_field(self.source.data(self.name), self.name.length)
        return self.fields_end()

    def add_field(self, name: ConstBytes, length: uint64_t) -> cython.int:
        """Append a field, with its length before it, to the template that is being read."""
        before: cython.pointer[cython.uchar] = self.fields
        order: cython.int = 1
        if self.fields_left:
            order = (length > self.last_len) - (length < self.last_len)
            if order == 0:
                order = memcmp(name, before + (len(self.fields) - self.last_len), length)
        if order <= 0:
            self.source.fail("Fields of a hash template that are not in order")
        self.fields += bytes_at(cython.cast(ConstBytes, cython.address(length)), FIELD_HEAD)
        self.fields += bytes_at(name, length)
        self.last_len = length
        self.fields_left += 1
        return 0

    def fields_end(self) -> cython.int:
        if self.fields_left == 0:
            self.source.fail("A hash template without fields")
        return 0

    def begin_template_hash(self) -> cython.int:
        """A hash with the fields of a template: one read before in a file, its own in a payload."""
        type: cython.int = self.type
        self.kind = TYPE_HASH
        if self.alone != (type in (TYPE_TEMPLATE_LISTPACK_ALONE, TYPE_TEMPLATE_ARRAY_ALONE)):
            return self.refuse("{} refers to a hash template that is elsewhere")
        if self.alone:
            self.read_own_fields()
        elif type == TYPE_TEMPLATE_ARRAY:
            self.choose_template(self.source.length())
        if type in (TYPE_TEMPLATE_LISTPACK, TYPE_TEMPLATE_LISTPACK_ALONE):
            return self.read_template_values()
        self.source.need_no_more(self.fields_left)
        self.use_fields(bytes(self.fields) if self.alone else self.template)
        self.left = self.fields_left
        self.state = ELEMENTS
        return 0

    def read_own_fields(self) -> cython.int:
        """The template in a payload."""
        compact = cython.declare(Compact)
        field = cython.declare(Element)
        found: cython.int
        form: uint64_t = self.source.length()
        if form == FIELDS_ONE_BY_ONE:
            return self.read_fields()
        if form != FIELDS_IN_LISTPACK:
            self.source.fail(f"Hash template of the unknown form {form}")
        self.fields = bytearray()
        self.fields_left = 0
        self.source.read_text(self.value)
        compact_begin(cython.address(compact), LISTPACK, self.source.data(self.value), self.value.length)
        while True:
            found = compact_next(cython.address(compact), cython.address(field))
            if found <= 0:
                break
            self.add_field(field.data, field.length)
        if found < 0:
            self.compact_wrong(cython.address(compact), compact.error.decode())
        return self.fields_end()

    def choose_template(self, identifier: object) -> cython.int:
        if identifier not in self.templates:
            self.source.fail(f"{self.named_key()} refers to the hash template {identifier}, which is not in the file")
        self.template, self.fields_left = self.templates[identifier]
        return 0

    def use_fields(self, fields: bytes) -> cython.int:
        self.template = fields
        self.next_field = cython.cast(ConstBytes, PyBytes_AS_STRING(fields))
        return 0

    def give_by_template(self, value: ConstBytes, value_len: uint64_t) -> cython.int:
        """The value of the template's next field."""
        length: uint64_t = 0
        name: ConstBytes = self.next_field + FIELD_HEAD
        memcpy(cython.address(length), self.next_field, FIELD_HEAD)
        self.next_field = name + length
        return self.give(name, length, value, value_len, 0)

    def read_template_values(self) -> cython.int:
        """A listpack: the template's identifier, which a payload does not need, and the values."""
        compact = cython.declare(Compact)
        value = cython.declare(Element)
        found: cython.int
        left: uint64_t
        self.source.hold()
        self.source.read_text(self.value)
        compact_begin(cython.address(compact), LISTPACK, self.source.data(self.value), self.value.length)
        found = compact_next(cython.address(compact), cython.address(value))
        if found > 0 and not self.alone:
            if not value.is_number:
                self.compact_wrong(cython.address(compact), "a listpack without the number of its template")
            self.choose_template(value.number)
        if found > 0:
            self.use_fields(bytes(self.fields) if self.alone else self.template)
            left = self.fields_left
            while True:
                found = compact_next(cython.address(compact), cython.address(value))
                if found <= 0 or left == 0:
                    break
                self.give_by_template(value.data, value.length)
                left -= 1
            if found >= 0 and (found or left):
                self.compact_wrong(cython.address(compact), "a listpack with more or fewer values than fields")
        if found < 0:
            self.compact_wrong(cython.address(compact), compact.error.decode())
        if compact.count == 0:
            self.compact_wrong(cython.address(compact), "an empty listpack")
        return self.elements_end()

    # Streams

    def begin_stream(self) -> cython.int:
        self.stream.begin(self.type)
        self.open()
        self.state = NODES
        return 0

    def go_on_stream(self, stop_at: uint64_t) -> cython.int:
        tail: bytes
        while self.stream.nodes_left and self.source.offset() < stop_at:
            id, pack = self.stream.node()
            self.into.node(id, pack)
        if self.stream.nodes_left:
            return 0
        tail = self.stream.tail()
        self.only(0)
        self.remark_stream()
        self.state = IDLE
        self.into.stream_end(tail)
        if self.outcome == LOADED and (self.idle_s >= 0 or self.frequency >= 0):
            self.into.used(self.source.data(self.key), self.key.length, self.idle_s, self.frequency)
        return self.into.record_end(self.source.offset())

    def remark_stream(self) -> cython.int:
        """Record remarks on what a stream has lost."""
        stream: StreamReader = self.stream
        if self.outcome != LOADED:
            return 0
        if stream.claimed != stream.live:
            self.remark(
                "streams had a wrong length and were counted anew",
                f"{self.named_key()}, {stream.live} entries and not {stream.claimed}",
            )
        if stream.producers:
            self.remark(
                "streams have lost what they know of producers (IDMP), which minikv does not keep", self.named_key()
            )
        if stream.released:
            self.remark(
                "streams have entries that consumers gave back (XNACK); they are now pending for a consumer without"
                " a name",
                f"{self.named_key()}, {stream.released} entries",
            )
        return 0

    # What minikv does not have

    def begin_unknown(self) -> cython.int:
        """Skip a type that minikv lacks, by its own layout."""
        self.module_name = rdb_format.TYPE_NAMES[self.type].encode()
        self.module_at = self.source.offset()
        self.module_key = bytes_at(self.source.data(self.key), self.key.length)
        if self.type == TYPE_GCRA:
            self.source.length()
            return self.unknown_end()
        self.left = self.source.count()
        if self.source.length():
            self.source.length()  # where the next element is to be inserted
        self.state = ARRAY
        return 0

    def go_on_array(self, stop_at: uint64_t) -> cython.int:
        """Elements of: index | tag | value."""
        source: RdbInput = self.source
        tag: uint64_t
        while self.left and source.offset() < stop_at:
            source.length()
            tag = source.length()
            if tag > ARRAY_TAG_MAX:
                source.fail(f"An element of the array {self.named_key()} is of the unknown kind {tag}")
            if tag in (ARRAY_INTEGER, ARRAY_DOUBLE):
                source.skip(8)
            else:
                source.skip_string()
            self.left -= 1
        return 0 if self.left else self.unknown_end()

    def unknown_end(self) -> cython.int:
        """End skipped data."""
        self.state = IDLE
        if self.module_key is None or self.outcome == LOADED:
            self.target.module(self.module_name, self.module_key, self.source.offset() - self.module_at)
            if self.module_key is not None:
                self.target.record_end(self.source.offset())
            self.outcome = PASSED_OVER
        return 0

    def read_metadata(self) -> cython.int:
        """Skip modules' metadata of the next key, if its class allows that."""
        _step: uint64_t
        class_spec: uint64_t
        count: uint64_t = self.source.length()
        if count > METADATA_CLASSES_MAX:
            self.source.fail(f"Metadata of {count} classes")
        for _step in range(count):
            class_spec = self.source.little_endian(4)
            self.module_name = rdb_format.metadata_name(class_spec).encode()
            if not class_spec & METADATA_MAY_BE_IGNORED:
                self.source.fail(
                    f"Metadata of the class {self.module_name.decode()!r} must not be left out, and minikv does not"
                    " have its module"
                )
            while self.module_part():
                pass
            self.metadata.append(self.module_name.decode())
        return 0

    def remark_metadata(self) -> cython.int:
        for name in self.metadata:
            self.remark(f"keys have lost a module's metadata of the class {name!r}", self.named_key())
        self.metadata = []
        return 0

    def begin_module(self, key: object) -> cython.int:
        """Skip a module's value, which marks its own end."""
        self.module_name = rdb_format.module_name(self.source.length()).encode()
        self.module_at = self.source.offset()
        self.module_key = key
        self.state = MODULE
        return 0

    def begin_module_aux(self) -> cython.int:
        """The same for data that belongs to no key."""
        self.begin_module(None)
        if self.source.length() != MODULE_UNSIGNED:
            self.source.fail("Module AUX data without its place")
        self.source.length()
        return 0

    def go_on_module(self, stop_at: uint64_t) -> cython.int:
        while self.source.offset() < stop_at:
            if not self.module_part():
                return self.unknown_end()
        return 0

    def module_part(self) -> cython.int:
        """Skip the next part; 0 at the end mark."""
        source: RdbInput = self.source
        part: uint64_t = source.length()
        if part == MODULE_END:
            return 0
        if part in (MODULE_SIGNED, MODULE_UNSIGNED):
            source.length()
        elif part in (MODULE_FLOAT, MODULE_DOUBLE):
            source.skip(4 if part == MODULE_FLOAT else 8)
        elif part == MODULE_STRING:
            source.skip_string()
        else:
            source.fail(f"Unknown part {part} in the data of the module type {self.module_name.decode()!r}")
        return 1
