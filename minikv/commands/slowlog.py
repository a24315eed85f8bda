"""SLOWLOG: commands that took longer than slowlog-log-slower-than."""

from __future__ import annotations

from minikv.commands.help import help_lines
from minikv.dispatch.arguments import integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import ADMIN, LOADING, STALE, command, container
from minikv.errors import CommandError, NamingError
from minikv.protocol.reply import OK, SimpleString

SLOWLOG = container("SLOWLOG", arity=-2)

FLAGS = ADMIN | LOADING | STALE
DEFAULT_COUNT = 10


@command("SLOWLOG|GET", arity=-2, flags=FLAGS, tips=["request_policy:all_nodes", "nondeterministic_output"])
def slowlog_get(ctx: Client, *options: bytes) -> list[object]:
    if len(options) > 1:
        raise NamingError("ERR unknown subcommand or wrong number of arguments for '{}'. Try SLOWLOG HELP.")
    count = DEFAULT_COUNT
    if options:
        error = "ERR count should be greater than or equal to -1"
        count = integer(options[0], error)
        if count < -1:
            raise CommandError(error)
    return [
        [entry.id, entry.time_s, entry.duration_us, entry.args, entry.addr, entry.name]
        for entry in ctx.server.slowlog.newest(count)
    ]


@command(
    "SLOWLOG|LEN",
    arity=2,
    flags=FLAGS,
    tips=["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
)
def slowlog_len(ctx: Client) -> int:
    return len(ctx.server.slowlog)


@command("SLOWLOG|RESET", arity=2, flags=FLAGS, tips=["request_policy:all_nodes", "response_policy:all_succeeded"])
def slowlog_reset(ctx: Client) -> SimpleString:
    ctx.server.slowlog.clear()
    return OK


@command("SLOWLOG|HELP", arity=2, flags=LOADING | STALE)
def slowlog_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "SLOWLOG",
        [
            "GET [<count>]",
            "    The newest <count> entries (10 if not given, -1 for all).",
            "    Each entry is an array:",
            "    number, Unix time, microseconds, the request, the client's address,",
            "    the client's name",
            "LEN",
            "    Number of entries.",
            "RESET",
            "    Forget all entries.",
        ],
    )
