cdef extern from "fcntl.h" nogil:
    int SYNC_FILE_RANGE_WAIT_BEFORE
    int SYNC_FILE_RANGE_WRITE
    int SYNC_FILE_RANGE_WAIT_AFTER
    int sync_file_range(int fd, long long offset, long long nbytes, unsigned int flags)

cdef extern from "<sched.h>" nogil:
    int SCHED_OTHER
    int SCHED_BATCH

    struct sched_param:
        int sched_priority

    int sched_getscheduler(int pid)
    int sched_setscheduler(int pid, int policy, const sched_param *param)

cdef extern from "Python.h":
    void PyOS_BeforeFork()
    void PyOS_AfterFork_Parent()
    void PyOS_AfterFork_Child()
