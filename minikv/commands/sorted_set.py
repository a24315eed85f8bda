# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Commands on sorted sets: members, ranks, ranges.

Any range is two ranks, so ranges by rank, by score and by member differ only in how their bounds are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minikv.algorithms.double import parse_bound, parse_double
from minikv.commands.draws import OUT_OF_RANGE, drawn
from minikv.commands.encoding import encoding_of
from minikv.commands.scan import scan_options
from minikv.dispatch.arguments import (
    INT64_MAX,
    NOT_A_FLOAT,
    SYNTAX_ERROR,
    clamp_positions,
    cursor,
    integer,
    integer_between,
)
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, READONLY, WRITE, KeySpec, in_category
from minikv.errors import CommandError
from minikv.keyspace.glob import glob_match
from minikv.keyspace.sorted_set import SortedSet, replace_sorted_set
from minikv.protocol.reply import NULL_ARRAY, format_double

command = in_category("sortedset")

Pairs = Sequence[tuple[bytes, float]]
# The ranks, from and to before, that a range means in a sorted set.
Ranks = Callable[[SortedSet], tuple[int, int]]

# Options of ZADD, one bit each.
NX, XX, GT, LT, CH, INCR = (1 << bit for bit in range(6))
OPTIONS = {b"NX": NX, b"XX": XX, b"GT": GT, b"LT": LT, b"CH": CH, b"INCR": INCR}
# ZSCAN shows an integral score of a listpack in full up to here, as Redis keeps it as an integer.
INTEGRAL_MAX = INT64_MAX // 2
NOT_A_NUMBER = "ERR resulting score is not a number (NaN)"
BAD_SCORES = "ERR min or max is not a float"
BAD_MEMBERS = "ERR min or max not valid string range item"


def paired(ctx: Client, pairs: Pairs, scores: bool) -> list[object]:
    """Members as a reply; with scores they come in pairs in RESP3, in a row in RESP2."""
    if not scores:
        return [member for member, _ in pairs]
    return [list(pair) for pair in pairs] if ctx.resp == 3 else [part for pair in pairs for part in pair]


# Members


