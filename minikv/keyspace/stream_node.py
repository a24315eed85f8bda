# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""Stream nodes: some entries with rising IDs in one listpack, in the format that RDB files have them in.

    live  deleted  number of fields  field ... field  0      the master entry, whose ID is the node's
    flags  ms  sequence  [number of fields]  ...  elements   an entry; its ID is the difference to the node's
    ...

An entry with the fields of the master entry (SAME_FIELDS) has its values only, any other has fields and values by
turns behind their number. A deleted entry is only marked. Here `live` and `deleted` are integers of 32 bits always,
however small, so that they and an entry's flags change in place.

An ID is an integer of 128 bits in Python: milliseconds, then the sequence number; StreamId in C; 16 bytes, big endian,
in the arena and in files.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.cpython.tuple import PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cython.cimports.libc.stdint import INT32_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.minikv.engine.int64 import parse_int64
from cython.cimports.minikv.engine.listpack import (
    ELEMENT_EXTRA,
    INT32_ELEMENT,
    INTEGER_MAX,
    PACK_COUNT_MAX,
    PACK_END,
    PACK_HEADER,
    element_bytes,
    element_data,
    element_integer,
    length_behind,
    next_element,
    pack_size,
    write_behind,
    write_integer,
    write_text,
)
from cython.cimports.minikv.engine.record import bytes_at, minikv_swap64

LOW_HALF = (1 << 64) - 1
# Longest string that Redis tries to read as an integer.
INTEGER_TEXT_MAX = cython.declare(uint64_t, 20)
LIVE = cython.declare(uint32_t, PACK_HEADER + 1)
DELETED = cython.declare(uint32_t, PACK_HEADER + 7)
COUNT_ELEMENT = cython.declare(uint32_t, 6)
NODE_SIZE_MAX = cython.declare(uint64_t, (1 << 31) - 1)


# IDs


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def id_at(raw: cython.pointer[cython.const[uint8_t]]) -> StreamId:
    id: StreamId
    memcpy(cython.address(id.ms), raw, 8)
    memcpy(cython.address(id.sequence), raw + 8, 8)
    id.ms = minikv_swap64(id.ms)
    id.sequence = minikv_swap64(id.sequence)
    return id


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def put_id(raw: cython.pointer[uint8_t], id: StreamId) -> cython.void:
    id.ms = minikv_swap64(id.ms)
    id.sequence = minikv_swap64(id.sequence)
    memcpy(raw, cython.address(id.ms), 8)
    memcpy(raw + 8, cython.address(id.sequence), 8)


@cython.cfunc
def id_of(number: object) -> StreamId:
    id: StreamId
    id.ms = number >> 64
    id.sequence = number & LOW_HALF
    return id


@cython.cfunc
def number_of(id: StreamId) -> object:
    return (cython.cast(object, id.ms) << 64) | cython.cast(object, id.sequence)


@cython.cfunc
def id_text(id: StreamId) -> bytes:
    text: uint8_t[ID_TEXT_MAX]
    end: cython.pointer[uint8_t] = text + ID_TEXT_MAX
    at: cython.pointer[uint8_t] = put_digits(end, id.sequence) - 1
    at[0] = 45  # `-`
    at = put_digits(at, id.ms)
    return bytes_at(at, end - at)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def put_digits(end: cython.pointer[uint8_t], number: uint64_t) -> cython.pointer[uint8_t]:
    """Write a number that ends before `end`; returns where it begins."""
    end -= 1
    end[0] = 48 + cython.cast(uint8_t, number % 10)
    while number > 9:
        number //= 10
        end -= 1
        end[0] = 48 + cython.cast(uint8_t, number % 10)
    return end


@cython.cfunc
def raw_id(id: StreamId) -> bytes:
    raw: uint8_t[ID_SIZE]
    put_id(raw, id)
    return bytes_at(raw, ID_SIZE)


def format_id(number: object) -> bytes:
    """An ID as clients see it."""
    return id_text(id_of(number))


