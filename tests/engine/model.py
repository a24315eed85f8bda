"""The keyspace as dictionaries: the meaning of minikv.keyspace without its memory.

Same names, arguments, results and errors as the compiled classes; every method is the shortest text that is right.
The engine's tests run on both, stateful tests compare the two, and command handlers can be tried on this one alone.
What only memory can tell (bytes in use, segments, relocation) is here a plausible number.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

NO_EXPIRY = 0
STRING = 0
MISSING = -1
AUTO, EMBSTR, RAW = range(3)
EMBSTR_LIMIT = 44
RECORD_MAX = 32768
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
LFU_NEW_KEY = 5


@dataclass
class Entry:
    value: bytes
    expire_at_ms: int = NO_EXPIRY
    encoding: int = AUTO
    accessed_ms: int = 0


class Watch:
    """One for each client that watches."""

    def __init__(self) -> None:
        self.keys: set[tuple[Database, bytes]] = set()
        self.was_broken = False

    @property
    def broken(self) -> bool:
        """True for good after the first change of a watched key; its expiry is one."""
        for db, key in self.keys:
            entry = db.entries.get(key)
            self.was_broken |= entry is not None and db.is_expired(entry)
        return self.was_broken


def looks_like_int64(value: bytes) -> bool:
    """Whether Redis would store the value as an integer: its only decimal spelling, 64 bits."""
    digits = value.removeprefix(b"-")
    if not digits or len(digits) > 19 or not digits.isdigit():
        return False
    number = int(value)
    return INT64_MIN <= number <= INT64_MAX and str(number).encode() == value


def scan_position(key: bytes) -> int:
    """Where the key stands in SCAN's order: a number above zero that never changes."""
    return int.from_bytes(blake2b(key, digest_size=6).digest(), "big") + 1


class Keyspace:
    """All databases, the clock and the counters."""

    def __init__(self, databases: int = 16, arena_bytes: int = 0, huge_pages: bool = True) -> None:
        self._clock: Callable[[], int] | None = None
        self.now_ms = 0
        self.dirty = 0
        self.hits = self.misses = self.expired_keys = self.evicted_keys = 0
        self.active_expire = True
        self.lfu = False
        self.arena_bytes = arena_bytes or 1 << 30
        self.peak_bytes = 0
        self.relocated_bytes = self.relocated_records = 0
        self.frozen_segments = self.passed_segments = 0
        self.snapshot_progress = memoryview(bytearray(4096)).cast("Q")
        self.snapshot_contents: list[tuple[int, bytes, bytes, int]] | None = None
        self.databases = [Database(self, number) for number in range(databases)]
        self.tick()

    # clock

    def tick(self) -> None:
        self.now_ms = self._clock() if self._clock else time.time_ns() // 1_000_000

    def set_clock(self, clock: Callable[[], int] | None) -> None:
        self._clock = clock
        self.tick()

    # memory

    @property
    def live_bytes(self) -> int:
        return sum(len(key) + len(entry.value) for db in self.databases for key, entry in db.entries.items())

    @property
    def index_bytes(self) -> int:
        return sum(16 * len(db.entries) for db in self.databases)

    @property
    def used_bytes(self) -> int:
        used = self.live_bytes + self.index_bytes
        self.peak_bytes = max(self.peak_bytes, used)
        return used

    @property
    def arena_used_bytes(self) -> int:
        return self.live_bytes

    def evacuate(self, budget_us: int, thorough: bool = False) -> int:
        return 0

    def stats(self) -> dict[str, int]:
        return {"live_bytes": self.live_bytes, "index_bytes": self.index_bytes}

    # everything at once

    def swap(self, a: int, b: int) -> None:
        one, other = self.databases[a], self.databases[b]
        if one is not other:
            for key in one.entries.keys() | other.entries.keys():
                one.break_watches(key)
                other.break_watches(key)
            one.entries, other.entries = other.entries, one.entries
        self.dirty += 1

    def flush_all(self) -> int:
        return sum(db.flush() for db in self.databases)

    def expire_cycle(self, limit: int) -> int:
        due = [
            (db, key)
            for db in self.databases
            for key, entry in sorted(db.entries.items(), key=lambda item: item[1].expire_at_ms)
            if db.is_expired(entry)
        ][:limit]
        for db, key in due:
            db.drop_expired(key)
        return len(due)

    def check(self) -> None:
        for number, db in enumerate(self.databases):
            assert db.number == number
            for key, entry in db.entries.items():
                assert type(key) is bytes and type(entry.value) is bytes, (key, entry)
                assert entry.expire_at_ms >= 0, (key, entry)
            assert all(db.watchers.values()), "a watched key without watchers"

    # snapshot

    def snapshot_open(self, relocate: bool) -> None:
        assert self.snapshot_contents is None, "a snapshot is open"
        self.relocated_bytes = self.relocated_records = 0
        self.snapshot_contents = [
            (db.number, key, entry.value, entry.expire_at_ms)
            for db in self.databases
            for key, entry in db.entries.items()
        ]

    def snapshot_close(self) -> None:
        assert self.snapshot_contents is not None, "no snapshot is open"
        self.snapshot_contents = None


