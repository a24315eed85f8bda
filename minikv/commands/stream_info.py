# cython: boundscheck=False, wraparound=False, initializedcheck=False
# ruff: noqa: F821
"""XINFO: figures of streams, their groups and consumers."""

from __future__ import annotations

import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.minikv.dispatch.client import Client
from cython.cimports.minikv.keyspace.stream import Stream, StreamNumbers, find_stream
from cython.cimports.minikv.keyspace.stream_group import NO_CONSUMER, UNKNOWN_READS, Entry, Group, group_of, next_id
from cython.cimports.minikv.keyspace.stream_node import StreamId, id_text

from minikv.algorithms.radix_tree import radix_tree_nodes
from minikv.commands.help import help_lines
from minikv.commands.stream_group import bad_subcommand, no_such_consumer_group
from minikv.dispatch.arguments import NO_SUCH_KEY, integer
from minikv.dispatch.spec import LOADING, READONLY, STALE, container, in_category
from minikv.errors import CommandError
from minikv.protocol.reply import SimpleString

command = in_category("stream")

ENTRIES_SHOWN = 10  # by FULL
# Up to so many nodes the radix tree's are counted exactly; a larger stream's are estimated from fewer: the figure is
# Redis's own affair.
NODES_COUNTED = 1000
NODES_SAMPLED = 128

XINFO = container("XINFO", arity=-2)


@cython.cfunc
def existing(ctx: Client, key: bytes) -> Stream:
    stream: Stream = find_stream(ctx.db, key, True)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    return stream


@command("XINFO|STREAM", arity=-3, flags=READONLY, keys=(2, 2, 1), key_flags="RO access")
def xinfo_stream(ctx: Client, key: bytes, *options: bytes) -> dict[bytes, object]:
    stream: Stream = existing(ctx, key)
    count = full_options(options)
    numbers: StreamNumbers = stream.numbers()
    nodes: uint32_t = stream.nodes()
    about: dict = {
        b"length": numbers.length,
        b"radix-tree-keys": nodes,
        b"radix-tree-nodes": radix_tree_nodes(
            stream.node_depths(NODES_COUNTED if nodes <= NODES_COUNTED else NODES_SAMPLED), nodes
        ),
        b"last-generated-id": id_text(numbers.last),
        b"max-deleted-entry-id": id_text(numbers.max_deleted),
        b"entries-added": numbers.added,
        b"recorded-first-entry-id": id_text(numbers.first),
    }
    if count is None:
        about[b"groups"] = stream.group_count()
        about[b"first-entry"] = edge_entry(stream, False)
        about[b"last-entry"] = edge_entry(stream, True)
    else:
        about[b"entries"] = stream.between(id_from(0), id_from(~cython.cast(uint64_t, 0)), count, False, None)
        about[b"groups"] = [full_group(group, cython.address(numbers), count) for group in Group.all_of(stream)]
    return about


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def id_from(half: uint64_t) -> StreamId:
    """The smallest or largest ID."""
    id: StreamId
    id.ms = id.sequence = half
    return id


@cython.cfunc
def edge_entry(stream: Stream, last: cython.bint) -> list:
    """The first or last entry, or None."""
    found: list = stream.between(id_from(0), id_from(~cython.cast(uint64_t, 0)), 1, last, None)
    return found[0] if found else None


def full_options(options: tuple[bytes, ...]) -> int | None:
    """How many entries FULL wants to see, 0 for all; None without FULL."""
    if not options:
        return None
    if len(options) not in (1, 3) or options[0].upper() != b"FULL":
        raise bad_subcommand("XINFO")
    if len(options) == 1:
        return ENTRIES_SHOWN
    if options[1].upper() != b"COUNT":
        raise bad_subcommand("XINFO")
    count = integer(options[2])
    return count if count >= 0 else ENTRIES_SHOWN


@cython.cfunc
def full_group(group: Group, numbers: cython.pointer[cython.const[StreamNumbers]], count: uint64_t) -> dict:
    return {
        b"name": group.name,
        b"last-delivered-id": id_text(group.last),
        b"entries-read": entries_read(group),
        b"lag": group.lag(numbers),
        b"pel-count": group.pending_count(),
        b"pending": pending_of(group, NO_CONSUMER, count or group.pending_count()),
        b"consumers": [
            {
                b"name": name,
                b"seen-time": seen_ms,
                b"pel-count": owned,
                b"pending": pending_of(group, number, min(count or owned, owned)),
            }
            for name, number, owned, seen_ms in group.reports()
        ],
    }


@cython.cfunc
def entries_read(group: Group) -> object:
    return None if group.reads == UNKNOWN_READS else group.reads


@cython.cfunc
def pending_of(group: Group, consumer: uint32_t, count: uint64_t) -> list:
    """The first pending entries of a consumer, or (NO_CONSUMER) of all, with their consumers' names."""
    entry: Entry
    id: StreamId = id_from(0)
    found: list = []
    while count and (
        group.seek(id, cython.address(entry))
        if consumer == NO_CONSUMER
        else group.seek_of(consumer, id, cython.address(entry))
    ):
        if consumer == NO_CONSUMER:
            found.append([id_text(entry.id), group.name_of(entry.consumer), entry.delivered_ms, entry.deliveries])
        else:
            found.append([id_text(entry.id), entry.delivered_ms, entry.deliveries])
        id = entry.id
        count = count - 1 if next_id(cython.address(id)) else 0
    return found


@command("XINFO|GROUPS", arity=3, flags=READONLY, keys=(2, 2, 1), key_flags="RO access")
def xinfo_groups(ctx: Client, key: bytes) -> list[dict[bytes, object]]:
    stream: Stream = existing(ctx, key)
    numbers: StreamNumbers = stream.numbers()
    return [about_group(group, cython.address(numbers)) for group in Group.all_of(stream)]


@cython.cfunc
def about_group(group: Group, numbers: cython.pointer[cython.const[StreamNumbers]]) -> dict:
    return {
        b"name": group.name,
        b"consumers": group.consumer_count(),
        b"pending": group.pending_count(),
        b"last-delivered-id": id_text(group.last),
        b"entries-read": entries_read(group),
        b"lag": group.lag(numbers),
    }


@command(
    "XINFO|CONSUMERS", arity=4, flags=READONLY, keys=(2, 2, 1), key_flags="RO access", tips=["nondeterministic_output"]
)
def xinfo_consumers(ctx: Client, key: bytes, name: bytes) -> list[dict[bytes, object]]:
    group: Group = group_of(existing(ctx, key), name)
    if group is None:
        raise no_such_consumer_group(key, name)
    now_ms: int64_t = ctx.db.keyspace.now_ms
    return [
        {
            b"name": consumer,
            b"pending": pending,
            b"idle": max(now_ms - seen_ms, 0),
        }
        for consumer, _, pending, seen_ms in group.reports()
    ]


@command("XINFO|HELP", arity=2, flags=LOADING | STALE)
def xinfo_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "XINFO",
        [
            "CONSUMERS <key> <groupname>",
            "    The consumers of a group.",
            "GROUPS <key>",
            "    The groups of a stream.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    A stream; FULL: with entries, groups and what is pending.",
        ],
    )
