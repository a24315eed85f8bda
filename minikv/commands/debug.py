"""DEBUG: tools for tests and for looking inside. enable-debug-command decides who may use it; dispatch asks.

COMMAND INFO knows DEBUG as one command, so its subcommands are chosen here.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from minikv.commands.digest import as_hex, keyspace_digest, value_digest
from minikv.commands.encoding import HASH, LIST, SET, STRING, encoding_of
from minikv.commands.help import help_lines
from minikv.commands.info import LRU_CLOCK_MASK
from minikv.commands.serialized import length_len, serialized_len
from minikv.dispatch.arguments import NO_SUCH_KEY, STRING_TOO_LONG, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import ADMIN, LOADING, NOSCRIPT, PROTECTED, STALE, command
from minikv.errors import CommandError, ConfigError, DataLost, RdbError, SaveError
from minikv.keyspace import Database
from minikv.keyspace.glob import glob_match
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.keyspace.set import Set
from minikv.protocol.reply import OK, Raw, SimpleString, Verbatim
from minikv.settings import NO_APPEND_ONLY_FILE, memory_bytes

NOT_POSITIVE = "ERR value is out of range, must be positive"
RELOAD_OPTIONS = {b"merge", b"noflush", b"nosave"}
MAX_PACKED_THRESHOLD = 4 << 30
NOWHERE = 8  # an address that no process has
STRINGMATCH_TESTS = 100_000
LONGEST_SLEEP_S = 1e9  # longer than any server runs, and still a time that the system accepts


class Subcommand(NamedTuple):
    """A handler and the number of arguments after its name; most: None for no limit."""

    handler: Callable[..., object]
    least: int = 0
    most: int | None = 0


@command("DEBUG", arity=-2, flags=ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED)
def debug(ctx: Client, name: bytes, *args: bytes) -> object:
    found = SUBCOMMANDS.get(name.lower())
    if found is None or len(args) < found.least or (found.most is not None and len(args) > found.most):
        shown = name[:128].decode("utf-8", "surrogateescape")
        raise CommandError(f"ERR unknown subcommand or wrong number of arguments for '{shown}'. Try DEBUG HELP.")
    return found.handler(ctx, *args)


# time and data


def sleep(ctx: Client, seconds: bytes) -> SimpleString:
    """Block the whole server; anything but a number counts as 0."""
    try:
        duration_s = float(seconds)
    except ValueError:
        return OK
    if duration_s > 0:
        time.sleep(min(duration_s, LONGEST_SLEEP_S))
    return OK


def populate(ctx: Client, count: bytes, prefix: bytes = b"key", size: bytes = b"0") -> SimpleString:
    """Keys that exist are left alone. Nothing counts as a change, so no save point fires."""
    keys, value_len = (integer(number, NOT_POSITIVE) for number in (count, size))
    if keys < 0 or value_len < 0:
        raise CommandError(NOT_POSITIVE)
    if value_len > ctx.server.config.proto_max_bulk_len:
        raise CommandError(STRING_TOO_LONG)
    database, keyspace = ctx.db, ctx.keyspace
    dirty, was_empty = keyspace.dirty, not len(database)
    for number in range(keys):
        key = b"%s:%d" % (prefix, number)
        if was_empty or database.lookup(key, False, False) < 0:
            value = b"value:%d" % number
            database.write(key, value[:value_len].ljust(value_len, b"\0") if value_len else value)
    keyspace.dirty = dirty
    return OK


def reload(ctx: Client, *options: bytes) -> SimpleString:
    given = {option.lower() for option in options}
    if given - RELOAD_OPTIONS:
        raise CommandError("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
    try:
        ctx.server.saves.reload(save=b"nosave" not in given, flush=b"noflush" not in given, merge=b"merge" in given)
    except SaveError as error:
        raise CommandError(f"ERR {error}") from None
    except (RdbError, OSError):
        raise CommandError("ERR Error trying to load the RDB dump") from None
    except DataLost:
        ctx.server.log.warning("The data set is lost. Terminating server after rdb file reading failure.")
        os._exit(1)  # at once, as redis-server: nothing may save what is left
    return OK


def set_active_expire(ctx: Client, setting: bytes) -> SimpleString:
    ctx.keyspace.active_expire = is_on(setting)
    return OK


# looking inside


def object_(ctx: Client, key: bytes) -> SimpleString:
    """Also of a key that has expired and is still stored."""
    keyspace = ctx.keyspace
    now_ms = keyspace.now_ms
    keyspace.now_ms = 0  # before everything expires
    try:
        return describe(ctx, key, now_ms // 1000)
    finally:
        keyspace.now_ms = now_ms


def describe(ctx: Client, key: bytes, now_s: int) -> SimpleString:
    database = ctx.db
    encoding = encoding_of(database, key, ctx.server.config)
    if encoding is None:
        raise CommandError(NO_SUCH_KEY)
    idle_s = (now_s + database.idle_seconds(key)) & LRU_CLOCK_MASK
    saved_len = saved_value_len(database, key, ctx.server.config.rdbcompression)
    clock = (now_s - idle_s) & LRU_CLOCK_MASK
    place = f"Value at:{database.address(key):#x} refcount:1 encoding:{encoding.decode()}"
    line = f"{place} serializedlength:{saved_len} lru:{clock} lru_seconds_idle:{idle_s}"
    return SimpleString(line.encode())


def saved_value_len(database: Database, key: bytes, compress: bool) -> int:
    """Bytes of a value in a dump: a string, or the number of elements and their strings."""
    kind = database.lookup(key, False, False)
    if kind == LIST and (elements := List.peek(database, key)) is not None:
        parts = elements.range(0, len(elements))
        return length_len(len(parts)) + sum(serialized_len(part, compress) for part in parts)
    if kind == SET and (members := Set.peek(database, key)) is not None:
        return length_len(len(members)) + sum(serialized_len(part, compress) for part in members.members())
    if kind == HASH and (fields := Hash.peek(database, key)) is not None:
        return length_len(len(fields)) + sum(serialized_len(part, compress) for part in fields.items())
    if kind == STRING:
        return serialized_len(database.get_for_write(key) or b"", compress)
    return database.dumped_len(key, compress)


def htstats(ctx: Client, number: bytes, *full: bytes) -> Verbatim:
    place = integer(number)
    if not 0 <= place < len(ctx.keyspace.databases):
        raise CommandError("ERR Out of range database")
    database = ctx.keyspace.databases[place]
    lines = [f"[Database {place}]", f" keys: {len(database)}", f" keys with an expiry: {database.expires}"]
    lines += ["[All databases]", *(f" {name}: {value}" for name, value in ctx.keyspace.stats().items())]
    return Verbatim(b"txt", ("\n".join(lines) + "\n").encode())


def htstats_key(ctx: Client, key: bytes, *full: bytes) -> Verbatim:
    """Of a collection that Redis keeps in a hash table."""
    found = encoding_of(ctx.db, key, ctx.server.config)
    if found is None:
        raise CommandError(NO_SUCH_KEY)
    if found not in (b"hashtable", b"skiplist"):
        raise CommandError("ERR The value stored at the specified key is not represented using an hash table")
    lines = [f"[{found.decode()}]", f" bytes in a dump: {ctx.db.dumped_len(key, False)}"]
    return Verbatim(b"txt", ("\n".join(lines) + "\n").encode())


def engine_check(ctx: Client) -> SimpleString:
    """Prove the engine's invariants; a failure is reported and logged, not hidden."""
    try:
        ctx.keyspace.check()
    except AssertionError as error:
        ctx.server.log.warning(f"DEBUG ENGINE-CHECK: {error}")
        raise CommandError(f"ERR the engine's check failed: {error}") from None
    return OK


