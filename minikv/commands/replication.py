"""Commands of replication: minikv is a master without replicas.

What tools send to any server answers as a Redis without replicas would. What would need a replica, a master or the
append-only file is refused.
"""

from __future__ import annotations

from typing import NoReturn

from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.blocking import wait_for_time
from minikv.dispatch.client import Client
from minikv.dispatch.spec import (
    ADMIN,
    ALLOW_BUSY,
    BLOCKING,
    FAST,
    LOADING,
    NO_ASYNC_LOADING,
    NO_MULTI,
    NOSCRIPT,
    STALE,
    command,
)
from minikv.errors import CommandError
from minikv.protocol.reply import OK, SimpleString

NO_MASTER = "ERR minikv does not replicate: only REPLICAOF NO ONE is possible"
NO_STREAM = "ERR minikv does not replicate: it has no stream for replicas"
NO_AOF = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
NOT_POSITIVE = "ERR value is out of range, must be positive"

ALL_SHARDS = ["request_policy:all_shards", "response_policy:agg_min"]


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
    raise CommandError(NO_MASTER)


@command("PSYNC", arity=-3, flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI)
@command("SYNC", arity=1, flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI)
@command("REPLCONF", arity=-1, flags=ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
def refuse_replica(ctx: Client, *words: bytes) -> NoReturn:
    """A replica logs this error; it is clearer than a stream that ends after the dump."""
    raise CommandError(NO_STREAM)


@command("FAILOVER", arity=-1, flags=ADMIN | NOSCRIPT | STALE)
def failover(ctx: Client, *words: bytes) -> NoReturn:
    if [word.lower() for word in words] == [b"abort"]:
        raise CommandError("ERR No failover in progress.")
    check_failover_options(words)
    raise CommandError("ERR FAILOVER requires connected replicas.")


def check_failover_options(words: tuple[bytes, ...]) -> None:
    """TO host port, FORCE, TIMEOUT ms: each at most once."""
    seen: set[bytes] = set()
    at = 0
    while at < len(words):
        option, left = words[at].lower(), len(words) - at - 1
        if option in seen:
            raise CommandError(SYNTAX_ERROR)
        if option == b"timeout" and left >= 1:
            if integer(words[at + 1]) <= 0:
                raise CommandError("ERR FAILOVER timeout must be greater than 0")
            at += 1
        elif option == b"to" and left >= 2:
            integer(words[at + 2])
            at += 2
        elif option != b"force":
            raise CommandError(SYNTAX_ERROR)
        seen.add(option)
        at += 1


# Without replicas these answers never change; who asks for one waits until his time is over, as in Redis.


@command("WAIT", arity=3, flags=NOSCRIPT, categories="connection", tips=ALL_SHARDS)
def wait(ctx: Client, replicas: bytes, timeout: bytes) -> object:
    """How many replicas have everything."""
    wanted = integer(replicas)
    timeout_ms = read_timeout(timeout)
    return 0 if wanted <= 0 else wait_for_time(ctx, timeout_ms, 0)


@command("WAITAOF", arity=4, flags=BLOCKING, categories="connection", tips=ALL_SHARDS)
def waitaof(ctx: Client, local: bytes, replicas: bytes, timeout: bytes) -> object:
    """How many append-only files here, and how many of replicas, have everything on disk. Redis has it since 7.2."""
    wants_local = integer(local)
    if wants_local not in (0, 1):
        raise CommandError("ERR value is out of range, value must between 0 and 1")
    wanted = integer(replicas, NOT_POSITIVE)
    if wanted < 0:
        raise CommandError(NOT_POSITIVE)
    timeout_ms = read_timeout(timeout)
    if wants_local:
        raise CommandError(NO_AOF)
    return wait_for_time(ctx, timeout_ms, [0, 0]) if wanted else [0, 0]


def read_timeout(text: bytes) -> int:
    """Milliseconds, 0 for ever."""
    timeout_ms = integer(text, "ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        raise CommandError("ERR timeout is negative")
    return timeout_ms
