# cython: boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""XREAD and XREADGROUP: entries of several streams at once, as soon as there are some."""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.minikv.commands.stream_id import read_id
from cython.cimports.minikv.dispatch.client import Client
from cython.cimports.minikv.dispatch.script_client import ScriptClient
from cython.cimports.minikv.keyspace.database import Keyspace
from cython.cimports.minikv.keyspace.stream import Stream, StreamNumbers, find_stream
from cython.cimports.minikv.keyspace.stream_group import NO_CONSUMER, Entry, Group, group_of, next_id
from cython.cimports.minikv.keyspace.stream_node import StreamId, id_text, is_less

from minikv.commands.encoding import STREAM
from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.blocking import block
from minikv.dispatch.spec import BLOCKING, MOVABLEKEYS, READONLY, WRITE, KeySpec, command
from minikv.errors import CommandError, NamingError
from minikv.protocol.reply import NULL_ARRAY, POSTPONED, Raw, encode

# A client that has waited gets at most this many entries, unless COUNT says otherwise.
AFTER_WAITING = cython.declare(uint64_t, 1000)
BAD_TIMEOUT = "ERR timeout is not an integer or out of range"
NEGATIVE_TIMEOUT = "ERR timeout is negative"
UNBALANCED = "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."
ONLY_XREADGROUP = "ERR The {} option is only supported by XREADGROUP. You called XREAD instead."
NO_BLOCK_IN_SCRIPT = "ERR {} command is not allowed with BLOCK option from scripts"
NO_GROUP_OPTION = "ERR Missing GROUP option for XREADGROUP"
NEW_WITHOUT_GROUP = (
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
)
LAST_WITH_GROUP = (
    "ERR The {0} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by "
    "specifying a proper ID, or use the > ID to get new messages. The {0} ID would just return an empty result set."
)
GROUP_IS_GONE = "NOGROUP the consumer group this client was blocked on no longer exists"
STREAM_IS_GONE = CommandError("UNBLOCKED the stream key no longer exists")


@cython.cclass
class Request:
    """What XREAD or XREADGROUP asks for. timeout_ms: None for not waiting. count: 0 for all."""

    timeout_ms: object
    count: uint64_t
    group: bytes
    consumer: bytes
    no_ack: cython.bint
    keys: tuple
    ids: tuple

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read(self, words: tuple, with_group: cython.bint, in_script: cython.bint) -> cython.int:
        place: cython.Py_ssize_t
        more: cython.Py_ssize_t
        self.group = self.consumer = b""
        self.keys = self.ids = ()
        named: cython.bint = False
        place = 0
        while place < len(words) and not self.keys:
            word: bytes = cython.cast(bytes, words[place]).upper()
            more = len(words) - 1 - place
            if word == b"BLOCK" and more:
                if in_script:
                    raise NamingError(NO_BLOCK_IN_SCRIPT)
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
        return 0


def shown(name: bytes) -> str:
    """A name in an error's text, which ends at a zero byte as C's strings do."""
    return name.split(b"\0")[0].decode("utf-8", "surrogateescape")


def as_reply(ctx: Client, found: list) -> object:
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
    request: Request = Request.__new__(Request)
    request.read(words, False, isinstance(ctx, ScriptClient))
    last_ids = bytearray(len(request.keys) * cython.sizeof(StreamId))
    lasts: cython.pointer[StreamId] = cython.cast(cython.pointer[StreamId], PyByteArray_AS_STRING(last_ids))
    last: StreamId
    stream: Stream
    place: cython.Py_ssize_t
    for place in range(len(request.keys)):
        stream = find_stream(ctx.db, request.keys[place], True)
        text: bytes = request.ids[place]
        if text == b">":
            raise CommandError(NEW_WITHOUT_GROUP)
        if text == b"$" or text == b"+":
            lasts[place] = last_id_of(stream)
        else:
            read_id(text, 0, lasts + place)
    found: list = []
    for place in range(len(request.keys)):
        stream = find_stream(ctx.db, request.keys[place], True)
        last = lasts[place]
        if stream is None:
            continue
        if request.ids[place] == b"+":  # since Redis 7.4: the last entry; without one, what comes next
            entries = stream.between(smallest_id(), largest_id(), 1, True, None)
        elif next_id(cython.address(last)):
            entries = stream.between(last, largest_id(), request.count, False, None)
        else:
            continue
        if entries:
            found.append((request.keys[place], entries))
    if found:
        return as_reply(ctx, found)
    return NULL_ARRAY if request.timeout_ms is None else wait_for_entries(ctx, request, last_ids)


