cdef extern from "<stdlib.h>" nogil:
    long double strtold(const char *text, char **end)

cdef class LongDouble:
    cdef long double number
