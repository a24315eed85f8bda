# cython: language_level=3
"""XREAD and XREADGROUP: entries of several streams at once, as soon as there are some."""

from __future__ import annotations

from collections.abc import Sequence

from minikv.commands.encoding import STREAM
from minikv.commands.stream_id import parse_id
from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.blocking import block
from minikv.dispatch.client import Client
from minikv.dispatch.spec import BLOCKING, MOVABLEKEYS, READONLY, WRITE, KeySpec, command
from minikv.errors import CommandError
from minikv.keyspace.stream import LARGEST_ID, Stream
from minikv.keyspace.stream_group import Consumer, Group, Pending
from minikv.keyspace.stream_node import format_id
from minikv.protocol.reply import NULL_ARRAY, POSTPONED, Raw, encode

NEW_ENTRIES = LARGEST_ID  # stands for the ID `>`
# Who has waited gets so many entries at most, unless COUNT says otherwise.
AFTER_WAITING = 1000
BAD_TIMEOUT = "ERR timeout is not an integer or out of range"
NEGATIVE_TIMEOUT = "ERR timeout is negative"
UNBALANCED = "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."
ONLY_XREADGROUP = "ERR The {} option is only supported by XREADGROUP. You called XREAD instead."
NO_GROUP_OPTION = "ERR Missing GROUP option for XREADGROUP"
NEW_WITHOUT_GROUP = (
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
)
LAST_WITH_GROUP = (
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by "
    "specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set."
)
GROUP_IS_GONE = "NOGROUP the consumer group this client was blocked on no longer exists"
STREAM_IS_GONE = CommandError("UNBLOCKED the stream key no longer exists")