def fork_delay(ctx: Client, milliseconds: bytes) -> SimpleString:
    """Let each fork in a thread take so much longer, which makes what happens meanwhile certain."""
    thread = ctx.server.snapshots.job.thread
    if thread is None:
        raise CommandError("ERR snapshots are not forked in a thread")
    thread.delay(min(max(integer(milliseconds, NOT_POSITIVE), 0), 60_000) * 1000)
    return OK


def engine_stats(ctx: Client) -> dict[bytes, int]:
    return {name.encode(): value for name, value in ctx.keyspace.stats().items()}


def digest(ctx: Client) -> SimpleString:
    return SimpleString(as_hex(keyspace_digest(ctx.keyspace.databases)))


def digest_value(ctx: Client, *keys: bytes) -> list[SimpleString]:
    return [SimpleString(as_hex(value_digest(ctx.db, key))) for key in keys]


# the rest


def change_repl_id(ctx: Client) -> SimpleString:
    ctx.server.replication_id = secrets.token_hex(20)
    return OK


def quicklist_packed_threshold(ctx: Client, size: bytes) -> SimpleString:
    """Read as Redis reads it; minikv has no quicklists."""
    threshold = memory_bytes(size.decode("utf-8", "surrogateescape"))
    if threshold is None or not 0 <= threshold < MAX_PACKED_THRESHOLD:
        raise CommandError("ERR argument must be a memory value bigger than 1 and smaller than 4gb")
    return OK


