cpdef object parse_double(bytes text)
