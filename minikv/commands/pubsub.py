"""SUBSCRIBE PSUBSCRIBE SSUBSCRIBE and their opposites, PUBLISH SPUBLISH PUBSUB.

A subscription has no reply: it is confirmed by one message for each channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from minikv.commands.help import help_lines
from minikv.dispatch.client import Client
from minikv.dispatch.spec import FAST, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE, command, container
from minikv.errors import NamingError
from minikv.keyspace.glob import glob_match
from minikv.protocol.reply import NO_REPLY, Marker, Push, SimpleString, encode

ANYTIME = LOADING | STALE
LISTEN = PUBSUB | NOSCRIPT | ANYTIME
PUBSUB_COMMAND = container("PUBSUB", arity=-2)

HELP = [
    "CHANNELS [<pattern>]",
    "    The channels that somebody has subscribed to, all or those that match.",
    "NUMPAT",
    "    How many patterns are subscribed to.",
    "NUMSUB [<channel> ...]",
    "    How many clients have subscribed to each channel, by name.",
    "SHARDCHANNELS [<pattern>]",
    "    As CHANNELS, of shard channels.",
    "SHARDNUMSUB [<channel> ...]",
    "    As NUMSUB, of shard channels.",
]


@command("SUBSCRIBE", arity=-2, flags=LISTEN)
def subscribe(ctx: Client, *channels: bytes) -> Marker:
    return confirm(b"subscribe", ctx, channels, ctx.server.pubsub.subscribe)


@command("PSUBSCRIBE", arity=-2, flags=LISTEN)
def psubscribe(ctx: Client, *patterns: bytes) -> Marker:
    return confirm(b"psubscribe", ctx, patterns, ctx.server.pubsub.subscribe_pattern)


@command("SSUBSCRIBE", arity=-2, flags=LISTEN, keys=(1, -1, 1), key_flags="not_key")
def ssubscribe(ctx: Client, *channels: bytes) -> Marker:
    return confirm(b"ssubscribe", ctx, channels, ctx.server.pubsub.subscribe_shard)


@command("UNSUBSCRIBE", arity=-1, flags=LISTEN)
def unsubscribe(ctx: Client, *channels: bytes) -> Marker:
    own = ctx.subscriptions
    return end(b"unsubscribe", ctx, channels, own.channels if own is not None else (), ctx.server.pubsub.unsubscribe)


@command("PUNSUBSCRIBE", arity=-1, flags=LISTEN)
def punsubscribe(ctx: Client, *patterns: bytes) -> Marker:
    own = ctx.subscriptions
    return end(
        b"punsubscribe", ctx, patterns, own.patterns if own is not None else (), ctx.server.pubsub.unsubscribe_pattern
    )


@command("SUNSUBSCRIBE", arity=-1, flags=LISTEN, keys=(1, -1, 1), key_flags="not_key")
def sunsubscribe(ctx: Client, *channels: bytes) -> Marker:
    own = ctx.subscriptions
    return end(
        b"sunsubscribe", ctx, channels, own.shard if own is not None else (), ctx.server.pubsub.unsubscribe_shard
    )


def confirm(kind: bytes, ctx: Client, names: Iterable[bytes], act: Callable[[Client, bytes], int]) -> Marker:
    for name in names:
        send(ctx, kind, name, act(ctx, name))
    ctx.note_memory()
    return NO_REPLY


def end(
    kind: bytes, ctx: Client, named: tuple[bytes, ...], all_: Iterable[bytes], act: Callable[[Client, bytes], int]
) -> Marker:
    """Without names, all; a client without subscriptions gets a message, too."""
    names = named or tuple(all_)
    if names:
        return confirm(kind, ctx, names, act)
    own = ctx.subscriptions
    send(ctx, kind, None, 0 if own is None else len(own.shard) if kind == b"sunsubscribe" else len(own))
    return NO_REPLY


def send(ctx: Client, kind: bytes, name: bytes | None, count: int) -> None:
    ctx.push_wire(encode(Push([kind, name, count]), ctx.resp))


@command("PUBLISH", arity=3, flags=PUBSUB | ANYTIME | FAST | MAY_REPLICATE)
def publish(ctx: Client, channel: bytes, message: bytes) -> int:
    return int(ctx.server.pubsub.publish(channel, message))


@command("SPUBLISH", arity=3, flags=PUBSUB | ANYTIME | FAST | MAY_REPLICATE, key_flags="not_key")
def spublish(ctx: Client, channel: bytes, message: bytes) -> int:
    return int(ctx.server.pubsub.publish_shard(channel, message))


@command("PUBSUB|CHANNELS", arity=-2, flags=PUBSUB | ANYTIME)
def channels(ctx: Client, *pattern: bytes) -> list[bytes]:
    return matching(ctx.server.pubsub.channels, pattern)


@command("PUBSUB|SHARDCHANNELS", arity=-2, flags=PUBSUB | ANYTIME)
def shardchannels(ctx: Client, *pattern: bytes) -> list[bytes]:
    return matching(ctx.server.pubsub.shard, pattern)


def matching(known: Iterable[bytes], pattern: tuple[bytes, ...]) -> list[bytes]:
    if len(pattern) > 1:
        raise NamingError("ERR unknown subcommand or wrong number of arguments for '{}'. Try PUBSUB HELP.")
    return [channel for channel in known if not pattern or glob_match(pattern[0], channel)]


@command("PUBSUB|NUMSUB", arity=-2, flags=PUBSUB | ANYTIME)
def numsub(ctx: Client, *named: bytes) -> list[bytes | int]:
    return counts(ctx.server.pubsub.channels, named)


@command("PUBSUB|SHARDNUMSUB", arity=-2, flags=PUBSUB | ANYTIME)
def shardnumsub(ctx: Client, *named: bytes) -> list[bytes | int]:
    return counts(ctx.server.pubsub.shard, named)


def counts(known: dict[bytes, dict[Client, None]], named: tuple[bytes, ...]) -> list[bytes | int]:
    return [item for channel in named for item in (channel, len(known.get(channel, ())))]


@command("PUBSUB|NUMPAT", arity=2, flags=PUBSUB | ANYTIME)
def numpat(ctx: Client) -> int:
    return int(ctx.server.pubsub.pattern_count)


@command("PUBSUB|HELP", arity=2, flags=ANYTIME)
def pubsub_help(ctx: Client) -> list[SimpleString]:
    return help_lines("PUBSUB", HELP)