# Reading


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def node_live(pack: cython.pointer[cython.const[uint8_t]]) -> uint32_t:
    """Entries that are not deleted."""
    count: uint32_t
    memcpy(cython.address(count), pack + LIVE, 4)
    return count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def node_deleted(pack: cython.pointer[cython.const[uint8_t]]) -> uint32_t:
    count: uint32_t
    memcpy(cython.address(count), pack + DELETED, 4)
    return count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def set_node_counts(pack: cython.pointer[uint8_t], live: uint32_t, deleted: uint32_t) -> cython.void:
    memcpy(pack + LIVE, cython.address(live), 4)
    memcpy(pack + DELETED, cython.address(deleted), 4)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def node_size_in_redis(pack: cython.pointer[cython.const[uint8_t]]) -> uint64_t:
    """Bytes of the listpack with the two counts as short as Redis has them: its limit on a node's size is by these."""
    room: uint8_t[INTEGER_MAX]
    start: cython.pointer[uint8_t] = room
    size: uint64_t = pack_size(pack) - 2 * COUNT_ELEMENT
    size += write_integer(start, node_live(pack)) - start
    return size + (write_integer(start, node_deleted(pack)) - start)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def master_fields(pack: cython.pointer[cython.const[uint8_t]]) -> uint32_t:
    """How many fields the master entry has."""
    return cython.cast(uint32_t, element_integer(pack + NODE_EMPTY))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def first_entry(pack: cython.pointer[uint8_t]) -> cython.pointer[uint8_t]:
    """The first entry, deleted or not."""
    at: cython.pointer[cython.const[uint8_t]] = pack + NODE_EMPTY
    elements: uint32_t
    for elements in range(master_fields(pack) + 2):
        at = next_element(at)
    return cython.cast(cython.pointer[uint8_t], at)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_entry(
    at: cython.pointer[uint8_t], master: StreamId, fields: uint32_t, entry: cython.pointer[StreamEntry]
) -> cython.void:
    """What is at `at` in a node of ID `master` with so many master fields."""
    place: cython.pointer[cython.const[uint8_t]] = at
    flags: int64_t = element_integer(place)
    elements: uint64_t
    step: uint64_t
    entry.flags = at
    entry.deleted = (flags & FLAG_DELETED) != 0
    entry.same_fields = (flags & FLAG_SAME_FIELDS) != 0
    place = next_element(place)
    entry.id.ms = master.ms + cython.cast(uint64_t, element_integer(place))
    place = next_element(place)
    entry.id.sequence = master.sequence + cython.cast(uint64_t, element_integer(place))
    place = next_element(place)
    entry.fields = fields
    elements = fields
    if not entry.same_fields:
        entry.fields = cython.cast(uint32_t, element_integer(place))
        elements = 2 * cython.cast(uint64_t, entry.fields)
        place = next_element(place)
    entry.parts = cython.cast(cython.pointer[uint8_t], place)
    for step in range(elements + 1):
        place = next_element(place)
    entry.next = cython.cast(cython.pointer[uint8_t], place)


@cython.cfunc
def entry_parts(entry: cython.pointer[cython.const[StreamEntry]], master: list) -> list:
    """Fields and values by turns; `master`: the fields of the master entry."""
    at: cython.pointer[cython.const[uint8_t]] = entry.parts
    step: uint32_t
    parts: list = [None] * (2 * cython.cast(cython.Py_ssize_t, entry.fields))
    for step in range(entry.fields):
        if entry.same_fields:
            parts[2 * step] = master[step]
        else:
            parts[2 * step] = element_bytes(at)
            at = next_element(at)
        parts[2 * step + 1] = element_bytes(at)
        at = next_element(at)
    return parts


@cython.cfunc
def master_names(pack: cython.pointer[cython.const[uint8_t]]) -> list:
    """The fields of the master entry."""
    at: cython.pointer[cython.const[uint8_t]] = next_element(pack + NODE_EMPTY)
    step: uint32_t
    names: list = []
    for step in range(master_fields(pack)):
        names.append(element_bytes(at))
        at = next_element(at)
    return names


# Writing


