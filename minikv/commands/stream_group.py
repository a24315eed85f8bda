# cython: boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Commands on consumer groups: the groups themselves, and what is pending in them."""

from __future__ import annotations

import cython
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint32_t, uint64_t
from cython.cimports.minikv.commands.stream_id import read_end, read_id, read_id_or_end, read_start
from cython.cimports.minikv.commands.stream_read import next_count, see_consumer
from cython.cimports.minikv.dispatch.client import Client
from cython.cimports.minikv.keyspace.database import Keyspace
from cython.cimports.minikv.keyspace.stream import Stream, find_stream, stream_to_write
from cython.cimports.minikv.keyspace.stream_group import (
    NO_CONSUMER,
    UNKNOWN_READS,
    Entry,
    Group,
    group_of,
    new_group,
    next_id,
)
from cython.cimports.minikv.keyspace.stream_node import StreamEntry, StreamId, id_text, is_less

from minikv.commands.help import help_lines
from minikv.commands.stream_read import shown
from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.spec import DENYOOM, FAST, LOADING, READONLY, STALE, WRITE, container, in_category
from minikv.errors import CommandError, NamingError
from minikv.protocol.reply import NULL_ARRAY, OK, SimpleString

command = in_category("stream")

KEY_REQUIRED = (
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
    "option to create an empty stream automatically."
)
GROUP_EXISTS = "BUSYGROUP Consumer Group name already exists"
BAD_ENTRIES_READ = "ERR value for ENTRIESREAD must be positive or -1"
BAD_COUNT = "ERR COUNT must be > 0"
# XAUTOCLAIM visits this many pending entries for each that it may return.
ATTEMPTS = cython.declare(uint64_t, 10)
AUTOCLAIM_COUNT = 100
AUTOCLAIM_MAX = INT64_MAX // 16
# Redis refuses what it has no memory for, 16 bytes for each; minikv takes none, but says the same from 1 TiB on.
AUTOCLAIM_POSSIBLE = cython.declare(uint64_t, 1 << 36)
COUNT_TOO_HIGH = "ERR Insufficient memory, failed allocating transient memory, COUNT too high."


def no_such_group(key: bytes, group: bytes) -> CommandError:
    return CommandError(f"NOGROUP No such key '{shown(key)}' or consumer group '{shown(group)}'")


def no_such_consumer_group(key: bytes, group: bytes) -> CommandError:
    return CommandError(f"NOGROUP No such consumer group '{shown(group)}' for key name '{shown(key)}'")


def bad_subcommand(container_name: str) -> CommandError:
    """The error for arguments that a subcommand does not understand; it names the subcommand as the client wrote it."""
    return NamingError(f"ERR unknown subcommand or wrong number of arguments for '{{}}'. Try {container_name} HELP.")


# XGROUP

XGROUP = container("XGROUP", arity=-2)


def group_options(ctx: Client, subcommand: str, words: tuple[bytes, ...]) -> tuple[bool, int | None]:
    """MKSTREAM (of CREATE only) and ENTRIESREAD."""
    make = False
    entries_read: int | None = None
    place = 0
    while place < len(words):
        word = words[place].upper()
        if word == b"MKSTREAM" and subcommand == "CREATE":
            make = True
            place += 1
        elif word == b"ENTRIESREAD" and place + 1 < len(words):
            number = integer(words[place + 1])
            if number < -1:
                raise CommandError(BAD_ENTRIES_READ)
            entries_read = None if number == -1 else number
            place += 2
        else:
            raise bad_subcommand("XGROUP")
    return make, entries_read


@cython.cfunc
def existing(ctx: Client, key: bytes) -> Stream:
    stream: Stream = find_stream(ctx.db, key, False)
    if stream is None:
        raise CommandError(KEY_REQUIRED)
    return stream


@cython.cfunc
def existing_group(ctx: Client, key: bytes, name: bytes) -> Group:
    group: Group = group_of(existing(ctx, key), name)
    if group is None:
        raise no_such_consumer_group(key, name)
    return group


@command("XGROUP|CREATE", arity=-5, flags=WRITE | DENYOOM, keys=(2, 2, 1), key_flags="RW insert")
def xgroup_create(ctx: Client, key: bytes, name: bytes, text: bytes, *options: bytes) -> SimpleString:
    make: cython.bint = False
    reads: uint64_t = UNKNOWN_READS
    if options:
        make, entries_read = group_options(ctx, "CREATE", options)
        reads = UNKNOWN_READS if entries_read is None else entries_read
    stream: Stream = stream_to_write(ctx.db, key)
    exists: cython.bint = stream.at_slot() != cython.NULL
    id: StreamId
    read_to: StreamId
    id.ms = id.sequence = 0
    if not exists and not make:
        raise CommandError(KEY_REQUIRED)
    if len(options) > 3:
        raise bad_subcommand("XGROUP")
    if text != b"$":
        read_id(text, 0, cython.address(id))
    elif exists:
        id = stream.numbers().last
    if exists and stream.last_delivered(name, cython.address(read_to)):
        raise CommandError(GROUP_EXISTS)
    stream.create_group(name, new_group(name, id, reads))
    stream.notify(b"xgroup-create")
    return OK


