# cython: language_level=3
"""Commands on consumer groups: the groups themselves, and what is pending in them."""

from __future__ import annotations

from minikv.commands.help import help_lines
from minikv.commands.stream_id import parse_end, parse_id, parse_id_or_end, parse_start
from minikv.commands.stream_read import see_consumer, shown
from minikv.dispatch.arguments import INT64_MAX, SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, LOADING, READONLY, STALE, WRITE, command, container
from minikv.errors import CommandError, NamingError
from minikv.keyspace.stream import LARGEST_ID, Stream
from minikv.keyspace.stream_group import Consumer, Group, Pending
from minikv.keyspace.stream_node import format_id
from minikv.protocol.reply import NULL_ARRAY, OK, SimpleString

KEY_REQUIRED = (
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
    "option to create an empty stream automatically."
)
GROUP_EXISTS = "BUSYGROUP Consumer Group name already exists"
BAD_ENTRIES_READ = "ERR value for ENTRIESREAD must be positive or -1"
BAD_COUNT = "ERR COUNT must be > 0"
# XAUTOCLAIM looks at so many pending entries for each that it may return.
ATTEMPTS = 10
AUTOCLAIM_COUNT = 100
AUTOCLAIM_MAX = INT64_MAX // 16
# Redis refuses what it has no memory for, 16 bytes for each; minikv takes none, but says the same from 1 TiB on.
AUTOCLAIM_POSSIBLE = 1 << 36
COUNT_TOO_HIGH = "ERR Insufficient memory, failed allocating transient memory, COUNT too high."


def no_such_group(key: bytes, group: bytes) -> CommandError:
    return CommandError(f"NOGROUP No such key '{shown(key)}' or consumer group '{shown(group)}'")


def no_such_consumer_group(key: bytes, group: bytes) -> CommandError:
    return CommandError(f"NOGROUP No such consumer group '{shown(group)}' for key name '{shown(key)}'")


def bad_subcommand(container_name: str) -> CommandError:
    """The error for arguments that a subcommand does not understand; it names it as the client has written it."""
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


def existing(ctx: Client, key: bytes) -> Stream:
    stream = Stream.at(ctx.db, key, False)
    if stream is None:
        raise CommandError(KEY_REQUIRED)
    return stream


def existing_group(ctx: Client, key: bytes, name: bytes) -> tuple[Stream, Group]:
    stream = existing(ctx, key)
    group = Group.of(stream, name)
    if group is None:
        raise no_such_consumer_group(key, name)
    return stream, group


@command("XGROUP|CREATE", arity=-5, flags=WRITE | DENYOOM, keys=(2, 2, 1), key_flags="RW insert", categories="stream")
def xgroup_create(ctx: Client, key: bytes, name: bytes, text: bytes, *options: bytes) -> SimpleString:
    make, entries_read = group_options(ctx, "CREATE", options)
    stream = Stream.to_write(ctx.db, key)
    if not stream.exists and not make:
        raise CommandError(KEY_REQUIRED)
    if len(options) > 3:
        raise bad_subcommand("XGROUP")
    id = stream.last_id if text == b"$" else parse_id(text)
    created = not stream.exists
    if not created and stream.group_last_id(name) is not None:
        raise CommandError(GROUP_EXISTS)
    stream.create_group(name, Group(name, id, entries_read).encode())
    return OK


@command("XGROUP|SETID", arity=-5, flags=WRITE, keys=(2, 2, 1), key_flags="RW update", categories="stream")
def xgroup_setid(ctx: Client, key: bytes, name: bytes, text: bytes, *options: bytes) -> SimpleString:
    _, entries_read = group_options(ctx, "SETID", options)
    stream, group = existing_group(ctx, key, name)
    if len(options) not in (0, 2):
        raise bad_subcommand("XGROUP")
    group.last_id = stream.last_id if text == b"$" else parse_id_or_end(text)
    group.entries_read = entries_read
    group.save(stream)
    ctx.keyspace.dirty += 1
    return OK


@command("XGROUP|DESTROY", arity=4, flags=WRITE, keys=(2, 2, 1), key_flags="RW delete", categories="stream")
def xgroup_destroy(ctx: Client, key: bytes, name: bytes) -> int:
    stream = existing(ctx, key)
    if stream.group_last_id(name) is None:
        return 0
    stream.put_group(name, None)
    ctx.keyspace.dirty += 1
    ctx.db.note_ready(key)
    return 1