@cython.cfunc
@cython.exceptval(check=False)
def write_part(at: cython.pointer[uint8_t], text: bytes) -> cython.pointer[uint8_t]:
    """Write a string's element, an integer if it spells one."""
    data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(text))
    length: uint64_t = PyBytes_GET_SIZE(text)
    number: int64_t = 0
    if length <= INTEGER_TEXT_MAX and parse_int64(data, length, cython.address(number)):
        return write_integer(at, number)
    return write_text(at, data, length)


@cython.cfunc
@cython.exceptval(check=False)
def write_count(at: cython.pointer[uint8_t], count: uint32_t) -> cython.pointer[uint8_t]:
    """An integer of 32 bits, however small."""
    at[0] = INT32_ELEMENT
    memcpy(at + 1, cython.address(count), 4)
    return write_behind(at + 5, 5)


@cython.cfunc
@cython.exceptval(check=False)
def room_for(parts: tuple) -> uint64_t:
    """Bytes that the elements of an entry take at most, with all integers around them."""
    size: uint64_t = 8 * INTEGER_MAX
    part: bytes
    for part in parts:
        size += PyBytes_GET_SIZE(part) + ELEMENT_EXTRA
    return size


@cython.cfunc
def new_node(id: StreamId, parts: tuple) -> bytes:
    """The listpack of a node with one entry: fields and values by turns."""
    room: uint64_t = 2 * room_for(parts) + PACK_HEADER
    pack: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], malloc(room + room_for(parts)))
    elements: uint32_t = 0
    at: cython.pointer[uint8_t]
    size: uint32_t
    step: cython.Py_ssize_t
    count: uint16_t = cython.cast(uint16_t, min(PACK_COUNT_MAX, 4 + len(parts) // 2))
    if pack == cython.NULL:
        raise MemoryError
    try:
        at = write_count(write_count(pack + PACK_HEADER, 0), 0)
        at = write_integer(at, len(parts) // 2)
        for step in range(0, len(parts), 2):
            at = write_part(at, parts[step])
        at = write_integer(at, 0)
        at[0] = PACK_END
        size = cython.cast(uint32_t, at + 1 - pack)
        memcpy(pack, cython.address(size), 4)
        memcpy(pack + 4, cython.address(count), 2)
        # The entry has its own room behind the node's: it is copied to its place there.
        size = cython.cast(uint32_t, encode_entry(pack + room, pack, id, id, parts, cython.address(elements)))
        append_entry(pack, pack + room, size, elements)
        return bytes_at(pack, pack_size(pack))
    finally:
        free(pack)


@cython.cfunc
@cython.exceptval(check=False)
def encode_entry(
    room: cython.pointer[uint8_t],
    pack: cython.pointer[cython.const[uint8_t]],
    master: StreamId,
    id: StreamId,
    parts: tuple,
    elements: cython.pointer[uint32_t],
) -> uint64_t:
    """Write the elements of an entry, for the end of a node; returns their bytes and sets how many they are."""
    at: cython.pointer[uint8_t] = room
    same: cython.bint = has_master_fields(pack, parts)
    fields: cython.Py_ssize_t = PyTuple_GET_SIZE(parts) // 2
    step: cython.Py_ssize_t
    at = write_integer(at, FLAG_SAME_FIELDS if same else 0)
    at = write_integer(at, cython.cast(int64_t, id.ms - master.ms))
    at = write_integer(at, cython.cast(int64_t, id.sequence - master.sequence))
    if not same:
        at = write_integer(at, fields)
    for step in range(2 * fields):
        if step & 1 or not same:
            at = write_part(at, cython.cast(bytes, PyTuple_GET_ITEM(parts, step)))
    elements[0] = cython.cast(uint32_t, elements_of(fields, same))
    at = write_integer(at, elements_of(fields, same) - 1)
    return at - room


@cython.cfunc
@cython.exceptval(check=False)
def elements_of(fields: cython.Py_ssize_t, same: cython.bint) -> cython.Py_ssize_t:
    return fields + 4 if same else 2 * fields + 5


@cython.cfunc
@cython.exceptval(check=False)
def has_master_fields(pack: cython.pointer[cython.const[uint8_t]], parts: tuple) -> cython.bint:
    at: cython.pointer[cython.const[uint8_t]] = next_element(pack + NODE_EMPTY)
    data: cython.pointer[cython.const[uint8_t]] = cython.NULL
    size: uint64_t
    step: cython.Py_ssize_t
    part: bytes
    if master_fields(pack) * 2 != cython.cast(uint64_t, PyTuple_GET_SIZE(parts)):
        return False
    for step in range(0, PyTuple_GET_SIZE(parts), 2):
        part = cython.cast(bytes, PyTuple_GET_ITEM(parts, step))
        size = element_data(at, cython.address(data))
        if data == cython.NULL:
            if element_bytes(at) != part:
                return False
        else:
            size -= data - at
            if size != cython.cast(uint64_t, PyBytes_GET_SIZE(part)) or memcmp(data, PyBytes_AS_STRING(part), size):
                return False
        at = next_element(at)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_entry(
    pack: cython.pointer[uint8_t], entry: cython.pointer[cython.const[uint8_t]], size: uint32_t, added: uint32_t
) -> cython.void:
    """Add what encode_entry gave to a node that has room for it, and count it."""
    old: uint32_t = pack_size(pack)
    whole: uint32_t = old + size
    elements: uint16_t
    memcpy(pack + old - 1, entry, size)
    pack[whole - 1] = PACK_END
    memcpy(pack, cython.address(whole), 4)
    memcpy(cython.address(elements), pack + 4, 2)
    elements = cython.cast(uint16_t, min(cython.cast(uint32_t, elements) + added, PACK_COUNT_MAX))
    memcpy(pack + 4, cython.address(elements), 2)
    set_node_counts(pack, node_live(pack) + 1, node_deleted(pack))


# Checking what comes from a file


def checked_node(id: bytes, pack: bytes) -> tuple[bytes, bytes | None, bytes, int]:
    """The listpack of a node as it is kept here, from one that may hold anything. ValueError tells what is wrong.

    Also the IDs of the first entry that is not deleted, None if all are, and of the last entry; and the number of those
    that are not deleted.
    """
    first: StreamId = id_of(0)
    last: StreamId = id_of(0)
    data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(pack))
    size: uint64_t = PyBytes_GET_SIZE(pack)
    live: uint32_t
    deleted: uint32_t
    rest: cython.pointer[cython.const[uint8_t]]
    kept: bytes
    at: cython.pointer[uint8_t]
    rest_size: uint64_t
    elements: uint64_t = check_elements(data, size)
    if elements < 3:
        raise ValueError("a listpack without master entry")
    rest = data + PACK_HEADER
    live = count_at(rest)
    rest = next_element(rest)
    deleted = count_at(rest)
    rest = next_element(rest)
    check_entries(
        id_at(cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(id))),
        rest,
        elements - 2,
        cython.cast(uint64_t, live) + deleted,
        deleted,
        cython.address(first),
        cython.address(last),
    )
    rest_size = data + size - rest
    if rest_size > NODE_SIZE_MAX:
        raise ValueError(f"a listpack of {size} bytes")
    size = NODE_EMPTY + rest_size
    kept = PyBytes_FromStringAndSize(cython.NULL, size)
    at = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(kept))
    memcpy(at, data, PACK_HEADER)
    memcpy(at + NODE_EMPTY, rest, rest_size)
    memcpy(at, cython.address(size), 4)
    write_count(write_count(at + PACK_HEADER, live), deleted)
    return kept, raw_id(first) if live else None, raw_id(last), live