@command("XGROUP|SETID", arity=-5, flags=WRITE, keys=(2, 2, 1), key_flags="RW update")
def xgroup_setid(ctx: Client, key: bytes, name: bytes, text: bytes, *options: bytes) -> SimpleString:
    reads: uint64_t = UNKNOWN_READS
    if options:
        _, entries_read = group_options(ctx, "SETID", options)
        reads = UNKNOWN_READS if entries_read is None else entries_read
    group: Group = existing_group(ctx, key, name)
    if len(options) not in (0, 2):
        raise bad_subcommand("XGROUP")
    if text == b"$":
        group.last = group.stream.numbers().last
    else:
        read_id_or_end(text, 0, cython.address(group.last))
    group.reads = reads
    group.store()
    ctx.db.keyspace.dirty += 1
    group.stream.notify(b"xgroup-setid")
    return OK


@command("XGROUP|DESTROY", arity=4, flags=WRITE, keys=(2, 2, 1), key_flags="RW delete")
def xgroup_destroy(ctx: Client, key: bytes, name: bytes) -> int:
    stream: Stream = existing(ctx, key)
    if not stream.put_group(name, None):
        return 0
    ctx.db.keyspace.dirty += 1
    stream.notify(b"xgroup-destroy")
    ctx.db.note_ready(key)
    return 1


@command("XGROUP|CREATECONSUMER", arity=5, flags=WRITE | DENYOOM, keys=(2, 2, 1), key_flags="RW insert")
def xgroup_createconsumer(ctx: Client, key: bytes, name: bytes, consumer: bytes) -> int:
    group: Group = existing_group(ctx, key, name)
    if group.consumer_of(consumer) != NO_CONSUMER:
        return 0
    see_consumer(ctx.db.keyspace, group, consumer)
    group.store()
    return 1


@command("XGROUP|DELCONSUMER", arity=5, flags=WRITE, keys=(2, 2, 1), key_flags="RW delete")
def xgroup_delconsumer(ctx: Client, key: bytes, name: bytes, consumer: bytes) -> int:
    group: Group = existing_group(ctx, key, name)
    number: uint32_t = group.consumer_of(consumer)
    if number == NO_CONSUMER:
        return 0
    pending = group.drop(number)
    group.store()
    ctx.db.keyspace.dirty += 1
    group.stream.notify(b"xgroup-delconsumer")
    return pending


@command("XGROUP|HELP", arity=2, flags=LOADING | STALE)
def xgroup_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "XGROUP",
        [
            "CREATE <key> <groupname> <id|$> [option]",
            "    Make a group that reads on behind this ID ($: the last one). Options:",
            "    * MKSTREAM",
            "      Make an empty stream if there is none.",
            "    * ENTRIESREAD entries_read",
            "      How many entries the group has read up to there.",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Make a consumer of a group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Delete a consumer with what is pending for it.",
            "DESTROY <key> <groupname>",
            "    Delete a group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Let a group read on behind this ID.",
        ],
    )


# Pending entries


@command("XACK", arity=-4, flags=WRITE | FAST, key_flags="RW update")
def xack(ctx: Client, key: bytes, name: bytes, *texts: bytes) -> int:
    stream: Stream = find_stream(ctx.db, key, True)
    group: Group = None if stream is None else group_of(stream, name)
    acknowledged: int64_t = 0
    id: StreamId
    text: bytes
    if group is None:
        return 0
    if len(texts) > 1:
        for text in texts:
            read_id(text, 0, cython.address(id))
    for text in texts:
        read_id(text, 0, cython.address(id))
        acknowledged += group.take_out(id)
    if acknowledged:
        group.store()
        ctx.db.keyspace.dirty += acknowledged
    return acknowledged


@command("XPENDING", arity=-3, flags=READONLY, key_flags="RO access", tips=["nondeterministic_output"])
def xpending(ctx: Client, key: bytes, name: bytes, *words: bytes) -> list[object]:
    if words and not 3 <= len(words) <= 6:
        raise CommandError(SYNTAX_ERROR)
    least_idle_ms: int64_t = 0
    count: int64_t = 0
    start: StreamId
    end: StreamId
    if words:
        if words[0].upper() == b"IDLE":
            least_idle_ms = integer(words[1])
            if len(words) < 5:
                raise CommandError(SYNTAX_ERROR)
            words = words[2:]
        count = integer(words[2])
        read_start(words[0], cython.address(start))
        read_end(words[1], cython.address(end))
    stream: Stream = find_stream(ctx.db, key, True)
    group: Group = None if stream is None else group_of(stream, name)
    consumer: uint32_t = NO_CONSUMER
    if group is None:
        raise no_such_group(key, name)
    if not words:
        return pending_summary(group)
    if len(words) > 3:
        consumer = group.consumer_of(words[3])
        if consumer == NO_CONSUMER:
            return []
    return pending_between(group, start, end, count, consumer, ctx.db.keyspace.now_ms, least_idle_ms)


