"""SAVE, BGSAVE, LASTSAVE: the dump on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minikv.dispatch.arguments import SYNTAX_ERROR
from minikv.dispatch.spec import ADMIN, FAST, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, command
from minikv.errors import CommandError, SaveError
from minikv.protocol.reply import OK, SimpleString

if TYPE_CHECKING:
    from minikv.dispatch.client import Client

STARTED = SimpleString(b"Background saving started")
SCHEDULED = SimpleString(b"Background saving scheduled")
CANCELLED = SimpleString(b"Background saving cancelled")
UNSCHEDULED = SimpleString(b"Scheduled background saving cancelled")


@command("SAVE", arity=1, flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI)
def save(ctx: Client) -> SimpleString:
    _refuse_second_save(ctx)
    try:
        ctx.server.saves.save()
    except SaveError as error:
        raise CommandError(f"ERR {error}") from error
    return OK


@command("BGSAVE", arity=-1, flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING)
def bgsave(ctx: Client, *options: bytes) -> SimpleString:
    """SCHEDULE waits for its turn; CANCEL, from Valkey 8.1, stops the save or unschedules it."""
    option = options[0].upper() if len(options) == 1 else b""
    if options and option not in (b"SCHEDULE", b"CANCEL"):
        raise CommandError(SYNTAX_ERROR)
    snapshots = ctx.server.snapshots
    if option == b"CANCEL":
        return _cancel(ctx)
    _refuse_second_save(ctx)
    if ctx.in_exec:  # a fork between two commands of a transaction would save half of it
        snapshots.schedule()
        return SCHEDULED
    try:
        snapshots.bgsave()
    except SaveError as error:
        raise CommandError(f"ERR {error}") from error
    return STARTED


def _cancel(ctx: Client) -> SimpleString:
    cancelled = ctx.server.snapshots.cancel()
    if cancelled is None:
        raise CommandError("ERR Background saving is currently not in progress or scheduled")
    return CANCELLED if cancelled == "running" else UNSCHEDULED


@command(
    "LASTSAVE", arity=1, flags=LOADING | STALE | FAST, categories="admin dangerous", tips=["nondeterministic_output"]
)
def lastsave(ctx: Client) -> int:
    return int(ctx.server.snapshots.status.saved_at)


def _refuse_second_save(ctx: Client) -> None:
    if ctx.server.snapshots.in_progress:
        raise CommandError("ERR Background save already in progress")
