# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821, SIM110, SIM115
"""A large file, read from its beginning to its end as fast as the disk gives it.

A dump that minikv has written is not in the page cache (saving/dump_file.py), and the kernel's own read-ahead may keep
one small read in flight: disk and reader wait for each other. Here several large reads are in flight while the reader
works. They bypass the cache (O_DIRECT, Linux aio): the reader parses the very memory that the disk has written, and
nothing that others need is evicted for pages that nobody reads again.

    |---- handed out ----|-- block --|-- block --|-- ...  in flight  |---- not yet begun ----|
             ^ lent      at

The block handed out last is lent: it stays until the next one is asked for. A reader that stops within a record has the
record's beginning copied before the next block, into its headroom, and goes on there.

A block that the page cache has (mincore) is read from there, always into the same memory, which the processor's caches
hold. So is every block where direct reads are not possible, or one of them fails: then the ordinary read says why.

The offset of the caller's descriptor moves about as by read(2): it tells other processes how far the reader is.
"""

import cython
from cython.cimports.libc.errno import EINTR, errno
from cython.cimports.libc.stdint import uint8_t, uint64_t, uintptr_t
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.string import memcpy, memmove, memset
from cython.cimports.minikv.rdb.pointers import Bytes, ConstBytes
from cython.cimports.posix.fcntl import O_RDONLY
from cython.cimports.posix.mman import (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
    PROT_WRITE,
    mmap,
    munmap,
)
from cython.cimports.posix.stat import S_ISREG, fstat, struct_stat
from cython.cimports.posix.unistd import SEEK_CUR, SEEK_SET, close, lseek, pread

MIN_LEN = cython.declare(uint64_t, 8 << 20)  # a shorter file is read before this has begun
MEMORY_LEN = cython.declare(uint64_t, (BLOCKS + 1) * BLOCK_ROOM)
NOT_OPENED = cython.declare(cython.int, -1)
NOT_POSSIBLE = cython.declare(cython.int, -2)

BlockP = cython.typedef(cython.pointer[Block])


