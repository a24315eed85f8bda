# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""BITFIELD: integers of 1 to 64 bits anywhere in a string.

A request may hold a hundred thousand operations. They are parsed into an array of fields, all before the first is
carried out; then they work on one copy of the bytes that they touch, the window, and the part of it that changed is
written back in one go. Where the fields lie so far apart that the window would be much larger than all of them, each is
read and written by itself.
"""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.minikv.engine.int64 import parse_int64

from minikv.commands.bitmap import BIT_OFFSET_ERROR
from minikv.dispatch.arguments import INT64_MAX, NOT_AN_INTEGER, SYNTAX_ERROR
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, READONLY, WRITE, command
from minikv.errors import CommandError
from minikv.keyspace.events import EVENT_STRING

FIELD_TYPE_ERROR = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."

# Field.operation and Field.overflow.
GET = cython.declare(uint8_t, 0)
SET = cython.declare(uint8_t, 1)
INCRBY = cython.declare(uint8_t, 2)
WRAP = cython.declare(uint8_t, 0)
SAT = cython.declare(uint8_t, 1)
FAIL = cython.declare(uint8_t, 2)

C_INT64_MAX = cython.declare(int64_t, INT64_MAX)
# A window is no longer than this for each field in it: 16 KB for the usual thousand.
WINDOW_PER_FIELD = cython.declare(int64_t, 16)


@command("BITFIELD", arity=-2, flags=WRITE | DENYOOM, key_flags="RW access update variable_flags", categories="bitmap")
def bitfield(ctx: Client, key: bytes, *words: bytes) -> list:
    return run(ctx, key, words, False)


@command("BITFIELD_RO", arity=-2, flags=READONLY | FAST, key_flags="RO access", categories="bitmap")
def bitfield_ro(ctx: Client, key: bytes, *words: bytes) -> list:
    return run(ctx, key, words, True)


@cython.cfunc
def run(ctx: Client, key: bytes, words: tuple, only_reads: cython.bint) -> list:
    """Parse the operations and carry them out."""
    fields: cython.pointer[Field] = cython.cast(
        cython.pointer[Field], PyMem_Malloc((len(words) // 3 + 1) * cython.sizeof(Field))
    )
    if fields == cython.NULL:
        raise MemoryError
    try:
        count: cython.Py_ssize_t = parse(words, fields, ctx.server.config.proto_max_bulk_len)
        last_written: int64_t = -1
        i: cython.Py_ssize_t
        for i in range(count):
            if fields[i].operation != GET:
                last_written = max(last_written, last_byte(fields[i]))
        if last_written < 0:
            ctx.db.strlen(key)  # counts the hit or miss, checks the type
            return carry_out(ctx, key, fields, count, False)
        if only_reads:
            raise CommandError("ERR BITFIELD_RO only supports the GET subcommand")
        dirty = ctx.keyspace.dirty
        grown: cython.bint = make_room(ctx, key, last_written)
        results = carry_out(ctx, key, fields, count, grown)
        changes = results.pop()
        ctx.keyspace.dirty = dirty + changes
        if changes:
            ctx.db.notify(EVENT_STRING, b"setbit", key)
        return results
    finally:
        PyMem_Free(fields)


@cython.cfunc
@cython.exceptval(-1, check=False)
def parse(words: tuple, fields: cython.pointer[Field], max_bytes: int64_t) -> cython.Py_ssize_t:
    """Parse the operations of a request, in order; returns their number."""
    count: cython.Py_ssize_t = 0
    overflow: uint8_t = WRAP
    i: cython.Py_ssize_t = 0
    while i < len(words):
        name: bytes = words[i]
        behind: cython.Py_ssize_t = len(words) - i - 1
        operation: cython.int = GET
        if is_word(name, b"overflow") and behind >= 1:
            overflow = overflow_named(words[i + 1])
            i += 2
            continue
        if is_word(name, b"set"):
            operation = SET
        elif is_word(name, b"incrby"):
            operation = INCRBY
        elif not is_word(name, b"get"):
            raise CommandError(SYNTAX_ERROR)
        if behind < (2 if operation == GET else 3):
            raise CommandError(SYNTAX_ERROR)
        field: cython.pointer[Field] = cython.address(fields[count])
        field.operation = operation
        field.overflow = overflow
        read_type(words[i + 1], field)
        field.offset = bit_offset(words[i + 2], field.width, max_bytes)
        field.operand = 0
        if operation != GET and not read_int64(words[i + 3], 0, cython.address(field.operand)):
            raise CommandError(NOT_AN_INTEGER)
        i += 3 if operation == GET else 4
        count += 1
    return count


@cython.cfunc
@cython.inline
def is_word(text: bytes, word: bytes) -> cython.bint:
    """Whether the text is this lower-case word, in any case."""
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(word)
    if PyBytes_GET_SIZE(text) != size:
        return False
    a: cython.p_char = PyBytes_AS_STRING(text)
    b: cython.p_char = PyBytes_AS_STRING(word)
    i: cython.Py_ssize_t = 0
    while i < size and (a[i] == b[i] or a[i] == b[i] - 32):
        i += 1
    return i == size


@cython.cfunc
@cython.exceptval(-1, check=False)
def overflow_named(text: bytes) -> cython.int:
    if is_word(text, b"wrap"):
        return WRAP
    if is_word(text, b"sat"):
        return SAT
    if is_word(text, b"fail"):
        return FAIL
    raise CommandError("ERR Invalid OVERFLOW type specified")


@cython.cfunc
@cython.inline
def read_int64(text: bytes, start: cython.Py_ssize_t, number: cython.pointer[int64_t]) -> cython.bint:
    """The number after `start`, in its only spelling."""
    data: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(text))
    return parse_int64(data + start, PyBytes_GET_SIZE(text) - start, number)


@cython.cfunc
@cython.exceptval(-1, check=False)
def read_type(text: bytes, field: cython.pointer[Field]) -> cython.int:
    """`u8`, `i64`."""
    kind: cython.char = PyBytes_AS_STRING(text)[0]
    width: int64_t = 0
    field.is_signed = kind == b"i"
    if (
        (kind != b"i" and kind != b"u")
        or not read_int64(text, 1, cython.address(width))
        or not 1 <= width <= 63 + field.is_signed
    ):
        raise CommandError(FIELD_TYPE_ERROR)
    field.width = width
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def bit_offset(text: bytes, width: int64_t, max_bytes: int64_t) -> int64_t:
    """`17` is a bit, `#17` the 18th of fields that lie side by side."""
    offset: cython.longlong = 0
    number: int64_t = 0
    nth: cython.bint = PyBytes_AS_STRING(text)[0] == b"#"
    if not read_int64(text, nth, cython.address(number)):
        raise CommandError(BIT_OFFSET_ERROR)
    if multiply_overflows(number, width if nth else 1, cython.address(offset)):
        raise CommandError(BIT_OFFSET_ERROR)
    if offset < 0 or offset >> 3 >= max_bytes:
        raise CommandError(BIT_OFFSET_ERROR)
    return offset


def make_room(ctx: Client, key: bytes, place: int) -> bool:
    """Make the string reach up to this byte, ready for changes; returns whether it grew."""
    if ctx.db.get_range(key, place, place + 1):
        ctx.db.make_raw(key)
        return False
    ctx.db.set_range(key, place, b"\0")
    return True


@cython.cfunc
def carry_out(
    ctx: Client, key: bytes, fields: cython.pointer[Field], count: cython.Py_ssize_t, grown: cython.bint
) -> list:
    """The results; after them, if anything may have been written, the number of changes.

    grown: each write counts as a change.
    """
    first: int64_t = C_INT64_MAX
    last: int64_t = -1
    writes: cython.bint = False
    i: cython.Py_ssize_t
    for i in range(count):
        first = min(first, fields[i].offset >> 3)
        last = max(last, last_byte(fields[i]))
        writes = writes or fields[i].operation != GET
    results: list = []
    changes: int64_t = 0
    if last - first < WINDOW_PER_FIELD * count:
        changes = in_window(ctx, key, fields, count, first, last + 1, grown, results)
    else:
        for i in range(count):
            first = fields[i].offset >> 3
            changes += in_window(ctx, key, fields + i, 1, first, last_byte(fields[i]) + 1, grown, results)
    if writes:
        results.append(changes)
    return results


@cython.cfunc
@cython.exceptval(-1, check=False)
def in_window(
    ctx: Client,
    key: bytes,
    fields: cython.pointer[Field],
    count: cython.Py_ssize_t,
    start: int64_t,
    stop: int64_t,
    grown: cython.bint,
    results: list,
) -> int64_t:
    """Carry out operations between two bytes of the string; returns the number of changes."""
    copy = bytearray(ctx.db.get_range(key, start, stop))
    window: Window
    window.data = cython.cast(cython.pointer[uint8_t], PyByteArray_AS_STRING(copy))
    window.start = start
    window.stop = start + len(copy)
    changes: int64_t = 0
    changed_from: int64_t = stop
    changed_to: int64_t = start
    i: cython.Py_ssize_t
    new: uint64_t = 0
    for i in range(count):
        field: cython.pointer[Field] = cython.address(fields[i])
        old: uint64_t = read_field(cython.address(window), field)
        if field.operation == GET:
            results.append(as_object(old, field))
            continue
        if not new_value(old, field, cython.address(new)):
            results.append(None)
            continue
        results.append(as_object(old if field.operation == SET else new, field))
        if new != old:
            write_field(cython.address(window), field, new)
            changed_from = min(changed_from, field.offset >> 3)
            changed_to = max(changed_to, last_byte(field[0]) + 1)
        changes += grown or new != old
    if changed_from < changed_to:
        ctx.db.set_range(key, changed_from, bytes(copy[changed_from - start : changed_to - start]))
    return changes


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def last_byte(field: Field) -> int64_t:
    return (field.offset + field.width - 1) >> 3


@cython.cfunc
@cython.inline
def as_object(value: uint64_t, field: cython.pointer[Field]) -> object:
    if field.is_signed:
        return cython.cast(int64_t, value)
    return value


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def cut(value: uint64_t, field: cython.pointer[Field]) -> uint64_t:
    """The low bits of a value as the field's type reads them; a signed one is extended to 64 bits."""
    above: cython.int = 64 - field.width
    if field.is_signed:
        return cython.cast(uint64_t, cython.cast(int64_t, value << above) >> above)
    return value << above >> above