@command(
    "XGROUP|CREATECONSUMER", arity=5, flags=WRITE | DENYOOM, keys=(2, 2, 1), key_flags="RW insert", categories="stream"
)
def xgroup_createconsumer(ctx: Client, key: bytes, name: bytes, consumer: bytes) -> int:
    stream, group = existing_group(ctx, key, name)
    if consumer in group.consumers:
        return 0
    see_consumer(ctx, group, consumer)
    group.save(stream)
    return 1


@command("XGROUP|DELCONSUMER", arity=5, flags=WRITE, keys=(2, 2, 1), key_flags="RW delete", categories="stream")
def xgroup_delconsumer(ctx: Client, key: bytes, name: bytes, consumer: bytes) -> int:
    stream, group = existing_group(ctx, key, name)
    if consumer not in group.consumers:
        return 0
    pending = group.remove_consumer(consumer)
    group.save(stream)
    ctx.keyspace.dirty += 1
    return pending


@command("XGROUP|HELP", arity=2, flags=LOADING | STALE, categories="stream")
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


@command("XACK", arity=-4, flags=WRITE | FAST, keys=(1, 1, 1), key_flags="RW update", categories="stream")
def xack(ctx: Client, key: bytes, name: bytes, *texts: bytes) -> int:
    stream = Stream.at(ctx.db, key)
    group = None if stream is None else Group.of(stream, name)
    if stream is None or group is None:
        return 0
    acknowledged = sum([group.remove(id) for id in [parse_id(text) for text in texts]])
    if acknowledged:
        group.save(stream)
        ctx.keyspace.dirty += acknowledged
    return acknowledged


@command(
    "XPENDING",
    arity=-3,
    flags=READONLY,
    keys=(1, 1, 1),
    key_flags="RO access",
    categories="stream",
    tips=["nondeterministic_output"],
)
def xpending(ctx: Client, key: bytes, name: bytes, *words: bytes) -> list[object]:
    if words and not 3 <= len(words) <= 6:
        raise CommandError(SYNTAX_ERROR)
    least_idle_ms = 0
    count = start = end = 0
    if words:
        if words[0].upper() == b"IDLE":
            least_idle_ms = integer(words[1])
            if len(words) < 5:
                raise CommandError(SYNTAX_ERROR)
            words = words[2:]
        count = integer(words[2])
        start, end = parse_start(words[0]), parse_end(words[1])
    stream = Stream.at(ctx.db, key)
    group = None if stream is None else Group.of(stream, name)
    if group is None:
        raise no_such_group(key, name)
    if not words:
        return pending_summary(group)
    found: list[object] = []
    consumer = group.consumers.get(words[3]) if len(words) > 3 else None
    if len(words) > 3 and consumer is None:
        return found
    now_ms = ctx.keyspace.now_ms
    if count <= 0 or start > end:
        return found
    for pending in group.walk(start, consumer, now_ms - least_idle_ms if least_idle_ms else None):
        if pending.id > end:
            break
        idle_ms = max(now_ms - pending.delivered_ms, 0)
        found.append([format_id(pending.id), pending.consumer.name, idle_ms, pending.deliveries])
        if len(found) == count:
            break
    return found


def pending_summary(group: Group) -> list[object]:
    if not len(group):
        return [0, None, None, NULL_ARRAY]
    return [
        len(group),
        format_id(group.first_pending()),
        format_id(group.last_pending()),
        [[consumer, b"%d" % count] for consumer, count in group.shares()],
    ]