def error(ctx: Client, message: bytes) -> SimpleString:
    raise CommandError(message.decode("utf-8", "surrogateescape"))


def log(ctx: Client, message: bytes) -> SimpleString:
    ctx.server.log.warning("DEBUG LOG: " + message.decode("utf-8", "surrogateescape"))
    return OK


def segfault(ctx: Client) -> SimpleString:
    """End as a crash does: nothing is saved, nothing is removed."""
    ctypes.memset(NOWHERE, 0, 1)
    return OK


def panic(ctx: Client) -> SimpleString:
    log = ctx.server.log
    log.warning("------------------------------------------------")
    log.warning("!!! Software Failure. Press left mouse button to continue")
    log.warning(f"Guru Meditation: DEBUG PANIC called at Unix time {int(time.time())}")
    os.abort()


def assert_(ctx: Client) -> SimpleString:
    log = ctx.server.log
    log.warning("=== ASSERTION FAILED ===")
    log.warning("==> debug.py '1 == 2' is not true")
    os.abort()


# switches


def is_on(setting: bytes) -> bool:
    """As C's atoi reads it: anything but a number is 0."""
    digits = setting.strip()
    return digits[:1].isdigit() and int(digits[:1]) > 0


def set_skip_checksum_validation(ctx: Client, setting: bytes) -> SimpleString:
    ctx.server.switches.checksums_skipped = ctx.server.snapshots.loader.skips_checksums = is_on(setting)
    return OK


def pause_cron(ctx: Client, setting: bytes) -> SimpleString:
    ctx.server.switches.cron_paused = is_on(setting)
    return OK


def set_disable_deny_scripts(ctx: Client, setting: bytes) -> SimpleString:
    ctx.server.table.allows_noscript = is_on(setting)
    return OK


def config_rewrite_force_all(ctx: Client) -> SimpleString:
    try:
        ctx.server.config.rewrite(force_all=True)
    except ConfigError as error:
        raise CommandError(f"ERR CONFIG-REWRITE-FORCE-ALL failed: {error}") from None
    return OK


def replybuffer(ctx: Client, name: bytes, setting: bytes) -> SimpleString:
    """Read as Redis reads it; replies of all clients share one buffer here."""
    if name.lower() == b"peak-reset-time":
        if setting.lower() not in (b"never", b"reset"):
            integer(setting)
    elif name.lower() != b"resizing":
        raise CommandError("ERR unknown subcommand or wrong number of arguments for 'REPLYBUFFER'. Try DEBUG HELP.")
    return OK


def without_effect(ctx: Client, *arguments: bytes) -> SimpleString:
    return OK


def refused(reason: str) -> Callable[..., SimpleString]:
    """The handler of a subcommand for something that is not there."""

    def refuse(ctx: Client, *arguments: bytes) -> SimpleString:
        raise CommandError(f"ERR {reason}")

    return refuse