@cython.cfunc
def pending_summary(group: Group) -> list:
    first: Entry
    last: Entry
    nought: StreamId
    nought.ms = nought.sequence = 0
    if not group.seek_last(cython.address(last)):
        return [0, None, None, NULL_ARRAY]
    group.seek(nought, cython.address(first))
    return [
        group.pending_count(),
        id_text(first.id),
        id_text(last.id),
        [[consumer, b"%d" % count] for consumer, count in group.shares()],
    ]


@cython.cfunc
def pending_between(
    group: Group,
    id: StreamId,
    end: StreamId,
    count: int64_t,
    consumer: uint32_t,
    now_ms: int64_t,
    least_idle_ms: int64_t,
) -> list:
    """consumer: NO_CONSUMER for any. least_idle_ms: 0 for any time."""
    entry: Entry
    found: list = []
    delivered_max_ms: int64_t = INT64_MAX if least_idle_ms < now_ms - INT64_MAX else now_ms - least_idle_ms
    there: cython.bint
    name: bytes = None
    if consumer != NO_CONSUMER:
        name = group.name_of(consumer)
    while count > 0:
        if least_idle_ms:
            there = group.seek_idle(consumer, id, delivered_max_ms, cython.address(entry))
        elif consumer == NO_CONSUMER:
            there = group.seek(id, cython.address(entry))
        else:
            there = group.seek_of(consumer, id, cython.address(entry))
        if not there or is_less(end, entry.id):
            break
        owner = group.name_of(entry.consumer) if consumer == NO_CONSUMER else name
        found.append([id_text(entry.id), owner, max(now_ms - entry.delivered_ms, 0), entry.deliveries])
        id = entry.id
        if not next_id(cython.address(id)):
            break
        count -= 1
    return found


@command("XCLAIM", arity=-6, flags=WRITE | FAST, key_flags="RW update", tips=["nondeterministic_output"])
def xclaim(ctx: Client, key: bytes, name: bytes, consumer_name: bytes, least_idle: bytes, *words: bytes) -> object:
    stream: Stream = find_stream(ctx.db, key, True)
    group: Group = None if stream is None else group_of(stream, name)
    keyspace: Keyspace = ctx.db.keyspace
    now_ms: int64_t = keyspace.now_ms
    if group is None:
        raise no_such_group(key, name)
    least_idle_ms: int64_t = integer(least_idle, "ERR Invalid min-idle-time argument for XCLAIM")
    claim: Claim = Claim(words, now_ms)
    consumer: uint32_t = NO_CONSUMER
    entry: Entry
    id: StreamId
    found: list = []
    removed: int64_t = 0
    changes: int64_t
    place: cython.Py_ssize_t
    if claim.count > 1:
        ctx.db.make_sure_of_rows(claim.count)
    for place in range(claim.count):
        read_id(words[place], 0, cython.address(id))
        pending: cython.bint = group.look_up(id, cython.address(entry))
        answer = answer_with(stream, id, claim.just_id)
        if answer is None:
            removed += pending and group.take_out(id)
            continue
        if not pending and not claim.force:
            continue
        if pending and least_idle_ms > 0 and now_ms - entry.delivered_ms < least_idle_ms:
            continue
        if consumer == NO_CONSUMER:
            # A small group counts its consumers anew when one comes.
            consumer = see_consumer(keyspace, group, consumer_name)
        if not pending:
            entry.id = id
            entry.deliveries = 1
        entry.consumer = consumer
        entry.delivered_ms = claim.delivered_ms
        if claim.deliveries >= 0:
            entry.deliveries = claim.deliveries
        elif not claim.just_id:
            entry.deliveries = next_count(entry.deliveries)
        group.write(cython.address(entry))
        found.append(answer)
    # A new last ID is a change of its own only if nothing else is one.
    is_later: cython.bint = is_less(group.last, claim.last)
    changes = len(found) + removed
    if is_later:
        group.last = claim.last
        changes = changes or 1
    if changes:
        group.store()
    keyspace.dirty += changes
    return found


@cython.cfunc
def answer_with(stream: Stream, id: StreamId, just_id: cython.bint) -> object:
    """An entry, or its ID alone; None if it is not there."""
    index: uint32_t = 0
    entry: StreamEntry
    if just_id:
        return id_text(id) if stream.find(id, cython.address(index), cython.address(entry)) else None
    read = stream.between(id, id, 1, False, None)
    return read[0] if read else None


