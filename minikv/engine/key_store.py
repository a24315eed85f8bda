# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""One database's records with the two indexes that lead to them.

A store puts records into the arena, keeps the table (key to record) and the expiry index (time to key) in step with
them, and knows when a record may be written in place: never while it is frozen for a snapshot child, except bytes
of jumbo records, which are left to the kernel's copy-on-write. It knows no clock: whether a key has expired is for the
keyspace to say.

Every change either succeeds or raises ArenaFull with nothing changed: blocks are reserved first, room for the record
comes next, and what follows cannot fail.

A `slot` is an entry of the table: NULL for a key that is not there, good until the next insert or remove.

Invariants (proved by KeyStore.check):
  1. the table holds one entry for each live record of the store, and no other
  2. the expiry index holds (time, hash) of each record with a time, and no other
  3. the index of fields holds (time, hash) of each hash whose fields expire, by the first of them, and no other
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memmove, memset
from cython.cimports.minikv.engine.arena import GRANULE, is_marked, mark, set_mark
from cython.cimports.minikv.engine.chunks import root_of
from cython.cimports.minikv.engine.marks import may_be_delta
from cython.cimports.minikv.engine.ordered import Cursor, Entry, OrderedIndex
from cython.cimports.minikv.engine.record import (
    EXPIRY_OPCODE,
    EXPIRY_SIZE,
    JUMBO_LENGTH_SIZE,
    PACKED_HEADER,
    RECORD_MAX,
    SPREAD_MARK,
    SPREAD_PAYLOAD,
    TYPE_HASH_TTL,
    TYPE_STRING,
    Bytes,
    ConstBytes,
    is_chunked,
    length_size,
    payload_size,
    read_length,
    record_expire_at,
    record_key,
    record_payload,
    record_size,
    skip_expiry,
    string_encoding,
    string_length_size,
    write_header,
    write_length,
)
from cython.cimports.minikv.engine.stores import Stores, spread_of
from cython.cimports.minikv.engine.table import Key, hash_key, slot_offset


