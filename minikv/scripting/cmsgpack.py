# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: B007
"""The library `cmsgpack`: MessagePack to Lua and back, as Redis offers it to scripts.

A table is an array if its keys are 1 to n, else a map; below MAX_NESTING levels it is written as nil. Numbers without a
fraction are integers, in the shortest form.
"""

import cython
from cython.cimports.libc.math import floor
from cython.cimports.libc.stdint import int8_t, int16_t, int32_t, int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.scripting.lua import (
    LUA_BOOLEAN,
    LUA_NIL,
    LUA_NUMBER,
    LUA_RAISE,
    LUA_STRING,
    LUA_TABLE,
    lua_checkstack,
    lua_createtable,
    lua_gettop,
    lua_insert,
    lua_next,
    lua_pushboolean,
    lua_pushlstring,
    lua_pushnil,
    lua_pushnumber,
    lua_pushvalue,
    lua_rawgeti,
    lua_rawset,
    lua_rawseti,
    lua_settop,
    lua_State,
    lua_toboolean,
    lua_tolstring,
    lua_tonumber,
    lua_type,
    minikv_lua,
    minikv_lua_of,
)
from cython.cimports.minikv.scripting.stack import add, bad_argument, is_number, raise_where, set_field, wrong_argument
from cython.cimports.minikv.scripting.values import push_bytes

MAX_NESTING = cython.declare(cython.int, 16)
MAX_OUTPUT = cython.declare(cython.Py_ssize_t, 128 * 1024 * 1024)
MISSING = b"Missing bytes in input."
BAD_FORMAT = b"Bad data format in input."
# Levels of arrays and maps that are read.
MAX_DEPTH = cython.declare(cython.int, 1500)


@cython.cfunc
@cython.exceptval(-1, check=False)
def add_cmsgpack(L: cython.pointer[lua_State]) -> cython.int:
    """The library, as a field of the table on top."""
    lua_createtable(L, 0, 8)
    add(L, b"pack", pack_body)
    add(L, b"unpack", unpack_body)
    add(L, b"unpack_one", unpack_one_body)
    add(L, b"unpack_limit", unpack_limit_body)
    for name, text in (
        (b"_NAME", b"cmsgpack"),
        (b"_VERSION", b"lua-cmsgpack 0.4.0"),
        (b"_COPYRIGHT", b"Copyright (C) 2012, Salvatore Sanfilippo"),
        (b"_DESCRIPTION", b"MessagePack C implementation for Lua"),
    ):
        push_bytes(L, text)
        set_field(L, name)
    return set_field(L, b"cmsgpack")


# -- packing -----------------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def pack_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """All arguments, one behind the other."""
    argc: cython.int = lua_gettop(L)
    i: cython.int
    if argc == 0:
        return raise_where(L, wrong_argument(0, b"pack", b"MessagePack pack needs input."))
    if not lua_checkstack(L, argc + 16):
        return raise_where(L, wrong_argument(0, b"pack", b"Too many arguments for MessagePack pack."))
    try:
        packer: Packer = Packer()
        packer.L = L
        packer.out = bytearray()
        for i in range(1, argc + 1):
            lua_pushvalue(L, i)
            if not packer.write(0):
                return raise_where(L, b"not enough memory")
            lua_settop(L, argc)
        lua_pushlstring(L, packer.out, len(packer.out))
        return 1
    except MemoryError:
        return raise_where(L, b"not enough memory")


