# cython: language_level=3
# distutils: extra_compile_args = -O1
"""Commands that take members out of sorted sets from either end, at once or as soon as there are some."""

from __future__ import annotations

from collections.abc import Sequence

from minikv.commands.encoding import SORTED_SET
from minikv.commands.sorted_set import Pairs, paired
from minikv.dispatch.arguments import SYNTAX_ERROR, integer, keys_end_count
from minikv.dispatch.blocking import Serve, first_ready, timeout_in_seconds
from minikv.dispatch.client import Client
from minikv.dispatch.spec import BLOCKING, FAST, MOVABLEKEYS, NOSCRIPT, WRITE, KeySpec, in_category
from minikv.errors import CommandError
from minikv.keyspace.sorted_set import SortedSet
from minikv.protocol.reply import NULL_ARRAY, POSTPONED

command = in_category("sortedset")

NOT_POSITIVE = "ERR value is out of range, must be positive"
ENDS = {b"MIN": False, b"MAX": True}  # whether it is the highest one


@command("ZPOPMIN", arity=-2, flags=WRITE | FAST, key_flags="RW access delete")
def zpopmin(ctx: Client, key: bytes, *options: bytes) -> list[object]:
    return pop_end(ctx, key, options, False)


@command("ZPOPMAX", arity=-2, flags=WRITE | FAST, key_flags="RW access delete")
def zpopmax(ctx: Client, key: bytes, *options: bytes) -> list[object]:
    return pop_end(ctx, key, options, True)


def pop_end(ctx: Client, key: bytes, options: tuple[bytes, ...], highest: bool) -> list[object]:
    """Without a count one member and its score, not in a pair even in RESP3."""
    if len(options) > 1:
        raise CommandError(SYNTAX_ERROR)
    count = integer(options[0], NOT_POSITIVE) if options else 1
    if count < 0:
        raise CommandError(NOT_POSITIVE)
    set_ = SortedSet.at(ctx.db, key, False)
    popped = [] if set_ is None else take(set_, count, highest)
    return paired(ctx, popped, True) if options else [part for pair in popped for part in pair]


def take(set_: SortedSet, count: int, highest: bool) -> Pairs:
    found = set_.by_rank(0, min(count, len(set_)), highest)
    for member, _ in found:
        set_.remove(member)
    if found:
        set_.notify_taken(b"zpopmax" if highest else b"zpopmin")
    return found


@command(
    "ZMPOP",
    arity=-4,
    flags=WRITE | MOVABLEKEYS,
    keyspecs=[KeySpec("RW access delete", ("index", 1), ("keynum", 0, 1, 1))],
)
def zmpop(ctx: Client, *words: bytes) -> object:
    keys, pop = many_of_first(words)
    return next((popped for key in keys if (popped := pop(ctx, key)) is not POSTPONED), NULL_ARRAY)


def many_of_first(words: Sequence[bytes]) -> tuple[Sequence[bytes], Serve]:
    """The keys of ZMPOP, and what to do with the first that exists."""
    keys, highest, count = keys_end_count(words, ENDS)

    def pop(ctx: Client, key: bytes) -> object:
        set_ = SortedSet.at(ctx.db, key, False)
        return POSTPONED if set_ is None else [key, [list(pair) for pair in take(set_, count, highest)]]

    return keys, pop


# Waiting


@command("BZPOPMIN", arity=-3, flags=WRITE | NOSCRIPT | BLOCKING | FAST, keys=(1, -2, 1), key_flags="RW access delete")
def bzpopmin(ctx: Client, *words: bytes) -> object:
    return first_ready(ctx, words[:-1], timeout_in_seconds(words[-1]), SORTED_SET, pop_lowest)


@command("BZPOPMAX", arity=-3, flags=WRITE | NOSCRIPT | BLOCKING | FAST, keys=(1, -2, 1), key_flags="RW access delete")
def bzpopmax(ctx: Client, *words: bytes) -> object:
    return first_ready(ctx, words[:-1], timeout_in_seconds(words[-1]), SORTED_SET, pop_highest)


def pop_lowest(ctx: Client, key: bytes) -> object:
    set_ = SortedSet.at(ctx.db, key, False)
    return POSTPONED if set_ is None else [key, *take(set_, 1, False)[0]]


def pop_highest(ctx: Client, key: bytes) -> object:
    set_ = SortedSet.at(ctx.db, key, False)
    return POSTPONED if set_ is None else [key, *take(set_, 1, True)[0]]


@command(
    "BZMPOP",
    arity=-5,
    flags=WRITE | BLOCKING | MOVABLEKEYS,
    keyspecs=[KeySpec("RW access delete", ("index", 2), ("keynum", 0, 1, 1))],
)
def bzmpop(ctx: Client, timeout: bytes, *words: bytes) -> object:
    keys, pop = many_of_first(words)
    return first_ready(ctx, keys, timeout_in_seconds(timeout), SORTED_SET, pop)