@cython.cfunc
@cython.exceptval(check=False)
def read_field(window: cython.pointer[Window], field: cython.pointer[Field]) -> uint64_t:
    at: int64_t = field.offset >> 3
    last: int64_t = (field.offset + field.width - 1) >> 3
    behind: cython.int = 8 * (last + 1) - field.offset - field.width  # bits of the last byte that are not the field's
    value: uint64_t = 0
    byte: uint64_t = 0
    while at < last:
        value = value << 8 | (window.data[at - window.start] if at < window.stop else 0)
        at += 1
    byte = window.data[at - window.start] if at < window.stop else 0
    return cut(value << (8 - behind) | byte >> behind, field)


@cython.cfunc
@cython.exceptval(check=False)
def write_field(window: cython.pointer[Window], field: cython.pointer[Field], value: uint64_t) -> cython.void:
    """From the last byte to the first; all lie in the window."""
    at: int64_t = ((field.offset + field.width - 1) >> 3) - window.start
    behind: cython.int = 8 * (at + window.start + 1) - field.offset - field.width
    rest: cython.int = field.width
    while rest > 0:
        taken: cython.int = min(8 - behind, rest)
        mask: cython.int = ((1 << taken) - 1) << behind
        window.data[at] = window.data[at] & ~mask | cython.cast(cython.int, value << behind & 0xFF) & mask
        value >>= taken
        rest -= taken
        behind = 0
        at -= 1


