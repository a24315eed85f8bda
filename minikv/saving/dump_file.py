# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""The file that a save writes before it replaces the dump: complete and durable, or gone.

    file_open       create temp-<pid>.rdb and lock it until it is the dump, or gone
    file_advance    take what was put into file_space; file_add copies bytes there
    file_finish     fsync, close
    file_rename     rename to the dump's name; fsync of the directory
    file_discard    remove what a failure leaves; harmless after file_rename

Each returns False on failure, with `step` and `error` set.

Two processes may have the same pid, in two containers that share the directory. So the file is truncated
only under the lock, and a process without the lock touches nothing. Nothing is written through a link,
into a pipe or into another user's file of this name.

One block is filled while the kernel writes the others: walk and disk work at the same time, and the disk
gets its next block before it has finished the last one. Blocks bypass the page cache (O_DIRECT, Linux
aio), so a snapshot takes no memory for pages that nobody will read, evicts nothing from the cache, and
leaves no burst for the final fsync. Measured for 1 GB on ext4: 0.05 s of kernel CPU time, against 0.35
to 1 s for writes through the cache, and seconds of it on a busy machine. A write that extends a file is
never asynchronous, so the file is extended ahead of the writes.

With an `output` the caller has opened what is written: a pipe, or a file without a name, which nobody needs after a
crash. It is not locked, synced or renamed.

Where files can share blocks (XFS, btrfs), what the dump before has already is not written again. Each 4 KiB of the
new file, a unit, is looked for among those of the dump before by a keyed hash (units.py); a row of them becomes a part
of both files (FICLONERANGE), before the bytes at hand are given up: should that fail, they are written. The checksum is
that of the bytes at hand, so what the file system or somebody else has made of the dump before cannot go unnoticed. If
the dump before is not the one that was noted, to the nanosecond of its last change, it is read first; if it changes
while it is being shared, the new file is read and compared with its checksum.

