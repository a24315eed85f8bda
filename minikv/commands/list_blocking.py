# cython: language_level=3
"""Commands that take elements out of lists as soon as there are some."""

from __future__ import annotations

from minikv.commands.encoding import LIST
from minikv.commands.list import MOVES, many_of_first, move, pop, side
from minikv.dispatch.blocking import first_ready, timeout_in_seconds
from minikv.dispatch.client import Client
from minikv.dispatch.spec import BLOCKING, DENYOOM, MOVABLEKEYS, NOSCRIPT, WRITE, KeySpec, in_category
from minikv.keyspace.list import List
from minikv.protocol.reply import POSTPONED

command = in_category("list")


@command("BLPOP", arity=-3, flags=WRITE | NOSCRIPT | BLOCKING, keys=(1, -2, 1), key_flags="RW access delete")
def blpop(ctx: Client, *words: bytes) -> object:
    return first_ready(ctx, words[:-1], timeout_in_seconds(words[-1]), LIST, pop_left)


@command("BRPOP", arity=-3, flags=WRITE | NOSCRIPT | BLOCKING, keys=(1, -2, 1), key_flags="RW access delete")
def brpop(ctx: Client, *words: bytes) -> object:
    return first_ready(ctx, words[:-1], timeout_in_seconds(words[-1]), LIST, pop_right)


def pop_left(ctx: Client, key: bytes) -> object:
    list_ = List.at(ctx.db, key, False)
    return POSTPONED if list_ is None else [key, pop(list_, True)]


def pop_right(ctx: Client, key: bytes) -> object:
    list_ = List.at(ctx.db, key, False)
    return POSTPONED if list_ is None else [key, pop(list_, False)]


@command(
    "BLMPOP",
    arity=-5,
    flags=WRITE | BLOCKING | MOVABLEKEYS,
    keyspecs=[KeySpec("RW access delete", ("index", 2), ("keynum", 0, 1, 1))],
)
def blmpop(ctx: Client, timeout: bytes, *words: bytes) -> object:
    keys, pop = many_of_first(words)
    return first_ready(ctx, keys, timeout_in_seconds(timeout), LIST, pop)


@command("BLMOVE", arity=6, flags=WRITE | DENYOOM | NOSCRIPT | BLOCKING, keys=(1, 2, 1), keyspecs=MOVES)
def blmove(ctx: Client, source: bytes, destination: bytes, from_side: bytes, to_side: bytes, timeout: bytes) -> object:
    return move_when_ready(ctx, source, destination, side(from_side), side(to_side), timeout)


@command("BRPOPLPUSH", arity=4, flags=WRITE | DENYOOM | NOSCRIPT | BLOCKING, keys=(1, 2, 1), keyspecs=MOVES)
def brpoplpush(ctx: Client, source: bytes, destination: bytes, timeout: bytes) -> object:
    return move_when_ready(ctx, source, destination, False, True, timeout)


def move_when_ready(
    ctx: Client, source: bytes, destination: bytes, from_left: bool, to_left: bool, timeout: bytes
) -> object:
    def move_first(ctx: Client, key: bytes) -> object:
        value = move(ctx, key, destination, from_left, to_left)
        return POSTPONED if value is None else value

    return first_ready(ctx, [source], timeout_in_seconds(timeout), LIST, move_first, otherwise=None)
