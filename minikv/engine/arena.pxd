cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from minikv.engine.memory cimport CloneSetup, LinkPool, is_set, wait_while

cdef extern from * nogil:
    int __builtin_ctzll(unsigned long long) noexcept
    int __builtin_clzll(unsigned long long) noexcept
    int __builtin_popcountll(unsigned long long) noexcept

cdef enum:
    SEGMENT_SHIFT = 21
    SEGMENT_SIZE = 2097152
    GRANULE_SHIFT = 3
    GRANULE = 8                     # bytes; records begin at multiples of it
    GRANULES_PER_SEGMENT = 262144
    WORD_SHIFT = 9                  # bytes that a word of the bitmap covers
    WORDS_PER_SEGMENT = 4096        # bitmap: one bit per granule
    BITMAP_PER_SEGMENT = 32768      # bytes
    PAGE_SHIFT = 12
    PAGES_PER_SEGMENT = 512
    STORES_MAX = 1048576            # databases, then spread collections

cdef enum:                          # Segment.kind
    FREE = 0
    RECORDS                         # whole records, granule by granule
    PAGES                           # jumbo records in runs of pages
    RUN                             # first segment of one jumbo record's own run
    RUN_TAIL                        # its further segments

cdef struct Segment:                # parent-only
    uint8_t kind
    uint8_t evacuating
    uint8_t small                   # backed by 4 KiB pages
    uint8_t marked                  # its part of the bitmap has memory
    uint32_t store_number
    uint32_t rank                   # place in the open snapshot's walk, from 1; 0: not part of it
    uint32_t live                   # RECORDS: granules of live records; PAGES: pages in use; RUN: number of segments
    uint32_t deferred               # chain of deaths that wait for the child
    uint32_t touched                # pages from the start that have been used; RUN: pages of its record
    uint32_t next                   # segments of its store: their numbers plus 1, 0: none
    uint32_t previous

cdef struct Heap:                   # parent-only; one for each store
    uint64_t bump                   # next free byte of the segment being filled
    uint64_t bump_end
    uint64_t look_back              # when bump gets here, dead space before it is looked for
    uint64_t gap                    # next free byte of the gap being filled in the segment being swept
    uint64_t gap_end
    uint64_t sweep_end              # end of what is being swept, 0: none
    uint64_t live_granules          # in record segments
    uint32_t record_segments
    uint32_t sweep_next             # where the next search for a segment to sweep begins
    uint32_t page_segments
    uint32_t page_next              # where the next search for a run of pages begins
    uint32_t page_end               # the segment behind which there may be more for a run
    uint64_t live_pages
    uint32_t run_segments           # RUN and RUN_TAIL
    uint64_t vain_pages             # live_pages when evacuation gained nothing
    uint32_t kind                   # of the records: KEYS, or the type of the collection whose elements they are
    uint32_t first_segment          # its number plus 1; 0: none
    uint64_t deferred_bytes         # of deaths that wait for the child
    bint retired                    # nothing leads to its segments any more; they wait to be freed
    uint32_t next_retired           # store; 0: none
    uint32_t walk_first             # items of the plan
    uint32_t walk_count

cdef struct Spread:                 # parent-only, with a copy that is inherited: a spread collection, at the number of its store
    uint64_t count                  # elements
    uint64_t head                   # list: first node
    uint32_t owner                  # store that the key is in
    uint32_t kind                   # RDB type; 0: there is no such collection
    uint32_t walk_first             # items of the plan
    uint32_t walk_count

cdef struct WalkItem:               # inherited: the child reads it
    uint32_t segment
    uint32_t segments


