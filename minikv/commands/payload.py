"""DUMP and RESTORE: move a value from one server to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minikv.dispatch.arguments import SYNTAX_ERROR, integer, overflows
from minikv.dispatch.spec import ASKING, DENYOOM, READONLY, WRITE, command
from minikv.errors import CommandError, RdbError
from minikv.keyspace import NO_EXPIRY
from minikv.protocol.reply import OK, SimpleString
from minikv.rdb import payload
from minikv.rdb.format import layout_name

if TYPE_CHECKING:
    from minikv.dispatch.client import Client

MISSING = -1
EXPIRED = -1  # a time that has passed
FREQUENCY_MAX = 255


# Their check finds duplicates in Redis, too; in others they are found later.
CHECKED_FOR_DUPLICATES = {9, 12, 13}  # zipmaps and ziplists with pairs


@command(
    "DUMP", arity=2, flags=READONLY, key_flags="RO access", categories="keyspace", tips=["nondeterministic_output"]
)
def dump(ctx: Client, key: bytes) -> bytes | None:
    value = ctx.db.dump(key, ctx.server.config.rdbcompression)
    return None if value is None else payload.seal(value)


@command("RESTORE", arity=-4, flags=WRITE | DENYOOM, key_flags="OW update", categories="keyspace dangerous")
@command(
    "RESTORE-ASKING", arity=-4, flags=WRITE | DENYOOM | ASKING, key_flags="OW update", categories="keyspace dangerous"
)
def restore(ctx: Client, key: bytes, ttl: bytes, data: bytes, *options: bytes) -> SimpleString:
    replace, absolute, idle_s, frequency = restore_options(options)
    if not replace and ctx.db.lookup(key, False, True) != MISSING:
        raise CommandError("BUSYKEY Target key name already exists.")
    expire_at_ms = restored_time(ctx, ttl, absolute)
    if not payload.is_sound(data, not ctx.server.switches.checksums_skipped):
        raise CommandError("ERR DUMP payload version or checksum are wrong")
    try:
        alive = payload.restore(ctx.db, key, data, expire_at_ms, idle_s, frequency)
    except RdbError as error:
        ctx.server.log.verbose(f"RESTORE: {what_is_wrong(data[0], error)}")
        raise CommandError("ERR Bad data format") from error
    if not alive:
        ctx.db.discard(key)
    return OK


def what_is_wrong(kind: int, error: RdbError) -> str:
    """The error of a payload as a log line with the words of Redis in it."""
    if "integrity check failed" in error.reason:
        return str(error)
    is_duplicate = error.reason.startswith("Duplicate element") and kind not in CHECKED_FOR_DUPLICATES
    return f"{layout_name(kind, False)} {'with dup elements' if is_duplicate else 'integrity check failed'}: {error}"


def restore_options(options: tuple[bytes, ...]) -> tuple[bool, bool, int, int]:
    """REPLACE, ABSTTL, IDLETIME (0 without), FREQ (-1 without)."""
    replace = absolute = False
    idle_s = frequency = -1
    words = iter(range(len(options)))
    for i in words:
        word, is_last = options[i].upper(), i + 1 == len(options)
        if word == b"REPLACE":
            replace = True
        elif word == b"ABSTTL":
            absolute = True
        elif word == b"IDLETIME" and not is_last and frequency < 0:
            idle_s = integer(options[next(words)])
            if idle_s < 0:
                raise CommandError("ERR Invalid IDLETIME value, must be >= 0")
        elif word == b"FREQ" and not is_last and idle_s < 0:
            frequency = integer(options[next(words)])
            if not 0 <= frequency <= FREQUENCY_MAX:
                raise CommandError("ERR Invalid FREQ value, must be >= 0 and <= 255")
        else:
            raise CommandError(SYNTAX_ERROR)
    return replace, absolute, max(idle_s, 0), frequency


def restored_time(ctx: Client, ttl: bytes, absolute: bool) -> int:
    """The Unix time in milliseconds at which the key expires; NO_EXPIRY or EXPIRED."""
    ttl_ms = integer(ttl)
    if ttl_ms < 0:
        raise CommandError("ERR Invalid TTL value, must be >= 0")
    if ttl_ms == 0:
        return NO_EXPIRY
    at_ms = ttl_ms if absolute else ctx.keyspace.now_ms + ttl_ms
    return EXPIRED if at_ms <= ctx.keyspace.now_ms or overflows(at_ms) else at_ms
