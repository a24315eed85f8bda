# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Eviction: which key goes when memory is short, by the eight policies of maxmemory-policy.

    volatile-ttl      the nearest expiry of all: the expiry index knows it, nothing is sampled
    *-random          each key is as likely as any other
    *-lru, *-lfu      the best of a pool of candidates, kept between calls, into which each call puts a sample

A sample is `samples` keys, each as likely as the others: single places of the hash table, whose access clocks lie
beside the entries, so no record is read; of volatile keys, single ranks in the expiry index.

A candidate goes only if it is still what it was: an access since then has changed its clock, a change may have moved
its record. So a pool that is stale does no harm; it is emptied as it is used.
"""

import cython
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.minikv.engine.ordered import Cursor, Entry
from cython.cimports.minikv.engine.record import Bytes, bytes_at, record_expire_at, record_key
from cython.cimports.minikv.engine.table import BUCKETS, slot_hash, slot_offset
from cython.cimports.minikv.keyspace.database import Database, Keyspace

# More than so many keys are not looked at for one eviction.
SAMPLES_MAX = cython.declare(cython.int, 1000)
# Keys that share an expiry and a hash with another one are not found by their place; each try is another place.
TRIES = cython.declare(cython.int, 16)
CLOCK_MASK = cython.declare(uint32_t, 0xFFFFFF)
MINUTES_MASK = cython.declare(uint32_t, 0xFFFF)

CHOICES = {
    "noeviction": NOTHING,
    "volatile-lru": LEAST_RECENT,
    "allkeys-lru": LEAST_RECENT,
    "volatile-lfu": LEAST_FREQUENT,
    "allkeys-lfu": LEAST_FREQUENT,
    "volatile-random": ANY,
    "allkeys-random": ANY,
    "volatile-ttl": NEAREST,
}


class Evictor:
    """Evicts keys of a keyspace, one at a time.

    samples: maxmemory-samples. lazily: the memory of large collections is freed later (lazyfree-lazy-eviction).
    """

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.samples = 5

    def set_policy(self, policy: str) -> None:
        """maxmemory-policy."""
        self.choice = CHOICES[policy]
        self.is_volatile = policy.startswith("volatile")
        self.pooled = 0

    def evict(self) -> cython.bint:
        """Evict one key; False if the policy allows none."""
        if self.choice == NOTHING:
            return False
        if self.choice == NEAREST:
            return self.evict_nearest()
        if self.choice == ANY:
            return self.evict_any()
        return self.evict_best()

    def eligible(self, database: Database) -> uint64_t:
        """How many of a database's keys may go."""
        return database.store.expiry.state.count if self.is_volatile else database.store.table.used

    def draw(self) -> Database:
        """A database, as likely as it has keys that may go; None if there are none."""
        total: uint64_t = 0
        database: Database
        for database in self.keyspace.databases:
            total += self.eligible(database)
        if total == 0:
            return None
        total = self.keyspace.random() % total
        for database in self.keyspace.databases:
            if total < self.eligible(database):
                return database
            total -= self.eligible(database)
        return None

    def timed_slot(self, database: Database, rank: uint64_t) -> cython.pointer[uint64_t]:
        """The key at a place in the order of expiry, by what the table knows of it; NULL if it is not found."""
        cursor: Cursor = database.store.expiry.seek_rank(rank)
        entry: Entry = database.store.expiry.entry(cursor)
        return database.store.tables.find_tag(database.store.table, entry.ref)

    def evict_nearest(self) -> cython.bint:
        best: Database = None
        database: Database
        cursor: Cursor
        entry: Entry
        found: Entry
        slot: cython.pointer[uint64_t]
        key_len: uint64_t = 0
        key: Bytes
        found.order = 0
        found.ref = 0
        while True:
            best = None
            for database in self.keyspace.databases:
                if database.store.expiry.state.count:
                    cursor = database.store.expiry.seek_first()
                    entry = database.store.expiry.entry(cursor)
                    if best is None or entry.order < found.order:
                        best = database
                        found = entry
            if best is None:
                return False
            slot = best.store.tables.find_expiring(best.store.table, found.ref, found.order)
            if slot == cython.NULL:
                # Two keys with one hash and one time share an entry; it goes with the first of them.
                best.store.expiry.remove(found.order, found.ref)
                continue
            if found.order < self.keyspace.now_ms:
                key = record_key(best.store.record(slot), cython.address(key_len))
                best.drop_expired(bytes_at(key, key_len), slot, found.ref)
            else:
                best.evict(slot, self.lazily)
            return True

    def evict_any(self) -> cython.bint:
        database: Database = self.draw()
        slot: cython.pointer[uint64_t] = cython.NULL
        _try: cython.int
        if database is None:
            return False
        for _try in range(TRIES):
            if self.is_volatile:
                slot = self.timed_slot(database, self.keyspace.random() % database.store.expiry.state.count)
                if slot != cython.NULL and record_expire_at(database.store.record(slot)) == 0:
                    slot = cython.NULL
            else:
                slot = database.store.tables.random_slot(database.store.table, self.keyspace.random())
            if slot != cython.NULL:
                database.evict(slot, self.lazily)
                return True
        return False

    def evict_best(self) -> cython.bint:
        database: Database
        candidate: Candidate
        slot: cython.pointer[uint64_t]
        _try: cython.int
        for _try in range(TRIES):
            database = self.draw()
            if database is None:
                return False
            self.fill(database)
            while self.pooled:
                self.pooled -= 1
                candidate = self.pool[self.pooled]
                database = self.keyspace.databases[candidate.database]
                slot = database.store.tables.find_offset(database.store.table, candidate.hash, candidate.offset)
                if (
                    slot != cython.NULL
                    and database.store.tables.get_clock(slot) == candidate.clock
                    and (not self.is_volatile or record_expire_at(database.store.record(slot)))
                ):
                    database.evict(slot, self.lazily)
                    return True
        return False

    def fill(self, database: Database) -> cython.void:
        """Put a sample of a database's keys into the pool; all of them if there are no more than a sample."""
        slot: cython.pointer[uint64_t]
        slots: cython.pointer[uint64_t][336]
        eligible: uint64_t = self.eligible(database)
        samples: uint32_t = min(self.samples, SAMPLES_MAX)
        is_all: cython.bint = eligible <= samples
        rank: uint64_t
        neighbours: uint32_t
        index: uint32_t
        _index: uint32_t
        if self.is_volatile:
            for index in range(min(samples, eligible)):
                rank = index if is_all else self.keyspace.random() % eligible
                slot = self.timed_slot(database, rank)
                if slot != cython.NULL:
                    self.consider(database, slot)
            return
        if is_all:
            neighbours = database.store.tables.sample(database.store.table, self.keyspace.random(), BUCKETS, slots)
            for index in range(neighbours):
                self.consider(database, slots[index])
        for _index in range(samples):
            slot = database.store.tables.random_slot(database.store.table, self.keyspace.random())
            if slot != cython.NULL:
                self.consider(database, slot)

    def consider(self, database: Database, slot: cython.pointer[cython.const[uint64_t]]) -> cython.void:
        """Put a key into the pool if it has room, or if the key should go sooner than one that is there."""
        keyspace: Keyspace = self.keyspace
        clock: uint32_t = database.store.tables.get_clock(slot)
        score: uint32_t
        offset: uint64_t = slot_offset(slot)
        at: cython.int
        if self.choice == LEAST_FREQUENT:
            # Of equal counters the one that was counted longest ago.
            score = (255 - keyspace.aged_frequency(clock)) << 16 | (
                (cython.cast(uint32_t, keyspace.now_ms // 60000) - (clock >> 8)) & MINUTES_MASK
            )
        else:
            score = (cython.cast(uint32_t, keyspace.now_ms // 1000) - clock) & CLOCK_MASK
        if self.pooled == POOL and score <= self.pool[0].score:
            return
        for at in range(self.pooled):
            if self.pool[at].offset == offset and self.pool[at].database == database.number:
                return
        if self.pooled == POOL:
            # The worst leaves.
            at = 0
            while at + 1 < POOL and self.pool[at + 1].score < score:
                self.pool[at] = self.pool[at + 1]
                at += 1
        else:
            at = self.pooled
            while at > 0 and self.pool[at - 1].score >= score:
                self.pool[at] = self.pool[at - 1]
                at -= 1
            self.pooled += 1
        self.pool[at].hash = slot_hash(slot)
        self.pool[at].offset = offset
        self.pool[at].score = score
        self.pool[at].clock = clock
        self.pool[at].database = database.number
