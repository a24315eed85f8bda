# cython: language_level=3
# distutils: extra_compile_args = -O1
"""Commands on places: sorted sets whose scores are geohashes (see geohash.py)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from minikv.algorithms import geohash
from minikv.algorithms.geohash import Shape
from minikv.algorithms.partial_sort import smallest_first
from minikv.commands.sorted_set import CH, NX, OPTIONS, XX, add_pairs, score_of
from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, MOVABLEKEYS, READONLY, WRITE, KeySpec, in_category
from minikv.errors import CommandError, NamingError
from minikv.keyspace.sorted_set import SortedSet, replace_sorted_set
from minikv.protocol.reply import NULL_ARRAY, Decimal

command = in_category("geo")

Place = tuple[float, float]
# Member, score, metres from the centre, longitude, latitude.
Found = tuple[bytes, float, float, float, float]

METRES = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}
MEMBERS_AT_ONCE = 512  # a cell may hold any number of members, most of them outside the shape
NO_MEMBER = "ERR could not decode requested zset member"

STORED = [
    KeySpec("OW update", ("index", 1), ("range", 0, 1, 0)),
    KeySpec("RO access", ("index", 2), ("range", 0, 1, 0)),
]


def perhaps_stored(start_from: int) -> list[KeySpec]:
    """Key specifications of a command with the options STORE and STOREDIST."""
    return [
        KeySpec("RO access", ("index", 1), ("range", 0, 1, 0)),
        KeySpec("OW update", ("keyword", "STORE", start_from), ("range", 0, 1, 0)),
        KeySpec("OW update", ("keyword", "STOREDIST", start_from), ("range", 0, 1, 0)),
    ]


# Arguments and replies


def place_of(longitude: bytes, latitude: bytes) -> Place:
    place = score_of(longitude), score_of(latitude)
    if not geohash.is_place(*place):
        raise CommandError(f"ERR invalid longitude,latitude pair {place[0]:f},{place[1]:f}")
    return place


def unit_of(text: bytes) -> float:
    """The unit's length in metres."""
    metres = METRES.get(text.upper())
    if metres is None:
        raise CommandError("ERR unsupported unit provided. please use M, KM, FT, MI")
    return metres


def length_of(text: bytes, name: str) -> float:
    return score_of(text, f"ERR need numeric {name}")


def place_of_member(set_: SortedSet, member: bytes) -> Place:
    score = set_.score(member)
    if score is None:
        raise CommandError(NO_MEMBER)
    return geohash.decode(score)


def shown_place(place: Place) -> list[Decimal]:
    """Longitude and latitude with all of their digits, but no zeros at the end."""
    return [Decimal((b"%.17f" % coordinate).rstrip(b"0").removesuffix(b".")) for coordinate in place]


# Members


@command("GEOADD", arity=-5, flags=WRITE | DENYOOM, key_flags="RW update")
def geoadd(ctx: Client, key: bytes, *words: bytes) -> int | float | None:
    options = first = 0
    while first < len(words) and (option := OPTIONS.get(words[first].upper(), 0)) & (NX | XX | CH):
        options |= option
        first += 1
    places = words[first:]
    if len(places) % 3 or not places or (options & NX and options & XX):
        raise CommandError(SYNTAX_ERROR)
    scores = [float(geohash.encode(*place_of(*pair))) for pair in zip(places[::3], places[1::3], strict=True)]
    return add_pairs(ctx, key, scores, places[2::3], options)


@command("GEOPOS", arity=-2, flags=READONLY, key_flags="RO access")
def geopos(ctx: Client, key: bytes, *members: bytes) -> list[object]:
    return [
        NULL_ARRAY if score is None else shown_place(geohash.decode(score)) for score in scores_of(ctx, key, members)
    ]


@command("GEOHASH", arity=-2, flags=READONLY, key_flags="RO access")
def geohash_(ctx: Client, key: bytes, *members: bytes) -> list[bytes | None]:
    return [None if score is None else geohash.text(*geohash.decode(score)) for score in scores_of(ctx, key, members)]


def scores_of(ctx: Client, key: bytes, members: Sequence[bytes]) -> list[float | None]:
    set_ = SortedSet.at(ctx.db, key)
    return [None if set_ is None else set_.score(member) for member in members]


@command("GEODIST", arity=-4, flags=READONLY, key_flags="RO access")
def geodist(ctx: Client, key: bytes, one: bytes, other: bytes, *unit: bytes) -> bytes | None:
    if len(unit) > 1:
        raise CommandError(SYNTAX_ERROR)
    metres = unit_of(unit[0]) if unit else 1.0
    from_score, to_score = scores_of(ctx, key, (one, other))
    if from_score is None or to_score is None:
        return None
    return geohash.shown(geohash.distance(*geohash.decode(from_score), *geohash.decode(to_score)) / metres)