@cython.cfunc
@cython.exceptval(check=False)
def new_value(old: uint64_t, field: cython.pointer[Field], new: cython.pointer[uint64_t]) -> cython.bint:
    """What SET or INCRBY stores, by the rules of OVERFLOW; False if nothing."""
    number: cython.longlong = field.operand
    high: int64_t = C_INT64_MAX >> (64 - field.width if field.is_signed else 63 - field.width)
    low: int64_t = -high - 1 if field.is_signed else 0
    beyond: cython.int = 0  # -1, 1: below or above the range
    if field.operation == INCRBY and add_overflows(cython.cast(int64_t, old), field.operand, cython.address(number)):
        beyond = 1 if field.operand > 0 else -1
    elif number > high:
        beyond = 1
    elif number < low:
        beyond = -1
    new[0] = cut(cython.cast(uint64_t, number), field)
    if beyond == 0 or field.overflow == WRAP:
        return True
    if field.overflow == FAIL:
        return False
    if field.operation == SET:
        # Redis compares 64-bit numbers, and these have wrapped around.
        distance: uint64_t = cython.cast(uint64_t, high) - cython.cast(uint64_t, number)
        if not field.is_signed or (number < high and distance > cython.cast(uint64_t, C_INT64_MAX)):
            beyond = 1
    new[0] = high if beyond > 0 else low
    return True
