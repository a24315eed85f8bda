# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821

"""Quicksort of the first few only: GEOSEARCH with COUNT wants the smallest of many distances.

The algorithm is that of J. L. Bentley and M. D. McIlroy, "Engineering a sort function" (1993): the pivot is
the median of three, or of three medians; equal keys gather at both ends and then in the middle. Partitions
without a wanted place are not sorted. It is not stable, and the order of equal keys shows in Redis's replies,
so every swap is the same as there.
"""

import cython
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc

INSERTION_MAX = cython.declare(cython.Py_ssize_t, 6)  # fewer keys are sorted by insertion
MEDIAN_MIN = cython.declare(cython.Py_ssize_t, 8)  # from so many keys on the pivot is a median
NINTHER_MIN = cython.declare(cython.Py_ssize_t, 41)  # of three medians


def smallest_first(keys: list[float], wanted: int) -> list[int]:
    """The indexes of the `wanted` smallest keys, in order; 0 < wanted < len(keys)."""
    count: cython.Py_ssize_t = len(keys)
    sorter: Sorter = Sorter(count)
    index: cython.Py_ssize_t
    for index in range(count):
        sorter.pairs[index].key = keys[index]
        sorter.pairs[index].index = index
    sorter.sort(0, count, wanted)
    return [sorter.pairs[index].index for index in range(wanted)]


@cython.cclass
class Sorter:
    """Keys with their original indexes."""

    def __cinit__(self, count: cython.Py_ssize_t):
        self.pairs = cython.cast(cython.pointer[Pair], PyMem_Malloc(count * cython.sizeof(Pair)))
        if self.pairs == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.pairs)

    def sort(self, start: cython.Py_ssize_t, count: cython.Py_ssize_t, wanted: cython.Py_ssize_t) -> cython.void:
        """Sort `count` pairs from `start` on, as far as the first `wanted` places need it."""
        low: cython.Py_ssize_t
        high: cython.Py_ssize_t
        low_equal: cython.Py_ssize_t
        high_equal: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        pivot: cython.double
        while start < wanted:
            if count <= INSERTION_MAX:
                self.insert(start, count)
                return
            self.swap(start, self.middle(start, count))
            pivot = self.pairs[start].key
            stop = start + count
            # Equal keys gather below low_equal and above high_equal, smaller ones below low, larger ones above high.
            low_equal = low = start + 1
            high_equal = high = stop - 1
            while True:
                while low <= high and self.pairs[low].key <= pivot:
                    if self.pairs[low].key == pivot:
                        self.swap(low_equal, low)
                        low_equal += 1
                    low += 1
                while low <= high and self.pairs[high].key >= pivot:
                    if self.pairs[high].key == pivot:
                        self.swap(high, high_equal)
                        high_equal -= 1
                    high -= 1
                if low > high:
                    break
                self.swap(low, high)
                low += 1
                high -= 1
            self.swap_runs(start, low, min(low_equal - start, low - low_equal))
            self.swap_runs(low, stop, min(high_equal - high, stop - high_equal - 1))
            if low - low_equal > 1:
                self.sort(start, low - low_equal, wanted)
            count = high_equal - high
            if count <= 1:
                return
            start = stop - count

    def insert(self, start: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.void:
        place: cython.Py_ssize_t
        at: cython.Py_ssize_t
        for place in range(start + 1, start + count):
            at = place
            while at > start and self.pairs[at - 1].key > self.pairs[at].key:
                self.swap(at, at - 1)
                at -= 1

    def middle(self, start: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The index of the pivot."""
        first: cython.Py_ssize_t = start
        middle: cython.Py_ssize_t = start + count // 2
        last: cython.Py_ssize_t = start + count - 1
        step: cython.Py_ssize_t = count // 8
        if count < MEDIAN_MIN:
            return middle
        if count >= NINTHER_MIN:
            first = self.median(first, first + step, first + 2 * step)
            middle = self.median(middle - step, middle, middle + step)
            last = self.median(last - 2 * step, last - step, last)
        return self.median(first, middle, last)

    def median(self, a: cython.Py_ssize_t, b: cython.Py_ssize_t, c: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Which of three indexes has the median key."""
        one: cython.double = self.pairs[a].key
        two: cython.double = self.pairs[b].key
        three: cython.double = self.pairs[c].key
        if one < two:
            return b if two < three else c if one < three else a
        return b if two > three else a if one < three else c

    def swap(self, a: cython.Py_ssize_t, b: cython.Py_ssize_t) -> cython.void:
        self.pairs[a], self.pairs[b] = self.pairs[b], self.pairs[a]

    def swap_runs(self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.void:
        """Swap `count` pairs from `start` on with the `count` pairs before `stop`."""
        step: cython.Py_ssize_t
        for step in range(count):
            self.swap(start + step, stop - count + step)
