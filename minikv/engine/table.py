# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Hash indexes over parent-only memory: from keys to records, and from elements of a large collection to their records.

Extendible hashing: a directory of 2**depth block numbers, indexed by the first bits of the hash, leads to blocks of 4
KiB. A block that becomes full splits in two by the next bit, and two half-empty buddies merge again: the table grows
and shrinks a block at a time. An entry keeps 22 prefix bits and its home bucket, so that a split reads neither keys
nor hashes.

    hash   |63 ........ 42| .............. |23 .... 8|7 .... 0|
             prefix                          home      fingerprint

    block  0     bucket 0 .. bucket 47, a cache line each
           3072  access clock of each entry, 3 bytes
           4080  used, depth

    bucket |7 fingerprints, 1 B each|overflow 1 B|7 entries of 8 B|
    entry  |63 .... granule number of the record .... 28|27 .. home .. 22|21 .. prefix .. 0|    0: empty

An entry that finds its home bucket full goes to the next one with room, round the block; every bucket that it passes
counts it in `overflow`, so a search ends at the first bucket that nothing has passed.

SCAN walks prefixes in order and, in a block, home buckets in order. Its cursor is (prefix, depth of the block, home):
blocks that split are finished in two halves, and a block that has been merged since is walked again from its first
home bucket, so a key that stays in the table is always returned.

Invariants (proved by Tables.check):
  1. every entry points to a live record whose key hashes to its prefix, home and fingerprint 2. overflow counts the
  entries that passed a bucket (sticks at 255) 3. header.used counts a block's entries; TableState.used all; a block
  of depth d fills 2**(depth - d) directory places in a row
"""

import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.minikv.engine.arena import GRANULE_SHIFT, Arena
from cython.cimports.minikv.engine.memory import BLOCK_SHIFT, BLOCK_SIZE, BlockPool, try_reserve, unmap
from cython.cimports.minikv.engine.record import (
    CHUNKED_MARK,
    KEYS,
    SPREAD_MARK,
    TYPE_HASH_TTL,
    TYPE_STRING,
    Bytes,
    ConstBytes,
    entry_key,
    field_expire_at,
    record_expire_at,
    record_payload,
    skip_expiry,
)

# A block splits at 88 % of its 336 entries: beyond that, searches pass more than a bucket and a half on average.
SPLIT_AT = cython.declare(uint32_t, 296)
# Buddies merge when both together fill this much; far enough from SPLIT_AT that a steady size does neither.
MERGE_AT = cython.declare(uint32_t, 160)
DIRECTORY_MAX_BYTES = cython.declare(cython.size_t, 4 << 22)
DIRECTORY_IN_BLOCK = cython.declare(uint32_t, 1024)
ONES = cython.declare(uint64_t, 0x0101010101010101)
# The high bit of each fingerprint's byte; the overflow count's byte is left out.
HIGH_BITS = cython.declare(uint64_t, 0x0080808080808080)
TAG_MASK = cython.declare(uint64_t, (1 << 28) - 1)
PREFIX_MASK = cython.declare(uint64_t, (1 << 22) - 1)
# In the place of an expiry: any, of a field.
FIELDS_EXPIRE = cython.declare(int64_t, -1)
OVERFLOW_STUCK = cython.declare(uint64_t, 255)


def hash_key(key: ConstBytes, key_len: uint64_t) -> uint64_t:
    """CPython's own randomised SipHash."""
    # An empty key hashes to 0 in CPython, whatever the seed; it is one key, so that does no harm.
    return cython.cast(uint64_t, minikv_hash_bytes(key, cython.cast(cython.Py_ssize_t, key_len)))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def home_of(hash_: uint64_t) -> uint64_t:
    return (((hash_ >> 8) & 0xFFFF) * BUCKETS) >> 16


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def tag_of(hash_: uint64_t) -> uint64_t:
    return (home_of(hash_) << PREFIX_BITS) | (hash_ >> (64 - PREFIX_BITS))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def header_of(block: Bytes) -> cython.pointer[BlockHeader]:
    return cython.cast(cython.pointer[BlockHeader], block + HEADER_AT)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def bucket_of(block: Bytes, bucket: uint64_t) -> cython.pointer[uint64_t]:
    return cython.cast(cython.pointer[uint64_t], block + bucket * BUCKET_SIZE)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def matches_in(meta: uint64_t, fingerprint: uint64_t) -> uint64_t:
    """The high bit of each byte of `meta` that may equal the fingerprint (all that do, rarely one that does not)."""
    different: uint64_t = meta ^ (fingerprint * ONES)
    return (different - ONES) & ~different & HIGH_BITS


