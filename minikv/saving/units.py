# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Which blocks a dump has: a hash of each 4 KiB of the file, a unit, in a table that finds a unit by its hash.

A save notes the units that it writes; the next one finds those that it would write again (dump_file.py). The hashes are
keyed (unit_hash.pxd), with a key that no file and no client gets to see, so different units are never taken for equal.
Runs of records are noted besides (runs.py).
24 to 32 bytes for 4 KiB: less than one percent of the file.
"""

import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.minikv.engine.memory import share, unshare
from cython.cimports.minikv.saving.unit_hash import UNIT_LEN, UNIT_SHIFT
from cython.cimports.posix.mman import madvise

MADV_REMOVE = cython.declare(cython.int, 9)  # madvise(2) advice, Linux
HEAD_LEN = cython.declare(uint64_t, 4096)  # of a table, before its arrays
RUN_MIN = cython.declare(uint64_t, 16 << 10)  # bytes in the file
UNITS_MAX = cython.declare(uint64_t, 0xFFFFFFFE)

TableP = cython.typedef(cython.pointer[UnitTable])


def table_len(nbytes: uint64_t) -> uint64_t:
    """Bytes of a table for a file of nbytes."""
    units: uint64_t = units_of(nbytes)
    runs: uint64_t = runs_of(nbytes)
    return (
        HEAD_LEN
        + units * cython.sizeof(UnitHash)
        + runs * cython.sizeof(Run)
        + (slots_for(units) + slots_for(runs)) * cython.sizeof(uint32_t)
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def runs_of(nbytes: uint64_t) -> uint64_t:
    """As many as there are, if none of those that are noted is shorter."""
    return min(nbytes // RUN_MIN + 1, UNITS_MAX)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def units_of(nbytes: uint64_t) -> uint64_t:
    return min((nbytes + UNIT_LEN - 1) >> UNIT_SHIFT, UNITS_MAX)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def slots_for(units: uint64_t) -> uint64_t:
    """So many that a quarter of them is free at least."""
    slots: uint64_t = 1024
    while slots * 3 < units * 4:
        slots *= 2
    return slots


def table_of(nbytes: uint64_t) -> TableP:
    """An empty table for a file of nbytes, which children share; NULL if it can't be had."""
    mapped: uint64_t = table_len(nbytes)
    table: TableP = cython.cast(TableP, share(mapped))
    if table == cython.NULL:
        return table
    table.mapped = mapped
    table.capacity = units_of(nbytes)
    table.slots = slots_for(table.capacity)
    table.hashes = cython.cast(cython.pointer[UnitHash], cython.cast(cython.pointer[uint8_t], table) + HEAD_LEN)
    table.run_capacity = runs_of(nbytes)
    table.run_slots = slots_for(table.run_capacity)
    table.runs = cython.cast(cython.pointer[Run], table.hashes + table.capacity)
    table.places = cython.cast(cython.pointer[uint32_t], table.runs + table.run_capacity)
    table.run_places = table.places + table.slots
    return table


def drop_table(table: TableP) -> cython.void:
    """End it, if there is one."""
    if table != cython.NULL:
        unshare(cython.cast(cython.pointer[uint8_t], table), table.mapped)


def empty_table(table: TableP) -> cython.void:
    """Give its memory back, in all processes that share it: what a child frees, its server need not stop for."""
    if table != cython.NULL:
        table.count = table.run_count = 0
        madvise(table.hashes, table.mapped - HEAD_LEN, MADV_REMOVE)


def find_unit(
    table: cython.pointer[cython.const[UnitTable]], hash: cython.pointer[cython.const[UnitHash]], guess: uint32_t
) -> uint32_t:
    """The number of a unit with this hash, plus 1; 0: there is none. guess: the number that is likely."""
    slot: uint64_t
    unit: uint32_t
    if guess < table.count and is_hash(table.hashes + guess, hash):
        return guess + 1
    slot = hash.one & (table.slots - 1)
    unit = table.places[slot]
    while unit and not is_hash(table.hashes + (unit - 1), hash):
        slot = (slot + 1) & (table.slots - 1)
        unit = table.places[slot]
    return unit


def note_unit(table: TableP, hash: cython.pointer[cython.const[UnitHash]]) -> cython.void:
    """The file's next unit has this hash. Of equal ones the first is found; what finds no room is not."""
    slot: uint64_t
    unit: uint32_t
    if table.count == table.capacity:
        return
    slot = hash.one & (table.slots - 1)
    unit = table.places[slot]
    while unit and not is_hash(table.hashes + (unit - 1), hash):
        slot = (slot + 1) & (table.slots - 1)
        unit = table.places[slot]
    table.hashes[table.count] = hash[0]
    table.count += 1
    if unit == 0:
        table.places[slot] = cython.cast(uint32_t, table.count)


def find_run(
    table: cython.pointer[cython.const[UnitTable]], hash: cython.pointer[cython.const[UnitHash]]
) -> cython.pointer[cython.const[Run]]:
    """A run with this hash; NULL: there is none."""
    slot: uint64_t = hash.one & (table.run_slots - 1)
    while table.run_places[slot]:
        if is_hash(cython.address(table.runs[table.run_places[slot] - 1].hash), hash):
            return table.runs + (table.run_places[slot] - 1)
        slot = (slot + 1) & (table.run_slots - 1)
    return cython.NULL


def note_run(table: TableP, run: cython.pointer[cython.const[Run]]) -> cython.void:
    """The file has this run; what finds no room is not found."""
    slot: uint64_t = run.hash.one & (table.run_slots - 1)
    if table.run_count == table.run_capacity:
        return
    while table.run_places[slot]:
        slot = (slot + 1) & (table.run_slots - 1)
    table.runs[table.run_count] = run[0]
    table.run_count += 1
    table.run_places[slot] = cython.cast(uint32_t, table.run_count)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def is_hash(one: cython.pointer[cython.const[UnitHash]], other: cython.pointer[cython.const[UnitHash]]) -> cython.bint:
    return one.one == other.one and one.two == other.two


def stamp_of(status: cython.pointer[cython.const[stat_t]]) -> Stamp:
    found: Stamp
    found.device = status.st_dev
    found.inode = status.st_ino
    found.nbytes = status.st_size
    found.changed_s = status.st_mtim.tv_sec
    found.changed_ns = status.st_mtim.tv_nsec
    found.touched_s = status.st_ctim.tv_sec
    found.touched_ns = status.st_ctim.tv_nsec
    return found


def is_same_file(one: cython.pointer[cython.const[Stamp]], other: cython.pointer[cython.const[Stamp]]) -> cython.bint:
    """Whether nobody has touched it in between."""
    return (
        one.device == other.device
        and one.inode == other.inode
        and one.nbytes == other.nbytes
        and one.changed_s == other.changed_s
        and one.changed_ns == other.changed_ns
        and one.touched_s == other.touched_s
        and one.touched_ns == other.touched_ns
    )
