# cython: language_level=3
"""XINFO: streams, their groups and consumers, looked at from outside."""

from __future__ import annotations

from itertools import islice

from minikv.algorithms.radix_tree import radix_tree_nodes
from minikv.commands.help import help_lines
from minikv.commands.stream_group import bad_subcommand, no_such_consumer_group
from minikv.dispatch.arguments import NO_SUCH_KEY, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import LOADING, READONLY, STALE, command, container
from minikv.errors import CommandError
from minikv.keyspace.stream import LARGEST_ID, Stream
from minikv.keyspace.stream_group import Group
from minikv.keyspace.stream_node import format_id
from minikv.protocol.reply import SimpleString

ENTRIES_SHOWN = 10  # by FULL
NODES_COUNTED = 1000  # exactly; a large stream is not walked through for a figure that is Redis's own affair

XINFO = container("XINFO", arity=-2)


def existing(ctx: Client, key: bytes) -> Stream:
    stream = Stream.at(ctx.db, key)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    return stream


@command("XINFO|STREAM", arity=-3, flags=READONLY, keys=(2, 2, 1), key_flags="RO access", categories="stream")
def xinfo_stream(ctx: Client, key: bytes, *options: bytes) -> dict[bytes, object]:
    stream = existing(ctx, key)
    count = full_options(options)
    about: dict[bytes, object] = {
        b"length": len(stream),
        b"radix-tree-keys": stream.node_count,
        b"radix-tree-nodes": radix_tree_nodes(stream.node_ids(NODES_COUNTED), stream.node_count),
        b"last-generated-id": format_id(stream.last_id),
        b"max-deleted-entry-id": format_id(stream.max_deleted_id),
        b"entries-added": stream.entries_added,
        b"recorded-first-entry-id": format_id(stream.first_id),
    }
    if count is None:
        first, last = stream.range(0, LARGEST_ID, 1), stream.range(0, LARGEST_ID, 1, True)
        about[b"groups"] = stream.group_count()
        about[b"first-entry"] = first[0] if first else None
        about[b"last-entry"] = last[0] if last else None
    else:
        about[b"entries"] = stream.range(0, LARGEST_ID, count)
        about[b"groups"] = [full_group(stream, group, count) for group in Group.all_of(stream)]
    return about


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


def full_group(stream: Stream, group: Group, count: int) -> dict[bytes, object]:
    pending: list[object] = []
    for entry in islice(group.walk(0, None), count or None):
        pending.append([format_id(entry.id), entry.consumer.name, entry.delivered_ms, entry.deliveries])
    return {
        b"name": group.name,
        b"last-delivered-id": format_id(group.last_id),
        b"entries-read": group.entries_read,
        b"lag": group.lag(stream),
        b"pel-count": len(group),
        b"pending": pending,
        b"consumers": [full_consumer(group, name, owned, seen_ms, count) for name, owned, seen_ms in group.reports()],
    }


def full_consumer(group: Group, name: bytes, owned: int, seen_ms: int, count: int) -> dict[bytes, object]:
    """owned: how many entries are pending for the consumer."""
    entries = islice(group.walk(0, group.consumers[name]), count or None) if owned else ()
    return {
        b"name": name,
        b"seen-time": seen_ms,
        b"pel-count": owned,
        b"pending": [[format_id(entry.id), entry.delivered_ms, entry.deliveries] for entry in entries],
    }


@command("XINFO|GROUPS", arity=3, flags=READONLY, keys=(2, 2, 1), key_flags="RO access", categories="stream")
def xinfo_groups(ctx: Client, key: bytes) -> list[dict[bytes, object]]:
    stream = existing(ctx, key)
    return [
        {
            b"name": group.name,
            b"consumers": len(group.consumers),
            b"pending": len(group),
            b"last-delivered-id": format_id(group.last_id),
            b"entries-read": group.entries_read,
            b"lag": group.lag(stream),
        }
        for group in Group.all_of(stream)
    ]


@command(
    "XINFO|CONSUMERS",
    arity=4,
    flags=READONLY,
    keys=(2, 2, 1),
    key_flags="RO access",
    categories="stream",
    tips=["nondeterministic_output"],
)
def xinfo_consumers(ctx: Client, key: bytes, name: bytes) -> list[dict[bytes, object]]:
    stream = existing(ctx, key)
    group = Group.of(stream, name)
    if group is None:
        raise no_such_consumer_group(key, name)
    now_ms = ctx.keyspace.now_ms
    return [
        {
            b"name": consumer,
            b"pending": pending,
            b"idle": max(now_ms - seen_ms, 0),
        }
        for consumer, pending, seen_ms in group.reports()
    ]


@command("XINFO|HELP", arity=2, flags=LOADING | STALE, categories="stream")
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
