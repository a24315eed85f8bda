"""MULTI, EXEC, DISCARD, WATCH, UNWATCH. Queueing itself is dispatch's business (dispatch/table.py)."""

from __future__ import annotations

from minikv.dispatch.client import Client, Transaction
from minikv.dispatch.spec import ALLOW_BUSY, FAST, LOADING, NOSCRIPT, SKIP_SLOWLOG, STALE, in_category
from minikv.errors import CommandError
from minikv.keyspace.database import Watch
from minikv.protocol.reply import NULL_ARRAY, OK, Marker, SimpleString, Transcript

command = in_category("transaction")

ANYTIME = NOSCRIPT | LOADING | STALE


@command("MULTI", arity=1, flags=ANYTIME | FAST | ALLOW_BUSY)
def multi(ctx: Client) -> SimpleString:
    if ctx.transaction is not None:
        raise CommandError("ERR MULTI calls can not be nested")
    ctx.transaction = Transaction()
    return OK


@command("DISCARD", arity=1, flags=ANYTIME | FAST | ALLOW_BUSY)
def discard(ctx: Client) -> SimpleString:
    if ctx.transaction is None:
        raise CommandError("ERR DISCARD without MULTI")
    ctx.discard_transaction()
    return OK


@command("EXEC", arity=1, flags=ANYTIME | SKIP_SLOWLOG)
def exec_(ctx: Client) -> Transcript | Marker:
    transaction = ctx.transaction
    if transaction is None:
        raise CommandError("ERR EXEC without MULTI")
    broken = ctx.watch is not None and ctx.watch.broken
    ctx.discard_transaction()
    if transaction.failed:
        raise CommandError("EXECABORT Transaction discarded because of previous errors.")
    if broken:
        return NULL_ARRAY
    return run_queued(ctx, transaction)


def run_queued(ctx: Client, transaction: Transaction) -> Transcript | Marker:
    """Execute; a reply may leave before the next command runs."""
    replies = ctx.begin_array(len(transaction.queued))
    ctx.in_exec = True
    try:
        for queued, args in transaction.queued:
            ctx.run_item(replies, queued, args)
    finally:
        ctx.in_exec = False
    return replies


@command("WATCH", arity=-2, flags=ANYTIME | FAST | ALLOW_BUSY, keys=(1, -1, 1), key_flags="RO")
def watch(ctx: Client, *keys: bytes) -> SimpleString:
    if ctx.transaction is not None:
        raise CommandError("ERR WATCH inside MULTI is not allowed")
    if ctx.watch is None:
        ctx.watch = Watch()
    for key in keys:
        ctx.db.watch(key, ctx.watch)
    ctx.note_memory()
    return OK


@command("UNWATCH", arity=1, flags=ANYTIME | FAST | ALLOW_BUSY)
def unwatch(ctx: Client) -> SimpleString:
    ctx.unwatch()
    return OK
