# The file that a save writes; see dump_file.py. All of it is C on a struct in inherited memory, because it runs in a
# snapshot child, which has neither an interpreter nor a heap.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.saving.linux cimport aio_context_t, iocb, stat_t
from minikv.saving.unit_hash cimport HASH_KEY_WORDS
from minikv.saving.units cimport Run, Stamp, UnitTable

cdef enum:
    BLOCK_LEN = 1048576             # bytes of one write; larger ones gain nothing and cost the child memory
    SLACK_LEN = 131072              # after it, so that a walk always has room for the largest record outside pages
    BLOCK_ROOM = 1183744            # of a block: both, and a page of rest from the block before
    BLOCKS = 3                      # one is filled while the kernel writes the others
    PIECES = 40                     # of a block, between which others are shared
    UNITS_PER_BLOCK = 289
    MIN_SHARED = 8                  # units; less in a row is written: it costs no more, and the file stays in one piece
    NAME_ROOM = 32                  # temp-<pid>.rdb
    PATH_ROOM = 4352                # PATH_MAX and a name

cdef enum:                          # system calls that can fail
    CALL_NONE = 0
    CALL_OPEN
    CALL_IO_SETUP
    CALL_IO_SUBMIT
    CALL_WRITE
    CALL_SYNC_RANGE
    CALL_FSYNC
    CALL_CLOSE
    CALL_RENAME
    CALL_UNLINK
    CALL_APPEND                     # to the manifest of a history
    CALL_FORK
    CALL_CLONE                      # of another file's blocks
    CALLS

cdef enum:                          # what a save was doing when it failed
    STEP_NONE = 0
    STEP_OPEN
    STEP_WRITE
    STEP_SYNC_RANGE
    STEP_FSYNC
    STEP_CLOSE
    STEP_RENAME
    STEP_SYNC_DIRECTORY
    STEP_WALK
    STEP_VERIFY
    STEP_MANIFEST
    STEP_SHARE

cdef struct Fault:                  # for tests: what happens instead of the calls number first to last; last 0: none
    uint32_t first
    uint32_t last
    uint32_t done                   # calls so far
    int error                       # errno; -1: the process is killed

cdef struct Piece:                  # of a block: what is still to be written
    uint8_t *pending
    uint64_t pending_len
    uint64_t offset                 # of these bytes in the file
    bint in_flight
    iocb request

cdef struct Block:
    uint8_t *start
    Piece pieces[PIECES]
    uint32_t count

cdef struct DumpFile:
    const char *directory
    int output                      # descriptor that the caller has opened, instead of a file that gets a name; -1: none
    bint is_pipe                    # that it leads into one
    bint incremental                # bypass the page cache or sync as the file grows, not only at the end
    bint checksum
    Fault faults[CALLS]
    uint64_t write_max              # for tests: a write takes no more bytes; 0: no limit
    const char *origin              # path of the dump before
    UnitTable *known                # of its units; NULL: nothing is known
    UnitTable *noted                # of the units of this file; NULL: it neither shares blocks nor is prepared for it
    uint64_t hash_key[HASH_KEY_WORDS]

    int fd
    int lock                        # descriptor that keeps the lock when fd is closed; -1: none
    bint ours                       # locked by us, or the file system has no locks
    char name[NAME_ROOM]
    char path[PATH_ROOM]
    bint direct                     # bypasses the page cache
    uint64_t crc                    # of all that was added; stays 0 when checksums are off
    uint64_t length                 # bytes added
    Block blocks[BLOCKS]
    uint32_t filling                # number of the block that is being filled
    uint64_t used                   # bytes in it
    uint64_t handed_over            # bytes of the file before it
    uint64_t sized                  # length to which the file was extended
    uint64_t window_start
    uint64_t previous_start
    aio_context_t queue             # 0: none
    uint64_t inode
    int origin_fd                   # of the dump before, if its units are known; -1
    bint clones                     # its blocks are shared
    Stamp origin_stamp
    UnitTable *learned              # of the dump before, if it was read for that
    uint32_t found[UNITS_PER_BLOCK] # for each unit of the block at hand: an equal one of the dump before, plus 1
    uint32_t next_shared            # the unit behind the last one that was shared; 0: the last one was not
    bint all_shared                 # up to the end of the block before
    int step                        # that failed
    int error                       # errno of it

