# The snapshot child: from the fork to _exit, without an interpreter.

from libc.stdint cimport int64_t, uint64_t

from minikv.saving.save cimport Statistic, Save

cdef void run_child(Save *save) noexcept nogil

cdef void set_signals(Save *save) noexcept nogil
cdef void end_on_purpose(int number) noexcept nogil
cdef void close_descriptors(Save *save) noexcept nogil
cdef void close_range(unsigned int first, unsigned int last) noexcept nogil
cdef void offer_to_the_oom_killer(int score) noexcept nogil
cdef bint write_dump(Save *save) noexcept nogil
cdef void look_if_due(Save *save) noexcept nogil
cdef void look(Save *save) noexcept nogil
cdef uint64_t average(Statistic *figures) noexcept nogil
cdef bint read_private_dirty(uint64_t *found) noexcept nogil
cdef void log_figures(Save *save, int level) noexcept nogil
cdef bint verify(Save *save) noexcept nogil
cdef void write_line(Save *save, int level, const char *message) noexcept nogil
cdef char *put_head(char *at, const char *role, int64_t utc_offset_s, int level) noexcept nogil
cdef void civil_date(int64_t days, int *day, int *month, int *year) noexcept nogil
