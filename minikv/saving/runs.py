# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""A run of records that is what it was in the dump before need not be made again: neither copied nor compressed.

An aligned walk (walker.py) stops where a run begins. A hash of the run's records, as they lie in memory, then tells
whether the dump before has it; if so its blocks are shared as they are, and its checksum, which was noted, is combined
with that of the file. The hash is made of those of 4 KiB each (unit_hash.pxd), so it is as certain as they are.

Runs with collections whose elements lie elsewhere are walked, and so is what ends with a database.
"""

import cython
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.engine.arena import GRANULE, next_live
from cython.cimports.minikv.engine.record import (
    TYPE_HASH_TTL,
    Bytes,
    is_chunked,
    record_payload,
    record_size,
    skip_expiry,
)
from cython.cimports.minikv.engine.stores import spread_of
from cython.cimports.minikv.engine.walker import Walk, ends_run, seek
from cython.cimports.minikv.saving.unit_hash import HASH_KEY_WORDS, UNIT_LEN, add_mod_61, unit_hash

ConstData = cython.typedef(cython.pointer[cython.const[uint8_t]])
WalkP = cython.typedef(cython.pointer[Walk])


def scan_run(walk: WalkP, scan: cython.pointer[Scan], key: cython.pointer[cython.const[uint64_t]]) -> cython.bint:
    """Hash the run that begins at the record at hand; False if it is not one that can be skipped."""
    at: uint64_t = walk.at
    record: Bytes
    size: uint64_t
    kind: uint8_t
    state: cython.pointer[RunHash] = cython.address(scan.state)
    state.sum.one = state.sum.two = state.nbytes = state.used = 0
    scan.keys = 0
    while at < walk.end:
        record = walk.base + at
        if scan.keys and ends_run(record, state.nbytes, False, walk.compress):
            break
        kind = skip_expiry(record)[0]
        if is_chunked(kind, record_payload(record)) or kind == TYPE_HASH_TTL or spread_of(kind, record_payload(record)):
            return False
        size = record_size(record)
        add_record(state, key, record, size)
        scan.keys += 1
        at = next_live(walk.live, at + GRANULE, walk.end)
    scan.following = at if at < walk.end else 0
    if scan.following == 0 and (
        walk.item + 1 >= walk.part_end or not ends_run(walk.base + walk.at, state.nbytes, True, walk.compress)
    ):
        return False
    size = state.nbytes
    if state.used:
        memset(cython.address(state.unit[state.used]), 0, UNIT_LEN - state.used)
        add_unit(state, key)
    # The length last, and whether strings are compressed.
    scan.hash.one = add_mod_61(state.sum.one, key[HASH_KEY_WORDS - 2], 2 * size + walk.compress)
    scan.hash.two = add_mod_61(state.sum.two, key[HASH_KEY_WORDS - 1], 2 * size + walk.compress)
    return True


def skip_run(walk: WalkP, scan: cython.pointer[cython.const[Scan]]) -> cython.void:
    """Go to the next one."""
    walk.keys += scan.keys
    walk.run_offset = 0  # what comes begins a run
    if scan.following:
        walk.at = scan.following
    else:
        walk.item += 1
        seek(walk)


def add_record(
    hash: cython.pointer[RunHash], key: cython.pointer[cython.const[uint64_t]], data: ConstData, nbytes: uint64_t
) -> cython.void:
    piece: uint64_t
    hash.nbytes += nbytes
    while nbytes:
        piece = min(nbytes, UNIT_LEN - hash.used)
        memcpy(cython.address(hash.unit[hash.used]), data, piece)
        hash.used += piece
        data += piece
        nbytes -= piece
        if hash.used == UNIT_LEN:
            add_unit(hash, key)


def add_unit(hash: cython.pointer[RunHash], key: cython.pointer[cython.const[uint64_t]]) -> cython.void:
    found: UnitHash
    unit_hash(hash.unit, key, cython.cast(cython.pointer[uint64_t], cython.address(found)))
    hash.sum.one = add_mod_61(hash.sum.one, key[HASH_KEY_WORDS - 2], found.one)
    hash.sum.two = add_mod_61(hash.sum.two, key[HASH_KEY_WORDS - 1], found.two)
    hash.used = 0
