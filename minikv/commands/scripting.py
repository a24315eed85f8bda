# cython: language_level=3
# distutils: extra_compile_args = -O3
"""EVAL, EVALSHA and their read-only forms; SCRIPT."""

from minikv.commands.help import help_lines
from minikv.dispatch.client import Client
from minikv.dispatch.spec import (
    ALLOW_BUSY,
    LOADING,
    MAY_REPLICATE,
    MOVABLEKEYS,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    READONLY,
    SKIP_MONITOR,
    STALE,
    KeySpec,
    command,
    container,
)
from minikv.errors import CommandError
from minikv.protocol.reply import OK, SimpleString

SCRIPT_COMMAND = container("SCRIPT", arity=-2)
RUN = NOSCRIPT | SKIP_MONITOR | STALE | NO_MANDATORY_KEYS | MOVABLEKEYS
KEYS = [KeySpec("RW access update", ("index", 2), ("keynum", 0, 1, 1))]
KEYS_READ = [KeySpec("RO access", ("index", 2), ("keynum", 0, 1, 1))]
ALL_NODES = ["request_policy:all_nodes", "response_policy:all_succeeded"]
ONE = ["request_policy:all_shards", "response_policy:one_succeeded"]
AND = ["request_policy:all_shards", "response_policy:agg_logical_and"]

HELP = [
    "DEBUG (YES|SYNC|NO)",
    "    Not supported: scripts run without a debugger.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Which of these scripts are in the cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Empty the cache of scripts; both modes do the same.",
    "KILL",
    "    End the script that is running, if it has not written anything.",
    "LOAD <script>",
    "    Put a script into the cache without running it.",
]


@command("EVAL", arity=-3, flags=RUN | MAY_REPLICATE, keyspecs=KEYS, categories="scripting")
def eval_(ctx: Client, body: bytes, numkeys: bytes, *arguments: bytes) -> object:
    return ctx.server.scripts.eval(ctx, body, numkeys, arguments)


@command("EVAL_RO", arity=-3, flags=RUN | READONLY, keyspecs=KEYS_READ, categories="scripting")
def eval_ro(ctx: Client, body: bytes, numkeys: bytes, *arguments: bytes) -> object:
    return ctx.server.scripts.eval(ctx, body, numkeys, arguments, True)


@command("EVALSHA", arity=-3, flags=RUN | MAY_REPLICATE, keyspecs=KEYS, categories="scripting")
def evalsha(ctx: Client, sha: bytes, numkeys: bytes, *arguments: bytes) -> object:
    return ctx.server.scripts.evalsha(ctx, sha, numkeys, arguments)


@command("EVALSHA_RO", arity=-3, flags=RUN | READONLY, keyspecs=KEYS_READ, categories="scripting")
def evalsha_ro(ctx: Client, sha: bytes, numkeys: bytes, *arguments: bytes) -> object:
    return ctx.server.scripts.evalsha(ctx, sha, numkeys, arguments, True)


@command("SCRIPT|LOAD", arity=3, flags=NOSCRIPT | STALE, categories="scripting", tips=ALL_NODES)
def script_load(ctx: Client, body: bytes) -> bytes:
    sha: bytes = ctx.server.scripts.load(body).sha
    return sha


@command("SCRIPT|EXISTS", arity=-3, flags=NOSCRIPT, categories="scripting", tips=AND)
def script_exists(ctx: Client, *shas: bytes) -> list[int]:
    known = ctx.server.scripts.by_sha
    return [int(sha.lower() in known) for sha in shas]


@command("SCRIPT|FLUSH", arity=-2, flags=NOSCRIPT, categories="scripting", tips=ALL_NODES)
def script_flush(ctx: Client, *mode: bytes) -> SimpleString:
    if len(mode) > 1 or (mode and mode[0].lower() not in (b"sync", b"async")):
        raise CommandError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    ctx.server.scripts.flush()
    return OK


@command("SCRIPT|KILL", arity=2, flags=NOSCRIPT | ALLOW_BUSY, categories="scripting", tips=ONE)
def script_kill(ctx: Client) -> SimpleString:
    ctx.server.scripts.kill(True)
    return OK


@command("SCRIPT|DEBUG", arity=3, flags=NOSCRIPT, categories="scripting")
def script_debug(ctx: Client, mode: bytes) -> SimpleString:
    raise CommandError("ERR The debugger of scripts is not supported")


@command("SCRIPT|HELP", arity=2, flags=LOADING | STALE, categories="scripting")
def script_help(ctx: Client) -> list[SimpleString]:
    return help_lines("SCRIPT", HELP)
