# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""The order of SORT: elements by numbers or by texts, as far as LIMIT wants it.

Of equal numbers the bytes of the elements decide, of equal texts the places where the elements were. So the order is
complete, and does not depend on the algorithm: what LIMIT leaves out is parted off first, the rest is sorted by the C
library.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.stdlib import qsort
from cython.cimports.libc.string import memchr, memcmp, memcpy
from cython.cimports.minikv.engine.record import minikv_swap64

from minikv.algorithms.double import parse_weight
from minikv.errors import CommandError

# Numbers of up to this many digits are read here; a double holds them exactly.
EXACT_DIGITS = cython.declare(cython.Py_ssize_t, 15)


def by_numbers(elements: list, weights: list, descending: cython.bint, start: int, stop: int) -> list:
    """A range of the elements in the order of the numbers that their weights spell; None spells 0."""
    order: Order = Order(len(elements))
    place: cython.Py_ssize_t
    element: bytes
    for place in range(order.count):
        element = elements[place]
        number = 0.0 if weights[place] is None else number_at(weights[place])
        order.put(place, number, PyBytes_AS_STRING(element), PyBytes_GET_SIZE(element))
    return order.range(elements, descending, start, stop)


def by_texts(elements: list, weights: list, whole: cython.bint, descending: cython.bint, start: int, stop: int) -> list:
    """The same in the order of texts; None comes before all. whole: else a text ends at a zero byte."""
    order: Order = Order(len(elements))
    place: cython.Py_ssize_t
    length: cython.Py_ssize_t
    text: bytes
    end: cython.p_char
    for place in range(order.count):
        if weights[place] is None:
            order.put(-place if descending else place, -1.0, cython.NULL, 0)
            continue
        text = weights[place]
        length = PyBytes_GET_SIZE(text)
        if not whole:
            end = cython.cast(cython.p_char, memchr(PyBytes_AS_STRING(text), 0, length))
            length = length if end == cython.NULL else end - PyBytes_AS_STRING(text)
        order.put(-place if descending else place, 0.0, PyBytes_AS_STRING(text), length)
    return order.range(elements, descending, start, stop)


@cython.cclass
class Order:
    """Weights of elements, with the places where the elements were."""

    def __cinit__(self, count: cython.Py_ssize_t):
        self.count = count
        self.weighed = cython.cast(cython.pointer[Weighed], PyMem_Malloc((count + 1) * cython.sizeof(Weighed)))
        if self.weighed == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.weighed)

    def put(
        self, place: cython.Py_ssize_t, number: cython.double, text: cython.p_const_char, text_len: cython.Py_ssize_t
    ) -> cython.void:
        """The weight of the element at a place; backwards, places are negative so that equal ones keep their order."""
        at: cython.pointer[Weighed] = self.weighed + (place if place >= 0 else -place)
        at.number = number
        at.start = 0
        memcpy(cython.address(at.start), text, min(text_len, 8))
        at.start = minikv_swap64(at.start)
        at.text = text
        at.text_len = text_len
        at.place = place

    def range(self, elements: list, descending: cython.bint, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> list:
        place: cython.Py_ssize_t
        found: list = []
        if start >= stop:
            return found
        if descending:
            start, stop = self.count - stop, self.count - start
        self.sort(start, stop)
        for place in range(start, stop):
            found.append(elements[abs(self.weighed[place].place)])
        if descending:
            found.reverse()
        return found

    def sort(self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.void:
        """Put the right weights at the places from start to stop: part off what lies outside, sort the rest."""
        low: cython.Py_ssize_t = 0
        high: cython.Py_ssize_t = self.count
        left: cython.Py_ssize_t
        right: cython.Py_ssize_t
        pivot: Weighed
        while high - low > 2 * (stop - start) + 16:
            # Any weight may part the others; one from the middle does well where they are in order.
            pivot = self.weighed[low + (high - low) // 2]
            left = low
            right = high - 1
            while left <= right:
                while compare(self.weighed + left, cython.address(pivot)) < 0:
                    left += 1
                while compare(self.weighed + right, cython.address(pivot)) > 0:
                    right -= 1
                if left <= right:
                    self.weighed[left], self.weighed[right] = self.weighed[right], self.weighed[left]
                    left += 1
                    right -= 1
            if stop <= right + 1:
                high = right + 1
            elif start >= left:
                low = left
            else:
                break
        qsort(self.weighed + low, high - low, cython.sizeof(Weighed), compare)


@cython.cfunc
@cython.exceptval(-1, check=True)
def number_at(text: bytes) -> cython.double:
    """The number that a weight spells; plain integers are read here."""
    at: cython.p_const_char = PyBytes_AS_STRING(text)
    length: cython.Py_ssize_t = PyBytes_GET_SIZE(text)
    negative: cython.bint = at[0] == b"-"
    index: cython.Py_ssize_t = negative
    number: uint64_t = 0
    if length - index > EXACT_DIGITS or length == index:
        return spelled_number(text)
    while index < length:
        if at[index] < b"0" or at[index] > b"9":
            return spelled_number(text)
        number = number * 10 + cython.cast(uint64_t, at[index] - 48)
        index += 1
    return -cython.cast(cython.double, number) if negative else cython.cast(cython.double, number)


def spelled_number(text: bytes) -> float:
    number = parse_weight(text)
    if number is None:
        raise CommandError("ERR One or more scores can't be converted into double")
    return number


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def compare(left: cython.p_const_void, right: cython.p_const_void) -> cython.int:
    a: cython.pointer[cython.const[Weighed]] = cython.cast(cython.pointer[cython.const[Weighed]], left)
    b: cython.pointer[cython.const[Weighed]] = cython.cast(cython.pointer[cython.const[Weighed]], right)
    order: cython.int
    if a.number != b.number:
        return -1 if a.number < b.number else 1
    if a.start != b.start:
        return -1 if a.start < b.start else 1
    order = memcmp(a.text, b.text, min(a.text_len, b.text_len))
    if order:
        return order
    if a.text_len != b.text_len:
        return -1 if a.text_len < b.text_len else 1
    return (a.place > b.place) - (a.place < b.place)
