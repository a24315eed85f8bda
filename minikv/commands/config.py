# cython: language_level=3
"""CONFIG: show and change settings at run time, rewrite the file, reset the statistics."""

from typing import TYPE_CHECKING

from minikv.commands.help import help_lines
from minikv.dispatch.arguments import SYNTAX_ERROR
from minikv.dispatch.spec import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from minikv.errors import CommandError, ConfigError
from minikv.keyspace.glob import glob_match
from minikv.protocol.reply import OK, SimpleString
from minikv.snapshot.status import Counters

if TYPE_CHECKING:
    from minikv.dispatch.client import Client

CONFIG = container("CONFIG", arity=-2)

FLAGS = ADMIN | NOSCRIPT | LOADING | STALE

NOT_WHILE_LOADING = {b"appendonly", b"dir", b"repl-diskless-load"}

HELP = [
    "GET <pattern> [<pattern> ...]",
    "    Settings whose names match one of the glob patterns, with their values.",
    "SET <name> <value> [<name> <value> ...]",
    "    Change settings, all of them or, if one is refused, none.",
    "RESETSTAT",
    "    Set the counters of INFO to zero.",
    "REWRITE",
    "    Write the settings that changed into the configuration file, comments and order kept.",
]


@command("CONFIG|GET", arity=-3, flags=FLAGS)
def config_get(ctx: "Client", *patterns: bytes) -> dict[bytes, bytes]:
    config = ctx.server.config
    found: dict[bytes, bytes] = {}  # by the name as it is shown: a plain name is shown as it was asked for
    seen: set[str] = set()
    for pattern in patterns:
        asked = pattern.decode("utf-8", "surrogateescape")
        if asked == "*":
            names = config.names()
        elif "*" in asked or "?" in asked or "[" in asked:
            names = [name for name in config.names() if glob_match(pattern, name.encode(), True)]
        else:
            names = [asked] if config.knows(asked) else []
        if len(patterns) > 1:
            names = [name for name in names if name.lower() not in seen]
            seen.update([name.lower() for name in names])
        for name in names:
            found[name.encode()] = config.text(name).encode("utf-8", "surrogateescape")
    return found


@command("CONFIG|SET", arity=-4, flags=FLAGS, tips=["request_policy:all_nodes", "response_policy:all_succeeded"])
def config_set(ctx: "Client", *words: bytes) -> SimpleString:
    if len(words) % 2:
        raise CommandError(SYNTAX_ERROR)
    if ctx.server.loading and not NOT_WHILE_LOADING.isdisjoint(word.lower() for word in words[::2]):
        raise CommandError("LOADING Redis is loading the dataset in memory")
    texts = [word.decode("utf-8", "surrogateescape") for word in words]
    try:
        ctx.server.config.set_many(list(zip(texts[::2], texts[1::2], strict=True)), local=ctx.is_local())
    except ConfigError as error:
        raise CommandError(f"ERR {error}") from None
    for caution in ctx.server.config.cautions(texts[::2]):
        ctx.server.log.notice(f"CONFIG SET: {caution}")
    return OK


@command("CONFIG|REWRITE", arity=2, flags=FLAGS)
def config_rewrite(ctx: "Client") -> SimpleString:
    log = ctx.server.log
    try:
        ctx.server.config.rewrite()
    except ConfigError as error:
        log.warning(f"CONFIG REWRITE failed: {error}")
        raise CommandError(f"ERR {error}") from None
    log.notice("CONFIG REWRITE executed with success.")
    return OK


@command("CONFIG|RESETSTAT", arity=2, flags=FLAGS)
def config_resetstat(ctx: "Client") -> SimpleString:
    server = ctx.server
    server.stats.reset()
    server.snapshots.status.counters = Counters()
    keyspace = server.keyspace
    keyspace.forget_freed_objects()
    keyspace.hits = keyspace.misses = keyspace.expired_keys = keyspace.expired_fields = keyspace.evicted_keys = 0
    server.memory_limit.reset_stats()
    server.table.reset_stats()
    return OK


@command("CONFIG|HELP", arity=2, flags=LOADING | STALE)
def config_help(ctx: "Client") -> list[SimpleString]:
    return help_lines("CONFIG", HELP)