def stringmatch_test(ctx: Client) -> SimpleString:
    """Match random patterns with random strings; the server is still there if there is a reply."""
    for _ in range(STRINGMATCH_TESTS):
        pattern, text = secrets.token_bytes(16), secrets.token_bytes(16)
        glob_match(bytes(byte & 127 for byte in pattern), bytes(byte & 127 for byte in text))
    return SimpleString(b"Apparently Redis did not crash: test passed")


def listpack(ctx: Client, key: bytes) -> SimpleString:
    return printed(ctx, key, b"listpack", b"Listpack")


def quicklist(ctx: Client, key: bytes, detail: bytes = b"0") -> SimpleString:
    return printed(ctx, key, b"quicklist", b"Quicklist")


def printed(ctx: Client, key: bytes, encoding: bytes, title: bytes) -> SimpleString:
    """Write the elements of a collection that Redis gives this encoding to the log."""
    found = encoding_of(ctx.db, key, ctx.server.config)
    if found is None:
        raise CommandError(NO_SUCH_KEY)
    if found != encoding:
        raise CommandError(f"ERR Not a {encoding.decode()} encoded object.")
    size = ctx.db.dumped_len(key, False)
    ctx.server.log.write_raw(f"{{{title.decode()} of {key!r}: {size} bytes in a dump}}\n")
    return SimpleString(title + b" structure printed on stdout")


def protocol(ctx: Client, kind: bytes) -> object:
    """A reply of the named type; an attribute and a push precede a reply."""
    samples: dict[bytes, object] = {
        b"string": b"Hello World",
        b"integer": 12345,
        b"double": 3.141,
        b"bignum": BIG_NUMBER if ctx.resp == 2 else Raw(b"(" + BIG_NUMBER + b"\r\n"),
        b"null": None,
        b"array": [0, 1, 2],
        b"set": {0, 1, 2},
        b"map": {0: False, 1: True, 2: False},
        b"attrib": BEHIND_ATTRIBUTE if ctx.resp == 2 else Raw(ATTRIBUTE + bulk(BEHIND_ATTRIBUTE)),
        b"push": Raw(PUSH + bulk(BEHIND_PUSH)),
        b"verbatim": Verbatim(b"txt", b"This is a verbatim\nstring"),
        b"true": True,
        b"false": False,
    }
    name = kind.lower()
    if name not in samples:
        raise CommandError(
            f"ERR Wrong protocol type name. Please use one of the following: {'|'.join(map(bytes.decode, samples))}"
        )
    if name == b"push" and ctx.resp == 2:
        raise CommandError("ERR RESP2 is not supported by this command")
    return samples[name]