class Database:
    """One numbered database."""

    def __init__(self, keyspace: Keyspace, number: int) -> None:
        self.keyspace = keyspace
        self.number = number
        self.entries: dict[bytes, Entry] = {}
        self.watchers: dict[bytes, set[Watch]] = {}

    # what every method stands on

    def is_expired(self, entry: Entry) -> bool:
        """A key lives through the whole of its last millisecond."""
        return entry.expire_at_ms != NO_EXPIRY and self.keyspace.now_ms > entry.expire_at_ms

    def drop_expired(self, key: bytes) -> None:
        del self.entries[key]
        self.keyspace.expired_keys += 1
        self.break_watches(key)

    def find(self, key: bytes) -> Entry | None:
        """The live entry; an expired one is deleted on the way."""
        entry = self.entries.get(key)
        if entry is not None and self.is_expired(entry):
            self.drop_expired(key)
            return None
        return entry

    def read(self, key: bytes, stats: bool = True, touch: bool = True) -> Entry | None:
        entry = self.find(key)
        if stats and entry is not None:
            self.keyspace.hits += 1
        elif stats:
            self.keyspace.misses += 1
        if touch and entry is not None:
            entry.accessed_ms = self.keyspace.now_ms
        return entry

    def break_watches(self, key: bytes) -> None:
        for token in self.watchers.get(key, ()):
            token.was_broken = True

    def changed(self, key: bytes) -> None:
        self.keyspace.dirty += 1
        self.break_watches(key)

    def drop_all_expired(self) -> None:
        for key in [key for key, entry in self.entries.items() if self.is_expired(entry)]:
            self.drop_expired(key)

    # size

    def __len__(self) -> int:
        return len(self.entries)

    def __bool__(self) -> bool:
        return True

    @property
    def expires(self) -> int:
        return sum(entry.expire_at_ms != NO_EXPIRY for entry in self.entries.values())

    def average_ttl_ms(self) -> int:
        times = [entry.expire_at_ms for entry in self.entries.values() if entry.expire_at_ms != NO_EXPIRY]
        return max(0, sum(times) // len(times) - self.keyspace.now_ms) if times else 0

    # reads

    def lookup(self, key: bytes, stats: bool = True, touch: bool = True) -> int:
        return MISSING if self.read(key, stats, touch) is None else STRING

    def get(self, key: bytes) -> bytes | None:
        entry = self.read(key)
        return None if entry is None else entry.value

    def get_for_write(self, key: bytes) -> bytes | None:
        entry = self.read(key, stats=False)
        return None if entry is None else entry.value

    def strlen(self, key: bytes) -> int:
        entry = self.read(key)
        return 0 if entry is None else len(entry.value)

    def get_range(self, key: bytes, start: int, stop: int) -> bytes:
        entry = self.read(key, stats=False)
        return b"" if entry is None else entry.value[max(start, 0) : max(stop, 0)]

    # writes

    def make_sure_of(self, keys: int, nbytes: int) -> None:
        pass

    def set(
        self, key: bytes, value: bytes, expire_at_ms: int = NO_EXPIRY, keep_ttl: bool = False, encoding: int = AUTO
    ) -> None:
        old = self.find(key)
        if keep_ttl and old is not None:
            expire_at_ms = old.expire_at_ms
        self.entries[key] = Entry(value, expire_at_ms, encoding, self.keyspace.now_ms)
        self.changed(key)

    def set_range(self, key: bytes, offset: int, data: bytes) -> int:
        old = self.find(key)
        if not data:
            return 0 if old is None else len(old.value)
        before = b"" if old is None else old.value
        value = before[:offset].ljust(offset, b"\0") + data + before[offset + len(data) :]
        self.set(key, value, keep_ttl=True, encoding=RAW)
        return len(value)

    def increment(self, key: bytes, amount: int) -> int:
        old = self.find(key)
        if old is not None and not looks_like_int64(old.value):
            raise ValueError
        number = amount + (0 if old is None else int(old.value))
        if not INT64_MIN <= number <= INT64_MAX:
            raise OverflowError
        self.set(key, b"%d" % number, keep_ttl=True)
        return number

    def append(self, key: bytes, data: bytes) -> int:
        old = self.find(key)
        if old is None:
            self.set(key, data)
            return len(data)
        value = old.value + data
        self.set(key, value, keep_ttl=True, encoding=RAW)
        return len(value)

    def make_raw(self, key: bytes) -> None:
        entry = self.find(key)
        if entry is not None:
            entry.encoding = RAW

    def delete(self, key: bytes) -> bool:
        if self.find(key) is None:
            return False
        del self.entries[key]
        self.changed(key)
        return True

    # expiry

    def expire_at(self, key: bytes) -> int:
        entry = self.find(key)
        return MISSING if entry is None else entry.expire_at_ms

    def set_expire(self, key: bytes, at_ms: int) -> bool:
        entry = self.find(key)
        if entry is None:
            return False
        entry.expire_at_ms = at_ms
        self.changed(key)
        return True

    def persist(self, key: bytes) -> bool:
        entry = self.find(key)
        if entry is None or entry.expire_at_ms == NO_EXPIRY:
            return False
        entry.expire_at_ms = NO_EXPIRY
        self.changed(key)
        return True

    # whole values

    def rename(self, key: bytes, new_key: bytes) -> bool:
        entry = self.find(key)
        if entry is None:
            return False
        if key != new_key:
            self.entries[new_key] = self.entries.pop(key)
            self.break_watches(new_key)
            self.changed(key)
        return True

    def copy_to(self, key: bytes, target: "Database", new_key: bytes, replace: bool) -> bool:
        entry = self.find(key)
        if entry is None or (target.find(new_key) is not None and not replace):
            return False
        target.entries[new_key] = Entry(entry.value, entry.expire_at_ms, entry.encoding, self.keyspace.now_ms)
        target.changed(new_key)
        return True

    def move_to(self, key: bytes, target: "Database") -> bool:
        entry = self.find(key)
        if entry is None or target.find(key) is not None:
            return False
        target.entries[key] = self.entries.pop(key)
        target.break_watches(key)
        self.changed(key)
        return True

    def flush(self) -> int:
        removed = len(self.entries)
        for key in self.entries:
            self.break_watches(key)
        self.entries.clear()
        self.keyspace.dirty += removed
        return removed

    # many keys

    def random_key(self) -> bytes | None:
        self.drop_all_expired()
        return random.choice(list(self.entries)) if self.entries else None

    def keys(self) -> list[bytes]:
        return [key for key, entry in self.entries.items() if not self.is_expired(entry)]

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        self.drop_all_expired()
        ahead = sorted((scan_position(key), key) for key in self.entries if scan_position(key) > cursor)
        if len(ahead) <= count:
            return 0, [key for _, key in ahead]
        last = ahead[count - 1][0]
        return last, [key for position, key in ahead if position <= last]

    # about a key

    def encoding(self, key: bytes) -> bytes | None:
        entry = self.find(key)
        if entry is None:
            return None
        if entry.encoding == RAW or len(entry.value) > EMBSTR_LIMIT:
            return b"raw"
        return b"int" if entry.encoding == AUTO and looks_like_int64(entry.value) else b"embstr"

    def idle_seconds(self, key: bytes) -> int:
        entry = self.find(key)
        return MISSING if entry is None else max(0, self.keyspace.now_ms - entry.accessed_ms) // 1000

    def frequency(self, key: bytes) -> int:
        return MISSING if self.find(key) is None else LFU_NEW_KEY

    def memory_usage(self, key: bytes) -> int | None:
        entry = self.find(key)
        return None if entry is None else len(key) + len(entry.value) + 16

    # watching

    def watch(self, key: bytes, token: Watch) -> None:
        self.find(key)
        self.watchers.setdefault(key, set()).add(token)
        token.keys.add((self, key))

    def unwatch(self, token: Watch) -> None:
        for tokens in self.watchers.values():
            tokens.discard(token)
        self.watchers = {key: tokens for key, tokens in self.watchers.items() if tokens}
        token.keys = {(db, key) for db, key in token.keys if db is not self}
