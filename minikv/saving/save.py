# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""A save from its first byte to the dump in place, in the server's process or in a snapshot child.

    save_begin, save_step ..., save_finish     head, walk, checksum; synced under a temporary name
    save_commit    replace the old dump; or add the file to a history, with a line in its manifest
    save_abort     after a failure: remove the file; `message` has Redis's words for it

The walk gives the database opcodes and the records, already in the file's form. Left to do are the head,
which the caller has prepared, the checksum, and publishing the progress.
"""

import cython
from cython.cimports.libc.errno import EINTR, ENOSPC, ESTALE, EUCLEAN, errno
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.engine.progress import (
    BYTES_SHARED,
    BYTES_WRITTEN,
    DIGEST,
    ERRNO,
    PHASE,
    PHASE_PUBLISHING,
    PHASE_SYNCING,
    PHASE_WALKING,
)
from cython.cimports.minikv.engine.walker import Walk, walk_fill, walk_publish
from cython.cimports.minikv.rdb.crc64 import crc64, crc64_moved
from cython.cimports.minikv.saving.dump_file import (
    CALL_APPEND,
    STEP_CLOSE,
    STEP_FSYNC,
    STEP_MANIFEST,
    STEP_NONE,
    STEP_OPEN,
    STEP_RENAME,
    STEP_SHARE,
    STEP_SYNC_DIRECTORY,
    STEP_SYNC_RANGE,
    STEP_VERIFY,
    STEP_WALK,
    STEP_WRITE,
    DumpFile,
    fault,
    file_add,
    file_advance,
    file_discard,
    file_failed,
    file_finish,
    file_open,
    file_rename,
    file_room,
    file_share_run,
    file_space,
    open_path,
    sync_descriptor,
)
from cython.cimports.minikv.saving.linux import (
    CLOCK_MONOTONIC,
    LOCK_EX,
    O_APPEND,
    clock_gettime,
    flock,
    nanosleep,
    stat,
    stat_t,
    timespec,
)
from cython.cimports.minikv.saving.runs import scan_run, skip_run
from cython.cimports.minikv.saving.text import put_hex, put_number, put_text
from cython.cimports.minikv.saving.unit_hash import UNIT_SHIFT
from cython.cimports.minikv.saving.units import Run, find_run, note_run
from cython.cimports.posix.fcntl import O_CREAT, O_RDWR
from cython.cimports.posix.unistd import SEEK_END, close, ftruncate, getppid, lseek, pread, unlink, write

OPCODE_EOF = cython.declare(uint8_t, 0xFF)
CHECKSUM_LEN = cython.declare(uint64_t, 8)
BILLION = cython.declare(int64_t, 1_000_000_000)
LINE_FEED = cython.declare(cython.char, 10)


def save_begin(save: SaveP) -> cython.bint:
    save.keys_rested = 0
    if save.began_ns == 0:
        save.began_ns = monotonic_ns()
    save.progress[PHASE] = PHASE_WALKING
    if not file_open(cython.address(save.file)):
        return False
    save.run_open = False
    save.walk.aligned = save.file.noted != cython.NULL
    return file_add(cython.address(save.file), save.head, save.head_len)


def save_step(save: SaveP) -> cython.bint:
    """Write the next buffer of the walk, after the pause for the one before; False at the end of the walk."""
    file: cython.pointer[DumpFile] = cython.address(save.file)
    nbytes: uint64_t
    if save.max_keys:
        nap(save.nap_ns * (save.walk.keys - save.keys_rested))
        save.keys_rested = save.walk.keys
    save.walk.offset = file.length
    nbytes = walk_fill(save.walk, file_space(file), file_room(file), save.max_keys)
    if nbytes and not file_advance(file, nbytes):
        return False
    if save.walk.at_run:
        save.walk.at_run = False
        take_run(save)
        if file.step != STEP_NONE:
            return False
    elif nbytes == 0:
        return False
    walk_publish(save.walk)
    save.progress[BYTES_WRITTEN] = file.length
    tell_shared(save)
    return True


def take_run(save: SaveP) -> cython.void:
    """The walk is at a run of records. Share it if the dump before has it, else remember what it is until its end."""
    file: cython.pointer[DumpFile] = cython.address(save.file)
    known: cython.pointer[cython.const[Run]] = cython.NULL
    note_ended_run(save)
    if not scan_run(save.walk, cython.address(save.scan), file.hash_key):
        return
    if file.clones:
        known = find_run(file.known, cython.address(save.scan.hash))
    save.run.first = cython.cast(uint32_t, file.length >> UNIT_SHIFT)
    if known != cython.NULL and file_share_run(file, known):
        save.run.hash = known.hash
        save.run.crc = known.crc
        save.run.units = known.units
        note_run(file.noted, cython.address(save.run))
        skip_run(save.walk, cython.address(save.scan))
        return
    save.run.hash = save.scan.hash
    save.run_crc = file.crc
    save.run_part = save.walk.part
    save.run_open = True


def note_ended_run(save: SaveP) -> cython.void:
    """Unless its database has ended with it: then more than records was written."""
    file: cython.pointer[DumpFile] = cython.address(save.file)
    if save.run_open and save.walk.part == save.run_part:
        save.run.units = cython.cast(uint32_t, (file.length >> UNIT_SHIFT) - save.run.first)
        save.run.crc = file.crc ^ crc64_moved(save.run_crc, cython.cast(uint64_t, save.run.units) << UNIT_SHIFT)
        note_run(file.noted, cython.address(save.run))
    save.run_open = False


def save_finish(save: SaveP) -> cython.bint:
    """Write the end of the file and sync it; False also for a failure in an earlier step."""
    file: cython.pointer[DumpFile] = cython.address(save.file)
    foot: uint8_t[9]
    if file.step != STEP_NONE:
        return False
    if save.walk.error:
        return file_failed(file, STEP_WALK, save.walk.error)
    if save.walk.keys != expected_keys(save.walk):
        return file_failed(file, STEP_WALK, EUCLEAN)  # never put a dump in place that lacks keys
    foot[0] = OPCODE_EOF
    if not file_add(file, foot, 1):
        return False
    memcpy(foot, cython.address(file.crc), CHECKSUM_LEN)
    file.checksum = False  # it does not count itself
    if not file_add(file, foot, CHECKSUM_LEN):
        return False
    save.progress[BYTES_WRITTEN] = file.length
    save.progress[DIGEST] = file.crc
    save.progress[PHASE] = PHASE_SYNCING
    if not file_finish(file):
        return False
    tell_shared(save)
    return True


def tell_shared(save: SaveP) -> cython.void:
    save.progress[BYTES_SHARED] = save.file.noted.shared if save.file.noted != cython.NULL else 0


def expected_keys(walk: cython.pointer[cython.const[Walk]]) -> uint64_t:
    number: uint32_t
    keys: uint64_t = 0
    if walk.fresh != cython.NULL:
        return walk.expected
    for number in range(walk.part_count):
        keys += walk.parts[number].keys
    return keys


def save_commit(save: SaveP) -> cython.bint:
    """Replace the dump, unless an orphan would replace what a restarted server has saved meanwhile.

    A child whose server has died continues: its snapshot may be the best that is left. But it must not
    replace a later one. What has no name (file.output) replaces nothing.
    """
    now: Identity
    if save.manifest != cython.NULL:
        return save_publish(save)
    if save.file.output >= 0:
        return True
    if save.parent and getppid() != save.parent:
        now = identity(save.target)
        if not is_same(cython.address(now), cython.address(save.before)):
            return file_failed(cython.address(save.file), STEP_RENAME, ESTALE)
    return file_rename(cython.address(save.file), save.target)


def save_publish(save: SaveP) -> cython.bint:
    """Add the file to its history, under the lock of the manifest: all of it or nothing."""
    file: cython.pointer[DumpFile] = cython.address(save.file)
    done: cython.bint
    lock: cython.int = open_path(file, save.manifest_lock, O_RDWR | O_CREAT)
    if lock < 0:
        return file_failed(file, STEP_MANIFEST, -lock)
    while flock(lock, LOCK_EX) != 0:
        if errno != EINTR:
            file_failed(file, STEP_MANIFEST, errno)
            close(lock)
            return False
    done = publish_locked(save)
    close(lock)
    return done


def publish_locked(save: SaveP) -> cython.bint:
    file: cython.pointer[DumpFile] = cython.address(save.file)
    fd: cython.int
    done: cython.bint
    if save.parent and getppid() != save.parent:
        return file_failed(file, STEP_RENAME, ESTALE)  # another server may have added to the history
    fd = open_path(file, save.manifest, O_RDWR | O_APPEND)
    if fd < 0:
        return file_failed(file, STEP_MANIFEST, -fd)
    save.progress[PHASE] = PHASE_PUBLISHING
    done = file_rename(file, save.target)
    done = done and append_line(save, fd)
    if not done and file.step != STEP_RENAME:
        unlink(save.target)
    close(fd)
    return done


def append_line(save: SaveP, fd: cython.int) -> cython.bint:
    """The point's line, on the disk; a failure leaves none."""
    file: cython.pointer[DumpFile] = cython.address(save.file)
    length: cython.Py_ssize_t = format_line(save)
    end: int64_t = whole_lines(fd)
    written: cython.Py_ssize_t
    error: cython.int = fault(file.faults, CALL_APPEND)
    if error == 0 and (end < 0 or ftruncate(fd, end) != 0):
        error = errno
    if error == 0:
        written = write(fd, save.line, length)
        if written != length:
            error = errno if written < 0 else ENOSPC
    if error == 0:
        error = sync_descriptor(file, fd)
    if error == 0:
        return True
    if end >= 0:
        ftruncate(fd, end)
    return file_failed(file, STEP_MANIFEST, error)