@cython.cclass
class ReadAhead:
    """One pass over one file; read_ahead() makes one."""

    def __cinit__(self):
        number: cython.int
        memory: cython.p_void = mmap(
            cython.NULL, MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0
        )
        if memory == MAP_FAILED:
            raise MemoryError
        self.direct = NOT_OPENED
        self.memory = cython.cast(Bytes, memory)
        madvise(memory, MEMORY_LEN, MADV_HUGEPAGE)  # the kernel has less to pin for each read
        self.cached = self.memory + HEADROOM
        for number in range(BLOCKS):
            self.blocks[number].start = self.cached + cython.cast(uint64_t, number + 1) * BLOCK_ROOM

    def __dealloc__(self):
        if self.queue:
            syscall(SYS_io_destroy, self.queue)  # waits for the reads in flight
        munmap(self.memory, MEMORY_LEN)
        if self.mapped != cython.NULL:
            munmap(self.mapped, self.size)
        if self.direct >= 0:
            close(self.direct)

    def next_len(self) -> uint64_t:
        """Bytes that `lend` would hand out."""
        return min(BLOCK_LEN - self.at % BLOCK_LEN, self.size - self.at)

    def lend(
        self, rest: ConstBytes, rest_len: uint64_t, start: cython.pointer[cython.pointer[uint8_t]]
    ) -> cython.Py_ssize_t:
        """Hand out the next bytes behind a copy of `rest`, at most HEADROOM bytes, which begins at `start`.

        How many bytes; 0 at the end of the file, minus errno on failure. They stay until the next call.
        """
        block: BlockP = cython.address(self.blocks[self.at // BLOCK_LEN % BLOCKS])
        within: uint64_t = self.at % BLOCK_LEN
        error: cython.int
        got: cython.Py_ssize_t
        self._free_blocks()
        if block.is_direct:
            error = self._wait(block)
            if error:
                return -error
            if within < block.length:
                start[0] = block.start + within - rest_len
                memmove(start[0], rest, rest_len)
                self.kept = self.at // BLOCK_LEN  # `rest` was copied: what it lay in is free
                got = block.length - within
                self.direct_bytes += got
                self.at += got
                self._free_blocks()
                return got
        start[0] = self.cached - rest_len
        memmove(start[0], rest, rest_len)
        got = self._read_cached(self.cached, BLOCK_LEN - within)
        self.kept = self.at // BLOCK_LEN
        self._free_blocks()
        return got

    def take(self, room: Bytes, nbytes: uint64_t) -> cython.Py_ssize_t:
        """Copy the next bytes, at most nbytes: how many; 0 at the end of the file, minus errno on failure.

        What was lent is no longer valid.
        """
        block: BlockP = cython.address(self.blocks[self.at // BLOCK_LEN % BLOCKS])
        within: uint64_t = self.at % BLOCK_LEN
        error: cython.int
        got: cython.Py_ssize_t
        self.kept = self.at // BLOCK_LEN
        self._free_blocks()
        if block.is_direct:
            error = self._wait(block)
            if error:
                return -error
            if within < block.length:
                got = min(nbytes, block.length - within)
                memcpy(room, block.start + within, got)
                self.direct_bytes += got
                self.at += got
                return got
        return self._read_cached(room, min(nbytes, BLOCK_LEN - within))

    def _read_cached(self, room: Bytes, nbytes: uint64_t) -> cython.Py_ssize_t:
        got: cython.Py_ssize_t = -1
        error: cython.int = EINTR
        while got < 0 and error == EINTR:
            got = pread(self.fd, room, nbytes, self.at)
            error = errno
        if got < 0:
            return -error
        self.at += got
        return got

    def _free_blocks(self) -> cython.void:
        """Begin to read further blocks into the memory that is free."""
        block: BlockP
        if self.begun >= self.kept + BLOCKS:
            return
        while self.begun < self.kept + BLOCKS and self.begun * BLOCK_LEN < self.size:
            block = cython.address(self.blocks[self.begun % BLOCKS])
            block.length = 0
            block.is_direct = not self._is_cached(self.begun * BLOCK_LEN) and self._submit(
                block, self.begun * BLOCK_LEN
            )
            self.begun += 1
        lseek(self.fd, self.at, SEEK_SET)

    def _is_cached(self, offset: uint64_t) -> cython.bint:
        """Whether the page cache has this block. Who may not know is told that it has."""
        pages: cython.uchar[BLOCK_PAGES]
        nbytes: uint64_t = min(self.size - offset, BLOCK_LEN)
        number: uint64_t
        if self.mapped == cython.NULL or mincore(cython.cast(Bytes, self.mapped) + offset, nbytes, pages) != 0:
            return False
        for number in range((nbytes + PAGE_LEN - 1) // PAGE_LEN):
            if not pages[number] & 1:
                return False
        return True

    def _submit(self, block: BlockP, offset: uint64_t) -> cython.bint:
        """Start a direct read of the whole block."""
        request: cython.pointer[iocb] = cython.address(block.request)
        if not self._open():
            return False
        memset(request, 0, cython.sizeof(iocb))
        request.aio_data = cython.cast(cython.ulonglong, cython.cast(uintptr_t, block))
        request.aio_lio_opcode = IOCB_CMD_PREAD
        request.aio_fildes = self.direct
        request.aio_buf = cython.cast(cython.ulonglong, cython.cast(uintptr_t, block.start))
        request.aio_nbytes = BLOCK_LEN
        request.aio_offset = offset
        block.in_flight = syscall(SYS_io_submit, self.queue, cython.cast(cython.long, 1), cython.address(request)) == 1
        return block.in_flight

    def _open(self) -> cython.bint:
        """Get ready for direct reads; False if they are not possible."""
        path: cython.char[40]
        if self.direct != NOT_OPENED:
            return self.direct >= 0
        snprintf(path, cython.sizeof(path), b"/proc/self/fd/%d", self.fd)
        self.direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC)
        if self.direct < 0:
            self.direct = NOT_POSSIBLE
            return False
        if syscall(SYS_io_setup, cython.cast(cython.uint, BLOCKS), cython.address(self.queue)) != 0:
            self.queue = 0
            close(self.direct)
            self.direct = NOT_POSSIBLE
            return False
        return True

    def _wait(self, block: BlockP) -> cython.int:
        """Until the block was read, whatever came of it; 0, or errno if that cannot be known."""
        event: io_event
        other: BlockP
        while block.in_flight:
            if (
                syscall(
                    SYS_io_getevents,
                    self.queue,
                    cython.cast(cython.long, 1),
                    cython.cast(cython.long, 1),
                    cython.address(event),
                    cython.NULL,
                )
                != 1
            ):
                if errno != EINTR:
                    return errno
                continue
            other = cython.cast(BlockP, cython.cast(uintptr_t, event.data))
            other.in_flight = False
            other.length = cython.cast(uint64_t, max(event.res, 0))
        return 0


def read_ahead(fd: cython.int, size: uint64_t) -> ReadAhead:
    """For a file of this size whose descriptor is at its beginning; None if it is small or no file."""
    status: struct_stat
    if size < MIN_LEN or fstat(fd, cython.address(status)) != 0 or not S_ISREG(status.st_mode):
        return None
    if lseek(fd, 0, SEEK_CUR) != 0:
        return None
    ahead: ReadAhead = ReadAhead()
    ahead.fd = fd
    ahead.size = size
    mapped: cython.p_void = mmap(cython.NULL, size, PROT_READ, MAP_SHARED, fd, 0)
    if mapped != MAP_FAILED:
        ahead.mapped = mapped
    return ahead