class Tables:
    """Operations on hash tables, each a TableState: a database's keys, or the elements of a collection."""

    def __cinit__(self, arena: Arena, pool: BlockPool):
        assert cython.sizeof(BlockHeader) == 16
        assert BUCKETS * BUCKET_SIZE == CLOCKS_AT and CLOCKS_AT + BLOCK_ENTRIES * CLOCK_SIZE <= HEADER_AT
        self.arena = arena
        self.pool = pool

    def _block(self, number: uint32_t) -> Bytes:
        return self.pool.base + (cython.cast(cython.size_t, number) << BLOCK_SHIFT)

    # Search

    def find(
        self,
        table: cython.pointer[TableState],
        key: ConstBytes,
        key_len: uint64_t,
        hash_: uint64_t,
    ) -> cython.pointer[uint64_t]:
        """The entry of a key; NULL if it is not there. Valid until the next insert or remove."""
        block: Bytes
        bucket: cython.pointer[uint64_t]
        tag: uint64_t = tag_of(hash_)
        home: uint64_t = tag >> PREFIX_BITS
        entry: uint64_t
        matches: uint64_t
        slot: cython.int
        _step: cython.int
        stored: Bytes
        stored_len: uint64_t = 0
        if table.used == 0:
            return cython.NULL
        block = self._block(table.directory[(tag & PREFIX_MASK) >> (PREFIX_BITS - table.depth)])
        for _step in range(BUCKETS):
            bucket = bucket_of(block, home)
            matches = matches_in(bucket[0], hash_ & 0xFF)
            while matches:
                slot = 1 + (__builtin_ctzll(matches) >> 3)
                matches &= matches - 1
                entry = bucket[slot]
                if (entry & TAG_MASK) == tag and entry > TAG_MASK:
                    stored = entry_key(
                        table.kind, self.arena.base + (entry >> TAG_BITS << GRANULE_SHIFT), cython.address(stored_len)
                    )
                    if stored_len == key_len and memcmp(stored, key, key_len) == 0:
                        return bucket + slot
            if bucket[0] >> 56 == 0:
                return cython.NULL
            home = 0 if home + 1 == BUCKETS else home + 1
        return cython.NULL

    def prefetch_bucket(self, table: cython.pointer[cython.const[TableState]], hash_: uint64_t) -> cython.void:
        block: Bytes
        tag: uint64_t = tag_of(hash_)
        if table.used:
            block = self._block(table.directory[(tag & PREFIX_MASK) >> (PREFIX_BITS - table.depth)])
            __builtin_prefetch(bucket_of(block, tag >> PREFIX_BITS))
            __builtin_prefetch(block + CLOCKS_AT + (tag >> PREFIX_BITS) * ENTRIES * CLOCK_SIZE)

    def prefetch_record(self, table: cython.pointer[cython.const[TableState]], hash_: uint64_t) -> cython.void:
        bucket: cython.pointer[uint64_t]
        record: Bytes
        tag: uint64_t = tag_of(hash_)
        matches: uint64_t
        if table.used:
            bucket = bucket_of(
                self._block(table.directory[(tag & PREFIX_MASK) >> (PREFIX_BITS - table.depth)]), tag >> PREFIX_BITS
            )
            matches = matches_in(bucket[0], hash_ & 0xFF)
            if matches:
                record = self.arena.base + slot_offset(bucket + 1 + (__builtin_ctzll(matches) >> 3))
                __builtin_prefetch(record)
                __builtin_prefetch(record + BUCKET_SIZE)

    def find_offset(
        self, table: cython.pointer[TableState], hash_: uint64_t, offset: uint64_t
    ) -> cython.pointer[uint64_t]:
        """The entry that points to `offset`, given its key's hash."""
        return self._find_where(table, hash_, offset, 0)

    def find_expiring(
        self, table: cython.pointer[TableState], hash_: uint64_t, expire_at_ms: int64_t
    ) -> cython.pointer[uint64_t]:
        """The entry of a record, or of a hash's element, with this expiry time, given its key's hash."""
        return self._find_where(table, hash_, 0, expire_at_ms)

    def find_hash_ttl(self, table: cython.pointer[TableState], hash_: uint64_t) -> cython.pointer[uint64_t]:
        """The entry of a hash whose fields expire, given its key's hash."""
        return self._find_where(table, hash_, 0, FIELDS_EXPIRE)

    def _find_where(
        self, table: cython.pointer[TableState], hash_: uint64_t, offset: uint64_t, expire_at_ms: int64_t
    ) -> cython.pointer[uint64_t]:
        block: Bytes
        bucket: cython.pointer[uint64_t]
        tag: uint64_t = tag_of(hash_)
        home: uint64_t = tag >> PREFIX_BITS
        _step: cython.int
        slot: cython.int
        record: Bytes
        key: Bytes
        key_len: uint64_t = 0
        if table.used == 0:
            return cython.NULL
        block = self._block(table.directory[(tag & PREFIX_MASK) >> (PREFIX_BITS - table.depth)])
        for _step in range(BUCKETS):
            bucket = bucket_of(block, home)
            for slot in range(1, ENTRIES + 1):
                if (bucket[slot] & TAG_MASK) != tag or bucket[slot] <= TAG_MASK:
                    continue
                if offset:
                    if slot_offset(bucket + slot) == offset:
                        return bucket + slot
                else:
                    record = self.arena.base + slot_offset(bucket + slot)
                    if (
                        skip_expiry(record)[0] == TYPE_HASH_TTL
                        if expire_at_ms == FIELDS_EXPIRE
                        else (record_expire_at(record) if table.kind == KEYS else field_expire_at(record))
                        == expire_at_ms
                    ):
                        key = entry_key(table.kind, record, cython.address(key_len))
                        if hash_key(key, key_len) == hash_:
                            return bucket + slot
            if bucket[0] >> 56 == 0:
                return cython.NULL
            home = 0 if home + 1 == BUCKETS else home + 1
        return cython.NULL

    def find_tag(self, table: cython.pointer[TableState], hash_: uint64_t) -> cython.pointer[uint64_t]:
        """An entry of which the table knows what it would know of a key of this hash, most likely that key's; or NULL.

        No record is read.
        """
        bucket: cython.pointer[uint64_t]
        tag: uint64_t = tag_of(hash_)
        home: uint64_t = tag >> PREFIX_BITS
        matches: uint64_t
        slot: cython.int
        _step: cython.int
        block: Bytes
        if table.used == 0:
            return cython.NULL
        block = self._block(table.directory[(tag & PREFIX_MASK) >> (PREFIX_BITS - table.depth)])
        for _step in range(BUCKETS):
            bucket = bucket_of(block, home)
            matches = matches_in(bucket[0], hash_ & 0xFF)
            while matches:
                slot = 1 + (__builtin_ctzll(matches) >> 3)
                matches &= matches - 1
                if (bucket[slot] & TAG_MASK) == tag and bucket[slot] > TAG_MASK:
                    return bucket + slot
            if bucket[0] >> 56 == 0:
                return cython.NULL
            home = 0 if home + 1 == BUCKETS else home + 1
        return cython.NULL

    def find_chunked(
        self, table: cython.pointer[TableState], hash_: uint64_t, number: uint32_t
    ) -> cython.pointer[uint64_t]:
        """The entry of the key, of this hash, whose value is the chunked collection of a number."""
        return self._find_root(table, hash_, CHUNKED_MARK, number)

    def find_spread(
        self, table: cython.pointer[TableState], hash_: uint64_t, number: uint32_t
    ) -> cython.pointer[uint64_t]:
        """The same of the spread collection in a store."""
        return cython.NULL if table.used == 0 else self._find_root(table, hash_, SPREAD_MARK, number)

    def _find_root(
        self, table: cython.pointer[TableState], hash_: uint64_t, mark: uint32_t, number: uint32_t
    ) -> cython.pointer[uint64_t]:
        block: Bytes = self._block(table.directory[(tag_of(hash_) & PREFIX_MASK) >> (PREFIX_BITS - table.depth)])
        bucket: cython.pointer[uint64_t]
        tag: uint64_t = tag_of(hash_)
        home: uint64_t = tag >> PREFIX_BITS
        _step: cython.int
        slot: cython.int
        record: Bytes
        words: uint32_t[2]
        for _step in range(BUCKETS):
            bucket = bucket_of(block, home)
            for slot in range(1, ENTRIES + 1):
                if (bucket[slot] & TAG_MASK) == tag and bucket[slot] > TAG_MASK:
                    record = self.arena.base + slot_offset(bucket + slot)
                    if skip_expiry(record)[0] != TYPE_STRING:
                        memcpy(words, record_payload(record), 8)
                        if words[0] == mark and words[1] == number:
                            return bucket + slot
            home = 0 if home + 1 == BUCKETS else home + 1
        return cython.NULL

    # Change

    def insert(self, table: cython.pointer[TableState], hash_: uint64_t, offset: uint64_t) -> cython.pointer[uint64_t]:
        """Add the entry of a key that is not there. NULL, and nothing changed, when there is no room for it."""
        tag: uint64_t = tag_of(hash_)
        number: uint32_t
        block: Bytes
        slot: cython.pointer[uint64_t]
        if table.blocks == 0:
            number = self.pool.allocate()
            if number == 0:
                return cython.NULL
            memset(self._block(number), 0, BLOCK_SIZE)
            table.directory = cython.address(table.only)
            table.only = number
            table.blocks = 1
            table.blocks_at_depth[0] = 1
        while True:
            number = table.directory[(tag & PREFIX_MASK) >> (PREFIX_BITS - table.depth)]
            block = self._block(number)
            if header_of(block).used < SPLIT_AT:
                break
            if not self._split(table, cython.cast(uint32_t, (tag & PREFIX_MASK) >> (PREFIX_BITS - table.depth))):
                if header_of(block).used == BLOCK_ENTRIES:
                    return cython.NULL
                break
        slot = self._insert_entry(
            block, hash_ & 0xFF, (offset >> GRANULE_SHIFT << TAG_BITS) | tag, self.arena.new_clock
        )
        header_of(block).used += 1
        table.used += 1
        table.changes += 1
        return slot

    def _insert_entry(
        self, block: Bytes, fingerprint: uint64_t, entry: uint64_t, clock: uint32_t
    ) -> cython.pointer[uint64_t]:
        """Put an entry into a block that has room."""
        bucket: cython.pointer[uint64_t]
        slot: cython.int
        home: uint64_t = (entry & TAG_MASK) >> PREFIX_BITS
        while True:
            bucket = bucket_of(block, home)
            for slot in range(1, ENTRIES + 1):
                if bucket[slot] == 0:
                    bucket[slot] = entry
                    cython.cast(Bytes, bucket)[slot - 1] = cython.cast(uint8_t, fingerprint)
                    self.set_clock(bucket + slot, clock)
                    return bucket + slot
            if bucket[0] >> 56 != OVERFLOW_STUCK:
                bucket[0] += cython.cast(uint64_t, 1) << 56
            home = 0 if home + 1 == BUCKETS else home + 1

    def remove(self, table: cython.pointer[TableState], slot: cython.pointer[uint64_t]) -> cython.void:
        """Take an entry out."""
        block: Bytes = cython.cast(Bytes, cython.cast(uintptr_t, slot) & ~cython.cast(uintptr_t, BLOCK_SIZE - 1))
        at: uint64_t = cython.cast(uint64_t, cython.cast(Bytes, slot) - block) // BUCKET_SIZE
        home: uint64_t = (slot[0] & TAG_MASK) >> PREFIX_BITS
        prefix: uint32_t = cython.cast(uint32_t, slot[0] & PREFIX_MASK)
        bucket: cython.pointer[uint64_t]
        while home != at:
            bucket = bucket_of(block, home)
            if bucket[0] >> 56 != OVERFLOW_STUCK:
                bucket[0] -= cython.cast(uint64_t, 1) << 56
            home = 0 if home + 1 == BUCKETS else home + 1
        slot[0] = 0
        header_of(block).used -= 1
        table.used -= 1
        table.changes += 1
        if table.used == 0:
            self.clear(table)
        elif header_of(block).used < MERGE_AT // 2 and header_of(block).depth:
            self._merge(table, prefix)

    def _split(self, table: cython.pointer[TableState], index: uint32_t) -> cython.bint:
        """Split the block at a place of the directory; False if it cannot be split further."""
        number: uint32_t = table.directory[index]
        block: Bytes = self._block(number)
        depth: uint32_t = header_of(block).depth
        new_number: uint32_t
        new_block: Bytes
        target: Bytes
        old: uint8_t[4096]
        place: cython.int
        span: uint32_t
        clock: uint32_t
        bucket: cython.int
        slot: cython.int
        entries: cython.pointer[uint64_t]
        if depth == PREFIX_BITS:
            return False
        new_number = self.pool.allocate()
        if new_number == 0:
            return False
        if depth == table.depth:
            if not self._double_directory(table):
                self.pool.free(new_number)
                return False
            index *= 2
        span = 1 << (table.depth - depth - 1)
        index &= ~(2 * span - 1)
        for place in range(index + span, index + 2 * span):
            table.directory[place] = new_number
        new_block = self._block(new_number)
        memcpy(old, block, BLOCK_SIZE)
        memset(block, 0, BLOCK_SIZE)
        memset(new_block, 0, BLOCK_SIZE)
        header_of(block).depth = header_of(new_block).depth = depth + 1
        table.blocks += 1
        table.blocks_at_depth[depth] -= 1
        table.blocks_at_depth[depth + 1] += 2
        for bucket in range(BUCKETS):
            entries = bucket_of(old, bucket)
            for slot in range(1, ENTRIES + 1):
                if entries[slot] == 0:
                    continue
                target = new_block if (entries[slot] >> (PREFIX_BITS - 1 - depth)) & 1 else block
                clock = 0
                memcpy(cython.address(clock), old + CLOCKS_AT + (bucket * ENTRIES + slot - 1) * CLOCK_SIZE, CLOCK_SIZE)
                self._insert_entry(target, cython.cast(Bytes, entries)[slot - 1], entries[slot], clock)
                header_of(target).used += 1
        return True

    def _double_directory(self, table: cython.pointer[TableState]) -> cython.bint:
        """Give each entry of the directory two places; False when there is no memory for it."""
        size: uint32_t = cython.cast(uint32_t, 1) << table.depth
        old: cython.pointer[uint32_t] = table.directory
        place: cython.int
        if size == 1 and table.directory_block == 0:
            table.directory_block = self.pool.allocate()
            if table.directory_block == 0:
                return False
            table.directory = cython.cast(cython.pointer[uint32_t], self._block(table.directory_block))
        elif size * 2 > DIRECTORY_IN_BLOCK and table.directory_map == cython.NULL:
            table.directory_map = cython.cast(cython.pointer[uint32_t], try_reserve(DIRECTORY_MAX_BYTES, False))
            if table.directory_map == cython.NULL:
                return False
            table.directory = table.directory_map
        # From the end, since old and new may be the same memory.
        for place in range(cython.cast(cython.int, size) - 1, -1, -1):
            table.directory[2 * place + 1] = table.directory[2 * place] = old[place]
        if table.directory_map != cython.NULL and table.directory_block:
            self.pool.free(table.directory_block)
            table.directory_block = 0
        table.depth += 1
        return True

    def _merge(self, table: cython.pointer[TableState], prefix: uint32_t) -> cython.void:
        """Merge the block of a prefix with its buddy if both are sparse."""
        index: uint32_t = prefix >> (PREFIX_BITS - table.depth)
        block: Bytes = self._block(table.directory[index])
        depth: uint32_t = header_of(block).depth
        span: uint32_t = 1 << (table.depth - depth)
        buddy_index: uint32_t = (index & ~(span - 1)) ^ span
        buddy_number: uint32_t = table.directory[buddy_index]
        buddy: Bytes = self._block(buddy_number)
        place: uint32_t
        bucket: cython.int
        slot: cython.int
        entries: cython.pointer[uint64_t]
        if header_of(buddy).depth != depth or header_of(buddy).used + header_of(block).used > MERGE_AT:
            return
        for bucket in range(BUCKETS):
            entries = bucket_of(buddy, bucket)
            for slot in range(1, ENTRIES + 1):
                if entries[slot]:
                    self._insert_entry(
                        block,
                        cython.cast(Bytes, entries)[slot - 1],
                        entries[slot],
                        self.get_clock(entries + slot),
                    )
        header_of(block).used += header_of(buddy).used
        header_of(block).depth = depth - 1
        for place in range(buddy_index, buddy_index + span):
            table.directory[place] = table.directory[index]
        self.pool.free(buddy_number)
        table.blocks -= 1
        table.blocks_at_depth[depth] -= 2
        table.blocks_at_depth[depth - 1] += 1
        while table.depth and table.blocks_at_depth[table.depth] == 0:
            table.depth -= 1
            for place in range(1 << table.depth):
                table.directory[place] = table.directory[2 * place]

    def clear(self, table: cython.pointer[TableState]) -> cython.void:
        """Forget every entry and give the blocks back."""
        place: uint32_t = 0
        self.clear_some(table, cython.address(place), cython.cast(uint32_t, 0xFFFFFFFF))

    def clear_some(
        self, table: cython.pointer[TableState], place: cython.pointer[uint32_t], limit: uint32_t
    ) -> cython.bint:
        """The same, up to `limit` blocks at a time, for a table that is no longer read. True when it is done.

        place: in the directory, 0 for the first time.
        """
        block: Bytes
        number: uint32_t
        kind: uint32_t = table.kind
        changes: uint64_t = table.changes + 1
        if table.blocks == 0:
            return True
        while place[0] < cython.cast(uint32_t, 1) << table.depth:
            if limit == 0:
                return False
            number = table.directory[place[0]]
            block = self._block(number)
            place[0] += 1 << (table.depth - header_of(block).depth)
            self.pool.free(number)
            limit -= 1
        if table.directory_block:
            self.pool.free(table.directory_block)
        unmap(cython.cast(Bytes, table.directory_map), DIRECTORY_MAX_BYTES)
        memset(table, 0, cython.sizeof(TableState))
        table.kind = kind
        table.changes = changes
        return True

    # Access clocks

    def get_clock(self, slot: cython.pointer[cython.const[uint64_t]]) -> uint32_t:
        """24 bits that belong to the entry; what they mean is the keyspace's business."""
        clock: uint32_t = 0
        memcpy(cython.address(clock), clock_address(slot), CLOCK_SIZE)
        return clock

    def set_clock(self, slot: cython.pointer[cython.const[uint64_t]], clock: uint32_t) -> cython.void:
        memcpy(clock_address(slot), cython.address(clock), CLOCK_SIZE)

    # Iteration

    def scan_home(
        self,
        table: cython.pointer[TableState],
        cursor: uint64_t,
        offsets: cython.pointer[uint64_t],
        found: cython.pointer[uint32_t],
    ) -> uint64_t:
        """The records of one home bucket into `offsets` (room for 336); the next cursor, 0 at the end."""
        prefix: uint64_t = (cursor >> 11) & PREFIX_MASK
        home: uint64_t = cursor & 63
        at: uint64_t
        block: Bytes
        depth: uint64_t
        bucket: cython.pointer[uint64_t]
        _step: cython.int
        slot: cython.int
        found[0] = 0
        if table.used == 0:
            return 0
        block = self._block(table.directory[prefix >> (PREFIX_BITS - table.depth)])
        depth = header_of(block).depth
        if depth < (cursor >> 6) & 31 or home >= BUCKETS:
            home = 0
        at = home
        for _step in range(BUCKETS):
            bucket = bucket_of(block, at)
            for slot in range(1, ENTRIES + 1):
                if bucket[slot] and (bucket[slot] & TAG_MASK) >> PREFIX_BITS == home:
                    offsets[found[0]] = slot_offset(bucket + slot)
                    found[0] += 1
            if bucket[0] >> 56 == 0:
                break
            at = 0 if at + 1 == BUCKETS else at + 1
        if home + 1 < BUCKETS:
            return prefix << 11 | depth << 6 | (home + 1)
        prefix = ((prefix >> (PREFIX_BITS - depth)) + 1) << (PREFIX_BITS - depth)
        return prefix << 11 if prefix <= PREFIX_MASK else 0

    def random_offset(self, table: cython.pointer[TableState], random: uint64_t) -> uint64_t:
        """A record chosen by 64 random bits: uniform up to the difference in blocks' fill; 0 if there is none."""
        _try: cython.int
        block: Bytes
        place: uint64_t
        if table.used == 0:
            return 0
        for _try in range(64):
            block = self._block(table.directory[(random >> 42) >> (PREFIX_BITS - table.depth)])
            place = (random & 0xFFFF) * BLOCK_ENTRIES >> 16
            place = slot_offset(bucket_of(block, place // ENTRIES) + 1 + place % ENTRIES)
            if place:
                return place
            # The multiplier of Knuth's MMIX generator spreads the bits for the next try.
            random = random * cython.cast(uint64_t, 6364136223846793005) + cython.cast(uint64_t, 1442695040888963407)
        return self._first_from(table, random)

    def _random_block(self, table: cython.pointer[TableState], random: cython.pointer[uint64_t]) -> Bytes:
        """One of a table's blocks, each as likely as any other; the random bits are used up and replaced.

        A block that fills several places of the directory counts at the first of them only.
        """
        _try: cython.int
        block: Bytes = cython.NULL
        place: uint64_t
        for _try in range(64):
            # The multiplier of Knuth's MMIX generator spreads the bits for the next try.
            random[0] = random[0] * cython.cast(uint64_t, 6364136223846793005) + cython.cast(
                uint64_t, 1442695040888963407
            )
            place = (random[0] >> 42) >> (PREFIX_BITS - table.depth)
            block = self._block(table.directory[place])
            if place & ((1 << (table.depth - header_of(block).depth)) - 1) == 0:
                break
        return block

    def random_slot(self, table: cython.pointer[TableState], random: uint64_t) -> cython.pointer[uint64_t]:
        """An entry chosen by 64 random bits, each as likely as any other; NULL if there is none."""
        _try: cython.int
        block: Bytes
        place: uint64_t
        slot: cython.pointer[uint64_t] = cython.NULL
        slots: cython.pointer[uint64_t][336]
        if table.used == 0:
            return cython.NULL
        for _try in range(256):
            block = self._random_block(table, cython.address(random))
            place = ((random >> 8) & 0xFFFF) * BLOCK_ENTRIES >> 16
            slot = bucket_of(block, place // ENTRIES) + 1 + place % ENTRIES
            if slot[0]:
                return slot
        self.sample(table, random, BUCKETS, slots)
        return slots[0]

    def sample(
        self,
        table: cython.pointer[TableState],
        random: uint64_t,
        buckets: uint32_t,
        slots: cython.pointer[cython.pointer[uint64_t]],
    ) -> uint32_t:
        """The entries of up to 48 neighbouring buckets into `slots`, at most 7 of each; how many there are.

        Keys are spread by their hashes, so neighbours are as good a sample as any, and near in memory.
        """
        block: Bytes
        bucket: cython.pointer[uint64_t]
        at: uint64_t
        found: uint32_t = 0
        slot: cython.int
        _step: uint32_t
        if table.used == 0:
            return 0
        if table.used < BLOCK_ENTRIES // 8:
            buckets = BUCKETS
        while found == 0:
            block = self._random_block(table, cython.address(random))
            at = ((random >> 8) & 0xFFFF) * BUCKETS >> 16
            for _step in range(buckets):
                bucket = bucket_of(block, at)
                for slot in range(1, ENTRIES + 1):
                    if bucket[slot]:
                        slots[found] = bucket + slot
                        found += 1
                at = 0 if at + 1 == BUCKETS else at + 1
        return found

    def _first_from(self, table: cython.pointer[TableState], random: uint64_t) -> uint64_t:
        """The first record at or behind a random place of a sparse table."""
        count: uint64_t = cython.cast(uint64_t, BLOCK_ENTRIES) << table.depth
        place: uint64_t = (random >> 11) % count
        _step: uint64_t
        offset: uint64_t
        for _step in range(count):
            offset = slot_offset(
                bucket_of(self._block(table.directory[place // BLOCK_ENTRIES]), place % BLOCK_ENTRIES // ENTRIES)
                + 1
                + place % ENTRIES
            )
            if offset:
                return offset
            place = 0 if place + 1 == count else place + 1
        return 0

    def check(self, table: cython.pointer[TableState]) -> None:
        """Prove the invariants."""
        place: uint32_t
        span: uint32_t
        other: uint32_t
        block: Bytes
        bucket: cython.int
        slot: cython.int
        entries: cython.pointer[uint64_t]
        used: uint64_t = 0
        key: Bytes
        key_len: uint64_t = 0
        hash_: uint64_t
        at: uint64_t
        place = 0
        blocks: uint64_t = 0
        in_block: uint32_t
        depths: dict = {}
        while table.blocks and place < cython.cast(uint32_t, 1) << table.depth:
            block = self._block(table.directory[place])
            assert header_of(block).depth <= table.depth
            span = 1 << (table.depth - header_of(block).depth)
            assert place % span == 0
            for other in range(place, place + span):
                assert table.directory[other] == table.directory[place]
            depths[header_of(block).depth] = depths.get(header_of(block).depth, 0) + 1
            passed: list = [0] * BUCKETS
            in_block = 0
            for bucket in range(BUCKETS):
                entries = bucket_of(block, bucket)
                for slot in range(1, ENTRIES + 1):
                    if entries[slot] == 0:
                        continue
                    in_block += 1
                    assert self.arena.is_live(slot_offset(entries + slot))
                    key = entry_key(table.kind, self.arena.base + slot_offset(entries + slot), cython.address(key_len))
                    hash_ = hash_key(key, key_len)
                    assert (entries[slot] & TAG_MASK) == tag_of(hash_)
                    assert cython.cast(Bytes, entries)[slot - 1] == (hash_ & 0xFF)
                    assert (hash_ >> 42) >> (PREFIX_BITS - table.depth) >> (table.depth - header_of(block).depth) == (
                        place >> (table.depth - header_of(block).depth)
                    )
                    assert self.find(table, key, key_len, hash_) == entries + slot
                    at = home_of(hash_)
                    while at != cython.cast(uint64_t, bucket):
                        passed[at] += 1
                        at = (at + 1) % BUCKETS
            for bucket in range(BUCKETS):
                at = bucket_of(block, bucket)[0] >> 56
                assert at == passed[bucket] or at == OVERFLOW_STUCK, f"bucket {bucket}: {at} {passed[bucket]}"
            assert in_block == header_of(block).used
            used += in_block
            blocks += 1
            place += span
        assert used == table.used and blocks == table.blocks
        for other in range(23):
            assert table.blocks_at_depth[other] == depths.get(other, 0)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def clock_address(slot: cython.pointer[cython.const[uint64_t]]) -> Bytes:
    block: uintptr_t = cython.cast(uintptr_t, slot) & ~cython.cast(uintptr_t, BLOCK_SIZE - 1)
    word: uintptr_t = (cython.cast(uintptr_t, slot) - block) >> 3
    entry: uintptr_t = (word >> 3) * ENTRIES + (word & 7) - 1
    return cython.cast(Bytes, block) + CLOCKS_AT + entry * CLOCK_SIZE