@cython.cfunc
@cython.exceptval(check=True)
def check_elements(data: cython.pointer[cython.const[uint8_t]], size: uint64_t) -> uint64_t:
    """How many elements a listpack has; each of them lies within it."""
    at: uint64_t = PACK_HEADER
    body: uint64_t
    count: uint64_t = 0
    claimed: uint16_t
    text: cython.pointer[cython.const[uint8_t]] = cython.NULL
    behind: uint8_t[5]
    start: cython.pointer[uint8_t] = behind
    if size < PACK_HEADER + 1 or pack_size(data) != size or data[size - 1] != PACK_END:
        raise ValueError("a listpack that does not end where its header says")
    while at < size - 1:
        # The longest encoding has a length of four bytes behind it: the string itself is looked at only then.
        if data[at] > 0xF4 or (data[at] == 0xF0 and size - at < 6) or (data[at] >= 0xC0 and size - at < 3):
            raise ValueError("a listpack with an element that is cut off or unknown")
        body = element_data(data + at, cython.address(text))
        if body >= size - at or length_behind(body) >= size - at - body:
            raise ValueError("a listpack with an element longer than itself")
        write_behind(start, body)
        if memcmp(start, data + at + body, length_behind(body)) != 0:
            raise ValueError("a listpack with a wrong length behind an element")
        at += body + length_behind(body)
        count += 1
    memcpy(cython.address(claimed), data + 4, 2)
    if claimed != PACK_COUNT_MAX and claimed != count:
        raise ValueError(f"a listpack of {count} elements that claims {claimed}")
    return count


