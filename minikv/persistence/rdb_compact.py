# cython: language_level=3
"""Redis's compact encodings of small collections, as RDB files hold them: one string each, taken apart here.

    intset    width 4 B | count 4 B | integers of 2, 4 or 8 bytes, ascending
    listpack  bytes 4 B | count 2 B | (encoding, data, length of both backwards)*  | 0xFF
    ziplist   bytes 4 B | last 4 B  | count 2 B | (length before, encoding, data)* | 0xFF
    zipmap    count 1 B | (length, field, length, free 1 B, value, free bytes)*    | 0xFF

All numbers are little endian but the lengths of strings inside ziplists and the 12-bit ones of listpacks. Every
function takes the whole string, proves that its parts fill it exactly and agree with its header, and returns the
elements in order as bytes. ValueError tells what is wrong. Nothing is reserved for what a header claims.
Source: the public RDB format as written by Redis 2.4 to 7.2.
"""

from __future__ import annotations

import cython

END = cython.declare(cython.int, 0xFF)
UNKNOWN_COUNT = cython.declare(cython.Py_ssize_t, 0xFFFF)  # more elements than the 16 bits of a header can tell
LISTPACK_HEADER = cython.declare(cython.Py_ssize_t, 6)
ZIPLIST_HEADER = cython.declare(cython.Py_ssize_t, 10)
INTSET_HEADER = cython.declare(cython.Py_ssize_t, 8)
WIDE_LENGTH = cython.declare(cython.int, 254)  # a length of 4 bytes follows


def intset_members(data: bytes) -> list[bytes]:
    """The integers of an intset, as text."""
    size: cython.Py_ssize_t = len(data)
    at: cython.Py_ssize_t
    if size < INTSET_HEADER:
        raise ValueError("an intset without its header")
    width = little_endian(data, 0, 4)
    if width not in (2, 4, 8):
        raise ValueError(f"an intset of integers of {width} bytes")
    count = little_endian(data, 4, 4)
    if count * width != size - INTSET_HEADER:
        raise ValueError(f"an intset of {size} bytes that claims {count} integers of {width}")
    members = []
    before = None
    for at in range(INTSET_HEADER, size, width):
        number = signed(little_endian(data, at, width), 8 * width)
        if before is not None and number <= before:
            raise ValueError("an intset that is not in order")
        before = number
        members.append(b"%d" % number)
    return members


def listpack_elements(data: bytes) -> list[bytes]:
    """The strings of a listpack, integers as text."""
    size: cython.Py_ssize_t = len(data)
    at: cython.Py_ssize_t = LISTPACK_HEADER
    start: cython.Py_ssize_t
    length: cython.Py_ssize_t
    first: cython.int
    elements: list = []
    if size < LISTPACK_HEADER + 1 or little_endian(data, 0, 4) != size:
        raise ValueError("a listpack whose length is not that in its header")
    while True:
        first = byte_at(data, at)
        start = at
        if first == END:
            break
        if first < 0x80:
            elements.append(b"%d" % first)
            at += 1
        elif first < 0xC0:
            length = first & 0x3F
            at += 1
            elements.append(text_at(data, at, length))
            at += length
        elif first < 0xE0:
            elements.append(b"%d" % signed((first & 0x1F) << 8 | byte_at(data, at + 1), 13))
            at += 2
        elif first < 0xF0:
            length = (first & 0x0F) << 8 | byte_at(data, at + 1)
            at += 2
            elements.append(text_at(data, at, length))
            at += length
        elif first == 0xF0:
            length = little_endian(data, at + 1, 4)
            at += 5
            elements.append(text_at(data, at, length))
            at += length
        elif first <= 0xF4:
            length = 8 if first == 0xF4 else first - 0xEF  # 2, 3, 4 or 8 bytes
            elements.append(b"%d" % signed(little_endian(data, at + 1, length), 8 * length))
            at += 1 + length
        else:
            raise ValueError(f"a listpack with the unknown encoding {first}")
        at = after_backlen(data, at, at - start)
    check_end(data, at, elements, little_endian(data, 4, 2), "listpack")
    return elements


