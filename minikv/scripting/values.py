# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Values between commands and scripts: a handler's value becomes Lua's, what a script returns a reply.

reply                 Lua                                     Lua                     reply
bulk string           string                                  string                  bulk string
integer               number                                  number                  integer, cut off
null                  false; nil in RESP3                     nil, functions ...      null
array                 table                                   table                   array, up to the first nil
simple string         {ok=}                                   {ok=}, {err=}           simple string, error
error                 {err=}                                  true, false             1, null; boolean in RESP3
map, set              arrays; in RESP3 {map=}, {set=}         {map=}, {set=}          map, set
double                string; in RESP3 {double=}              {double=}               double
boolean               1 or 0; boolean in RESP3                {big_number=}           big number
verbatim, big number  string; in RESP3 {verbatim_string=}...  {verbatim_string=}      verbatim string
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.stdint import INT64_MIN
from cython.cimports.libc.stdio import snprintf
from cython.cimports.minikv.protocol.reply import Decimal, Push, Raw, Set, SimpleString, Verbatim
from cython.cimports.minikv.scripting.lua import (
    LUA_BOOLEAN,
    LUA_NIL,
    LUA_NUMBER,
    LUA_STRING,
    LUA_TABLE,
    lua_checkstack,
    lua_createtable,
    lua_next,
    lua_pushboolean,
    lua_pushlstring,
    lua_pushnil,
    lua_pushnumber,
    lua_pushvalue,
    lua_rawget,
    lua_rawgeti,
    lua_rawset,
    lua_rawseti,
    lua_settop,
    lua_State,
    lua_toboolean,
    lua_tolstring,
    lua_tonumber,
    lua_type,
)

from minikv.errors import CommandError, CountedError
from minikv.protocol.reply import NULL_ARRAY, Marker, encode, format_double

# A table takes the memory of this many other values.
TABLE_WEIGHT = cython.declare(cython.int, 16)
TOO_DEEP = "ERR reached lua stack limit"
TOO_LONG = "ERR the script's reply has too many values"


