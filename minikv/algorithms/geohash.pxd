cdef class Shape:
    cdef double longitude, latitude     # of its centre
    cdef double radius                  # of a circle; lengths are in units
    cdef double width, height           # of a box
    cdef double unit                    # metres
    cdef bint is_box

    cdef double reach(self) noexcept
    cdef bint holds(self, double longitude, double latitude, double *metres) noexcept