@cython.cfunc
@cython.exceptval(check=True)
def integer_at(at: cython.pointer[cython.const[uint8_t]]) -> int64_t:
    text: cython.pointer[cython.const[uint8_t]] = cython.NULL
    element_data(at, cython.address(text))
    if text != cython.NULL:
        raise ValueError("a stream node with a string where a number belongs")
    return element_integer(at)


@cython.cfunc
@cython.exceptval(check=True)
def count_at(at: cython.pointer[cython.const[uint8_t]]) -> uint32_t:
    count: int64_t = integer_at(at)
    if count < 0 or count > INT32_MAX:
        raise ValueError("a stream node with a count out of range")
    return cython.cast(uint32_t, count)


@cython.cfunc
@cython.exceptval(-1, check=False)
def check_entries(
    master: StreamId,
    at: cython.pointer[cython.const[uint8_t]],
    elements: uint64_t,
    entries: uint64_t,
    deleted: uint32_t,
    first: cython.pointer[StreamId],
    last: cython.pointer[StreamId],
) -> cython.int:
    """The master entry's fields and all entries, in exactly so many elements."""
    fields: uint64_t = count_at(at)
    wanted: uint64_t
    flags: int64_t
    step: uint64_t
    entry: uint64_t
    marked: uint64_t = 0
    id: StreamId
    before: StreamId = master
    if elements < fields + 2:
        raise ValueError("a stream node that is cut off in its master entry")
    for step in range(fields + 1):
        at = next_element(at)
    if integer_at(at) != 0:
        raise ValueError("a stream node without end of its master entry")
    at = next_element(at)
    elements -= fields + 2
    for entry in range(entries):
        if elements < 4:
            raise ValueError("a stream node with fewer entries than it claims")
        flags = integer_at(at)
        at = next_element(at)
        id.ms = master.ms + cython.cast(uint64_t, integer_at(at))
        at = next_element(at)
        id.sequence = master.sequence + cython.cast(uint64_t, integer_at(at))
        at = next_element(at)
        if is_less(id, before) or (entry and not is_less(before, id)):
            raise ValueError("a stream node whose IDs do not rise")
        before = id
        if not flags & FLAG_DELETED and entry == marked:
            first[0] = id
        marked += (flags & FLAG_DELETED) != 0
        wanted = fields
        if not flags & FLAG_SAME_FIELDS:
            wanted = 2 * cython.cast(uint64_t, count_at(at)) + 1
        if elements < wanted + 4:
            raise ValueError("a stream node with an entry that is cut off")
        for step in range(wanted):
            at = next_element(at)
        if integer_at(at) != cython.cast(int64_t, wanted + 3):
            raise ValueError("a stream node with a wrong number of elements behind an entry")
        at = next_element(at)
        elements -= wanted + 4
    last[0] = before
    if elements or marked != deleted:
        raise ValueError("a stream node with more or other entries than it claims")
    return 0