@cython.cclass
class Packer:
    """Writes the value on top of the stack, which stays."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write(self, level: cython.int) -> cython.bint:
        L: cython.pointer[lua_State] = self.L
        kind: cython.int = lua_type(L, -1)
        if len(self.out) > MAX_OUTPUT:
            return False
        if kind == LUA_TABLE and level == MAX_NESTING:
            kind = LUA_NIL
        if kind == LUA_STRING:
            self.write_string()
        elif kind == LUA_BOOLEAN:
            self.out.append(0xC3 if lua_toboolean(L, -1) else 0xC2)
        elif kind == LUA_NUMBER:
            self.write_number(lua_tonumber(L, -1))
        elif kind == LUA_TABLE:
            return self.write_table(level)
        else:
            self.out.append(0xC0)
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_head(self, kind: cython.int, value: cython.ulonglong, size: cython.int) -> cython.int:
        """A type byte and a number of `size` bytes behind it, the highest first."""
        self.out.append(kind)
        while size > 0:
            size -= 1
            self.out.append((value >> (8 * size)) & 0xFF)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_number(self, number: cython.double) -> cython.int:
        if floor(number) == number and -9223372036854775808.0 <= number < 9223372036854775808.0:
            return self.write_integer(cython.cast(cython.longlong, number))
        short: cython.float = cython.cast(cython.float, number)
        bits32: uint32_t = 0
        bits64: uint64_t = 0
        if cython.cast(cython.double, short) == number:
            memcpy(cython.address(bits32), cython.address(short), 4)
            return self.write_head(0xCA, bits32, 4)
        memcpy(cython.address(bits64), cython.address(number), 8)
        return self.write_head(0xCB, bits64, 8)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_integer(self, number: cython.longlong) -> cython.int:
        bits: cython.ulonglong = cython.cast(cython.ulonglong, number)
        if number >= 0:
            if number <= 127:
                self.out.append(number)
            elif number <= 0xFF:
                self.write_head(0xCC, bits, 1)
            elif number <= 0xFFFF:
                self.write_head(0xCD, bits, 2)
            elif number <= 0xFFFFFFFF:
                self.write_head(0xCE, bits, 4)
            else:
                self.write_head(0xCF, bits, 8)
        elif number >= -32:
            self.out.append(bits & 0xFF)
        elif number >= -128:
            self.write_head(0xD0, bits, 1)
        elif number >= -32768:
            self.write_head(0xD1, bits, 2)
        elif number >= -2147483648:
            self.write_head(0xD2, bits, 4)
        else:
            self.write_head(0xD3, bits, 8)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_string(self) -> cython.int:
        length: cython.size_t = 0
        text: cython.p_const_char = lua_tolstring(self.L, -1, cython.address(length))
        if length < 32:
            self.out.append(0xA0 | length)
        elif length <= 0xFF:
            self.write_head(0xD9, length, 1)
        elif length <= 0xFFFF:
            self.write_head(0xDA, length, 2)
        else:
            self.write_head(0xDB, length, 4)
        self.out += text[:length]
        return 0

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def array_length(self) -> cython.Py_ssize_t:
        """The length of an array; -1 for a map."""
        L: cython.pointer[lua_State] = self.L
        count: cython.Py_ssize_t = 0
        most: cython.double = 0
        number: cython.double
        lua_pushnil(L)
        while lua_next(L, -2):
            lua_settop(L, -2)
            number = lua_tonumber(L, -1) if lua_type(L, -1) == LUA_NUMBER else 0
            if number <= 0 or floor(number) != number:
                lua_settop(L, -2)
                return -1
            count += 1
            most = max(most, number)
        return count if most == count else -1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_table(self, level: cython.int) -> cython.bint:
        L: cython.pointer[lua_State] = self.L
        i: cython.Py_ssize_t
        count: cython.Py_ssize_t = self.array_length()
        if not lua_checkstack(L, 6):
            return False
        if count >= 0:
            if count < 16:
                self.out.append(0x90 | count)
            elif count <= 0xFFFF:
                self.write_head(0xDC, count, 2)
            else:
                self.write_head(0xDD, count, 4)
            for i in range(1, count + 1):
                lua_rawgeti(L, -1, i)
                if not self.write(level + 1):
                    return False
                lua_settop(L, -2)
            return True
        count = 0
        lua_pushnil(L)
        while lua_next(L, -2):
            lua_settop(L, -2)
            count += 1
        if count < 16:
            self.out.append(0x80 | count)
        elif count <= 0xFFFF:
            self.write_head(0xDE, count, 2)
        else:
            self.write_head(0xDF, count, 4)
        lua_pushnil(L)
        while lua_next(L, -2):
            lua_pushvalue(L, -2)
            if not self.write(level + 1):
                return False
            lua_settop(L, -2)
            if not self.write(level + 1):
                return False
            lua_settop(L, -2)
        return True


# -- unpacking ---------------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def unpack_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """All values of a string."""
    return unpack(L, 0, 0, b"unpack")


@cython.cfunc
@cython.exceptval(check=False)
def unpack_one_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """The offset behind the first value, -1 at the end, and the value."""
    offset: cython.double = 0
    if lua_gettop(L) > 1 and not is_number(L, 2, cython.address(offset)):
        return raise_where(L, bad_argument(L, 2, b"unpack_one", b"number"))
    return unpack(L, 1, offset, b"unpack_one")


@cython.cfunc
@cython.exceptval(check=False)
def unpack_limit_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """The same for several values."""
    limit: cython.double = 0
    offset: cython.double = 0
    if not is_number(L, 2, cython.address(limit)):
        return raise_where(L, bad_argument(L, 2, b"unpack_limit", b"number"))
    if lua_gettop(L) > 2 and not is_number(L, 3, cython.address(offset)):
        return raise_where(L, bad_argument(L, 3, b"unpack_limit", b"number"))
    return unpack(L, cython.cast(cython.int, limit), offset, b"unpack_limit")


@cython.cfunc
@cython.exceptval(check=False)
def unpack(L: cython.pointer[lua_State], limit: cython.int, offset: cython.double, name: bytes) -> cython.int:
    """At most `limit` values from an offset on; 0 for both: all."""
    length: cython.size_t = 0
    if lua_type(L, 1) != LUA_STRING and lua_type(L, 1) != LUA_NUMBER:
        return raise_where(L, bad_argument(L, 1, name, b"string"))
    all_: cython.bint = limit == 0 and offset == 0
    count: cython.int = 0
    start: cython.longlong = cython.cast(cython.longlong, offset)
    try:
        reader: Unpacker = Unpacker()
        reader.L = L
        reader.data = cython.cast(cython.p_const_uchar, lua_tolstring(L, 1, cython.address(length)))
        reader.length = length
        if start < 0 or limit < 0:
            return raise_where(L, b"Invalid request to unpack with offset of %d and limit of %d." % (start, length))
        if start > cython.cast(cython.longlong, length):
            return raise_where(L, b"Start offset %d greater than input length %d." % (start, length))
        reader.at = start
        if all_:
            limit = 2147483647
        while reader.at < length and count < limit:
            if not lua_checkstack(L, 4):
                return raise_where(L, b"too many results to unpack")
            if not reader.value(0):
                error: bytes = reader.error
                if not error.startswith(b"table index"):
                    return raise_where(L, error)
                push_bytes(L, error)
                return LUA_RAISE
            count += 1
        if not all_:
            lua_pushnumber(L, -1 if reader.at >= length else cython.cast(cython.double, reader.at))
            lua_insert(L, -1 - count)
            count += 1
        return count
    except MemoryError:
        return raise_where(L, b"not enough memory")


@cython.cclass
class Unpacker:
    """Pushes values of MessagePack. error: what stopped it."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def need(self, size: cython.size_t) -> cython.bint:
        """Whether this many bytes are left."""
        if self.length - self.at < size:
            self.error = MISSING
            return False
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def number(self, size: cython.int) -> cython.ulonglong:
        """The next `size` bytes as a number, the highest first."""
        value: cython.ulonglong = 0
        while size > 0:
            size -= 1
            value = value << 8 | self.data[self.at]
            self.at += 1
        return value

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def push_string(self, size: cython.size_t) -> cython.bint:
        if not self.need(size):
            return False
        lua_pushlstring(self.L, cython.cast(cython.p_const_char, self.data + self.at), size)
        self.at += size
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def push_array(self, count: cython.size_t, level: cython.int) -> cython.bint:
        i: cython.size_t
        lua_createtable(self.L, 0, 0)
        for i in range(1, count + 1):
            if not self.value(level + 1):
                return False
            lua_rawseti(self.L, -2, i)
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def push_map(self, count: cython.size_t, level: cython.int) -> cython.bint:
        i: cython.size_t
        number: cython.double
        lua_createtable(self.L, 0, 0)
        for i in range(count):
            if not self.value(level + 1) or not self.value(level + 1):
                return False
            number = lua_tonumber(self.L, -2) if lua_type(self.L, -2) == LUA_NUMBER else 0
            if lua_type(self.L, -2) == LUA_NIL or number != number:  # no keys in Lua
                self.error = b"table index is nil" if number == number else b"table index is NaN"
                return False
            lua_rawset(self.L, -3)
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def value(self, level: cython.int) -> cython.bint:
        """Push the next value."""
        L: cython.pointer[lua_State] = self.L
        memory: cython.pointer[minikv_lua] = minikv_lua_of(L)
        short: cython.float = 0
        double: cython.double = 0
        bits32: uint32_t
        bits64: uint64_t
        size: cython.int
        if not self.need(1):
            return False
        if level > MAX_DEPTH or not lua_checkstack(L, 4):
            self.error = BAD_FORMAT
            return False
        if memory.used > memory.limit:
            self.error = b"not enough memory"
            return False
        kind: cython.int = self.data[self.at]
        self.at += 1
        if kind < 0x80:
            lua_pushnumber(L, kind)
        elif kind < 0x90:
            return self.push_map(kind & 15, level)
        elif kind < 0xA0:
            return self.push_array(kind & 15, level)
        elif kind < 0xC0:
            return self.push_string(kind & 31)
        elif kind >= 0xE0:
            lua_pushnumber(L, kind - 256)
        elif kind == 0xC0:
            lua_pushnil(L)
        elif kind == 0xC2 or kind == 0xC3:
            lua_pushboolean(L, kind & 1)
        elif 0xD9 <= kind <= 0xDB:
            size = 1 << (kind - 0xD9)
            return self.need(size) and self.push_string(self.number(size))
        elif kind == 0xCA:
            if not self.need(4):
                return False
            bits32 = self.number(4)
            memcpy(cython.address(short), cython.address(bits32), 4)
            lua_pushnumber(L, short)
        elif kind == 0xCB:
            if not self.need(8):
                return False
            bits64 = self.number(8)
            memcpy(cython.address(double), cython.address(bits64), 8)
            lua_pushnumber(L, double)
        elif 0xCC <= kind <= 0xCF:
            size = 1 << (kind - 0xCC)
            if not self.need(size):
                return False
            bits64 = self.number(size)  # signed where it has 64 bits, as in Redis
            lua_pushnumber(L, cython.cast(cython.double, cython.cast(int64_t, bits64)))
        elif 0xD0 <= kind <= 0xD3:
            size = 1 << (kind - 0xD0)
            if not self.need(size):
                return False
            bits64 = self.number(size)
            if size == 1:
                lua_pushnumber(L, cython.cast(int8_t, bits64))
            elif size == 2:
                lua_pushnumber(L, cython.cast(int16_t, bits64))
            elif size == 4:
                lua_pushnumber(L, cython.cast(int32_t, bits64))
            else:
                lua_pushnumber(L, cython.cast(cython.double, cython.cast(int64_t, bits64)))
        elif kind == 0xDC or kind == 0xDD:
            size = 2 if kind == 0xDC else 4
            return self.need(size) and self.push_array(self.number(size), level)
        elif kind == 0xDE or kind == 0xDF:
            size = 2 if kind == 0xDE else 4
            return self.need(size) and self.push_map(self.number(size), level)
        else:
            self.error = BAD_FORMAT
            return False
        return True
