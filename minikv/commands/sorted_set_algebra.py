# cython: language_level=3
"""Unions, intersections and differences of sorted sets; plain sets take part with a score of 1 for each member."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from minikv.commands.sorted_set import Pairs, paired, score_of
from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, MOVABLEKEYS, READONLY, WRITE, KeySpec, in_category
from minikv.errors import CommandError, WrongTypeError
from minikv.keyspace.algebra import ADD, TAKE_LEAST, TAKE_MOST, count_members_in, scores_in, scores_not_in
from minikv.keyspace.set import Set
from minikv.keyspace.sorted_set import SortedSet, replace_sorted_set

command = in_category("sortedset")

Aggregate = tuple[int, Callable[[float, float], float]]
Scores = dict[bytes, float]

# Members that are taken out of a source at once, when a limit may end it all.
PIECE = 64

SOURCES = KeySpec("RO access", ("index", 1), ("keynum", 0, 1, 1))
STORED = [
    KeySpec("OW update", ("index", 1), ("range", 0, 1, 0)),
    KeySpec("RO access", ("index", 2), ("keynum", 0, 1, 1)),
]


def number_or_zero(score: float) -> float:
    """The product or sum of infinities may be no number; it counts as 0."""
    return score if score == score else 0.0


# A product that is no number leaves what it is compared with.
AGGREGATES: dict[bytes, Aggregate] = {
    b"SUM": (ADD, lambda total, score: number_or_zero(total + score)),
    b"MIN": (TAKE_LEAST, lambda least, score: score if score < least else least),
    b"MAX": (TAKE_MOST, lambda most, score: score if score > most else most),
}


class Request:
    """What the commands have in common: keys, and options that each of them allows or not."""

    def __init__(self, ctx: Client, name: str, numkeys: bytes, words: tuple[bytes, ...], allowed: set[bytes]):
        count = integer(numkeys)
        if count < 1:
            raise CommandError(f"ERR at least 1 input key is needed for '{name}' command")
        if count > len(words):
            raise CommandError(SYNTAX_ERROR)
        self.sources = [source_of(ctx, key) for key in words[:count]]
        self.weights = [1.0] * count
        self.aggregate = AGGREGATES[b"SUM"]
        self.with_scores = False
        self.limit = 0
        options = list(words[count:])
        while options:
            word = options.pop(0).upper()
            needed = {b"WEIGHTS": count, b"AGGREGATE": 1, b"LIMIT": 1}.get(word, 0)
            if word not in allowed or len(options) < needed:
                raise CommandError(SYNTAX_ERROR)
            self.take_option(word, options[:needed])
            del options[:needed]

    def take_option(self, word: bytes, values: Sequence[bytes]) -> None:
        if word == b"WEIGHTS":
            self.weights = [score_of(text, "ERR weight value is not a float") for text in values]
        elif word == b"AGGREGATE":
            if values[0].upper() not in AGGREGATES:
                raise CommandError(SYNTAX_ERROR)
            self.aggregate = AGGREGATES[values[0].upper()]
        elif word == b"LIMIT":
            self.limit = integer(values[0], "ERR LIMIT can't be negative")
            if self.limit < 0:
                raise CommandError("ERR LIMIT can't be negative")
        else:
            self.with_scores = True

    def smallest_first(self) -> list[tuple[Source, float]]:
        """Sources with their weights, in the order in which Redis adds their scores up."""
        return sorted(zip(self.sources, self.weights, strict=True), key=lambda weighted: len(weighted[0]))

    def union(self) -> Scores:
        total: Scores = {}
        aggregate = self.aggregate[1]
        for source, weight in self.smallest_first():
            for member, score in source.pairs():
                weighted = number_or_zero(weight * score)
                total[member] = aggregate(total[member], weighted) if member in total else weighted
        return total

    def intersection(self) -> Pairs:
        """Members that all sources have, in the order of a sorted set."""
        (smallest, weight), *others = self.smallest_first()
        collections = [each for other, _ in others if (each := other.collection) is not None]
        if smallest.collection is None:
            return []
        return scores_in(smallest.collection, weight, collections, [each for _, each in others], self.aggregate[0])

    def count_in_all(self) -> int:
        """How many members all sources have, `limit` at most (0: all)."""
        (smallest, _), *others = self.smallest_first()
        if smallest.collection is None:
            return 0
        if not self.limit:
            return count_members_in(smallest.collection, [each for other, _ in others if (each := other.collection)])
        everywhere = (
            member
            for member, _ in smallest.pieces(self.limit)
            if all(other.score(member) is not None for other, _ in others)
        )
        return sum(1 for _ in islice(everywhere, self.limit))

    def difference(self) -> Pairs:
        """Members of the first source that no other has, in the order of a sorted set."""
        first, *others = self.sources
        if first.collection is None:
            return []
        return scores_not_in(first.collection, [each for other in others if (each := other.collection) is not None])


class Source:
    """A sorted set, a set, or nothing: members with scores."""

    def __init__(self, scored: SortedSet | None, plain: Set | None):
        self.scored = scored
        self.plain = plain
        self.collection = plain if scored is None else scored

    def __len__(self) -> int:
        return len(self.scored) if self.scored is not None else len(self.plain) if self.plain is not None else 0

    def pairs(self) -> Pairs:
        if self.scored is not None:
            return self.scored.by_rank(0, len(self.scored))
        return [(member, 1.0) for member in self.plain.members()] if self.plain is not None else []

    def pieces(self, first: int) -> Iterator[tuple[bytes, float]]:
        """The same, not all at once: `first` members, then more and more of them."""
        size = min(first, PIECE)
        if self.scored is not None:
            start = 0
            while start < len(self.scored):
                yield from self.scored.by_rank(start, start + size)
                start += size
                size = min(2 * size, PIECE)
        elif self.plain is not None:
            cursor, members = self.plain.scan(0, size)
            while True:
                yield from ((member, 1.0) for member in members)
                if not cursor:
                    break
                size = min(2 * size, PIECE)
                cursor, members = self.plain.scan(cursor, size)

    def score(self, member: bytes) -> float | None:
        if self.scored is not None:
            return self.scored.score(member)
        return 1.0 if self.plain is not None and self.plain.contains(member) else None


def source_of(ctx: Client, key: bytes) -> Source:
    try:
        return Source(SortedSet.at(ctx.db, key), None)
    except WrongTypeError:
        return Source(None, Set.at(ctx.db, key, False))


def reply_scores(ctx: Client, scores: Scores, with_scores: bool) -> list[object]:
    """In the order of a sorted set."""
    return paired(ctx, sorted(scores.items(), key=lambda pair: (pair[1], pair[0])), with_scores)


COMBINING = {b"WEIGHTS", b"AGGREGATE"}


@command("ZUNION", arity=-3, flags=READONLY | MOVABLEKEYS, keyspecs=[SOURCES])
def zunion(ctx: Client, numkeys: bytes, *words: bytes) -> list[object]:
    request = Request(ctx, "zunion", numkeys, words, COMBINING | {b"WITHSCORES"})
    return reply_scores(ctx, request.union(), request.with_scores)


@command("ZINTER", arity=-3, flags=READONLY | MOVABLEKEYS, keyspecs=[SOURCES])
def zinter(ctx: Client, numkeys: bytes, *words: bytes) -> list[object]:
    request = Request(ctx, "zinter", numkeys, words, COMBINING | {b"WITHSCORES"})
    return paired(ctx, request.intersection(), request.with_scores)


@command("ZDIFF", arity=-3, flags=READONLY | MOVABLEKEYS, keyspecs=[SOURCES])
def zdiff(ctx: Client, numkeys: bytes, *words: bytes) -> list[object]:
    request = Request(ctx, "zdiff", numkeys, words, {b"WITHSCORES"})
    return paired(ctx, request.difference(), request.with_scores)


@command("ZINTERCARD", arity=-3, flags=READONLY | MOVABLEKEYS, keyspecs=[SOURCES])
def zintercard(ctx: Client, numkeys: bytes, *words: bytes) -> int:
    return Request(ctx, "zintercard", numkeys, words, {b"LIMIT"}).count_in_all()


@command("ZUNIONSTORE", arity=-4, flags=WRITE | DENYOOM | MOVABLEKEYS, keys=(1, 1, 1), keyspecs=STORED)
def zunionstore(ctx: Client, destination: bytes, numkeys: bytes, *words: bytes) -> int:
    scores = Request(ctx, "zunionstore", numkeys, words, COMBINING).union()
    return replace_sorted_set(ctx.db, destination, list(scores.items()), b"zunionstore")


@command("ZINTERSTORE", arity=-4, flags=WRITE | DENYOOM | MOVABLEKEYS, keys=(1, 1, 1), keyspecs=STORED)
def zinterstore(ctx: Client, destination: bytes, numkeys: bytes, *words: bytes) -> int:
    pairs = Request(ctx, "zinterstore", numkeys, words, COMBINING).intersection()
    return replace_sorted_set(ctx.db, destination, pairs, b"zinterstore")


@command("ZDIFFSTORE", arity=-4, flags=WRITE | DENYOOM | MOVABLEKEYS, keys=(1, 1, 1), keyspecs=STORED)
def zdiffstore(ctx: Client, destination: bytes, numkeys: bytes, *words: bytes) -> int:
    pairs = Request(ctx, "zdiffstore", numkeys, words, set()).difference()
    return replace_sorted_set(ctx.db, destination, pairs, b"zdiffstore")