@cython.cfunc
def wait_for_entries(ctx: Client, request: Request, last_ids: bytearray) -> object:
    """XREAD waits for entries above these IDs, one for each key."""
    # Of a key that is given twice, the last ID counts.
    wanted = {key: place for place, key in enumerate(request.keys)}

    def serve(ctx: Client, key: bytes) -> object:
        stream: Stream = find_stream(ctx.db, key, False)
        place: cython.Py_ssize_t = wanted[key]
        last: StreamId = cython.cast(cython.pointer[StreamId], PyByteArray_AS_STRING(last_ids))[place]
        if stream is None or not is_less(last, last_id_of(stream)):
            return POSTPONED
        next_id(cython.address(last))
        entries = stream.between(last, largest_id(), request.count or AFTER_WAITING, False, None)
        return as_reply(ctx, [(key, entries)])

    return block(ctx, request.keys, request.timeout_ms, STREAM, serve)


@cython.cfunc
@cython.inline
def last_id_of(stream: Stream | None) -> StreamId:
    """The last ID of a stream, 0 for None."""
    id: StreamId
    id.ms = id.sequence = 0
    return id if stream is None else stream.numbers().last


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def smallest_id() -> StreamId:
    id: StreamId
    id.ms = id.sequence = 0
    return id


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def largest_id() -> StreamId:
    id: StreamId
    id.ms = id.sequence = ~cython.cast(uint64_t, 0)
    return id


@command(
    "XREADGROUP",
    arity=-7,
    flags=WRITE | BLOCKING | MOVABLEKEYS,
    keyspecs=[KeySpec("RO access", ("keyword", "STREAMS", 4), ("range", -1, 1, 2))],
    categories="stream",
)
def xreadgroup(ctx: Client, *words: bytes) -> object:
    request: Request = Request.__new__(Request)
    request.read(words, True, isinstance(ctx, ScriptClient))
    keyspace: Keyspace = ctx.db.keyspace
    stream: Stream
    group: Group
    id: StreamId
    place: cython.Py_ssize_t
    rows: uint64_t = 0
    for place in range(len(request.keys)):
        key: bytes = request.keys[place]
        text: bytes = request.ids[place]
        stream = find_stream(ctx.db, key, True)
        if stream is None or not stream.last_delivered(request.group, cython.address(id)):
            raise CommandError(
                f"NOGROUP No such key '{shown(key)}' or consumer group '{shown(request.group)}'"
                " in XREADGROUP with GROUP option"
            )
        if text == b"$" or text == b"+":
            raise CommandError(LAST_WITH_GROUP.format(text.decode()))
        if text != b">":
            read_id(text, 0, cython.address(id))
        rows += min(request.count or stream.numbers().length, stream.numbers().length)
    if len(request.keys) > 1:
        ctx.db.make_sure_of_rows(rows)
    found: list = []
    for place in range(len(request.keys)):
        key = request.keys[place]
        text = request.ids[place]
        stream = find_stream(ctx.db, key, True)
        group = None if stream is None else group_of(stream, request.group)
        if group is None:
            continue
        id = largest_id()  # means the ID `>`
        if text != b">":
            read_id(text, 0, cython.address(id))
        if is_less(id, largest_id()):
            found.append((key, history(keyspace, group, request, id)))
        else:
            entries = deliver(ctx, keyspace, group, request, request.count, False)
            if entries:
                found.append((key, entries))
    if found:
        return as_reply(ctx, found)
    return NULL_ARRAY if request.timeout_ms is None else wait_as_consumer(ctx, request)


