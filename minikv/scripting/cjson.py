# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""The library `cjson`: JSON to Lua and back, as Redis offers it to scripts.

A table is an array if its keys are positive integers, few of them missing; else an object. Nesting, the length of what
is written and the memory of what is read are limited.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.libc.math import floor, isinf, isnan
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.stdlib import strtod
from cython.cimports.libc.string import memcmp
from cython.cimports.minikv.scripting.lua import (
    LUA_BOOLEAN,
    LUA_LIGHTUSERDATA,
    LUA_NIL,
    LUA_NUMBER,
    LUA_STRING,
    LUA_TABLE,
    LUA_UPVALUE_2,
    lua_checkstack,
    lua_createtable,
    lua_gettop,
    lua_isnumber,
    lua_newuserdata,
    lua_next,
    lua_pushboolean,
    lua_pushlightuserdata,
    lua_pushlstring,
    lua_pushnil,
    lua_pushnumber,
    lua_rawgeti,
    lua_rawset,
    lua_rawseti,
    lua_settop,
    lua_State,
    lua_toboolean,
    lua_tolstring,
    lua_tonumber,
    lua_touserdata,
    lua_type,
    lua_typename,
    minikv_lua,
    minikv_lua_of,
)
from cython.cimports.minikv.scripting.stack import add, add_with, bad_argument, raise_where, set_field, wrong_argument
from cython.cimports.minikv.scripting.values import bytes_at, push_bytes

# A table that holds another many times may be longer in JSON than memory.
MAX_OUTPUT = cython.declare(cython.Py_ssize_t, 128 * 1024 * 1024)

# Kinds of tokens.
OBJECT = cython.declare(cython.int, 0)
OBJECT_END = cython.declare(cython.int, 1)
ARRAY = cython.declare(cython.int, 2)
ARRAY_END = cython.declare(cython.int, 3)
STRING = cython.declare(cython.int, 4)
NUMBER = cython.declare(cython.int, 5)
BOOLEAN = cython.declare(cython.int, 6)
NULL = cython.declare(cython.int, 7)
COLON = cython.declare(cython.int, 8)
COMMA = cython.declare(cython.int, 9)
END = cython.declare(cython.int, 10)
ERROR = cython.declare(cython.int, 11)
TOKEN_NAMES = (
    b"T_OBJ_BEGIN",
    b"T_OBJ_END",
    b"T_ARR_BEGIN",
    b"T_ARR_END",
    b"T_STRING",
    b"T_NUMBER",
    b"T_BOOLEAN",
    b"T_NULL",
    b"T_COLON",
    b"T_COMMA",
    b"T_END",
)
PUNCTUATION = {123: 0, 125: 1, 91: 2, 93: 3, 58: 8, 44: 9}
SHORT_ESCAPES = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 34: b'\\"', 47: b"\\/", 92: b"\\\\"}
ESCAPES = [SHORT_ESCAPES.get(byte, b"\\u%04x" % byte if byte < 32 or byte == 127 else b"") for byte in range(256)]
PLAIN = bytes(not escape for escape in ESCAPES)
UNESCAPES = {34: 34, 92: 92, 47: 47, 98: 8, 102: 12, 110: 10, 114: 13, 116: 9}


