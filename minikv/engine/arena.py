# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""The arena: where records live, and what a snapshot freezes.

One reservation, cut into segments of 2 MiB. A segment belongs to one store (one database's data) and is of one kind:

    RECORDS     |record|record|....|record|      records of at most 32 KiB, on 8-byte granules
    PAGES       |run of pages|..|run of pag      jumbo records of at most 8 MiB, on 4 KiB pages
                es|run of pages|.........|
    NODES       |run of pages|..|run of pages|   nodes of chains (chain.py), the elements of large lists
    RUN         |one jumbo record ............|  a larger record or node, in consecutive segments of its own

A run of pages may reach from one segment into the next ones, if they are of the same kind and store: where values are
about half a MiB, nothing is lost at the border. It begins where its record's bit is, so its first segment answers for
it to the child, and its last one, which the child passes later, is where its death waits.

The bitmap `live` has a bit for each granule where a live record starts. It is the whole truth about record segments:
a record holds its own size, so the space between the end of one and the next bit is free. There is no free list.
Allocation takes bytes from the end of the segment being filled (bump); when that is full it looks for a segment with
dead space and fills the gaps between its live records one after another (sweep), and takes a new segment when there
is none. From time to time it looks back at what it has filled of the segment, too, so that a small store whose records
change does not take a whole one.

A segment is backed by one huge page, unless it is expected to stay mostly empty: a store's first one, and those that a
small store begins while a snapshot is open, are in 4 KiB pages, of which only those that are used take memory.
The last segments are a reserve for what makes something smaller: deletions, shorter values, evacuation.

A store that is dropped gives its segments back without a look at its records. That may be put off: the segments of a
retired store are freed a few at a time when there is time for it, or when others are needed.

While a snapshot is open in relocating mode, every segment that existed at the fork is frozen until the child has
passed it: nothing in it is written, its gaps are not filled, and a death in it is only queued (with its bit still
set) and carried out by `drain` once the child is past it or gone. Two things are left to the kernel's copy-on-write
on purpose: bytes of jumbo records that are edited in place, and nodes, whose segments are never frozen: pages are what
they are made of anyway.

Invariants (proved by Arena.check):
  1. live records of a segment do not overlap, and lie below its end
  2. Segment.live equals the granules of its live records (RECORDS), its pages in use (PAGES, NODES), its segments
     (RUN)
  3. a Heap's sums equal the sums over its segments
  4. a queued death ends in the segment that it waits for, one of the open or just ended snapshot, and its record's bit
     is set
  5. a free segment has no bit set
  6. resident_pages is the sum of what resident_of says of each segment
  7. the segments of a store are those that its heap's list leads to
"""

import mmap
from typing import Any

import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t, uintptr_t
from cython.cimports.libc.string import memset
from cython.cimports.minikv.engine.memory import (
    CLONE_RANGES,
    HUGE_SIZE,
    Link,
    LinkPool,
    collapse,
    give_back,
    reserve,
    unmap,
    use_huge_pages,
)
from cython.cimports.minikv.engine.progress import PROGRESS_WORDS, RANK_PASSED, RANK_TOTAL
from cython.cimports.minikv.engine.record import RECORD_MAX, TYPE_PART, Bytes, entry_size

NO_SEGMENT = cython.declare(uint32_t, 0xFFFFFFFF)
# A jumbo record or node of more pages than this gets segments of its own: what its last one leaves in small pages is
# then little beside the rest, and what is below can be moved in a few milliseconds.
RUN_MIN_PAGES = cython.declare(uint32_t, 2048)
NO_PAGE = cython.declare(uint64_t, 0)  # the arena's first page is not given out
# A heap's first segments of nodes are in small pages: what is not used of its last one must be small beside the rest.
SMALL_NODE_SEGMENTS = cython.declare(uint32_t, 4)
# New segments of pages begin where at least this many more are free behind them.
STRETCH = cython.declare(uint32_t, 8)
# While a snapshot is open, a store of fewer segments than this gets new ones in small pages: growth is what is written.
SMALL_STORE_SEGMENTS = cython.declare(uint32_t, 8)
# The reserve: at most this many segments, and at most this part of the arena.
RESERVED_SEGMENTS = cython.declare(uint32_t, 4)
RESERVED_SHARE = cython.declare(uint32_t, 8)
# Gaps looked at by one allocation before it takes bytes from the segment being filled instead.
GAPS_PER_ALLOCATION = cython.declare(cython.int, 16)
# The same in a store of one or two segments, of which dead space is a large part.
GAPS_IN_SMALL_STORE = cython.declare(cython.int, 128)
# The least bytes of a filling segment's tail that go back to the system when there is time.
TAIL_MIN_BYTES = cython.declare(uint64_t, 128 << 10)
# A store of fewer segments is not worth evacuating at once.
CROWDED_SEGMENTS = cython.declare(uint32_t, 8)
# A store looks back at what it has filled of a segment each time it has filled so much more.
LOOK_BACK_BYTES = cython.declare(uint64_t, 128 << 10)
POISON = cython.declare(cython.int, 0xDB)
# While a thread clones the process (some milliseconds), so many stores may begin a segment without waiting; memory that
# is touched before for the first of them, and for each of the next ones; and for deaths.
LANDING_SEGMENTS = cython.declare(uint32_t, 16)
LANDINGS_READY = cython.declare(uint32_t, 4)
FIRST_LANDING_BYTES = cython.declare(uint64_t, 512 << 10)
LANDING_BYTES = cython.declare(uint64_t, 64 << 10)
DEATHS_READY = cython.declare(uint64_t, 64 << 10)


class Arena:
    """`nbytes` of address space for `stores` databases' records."""

    def __cinit__(self, nbytes: cython.size_t, huge_pages: cython.bint = True):
        segments: cython.size_t = nbytes >> SEGMENT_SHIFT
        self.segment_count = cython.cast(uint32_t, segments)
        self.segment_limit = self.segment_count
        self.base = reserve(segments << SEGMENT_SHIFT, True)
        self.live = cython.cast(cython.pointer[uint64_t], reserve(segments * BITMAP_PER_SEGMENT, True))
        self.walk = cython.cast(cython.pointer[WalkItem], reserve(segments * cython.sizeof(WalkItem), True))
        self.segments = cython.cast(cython.pointer[Segment], reserve(segments * cython.sizeof(Segment), False))
        self.page_maps = cython.cast(cython.pointer[uint64_t], reserve(segments * 64, False))
        self.heaps = cython.cast(cython.pointer[Heap], reserve(STORES_MAX * cython.sizeof(Heap), False))
        self.spreads = cython.cast(cython.pointer[Spread], reserve(STORES_MAX * cython.sizeof(Spread), False))
        self.frozen_spreads = cython.cast(cython.pointer[Spread], reserve(STORES_MAX * cython.sizeof(Spread), True))
        self.deaths = LinkPool(nbytes // 8)
        self.huge_pages = huge_pages
        if huge_pages:
            use_huge_pages(self.base, segments << SEGMENT_SHIFT, True)
            # The bitmap of the first 128 MiB stays in small pages: a server with few keys does not pay for a huge one.
            if segments * BITMAP_PER_SEGMENT >= 2 * HUGE_SIZE:
                use_huge_pages(
                    cython.cast(Bytes, self.live) + HUGE_SIZE,
                    (segments * BITMAP_PER_SEGMENT - HUGE_SIZE) & ~cython.cast(cython.size_t, HUGE_SIZE - 1),
                    True,
                )

    def __init__(self, nbytes: int, huge_pages: bool = True) -> None:
        self.progress_page = mmap.mmap(-1, PROGRESS_WORDS * 8, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        view: cython.uchar[::1] = self.progress_page
        self.progress = cython.cast(cython.pointer[uint64_t], cython.address(view[0]))

    def __dealloc__(self):
        segments: cython.size_t = self.segment_count
        unmap(self.base, segments << SEGMENT_SHIFT)
        unmap(cython.cast(Bytes, self.live), segments * BITMAP_PER_SEGMENT)
        unmap(cython.cast(Bytes, self.walk), segments * cython.sizeof(WalkItem))
        unmap(cython.cast(Bytes, self.segments), segments * cython.sizeof(Segment))
        unmap(cython.cast(Bytes, self.page_maps), segments * 64)
        unmap(cython.cast(Bytes, self.heaps), STORES_MAX * cython.sizeof(Heap))
        unmap(cython.cast(Bytes, self.spreads), STORES_MAX * cython.sizeof(Spread))
        unmap(cython.cast(Bytes, self.frozen_spreads), STORES_MAX * cython.sizeof(Spread))

    # Questions about an offset

    def is_frozen(self, offset: uint64_t) -> cython.bint:
        """True while the child may still read the record at this offset."""
        return self.segments[offset >> SEGMENT_SHIFT].rank > self.progress[RANK_PASSED]

    def is_jumbo(self, offset: uint64_t) -> cython.bint:
        """True for a record in pages."""
        return self.segments[offset >> SEGMENT_SHIFT].kind != RECORDS

    def is_live(self, offset: uint64_t) -> cython.bint:
        """True if a live record starts here."""
        return (self.live[offset >> WORD_SHIFT] >> ((offset >> GRANULE_SHIFT) & 63)) & 1

    def _set_live(self, offset: uint64_t) -> cython.void:
        self.live[offset >> WORD_SHIFT] |= cython.cast(uint64_t, 1) << ((offset >> GRANULE_SHIFT) & 63)
        mark(self, offset)

    def _clear_live(self, offset: uint64_t) -> cython.void:
        self.live[offset >> WORD_SHIFT] &= ~(cython.cast(uint64_t, 1) << ((offset >> GRANULE_SHIFT) & 63))

    # Allocation

    def allocate(self, store_number: uint32_t, nbytes: uint64_t) -> uint64_t:
        """Room for a record, marked live; 0 when the arena is full. The caller writes it before any other call."""
        return self._allocate(store_number, nbytes, False)

    def allocate_fresh(self, store_number: uint32_t, nbytes: uint64_t) -> uint64_t:
        """The same for a record that is being moved: never into a gap, so that what is moved becomes dense."""
        return self._allocate(store_number, nbytes, True)

    def _allocate(self, store_number: uint32_t, nbytes: uint64_t, fresh: cython.bint) -> uint64_t:
        pages: uint64_t
        offset: uint64_t
        if nbytes <= RECORD_MAX:
            return self._allocate_record(
                store_number, cython.cast(uint32_t, (nbytes + GRANULE - 1) >> GRANULE_SHIFT), fresh
            )
        pages = (nbytes + 4095) >> PAGE_SHIFT
        if pages <= RUN_MIN_PAGES:
            offset = self._allocate_pages(store_number, cython.cast(uint32_t, pages), PAGES, fresh)
        else:
            offset = self._allocate_run(store_number, nbytes)
        if offset:
            self._set_live(offset)
        return offset

    def has_room(self, store_number: uint32_t, nbytes: uint64_t) -> cython.bint:
        """True if records of `nbytes` together, however they are cut, surely find room."""
        free: uint64_t = self._free_segments()
        return nbytes <= min(self.heaps[store_number].bump_end - self.heaps[store_number].bump, RECORD_MAX) or (
            # A record may leave up to half of a segment, or of a run of them, unused.
            free >= 2 + (nbytes >> (SEGMENT_SHIFT - 1))
        )

    def _allocate_record(self, store_number: uint32_t, granules: uint32_t, fresh: cython.bint) -> uint64_t:
        """From the gap being filled, else from the segment being filled, else from where there is more."""
        heap: cython.pointer[Heap] = cython.address(self.heaps[store_number])
        nbytes: uint64_t = cython.cast(uint64_t, granules) << GRANULE_SHIFT
        offset: uint64_t
        tries: cython.int = GAPS_PER_ALLOCATION if heap.record_segments > 2 else GAPS_IN_SMALL_STORE
        in_gap: cython.bint = (
            heap.sweep_end
            and not fresh
            and (heap.gap + nbytes <= heap.gap_end or self._find_gap(heap, granules, tries))
        )
        if not in_gap and heap.bump >= heap.look_back and not fresh and self._look_back(heap):
            in_gap = self._find_gap(heap, granules, tries)
        if not in_gap and heap.bump + nbytes > heap.bump_end:
            in_gap = (
                not fresh
                and not heap.sweep_end
                and self._start_sweep(store_number, heap)
                and self._find_gap(heap, granules, tries)
            )
            if not in_gap and not self._refill(store_number, heap):
                in_gap = not fresh and self._search_gaps(store_number, heap, granules)
                if not in_gap:
                    return 0
        if in_gap:
            offset = heap.gap
            heap.gap += nbytes
        else:
            offset = heap.bump
            heap.bump += nbytes
        self._set_live(offset)
        segment: cython.pointer[Segment] = cython.address(self.segments[offset >> SEGMENT_SHIFT])
        segment.live += granules
        if segment.small:
            pages: uint32_t = 1 + cython.cast(uint32_t, ((offset + nbytes - 1) & (SEGMENT_SIZE - 1)) >> PAGE_SHIFT)
            if pages > segment.touched:
                self.resident_pages += pages - segment.touched
                segment.touched = pages
        heap.live_granules += granules
        self.live_bytes += nbytes
        return offset

    def _search_gaps(self, store_number: uint32_t, heap: cython.pointer[Heap], granules: uint32_t) -> cython.bint:
        """The arena is full: look through every gap of the store once."""
        _step: uint32_t
        for _step in range(heap.record_segments + 1):
            if heap.sweep_end == 0 and not self._start_sweep(store_number, heap):
                return False
            if self._find_gap(heap, granules, GRANULES_PER_SEGMENT):
                return True
        return False

    def _find_gap(self, heap: cython.pointer[Heap], granules: uint32_t, tries: cython.int) -> cython.bint:
        """Move on to a gap of at least `granules`, past `tries` others at most; the sweep ends with its segment."""
        _try: cython.int
        for _try in range(tries):
            if not self._next_gap(heap):
                swept: uint64_t = heap.sweep_end
                heap.sweep_end = 0
                self._leave(swept)
                return False
            if (heap.gap_end - heap.gap) >> GRANULE_SHIFT >= granules:
                return True
        return False

    def _next_gap(self, heap: cython.pointer[Heap]) -> cython.bint:
        """Find the gap behind the live records at gap_end; False at the end of the segment."""
        at: uint64_t = heap.gap_end
        while at < heap.sweep_end and self.is_live(at):
            at += (entry_size(heap.kind, self.base + at) + GRANULE - 1) & ~cython.cast(uint64_t, GRANULE - 1)
        heap.gap = at
        heap.gap_end = next_live(self.live, at, heap.sweep_end)
        return at < heap.sweep_end

    def _start_sweep(self, store_number: uint32_t, heap: cython.pointer[Heap]) -> cython.bint:
        """Choose the next segment of which at least an eighth is dead."""
        _step: uint32_t
        number: uint32_t = heap.sweep_next
        segment: cython.pointer[Segment]
        total: uint64_t = cython.cast(uint64_t, heap.record_segments) * GRANULES_PER_SEGMENT
        if (total - heap.live_granules) * 8 < total:
            return False
        for _step in range(self.high_water):
            number += 1
            if number >= self.high_water:
                number = 0
            segment = cython.address(self.segments[number])
            if (
                segment.kind == RECORDS
                and segment.store_number == store_number
                and segment.live <= GRANULES_PER_SEGMENT // 8 * 7
                and segment.rank <= self.progress[RANK_PASSED]
                and not segment.evacuating
                and segment_end(number) != heap.bump_end
            ):
                heap.sweep_next = number
                heap.sweep_end = segment_end(number)
                heap.gap = heap.gap_end = segment_start(number)
                return True
        return False

    def _look_back(self, heap: cython.pointer[Heap]) -> cython.bint:
        """Sweep what has been filled of the segment if a quarter of it is dead."""
        start: uint64_t
        number: uint64_t = heap.bump >> SEGMENT_SHIFT
        heap.look_back = heap.bump + LOOK_BACK_BYTES
        if heap.bump == heap.bump_end or heap.sweep_end:
            return False
        start = segment_start(number)
        if ((heap.bump - start) >> GRANULE_SHIFT) * 3 < cython.cast(uint64_t, self.segments[number].live) * 4:
            return False
        heap.gap = heap.gap_end = start
        heap.sweep_end = heap.bump
        return True

    def _is_filling(self, number: uint32_t) -> cython.bint:
        """True for a segment that its store is filling or sweeping."""
        heap: cython.pointer[Heap] = cython.address(self.heaps[self.segments[number].store_number])
        return segment_end(number) == heap.bump_end or (
            heap.sweep_end != 0 and number == (heap.sweep_end - 1) >> SEGMENT_SHIFT
        )

    def _leave(self, end: uint64_t) -> cython.void:
        """Give the segment that ends at `end` back if it holds nothing, and is no longer being filled or swept."""
        number: uint32_t = cython.cast(uint32_t, (end - 1) >> SEGMENT_SHIFT)
        if (
            end
            and self.segments[number].live == 0
            and self.segments[number].kind == RECORDS
            and not self.heaps[self.segments[number].store_number].retired
            and not self._is_filling(number)
        ):
            self._free_segment(number)

    def _refill(self, store_number: uint32_t, heap: cython.pointer[Heap]) -> cython.bint:
        """Take a new segment to fill."""
        number: uint32_t = NO_SEGMENT
        if self.landing_end:
            number = self._land(store_number)
        if number == NO_SEGMENT:
            number = self._take_segments(1, RECORDS, store_number)
        if number == NO_SEGMENT:
            return False
        old_end: uint64_t = heap.bump_end
        old: uint32_t = cython.cast(uint32_t, (old_end - 1) >> SEGMENT_SHIFT)
        if heap.record_segments == 0 or (
            self.relocating and (old_end == 0 or heap.record_segments < SMALL_STORE_SEGMENTS)
        ):
            self._make_small(number)
        heap.record_segments += 1
        heap.bump = segment_start(number)
        heap.bump_end = segment_end(number)
        heap.look_back = heap.bump + LOOK_BACK_BYTES
        self.crowded |= (
            not self.snapshot_is_open
            and heap.record_segments >= CROWDED_SEGMENTS
            and heap.live_granules * 4 < cython.cast(uint64_t, heap.record_segments) * GRANULES_PER_SEGMENT * 3
        )
        self._leave(old_end)
        if old_end and self.segments[old].small and not self.snapshot_is_open:
            self._make_huge(old)
        return True

    def _free_segments(self) -> uint32_t:
        """How many segments may still be taken, those of retired stores included."""
        limit: uint32_t = min(self.segment_limit, self.segment_count)
        taken: uint32_t = self.segments_used - self.retired_segments
        if not self.may_use_reserve:
            taken += min(RESERVED_SEGMENTS, limit // RESERVED_SHARE)
        return limit - taken if taken < limit else 0

    def _find_free(self, count: uint32_t) -> uint32_t:
        """The first of `count` consecutive free segments that may be taken; NO_SEGMENT if there are none."""
        number: uint32_t
        if self.landing_end:
            self._leave_landing()
        if not self._can_take(count):
            return NO_SEGMENT
        number = self._search_free(count)
        if number == NO_SEGMENT and self.free_retired(self.retired_segments):
            number = self._search_free(count)
        return number

    def _can_take(self, count: uint32_t) -> cython.bint:
        """True if `count` segments may be taken; frees those of retired stores as far as that needs."""
        limit: uint32_t = min(self.segment_limit, self.segment_count)
        if count > self._free_segments():
            return False
        if count + self.segments_used > limit:
            self.free_retired(count + self.segments_used - limit)
        return True

    def _search_free(self, count: uint32_t) -> uint32_t:
        number: uint32_t = self.free_hint
        found: uint32_t = 0
        limit: uint32_t = min(self.segment_limit, self.segment_count)
        while number < limit:
            found = found + 1 if self.segments[number].kind == FREE else 0
            number += 1
            if found == count:
                return number - count
        return NO_SEGMENT

    def _take_segments(self, count: uint32_t, kind: uint8_t, store_number: uint32_t) -> uint32_t:
        """The first of `count` consecutive segments that were free."""
        number: uint32_t = self._find_free(count)
        if number != NO_SEGMENT:
            self._claim(number, count, kind, store_number)
        return number

    def _can_claim(self, first: uint32_t, count: uint32_t) -> cython.bint:
        """True if these segments are free, and may be taken."""
        number: uint32_t = first
        if self.landing_end:
            self._leave_landing()
        if first + count > min(self.segment_limit, self.segment_count) or not self._can_take(count):
            return False
        while number < first + count and self.segments[number].kind == FREE:
            number += 1
        return number == first + count

    def _claim(self, first: uint32_t, count: uint32_t, kind: uint8_t, store_number: uint32_t) -> cython.void:
        """Take free segments; of a run the first is of the kind RUN, the others are its tail."""
        number: uint32_t
        segment: cython.pointer[Segment]
        heap: cython.pointer[Heap] = cython.address(self.heaps[store_number])
        if first == self.free_hint:
            self.free_hint = first + count
        self.high_water = max(self.high_water, first + count)
        self.stores_used = max(self.stores_used, store_number + 1)
        self.segments_used += count
        for number in range(first, first + count):
            segment = cython.address(self.segments[number])
            self.marked_segments += not segment.marked
            segment.kind = RUN_TAIL if kind == RUN and number != first else kind
            segment.store_number = store_number
            segment.rank = 0
            segment.live = 0
            segment.touched = 0
            segment.evacuating = False
            segment.small = not self.huge_pages
            segment.marked = True
            segment.previous = 0
            segment.next = heap.first_segment
            if segment.next:
                self.segments[segment.next - 1].previous = number + 1
            heap.first_segment = number + 1
            self.resident_pages += resident_of(segment)

    def _free_segment(self, number: uint32_t) -> cython.void:
        """Give one segment without live records back to the system."""
        self.await_clone()
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        heap: cython.pointer[Heap] = cython.address(self.heaps[segment.store_number])
        if segment.kind == RECORDS:
            heap.record_segments -= 1
        elif segment.kind == PAGES or segment.kind == NODES:
            heap.page_segments -= 1
            heap.node_segments -= segment.kind == NODES
            memset(self.page_maps + cython.cast(cython.size_t, number) * 8, 0, 64)
        elif segment.kind == RUN:
            self.live_bytes -= cython.cast(uint64_t, segment.touched) << PAGE_SHIFT
        if segment.kind == RUN or segment.kind == RUN_TAIL:
            heap.run_segments -= 1
        if segment.previous:
            self.segments[segment.previous - 1].next = segment.next
        else:
            heap.first_segment = segment.next
        if segment.next:
            self.segments[segment.next - 1].previous = segment.previous
        self.retired_segments -= heap.retired
        self.resident_pages -= resident_of(segment)
        segment.kind = FREE
        segment.rank = 0
        segment.live = 0
        segment.evacuating = False
        if segment.small and self.huge_pages:
            use_huge_pages(self.base + (cython.cast(uint64_t, number) << SEGMENT_SHIFT), SEGMENT_SIZE, True)
        segment.small = False
        give_back(self.base + (cython.cast(uint64_t, number) << SEGMENT_SHIFT), SEGMENT_SIZE)
        self.segments_used -= 1
        self.free_hint = min(self.free_hint, number)

    def allocate_node(self, store_number: uint32_t, pages: uint32_t) -> uint64_t:
        """Room for a node of a chain, which has no bit in the bitmap; 0 when the arena is full."""
        if pages <= RUN_MIN_PAGES:
            return self._allocate_pages(store_number, pages, NODES, False)
        return self._allocate_run(store_number, cython.cast(uint64_t, pages) << PAGE_SHIFT)

    def free_node(self, offset: uint64_t, pages: uint32_t) -> cython.void:
        """Take a node's pages back; a child keeps its own view of them."""
        self.await_clone()
        if self.poison:
            memset(self.base + offset, POISON, cython.cast(cython.size_t, pages) << PAGE_SHIFT)
        if pages <= RUN_MIN_PAGES:
            self._free_pages(offset, pages)
        else:
            self._free_run(cython.cast(uint32_t, offset >> SEGMENT_SHIFT))

    def _allocate_pages(self, store_number: uint32_t, pages: uint32_t, kind: uint8_t, fresh: cython.bint) -> uint64_t:
        """A run of at most RUN_MIN_PAGES pages in segments of this kind."""
        heap: cython.pointer[Heap] = cython.address(self.heaps[store_number])
        free: uint64_t = cython.cast(uint64_t, heap.page_segments) * PAGES_PER_SEGMENT - heap.live_pages
        page: uint64_t = NO_PAGE
        if free >= pages and not fresh:
            page = self._find_pages(store_number, pages, kind)
        if page == NO_PAGE:
            page = self._append_pages(store_number, pages, kind)
        if page == NO_PAGE and free >= pages and fresh:
            page = self._find_pages(store_number, pages, kind)
        if page == NO_PAGE:
            return 0
        self._mark_pages(page, pages, True)
        heap.page_next = cython.cast(uint32_t, (page + pages - 1) // PAGES_PER_SEGMENT)
        heap.live_pages += pages
        self.live_bytes += cython.cast(uint64_t, pages) << PAGE_SHIFT
        return page << PAGE_SHIFT

    def _takes_pages(self, number: uint32_t, store_number: uint32_t, kind: uint8_t) -> cython.bint:
        """True for a segment whose free pages may be given out."""
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        return (
            segment.kind == kind
            and segment.store_number == store_number
            and (kind == NODES or segment.rank <= self.progress[RANK_PASSED])
            and not segment.evacuating
        )

    def _find_pages(self, store_number: uint32_t, pages: uint32_t, kind: uint8_t) -> uint64_t:
        """The first of `pages` consecutive free pages, perhaps in several segments, from page_next on; or NO_PAGE."""
        number: uint32_t = self.heaps[store_number].page_next
        _step: uint32_t
        word: uint32_t
        bit: uint32_t
        bits: uint64_t
        found: uint32_t = 0  # free pages in a row, up to the place that is looked at
        for _step in range(self.high_water):
            if number >= self.high_water:
                number = found = 0
            if not self._takes_pages(number, store_number, kind) or self.segments[number].live == PAGES_PER_SEGMENT:
                number += 1
                found = 0
                continue
            for word in range(8 * number, 8 * number + 8):
                bits = self.page_maps[word]
                if bits == 0 or ~bits == 0:
                    found = 0 if bits else found + 64
                    if found >= pages:
                        return cython.cast(uint64_t, word + 1) * 64 - found
                    continue
                for bit in range(64):
                    found = 0 if (bits >> bit) & 1 else found + 1
                    if found == pages:
                        return cython.cast(uint64_t, word) * 64 + bit + 1 - found
            number += 1
        return NO_PAGE

    def _append_pages(self, store_number: uint32_t, pages: uint32_t, kind: uint8_t) -> uint64_t:
        """A run behind the one that was appended last, from its segment into new ones; NO_PAGE: the arena is full."""
        heap: cython.pointer[Heap] = cython.address(self.heaps[store_number])
        first: uint32_t = heap.page_end + 1
        number: uint32_t
        count: uint32_t
        tail: uint32_t = 0
        if heap.page_segments and self._takes_pages(heap.page_end, store_number, kind):
            tail = free_tail(self.page_maps + cython.cast(cython.size_t, heap.page_end) * 8)
        count = (pages - min(tail, pages) + PAGES_PER_SEGMENT - 1) // PAGES_PER_SEGMENT
        if tail == 0 or not self._can_claim(first, count):
            tail = 0
            count = (pages + (self.free_hint == 0) + PAGES_PER_SEGMENT - 1) // PAGES_PER_SEGMENT
            # Where there is room for more behind them, at best: pages are lost at the ends of such stretches.
            first = self._find_free(count + STRETCH)
            if first == NO_SEGMENT:
                first = self._find_free(count)
            if first == NO_SEGMENT:
                return NO_PAGE
        if count:
            self._claim(first, count, kind, store_number)
        for number in range(first, first + count):
            self._start_pages(number)
        heap.page_end = first + count - 1
        return cython.cast(uint64_t, first) * PAGES_PER_SEGMENT - tail + (first == 0)

    def _start_pages(self, number: uint32_t) -> cython.void:
        """Count a new segment of pages."""
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        heap: cython.pointer[Heap] = cython.address(self.heaps[segment.store_number])
        if (
            heap.node_segments < SMALL_NODE_SEGMENTS
            if segment.kind == NODES
            else heap.page_segments == 0 or (self.relocating and heap.page_segments < SMALL_STORE_SEGMENTS)
        ):
            self._make_small(number)
        heap.page_segments += 1
        heap.node_segments += segment.kind == NODES
        if number == 0:
            # Offset 0 means none: the arena's first page is not given out.
            self._mark_pages(0, 1, True)
            heap.live_pages += 1
            self.live_bytes += 1 << PAGE_SHIFT

    def _mark_pages(self, page: uint64_t, pages: uint64_t, used: cython.bint) -> cython.void:
        """Note that a run of pages is used or free, in each of its segments."""
        segment: cython.pointer[Segment]
        first: uint32_t
        count: uint32_t
        while pages:
            segment = cython.address(self.segments[page >> (SEGMENT_SHIFT - PAGE_SHIFT)])
            first = cython.cast(uint32_t, page & (PAGES_PER_SEGMENT - 1))
            count = cython.cast(uint32_t, min(pages, cython.cast(uint64_t, PAGES_PER_SEGMENT - first)))
            self.resident_pages -= resident_of(segment)
            if used:
                segment.live += count
                segment.touched = max(segment.touched, first + count)
            else:
                segment.live -= count
            self.resident_pages += resident_of(segment)
            set_pages(self.page_maps, page, count, used)
            page += count
            pages -= count

    def _allocate_run(self, store_number: uint32_t, nbytes: uint64_t) -> uint64_t:
        """Consecutive segments; the first page of the arena is left out when the run begins there."""
        skipped: uint64_t = 4096 if self.free_hint == 0 else 0
        pages: uint32_t = cython.cast(uint32_t, (nbytes + 4095) >> PAGE_SHIFT)
        count: uint32_t = cython.cast(uint32_t, (nbytes + skipped + SEGMENT_SIZE - 1) >> SEGMENT_SHIFT)
        number: uint32_t = self._take_segments(count, RUN, store_number)
        if number == NO_SEGMENT:
            return 0
        self.segments[number].live = count
        self.heaps[store_number].run_segments += count
        self.segments[number].touched = pages
        self.resident_pages += pages
        self.live_bytes += cython.cast(uint64_t, pages) << PAGE_SHIFT
        offset: uint64_t = (cython.cast(uint64_t, number) << SEGMENT_SHIFT) + (4096 if number == 0 else 0)
        # The tail beyond the value stays untouched, which costs nothing in small pages.
        self._make_small(number + count - 1)
        return offset

    def _make_small(self, number: uint32_t) -> cython.void:
        """Back a segment that will stay mostly empty by 4 KiB pages."""
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        if self.huge_pages and not segment.small:
            # A Populator may have put a huge page there already.
            give_back(self.base + (cython.cast(uint64_t, number) << SEGMENT_SHIFT), SEGMENT_SIZE)
            use_huge_pages(self.base + (cython.cast(uint64_t, number) << SEGMENT_SHIFT), SEGMENT_SIZE, False)
            self.resident_pages -= resident_of(segment)
            segment.small = True
            self.resident_pages += resident_of(segment)

    def _make_huge(self, number: uint32_t) -> cython.void:
        """Back a segment that has become full by a huge page: a fork copies one entry of its tables, not 512."""
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        if self.huge_pages and segment.live > GRANULES_PER_SEGMENT // 8 * 7:
            self.resident_pages -= resident_of(segment)
            collapse(self.base + (cython.cast(uint64_t, number) << SEGMENT_SHIFT), SEGMENT_SIZE)
            segment.small = False
            self.resident_pages += resident_of(segment)

    def _leave_empty(self, heap: cython.pointer[Heap]) -> cython.void:
        """Give the segments that a store without records fills and sweeps back."""
        bump_end: uint64_t = heap.bump_end
        sweep_end: uint64_t = heap.sweep_end
        if heap.live_granules == 0 and heap.record_segments:
            heap.bump = heap.bump_end = heap.gap = heap.gap_end = heap.sweep_end = 0
            self._leave(bump_end)
            self._leave(sweep_end)

    def give_tails_back(self, stores: uint32_t) -> None:
        """Give the memory of the first stores' segments that are being filled back, as far as they are empty.

        For quiet times: what is written there next takes small pages, until the segment is full.
        """
        store_number: uint32_t
        tail: uint64_t
        number: uint32_t
        for store_number in range(min(stores, self.stores_used)):
            self._leave_empty(cython.address(self.heaps[store_number]))
            tail = (self.heaps[store_number].bump + 4095) & ~cython.cast(uint64_t, 4095)
            if tail + TAIL_MIN_BYTES > self.heaps[store_number].bump_end:
                continue
            number = cython.cast(uint32_t, tail >> SEGMENT_SHIFT)
            if self.huge_pages and not self.segments[number].small:
                self.resident_pages -= resident_of(cython.address(self.segments[number]))
                use_huge_pages(self.base + tail, self.heaps[store_number].bump_end - tail, False)
                give_back(self.base + tail, self.heaps[store_number].bump_end - tail)
                self.segments[number].small = True
                self.segments[number].touched = cython.cast(uint32_t, (tail & (SEGMENT_SIZE - 1)) >> PAGE_SHIFT)
                self.resident_pages += resident_of(cython.address(self.segments[number]))

    def fits(self, offset: uint64_t, old_size: uint64_t, new_size: uint64_t) -> cython.bint:
        """True if a record of `new_size` may be written over the one of `old_size`, no more and no less room taken.

        The caller then does so: it counts as changed.
        """
        fits: cython.bint
        if self.is_frozen(offset):
            return False
        if not self.is_jumbo(offset):
            fits = (
                new_size <= RECORD_MAX
                and (old_size + GRANULE - 1) >> GRANULE_SHIFT == (new_size + GRANULE - 1) >> GRANULE_SHIFT
            )
        else:
            fits = new_size > RECORD_MAX and (old_size + 4095) >> PAGE_SHIFT == (new_size + 4095) >> PAGE_SHIFT
        if fits:
            mark(self, offset)
        return fits

    def grow_in_place(self, offset: uint64_t, old_size: uint64_t, new_size: uint64_t) -> cython.bint:
        """Make room for a jumbo record to grow in place; False if it has to move."""
        number: uint32_t = cython.cast(uint32_t, offset >> SEGMENT_SHIFT)
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        old_pages: uint64_t = (old_size + 4095) >> PAGE_SHIFT
        new_pages: uint64_t = (new_size + 4095) >> PAGE_SHIFT
        end: uint64_t = (offset >> PAGE_SHIFT) + old_pages
        new_end: uint64_t = (offset >> PAGE_SHIFT) + new_pages
        page: uint64_t
        wanted: uint32_t
        if segment.kind == PAGES:
            # Within its last segment: it is that one whose turn with the child a death waits for.
            if new_pages > RUN_MIN_PAGES or (new_end - 1) // PAGES_PER_SEGMENT != (end - 1) // PAGES_PER_SEGMENT:
                return new_pages == old_pages
            for page in range(end, new_end):
                if (self.page_maps[page >> 6] >> (page & 63)) & 1:
                    return False
            self._mark_pages(end, new_pages - old_pages, True)
            self.heaps[segment.store_number].live_pages += new_pages - old_pages
            self.live_bytes += (new_pages - old_pages) << PAGE_SHIFT
            return True
        wanted = cython.cast(uint32_t, ((offset & (SEGMENT_SIZE - 1)) + new_size + SEGMENT_SIZE - 1) >> SEGMENT_SHIFT)
        if wanted > segment.live:
            if not self._can_claim(number + segment.live, wanted - segment.live):
                return False
            self._claim(number + segment.live, wanted - segment.live, RUN_TAIL, segment.store_number)
            self.heaps[segment.store_number].run_segments += wanted - segment.live
            self._make_small(number + wanted - 1)
            segment.live = wanted
        segment.touched = cython.cast(uint32_t, new_pages)
        self.resident_pages += new_pages - old_pages
        self.live_bytes += (new_pages - old_pages) << PAGE_SHIFT
        return True

    # Deaths

    def kill(self, offset: uint64_t, nbytes: uint64_t) -> cython.void:
        """The record of `nbytes` at `offset` is no longer reachable."""
        segment: cython.pointer[Segment] = cython.address(self.segments[offset >> SEGMENT_SHIFT])
        link: uint32_t = 0
        if segment.kind == PAGES:
            segment = cython.address(self.segments[(offset + nbytes - 1) >> SEGMENT_SHIFT])
        if segment.rank > self.progress[RANK_PASSED]:
            link = self.deaths.allocate()
        if link == 0:
            # Should the links ever run out, a frozen record is freed at once: the child has its own view of it, and the
            # gap is not filled before the child has passed. It costs a copied page of the bitmap.
            if segment.rank > self.progress[RANK_PASSED]:
                self.await_clone()
            self._free_now(offset, nbytes)
            return
        self.deaths.links[link].offset = offset
        self.deaths.links[link].granules = cython.cast(uint32_t, (nbytes + GRANULE - 1) >> GRANULE_SHIFT)
        self.deaths.links[link].next = segment.deferred
        segment.deferred = link
        self.deferred_deaths += 1
        nbytes = self._rounded(segment, nbytes)
        self.heaps[segment.store_number].deferred_bytes += nbytes
        self.deferred_bytes += nbytes

    def _rounded(self, segment: cython.pointer[Segment], nbytes: uint64_t) -> uint64_t:
        """What a record of `nbytes` takes in a segment."""
        unit: uint64_t = GRANULE if segment.kind == RECORDS else 4096
        return (nbytes + unit - 1) & ~(unit - 1)

    def _free_now(self, offset: uint64_t, nbytes: uint64_t) -> cython.void:
        number: uint32_t = cython.cast(uint32_t, offset >> SEGMENT_SHIFT)
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        heap: cython.pointer[Heap] = cython.address(self.heaps[segment.store_number])
        units: uint32_t
        self._clear_live(offset)
        if self.poison:
            memset(self.base + offset, POISON, nbytes)
        if segment.kind == RECORDS:
            units = cython.cast(uint32_t, (nbytes + GRANULE - 1) >> GRANULE_SHIFT)
            segment.live -= units
            heap.live_granules -= units
            self.live_bytes -= cython.cast(uint64_t, units) << GRANULE_SHIFT
            if segment.live == 0 and not self._is_filling(number):
                self._free_segment(number)
        elif segment.kind == PAGES:
            self._free_pages(offset, cython.cast(uint32_t, (nbytes + 4095) >> PAGE_SHIFT))
        else:
            self._free_run(number)

    def _free_run(self, number: uint32_t) -> cython.void:
        count: uint32_t = self.segments[number].live
        tail: uint32_t
        for tail in range(number, number + count):
            self._free_segment(tail)

    def _free_pages(self, offset: uint64_t, pages: uint32_t) -> cython.void:
        first: uint32_t = cython.cast(uint32_t, offset >> SEGMENT_SHIFT)
        last: uint32_t = cython.cast(uint32_t, ((offset >> PAGE_SHIFT) + pages - 1) // PAGES_PER_SEGMENT)
        number: uint32_t
        heap: cython.pointer[Heap] = cython.address(self.heaps[self.segments[first].store_number])
        if self.segments[first].kind == NODES and not self.poison:
            # Nodes are not moved together, so their memory goes back page by page.
            give_back(self.base + offset, cython.cast(cython.size_t, pages) << PAGE_SHIFT)
        self._mark_pages(offset >> PAGE_SHIFT, pages, False)
        heap.live_pages -= pages
        self.live_bytes -= cython.cast(uint64_t, pages) << PAGE_SHIFT
        for number in range(first, last + 1):
            if self.segments[number].live == (1 if number == 0 else 0):
                heap.live_pages -= self.segments[number].live
                self.live_bytes -= cython.cast(uint64_t, self.segments[number].live) << PAGE_SHIFT
                self._free_segment(number)

    def drop_store(self, store_number: uint32_t) -> cython.void:
        """Every segment of the store at once; a child keeps its own view of them."""
        heap: cython.pointer[Heap] = cython.address(self.heaps[store_number])
        self.live_bytes -= self.heap_bytes(store_number)
        self.deferred_bytes -= heap.deferred_bytes
        heap.deferred_bytes = 0
        while heap.first_segment:
            self._drop_segment(heap.first_segment - 1)
        self.forget_store(store_number)

    def rename_store(self, store_number: uint32_t, to: uint32_t) -> cython.void:
        """Let all that a store has belong to another one, which has nothing; it is empty afterwards."""
        number: uint32_t = self.heaps[store_number].first_segment
        self.heaps[to] = self.heaps[store_number]
        self.stores_used = max(self.stores_used, to + 1)
        while number:
            self.segments[number - 1].store_number = to
            number = self.segments[number - 1].next
        self.forget_store(store_number)

    def retire_store(self, store_number: uint32_t) -> cython.void:
        """Drop a store's records now and free its segments later, in the order in which stores are retired."""
        heap: cython.pointer[Heap] = cython.address(self.heaps[store_number])
        self.live_bytes -= self.heap_bytes(store_number)
        self.deferred_bytes -= heap.deferred_bytes
        heap.deferred_bytes = 0
        heap.bump = heap.bump_end = heap.gap = heap.gap_end = heap.sweep_end = 0
        heap.live_granules = heap.live_pages = 0
        heap.retired = True
        self.retired_segments += heap.record_segments + heap.page_segments + heap.run_segments
        if heap.first_segment:
            if self.first_retired:
                self.heaps[self.last_retired].next_retired = store_number
            else:
                self.first_retired = store_number
            self.last_retired = store_number

    def free_retired(self, limit: uint32_t) -> uint32_t:
        """Free up to `limit` segments of retired stores; returns how many it did."""
        done: uint32_t = 0
        heap: cython.pointer[Heap]
        while self.first_retired and done < limit:
            heap = cython.address(self.heaps[self.first_retired])
            self._drop_segment(heap.first_segment - 1)
            done += 1
            if heap.first_segment == 0:
                self.first_retired = heap.next_retired
        return done

    def forget_store(self, store_number: uint32_t) -> cython.void:
        """The store has no segments left: another one may have its number."""
        kind: uint32_t = self.heaps[store_number].kind
        memset(cython.address(self.heaps[store_number]), 0, cython.sizeof(Heap))
        self.heaps[store_number].kind = kind

    def _drop_segment(self, number: uint32_t) -> cython.void:
        """Free a segment with all that is in it."""
        self.await_clone()
        self._forget_deaths(cython.address(self.segments[number]))
        give_back(
            cython.cast(Bytes, self.live + cython.cast(uint64_t, number) * WORDS_PER_SEGMENT),
            BITMAP_PER_SEGMENT,
        )
        self.segments[number].marked = False
        self.marked_segments -= 1
        self._free_segment(number)

    def _forget_deaths(self, segment: cython.pointer[Segment]) -> cython.void:
        link: uint32_t = segment.deferred
        following: uint32_t
        while link:
            following = self.deaths.links[link].next
            self.deaths.free(link)
            self.deferred_deaths -= 1
            link = following
        segment.deferred = 0

    # Snapshot

    def open(self, databases: list[int], relocate: bool, threaded: bool = False) -> list[tuple[int, int, int]]:
        """Begin a snapshot; `databases` are their stores in order.

        Returns each one's (first item, items of keys, items of chunks) in `walk`.

        relocate: freeze all segments; False leaves every write to the kernel's copy-on-write.
        threaded: another thread will clone the process, clone.busy being 1 until it has; `cloned` follows.
        """
        parts: list[tuple[int, int, int]] = self.plan(databases)
        item: uint32_t
        store_number: uint32_t
        heap: cython.pointer[Heap]
        self.clone.hidden_count = self.clone.ready_count = 0  # the landing of the snapshot before holds records by now
        self.snapshot_is_open = True
        self.relocating = relocate
        memset(self.progress, 0, PROGRESS_WORDS * 8)
        self.progress[RANK_TOTAL] = self.walk_len
        self.drained = 0
        self.relocated_records = self.relocated_bytes = 0
        if relocate:
            for item in range(self.walk_len):
                self.segments[self.walk[item].segment].rank = item + 1
            for store_number in range(self.stores_used):
                heap = cython.address(self.heaps[store_number])
                heap.bump = heap.bump_end = heap.gap = heap.gap_end = heap.sweep_end = 0
        if threaded:
            self._prepare_landing()
        return parts

    # While a thread clones the process

    def _prepare_landing(self) -> cython.void:
        """Choose free segments for what is written until the child is there: only these may be written to."""
        first: uint32_t
        count: uint32_t = LANDING_SEGMENTS
        base: Bytes
        marks: Bytes
        number: uint32_t
        while count > 1 and count > self._free_segments():
            count //= 2
        first = self._find_free(count)
        while first == NO_SEGMENT and count > 1:
            count //= 2
            first = self._find_free(count)
        if first != NO_SEGMENT:
            base = self.base + (cython.cast(uint64_t, first) << SEGMENT_SHIFT)
            marks = cython.cast(Bytes, self.live + cython.cast(uint64_t, first) * WORDS_PER_SEGMENT)
            self.landing_next = first
            self.landing_end = first + count
            if self.huge_pages:
                # Small pages: what is not written to takes no memory.
                use_huge_pages(base, cython.cast(uint64_t, count) << SEGMENT_SHIFT, False)
            self.clone.hidden[0].start = base
            self.clone.hidden[0].nbytes = cython.cast(uint64_t, count) << SEGMENT_SHIFT
            self.clone.hidden[1].start = marks
            self.clone.hidden[1].nbytes = cython.cast(uint64_t, count) * BITMAP_PER_SEGMENT
            self.clone.hidden_count = 2
            self.make_ready(cython.cast(Bytes, self.segments + first), count * cython.sizeof(Segment))
            self.make_ready(marks, cython.cast(uint64_t, count) * BITMAP_PER_SEGMENT)
            for number in range(min(count, LANDINGS_READY)):
                self.make_ready(
                    base + (cython.cast(uint64_t, number) << SEGMENT_SHIFT),
                    FIRST_LANDING_BYTES if number == 0 else LANDING_BYTES,
                )
        self.make_ready(cython.cast(Bytes, self.deaths.links + self.deaths.next_fresh), DEATHS_READY)

    def make_ready(self, start: Bytes, nbytes: uint64_t) -> cython.void:
        """Have memory that is likely to be written meanwhile touched before: a first touch waits for the clone."""
        first: uint64_t = cython.cast(uintptr_t, start) & ~cython.cast(uint64_t, 4095)
        if self.clone.ready_count < CLONE_RANGES:
            self.clone.ready[self.clone.ready_count].start = cython.cast(Bytes, first)
            self.clone.ready[self.clone.ready_count].nbytes = (
                cython.cast(uintptr_t, start) + nbytes - first + 4095
            ) & ~cython.cast(uint64_t, 4095)
            self.clone.ready_count += 1

    def _land(self, store_number: uint32_t) -> uint32_t:
        """A segment for records that are written meanwhile; NO_SEGMENT if there is none left."""
        number: uint32_t = self.landing_next
        if (
            number == self.landing_end
            or self._free_segments() == 0
            or self.segments_used >= min(self.segment_limit, self.segment_count)
        ):
            return NO_SEGMENT
        self.landing_next += 1
        self._claim(number, 1, RECORDS, store_number)
        self.resident_pages -= resident_of(cython.address(self.segments[number]))
        self.segments[number].small = True
        self.resident_pages += resident_of(cython.address(self.segments[number]))
        return number

    def _leave_landing(self) -> cython.void:
        """The child is there, or waited for: what is left of these segments is as free as others."""
        base: Bytes = self.base + (cython.cast(uint64_t, self.landing_next) << SEGMENT_SHIFT)
        nbytes: uint64_t = cython.cast(uint64_t, self.landing_end - self.landing_next) << SEGMENT_SHIFT
        self.await_clone()
        self.landing_end = 0
        if nbytes:
            give_back(base, nbytes)
            if self.huge_pages:
                use_huge_pages(base, nbytes, True)

    def cloned(self) -> None:
        """The child is there, or there will be none."""
        if self.landing_end:
            self._leave_landing()

    def plan(self, databases: list[int]) -> list[tuple[int, int, int]]:
        """Lay down the order in which segments are walked, without a snapshot. Not while one is open.

        Databases in order, each one's segments by address, and behind them those of its chunks, which its keys lead
        to; then the spread collections by number; then their parts and the shared nodes of each database, which any
        of its spread collections may lead to.
        """
        number: uint32_t
        store_number: uint32_t
        heap: cython.pointer[Heap]
        count: uint32_t = cython.cast(uint32_t, len(databases))
        self.settle()
        for store_number in range(self.stores_used):
            self.heaps[store_number].walk_count = 0
        for number in range(self.high_water):
            if self._is_walked(number):
                self.heaps[self.segments[number].store_number].walk_count += 1
        self.walk_len = 0
        for store_number in databases:
            self._plan_store(store_number)
            self._plan_store(2 * count + store_number)
        for store_number in range(3 * count, self.stores_used):
            if self.spreads[store_number].kind != TYPE_PART:
                self._plan_store(store_number)
                self.spreads[store_number].walk_first = self.heaps[store_number].walk_first
                self.spreads[store_number].walk_count = self.heaps[store_number].walk_count
            self.frozen_spreads[store_number] = self.spreads[store_number]
        for store_number in range(3 * count, self.stores_used):
            if self.spreads[store_number].kind == TYPE_PART:
                self._plan_store(store_number)
        for store_number in range(count, min(2 * count, self.stores_used)):
            self._plan_store(store_number)
        for store_number in range(self.stores_used):
            self.heaps[store_number].walk_count = 0
        for number in range(self.high_water):
            if self._is_walked(number):
                heap = cython.address(self.heaps[self.segments[number].store_number])
                self.walk[heap.walk_first + heap.walk_count].segment = number
                self.walk[heap.walk_first + heap.walk_count].segments = (
                    self.segments[number].live if self.segments[number].kind == RUN else 1
                )
                heap.walk_count += 1
        self.drained = self.walk_len
        return [
            (
                self.heaps[store_number].walk_first,
                self.heaps[store_number].walk_count,
                self.heaps[2 * count + store_number].walk_count,
            )
            for store_number in databases
        ]

    def _is_walked(self, number: uint32_t) -> cython.bint:
        """True for a segment that is an item of a walk, or the first one of it."""
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        return segment.kind != FREE and segment.kind != RUN_TAIL and not self.heaps[segment.store_number].retired

    def _plan_store(self, store_number: uint32_t) -> cython.void:
        self.heaps[store_number].walk_first = self.walk_len
        self.walk_len += self.heaps[store_number].walk_count

    def close(self) -> None:
        """The child is gone: thaw everything. Queued deaths are left to `drain`."""
        self.cloned()
        self.snapshot_is_open = False
        self.relocating = False
        self.progress[RANK_PASSED] = self.walk_len

    def settle(self) -> None:
        """Carry out every queued death that may be; after `close`, all of them."""
        while self.drain(1 << 20):
            pass

    def drain(self, limit: uint64_t) -> uint64_t:
        """Carry out up to `limit` deaths in segments which the child has passed; returns how many it did."""
        done: uint64_t = 0
        link: uint32_t
        number: uint32_t
        size: uint64_t
        death: Link
        segment: cython.pointer[Segment]
        while self.drained < self.walk_len and self.drained < self.progress[RANK_PASSED]:
            number = self.walk[self.drained].segment
            segment = cython.address(self.segments[number])
            segment.rank = 0
            while segment.deferred:
                if done == limit:
                    return done
                link = segment.deferred
                death = self.deaths.links[link]
                segment.deferred = death.next
                self.deaths.free(link)
                self.deferred_deaths -= 1
                if not self.heaps[segment.store_number].retired:
                    size = cython.cast(uint64_t, death.granules) << GRANULE_SHIFT
                    self.heaps[segment.store_number].deferred_bytes -= self._rounded(segment, size)
                    self.deferred_bytes -= self._rounded(segment, size)
                    self._free_now(death.offset, size)
                done += 1
            # The segment that was being filled at the fork may never have held a record.
            self._leave(segment_end(number))
            self.drained += 1
        return done

    # Evacuation

    def copy_marks(self, old: uint64_t, new: uint64_t, nbytes: uint64_t) -> cython.void:
        """What has moved has changed where it had before, and nowhere else."""
        at: uint64_t = 0
        while at < nbytes:
            set_mark(self, new + at, is_marked(self, old + at))
            at += GRANULE

    def pick_sparse(self, store_number: uint32_t, share: uint32_t) -> uint32_t:
        """The sparsest segment worth moving, when over 1/share of the store's segments is dead; NO_SEGMENT if none.

        None while a snapshot is open: moving would touch what the child still reads.
        """
        heap: cython.pointer[Heap] = cython.address(self.heaps[store_number])
        number: uint32_t
        best: uint32_t = NO_SEGMENT
        best_live: uint32_t = 0xFFFFFFFF
        segment: cython.pointer[Segment]
        granules: uint64_t = cython.cast(uint64_t, heap.record_segments) * GRANULES_PER_SEGMENT
        pages: uint64_t = cython.cast(uint64_t, heap.page_segments) * PAGES_PER_SEGMENT
        # What the segments being filled can still take is not dead.
        free: uint64_t = ((heap.bump_end - heap.bump) + (heap.gap_end - heap.gap)) >> GRANULE_SHIFT
        records: cython.bint = heap.record_segments > 2 and (granules - heap.live_granules - free) * share > granules
        in_pages: cython.bint = (
            heap.page_segments > heap.node_segments + 1
            and (pages - heap.live_pages) * share > pages
            and heap.live_pages != heap.vain_pages
        )
        if self.snapshot_is_open or self.drained < self.walk_len or heap.retired or not (records or in_pages):
            return NO_SEGMENT
        for number in range(self.high_water):
            segment = cython.address(self.segments[number])
            if segment.store_number != store_number or segment.evacuating:
                continue
            if (
                records
                and segment.kind == RECORDS
                and segment.live < GRANULES_PER_SEGMENT - GRANULES_PER_SEGMENT // share
                and segment.live < best_live
                and not self._is_filling(number)
            ):
                best = number
                best_live = segment.live
            elif (
                in_pages
                and segment.kind == PAGES
                and segment.live < PAGES_PER_SEGMENT - PAGES_PER_SEGMENT // share
                and segment.live * (GRANULES_PER_SEGMENT // PAGES_PER_SEGMENT) < best_live
                and number != heap.page_end
            ):
                best = number
                best_live = segment.live * (GRANULES_PER_SEGMENT // PAGES_PER_SEGMENT)
        return best

    def reaching_into(self, number: uint32_t) -> uint64_t:
        """The record that begins before a segment of pages and ends in it or behind; 0 if there is none."""
        start: uint64_t = cython.cast(uint64_t, number) << SEGMENT_SHIFT
        store_number: uint32_t = self.segments[number].store_number
        at: uint64_t
        while (
            number
            and self.segments[number - 1].kind == PAGES
            and self.segments[number - 1].store_number == store_number
        ):
            number -= 1
            at = last_live(
                self.live,
                cython.cast(uint64_t, number) << SEGMENT_SHIFT,
                cython.cast(uint64_t, number + 1) << SEGMENT_SHIFT,
            )
            if at != segment_end(number):
                return at if at + entry_size(self.heaps[store_number].kind, self.base + at) > start else 0
        return 0

    # Figures and proof

    def resident_bytes(self) -> uint64_t:
        """What the arena, its bitmap and the queued deaths have of the machine's memory."""
        return (
            (self.resident_pages << PAGE_SHIFT)
            + cython.cast(uint64_t, self.marked_segments) * BITMAP_PER_SEGMENT
            + self.deaths.resident_bytes()
        )

    def gap_bytes(self, store_number: uint32_t) -> uint64_t:
        """What a store's segments could still hold."""
        heap: cython.pointer[Heap] = cython.address(self.heaps[store_number])
        segments: uint64_t = heap.record_segments + heap.page_segments
        return (segments << SEGMENT_SHIFT) - self.heap_bytes(store_number)

    def heap_bytes(self, store_number: uint32_t) -> uint64_t:
        """Bytes of a store's live records outside runs, rounded to granules or pages."""
        return (self.heaps[store_number].live_granules << GRANULE_SHIFT) + (
            self.heaps[store_number].live_pages << PAGE_SHIFT
        )

    def progress_view(self) -> memoryview:
        """The page shared with the child, as 512 unsigned 64-bit words."""
        return memoryview(self.progress_page).cast("Q")

    def check(self) -> dict[int, Any]:
        """Prove the invariants; returns {store: (records, record bytes)} of what is live and not awaiting death."""
        number: uint32_t
        segment: cython.pointer[Segment]
        heap_sums: dict[int, list[int]] = {}
        found: dict[int, list[int]] = {}
        reach: uint64_t = 0  # end of the last run of pages, whose store is `reaching`
        reaching: uint32_t = 0
        deaths = 0
        for number in range(self.segments_checked()):
            segment = cython.address(self.segments[number])
            if segment.kind == FREE or segment.kind == RUN_TAIL:
                self.check_empty(number)
                continue
            if self.heaps[segment.store_number].retired:
                deaths += self.check_deaths(number, [])
                continue
            assert number < self.high_water
            sums = heap_sums.setdefault(segment.store_number, [0, 0, 0, 0, 0])
            live = found.setdefault(segment.store_number, [0, 0])
            granules, pages, end = self.check_records(number, reach, reaching, live)
            if segment.kind == PAGES:
                reach = end
                reaching = segment.store_number
            self.check_segment(number, granules, pages, sums)
            deaths += self.check_deaths(number, live)
        assert deaths == self.deferred_deaths == self.deaths.used
        self.check_totals()
        self.check_lists()
        self.check_heaps(heap_sums)
        return {store_number: tuple(live) for store_number, live in found.items()}

    def segments_checked(self) -> uint32_t:
        return self.segment_count if self.segment_count < 4096 else self.high_water

    def check_empty(self, number: uint32_t) -> object:
        """Prove that nothing lives, or waits for its death, in a segment that is free or the tail of a run."""
        start: uint64_t = cython.cast(uint64_t, number) << SEGMENT_SHIFT
        retired: cython.bint = self.segments[number].kind != FREE and (
            self.heaps[self.segments[number].store_number].retired
        )
        if not retired:
            assert next_live(self.live, start, start + SEGMENT_SIZE) == start + SEGMENT_SIZE, (
                f"free segment {number} has a live bit"
            )
            assert not self.segments[number].deferred
        return None

    def check_records(self, number: uint32_t, reach: uint64_t, reaching: uint32_t, live: list) -> tuple:
        """Prove that the records of a segment do not overlap; adds them and their bytes to `live`.

        reach: where the last run of pages before the segment ends, in a segment of the store `reaching`.
        Returns (granules of records, pages of records, where the last run of pages ends).
        """
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        start: uint64_t = cython.cast(uint64_t, number) << SEGMENT_SHIFT
        end: uint64_t = start + SEGMENT_SIZE
        at: uint64_t = next_live(self.live, start, end)
        following: uint64_t
        size: uint64_t
        granules: uint64_t = 0
        pages: uint64_t = 1 if number == 0 and segment.kind == PAGES else 0
        if reach > start:
            assert segment.kind == PAGES and segment.store_number == reaching, f"a record reaches into segment {number}"
            pages = (min(reach, end) - start) >> PAGE_SHIFT
            assert at >= min(reach, end), f"overlap in segment {number}"
        while at < end:
            size = entry_size(self.heaps[segment.store_number].kind, self.base + at)
            live[0] += 1
            live[1] += size
            granules += (size + GRANULE - 1) >> GRANULE_SHIFT
            following = next_live(self.live, at + GRANULE, end)
            if segment.kind == RUN:
                assert (at - start) + size <= cython.cast(uint64_t, segment.live) << SEGMENT_SHIFT
                assert (size + 4095) >> PAGE_SHIFT == segment.touched
                assert following == end
                break
            if segment.kind == PAGES:
                reach = (at + size + 4095) & ~cython.cast(uint64_t, 4095)
                pages += (min(reach, end) - at) >> PAGE_SHIFT
            assert segment.kind == PAGES or at + size <= end, f"record at {at} leaves its segment"
            assert following >= min(at + size, end), f"record at {at} reaches into the one at {following}"
            assert (segment.kind == PAGES) == (size > RECORD_MAX)
            at = following
        return granules, pages, reach

    def check_segment(self, number: uint32_t, granules: uint64_t, pages: uint64_t, sums: list) -> object:
        """Prove what a segment counts of its records; adds it to the figures of its store (see check_heaps)."""
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        if segment.kind == RECORDS:
            assert granules == segment.live, f"segment {number}: {granules} granules live, {segment.live} counted"
            sums[0] += 1
            sums[1] += granules
        elif segment.kind == PAGES or segment.kind == NODES:
            if segment.kind == NODES:
                # A node has no bit: Chains.check proves them.
                pages = segment.live
                sums[4] += 1
            assert pages == segment.live, f"segment {number}: {pages} pages live, {segment.live} counted"
            assert pages == count_pages(self.page_maps + cython.cast(cython.size_t, number) * 8)
            sums[2] += 1
            sums[3] += pages
        return None

    def check_deaths(self, number: uint32_t, live: list) -> object:
        """Prove the deaths that wait in a segment, and take them off `live`; returns how many there are.

        live: empty for a segment of a retired store, whose records are not looked at.
        """
        segment: cython.pointer[Segment] = cython.address(self.segments[number])
        link: uint32_t = segment.deferred
        offset: uint64_t
        size: uint64_t
        deaths = 0
        while link:
            deaths += 1
            offset = self.deaths.links[link].offset
            link = self.deaths.links[link].next
            if not live:
                continue
            assert self.is_live(offset)
            size = entry_size(self.heaps[segment.store_number].kind, self.base + offset)
            if segment.kind != RUN:
                assert (offset + size - 1) >> SEGMENT_SHIFT == number
            live[0] -= 1
            live[1] -= size
        return deaths

    def check_totals(self) -> object:
        """Prove what the arena counts of all segments."""
        number: uint32_t
        segment: cython.pointer[Segment]
        used: uint32_t = 0
        marked: uint32_t = 0
        retired: uint32_t = 0
        resident: uint64_t = 0
        deferred: uint64_t = 0
        link: uint32_t
        for number in range(self.segments_checked()):
            segment = cython.address(self.segments[number])
            used += segment.kind != FREE
            link = 0 if self.heaps[segment.store_number].retired else segment.deferred
            while link:
                deferred += self._rounded(
                    segment, cython.cast(uint64_t, self.deaths.links[link].granules) << GRANULE_SHIFT
                )
                link = self.deaths.links[link].next
            marked += segment.marked
            resident += resident_of(segment)
            retired += segment.kind != FREE and self.heaps[segment.store_number].retired
        assert deferred == self.deferred_bytes, f"{deferred} bytes wait for the child, {self.deferred_bytes} counted"
        assert used == self.segments_used
        assert retired == self.retired_segments
        assert marked == self.marked_segments
        assert resident == self.resident_pages, f"{resident} pages resident, {self.resident_pages} counted"
        return None

    def check_heaps(self, heap_sums: dict) -> object:
        """Prove what stores count of their segments, and the arena of all live bytes.

        heap_sums: [segments of records, their granules, segments of pages, their pages, those of nodes] by store.
        """
        number: uint32_t
        heap: cython.pointer[Heap]
        live_bytes: uint64_t = 0
        for number in range(self.segments_checked()):
            if self.segments[number].kind == RUN:
                live_bytes += cython.cast(uint64_t, self.segments[number].touched) << PAGE_SHIFT
        for store_number, sums in heap_sums.items():
            heap = cython.address(self.heaps[cython.cast(uint32_t, store_number)])
            assert sums == [
                heap.record_segments,
                heap.live_granules,
                heap.page_segments,
                heap.live_pages,
                heap.node_segments,
            ], f"store {store_number}: {sums}"
            live_bytes += self.heap_bytes(cython.cast(uint32_t, store_number))
        assert live_bytes == self.live_bytes, f"{live_bytes} bytes live, {self.live_bytes} counted"
        return None

    def check_lists(self) -> object:
        """Prove that the lists of all stores lead to all of their segments and no others."""
        store_number: uint32_t
        number: uint32_t
        previous: uint32_t
        listed: uint32_t = 0
        for store_number in range(self.stores_used):
            previous = 0
            number = self.heaps[store_number].first_segment
            while number:
                assert self.segments[number - 1].kind != FREE and self.segments[number - 1].store_number == store_number
                assert self.segments[number - 1].previous == previous, f"the list of store {store_number} is broken"
                previous = number
                number = self.segments[number - 1].next
                listed += 1
        assert listed == self.segments_used, f"{self.segments_used} segments, {listed} in the lists of their stores"


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def free_tail(map_: cython.pointer[uint64_t]) -> uint32_t:
    """How many of a segment's 512 pages are free behind the last used one."""
    word: cython.int = 7
    while word >= 0 and map_[word] == 0:
        word -= 1
    if word < 0:
        return PAGES_PER_SEGMENT
    return 64 * (7 - word) + __builtin_clzll(map_[word])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def set_pages(maps: cython.pointer[uint64_t], first: uint64_t, pages: uint32_t, used: cython.bint) -> cython.void:
    page: uint64_t
    for page in range(first, first + pages):
        if used:
            maps[page >> 6] |= cython.cast(uint64_t, 1) << (page & 63)
        else:
            maps[page >> 6] &= ~(cython.cast(uint64_t, 1) << (page & 63))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def count_pages(map_: cython.pointer[uint64_t]) -> uint64_t:
    word: cython.int
    pages: uint64_t = 0
    for word in range(8):
        pages += __builtin_popcountll(map_[word])
    return pages