class Request:
    """What XREAD or XREADGROUP asks for. timeout_ms: None for not waiting. count: 0 for all."""

    def __init__(self, words: Sequence[bytes], with_group: bool):
        self.timeout_ms: int | None = None
        self.count = 0
        self.group = b""
        self.consumer = b""
        self.no_ack = False
        self.keys: Sequence[bytes] = ()
        self.ids: Sequence[bytes] = ()
        named = False
        place = 0
        while place < len(words) and not self.keys:
            word = words[place].upper()
            more = len(words) - 1 - place
            if word == b"BLOCK" and more:
                self.timeout_ms = integer(words[place + 1], BAD_TIMEOUT)
                if self.timeout_ms < 0:
                    raise CommandError(NEGATIVE_TIMEOUT)
                place += 2
            elif word == b"COUNT" and more:
                self.count = max(integer(words[place + 1]), 0)
                place += 2
            elif word == b"STREAMS" and more:
                if more % 2:
                    raise CommandError(UNBALANCED)
                self.keys = words[place + 1 : place + 1 + more // 2]
                self.ids = words[place + 1 + more // 2 :]
            elif word == b"GROUP" and more >= 2:
                if not with_group:
                    raise CommandError(ONLY_XREADGROUP.format("GROUP"))
                self.group, self.consumer = words[place + 1], words[place + 2]
                named = True
                place += 3
            elif word == b"NOACK":
                if not with_group:
                    raise CommandError(ONLY_XREADGROUP.format("NOACK"))
                self.no_ack = True
                place += 1
            else:
                raise CommandError(SYNTAX_ERROR)
        if not self.keys:
            raise CommandError(SYNTAX_ERROR)
        if with_group and not named:
            raise CommandError(NO_GROUP_OPTION)


def shown(name: bytes) -> str:
    """A name in an error's text, which ends at a zero byte as C's strings do."""
    return name.split(b"\0")[0].decode("utf-8", "surrogateescape")


def as_reply(ctx: Client, found: list[tuple[bytes, object]]) -> object:
    """Streams with their entries: a map in RESP3, pairs in RESP2."""
    if ctx.resp == 2:
        return [list(pair) for pair in found]
    by_key = dict(found)
    if len(by_key) == len(found):
        return by_key
    # A stream that is asked for twice comes twice in the map.
    return Raw(b"%%%d\r\n" % len(found) + b"".join([encode(part, 3) for pair in found for part in pair]))


@command(
    "XREAD",
    arity=-4,
    flags=READONLY | BLOCKING | MOVABLEKEYS,
    keyspecs=[KeySpec("RO access", ("keyword", "STREAMS", 1), ("range", -1, 1, 2))],
    categories="stream",
)
def xread(ctx: Client, *words: bytes) -> object:
    request = Request(words, False)
    last_ids = []
    for key, text in zip(request.keys, request.ids, strict=True):
        stream = Stream.at(ctx.db, key)
        if text == b">":
            raise CommandError(NEW_WITHOUT_GROUP)
        if text == b"$":
            last_ids.append(0 if stream is None else stream.last_id)
        else:
            last_ids.append(parse_id(text))
    found: list[tuple[bytes, object]] = []
    for key, last_id in zip(request.keys, last_ids, strict=True):
        stream = Stream.at(ctx.db, key)
        if stream is None or last_id == LARGEST_ID:
            continue
        entries = stream.range(last_id + 1, LARGEST_ID, request.count)
        if entries:
            found.append((key, entries))
    if found:
        return as_reply(ctx, found)
    if request.timeout_ms is None:
        return NULL_ARRAY
    # Of a key that is given twice, the last ID counts.
    wanted = dict(zip(request.keys, last_ids, strict=True))

    def serve(ctx: Client, key: bytes) -> object:
        stream = Stream.at(ctx.db, key, False)
        if stream is None or stream.last_id <= wanted[key]:
            return POSTPONED
        entries = stream.range(wanted[key] + 1, LARGEST_ID, request.count or AFTER_WAITING)
        return as_reply(ctx, [(key, entries)])

    return block(ctx, request.keys, request.timeout_ms, STREAM, serve)


@command(
    "XREADGROUP",
    arity=-7,
    flags=WRITE | BLOCKING | MOVABLEKEYS,
    keyspecs=[KeySpec("RO access", ("keyword", "STREAMS", 4), ("range", -1, 1, 2))],
    categories="stream",
)
def xreadgroup(ctx: Client, *words: bytes) -> object:
    request = Request(words, True)
    last_ids = []
    rows = 0
    for key, text in zip(request.keys, request.ids, strict=True):
        stream = Stream.at(ctx.db, key)
        if stream is None or stream.group_last_id(request.group) is None:
            raise CommandError(
                f"NOGROUP No such key '{shown(key)}' or consumer group '{shown(request.group)}'"
                " in XREADGROUP with GROUP option"
            )
        if text == b"$":
            raise CommandError(LAST_WITH_GROUP)
        last_ids.append(NEW_ENTRIES if text == b">" else parse_id(text))
        rows += min(request.count or len(stream), len(stream))
    if len(request.keys) > 1:
        ctx.db.make_sure_of_rows(rows)
    found: list[tuple[bytes, object]] = []
    for key, last_id in zip(request.keys, last_ids, strict=True):
        stream = Stream.at(ctx.db, key)
        group = None if stream is None else Group.of(stream, request.group)
        if stream is None or group is None:
            continue
        if last_id != NEW_ENTRIES:
            found.append((key, history(ctx, stream, group, request, last_id + 1)))
        elif group.last_id < LARGEST_ID and (new := NewEntries(stream, group, request.count)).entries:
            found.append((key, new.deliver(ctx, request)))
    if found:
        return as_reply(ctx, found)
    if request.timeout_ms is None:
        return NULL_ARRAY

    def serve(ctx: Client, key: bytes) -> object:
        stream = Stream.at(ctx.db, key, False)
        if stream is None:
            return POSTPONED
        last_id = stream.group_last_id(request.group)
        if last_id is None:
            raise CommandError(GROUP_IS_GONE)
        if stream.last_id <= last_id:
            return POSTPONED
        group = Group.of(stream, request.group)
        assert group is not None
        new = NewEntries(stream, group, request.count or AFTER_WAITING)
        return as_reply(ctx, [(key, new.deliver(ctx, request))])

    return block(ctx, request.keys, request.timeout_ms, STREAM, serve, lost=STREAM_IS_GONE, interest=request.group)


def see_consumer(ctx: Client, group: Group, name: bytes) -> Consumer:
    """The consumer that the client acts for; a new one is a change."""
    ctx.keyspace.dirty += name not in group.consumers
    return group.see_consumer(name, ctx.keyspace.now_ms)


class NewEntries:
    """What a group has not read yet, `count` at most (0: all)."""

    def __init__(self, stream: Stream, group: Group, count: int):
        self.stream = stream
        self.group = group
        self.ids: list[int] = []
        self.entries = stream.read(group.last_id + 1, LARGEST_ID, count, False, self.ids)

    def deliver(self, ctx: Client, request: Request) -> list[list[object]]:
        """The entries, which become pending unless the client wants no such thing."""
        now_ms = ctx.keyspace.now_ms
        ctx.db.make_sure_of_rows(len(self.ids))
        consumer = see_consumer(ctx, self.group, request.consumer)
        for id in self.ids:
            self.group.read_entry(self.stream, id)
            if not request.no_ack:
                self.group.put(Pending(id, consumer, now_ms, 1))
        self.group.save(self.stream)
        ctx.keyspace.dirty += 1
        return self.entries


def history(ctx: Client, stream: Stream, group: Group, request: Request, start: int) -> list[list[object]]:
    """What is pending for the consumer, from an ID on; an entry that was deleted is null."""
    consumer = see_consumer(ctx, group, request.consumer)
    found: list[list[object]] = []
    pending = group.next_of(consumer, start)
    while pending is not None:
        entry = stream.range(pending.id, pending.id)
        if entry:
            pending.delivered_ms = ctx.keyspace.now_ms
            pending.deliveries += 1
            group.put(pending)
            found += entry
        else:
            found.append([format_id(pending.id), NULL_ARRAY])
        if len(found) == request.count or pending.id == LARGEST_ID:
            break
        pending = group.next_of(consumer, pending.id + 1)
    group.save(stream)
    ctx.keyspace.dirty += 1
    return found
