from libc.stdint cimport uint64_t


cdef struct Weighed:
    double number
    uint64_t start                  # of the text, its first eight bytes as a number: most texts differ in them
    const char *text
    Py_ssize_t text_len
    Py_ssize_t place                # of the element


cdef class Order:
    cdef Weighed *weighed
    cdef Py_ssize_t count

    cdef void put(self, Py_ssize_t place, double number, const char *text, Py_ssize_t text_len) noexcept
    cdef void sort(self, Py_ssize_t start, Py_ssize_t stop) noexcept
    cdef list range(self, list elements, bint descending, Py_ssize_t start, Py_ssize_t stop)


cdef double number_at(bytes text) except? -1
cdef int compare(const void *left, const void *right) noexcept nogil