class KeyStore:
    """Store `number`, one of a database's keys."""

    def __cinit__(self, stores: Stores, number: int):
        self.stores = stores
        self.arena = stores.arena
        self.tables = stores.tables
        self.number = number
        self.table = cython.address(stores.indexes[self.number].table)
        self.expiry = OrderedIndex(stores.pool)
        self.field_expiry = OrderedIndex(stores.pool)

    def find(self, key: ConstBytes, key_len: uint64_t, hash_: uint64_t) -> cython.pointer[uint64_t]:
        return self.tables.find(self.table, key, key_len, hash_)

    def record(self, slot: cython.pointer[cython.const[uint64_t]]) -> Bytes:
        """The record's first byte; it does not survive a change."""
        return self.arena.base + slot_offset(slot)

    # Whole records

    def put_string(
        self,
        key: Key,
        slot: cython.pointer[uint64_t],
        value_len: uint64_t,
        encoding: cython.int,
        expire_at_ms: int64_t,
    ) -> Bytes:
        """Make the key a string; the caller writes `value_len` bytes to the address returned before any other call."""
        size_of_length: uint32_t = string_length_size(value_len, encoding)
        size: uint64_t = 1 + length_size(key.len) + key.len + size_of_length + value_len
        prefixed: cython.bint = expire_at_ms != 0
        record: Bytes
        if size + (EXPIRY_SIZE if prefixed else 0) > RECORD_MAX:
            prefixed = True
            size += JUMBO_LENGTH_SIZE - size_of_length
            size_of_length = JUMBO_LENGTH_SIZE
        if prefixed:
            size += EXPIRY_SIZE
        record = self.arena.base + self._place(key.hash, slot, size, expire_at_ms)
        return write_length(
            write_header(record, prefixed, expire_at_ms, TYPE_STRING, key.bytes, key.len), value_len, size_of_length
        )

    def put_payload(
        self,
        key: Key,
        slot: cython.pointer[uint64_t],
        kind: uint8_t,
        payload_len: uint64_t,
        expire_at_ms: int64_t,
    ) -> Bytes:
        """The same for a payload that the caller writes whole; not for strings."""
        size: uint64_t = 1 + length_size(key.len) + key.len + payload_len
        prefixed: cython.bint = expire_at_ms != 0 or size > RECORD_MAX
        if prefixed:
            size += EXPIRY_SIZE
        return write_header(
            self.arena.base + self._place(key.hash, slot, size, expire_at_ms),
            prefixed,
            expire_at_ms,
            kind,
            key.bytes,
            key.len,
        )

    def put_copy(
        self,
        key: Key,
        slot: cython.pointer[uint64_t],
        source: ConstBytes,
        spread: uint32_t,
    ) -> cython.int:
        """Give the key the value and the time of another live record, whose bytes are at `source`.

        spread: the store that the elements of a spread collection are in.
        """
        record: Bytes = cython.cast(Bytes, source)
        payload: Bytes = record_payload(record)
        kind: uint8_t = skip_expiry(record)[0]
        expire_at_ms: int64_t = record_expire_at(record)
        nbytes: uint64_t = payload_size(kind, payload)
        length: uint64_t = 0
        data: Bytes
        if kind == TYPE_STRING:
            data = read_length(payload, cython.address(length))
            memcpy(
                self.put_string(key, slot, length, string_encoding(length, data - payload), expire_at_ms),
                data,
                length,
            )
        else:
            data = self.put_payload(key, slot, kind, nbytes, expire_at_ms)
            memcpy(data, payload, nbytes)
            if spread:
                memcpy(data + SPREAD_PAYLOAD - 4, cython.address(spread), 4)
                self.arena.spreads[spread].owner = self.number
                self.stores.indexes[spread].key_hash = key.hash
        return 0

    def splice(self, slot: cython.pointer[uint64_t], at: uint64_t, removed: uint64_t, inserted: uint64_t) -> Bytes:
        """Replace `removed` bytes of a packed collection, `at` bytes into its payload, by `inserted` ones.

        Returns where the caller writes them before any other call; it keeps the number of elements right too. What a
        spread stream has in its root may be changed in the same way.
        """
        payload: Bytes = record_payload(self.record(slot))
        size_at: uint32_t = SPREAD_PAYLOAD if spread_of(skip_expiry(self.record(slot))[0], payload) else 0
        packed: uint32_t = 0
        memcpy(cython.address(packed), payload + size_at, PACKED_HEADER)
        packed = cython.cast(uint32_t, packed - removed + inserted)
        payload = self.rewrite(slot, at, removed, inserted) - at
        memcpy(payload + size_at, cython.address(packed), PACKED_HEADER)
        return payload + at

    def rewrite(self, slot: cython.pointer[uint64_t], at: uint64_t, removed: uint64_t, inserted: uint64_t) -> Bytes:
        """The same for any collection, into whose payload the caller writes the new size: in place if possible."""
        old: uint64_t = slot_offset(slot)
        record: Bytes = self.arena.base + old
        payload: Bytes = record_payload(record)
        start: uint64_t = cython.cast(uint64_t, payload - record) + at
        size: uint64_t = record_size(record)
        new_size: uint64_t = size - removed + inserted
        # A jumbo record always has the expiry prefix.
        prefix: uint64_t = EXPIRY_SIZE if new_size > RECORD_MAX and record[0] != EXPIRY_OPCODE else 0
        offset: uint64_t
        if prefix == 0 and self.arena.fits(old, size, new_size):
            if removed != inserted:
                memmove(record + start + inserted, record + start + removed, size - start - removed)
            return record + start
        self.stores.reserve_again()
        offset = self.stores.allocate_again(self.number, size, prefix + new_size)
        if prefix:
            self.arena.base[offset] = EXPIRY_OPCODE
            memset(self.arena.base + offset + 1, 0, EXPIRY_SIZE - 1)
        payload = self.arena.base + offset + prefix
        memcpy(payload, record, start)
        memcpy(payload + start + inserted, record + start + removed, size - start - removed)
        self.stores.replace(slot, old, size, offset, prefix + new_size)
        return payload + start

    def rewrite_part(
        self, slot: cython.pointer[uint64_t], at: uint64_t, removed: uint64_t, inserted: uint64_t
    ) -> Bytes:
        """The same for the root of a collection whose elements are marked one by one."""
        old: uint64_t = slot_offset(slot)
        whole: cython.bint = self._is_whole(slot)
        place: Bytes = self.rewrite(slot, at, removed, inserted)
        if not whole:
            self._mark_part(slot, old)
        return place

    def splice_part(self, slot: cython.pointer[uint64_t], at: uint64_t, removed: uint64_t, inserted: uint64_t) -> Bytes:
        """`splice` for such a root, of a spread stream."""
        old: uint64_t = slot_offset(slot)
        whole: cython.bint = self._is_whole(slot)
        place: Bytes = self.splice(slot, at, removed, inserted)
        if not whole:
            self._mark_part(slot, old)
        return place

    def _is_whole(self, slot: cython.pointer[cython.const[uint64_t]]) -> cython.bint:
        """Whether a change of a root counts as one of the whole collection, if anybody wants to know."""
        return (
            self.arena.fresh == cython.NULL
            or is_marked(self.arena, slot_offset(slot))
            or not may_be_delta(self.record(slot))
        )

    def _mark_part(self, slot: cython.pointer[cython.const[uint64_t]], old: uint64_t) -> cython.void:
        """A root has been written that was at `old`: some elements have changed, unless all had before."""
        new: uint64_t = slot_offset(slot)
        if new == old or not self.stores.changes.had_mark(old):
            set_mark(self.arena, new, 0)
            mark(self.arena, new + GRANULE)

    def forget_element(
        self, slot: cython.pointer[cython.const[uint64_t]], name: ConstBytes, name_len: uint64_t
    ) -> cython.void:
        """An element of the slot's collection is gone."""
        key_len: uint64_t = 0
        key: Bytes
        if self.arena.fresh == cython.NULL or is_marked(self.arena, slot_offset(slot)):
            return
        if not may_be_delta(self.record(slot)) or self.stores.changes.is_crowded():
            mark(self.arena, slot_offset(slot))
        else:
            mark(self.arena, slot_offset(slot) + GRANULE)
            key = record_key(self.record(slot), cython.address(key_len))
            self.stores.changes.removed_element(self.number, key, key_len, name, name_len)

    def put_root(
        self,
        key: Key,
        slot: cython.pointer[uint64_t],
        kind: uint8_t,
        spread: uint32_t,
        expire_at_ms: int64_t,
    ) -> cython.int:
        """Make the key the root of a spread collection, whose elements are there already."""
        words: uint32_t[2]
        payload: Bytes = self.put_payload(key, slot, kind, SPREAD_PAYLOAD, expire_at_ms)
        words[0] = SPREAD_MARK
        words[1] = spread
        memcpy(payload, words, SPREAD_PAYLOAD)
        self.arena.spreads[spread].owner = self.number
        self.stores.indexes[spread].key_hash = key.hash
        return 0

    def put_chunked(
        self,
        key: Key,
        slot: cython.pointer[uint64_t],
        kind: uint8_t,
        payload: ConstBytes,
        expire_at_ms: int64_t,
    ) -> cython.int:
        """Make the key a chunked collection, whose root is given and whose chunks are there already."""
        nbytes: uint64_t = payload_size(kind, cython.cast(Bytes, payload))
        memcpy(self.put_payload(key, slot, kind, nbytes, expire_at_ms), payload, nbytes)
        return 0

    def _place(
        self, hash_: uint64_t, slot: cython.pointer[uint64_t], size: uint64_t, expire_at_ms: int64_t
    ) -> uint64_t:
        """Room for a record of `size` that replaces the slot's, with the indexes already changed for it."""
        old_ms: int64_t = 0
        offset: uint64_t
        spread: uint32_t = 0
        first_ms: int64_t = 0
        record: Bytes
        if slot != cython.NULL:
            record = self.arena.base + slot_offset(slot)
            old_ms = record_expire_at(record)
            if skip_expiry(record)[0] != TYPE_STRING:
                spread = spread_of(skip_expiry(record)[0], record_payload(record))
                if skip_expiry(record)[0] == TYPE_HASH_TTL:
                    first_ms = self.stores.first_field_expiry(record)
                if is_chunked(skip_expiry(record)[0], record_payload(record)):
                    offset = self._place_for_chunked(slot, size)
                    self._move_expiry(hash_, old_ms, expire_at_ms)
                    if first_ms:
                        self.field_expiry.remove(first_ms, hash_)
                    return offset
        offset = self.stores.place(self.number, hash_, slot, size)
        if first_ms:
            self.field_expiry.remove(first_ms, hash_)
        if spread:
            self.stores.drop(spread, self.stores.replaces_lazily)
        self._move_expiry(hash_, old_ms, expire_at_ms)
        return offset

    def _place_for_chunked(self, slot: cython.pointer[uint64_t], size: uint64_t) -> uint64_t:
        """Room for a record that replaces the slot's root: its entries are needed until its chunks are gone."""
        old: uint64_t = slot_offset(slot)
        old_size: uint64_t = record_size(self.arena.base + old)
        payload: Bytes = record_payload(self.arena.base + old)
        offset: uint64_t
        self.stores.reserve_again()
        offset = self.stores.allocate_again(self.number, old_size + root_of(payload).nbytes, size)
        self.stores.chunks.drop(payload)
        self.stores.replace(slot, old, old_size, offset, size)
        return offset

    def _move_expiry(self, hash_: uint64_t, old_ms: int64_t, new_ms: int64_t) -> cython.int:
        if old_ms != new_ms:
            if new_ms:
                self.expiry.insert(new_ms, hash_)
            if old_ms:
                self.expiry.remove(old_ms, hash_)
        return 0

    def remove(self, slot: cython.pointer[uint64_t], hash_: uint64_t, lazily: cython.bint = False) -> cython.void:
        """Delete the key of a slot, with all its elements. lazily: a store of theirs is freed later."""
        record: Bytes = self.record(slot)
        spread: uint32_t = spread_of(skip_expiry(record)[0], record_payload(record))
        self.forget_fields(slot, hash_)
        if is_chunked(skip_expiry(record)[0], record_payload(record)):
            self.stores.chunks.drop(record_payload(record))
        self._remove_record(slot, hash_)
        if spread:
            self.stores.drop(spread, lazily)

    def remove_root(self, slot: cython.pointer[uint64_t], hash_: uint64_t) -> cython.void:
        """Delete the key of a slot; the elements of a chunked or spread collection stay, for another root."""
        self.forget_fields(slot, hash_)
        self._remove_record(slot, hash_)

    def _remove_record(self, slot: cython.pointer[uint64_t], hash_: uint64_t) -> cython.void:
        offset: uint64_t = slot_offset(slot)
        record: Bytes = self.arena.base + offset
        expire_at_ms: int64_t = record_expire_at(record)
        key_len: uint64_t = 0
        key: Bytes
        if self.arena.fresh != cython.NULL:
            key = record_key(record, cython.address(key_len))
            self.stores.changes.removed(self.number, key, key_len)
        if expire_at_ms:
            self.expiry.remove(expire_at_ms, hash_)
        self.tables.remove(self.table, slot)
        self.arena.kill(offset, record_size(record))

    def clear(self, lazily: cython.bint) -> cython.void:
        """Drop everything: whole segments at a time. lazily: they are freed later."""
        self.field_expiry.clear()
        self.stores.changes.emptied(self.number)
        self.stores.drop_database(self.number, cython.address(self.expiry.state), lazily)

    # Parts of records

    def write_range(
        self,
        slot: cython.pointer[uint64_t],
        at: uint64_t,
        data: ConstBytes,
        data_len: uint64_t,
    ) -> cython.int:
        """Write bytes into a string, which grows, with zeros in between, as far as needed. The string becomes raw."""
        offset: uint64_t = slot_offset(slot)
        record: Bytes = self.arena.base + offset
        payload: Bytes = record_payload(record)
        old_len: uint64_t = 0
        old_data: Bytes = read_length(payload, cython.address(old_len))
        old_size: uint64_t = cython.cast(uint64_t, old_data - record) + old_len
        new_len: uint64_t = max(old_len, at + data_len)
        size_of_length: uint32_t = max(length_size(new_len), 2)
        size: uint64_t = cython.cast(uint64_t, payload - record) + size_of_length + new_len
        key: Bytes
        key_len: uint64_t = 0
        new_offset: uint64_t
        new_data: Bytes
        self.stores.reserve()
        if self.arena.is_jumbo(offset):
            self.arena.await_clone()
            size = old_size + new_len - old_len
            if new_len == old_len or self.arena.grow_in_place(offset, old_size, size):
                mark(self.arena, offset)
                if new_len != old_len:
                    write_length(payload, new_len, JUMBO_LENGTH_SIZE)
                if at > old_len:
                    memset(old_data + old_len, 0, at - old_len)
                memcpy(old_data + at, data, data_len)
                return 0
        elif old_data - payload == size_of_length and self.arena.fits(offset, old_size, size):
            write_length(payload, new_len, size_of_length)
            if at > old_len:
                memset(old_data + old_len, 0, at - old_len)
            memcpy(old_data + at, data, data_len)
            return 0
        # The new record is written while the old one is still there, then takes its place.
        if size > RECORD_MAX:
            key = record_key(record, cython.address(key_len))
            size = EXPIRY_SIZE + 1 + length_size(key_len) + key_len + JUMBO_LENGTH_SIZE + new_len
            new_offset = self.stores.allocate(self.number, size)
            new_data = write_length(
                write_header(
                    self.arena.base + new_offset, True, record_expire_at(record), skip_expiry(record)[0], key, key_len
                ),
                new_len,
                JUMBO_LENGTH_SIZE,
            )
        else:
            new_offset = self.stores.allocate(self.number, size)
            memcpy(self.arena.base + new_offset, record, cython.cast(cython.size_t, payload - record))
            new_data = write_length(self.arena.base + new_offset + (payload - record), new_len, size_of_length)
        memcpy(new_data, old_data, min(old_len, at))
        if at > old_len:
            memset(new_data + old_len, 0, at - old_len)
        memcpy(new_data + at, data, data_len)
        if at + data_len < old_len:
            memcpy(new_data + at + data_len, old_data + at + data_len, old_len - at - data_len)
        self.stores.replace(slot, offset, old_size, new_offset, size)
        return 0

    def set_expire(self, slot: cython.pointer[uint64_t], hash_: uint64_t, at_ms: int64_t) -> cython.int:
        """Set the key's expiry in Unix milliseconds, or clear it (0)."""
        offset: uint64_t = slot_offset(slot)
        record: Bytes = self.arena.base + offset
        body: Bytes = skip_expiry(record)
        old_ms: int64_t = record_expire_at(record)
        old_size: uint64_t = record_size(record)
        body_size: uint64_t = old_size - cython.cast(uint64_t, body - record)
        size: uint64_t
        new_offset: uint64_t = offset
        if old_ms == at_ms:
            return 0
        self.stores.reserve_again()
        if self.arena.is_jumbo(offset) or (body != record and at_ms and not self.arena.is_frozen(offset)):
            mark(self.arena, offset)
            if self.arena.is_jumbo(offset):
                self.arena.await_clone()
            memcpy(record + 1, cython.address(at_ms), 8)
            return self._move_expiry(hash_, old_ms, at_ms)
        size = body_size + (EXPIRY_SIZE if at_ms else 0)
        if size > RECORD_MAX:
            return self._make_jumbo(slot, hash_, at_ms)
        if not self.arena.fits(offset, old_size, size):
            # A time is what lets a key go: it may use the reserve, although the record grows.
            new_offset = self.stores.allocate_again(self.number, max(old_size, size), size)
        memmove(self.arena.base + new_offset + (size - body_size), body, body_size)
        if at_ms:
            record = self.arena.base + new_offset
            record[0] = EXPIRY_OPCODE
            memcpy(record + 1, cython.address(at_ms), 8)
        if new_offset != offset:
            self.stores.replace(slot, offset, old_size, new_offset, size)
        return self._move_expiry(hash_, old_ms, at_ms)

    def _make_jumbo(self, slot: cython.pointer[uint64_t], hash_: uint64_t, at_ms: int64_t) -> cython.int:
        """set_expire for a record that just fitted without a time."""
        offset: uint64_t = slot_offset(slot)
        record: Bytes = self.arena.base + offset
        key_len: uint64_t = 0
        key: Bytes = record_key(record, cython.address(key_len))
        payload: Bytes = key + key_len
        kind: uint8_t = skip_expiry(record)[0]
        nbytes: uint64_t = payload_size(kind, payload)
        size: uint64_t = EXPIRY_SIZE + 1 + length_size(key_len) + key_len
        length: uint64_t = 0
        data: Bytes = payload
        at: Bytes
        new_offset: uint64_t
        if kind == TYPE_STRING:
            data = read_length(payload, cython.address(length))
            size += JUMBO_LENGTH_SIZE
            nbytes = length
        size += nbytes
        new_offset = self.stores.allocate(self.number, size)
        at = write_header(self.arena.base + new_offset, True, at_ms, kind, key, key_len)
        if kind == TYPE_STRING:
            at = write_length(at, length, JUMBO_LENGTH_SIZE)
        memcpy(at, data, nbytes)
        self.stores.replace(slot, offset, record_size(record), new_offset, size)
        return self._move_expiry(hash_, 0, at_ms)

    # Expiry

    def find_due(self, now_ms: int64_t, hash_: cython.pointer[uint64_t]) -> cython.pointer[uint64_t]:
        """The slot of a key whose time lies before now_ms, the longest overdue first; NULL if there is none."""
        return first_due(self, self.expiry, False, now_ms, hash_)

    def find_fields_due(self, now_ms: int64_t, hash_: cython.pointer[uint64_t]) -> cython.pointer[uint64_t]:
        """The same for a hash with a field whose time lies before now_ms."""
        return first_due(self, self.field_expiry, True, now_ms, hash_)

    def note_fields(self, slot: cython.pointer[uint64_t], hash_: uint64_t) -> cython.int:
        """Put the key of a slot into the index of fields, if it is a hash whose fields expire."""
        if skip_expiry(self.record(slot))[0] == TYPE_HASH_TTL:
            self.field_expiry.insert(self.stores.first_field_expiry(self.record(slot)), hash_)
        return 0

    def forget_fields(self, slot: cython.pointer[uint64_t], hash_: uint64_t) -> cython.void:
        """Take it out again, before its fields change."""
        if skip_expiry(self.record(slot))[0] == TYPE_HASH_TTL:
            self.field_expiry.remove(self.stores.first_field_expiry(self.record(slot)), hash_)

    # Proof

    def check(self) -> tuple[int, int]:
        """Prove the invariants, those of the table and of the expiry index included; Arena.check is for all stores.

        Returns (chunks, bytes of them) of the chunked collections.
        """
        self.tables.check(self.table)
        self.expiry.check()
        timed: set = set()
        with_timed_fields: set = set()
        cursor: uint64_t = 0
        offsets: uint64_t[336]
        found: uint32_t = 0
        index: uint32_t
        key: Bytes
        key_len: uint64_t = 0
        records: uint64_t = 0
        chunks: int = 0
        chunk_bytes: int = 0
        record: Bytes
        while True:
            cursor = self.tables.scan_home(self.table, cursor, offsets, cython.address(found))
            for index in range(found):
                records += 1
                key = record_key(self.arena.base + offsets[index], cython.address(key_len))
                expire_at_ms: int64_t = record_expire_at(self.arena.base + offsets[index])
                if expire_at_ms:
                    timed.add((expire_at_ms, hash_key(key, key_len)))
                    assert self.expiry.contains(expire_at_ms, hash_key(key, key_len))
                record = self.arena.base + offsets[index]
                if skip_expiry(record)[0] == TYPE_HASH_TTL:
                    expire_at_ms = self.stores.first_field_expiry(record)
                    with_timed_fields.add((expire_at_ms, hash_key(key, key_len)))
                    assert expire_at_ms, "no field of a hash expires"
                    assert self.field_expiry.contains(expire_at_ms, hash_key(key, key_len))
                if is_chunked(skip_expiry(record)[0], key + key_len):
                    found_chunks, found_bytes = self.stores.chunks.check(
                        skip_expiry(record)[0], key + key_len, self.number, hash_key(key, key_len)
                    )
                    chunks += found_chunks
                    chunk_bytes += found_bytes
            if cursor == 0:
                break
        assert records == self.table.used
        assert cython.cast(uint64_t, len(timed)) == self.expiry.count
        assert cython.cast(uint64_t, len(with_timed_fields)) == self.field_expiry.count
        return chunks, chunk_bytes


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def first_due(
    store: KeyStore, times: OrderedIndex, of_fields: cython.bint, now_ms: int64_t, hash_: cython.pointer[uint64_t]
) -> cython.pointer[uint64_t]:
    """The slot of the key that comes first in one of a store's two indexes, if its time there lies before now_ms."""
    cursor: Cursor
    entry: Entry
    slot: cython.pointer[uint64_t]
    while True:
        cursor = times.seek_first()
        if cursor.leaf == 0:
            return cython.NULL
        entry = times.entry(cursor)
        if entry.order >= now_ms:
            return cython.NULL
        hash_[0] = entry.ref
        if of_fields:
            slot = store.tables.find_hash_ttl(store.table, entry.ref)
            if slot != cython.NULL and store.stores.first_field_expiry(store.record(slot)) != entry.order:
                slot = cython.NULL
        else:
            slot = store.tables.find_expiring(store.table, entry.ref, entry.order)
        if slot != cython.NULL:
            return slot
        # Two keys with one hash and one time share an entry; it goes with the first of them.
        times.remove(entry.order, entry.ref)