@cython.cfunc
@cython.exceptval(-1, check=False)
def add_cjson(L: cython.pointer[lua_State]) -> cython.int:
    """The library, as a field of the table on top."""
    push_library(L)
    return set_field(L, b"cjson")


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_library(L: cython.pointer[lua_State]) -> cython.int:
    """A library with settings of its own, which its functions keep alive."""
    lua_createtable(L, 0, 16)
    settings: cython.pointer[JsonSettings] = cython.cast(
        cython.pointer[JsonSettings], lua_newuserdata(L, cython.sizeof(JsonSettings))
    )
    settings.encode_depth = settings.decode_depth = 1000
    settings.precision = 14
    settings.sparse_ratio = 2
    settings.sparse_safe = 10
    settings.decode_invalid = settings.keep_buffer = True
    settings.sparse_convert = False
    settings.encode_invalid = 0
    add_with(L, b"encode", encode_body)
    add_with(L, b"decode", decode_body)
    add_with(L, b"encode_sparse_array", sparse_array_body)
    add_with(L, b"encode_max_depth", encode_depth_body)
    add_with(L, b"decode_max_depth", decode_depth_body)
    add_with(L, b"encode_number_precision", precision_body)
    add_with(L, b"encode_keep_buffer", keep_buffer_body)
    add_with(L, b"encode_invalid_numbers", encode_invalid_body)
    add_with(L, b"decode_invalid_numbers", decode_invalid_body)
    lua_settop(L, -2)
    add(L, b"new", new_body)
    lua_pushlightuserdata(L, cython.NULL)
    set_field(L, b"null")
    push_bytes(L, b"cjson")
    set_field(L, b"_NAME")
    push_bytes(L, b"2.1.0")
    set_field(L, b"_VERSION")
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def settings_of(L: cython.pointer[lua_State]) -> cython.pointer[JsonSettings]:
    """Those of the library whose function runs."""
    return cython.cast(cython.pointer[JsonSettings], lua_touserdata(L, LUA_UPVALUE_2))


# -- encoding ----------------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def encode_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    if lua_gettop(L) != 1:
        return raise_where(L, wrong_argument(1, b"encode", b"expected 1 argument"))
    try:
        writer: Writer = Writer()
        writer.L = L
        writer.settings = settings_of(L)
        writer.out = bytearray()
        if not writer.write(0):
            error: bytes = writer.error
            return raise_where(L, error)
        lua_pushlstring(L, writer.out, len(writer.out))
        return 1
    except MemoryError:
        return raise_where(L, b"not enough memory")


