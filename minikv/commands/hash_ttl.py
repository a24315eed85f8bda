# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Commands on the expiries of fields: those of Redis 7.4, and of 8.0 HGETEX, HSETEX and HGETDEL.

Replies and errors are those of the releases that brought them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minikv.dispatch.arguments import EXPIRY_UNITS, INT32_MAX, at_least_one, integer, invalid_expire_time
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, READONLY, WRITE, in_category
from minikv.errors import CommandError
from minikv.keyspace.hash import NO_FIELD, Hash

command = in_category("hash")

FIELDS_MISSING = "ERR Mandatory argument FIELDS is missing or not at the right position"
COUNT_TOO_SMALL = "ERR Parameter `numFields` should be greater than 0"
COUNT_NOT_POSITIVE = "ERR Number of fields must be a positive integer"
WRONG_COUNT = "ERR The `numfields` parameter must match the number of arguments"
ONE_EXPIRY = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
ONE_CONDITION = "ERR Only one of FXX or FNX arguments can be specified"

LATEST_MS = (1 << 46) - 1  # Redis refuses later expiries of fields
NO_TTL = -1
# What is replied for a field
CONDITION_NOT_MET, IS_SET, IS_DELETED = 0, 1, 2
PERSISTED = 1
CONDITIONS = (b"NX", b"XX", b"GT", b"LT")
NONDETERMINISTIC = ["nondeterministic_output"]


# Arguments


def fields_of(words: Sequence[bytes], error: str = COUNT_NOT_POSITIVE) -> Sequence[bytes]:
    """`FIELDS count field ...`, to the end; error: for a count that is none."""
    if len(words) < 2 or words[0].upper() != b"FIELDS":
        raise CommandError(FIELDS_MISSING)
    if at_least_one(words[1], error) != len(words) - 2:
        raise CommandError(WRONG_COUNT)
    return words[2:]


def expiry_of(amount: bytes, factor: int, base_ms: int, name: str) -> int:
    """Unix ms of a time given in units of `factor` ms from base_ms on."""
    number = integer(amount)
    if number < 0:
        raise CommandError("ERR invalid expire time, must be >= 0")
    if number > (LATEST_MS - base_ms) // factor and number * factor > LATEST_MS - base_ms:
        raise invalid_expire_time(name)
    return number * factor + base_ms


def option_expiry(ctx: Client, unit: bytes, amount: bytes, name: str) -> int:
    """Unix ms of an option such as `EX 10`."""
    factor, relative = EXPIRY_UNITS[unit]
    return expiry_of(amount, factor, ctx.keyspace.now_ms if relative else 0, name)


# Set