# -- to Lua ------------------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def push_bytes(L: cython.pointer[lua_State], text: bytes) -> cython.int:
    lua_pushlstring(L, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_field(L: cython.pointer[lua_State], name: bytes, text: bytes) -> cython.int:
    """Push a table with one field."""
    lua_createtable(L, 0, 1)
    push_bytes(L, name)
    push_bytes(L, text)
    lua_rawset(L, -3)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_value(L: cython.pointer[lua_State], value: object, resp: cython.int) -> cython.int:
    """Push what a handler returned; there is room for it on the stack."""
    if type(value) is bytes:
        return push_bytes(L, value)
    if value is None or value is NULL_ARRAY:
        if resp > 2:
            lua_pushnil(L)
        else:
            lua_pushboolean(L, False)
        return 0
    if type(value) is int:
        if resp > 2 and not -(1 << 63) <= value < 1 << 63:
            return push_field(L, b"big_number", b"%d" % value)
        lua_pushnumber(L, value)
        return 0
    if type(value) is SimpleString:
        return push_field(L, b"ok", cython.cast(SimpleString, value).text)
    if not lua_checkstack(L, 8):
        raise CommandError(TOO_DEEP)
    if type(value) is list or type(value) is tuple:
        return push_items(L, value, resp)
    return push_other(L, value, resp)


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_items(L: cython.pointer[lua_State], items: object, resp: cython.int) -> cython.int:
    number: cython.int
    lua_createtable(L, len(items), 0)
    for number, item in enumerate(items, 1):
        push_value(L, item, resp)
        lua_rawseti(L, -2, number)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_other(L: cython.pointer[lua_State], value: object, resp: cython.int) -> cython.int:
    if isinstance(value, CommandError):
        return push_field(L, b"err", str(value).encode("utf-8", "surrogateescape"))
    if isinstance(value, bool):
        if resp > 2:
            lua_pushboolean(L, value)
        else:
            lua_pushnumber(L, 1 if value else 0)
        return 0
    if isinstance(value, float):
        return push_double(L, value, format_double(value), resp)
    if isinstance(value, Decimal):
        digits: bytes = cython.cast(Decimal, value).digits
        return push_double(L, float(digits), digits, resp)
    if isinstance(value, dict):
        return push_map(L, cython.cast(dict, value).items(), len(value), resp)
    if isinstance(value, Set):
        return push_set(L, cython.cast(Set, value).items, resp)
    if isinstance(value, (set, frozenset)):
        return push_set(L, list(value), resp)
    if isinstance(value, Verbatim):
        return push_verbatim(L, cython.cast(Verbatim, value).form, cython.cast(Verbatim, value).data, resp)
    if isinstance(value, Push):
        return push_items(L, cython.cast(Push, value).items, resp)
    if isinstance(value, Raw):
        return Wire(cython.cast(Raw, value).data).push(L, resp)
    if isinstance(value, Marker):
        lua_pushboolean(L, False)
        return 0
    if isinstance(value, (bytearray, memoryview)):
        return push_bytes(L, bytes(value))
    if isinstance(value, int):
        lua_pushnumber(L, value)
        return 0
    if isinstance(value, (list, tuple)):
        return push_items(L, value, resp)
    raise TypeError(f"a handler returned {type(value).__name__}, which has no form in Lua")


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_double(L: cython.pointer[lua_State], number: cython.double, digits: bytes, resp: cython.int) -> cython.int:
    if resp < 3:
        return push_bytes(L, digits)
    lua_createtable(L, 0, 1)
    push_bytes(L, b"double")
    lua_pushnumber(L, number)
    lua_rawset(L, -3)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_map(L: cython.pointer[lua_State], pairs: object, count: cython.int, resp: cython.int) -> cython.int:
    number: cython.int = 0
    if resp > 2:
        lua_createtable(L, 0, 1)
        push_bytes(L, b"map")
        lua_createtable(L, 0, count)
        for key, item in pairs:
            push_value(L, key, resp)
            push_value(L, item, resp)
            if lua_type(L, -2) == LUA_NIL:  # no key in Lua
                lua_settop(L, -3)
            else:
                lua_rawset(L, -3)
        lua_rawset(L, -3)
        return 0
    lua_createtable(L, 2 * count, 0)
    for key, item in pairs:
        push_value(L, key, resp)
        lua_rawseti(L, -2, number + 1)
        push_value(L, item, resp)
        lua_rawseti(L, -2, number + 2)
        number += 2
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_set(L: cython.pointer[lua_State], items: list, resp: cython.int) -> cython.int:
    if resp < 3:
        return push_items(L, items, resp)
    lua_createtable(L, 0, 1)
    push_bytes(L, b"set")
    lua_createtable(L, 0, len(items))
    for item in items:
        push_value(L, item, resp)
        lua_pushboolean(L, True)
        if lua_type(L, -2) == LUA_NIL:
            lua_settop(L, -3)
        else:
            lua_rawset(L, -3)
    lua_rawset(L, -3)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def push_verbatim(L: cython.pointer[lua_State], form: bytes, data: bytes, resp: cython.int) -> cython.int:
    if resp < 3:
        return push_bytes(L, data)
    lua_createtable(L, 0, 1)
    push_bytes(L, b"verbatim_string")
    lua_createtable(L, 0, 2)
    push_bytes(L, b"format")
    push_bytes(L, form)
    lua_rawset(L, -3)
    push_bytes(L, b"string")
    push_bytes(L, data)
    lua_rawset(L, -3)
    lua_rawset(L, -3)
    return 0


@cython.cclass
class Wire:
    """RESP that a handler has written itself, read again."""

    data = cython.declare(bytes)
    at = cython.declare(cython.Py_ssize_t)

    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def push(self, L: cython.pointer[lua_State], resp: cython.int) -> cython.int:
        return push_value(L, self.read(), resp)

    @cython.cfunc
    def line(self) -> bytes:
        end: cython.Py_ssize_t = self.data.index(b"\r\n", self.at)
        line: bytes = self.data[self.at : end]
        self.at = end + 2
        return line

    @cython.cfunc
    def read(self) -> object:
        """The next value as a handler would return it."""
        line: bytes = self.line()
        kind: bytes = line[:1]
        rest: bytes = line[1:]
        if kind == b"+":
            return SimpleString(rest)
        if kind == b"-":
            return CommandError(rest.decode("utf-8", "surrogateescape"))
        if kind == b":" or kind == b"(":
            return int(rest)
        if kind == b",":
            return Decimal(rest)
        if kind == b"#":
            return rest == b"t"
        if kind == b"_":
            return None
        count: cython.Py_ssize_t = int(rest)
        if count < 0:
            return None
        if kind == b"$" or kind == b"=":
            text: bytes = self.data[self.at : self.at + count]
            self.at += count + 2
            return text if kind == b"$" else Verbatim(text[:3], text[4:])
        if kind == b"%" or kind == b"|":
            pairs: list = [(self.read(), self.read()) for _ in range(count)]
            return self.read() if kind == b"|" else dict(pairs)
        items: list = [self.read() for _ in range(count)]
        return Set(items) if kind == b"~" else items


# -- from Lua ----------------------------------------------------------------------------------------------------------


@cython.cfunc
def bytes_at(L: cython.pointer[lua_State], index: cython.int) -> bytes:
    """A string, or a number's digits (which leaves the number a string)."""
    length: cython.size_t = 0
    text: cython.p_const_char = lua_tolstring(L, index, cython.address(length))
    if text == cython.NULL:
        return b""
    return PyBytes_FromStringAndSize(text, length)


@cython.cfunc
def value_at(
    L: cython.pointer[lua_State], resp: cython.int, caller_resp: cython.int, left: cython.p_longlong
) -> object:
    """Take the value on top of the stack, as the reply that it stands for.

    resp: what the script chose. left: how many values the reply may still have; a table that holds another many times
    has more of them than memory.
    """
    kind: cython.int = lua_type(L, -1)
    left[0] -= TABLE_WEIGHT if kind == LUA_TABLE else 1
    if left[0] < 0:
        raise CommandError(TOO_LONG)
    value: object = None
    if kind == LUA_STRING:
        value = bytes_at(L, -1)
    elif kind == LUA_NUMBER:
        value = cut_off(lua_tonumber(L, -1))
    elif kind == LUA_BOOLEAN:
        is_true: cython.bint = lua_toboolean(L, -1)
        value = bool(is_true) if resp > 2 else 1 if is_true else None
    elif kind == LUA_TABLE:
        has_room: cython.bint = lua_checkstack(L, 8)
        value = table_at(L, resp, caller_resp, left) if has_room else CommandError(TOO_DEEP)
    lua_settop(L, -2)
    return value


@cython.cfunc
@cython.exceptval(check=False)
def cut_off(number: cython.double) -> cython.longlong:
    """As the processor converts it: the least integer for what has no place in 64 bits."""
    if number != number or number >= 9223372036854775808.0 or number < -9223372036854775808.0:
        return INT64_MIN
    return cython.cast(cython.longlong, number)


@cython.cfunc
@cython.exceptval(check=False)
def push_member(
    L: cython.pointer[lua_State], name: cython.p_const_char, length: cython.size_t, kind: cython.int
) -> cython.bint:
    """Push a field of the table on top if it is of this type; else nothing."""
    lua_pushlstring(L, name, length)
    lua_rawget(L, -2)
    if lua_type(L, -1) == kind:
        return True
    lua_settop(L, -2)
    return False


@cython.cfunc
def table_at(
    L: cython.pointer[lua_State], resp: cython.int, caller_resp: cython.int, left: cython.p_longlong
) -> object:
    """The table on top; it stays there."""
    value: object
    if push_member(L, b"err", 3, LUA_STRING):
        text: str = one_line(bytes_at(L, -1)).decode("utf-8", "surrogateescape")
        lua_settop(L, -2)
        # The mark of an error that redis.pcall has returned: the statistics have it already.
        if not push_member(L, b"ignore_error_stats_update", 25, LUA_BOOLEAN):
            return CommandError(text)
        value = CountedError(text) if lua_toboolean(L, -1) else CommandError(text)
    elif push_member(L, b"ok", 2, LUA_STRING):
        value = SimpleString(one_line(bytes_at(L, -1)))
    elif push_member(L, b"double", 6, LUA_NUMBER):
        value = lua_tonumber(L, -1)
    elif push_member(L, b"map", 3, LUA_TABLE):
        return map_at(L, resp, caller_resp, left)
    elif push_member(L, b"set", 3, LUA_TABLE):
        return set_at(L, resp, caller_resp, left)
    elif push_member(L, b"big_number", 10, LUA_STRING):
        value = one_line(bytes_at(L, -1))
        if caller_resp > 2:
            value = Raw(b"(" + value + b"\r\n")
    elif push_member(L, b"verbatim_string", 15, LUA_TABLE):
        value = None
        if push_member(L, b"format", 6, LUA_STRING):
            form: bytes = bytes_at(L, -1)
            lua_settop(L, -2)
            if push_member(L, b"string", 6, LUA_STRING):
                value = Verbatim((form + b"   ")[:3], bytes_at(L, -1))
                lua_settop(L, -2)
        lua_settop(L, -2)
        return items_at(L, resp, caller_resp, left) if value is None else value
    else:
        return items_at(L, resp, caller_resp, left)
    lua_settop(L, -2)
    return value


@cython.cfunc
def items_at(L: cython.pointer[lua_State], resp: cython.int, caller_resp: cython.int, left: cython.p_longlong) -> list:
    items: list = []
    number: cython.int = 1
    while True:
        lua_rawgeti(L, -1, number)
        if lua_type(L, -1) == LUA_NIL:
            break
        items.append(value_at(L, resp, caller_resp, left))
        number += 1
    lua_settop(L, -2)
    return items


@cython.cfunc
def map_at(L: cython.pointer[lua_State], resp: cython.int, caller_resp: cython.int, left: cython.p_longlong) -> object:
    """Take the table on top as a map, whose keys may be anything."""
    parts: list = []
    lua_pushnil(L)
    while lua_next(L, -2):
        lua_pushvalue(L, -2)
        parts.append(value_at(L, resp, caller_resp, left))
        parts.append(value_at(L, resp, caller_resp, left))
    lua_settop(L, -2)
    if caller_resp < 3:
        return parts
    return Raw(b"%%%d\r\n" % (len(parts) // 2) + b"".join([encode(part, 3) for part in parts]))


@cython.cfunc
def set_at(L: cython.pointer[lua_State], resp: cython.int, caller_resp: cython.int, left: cython.p_longlong) -> object:
    """Take the table on top as the set of its keys."""
    members: list = []
    lua_pushnil(L)
    while lua_next(L, -2):
        lua_settop(L, -2)
        lua_pushvalue(L, -1)
        members.append(value_at(L, resp, caller_resp, left))
    lua_settop(L, -2)
    return Set(members)


@cython.cfunc
def one_line(text: bytes) -> bytes:
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


@cython.cfunc
def number_text(number: cython.double) -> bytes:
    """A number as an argument of a command."""
    text: cython.char[40]
    return text[: snprintf(text, 40, b"%.17g", number)]