@cython.cfunc
def wait_as_consumer(ctx: Client, request: Request) -> object:
    """XREADGROUP waits for entries that its group has not read."""

    def serve(ctx: Client, key: bytes) -> object:
        stream: Stream = find_stream(ctx.db, key, False)
        group: Group
        if stream is None:
            return POSTPONED
        group = group_of(stream, request.group)
        if group is None:
            raise CommandError(GROUP_IS_GONE)
        if not is_less(group.last, last_id_of(stream)):
            return POSTPONED
        entries = deliver(ctx, ctx.db.keyspace, group, request, request.count or AFTER_WAITING, True)
        return as_reply(ctx, [(key, entries)])

    return block(ctx, request.keys, request.timeout_ms, STREAM, serve, lost=STREAM_IS_GONE, interest=request.group)


@cython.cfunc
@cython.exceptval(0xFFFFFFFF, check=False)
def see_consumer(keyspace: Keyspace, group: Group, name: bytes) -> uint32_t:
    """The consumer that the client acts for; a new one is a change."""
    if group.consumer_of(name) == NO_CONSUMER:
        keyspace.dirty += 1
        group.stream.notify(b"xgroup-createconsumer")
    return group.see(name, keyspace.now_ms)


@cython.cfunc
def deliver(
    ctx: Client, keyspace: Keyspace, group: Group, request: Request, count: uint64_t, always: cython.bint
) -> list:
    """What the group has not read yet, which becomes pending unless the client wants no such thing.

    always: the consumer has acted although there is nothing.
    """
    first: StreamId = group.last
    ids: bytearray = bytearray()
    entry: Entry
    numbers: StreamNumbers
    step: cython.Py_ssize_t
    at: cython.pointer[StreamId]
    entries: list = []
    if next_id(cython.address(first)):
        entries = group.stream.between(first, largest_id(), count, False, ids)
    if not entries and not always:
        return entries
    if len(entries) > 1:
        ctx.db.make_sure_of_rows(len(entries))
    entry.consumer = see_consumer(keyspace, group, request.consumer)
    entry.delivered_ms = keyspace.now_ms
    entry.deliveries = 1
    numbers = group.stream.numbers()
    at = cython.cast(cython.pointer[StreamId], PyByteArray_AS_STRING(ids))
    for step in range(len(entries)):
        entry.id = at[step]
        group.read_on(cython.address(numbers), entry.id)
        if not request.no_ack:
            group.write(cython.address(entry))
    group.store()
    keyspace.dirty += 1
    return entries


@cython.cfunc
def history(keyspace: Keyspace, group: Group, request: Request, id: StreamId) -> list:
    """The entries pending for the consumer after an ID; a deleted entry is null."""
    consumer: uint32_t = see_consumer(keyspace, group, request.consumer)
    stream: Stream = group.stream
    found: list = []
    entry: Entry
    while next_id(cython.address(id)) and group.seek_of(consumer, id, cython.address(entry)):
        read = stream.between(entry.id, entry.id, 1, False, None)
        if read:
            entry.delivered_ms = keyspace.now_ms
            entry.deliveries = next_count(entry.deliveries)
            group.write(cython.address(entry))
            found.append(read[0])
        else:
            found.append([id_text(entry.id), NULL_ARRAY])
        if cython.cast(uint64_t, len(found)) == request.count:
            break
        id = entry.id
    group.store()
    keyspace.dirty += 1
    return found


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def next_count(deliveries: int64_t) -> int64_t:
    """One more; the count wraps."""
    return cython.cast(int64_t, cython.cast(uint64_t, deliveries) + 1)
