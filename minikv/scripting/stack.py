# cython: language_level=3
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Small tools on Lua's stack for functions of ours: fields, arguments, errors in Lua's words."""

import cython
from cython.cimports.minikv.scripting.lua import (
    LUA_RAISE,
    lua_Debug,
    lua_getinfo,
    lua_getstack,
    lua_gettop,
    lua_insert,
    lua_isnumber,
    lua_pushvalue,
    lua_rawset,
    lua_settop,
    lua_State,
    lua_tonumber,
    lua_type,
    lua_typename,
    minikv_body,
    minikv_lua_push_body,
    minikv_lua_push_body_with,
)
from cython.cimports.minikv.scripting.values import push_bytes


@cython.cfunc
@cython.exceptval(-1, check=False)
def add(L: cython.pointer[lua_State], name: bytes, body: minikv_body) -> cython.int:
    """A function of ours as a field of the table on top."""
    minikv_lua_push_body(L, body)
    set_field(L, name)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def add_with(L: cython.pointer[lua_State], name: bytes, body: minikv_body) -> cython.int:
    """The same for a function whose second upvalue is what lies on the table."""
    lua_pushvalue(L, -1)
    minikv_lua_push_body_with(L, body)
    push_bytes(L, name)
    lua_insert(L, -2)
    lua_rawset(L, -4)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_field(L: cython.pointer[lua_State], name: bytes) -> cython.int:
    """Take the value on top as a field of the table below it."""
    push_bytes(L, name)
    lua_pushvalue(L, -2)
    lua_rawset(L, -4)
    lua_settop(L, -2)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def raise_where(L: cython.pointer[lua_State], text: bytes) -> cython.int:
    """Let a body's caller raise a text behind the place in the script, as Lua's own functions do."""
    record: lua_Debug
    place: bytes = b""
    if lua_getstack(L, 1, cython.address(record)):
        lua_getinfo(L, b"Sl", cython.address(record))
        if record.currentline > 0:
            source: bytes = record.source
            place = b"%s:%d: " % (source[1:] if source[:1] in (b"@", b"=") else source, record.currentline)
    push_bytes(L, place + text)
    return LUA_RAISE


@cython.cfunc
def bad_argument(L: cython.pointer[lua_State], index: cython.int, function: bytes, expected: bytes) -> bytes:
    """The message for an argument of a wrong type."""
    given: bytes = b"no value"
    if index <= lua_gettop(L):
        given = lua_typename(L, lua_type(L, index))
    return wrong_argument(index, function, b"%s expected, got %s" % (expected, given))


@cython.cfunc
def wrong_argument(index: cython.int, function: bytes, reason: bytes) -> bytes:
    return b"bad argument #%d to '%s' (%s)" % (index, function, reason)


@cython.cfunc
@cython.exceptval(check=False)
def is_number(L: cython.pointer[lua_State], index: cython.int, number: cython.p_double) -> cython.bint:
    """Whether the argument is a number or a string that spells one."""
    if index > lua_gettop(L) or not lua_isnumber(L, index):
        return False
    number[0] = lua_tonumber(L, index)
    return True