@cython.cfunc
@cython.exceptval(-1, check=False)
def after_backlen(data: bytes, at: cython.Py_ssize_t, length: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the next element of a listpack begins; behind an element its length stands, to be read backwards."""
    count: cython.int = 1 if length < 128 else 2 if length < 16383 else 3 if length < 2097151 else 4
    i: cython.int
    if length >= 268435455:
        count = 5
    for i in range(count):
        wanted: cython.int = (length >> (7 * (count - 1 - i))) & 127
        if byte_at(data, at + i) != (wanted | 128 if i else wanted):
            raise ValueError("a listpack with a wrong length behind an element")
    return at + count


def ziplist_elements(data: bytes) -> list[bytes]:
    """The strings of a ziplist, integers as text."""
    size: cython.Py_ssize_t = len(data)
    at: cython.Py_ssize_t = ZIPLIST_HEADER
    start: cython.Py_ssize_t = ZIPLIST_HEADER
    before: cython.Py_ssize_t = 0
    length: cython.Py_ssize_t
    first: cython.int
    elements: list = []
    if size < ZIPLIST_HEADER + 1 or little_endian(data, 0, 4) != size:
        raise ValueError("a ziplist whose length is not that in its header")
    while True:
        first = byte_at(data, at)
        if first == END:
            break
        before = at - start if elements else 0
        start = at
        if first == WIDE_LENGTH:
            length = little_endian(data, at + 1, 4)
            at += 5
        else:
            length = first
            at += 1
        if length != before:
            raise ValueError("a ziplist with a wrong length before an element")
        first = byte_at(data, at)
        if first < 0x40:
            length = first
            at += 1
        elif first < 0x80:
            length = (first & 0x3F) << 8 | byte_at(data, at + 1)
            at += 2
        elif first == 0x80:
            length = big_endian(data, at + 1)
            at += 5
        else:
            length = ziplist_integer_len(first)
            at += 1
            number = (first & 0x0F) - 1 if length == 0 else signed(little_endian(data, at, length), 8 * length)
            elements.append(b"%d" % number)
            at += length
            continue
        elements.append(text_at(data, at, length))
        at += length
    if little_endian(data, 4, 4) != start:
        raise ValueError("a ziplist whose last element is not where its header says")
    check_end(data, at, elements, little_endian(data, 8, 2), "ziplist")
    return elements


@cython.cfunc
@cython.exceptval(-1, check=False)
def ziplist_integer_len(first: cython.int) -> cython.int:
    """Bytes of an integer of a ziplist; 0: it stands in the encoding itself."""
    if first == 0xC0:
        return 2
    if first == 0xD0:
        return 4
    if first == 0xE0:
        return 8
    if first == 0xF0:
        return 3
    if first == 0xFE:
        return 1
    if 0xF1 <= first <= 0xFD:
        return 0
    raise ValueError(f"a ziplist with the unknown encoding {first}")


def zipmap_elements(data: bytes) -> list[bytes]:
    """Fields and values of a zipmap by turns."""
    at: cython.Py_ssize_t = 1
    length: cython.Py_ssize_t
    free: cython.int
    count: cython.int = byte_at(data, 0)
    elements: list = []
    while byte_at(data, at) != END:
        for is_value in (False, True):
            length = byte_at(data, at)
            at += 1
            if length == WIDE_LENGTH:
                length = little_endian(data, at, 4)
                at += 4
            elif length == END:
                raise ValueError("a zipmap with a field without value")
            free = 0
            if is_value:
                free = byte_at(data, at)
                at += 1
            elements.append(text_at(data, at, length))
            at += length + free
    check_end(data, at, elements[::2], UNKNOWN_COUNT if count >= WIDE_LENGTH else count, "zipmap")
    return elements


@cython.cfunc
@cython.exceptval(-1, check=False)
def check_end(data: bytes, at: cython.Py_ssize_t, elements: list, count: cython.Py_ssize_t, name: str) -> cython.int:
    """The end mark at `at` is the last byte, and there are as many elements as the header says."""
    if at != len(data) - 1:
        raise ValueError(f"a {name} that ends before its last byte")
    if count != UNKNOWN_COUNT and count != len(elements):
        raise ValueError(f"a {name} of {len(elements)} elements that claims {count}")
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def byte_at(data: bytes, at: cython.Py_ssize_t) -> cython.int:
    if not 0 <= at < len(data):
        raise ValueError("a compact encoding that is cut off")
    return data[at]


@cython.cfunc
@cython.inline
def text_at(data: bytes, at: cython.Py_ssize_t, length: cython.Py_ssize_t) -> bytes:
    if length > len(data) - at:
        raise ValueError("a compact encoding with a string longer than itself")
    return data[at : at + length]


@cython.cfunc
@cython.exceptval(check=True)
def little_endian(data: bytes, at: cython.Py_ssize_t, nbytes: cython.Py_ssize_t) -> cython.ulonglong:
    number: cython.ulonglong = 0
    i: cython.Py_ssize_t
    for i in range(nbytes - 1, -1, -1):
        number = number << 8 | cython.cast(cython.ulonglong, byte_at(data, at + i))
    return number


@cython.cfunc
@cython.exceptval(check=True)
def big_endian(data: bytes, at: cython.Py_ssize_t) -> cython.ulonglong:
    """A 32-bit length."""
    number: cython.ulonglong = 0
    i: cython.int
    for i in range(4):
        number = number << 8 | cython.cast(cython.ulonglong, byte_at(data, at + i))
    return number


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def signed(number: cython.ulonglong, bits: cython.int) -> cython.longlong:
    """A number in two's complement of so many bits."""
    unused: cython.int = 64 - bits
    return cython.cast(cython.longlong, number << unused) >> unused
