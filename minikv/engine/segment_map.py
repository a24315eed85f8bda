# cython: boundscheck=False, wraparound=False
"""The arena segment by segment, as columns: where data lie and how far a snapshot is.

    kinds    a letter for each segment:  . free   r records   p pages   j first of a run   J its rest
    states   a letter for each segment:  - no snapshot has to do with it   f frozen, the child still needs it
                                         b behind the child   n new since the fork

Live bytes of pages and runs are whole pages.
"""

import cython
from cython.cimports.libc.stdint import uint32_t, uint64_t, uintptr_t
from cython.cimports.minikv.engine.arena import (
    FREE,
    GRANULE_SHIFT,
    PAGE_SHIFT,
    RECORDS,
    RUN,
    RUN_TAIL,
    SEGMENT_SIZE,
    Arena,
    Segment,
)
from cython.cimports.minikv.engine.progress import RANK_PASSED

KIND_LETTERS = b".rpjJ"


class SegmentMap:
    """All segments that were ever used, at one moment. databases: which database's keys a store holds."""

    def __init__(self, arena: Arena, databases: dict):
        number: uint32_t
        segment: cython.pointer[Segment]
        owner: uint32_t
        run: uint64_t = 0  # bytes of the last run that lie from here on
        kinds = bytearray(arena.high_water)
        self.segment_bytes = SEGMENT_SIZE
        self.address = cython.cast(uintptr_t, arena.base)
        self.live_bytes = []
        self.databases = []
        self.stores = []
        for number in range(arena.high_water):
            segment = cython.address(arena.segments[number])
            kinds[number] = KIND_LETTERS[segment.kind]
            if segment.kind == RUN:
                run = cython.cast(uint64_t, segment.touched) << PAGE_SHIFT
            if segment.kind == RUN or segment.kind == RUN_TAIL:
                self.live_bytes.append(min(run, cython.cast(uint64_t, SEGMENT_SIZE)))
                run -= min(run, cython.cast(uint64_t, SEGMENT_SIZE))
            else:
                self.live_bytes.append(live_bytes(segment))
            # A spread collection's store belongs to the one that its key is in.
            owner = (
                segment.store_number if segment.store_number in databases else arena.spreads[segment.store_number].owner
            )
            self.stores.append(-1 if segment.kind == FREE else segment.store_number)
            self.databases.append(-1 if segment.kind == FREE else databases.get(owner, -1))
        self.kinds = bytes(kinds)
        self.states = states(arena)


@cython.cfunc
def live_bytes(segment: cython.pointer[Segment]) -> uint64_t:
    """Of a segment outside runs."""
    return cython.cast(uint64_t, segment.live) << (GRANULE_SHIFT if segment.kind == RECORDS else PAGE_SHIFT)


@cython.cfunc
def states(arena: Arena) -> bytes:
    """From the walk and not from the segments' ranks: those are cleared as soon as the child is past them."""
    item: uint32_t
    number: uint32_t
    found = bytearray(b"-" * arena.high_water)
    if arena.snapshot_is_open:
        for number in range(arena.high_water):
            if arena.segments[number].kind != FREE:
                found[number] = ord(b"n")
        for item in range(arena.walk_len):
            for number in range(arena.walk[item].segment, arena.walk[item].segment + arena.walk[item].segments):
                found[number] = ord(b"b") if item < arena.progress[RANK_PASSED] else ord(b"f")
    return bytes(found)