@command(
    "XCLAIM",
    arity=-6,
    flags=WRITE | FAST,
    keys=(1, 1, 1),
    key_flags="RW update",
    categories="stream",
    tips=["nondeterministic_output"],
)
def xclaim(ctx: Client, key: bytes, name: bytes, consumer_name: bytes, least_idle: bytes, *words: bytes) -> object:
    stream = Stream.at(ctx.db, key)
    group = None if stream is None else Group.of(stream, name)
    if stream is None or group is None:
        raise no_such_group(key, name)
    least_idle_ms = integer(least_idle, "ERR Invalid min-idle-time argument for XCLAIM")
    now_ms = ctx.keyspace.now_ms
    claim = Claim(words, now_ms)
    ctx.db.make_sure_of_rows(len(claim.ids))
    consumer: Consumer | None = None
    found: list[object] = []
    removed = 0
    for id in claim.ids:
        pending = group.find(id)
        entry = stream.range(id, id)
        if not entry:
            removed += group.remove(id)
            continue
        if pending is None and not claim.force:
            continue
        if pending is not None and least_idle_ms > 0 and now_ms - pending.delivered_ms < least_idle_ms:
            continue
        consumer = consumer or see_consumer(ctx, group, consumer_name)
        pending = pending or Pending(id, consumer, now_ms, 1)
        pending.consumer = consumer
        pending.delivered_ms = claim.delivered_ms
        if claim.deliveries >= 0:
            pending.deliveries = claim.deliveries
        elif not claim.just_id:
            pending.deliveries += 1
        group.put(pending)
        found.append(format_id(id) if claim.just_id else entry[0])
    # A new last ID is a change of its own only if nothing else is one.
    is_later = claim.last_id > group.last_id
    changes = len(found) + removed or int(is_later)
    if is_later:
        group.last_id = claim.last_id
    if changes:
        group.save(stream)
    ctx.keyspace.dirty += changes
    return found


class Claim:
    """The IDs and options of XCLAIM. deliveries: -1 for one more than there were."""

    def __init__(self, words: tuple[bytes, ...], now_ms: int):
        self.ids: list[int] = []
        self.force = self.just_id = False
        self.deliveries = -1
        self.last_id = 0
        delivered_ms = -1
        place = 0
        for word in words:
            try:
                self.ids.append(parse_id(word))
            except CommandError:
                break
            place += 1
        while place < len(words):
            word = words[place].upper()
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
                self.last_id = parse_id(argument)
                continue
            number = integer(argument, f"ERR Invalid {word.decode()} option argument for XCLAIM")
            if word == b"RETRYCOUNT":
                self.deliveries = number
            else:
                delivered_ms = now_ms - number if word == b"IDLE" else number
        # -1 stands for no such option, whoever gave it.
        self.delivered_ms = delivered_ms if 0 <= delivered_ms <= now_ms else now_ms


@command(
    "XAUTOCLAIM",
    arity=-6,
    flags=WRITE | FAST,
    keys=(1, 1, 1),
    key_flags="RW delete",
    categories="stream",
    tips=["nondeterministic_output"],
)
def xautoclaim(
    ctx: Client, key: bytes, name: bytes, consumer_name: bytes, least_idle: bytes, start: bytes, *options: bytes
) -> list[object]:
    least_idle_ms = integer(least_idle, "ERR Invalid min-idle-time argument for XAUTOCLAIM")
    place = parse_start(start)
    count, just_id = autoclaim_options(options)
    stream = Stream.at(ctx.db, key)
    group = None if stream is None else Group.of(stream, name)
    if stream is None or group is None:
        raise no_such_group(key, name)
    if count > AUTOCLAIM_POSSIBLE:
        raise CommandError(COUNT_TOO_HIGH)
    ctx.db.make_sure_of_rows(min(count, len(group)))
    now_ms = ctx.keyspace.now_ms
    consumer: Consumer | None = None
    found: list[object] = []
    deleted: list[bytes] = []
    attempts = ATTEMPTS * count
    pending = group.after(place)
    while pending is not None and attempts and len(found) + len(deleted) < count:
        attempts -= 1
        entry = stream.range(pending.id, pending.id)
        if not entry:
            group.remove(pending.id)
            deleted.append(format_id(pending.id))
        elif least_idle_ms <= 0 or now_ms - pending.delivered_ms >= least_idle_ms:
            consumer = consumer or see_consumer(ctx, group, consumer_name)
            pending.consumer = consumer
            pending.delivered_ms = now_ms
            pending.deliveries += not just_id
            group.put(pending)
            found.append(format_id(pending.id) if just_id else entry[0])
        pending = None if pending.id == LARGEST_ID else group.after(pending.id + 1)
    if found or deleted:
        group.save(stream)
    ctx.keyspace.dirty += len(found) + len(deleted)
    return [format_id(0 if pending is None else pending.id), found, deleted]


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