@cython.cclass
class Writer:
    """Writes the value on top of the stack, which stays."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail(self, text: bytes) -> cython.bint:
        self.error = text
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write(self, depth: cython.int) -> cython.bint:
        L: cython.pointer[lua_State] = self.L
        kind: cython.int = lua_type(L, -1)
        if kind == LUA_STRING:
            return self.write_string(-1)
        if kind == LUA_NUMBER:
            return self.write_number(lua_tonumber(L, -1))
        if kind == LUA_BOOLEAN:
            self.out += b"true" if lua_toboolean(L, -1) else b"false"
        elif kind == LUA_TABLE:
            return self.write_table(depth + 1)
        elif kind == LUA_NIL or (kind == LUA_LIGHTUSERDATA and lua_touserdata(L, -1) == cython.NULL):
            self.out += b"null"
        else:
            return self.fail(b"Cannot serialise %s: type not supported" % lua_typename(L, kind))
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_number(self, number: cython.double) -> cython.bint:
        text: cython.char[40]
        invalid: cython.int = self.settings.encode_invalid
        if isinf(number) or isnan(number):
            if invalid == 0:
                return self.fail(b"Cannot serialise number: must not be NaN or Inf")
            if invalid == 2:
                self.out += b"null"
                return True
            if isnan(number):
                self.out += b"nan"
                return True
        self.out += text[: snprintf(text, 40, b"%.*g", self.settings.precision, number)]
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_string(self, index: cython.int) -> cython.bint:
        length: cython.size_t = 0
        text: cython.p_const_char = lua_tolstring(self.L, index, cython.address(length))
        plain: cython.p_const_char = PLAIN
        begin: cython.size_t = 0
        at: cython.size_t = 0
        self.out += b'"'
        while at < length:
            if not plain[cython.cast(cython.uchar, text[at])]:
                self.out += text[begin:at]
                self.out += ESCAPES[cython.cast(cython.uchar, text[at])]
                begin = at + 1
            at += 1
        self.out += text[begin:length]
        self.out += b'"'
        if len(self.out) > MAX_OUTPUT:
            return self.fail(b"not enough memory")
        return True

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def array_length(self) -> cython.int:
        """The length of an array; -1 for an object."""
        L: cython.pointer[lua_State] = self.L
        settings: cython.pointer[JsonSettings] = self.settings
        most: cython.double = 0
        count: cython.longlong = 0
        number: cython.double
        lua_pushnil(L)
        while lua_next(L, -2):
            lua_settop(L, -2)
            if lua_type(L, -1) == LUA_NUMBER:
                number = lua_tonumber(L, -1)
                if number != 0 and floor(number) == number and number >= 1:
                    most = max(most, number)
                    count += 1
                    continue
            lua_settop(L, -2)
            return -1
        if settings.sparse_ratio > 0 and most > count * settings.sparse_ratio and most > settings.sparse_safe:
            if not settings.sparse_convert:
                self.fail(b"Cannot serialise table: excessively sparse array")
            return -1
        return cython.cast(cython.int, most)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_table(self, depth: cython.int) -> cython.bint:
        L: cython.pointer[lua_State] = self.L
        i: cython.int
        if depth > self.settings.encode_depth or not lua_checkstack(L, 4):
            return self.fail(b"Cannot serialise, excessive nesting (%d)" % depth)
        if len(self.out) > MAX_OUTPUT:
            return self.fail(b"not enough memory")
        length: cython.int = self.array_length()
        if self.error is not None:
            return False
        if length > 0:
            self.out += b"["
            for i in range(1, length + 1):
                if i > 1:
                    self.out += b","
                lua_rawgeti(L, -1, i)
                if not self.write(depth):
                    return False
                lua_settop(L, -2)
                if len(self.out) > MAX_OUTPUT:
                    return self.fail(b"not enough memory")
            self.out += b"]"
            return True
        self.out += b"{"
        first: cython.bint = True
        lua_pushnil(L)
        while lua_next(L, -2):
            if not first:
                self.out += b","
            first = False
            if lua_type(L, -2) == LUA_NUMBER:
                self.out += b'"'
                if not self.write_number(lua_tonumber(L, -2)):
                    return False
                self.out += b'"'
            elif lua_type(L, -2) == LUA_STRING:
                if not self.write_string(-2):
                    return False
            else:
                return self.fail(
                    b"Cannot serialise %s: table key must be a number or string" % lua_typename(L, lua_type(L, -2))
                )
            self.out += b":"
            if not self.write(depth):
                return False
            lua_settop(L, -2)
        self.out += b"}"
        return True


# -- decoding ----------------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def decode_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    if lua_gettop(L) != 1:
        return raise_where(L, wrong_argument(1, b"decode", b"expected 1 argument"))
    if lua_type(L, 1) != LUA_STRING and lua_type(L, 1) != LUA_NUMBER:
        return raise_where(L, bad_argument(L, 1, b"decode", b"string"))
    length: cython.size_t = 0
    try:
        reader: Reader = Reader()
        reader.L = L
        reader.settings = settings_of(L)
        reader.data = lua_tolstring(L, 1, cython.address(length))
        reader.length = length
        if length >= 2 and (reader.data[0] == 0 or reader.data[1] == 0):
            return raise_where(L, b"JSON parser does not support UTF-16 or UTF-32")
        reader.next()
        if reader.value():
            reader.next()
            if reader.kind == END:
                return 1
            reader.expected(b"the end")
        error: bytes = reader.error
        return raise_where(L, error)
    except MemoryError:
        return raise_where(L, b"not enough memory")


@cython.cclass
class Reader:
    """Reads JSON and pushes its values. kind: of the token at token_at, with number or text; error: what stopped it."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def broken(self, text: bytes) -> cython.int:
        """The token cannot be read."""
        self.kind = ERROR
        self.text = text
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def next(self) -> cython.int:
        """Read the next token."""
        at: cython.Py_ssize_t = self.at
        data: cython.p_const_char = self.data
        while data[at] == 32 or data[at] == 9 or data[at] == 10 or data[at] == 13:
            at += 1
        self.token_at = at
        byte: cython.uchar = data[at]
        self.at = at + 1
        if byte == 0:
            self.at = at
            self.kind = END
            return 0
        found = PUNCTUATION.get(byte)
        if found is not None:
            self.kind = found
            return 0
        if byte == 34:
            return self.next_string()
        if byte == 45 or 48 <= byte <= 57:
            if not self.settings.decode_invalid and self.odd_number():
                return self.broken(b"invalid number")
            return self.next_number()
        if memcmp(data + at, b"true", min(4, self.length - at)) == 0 and self.length - at >= 4:
            self.kind = BOOLEAN
            self.number = 1
            self.at = at + 4
            return 0
        if memcmp(data + at, b"false", min(5, self.length - at)) == 0 and self.length - at >= 5:
            self.kind = BOOLEAN
            self.number = 0
            self.at = at + 5
            return 0
        if memcmp(data + at, b"null", min(4, self.length - at)) == 0 and self.length - at >= 4:
            self.kind = NULL
            self.at = at + 4
            return 0
        if (byte == 43 or byte | 32 == 105 or byte | 32 == 110) and self.settings.decode_invalid and self.odd_number():
            return self.next_number()
        return self.broken(b"invalid token")

    @cython.cfunc
    @cython.exceptval(check=False)
    def odd_number(self) -> cython.bint:
        """Whether a number that JSON does not know begins here: hexadecimal, leading zero or plus sign, inf, nan."""
        p: cython.p_const_char = self.data + self.token_at
        if p[0] == 43:
            return True
        if p[0] == 45:
            p += 1
        if p[0] == 48:
            return p[1] | 32 == 120 or 48 <= p[1] <= 57
        if 0 <= p[0] <= 57:
            return False
        first: cython.int = p[0] | 32
        second: cython.int = p[1] | 32 if p[0] else 0
        third: cython.int = p[2] | 32 if p[0] and p[1] else 0
        return (first == 105 and second == 110 and third == 102) or (first == 110 and second == 97 and third == 110)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def next_number(self) -> cython.int:
        end: cython.p_char = cython.NULL
        begin: cython.p_const_char = self.data + self.token_at
        self.number = strtod(begin, cython.address(end))
        if end == begin:
            self.at = self.token_at
            return self.broken(b"invalid number")
        self.kind = NUMBER
        self.at = end - self.data
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def hex4(self, at: cython.Py_ssize_t) -> cython.int:
        """Four hexadecimal digits; -1 if there are none."""
        value: cython.int = 0
        i: cython.Py_ssize_t
        byte: cython.int
        for i in range(at, at + 4):
            byte = self.data[i]  # a zero byte ends the string
            if 48 <= byte <= 57:
                byte -= 48
            elif 97 <= byte | 32 <= 102:
                byte = (byte | 32) - 87
            else:
                return -1
            value = value * 16 + byte
        return value

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def escape(self, at: cython.Py_ssize_t, out: bytearray) -> cython.int:
        """A character as \\uXXXX; the length of the escape, 0 if it is wrong."""
        code: cython.int = self.hex4(at + 2)
        low: cython.int
        length: cython.int = 6
        if code < 0:
            return 0
        if code & 0xF800 == 0xD800:
            if code & 0x400 or self.data[at + 6] != 92 or self.data[at + 7] != 117:
                return 0
            low = self.hex4(at + 8)
            if low < 0 or low & 0xFC00 != 0xDC00:
                return 0
            code = (((code & 0x3FF) << 10) | (low & 0x3FF)) + 0x10000
            length = 12
        out += chr(code).encode()
        return length

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def next_string(self) -> cython.int:
        data: cython.p_const_char = self.data
        at: cython.Py_ssize_t = self.at
        begin: cython.Py_ssize_t = at
        out: bytearray = None
        length: cython.int
        while True:
            if data[at] == 34:
                break
            if data[at] == 0 and at >= self.length:
                self.token_at = at
                self.at = at
                return self.broken(b"unexpected end of string")
            if data[at] == 0:
                self.token_at = at
                self.at = at
                return self.broken(b"unexpected end of string")
            if data[at] != 92:
                at += 1
                continue
            if out is None:
                out = bytearray()
            out += data[begin:at]
            if data[at + 1] == 117:
                length = self.escape(at, out)
                if length == 0:
                    self.token_at = at
                    return self.broken(b"invalid unicode escape code")
                at += length
            else:
                plain = UNESCAPES.get(data[at + 1])
                if plain is None:
                    self.token_at = at
                    return self.broken(b"invalid escape code")
                out.append(plain)
                at += 2
            begin = at
        if out is None:
            self.text = PyBytes_FromStringAndSize(data + begin, at - begin)
        else:
            out += data[begin:at]
            self.text = bytes(out)
        self.kind = STRING
        self.at = at + 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def expected(self, what: bytes) -> cython.bint:
        """Another token was needed."""
        found: bytes = self.text if self.kind == ERROR else TOKEN_NAMES[self.kind]
        self.error = b"Expected %s but found %s at character %d" % (what, found, self.token_at + 1)
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def descend(self) -> cython.bint:
        memory: cython.pointer[minikv_lua] = minikv_lua_of(self.L)
        self.depth += 1
        if self.depth > self.settings.decode_depth or not lua_checkstack(self.L, 4):
            self.error = b"Found too many nested data structures (%d) at character %d" % (self.depth, self.token_at + 1)
            return False
        if memory.used > memory.limit:
            self.error = b"not enough memory"
            return False
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def value(self) -> cython.bint:
        """Push the value that begins with the token."""
        L: cython.pointer[lua_State] = self.L
        kind: cython.int = self.kind
        if kind == STRING:
            push_bytes(L, self.text)
        elif kind == NUMBER:
            lua_pushnumber(L, self.number)
        elif kind == BOOLEAN:
            lua_pushboolean(L, self.number != 0)
        elif kind == NULL:
            lua_pushlightuserdata(L, cython.NULL)
        elif kind == OBJECT:
            return self.object()
        elif kind == ARRAY:
            return self.array()
        else:
            return self.expected(b"value")
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def object(self) -> cython.bint:
        if not self.descend():
            return False
        lua_createtable(self.L, 0, 0)
        self.next()
        if self.kind == OBJECT_END:
            self.depth -= 1
            return True
        while True:
            if self.kind != STRING:
                return self.expected(b"object key string")
            push_bytes(self.L, self.text)
            self.next()
            if self.kind != COLON:
                return self.expected(b"colon")
            self.next()
            if not self.value():
                return False
            lua_rawset(self.L, -3)
            self.next()
            if self.kind == OBJECT_END:
                self.depth -= 1
                return True
            if self.kind != COMMA:
                return self.expected(b"comma or object end")
            self.next()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def array(self) -> cython.bint:
        i: cython.int = 1
        if not self.descend():
            return False
        lua_createtable(self.L, 0, 0)
        self.next()
        if self.kind == ARRAY_END:
            self.depth -= 1
            return True
        while True:
            if not self.value():
                return False
            lua_rawseti(self.L, -2, i)
            self.next()
            if self.kind == ARRAY_END:
                self.depth -= 1
                return True
            if self.kind != COMMA:
                return self.expected(b"comma or array end")
            self.next()
            i += 1


