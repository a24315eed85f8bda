# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The arena as a stream of RDB bytes: SELECTDB and RESIZEDB for each database, then its records.

A walk goes through the segments that Arena.plan laid down, database by database and in address order, and finds the live
records by their bits. It reads the arena, the bitmap and the walk's items, all inherited, and its own fields: nothing that
belongs to the parent alone. Records are copied as they are, except that an empty expiry prefix is left out, and that strings
are replaced by their LZF form if a `compress` function is given.

In a child, `publish` tells the parent how far the walk is, and `release` gives the memory that it has passed back: behind
the walk the parent's writes cost no copies.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.arena import (
    BITMAP_PER_SEGMENT,
    KEYS_DONE,
    RANK_PASSED,
    SEGMENT_SHIFT,
    SEGMENT_SIZE,
    WORDS_PER_SEGMENT,
    Arena,
)
from cython.cimports.minikv.engine.memory import give_back
from cython.cimports.minikv.engine.record import (
    EXPIRY_OPCODE,
    EXPIRY_SIZE,
    RECORD_MAX,
    TYPE_STRING,
    length_size,
    read_length,
    record_expire_at,
    record_key,
    record_size,
    skip_expiry,
    write_length,
)

OPCODE_SELECTDB = cython.declare(cython.int, 0xFE)
OPCODE_RESIZEDB = cython.declare(cython.int, 0xFB)
LZF_STRING = cython.declare(cython.int, 0xC3)
# SELECTDB with its number and RESIZEDB with both sizes, at most
OPCODES_MAX = cython.declare(uint64_t, 32)
# Redis does not try to compress shorter strings; longer ones than the maximum would double the child's memory.
COMPRESS_MIN = cython.declare(uint64_t, 21)
COMPRESS_MAX = cython.declare(uint64_t, 16 << 20)
# Room that `fill` needs before it begins a record: the largest one outside pages, or a short string's header.
BUFFER_MIN = cython.declare(uint64_t, RECORD_MAX + 64)


