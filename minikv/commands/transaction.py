# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O3
"""MULTI, EXEC, DISCARD, WATCH, UNWATCH. Queueing itself is dispatch's business (dispatch/table.py)."""

from __future__ import annotations

import cython
from cython.cimports.minikv.dispatch.client import Client, Transaction

from minikv.dispatch.spec import ALLOW_BUSY, FAST, LOADING, NOSCRIPT, SKIP_SLOWLOG, STALE, in_category
from minikv.errors import CommandError
from minikv.keyspace.database import Watch
from minikv.protocol.reply import NULL_ARRAY, OK

command = in_category("transaction")

ANYTIME = NOSCRIPT | LOADING | STALE


@command("MULTI", arity=1, flags=ANYTIME | FAST | ALLOW_BUSY)
def multi(ctx: Client) -> object:
    if ctx.transaction is not None:
        raise CommandError("ERR MULTI calls can not be nested")
    ctx.transaction = Transaction()
    return OK


@command("DISCARD", arity=1, flags=ANYTIME | FAST | ALLOW_BUSY)
def discard(ctx: Client) -> object:
    if ctx.transaction is None:
        raise CommandError("ERR DISCARD without MULTI")
    ctx.discard_transaction()
    return OK


@command("EXEC", arity=1, flags=ANYTIME | SKIP_SLOWLOG)
def exec_(ctx: Client) -> object:
    transaction: Transaction = ctx.transaction
    if transaction is None:
        raise CommandError("ERR EXEC without MULTI")
    broken = ctx.watch is not None and ctx.watch.broken
    ctx.discard_transaction()
    if transaction.failed:
        raise CommandError("EXECABORT Transaction discarded because of previous errors.")
    if broken:
        return NULL_ARRAY
    return run_queued(ctx, transaction)


@cython.cfunc
def run_queued(ctx: Client, transaction: Transaction) -> object:
    """Execute; a reply may leave before the next command runs."""
    replies = ctx.begin_array(len(transaction.queued))
    place: cython.Py_ssize_t
    at: cython.Py_ssize_t = 0
    ctx.in_exec = True
    try:
        for place in range(len(transaction.queued)):
            argc: cython.Py_ssize_t = transaction.counts[place]
            ctx.run_item(replies, transaction.queued[place], transaction.argv + at, argc)
            at += argc
    finally:
        ctx.in_exec = False
    return replies


@command("WATCH", arity=-2, flags=ANYTIME | FAST | ALLOW_BUSY, keys=(1, -1, 1), key_flags="RO")
def watch(ctx: Client, *keys: bytes) -> object:
    if ctx.transaction is not None:
        raise CommandError("ERR WATCH inside MULTI is not allowed")
    if ctx.watch is None:
        ctx.watch = Watch()
    for key in keys:
        ctx.db.watch(key, ctx.watch)
    ctx.note_memory()
    return OK


@command("UNWATCH", arity=1, flags=ANYTIME | FAST | ALLOW_BUSY)
def unwatch(ctx: Client) -> object:
    ctx.unwatch()
    return OK
