cdef extern from "fcntl.h" nogil:
    int SYNC_FILE_RANGE_WAIT_BEFORE
    int SYNC_FILE_RANGE_WRITE
    int SYNC_FILE_RANGE_WAIT_AFTER
    int sync_file_range(int fd, long long offset, long long nbytes, unsigned int flags)
