"""Commands about whole databases and the server itself: FLUSHALL, SWAPDB, DBSIZE, TIME, ROLE, LOLWUT and their kin.

minikv has no replicas and no cluster. Their commands that tools send to any server answer as a Redis without
replicas would; what would need them is refused with an error.
"""

from __future__ import annotations

import time

from minikv import REDIS_VERSION, __version__
from minikv.commands.art import garden
from minikv.commands.help import help_lines
from minikv.dispatch.arguments import DB_INDEX_OUT_OF_RANGE, INT32_MAX, INT32_MIN, SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import (
    ADMIN,
    FAST,
    LOADING,
    NO_ASYNC_LOADING,
    NOSCRIPT,
    READONLY,
    STALE,
    WRITE,
    command,
    container,
)
from minikv.errors import CommandError
from minikv.protocol.reply import OK, SimpleString, Verbatim

MAX_COLUMNS, MAX_ROWS = 240, 60  # of LOLWUT's picture: drawn in some 10 ms
NO_REPLICATION = "ERR minikv does not replicate: only REPLICAOF NO ONE is possible"

ALL_SHARDS = ["request_policy:all_shards", "response_policy:all_succeeded"]


# databases


@command("FLUSHALL", arity=-1, flags=WRITE, categories="keyspace dangerous", tips=ALL_SHARDS)
def flushall(ctx: Client, *options: bytes) -> SimpleString:
    lazily = is_lazy_flush(ctx, options)
    ctx.server.snapshots.kill_child()
    ctx.keyspace.flush_all(lazily)
    ctx.server.saves.after_flush_all()
    return OK


@command("FLUSHDB", arity=-1, flags=WRITE, categories="keyspace dangerous", tips=ALL_SHARDS)
def flushdb(ctx: Client, *options: bytes) -> SimpleString:
    ctx.db.flush(is_lazy_flush(ctx, options))
    return OK


def is_lazy_flush(ctx: Client, options: tuple[bytes, ...]) -> bool:
    """Whether FLUSHALL or FLUSHDB with these options leaves the memory to be freed later."""
    if not options:
        return ctx.server.config.lazyfree_lazy_user_flush
    option = options[0].lower()
    if len(options) > 1 or option not in (b"async", b"sync"):
        raise CommandError(SYNTAX_ERROR)
    return option == b"async"


@command("SWAPDB", arity=3, flags=WRITE | FAST, categories="keyspace dangerous")
def swapdb(ctx: Client, first: bytes, second: bytes) -> SimpleString:
    a = database_index(first, "ERR invalid first DB index")
    b = database_index(second, "ERR invalid second DB index")
    databases = len(ctx.keyspace.databases)
    if not (0 <= a < databases and 0 <= b < databases):
        raise CommandError(DB_INDEX_OUT_OF_RANGE)
    ctx.keyspace.swap(a, b)
    return OK


def database_index(text: bytes, error: str) -> int:
    """What Redis reads into a C int."""
    number = integer(text, error)
    if not INT32_MIN <= number <= INT32_MAX:
        raise CommandError(error)
    return number


@command(
    "DBSIZE",
    arity=1,
    flags=READONLY | FAST,
    categories="keyspace",
    tips=["request_policy:all_shards", "response_policy:agg_sum"],
)
def dbsize(ctx: Client) -> int:
    return len(ctx.db)


# the server


@command("TIME", arity=1, flags=LOADING | STALE | FAST, tips=["nondeterministic_output"])
def time_(ctx: Client) -> list[bytes]:
    seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    return [b"%d" % seconds, b"%d" % microseconds]


@command("LOLWUT", arity=-1, flags=READONLY | FAST)
def lolwut(ctx: Client, *options: bytes) -> Verbatim:
    sizes = list(options)
    if len(sizes) > 1 and sizes[0].lower() == b"version":
        integer(sizes[1])
        del sizes[:2]
    numbers = [integer(size) for size in sizes[:2]]
    columns, rows = (numbers + [64, 12][len(numbers) :])[:2]
    picture = garden(min(max(columns, 1), MAX_COLUMNS), min(max(rows, 1), MAX_ROWS), seed=time.time_ns())
    return Verbatim(b"txt", f"{picture}\nRedis ver. {REDIS_VERSION}, minikv ver. {__version__}\n".encode())


# replication: there is none


@command("ROLE", arity=1, flags=NOSCRIPT | LOADING | STALE | FAST, categories="admin dangerous")
def role(ctx: Client) -> list[object]:
    return [b"master", 0, []]


@command("SLAVEOF", arity=3, flags=ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING)
@command("REPLICAOF", arity=3, flags=ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING)
def replicaof(ctx: Client, host: bytes, port: bytes) -> SimpleString:
    if (host.lower(), port.lower()) == (b"no", b"one"):
        return OK
    error = "ERR Invalid master port"
    if not 0 <= integer(port, error) <= 65535:
        raise CommandError(error)
    raise CommandError(NO_REPLICATION)


@command(
    "WAIT",
    arity=3,
    flags=NOSCRIPT,
    categories="connection",
    tips=["request_policy:all_shards", "response_policy:agg_min"],
)
def wait(ctx: Client, replicas: bytes, timeout: bytes) -> int:
    """How many replicas have everything. There is none to wait for, so the answer never changes and comes at once."""
    integer(replicas)
    if integer(timeout, "ERR timeout is not an integer or out of range") < 0:
        raise CommandError("ERR timeout is negative")
    return 0


# modules: there are none

MODULE = container("MODULE", arity=-2)


@command("MODULE|LIST", arity=2, flags=ADMIN | NOSCRIPT, tips=["nondeterministic_output_order"])
def module_list(ctx: Client) -> list[object]:
    return []


@command("MODULE|HELP", arity=2, flags=LOADING | STALE)
def module_help(ctx: Client) -> list[SimpleString]:
    return help_lines("MODULE", ["LIST", "    List the loaded modules: minikv has none."])