# -- settings ----------------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def boolean_option(L: cython.pointer[lua_State], option: cython.pointer[cython.bint]) -> cython.void:
    """Set the option to the first argument, if there is one."""
    if lua_gettop(L) >= 1 and lua_type(L, 1) != LUA_NIL:
        option[0] = lua_toboolean(L, 1) != 0


@cython.cfunc
@cython.exceptval(check=False)
def integer_option(
    L: cython.pointer[lua_State],
    index: cython.int,
    name: bytes,
    setting: cython.p_int,
    least: cython.int,
    most: cython.int,
) -> cython.bint:
    """Take an argument that may be missing as a setting; False with an error on the stack."""
    if index > lua_gettop(L) or lua_type(L, index) == LUA_NIL:
        return True
    if not lua_isnumber(L, index):
        raise_where(L, bad_argument(L, index, name, b"number"))
        return False
    number: cython.double = lua_tonumber(L, index)
    if not least <= number <= most:
        raise_where(L, wrong_argument(index, name, b"expected integer between %d and %d" % (least, most)))
        return False
    setting[0] = cython.cast(cython.int, number)
    return True


@cython.cfunc
@cython.exceptval(check=False)
def one_integer(
    L: cython.pointer[lua_State], name: bytes, setting: cython.p_int, least: cython.int, most: cython.int
) -> cython.int:
    if lua_gettop(L) > 1:
        return raise_where(L, wrong_argument(2, name, b"found too many arguments"))
    if not integer_option(L, 1, name, setting, least, most):
        return -1
    lua_pushnumber(L, setting[0])
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def encode_depth_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    settings: cython.pointer[JsonSettings] = settings_of(L)
    return one_integer(L, b"encode_max_depth", cython.address(settings.encode_depth), 1, 2147483647)


