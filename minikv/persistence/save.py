# cython: boundscheck=False, wraparound=False, cdivision=True
"""A save from its first byte to the dump in place, in the server's process or in a snapshot child.

    begin_dump, step_dump ..., end_dump     head, walk, checksum; synced under a temporary name
    put_in_place    replace the old dump
    give_up         after a failure: remove the file; `message` has Redis's words for it

The walk gives the database opcodes and the records, already in the file's form. Left to do are the head,
which the caller has prepared, the checksum, and publishing the progress.
"""

import cython
from cython.cimports.libc.errno import ESTALE, EUCLEAN
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.engine.walker import Walk, walk_fill, walk_publish
from cython.cimports.minikv.persistence.dump_file import (
    STEP_CLOSE,
    STEP_FSYNC,
    STEP_NONE,
    STEP_OPEN,
    STEP_RENAME,
    STEP_SYNC_DIRECTORY,
    STEP_SYNC_RANGE,
    STEP_VERIFY,
    STEP_WALK,
    STEP_WRITE,
    DumpFile,
    dump_add,
    dump_advance,
    dump_begin,
    dump_discard,
    dump_failed,
    dump_finish,
    dump_rename,
    dump_room,
    dump_space,
)
from cython.cimports.minikv.persistence.linux import CLOCK_MONOTONIC, clock_gettime, nanosleep, stat, stat_t, timespec
from cython.cimports.minikv.persistence.text import put_number, put_text
from cython.cimports.posix.unistd import getppid

OPCODE_EOF = cython.declare(uint8_t, 0xFF)
CHECKSUM_LEN = cython.declare(uint64_t, 8)
BILLION = cython.declare(int64_t, 1_000_000_000)

SaveP = cython.typedef(cython.pointer[Save])


def begin_dump(save: SaveP) -> cython.bint:
    save.keys_rested = 0
    save.progress[PHASE] = PHASE_WALKING
    return dump_begin(cython.address(save.file)) and dump_add(cython.address(save.file), save.head, save.head_len)


def step_dump(save: SaveP) -> cython.bint:
    """Write the next buffer of the walk, after the pause for the one before; False at the end of the walk."""
    file: cython.pointer[DumpFile] = cython.address(save.file)
    nbytes: uint64_t
    if save.max_keys:
        nap(save.nap_ns * (save.walk.keys - save.keys_rested))
        save.keys_rested = save.walk.keys
    nbytes = walk_fill(save.walk, dump_space(file), dump_room(file), save.max_keys)
    if nbytes == 0 or not dump_advance(file, nbytes):
        return False
    walk_publish(save.walk)
    save.progress[BYTES] = file.length
    return True


def end_dump(save: SaveP) -> cython.bint:
    """Write the end of the file and sync it; False also for a failure in an earlier step."""
    file: cython.pointer[DumpFile] = cython.address(save.file)
    foot: uint8_t[9]
    if file.step != STEP_NONE:
        return False
    if save.walk.error:
        return dump_failed(file, STEP_WALK, save.walk.error)
    if save.walk.keys != expected_keys(save.walk):
        return dump_failed(file, STEP_WALK, EUCLEAN)  # never put a dump in place that lacks keys
    foot[0] = OPCODE_EOF
    if not dump_add(file, foot, 1):
        return False
    memcpy(foot, cython.address(file.crc), CHECKSUM_LEN)
    file.checksum = False  # it does not count itself
    if not dump_add(file, foot, CHECKSUM_LEN):
        return False
    save.progress[BYTES] = file.length
    save.progress[PHASE] = PHASE_SYNCING
    return dump_finish(file)


def expected_keys(walk: cython.pointer[cython.const[Walk]]) -> uint64_t:
    number: uint32_t
    keys: uint64_t = 0
    for number in range(walk.part_count):
        keys += walk.parts[number].keys
    return keys


def put_in_place(save: SaveP) -> cython.bint:
    """Replace the dump, unless an orphan would replace what a restarted server has saved meanwhile.

    A child whose server has died continues: its snapshot may be the best that is left. But it must not
    replace a later one.
    """
    now: Identity
    if save.parent and getppid() != save.parent:
        now = identity(save.target)
        if not is_same(cython.address(now), cython.address(save.before)):
            return dump_failed(cython.address(save.file), STEP_RENAME, ESTALE)
    return dump_rename(cython.address(save.file), save.target)


def give_up(save: SaveP) -> cython.void:
    dump_discard(cython.address(save.file))
    tell_failure(save)
    save.progress[ERRNO] = save.file.error


def tell_failure(save: SaveP) -> cython.void:
    file: cython.pointer[DumpFile] = cython.address(save.file)
    at: cython.p_char = save.message
    if file.step == STEP_VERIFY:
        return  # the verifier has set the message
    if file.step == STEP_OPEN:
        at = put_text(put_text(at, b"Failed opening the temp RDB file "), file.name)
        at = put_text(put_text(put_text(at, b" (in server root dir "), file.directory), b") for saving: ")
    elif file.step == STEP_RENAME:
        at = put_text(put_text(at, b"Error moving temp DB file "), file.name)
        at = put_text(put_text(at, b" on the final destination "), save.filename)
        at = put_text(put_text(put_text(at, b" (in server root dir "), file.directory), b"): ")
    else:
        at = put_text(put_text(at, b"Write error while saving DB to the disk("), operation(file.step))
        at = put_text(at, b"): ")
    if file.error == ESTALE and file.step == STEP_RENAME:
        put_text(at, b"the server has ended, and a later dump is there")
    elif file.error == EUCLEAN and file.step == STEP_WALK:
        put_text(at, b"some keys were not found")
    elif file.error < ERRORS:
        put_text(at, save.errors[file.error])
    else:
        put_number(put_text(at, b"error "), file.error)


def operation(step: cython.int) -> cython.p_const_char:
    if step == STEP_WRITE:
        return b"write"
    if step == STEP_SYNC_RANGE:
        return b"sync_file_range"
    if step == STEP_FSYNC:
        return b"fsync"
    if step == STEP_CLOSE:
        return b"close"
    if step == STEP_SYNC_DIRECTORY:
        return b"fsyncFileDir"
    return b"walk"


def identity(path: cython.p_const_char) -> Identity:
    status: stat_t
    found: Identity
    memset(cython.address(found), 0, cython.sizeof(Identity))
    if stat(path, cython.address(status)) == 0:
        found.exists = True
        found.inode = status.st_ino
        found.seconds = status.st_mtim.tv_sec
        found.nanoseconds = status.st_mtim.tv_nsec
    return found


def is_same(one: cython.pointer[Identity], other: cython.pointer[Identity]) -> cython.bint:
    return (
        one.exists == other.exists
        and one.inode == other.inode
        and one.seconds == other.seconds
        and one.nanoseconds == other.nanoseconds
    )


def monotonic_ns() -> int64_t:
    now: timespec
    clock_gettime(CLOCK_MONOTONIC, cython.address(now))
    return now.tv_sec * BILLION + now.tv_nsec


def nap(ns: uint64_t) -> cython.void:
    span: timespec
    span.tv_sec = ns // cython.cast(uint64_t, BILLION)
    span.tv_nsec = ns % cython.cast(uint64_t, BILLION)
    nanosleep(cython.address(span), cython.NULL)