# Searches


class Search:
    """What GEOSEARCH, GEORADIUS and their kin have in common: a shape, options, the members found, where they go."""

    def __init__(self, source: SortedSet | None):
        self.source = source
        self.place: Place = (0.0, 0.0)
        self.lengths: tuple[float, ...] = ()  # a radius, or width and height
        self.metres = 1.0  # of their unit
        self.shown: set[bytes] = set()
        self.order = b""
        self.count = 0
        self.any = False
        self.destination: bytes | None = None
        self.stores_distances = False
        self.event = b"georadiusstore"

    def take_radius(self, radius: bytes, unit: bytes) -> None:
        self.lengths = (length_of(radius, "radius"),)
        if self.lengths[0] < 0:
            raise CommandError("ERR radius cannot be negative")
        self.metres = unit_of(unit)

    def read(self, words: Sequence[bytes]) -> None:
        place = 0
        while place < len(words):
            place += 1 + self.take(words[place].upper(), words[place + 1 :])

    def take(self, word: bytes, rest: Sequence[bytes]) -> int:
        """Take an option; returns how many of the words after it belong to it."""
        if word in (b"WITHDIST", b"WITHHASH", b"WITHCOORD"):
            self.shown.add(word)
        elif word == b"ANY":
            self.any = True
        elif word in (b"ASC", b"DESC"):
            self.order = word
        elif word == b"COUNT" and rest:
            self.count = integer(rest[0])
            if self.count <= 0:
                raise CommandError("ERR COUNT must be > 0")
            return 1
        else:
            raise CommandError(SYNTAX_ERROR)
        return 0

    def check(self, stored_by: str) -> None:
        """Check what depends on all options."""
        if self.destination is not None and self.shown:
            raise CommandError(f"ERR {stored_by} is not compatible with WITHDIST, WITHHASH and WITHCOORD options")

    def answer(self, ctx: Client) -> object:
        if self.any and not self.count:
            raise CommandError("ERR the ANY argument requires COUNT argument")
        found = self.in_order(self.members())
        if self.destination is None:
            return [self.item(*member) for member in found]
        pairs = [
            (member, distance / self.metres if self.stores_distances else score)
            for member, score, distance, _, _ in found
        ]
        replace_sorted_set(ctx.db, self.destination, pairs, self.event)
        ctx.keyspace.dirty += max(len(pairs) - 1, 0)  # each member counts as a change
        return len(pairs)

    def members(self) -> list[Found]:
        """All members in the shape, or with ANY the first that are found."""
        found: list[Found] = []
        if self.source is None:
            return found
        limit = self.count if self.any else 0
        shape = Shape(self.place, self.lengths, self.metres)
        for low, high in shape.ranges():
            start, stop = self.source.rank_of_score(low, False), self.source.rank_of_score(high, False)
            for rank in range(start, stop, MEMBERS_AT_ONCE):
                pairs = self.source.by_rank(rank, min(rank + MEMBERS_AT_ONCE, stop))
                if shape.keep_within(pairs, found, limit):
                    return found
        return found

    def in_order(self, found: list[Found]) -> list[Found]:
        """The nearest or farthest `count` if there is a count; unsorted unless count or order ask for it."""
        order = self.order or (b"ASC" if self.count and not self.any else b"")
        count = self.count or len(found)
        if not order:
            return found[:count]
        if count < len(found):
            sign = 1 if order == b"ASC" else -1
            return [found[index] for index in smallest_first([sign * member[2] for member in found], count)]
        return sorted(found, key=itemgetter(2), reverse=order == b"DESC")

    def item(self, member: bytes, score: float, distance: float, longitude: float, latitude: float) -> object:
        """A member with the figures that the options ask for."""
        if not self.shown:
            return member
        parts: list[object] = [member]
        if b"WITHDIST" in self.shown:
            parts.append(geohash.shown(distance / self.metres))
        if b"WITHHASH" in self.shown:
            parts.append(int(score))
        if b"WITHCOORD" in self.shown:
            parts.append(shown_place((longitude, latitude)))
        return parts


class RadiusSearch(Search):
    """The old commands: a circle, and STORE or STOREDIST with a key among the options."""

    def __init__(self, source: SortedSet | None, may_store: bool):
        super().__init__(source)
        self.may_store = may_store

    def take(self, word: bytes, rest: Sequence[bytes]) -> int:
        if self.may_store and rest and word in (b"STORE", b"STOREDIST"):
            self.destination = rest[0]
            self.stores_distances = word == b"STOREDIST"
            return 1
        return super().take(word, rest)

    def answer_with(self, ctx: Client, options: Sequence[bytes]) -> object:
        self.read(options)
        self.check("STORE option in GEORADIUS")
        return self.answer(ctx)


