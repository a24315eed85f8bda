# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O1
"""A parser for Redis's compact encodings of small collections, each one string in an RDB file.

    intset    width 4 B | count 4 B | integers of 2, 4 or 8 bytes, ascending
    listpack  bytes 4 B | count 2 B | (encoding, data, length of both backwards)*  | 0xFF
    ziplist   bytes 4 B | last 4 B  | count 2 B | (length before, encoding, data)* | 0xFF
    zipmap    count 1 B | (length, field, length, free 1 B, value, free bytes)*    | 0xFF

All numbers are little endian except string lengths in ziplists and 12-bit lengths in listpacks.

    compact_begin(address(compact), LISTPACK, data, size)
    while (found := compact_next(address(compact), address(element))) > 0:
        ... element.data, element.length ...
    if found < 0:
        ... compact.error, compact.at ...

An element is returned only after all its parts are known to be inside the string; the end only if the
parts fill the string exactly and agree with its header. Nothing is allocated for what a header claims.
Source: the public RDB format as written by Redis 2.4 to 8.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.engine.int64 import format_int64
from cython.cimports.minikv.rdb.compact import (
    ELEMENT_DIGITS,
    INTSET,
    LISTPACK,
    ZIPLIST,
    ZIPMAP,
    Compact,
    Element,
)
from cython.cimports.minikv.rdb.pointers import ConstBytes

CompactAt = cython.typedef(cython.pointer[Compact])
ElementAt = cython.typedef(cython.pointer[Element])

END = cython.declare(cython.int, 0xFF)
UNKNOWN_COUNT = cython.declare(uint64_t, 0xFFFF)  # more elements than 16 bits can count
LISTPACK_HEADER = cython.declare(uint64_t, 6)
ZIPLIST_HEADER = cython.declare(uint64_t, 10)
INTSET_HEADER = cython.declare(uint64_t, 8)
WIDE_LENGTH = cython.declare(uint64_t, 254)  # a length of 4 bytes follows


def compact_begin(compact: CompactAt, form: cython.int, start: ConstBytes, size: uint64_t) -> cython.void:
    """Begin at the first element."""
    compact.form = form
    compact.start = start
    compact.size = size
    compact.count = compact.last = compact.at = 0
    compact.value_next = False
    compact.error = cython.NULL
    if form == INTSET:
        begin_intset(compact)
    elif form == LISTPACK:
        compact.at = LISTPACK_HEADER
        if size < LISTPACK_HEADER + 1 or little_endian(start, 4) != size:
            compact.error = b"a listpack whose length is not that in its header"
    elif form == ZIPLIST:
        compact.at = compact.last = ZIPLIST_HEADER
        if size < ZIPLIST_HEADER + 1 or little_endian(start, 4) != size:
            compact.error = b"a ziplist whose length is not that in its header"
    else:
        compact.at = 1
        if size < 2:
            compact.error = b"a zipmap without its header"


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def begin_intset(compact: CompactAt) -> cython.void:
    width: uint64_t
    if compact.size < INTSET_HEADER:
        compact.error = b"an intset without its header"
        return
    compact.at = INTSET_HEADER
    width = little_endian(compact.start, 4)
    if width != 2 and width != 4 and width != 8:
        compact.error = b"an intset of integers of an unknown size"
        return
    compact.width = cython.cast(uint8_t, width)
    if little_endian(compact.start + 4, 4) * width != compact.size - INTSET_HEADER:
        compact.error = b"an intset that does not hold as many integers as it claims"


def compact_next(compact: CompactAt, element: ElementAt) -> cython.int:
    """1: an element; 0: the end, and the whole was right; -1: it is wrong, for the reason in `error`."""
    if compact.error != cython.NULL:
        return -1
    element.is_number = False
    if compact.form == LISTPACK:
        return next_of_listpack(compact, element)
    if compact.form == INTSET:
        return next_of_intset(compact, element)
    if compact.form == ZIPLIST:
        return next_of_ziplist(compact, element)
    return next_of_zipmap(compact, element)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_of_intset(compact: CompactAt, element: ElementAt) -> cython.int:
    number: int64_t
    if compact.at == compact.size:
        return 0
    number = signed(little_endian(compact.start + compact.at, compact.width), 8 * compact.width)
    if compact.count and number <= compact.before:
        return wrong(compact, b"an intset that is not in order")
    compact.before = number
    compact.at += compact.width
    return give_number(compact, element, number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_of_listpack(compact: CompactAt, element: ElementAt) -> cython.int:
    at: ConstBytes = compact.start + compact.at
    left: uint64_t = compact.size - compact.at
    first: cython.int
    head: uint64_t = 1  # bytes before the text, or of the integer and its encoding
    length: uint64_t = 0
    number: int64_t = 0
    if left == 0:
        return wrong(compact, b"a listpack without its end")
    first = at[0]
    if first == END:
        return finish(compact, little_endian(compact.start + 4, 2), compact.count)
    if first < 0x80:
        number = first
    elif first < 0xC0:
        length = first & 0x3F
    elif first < 0xF0:
        head = 2
    elif first == 0xF0:
        head = 5
    elif first <= 0xF4:
        head = 9 if first == 0xF4 else 1 + first - 0xEF  # integers of 8, or of 2, 3, 4 bytes
    else:
        return wrong(compact, b"a listpack with an unknown encoding")
    if head > left:
        return wrong(compact, b"a listpack that is cut off")
    if 0xC0 <= first < 0xE0:
        number = signed(cython.cast(uint64_t, first & 0x1F) << 8 | at[1], 13)
    elif 0xE0 <= first < 0xF0:
        length = cython.cast(uint64_t, first & 0x0F) << 8 | at[1]
    elif first == 0xF0:
        length = little_endian(at + 1, 4)
    elif first > 0xF0:
        number = signed(little_endian(at + 1, head - 1), cython.cast(cython.int, 8 * (head - 1)))
    if length > left - head:
        return wrong(compact, b"a listpack with a string longer than itself")
    compact.last = compact.at
    compact.at += head + length
    if not skip_backlen(compact, head + length):
        return wrong(compact, b"a listpack with a wrong length behind an element")
    if 0x80 <= first < 0xC0 or 0xE0 <= first <= 0xF0:
        return give_text(compact, element, at + head, length)
    return give_number(compact, element, number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def skip_backlen(compact: CompactAt, length: uint64_t) -> cython.bint:
    """Skip the backward-readable length after a listpack element; False if it is wrong."""
    count: uint64_t = 1
    i: uint64_t
    wanted: uint64_t
    at: ConstBytes = compact.start + compact.at
    if length >= 128:
        count = 2 if length < 16383 else 3 if length < 2097151 else 4 if length < 268435455 else 5
    if count > compact.size - compact.at:
        return False
    for i in range(count):
        wanted = (length >> (7 * (count - 1 - i))) & 127
        if at[i] != (wanted | 128 if i else wanted):
            return False
    compact.at += count
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_of_ziplist(compact: CompactAt, element: ElementAt) -> cython.int:
    at: ConstBytes = compact.start + compact.at
    left: uint64_t = compact.size - compact.at
    before: uint64_t = compact.at - compact.last if compact.count else 0
    head: uint64_t
    length: uint64_t
    if left == 0:
        return wrong(compact, b"a ziplist without its end")
    if at[0] == END:
        if little_endian(compact.start + 4, 4) != compact.last:
            return wrong(compact, b"a ziplist whose last element is not where its header says")
        return finish(compact, little_endian(compact.start + 8, 2), compact.count)
    head = 5 if at[0] == WIDE_LENGTH else 1
    if head >= left:
        return wrong(compact, b"a ziplist that is cut off")
    if (little_endian(at + 1, 4) if head == 5 else at[0]) != before:
        return wrong(compact, b"a ziplist with a wrong length before an element")
    compact.last = compact.at
    at += head
    left -= head
    if at[0] >= 0xC0:
        return ziplist_number(compact, element, at, left)
    if at[0] > 0x80:
        return wrong(compact, b"a ziplist with an unknown encoding")
    head = 1 if at[0] < 0x40 else 2 if at[0] < 0x80 else 5
    if head > left:
        return wrong(compact, b"a ziplist that is cut off")
    length = at[0] if head == 1 else cython.cast(uint64_t, at[0] & 0x3F) << 8 | at[1]
    if head == 5:
        length = big_endian(at + 1)
    if length > left - head:
        return wrong(compact, b"a ziplist with a string longer than itself")
    compact.at = cython.cast(uint64_t, at - compact.start) + head + length
    return give_text(compact, element, at + head, length)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ziplist_number(compact: CompactAt, element: ElementAt, at: ConstBytes, left: uint64_t) -> cython.int:
    width: uint64_t = ziplist_width(at[0])
    number: int64_t = cython.cast(int64_t, at[0] & 0x0F) - 1
    if width > 8:
        return wrong(compact, b"a ziplist with an unknown encoding")
    if width >= left:
        return wrong(compact, b"a ziplist that is cut off")
    if width:
        number = signed(little_endian(at + 1, width), cython.cast(cython.int, 8 * width))
    compact.at = cython.cast(uint64_t, at - compact.start) + 1 + width
    return give_number(compact, element, number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ziplist_width(encoding: uint8_t) -> uint64_t:
    """Bytes of a ziplist integer; 0: it is part of the encoding; above 8: no such encoding."""
    if encoding == 0xC0:
        return 2
    if encoding == 0xD0:
        return 4
    if encoding == 0xE0:
        return 8
    if encoding == 0xF0:
        return 3
    if encoding == 0xFE:
        return 1
    return 0 if 0xF1 <= encoding <= 0xFD else 9


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_of_zipmap(compact: CompactAt, element: ElementAt) -> cython.int:
    at: ConstBytes = compact.start + compact.at
    left: uint64_t = compact.size - compact.at
    head: uint64_t = 1
    length: uint64_t
    free: uint64_t = 0
    if left == 0:
        return wrong(compact, b"a zipmap without its end")
    if at[0] == END:
        if compact.value_next:
            return wrong(compact, b"a zipmap with a field without value")
        free = compact.start[0]
        return finish(compact, UNKNOWN_COUNT if free == WIDE_LENGTH else free, compact.count // 2)
    length = at[0]
    if length == WIDE_LENGTH:
        head = 5
        length = little_endian(at + 1, 4) if left >= head else 0
        if length < WIDE_LENGTH:  # as Redis: a length has one form only
            return wrong(compact, b"a zipmap with a short length in five bytes")
    if compact.value_next:
        head += 1
        free = at[head - 1] if left >= head else 0
    if head > left or length + free > left - head:
        return wrong(compact, b"a zipmap that is cut off")
    compact.value_next = not compact.value_next
    compact.at += head + length + free
    return give_text(compact, element, at + head, length)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def finish(compact: CompactAt, claimed: uint64_t, count: uint64_t) -> cython.int:
    """Check that the end mark is the last byte and the header's count is right."""
    if compact.at != compact.size - 1:
        return wrong(compact, b"a compact encoding that ends before its last byte")
    if claimed != UNKNOWN_COUNT and claimed != count:
        return wrong(compact, b"a compact encoding that does not hold as many elements as it claims")
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def wrong(compact: CompactAt, error: cython.p_const_char) -> cython.int:
    compact.error = error
    return -1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def give_text(compact: CompactAt, element: ElementAt, data: ConstBytes, length: uint64_t) -> cython.int:
    compact.count += 1
    element.data = data
    element.length = length
    return 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def give_number(compact: CompactAt, element: ElementAt, number: int64_t) -> cython.int:
    compact.count += 1
    element.is_number = True
    element.number = number
    element.length = format_int64(element.digits, number)
    element.data = cython.cast(ConstBytes, element.digits) + (ELEMENT_DIGITS - element.length)
    return 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def little_endian(at: ConstBytes, nbytes: uint64_t) -> uint64_t:
    number: uint64_t = 0
    while nbytes:
        nbytes -= 1
        number = number << 8 | at[nbytes]
    return number


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def big_endian(at: ConstBytes) -> uint64_t:
    """A 32-bit length."""
    return (
        cython.cast(uint64_t, at[0]) << 24
        | cython.cast(uint64_t, at[1]) << 16
        | cython.cast(uint64_t, at[2]) << 8
        | at[3]
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def signed(number: uint64_t, bits: cython.int) -> int64_t:
    """A number in two's complement of so many bits."""
    unused: cython.int = 64 - bits
    return cython.cast(int64_t, number << unused) >> unused


def elements_of(form: int, data: bytes) -> list[bytes]:
    """All elements of a compact encoding, integers as text; ValueError tells what is wrong."""
    compact = cython.declare(Compact)
    element = cython.declare(Element)
    found: cython.int
    elements: list = []
    compact_begin(
        cython.address(compact), form, cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(data)), len(data)
    )
    while True:
        found = compact_next(cython.address(compact), cython.address(element))
        if found == 0:
            return elements
        if found < 0:
            raise ValueError(compact.error.decode())
        elements.append(PyBytes_FromStringAndSize(cython.cast(cython.p_char, element.data), element.length))


def intset_members(data: bytes) -> list[bytes]:
    return elements_of(INTSET, data)


def listpack_elements(data: bytes) -> list[bytes]:
    return elements_of(LISTPACK, data)


def ziplist_elements(data: bytes) -> list[bytes]:
    return elements_of(ZIPLIST, data)


def zipmap_elements(data: bytes) -> list[bytes]:
    """Fields and values by turns."""
    return elements_of(ZIPMAP, data)
