# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Commands on lists."""

from __future__ import annotations

from collections.abc import Sequence

from minikv.dispatch.arguments import (
    INT64_MAX,
    INT64_MIN,
    NO_SUCH_KEY,
    SYNTAX_ERROR,
    clamp_positions,
    integer,
    keys_end_count,
)
from minikv.dispatch.blocking import Serve
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, MOVABLEKEYS, READONLY, WRITE, KeySpec, in_category
from minikv.errors import CommandError
from minikv.keyspace.list import List
from minikv.protocol.reply import NULL_ARRAY, OK, POSTPONED, SimpleString

command = in_category("list")

NOT_POSITIVE = "ERR value is out of range, must be positive"
SIDES = {b"LEFT": True, b"RIGHT": False}  # whether it is the left one
MOVES = [
    KeySpec("RW access delete", ("index", 1), ("range", 0, 1, 0)),
    KeySpec("RW insert", ("index", 2), ("range", 0, 1, 0)),
]


def side(word: bytes) -> bool:
    """Whether LEFT or RIGHT is the left side."""
    left = SIDES.get(word.upper())
    if left is None:
        raise CommandError(SYNTAX_ERROR)
    return left


# Adding to the ends


@command("LPUSH", arity=-3, flags=WRITE | DENYOOM | FAST, key_flags="RW insert")
def lpush(ctx: Client, key: bytes, *values: bytes) -> int:
    list_: List = List.to_write(ctx.db, key)
    return push_all(list_, values, True)


@command("RPUSH", arity=-3, flags=WRITE | DENYOOM | FAST, key_flags="RW insert")
def rpush(ctx: Client, key: bytes, *values: bytes) -> int:
    list_: List = List.to_write(ctx.db, key)
    return push_all(list_, values, False)


@command("LPUSHX", arity=-3, flags=WRITE | DENYOOM | FAST, key_flags="RW insert")
def lpushx(ctx: Client, key: bytes, *values: bytes) -> int:
    list_: List | None = List.at(ctx.db, key, False)
    return 0 if list_ is None else push_all(list_, values, True)


@command("RPUSHX", arity=-3, flags=WRITE | DENYOOM | FAST, key_flags="RW insert")
def rpushx(ctx: Client, key: bytes, *values: bytes) -> int:
    list_: List | None = List.at(ctx.db, key, False)
    return 0 if list_ is None else push_all(list_, values, False)


def push_all(list_: List, values: tuple[bytes, ...], left: bool) -> int:
    length = list_.push_all(values, left)
    list_.notify(b"lpush" if left else b"rpush")
    return length


# Taking from the ends


@command("LPOP", arity=-2, flags=WRITE | FAST, key_flags="RW access delete")
def lpop(ctx: Client, key: bytes, *options: bytes) -> object:
    if options:
        return pop_many(ctx, "lpop", key, options, True)
    list_: List | None = List.at(ctx.db, key, False)
    return None if list_ is None else pop(list_, True)


@command("RPOP", arity=-2, flags=WRITE | FAST, key_flags="RW access delete")
def rpop(ctx: Client, key: bytes, *options: bytes) -> object:
    if options:
        return pop_many(ctx, "rpop", key, options, False)
    list_: List | None = List.at(ctx.db, key, False)
    return None if list_ is None else pop(list_, False)


def pop(list_: List, left: bool) -> bytes:
    value = list_.pop(left)
    list_.notify_taken(b"lpop" if left else b"rpop")
    return value


def pop_up_to(list_: List, count: int, left: bool) -> list[bytes]:
    values = list_.pop_many(count, left)
    if values:
        list_.notify_taken(b"lpop" if left else b"rpop")
    return values


def pop_many(ctx: Client, name: str, key: bytes, options: Sequence[bytes], left: bool) -> object:
    if len(options) > 1:
        raise CommandError(f"ERR wrong number of arguments for '{name}' command")
    count = integer(options[0], NOT_POSITIVE)
    if count < 0:
        raise CommandError(NOT_POSITIVE)
    list_ = List.at(ctx.db, key, False)
    return NULL_ARRAY if list_ is None else pop_up_to(list_, count, left)


@command(
    "LMPOP",
    arity=-4,
    flags=WRITE | MOVABLEKEYS,
    keyspecs=[KeySpec("RW access delete", ("index", 1), ("keynum", 0, 1, 1))],
)
def lmpop(ctx: Client, *words: bytes) -> object:
    keys, pop = many_of_first(words)
    return next((popped for key in keys if (popped := pop(ctx, key)) is not POSTPONED), NULL_ARRAY)


def many_of_first(words: Sequence[bytes]) -> tuple[Sequence[bytes], Serve]:
    """The keys of LMPOP, and what to do with the first that exists."""
    keys, left, count = keys_end_count(words, SIDES)

    def pop(ctx: Client, key: bytes) -> object:
        list_ = List.at(ctx.db, key, False)
        return POSTPONED if list_ is None else [key, pop_up_to(list_, count, left)]

    return keys, pop


# From one end to another


@command("LMOVE", arity=5, flags=WRITE | DENYOOM, keys=(1, 2, 1), keyspecs=MOVES)
def lmove(ctx: Client, source: bytes, destination: bytes, from_side: bytes, to_side: bytes) -> bytes | None:
    return move(ctx, source, destination, side(from_side), side(to_side))


