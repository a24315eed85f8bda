# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Commands on strings."""

from minikv.algorithms.lcs import lcs_blocks, lcs_length
from minikv.algorithms.long_double import LongDouble
from minikv.dispatch.arguments import (
    EXPIRY_UNITS,
    INT64_MIN,
    NOT_A_FLOAT,
    NOT_AN_INTEGER,
    STRING_TOO_LONG,
    SYNTAX_ERROR,
    clamp_range,
    expiry_time,
    integer,
    next_word,
)
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, READONLY, WRITE, in_category
from minikv.errors import CommandError
from minikv.keyspace import AUTO, EMBSTR, NO_EXPIRY
from minikv.keyspace.events import EVENT_GENERIC, EVENT_STRING
from minikv.protocol.reply import OK, SimpleString

command = in_category("string")

MISSING, STRING = -1, 0  # what `lookup` returns
LCS_CELL = 4  # bytes for each pair of places by which Redis limits LCS


# Get and set


@command("GET", arity=2, flags=READONLY | FAST, key_flags="RO access")
def get(ctx: Client, key: bytes) -> bytes | None:
    return ctx.db.get(key)


@command("SET", arity=-3, flags=WRITE | DENYOOM, key_flags="RW access update variable_flags")
def set_(ctx: Client, key: bytes, value: bytes, *options: bytes) -> SimpleString | bytes | None:
    if options:
        return set_with_options(ctx, key, value, options)
    ctx.db.set(key, value)
    return OK


def set_with_options(ctx: Client, key: bytes, value: bytes, options: tuple[bytes, ...]) -> SimpleString | bytes | None:
    condition = unit = amount = b""
    returns_old = keep_ttl = False
    words = iter(options)
    for spelling in words:
        word = spelling.upper()
        if word in EXPIRY_UNITS and unit in (b"", word) and not keep_ttl:
            unit = word
            amount = next_word(words)
        elif word in (b"NX", b"XX") and condition in (b"", word):
            condition = word
        elif word == b"GET":
            returns_old = True
        elif word == b"KEEPTTL" and not unit:
            keep_ttl = True
        else:
            raise CommandError(SYNTAX_ERROR)
    expire_at_ms = expiry_time(unit, amount, ctx.keyspace.now_ms, "set") if unit else NO_EXPIRY
    old = ctx.db.get(key) if returns_old else None
    if condition and (ctx.db.lookup(key, False, condition == b"NX") == MISSING) != (condition == b"NX"):
        return old
    ctx.db.set(key, value, expire_at_ms, keep_ttl)
    if unit:
        ctx.db.notify(EVENT_GENERIC, b"expire", key)
    return old if returns_old else OK


@command("SETNX", arity=3, flags=WRITE | DENYOOM | FAST, key_flags="OW insert")
def setnx(ctx: Client, key: bytes, value: bytes) -> int:
    if ctx.db.lookup(key, False, True) != MISSING:
        return 0
    ctx.db.set(key, value)
    return 1


@command("SETEX", arity=4, flags=WRITE | DENYOOM, key_flags="OW update")
def setex(ctx: Client, key: bytes, seconds: bytes, value: bytes) -> SimpleString:
    ctx.db.set(key, value, expiry_time(b"EX", seconds, ctx.keyspace.now_ms, "setex"))
    ctx.db.notify(EVENT_GENERIC, b"expire", key)
    return OK


@command("PSETEX", arity=4, flags=WRITE | DENYOOM, key_flags="OW update")
def psetex(ctx: Client, key: bytes, milliseconds: bytes, value: bytes) -> SimpleString:
    ctx.db.set(key, value, expiry_time(b"PX", milliseconds, ctx.keyspace.now_ms, "psetex"))
    ctx.db.notify(EVENT_GENERIC, b"expire", key)
    return OK


