# The page that a snapshot child writes and its parent reads; progress.py has its contract.

cdef enum:
    PROGRESS_WORDS = 512            # of 8 bytes

cpdef enum:                         # indexes of words
    KEYS_DONE = 0                   # written to the buffer
    BYTES_WRITTEN = 1               # in the file
    RANK_PASSED = 2                 # segments that the walk has passed
    PRIVATE_DIRTY = 3               # bytes of the child's own, when it last looked
    PHASE = 4                       # one of the PHASE_ numbers
    ERRNO = 5                       # of what failed; 0: nothing did
    RANK_TOTAL = 6                  # segments of the walk
    PRIVATE_DIRTY_PEAK = 7
    PRIVATE_DIRTY_AVERAGE = 8
    BYTES_VERIFIED = 9              # read again
    DIGEST = 10                     # of the file: its checksum
    BYTES_SHARED = 11               # of the file, with the dump before

cpdef enum:                         # what the child is doing
    PHASE_START = 0
    PHASE_WALKING = 1
    PHASE_SYNCING = 2
    PHASE_RENAMED = 3
    PHASE_VERIFYING = 4             # between the two before it
    PHASE_PUBLISHING = 5            # after it, with a history: file and manifest may already name the point

cpdef enum:                         # exit codes of the child
    EXIT_SAVED = 0
    EXIT_FAILED = 1
    EXIT_KILLED_ON_PURPOSE = 255    # SIGUSR1: the parent sets no error status
