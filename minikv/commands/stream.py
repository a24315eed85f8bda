# cython: boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Commands on streams: adding, reading and deleting entries."""

from __future__ import annotations

import cython
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.minikv.commands.stream_id import read_end, read_id, read_start
from cython.cimports.minikv.dispatch.client import Client
from cython.cimports.minikv.keyspace.stream import Stream, find_stream, stream_to_write
from cython.cimports.minikv.keyspace.stream_node import StreamId

from minikv.commands.stream_id import parse_id, parse_open_id
from minikv.dispatch.arguments import NO_SUCH_KEY, SYNTAX_ERROR, integer
from minikv.dispatch.spec import DENYOOM, FAST, READONLY, WRITE, in_category
from minikv.errors import CommandError
from minikv.keyspace.stream import LARGEST_ID
from minikv.keyspace.stream_node import format_id
from minikv.protocol.reply import NULL_ARRAY, OK, SimpleString

command = in_category("stream")

BOTH_STRATEGIES = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"
NO_STRATEGY = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
LIMIT_OF_EXACT = "ERR syntax error, LIMIT cannot be used without the special ~ option"
TRIM_WITHOUT_STRATEGY = "ERR syntax error, XTRIM must be called with a trimming strategy"
NOT_ABOVE_ZERO = "ERR The ID specified in XADD must be greater than 0-0"
EXHAUSTED = "ERR The stream has exhausted the last possible ID, unable to add more items"
NOT_ABOVE_LAST = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
TOO_LARGE = "ERR Elements are too large to be stored"
LARGEST_SEQUENCE = (1 << 64) - 1
# Bytes of the fields and values of one entry.
ENTRY_MAX = cython.declare(uint64_t, 1 << 30)
# Without LIMIT an approximate trim visits at most this many full nodes, and deletes at most this many entries.
TRIM_NODES = 100
TRIM_DEFAULT = 10_000
TRIM_MAX = 1_000_000


