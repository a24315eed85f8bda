# The handler of fatal signals.

from libc.stdint cimport int64_t, uint64_t
from posix.signal cimport siginfo_t

ctypedef void (*Handler)(int number, siginfo_t *info, void *context) noexcept nogil

cdef void handle(int number, Handler handler) noexcept nogil
cdef void on_crash(int number, siginfo_t *info, void *context) noexcept nogil
cdef void on_alarm(int number, siginfo_t *info, void *context) noexcept nogil
cdef void open_log() noexcept nogil
cdef void unblock() noexcept nogil
cdef void write_figures(const char *first, int64_t number, const char *second, int64_t other) noexcept nogil
cdef char *put_signed(char *at, int64_t number) noexcept nogil
cdef void write_address(const char *message, uint64_t address) noexcept nogil
cdef void write_raw(const char *text) noexcept nogil
cdef char *put_hex(char *at, uint64_t number) noexcept nogil
cdef void ask_python() noexcept nogil
cdef void end() noexcept nogil
