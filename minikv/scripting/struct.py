# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# ruff: noqa: B007, F821
"""The library `struct`: C's numbers and strings in bytes, as Redis offers it to scripts.

< > ! n    the order of bytes, the alignment          x    a padding byte
b B h H l L T  i n  I n    integers                   f d  floating point numbers
c n        n bytes (0: the length that was read last, or all)     s    bytes up to a zero byte
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.string import memchr, memcpy
from cython.cimports.minikv.scripting.lua import (
    LUA_NUMBER,
    LUA_STRING,
    lua_checkstack,
    lua_createtable,
    lua_gettop,
    lua_pushlstring,
    lua_pushnumber,
    lua_settop,
    lua_State,
    lua_tolstring,
    lua_tonumber,
    lua_type,
)
from cython.cimports.minikv.scripting.stack import add, bad_argument, is_number, raise_where, set_field, wrong_argument
from cython.cimports.minikv.scripting.values import bytes_at

MAX_INTEGER = cython.declare(cython.longlong, 32)
MAX_ALIGN = cython.declare(cython.longlong, 8)
MAX_OUTPUT = cython.declare(cython.longlong, 256 * 1024 * 1024)
SIZES = {98: 1, 66: 1, 84: 8, 104: 2, 72: 2, 108: 8, 76: 8, 102: 4, 100: 8, 120: 1}  # b B T h H l L f d x


@cython.cfunc
@cython.exceptval(-1, check=False)
def add_struct(L: cython.pointer[lua_State]) -> cython.int:
    """The library, as a field of the table on top."""
    lua_createtable(L, 0, 4)
    add(L, b"pack", pack_body)
    add(L, b"unpack", unpack_body)
    add(L, b"size", size_body)
    return set_field(L, b"struct")


@cython.cclass
class Layout:
    """A format, option by option. size: of the option's bytes. error: what is wrong with it."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail(self, text: bytes) -> cython.bint:
        self.error = text
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def count(self, otherwise: cython.longlong) -> cython.longlong:
        """The number that stands next."""
        begin: cython.Py_ssize_t = self.at
        number: cython.longlong = 0
        digit: cython.int
        while self.at < len(self.text) and 48 <= self.text[self.at] <= 57:
            digit = self.text[self.at] - 48
            if number > (2147483647 - digit) // 10:
                self.error = b"integral size overflow"
                return 0
            number = number * 10 + digit
            self.at += 1
        return otherwise if self.at == begin else number

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def next(self) -> cython.bint:
        """Read an option; False at the end, and with an error."""
        while self.at < len(self.text) and self.text[self.at] != 0:
            self.option = self.text[self.at]
            self.at += 1
            self.size = 0
            if self.option == 105 or self.option == 73:
                self.size = self.count(4)
                if self.size > MAX_INTEGER and self.error is None:
                    return self.fail(b"integral size %d is larger than limit of %d" % (self.size, MAX_INTEGER))
                return self.error is None
            if self.option == 99:
                self.size = self.count(1)
                return self.error is None
            found = SIZES.get(self.option)
            if found is not None:
                self.size = found
                return True
            if self.option == 115:
                return True
            if self.name == b"size" and (48 <= self.option <= 57 or 97 <= self.option | 32 <= 122):
                continue
            if not self.control():
                return False
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def control(self) -> cython.bint:
        """An option that stands for no bytes."""
        number: cython.longlong
        if self.option == 60:
            self.big_endian = False
        elif self.option == 62:
            self.big_endian = True
        elif self.option == 33:
            number = self.count(MAX_ALIGN)
            if self.error is not None:
                return False
            if number == 0 or number & (number - 1):
                return self.fail(b"alignment %d is not a power of 2" % number)
            self.align = number
        elif self.option != 32:
            return self.fail(wrong_argument(1, self.name, b"invalid format option '%c'" % self.option))
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def padding(self, position: cython.longlong) -> cython.longlong:
        """Bytes before the option's."""
        size: cython.longlong = self.size
        if size == 0 or self.option == 99:
            return 0
        size = min(size, self.align)
        return (size - (position & (size - 1))) & (size - 1)