@cython.cfunc
@cython.exceptval(check=False)
def decode_depth_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    settings: cython.pointer[JsonSettings] = settings_of(L)
    return one_integer(L, b"decode_max_depth", cython.address(settings.decode_depth), 1, 2147483647)


@cython.cfunc
@cython.exceptval(check=False)
def precision_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    settings: cython.pointer[JsonSettings] = settings_of(L)
    return one_integer(L, b"encode_number_precision", cython.address(settings.precision), 1, 14)


@cython.cfunc
@cython.exceptval(check=False)
def sparse_array_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    settings: cython.pointer[JsonSettings] = settings_of(L)
    if lua_gettop(L) > 3:
        return raise_where(L, wrong_argument(4, b"encode_sparse_array", b"found too many arguments"))
    boolean_option(L, cython.address(settings.sparse_convert))
    if not integer_option(L, 2, b"encode_sparse_array", cython.address(settings.sparse_ratio), 0, 2147483647):
        return -1
    if not integer_option(L, 3, b"encode_sparse_array", cython.address(settings.sparse_safe), 0, 2147483647):
        return -1
    lua_pushboolean(L, settings.sparse_convert)
    lua_pushnumber(L, settings.sparse_ratio)
    lua_pushnumber(L, settings.sparse_safe)
    return 3


@cython.cfunc
@cython.exceptval(check=False)
def keep_buffer_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    settings: cython.pointer[JsonSettings] = settings_of(L)
    boolean_option(L, cython.address(settings.keep_buffer))
    lua_pushboolean(L, settings.keep_buffer)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def encode_invalid_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    settings: cython.pointer[JsonSettings] = settings_of(L)
    if lua_gettop(L) >= 1 and lua_type(L, 1) != LUA_NIL:
        if lua_type(L, 1) == LUA_STRING:
            word: bytes = bytes_at(L, 1)
            if word not in (b"off", b"on", b"null"):
                return raise_where(L, wrong_argument(1, b"encode_invalid_numbers", b"invalid option '%s'" % word))
            settings.encode_invalid = (b"off", b"on", b"null").index(word)
        else:
            settings.encode_invalid = lua_toboolean(L, 1)
    if settings.encode_invalid == 2:
        push_bytes(L, b"null")
    else:
        lua_pushboolean(L, settings.encode_invalid)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def decode_invalid_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    settings: cython.pointer[JsonSettings] = settings_of(L)
    boolean_option(L, cython.address(settings.decode_invalid))
    lua_pushboolean(L, settings.decode_invalid)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def new_body(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    push_library(L)
    return 1