def whole_lines(fd: cython.int) -> int64_t:
    """Bytes of the manifest without a last line that a crash has cut; negative: errno is set."""
    text: cython.char[LINE_ROOM]
    end: int64_t = lseek(fd, 0, SEEK_END)
    start: int64_t = max(end - LINE_ROOM, 0)
    length: cython.Py_ssize_t
    if end <= 0:
        return end
    length = pread(fd, text, cython.cast(cython.size_t, end - start), start)
    if length < 0:
        return -1
    while length and text[length - 1] != LINE_FEED:
        length -= 1
    return start + length


def format_line(save: SaveP) -> uint64_t:
    at: cython.p_char = put_text(save.line, save.point)
    now: int64_t = monotonic_ns()
    at = put_hex(put_text(at, b" digest="), save.file.crc)
    at = put_number(put_text(at, b" keys="), save.walk.keys)
    at = put_number(put_text(at, b" removed="), save.walk.removed)
    at = put_number(put_text(at, b" bytes="), save.file.length)
    if save.fork_began_ns:
        at = put_number(put_text(at, b" fork-us="), (save.began_ns - save.fork_began_ns) // 1000)
    at = put_number(put_text(at, b" save-ms="), (now - save.began_ns) // 1_000_000)
    at = put_hex(put_text(at, b" checksum="), crc64(0, cython.cast(cython.pointer[uint8_t], save.line), at - save.line))
    return put_text(at, b"\n") - save.line


def save_abort(save: SaveP) -> cython.void:
    file_discard(cython.address(save.file))
    format_failure(save)
    save.progress[ERRNO] = save.file.error


def format_failure(save: SaveP) -> cython.void:
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
    elif file.step == STEP_MANIFEST:
        at = put_text(put_text(put_text(at, b"Error adding a line to "), save.manifest), b": ")
    else:
        at = put_text(
            at, b"Write error while sending the DB(" if file.is_pipe else b"Write error while saving DB to the disk("
        )
        at = put_text(at, operation(file.step))
        at = put_text(at, b"): ")
    if file.error == ESTALE and file.step == STEP_RENAME:
        put_text(at, b"the server has ended, and a later dump is there")
    elif file.error == ESTALE and file.step == STEP_SHARE:
        put_text(at, b"the dump before, whose blocks it shares, has been changed meanwhile")
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
    if step == STEP_SHARE:
        return b"share"
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