@cython.cfunc
def layout_of(L: cython.pointer[lua_State], name: bytes) -> Layout:
    layout: Layout = Layout()
    layout.L = L
    layout.name = name
    layout.align = 1
    layout.text = bytes_at(L, 1)
    return layout


@cython.cfunc
@cython.exceptval(check=False)
def is_text(L: cython.pointer[lua_State], index: cython.int) -> cython.bint:
    return lua_gettop(L) >= index and (lua_type(L, index) == LUA_STRING or lua_type(L, index) == LUA_NUMBER)


@cython.cfunc
@cython.exceptval(check=False)
def pack_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    if not is_text(L, 1):
        return raise_where(L, bad_argument(L, 1, b"pack", b"string"))
    try:
        layout: Layout = layout_of(L, b"pack")
        out: bytearray = bytearray()
        error: bytes = pack(L, layout, out)
        if error is not None:
            return raise_where(L, error)
        lua_pushlstring(L, out, len(out))
        return 1
    except MemoryError:
        return raise_where(L, b"not enough memory")


@cython.cfunc
def pack(L: cython.pointer[lua_State], layout: Layout, out: bytearray) -> bytes:
    """Write all arguments; an error, or None."""
    index: cython.int = 2
    number: cython.double = 0
    short: cython.float
    length: cython.size_t = 0
    text: cython.p_const_char
    raw: cython.char[8]
    piece: bytes
    while layout.next():
        out += bytes(layout.padding(len(out)))
        if len(out) + layout.size > MAX_OUTPUT:
            return b"not enough memory"
        if layout.option == 120:
            out.append(0)
            continue
        if layout.option == 99 or layout.option == 115:
            if not is_text(L, index):
                return missing(L, index, b"string")
            text = lua_tolstring(L, index, cython.address(length))
            if layout.size == 0:
                layout.size = length
            if cython.cast(cython.longlong, length) < layout.size:
                return wrong_argument(index + 1, b"pack", b"string too short")
            out += text[: layout.size]
            if layout.option == 115:
                out.append(0)
        elif not is_number(L, index, cython.address(number)):
            return missing(L, index, b"number")
        elif layout.option == 102 or layout.option == 100:
            if layout.option == 102:
                short = cython.cast(cython.float, number)
                memcpy(raw, cython.address(short), 4)
            else:
                memcpy(raw, cython.address(number), 8)
            piece = PyBytes_FromStringAndSize(raw, layout.size)
            out += piece[::-1] if layout.big_endian else piece
        else:
            put_integer(out, number, layout.size, layout.big_endian)
        index += 1
    return layout.error


@cython.cfunc
def missing(L: cython.pointer[lua_State], index: cython.int, expected: bytes) -> bytes:
    """The error for an argument of pack; one that is not there counts as nil."""
    if index > lua_gettop(L):
        return wrong_argument(index, b"pack", expected + b" expected, got nil")
    return bad_argument(L, index, b"pack", expected)


@cython.cfunc
@cython.exceptval(-1, check=False)
def put_integer(out: bytearray, number: cython.double, size: cython.longlong, big_endian: cython.bint) -> cython.int:
    """The low bytes of a number; what goes beyond 64 bits is zero."""
    bits: uint64_t
    i: cython.longlong
    bits = cython.cast(uint64_t, number)
    if number < 0:
        bits = cython.cast(uint64_t, cython.cast(int64_t, number))
    piece: bytearray = bytearray()
    for i in range(size):
        piece.append(bits & 0xFF)
        bits >>= 8
    if big_endian:
        piece.reverse()
    out += piece
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def unpack_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """The values, and the position behind the last."""
    start: cython.double = 1
    error: bytes
    if not is_text(L, 1):
        return raise_where(L, bad_argument(L, 1, b"unpack", b"string"))
    if not is_text(L, 2):
        return raise_where(L, bad_argument(L, 2, b"unpack", b"string"))
    if lua_gettop(L) > 2 and lua_type(L, 3) != 0 and not is_number(L, 3, cython.address(start)):
        return raise_where(L, bad_argument(L, 3, b"unpack", b"number"))
    if start < 1:
        error = wrong_argument(3, b"unpack", b"offset must be 1 or greater")
        return raise_where(L, error if start > -1 else wrong_argument(2, b"unpack", b"data string too short"))
    try:
        layout: Layout = layout_of(L, b"unpack")
        lua_settop(L, 2)
        error = unpack(L, layout, cython.cast(cython.longlong, start) - 1)
        if error is not None:
            return raise_where(L, error)
        return lua_gettop(L) - 2
    except MemoryError:
        return raise_where(L, b"not enough memory")


