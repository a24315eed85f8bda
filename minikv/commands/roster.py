# cython: language_level=3, cdivision=True
# ruff: noqa: F821
"""Clients as CLIENT LIST shows them and as CLIENT KILL chooses them: both look at every client there is."""

import cython
from cython.cimports.libc.stdio import snprintf
from cython.cimports.minikv.dispatch.tracking import TRACKING

from minikv.dispatch.client import Client
from minikv.pubsub.registry import Subscriptions

# Older than any client.
OLDEST_S = cython.declare(cython.longlong, 1 << 40)


def client_line(client: Client) -> bytes:
    """One connection: `name=value` fields as Redis 7.0 shows them."""
    now: timespec
    clock_gettime(CLOCK_MONOTONIC, cython.address(now))
    now_ns: cython.longlong = cython.cast(cython.longlong, now.tv_sec) * 1000000000 + now.tv_nsec
    args_bytes: cython.longlong = client.args_bytes()
    output_bytes: cython.longlong = client.output_bytes()
    own: Subscriptions = client.subscriptions
    text: cython.char[512]  # numbers and their names: at most 400
    flags: bytes = flags_of(client)
    start: bytes = text[: snprintf(text, 512, b"id=%lld addr=", client.id)]
    middle: bytes = text[: snprintf(text, 512, b" fd=%d name=", client.fd)]
    rest: bytes = text[
        : snprintf(
            text,
            512,
            b" age=%lld idle=%lld flags=%s db=%d sub=%d psub=%d ssub=%d multi=%d qbuf=%lld qbuf-free=0 argv-mem=%lld "
            b"multi-mem=%lld rbs=0 rbp=0 obl=%lld oll=%lld omem=%lld tot-mem=%lld events=%s cmd=",
            (now_ns - client.created_ns) // 1000000000,
            (now_ns - client.last_interaction_ns) // 1000000000,
            cython.cast(cython.p_char, flags),
            cython.cast(cython.int, client.db.number if client.db is not None else 0),
            cython.cast(cython.int, len(own.channels) if own is not None else 0),
            cython.cast(cython.int, len(own.patterns) if own is not None else 0),
            cython.cast(cython.int, len(own.shard) if own is not None else 0),
            cython.cast(cython.int, len(client.transaction.queued) if client.transaction is not None else -1),
            cython.cast(cython.longlong, client.query_bytes()),
            args_bytes,
            cython.cast(cython.longlong, client.queued_bytes()),
            cython.cast(cython.longlong, client.reply_bytes()),
            cython.cast(cython.longlong, client.reply_pieces()),
            output_bytes,
            cython.cast(cython.longlong, client.memory_bytes()),
            cython.cast(cython.p_char, b"rw" if output_bytes else b"r"),
        )
    ]
    redirect: cython.longlong = -1
    if client.tracker is not None and client.tracker.flags & TRACKING:
        redirect = client.tracker.redirect
    end: bytes = text[: snprintf(text, 512, b" redir=%lld resp=%d\n", redirect, client.resp)]
    name: bytes = client.last_command.full_name if client.last_command is not None else b"NULL"
    return b"".join(
        (
            start,
            client.addr,
            b" laddr=",
            client.laddr,
            middle,
            client.name,
            rest,
            name,
            b" user=",
            client.user.name,
            end,
        )
    )


@cython.cfunc
def flags_of(client: Client) -> bytes:
    """A letter for each state that is not the usual one."""
    flags: bytes = b""
    if is_reader(client):
        flags += b"S"
    if client.is_monitor:
        flags += b"O"
    if client.subscriptions is not None:
        flags += b"P"
    if client.transaction is not None:
        flags += b"x"
    if client.paused or client.blocked is not None:
        flags += b"b"
    if client.tracker is not None:
        flags += client.tracker.letters
    if client.watch is not None and client.watch.broken:
        flags += b"d"
    if client.close_after_reply:
        flags += b"c"
    if client.is_unix:
        flags += b"U"
    if client.no_evict:
        flags += b"e"
    if client.no_touch:
        flags += b"T"
    return flags or b"N"


@cython.cfunc
@cython.exceptval(check=False)
def is_reader(client: Client) -> cython.bint:
    """Whether it is sent a copy of the data, as replicas are."""
    copies = getattr(client.server, "copies", None)
    return copies is not None and copies.is_reader(client)


def chosen_clients(ctx: Client, wanted: dict) -> list:
    """The clients that fulfil everything that is wanted."""
    clients: dict = ctx.server.clients
    if b"id" in wanted:
        number = wanted[b"id"]
        clients = {number: clients[number]} if number in clients else {}
    kind: bytes = wanted.get(b"type")
    if kind == b"master":
        return []  # there is none
    wants_readers: cython.bint = kind == b"replica" or kind == b"slave"
    addr: bytes = wanted.get(b"addr")
    laddr: bytes = wanted.get(b"laddr")
    user = wanted.get(b"user")
    skip_own: cython.bint = wanted[b"skipme"]
    least_age_s: cython.longlong = min(wanted.get(b"maxage", 0), OLDEST_S)
    now: timespec
    clock_gettime(CLOCK_MONOTONIC, cython.address(now))
    found: list = []
    client: Client
    for client in clients.values():
        if addr is not None and client.addr != addr:
            continue
        if laddr is not None and client.laddr != laddr:
            continue
        if kind is not None:
            if is_reader(client) != wants_readers:
                continue
            if not wants_readers and (client.subscriptions is not None) != (kind == b"pubsub"):
                continue
        if least_age_s and now.tv_sec - client.created_ns // 1000000000 < least_age_s:
            continue
        if (user is not None and client.user is not user) or (skip_own and client is ctx):
            continue
        found.append(client)
    return found
