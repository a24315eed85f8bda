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

    int sched_getcpu()
    int sched_getscheduler(int pid)
    int sched_setscheduler(int pid, int policy, const sched_param *param)

cdef extern from "<linux/aio_abi.h>" nogil:
    ctypedef unsigned long aio_context_t
    int IOCB_CMD_PWRITE

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
    long SYS_clone
    long SYS_mremap
    long SYS_gettid
    long SYS_sched_getaffinity
    long SYS_sched_setaffinity
    long SYS_close_range
    long SYS_io_setup
    long SYS_io_destroy
    long SYS_io_submit
    long SYS_io_getevents

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)

cdef extern from "<fcntl.h>" nogil:
    int O_DIRECT
    int O_DIRECTORY
    int O_NOFOLLOW
    int O_CLOEXEC
    int O_APPEND
    int F_GETFL
    int F_SETFL
    int F_DUPFD_CLOEXEC
    int open(const char *path, int flags, ...)
    int fcntl(int fd, int command, ...)

cdef extern from "<sys/file.h>" nogil:
    int LOCK_EX
    int LOCK_NB
    int flock(int fd, int operation)

cdef extern from "<stdio.h>" nogil:
    int rename(const char *source, const char *target)

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_NAME
    int prctl(int option, ...)

cdef extern from "<spawn.h>" nogil:
    int posix_spawn(int *pid, const char *path, const void *actions, const void *attributes, char **argv, char **envp)

cdef extern from "<unistd.h>" nogil:
    char **environ

cdef extern from "<poll.h>" nogil:
    short POLLIN

    struct pollfd:
        int fd
        short events
        short revents

    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef extern from "<sys/wait.h>" nogil:
    int waitpid(int pid, int *status, int options)

cdef extern from "<time.h>" nogil:
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME

    struct timespec:
        long long tv_sec
        long tv_nsec

    int clock_gettime(int clock, timespec *now)
    int nanosleep(const timespec *span, timespec *left)

cdef extern from "<sys/stat.h>" nogil:
    ctypedef struct stat_t "struct stat":
        unsigned long long st_dev
        unsigned long long st_ino
        unsigned int st_mode
        unsigned int st_uid
        unsigned long long st_nlink
        long long st_size
        timespec st_mtim
        timespec st_ctim

    bint S_ISREG(unsigned int mode)

    int stat(const char *path, stat_t *found)
    int fstat(int fd, stat_t *found)

cdef extern from *:
    """
    #if defined(__SANITIZE_ADDRESS__)
    #define MINIKV_SANITIZED 1      /* its shadow of the heap is needed by all code */
    #else
    #define MINIKV_SANITIZED 0
    #endif
    """
    int MINIKV_SANITIZED

cdef extern from "<link.h>" nogil:
    int PT_LOAD

    ctypedef struct Segment "ElfW(Phdr)":
        unsigned int p_type
        unsigned long p_vaddr
        unsigned long p_memsz

    struct dl_phdr_info:
        unsigned long dlpi_addr
        const Segment *dlpi_phdr
        unsigned short dlpi_phnum

    int dl_iterate_phdr(int (*callback)(dl_phdr_info *info, size_t size, void *data) noexcept, void *data)

cdef extern from "<sys/auxv.h>" nogil:
    unsigned long AT_BASE
    unsigned long getauxval(unsigned long kind)

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, ...)

cdef extern from "<linux/fs.h>" nogil:
    unsigned long FICLONERANGE

    struct file_clone_range:
        long long src_fd
        unsigned long long src_offset
        unsigned long long src_length
        unsigned long long dest_offset
