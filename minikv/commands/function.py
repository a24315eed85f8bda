# cython: language_level=3
# distutils: extra_compile_args = -O3
"""FCALL and FCALL_RO; FUNCTION."""

import time
from typing import Any

from minikv.commands.help import help_lines
from minikv.dispatch.client import Client
from minikv.dispatch.spec import (
    ALLOW_BUSY,
    DENYOOM,
    LOADING,
    MAY_REPLICATE,
    MOVABLEKEYS,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    READONLY,
    SKIP_MONITOR,
    STALE,
    WRITE,
    KeySpec,
    command,
    container,
)
from minikv.errors import CommandError, NamingError
from minikv.keyspace.glob import glob_match
from minikv.protocol.reply import OK, Set, SimpleString

FUNCTION_COMMAND = container("FUNCTION", arity=-2)
RUN = NOSCRIPT | SKIP_MONITOR | STALE | NO_MANDATORY_KEYS | MOVABLEKEYS
CHANGE = NOSCRIPT | WRITE
KEYS = [KeySpec("RW access update", ("index", 2), ("keynum", 0, 1, 1))]
KEYS_READ = [KeySpec("RO access", ("index", 2), ("keynum", 0, 1, 1))]
ALL_SHARDS = ["request_policy:all_shards", "response_policy:all_succeeded"]
ONE = ["request_policy:all_shards", "response_policy:one_succeeded"]
SPECIAL = ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]
WRONG_NUMBER = "ERR unknown subcommand or wrong number of arguments for '{}'. Try FUNCTION HELP."

HELP = [
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Add the library that this source makes.",
    "DELETE <LIBRARY NAME>",
    "    Remove a library with its functions.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    The libraries, or those whose names match, with their functions.",
    "STATS",
    "    The function that is running, and how many there are.",
    "KILL",
    "    End the function that is running, if it has not written anything.",
    "FLUSH [ASYNC|SYNC]",
    "    Remove all libraries; both modes do the same.",
    "DUMP",
    "    All libraries in a form that RESTORE understands.",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Add the libraries of a payload: in the place of all (FLUSH), of those with the same names (REPLACE), or only",
    "    if there are no such (APPEND).",
]


@command("FCALL", arity=-3, flags=RUN | MAY_REPLICATE, keyspecs=KEYS, categories="scripting")
def fcall(ctx: Client, name: bytes, numkeys: bytes, *arguments: bytes) -> object:
    return ctx.server.functions.fcall(ctx, name, numkeys, arguments)


@command("FCALL_RO", arity=-3, flags=RUN | READONLY, keyspecs=KEYS_READ, categories="scripting")
def fcall_ro(ctx: Client, name: bytes, numkeys: bytes, *arguments: bytes) -> object:
    return ctx.server.functions.fcall(ctx, name, numkeys, arguments, True)


@command("FUNCTION|LOAD", arity=-3, flags=CHANGE | DENYOOM, categories="scripting", tips=ALL_SHARDS)
def function_load(ctx: Client, *arguments: bytes) -> bytes:
    for option in arguments[:-1]:
        if option.lower() != b"replace":
            raise CommandError(f"ERR Unknown option given: {option.decode('utf-8', 'surrogateescape')}")
    name: bytes = ctx.server.functions.load(arguments[-1], len(arguments) > 1)
    ctx.keyspace.dirty += 1
    return name


@command("FUNCTION|DELETE", arity=3, flags=CHANGE, categories="scripting", tips=ALL_SHARDS)
def function_delete(ctx: Client, name: bytes) -> SimpleString:
    ctx.server.functions.delete(name)
    ctx.keyspace.dirty += 1
    return OK


@command("FUNCTION|FLUSH", arity=-2, flags=CHANGE, categories="scripting", tips=ALL_SHARDS)
def function_flush(ctx: Client, *mode: bytes) -> SimpleString:
    if len(mode) > 1:
        raise NamingError(WRONG_NUMBER)
    if mode and mode[0].lower() not in (b"sync", b"async"):
        raise CommandError("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
    ctx.server.functions.flush()
    ctx.keyspace.dirty += 1
    return OK


@command("FUNCTION|LIST", arity=-2, flags=NOSCRIPT, categories="scripting", tips=["nondeterministic_output_order"])
def function_list(ctx: Client, *options: bytes) -> list[dict[bytes, object]]:
    pattern = None
    with_code = False
    words = iter(options)
    for word in words:
        if word.lower() == b"withcode" and not with_code:
            with_code = True
        elif word.lower() == b"libraryname" and pattern is None:
            pattern = next(words, None)
            if pattern is None:
                raise CommandError("ERR library name argument was not given")
        else:
            raise CommandError(f"ERR Unknown argument {word.decode('utf-8', 'surrogateescape')}")
    return [
        described(library, with_code)
        for library in ctx.server.functions.libraries.values()
        if pattern is None or glob_match(pattern, library.name, True)
    ]


def described(library: Any, with_code: bool) -> dict[bytes, object]:
    """A library as FUNCTION LIST shows it."""
    functions = [
        {
            b"name": function.name,
            b"description": function.description,
            b"flags": Set([SimpleString(name) for name in function.flag_names()]),
        }
        for function in library.functions.values()
    ]
    shown: dict[bytes, object] = {b"library_name": library.name, b"engine": b"LUA", b"functions": functions}
    if with_code:
        shown[b"library_code"] = library.code
    return shown


@command("FUNCTION|STATS", arity=2, flags=NOSCRIPT | ALLOW_BUSY, categories="scripting", tips=SPECIAL)
def function_stats(ctx: Client) -> dict[bytes, object]:
    functions = ctx.server.functions
    counts: dict[bytes, object] = {
        b"libraries_count": len(functions.libraries),
        b"functions_count": len(functions.functions),
    }
    return {b"running_script": running(ctx), b"engines": {b"LUA": counts}}


def running(ctx: Client) -> dict[bytes, object] | None:
    """What runs for so long that it can be asked for."""
    scripts = ctx.server.scripts
    if scripts.running is None or not scripts.began_ns:
        return None
    return {
        b"name": scripts.running.name,
        b"command": list(scripts.request),
        b"duration_ms": (time.monotonic_ns() - scripts.began_ns) // 1_000_000,
    }


@command("FUNCTION|KILL", arity=2, flags=NOSCRIPT | ALLOW_BUSY, categories="scripting", tips=ONE)
def function_kill(ctx: Client) -> SimpleString:
    ctx.server.scripts.kill(False)
    return OK


@command("FUNCTION|DUMP", arity=2, flags=NOSCRIPT, categories="scripting")
def function_dump(ctx: Client) -> bytes:
    payload: bytes = ctx.server.functions.dump()
    return payload


@command("FUNCTION|RESTORE", arity=-3, flags=CHANGE | DENYOOM, categories="scripting", tips=ALL_SHARDS)
def function_restore(ctx: Client, data: bytes, *policy: bytes) -> SimpleString:
    if len(policy) > 1:
        raise NamingError(WRONG_NUMBER)
    chosen = policy[0].lower() if policy else b"append"
    if chosen not in (b"flush", b"append", b"replace"):
        raise CommandError("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
    ctx.server.functions.restore(data, chosen)
    ctx.keyspace.dirty += 1
    return OK


@command("FUNCTION|HELP", arity=2, flags=LOADING | STALE, categories="scripting")
def function_help(ctx: Client) -> list[SimpleString]:
    return help_lines("FUNCTION", HELP)
