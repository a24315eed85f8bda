# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""What has changed since the last point of the history: what a layer has to hold.

    map       a bit for each granule of the arena: a record, or a chunk or element, that begins there was written
    removals  a log of the keys that went
    contents  of each store of keys: which database it was at the last point, and whether it has been emptied since

There are two maps. One is being filled; at the fork they change places (hand_over), the child reads the one before,
and when its file is published that one is cleared. If the save fails, the two are joined again (settle). The log is
one piece: a place in it separates what has been handed over from what came later.

Maps and log are shared memory: a fork copies no page tables for them and write-protects nothing, and the child can
clear the map that it has read. While the history is off they are not there, and Arena.fresh is NULL.

A key that is there and not marked has the value that it had; a key that is not there and not in the log, and whose
database was not emptied, was not there before. Being marked without need costs bytes in a layer and nothing else.
Of a key's record the bit of its first granule means that the value changed as a whole. The root of a large hash, set,
sorted set or stream has a bit in its second granule if some of its elements changed. These are then marked, too: an
element of a spread collection where it begins; in a chunk of a chunked one any granule of it, or the chunk's first for
all. Elements that went are in the log. Those of a stream are its nodes; what it has behind them changes with them.
"""

import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy, memmove, memset
from cython.cimports.minikv.engine.arena import BITMAP_PER_SEGMENT, GRANULE_SHIFT, WORD_SHIFT, WORDS_PER_SEGMENT, Arena
from cython.cimports.minikv.engine.memory import share, unshare
from cython.cimports.minikv.engine.record import ConstBytes, length_size, write_length
from cython.cimports.posix.mman import madvise

from minikv.errors import ArenaFull

MADV_REMOVE = cython.declare(cython.int, 9)  # madvise(2) advice, Linux
# The log may take this many bytes, or this share of the data; beyond that a whole dump is the better way.
LOG_MIN = cython.declare(uint64_t, 1 << 20)
LOG_SHARE = cython.declare(uint64_t, 50)
LOG_ROOM_MIN = cython.declare(uint64_t, 16 << 20)
LANDINGS_READY = cython.declare(uint64_t, 4)  # segments


class Changes:
    """Of all stores of `arena`; the first `databases` are those of keys."""

    def __cinit__(self, arena: Arena, databases: int):
        self.arena = arena
        self.databases = databases
        self.contents = cython.cast(cython.pointer[Content], calloc(2 * self.databases, cython.sizeof(Content)))
        if self.contents == cython.NULL:
            raise MemoryError
        self.before = self.contents + self.databases
        self.map_bytes = cython.cast(uint64_t, arena.segment_count) * (BITMAP_PER_SEGMENT + 1)
        self.log_room = max((cython.cast(uint64_t, arena.segment_count) << 21) // LOG_SHARE, LOG_ROOM_MIN)

    def __dealloc__(self):
        free(self.contents)
        self._give_up()

    def _give_up(self) -> None:
        number: cython.int
        for number in range(2):
            unshare(self.maps[number], self.map_bytes)
            self.maps[number] = cython.NULL
        unshare(self.log, self.log_room)
        self.log = cython.NULL

    # On and off

    @property
    def on(self) -> bool:
        return self.arena.fresh != cython.NULL

    def start(self, homes: list[int]) -> None:
        """From now on note what changes; homes: the database that each store is. ArenaFull: no address space.

        If it is on already, what was noted is forgotten.
        """
        number: cython.int
        self.stop()
        for number in range(2):
            self.maps[number] = share(self.map_bytes)
        self.log = share(self.log_room)
        if self.maps[0] == cython.NULL or self.maps[1] == cython.NULL or self.log == cython.NULL:
            self._give_up()
            raise ArenaFull("there is no address space for what changes between layers")
        self.interval += 1
        self.log_end = self.handed_end = 0
        self.overflowed = False
        self._settle_homes(homes)
        self._fill(0)

    def stop(self) -> None:
        """Forget all; nothing is noted from now on."""
        self.arena.fresh = cython.NULL
        self.arena.touched = cython.NULL
        self.handed = False
        self._give_up()

    def _settle_homes(self, homes: list) -> None:
        number: cython.int
        for number in range(self.databases):
            self.contents[number].home = homes[number]
            self.contents[number].emptied = False
            self.contents[number].since = self.log_end

    def _fill(self, number: cython.int) -> cython.void:
        self.filling = number
        self.arena.fresh = cython.cast(cython.pointer[uint64_t], self.maps[number])
        self.arena.touched = self.maps[number] + cython.cast(uint64_t, self.arena.segment_count) * BITMAP_PER_SEGMENT

    # Removals

    def removed(self, store_number: uint32_t, key: ConstBytes, key_len: uint64_t) -> cython.void:
        """A key is gone."""
        at: cython.pointer[uint8_t] = self._append(store_number, key_len)
        if at != cython.NULL:
            memcpy(at, key, key_len)

    def removed_element(
        self, store_number: uint32_t, key: ConstBytes, key_len: uint64_t, name: ConstBytes, name_len: uint64_t
    ) -> cython.void:
        """An element of a key's collection is gone."""
        at: cython.pointer[uint8_t] = self._append(store_number | REMOVAL_ELEMENT, 4 + key_len + name_len)
        length: uint32_t = cython.cast(uint32_t, key_len)
        if at != cython.NULL:
            memcpy(at, cython.address(length), 4)
            memcpy(at + 4, key, key_len)
            memcpy(at + 4 + key_len, name, name_len)

    def _append(self, word: uint32_t, length: uint64_t) -> cython.pointer[uint8_t]:
        """Room in the log for a string; NULL: the log is full."""
        at: cython.pointer[uint8_t] = self.log + self.log_end
        size: uint64_t = REMOVAL_WORD + length_size(length) + length
        if (
            self.overflowed
            or self.log_end - self.handed_end + size > self._limit()
            or (self.log_end + size > self.log_room)
        ):
            self.overflowed = True
            return cython.NULL
        memcpy(at, cython.address(word), REMOVAL_WORD)
        self.log_end += size
        return write_length(at + REMOVAL_WORD, length, length_size(length))

    def is_crowded(self) -> cython.bint:
        """Whether the log is half full: then a whole collection is better than a list of what went."""
        return self.log_end - self.handed_end > self._limit() // 2

    def _limit(self) -> uint64_t:
        return max(LOG_MIN, self.arena.live_bytes // LOG_SHARE)

    def emptied(self, store_number: uint32_t) -> cython.void:
        """All keys of a store are gone."""
        self.contents[store_number].emptied = True
        self.contents[store_number].since = self.log_end

    # A save

    def hand_over(self, homes: list[int]) -> None:
        """A point is about to be saved: what was noted is for its child, and noting begins anew."""
        assert not self.handed
        memcpy(self.before, self.contents, self.databases * cython.sizeof(Content))
        self.overflowed_before = self.overflowed
        self.overflowed = False
        self.handed_end = self.log_end
        self.handed = True
        self.interval += 1
        self._settle_homes(homes)
        self._fill(1 - self.filling)
        self._make_ready()

    def _make_ready(self) -> None:
        """Where a thread is about to fork: marks of what is written meanwhile must not wait for memory."""
        first: uint64_t = self.arena.landing_next
        count: uint64_t = min(self.arena.landing_end - first, LANDINGS_READY) if self.arena.landing_end else 0
        if count:
            self.arena.make_ready(self.maps[self.filling] + first * BITMAP_PER_SEGMENT, count * BITMAP_PER_SEGMENT)
            self.arena.make_ready(self.arena.touched + first, count)

    def settle(self, saved: bool, cleared: bool = False) -> None:
        """The save is over. cleared: its child has cleared the map that it was handed."""
        number: cython.int
        if not self.handed:
            return
        self.handed = False
        if not saved:
            self._join()
            return
        if not cleared:
            clear_map(self.bits_before(), self.touched_before(), self.arena.high_water)
        memmove(self.log, self.log + self.handed_end, self.log_end - self.handed_end)
        self.log_end -= self.handed_end
        for number in range(self.databases):
            self.contents[number].since -= self.handed_end
        self.handed_end = 0

    def _join(self) -> cython.void:
        """Put what was handed over in front of what came later."""
        bits: cython.pointer[uint64_t] = self.bits_before()
        touched: cython.pointer[uint8_t] = self.touched_before()
        fresh: cython.pointer[uint64_t] = self.arena.fresh
        number: uint32_t
        word: uint64_t
        end: uint64_t
        for number in range(self.arena.high_water):
            if touched[number]:
                self.arena.touched[number] = 1
                word = cython.cast(uint64_t, number) * WORDS_PER_SEGMENT
                end = word + WORDS_PER_SEGMENT
                while word < end:
                    if bits[word]:
                        fresh[word] |= bits[word]
                    word += 1
        clear_map(bits, touched, self.arena.high_water)
        for number in range(self.databases):
            self.contents[number].home = self.before[number].home
            if not self.contents[number].emptied:
                self.contents[number].emptied = self.before[number].emptied
                self.contents[number].since = self.before[number].since
        self.overflowed = self.overflowed or self.overflowed_before
        self.handed_end = 0

    def had_mark(self, offset: uint64_t) -> cython.bint:
        """Whether what begins there is marked in the map that was handed over, whose outcome is not known."""
        return self.handed and (self.bits_before()[offset >> WORD_SHIFT] >> ((offset >> GRANULE_SHIFT) & 63)) & 1

    def bits_before(self) -> cython.pointer[uint64_t]:
        """The map that was handed over."""
        return cython.cast(cython.pointer[uint64_t], self.maps[1 - self.filling])

    def touched_before(self) -> cython.pointer[uint8_t]:
        return self.maps[1 - self.filling] + cython.cast(uint64_t, self.arena.segment_count) * BITMAP_PER_SEGMENT

    def origins(self) -> list[tuple[int, int]]:
        """At the hand-over, (database, which one it had been before; -1: emptied since) where that is not the same."""
        number: cython.int
        found: list = []
        for number in range(self.databases):
            if self.before[number].emptied:
                found.append((self.contents[number].home, -1))
            elif self.before[number].home != self.contents[number].home:
                found.append((self.contents[number].home, self.before[number].home))
        return sorted(found)


def clear_map(bits: cython.pointer[uint64_t], touched: cython.pointer[uint8_t], segments: uint64_t) -> cython.void:
    """Give back the memory of a map of this many segments; in every process that shares it. It reads as zero then."""
    if madvise(bits, segments * BITMAP_PER_SEGMENT, MADV_REMOVE) != 0:
        memset(bits, 0, segments * BITMAP_PER_SEGMENT)
    memset(touched, 0, segments)
