# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Commands on hashes."""

from __future__ import annotations

from minikv.algorithms.long_double import LongDouble
from minikv.commands.draws import OUT_OF_RANGE, drawn
from minikv.commands.scan import scan_options
from minikv.dispatch.arguments import (
    INT64_MAX,
    INT64_MIN,
    NOT_A_FLOAT,
    SYNTAX_ERROR,
    cursor,
    integer,
    integer_between,
)
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, READONLY, WRITE, in_category
from minikv.errors import CommandError
from minikv.keyspace.glob import glob_match
from minikv.keyspace.hash import Hash
from minikv.protocol.reply import OK, SimpleString

command = in_category("hash")

UNORDERED = ["nondeterministic_output_order"]
RANDOM = ["nondeterministic_output"]


# Write


@command("HSET", arity=-4, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def hset(ctx: Client, key: bytes, *pairs: bytes) -> int:
    if len(pairs) % 2:
        raise CommandError("ERR wrong number of arguments for 'hset' command")
    return set_pairs(ctx, key, pairs)


@command("HMSET", arity=-4, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def hmset(ctx: Client, key: bytes, *pairs: bytes) -> SimpleString:
    if len(pairs) % 2:
        raise CommandError("ERR wrong number of arguments for 'hmset' command")
    set_pairs(ctx, key, pairs)
    return OK


def set_pairs(ctx: Client, key: bytes, pairs: tuple[bytes, ...]) -> int:
    """How many of the fields are new."""
    hash_: Hash = Hash.to_write(ctx.db, key)
    added = (1 if hash_.set(pairs[0], pairs[1]) else 0) if len(pairs) == 2 else hash_.set_all(pairs)
    hash_.notify(b"hset")
    return added


@command("HSETNX", arity=4, flags=WRITE | DENYOOM | FAST, key_flags="RW insert")
def hsetnx(ctx: Client, key: bytes, field: bytes, value: bytes) -> int:
    hash_ = Hash.to_write(ctx.db, key)
    if hash_.contains(field):
        return 0
    hash_.set(field, value)
    hash_.notify(b"hset")
    return 1


@command("HDEL", arity=-3, flags=WRITE | FAST, key_flags="RW delete")
def hdel(ctx: Client, key: bytes, *fields: bytes) -> int:
    hash_: Hash | None = Hash.at(ctx.db, key, False)
    if hash_ is None:
        return 0
    deleted = hash_.delete_all(fields)
    if deleted:
        hash_.notify_taken(b"hdel")
    return deleted


@command("HINCRBY", arity=4, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def hincrby(ctx: Client, key: bytes, field: bytes, increment: bytes) -> int:
    amount = integer(increment)
    hash_ = Hash.to_write(ctx.db, key)
    text = hash_.get(field)
    number = amount if text is None else integer(text, "ERR hash value is not an integer") + amount
    if not INT64_MIN <= number <= INT64_MAX:
        raise CommandError("ERR increment or decrement would overflow")
    hash_.keep_expiry(field, b"%d" % number)
    hash_.notify(b"hincrby")
    return number


@command("HINCRBYFLOAT", arity=4, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def hincrbyfloat(ctx: Client, key: bytes, field: bytes, increment: bytes) -> bytes:
    amount = LongDouble.parse(increment)
    if amount is None:
        raise CommandError(NOT_A_FLOAT)
    if not amount.is_finite():
        raise CommandError("ERR value is NaN or Infinity")
    hash_ = Hash.to_write(ctx.db, key)
    text = hash_.get(field)
    number = LongDouble.parse(b"0" if text is None else text)
    if number is None:
        raise CommandError("ERR hash value is not a float")
    total = number + amount
    if not total.is_finite():
        raise CommandError("ERR increment would produce NaN or Infinity")
    value = total.text()
    hash_.keep_expiry(field, value)
    hash_.notify(b"hincrbyfloat")
    return value


# Read


@command("HGET", arity=3, flags=READONLY | FAST, key_flags="RO access")
def hget(ctx: Client, key: bytes, field: bytes) -> bytes | None:
    hash_: Hash | None = Hash.at(ctx.db, key)
    return None if hash_ is None else hash_.get(field)


@command("HMGET", arity=-3, flags=READONLY | FAST, key_flags="RO access")
def hmget(ctx: Client, key: bytes, *fields: bytes) -> list[bytes | None]:
    hash_: Hash | None = Hash.at(ctx.db, key)
    return [None] * len(fields) if hash_ is None else [hash_.get(field) for field in fields]


@command("HGETALL", arity=2, flags=READONLY, key_flags="RO access", tips=UNORDERED)
def hgetall(ctx: Client, key: bytes) -> dict[bytes, bytes] | list[bytes]:
    hash_ = Hash.at(ctx.db, key)
    items = [] if hash_ is None else hash_.items()
    return items if ctx.resp == 2 else dict(zip(items[::2], items[1::2], strict=True))


@command("HKEYS", arity=2, flags=READONLY, key_flags="RO access", tips=UNORDERED)
def hkeys(ctx: Client, key: bytes) -> list[bytes]:
    hash_ = Hash.at(ctx.db, key)
    return [] if hash_ is None else hash_.fields()


@command("HVALS", arity=2, flags=READONLY, key_flags="RO access", tips=UNORDERED)
def hvals(ctx: Client, key: bytes) -> list[bytes]:
    hash_ = Hash.at(ctx.db, key)
    return [] if hash_ is None else hash_.values()


@command("HLEN", arity=2, flags=READONLY | FAST, key_flags="RO")
def hlen(ctx: Client, key: bytes) -> int:
    hash_ = Hash.at(ctx.db, key)
    return 0 if hash_ is None else len(hash_)


@command("HEXISTS", arity=3, flags=READONLY | FAST, key_flags="RO")
def hexists(ctx: Client, key: bytes, field: bytes) -> int:
    hash_: Hash | None = Hash.at(ctx.db, key)
    return 0 if hash_ is None else int(hash_.contains(field))


@command("HSTRLEN", arity=3, flags=READONLY | FAST, key_flags="RO")
def hstrlen(ctx: Client, key: bytes, field: bytes) -> int:
    hash_ = Hash.at(ctx.db, key)
    return 0 if hash_ is None else hash_.value_len(field)


@command("HRANDFIELD", arity=-2, flags=READONLY, key_flags="RO access", tips=RANDOM)
def hrandfield(ctx: Client, key: bytes, *options: bytes) -> object:
    if options:
        return random_fields(ctx, key, *options)
    hash_ = Hash.at(ctx.db, key)
    found = [] if hash_ is None else hash_.sample(1, True)
    return found[0] if found else None


def random_fields(ctx: Client, key: bytes, count: bytes, *options: bytes) -> object:
    """Different fields; with a negative count, that many independent draws. In RESP3 values come in pairs."""
    wanted = integer_between(count, -INT64_MAX, INT64_MAX)
    if len(options) > 1 or (options and options[0].upper() != b"WITHVALUES"):
        raise CommandError(SYNTAX_ERROR)
    if options and abs(wanted) > INT64_MAX // 2:
        raise CommandError(OUT_OF_RANGE)
    hash_ = Hash.at(ctx.db, key)
    if hash_ is None:
        return []

    def shape(found: list[bytes]) -> list[bytes] | list[list[bytes]]:
        if not options:
            return found[::2]
        return found if ctx.resp == 2 else [found[i : i + 2] for i in range(0, len(found), 2)]

    if wanted >= 0 or not hash_.sample(1, True):
        return shape(hash_.sample(max(wanted, 0), True))
    width = 2 if options and ctx.resp == 2 else 1
    return drawn(ctx, lambda number: shape(hash_.sample(number, False)), -wanted, width)


@command("HSCAN", arity=-3, flags=READONLY, key_flags="RO access", tips=RANDOM)
def hscan(ctx: Client, key: bytes, start: bytes, *options: bytes) -> list[object]:
    place = cursor(start)
    hash_ = Hash.at(ctx.db, key)
    if hash_ is None:
        return [b"0", []]
    options, with_values = without_novalues(options)
    count, pattern = scan_options(options)
    place, found = hash_.scan(place, count)
    if pattern != b"*":
        found = [part for i in range(0, len(found), 2) if glob_match(pattern, found[i]) for part in found[i : i + 2]]
    return [b"%d" % place, found if with_values else found[::2]]


def without_novalues(options: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], bool]:
    """The options without NOVALUES of Redis 7.4, which has no value of its own, and whether it was not there."""
    left: list[bytes] = []
    with_values = True
    for option in options:
        if len(left) % 2 == 0 and option.upper() == b"NOVALUES":
            with_values = False
        else:
            left.append(option)
    return tuple(left), with_values
