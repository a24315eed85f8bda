cdef class Histogram:
    cdef unsigned long long *counts
    cdef public unsigned long long total

    cdef void record(self, long long duration_ns) noexcept
