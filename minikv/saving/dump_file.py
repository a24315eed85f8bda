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

Without O_DIRECT, sync_file_range flushes the cache as the file grows: it starts the newest window and waits
for the one before. `rdb-save-incremental-fsync no` leaves everything to the final fsync.
"""

import cython
from cython.cimports.libc.errno import EAGAIN, EBADF, EEXIST, EINTR, EINVAL, EIO, errno
from cython.cimports.libc.signal import SIGKILL
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t, uintptr_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.rdb.crc64 import crc64
from cython.cimports.minikv.saving.linux import (
    F_DUPFD_CLOEXEC,
    F_GETFL,
    F_SETFL,
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
    flock,
    fstat,
    io_event,
    iocb,
    open,
    rename,
    stat,
    stat_t,
    sync_file_range,
    syscall,
)
from cython.cimports.minikv.saving.text import put_number, put_text
from cython.cimports.posix.fcntl import O_CREAT, O_NONBLOCK, O_RDONLY, O_WRONLY
from cython.cimports.posix.signal import kill
from cython.cimports.posix.unistd import close, fsync, ftruncate, geteuid, getpid, pwrite, unlink, usleep, write

ALIGNMENT = cython.declare(uint64_t, 4096)  # of addresses, offsets and lengths of direct writes
WINDOW_LEN = cython.declare(uint64_t, 8 << 20)  # bytes being flushed when the page cache is used
AHEAD_LEN = cython.declare(uint64_t, 32 << 20)  # by which the file is extended ahead of the writes
LOCK_TRIES = cython.declare(cython.int, 20)  # a process that probes the lock (temp_file.py) holds it for a moment
LOCK_WAIT_US = cython.declare(cython.uint, 1000)

DumpFileP = cython.typedef(cython.pointer[DumpFile])
Data = cython.typedef(cython.pointer[uint8_t])
BlockP = cython.typedef(cython.pointer[Block])
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
    for number in range(BLOCKS):
        file.blocks[number].pending_len = 0
        file.blocks[number].in_flight = False
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
        or syscall(SYS_io_setup, cython.cast(cython.uint, BLOCKS), cython.address(file.queue)) != 0
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
    """Start writing the first bytes of a block; `settle` waits for the end."""
    error: cython.int
    block.pending = block.start
    block.pending_len = nbytes
    block.offset = file.handed_over
    file.handed_over += nbytes
    if file.direct and file.queue:
        error = fault(file.faults, CALL_WRITE)
        if error:
            return take_error(file, error, True) and write_pending(file, block)
        if submit(file, block):
            return True
    return write_pending(file, block)


def submit(file: DumpFileP, block: BlockP) -> cython.bint:
    """Submit a block to the kernel; False if that fails: a synchronous write will show why."""
    end: uint64_t = file.handed_over
    request: cython.pointer[iocb] = cython.address(block.request)
    if end > file.sized and ftruncate(file.fd, end + AHEAD_LEN) == 0:
        file.sized = end + AHEAD_LEN
    memset(request, 0, cython.sizeof(iocb))
    request.aio_data = cython.cast(cython.ulonglong, cython.cast(uintptr_t, block))
    request.aio_lio_opcode = IOCB_CMD_PWRITE
    request.aio_fildes = file.fd
    request.aio_buf = cython.cast(cython.ulonglong, cython.cast(uintptr_t, block.pending))
    request.aio_nbytes = min(block.pending_len, file.write_max) if file.write_max else block.pending_len
    request.aio_offset = block.offset
    block.in_flight = (
        fault(file.faults, CALL_IO_SUBMIT) == 0
        and syscall(SYS_io_submit, file.queue, cython.cast(cython.long, 1), cython.address(request)) == 1
    )
    return block.in_flight


def settle(file: DumpFileP, block: BlockP) -> cython.bint:
    """Wait until the block is fully written."""
    while block.in_flight:
        if not collect(file):
            return False
    return write_pending(file, block)


def collect(file: DumpFileP) -> cython.bint:
    """Wait for the end of one write, of any block."""
    event: io_event
    block: BlockP
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
    block = cython.cast(BlockP, cython.cast(uintptr_t, event.data))
    block.in_flight = False
    if event.res < 0:
        return take_error(file, cython.cast(cython.int, -event.res), True)
    take_written(file, block, event.res)
    return True


def write_pending(file: DumpFileP, block: BlockP) -> cython.bint:
    """Write the rest of a block synchronously."""
    written: int64_t
    error: cython.int
    while block.pending_len:
        error = fault(file.faults, CALL_WRITE)
        if error == 0:
            written = write_block(file, block)
            if written > 0:
                take_written(file, block, written)
                continue
            error = errno if written < 0 else EIO  # or we would loop forever
        if not take_error(file, error, file.direct):
            return False
    if file.incremental and not file.direct and not file.is_pipe and block.offset >= file.window_start + WINDOW_LEN:
        return next_window(file, block.offset)
    return True


def write_block(file: DumpFileP, block: BlockP) -> int64_t:
    nbytes: uint64_t = min(block.pending_len, file.write_max) if file.write_max else block.pending_len
    if file.is_pipe:
        return write(file.fd, block.pending, nbytes)
    return pwrite(file.fd, block.pending, nbytes, block.offset)


def take_written(file: DumpFileP, block: BlockP, nbytes: uint64_t) -> cython.void:
    block.offset += nbytes
    block.pending += nbytes
    block.pending_len -= nbytes
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
    end_queue(file)
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