@cython.final
cdef class Arena:
    cdef uint8_t *base
    cdef uint64_t *live             # bitmap, inherited: a bit at each granule where a live record starts
    cdef uint64_t *fresh            # bitmap of what has changed since the last point of the history, see changes.py; NULL: off
    cdef uint8_t *touched           # by segment: whether it has a bit there
    cdef Segment *segments
    cdef uint64_t *page_maps        # 8 words per segment: pages in use, of PAGES segments
    cdef Heap *heaps
    cdef Spread *spreads
    cdef Spread *frozen_spreads     # inherited: what they were when the walk was planned
    cdef LinkPool deaths
    cdef uint64_t *progress         # MAP_SHARED with the child
    cdef WalkItem *walk
    cdef readonly object progress_page
    cdef readonly uint32_t segment_count
    cdef readonly uint32_t segments_used
    cdef readonly uint32_t retired_segments # of these: of retired stores
    cdef uint32_t first_retired             # store that has segments left; 0: none
    cdef uint32_t last_retired
    cdef uint32_t stores_used               # stores that ever had a segment, or elements, are below this number
    cdef readonly uint32_t high_water       # segments ever used are below this number
    cdef uint32_t free_hint                 # no free segment below this number
    cdef readonly uint32_t walk_len
    cdef readonly uint32_t drained          # walk items whose deferred deaths have been carried out
    cdef readonly bint snapshot_is_open
    cdef readonly bint relocating
    cdef readonly uint64_t live_bytes       # live records, rounded to granules or pages; deaths that wait included
    cdef readonly uint64_t resident_pages   # of segments: those that have memory
    cdef readonly uint32_t marked_segments
    cdef readonly uint64_t deferred_deaths
    cdef readonly uint64_t deferred_bytes   # of live_bytes: deaths that wait for the child
    cdef readonly uint64_t relocated_records    # since the snapshot was opened: written elsewhere because they were frozen
    cdef readonly uint64_t relocated_bytes
    cdef public uint32_t segment_limit      # tests: fewer segments than reserved
    cdef bint may_use_reserve               # while room is sought for what makes something smaller
    cdef public bint poison                 # tests: dead records are filled with a pattern
    cdef bint huge_pages
    cdef bint crowded                       # a store has taken a segment although much of what it has is dead
    cdef CloneSetup clone
    cdef uint32_t landing_next              # free segments for what is written while a thread clones this process
    cdef uint32_t landing_end               # 0: there are none
    cdef public uint32_t new_clock          # access clock of a new entry in a table
    cdef void *shown_nodes                  # inherited: see chain.py

    cdef inline void await_clone(self) noexcept nogil:
        """Wait until the snapshot's child is there: before any write to what it may read."""
        if is_set(&self.clone.busy):
            wait_while(&self.clone.busy, 1)
    cdef void make_ready(self, uint8_t *start, uint64_t nbytes) noexcept nogil
    cdef void _prepare_landing(self) noexcept nogil
    cdef void _leave_landing(self) noexcept nogil
    cdef uint32_t _land(self, uint32_t store_number) noexcept nogil
    cdef bint is_frozen(self, uint64_t offset) noexcept nogil
    cdef bint is_jumbo(self, uint64_t offset) noexcept nogil
    cdef bint is_live(self, uint64_t offset) noexcept nogil
    cdef uint64_t allocate(self, uint32_t store_number, uint64_t nbytes) noexcept nogil
    cdef bint has_room(self, uint32_t store_number, uint64_t nbytes) noexcept nogil
    cdef uint64_t allocate_fresh(self, uint32_t store_number, uint64_t nbytes) noexcept nogil
    cdef bint fits(self, uint64_t offset, uint64_t old_size, uint64_t new_size) noexcept nogil
    cdef bint grow_in_place(self, uint64_t offset, uint64_t old_size, uint64_t new_size) noexcept nogil
    cdef void kill(self, uint64_t offset, uint64_t nbytes) noexcept nogil
    cdef uint64_t heap_bytes(self, uint32_t store_number) noexcept nogil
    cdef void drop_store(self, uint32_t store_number) noexcept nogil
    cdef void rename_store(self, uint32_t store_number, uint32_t to) noexcept nogil
    cdef void retire_store(self, uint32_t store_number) noexcept nogil
    cdef uint32_t free_retired(self, uint32_t limit) noexcept nogil
    cdef void forget_store(self, uint32_t store_number) noexcept nogil
    cdef uint32_t pick_sparse(self, uint32_t store_number, uint32_t share) noexcept nogil
    cdef uint64_t reaching_into(self, uint32_t number) noexcept nogil
    cdef uint64_t resident_bytes(self) noexcept nogil
    cdef uint64_t gap_bytes(self, uint32_t store_number) noexcept nogil

    cdef uint64_t _allocate(self, uint32_t store_number, uint64_t nbytes, bint fresh) noexcept nogil
    cdef void _set_live(self, uint64_t offset) noexcept nogil
    cdef void _clear_live(self, uint64_t offset) noexcept nogil
    cdef uint64_t _allocate_record(self, uint32_t store_number, uint32_t granules, bint fresh) noexcept nogil
    cdef bint _search_gaps(self, uint32_t store_number, Heap *heap, uint32_t granules) noexcept nogil
    cdef bint _find_gap(self, Heap *heap, uint32_t granules, int tries) noexcept nogil
    cdef bint _next_gap(self, Heap *heap) noexcept nogil
    cdef bint _start_sweep(self, uint32_t store_number, Heap *heap) noexcept nogil
    cdef bint _look_back(self, Heap *heap) noexcept nogil
    cdef bint _is_filling(self, uint32_t number) noexcept nogil
    cdef void _leave(self, uint64_t end) noexcept nogil
    cdef bint _refill(self, uint32_t store_number, Heap *heap) noexcept nogil
    cdef uint32_t _free_segments(self) noexcept nogil
    cdef uint32_t _find_free(self, uint32_t count) noexcept nogil
    cdef uint32_t _take_segments(self, uint32_t count, uint8_t kind, uint32_t store_number) noexcept nogil
    cdef bint _can_claim(self, uint32_t first, uint32_t count) noexcept nogil
    cdef void _claim(self, uint32_t first, uint32_t count, uint8_t kind, uint32_t store_number) noexcept nogil
    cdef void _free_segment(self, uint32_t segment) noexcept nogil
    cdef void _drop_segment(self, uint32_t number) noexcept nogil
    cdef bint _can_take(self, uint32_t count) noexcept nogil
    cdef uint32_t _search_free(self, uint32_t count) noexcept nogil
    cdef uint64_t _allocate_pages(self, uint32_t store_number, uint32_t pages, uint8_t kind, bint fresh) noexcept nogil
    cdef bint _takes_pages(self, uint32_t number, uint32_t store_number, uint8_t kind) noexcept nogil
    cdef uint64_t _find_pages(self, uint32_t store_number, uint32_t pages, uint8_t kind) noexcept nogil
    cdef uint64_t _append_pages(self, uint32_t store_number, uint32_t pages, uint8_t kind) noexcept nogil
    cdef void _start_pages(self, uint32_t number) noexcept nogil
    cdef void _mark_pages(self, uint64_t page, uint64_t pages, bint used) noexcept nogil
    cdef void _free_pages(self, uint64_t offset, uint32_t pages) noexcept nogil
    cdef void _leave_empty(self, Heap *heap) noexcept nogil
    cdef void _make_small(self, uint32_t number) noexcept nogil
    cdef void _make_huge(self, uint32_t number) noexcept nogil
    cdef uint64_t _allocate_run(self, uint32_t store_number, uint64_t nbytes) noexcept nogil
    cdef void _free_run(self, uint32_t number) noexcept nogil
    cdef uint64_t _rounded(self, Segment *segment, uint64_t nbytes) noexcept nogil
    cdef void _free_now(self, uint64_t offset, uint64_t nbytes) noexcept nogil
    cdef void _forget_deaths(self, Segment *segment) noexcept nogil
    cdef bint _is_walked(self, uint32_t number) noexcept nogil
    cdef void _plan_store(self, uint32_t store_number) noexcept nogil
    cdef void copy_marks(self, uint64_t old, uint64_t new, uint64_t nbytes) noexcept nogil
    cdef uint32_t segments_checked(self) noexcept nogil
    cdef object check_empty(self, uint32_t number)
    cdef tuple check_records(self, uint32_t number, uint64_t reach, uint32_t reaching, list live)
    cdef object check_segment(self, uint32_t number, uint64_t granules, uint64_t pages, list sums)
    cdef object check_deaths(self, uint32_t number, list live)
    cdef object check_totals(self)
    cdef object check_lists(self)
    cdef object check_heaps(self, dict heap_sums)
    cdef uint64_t drain(self, uint64_t limit) noexcept nogil
    cdef uint64_t bytes_in_use(self, uint32_t store_number) noexcept nogil


