"""Commands about whole databases and the server itself: FLUSHALL, SWAPDB, DBSIZE, TIME, LOLWUT and their kin."""

from __future__ import annotations

import time

from minikv import REDIS_VERSION, __version__
from minikv.commands.art import garden
from minikv.dispatch.arguments import DB_INDEX_OUT_OF_RANGE, INT32_MAX, INT32_MIN, SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import FAST, LOADING, READONLY, STALE, WRITE, command
from minikv.errors import CommandError
from minikv.protocol.reply import OK, SimpleString, Verbatim

MAX_COLUMNS, MAX_ROWS = 240, 60  # of LOLWUT's picture: drawn in some 10 ms

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
