# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Read an RDB file, a slice at a time, and put its records into a target.

    reader = RdbReader(fd, target, databases=16, now_ms=..., verify=True)
    while reader.step(1 << 20):             # bytes to read before it returns; the server answers clients in between
        ...

File bytes go into one buffer, are checksummed there, and from there into the target's memory. Only a large string is
read straight into its place.

    _base                                   offset in the file of the buffer's first byte
      |---- checksummed ----|---- read ----|---- ahead ----|
      0                  _summed          _at            _tail

Guarantees, whatever the file holds:
  - a length is compared with what is left of the file before anything is reserved or read for it, so memory stays
    within the file's size (times LZF's largest ratio, for compressed strings);
  - all of the file is accepted, or RdbError is raised with offset and reason: for truncation, unknown opcodes and
    types, lengths that do not fit, duplicate keys and elements, a wrong checksum, bytes after the end. Nothing is
    skipped in silence but AUX fields and the hints RESIZEDB, SLOT_INFO, FREQ and IDLE;
  - no pointer into the buffer is kept over a call that may move it: a key is known by its index.

A hash or set goes to the target element by element, over as many steps as it takes; Redis's compact encodings of small
ones are taken apart by rdb_compact. Another type is one more branch in _record.
"""

from __future__ import annotations

import os

import anycrc
import cython
import lzf
from cython.cimports.cpython.buffer import PyBUF_READ
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.cpython.memoryview import PyMemoryView_FromMemory
from cython.cimports.libc.errno import EINTR, errno
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.minikv.persistence.rdb_reader import DIRECT_LEN
from cython.cimports.posix.unistd import read

from minikv.errors import RdbError
from minikv.persistence import rdb_compact, rdb_format

Bytes = cython.typedef(cython.pointer(uint8_t))

BUFFER_LEN = cython.declare(uint64_t, 1 << 20)
READ_LEN = cython.declare(uint64_t, 1 << 20)  # at most, in one system call: the cache still holds it for the checksum

OP_SLOT_INFO = cython.declare(cython.int, rdb_format.OP_SLOT_INFO)
OP_IDLE = cython.declare(cython.int, rdb_format.OP_IDLE)
OP_FREQ = cython.declare(cython.int, rdb_format.OP_FREQ)
OP_AUX = cython.declare(cython.int, rdb_format.OP_AUX)
OP_RESIZEDB = cython.declare(cython.int, rdb_format.OP_RESIZEDB)
OP_EXPIRETIME_MS = cython.declare(cython.int, rdb_format.OP_EXPIRETIME_MS)
OP_EXPIRETIME = cython.declare(cython.int, rdb_format.OP_EXPIRETIME)
OP_SELECTDB = cython.declare(cython.int, rdb_format.OP_SELECTDB)
OP_EOF = cython.declare(cython.int, rdb_format.OP_EOF)
FIRST_OPCODE = cython.declare(cython.int, rdb_format.FIRST_OPCODE)
TYPE_STRING = cython.declare(cython.int, rdb_format.TYPE_STRING)
TYPE_SET = cython.declare(cython.int, rdb_format.TYPE_SET)
TYPE_HASH = cython.declare(cython.int, rdb_format.TYPE_HASH)
TYPE_ZSET = cython.declare(cython.int, rdb_format.TYPE_ZSET)
TYPE_ZSET_2 = cython.declare(cython.int, rdb_format.TYPE_ZSET_2)
LENGTH_14_BITS = cython.declare(cython.int, rdb_format.LENGTH_14_BITS)
LENGTH_32_BITS = cython.declare(cython.int, rdb_format.LENGTH_32_BITS)
LENGTH_64_BITS = cython.declare(cython.int, rdb_format.LENGTH_64_BITS)
SPECIAL_INT8 = cython.declare(uint64_t, rdb_format.SPECIAL_INT8)
SPECIAL_INT16 = cython.declare(uint64_t, rdb_format.SPECIAL_INT16)
SPECIAL_INT32 = cython.declare(uint64_t, rdb_format.SPECIAL_INT32)
SPECIAL_LZF = cython.declare(uint64_t, rdb_format.SPECIAL_LZF)
LZF_LARGEST_RATIO = cython.declare(uint64_t, rdb_format.LZF_LARGEST_RATIO)

# Compact encodings: what takes them apart, and the plain type of what they hold.
COMPACT = {
    rdb_format.TYPE_SET_INTSET: (rdb_compact.intset_members, rdb_format.TYPE_SET),
    rdb_format.TYPE_SET_LISTPACK: (rdb_compact.listpack_elements, rdb_format.TYPE_SET),
    rdb_format.TYPE_HASH_LISTPACK: (rdb_compact.listpack_elements, rdb_format.TYPE_HASH),
    rdb_format.TYPE_HASH_ZIPLIST: (rdb_compact.ziplist_elements, rdb_format.TYPE_HASH),
    rdb_format.TYPE_HASH_ZIPMAP: (rdb_compact.zipmap_elements, rdb_format.TYPE_HASH),
    rdb_format.TYPE_ZSET_LISTPACK: (rdb_compact.listpack_elements, rdb_format.TYPE_ZSET_2),
    rdb_format.TYPE_ZSET_ZIPLIST: (rdb_compact.ziplist_elements, rdb_format.TYPE_ZSET_2),
}

TRUNCATED = "Short read or OOM loading DB. Unrecoverable error, aborting now."


@cython.cclass
class LoadTarget:
    """Where a reader puts what it finds; the contract stands in rdb_reader.pxd."""

    def select(self, number):
        return 0

    def string(self, key, key_len, value_len, expire_at_ms):
        return 0

    def piece(self, start, nbytes):
        return 0

    def collection(self, key, key_len, kind, expire_at_ms):
        return 0

    def element(self, name, value):
        return 0

    def collection_end(self):
        return 0

    def record_end(self, offset):
        return 0

    def end(self):
        return 0


@cython.cclass
class RecordTarget(LoadTarget):
    """Hands each record to `receive(database, key, value, expire_at_ms)` as Python objects. Memory: one record.

    The value of a string is bytes, of a hash a dict, of a set a set.
    """

    def __init__(self, receive):
        self._receive = receive

    def select(self, number):
        self._flush()
        self._database = number
        return 0

    def string(self, key, key_len, value_len, expire_at_ms):
        self._flush()
        value: bytes = PyBytes_FromStringAndSize(cython.NULL, value_len)
        self._value = value
        self._pending = (self._database, _bytes(key, key_len), expire_at_ms)
        self.room = cython.cast(Bytes, PyBytes_AS_STRING(value))
        return 1

    def collection(self, key, key_len, kind, expire_at_ms):
        self._flush()
        self._elements = set() if kind == TYPE_SET else {}
        self._pending = (self._database, _bytes(key, key_len), expire_at_ms)
        return 1

    def element(self, name, value):
        if name in self._elements:
            return 0
        if value is None:
            self._elements.add(name)
        else:
            self._elements[name] = value
        return 1

    def collection_end(self):
        self._value = self._elements
        self._elements = None
        return self._flush()

    def end(self):
        return self._flush()

    def _flush(self):
        if self._pending is not None:
            database, key, expire_at_ms = self._pending
            self._pending = None
            self._receive(database, key, self._value, expire_at_ms)
        return 0


@cython.cclass
class RdbReader:
    """One pass over one file; see the module's head."""

    _fd: cython.int
    _databases: uint64_t
    _now_ms: int64_t
    _verify: cython.bint
    _target: LoadTarget
    _on_aux: object
    _crc: object

    _buffer: Bytes
    _capacity: uint64_t
    _base: uint64_t
    _at: uint64_t
    _tail: uint64_t
    _summed: uint64_t
    _checksum: uint64_t

    _record_at: uint64_t  # offset in the file of the type of the record at hand

    # its key: in the buffer at _key_at, or decoded in _key_text
    _key_in_buffer: cython.bint
    _key_at: uint64_t
    _key_len: uint64_t
    _key_text: bytes

    # what the opcodes before a record said of it; 0: no expiry
    _has_expiry: cython.bint
    _expire_at_ms: int64_t

    # a large string on its way from the file to its place, or to a target that takes it in pieces
    _direct_to: Bytes
    _direct_left: uint64_t
    _pieces_left: uint64_t

    # a hash or set on its way: its elements that are still to come
    _elements_left: uint64_t
    _elements_kind: cython.int
    _elements_expired: cython.bint

    _prefixed: cython.bint  # an opcode that belongs to the next record has been read
    _special: cython.bint  # the length just read is the number of a special encoding
    _started: cython.bint
    _done: cython.bint
    _database: uint64_t
    size = cython.declare(uint64_t, visibility="readonly")
    version = cython.declare(cython.int, visibility="readonly")
    unchecked = cython.declare(cython.bint, visibility="readonly")  # the file was written without a checksum
    code = cython.declare(cython.int, visibility="readonly")  # opcode or type of the item at hand; -1: not yet read
    keys_loaded = cython.declare(uint64_t, visibility="readonly")
    keys_expired = cython.declare(uint64_t, visibility="readonly")
    keys_empty = cython.declare(uint64_t, visibility="readonly")  # collections without elements: nothing to load

    def __cinit__(self):
        self._capacity = BUFFER_LEN
        self._buffer = cython.cast(Bytes, malloc(self._capacity))
        if self._buffer == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._buffer)

    def __init__(self, fd: cython.int, target: LoadTarget, databases, now_ms, verify=True, on_aux=None):
        self._fd = fd
        self._target = target
        self._databases = databases
        self._now_ms = now_ms
        self._verify = verify
        self._on_aux = on_aux
        self.code = -1
        self._crc = anycrc.Model(rdb_format.CHECKSUM_MODEL)
        self.size = os.fstat(fd).st_size

    @property
    def offset(self) -> int:
        """Bytes of the file that have been read and understood."""
        return self._base + self._at

    @property
    def key(self) -> bytes | None:
        """The key of the record at hand, None outside of records or if it was not read."""
        if not 0 <= self.code < FIRST_OPCODE or not (self._key_in_buffer or self._key_text is not None):
            return None
        return _bytes(self._key(), self._key_len)

    def step(self, budget_bytes, max_keys=0) -> bool:
        """Read on for about so many bytes, or until max_keys more keys (0: any number); False at the end."""
        budget: uint64_t = budget_bytes
        stop_at: uint64_t = self._base + self._at + budget
        stop_keys: uint64_t = self.keys_loaded + self.keys_expired + cython.cast(uint64_t, max_keys)
        if max_keys == 0:
            stop_keys = ~cython.cast(uint64_t, 0)
        if not self._started:
            self._header()
        while not self._done and self._base + self._at < stop_at and self.keys_loaded + self.keys_expired < stop_keys:
            if self._direct_left:
                self._continue_direct(budget)
            elif self._pieces_left:
                self._continue_pieces(stop_at)
            elif self._elements_left:
                self._continue_elements(stop_at)
            else:
                self._item()
        return not self._done

    # -- the buffer

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _fail(self, reason: str) -> cython.int:
        raise RdbError(reason, self._base + self._at)

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1, check=False)
    def _need(self, nbytes: uint64_t) -> cython.int:
        """Have the next nbytes in the buffer."""
        if self._tail - self._at < nbytes:
            return self._refill(nbytes)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _refill(self, nbytes: uint64_t) -> cython.int:
        got: uint64_t
        room: uint64_t
        keep: uint64_t = self._key_at if self._key_in_buffer else self._at
        if nbytes > self.size - (self._base + self._at):
            self._fail(TRUNCATED)
        self._sum_up()
        if keep:
            memmove(self._buffer, self._buffer + keep, self._tail - keep)
            self._base += keep
            self._at -= keep
            self._tail -= keep
            self._summed -= keep
            self._key_at -= keep
        if self._at + nbytes > self._capacity:
            self._grow(self._at + nbytes)
        while self._tail - self._at < nbytes:
            room = min(self._capacity - self._tail, self.size - (self._base + self._tail))
            got = self._read_into(self._buffer + self._tail, min(room, READ_LEN))
            if got == 0:  # the file has become shorter meanwhile
                self._fail(TRUNCATED)
            self._tail += got
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _grow(self, nbytes: uint64_t) -> cython.int:
        """For a key or a compressed string longer than the buffer; the file is known to hold as many bytes."""
        larger: Bytes = cython.cast(Bytes, realloc(self._buffer, nbytes))
        if larger == cython.NULL:
            raise MemoryError
        self._buffer = larger
        self._capacity = nbytes
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _read_into(self, start: Bytes, nbytes: uint64_t) -> cython.Py_ssize_t:
        """Bytes read; 0 at the end of the file."""
        got: cython.Py_ssize_t = -1
        error: cython.int = EINTR
        while got < 0 and error == EINTR:
            with cython.nogil:
                got = read(self._fd, start, nbytes)
                error = errno
        if got < 0:
            raise OSError(error, os.strerror(error))
        return got

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _sum_up(self) -> cython.int:
        """Take what was read into the checksum."""
        self._sum(self._buffer + self._summed, self._at - self._summed)
        self._summed = self._at
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _sum(self, start: Bytes, nbytes: uint64_t) -> cython.int:
        if nbytes and self._verify:
            view = PyMemoryView_FromMemory(cython.cast(cython.p_char, start), nbytes, PyBUF_READ)
            self._checksum = self._crc.calc(view, self._checksum)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _skip(self, nbytes: uint64_t) -> cython.int:
        piece: uint64_t
        if nbytes > self.size - (self._base + self._at):
            self._fail(TRUNCATED)
        while nbytes:
            piece = min(nbytes, BUFFER_LEN // 2)
            self._need(piece)
            self._at += piece
            nbytes -= piece
        return 0

    # -- numbers and strings

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _byte(self) -> cython.int:
        self._need(1)
        self._at += 1
        return self._buffer[self._at - 1]

    @cython.cfunc
    @cython.exceptval(0, check=True)
    def _big_endian(self, nbytes: cython.int) -> uint64_t:
        number: uint64_t = 0
        i: cython.int
        self._need(nbytes)
        for i in range(nbytes):
            number = number << 8 | self._buffer[self._at + i]
        self._at += nbytes
        return number

    @cython.cfunc
    @cython.exceptval(0, check=True)
    def _little_endian(self, nbytes: cython.int) -> uint64_t:
        number: uint64_t = 0
        i: cython.int
        self._need(nbytes)
        for i in range(nbytes - 1, -1, -1):
            number = number << 8 | self._buffer[self._at + i]
        self._at += nbytes
        return number

    @cython.cfunc
    @cython.exceptval(0, check=True)
    def _length(self) -> uint64_t:
        """A length; or, with _special set, the number of a special encoding."""
        first: cython.int = self._byte()
        kind: cython.int = first & 0xC0
        self._special = False
        if kind == 0:
            return first
        if kind == LENGTH_14_BITS:
            return cython.cast(uint64_t, first & 0x3F) << 8 | cython.cast(uint64_t, self._byte())
        if first == LENGTH_32_BITS:
            return self._big_endian(4)
        if first == LENGTH_64_BITS:
            return self._big_endian(8)
        if kind == LENGTH_32_BITS:
            self._at -= 1
            self._fail(f"Unknown length encoding {first}")
        self._special = True
        return first & 0x3F

    @cython.cfunc
    @cython.exceptval(0, check=True)
    def _plain_length(self) -> uint64_t:
        length: uint64_t = self._length()
        if self._special:
            self._at -= 1
            self._fail("A string's encoding where a length is expected")
        return length

    @cython.cfunc
    def _special_string(self, encoding: uint64_t) -> bytes:
        """The text of an integer or of a compressed string."""
        packed_len: uint64_t
        text_len: uint64_t
        if encoding == SPECIAL_INT8:
            return b"%d" % cython.cast(cython.schar, self._little_endian(1))
        if encoding == SPECIAL_INT16:
            return b"%d" % cython.cast(cython.short, self._little_endian(2))
        if encoding == SPECIAL_INT32:
            return b"%d" % cython.cast(cython.int, self._little_endian(4))
        if encoding != SPECIAL_LZF:
            self._at -= 1
            self._fail(f"Unknown string encoding {encoding}")
        packed_len = self._plain_length()
        text_len = self._plain_length()
        self._need(packed_len)
        if text_len == 0 or text_len // LZF_LARGEST_RATIO > packed_len:
            self._fail(f"Invalid LZF compressed string: {packed_len} bytes cannot hold {text_len}")
        try:
            text = lzf.decompress(_bytes(self._buffer + self._at, packed_len), text_len)
        except ValueError:
            text = None
        if text is None or len(text) != text_len:
            self._fail("Invalid LZF compressed string")
        self._at += packed_len
        return text

    @cython.cfunc
    def _string(self) -> bytes:
        """A string of any encoding, as an object: for what is rare."""
        length: uint64_t = self._length()
        if self._special:
            return self._special_string(length)
        self._need(length)
        self._at += length
        return _bytes(self._buffer + self._at - length, length)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _read_key(self) -> cython.int:
        """Have the key of this record in _key(); it stays where it is until _key_in_buffer is cleared."""
        length: uint64_t = self._length()
        if self._special:
            self._key_text = self._special_string(length)
            self._key_len = len(self._key_text)
            return 0
        self._need(length)
        self._key_in_buffer = True
        self._key_at = self._at
        self._key_len = length
        self._at += length
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _key(self) -> Bytes:
        if self._key_in_buffer:
            return self._buffer + self._key_at
        return cython.cast(Bytes, PyBytes_AS_STRING(self._key_text))

    @cython.cfunc
    def _key_name(self) -> str:
        """The key, for an error's text."""
        return repr(_bytes(self._key(), min(self._key_len, 128)))[1:]

    # -- the parts of a file

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _header(self) -> cython.int:
        self._started = True
        if self.size < cython.cast(uint64_t, rdb_format.HEADER_LEN):
            self._fail(TRUNCATED if self.size else "Wrong signature trying to load DB from file: it is empty")
        self._need(rdb_format.HEADER_LEN)
        magic = _bytes(self._buffer, 5)
        digits = _bytes(self._buffer + 5, 4)
        if magic != rdb_format.MAGIC:
            self._fail("Wrong signature trying to load DB from file")
        self.version = int(digits) if digits.isdigit() else 0
        if not rdb_format.OLDEST_VERSION <= self.version <= rdb_format.NEWEST_VERSION:
            self._fail(f"Can't handle RDB format version {digits.decode('ascii', 'backslashreplace')}")
        self._at = rdb_format.HEADER_LEN
        self._target.select(0)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _item(self) -> cython.int:
        """One opcode or one record."""
        code: cython.int
        self.code = -1
        if not self._prefixed:
            self._target.record_at = self._base + self._at
        self._prefixed = False
        code = self._byte()
        self.code = code
        if code < FIRST_OPCODE:
            return self._record(code)
        if code == OP_EXPIRETIME_MS:
            self._expire_at_ms = cython.cast(int64_t, self._little_endian(8))
            self._has_expiry = self._prefixed = True
        elif code == OP_EXPIRETIME:
            self._expire_at_ms = cython.cast(int64_t, cython.cast(cython.int, self._little_endian(4))) * 1000
            self._has_expiry = self._prefixed = True
        elif code == OP_FREQ:
            self._byte()
            self._prefixed = True
        elif code == OP_IDLE:
            self._plain_length()
            self._prefixed = True
        elif code == OP_SELECTDB:
            self._select()
        elif code == OP_RESIZEDB:  # a hint: the index grows as it must
            self._plain_length()
            self._plain_length()
        elif code == OP_SLOT_INFO:  # a hint too
            self._plain_length()
            self._plain_length()
            self._plain_length()
        elif code == OP_AUX:
            self._aux()
        elif code == OP_EOF:
            self._end()
        else:
            self._at -= 1
            self._fail(f"{rdb_format.OPCODE_NAMES[code]} (opcode {code}) is not supported")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _aux(self) -> cython.int:
        name = self._string()
        value = self._string()
        if self._on_aux is not None:
            self._on_aux(name, value)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _select(self) -> cython.int:
        number: uint64_t = self._plain_length()
        if number >= self._databases:
            self._fail(
                f"FATAL: Data file was created with a Redis server configured to handle more than {self._databases}"
                f" databases: it holds database {number}"
            )
        self._database = number
        self._target.select(number)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _record(self, type: cython.int) -> cython.int:
        expired: cython.bint
        count: uint64_t
        self._record_at = self._base + self._at - 1
        self._target.record_type = type
        self._target.has_expiry = self._has_expiry
        self._key_text = None
        if type != TYPE_STRING and type not in rdb_format.TYPE_NAMES:
            self._at -= 1
            self._fail(f"Unknown RDB type {type}")
        if not self._has_expiry:
            self._expire_at_ms = 0
        self._read_key()
        expired = self._has_expiry and self._expire_at_ms < self._now_ms
        self._has_expiry = False
        if type == TYPE_STRING:
            self._string_value(expired)
        elif type in (TYPE_SET, TYPE_HASH, TYPE_ZSET, TYPE_ZSET_2):
            count = self._plain_length()
            if count > self.size - (self._base + self._at):  # an element takes a byte at least
                self._fail(TRUNCATED)
            return self._begin_elements(type, count, expired)
        elif type in COMPACT:
            return self._compact_value(type, expired)
        else:
            raise RdbError(
                f"The type {rdb_format.TYPE_NAMES[type]} ({type}) of key {self._key_name()} in DB {self._database}"
                " is not supported",
                self._record_at,
            )
        return self._count(expired)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _count(self, expired: cython.bint) -> cython.int:
        """A record is complete, but for the end of a large string."""
        self._key_in_buffer = False
        if expired:
            self.keys_expired += 1
        else:
            self.keys_loaded += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _end(self) -> cython.int:
        stored: uint64_t
        self._sum_up()
        if self.version >= rdb_format.FIRST_VERSION_WITH_CHECKSUM:
            stored = self._little_endian(rdb_format.CHECKSUM_LEN)
            self.unchecked = stored == 0
            if self._verify and not self.unchecked and stored != self._checksum:
                self._fail(f"Wrong RDB checksum expected: ({stored:x}) but got ({self._checksum:x}). Aborting now.")
        if self._base + self._at != self.size:
            self._fail(f"{self.size - self._base - self._at} bytes follow the end of the data")
        self._target.end()
        self._done = True
        return 0

    # -- values

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _string_value(self, expired: cython.bint) -> cython.int:
        room: Bytes
        length: uint64_t = self._length()
        self._target.string_encoding = -1
        if self._special:
            self._target.string_encoding = cython.cast(cython.int, length)
            text = self._special_string(length)
            return 0 if expired else self._store_string(text)
        if expired:
            self._key_in_buffer = False
            return self._skip(length)
        if length >= DIRECT_LEN:
            return self._store_from_file(length)
        self._need(length)
        room = self._room(length)
        memcpy(room, self._buffer + self._at, length)
        self._at += length
        return self._target.record_end(self._base + self._at)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _begin_elements(self, kind: cython.int, count: uint64_t, expired: cython.bint) -> cython.int:
        """A collection of `count` elements, which the caller or later steps give."""
        if self._key_in_buffer:  # which does not stay
            self._key_text = _bytes(self._buffer + self._key_at, self._key_len)
            self._key_in_buffer = False
        if count == 0:
            self.keys_empty += 1
            return 0
        if not expired and not self._target.collection(
            self._key(), self._key_len, TYPE_ZSET_2 if kind == TYPE_ZSET else kind, self._expire_at_ms
        ):
            raise RdbError(f"RDB has duplicated key {self._key_name()} in DB {self._database}", self._record_at)
        self._elements_left = count
        self._elements_kind = kind
        self._elements_expired = expired
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _continue_elements(self, stop_at: uint64_t) -> cython.int:
        value: object = None
        while self._elements_left and self._base + self._at < stop_at:
            name = self._string()
            if self._elements_kind == TYPE_HASH:
                value = self._string()
            elif self._elements_kind != TYPE_SET:
                value = self._score()
            self._store_element(name, value)
        return 0

    @cython.cfunc
    def _score(self) -> object:
        """A sorted set's score: 8 bytes, or in older files a length and digits, where lengths above 252 are words."""
        bits: uint64_t
        number: cython.double = 0.0
        length: uint64_t
        if self._elements_kind == TYPE_ZSET_2:
            bits = self._little_endian(8)
            memcpy(cython.address(number), cython.address(bits), 8)
            if number != number:
                self._fail(f"A score of key {self._key_name()} in DB {self._database} is not a number")
            return number
        length = self._little_endian(1)
        if length == 253:
            self._fail(f"A score of key {self._key_name()} in DB {self._database} is not a number")
        if length > 253:
            return float("inf") if length == 254 else float("-inf")
        self._need(length)
        text = _bytes(self._buffer + self._at, length)
        self._at += length
        return self._score_of(text)

    @cython.cfunc
    def _score_of(self, text: bytes) -> object:
        try:
            number = float(text) if b"_" not in text else float("nan")
        except ValueError:
            number = float("nan")
        if number != number:
            self._fail(f"A score of key {self._key_name()} in DB {self._database} is not a number")
        return number

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _store_element(self, name: bytes, value: object) -> cython.int:
        if not self._elements_expired and not self._target.element(name, value):
            self._fail(f"Duplicate element {name[:128]!r} in key {self._key_name()} of DB {self._database}")
        self._elements_left -= 1
        if self._elements_left == 0:
            if not self._elements_expired:
                self._target.collection_end()
                self._target.record_end(self._base + self._at)
            self._count(self._elements_expired)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _compact_value(self, type: cython.int, expired: cython.bint) -> cython.int:
        """A small collection in one string of another encoding."""
        take_apart, kind = COMPACT[type]
        value: object = None
        index: cython.Py_ssize_t
        width: cython.Py_ssize_t = 1 if kind == TYPE_SET else 2
        data = self._string()
        try:
            elements: list = take_apart(data)
            if len(elements) % width:
                raise ValueError("a field without value")
        except ValueError as error:
            raise RdbError(
                f"The {rdb_format.TYPE_NAMES[type]} of key {self._key_name()} in DB {self._database} is {error}",
                self._record_at,
            ) from None
        self._begin_elements(kind, len(elements) // width, expired)
        for index in range(0, len(elements), width):
            if width == 2:
                value = elements[index + 1] if kind == TYPE_HASH else self._score_of(elements[index + 1])
            self._store_element(elements[index], value)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _store_string(self, text: bytes) -> cython.int:
        room: Bytes = self._room(len(text))
        if self._target.in_pieces and len(text) >= DIRECT_LEN:
            self._target.piece(cython.cast(Bytes, PyBytes_AS_STRING(text)), len(text))
        else:
            memcpy(room, PyBytes_AS_STRING(text), len(text))
        return self._target.record_end(self._base + self._at)

    @cython.cfunc
    @cython.exceptval(check=True)
    def _room(self, length: uint64_t) -> Bytes:
        """Where the bytes of a new string of this length go."""
        if not self._target.string(self._key(), self._key_len, length, self._expire_at_ms):
            raise RdbError(f"RDB has duplicated key {self._key_name()} in DB {self._database}", self._record_at)
        return self._target.room

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _store_from_file(self, length: uint64_t) -> cython.int:
        """A large string: what the buffer has of it is copied, the rest is read to its place by later steps."""
        ahead: uint64_t
        if length > self.size - (self._base + self._at):
            self._fail(TRUNCATED)
        self._direct_to = self._room(length)
        if self._target.in_pieces:
            self._pieces_left = length
            return 0
        ahead = min(length, self._tail - self._at)
        memcpy(self._direct_to, self._buffer + self._at, ahead)
        self._at += ahead
        self._direct_to += ahead
        self._direct_left = length - ahead
        if self._direct_left == 0:
            self._target.record_end(self._base + self._at)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _continue_direct(self, budget: uint64_t) -> cython.int:
        """The buffer is used up: go on behind it in the file."""
        got: uint64_t
        self._sum_up()
        self._base += self._at
        self._at = self._tail = self._summed = 0
        while self._direct_left and budget:
            got = self._read_into(self._direct_to, min(min(self._direct_left, READ_LEN), budget))
            if got == 0:
                self._fail(TRUNCATED)
            self._sum(self._direct_to, got)
            self._base += got
            self._direct_to += got
            self._direct_left -= got
            budget -= got
        if self._direct_left == 0:
            self._target.record_end(self._base)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _continue_pieces(self, stop_at: uint64_t) -> cython.int:
        piece: uint64_t
        while self._pieces_left and self._base + self._at < stop_at:
            piece = min(self._pieces_left, cython.cast(uint64_t, DIRECT_LEN))
            self._need(piece)
            self._target.piece(self._buffer + self._at, piece)
            self._at += piece
            self._pieces_left -= piece
        if self._pieces_left == 0:
            self._target.record_end(self._base + self._at)
        return 0


@cython.cfunc
@cython.inline
def _bytes(start: cython.pointer[cython.const[uint8_t]], length: uint64_t) -> bytes:
    return PyBytes_FromStringAndSize(cython.cast(cython.pointer[cython.const[cython.char]], start), length)