class Walker:
    """One walk through `arena` by `parts`: (database number, keys, keys with a time, first item, items) in order."""

    def __cinit__(self, arena: Arena, parts: list):
        self.arena = arena
        self.parts = parts

    @property
    def rank(self) -> int:
        """Items of the walk (segments or runs of segments) that lie behind."""
        return self.item

    def fill(self, buffer, max_keys: int = 0, compress=None) -> int:
        """Write RDB bytes into a writable buffer of at least 64 KiB; returns how many, 0 at the end.

        max_keys: stop after so many (0: no limit). compress: like lzf.compress(data, max_len), None for no compression.
        """
        view: cython.uchar[::1] = buffer
        start: cython.pointer[uint8_t] = cython.address(view[0])
        out: cython.pointer[uint8_t] = start
        out_end: cython.pointer[uint8_t] = start + view.shape[0]
        keys_end: uint64_t = self.keys + cython.cast(uint64_t, max_keys) if max_keys else ~cython.cast(uint64_t, 0)
        record: cython.pointer[uint8_t]
        if view.shape[0] < 2 * RECORD_MAX:
            raise ValueError("the buffer is too small for a record")
        if self.pending_len:
            out = self._drain(out, out_end)
        while self.pending_len == 0 and out + BUFFER_MIN <= out_end and self.keys < keys_end:
            if self.at == 0 or self.at >= self.end:
                # A database that begins is announced before its first record.
                if self.item == self.part_end and self.part < len(self.parts) and self.at == 0:
                    out = self._opcodes(out)
                if not self._next_record():
                    break
                continue
            record = self.arena.base + self.at
            if compress is None:
                out = self._plain(out, out_end, record)
            else:
                out = self._compressed(out, out_end, record, compress)
            self.keys += 1
            self.at = self.arena._next_live(self.at + 16, self.end)
        return out - start

    def _opcodes(self, out: cython.pointer[uint8_t]) -> cython.pointer[uint8_t]:
        """Begin the next part that has keys."""
        database: uint64_t
        keys: uint64_t
        timed: uint64_t
        first: uint32_t
        items: uint32_t
        while self.part < len(self.parts):
            database, keys, timed, first, items = self.parts[self.part]
            self.part += 1
            self.item = first
            self.part_end = first + items
            if keys:
                out[0] = OPCODE_SELECTDB
                out = write_length(out + 1, database, length_size(database))
                out[0] = OPCODE_RESIZEDB
                out = write_length(out + 1, keys, length_size(keys))
                return write_length(out, timed, length_size(timed))
        return out

    def _next_record(self) -> cython.bint:
        """Go to the next live record, or to the end of a part (at becomes 0); False at the end of the walk."""
        segment: uint64_t
        while True:
            if self.at:
                self.item += 1
            if self.item == self.part_end:
                self.at = 0
                return self.part < len(self.parts)
            segment = self.arena.walk[self.item].segment
            self.end = (segment + 1) << SEGMENT_SHIFT
            # Granule 0 of the arena is never a record, so 0 can stand for "not begun".
            self.at = self.arena._next_live((segment << SEGMENT_SHIFT) + (16 if segment == 0 else 0), self.end)
            if self.at < self.end:
                return True

    def _drain(self, out: cython.pointer[uint8_t], out_end: cython.pointer[uint8_t]) -> cython.pointer[uint8_t]:
        """Continue the record that did not fit."""
        nbytes: uint64_t = min(self.pending_len, cython.cast(uint64_t, out_end - out))
        memcpy(out, self.pending, nbytes)
        self.pending += nbytes
        self.pending_len -= nbytes
        if self.pending_len == 0:
            self.pending_owner = None
        return out + nbytes

    def _plain(
        self, out: cython.pointer[uint8_t], out_end: cython.pointer[uint8_t], record: cython.pointer[uint8_t]
    ) -> cython.pointer[uint8_t]:
        nbytes: uint64_t = record_size(record)
        if record[0] == EXPIRY_OPCODE and record_expire_at(record) == 0:
            record += EXPIRY_SIZE
            nbytes -= EXPIRY_SIZE
        if nbytes <= cython.cast(uint64_t, out_end - out):
            memcpy(out, record, nbytes)
            return out + nbytes
        self.pending = record
        self.pending_len = nbytes
        return self._drain(out, out_end)

    def _compressed(
        self, out: cython.pointer[uint8_t], out_end: cython.pointer[uint8_t], record: cython.pointer[uint8_t], compress
    ) -> cython.pointer[uint8_t]:
        body: cython.pointer[uint8_t] = skip_expiry(record)
        key_len: uint64_t = 0
        key: cython.pointer[uint8_t] = record_key(record, cython.address(key_len))
        length: uint64_t = 0
        data: cython.pointer[uint8_t]
        # A key of this size leaves no room to begin the value behind it.
        if body[0] != TYPE_STRING or key_len > RECORD_MAX // 2:
            return self._plain(out, out_end, record)
        if record_expire_at(record):
            memcpy(out, record, EXPIRY_SIZE)
            out += EXPIRY_SIZE
        out[0] = TYPE_STRING
        out = self._string(out + 1, out_end, key, key_len, compress)
        data = read_length(key + key_len, cython.address(length))
        return self._string(out, out_end, data, length, compress)

    def _string(
        self,
        out: cython.pointer[uint8_t],
        out_end: cython.pointer[uint8_t],
        data: cython.pointer[uint8_t],
        length: uint64_t,
        compress,
    ) -> cython.pointer[uint8_t]:
        """A string in LZF form if that is shorter."""
        packed: object = None
        packed_len: uint64_t
        if COMPRESS_MIN <= length <= COMPRESS_MAX:
            packed = compress(
                PyBytes_FromStringAndSize(cython.cast(cython.p_char, data), cython.cast(cython.Py_ssize_t, length)),
                length - 4,
            )
        if packed is not None:
            packed_len = len(packed)
            out[0] = LZF_STRING
            out = write_length(out + 1, packed_len, length_size(packed_len))
            out = write_length(out, length, length_size(length))
            self.pending = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(packed))
            self.pending_len = packed_len
            self.pending_owner = packed
        else:
            out = write_length(out, length, length_size(length))
            self.pending = data
            self.pending_len = length
        return self._drain(out, out_end)

    def publish(self) -> None:
        """Tell the parent how far this walk is."""
        self.arena.progress[KEYS_DONE] = self.keys
        self.arena.progress[RANK_PASSED] = self.item

    def release(self) -> None:
        """Give the memory of the items that lie behind back to the system. Only in a child: the data are gone for it."""
        number: uint64_t
        count: uint64_t
        while self.released < self.item:
            number = self.arena.walk[self.released].segment
            count = self.arena.walk[self.released].segments
            give_back(self.arena.base + (number << SEGMENT_SHIFT), count * SEGMENT_SIZE)
            give_back(
                cython.cast(cython.pointer[uint8_t], self.arena.live + number * WORDS_PER_SEGMENT),
                count * BITMAP_PER_SEGMENT,
            )
            self.released += 1