BIG_NUMBER = b"1234567999999999999999999999999999999"
ATTRIBUTE = b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
BEHIND_ATTRIBUTE = b"Some real reply following the attribute"
PUSH = b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n"
BEHIND_PUSH = b"Some real reply following the push reply"


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def help_(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "DEBUG",
        [
            "ASSERT",
            "    End the server by abort(), as an assertion that fails; the log gets a crash report.",
            "CHANGE-REPL-ID",
            "    Draw another replication id.",
            "CLIENT-EVICTION",
            "    Figures of the clients that may be evicted.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    Like CONFIG REWRITE, with every setting.",
            "DIGEST",
            "    One number for the whole data set, the same as a redis-server's with the same data.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    One number for the value of each key.",
            "ENGINE-CHECK",
            "    Prove the engine's invariants.",
            "ENGINE-STATS",
            "    Figures of the arena and the index.",
            "ERROR <string>",
            "    Reply with this error.",
            "FORK-DELAY <milliseconds>",
            "    How much longer a thread takes to fork.",
            "HTSTATS <dbid>",
            "    Figures of a database and of the index.",
            "HTSTATS-KEY <key>",
            "    Figures of a large set, hash or sorted set.",
            "LISTPACK <key>",
            "    Write figures of a small collection to the log.",
            "LOADAOF",
            "    Refused: there is no append only file.",
            "LOG <message>",
            "    Write a line into the log.",
            "OBJECT <key>",
            "    How a value is stored.",
            "PANIC",
            "    End the server by abort(); the log gets a crash report.",
            "PAUSE-CRON <0|1>",
            "    Stop what is done regularly: expiry, tidying, save points.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Create keys named <prefix>:<number> (key:<number>) with values of <size> bytes.",
            "PROTOCOL <type>",
            "    Reply with a value of this type: string, integer, double, bignum, null, array,",
            "    set, map, attrib, push, verbatim, true, false.",
            "QUICKLIST <key> [<0|1>]",
            "    Write figures of a list to the log.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    Accepted without effect.",
            "RELOAD [option ...]",
            "    Save the data set and load it again. Options:",
            "    * MERGE: keys of the dump replace those that exist.",
            "    * NOFLUSH: keep the data set while loading.",
            "    * NOSAVE: load the dump that exists.",
            "REPLYBUFFER <PEAK-RESET-TIME <NEVER|RESET|ms>|RESIZING <0|1>>",
            "    Accepted without effect.",
            "SEGFAULT",
            "    End the server by SIGSEGV; the log gets a crash report.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Whether expired keys are removed before anybody asks for them.",
            "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
            "    Whether dumps and payloads are accepted with any checksum.",
            "SLEEP <seconds>",
            "    Hold up the server.",
            "STRINGMATCH-TEST",
            "    Match random patterns.",
        ],
    )


NO_JEMALLOC = "minikv has no jemalloc: its data lies in an arena (DEBUG ENGINE-STATS)"

SUBCOMMANDS: dict[bytes, Subcommand] = {
    b"aof-flush-sleep": Subcommand(refused(NO_APPEND_ONLY_FILE), 1, 1),
    b"assert": Subcommand(assert_),
    b"change-repl-id": Subcommand(change_repl_id),
    b"client-eviction": Subcommand(refused("maxmemory-clients is disabled.")),
    b"config-rewrite-force-all": Subcommand(config_rewrite_force_all),
    b"dict-resizing": Subcommand(without_effect, 1, 1),
    b"digest": Subcommand(digest),
    b"digest-value": Subcommand(digest_value, 0, None),
    b"engine-check": Subcommand(engine_check),
    b"engine-stats": Subcommand(engine_stats),
    b"error": Subcommand(error, 1, 1),
    b"fork-delay": Subcommand(fork_delay, 1, 1),
    b"help": Subcommand(help_),
    b"htstats": Subcommand(htstats, 1, 2),
    b"htstats-key": Subcommand(htstats_key, 1, 2),
    b"listpack": Subcommand(listpack, 1, 1),
    b"loadaof": Subcommand(refused(NO_APPEND_ONLY_FILE)),
    b"log": Subcommand(log, 1, 1),
    b"mallctl": Subcommand(refused(NO_JEMALLOC), 1, 2),
    b"mallctl-str": Subcommand(refused(NO_JEMALLOC), 1, 2),
    b"object": Subcommand(object_, 1, 1),
    b"panic": Subcommand(panic),
    b"pause-cron": Subcommand(pause_cron, 1, 1),
    b"populate": Subcommand(populate, 1, 3),
    b"protocol": Subcommand(protocol, 1, 1),
    b"quicklist": Subcommand(quicklist, 1, 2),
    b"quicklist-packed-threshold": Subcommand(quicklist_packed_threshold, 1, 1),
    b"reload": Subcommand(reload, 0, None),
    b"replybuffer": Subcommand(replybuffer, 2, 2),
    b"segfault": Subcommand(segfault),
    b"set-active-expire": Subcommand(set_active_expire, 1, 1),
    b"set-disable-deny-scripts": Subcommand(set_disable_deny_scripts, 1, 1),
    b"set-skip-checksum-validation": Subcommand(set_skip_checksum_validation, 1, 1),
    b"sleep": Subcommand(sleep, 1, 1),
    b"stringmatch-test": Subcommand(stringmatch_test),
}