@cython.cclass
class Trim:
    """How far to trim: MAXLEN or MINID with their options. strategy: None for not at all. limit: None for no LIMIT."""

    strategy: bytes
    length: uint64_t
    least: StreamId
    approximate: cython.bint
    limit: object

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def option(self, words: tuple, place: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the option at a position that has a word after it; returns the next position, the same if it is none."""
        number: int64_t
        word: bytes = cython.cast(bytes, words[place]).upper()
        if word == b"LIMIT":
            self.limit = integer(words[place + 1])
            if self.limit < 0:
                raise CommandError("ERR The LIMIT argument must be >= 0.")
            return place + 2
        if word not in (b"MAXLEN", b"MINID"):
            return place
        if self.strategy is not None:
            raise CommandError(BOTH_STRATEGIES)
        self.approximate = False
        place += 1
        if place + 1 < len(words) and words[place] in (b"~", b"="):
            self.approximate = words[place] == b"~"
            place += 1
        if word == b"MINID":
            read_id(words[place], 0, cython.address(self.least))
        else:
            number = integer(words[place])
            if number < 0:
                raise CommandError("ERR The MAXLEN argument must be >= 0.")
            self.length = number
        self.strategy = word
        return place + 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def settle(self, ctx: Client, required: cython.bint) -> cython.int:
        """All options have been read: decide on the limit."""
        if self.limit and self.strategy is None:
            raise CommandError(NO_STRATEGY)
        if required and self.strategy is None:
            raise CommandError(TRIM_WITHOUT_STRATEGY)
        if self.limit is not None:
            if not self.approximate:
                raise CommandError(LIMIT_OF_EXACT)
        elif self.approximate:
            entries = ctx.server.config.stream_node_max_entries
            self.limit = min(TRIM_NODES * entries, TRIM_MAX) or TRIM_DEFAULT
        else:
            self.limit = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def apply(self, stream: Stream) -> int64_t:
        """Trim; returns how many entries were deleted. Counts no change."""
        limit: uint64_t = self.limit or 0
        if self.strategy == b"MAXLEN":
            return stream.trim_to_length(self.length, self.approximate, limit)
        if self.strategy == b"MINID":
            return stream.trim_before(self.least, self.approximate, limit)
        return 0


@command("XADD", arity=-5, flags=WRITE | DENYOOM | FAST, key_flags="RW update", tips=["nondeterministic_output"])
def xadd(ctx: Client, key: bytes, *words: bytes) -> bytes | None:
    trim: Trim | None = None
    create: cython.bint = True
    id = None
    given: cython.bint = True
    place: cython.Py_ssize_t = 0
    behind: cython.Py_ssize_t
    size: uint64_t = 0
    part: bytes
    while place < len(words) and words[place] != b"*":
        trim = trim or Trim()
        behind = trim.option(words, place) if place + 1 < len(words) else place
        if behind != place:
            place = behind
        elif words[place].upper() == b"NOMKSTREAM":
            create = False
            place += 1
        else:
            id, given = parse_open_id(words[place])
            break
    if trim is not None:
        trim.settle(ctx, False)
    parts: tuple = words[place + 1 :]
    if len(parts) < 2 or len(parts) % 2:
        raise CommandError("ERR wrong number of arguments for 'xadd' command")
    if id == 0 and given:
        raise CommandError(NOT_ABOVE_ZERO)
    stream: Stream = stream_to_write(ctx.db, key)
    if not create and not stream.exists:
        return None
    for part in parts:
        size += len(part)
    if size > ENTRY_MAX:
        raise CommandError(TOO_LARGE)
    config = ctx.server.config
    if id is None:
        text = stream.add_now(
            ctx.db.keyspace.now_ms, parts, config.stream_node_max_bytes, config.stream_node_max_entries
        )
        if text is None:
            raise CommandError(EXHAUSTED)
    else:
        id = next_id(stream.last_id, id, given)
        stream.add(id, parts, config.stream_node_max_bytes, config.stream_node_max_entries)
        text = format_id(id)
    stream.notify(b"xadd")
    if trim is not None and trim.apply(stream):
        stream.notify(b"xtrim")
    return text


def next_id(last: int, id: int, given: bool) -> int:
    """The ID of a new entry: as given, or with the next sequence number of its millisecond."""
    if last == LARGEST_ID:
        raise CommandError(EXHAUSTED)
    if not given and id >> 64 == last >> 64:
        if ~last & LARGEST_SEQUENCE == 0:
            raise CommandError(TOO_LARGE)  # as Redis words it
        return last + 1
    if id <= last:
        raise CommandError(NOT_ABOVE_LAST)
    return id


@command("XTRIM", arity=-4, flags=WRITE, key_flags="RW delete", tips=["nondeterministic_output"])
def xtrim(ctx: Client, key: bytes, *words: bytes) -> int:
    trim: Trim = Trim()
    place: cython.Py_ssize_t = 0
    behind: cython.Py_ssize_t
    removed: int64_t = 0
    while place < len(words):
        behind = trim.option(words, place) if place + 1 < len(words) else place
        if behind == place:
            raise CommandError(SYNTAX_ERROR)
        place = behind
    trim.settle(ctx, True)
    stream: Stream = find_stream(ctx.db, key, False)
    if stream is not None:
        removed = trim.apply(stream)
        if removed:
            stream.mark_trimmed(removed)
            stream.notify(b"xtrim")
    return removed


@command("XDEL", arity=-3, flags=WRITE | FAST, key_flags="RW delete")
def xdel(ctx: Client, key: bytes, *texts: bytes) -> int:
    stream = find_stream(ctx.db, key, False)
    if stream is None:
        return 0
    deleted: list[int] = []
    try:
        for id in [parse_id(text) for text in texts]:
            if stream.delete(id):
                deleted.append(id)
    finally:
        if deleted:
            stream.deleted(deleted)
            stream.notify(b"xdel")
    return len(deleted)


@command("XLEN", arity=2, flags=READONLY | FAST, key_flags="RO")
def xlen(ctx: Client, key: bytes) -> int:
    stream: Stream = find_stream(ctx.db, key, True)
    return 0 if stream is None else stream.numbers().length


@command("XRANGE", arity=-4, flags=READONLY, key_flags="RO access")
def xrange(ctx: Client, key: bytes, start: bytes, end: bytes, *options: bytes) -> object:
    return entries_between(ctx, key, start, end, options, False)


@command("XREVRANGE", arity=-4, flags=READONLY, key_flags="RO access")
def xrevrange(ctx: Client, key: bytes, end: bytes, start: bytes, *options: bytes) -> object:
    return entries_between(ctx, key, start, end, options, True)


@cython.cfunc
def entries_between(ctx: Client, key: bytes, start: bytes, end: bytes, options: tuple, reverse: cython.bint) -> object:
    count: int64_t = -1
    place: cython.Py_ssize_t
    first: StreamId
    last: StreamId
    read_start(start, cython.address(first))
    read_end(end, cython.address(last))
    for place in range(0, len(options), 2):
        if options[place].upper() != b"COUNT" or place + 1 == len(options):
            raise CommandError(SYNTAX_ERROR)
        count = max(integer(options[place + 1]), 0)
    stream: Stream = find_stream(ctx.db, key, True)
    if stream is None:
        return []
    return NULL_ARRAY if count == 0 else stream.between(first, last, max(count, 0), reverse, None)


@command("XSETID", arity=-3, flags=WRITE | DENYOOM | FAST, key_flags="RW update")
def xsetid(ctx: Client, key: bytes, text: bytes, *options: bytes) -> SimpleString:
    id = parse_id(text)
    added, max_deleted = xsetid_options(id, options)
    stream: Stream = find_stream(ctx.db, key, False)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    if len(stream):
        # No entry is above the last ID.
        if id < stream.last_id and id < stream.last_entry_id():
            raise CommandError("ERR The ID specified in XSETID is smaller than the target stream top item")
        if added is not None and added < len(stream):
            raise CommandError("ERR The entries_added specified in XSETID is smaller than the target stream length")
    stream.set_numbers(id, max_deleted or stream.max_deleted_id, stream.entries_added if added is None else added)
    ctx.db.keyspace.dirty += 1
    stream.notify(b"xsetid")
    return OK


def xsetid_options(id: int, options: tuple[bytes, ...]) -> tuple[int | None, int]:
    """ENTRIESADDED and MAXDELETEDID."""
    added, max_deleted = None, 0
    for place in range(0, len(options), 2):
        word = options[place].upper()
        if word not in (b"ENTRIESADDED", b"MAXDELETEDID") or place + 1 == len(options):
            raise CommandError(SYNTAX_ERROR)
        if word == b"ENTRIESADDED":
            added = integer(options[place + 1])
            if added < 0:
                raise CommandError("ERR entries_added must be positive")
        else:
            max_deleted = parse_id(options[place + 1])
            if id < max_deleted:
                raise CommandError("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
    return added, max_deleted
