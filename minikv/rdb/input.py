# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
"""The bytes of an RDB file or of a DUMP payload: numbers, lengths and strings, one after another.

File bytes are read into one buffer (of a large file ahead, see read_ahead), checksummed and parsed there. Only a large
string is read straight to its destination. A payload in memory is its own buffer.

    base                                    offset in the file of the buffer's first byte
      |---- checksummed ----|---- read ----|---- ahead ----|
      0                  summed           at             tail

Guarantees, whatever the bytes are:
  - a length is compared with what is left before anything is allocated or read for it, and a compressed
    string is validated first, so memory is bounded by what the input really contains;
  - RdbError, with offset and reason, for everything that cannot be read;
  - no pointer into the buffer survives a call that may move it: a string that was read is a Text, whose
    bytes data() finds as long as it is held.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.errno import EINTR, errno
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.minikv.engine.int64 import INT64_DIGITS, format_int64
from cython.cimports.minikv.engine.lzf import lzf_expand, lzf_holds
from cython.cimports.minikv.rdb.crc64 import crc64
from cython.cimports.minikv.rdb.format import (
    LENGTH_14_BITS,
    LENGTH_32_BITS,
    LENGTH_64_BITS,
    SPECIAL_INT8,
    SPECIAL_INT16,
    SPECIAL_INT32,
    SPECIAL_LZF,
)
from cython.cimports.minikv.rdb.pointers import Bytes, ConstBytes
from cython.cimports.minikv.rdb.read_ahead import HEADROOM, ReadAhead, read_ahead
from cython.cimports.posix.unistd import read

from minikv.errors import RdbError

BUFFER_LEN = cython.declare(uint64_t, 1 << 20)
READ_LEN = cython.declare(uint64_t, 1 << 20)  # at most, in one system call: the cache still holds it for the checksum
TEXT_LEN = cython.declare(uint64_t, 64)  # a Text's initial memory: an integer fits
SHORT_LEN = cython.declare(uint64_t, 64)  # a shorter length is one byte
NOT_HELD = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)

TRUNCATED = "Short read or OOM loading DB. Unrecoverable error, aborting now."


@cython.cclass
class Text:
    """A string that was read."""

    def __cinit__(self):
        self.capacity = TEXT_LEN
        self.own = cython.cast(Bytes, malloc(self.capacity))
        if self.own == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.own)

    def room(self, length: uint64_t) -> Bytes:
        """Memory of its own for `length` bytes; a large block is not kept for a small string."""
        larger: Bytes
        if length > self.capacity or self.capacity > BUFFER_LEN:
            larger = cython.cast(Bytes, realloc(self.own, max(length, TEXT_LEN)))
            if larger == cython.NULL:
                raise MemoryError
            self.own = larger
            self.capacity = max(length, TEXT_LEN)
        self.decoded = self.own
        return self.own


@cython.cclass
class RdbInput:
    """One pass over the bytes; see the module's head. file_input() and memory_input() make one."""

    def __dealloc__(self):
        free(self.own)

    def offset(self) -> uint64_t:
        """Bytes parsed so far."""
        return self.base + self.at

    def left(self) -> uint64_t:
        """Bytes left to parse."""
        return self.size - (self.base + self.at)

    def fail(self, reason: str) -> cython.int:
        raise RdbError(reason, self.base + self.at)

    # The buffer

    def need(self, nbytes: uint64_t) -> cython.int:
        """Make sure that the next nbytes are in the buffer."""
        if self.tail - self.at < nbytes:
            return self._refill(nbytes)
        return 0

    def need_no_more(self, nbytes: uint64_t) -> cython.int:
        """Fail unless the input has nbytes left."""
        if nbytes > self.left():
            self.fail(TRUNCATED)
        return 0

    def hold(self) -> cython.void:
        """Keep everything that is read from here on."""
        self.held = self.at

    def release(self) -> cython.void:
        self.held = NOT_HELD

    def data(self, text: Text) -> ConstBytes:
        """The bytes of a string, valid until the next byte is read."""
        return text.decoded if text.decoded != cython.NULL else self.buffer + (text.at - self.base)

    def keep(self, text: Text) -> cython.int:
        """Copy a string's bytes, so that they stay valid until the next use of this Text."""
        start: ConstBytes = self.data(text)
        if text.decoded == cython.NULL:
            memcpy(text.room(text.length), start, text.length)
        return 0

    def _refill(self, nbytes: uint64_t) -> cython.int:
        got: uint64_t
        room: uint64_t
        keep: uint64_t = min(self.held, self.at)
        self.need_no_more(nbytes)
        self.sum_up()
        if (
            self.ahead is not None
            and self.tail - keep <= HEADROOM
            and self.at + nbytes <= self.tail + self.ahead.next_len()
        ):
            self._borrow(keep)
            if self.tail - self.at >= nbytes:
                return 0
            keep = 0
        if self.buffer != self.own:
            if self.tail - keep > self.capacity:
                self._grow(self.tail - keep)
            memcpy(self.own, self.buffer + keep, self.tail - keep)
            self.buffer = self.own
            self._rebase(keep)
        elif keep:
            memmove(self.buffer, self.buffer + keep, self.tail - keep)
            self._rebase(keep)
        if self.at + nbytes > self.capacity:
            self._grow(self.at + nbytes)
            self.buffer = self.own
        while self.tail - self.at < nbytes:
            room = min(self.capacity - self.tail, self.size - (self.base + self.tail))
            got = self._read_into(self.buffer + self.tail, min(room, READ_LEN))
            if got == 0:  # the file was truncated meanwhile
                self.fail(TRUNCATED)
            self.tail += got
        return 0

    def _grow(self, nbytes: uint64_t) -> cython.int:
        """Grow the buffer for a long string; the file is known to have as many bytes."""
        larger: Bytes = cython.cast(Bytes, realloc(self.own, nbytes))
        if larger == cython.NULL:
            raise MemoryError
        self.own = larger
        self.capacity = nbytes
        return 0

    def _borrow(self, keep: uint64_t) -> cython.int:
        """Go on in the next block of the file, with what is kept before it."""
        got: cython.Py_ssize_t
        start: Bytes = cython.NULL
        rest: uint64_t = self.tail - keep
        with cython.nogil:
            got = self.ahead.lend(self.buffer + keep, rest, cython.address(start))
        if got < 0:
            raise OSError(-got, os.strerror(-got))
        self.buffer = start
        self._rebase(keep)
        self.tail = rest + got
        if got == 0:  # the file was truncated meanwhile
            self.fail(TRUNCATED)
        return 0

    def _rebase(self, keep: uint64_t) -> cython.void:
        """The buffer begins `keep` bytes later."""
        self.base += keep
        self.at -= keep
        self.tail -= keep
        self.summed -= keep
        if self.held != NOT_HELD:
            self.held = 0

    def _read_into(self, start: Bytes, nbytes: uint64_t) -> cython.Py_ssize_t:
        """Bytes read; 0 at the end of the file."""
        got: cython.Py_ssize_t = -1
        error: cython.int = EINTR
        ahead: ReadAhead = self.ahead
        if ahead is not None:
            with cython.nogil:
                got = ahead.take(start, nbytes)
            if got < 0:
                raise OSError(-got, os.strerror(-got))
            return got
        while got < 0 and error == EINTR:
            with cython.nogil:
                got = read(self.fd, start, nbytes)
                error = errno
        if got < 0:
            raise OSError(error, os.strerror(error))
        return got

    def sum_up(self) -> cython.void:
        """Add what was read to the checksum."""
        self._sum(self.buffer + self.summed, self.at - self.summed)
        self.summed = self.at

    def _sum(self, start: Bytes, nbytes: uint64_t) -> cython.void:
        if self.verify:
            self.checksum = crc64(self.checksum, start, nbytes)

    # Numbers

    def byte(self) -> cython.int:
        self.need(1)
        self.at += 1
        return self.buffer[self.at - 1]

    def big_endian(self, nbytes: cython.int) -> uint64_t:
        number: uint64_t = 0
        i: cython.int
        self.need(nbytes)
        for i in range(nbytes):
            number = number << 8 | self.buffer[self.at + i]
        self.at += nbytes
        return number

    def little_endian(self, nbytes: cython.int) -> uint64_t:
        number: uint64_t = 0
        i: cython.int
        self.need(nbytes)
        for i in range(nbytes - 1, -1, -1):
            number = number << 8 | self.buffer[self.at + i]
        self.at += nbytes
        return number

    def double_(self) -> cython.double:
        """8 bytes, little endian."""
        number: cython.double = 0.0
        self.need(8)
        memcpy(cython.address(number), self.buffer + self.at, 8)
        self.at += 8
        return number

    def any_length(self) -> uint64_t:
        """A length; or, with `special` set, the number of a special encoding."""
        first: cython.int = self.byte()
        kind: cython.int = first & 0xC0
        self.special = False
        if kind == 0:
            return first
        if kind == LENGTH_14_BITS:
            return cython.cast(uint64_t, first & 0x3F) << 8 | cython.cast(uint64_t, self.byte())
        if first == LENGTH_32_BITS:
            return self.big_endian(4)
        if first == LENGTH_64_BITS:
            return self.big_endian(8)
        if kind == LENGTH_32_BITS:
            self.at -= 1
            self.fail(f"Unknown length encoding {first}")
        self.special = True
        return first & 0x3F

    def length(self) -> uint64_t:
        length: uint64_t = self.any_length()
        if self.special:
            self.at -= 1
            self.fail("A string's encoding where a length is expected")
        return length

    def count(self) -> uint64_t:
        """A number of items of at least one byte each."""
        count: uint64_t = self.length()
        self.need_no_more(count)
        return count

    # Strings

    def read_text(self, text: Text) -> cython.int:
        """Read a string of any encoding; its bytes are at data(text) as long as it is held."""
        ahead: uint64_t = self.tail - self.at
        length: uint64_t = self.buffer[self.at] if ahead else SHORT_LEN
        if length < SHORT_LEN and length < ahead:  # as most are
            self.at += 1
        else:
            length = self.any_length()
            if self.special:
                return self.read_special(length, text)
            self.need(length)
        text.decoded = cython.NULL
        text.at = self.base + self.at
        text.length = length
        self.at += length
        return 0

    def read_special(self, encoding: uint64_t, text: Text) -> cython.int:
        """The text of an integer or of a compressed string."""
        number: cython.longlong = 0
        packed_len: uint64_t = 0
        if encoding == SPECIAL_LZF:
            text.length = self.read_packed(cython.address(packed_len))
            lzf_expand(self.buffer + self.at, packed_len, text.room(text.length))
            self.at += packed_len
            return 0
        if encoding == SPECIAL_INT8:
            number = cython.cast(cython.schar, self.little_endian(1))
        elif encoding == SPECIAL_INT16:
            number = cython.cast(cython.short, self.little_endian(2))
        elif encoding == SPECIAL_INT32:
            number = cython.cast(cython.int, self.little_endian(4))
        else:
            self.at -= 1
            self.fail(f"Unknown string encoding {encoding}")
        text.length = format_int64(text.room(INT64_DIGITS), number)
        text.decoded += INT64_DIGITS - text.length
        return 0

    def read_packed(self, packed_len: cython.pointer[uint64_t]) -> uint64_t:
        """The text length of a compressed string; its packed bytes, validated, are next in the buffer."""
        length: uint64_t
        packed_len[0] = self.length()
        length = self.length()
        self.need(packed_len[0])
        if not lzf_holds(self.buffer + self.at, packed_len[0], length):
            self.fail(f"Invalid LZF compressed string: {packed_len[0]} bytes that do not stand for {length}")
        return length

    def string(self) -> bytes:
        """A string of any encoding as a bytes object, for rare strings."""
        text: Text = Text()
        self.read_text(text)
        return bytes_of(self.data(text), text.length)

    def skip(self, nbytes: uint64_t) -> cython.int:
        piece: uint64_t
        self.need_no_more(nbytes)
        while nbytes:
            piece = min(nbytes, BUFFER_LEN // 2)
            self.need(piece)
            self.at += piece
            nbytes -= piece
        return 0

    def skip_string(self) -> cython.int:
        """Skip a string of any encoding; it is validated all the same."""
        packed_len: uint64_t = 0
        length: uint64_t = self.any_length()
        if not self.special:
            return self.skip(length)
        if length == SPECIAL_LZF:
            self.read_packed(cython.address(packed_len))
            self.at += packed_len
            return 0
        if length > SPECIAL_INT32:
            self.at -= 1
            self.fail(f"Unknown string encoding {length}")
        return self.skip(cython.cast(uint64_t, 1) << length)

    def read_direct(self, room: Bytes, nbytes: uint64_t) -> uint64_t:
        """Copy up to nbytes of a large string to `room`, from the buffer or the file; returns how many."""
        done: uint64_t = min(nbytes, self.tail - self.at)
        if done:
            memcpy(room, self.buffer + self.at, done)
            self.at += done
            return done
        self.sum_up()
        self.base += self.at
        self.at = self.tail = self.summed = 0
        done = self._read_into(room, min(nbytes, READ_LEN))
        if done == 0:
            self.fail(TRUNCATED)
        self._sum(room, done)
        self.base += done
        return done


def file_input(fd: cython.int, verify: cython.bint) -> RdbInput:
    """An input for a file from its beginning; verify: compute the checksum."""
    source: RdbInput = RdbInput.__new__(RdbInput)
    source.capacity = BUFFER_LEN
    source.own = source.buffer = cython.cast(Bytes, malloc(source.capacity))
    if source.own == cython.NULL:
        raise MemoryError
    source.fd = fd
    source.verify = verify
    source.size = os.fstat(fd).st_size
    source.ahead = read_ahead(fd, source.size)
    source.held = NOT_HELD
    return source


def memory_input(data: bytes, start: uint64_t, end: uint64_t) -> RdbInput:
    """An input for bytes start to end of `data`."""
    source: RdbInput = RdbInput.__new__(RdbInput)
    source.owner = data
    source.buffer = cython.cast(Bytes, PyBytes_AS_STRING(data))
    source.fd = -1
    source.at = start
    source.size = source.tail = source.capacity = end
    source.held = NOT_HELD
    return source


def bytes_of(start: ConstBytes, length: uint64_t) -> bytes:
    return PyBytes_FromStringAndSize(cython.cast(cython.pointer[cython.const[cython.char]], start), length)