@command("GEORADIUS", arity=-6, flags=WRITE | DENYOOM | MOVABLEKEYS, keys=(1, 1, 1), keyspecs=perhaps_stored(6))
def georadius(ctx: Client, key: bytes, *words: bytes) -> object:
    return around_place(ctx, key, *words, may_store=True)


@command("GEORADIUS_RO", arity=-6, flags=READONLY, key_flags="RO access")
def georadius_ro(ctx: Client, key: bytes, *words: bytes) -> object:
    return around_place(ctx, key, *words, may_store=False)


def around_place(
    ctx: Client,
    key: bytes,
    longitude: bytes,
    latitude: bytes,
    radius: bytes,
    unit: bytes,
    *options: bytes,
    may_store: bool,
) -> object:
    search = RadiusSearch(SortedSet.at(ctx.db, key), may_store)
    search.place = place_of(longitude, latitude)
    search.take_radius(radius, unit)
    return search.answer_with(ctx, options)


@command("GEORADIUSBYMEMBER", arity=-5, flags=WRITE | DENYOOM | MOVABLEKEYS, keys=(1, 1, 1), keyspecs=perhaps_stored(5))
def georadiusbymember(ctx: Client, key: bytes, *words: bytes) -> object:
    return around_member(ctx, key, *words, may_store=True)


@command("GEORADIUSBYMEMBER_RO", arity=-5, flags=READONLY, key_flags="RO access")
def georadiusbymember_ro(ctx: Client, key: bytes, *words: bytes) -> object:
    return around_member(ctx, key, *words, may_store=False)


def around_member(
    ctx: Client, key: bytes, member: bytes, radius: bytes, unit: bytes, *options: bytes, may_store: bool
) -> object:
    search = RadiusSearch(SortedSet.at(ctx.db, key), may_store)
    if search.source is not None:  # else not even the radius is looked at
        search.place = place_of_member(search.source, member)
        search.take_radius(radius, unit)
    return search.answer_with(ctx, options)


class ShapeSearch(Search):
    """The new commands: from a member or a place, by radius or by box, all of them options."""

    def __init__(self, source: SortedSet | None, destination: bytes | None):
        super().__init__(source)
        self.destination = destination
        self.event = b"geosearchstore"
        self.origin = b""  # the option that said where from
        self.form = b""  # the option that said how far

    def take(self, word: bytes, rest: Sequence[bytes]) -> int:
        if word == b"FROMMEMBER" and rest and self.origin in (b"", word):
            if self.source is not None:
                self.place = place_of_member(self.source, rest[0])
            self.origin = word
            return 1
        if word == b"FROMLONLAT" and len(rest) > 1 and self.origin in (b"", word):
            self.place = place_of(rest[0], rest[1])
            self.origin = word
            return 2
        if word == b"BYRADIUS" and len(rest) > 1 and self.form in (b"", word):
            self.take_radius(rest[0], rest[1])
            self.form = word
            return 2
        if word == b"BYBOX" and len(rest) > 2 and self.form in (b"", word):
            self.take_box(rest[0], rest[1], rest[2])
            self.form = word
            return 3
        if word == b"STOREDIST" and self.destination is not None:
            self.stores_distances = True
            return 0
        return super().take(word, rest)

    def take_box(self, width: bytes, height: bytes, unit: bytes) -> None:
        self.lengths = length_of(width, "width"), length_of(height, "height")
        if min(self.lengths) < 0:
            raise CommandError("ERR height or width cannot be negative")
        self.metres = unit_of(unit)

    def answer_with(self, ctx: Client, options: Sequence[bytes]) -> object:
        self.read(options)
        self.check("GEOSEARCHSTORE")
        if not self.origin:
            raise NamingError("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}")
        if not self.form:
            raise NamingError("ERR exactly one of BYRADIUS and BYBOX can be specified for {}")
        return self.answer(ctx)


@command("GEOSEARCH", arity=-7, flags=READONLY, key_flags="RO access")
def geosearch(ctx: Client, key: bytes, *options: bytes) -> object:
    return ShapeSearch(SortedSet.at(ctx.db, key), None).answer_with(ctx, options)


@command("GEOSEARCHSTORE", arity=-8, flags=WRITE | DENYOOM, keys=(1, 2, 1), keyspecs=STORED)
def geosearchstore(ctx: Client, destination: bytes, source: bytes, *options: bytes) -> object:
    return ShapeSearch(SortedSet.at(ctx.db, source), destination).answer_with(ctx, options)