@cython.cfunc
def unpack(L: cython.pointer[lua_State], layout: Layout, position: cython.longlong) -> bytes:
    """Push all values; an error, or None."""
    length: cython.size_t = 0
    data: cython.p_const_char = lua_tolstring(L, 2, cython.address(length))
    end: cython.p_const_char
    piece: bytes
    raw: cython.p_const_char
    short: cython.float = 0
    number: cython.double = 0
    while layout.next():
        position += layout.padding(position)
        if (
            position > cython.cast(cython.longlong, length)
            or layout.size > cython.cast(cython.longlong, length) - position
        ):
            return wrong_argument(2, b"unpack", b"data string too short")
        if not lua_checkstack(L, 2):
            return b"too many results"
        if layout.option == 99:
            if layout.size == 0:
                if lua_gettop(L) == 2 or lua_type(L, -1) != LUA_NUMBER:
                    return b"format 'c0' needs a previous size"
                number = lua_tonumber(L, -1)
                lua_settop(L, -2)
                if number < 0 or number > cython.cast(cython.double, cython.cast(cython.longlong, length) - position):
                    return wrong_argument(2, b"unpack", b"data string too short")
                layout.size = cython.cast(cython.longlong, number)
            lua_pushlstring(L, data + position, layout.size)
        elif layout.option == 115:
            end = cython.cast(cython.p_const_char, memchr(data + position, 0, length - position))
            if end == cython.NULL:
                return b"unfinished string in data"
            layout.size = end - (data + position) + 1
            lua_pushlstring(L, data + position, layout.size - 1)
        elif layout.option == 102 or layout.option == 100:
            piece = PyBytes_FromStringAndSize(data + position, layout.size)
            if layout.big_endian:
                piece = piece[::-1]
            raw = piece
            if layout.option == 102:
                memcpy(cython.address(short), raw, 4)
                number = short
            else:
                memcpy(cython.address(number), raw, 8)
            lua_pushnumber(L, number)
        elif layout.option != 120:
            # Small letters are signed.
            lua_pushnumber(L, get_integer(data + position, layout.size, layout.big_endian, layout.option >= 97))
        position += layout.size
    lua_pushnumber(L, cython.cast(cython.double, position + 1))
    return layout.error


@cython.cfunc
@cython.exceptval(check=False)
def get_integer(
    data: cython.p_const_char, size: cython.longlong, big_endian: cython.bint, signed: cython.bint
) -> cython.double:
    bits: uint64_t = 0
    sign: uint64_t
    i: cython.longlong
    for i in range(size):
        bits = bits << 8 | cython.cast(cython.uchar, data[i if big_endian else size - 1 - i])
    if not signed:
        return cython.cast(cython.double, bits)
    if 0 < size <= 8:
        sign = cython.cast(uint64_t, -1) << (size * 8 - 1)
        if bits & sign:
            bits |= sign
    return cython.cast(cython.double, cython.cast(int64_t, bits))


@cython.cfunc
@cython.exceptval(check=False)
def size_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """How many bytes a format without strings of unknown length stands for."""
    if not is_text(L, 1):
        return raise_where(L, bad_argument(L, 1, b"size", b"string"))
    position: cython.longlong = 0
    layout: Layout = layout_of(L, b"size")
    while layout.next():
        if layout.option == 115:
            return raise_where(L, wrong_argument(1, b"size", b"option 's' has no fixed size"))
        if layout.option == 99 and layout.size == 0:
            return raise_where(L, wrong_argument(1, b"size", b"option 'c0' has no fixed size"))
        position += layout.padding(position) + layout.size
    error: bytes = layout.error
    if error is not None:
        return raise_where(L, error)
    lua_pushnumber(L, cython.cast(cython.double, position))
    return 1
