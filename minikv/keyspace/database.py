# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821, F842
"""The keyspace: the only door to stored data.

A Keyspace is one arena with a store for each numbered database, the clock, and the counters. A Database turns keys
into records: it deletes a key whose time has passed before anything sees it, keeps the access clock, counts hits and
misses and changes, breaks the watches of keys that change, and tells observers what has happened (keyspace/events.py).
Keys and values are bytes; times are Unix milliseconds, 0 for none.

Every method that changes something raises ArenaFull before it has changed anything. A time of 0 or below is not a time:
callers delete the key instead.

The access clock is Redis's: 24 bits, either seconds (LRU), or minutes in 16 bits and a logarithmic counter in 8 (LFU).
"""

import os
from typing import Any

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.engine.arena import GRANULE, SEGMENT_SHIFT, Arena, mark
from cython.cimports.minikv.engine.chunks import root_of
from cython.cimports.minikv.engine.int64 import INT64_DIGITS, format_int64, parse_int64
from cython.cimports.minikv.engine.key_store import KeyStore
from cython.cimports.minikv.engine.memory import BLOCK_SHIFT, BlockPool, is_set
from cython.cimports.minikv.engine.ordered import OrderedState
from cython.cimports.minikv.engine.packed import PACKED_COUNT, PACKED_MAX, packed_count
from cython.cimports.minikv.engine.populate import Populator
from cython.cimports.minikv.engine.progress import RANK_PASSED
from cython.cimports.minikv.engine.record import (
    EMBSTR_MAX,
    ENCODING_AUTO,
    ENCODING_EMBSTR,
    ENCODING_RAW,
    SPREAD_STREAM,
    TYPE_HASH,
    TYPE_HASH_TTL,
    TYPE_LIST,
    TYPE_STREAM,
    TYPE_STRING,
    Bytes,
    ConstBytes,
    bytes_at,
    is_chunked,
    read_length,
    record_expire_at,
    record_key,
    record_payload,
    record_size,
    skip_expiry,
    string_encoding,
    string_length_size,
)
from cython.cimports.minikv.engine.stores import Stores, spread_of
from cython.cimports.minikv.engine.table import Key, hash_key, make_key, slot_offset
from cython.cimports.minikv.engine.walker import Walker, value_bytes
from cython.cimports.minikv.keyspace.database import key_of
from cython.cimports.minikv.keyspace.events import (
    EVENT_EVICTED,
    EVENT_EXPIRED,
    EVENT_GENERIC,
    EVENT_MISSED,
    EVENT_NEW,
    EVENT_STRING,
    WATCHED,
)
from cython.cimports.posix.time import CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec

from minikv.engine.segment_map import SegmentMap
from minikv.errors import BLOCKS_FULL, SEGMENTS_FULL, ArenaFull, WrongTypeError
from minikv.keyspace.arena_size import GIB, default_arena_bytes

NO_EXPIRY = 0
MISSING = -1
C_MISSING = cython.declare(int64_t, MISSING)
AUTO = ENCODING_AUTO
EMBSTR = ENCODING_EMBSTR
RAW = ENCODING_RAW
CLOCK_MASK = cython.declare(uint32_t, 0xFFFFFF)
LFU_NEW_KEY = cython.declare(uint32_t, 5)
# Deaths carried out by one call of `evacuate`: well under a millisecond.
DEATHS_PER_CALL = cython.declare(uint64_t, 10_000)
# Blocks of tables and trees that writes may begin while a thread clones the process, in bytes.
BLOCKS_READY = cython.declare(uint64_t, 256 << 10)
BLOCKS_PER_CALL = cython.declare(uint32_t, 256)
# What a record takes beside key and value, rounded to granules, and what indexes may take beside a block per key.
RECORD_OVERHEAD = cython.declare(uint64_t, 48)
BLOCKS_SPARE = cython.declare(uint32_t, 128)
# Evacuation leaves 1/DEAD_SHARE of a store's segments dead.
DEAD_SHARE = cython.declare(uint32_t, 5)
THOROUGH_SHARE = cython.declare(uint32_t, 32)
STORES_PER_DATABASE = 3
# With so much room no command can fill it: a request has at most 1 GiB of arguments.
ROOMY_BYTES = cython.declare(uint64_t, 4 << 30)
ROOMY_BLOCKS = cython.declare(uint32_t, 1 << 16)
ROW_BYTES = 128  # that a pending entry takes at most in the two tables of a large group
# Redis frees what has more parts than this in another thread; its lists have nodes of this many bytes by default.
LAZY_PARTS = cython.declare(uint64_t, 64)
LIST_NODE_BYTES = cython.declare(uint64_t, 8192)
# Expiry times looked at for an average.
TTL_SAMPLES = 16


class ChangeListener:
    """Hears of the keys of all databases that change. It may send messages, but must not touch the data."""

    def key_changed(self, key: bytes) -> cython.int:
        """A key has changed, expired or been evicted."""
        raise NotImplementedError

    def emptied(self) -> cython.int:
        """One or all databases were emptied."""
        raise NotImplementedError


class Watch:
    """What a client watches; `broken` once one of the keys has changed or expired."""

    def __cinit__(self):
        self.keys = []

    @property
    def broken(self) -> bool:
        """True for good after the first change."""
        database: Database
        if not self._broken:
            for database, key in self.keys:
                self._broken |= database.has_expired(key)
        return self._broken


