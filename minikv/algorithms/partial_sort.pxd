cdef struct Pair:
    double key
    Py_ssize_t index


cdef class Sorter:
    cdef Pair *pairs

    cdef void sort(self, Py_ssize_t start, Py_ssize_t count, Py_ssize_t wanted) noexcept
    cdef void insert(self, Py_ssize_t start, Py_ssize_t count) noexcept
    cdef Py_ssize_t middle(self, Py_ssize_t start, Py_ssize_t count) noexcept
    cdef Py_ssize_t median(self, Py_ssize_t a, Py_ssize_t b, Py_ssize_t c) noexcept
    cdef void swap(self, Py_ssize_t a, Py_ssize_t b) noexcept
    cdef void swap_runs(self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t count) noexcept
