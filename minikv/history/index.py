# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O2
# ruff: noqa: F821
"""Which keys a file of a history has, so that one is found without reading the file: `<file>.idx`, a cache.

    head     magic 8 B | digest of the file | its bytes | number of entries | of databases | of origins, of fences
             origins: database 8 B, origin 8 B (-1: empty) each
             fences: the first hash of each block
             CRC-64 of all before it
    blocks   of 4096 B: 170 entries (hash of database and key 8 B; offset of the operation << 2 | what it does 8 B;
             CRC-64 of its bytes 8 B), by hash, then offset; CRC-64 of them 8 B, 0 8 B

The checksum of an operation tells whether the file still has what it had when the index was made: whoever reads single
operations does not read the file's own checksum.

All numbers are little endian. An index whose digest or size is not that of the file is stale, one whose checksums are
wrong is damaged; both are made again from the file. Different keys may have one hash: what is found must be compared.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.cpython.buffer import PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import free, qsort, realloc
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.minikv.history.index import O_CLOEXEC
from cython.cimports.minikv.history.operations import OP_DELTA
from cython.cimports.minikv.rdb.crc64 import crc64
from cython.cimports.minikv.rdb.pointers import Bytes, ConstBytes
from cython.cimports.posix.fcntl import O_RDONLY
from cython.cimports.posix.fcntl import open as open_file
from cython.cimports.posix.unistd import close, pread

MAGIC = b"MKVIDX02"
SUFFIX = ".idx"
BLOCK_LEN = cython.declare(uint64_t, 4096)
BLOCK_ENTRIES = cython.declare(uint64_t, 170)
ENTRY_WORDS = cython.declare(uint64_t, 3)
ENTRY_LEN = cython.declare(uint64_t, 24)
HEAD_WORDS = cython.declare(uint64_t, 7)
FIRST_READ = cython.declare(uint64_t, 4096)
ENTRIES_FIRST = cython.declare(uint64_t, 1024)
DATABASE_SALT = cython.declare(uint64_t, 0x9E3779B97F4A7C15)


@cython.cfunc
@cython.exceptval(check=False)
def place_hash(database: uint64_t, key: ConstBytes, key_len: uint64_t) -> uint64_t:
    """Not secret: whoever makes keys of one hash makes his own lookups slow."""
    mixed: uint64_t = crc64(~(database * DATABASE_SALT), key, key_len) ^ key_len
    mixed = (mixed ^ (mixed >> 33)) * cython.cast(uint64_t, 0xFF51AFD7ED558CCD)
    mixed = (mixed ^ (mixed >> 33)) * cython.cast(uint64_t, 0xC4CEB9FE1A85EC53)
    return mixed ^ (mixed >> 33)


def hash_of(database: int, key: bytes) -> int:
    """By which an index knows a key."""
    return place_hash(database, cython.cast(Bytes, PyBytes_AS_STRING(key)), PyBytes_GET_SIZE(key))


class Indexer(Operations):
    """Notes each operation of a file; `encoded` is then the index."""

    def __dealloc__(self):
        free(self._entries)

    def operation(
        self, op: cython.int, key: ConstBytes, key_len: uint64_t, begin: uint64_t, end: uint64_t
    ) -> cython.int:
        grown: cython.p_void
        if self._count == self._capacity:
            self._capacity = max(2 * self._capacity, ENTRIES_FIRST)
            grown = realloc(self._entries, self._capacity * cython.sizeof(Entry))
            if grown == cython.NULL:
                raise MemoryError
            self._entries = cython.cast(cython.pointer[Entry], grown)
        if self._delta:
            op = OP_DELTA
            begin = self._delta_at
        self._entries[self._count].hash = place_hash(self._number, key, key_len)
        self._entries[self._count].place = begin << 2 | cython.cast(uint64_t, op)
        self._entries[self._count].sum = end
        self._count += 1
        return 0

    def record_end(self, offset: uint64_t) -> cython.int:
        self._entries[self._count - 1].sum = offset
        return Operations.record_end(self, offset)

    def _sum_up(self, data: ConstBytes, length: uint64_t) -> cython.int:
        """Put checksums in the place of ends."""
        number: uint64_t
        begin: uint64_t
        for number in range(self._count):
            begin = self._entries[number].place >> 2
            if not begin <= self._entries[number].sum <= length:
                raise ValueError("an operation lies beyond the end of its file")
            self._entries[number].sum = crc64(0, data + begin, self._entries[number].sum - begin)
        return 0

    def encoded(self, digest: uint64_t, file: object, origins: dict) -> bytes:
        """The bytes of the index of this file, whose bytes are given; once. origins: as of Head."""
        nbytes: uint64_t
        view: cython.Py_buffer
        PyObject_GetBuffer(file, cython.address(view), PyBUF_SIMPLE)
        try:
            nbytes = view.len
            self._sum_up(cython.cast(ConstBytes, view.buf), nbytes)
        finally:
            PyBuffer_Release(cython.address(view))
        blocks: uint64_t = (self._count + BLOCK_ENTRIES - 1) // BLOCK_ENTRIES
        pairs: uint64_t = len(origins)
        head_len: uint64_t = 8 * (HEAD_WORDS + 2 * pairs + blocks + 1)
        data: bytes = PyBytes_FromStringAndSize(cython.NULL, head_len + blocks * BLOCK_LEN)
        start: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(data))
        words: cython.pointer[uint64_t] = cython.cast(cython.pointer[uint64_t], start)
        at: Bytes
        number: uint64_t
        used: uint64_t
        sum: uint64_t
        qsort(self._entries, self._count, cython.sizeof(Entry), compare_entries)
        memcpy(start, cython.cast(cython.p_char, PyBytes_AS_STRING(MAGIC)), 8)
        words[1] = digest
        words[2] = nbytes
        words[3] = self._count
        words[4] = self.databases
        words[5] = pairs
        words[6] = blocks
        words += HEAD_WORDS
        for database, origin in origins.items():
            words[0] = database
            words[1] = cython.cast(uint64_t, cython.cast(int64_t, -1 if origin is None else origin))
            words += 2
        for number in range(blocks):
            words[number] = self._entries[number * BLOCK_ENTRIES].hash
        words[blocks] = crc64(0, start, head_len - 8)
        for number in range(blocks):
            at = start + head_len + number * BLOCK_LEN
            used = min(BLOCK_ENTRIES, self._count - number * BLOCK_ENTRIES)
            memset(at, 0xFF, BLOCK_LEN)
            memcpy(at, cython.cast(Bytes, self._entries + number * BLOCK_ENTRIES), used * ENTRY_LEN)
            sum = crc64(0, at, BLOCK_ENTRIES * ENTRY_LEN)
            memcpy(at + BLOCK_ENTRIES * ENTRY_LEN, cython.address(sum), 8)
            memset(at + BLOCK_ENTRIES * ENTRY_LEN + 8, 0, 8)
        return data


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def compare_entries(one: cython.p_const_void, other: cython.p_const_void) -> cython.int:
    a: cython.pointer[Entry] = cython.cast(cython.pointer[Entry], one)
    b: cython.pointer[Entry] = cython.cast(cython.pointer[Entry], other)
    if a.hash != b.hash:
        return -1 if a.hash < b.hash else 1
    return -1 if a.place < b.place else 1 if a.place > b.place else 0


def find(path: str, digest: uint64_t, nbytes: uint64_t, hashes: tuple) -> tuple | None:
    """(origins, places of the first hash, of the second ...) of an index; None if it is missing, stale or damaged.

    A place is a pair: the offset of an operation << 2 | what it does, its checksum. They come in the file's order.
    """
    name: bytes = os.fsencode(path)
    fd: cython.int = open_file(PyBytes_AS_STRING(name), O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return None
    try:
        return find_open(fd, digest, nbytes, hashes)
    finally:
        close(fd)


@cython.cfunc
def find_open(fd: cython.int, digest: uint64_t, nbytes: uint64_t, hashes: tuple) -> object:
    first = cython.declare(uint64_t[512])
    words: cython.pointer[uint64_t] = first
    held: bytes = b""
    got: cython.Py_ssize_t = pread(fd, first, FIRST_READ, 0)
    head_len: uint64_t
    blocks: uint64_t
    pairs: uint64_t
    number: uint64_t
    if got < cython.cast(cython.Py_ssize_t, 8 * (HEAD_WORDS + 1)):
        return None
    if (
        memcmp(first, cython.cast(cython.p_char, PyBytes_AS_STRING(MAGIC)), 8) != 0
        or words[1] != digest
        or words[2] != nbytes
        or words[5] > nbytes
        or words[6] > nbytes
        or words[6] != (words[3] + BLOCK_ENTRIES - 1) // BLOCK_ENTRIES
    ):
        return None
    pairs = words[5]
    blocks = words[6]
    head_len = 8 * (HEAD_WORDS + 2 * pairs + blocks + 1)
    if head_len > FIRST_READ:
        held = os.pread(fd, head_len, 0)
        if cython.cast(uint64_t, len(held)) < head_len:
            return None
        words = cython.cast(cython.pointer[uint64_t], PyBytes_AS_STRING(held))
    elif cython.cast(uint64_t, got) < head_len:
        return None
    if words[head_len // 8 - 1] != crc64(0, cython.cast(Bytes, words), head_len - 8):
        return None
    origins: dict = {}
    for number in range(pairs):
        origin: int64_t = cython.cast(int64_t, words[HEAD_WORDS + 2 * number + 1])
        origins[words[HEAD_WORDS + 2 * number]] = None if origin < 0 else origin
    found: list = [origins]
    for hash_ in hashes:
        places: object = find_hash(fd, words + HEAD_WORDS + 2 * pairs, blocks, head_len, hash_)
        if places is None:
            return None
        found.append(places)
    return tuple(found)


@cython.cfunc
def find_hash(
    fd: cython.int, fences: cython.pointer[uint64_t], blocks: uint64_t, head_len: uint64_t, hash_: uint64_t
) -> object:
    block = cython.declare(uint64_t[512])
    low: uint64_t = 0
    high: uint64_t = blocks
    middle: uint64_t
    number: uint64_t
    at: uint64_t
    places: list = []
    # The first block whose first hash is not below; equal ones may begin at the end of that before it.
    while low < high:
        middle = (low + high) // 2
        if fences[middle] < hash_:
            low = middle + 1
        else:
            high = middle
    if low:
        low -= 1
    while low < blocks and fences[low] <= hash_:
        if pread(fd, block, BLOCK_LEN, head_len + low * BLOCK_LEN) != cython.cast(cython.Py_ssize_t, BLOCK_LEN):
            return None
        if block[ENTRY_WORDS * BLOCK_ENTRIES] != crc64(
            0, cython.cast(Bytes, cython.address(block[0])), ENTRY_LEN * BLOCK_ENTRIES
        ):
            return None
        for number in range(BLOCK_ENTRIES):
            at = ENTRY_WORDS * number
            if block[at] == hash_ and block[at + 1] != ~cython.cast(uint64_t, 0):
                places.append((block[at + 1], block[at + 2]))
        low += 1
    return places