cdef inline uint64_t segment_start(uint64_t number) noexcept nogil:
    """Offset of the first record that a segment may hold: offset 0 means none, so it is never given out."""
    return (number << SEGMENT_SHIFT) + (GRANULE if number == 0 else 0)


cdef inline uint64_t segment_end(uint64_t number) noexcept nogil:
    return (number + 1) << SEGMENT_SHIFT


cdef inline void mark(Arena arena, uint64_t offset) noexcept nogil:
    """Note that what begins at `offset` has changed."""
    if arena.fresh != NULL:
        arena.fresh[offset >> WORD_SHIFT] |= <uint64_t>1 << ((offset >> GRANULE_SHIFT) & 63)
        arena.touched[offset >> SEGMENT_SHIFT] = 1


cdef inline bint is_marked(Arena arena, uint64_t offset) noexcept nogil:
    """Not while nothing is marked at all."""
    return (arena.fresh[offset >> WORD_SHIFT] >> ((offset >> GRANULE_SHIFT) & 63)) & 1


cdef inline void set_mark(Arena arena, uint64_t offset, uint64_t bit) noexcept nogil:
    cdef uint64_t *word = arena.fresh + (offset >> WORD_SHIFT)
    word[0] = (word[0] & ~(<uint64_t>1 << ((offset >> GRANULE_SHIFT) & 63))) | bit << ((offset >> GRANULE_SHIFT) & 63)