Without O_DIRECT, sync_file_range flushes the cache as the file grows: it starts the newest window and waits
for the one before. `rdb-save-incremental-fsync no` leaves everything to the final fsync.
"""

import cython
from cython.cimports.libc.errno import EAGAIN, EBADF, EEXIST, EINTR, EINVAL, EIO, ESTALE, errno
from cython.cimports.libc.signal import SIGKILL
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t, uintptr_t
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.minikv.rdb.crc64 import crc64, crc64_moved
from cython.cimports.minikv.saving.linux import (
    F_DUPFD_CLOEXEC,
    F_GETFL,
    F_SETFL,
    FICLONERANGE,
    IOCB_CMD_PWRITE,
    LOCK_EX,
    LOCK_NB,
    O_CLOEXEC,
    O_DIRECT,
    O_DIRECTORY,
    O_NOFOLLOW,
    S_ISREG,
    SYNC_FILE_RANGE_WAIT_AFTER,
    SYNC_FILE_RANGE_WAIT_BEFORE,
    SYNC_FILE_RANGE_WRITE,
    SYS_io_destroy,
    SYS_io_getevents,
    SYS_io_setup,
    SYS_io_submit,
    fcntl,
    file_clone_range,
    flock,
    fstat,
    io_event,
    iocb,
    ioctl,
    open,
    rename,
    stat,
    stat_t,
    sync_file_range,
    syscall,
)
from cython.cimports.minikv.saving.text import put_number, put_text
from cython.cimports.minikv.saving.unit_hash import UNIT_LEN, UNIT_SHIFT, unit_hash
from cython.cimports.minikv.saving.units import (
    Run,
    Stamp,
    UnitHash,
    drop_table,
    empty_table,
    find_unit,
    is_same_file,
    note_unit,
    stamp_of,
    table_of,
)
from cython.cimports.posix.fcntl import O_CREAT, O_NONBLOCK, O_RDONLY, O_WRONLY
from cython.cimports.posix.signal import kill
from cython.cimports.posix.unistd import (
    close,
    fsync,
    ftruncate,
    geteuid,
    getpid,
    pread,
    pwrite,
    unlink,
    usleep,
    write,
)

ALIGNMENT = cython.declare(uint64_t, 4096)  # of addresses, offsets and lengths of direct writes
WINDOW_LEN = cython.declare(uint64_t, 8 << 20)  # bytes being flushed when the page cache is used
AHEAD_LEN = cython.declare(uint64_t, 32 << 20)  # by which the file is extended ahead of the writes
LOCK_TRIES = cython.declare(cython.int, 20)  # a process that probes the lock (temp_file.py) holds it for a moment
LOCK_WAIT_US = cython.declare(cython.uint, 1000)
CRC_LEN = cython.declare(uint64_t, 8)  # at the end of a dump
PADDED_WITHIN = cython.declare(uint64_t, 8192)  # of a dump whose blocks are worth a look, the first padding begins here

DumpFileP = cython.typedef(cython.pointer[DumpFile])
Data = cython.typedef(cython.pointer[uint8_t])
BlockP = cython.typedef(cython.pointer[Block])
PieceP = cython.typedef(cython.pointer[Piece])
ConstData = cython.typedef(cython.pointer[cython.const[uint8_t]])


def file_open(file: DumpFileP) -> cython.bint:
    at: cython.p_char
    number: cython.int
    error: cython.int
    flags: cython.int = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK  # do not wait for the reader of a pipe
    file.fd = file.lock = -1
    file.ours = False
    file.step = file.error = 0
    file.crc = file.length = file.used = file.handed_over = file.sized = 0
    file.window_start = file.previous_start = 0
    file.queue = 0
    file.filling = 0
    file.origin_fd = -1
    file.learned = cython.NULL
    file.next_shared = 0
    file.all_shared = file.clones = False
    for number in range(BLOCKS):
        file.blocks[number].count = 0
    at = put_number(put_text(file.name, b"temp-"), getpid())
    put_text(at, b".rdb")
    put_text(put_text(put_text(file.path, file.directory), b"/"), file.name)
    if file.output >= 0:
        return open_output(file)
    file.direct = file.incremental
    if file.direct:
        file.fd = open_path(file, file.path, flags | O_DIRECT)
        file.direct = file.fd != -EINVAL
    if not file.direct:
        file.fd = open_path(file, file.path, flags)
    if file.fd < 0:
        return file_failed(file, STEP_OPEN, -file.fd)
    error = make_ours(file)
    if error:
        return file_failed(file, STEP_OPEN, error)
    if file.noted != cython.NULL:
        begin_sharing(file)
    begin_queue(file)
    return True


def open_output(file: DumpFileP) -> cython.bint:
    """Write to what the caller has opened."""
    file.fd = file.output
    file.direct = (
        not file.is_pipe and file.incremental and fcntl(file.fd, F_SETFL, fcntl(file.fd, F_GETFL) | O_DIRECT) == 0
    )
    begin_queue(file)
    return True


def begin_queue(file: DumpFileP) -> cython.void:
    if file.direct and (
        fault(file.faults, CALL_IO_SETUP)
        or syscall(SYS_io_setup, cython.cast(cython.uint, BLOCKS * PIECES), cython.address(file.queue)) != 0
    ):
        file.queue = 0  # then writes are synchronous


def make_ours(file: DumpFileP) -> cython.int:
    """Lock the open file and truncate what a dead process has left in it; 0, or errno."""
    opened: stat_t
    named: stat_t
    tries: cython.int = 0
    if fstat(file.fd, cython.address(opened)) != 0:
        return errno
    if not S_ISREG(opened.st_mode) or opened.st_uid != geteuid() or opened.st_nlink > 1:
        return EEXIST
    while flock(file.fd, LOCK_EX | LOCK_NB) != 0:
        if errno != EAGAIN:
            break  # the file system has no locks
        tries += 1
        if tries == LOCK_TRIES:
            return EAGAIN
        usleep(LOCK_WAIT_US)
    # The lock's previous holder may have renamed the file.
    if fstat(file.fd, cython.address(opened)) != 0 or stat(file.path, cython.address(named)) != 0:
        return errno
    if opened.st_ino != named.st_ino:
        return EAGAIN
    file.ours = True
    file.inode = opened.st_ino
    return 0 if ftruncate(file.fd, 0) == 0 else errno


def file_failed(file: DumpFileP, step: cython.int, error: cython.int) -> cython.bint:
    """Record the first failure; returns False."""
    if file.step == STEP_NONE:
        file.step = step
        file.error = error
    return False


# -- filling


def file_space(file: DumpFileP) -> Data:
    """Where the next bytes go; there is room for file_room."""
    return file.blocks[file.filling].start + file.used


def file_room(file: DumpFileP) -> uint64_t:
    """Free bytes at dump_space, at least SLACK_LEN."""
    return BLOCK_ROOM - file.used


def file_advance(file: DumpFileP, nbytes: uint64_t) -> cython.bint:
    """Take nbytes from file_space."""
    if file.checksum:
        file.crc = crc64(file.crc, file_space(file), nbytes)
    file.used += nbytes
    file.length += nbytes
    return file.used < BLOCK_LEN or hand_over(file)


def file_add(file: DumpFileP, data: ConstData, nbytes: uint64_t) -> cython.bint:
    """Add bytes from elsewhere."""
    piece: uint64_t
    while nbytes:
        piece = min(nbytes, file_room(file))
        memcpy(file_space(file), data, piece)
        if not file_advance(file, piece):
            return False
        data += piece
        nbytes -= piece
    return True


def hand_over(file: DumpFileP) -> cython.bint:
    """Write the filled block, and continue in the next one with the unaligned rest."""
    filled: BlockP = cython.address(file.blocks[file.filling])
    free: BlockP = cython.address(file.blocks[(file.filling + 1) % BLOCKS])
    whole: uint64_t = file.used & ~(ALIGNMENT - 1)
    if not settle(file, free):
        return False
    memcpy(free.start, filled.start + whole, file.used - whole)
    file.filling = (file.filling + 1) % BLOCKS
    file.used -= whole
    return begin_write(file, filled, whole)


# -- writing


def begin_write(file: DumpFileP, block: BlockP, nbytes: uint64_t) -> cython.bint:
    """Start writing the first bytes of a block, but for what is shared; `settle` waits for the end."""
    number: uint32_t = 0
    offset: uint64_t = file.handed_over
    block.count = 0
    file.handed_over += nbytes
    if file.noted == cython.NULL:
        add_piece(block, 0, nbytes, offset)
    else:
        share_units(file, block, nbytes, offset)
    while number < block.count and write_piece(file, cython.address(block.pieces[number])):
        number += 1
    return number == block.count


def add_piece(block: BlockP, start: uint64_t, end: uint64_t, offset: uint64_t) -> cython.void:
    """These bytes of the block, which lies at `offset` in the file, are to be written."""
    piece: PieceP = cython.address(block.pieces[block.count])
    if start < end:
        piece.pending = block.start + start
        piece.pending_len = end - start
        piece.offset = offset + start
        piece.in_flight = False
        block.count += 1


def write_piece(file: DumpFileP, piece: PieceP) -> cython.bint:
    """Start writing it."""
    error: cython.int
    if file.direct and file.queue:
        error = fault(file.faults, CALL_WRITE)
        if error:
            return take_error(file, error, True) and write_pending(file, piece)
        if submit(file, piece):
            return True
    return write_pending(file, piece)


def submit(file: DumpFileP, piece: PieceP) -> cython.bint:
    """Submit a piece to the kernel; False if that fails: a synchronous write will show why."""
    end: uint64_t = file.handed_over
    request: cython.pointer[iocb] = cython.address(piece.request)
    if end > file.sized and ftruncate(file.fd, end + AHEAD_LEN) == 0:
        file.sized = end + AHEAD_LEN
    memset(request, 0, cython.sizeof(iocb))
    request.aio_data = cython.cast(cython.ulonglong, cython.cast(uintptr_t, piece))
    request.aio_lio_opcode = IOCB_CMD_PWRITE
    request.aio_fildes = file.fd
    request.aio_buf = cython.cast(cython.ulonglong, cython.cast(uintptr_t, piece.pending))
    request.aio_nbytes = min(piece.pending_len, file.write_max) if file.write_max else piece.pending_len
    request.aio_offset = piece.offset
    piece.in_flight = (
        fault(file.faults, CALL_IO_SUBMIT) == 0
        and syscall(SYS_io_submit, file.queue, cython.cast(cython.long, 1), cython.address(request)) == 1
    )
    return piece.in_flight


def settle(file: DumpFileP, block: BlockP) -> cython.bint:
    """Wait until the block is fully written."""
    number: uint32_t
    for number in range(block.count):
        while block.pieces[number].in_flight:
            if not collect(file):
                return False
        if not write_pending(file, cython.address(block.pieces[number])):
            return False
    return True


def collect(file: DumpFileP) -> cython.bint:
    """Wait for the end of one write, of any piece."""
    event: io_event
    piece: PieceP
    while (
        syscall(
            SYS_io_getevents,
            file.queue,
            cython.cast(cython.long, 1),
            cython.cast(cython.long, 1),
            cython.address(event),
            cython.NULL,
        )
        != 1
    ):
        if errno != EINTR:
            return file_failed(file, STEP_WRITE, errno)
    piece = cython.cast(PieceP, cython.cast(uintptr_t, event.data))
    piece.in_flight = False
    if event.res < 0:
        return take_error(file, cython.cast(cython.int, -event.res), True)
    take_written(file, piece, event.res)
    return True


def write_pending(file: DumpFileP, piece: PieceP) -> cython.bint:
    """Write the rest of a piece synchronously."""
    written: int64_t
    error: cython.int
    while piece.pending_len:
        error = fault(file.faults, CALL_WRITE)
        if error == 0:
            written = write_some(file, piece)
            if written > 0:
                take_written(file, piece, written)
                continue
            error = errno if written < 0 else EIO  # or we would loop forever
        if not take_error(file, error, file.direct):
            return False
    if file.incremental and not file.direct and not file.is_pipe and piece.offset >= file.window_start + WINDOW_LEN:
        return next_window(file, piece.offset)
    return True


def write_some(file: DumpFileP, piece: PieceP) -> int64_t:
    nbytes: uint64_t = min(piece.pending_len, file.write_max) if file.write_max else piece.pending_len
    if file.is_pipe:
        return write(file.fd, piece.pending, nbytes)
    return pwrite(file.fd, piece.pending, nbytes, piece.offset)


def take_written(file: DumpFileP, piece: PieceP, nbytes: uint64_t) -> cython.void:
    piece.offset += nbytes
    piece.pending += nbytes
    piece.pending_len -= nbytes
    if file.direct and nbytes & (ALIGNMENT - 1):
        use_cache(file)


def take_error(file: DumpFileP, error: cython.int, direct: cython.bint) -> cython.bint:
    """True if the write should be retried. direct: the failed write bypassed the cache."""
    if error == EINTR:
        return True
    if direct and error == EINVAL:  # the file system wants another alignment
        if file.direct:
            use_cache(file)
        return True
    return file_failed(file, STEP_WRITE, error)


def use_cache(file: DumpFileP) -> cython.void:
    file.direct = False
    file.window_start = file.previous_start = file.handed_over
    fcntl(file.fd, F_SETFL, fcntl(file.fd, F_GETFL) & ~O_DIRECT)


def next_window(file: DumpFileP, end: uint64_t) -> cython.bint:
    """Start flushing the newest window and wait for the one before."""
    start: uint64_t = file.window_start
    if not sync_range(file, start, end, SYNC_FILE_RANGE_WRITE):
        return False
    if start > file.previous_start and not sync_range(
        file,
        file.previous_start,
        start,
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER,
    ):
        return False
    file.previous_start = start
    file.window_start = end
    return True


def sync_range(file: DumpFileP, start: uint64_t, end: uint64_t, flags: cython.uint) -> cython.bint:
    error: cython.int = fault(file.faults, CALL_SYNC_RANGE)
    if error == 0 and sync_file_range(file.fd, start, end - start, flags) != 0:
        error = errno
    return error == 0 or file_failed(file, STEP_SYNC_RANGE, error)


# -- the end


def file_finish(file: DumpFileP) -> cython.bint:
    """Make the file durable and close it."""
    fd: cython.int
    error: cython.int
    number: cython.int
    for number in range(BLOCKS):
        if not settle(file, cython.address(file.blocks[number])):
            return False
    if file.direct:
        use_cache(file)  # the last bytes are not aligned
    if not begin_write(file, cython.address(file.blocks[file.filling]), file.used):
        return False
    file.used = 0
    if file.sized > file.length and ftruncate(file.fd, file.length) != 0:
        return file_failed(file, STEP_WRITE, errno)
    if file.output < 0:
        error = sync_descriptor(file, file.fd)
        if error:
            return file_failed(file, STEP_FSYNC, error)
        if not check_origin(file):
            return False
    fd = file.fd
    file.fd = -1
    if file.output < 0:
        file.lock = fcntl(fd, F_DUPFD_CLOEXEC, 3)
    end_queue(file)
    error = fault(file.faults, CALL_CLOSE)
    if close(fd) != 0 and error == 0:
        error = errno
    return error == 0 or file_failed(file, STEP_CLOSE, error)


def file_rename(file: DumpFileP, target: cython.p_const_char) -> cython.bint:
    """Rename the file durably: until the directory is synced, a power cut restores the old dump."""
    fd: cython.int
    error: cython.int = fault(file.faults, CALL_RENAME)
    if error == 0 and rename(file.path, target) != 0:
        error = errno
    if error:
        return file_failed(file, STEP_RENAME, error)
    publish_units(file, target)
    end_sharing(file)
    let_go(file)
    fd = open_path(file, file.directory, O_RDONLY | O_DIRECTORY)
    if fd < 0:
        return file_failed(file, STEP_SYNC_DIRECTORY, -fd)
    error = sync_descriptor(file, fd)
    close(fd)
    # Some file systems cannot sync directories at all.
    return error in (0, EINVAL, EBADF) or file_failed(file, STEP_SYNC_DIRECTORY, error)


def file_discard(file: DumpFileP) -> cython.void:
    """Close and remove the file."""
    if file.ours and fault(file.faults, CALL_UNLINK) == 0:
        unlink(file.path)  # the failure that brought us here is the one to report
    empty_table(file.noted)
    end_queue(file)
    end_sharing(file)
    if file.fd >= 0:
        close(file.fd)
        file.fd = -1
    let_go(file)


def let_go(file: DumpFileP) -> cython.void:
    """Release the lock."""
    file.ours = False
    if file.lock >= 0:
        close(file.lock)
        file.lock = -1


def end_queue(file: DumpFileP) -> cython.void:
    """Destroy the queue; waits for writes in progress."""
    if file.queue:
        syscall(SYS_io_destroy, file.queue)
        file.queue = 0


# -- blocks that this file and the dump before share


def begin_sharing(file: DumpFileP) -> cython.void:
    """Find out what of the dump before is known, and whether blocks can be shared here at all."""
    known: cython.bint = open_origin(file)
    file.clones = known
    if not known and not can_clone(file):
        file.noted.refused = True
        file.noted = cython.NULL
        end_sharing(file)


def open_origin(file: DumpFileP) -> cython.bint:
    """Open the dump before; False if nothing is known of its units, and nothing can be learned."""
    status: stat_t
    file.origin_fd = open_path(file, file.origin, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    if file.origin_fd < 0:
        file.origin_fd = -1
        return False
    if fstat(file.origin_fd, cython.address(status)) == 0 and S_ISREG(status.st_mode):
        file.origin_stamp = stamp_of(cython.address(status))
        if is_known(file):
            file.noted.compared = True
            return True
        # Nobody has told what is in it, or it was touched since. It is worth reading if it was written for this.
        if can_clone(file) and learn(file):
            file.known = file.learned
            file.noted.compared = True
            return True
    close(file.origin_fd)
    file.origin_fd = -1
    return False


def is_known(file: DumpFileP) -> cython.bint:
    """Whether the dump before is the one whose units were noted, untouched."""
    last: uint8_t[8]
    stamp: cython.pointer[Stamp] = cython.address(file.origin_stamp)
    return (
        file.known != cython.NULL
        and is_same_file(stamp, cython.address(file.known.stamp))
        and pread(file.origin_fd, last, CRC_LEN, stamp.nbytes - CRC_LEN) == cython.cast(int64_t, CRC_LEN)
        and memcmp(last, cython.address(file.known.crc), CRC_LEN) == 0
    )


def learn(file: DumpFileP) -> cython.bint:
    """Read the dump before and note its units, if it is one with padding and its checksum is right."""
    data: Data = file.blocks[0].start
    nbytes: uint64_t = file.origin_stamp.nbytes
    offset: uint64_t = 0
    at: uint64_t = 0
    taken: int64_t
    hash: UnitHash
    crc: uint64_t = 0
    padded: cython.bint = False
    if nbytes <= PADDED_WITHIN:
        return False
    if pread(file.origin_fd, data, PADDED_WITHIN, 0) != cython.cast(int64_t, PADDED_WITHIN):
        return False
    while at < PADDED_WITHIN - 10 and not padded:
        padded = memcmp(data + at, cython.cast(cython.p_const_char, b"minikv-pad"), 10) == 0
        at += 1
    if not padded:
        return False
    file.learned = table_of(nbytes)
    if file.learned == cython.NULL:
        return False
    while offset < nbytes:
        taken = pread(file.origin_fd, data, BLOCK_LEN, offset)
        if taken <= 0 or (taken & (UNIT_LEN - 1) and offset + taken < nbytes):
            return False
        at = 0
        while at + UNIT_LEN <= cython.cast(uint64_t, taken):
            unit_hash(data + at, file.hash_key, cython.cast(cython.pointer[uint64_t], cython.address(hash)))
            note_unit(file.learned, cython.address(hash))
            at += UNIT_LEN
        crc = crc64(crc, data, min(cython.cast(uint64_t, taken), max(nbytes - CRC_LEN, offset) - offset))
        offset += taken
    return (
        pread(file.origin_fd, data, CRC_LEN, nbytes - CRC_LEN) == cython.cast(int64_t, CRC_LEN)
        and memcmp(data, cython.address(crc), CRC_LEN) == 0
    )


def can_clone(file: DumpFileP) -> cython.bint:
    """Try it within the new file, which is empty."""
    done: cython.bint
    fd: cython.int = open_path(file, file.path, O_RDONLY | O_NOFOLLOW)
    if fd < 0:
        return False
    memset(file.blocks[0].start, 0, UNIT_LEN)
    done = (
        pwrite(file.fd, file.blocks[0].start, UNIT_LEN, 0) == cython.cast(int64_t, UNIT_LEN)
        and clone_range(file, fd, 0, UNIT_LEN, UNIT_LEN) == 0
    )
    close(fd)
    return ftruncate(file.fd, 0) == 0 and done


def share_units(file: DumpFileP, block: BlockP, nbytes: uint64_t, offset: uint64_t) -> cython.void:
    """Share what the dump before has of a block; the rest becomes its pieces."""
    units: uint64_t = nbytes >> UNIT_SHIFT
    unit: uint64_t = 0
    count: uint64_t
    written: uint64_t = 0  # units that are shared, or belong to a piece
    find_units(file, block.start, units)
    while unit < units and file.clones:
        count = 1
        while file.found[unit] and unit + count < units and file.found[unit + count] == file.found[unit] + count:
            count += 1
        if file.found[unit] and (
            count >= MIN_SHARED or (unit == 0 and file.all_shared and file.found[0] == file.next_shared)
        ):
            if (
                clone_range(
                    file,
                    file.origin_fd,
                    cython.cast(uint64_t, file.found[unit] - 1) << UNIT_SHIFT,
                    count << UNIT_SHIFT,
                    offset + (unit << UNIT_SHIFT),
                )
                != 0
            ):
                file.clones = False  # what is shared by now stays so
                break
            add_piece(block, written << UNIT_SHIFT, unit << UNIT_SHIFT, offset)
            written = unit + count
            file.noted.shared += count << UNIT_SHIFT
            file.next_shared = cython.cast(uint32_t, file.found[unit] + count)
        unit += count
    file.all_shared = written == units and units != 0
    add_piece(block, written << UNIT_SHIFT, nbytes, offset)


def file_share_run(file: DumpFileP, run: cython.pointer[cython.const[Run]]) -> cython.bint:
    """Add a run of the dump before, at a multiple of 4 KiB; False if its blocks cannot be shared."""
    unit: uint64_t
    nbytes: uint64_t = cython.cast(uint64_t, run.units) << UNIT_SHIFT
    if run.first + run.units > file.known.count or (file.used and not hand_over(file)):
        return False
    if clone_range(file, file.origin_fd, cython.cast(uint64_t, run.first) << UNIT_SHIFT, nbytes, file.handed_over) != 0:
        file.clones = False
        return False
    file.handed_over += nbytes
    file.length += nbytes
    file.crc = crc64_moved(file.crc, nbytes) ^ run.crc
    file.noted.shared += nbytes
    for unit in range(run.first, run.first + run.units):
        note_unit(file.noted, cython.address(file.known.hashes[unit]))
    file.next_shared = run.first + run.units + 1
    file.all_shared = True
    return True


def find_units(file: DumpFileP, data: ConstData, units: uint64_t) -> cython.void:
    """Note the units of a block, and find equal ones of the dump before."""
    unit: uint64_t
    guess: uint32_t = file.next_shared
    hash: UnitHash
    for unit in range(units):
        unit_hash(
            data + (unit << UNIT_SHIFT), file.hash_key, cython.cast(cython.pointer[uint64_t], cython.address(hash))
        )
        file.found[unit] = 0
        if file.clones:
            file.found[unit] = find_unit(file.known, cython.address(hash), guess - 1 if guess else 0)
            if guess:
                guess += 1
            if file.found[unit]:
                guess = file.found[unit] + 1
        note_unit(file.noted, cython.address(hash))


def clone_range(file: DumpFileP, source: cython.int, start: uint64_t, nbytes: uint64_t, offset: uint64_t) -> cython.int:
    """Let the file share a range of another one; 0, or errno."""
    wanted: file_clone_range
    error: cython.int = EINTR
    wanted.src_fd = source
    wanted.src_offset = start
    wanted.src_length = nbytes
    wanted.dest_offset = offset
    while error == EINTR:
        error = fault(file.faults, CALL_CLONE)
        if error == 0 and ioctl(file.fd, FICLONERANGE, cython.address(wanted)) != 0:
            error = errno
    return error


def check_origin(file: DumpFileP) -> cython.bint:
    """Whether what is shared is what was meant, before the file counts."""
    status: stat_t
    now: Stamp
    if file.noted == cython.NULL or file.noted.shared == 0:
        return True
    if fstat(file.origin_fd, cython.address(status)) == 0:
        now = stamp_of(cython.address(status))
        if is_same_file(cython.address(now), cython.address(file.origin_stamp)):
            return True
    # A link that a backup has made, or other content: what is in the new file will tell.
    return is_as_meant(file) or file_failed(file, STEP_SHARE, ESTALE)


def is_as_meant(file: DumpFileP) -> cython.bint:
    """Read the new file and compare it with its checksum."""
    data: Data = file.blocks[0].start
    end: uint64_t = file.length - CRC_LEN
    offset: uint64_t = 0
    taken: int64_t = 1
    crc: uint64_t = 0
    fd: cython.int = open_path(file, file.path, O_RDONLY | O_NOFOLLOW)
    if fd < 0:
        return False
    while offset < end and taken > 0:
        taken = pread(fd, data, min(cython.cast(uint64_t, BLOCK_LEN), end - offset), offset)
        if taken > 0:
            crc = crc64(crc, data, taken)
            offset += taken
    close(fd)
    return offset == end and crc == file.crc


def publish_units(file: DumpFileP, target: cython.p_const_char) -> cython.void:
    """The file is the dump now: its units are known, unless it has been replaced already."""
    status: stat_t
    if file.noted != cython.NULL and stat(target, cython.address(status)) == 0 and status.st_ino == file.inode:
        file.noted.stamp = stamp_of(cython.address(status))
        file.noted.crc = file.crc
        file.noted.published = True
        empty_table(file.known)


def end_sharing(file: DumpFileP) -> cython.void:
    if file.origin_fd >= 0:
        close(file.origin_fd)
        file.origin_fd = -1
    drop_table(file.learned)
    file.learned = cython.NULL


# -- system calls, where tests can inject faults


def open_path(file: DumpFileP, path: cython.p_const_char, flags: cython.int) -> cython.int:
    """A descriptor, or minus errno."""
    fd: cython.int = -EINTR
    while fd == -EINTR:
        fd = -fault(file.faults, CALL_OPEN)
        if fd == 0:
            fd = open(path, flags | O_CLOEXEC, cython.cast(cython.int, 0o644))
            if fd >= 0:
                break
            fd = -errno
    return fd


def sync_descriptor(file: DumpFileP, fd: cython.int) -> cython.int:
    """0, or errno."""
    error: cython.int = EINTR
    while error == EINTR:
        error = fault(file.faults, CALL_FSYNC)
        if error == 0 and fsync(fd) != 0:
            error = errno
    return error


def fault(faults: cython.pointer[Fault], call: cython.int) -> cython.int:
    """The errno with which this call must fail, or 0."""
    wanted: cython.pointer[Fault] = faults + call
    if wanted.last == 0:
        return 0
    wanted.done += 1
    if not wanted.first <= wanted.done <= wanted.last:
        return 0
    if wanted.error < 0:
        kill(getpid(), SIGKILL)
    return wanted.error
