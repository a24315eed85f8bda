# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Commands on sets."""

from __future__ import annotations

from minikv.commands.draws import drawn
from minikv.commands.scan import scan_options
from minikv.dispatch.arguments import INT64_MAX, SYNTAX_ERROR, cursor, integer, integer_between
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, MOVABLEKEYS, READONLY, WRITE, KeySpec, in_category
from minikv.errors import CommandError
from minikv.keyspace.algebra import count_members_in, members_in
from minikv.keyspace.glob import glob_match
from minikv.keyspace.set import Set, replace_set
from minikv.protocol import reply

command = in_category("set")

NOT_POSITIVE = "ERR value is out of range, must be positive"
UNORDERED = ["nondeterministic_output_order"]
RANDOM = ["nondeterministic_output"]


def stored(destination_flags: str) -> list[KeySpec]:
    """Key specifications of a command whose first key takes the result of the others."""
    return [
        KeySpec(destination_flags, ("index", 1), ("range", 0, 1, 0)),
        KeySpec("RO access", ("index", 2), ("range", -1, 1, 0)),
    ]


# Members


@command("SADD", arity=-3, flags=WRITE | DENYOOM | FAST, key_flags="RW insert")
def sadd(ctx: Client, key: bytes, *members: bytes) -> int:
    set_: Set = Set.to_write(ctx.db, key)
    added = (1 if set_.add(members[0]) else 0) if len(members) == 1 else set_.add_all(members)
    if added:
        set_.notify(b"sadd")
    return added


@command("SREM", arity=-3, flags=WRITE | FAST, key_flags="RW delete")
def srem(ctx: Client, key: bytes, *members: bytes) -> int:
    set_: Set | None = Set.at(ctx.db, key, False)
    if set_ is None:
        return 0
    removed = set_.remove_all(members)
    if removed:
        set_.notify_taken(b"srem")
    return removed


@command("SISMEMBER", arity=3, flags=READONLY | FAST, key_flags="RO")
def sismember(ctx: Client, key: bytes, member: bytes) -> int:
    set_: Set | None = Set.at(ctx.db, key)
    return 0 if set_ is None else int(set_.contains(member))


@command("SMISMEMBER", arity=-3, flags=READONLY | FAST, key_flags="RO access")
def smismember(ctx: Client, key: bytes, *members: bytes) -> list[int]:
    set_: Set | None = Set.at(ctx.db, key)
    return [0] * len(members) if set_ is None else set_.contains_each(members)


@command("SCARD", arity=2, flags=READONLY | FAST, key_flags="RO")
def scard(ctx: Client, key: bytes) -> int:
    set_ = Set.at(ctx.db, key)
    return 0 if set_ is None else len(set_)


@command("SMEMBERS", arity=2, flags=READONLY, key_flags="RO access", tips=UNORDERED)
def smembers(ctx: Client, key: bytes) -> reply.Set:
    set_ = Set.at(ctx.db, key)
    return reply.Set([] if set_ is None else set_.members())


@command(
    "SMOVE",
    arity=4,
    flags=WRITE | FAST,
    keys=(1, 2, 1),
    keyspecs=[
        KeySpec("RW access delete", ("index", 1), ("range", 0, 1, 0)),
        KeySpec("RW insert", ("index", 2), ("range", 0, 1, 0)),
    ],
)
def smove(ctx: Client, source: bytes, destination: bytes, member: bytes) -> int:
    from_set = Set.at(ctx.db, source, False)
    if from_set is None:
        ctx.db.lookup(destination, False)  # it may have expired
        return 0
    to_set = Set.to_write(ctx.db, destination)
    if not from_set.contains(member):
        return 0
    if source != destination:
        ctx.db.make_sure_of_all((member,))  # nothing is lost if there is no room for it
        from_set.remove(member)
        is_new = to_set.add(member)
        from_set.notify_taken(b"srem")
        if is_new:
            to_set.notify(b"sadd")
    return 1


@command("SSCAN", arity=-3, flags=READONLY, key_flags="RO access", tips=RANDOM)
def sscan(ctx: Client, key: bytes, start: bytes, *options: bytes) -> list[object]:
    place = cursor(start)
    set_ = Set.at(ctx.db, key)
    if set_ is None:
        return [b"0", []]
    count, pattern = scan_options(options)
    place, found = set_.scan(place, count)
    if pattern != b"*":
        found = [member for member in found if glob_match(pattern, member)]
    return [b"%d" % place, found]


# At random


@command("SPOP", arity=-2, flags=WRITE | FAST, key_flags="RW access delete", tips=RANDOM)
def spop(ctx: Client, key: bytes, *options: bytes) -> bytes | reply.Set | None:
    if options:
        return pop_many(ctx, key, *options)
    set_: Set | None = Set.at(ctx.db, key, False)
    if set_ is None:
        return None
    member = set_.pop()
    set_.notify_taken(b"spop")
    return member