@cython.cclass
class Claim:
    """The options of XCLAIM, after the IDs. deliveries: -1 for one more than there were."""

    count: cython.Py_ssize_t
    force: cython.bint
    just_id: cython.bint
    deliveries: int64_t
    delivered_ms: int64_t
    last: StreamId

    def __init__(self, words: tuple, now_ms: int64_t):
        place: cython.Py_ssize_t = 0
        delivered_ms: int64_t = -1
        id: StreamId
        self.deliveries = -1
        while place < len(words):
            try:
                read_id(words[place], 0, cython.address(id))
            except CommandError:
                break
            place += 1
        self.count = place
        while place < len(words):
            word: bytes = cython.cast(bytes, words[place]).upper()
            argument = words[place + 1] if place + 1 < len(words) else None
            place += 1
            if word in (b"FORCE", b"JUSTID"):
                self.force |= word == b"FORCE"
                self.just_id |= word == b"JUSTID"
                continue
            if argument is None or word not in (b"IDLE", b"TIME", b"RETRYCOUNT", b"LASTID"):
                raise CommandError(f"ERR Unrecognized XCLAIM option '{shown(words[place - 1])}'")
            place += 1
            if word == b"LASTID":
                read_id(argument, 0, cython.address(self.last))
                continue
            number = integer(argument, f"ERR Invalid {word.decode()} option argument for XCLAIM")
            if word == b"RETRYCOUNT":
                self.deliveries = number
            else:
                delivered_ms = now_ms - number if word == b"IDLE" else number
        # -1 means that the option was not given, even if the client sent it.
        self.delivered_ms = delivered_ms if 0 <= delivered_ms <= now_ms else now_ms


@command("XAUTOCLAIM", arity=-6, flags=WRITE | FAST, key_flags="RW delete", tips=["nondeterministic_output"])
def xautoclaim(
    ctx: Client, key: bytes, name: bytes, consumer_name: bytes, least_idle: bytes, start: bytes, *options: bytes
) -> list[object]:
    id: StreamId
    count: uint64_t
    ctx.db.lookup(key)  # which may be a miss, before anything is wrong
    least_idle_ms: int64_t = integer(least_idle, "ERR Invalid min-idle-time argument for XAUTOCLAIM")
    read_start(start, cython.address(id))
    count, just_id = autoclaim_options(options)
    stream: Stream = find_stream(ctx.db, key, False)
    group: Group = None if stream is None else group_of(stream, name)
    if group is None:
        raise no_such_group(key, name)
    if count > AUTOCLAIM_POSSIBLE:
        raise CommandError(COUNT_TOO_HIGH)
    ctx.db.make_sure_of_rows(min(count, group.pending_count()))
    keyspace: Keyspace = ctx.db.keyspace
    now_ms: int64_t = keyspace.now_ms
    consumer: uint32_t = NO_CONSUMER
    entry: Entry
    found: list = []
    deleted: list = []
    attempts: uint64_t = ATTEMPTS * count
    there: cython.bint = group.seek(id, cython.address(entry))
    while there and attempts and cython.cast(uint64_t, len(found) + len(deleted)) < count:
        attempts -= 1
        id = entry.id
        idle_enough: cython.bint = least_idle_ms <= 0 or now_ms - entry.delivered_ms >= least_idle_ms
        answer = answer_with(stream, id, just_id or not idle_enough)
        if answer is None:
            group.take_out(id)
            deleted.append(id_text(id))
        elif idle_enough:
            if consumer == NO_CONSUMER:
                consumer = see_consumer(keyspace, group, consumer_name)
            entry.consumer = consumer
            entry.delivered_ms = now_ms
            if not just_id:
                entry.deliveries = next_count(entry.deliveries)
            group.write(cython.address(entry))
            found.append(answer)
        there = next_id(cython.address(id)) and group.seek(id, cython.address(entry))
    if found or deleted:
        group.store()
    keyspace.dirty += len(found) + len(deleted)
    if not there:
        entry.id.ms = entry.id.sequence = 0
    return [id_text(entry.id), found, deleted]


def autoclaim_options(options: tuple[bytes, ...]) -> tuple[int, bool]:
    """COUNT and JUSTID."""
    count, just_id = AUTOCLAIM_COUNT, False
    place = 0
    while place < len(options):
        word = options[place].upper()
        if word == b"COUNT" and place + 1 < len(options):
            count = integer(options[place + 1], BAD_COUNT)
            if not 1 <= count <= AUTOCLAIM_MAX:
                raise CommandError(BAD_COUNT)
            place += 1
        elif word == b"JUSTID":
            just_id = True
        else:
            raise CommandError(SYNTAX_ERROR)
        place += 1
    return count, just_id
