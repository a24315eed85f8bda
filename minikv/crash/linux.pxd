# What a signal's handler needs of the C library.

cdef extern from "<execinfo.h>" nogil:
    int backtrace(void **frames, int size)
    void backtrace_symbols_fd(void **frames, int size, int fd)

cdef extern from "<signal.h>" nogil:
    int SA_ONSTACK
    int SA_SIGINFO
    int SA_NODEFER
    int SI_USER
    int SI_TKILL

    ctypedef struct stack_t:
        void *ss_sp
        int ss_flags
        size_t ss_size

    int sigaltstack(const stack_t *stack, stack_t *before)

cdef extern from "<unistd.h>" nogil:
    unsigned int alarm(unsigned int seconds)
    int getpid()
    int gettid()

# Where the processor was when the signal came: 0 on machines that this does not know.
cdef extern from * nogil:
    """
    #include <ucontext.h>
    static void *minikv_program_counter(void *context) {
    #if defined(__x86_64__)
        return (void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    #elif defined(__aarch64__)
        return (void *)((ucontext_t *)context)->uc_mcontext.pc;
    #else
        (void)context;
        return 0;
    #endif
    }
    """
    void *program_counter "minikv_program_counter"(void *context)