cdef bint file_open(DumpFile *file) noexcept nogil
cdef uint8_t *file_space(DumpFile *file) noexcept nogil
cdef uint64_t file_room(DumpFile *file) noexcept nogil
cdef bint file_advance(DumpFile *file, uint64_t nbytes) noexcept nogil
cdef bint file_add(DumpFile *file, const uint8_t *data, uint64_t nbytes) noexcept nogil
cdef bint file_share_run(DumpFile *file, const Run *run) noexcept nogil
cdef bint file_finish(DumpFile *file) noexcept nogil
cdef bint file_rename(DumpFile *file, const char *target) noexcept nogil
cdef void file_discard(DumpFile *file) noexcept nogil
cdef bint file_failed(DumpFile *file, int step, int error) noexcept nogil
cdef int fault(Fault *faults, int call) noexcept nogil

cdef bint open_output(DumpFile *file) noexcept nogil
cdef void begin_queue(DumpFile *file) noexcept nogil
cdef int make_ours(DumpFile *file) noexcept nogil
cdef void let_go(DumpFile *file) noexcept nogil
cdef bint hand_over(DumpFile *file) noexcept nogil
cdef bint begin_write(DumpFile *file, Block *block, uint64_t nbytes) noexcept nogil
cdef void add_piece(Block *block, uint64_t start, uint64_t end, uint64_t offset) noexcept nogil
cdef bint write_piece(DumpFile *file, Piece *piece) noexcept nogil
cdef bint submit(DumpFile *file, Piece *piece) noexcept nogil
cdef bint settle(DumpFile *file, Block *block) noexcept nogil
cdef bint collect(DumpFile *file) noexcept nogil
cdef bint write_pending(DumpFile *file, Piece *piece) noexcept nogil
cdef int64_t write_some(DumpFile *file, Piece *piece) noexcept nogil
cdef void take_written(DumpFile *file, Piece *piece, uint64_t nbytes) noexcept nogil
cdef void begin_sharing(DumpFile *file) noexcept nogil
cdef bint open_origin(DumpFile *file) noexcept nogil
cdef bint is_known(DumpFile *file) noexcept nogil
cdef bint learn(DumpFile *file) noexcept nogil
cdef bint can_clone(DumpFile *file) noexcept nogil
cdef void find_units(DumpFile *file, const uint8_t *data, uint64_t units) noexcept nogil
cdef void share_units(DumpFile *file, Block *block, uint64_t nbytes, uint64_t offset) noexcept nogil
cdef int clone_range(DumpFile *file, int source, uint64_t start, uint64_t nbytes, uint64_t offset) noexcept nogil
cdef bint check_origin(DumpFile *file) noexcept nogil
cdef bint is_as_meant(DumpFile *file) noexcept nogil
cdef void end_sharing(DumpFile *file) noexcept nogil
cdef void publish_units(DumpFile *file, const char *target) noexcept nogil
cdef bint take_error(DumpFile *file, int error, bint direct) noexcept nogil
cdef void use_cache(DumpFile *file) noexcept nogil
cdef bint next_window(DumpFile *file, uint64_t end) noexcept nogil
cdef bint sync_range(DumpFile *file, uint64_t start, uint64_t end, unsigned int flags) noexcept nogil
cdef void end_queue(DumpFile *file) noexcept nogil
cdef int open_path(DumpFile *file, const char *path, int flags) noexcept nogil
cdef int sync_descriptor(DumpFile *file, int fd) noexcept nogil