def pop_many(ctx: Client, key: bytes, count: bytes, *rest: bytes) -> reply.Set:
    if rest:
        raise CommandError(SYNTAX_ERROR)
    wanted = integer(count, NOT_POSITIVE)
    if wanted < 0:
        raise CommandError(NOT_POSITIVE)
    set_ = Set.at(ctx.db, key, False)
    if set_ is None:
        return reply.Set([])
    popped = set_.sample(wanted, True)
    for member in popped:
        set_.remove(member)
    if popped:
        set_.notify_taken(b"spop")
    return reply.Set(popped)


@command("SRANDMEMBER", arity=-2, flags=READONLY, key_flags="RO access", tips=RANDOM)
def srandmember(ctx: Client, key: bytes, *options: bytes) -> object:
    if options:
        return random_members(ctx, key, *options)
    set_ = Set.at(ctx.db, key)
    return None if set_ is None else set_.sample(1, True)[0]


def random_members(ctx: Client, key: bytes, count: bytes, *rest: bytes) -> object:
    """Different members; with a negative count, that many independent draws."""
    if rest:
        raise CommandError(SYNTAX_ERROR)
    wanted = integer_between(count, -INT64_MAX, INT64_MAX)
    set_ = Set.at(ctx.db, key)
    if set_ is None:
        return []
    if wanted >= 0:
        return set_.sample(wanted, True)
    return drawn(ctx, lambda number: set_.sample(number, False), -wanted)


# Several sets


@command("SINTER", arity=-2, flags=READONLY, keys=(1, -1, 1), key_flags="RO access", tips=UNORDERED)
def sinter(ctx: Client, *keys: bytes) -> reply.Set:
    return reply.Set(intersection(ctx, keys))


@command("SINTERSTORE", arity=-3, flags=WRITE | DENYOOM, keys=(1, -1, 1), keyspecs=stored("RW update"))
def sinterstore(ctx: Client, destination: bytes, *keys: bytes) -> int:
    return replace_set(ctx.db, destination, intersection(ctx, keys), b"sinterstore")


@command(
    "SINTERCARD",
    arity=-3,
    flags=READONLY | MOVABLEKEYS,
    keyspecs=[KeySpec("RO access", ("index", 1), ("keynum", 0, 1, 1))],
)
def sintercard(ctx: Client, numkeys: bytes, *rest: bytes) -> int:
    count = integer(numkeys, "ERR numkeys should be greater than 0")
    if count < 1:
        raise CommandError("ERR numkeys should be greater than 0")
    if count > len(rest):
        raise CommandError("ERR Number of keys can't be greater than number of args")
    limit = 0
    for i in range(count, len(rest), 2):
        if rest[i].upper() != b"LIMIT" or i + 1 == len(rest):
            raise CommandError(SYNTAX_ERROR)
        limit = integer(rest[i + 1], "ERR LIMIT can't be negative")
        if limit < 0:
            raise CommandError("ERR LIMIT can't be negative")
    sets = smallest_first(ctx, rest[:count])
    if not sets:
        return 0
    return sets[0].count_in(sets[1:], limit) if limit else count_members_in(sets[0], sets[1:])


def intersection(ctx: Client, keys: tuple[bytes, ...]) -> list[bytes]:
    """Members that all sets have."""
    sets = smallest_first(ctx, keys)
    return members_in(sets[0], sets[1:], True) if sets else []


def smallest_first(ctx: Client, keys: tuple[bytes, ...]) -> list[Set]:
    """The sets of all keys; none if a key is missing."""
    found = [Set.at(ctx.db, key) for key in keys]  # all, since each must be a set
    sets = [set_ for set_ in found if set_ is not None]
    return sorted(sets, key=len) if len(sets) == len(found) else []


@command("SUNION", arity=-2, flags=READONLY, keys=(1, -1, 1), key_flags="RO access", tips=UNORDERED)
def sunion(ctx: Client, *keys: bytes) -> set[bytes]:
    return union(ctx, keys)


@command("SUNIONSTORE", arity=-3, flags=WRITE | DENYOOM, keys=(1, -1, 1), keyspecs=stored("OW update"))
def sunionstore(ctx: Client, destination: bytes, *keys: bytes) -> int:
    return replace_set(ctx.db, destination, union(ctx, keys), b"sunionstore")


def union(ctx: Client, keys: tuple[bytes, ...]) -> set[bytes]:
    sets = [Set.at(ctx.db, key) for key in keys]
    return set().union(*[set_.members() for set_ in sets if set_ is not None])


@command("SDIFF", arity=-2, flags=READONLY, keys=(1, -1, 1), key_flags="RO access", tips=UNORDERED)
def sdiff(ctx: Client, *keys: bytes) -> reply.Set:
    return reply.Set(difference(ctx, keys))


@command("SDIFFSTORE", arity=-3, flags=WRITE | DENYOOM, keys=(1, -1, 1), keyspecs=stored("OW update"))
def sdiffstore(ctx: Client, destination: bytes, *keys: bytes) -> int:
    return replace_set(ctx.db, destination, difference(ctx, keys), b"sdiffstore")


def difference(ctx: Client, keys: tuple[bytes, ...]) -> list[bytes]:
    """Members of the first set that no other has."""
    first, *others = [Set.at(ctx.db, key) for key in keys]
    return [] if first is None else members_in(first, [other for other in others if other is not None], False)
