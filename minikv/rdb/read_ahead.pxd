# A file that is read from its beginning to its end, past the page cache; read_ahead.py has the rules.

cimport cython
from libc.stdint cimport uint8_t, uint64_t


cdef extern from "<linux/aio_abi.h>" nogil:
    ctypedef unsigned long aio_context_t
    int IOCB_CMD_PREAD

    struct iocb:
        unsigned long long aio_data
        unsigned short aio_lio_opcode
        unsigned int aio_fildes
        unsigned long long aio_buf
        unsigned long long aio_nbytes
        long long aio_offset

    struct io_event:
        unsigned long long data
        long long res

cdef extern from "<sys/syscall.h>" nogil:
    long SYS_io_setup
    long SYS_io_destroy
    long SYS_io_submit
    long SYS_io_getevents

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)

cdef extern from "<fcntl.h>" nogil:
    int O_DIRECT
    int O_CLOEXEC
    int open(const char *path, int flags, ...)

cdef extern from "<sys/mman.h>" nogil:
    int mincore(void *start, size_t length, unsigned char *found)


cdef extern from "<sys/mman.h>" nogil:
    int MADV_HUGEPAGE
    int madvise(void *start, size_t length, int advice)


cdef enum:
    BLOCK_LEN = 1048576             # of one read
    BLOCK_PAGES = 256
    PAGE_LEN = 4096
    BLOCKS = 8                      # of which all but the one that is lent are in flight
    HEADROOM = 65536                # before each block, for the rest of the one before it
    BLOCK_ROOM = 1114112            # both

cdef struct Block:
    uint8_t *start
    uint64_t length                 # bytes read
    bint is_direct                  # else the page cache has it
    bint in_flight
    iocb request


@cython.final
cdef class ReadAhead:
    cdef int fd                     # the caller's
    cdef int direct                 # the same file, past the cache; -1: not yet opened, -2: it cannot be
    cdef uint64_t size
    cdef uint64_t at                # bytes of the file handed out
    cdef uint64_t kept              # number of the first block whose memory is in use
    cdef uint64_t begun             # number of the first block that was not begun
    cdef readonly uint64_t direct_bytes
    cdef void *mapped               # the file, to ask what the page cache has of it; NULL: unknown
    cdef uint8_t *memory
    cdef uint8_t *cached            # where blocks that the page cache has are copied to
    cdef aio_context_t queue        # 0: none
    cdef Block blocks[BLOCKS]

    cdef Py_ssize_t take(self, uint8_t *room, uint64_t nbytes) noexcept nogil
    cdef uint64_t next_len(self) noexcept nogil
    cdef Py_ssize_t lend(self, const uint8_t *rest, uint64_t rest_len, uint8_t **start) noexcept nogil

    cdef Py_ssize_t _read_cached(self, uint8_t *room, uint64_t nbytes) noexcept nogil
    cdef void _free_blocks(self) noexcept nogil
    cdef bint _is_cached(self, uint64_t offset) noexcept nogil
    cdef bint _submit(self, Block *block, uint64_t offset) noexcept nogil
    cdef bint _open(self) noexcept nogil
    cdef int _wait(self, Block *block) noexcept nogil


cdef ReadAhead read_ahead(int fd, uint64_t size)
