# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""LZF strings: compressed in one pass; proved first, then expanded straight into their place.

A packed string is a sequence of

    000nnnnn  n + 1 bytes                   these bytes
    nnnooooo  oooooooo                      n + 2 bytes (n: 1 to 6) from o + 1 bytes before
    111ooooo  nnnnnnnn  oooooooo            n + 9 bytes from there

`lzf_holds` adds the lengths up and looks at every distance, so no memory is reserved for what a file only claims, and
`lzf_expand` cannot fail. A reference may overlap what it writes: that is how runs are stored.

`lzf_compress` looks for every three bytes at the place where bytes with their hash were seen last. It needs no memory
but its state's, which is not cleared between two texts: a position in the table counts from `base`, and `base` grows by
each text's length, so what earlier texts left is too low to be one of this text's.
Source: the public LZF format (liblzf), as Redis stores strings.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memset

Packed = cython.typedef(cython.pointer[cython.const[uint8_t]])

FIRST_REFERENCE = cython.declare(uint64_t, 32)
LONG_REFERENCE = cython.declare(uint64_t, 7)
LONG_SPAN = cython.declare(uint64_t, 9)  # bytes: such references take three bytes, shorter ones two
LONGEST_REFERENCE = cython.declare(uint64_t, 264)
FARTHEST = cython.declare(uint64_t, 8192)  # bytes that a reference can go back
HIGHEST = cython.declare(uint64_t, 0xFFFFFFFF)
PIECE_LEN = cython.declare(uint64_t, 1 << 24)  # longer texts are compressed piece by piece: positions have 32 bits
SHORT_LEN = cython.declare(uint64_t, 4096)  # shorter texts use a quarter of the slots, which the L1 cache has room for
PATIENCE = cython.declare(cython.int, 6)  # 64 bytes without a reference, and every second place is looked at, ...
LONGEST_STEP = cython.declare(uint64_t, 32)  # ... until it is every 32nd

STATE = cython.declare(Lzf)  # compress(); Python's lock guards it


def compress(data: bytes, max_len: cython.Py_ssize_t) -> bytes | None:
    """The packed bytes, at most max_len; None if they would be more. MemoryError."""
    length: uint64_t = PyBytes_GET_SIZE(data)
    room: uint64_t = min(cython.cast(uint64_t, max(max_len, 0)), literals_len(length))
    packed: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], malloc(room or 1))
    if packed == cython.NULL:
        raise MemoryError
    try:
        room = lzf_compress(cython.address(STATE), cython.cast(Packed, PyBytes_AS_STRING(data)), length, packed, room)
        return PyBytes_FromStringAndSize(cython.cast(cython.p_char, packed), room) if room else None
    finally:
        free(packed)


def lzf_compress(
    state: cython.pointer[Lzf], text: Packed, length: uint64_t, packed: cython.pointer[uint8_t], room: uint64_t
) -> uint64_t:
    """Write the text to `packed` in LZF form; returns the bytes, 0 if they would be more than `room`.

    The same text gives the same bytes, whatever the state was used for before.
    """
    piece: uint64_t
    more: uint64_t
    done: uint64_t = 0
    while length:
        piece = min(length, PIECE_LEN)
        if state.base + piece > HIGHEST:
            memset(state, 0, cython.sizeof(state[0]))
        more = compress_piece(state, text, piece, packed + done, room - done)
        state.base += cython.cast(uint32_t, piece)
        if more == 0:
            return 0
        text += piece
        length -= piece
        done += more
    return done


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def compress_piece(
    state: cython.pointer[Lzf], text: Packed, length: uint64_t, packed: cython.pointer[uint8_t], room: uint64_t
) -> uint64_t:
    """One text of at most PIECE_LEN bytes, as lzf_compress."""
    to: cython.pointer[uint8_t] = packed
    end: cython.pointer[uint8_t] = packed + room
    slots: cython.pointer[uint32_t] = state.slots
    seen: uint64_t = cython.cast(uint64_t, state.base) + 1  # of the text's first byte
    shift: cython.int = 20 if length < SHORT_LEN else 18
    at: uint64_t = 0
    literal: uint64_t = 0  # what lies between here and `at` is yet to be written
    behind: uint64_t
    distance: uint64_t
    span: uint64_t
    run: uint64_t
    word: uint32_t
    slot: cython.pointer[uint32_t]
    while at + 4 <= length:
        word = three_bytes(text + at)
        slot = slots + slot_of(word, shift)
        distance = seen + at - slot[0]  # beyond the text's beginning, if an earlier text has left it
        slot[0] = cython.cast(uint32_t, seen + at)
        if distance > min(at, FARTHEST) or three_bytes(text + at - distance) != word:
            at += min(1 + ((at - literal) >> PATIENCE), LONGEST_STEP)
            continue
        span = 3 + common_len(text + at + 3, text + at + 3 - distance, min(length - at, LONGEST_REFERENCE) - 3)
        while at > literal and at > distance and span < LONGEST_REFERENCE and text[at - 1] == text[at - 1 - distance]:
            at -= 1
            span += 1
        run = at - literal
        if cython.cast(uint64_t, end - to) < literals_len(run) + (2 if span < LONG_SPAN else 3):
            return 0
        to = put_literals(to, text + literal, run)
        to = put_reference(to, distance, span)
        at += span
        literal = at
        if at + 3 <= length:  # of the places inside a reference, the last two are remembered
            for behind in range(1, 3):
                slot = slots + slot_of(three_bytes(text + at - behind), shift)
                slot[0] = cython.cast(uint32_t, seen + at - behind)
    run = length - literal
    if cython.cast(uint64_t, end - to) < literals_len(run):
        return 0
    return put_literals(to, text + literal, run) - packed


def lzf_holds(packed: Packed, packed_len: uint64_t, text_len: uint64_t) -> cython.bint:
    """True if the packed bytes unpack to text of exactly this length, without reading or writing outside of either."""
    at: uint64_t = 0
    done: uint64_t = 0
    length: uint64_t
    distance: uint64_t
    while at < packed_len:
        length = packed[at] >> 5
        if length == 0:
            length = cython.cast(uint64_t, packed[at]) + 1
            if length > packed_len - at - 1:
                return False
            at += 1 + length
        else:
            if packed_len - at < (3 if length == LONG_REFERENCE else 2):
                return False
            distance = cython.cast(uint64_t, packed[at] & 31) << 8
            if length == LONG_REFERENCE:
                at += 1
                length += packed[at]
            distance += packed[at + 1] + 1
            if distance > done:
                return False
            length += 2
            at += 2
        done += length
        if done > text_len:
            return False
    return done == text_len


def lzf_expand(packed: Packed, packed_len: uint64_t, text: cython.pointer[uint8_t]) -> cython.void:
    """Write that text; only after lzf_holds."""
    end: Packed = packed + packed_len
    length: uint64_t
    distance: uint64_t
    i: uint64_t
    while packed < end:
        length = packed[0]
        packed += 1
        if length < FIRST_REFERENCE:
            length += 1
            memcpy(text, packed, length)
            packed += length
        else:
            distance = ((length & 31) << 8) + 1
            length >>= 5
            if length == LONG_REFERENCE:
                length += packed[0]
                packed += 1
            distance += packed[0]
            packed += 1
            length += 2
            if distance >= length:
                memcpy(text, text - distance, length)
            else:
                for i in range(length):
                    text[i] = (text - distance)[i]
        text += length