@command("GETSET", arity=3, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def getset(ctx: Client, key: bytes, value: bytes) -> bytes | None:
    old = ctx.db.get(key)
    ctx.db.set(key, value)
    return old


@command("GETDEL", arity=2, flags=WRITE | FAST, key_flags="RW access delete")
def getdel(ctx: Client, key: bytes) -> bytes | None:
    value = ctx.db.get(key)
    if value is not None:
        ctx.db.delete(key)
    return value


@command("GETEX", arity=-2, flags=WRITE | FAST, key_flags="RW access update")
def getex(ctx: Client, key: bytes, *options: bytes) -> bytes | None:
    unit = amount = b""
    persist = False
    words = iter(options)
    for spelling in words:
        word = spelling.upper()
        if word in EXPIRY_UNITS and unit in (b"", word) and not persist:
            unit = word
            amount = next_word(words)
        elif word == b"PERSIST" and not unit:
            persist = True
        else:
            raise CommandError(SYNTAX_ERROR)
    value = ctx.db.get(key)
    if value is None:
        return None
    if unit:
        expire_at_ms = expiry_time(unit, amount, ctx.keyspace.now_ms, "getex")
        if expire_at_ms <= ctx.keyspace.now_ms:
            ctx.db.delete(key)
        else:
            ctx.db.set_expire(key, expire_at_ms)
    elif persist:
        ctx.db.persist(key)
    return value


# Many keys


@command(
    "MGET", arity=-2, flags=READONLY | FAST, keys=(1, -1, 1), key_flags="RO access", tips=["request_policy:multi_shard"]
)
def mget(ctx: Client, *keys: bytes) -> list[bytes | None]:
    return ctx.db.get_all(keys)


@command(
    "MSET",
    arity=-3,
    flags=WRITE | DENYOOM,
    keys=(1, -1, 2),
    key_flags="OW update",
    tips=["request_policy:multi_shard", "response_policy:all_succeeded"],
)
def mset(ctx: Client, *pairs: bytes) -> SimpleString:
    if len(pairs) % 2:
        raise CommandError("ERR wrong number of arguments for 'mset' command")
    ctx.db.set_all(pairs)
    return OK


@command(
    "MSETNX",
    arity=-3,
    flags=WRITE | DENYOOM,
    keys=(1, -1, 2),
    key_flags="OW insert",
    tips=["request_policy:multi_shard", "response_policy:agg_min"],
)
def msetnx(ctx: Client, *pairs: bytes) -> int:
    if len(pairs) % 2:
        raise CommandError("ERR wrong number of arguments for 'msetnx' command")
    for i in range(0, len(pairs), 2):
        if ctx.db.lookup(pairs[i], False, True) != MISSING:
            return 0
    ctx.db.set_all(pairs)
    return 1


# Parts of a string


@command("STRLEN", arity=2, flags=READONLY | FAST, key_flags="RO")
def strlen(ctx: Client, key: bytes) -> int:
    return ctx.db.strlen(key)


@command("APPEND", arity=3, flags=WRITE | DENYOOM | FAST, key_flags="RW insert")
def append(ctx: Client, key: bytes, data: bytes) -> int:
    # The byte at which the old value would make the whole too long. A new key takes anything.
    room = ctx.server.config.proto_max_bulk_len - len(data)
    if ctx.db.get_range(key, max(room, 0), max(room, 0) + 1) or (room < 0 and ctx.db.get_for_write(key) is not None):
        raise CommandError(STRING_TOO_LONG)
    return ctx.db.append(key, data)


@command("SETRANGE", arity=4, flags=WRITE | DENYOOM, key_flags="RW update")
def setrange(ctx: Client, key: bytes, offset: bytes, data: bytes) -> int:
    start = integer(offset)
    if start < 0:
        raise CommandError("ERR offset is out of range")
    if not data or start + len(data) > ctx.server.config.proto_max_bulk_len:
        length = ctx.db.set_range(key, 0, b"")  # changes nothing; a wrong type comes before a wrong size
        if data:
            raise CommandError(STRING_TOO_LONG)
        return length
    length = ctx.db.set_range(key, start, data)
    ctx.db.notify(EVENT_STRING, b"setrange", key)
    return length


@command("SUBSTR", arity=4, flags=READONLY, key_flags="RO access")
@command("GETRANGE", arity=4, flags=READONLY, key_flags="RO access")
def getrange(ctx: Client, key: bytes, start: bytes, end: bytes) -> bytes:
    first, last = integer(start), integer(end)
    offset, stop = clamp_range(first, last, ctx.db.strlen(key))
    return ctx.db.get_range(key, offset, stop) if offset < stop else b""


# Numbers


@command("INCR", arity=2, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def incr(ctx: Client, key: bytes) -> int:
    try:
        return ctx.db.increment(key, 1)
    except (ValueError, OverflowError) as error:
        raise refused(error) from None


@command("DECR", arity=2, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def decr(ctx: Client, key: bytes) -> int:
    return increment_by(ctx, key, -1)


@command("INCRBY", arity=3, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def incrby(ctx: Client, key: bytes, increment: bytes) -> int:
    return increment_by(ctx, key, integer(increment))


@command("DECRBY", arity=3, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def decrby(ctx: Client, key: bytes, decrement: bytes) -> int:
    amount = integer(decrement)
    if amount == INT64_MIN:
        raise CommandError("ERR decrement would overflow")
    return increment_by(ctx, key, -amount)


def increment_by(ctx: Client, key: bytes, amount: int) -> int:
    try:
        return ctx.db.increment(key, amount)
    except (ValueError, OverflowError) as error:
        raise refused(error) from None


def refused(error: ValueError | OverflowError) -> CommandError:
    """Why a string is not incremented."""
    overflows = isinstance(error, OverflowError)
    return CommandError("ERR increment or decrement would overflow" if overflows else NOT_AN_INTEGER)


@command("INCRBYFLOAT", arity=3, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def incrbyfloat(ctx: Client, key: bytes, increment: bytes) -> bytes:
    text = ctx.db.get_for_write(key)
    number = LongDouble.parse(b"0" if text is None else text)
    amount = LongDouble.parse(increment)
    if number is None or amount is None:
        raise CommandError(NOT_A_FLOAT)
    total = number + amount
    if not total.is_finite():
        raise CommandError("ERR increment would produce NaN or Infinity")
    value = total.text()
    ctx.db.write(key, value, AUTO if b"." in value else EMBSTR)
    ctx.db.notify(EVENT_STRING, b"incrbyfloat", key)
    return value


# Comparison


@command("LCS", arity=-3, flags=READONLY, keys=(1, 2, 1), key_flags="RO access")
def lcs(ctx: Client, key1: bytes, key2: bytes, *options: bytes) -> object:
    # Both are looked up, which may be misses, before the type of either matters.
    if {ctx.db.lookup(key1), ctx.db.lookup(key2)} - {MISSING, STRING}:
        raise CommandError("ERR The specified keys must contain string values")
    a, b = (ctx.db.get_for_write(key) or b"" for key in (key1, key2))
    wants_length = wants_blocks = with_length = False
    shortest = 0
    words = iter(options)
    for spelling in words:
        word = spelling.upper()
        if word == b"IDX":
            wants_blocks = True
        elif word == b"LEN":
            wants_length = True
        elif word == b"WITHMATCHLEN":
            with_length = True
        elif word == b"MINMATCHLEN":
            shortest = integer(next_word(words))
        else:
            raise CommandError(SYNTAX_ERROR)
    if wants_blocks and wants_length:
        raise CommandError("ERR If you want both the length and indexes, please just use IDX.")
    if (len(a) + 1) * (len(b) + 1) * LCS_CELL > ctx.server.config.proto_max_bulk_len:
        raise CommandError("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if wants_length:
        return lcs_length(a, b)
    blocks = lcs_blocks(a, b)
    if not wants_blocks:
        return b"".join(a[block.a_start : block.a_start + block.length] for block in reversed(blocks))
    matches: list[list[object]] = []
    for a_start, b_start, length in blocks:
        if length >= shortest:
            match: list[object] = [[a_start, a_start + length - 1], [b_start, b_start + length - 1]]
            matches.append([*match, length] if with_length else match)
    return {b"matches": matches, b"len": sum(block.length for block in blocks)}
