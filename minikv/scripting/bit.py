# cython: language_level=3, cdivision=True
"""The library `bit`: operations on 32 bits, as Redis offers them to scripts. Results are signed."""

import cython
from cython.cimports.libc.stdint import int32_t, int64_t, uint32_t
from cython.cimports.minikv.scripting.lua import (
    lua_createtable,
    lua_gettop,
    lua_pushnumber,
    lua_State,
)
from cython.cimports.minikv.scripting.stack import add, bad_argument, is_number, raise_where, set_field
from cython.cimports.minikv.scripting.values import push_bytes

# Adding it leaves the low bits of a double's integer part in its low bits: 2**52 + 2**51.
SHIFT = cython.declare(cython.double, 6755399441055744.0)

AND = cython.declare(cython.int, 0)
OR = cython.declare(cython.int, 1)
XOR = cython.declare(cython.int, 2)
LEFT = cython.declare(cython.int, 3)
RIGHT = cython.declare(cython.int, 4)
ARITHMETIC_RIGHT = cython.declare(cython.int, 5)
ROTATE_LEFT = cython.declare(cython.int, 6)
ROTATE_RIGHT = cython.declare(cython.int, 7)
NOT = cython.declare(cython.int, 8)
SWAP = cython.declare(cython.int, 9)
SAME = cython.declare(cython.int, 10)


@cython.cfunc
@cython.exceptval(-1, check=False)
def add_bit(L: cython.pointer[lua_State]) -> cython.int:
    """The library, as a field of the table on top."""
    lua_createtable(L, 0, 16)
    add(L, b"band", band)
    add(L, b"bor", bor)
    add(L, b"bxor", bxor)
    add(L, b"lshift", lshift)
    add(L, b"rshift", rshift)
    add(L, b"arshift", arshift)
    add(L, b"rol", rol)
    add(L, b"ror", ror)
    add(L, b"bnot", bnot)
    add(L, b"bswap", bswap)
    add(L, b"tobit", tobit)
    add(L, b"tohex", tohex)
    return set_field(L, b"bit")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def low_bits(number: cython.double) -> uint32_t:
    """The number's low 32 bits, rounded to an integer first."""
    shifted: cython.double = number + SHIFT
    bits: cython.pointer[int64_t] = cython.cast(cython.pointer[int64_t], cython.address(shifted))
    return cython.cast(uint32_t, bits[0])


@cython.cfunc
@cython.exceptval(check=False)
def give(L: cython.pointer[lua_State], bits: uint32_t) -> cython.int:
    lua_pushnumber(L, cython.cast(int32_t, bits))
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def fold(L: cython.pointer[lua_State], operation: cython.int, name: bytes) -> cython.int:
    """AND, OR, XOR of all arguments."""
    number: cython.double = 0
    i: cython.int
    if not is_number(L, 1, cython.address(number)):
        return raise_where(L, bad_argument(L, 1, name, b"number"))
    bits: uint32_t = low_bits(number)
    for i in range(2, lua_gettop(L) + 1):
        if not is_number(L, i, cython.address(number)):
            return raise_where(L, bad_argument(L, i, name, b"number"))
        if operation == AND:
            bits &= low_bits(number)
        elif operation == OR:
            bits |= low_bits(number)
        else:
            bits ^= low_bits(number)
    return give(L, bits)


@cython.cfunc
@cython.exceptval(check=False)
def move(L: cython.pointer[lua_State], operation: cython.int, name: bytes) -> cython.int:
    """Shifts and rotations, by the low 5 bits of the second argument."""
    number: cython.double = 0
    if not is_number(L, 1, cython.address(number)):
        return raise_where(L, bad_argument(L, 1, name, b"number"))
    bits: uint32_t = low_bits(number)
    if not is_number(L, 2, cython.address(number)):
        return raise_where(L, bad_argument(L, 2, name, b"number"))
    distance: uint32_t = low_bits(number) & 31
    if operation == LEFT:
        return give(L, bits << distance)
    if operation == RIGHT:
        return give(L, bits >> distance)
    if operation == ARITHMETIC_RIGHT:
        return give(L, cython.cast(uint32_t, cython.cast(int32_t, bits) >> distance))
    if operation == ROTATE_RIGHT:
        distance = (32 - distance) & 31
    if distance == 0:
        return give(L, bits)
    return give(L, (bits << distance) | (bits >> (32 - distance)))


@cython.cfunc
@cython.exceptval(check=False)
def change(L: cython.pointer[lua_State], operation: cython.int, name: bytes) -> cython.int:
    number: cython.double = 0
    if not is_number(L, 1, cython.address(number)):
        return raise_where(L, bad_argument(L, 1, name, b"number"))
    bits: uint32_t = low_bits(number)
    if operation == NOT:
        bits = ~bits
    elif operation == SWAP:
        bits = (bits >> 24) | ((bits >> 8) & 0xFF00) | ((bits & 0xFF00) << 8) | (bits << 24)
    return give(L, bits)


@cython.cfunc
@cython.exceptval(check=False)
def tohex(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    """The last digits of a number, in upper case if their count is negative."""
    number: cython.double = 0
    digits: int32_t = 8
    if not is_number(L, 1, cython.address(number)):
        return raise_where(L, bad_argument(L, 1, b"tohex", b"number"))
    bits: uint32_t = low_bits(number)
    if lua_gettop(L) > 1:
        if not is_number(L, 2, cython.address(number)):
            return raise_where(L, bad_argument(L, 2, b"tohex", b"number"))
        digits = cython.cast(int32_t, low_bits(number))
    text: bytes = (b"%08X" if digits < 0 else b"%08x") % bits
    count: cython.longlong = digits
    if count < 0:
        count = -count
    return push_text(L, text[8 - min(count, 8) :])


@cython.cfunc
@cython.exceptval(check=False)
def push_text(L: cython.pointer[lua_State], text: bytes) -> cython.int:
    push_bytes(L, text)
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def band(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return fold(L, AND, b"band")


@cython.cfunc
@cython.exceptval(check=False)
def bor(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return fold(L, OR, b"bor")


@cython.cfunc
@cython.exceptval(check=False)
def bxor(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return fold(L, XOR, b"bxor")


@cython.cfunc
@cython.exceptval(check=False)
def lshift(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return move(L, LEFT, b"lshift")


@cython.cfunc
@cython.exceptval(check=False)
def rshift(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return move(L, RIGHT, b"rshift")


@cython.cfunc
@cython.exceptval(check=False)
def arshift(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return move(L, ARITHMETIC_RIGHT, b"arshift")


@cython.cfunc
@cython.exceptval(check=False)
def rol(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return move(L, ROTATE_LEFT, b"rol")


@cython.cfunc
@cython.exceptval(check=False)
def ror(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return move(L, ROTATE_RIGHT, b"ror")


@cython.cfunc
@cython.exceptval(check=False)
def bnot(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return change(L, NOT, b"bnot")


@cython.cfunc
@cython.exceptval(check=False)
def bswap(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return change(L, SWAP, b"bswap")


@cython.cfunc
@cython.exceptval(check=False)
def tobit(L: cython.pointer[lua_State], owner: cython.p_void) -> cython.int:
    return change(L, SAME, b"tobit")
