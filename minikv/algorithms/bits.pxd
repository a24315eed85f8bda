cdef extern from * nogil:
    int popcount "__builtin_popcountll"(unsigned long long word)
    int leading_zeros "__builtin_clz"(unsigned int word)