@command("HEXPIRE", arity=-6, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def hexpire(ctx: Client, key: bytes, seconds: bytes, *options: bytes) -> list[int]:
    return expire(ctx, key, seconds, options, 1000, ctx.keyspace.now_ms, "hexpire")


@command("HPEXPIRE", arity=-6, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def hpexpire(ctx: Client, key: bytes, milliseconds: bytes, *options: bytes) -> list[int]:
    return expire(ctx, key, milliseconds, options, 1, ctx.keyspace.now_ms, "hpexpire")


@command("HEXPIREAT", arity=-6, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def hexpireat(ctx: Client, key: bytes, seconds: bytes, *options: bytes) -> list[int]:
    return expire(ctx, key, seconds, options, 1000, 0, "hexpireat")


@command("HPEXPIREAT", arity=-6, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def hpexpireat(ctx: Client, key: bytes, milliseconds: bytes, *options: bytes) -> list[int]:
    return expire(ctx, key, milliseconds, options, 1, 0, "hpexpireat")


def expire(
    ctx: Client, key: bytes, amount: bytes, options: Sequence[bytes], factor: int, base_ms: int, name: str
) -> list[int]:
    """What was done with each field."""
    hash_ = Hash.at(ctx.db, key, False)
    at_ms = expiry_of(amount, factor, base_ms, name)
    condition = options[0].upper()
    has_condition = condition in CONDITIONS
    fields = fields_of(options[1:] if has_condition else options, COUNT_TOO_SMALL)
    if hash_ is None:
        return [NO_FIELD] * len(fields)
    ctx.db.make_sure_of_all(tuple(fields))
    done = [expire_field(ctx, hash_, field, at_ms, condition if has_condition else b"") for field in fields]
    notify_expiries(hash_, done)
    return done


def expire_field(ctx: Client, hash_: Any, field: bytes, at_ms: int, condition: bytes = b"") -> int:
    """Let a field expire then, at once if that has passed; returns what is replied for it."""
    old_ms = hash_.expire_at(field)
    if old_ms == NO_FIELD:
        return NO_FIELD
    if condition and not allows(condition, old_ms, at_ms):
        return CONDITION_NOT_MET
    if at_ms <= ctx.keyspace.now_ms:
        hash_.delete(field)
        ctx.keyspace.expired_fields += 1
        return IS_DELETED
    hash_.set_until(field, hash_.get(field), at_ms)
    return IS_SET


def notify_expiries(hash_: Any, done: Sequence[int]) -> None:
    """Tell observers what `expire_field` has done with fields of a hash; all have been given the same time."""
    if IS_SET in done:
        hash_.notify(b"hexpire")
    elif IS_DELETED in done:
        hash_.notify_taken(b"hdel")


def allows(condition: bytes, old_ms: int, at_ms: int) -> bool:
    """Whether the expiry may be changed; none (0) is later than any."""
    if condition == b"NX":
        return old_ms == 0
    if condition == b"XX":
        return old_ms != 0
    if condition == b"GT":
        return 0 < old_ms < at_ms
    return old_ms == 0 or at_ms < old_ms


@command("HPERSIST", arity=-5, flags=WRITE | FAST, key_flags="RW update")
def hpersist(ctx: Client, key: bytes, *words: bytes) -> list[int]:
    hash_ = Hash.at(ctx.db, key, False)
    fields = fields_of(words)
    if hash_ is None:
        return [NO_FIELD] * len(fields)
    return persist_fields(hash_, fields)


def persist_fields(hash_: Any, fields: Sequence[bytes]) -> list[int]:
    """What was done with each field."""
    done = [persist_field(hash_, field) for field in fields]
    if PERSISTED in done:
        hash_.notify(b"hpersist")
    return done


def persist_field(hash_: Any, field: bytes) -> int:
    """Clear a field's expiry; returns what is replied for it."""
    old_ms = hash_.expire_at(field)
    if old_ms <= 0:
        return NO_TTL if old_ms == 0 else NO_FIELD
    hash_.set_until(field, hash_.get(field), 0)
    return PERSISTED


# Look


@command("HTTL", arity=-5, flags=READONLY | FAST, key_flags="RO access", tips=NONDETERMINISTIC)
def httl(ctx: Client, key: bytes, *words: bytes) -> list[int]:
    now_ms = ctx.keyspace.now_ms
    return times_of(ctx, key, words, lambda at_ms: (at_ms + 999 - now_ms) // 1000)


@command("HPTTL", arity=-5, flags=READONLY | FAST, key_flags="RO access", tips=NONDETERMINISTIC)
def hpttl(ctx: Client, key: bytes, *words: bytes) -> list[int]:
    now_ms = ctx.keyspace.now_ms
    return times_of(ctx, key, words, lambda at_ms: at_ms - now_ms)


@command("HEXPIRETIME", arity=-5, flags=READONLY | FAST, key_flags="RO access")
def hexpiretime(ctx: Client, key: bytes, *words: bytes) -> list[int]:
    return times_of(ctx, key, words, lambda at_ms: (at_ms + 999) // 1000)


@command("HPEXPIRETIME", arity=-5, flags=READONLY | FAST, key_flags="RO access")
def hpexpiretime(ctx: Client, key: bytes, *words: bytes) -> list[int]:
    return times_of(ctx, key, words, lambda at_ms: at_ms)


def times_of(ctx: Client, key: bytes, words: Sequence[bytes], shown: Callable[[int], int]) -> list[int]:
    """For each field its expiry as `shown` puts it."""
    hash_ = Hash.at(ctx.db, key)
    fields = fields_of(words)
    found = []
    for field in fields:
        at_ms = NO_FIELD if hash_ is None else hash_.expire_at(field)
        found.append(shown(at_ms) if at_ms > 0 else NO_TTL if at_ms == 0 else NO_FIELD)
    return found


# Values and expiries at once


@command("HGETEX", arity=-5, flags=WRITE | FAST, key_flags="RW access update")
def hgetex(ctx: Client, key: bytes, *words: bytes) -> list[bytes | None]:
    hash_ = Hash.at(ctx.db, key)
    option = words[0].upper()
    at_ms = 0
    if option in EXPIRY_UNITS:
        at_ms = option_expiry(ctx, option, words[1], "hgetex")
        words = words[2:]
    elif option == b"PERSIST":
        words = words[1:]
    fields = fields_of(words)
    values: list[bytes | None] = []
    done = []
    for field in fields:
        value = None if hash_ is None else hash_.get(field)
        values.append(value)
        if value is not None and option in EXPIRY_UNITS:
            done.append(expire_field(ctx, hash_, field, at_ms))
    if hash_ is not None and option == b"PERSIST":
        persist_fields(hash_, fields)
    notify_expiries(hash_, done)
    return values


@command("HGETDEL", arity=-5, flags=WRITE | FAST, key_flags="RW access delete")
def hgetdel(ctx: Client, key: bytes, *words: bytes) -> list[bytes | None]:
    hash_ = Hash.at(ctx.db, key)
    fields = fields_of(words)
    values = []
    for field in fields:
        value = None if hash_ is None else hash_.get(field)
        values.append(value)
        if hash_ is not None and value is not None:
            hash_.delete(field)
    if hash_ is not None and any(value is not None for value in values):
        hash_.notify_taken(b"hdel")
    return values


@command("HSETEX", arity=-6, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def hsetex(ctx: Client, key: bytes, *words: bytes) -> int:
    condition, expiry, at_ms, pairs = hsetex_arguments(ctx, words)
    hash_ = Hash.to_write(ctx.db, key)
    if condition:
        wanted = condition == b"FXX"
        for field in pairs[::2]:
            if hash_.contains(field) != wanted:
                return 0
    ctx.db.make_sure_of_all(tuple(pairs))
    done = []
    for field, value in zip(pairs[::2], pairs[1::2], strict=True):
        if expiry == b"KEEPTTL":
            hash_.keep_expiry(field, value)
        elif not expiry:
            hash_.set(field, value)
        elif at_ms > ctx.keyspace.now_ms:
            hash_.set_until(field, value, at_ms)
            done.append(IS_SET)
        else:
            hash_.set(field, value)
            done.append(expire_field(ctx, hash_, field, at_ms))
    hash_.notify(b"hset")
    notify_expiries(hash_, done)
    return 1


def hsetex_arguments(ctx: Client, words: Sequence[bytes]) -> tuple[bytes, bytes, int, Sequence[bytes]]:
    """FXX, FNX or nothing; how the expiry is given, or KEEPTTL, or nothing; the expiry; fields and values."""
    condition = expiry = b""
    at_ms = 0
    rest = iter(range(len(words)))
    for at in rest:
        word = words[at].upper()
        if word == b"FIELDS":
            return condition, expiry, at_ms, pairs_of(words[at + 1 :])
        if word in EXPIRY_UNITS or word == b"KEEPTTL":
            if expiry:
                raise CommandError(ONE_EXPIRY)
            expiry = word
            if word != b"KEEPTTL":
                if at == len(words) - 1:
                    raise CommandError("ERR missing expire time")
                at_ms = option_expiry(ctx, word, words[next(rest)], "hsetex")
        elif word in (b"FXX", b"FNX"):
            if condition:
                raise CommandError(ONE_CONDITION)
            condition = word
        else:
            raise CommandError("ERR unknown argument: " + words[at].decode(errors="surrogateescape"))
    raise CommandError(FIELDS_MISSING)


def pairs_of(words: Sequence[bytes]) -> Sequence[bytes]:
    """`count field value ...`, to the end."""
    if len(words) > 2:
        count = integer(words[0], "ERR invalid number of fields")
        if not 1 <= count <= INT32_MAX:
            raise CommandError("ERR invalid number of fields")
        if len(words) == 1 + 2 * count:
            return words[1:]
    raise CommandError("ERR wrong number of arguments for 'hsetex' command")
