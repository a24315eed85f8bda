# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O2
"""Read an RDB file, a slice at a time, and pass its records to a target.

    reader = RdbReader(fd, target, databases=16, now_ms=..., verify=True)
    while reader.step(1 << 20):             # bytes to read before it returns; the server answers clients in between
        ...

This is the file's grammar: header, opcodes, records, end. `input` has the bytes, `value` the values.

Guarantees, whatever the file holds:
  - memory is bounded by what the file really contains; a claimed length allocates nothing;
  - the whole file is accepted, or RdbError is raised with offset and reason: truncation, unknown opcodes
    and types, lengths that do not fit, duplicate keys and elements, a wrong checksum. Only the hints
    RESIZEDB and SLOT_INFO are skipped silently; AUX fields go to a callback, the rest to `remarks` and
    the target.
  - bytes after the end are ignored, as in redis-server, if a checksum proves that the end is right.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.engine.record import TYPE_STRING, bytes_at
from cython.cimports.minikv.rdb.format import (
    CHECKSUM_LEN,
    FIRST_OPCODE,
    FIRST_VERSION_WITH_CHECKSUM,
    HEADER_LEN,
    LENGTH_14_BITS,
    LENGTH_32_BITS,
    OP_AUX,
    OP_EOF,
    OP_EXPIRETIME,
    OP_EXPIRETIME_MS,
    OP_FREQ,
    OP_FUNCTION2,
    OP_FUNCTION_PRE_GA,
    OP_HASH_TEMPLATE,
    OP_IDLE,
    OP_MODULE_AUX,
    OP_RESIZEDB,
    OP_SELECTDB,
    OP_SLOT_INFO,
    SLOT_IMPORT_NAME_LEN,
    SLOTS,
    SPECIAL_LZF,
    SPECIAL_STRING,
)
from cython.cimports.minikv.rdb.input import RdbInput, file_input
from cython.cimports.minikv.rdb.pointers import ConstBytes
from cython.cimports.minikv.rdb.target import LoadTarget
from cython.cimports.minikv.rdb.value import EMPTY, EXPIRED, LOADED, ValueReader

from minikv.rdb import format as rdb_format
from minikv.rdb.input import TRUNCATED

NO_EXPIRY = cython.declare(int64_t, -1)  # in the opcode of milliseconds, as Redis reads it

EMPTY_SHOWN = 10  # keys that are named
SHOWN_LEN = cython.declare(uint64_t, 128)

NEAR_LEN = cython.declare(uint64_t, 128)  # bytes behind which an opcode, an expiry and a short key are in the buffer
FAR = cython.declare(uint64_t, 1 << 62)

IDLE_MAX = cython.declare(uint64_t, 0x7FFFFFFFFFFFFFFF)  # seconds: larger values would be negative


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def length_at(buffer: ConstBytes, at: cython.pointer[uint64_t], skip: uint64_t) -> uint64_t:
    """A length of one or two bytes behind `skip` bytes, and `at` behind it; a longer one is too long to be near."""
    start: ConstBytes = buffer + at[0] + skip
    first: uint64_t = start[0]
    if first < LENGTH_14_BITS:
        at[0] += skip + 1
        return first
    at[0] += skip + 2
    return (first & 0x3F) << 8 | start[1] if first < LENGTH_32_BITS else FAR


@cython.cclass
class RdbReader:
    """One pass over one file; see the module's head."""

    _source: RdbInput
    _values: ValueReader
    _target: LoadTarget
    _databases: uint64_t
    _on_aux: object

    # from the opcodes before a record
    _has_expiry: cython.bint
    _expire_at_ms: int64_t

    _known = cython.declare(uint8_t[256])  # known types
    _prefixed: cython.bint  # an opcode for the next record has been read
    _in_record: cython.bint  # its value is not complete
    _started: cython.bint
    _done: cython.bint
    version = cython.declare(cython.int, visibility="readonly")
    unchecked = cython.declare(cython.bint, visibility="readonly")  # the file was written without a checksum
    code = cython.declare(cython.int, visibility="readonly")  # opcode or type of the current item; -1: not yet read
    keys_loaded = cython.declare(uint64_t, visibility="readonly")
    keys_expired = cython.declare(uint64_t, visibility="readonly")
    keys_empty = cython.declare(uint64_t, visibility="readonly")  # collections without elements
    empty_keys = cython.declare(list, visibility="readonly")  # the first of them, as bytes
    trailing = cython.declare(uint64_t, visibility="readonly")  # bytes after the end

    def __init__(self, fd: cython.int, target: LoadTarget, databases, now_ms, verify=True, on_aux=None):
        self._source = file_input(fd, verify)
        self._values = ValueReader(self._source, target, now_ms)
        self._target = target
        self._databases = databases
        self._on_aux = on_aux
        self.empty_keys = []
        self.code = -1

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._source.size

    @property
    def offset(self) -> int:
        """Bytes of the file parsed so far."""
        return self._source.offset()

    @property
    def direct_bytes(self) -> int:
        """Those of them that came from the disk, past the page cache."""
        return 0 if self._source.ahead is None else self._source.ahead.direct_bytes

    @property
    def key(self) -> bytes | None:
        """The key of the current record; None outside records or if it was not read yet."""
        values: ValueReader = self._values
        if not 0 <= self.code < FIRST_OPCODE or not values.has_key:
            return None
        return bytes_at(self._source.data(values.key), values.key.length)

    @property
    def remarks(self) -> list[str]:
        """Sentences about what the file had so far that a user should know."""
        values: ValueReader = self._values
        lines = [f"{count} {kind}; the first is {first}" for kind, (count, first) in values.remarks.items()]
        if self.trailing:
            lines.append(f"{self.trailing} bytes follow the end of the data; they are left alone")
        return lines

    def step(self, budget_bytes, max_keys=0) -> bool:
        """Read about budget_bytes, or max_keys keys (0: any number); False at the end."""
        budget: uint64_t = budget_bytes
        stop_at: uint64_t = self._source.offset() + budget
        stop_keys: uint64_t = self.keys_loaded + self.keys_expired + cython.cast(uint64_t, max_keys)
        if max_keys == 0:
            stop_keys = ~cython.cast(uint64_t, 0)
        if not self._started:
            self._header()
        while not self._done and self._source.offset() < stop_at and self.keys_loaded + self.keys_expired < stop_keys:
            if self._values.state:
                self._values.go_on(stop_at)
                if self._in_record:
                    self._record_end()
            else:
                self._item()
        return not self._done

    def seek(self, offset: uint64_t, database: uint64_t) -> None:
        """Go on at this offset, where an item of Redis's format begins, as if in that database.

        Not for the end of the file: its checksum is not known any more.
        """
        source: RdbInput = self._source
        source.buffer = source.own
        source.ahead = None  # it reads from the beginning, and all of it
        os.lseek(source.fd, offset, os.SEEK_SET)
        source.base = offset
        source.at = source.tail = source.summed = 0
        source.verify = False
        if not self._started:
            self._started = True
            self.version = rdb_format.NEWEST_VERSION
            for type in rdb_format.type_names(False):
                self._known[type] = True
        self._values.database = database
        self._target.select(database)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _header(self) -> cython.int:
        source: RdbInput = self._source
        self._started = True
        if source.size < HEADER_LEN:
            source.fail(TRUNCATED if source.size else "Wrong signature trying to load DB from file: it is empty")
        source.need(HEADER_LEN)
        header = bytes_at(source.buffer, HEADER_LEN)
        self._values.valkey = header.startswith(rdb_format.VALKEY_MAGIC)
        magic = rdb_format.VALKEY_MAGIC if self._values.valkey else rdb_format.MAGIC
        digits = header[len(magic) :]
        if header.startswith(rdb_format.COMPRESSED_MAGICS):
            source.fail("Wrong signature trying to load DB from file: it is compressed and must be unpacked")
        if not header.startswith(magic):
            source.fail("Wrong signature trying to load DB from file")
        self.version = int(digits) if digits.isdigit() else 0
        if not rdb_format.is_readable(self.version, self._values.valkey):
            source.fail(f"Can't handle RDB format version {digits.decode('ascii', 'backslashreplace')}")
        for type in rdb_format.type_names(self._values.valkey):
            self._known[type] = True
        source.at = HEADER_LEN
        self._target.select(0)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _item(self) -> cython.int:
        """One opcode or one record."""
        source: RdbInput = self._source
        code: cython.int
        self.code = -1
        if not self._prefixed:
            self._target.record_at = source.offset()
        self._prefixed = False
        code = source.byte()
        self.code = code
        if code < FIRST_OPCODE:
            return self._record(code)
        if code == OP_EXPIRETIME_MS:
            self._expire_at_ms = cython.cast(int64_t, source.little_endian(8))
            self._has_expiry = self._prefixed = True
        elif code == OP_EXPIRETIME:
            self._expire_at_ms = cython.cast(int64_t, cython.cast(cython.int, source.little_endian(4))) * 1000
            self._has_expiry = self._prefixed = True
        elif code == OP_FREQ:
            self._values.frequency = source.byte()
            self._prefixed = True
        elif code == OP_IDLE:
            self._values.idle_s = min(source.length(), IDLE_MAX)
            self._prefixed = True
        elif code == OP_SELECTDB:
            self._select()
        elif code == OP_RESIZEDB:  # a hint: the index grows on its own
            source.length()
            source.length()
        elif code == OP_SLOT_INFO:  # a hint too
            if source.length() >= SLOTS:
                source.fail("A slot that no cluster has")
            source.length()
            source.length()
        elif code == OP_AUX:
            self._aux()
        elif code == OP_FUNCTION2:
            self._function()
        elif code == OP_FUNCTION_PRE_GA:
            self._old_function()
        elif code == OP_MODULE_AUX:
            self._values.begin_module_aux()
        elif code == OP_EOF:
            self._end()
        elif self._values.valkey:
            self._valkey_item(code)
        elif code == OP_HASH_TEMPLATE:
            self._values.read_template()
        else:
            self._values.read_metadata()
            self._prefixed = True
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _valkey_item(self, code: cython.int) -> cython.int:
        """Two opcodes that mean something else in Redis."""
        source: RdbInput = self._source
        first: uint64_t
        last: uint64_t
        _step: uint64_t
        if code == OP_HASH_TEMPLATE:
            source.at -= 1
            source.fail("The file holds commands among its keys (opcode 242, a save without fork), which minikv lacks")
        if len(source.string()) != SLOT_IMPORT_NAME_LEN:
            source.fail("An import of slots without its name")
        for _step in range(source.count()):
            first = source.length()
            last = source.length()
            if first > last or last >= SLOTS:
                source.fail("A slot that no cluster has")
            self._values.remark("ranges of slots were being imported; their keys may be incomplete", f"{first}-{last}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _aux(self) -> cython.int:
        name = self._source.string()
        value = self._source.string()
        if self._on_aux is not None:
            self._on_aux(name, value)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _function(self) -> cython.int:
        """A function library, for the target to keep verbatim."""
        source: RdbInput = self._source
        begin: uint64_t = source.offset()
        source.hold()
        code = source.string()
        self._target.function(code, bytes_at(source.buffer + (begin - source.base), source.offset() - begin))
        source.release()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _old_function(self) -> cython.int:
        """The form of 7.0's release candidates: the fields of the code's first line come before the code."""
        source: RdbInput = self._source
        name: bytes = source.string()
        engine: bytes = source.string()
        if source.length():
            source.string()  # a description, which the new form does not have
        code: bytes = b"#!" + engine + b" name=" + name + b"\n" + source.string()
        self._target.function(code, rdb_format.encode_string(code))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _select(self) -> cython.int:
        number: uint64_t = self._source.length()
        if number >= self._databases:
            self._source.fail(
                f"FATAL: Data file was created with a Redis server configured to handle more than {self._databases}"
                f" databases: it holds database {number}"
            )
        self._values.database = number
        self._target.select(number)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _record(self, type: cython.int) -> cython.int:
        has_expiry: cython.bint = self._has_expiry and self._expire_at_ms != NO_EXPIRY
        end: uint64_t = 0
        self._values.record_at = self._source.offset() - 1
        self._values.has_key = False
        self._target.record_type = type
        self._target.has_expiry = has_expiry
        self._target.expiry_ms = self._expire_at_ms
        if not self._known[type]:
            self._source.at -= 1
            self._source.fail(f"Unknown RDB type {type}")
        self._values.read_key()
        self._has_expiry = False
        if self._target.looks_ahead and type == TYPE_STRING:
            end = self._look_ahead()
        if self._target.chooses:
            self._values.unwanted = self._target.passes_over(
                self._source.data(self._values.key), self._values.key.length
            )
            if self._values.unwanted and end and not self._values.metadata:
                self._source.at = end
                self._source.release()
                self._values.idle_s = self._values.frequency = -1
                return 0
        self._in_record = True
        self._values.begin(type, has_expiry, self._expire_at_ms)
        return self._record_end()

    @cython.cfunc
    @cython.exceptval(check=False)
    def _look_ahead(self) -> uint64_t:
        """Tell the target the key behind the string that is about to be read, if it is a short one and in the buffer.

        Returns where the string ends, 0 if that is not in the buffer.
        """
        source: RdbInput = self._source
        at: uint64_t = source.at
        length: uint64_t
        first: cython.int
        if source.tail - at < NEAR_LEN:
            return 0
        first = source.buffer[at]
        if first == SPECIAL_STRING | SPECIAL_LZF:
            length = length_at(source.buffer, cython.address(at), 1)
            if length_at(source.buffer, cython.address(at), 0) == FAR:
                return 0
        elif first >= SPECIAL_STRING:
            length = cython.cast(uint64_t, 1) << (first & 3)
            at += 1
        else:
            length = length_at(source.buffer, cython.address(at), 0)
        if source.tail - at < NEAR_LEN or length > source.tail - at - NEAR_LEN:
            return 0
        at += length
        end: uint64_t = at
        if source.buffer[at] == OP_EXPIRETIME_MS:
            at += 9
        if source.buffer[at] < FIRST_OPCODE and source.buffer[at + 1] < LENGTH_14_BITS:
            self._target.comes(source.buffer + at + 2, source.buffer[at + 1])
        return end

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _record_end(self) -> cython.int:
        """Count the record, if it is complete."""
        values: ValueReader = self._values
        if values.state:
            return 0
        self._in_record = False
        values.idle_s = values.frequency = -1
        if values.outcome == LOADED:
            self.keys_loaded += 1
        elif values.outcome == EXPIRED:
            self.keys_expired += 1
        elif values.outcome == EMPTY:
            self.keys_empty += 1
            if len(self.empty_keys) < EMPTY_SHOWN:
                self.empty_keys.append(bytes_at(self._source.data(values.key), min(values.key.length, SHOWN_LEN)))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _end(self) -> cython.int:
        source: RdbInput = self._source
        stored: uint64_t
        source.sum_up()
        if self.version >= FIRST_VERSION_WITH_CHECKSUM:
            stored = source.little_endian(CHECKSUM_LEN)
            self.unchecked = stored == 0
            if source.verify and not self.unchecked and stored != source.checksum:
                found = f"expected: ({stored:x}) but got ({source.checksum:x})"
                source.fail(f"Wrong RDB checksum {found}: RDB CRC error. Aborting now.")
        self.trailing = source.left()
        if self.trailing and (not source.verify or self.unchecked or self.version < FIRST_VERSION_WITH_CHECKSUM):
            source.fail(f"{source.left()} bytes follow the end of the data")
        self._target.end()
        self._done = True
        return 0