@command("RPOPLPUSH", arity=3, flags=WRITE | DENYOOM, keys=(1, 2, 1), keyspecs=MOVES)
def rpoplpush(ctx: Client, source: bytes, destination: bytes) -> bytes | None:
    return move(ctx, source, destination, False, True)


def move(ctx: Client, source: bytes, destination: bytes, from_left: bool, to_left: bool) -> bytes | None:
    """Take an element from an end of a list to an end of another one, or of the same; None if there is none."""
    from_list = List.at(ctx.db, source, False)
    if from_list is None:
        return None
    to_list = from_list if source == destination else List.to_write(ctx.db, destination)
    value = from_list.get(0 if from_left else -1)
    assert value is not None
    # In this order, so that nothing is lost if there is no room for it.
    to_list.push(value, to_left)
    if source != destination or from_left != to_left:
        from_list.pop(from_left)
    else:
        from_list.remove(1 if from_left else len(from_list) - 2)
    ctx.keyspace.dirty -= 1  # it counts as one change
    to_list.notify(b"lpush" if to_left else b"rpush")
    from_list.notify_taken(b"lpop" if from_left else b"rpop")
    return value


# By position


@command("LLEN", arity=2, flags=READONLY | FAST, key_flags="RO")
def llen(ctx: Client, key: bytes) -> int:
    list_ = List.at(ctx.db, key)
    return 0 if list_ is None else len(list_)


@command("LRANGE", arity=4, flags=READONLY, key_flags="RO access")
def lrange(ctx: Client, key: bytes, start: bytes, stop: bytes) -> list[bytes]:
    first, last = integer(start), integer(stop)
    list_ = List.at(ctx.db, key)
    return [] if list_ is None else list_.range(*clamp_positions(first, last, len(list_)))


@command("LINDEX", arity=3, flags=READONLY, key_flags="RO access")
def lindex(ctx: Client, key: bytes, index: bytes) -> bytes | None:
    list_ = List.at(ctx.db, key)
    return None if list_ is None else list_.get(integer(index))


@command("LSET", arity=4, flags=WRITE | DENYOOM, key_flags="RW update")
def lset(ctx: Client, key: bytes, index: bytes, value: bytes) -> SimpleString:
    list_ = List.at(ctx.db, key, False)
    if list_ is None:
        raise CommandError(NO_SUCH_KEY)
    if not list_.set(integer(index), value):
        raise CommandError("ERR index out of range")
    list_.notify(b"lset")
    return OK


@command("LINSERT", arity=5, flags=WRITE | DENYOOM, key_flags="RW insert")
def linsert(ctx: Client, key: bytes, where: bytes, pivot: bytes, value: bytes) -> int:
    if where.upper() not in (b"BEFORE", b"AFTER"):
        raise CommandError(SYNTAX_ERROR)
    list_ = List.at(ctx.db, key, False)
    if list_ is None:
        return 0
    found = list_.find(pivot)
    if not found:
        return -1
    list_.insert(found[0] + (where.upper() == b"AFTER"), value)
    list_.notify(b"linsert")
    return len(list_)


@command("LTRIM", arity=4, flags=WRITE, key_flags="RW delete")
def ltrim(ctx: Client, key: bytes, start: bytes, stop: bytes) -> SimpleString:
    first, last = integer(start), integer(stop)
    list_ = List.at(ctx.db, key, False)
    if list_ is not None:
        size = len(list_)
        begin, end = clamp_positions(first, last, size)
        if end < size:
            list_.remove(end, size - end)
        if begin:
            list_.remove(0, begin)
        if end - begin == size:
            ctx.db.break_watches(key)  # as Redis
        list_.notify_taken(b"ltrim")
    return OK


# By value


@command("LREM", arity=4, flags=WRITE, key_flags="RW delete")
def lrem(ctx: Client, key: bytes, count: bytes, value: bytes) -> int:
    limit = integer(count)
    list_ = List.at(ctx.db, key, False)
    if list_ is None:
        return 0
    removed = list_.remove_equal(value, min(abs(limit), INT64_MAX), limit < 0)
    if removed:
        list_.notify_taken(b"lrem")
    return removed


@command("LPOS", arity=-3, flags=READONLY, key_flags="RO access")
def lpos(ctx: Client, key: bytes, value: bytes, *options: bytes) -> object:
    rank, limit, within = 1, -1, 0
    for i in range(0, len(options), 2):
        option = options[i].upper()
        if i + 1 == len(options) or option not in (b"RANK", b"COUNT", b"MAXLEN"):
            raise CommandError(SYNTAX_ERROR)
        if option == b"RANK":
            rank = rank_of_match(options[i + 1])
        elif option == b"COUNT":
            limit = not_negative(options[i + 1], "ERR COUNT can't be negative")
        else:
            within = not_negative(options[i + 1], "ERR MAXLEN can't be negative")
    list_ = List.at(ctx.db, key)
    if list_ is None:
        return None if limit < 0 else []
    found = list_.find(value, abs(rank) - 1, abs(limit), within, rank < 0)
    if limit >= 0:
        return found
    return found[0] if found else None


def rank_of_match(text: bytes) -> int:
    rank = integer(text)
    if rank == INT64_MIN:
        return -1  # as Redis, which cannot negate it
    if rank == 0:
        raise CommandError(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
            "or use negative to start from the end of the list"
        )
    return rank


def not_negative(text: bytes, error: str) -> int:
    number = integer(text, error)
    if number < 0:
        raise CommandError(error)
    return number
