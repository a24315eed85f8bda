# One save: what it is to do, prepared before it begins, and how far it is. It lies in inherited memory, strings and all, so that
# a child without a heap can carry it out; save.py has the work.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from minikv.engine.walker cimport Walk
from minikv.saving.dump_file cimport DumpFile
from minikv.saving.runs cimport Scan
from minikv.saving.units cimport Run

cdef enum:
    ERRORS = 134                    # Linux's errno
    ERROR_ROOM = 64                 # of the words for one
    MESSAGE_ROOM = 16384            # holds two paths
    LINE_ROOM = 4096                # of a line of a manifest, and of what is known of it before the save

cdef struct Identity:               # of a file: whether there is one, and which
    bint exists
    uint64_t inode
    int64_t seconds
    int64_t nanoseconds

cdef struct Statistic:                # of memory
    uint64_t current
    uint64_t peak
    uint64_t sum
    uint64_t count

cdef struct ChildLog:
    const char *path                # empty: fd
    int fd
    int threshold                   # level of the lines to write, see log.py
    int64_t utc_offset_s

cdef struct Verifier:               # process that reads the dump again
    char **arguments                # NULL: there is none; the last four are the numbers below
    char **environment
    char keys[24]
    char nbytes[24]
    int pid                         # while it runs

cdef struct Save:
    Walk *walk
    uint64_t *progress
    DumpFile file
    const char *filename
    const char *target              # the dump's path
    const uint8_t *head             # of the file
    uint64_t head_len
    uint64_t max_keys               # between two naps; 0: no naps
    uint64_t nap_ns                 # for each key
    uint64_t keys_rested            # naps have been taken for so many
    int parent                      # of the child that makes this save; 0: the server makes it itself
    int oom_score                   # of the child
    Scan scan                       # of the run at hand
    Run run                         # of records that is being written, as far as it is known
    uint64_t run_crc                # of the file before it
    uint32_t run_part               # of the walk
    bint run_open                   # it is one to be noted
    Identity before                 # of the dump, when the save began
    const char *manifest            # path; NULL: the dump is no point of a history
    const char *manifest_lock       # path
    const char *point               # the point's line as far as it is known before the save
    int64_t fork_began_ns           # 0: no fork
    int64_t began_ns                # in the child
    char line[LINE_ROOM]
    Verifier verifier
    ChildLog log
    Statistic private_dirty
    int64_t next_look_ns
    int64_t look_interval_ns
    int64_t next_line_ns
    char errors[ERRORS][ERROR_ROOM]
    char message[MESSAGE_ROOM]      # what went wrong, in Redis's words

ctypedef Save *SaveP

cdef bint save_begin(Save *save) noexcept nogil
cdef bint save_step(Save *save) noexcept nogil
cdef bint save_finish(Save *save) noexcept nogil
cdef bint save_commit(Save *save) noexcept nogil
cdef void save_abort(Save *save) noexcept nogil
cdef Identity identity(const char *path) noexcept nogil
cdef int64_t monotonic_ns() noexcept nogil

cdef void take_run(Save *save) noexcept nogil
cdef void note_ended_run(Save *save) noexcept nogil
cdef void tell_shared(Save *save) noexcept nogil
cdef bint save_publish(Save *save) noexcept nogil
cdef bint publish_locked(Save *save) noexcept nogil
cdef bint append_line(Save *save, int fd) noexcept nogil
cdef int64_t whole_lines(int fd) noexcept nogil
cdef uint64_t format_line(Save *save) noexcept nogil
cdef uint64_t expected_keys(const Walk *walk) noexcept nogil
cdef void format_failure(Save *save) noexcept nogil
cdef const char *operation(int step) noexcept nogil
cdef bint is_same(Identity *one, Identity *other) noexcept nogil
cdef void nap(uint64_t ns) noexcept nogil