@command("ZADD", arity=-4, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def zadd(ctx: Client, key: bytes, *words: bytes) -> int | float | None:
    score = parse_double(words[0])
    if score is not None and len(words) == 2:
        set_: SortedSet = SortedSet.to_write(ctx.db, key)
        added = 1 if set_.set(words[1], score) else 0
        if set_.has_changed:
            set_.notify(b"zadd")
        return added
    return add(ctx, key, words, 0)


@command("ZINCRBY", arity=4, flags=WRITE | DENYOOM | FAST, key_flags="RW access update")
def zincrby(ctx: Client, key: bytes, *words: bytes) -> int | float | None:
    return add(ctx, key, words, INCR)


def add(ctx: Client, key: bytes, words: tuple[bytes, ...], options: int) -> int | float | None:
    first = 0
    while first < len(words) and (option := OPTIONS.get(words[first].upper(), 0)):
        options |= option
        first += 1
    count = len(words) - first
    if count % 2 or not count:
        raise CommandError(SYNTAX_ERROR)
    if options:
        check_options(options, count // 2)
    scores = [score_of(words[place]) for place in range(first, len(words), 2)]
    return add_pairs(ctx, key, scores, words[first + 1 :: 2], options)


def add_pairs(
    ctx: Client, key: bytes, scores: list[float], members: tuple[bytes, ...], options: int
) -> int | float | None:
    """Give members scores, as the options of ZADD say; returns what ZADD replies."""
    set_ = SortedSet.at(ctx.db, key, False) if options & XX else SortedSet.to_write(ctx.db, key)
    if set_ is None:
        return None if options & INCR else 0
    if not options:
        count = set_.set_all(members, scores)
        if set_.has_changed:
            set_.notify(b"zadd")
        return count
    if len(members) > 1:
        ctx.db.make_sure_of_all(members)
    added = updated = 0
    score: float | None = None
    for member, number in zip(members, scores, strict=True):
        old = set_.score(member)
        score = new_score(old, number, options)
        if score is not None and score != old:
            set_.set(member, score)
            added += old is None
            updated += old is not None
    if set_.has_changed:
        set_.notify(b"zincr" if options & INCR else b"zadd")
    if options & INCR:
        return score
    return added + updated if options & CH else added


def check_options(options: int, pairs: int) -> None:
    if options & NX and options & XX:
        raise CommandError("ERR XX and NX options at the same time are not compatible")
    if bin(options & (GT | LT | NX)).count("1") > 1:
        raise CommandError("ERR GT, LT, and/or NX options at the same time are not compatible")
    if options & INCR and pairs > 1:
        raise CommandError("ERR INCR option supports a single increment-element pair")


def new_score(old: float | None, number: float, options: int) -> float | None:
    """What the member's score becomes, perhaps what it was; None if the options want nothing done."""
    if old is None:
        return None if options & XX else number
    if options & NX:
        return None
    if options & INCR:
        number += old
        if number != number:
            raise CommandError(NOT_A_NUMBER)
    if (options & LT and number >= old) or (options & GT and number <= old):
        return None
    return number


def score_of(text: bytes, error: str = NOT_A_FLOAT) -> float:
    number = parse_double(text)
    if number is None:
        raise CommandError(error)
    return number


@command("ZREM", arity=-3, flags=WRITE | FAST, key_flags="RW delete")
def zrem(ctx: Client, key: bytes, *members: bytes) -> int:
    set_: SortedSet | None = SortedSet.at(ctx.db, key, False)
    if set_ is None:
        return 0
    removed = sum([set_.remove(member) for member in members])
    if removed:
        set_.notify_taken(b"zrem")
    return removed


@command("ZCARD", arity=2, flags=READONLY | FAST, key_flags="RO")
def zcard(ctx: Client, key: bytes) -> int:
    set_ = SortedSet.at(ctx.db, key)
    return 0 if set_ is None else len(set_)


@command("ZSCORE", arity=3, flags=READONLY | FAST, key_flags="RO access")
def zscore(ctx: Client, key: bytes, member: bytes) -> float | None:
    set_: SortedSet | None = SortedSet.at(ctx.db, key)
    return None if set_ is None else set_.score(member)


@command("ZMSCORE", arity=-3, flags=READONLY | FAST, key_flags="RO access")
def zmscore(ctx: Client, key: bytes, *members: bytes) -> list[float | None]:
    set_ = SortedSet.at(ctx.db, key)
    return [None if set_ is None else set_.score(member) for member in members]


@command("ZRANK", arity=-3, flags=READONLY | FAST, key_flags="RO access")
def zrank(ctx: Client, key: bytes, member: bytes, *options: bytes) -> object:
    if options:
        return rank_and_score(ctx, b"zrank", key, member, options)
    set_: SortedSet | None = SortedSet.at(ctx.db, key)
    return None if set_ is None else set_.rank(member)


@command("ZREVRANK", arity=-3, flags=READONLY | FAST, key_flags="RO access")
def zrevrank(ctx: Client, key: bytes, member: bytes, *options: bytes) -> object:
    if options:
        return rank_and_score(ctx, b"zrevrank", key, member, options)
    set_ = SortedSet.at(ctx.db, key)
    rank = None if set_ is None else set_.rank(member)
    return None if set_ is None or rank is None else len(set_) - 1 - rank


def rank_and_score(ctx: Client, name: bytes, key: bytes, member: bytes, options: Sequence[bytes]) -> object:
    """ZRANK and ZREVRANK with WITHSCORE, which Redis has since 7.2."""
    if len(options) > 1:
        raise CommandError(f"ERR wrong number of arguments for '{name.decode()}' command")
    if options[0].upper() != b"WITHSCORE":
        raise CommandError(SYNTAX_ERROR)
    set_ = SortedSet.at(ctx.db, key)
    rank = None if set_ is None else set_.rank(member)
    if set_ is None or rank is None:
        return NULL_ARRAY
    return [rank if name == b"zrank" else len(set_) - 1 - rank, set_.score(member)]


@command("ZRANDMEMBER", arity=-2, flags=READONLY, key_flags="RO access", tips=["nondeterministic_output"])
def zrandmember(ctx: Client, key: bytes, *options: bytes) -> object:
    if options:
        return random_members(ctx, key, *options)
    set_ = SortedSet.at(ctx.db, key)
    return None if set_ is None else set_.sample(1, True)[0][0]


def random_members(ctx: Client, key: bytes, count: bytes, *options: bytes) -> object:
    """Different members; with a negative count, that many independent draws."""
    wanted = integer_between(count, -INT64_MAX, INT64_MAX)
    if len(options) > 1 or (options and options[0].upper() != b"WITHSCORES"):
        raise CommandError(SYNTAX_ERROR)
    if options and abs(wanted) > INT64_MAX // 2:
        raise CommandError(OUT_OF_RANGE)
    set_ = SortedSet.at(ctx.db, key)
    if set_ is None:
        return []
    with_scores = bool(options)
    if wanted >= 0:
        return paired(ctx, set_.sample(wanted, True), with_scores)
    width = 2 if options and ctx.resp == 2 else 1
    return drawn(ctx, lambda number: paired(ctx, set_.sample(number, False), with_scores), -wanted, width)


@command("ZSCAN", arity=-3, flags=READONLY, key_flags="RO access", tips=["nondeterministic_output"])
def zscan(ctx: Client, key: bytes, start: bytes, *options: bytes) -> list[object]:
    place = cursor(start)
    set_ = SortedSet.at(ctx.db, key)
    if set_ is None:
        return [b"0", []]
    count, pattern = scan_options(options)
    place, found = set_.scan(place, count)
    packed = encoding_of(ctx.db, key, ctx.server.config) == b"listpack"
    flat: list[bytes] = []
    for member, score in found:
        if pattern == b"*" or glob_match(pattern, member):
            integral = packed and abs(score) <= INTEGRAL_MAX and score == int(score)
            flat += (member, b"%d" % int(score) if integral else format_double(score))
    return [b"%d" % place, flat]


# Ranges


def by_rank(first: bytes, last: bytes) -> Ranks:
    """Ranks, inclusive, which may count from the end."""
    start, end = integer(first), integer(last)

    def ranks(set_: SortedSet) -> tuple[int, int]:
        return clamp_positions(start, end, len(set_))

    return ranks


def by_score(low: bytes, high: bytes) -> Ranks:
    """Scores; a bound after `(` is not part of the range."""
    bounds = []
    for text in (low, high):
        open_ = text.startswith(b"(")
        number = parse_bound(text[1:] if open_ else text)
        if number is None:
            raise CommandError(BAD_SCORES)
        bounds.append((number, open_))
    (least, after), (most, before) = bounds
    return lambda set_: (set_.rank_of_score(least, after), set_.rank_of_score(most, not before))


def by_member(low: bytes, high: bytes) -> Ranks:
    """Members: `[` includes the bound, `(` excludes it; `-` is below all members, `+` above."""
    for text in (low, high):
        if text[:1] not in (b"[", b"(") and not (text[:1] in (b"-", b"+") and text[1:2] in (b"", b"\0")):
            raise CommandError(BAD_MEMBERS)
    least, most = low, high

    def rank(set_: SortedSet, bound: bytes, after: bool) -> int:
        if bound[:1] == b"-":
            return 0
        return len(set_) if bound[:1] == b"+" else set_.rank_of_member_bound(bound[1:], after)

    return lambda set_: (rank(set_, least, least[:1] == b"("), rank(set_, most, most[:1] == b"["))


@command("ZCOUNT", arity=4, flags=READONLY | FAST, key_flags="RO access")
def zcount(ctx: Client, key: bytes, low: bytes, high: bytes) -> int:
    return count_of(ctx, key, by_score(low, high))


@command("ZLEXCOUNT", arity=4, flags=READONLY | FAST, key_flags="RO access")
def zlexcount(ctx: Client, key: bytes, low: bytes, high: bytes) -> int:
    return count_of(ctx, key, by_member(low, high))


def count_of(ctx: Client, key: bytes, ranks: Ranks) -> int:
    set_ = SortedSet.at(ctx.db, key)
    if set_ is None:
        return 0
    start, stop = ranks(set_)
    return max(stop - start, 0)


@command("ZRANGE", arity=-4, flags=READONLY, key_flags="RO access")
def zrange(ctx: Client, key: bytes, *words: bytes) -> Sequence[object]:
    if len(words) == 2:
        return reply_ranks(ctx, key, integer(words[0]), integer(words[1]))
    return reply_range(ctx, key, Range(words))


@command("ZREVRANGE", arity=-4, flags=READONLY, key_flags="RO access")
def zrevrange(ctx: Client, key: bytes, *words: bytes) -> Sequence[object]:
    return reply_range(ctx, key, Range(words, by=b"", reverse=True))


@command("ZRANGEBYSCORE", arity=-4, flags=READONLY, key_flags="RO access")
def zrangebyscore(ctx: Client, key: bytes, *words: bytes) -> Sequence[object]:
    return reply_range(ctx, key, Range(words, by=b"BYSCORE", reverse=False))


@command("ZREVRANGEBYSCORE", arity=-4, flags=READONLY, key_flags="RO access")
def zrevrangebyscore(ctx: Client, key: bytes, *words: bytes) -> Sequence[object]:
    return reply_range(ctx, key, Range(words, by=b"BYSCORE", reverse=True))


@command("ZRANGEBYLEX", arity=-4, flags=READONLY, key_flags="RO access")
def zrangebylex(ctx: Client, key: bytes, *words: bytes) -> Sequence[object]:
    return reply_range(ctx, key, Range(words, by=b"BYLEX", reverse=False))


@command("ZREVRANGEBYLEX", arity=-4, flags=READONLY, key_flags="RO access")
def zrevrangebylex(ctx: Client, key: bytes, *words: bytes) -> Sequence[object]:
    return reply_range(ctx, key, Range(words, by=b"BYLEX", reverse=True))


@command(
    "ZRANGESTORE",
    arity=-5,
    flags=WRITE | DENYOOM,
    keys=(1, 2, 1),
    keyspecs=[
        KeySpec("OW update", ("index", 1), ("range", 0, 1, 0)),
        KeySpec("RO access", ("index", 2), ("range", 0, 1, 0)),
    ],
)
def zrangestore(ctx: Client, destination: bytes, source: bytes, *words: bytes) -> int:
    wanted = Range(words, store=True)
    set_ = SortedSet.at(ctx.db, source)
    pairs = [] if set_ is None else set_.by_rank(*wanted.ranks_in(set_), wanted.reverse)
    return replace_sorted_set(ctx.db, destination, pairs, b"zrangestore")


class Range:
    """What ZRANGE and its kin ask for: two bounds and options, which the old names of the command fix in part."""

    def __init__(
        self, words: tuple[bytes, ...], by: bytes | None = None, reverse: bool | None = None, store: bool = False
    ):
        low, high, *options = words
        self.scores = False
        offset, limit = 0, -1
        place = 0
        while place < len(options):
            word = options[place].upper()
            if word == b"WITHSCORES" and not store:
                self.scores = True
            elif word == b"LIMIT" and place + 2 < len(options):
                offset, limit = integer(options[place + 1]), integer(options[place + 2])
                place += 2
            elif word == b"REV" and reverse is None:
                reverse = True
            elif word in (b"BYLEX", b"BYSCORE") and by is None:
                by = word
            else:
                raise CommandError(SYNTAX_ERROR)
            place += 1
        self.offset, self.limit = offset, limit
        self.reverse = bool(reverse)
        if limit != -1 and not by:
            raise CommandError("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
        if self.scores and by == b"BYLEX":
            raise CommandError("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
        self.counted = not by
        if by and self.reverse:
            low, high = high, low
        self.ranks = (by_score if by == b"BYSCORE" else by_member if by else by_rank)(low, high)

    def ranks_in(self, set_: SortedSet) -> tuple[int, int]:
        """Ranks from and to before, from the top if it is reverse."""
        start, stop = self.ranks(set_)
        if self.counted:
            return start, stop
        if self.offset < 0:
            return 0, 0
        if self.reverse:
            start, stop = len(set_) - stop, len(set_) - start
        # A range may be empty the other way round.
        start = min(start + self.offset, len(set_))
        if self.limit >= 0:
            stop = min(stop, start + self.limit)
        return start, stop


def reply_range(ctx: Client, key: bytes, wanted: Range) -> Sequence[object]:
    set_ = SortedSet.at(ctx.db, key)
    if set_ is None:
        return []
    start, stop = wanted.ranks_in(set_)
    if wanted.scores:
        return paired(ctx, set_.by_rank(start, stop, wanted.reverse), True)
    return set_.members_by_rank(start, stop, wanted.reverse)


def reply_ranks(ctx: Client, key: bytes, first: int, last: int) -> list[bytes]:
    """The plainest range, for which a Range would take longer than the answer."""
    set_: SortedSet | None = SortedSet.at(ctx.db, key)
    if set_ is None:
        return []
    if first >= 0 and 0 <= last < INT64_MAX:
        return set_.members_by_rank(first, last + 1)
    start, stop = clamp_positions(first, last, len(set_))
    return set_.members_by_rank(start, stop)


# Taking out


@command("ZREMRANGEBYRANK", arity=4, flags=WRITE, key_flags="RW delete")
def zremrangebyrank(ctx: Client, key: bytes, first: bytes, last: bytes) -> int:
    return remove_range(ctx, key, by_rank(first, last), b"zremrangebyrank")


@command("ZREMRANGEBYSCORE", arity=4, flags=WRITE, key_flags="RW delete")
def zremrangebyscore(ctx: Client, key: bytes, low: bytes, high: bytes) -> int:
    return remove_range(ctx, key, by_score(low, high), b"zremrangebyscore")


@command("ZREMRANGEBYLEX", arity=4, flags=WRITE, key_flags="RW delete")
def zremrangebylex(ctx: Client, key: bytes, low: bytes, high: bytes) -> int:
    return remove_range(ctx, key, by_member(low, high), b"zremrangebylex")


def remove_range(ctx: Client, key: bytes, ranks: Ranks, event: bytes) -> int:
    set_ = SortedSet.at(ctx.db, key, False)
    if set_ is None:
        return 0
    found = set_.by_rank(*ranks(set_))
    for member, _ in found:
        set_.remove(member)
    if found:
        set_.notify_taken(event)
    return len(found)