class Keyspace:
    """All databases over one arena.

    arena_bytes: address space to reserve, 0 to choose by the machine. huge_pages: back the arena by 2 MiB pages.
    Raises ArenaFull if the address space can't be had.
    """

    def __init__(self, databases: int = 16, arena_bytes: int = 0, huge_pages: bool = True) -> None:
        wanted = arena_bytes or default_arena_bytes()
        while True:
            try:
                self.arena = Arena(wanted, huge_pages)
                self.pool = BlockPool(wanted // 4, huge_pages)
                break
            except ArenaFull:
                # A limit on address space (ulimit -v, overcommit mode 2) may be far below the default.
                if arena_bytes or wanted < GIB // 2:
                    raise
                wanted //= 2
        self.stores = Stores(self.arena, self.pool, databases)
        self.databases = [Database(self, number) for number in range(databases)]
        self.parts = None
        self.active_expire = True
        self.lfu_log_factor = 10
        self.lfu_decay_time = 1
        self.random_state = int.from_bytes(os.urandom(8), "little") | 1
        self.clock = None
        self.on_crowded = None
        self.is_compact = None
        self.ready = {}
        self.awaited = Watch()
        self.listener = None
        self.keeps_clocks = False
        self.observers = []
        self.tick()

    # Clock

    def tick(self) -> cython.void:
        """Read the clock. All commands until the next call see the same time.

        Between commands is also the moment to start evacuation when dead space takes segment after segment: a timer may
        come too late while clients write all the time.
        """
        time: timespec
        if self.arena.crowded:
            self.arena.crowded = False
            if self.on_crowded is not None:
                self.on_crowded()
        if self.clock is not None:
            self.now_ms = self.clock()
        else:
            clock_gettime(CLOCK_REALTIME, cython.address(time))
            self.now_ms = cython.cast(int64_t, time.tv_sec) * 1000 + time.tv_nsec // 1000000
        self.is_plain_lru = not self.lfu and not self.keeps_clocks
        if self.lfu:
            self.arena.new_clock = cython.cast(uint32_t, (self.now_ms // 60000) & 0xFFFF) << 8 | LFU_NEW_KEY
        else:
            self.arena.new_clock = cython.cast(uint32_t, self.now_ms // 1000) & CLOCK_MASK

    def keep_clocks(self, keep: cython.bint) -> cython.int:
        """Whether reads leave the access clocks as they are (CLIENT NO-TOUCH)."""
        self.keeps_clocks = keep
        self.is_plain_lru = not keep and not self.lfu
        return 0

    def set_clock(self, clock) -> None:
        """Take the time from clock() -> Unix ms instead; None for the system's."""
        self.clock = clock
        self.tick()

    def random(self) -> uint64_t:
        """64 random bits (xorshift*): for choosing keys, not for secrets."""
        self.random_state ^= self.random_state >> 12
        self.random_state ^= self.random_state << 25
        self.random_state ^= self.random_state >> 27
        return self.random_state * cython.cast(uint64_t, 2685821657736338717)

    def aged_frequency(self, clock: uint32_t) -> uint32_t:
        """The LFU counter of a clock, less what the minutes since have taken."""
        counter: uint32_t = clock & 255
        minutes: uint32_t = (cython.cast(uint32_t, self.now_ms // 60000) - (clock >> 8)) & 0xFFFF
        periods: uint32_t = minutes // cython.cast(uint32_t, self.lfu_decay_time) if self.lfu_decay_time > 0 else 0
        return counter - periods if counter > periods else 0

    # Events

    def observe(self, reader: object, classes: cython.int) -> None:
        """From now on call reader(class, event, database number, key) for events of these classes; 0: for none."""
        database: Database
        # Another list, for the one before may be gone through at this moment.
        self.observers = [pair for pair in self.observers if pair[1] is not reader]
        if classes:
            self.observers.append((classes, reader))
        self.event_classes = 0
        for wanted, _ in self.observers:
            self.event_classes |= wanted
        for database in self.databases:
            database.observed = self.event_classes | (database.observed & WATCHED)

    def tell(self, event_class: cython.int, event: bytes, number: cython.int, key: bytes) -> cython.int:
        for classes, reader in self.observers:
            if classes & event_class:
                reader(event_class, event, number, key)
        return 0

    # Everything at once

    def swap(self, a: int, b: int) -> None:
        """The contents of two databases change places."""
        one: Database = self.databases[a]
        other: Database = self.databases[b]
        if one is not other:
            one.break_all_watches(other)
            other.break_all_watches(one)
            one.store, other.store = other.store, one.store
        self.dirty += 1

    def flush_all(self, lazily: bool = False) -> int:
        """Empty every database; returns the number of keys removed. lazily: their memory is freed later."""
        database: Database
        removed = sum([database.empty(lazily) for database in self.databases])
        if self.listener is not None:
            self.listener.emptied()
        return removed

    def listen(self, listener: ChangeListener | None) -> None:
        """Report every change from now on; None: to nobody."""
        database: Database
        if listener is self.listener:
            return
        self.listener = listener
        for database in self.databases:
            database.update_watched()

    def expire_cycle(self, limit: int) -> int:
        """Delete up to `limit` keys whose time has passed, the longest overdue of a database first."""
        database: Database
        slot: cython.pointer[uint64_t]
        hash_: uint64_t = 0
        key_len: uint64_t = 0
        key: Bytes
        done: cython.Py_ssize_t = 0
        wanted: cython.Py_ssize_t = limit
        for database in self.databases:
            while done < wanted:
                slot = database.store.find_due(self.now_ms, cython.address(hash_))
                if slot == cython.NULL:
                    break
                key = record_key(database.store.record(slot), cython.address(key_len))
                database.drop_expired(bytes_at(key, key_len) if database.observed else b"", slot, hash_)
                done += 1
        return done

    def evacuate(self, budget_us: int, thorough: bool = False) -> int:
        """Give memory back for at most about `budget_us`; returns the bytes moved, 0 when there is nothing to do.

        Frees what was dropped lazily, carries out deaths that waited for the snapshot's child, moves the records of
        sparse segments together, and trims the pool of blocks. A fifth of the arena may stay dead, for new records to
        fill; thorough: one part in 32, which takes many times as much work for each byte gained.
        """
        time: timespec
        until_ns: int64_t
        if is_set(cython.address(self.arena.clone.busy)):
            return 1  # giving memory back would wait for the clone
        clock_gettime(CLOCK_MONOTONIC, cython.address(time))
        until_ns = cython.cast(int64_t, time.tv_sec) * 1000000000 + time.tv_nsec + budget_us * 1000
        self.used_bytes  # noqa: B018  keeps the peak
        self.pool.trim(BLOCKS_PER_CALL)
        if self.stores.free_waiting(until_ns):
            return 1
        if self.arena.drain(DEATHS_PER_CALL) == DEATHS_PER_CALL:
            return 1
        if self.stores.fold(until_ns):
            return 1
        moved: uint64_t = self.stores.evacuate(until_ns, THOROUGH_SHARE if thorough else DEAD_SHARE)
        if thorough and moved == 0 and not self.arena.snapshot_is_open:
            self.arena.give_tails_back(STORES_PER_DATABASE * len(self.databases))
        return moved

    def free_lazily(self, expired: bool, replaced: bool) -> None:
        """Whether the memory of large collections is freed later: of keys that expire, of what others replace."""
        self.frees_expired_lazily = expired
        self.stores.replaces_lazily = replaced

    # Figures

    @property
    def waiting_objects(self) -> int:
        """What was dropped lazily and is not yet freed, as Redis counts it: large collections, keys of databases."""
        return self.stores.waiting_objects

    @property
    def freed_objects(self) -> int:
        """What was dropped lazily and is freed by now."""
        return self.stores.freed_objects

    def forget_freed_objects(self) -> None:
        """Count them from 0 again."""
        self.stores.freed_objects = 0

    @property
    def arena_bytes(self) -> int:
        """Address space reserved for records."""
        return cython.cast(uint64_t, self.arena.segment_count) << SEGMENT_SHIFT

    @property
    def arena_used_bytes(self) -> int:
        """Segments in use, whole."""
        return cython.cast(uint64_t, self.arena.segments_used) << SEGMENT_SHIFT

    @property
    def live_bytes(self) -> int:
        """Records, rounded to granules or pages."""
        return self.arena.live_bytes

    @property
    def index_bytes(self) -> int:
        """Hash tables and expiry indexes."""
        return cython.cast(uint64_t, self.pool.used) * 4096

    @property
    def arena_resident_bytes(self) -> int:
        """What the arena has of the machine's memory: records, the gaps between them, the bitmap."""
        return self.arena.resident_bytes()

    @property
    def used_bytes(self) -> int:
        """What data and indexes have of the machine's memory."""
        used: uint64_t = self.arena.resident_bytes() + self.pool.resident_bytes() + self.stores.resident_bytes()
        self.peak = max(self.peak, used)
        return used

    @property
    def claimed_bytes(self) -> int:
        """What maxmemory limits: used_bytes without what new records fill, and without what waits for the child.

        A gap is as good as free memory: a write that goes there adds nothing to used_bytes. So after a deletion writes
        go on at once, although it may take until later that evacuation gives whole segments back. Gaps in the segments
        of a large collection serve that collection only, and count as used until they are evacuated. So does what a
        snapshot's child still reads not count: it goes with the snapshot, and no deletion makes it go earlier.
        """
        self.measure_slack()
        return self.claimed()

    @property
    def deferred_bytes(self) -> int:
        """What is deleted, or written elsewhere, and waits for a snapshot's child."""
        return self.arena.deferred_bytes

    def claimed(self) -> uint64_t:
        """claimed_bytes, in a few instructions as long as the arena has the same pages."""
        arena: Arena = self.arena
        if arena.resident_pages != self.slack_pages:
            self.measure_slack()
        return (
            arena.live_bytes
            - arena.deferred_bytes
            + self.slack
            + cython.cast(uint64_t, self.pool.used) * 4096
            + self.stores.resident_bytes()
        )

    def measure_slack(self) -> cython.void:
        """Measure what of the resident pages is neither live nor a gap that any record of a database may fill."""
        gaps: uint64_t = 0
        held: uint64_t = self.arena.resident_bytes()
        database: Database
        for database in self.databases:
            gaps += self.arena.gap_bytes(database.store.number)
            gaps += self.arena.gap_bytes(2 * len(self.databases) + database.store.number)
        # In small pages what a segment could still hold has no memory yet.
        self.slack = max(held - min(gaps, held), self.arena.live_bytes) - self.arena.live_bytes
        self.slack_pages = self.arena.resident_pages

    @property
    def peak_bytes(self) -> int:
        """The largest used_bytes seen."""
        self.used_bytes  # noqa: B018
        return self.peak

    def stats(self) -> dict[str, int]:
        """Figures of the engine, by name."""
        return {
            "arena_bytes": self.arena_bytes,
            "arena_used_bytes": self.arena_used_bytes,
            "arena_resident_bytes": self.arena_resident_bytes,
            "live_bytes": self.live_bytes,
            "index_bytes": self.index_bytes,
            "huge_pages": int(self.arena.huge_pages),
            "segments_used": self.arena.segments_used,
            "deferred_deaths": self.arena.deferred_deaths,
            "relocated_records": self.arena.relocated_records,
            "relocated_bytes": self.arena.relocated_bytes,
        }

    def segment_map(self) -> SegmentMap:
        """The arena segment by segment."""
        database: Database
        count = len(self.databases)
        return SegmentMap(
            self.arena,
            {
                database.store.number + part * count: database.number
                for database in self.databases
                for part in range(STORES_PER_DATABASE)
            },
        )

    def check(self) -> None:
        """Prove the invariants of arena, tables and expiry indexes; AssertionError names the one that is broken."""
        database: Database
        live: dict[int, Any] = self.arena.check()
        self.stores.check()
        for number, database in enumerate(self.databases):
            assert database.number == number
            chunks = database.store.check()
            records = live.get(database.store.number, (0, 0))[0]
            assert records == len(database), f"database {number}: {records} live records, {len(database)} keys"
            chunk_store = 2 * len(self.databases) + database.store.number
            assert live.get(chunk_store, (0, 0)) == chunks, f"database {number}: other chunks than its keys lead to"
            for watchers in database.watchers.values():
                assert watchers
            assert (database.observed & WATCHED != 0) == (len(database.watchers) > 0 or self.listener is not None)

    def set_debug(self, poison: bool = False, segment_limit: int = 0) -> None:
        """For tests: fill freed memory with a pattern; limit the arena to `segment_limit` segments."""
        self.arena.poison = poison
        self.pool.poison = poison
        self.arena.segment_limit = segment_limit or self.arena.segment_count

    # Snapshot

    @property
    def has_field_ttls(self) -> bool:
        """Whether a field of any hash expires."""
        return sum([database.hashes_with_ttls for database in self.databases]) > 0

    def snapshot_open(self, relocate: bool, threaded: bool = False) -> None:
        """Freeze what is there, right before the fork. relocate: writes go elsewhere; else the kernel copies pages.

        threaded: writes that come before the child is there go where it does not look; call `snapshot_cloned` then.
        """
        assert not self.arena.snapshot_is_open, "a snapshot is open"
        self.parts = self.walk_parts(relocate, True, threaded)
        if threaded:
            self.arena.make_ready(
                self.pool.base + (cython.cast(uint64_t, self.pool.next_fresh) << BLOCK_SHIFT), BLOCKS_READY
            )
            self.stores.chains.make_ready()

    def snapshot_cloned(self) -> None:
        """The child is there: nothing is left of what `threaded` has prepared."""
        self.arena.cloned()
        self.stores.chains.show_all()

    def snapshot_close(self) -> None:
        """The child is gone, or there was none."""
        assert self.arena.snapshot_is_open, "no snapshot is open"
        self.arena.close()
        self.parts = None

    def walk_parts(self, relocate: cython.bint, opening: cython.bint, threaded: cython.bint) -> list:
        database: Database
        stores = [database.store.number for database in self.databases]
        self.stores.chains.show_all()
        items = self.arena.open(stores, relocate, threaded) if opening else self.arena.plan(stores)
        return [
            (
                database.number,
                database.store.number,
                database.store.table.used,
                database.store.expiry.count,
                *items_of_part,
            )
            for database, items_of_part in zip(self.databases, items, strict=True)
        ]

    def walker(self, layer: bool = False) -> Walker:
        """A walk through the frozen arena, or, without a snapshot, through all there is until the next change.

        layer: only what has changed, as it was handed over.
        """
        return Walker(
            self.arena,
            self.parts if self.parts is not None else self.walk_parts(False, False, False),
            self.stores.changes if layer else None,
        )

    # The history: what changes between its points

    @property
    def tracks_changes(self) -> bool:
        return self.arena.fresh != cython.NULL

    @property
    def lost_track(self) -> bool:
        """So much was removed that the next point has to hold everything."""
        return self.stores.changes.overflowed

    def track_changes(self, track: bool) -> None:
        """From now on, note what changes; or stop that. ArenaFull: no address space."""
        if track:
            self.stores.changes.start(self.homes())
        else:
            self.stores.changes.stop()

    def hand_changes_over(self) -> None:
        """A point of the history is about to be saved; changes_settled follows."""
        self.stores.changes.hand_over(self.homes())

    def changes_settled(self, saved: bool, cleared: bool = False) -> None:
        """The save is over; nothing if there was none. cleared: its child has cleared what marks it had."""
        self.stores.changes.settle(saved, cleared)

    def origins(self) -> list[tuple[int, int]]:
        """For what was handed over: (database, which one it had been at the last point; -1: it was empty).

        Without those that were where they are.
        """
        return self.stores.changes.origins()

    def homes(self) -> list[int]:
        """The database that each store of keys is."""
        database: Database
        found: list = [0] * len(self.databases)
        for database in self.databases:
            found[database.store.number] = database.number
        return found

    @property
    def snapshot_progress(self) -> memoryview:
        """The page shared with the child: 512 unsigned 64-bit words."""
        return self.arena.progress_view()

    @property
    def relocated_bytes(self) -> int:
        """Since snapshot_open: bytes of records written elsewhere because they were frozen."""
        return self.arena.relocated_bytes

    @property
    def relocated_records(self) -> int:
        return self.arena.relocated_records

    @property
    def frozen_segments(self) -> int:
        """Items of the open snapshot's walk (segments, or runs of them)."""
        return self.arena.walk_len if self.arena.snapshot_is_open else 0

    @property
    def passed_segments(self) -> int:
        """How many of them the child has passed."""
        return self.arena.progress[RANK_PASSED] if self.arena.snapshot_is_open else 0

    def populator(self, nbytes: int) -> Populator:
        """For a load of `nbytes`: makes memory ready in a second thread."""
        return Populator(self.arena, nbytes)

    def load_end(self) -> None:
        """After a load: what it counted was no change."""
        self.dirty = 0


class Database:
    """One numbered database.

    observed: the classes of events that somebody wants to know of, and WATCHED if `watchers` is not empty or there
    is a listener.
    """

    def __init__(self, keyspace: Keyspace, number: int) -> None:
        self.keyspace = keyspace
        self.number = number
        self.store = KeyStore(keyspace.stores, number)
        self.watchers = {}
        self.observed = keyspace.event_classes

    # What every method uses

    def find(self, key: bytes, hash_: cython.pointer[uint64_t]) -> cython.pointer[uint64_t]:
        """The key's slot and hash; an expired key is deleted on the way, or hidden. NULL if it is not there."""
        hash_[0] = hash_key(cython.cast(Bytes, PyBytes_AS_STRING(key)), PyBytes_GET_SIZE(key))
        return self.find_hashed(key, hash_[0])

    def find_hashed(self, key: bytes, hash_: uint64_t) -> cython.pointer[uint64_t]:
        """The same for a key whose hash is known."""
        slot: cython.pointer[uint64_t] = self.store.find(
            cython.cast(Bytes, PyBytes_AS_STRING(key)), PyBytes_GET_SIZE(key), hash_
        )
        if slot != cython.NULL:
            at_ms: int64_t = record_expire_at(self.store.record(slot))
            if at_ms != 0 and expires(self, key, slot, hash_, at_ms):
                return cython.NULL
        return slot

    def prefetch(
        self,
        keys: tuple,
        start: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
        step: cython.Py_ssize_t,
        hashes: cython.pointer[uint64_t],
    ) -> cython.void:
        """Hash each step-th key from `start` on and bring what is read for them into the cache, all together."""
        store: KeyStore = self.store
        index: cython.Py_ssize_t
        count: cython.Py_ssize_t = 0
        for index in range(start, stop, step):
            hashes[count] = hash_key(
                cython.cast(Bytes, PyBytes_AS_STRING(cython.cast(bytes, keys[index]))),
                PyBytes_GET_SIZE(cython.cast(bytes, keys[index])),
            )
            store.tables.prefetch_bucket(store.table, hashes[count])
            count += 1
        for index in range(count):
            store.tables.prefetch_record(store.table, hashes[index])

    def read(
        self, key: bytes, hash_: cython.pointer[uint64_t], stats: cython.bint, touch: cython.bint
    ) -> cython.pointer[uint64_t]:
        slot: cython.pointer[uint64_t] = self.find(key, hash_)
        if slot == cython.NULL:
            self.note_miss(key, stats)
        else:
            self.note_hit(slot, stats, touch)
        return slot

    def note_miss(self, key: bytes, stats: cython.bint) -> cython.int:
        self.keyspace.misses += stats
        if self.observed & EVENT_MISSED and stats:
            self.keyspace.tell(EVENT_MISSED, b"keymiss", self.number, key)
        return 0

    def note_hit(
        self, slot: cython.pointer[cython.const[uint64_t]], stats: cython.bint, touch: cython.bint
    ) -> cython.void:
        self.keyspace.hits += stats
        if touch:
            self.touch_clock(slot)

    def touch_clock(self, slot: cython.pointer[cython.const[uint64_t]]) -> cython.void:
        keyspace: Keyspace = self.keyspace
        counter: uint32_t
        above: uint32_t
        if keyspace.is_plain_lru:
            self.store.tables.set_clock(slot, keyspace.arena.new_clock)
            return
        if keyspace.keeps_clocks:
            return
        counter = keyspace.aged_frequency(self.store.tables.get_clock(slot))
        above = counter - LFU_NEW_KEY if counter > LFU_NEW_KEY else 0
        # Counts a hit with probability 1 / (above * factor + 1).
        if counter < 255 and keyspace.random() % (above * cython.cast(uint32_t, keyspace.lfu_log_factor) + 1) == 0:
            counter += 1
        self.store.tables.set_clock(slot, (keyspace.arena.new_clock & ~cython.cast(uint32_t, 255)) | counter)

    def drop_expired(self, key: bytes, slot: cython.pointer[uint64_t], hash_: uint64_t) -> cython.int:
        self.store.remove(slot, hash_, self.keyspace.frees_expired_lazily)
        self.keyspace.expired_keys += 1
        self.break_watches(key)
        return self.notify(EVENT_EXPIRED, b"expired", key)

    def has_expired(self, key: bytes) -> cython.bint:
        """Whether a key is there whose time has passed; it is left alone."""
        at_ms: int64_t = self.time_of(key)
        return at_ms > 0 and self.keyspace.now_ms > at_ms

    def time_of(self, key: bytes) -> int64_t:
        """The key's expiry, which may have passed; 0: none, MISSING: no such key."""
        data: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(key))
        length: uint64_t = PyBytes_GET_SIZE(key)
        slot: cython.pointer[uint64_t] = self.store.find(data, length, hash_key(data, length))
        return C_MISSING if slot == cython.NULL else record_expire_at(self.store.record(slot))

    # Events

    def notify(self, event_class: cython.int, event: bytes, key: bytes) -> cython.int:
        """Tell those who observe this class of events."""
        if self.observed & event_class:
            self.keyspace.tell(event_class, event, self.number, key)
        return 0

    def evict(self, slot: cython.pointer[uint64_t], lazily: cython.bint) -> cython.int:
        """Delete a key because memory is short. Not a change: nobody has made it."""
        key_len: uint64_t = 0
        data: Bytes = record_key(self.store.record(slot), cython.address(key_len))
        hash_: uint64_t = hash_key(data, key_len)
        key: bytes = bytes_at(data, key_len) if self.observed else b""
        self.store.remove(slot, hash_, lazily)
        self.keyspace.evicted_keys += 1
        self.break_watches(key)
        return self.notify(EVENT_EVICTED, b"evicted", key)

    def fields_expired(self, key: bytes, count: cython.int) -> cython.int:
        """Fields of a hash have expired and are deleted; perhaps the key went with the last one."""
        self.keyspace.expired_fields += count
        return self.break_watches(key)

    def changed(self, key: bytes) -> cython.int:
        self.keyspace.dirty += 1
        return self.break_watches(key)

    def break_watches(self, key: bytes) -> cython.int:
        """For what counts as a change only to those who watch the key."""
        return self.note_change(key, True) if self.observed & WATCHED else 0

    def shrunk(self, key: bytes) -> None:
        """The key's value has lost something: one change, which is no reason to wake who waits for it."""
        self.keyspace.dirty += 1
        if self.observed & WATCHED:
            self.note_change(key, False)

    def note_change(self, key: bytes, wakes: cython.bint) -> cython.int:
        """Pass a change on to those who watch the key, wait for it (if it wakes them), or listen to all changes."""
        watch: Watch
        for watch in self.watchers.get(key, ()):
            if watch is not self.keyspace.awaited:
                watch._broken = True
            elif wakes:
                self.keyspace.ready[self.number, key] = None
        if self.keyspace.listener is not None:
            self.keyspace.listener.key_changed(key)
        return 0

    def note_ready(self, key: bytes) -> None:
        """Wake who waits for a key, although its value does not change."""
        if self.watchers and self.keyspace.awaited in self.watchers.get(key, ()):
            self.keyspace.ready[self.number, key] = None

    def break_all_watches(self, incoming: Database) -> None:
        """For keys that are here or come in: their values change. One that has expired comes in no more."""
        watch: Watch
        hash_: uint64_t = 0
        for key in self.watchers:
            is_here: cython.bint = self.time_of(key) != C_MISSING
            if is_here or incoming.find(key, cython.address(hash_)) != cython.NULL:
                for watch in self.watchers[key]:
                    if watch is self.keyspace.awaited:
                        self.keyspace.ready[self.number, key] = None
                    else:
                        watch._broken = True

    def string_at(self, slot: cython.pointer[cython.const[uint64_t]], start: uint64_t, stop: uint64_t) -> bytes:
        """Bytes start to stop of a string, both clamped to its length."""
        record: Bytes = self.store.record(slot)
        length: uint64_t = 0
        data: Bytes
        if skip_expiry(record)[0] != TYPE_STRING:
            raise WrongTypeError
        data = read_length(record_payload(record), cython.address(length))
        stop = min(stop, length)
        start = min(start, stop)
        return bytes_at(data + start, stop - start)

    # Size

    def __len__(self) -> int:
        return self.store.table.used

    def __bool__(self) -> bool:
        return True

    @property
    def expires(self) -> int:
        """Keys with a time."""
        return self.store.expiry.count

    @property
    def hashes_with_ttls(self) -> int:
        """Hashes with fields that expire."""
        return self.store.field_expiry.count

    def average_ttl_ms(self) -> int:
        """Estimated from keys at even distances in the order of their times."""
        count = self.store.expiry.count
        if count == 0:
            return 0
        samples = min(count, TTL_SAMPLES)
        times = [self.store.expiry.at((2 * step + 1) * count // (2 * samples))[0] for step in range(samples)]
        return max(0, sum(times) // samples - self.keyspace.now_ms)

    # Reads

    def lookup(self, key: bytes, stats: cython.bint = True, touch: cython.bint = True) -> cython.int:
        """The RDB type of the key's value, or -1. A hash is of one type, whether fields of it expire or not."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.read(key, cython.address(hash_), stats, touch)
        kind: uint8_t
        if slot == cython.NULL:
            return -1
        kind = skip_expiry(self.store.record(slot))[0]
        return TYPE_HASH if kind == TYPE_HASH_TTL else kind

    def get(self, key: bytes) -> bytes:
        """A string's value; None if there is no such key. Raises WrongTypeError."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.read(key, cython.address(hash_), True, True)
        if slot == cython.NULL:
            return None
        return self.string_at(slot, 0, ~cython.cast(uint64_t, 0))

    def get_for_write(self, key: bytes) -> bytes:
        """The same for a command that writes: counts neither hit nor miss."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.read(key, cython.address(hash_), False, True)
        if slot == cython.NULL:
            return None
        return self.string_at(slot, 0, ~cython.cast(uint64_t, 0))

    def strlen(self, key: bytes) -> int:
        """A string's length, 0 if there is no such key."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.read(key, cython.address(hash_), True, True)
        length: uint64_t = 0
        if slot == cython.NULL:
            return 0
        if skip_expiry(self.store.record(slot))[0] != TYPE_STRING:
            raise WrongTypeError
        read_length(record_payload(self.store.record(slot)), cython.address(length))
        return length

    def get_range(self, key: bytes, start: int, stop: int) -> bytes:
        """Bytes start to stop (not included) of a string, clamped to it; empty if there is no such key."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.read(key, cython.address(hash_), False, True)
        if slot == cython.NULL:
            return b""
        return self.string_at(slot, max(start, 0), max(stop, 0))

    # Writes

    def make_sure_of(self, keys: int, nbytes: int) -> None:
        """Raise ArenaFull now if `keys` strings, `nbytes` with their keys, might not find room one by one."""
        if not self.store.arena.has_room(self.store.number, nbytes + keys * RECORD_OVERHEAD):
            raise ArenaFull(SEGMENTS_FULL)
        while self.keyspace.pool.available() < keys + BLOCKS_SPARE:
            if not self.keyspace.stores.free_step():
                raise ArenaFull(BLOCKS_FULL)

    def make_sure_of_all(self, items: tuple) -> None:
        """Raise ArenaFull now if adding all these to a collection might stop half way."""
        if not self.is_roomy(len(items)):
            self.make_sure_of(len(items), sum(map(len, items)) + min(len(items), PACKED_COUNT) * PACKED_MAX)

    def make_sure_of_rows(self, count: int) -> None:
        """The same for entries of a stream that become pending or change hands."""
        if count > 1 and not self.is_roomy(count):
            self.make_sure_of(count, count * ROW_BYTES + PACKED_MAX)

    def is_roomy(self, count: uint64_t) -> cython.bint:
        return (
            self.store.arena.has_room(self.store.number, ROOMY_BYTES)
            and self.keyspace.pool.available() > ROOMY_BLOCKS + count
        )

    def set(
        self,
        key: bytes,
        value: bytes,
        expire_at_ms: int64_t = 0,
        keep_ttl: cython.bint = False,
        encoding: cython.int = ENCODING_AUTO,
    ) -> None:
        """Make the key a string, whatever it was: the event `set`.

        encoding: what OBJECT ENCODING says of a short value: AUTO, EMBSTR (even if it looks like an integer) or RAW.
        """
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot != cython.NULL and keep_ttl:
            expire_at_ms = record_expire_at(self.store.record(slot))
        self.put(key, value, hash_, slot, expire_at_ms, encoding)

    def write(self, key: bytes, value: bytes, encoding: cython.int = ENCODING_AUTO) -> None:
        """The same for a change of another name, whose event is the caller's; the key keeps its expiry."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        expire_at_ms: int64_t = 0 if slot == cython.NULL else record_expire_at(self.store.record(slot))
        length: uint64_t = PyBytes_GET_SIZE(value)
        memcpy(
            self.store.put_string(key_of(key, hash_), slot, length, encoding, expire_at_ms),
            PyBytes_AS_STRING(value),
            length,
        )
        self.changed(key)
        if slot == cython.NULL:
            self.notify(EVENT_NEW, b"new", key)

    def set_all(self, pairs: tuple) -> cython.int:
        """Make keys strings, from alternating keys and values: all of them, or ArenaFull and none."""
        hashes: uint64_t[PREFETCHED]
        start: cython.Py_ssize_t
        index: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        nbytes: uint64_t = 0
        for index in range(len(pairs)):
            nbytes += PyBytes_GET_SIZE(cython.cast(bytes, pairs[index]))
        self.make_sure_of(len(pairs) // 2, nbytes)
        for start in range(0, len(pairs), 2 * PREFETCHED):
            stop = min(start + 2 * PREFETCHED, len(pairs))
            self.prefetch(pairs, start, stop, 2, hashes)
            for index in range(start, stop, 2):
                key: bytes = cython.cast(bytes, pairs[index])
                value: bytes = cython.cast(bytes, pairs[index + 1])
                hash_: uint64_t = hashes[(index - start) // 2]
                self.put(key, value, hash_, self.find_hashed(key, hash_), 0, ENCODING_AUTO)
        return 0

    def get_all(self, keys: tuple) -> list:
        """The values of strings; None where there is none, or another type."""
        hashes: uint64_t[PREFETCHED]
        start: cython.Py_ssize_t
        index: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        slot: cython.pointer[uint64_t]
        values: list = []
        for start in range(0, len(keys), PREFETCHED):
            stop = min(start + PREFETCHED, len(keys))
            self.prefetch(keys, start, stop, 1, hashes)
            for index in range(start, stop):
                key: bytes = cython.cast(bytes, keys[index])
                slot = self.find_hashed(key, hashes[index - start])
                if slot == cython.NULL:
                    self.note_miss(key, True)
                    values.append(None)
                    continue
                self.note_hit(slot, True, True)
                if skip_expiry(self.store.record(slot))[0] != TYPE_STRING:
                    values.append(None)
                else:
                    values.append(self.string_at(slot, 0, ~cython.cast(uint64_t, 0)))
        return values

    def put(
        self,
        key: bytes,
        value: bytes,
        hash_: uint64_t,
        slot: cython.pointer[uint64_t],
        expire_at_ms: int64_t,
        encoding: cython.int,
    ) -> cython.int:
        value_len: uint64_t = PyBytes_GET_SIZE(value)
        if slot != cython.NULL:
            self.touch_clock(slot)
        memcpy(
            self.store.put_string(
                key_of(key, hash_),
                slot,
                value_len,
                encoding,
                expire_at_ms,
            ),
            PyBytes_AS_STRING(value),
            value_len,
        )
        self.keyspace.dirty += 1
        return self.note_put(key, slot == cython.NULL) if self.observed else 0

    def note_put(self, key: bytes, is_new: cython.bint) -> cython.int:
        """Tell those who watch the key, or observe."""
        self.break_watches(key)
        if is_new:
            self.notify(EVENT_NEW, b"new", key)
        return self.notify(EVENT_STRING, b"set", key)

    def set_range(self, key: bytes, offset: int, data: bytes) -> int:
        """Overwrite bytes of a string from `offset` on, which may lie behind its end; returns the new length.

        The event is the caller's.
        """
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.read(key, cython.address(hash_), False, True)
        length: uint64_t = 0
        at: uint64_t = offset
        data_len: uint64_t = PyBytes_GET_SIZE(data)
        if slot == cython.NULL:
            if data_len == 0:
                return 0
            self.write(key, bytes(offset) + data, ENCODING_RAW)
            return at + data_len
        if skip_expiry(self.store.record(slot))[0] != TYPE_STRING:
            raise WrongTypeError
        read_length(record_payload(self.store.record(slot)), cython.address(length))
        if data_len == 0:
            return length
        self.store.write_range(slot, at, cython.cast(Bytes, PyBytes_AS_STRING(data)), data_len)
        self.changed(key)
        return max(length, at + data_len)

    def append(self, key: bytes, data: bytes) -> int:
        """Add bytes to the end of a string, which the caller has accessed; returns the new length."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        length: uint64_t = 0
        if slot == cython.NULL:
            self.write(key, data)
            self.notify(EVENT_STRING, b"append", key)
            return PyBytes_GET_SIZE(data)
        if skip_expiry(self.store.record(slot))[0] != TYPE_STRING:
            raise WrongTypeError
        read_length(record_payload(self.store.record(slot)), cython.address(length))
        self.store.write_range(
            slot,
            length,
            cython.cast(Bytes, PyBytes_AS_STRING(data)),
            PyBytes_GET_SIZE(data),
        )
        self.changed(key)
        self.notify(EVENT_STRING, b"append", key)
        return length + PyBytes_GET_SIZE(data)

    def increment(self, key: bytes, amount: int64_t) -> int:
        """Add to the integer that a string spells, 0 if there is none; returns the sum.

        ValueError if it spells none, OverflowError if the sum is beyond 64 bits.
        """
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.read(key, cython.address(hash_), False, True)
        record: Bytes
        payload: Bytes = cython.NULL
        data: Bytes = cython.NULL
        length: uint64_t = 0
        old_length: uint64_t = 0
        number: int64_t = 0
        expire_at_ms: int64_t = 0
        text: uint8_t[INT64_DIGITS]
        if slot != cython.NULL:
            record = self.store.record(slot)
            if skip_expiry(record)[0] != TYPE_STRING:
                raise WrongTypeError
            payload = record_payload(record)
            data = read_length(payload, cython.address(old_length))
            if not parse_int64(data, old_length, cython.address(number)):
                raise ValueError
            expire_at_ms = record_expire_at(record)
        if number > INT64_MAX - amount if amount > 0 else number < INT64_MIN - amount:
            raise OverflowError
        number += amount
        length = format_int64(text, number)
        if (
            slot == cython.NULL
            or length != old_length
            or data - payload != string_length_size(length, ENCODING_AUTO)
            or self.store.arena.is_frozen(slot_offset(slot))
        ):
            data = self.store.put_string(
                key_of(key, hash_),
                slot,
                length,
                ENCODING_AUTO,
                expire_at_ms,
            )
        else:
            mark(self.store.arena, slot_offset(slot))
        memcpy(data, cython.address(text[INT64_DIGITS - length]), length)
        self.changed(key)
        if self.observed:
            if payload == cython.NULL:
                self.notify(EVENT_NEW, b"new", key)
            self.notify(EVENT_STRING, b"incrby", key)
        return number

    def make_raw(self, key: bytes) -> None:
        """Let OBJECT ENCODING say raw of a string; the value does not change, which is no change for anybody else."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot == cython.NULL:
            return
        value: bytes = self.string_at(slot, 0, EMBSTR_MAX + 1)
        if PyBytes_GET_SIZE(value) <= EMBSTR_MAX:
            memcpy(
                self.store.put_string(
                    key_of(key, hash_),
                    slot,
                    PyBytes_GET_SIZE(value),
                    ENCODING_RAW,
                    record_expire_at(self.store.record(slot)),
                ),
                PyBytes_AS_STRING(value),
                PyBytes_GET_SIZE(value),
            )

    def delete(self, key: bytes) -> cython.bint:
        """True if the key was there."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot == cython.NULL:
            return False
        if self.keyspace.stores.replaces_lazily:
            self.remove_lazily(key, slot, hash_)
        else:
            self.store.remove(slot, hash_)
        self.changed(key)
        self.notify(EVENT_GENERIC, b"del", key)
        return True

    def discard(self, key: bytes) -> cython.bint:
        """The same for a key whose place was wanted: even if its time has passed it is deleted, and does not expire."""
        data: Bytes = cython.cast(Bytes, PyBytes_AS_STRING(key))
        hash_: uint64_t = hash_key(data, PyBytes_GET_SIZE(key))
        slot: cython.pointer[uint64_t] = self.store.find(data, PyBytes_GET_SIZE(key), hash_)
        if slot == cython.NULL:
            return False
        self.store.remove(slot, hash_, self.keyspace.stores.replaces_lazily)
        self.changed(key)
        self.notify(EVENT_GENERIC, b"del", key)
        return True

    def unlink(self, key: bytes) -> cython.bint:
        """The same; the memory of a large collection is freed later."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot == cython.NULL:
            return False
        self.remove_lazily(key, slot, hash_)
        self.changed(key)
        self.notify(EVENT_GENERIC, b"del", key)
        return True

    def remove_lazily(self, key: bytes, slot: cython.pointer[uint64_t], hash_: uint64_t) -> cython.bint:
        """Remove a key; what Redis would free in another thread is counted as there. True if it was counted here.

        Only what is in a store of its own is worth waiting. Its store counts it.
        """
        record: Bytes = self.store.record(slot)
        kind: uint8_t = skip_expiry(record)[0]
        payload: Bytes = record_payload(record)
        parts: uint64_t = 0
        counted: cython.bint = False
        if kind != TYPE_STRING and not spread_of(kind, payload):
            if is_chunked(kind, payload):
                parts = root_of(payload).nbytes // LIST_NODE_BYTES if kind == TYPE_LIST else root_of(payload).elements
            elif kind != TYPE_STREAM and kind != TYPE_LIST:
                parts = packed_count(payload)
            counted = parts > LAZY_PARTS and (
                self.keyspace.is_compact is None or not self.keyspace.is_compact(self, key)
            )
            self.keyspace.stores.freed_objects += counted
        self.store.remove(slot, hash_, True)
        return counted

    # Expiry

    def expire_at(self, key: bytes, touch: cython.bint = False) -> int:
        """Unix ms; 0: the key has no time; -1: there is no such key. touch: this is an access."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot != cython.NULL and touch:
            self.touch_clock(slot)
        return MISSING if slot == cython.NULL else record_expire_at(self.store.record(slot))

    def set_expire(self, key: bytes, at_ms: int) -> bool:
        """Give the key a time above 0; False if there is no such key."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot == cython.NULL:
            return False
        self.store.set_expire(slot, hash_, at_ms)
        self.changed(key)
        self.notify(EVENT_GENERIC, b"expire", key)
        return True

    def persist(self, key: bytes) -> bool:
        """Clear the key's expiry; False if there was none."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot == cython.NULL:
            return False
        self.touch_clock(slot)
        if record_expire_at(self.store.record(slot)) == 0:
            return False
        self.store.set_expire(slot, hash_, 0)
        self.changed(key)
        self.notify(EVENT_GENERIC, b"persist", key)
        return True

    # Whole values

    def rename(self, key: bytes, new_key: bytes) -> bool:
        """Value and time go to new_key, overwriting it; False if there is no such key."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot == cython.NULL:
            return False
        self.touch_clock(slot)
        if key != new_key:
            self.move_record(key, self, new_key)
            self.note_ready(new_key)  # who waits for it comes first, who listens hears of the old key first
            self.changed(key)
            self.break_watches(new_key)
            if self.observed:
                self.notify(EVENT_NEW, b"new", new_key)
                self.notify(EVENT_GENERIC, b"rename_from", key)
                self.notify(EVENT_GENERIC, b"rename_to", new_key)
        return True

    def copy_to(self, key: bytes, target: Database, new_key: bytes, replace: bool) -> bool:
        """Copy value and time; False if there is no such key, or new_key exists and is not to be replaced."""
        hash_: uint64_t = 0
        if self.find(key, cython.address(hash_)) == cython.NULL:
            return False
        if not replace and target.find(new_key, cython.address(hash_)) != cython.NULL:
            return False
        self.copy_record(key, target, new_key, False)
        target.changed(new_key)
        target.notify(EVENT_NEW, b"new", new_key)
        target.notify(EVENT_GENERIC, b"copy_to", new_key)
        return True

    def move_to(self, key: bytes, target: Database) -> bool:
        """Move value and time to another database; False if there is no such key, or it exists there."""
        hash_: uint64_t = 0
        if self.find(key, cython.address(hash_)) == cython.NULL or (
            target.find(key, cython.address(hash_)) != cython.NULL
        ):
            return False
        self.move_record(key, target, key)
        target.break_watches(key)
        self.changed(key)
        target.notify(EVENT_NEW, b"new", key)
        self.notify(EVENT_GENERIC, b"move_from", key)
        target.notify(EVENT_GENERIC, b"move_to", key)
        return True

    def copy_record(self, key: bytes, target: Database, new_key: bytes, move: cython.bint) -> cython.int:
        """The key is there, and is not new_key of the same database. move: its elements change hands."""
        hash_: uint64_t = 0
        new_hash: uint64_t = 0
        new_slot: cython.pointer[uint64_t] = target.find(new_key, cython.address(new_hash))
        record: Bytes = self.store.record(self.find(key, cython.address(hash_)))
        kind: uint8_t = skip_expiry(record)[0]
        spread: uint32_t = spread_of(kind, record_payload(record))
        payload: Bytes
        if is_chunked(kind, record_payload(record)):
            self.copy_chunked(record, target, key_of(new_key, new_hash), new_slot, move)
            return target.store.note_fields(target.find(new_key, cython.address(new_hash)), new_hash)
        if spread and not move:
            spread = self.keyspace.stores.clone(spread, target.store.number)
        elif spread and target is not self:
            self.keyspace.stores.rehome(spread, target.store.number)
        try:
            target.store.put_copy(key_of(new_key, new_hash), new_slot, record, spread)
            if kind == TYPE_STREAM and spread and not move:
                record = self.store.record(self.find(key, cython.address(hash_)))
                payload = record_payload(target.store.record(target.find(new_key, cython.address(new_hash))))
                self.keyspace.stores.renumber_parts(
                    spread_of(kind, record_payload(record)), spread, payload + SPREAD_STREAM
                )
        except ArenaFull:
            if spread and not move:
                self.keyspace.stores.drop(spread)
            elif spread and target is not self:
                # What it has just left is still free.
                self.keyspace.stores.rehome(spread, self.store.number)
            raise
        if kind == TYPE_HASH_TTL:
            return target.store.note_fields(target.find(new_key, cython.address(new_hash)), new_hash)
        return 0

    def copy_chunked(
        self,
        record: Bytes,
        target: Database,
        new_key: Key,
        new_slot: cython.pointer[uint64_t],
        move: cython.bint,
    ) -> cython.int:
        """The same for a chunked collection. Its chunks stay only if it stays in its database."""
        payload: Bytes = record_payload(record)
        stays: cython.bint = move and target is self
        try:
            if not stays:
                payload = self.keyspace.stores.chunks.clone(payload, target.store.number, new_key.hash)
                if skip_expiry(record)[0] == TYPE_HASH_TTL:
                    self.keyspace.stores.chunks.order_expiries(payload)
            target.store.put_chunked(
                new_key,
                new_slot,
                skip_expiry(record)[0],
                payload,
                record_expire_at(record),
            )
        except ArenaFull:
            if payload != record_payload(record):
                self.keyspace.stores.chunks.drop(payload)
                free(payload)
            raise
        if stays:
            self.keyspace.stores.chunks.owners[root_of(payload).number].hash = new_key.hash
        else:
            free(payload)
        return 0

    def move_record(self, key: bytes, target: Database, new_key: bytes) -> cython.int:
        hash_: uint64_t = 0
        new_hash: uint64_t = 0
        clock: uint32_t = self.store.tables.get_clock(self.find(key, cython.address(hash_)))
        slot: cython.pointer[uint64_t]
        payload: Bytes
        kind: uint8_t
        self.copy_record(key, target, new_key, True)
        slot = self.find(key, cython.address(hash_))
        kind = skip_expiry(self.store.record(slot))[0]
        payload = record_payload(self.store.record(slot))
        if spread_of(kind, payload) or (target is self and is_chunked(kind, payload)):
            self.store.remove_root(slot, hash_)
        else:
            self.store.remove(slot, hash_)
        target.store.tables.set_clock(target.find(new_key, cython.address(new_hash)), clock)
        return 0

    def flush(self, lazily: bool = False) -> int:
        """Remove every key, whole segments at a time; returns how many there were. lazily: memory is freed later."""
        removed: int = self.empty(lazily)
        if self.keyspace.listener is not None:
            self.keyspace.listener.emptied()
        return removed

    def empty(self, lazily: cython.bint) -> int:
        """The same, which the listener does not hear of."""
        removed: int = self.store.table.used
        self.break_all_watches(self)
        self.store.clear(lazily)
        self.keyspace.dirty += removed
        return removed

    # Many keys

    def random_key(self) -> bytes | None:
        """Any key that has not expired."""
        offset: uint64_t
        key_len: uint64_t = 0
        hash_: uint64_t = 0
        key: Bytes
        while True:
            offset = self.store.tables.random_offset(self.store.table, self.keyspace.random())
            if offset == 0:
                return None
            key = record_key(self.store.arena.base + offset, cython.address(key_len))
            found = bytes_at(key, key_len)
            if self.find(found, cython.address(hash_)) != cython.NULL:
                return found

    def keys(self) -> list[bytes]:
        """Every key that has not expired, in SCAN's order. Expired ones are left alone."""
        cursor: uint64_t = 0
        return self.collect(cython.address(cursor), cython.cast(cython.Py_ssize_t, self.store.table.used) + 1, False)

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Go on from a cursor (0: the beginning) for about `count` keys; returns the next cursor (0: done), the keys.

        A key that is there from the first call to the last is returned; some may be returned twice. Expired ones are
        removed.
        """
        at: uint64_t = cursor
        keys: list = self.collect(cython.address(at), min(max(count, 1), 0x7FFFFFFFFFFFFFFF), True)
        return at, keys

    def collect(self, cursor: cython.pointer[uint64_t], count: cython.Py_ssize_t, drop: cython.bint) -> list:
        offsets: uint64_t[336]
        found: uint32_t = 0
        index: uint32_t
        record: Bytes
        key: Bytes
        key_len: uint64_t = 0
        at_ms: int64_t
        seen: cython.Py_ssize_t = 0
        begins: cython.bint = cursor[0] == 0
        keys: list = []
        expired: list = []
        while True:
            cursor[0] = self.store.tables.scan_home(self.store.table, cursor[0], offsets, cython.address(found))
            for index in range(found):
                record = self.store.arena.base + offsets[index]
                key = record_key(record, cython.address(key_len))
                at_ms = record_expire_at(record)
                if at_ms != 0 and self.keyspace.now_ms > at_ms:
                    if drop:
                        expired.append(bytes_at(key, key_len))
                else:
                    keys.append(bytes_at(key, key_len))
            seen += found
            if begins and cython.cast(uint64_t, seen) == self.store.table.used:
                cursor[0] = 0
            if cursor[0] == 0 or seen >= count:
                break
        for name in expired:
            self.find(name, cython.address(offsets[0]))
        return keys

    # About a key

    def encoding(self, key: bytes) -> bytes | None:
        """The name that OBJECT ENCODING gives a string; None for a missing key and for other types."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        length: uint64_t = 0
        number: int64_t = 0
        payload: Bytes
        data: Bytes
        if slot == cython.NULL:
            return None
        if skip_expiry(self.store.record(slot))[0] != TYPE_STRING:
            return None
        payload = record_payload(self.store.record(slot))
        data = read_length(payload, cython.address(length))
        mark = string_encoding(length, data - payload)
        if length > EMBSTR_MAX or mark == ENCODING_RAW:
            return b"raw"
        if mark == ENCODING_AUTO and parse_int64(data, length, cython.address(number)):
            return b"int"
        return b"embstr"

    def idle_seconds(self, key: bytes) -> int:
        """Seconds since the last access; -1 if there is no such key."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot == cython.NULL:
            return MISSING
        return (cython.cast(uint32_t, self.keyspace.now_ms // 1000) - self.store.tables.get_clock(slot)) & CLOCK_MASK

    def address(self, key: bytes) -> int:
        """Where the key's record lies until it is moved, 0 if there is no such key."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        return 0 if slot == cython.NULL else cython.cast(uint64_t, self.store.record(slot))

    def frequency(self, key: bytes) -> int:
        """The LFU counter as it is now; -1 if there is no such key."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        return MISSING if slot == cython.NULL else self.keyspace.aged_frequency(self.store.tables.get_clock(slot))

    def memory_usage(self, key: bytes) -> int | None:
        """Bytes: the record with its rounding, its entries of table and expiry index, and its elements."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        size: uint64_t
        unit: uint64_t
        spread: uint32_t
        if slot == cython.NULL:
            return None
        size = record_size(self.store.record(slot))
        unit = 4096 if self.store.arena.is_jumbo(slot_offset(slot)) else GRANULE
        size = (size + unit - 1) & ~(unit - 1)
        size += self.store.table.blocks * 4096 // self.store.table.used
        if record_expire_at(self.store.record(slot)):
            size += self.store.expiry.blocks * 4096 // self.store.expiry.count
        if skip_expiry(self.store.record(slot))[0] == TYPE_HASH_TTL:
            size += self.field_expiry_bytes(record_payload(self.store.record(slot)))
        spread = spread_of(skip_expiry(self.store.record(slot))[0], record_payload(self.store.record(slot)))
        if is_chunked(skip_expiry(self.store.record(slot))[0], record_payload(self.store.record(slot))):
            size += self.keyspace.stores.chunks.memory_of(record_payload(self.store.record(slot)))
        return size + (self.keyspace.stores.memory_of(spread) if spread else 0)

    def field_expiry_bytes(self, payload: Bytes) -> uint64_t:
        """What the trees take in which a hash's fields are, and it is, by expiry."""
        order: cython.pointer[OrderedState] = self.keyspace.stores.field_order(payload)
        blocks: uint64_t = 0 if order == cython.NULL else order.blocks
        return 4096 * blocks + self.store.field_expiry.blocks * 4096 // self.store.field_expiry.count

    # Type and value in a file's form

    def dump(self, key: bytes, compress: cython.bint) -> object:
        """What follows the key in a dump, its type before it; None if there is no such key. A read.

        compress: strings may be in LZF form.
        """
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.read(key, cython.address(hash_), True, True)
        return None if slot == cython.NULL else value_bytes(self.keyspace.stores, self.store.record(slot), compress)

    def dumped_len(self, key: bytes, compress: cython.bint) -> int:
        """Bytes of this in a dump without the type; 0 for a missing key. Not a read."""
        hash_: uint64_t = 0
        slot: cython.pointer[uint64_t] = self.find(key, cython.address(hash_))
        if slot == cython.NULL:
            return 0
        return len(value_bytes(self.keyspace.stores, self.store.record(slot), compress)) - 1

    # Watching

    def watch(self, key: bytes, token: Watch) -> None:
        """The token is broken when the key changes from now on."""
        hash_: uint64_t = 0
        self.find(key, cython.address(hash_))
        watchers: list = self.watchers.setdefault(key, [])
        self.observed |= WATCHED
        if token not in watchers:
            watchers.append(token)
            token.keys.append((self, key))

    def unwatch(self, token: Watch) -> None:
        """Forget the token's keys of this database."""
        for database, key in token.keys:
            if database is self:
                self.watchers[key].remove(token)
                if not self.watchers[key]:
                    self.drop_watchers(key)
        token.keys = [pair for pair in token.keys if pair[0] is not self]

    def wait_for(self, key: bytes) -> None:
        """Let every change of the key, its expiry too, put (database number, key) into keyspace.ready, until forget."""
        self.watchers.setdefault(key, []).append(self.keyspace.awaited)
        self.observed |= WATCHED

    def forget(self, key: bytes) -> None:
        """End what wait_for began."""
        self.watchers[key].remove(self.keyspace.awaited)
        if not self.watchers[key]:
            self.drop_watchers(key)

    def drop_watchers(self, key: bytes) -> cython.void:
        """Nobody watches the key any more."""
        del self.watchers[key]
        self.update_watched()

    def update_watched(self) -> cython.void:
        if self.watchers or self.keyspace.listener is not None:
            self.observed |= WATCHED
        else:
            self.observed &= ~WATCHED

    # Loading

    def load_string(
        self,
        key: ConstBytes,
        key_len: uint64_t,
        value_len: uint64_t,
        expire_at_ms: int64_t,
        replace: cython.bint,
    ) -> Bytes:
        """Room for the value of a key, to be filled before any other call; NULL if the key exists and is to stay."""
        hash_: uint64_t = hash_key(key, key_len)
        slot: cython.pointer[uint64_t] = self.store.find(key, key_len, hash_)
        if slot != cython.NULL and not replace:
            return cython.NULL
        return self.store.put_string(make_key(key, key_len, hash_), slot, value_len, ENCODING_AUTO, expire_at_ms)

    def set_used(self, key: ConstBytes, key_len: uint64_t, idle_s: int64_t, frequency: cython.int) -> cython.void:
        """Set the access clock from a dump's figures for a key: its LFU counter, or for how long it was not used.

        idle_s: seconds. -1: not known, as for a new key.
        """
        keyspace: Keyspace = self.keyspace
        clock: uint32_t = keyspace.arena.new_clock
        if keyspace.lfu:
            if frequency >= 0:
                clock = (clock & ~cython.cast(uint32_t, 255)) | cython.cast(uint32_t, frequency)
        elif idle_s > 0:
            clock = cython.cast(uint32_t, clock - idle_s) & CLOCK_MASK
        self.store.tables.set_clock(self.store.find(key, key_len, hash_key(key, key_len)), clock)


@cython.cfunc
@cython.exceptval(-1, check=False)
def expires(
    database: Database, key: bytes, slot: cython.pointer[uint64_t], hash_: uint64_t, at_ms: int64_t
) -> cython.int:
    """Whether a key's time has passed: it is deleted then, or hidden. Apart, so that the way to the others stays short.

    A key lives through the whole of its last millisecond.
    """
    if database.keyspace.now_ms <= at_ms:
        return 0
    if not database.keyspace.keeps_expired:
        database.drop_expired(key, slot, hash_)
    return 1