cdef inline uint64_t next_live(const uint64_t *live, uint64_t offset, uint64_t end) noexcept nogil:
    """The first offset from `offset` on where the bitmap has a live record; `end` if there is none before it."""
    cdef uint64_t word = offset >> WORD_SHIFT
    cdef uint64_t last = (end - 1) >> WORD_SHIFT
    cdef uint64_t bits
    if offset >= end:
        return end
    bits = live[word] >> ((offset >> GRANULE_SHIFT) & 63) << ((offset >> GRANULE_SHIFT) & 63)
    while not bits:
        word += 1
        if word > last:
            return end
        bits = live[word]
    return (word << WORD_SHIFT) + (<uint64_t>__builtin_ctzll(bits) << GRANULE_SHIFT)


cdef inline uint32_t resident_of(const Segment *segment) noexcept nogil:
    """Pages of a segment that have memory; RUN: of the whole run."""
    cdef uint32_t held = segment.touched if segment.small else PAGES_PER_SEGMENT
    if segment.kind == FREE or segment.kind == RUN_TAIL:
        return 0
    if segment.kind == RUN:
        return segment.touched
    return held


cdef inline uint64_t last_live(const uint64_t *live, uint64_t start, uint64_t end) noexcept nogil:
    """The last offset from `start` on and before `end` where the bitmap has a live record; `end` if there is none.

    Both are multiples of 512.
    """
    cdef uint64_t word = end >> WORD_SHIFT
    while word > start >> WORD_SHIFT:
        word -= 1
        if live[word]:
            return (word << WORD_SHIFT) + (<uint64_t>(63 - __builtin_clzll(live[word])) << GRANULE_SHIFT)
    return end
