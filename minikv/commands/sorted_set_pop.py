# cython: language_level=3
"""Commands that take members out of sorted sets from either end, at once or as soon as there are some."""

from __future__ import annotations

from minikv.commands.arguments import SYNTAX_ERROR, integer
from minikv.commands.client import Client
from minikv.commands.sorted_set import Pairs, paired
from minikv.commands.spec import FAST, MOVABLEKEYS, WRITE, KeySpec, command
from minikv.errors import CommandError
from minikv.keyspace.sorted_set import SortedSet
from minikv.protocol.reply import NULL_ARRAY

NOT_POSITIVE = "ERR value is out of range, must be positive"


@command("ZPOPMIN", arity=-2, flags=WRITE | FAST, keys=(1, 1, 1), key_flags="RW access delete", categories="sortedset")
def zpopmin(ctx: Client, key: bytes, *options: bytes) -> list[object]:
    return pop_end(ctx, key, options, False)


@command("ZPOPMAX", arity=-2, flags=WRITE | FAST, keys=(1, 1, 1), key_flags="RW access delete", categories="sortedset")
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
    return found


@command(
    "ZMPOP",
    arity=-4,
    flags=WRITE | MOVABLEKEYS,
    keyspecs=[KeySpec("RW access delete", ("index", 1), ("keynum", 0, 1, 1))],
    categories="sortedset",
)
def zmpop(ctx: Client, numkeys: bytes, *words: bytes) -> object:
    keys = at_least_one(numkeys, "ERR numkeys should be greater than 0")
    if keys >= len(words) or words[keys].upper() not in (b"MIN", b"MAX"):
        raise CommandError(SYNTAX_ERROR)
    count = 1
    options = words[keys + 1 :]
    if options:
        if options[0].upper() != b"COUNT" or len(options) == 1:
            raise CommandError(SYNTAX_ERROR)
        count = at_least_one(options[1], "ERR count should be greater than 0")
        if len(options) > 2:
            raise CommandError(SYNTAX_ERROR)
    for key in words[:keys]:
        set_ = SortedSet.at(ctx.db, key, False)
        if set_ is not None:
            return [key, [list(pair) for pair in take(set_, count, words[keys].upper() == b"MAX")]]
    return NULL_ARRAY


def at_least_one(text: bytes, error: str) -> int:
    number = integer(text, error)
    if number < 1:
        raise CommandError(error)
    return number
