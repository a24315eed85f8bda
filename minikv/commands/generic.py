# cython: language_level=3
# distutils: extra_compile_args = -O3
"""Commands on keys of any type."""

from minikv.commands.encoding import encoding_of
from minikv.commands.help import help_lines
from minikv.dispatch.arguments import (
    DB_INDEX_OUT_OF_RANGE,
    INT32_MAX,
    INT32_MIN,
    NO_SUCH_KEY,
    SAME_OBJECT,
    SYNTAX_ERROR,
    cursor,
    integer,
    integer_between,
    invalid_expire_time,
    next_word,
    overflows,
)
from minikv.dispatch.client import Client
from minikv.dispatch.spec import DENYOOM, FAST, LOADING, READONLY, STALE, WRITE, KeySpec, container, in_category
from minikv.errors import CommandError
from minikv.keyspace import NO_EXPIRY, Database
from minikv.keyspace.glob import glob_match
from minikv.protocol.reply import OK, SimpleString

command = in_category("keyspace")

MISSING = -1
SCAN_DEFAULT_COUNT = 10
SHARED_INTEGERS = 10_000  # Redis keeps one object for each of 0 to 9999, which OBJECT REFCOUNT shows
SHARED_REFCOUNT = 2**31 - 1

# Names of the types by RDB type code.
TYPE_NAMES = {0: b"string", 1: b"list", 2: b"set", 3: b"zset", 4: b"hash", 5: b"zset", 19: b"stream"}


# Delete, test, touch


@command(
    "DEL",
    arity=-2,
    flags=WRITE,
    keys=(1, -1, 1),
    key_flags="RM delete",
    tips=["request_policy:multi_shard", "response_policy:agg_sum"],
)
def del_(ctx: Client, *keys: bytes) -> int:
    db = ctx.db
    if ctx.server.config.lazyfree_lazy_user_del:
        return unlink(ctx, *keys)
    return sum([db.delete(key) for key in keys])


@command(
    "UNLINK",
    arity=-2,
    flags=WRITE | FAST,
    keys=(1, -1, 1),
    key_flags="RM delete",
    tips=["request_policy:multi_shard", "response_policy:agg_sum"],
)
def unlink(ctx: Client, *keys: bytes) -> int:
    db = ctx.db
    return sum([db.unlink(key) for key in keys])


@command(
    "EXISTS",
    arity=-2,
    flags=READONLY | FAST,
    keys=(1, -1, 1),
    key_flags="RO",
    tips=["request_policy:multi_shard", "response_policy:agg_sum"],
)
def exists(ctx: Client, *keys: bytes) -> int:
    db = ctx.db
    return sum([db.lookup(key, True, False) != MISSING for key in keys])


@command(
    "TOUCH",
    arity=-2,
    flags=READONLY | FAST,
    keys=(1, -1, 1),
    key_flags="RO",
    tips=["request_policy:multi_shard", "response_policy:agg_sum"],
)
def touch(ctx: Client, *keys: bytes) -> int:
    db = ctx.db
    return sum([db.lookup(key) != MISSING for key in keys])


@command("TYPE", arity=2, flags=READONLY | FAST, key_flags="RO")
def type_(ctx: Client, key: bytes) -> SimpleString:
    return SimpleString(TYPE_NAMES.get(ctx.db.lookup(key, True, False), b"none"))


# Expiry


@command("EXPIRE", arity=-3, flags=WRITE | FAST, key_flags="RW update")
def expire(ctx: Client, key: bytes, seconds: bytes, *options: bytes) -> int:
    return set_expire(ctx, key, options, seconds, 1000, ctx.keyspace.now_ms, "expire")


@command("PEXPIRE", arity=-3, flags=WRITE | FAST, key_flags="RW update")
def pexpire(ctx: Client, key: bytes, milliseconds: bytes, *options: bytes) -> int:
    return set_expire(ctx, key, options, milliseconds, 1, ctx.keyspace.now_ms, "pexpire")


@command("EXPIREAT", arity=-3, flags=WRITE | FAST, key_flags="RW update")
def expireat(ctx: Client, key: bytes, at_s: bytes, *options: bytes) -> int:
    return set_expire(ctx, key, options, at_s, 1000, 0, "expireat")


@command("PEXPIREAT", arity=-3, flags=WRITE | FAST, key_flags="RW update")
def pexpireat(ctx: Client, key: bytes, at_ms: bytes, *options: bytes) -> int:
    return set_expire(ctx, key, options, at_ms, 1, 0, "pexpireat")


def set_expire(
    ctx: Client, key: bytes, options: tuple[bytes, ...], amount: bytes, factor: int, base_ms: int, name: str
) -> int:
    """EXPIRE and its kin: `amount` counts `factor` milliseconds, from base_ms on."""
    conditions = expire_conditions(options)
    scaled = integer(amount) * factor
    at_ms = scaled + base_ms
    if overflows(scaled) or overflows(at_ms):
        raise invalid_expire_time(name)
    current = ctx.db.expire_at(key, True)
    if current == MISSING or not conditions_hold(conditions, current, at_ms):
        return 0
    if at_ms <= ctx.keyspace.now_ms:
        ctx.db.delete(key)
    else:
        ctx.db.set_expire(key, at_ms)
    return 1


def expire_conditions(options: tuple[bytes, ...]) -> set[bytes]:
    """The options NX, XX, GT and LT; an error if they contradict each other."""
    conditions = set()
    for option in options:
        word = option.upper()
        if word not in (b"NX", b"XX", b"GT", b"LT"):
            raise CommandError(f"ERR Unsupported option {option.decode('utf-8', 'surrogateescape')}")
        conditions.add(word)
    if b"NX" in conditions and len(conditions) > 1:
        raise CommandError("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {b"GT", b"LT"} <= conditions:
        raise CommandError("ERR GT and LT options at the same time are not compatible")
    return conditions


def conditions_hold(conditions: set[bytes], current: int, at_ms: int) -> bool:
    """Whether the options let a key with this expiry get the new one. No expiry counts as the latest."""
    if current == NO_EXPIRY:
        return b"XX" not in conditions and b"GT" not in conditions
    return not (
        b"NX" in conditions or (b"GT" in conditions and at_ms <= current) or (b"LT" in conditions and at_ms >= current)
    )


@command("TTL", arity=2, flags=READONLY | FAST, key_flags="RO access", tips=["nondeterministic_output"])
def ttl(ctx: Client, key: bytes) -> int:
    return time_of(ctx, key, ctx.keyspace.now_ms, 1000)


@command("PTTL", arity=2, flags=READONLY | FAST, key_flags="RO access", tips=["nondeterministic_output"])
def pttl(ctx: Client, key: bytes) -> int:
    return time_of(ctx, key, ctx.keyspace.now_ms, 1)


@command("EXPIRETIME", arity=2, flags=READONLY | FAST, key_flags="RO access")
def expiretime(ctx: Client, key: bytes) -> int:
    return time_of(ctx, key, 0, 1000)


@command("PEXPIRETIME", arity=2, flags=READONLY | FAST, key_flags="RO access")
def pexpiretime(ctx: Client, key: bytes) -> int:
    return time_of(ctx, key, 0, 1)


def time_of(ctx: Client, key: bytes, base_ms: int, unit_ms: int) -> int:
    """The key's expiry, counted from base_ms and rounded to units; -1: it has none, -2: no such key."""
    if ctx.db.lookup(key, True, False) == MISSING:
        return -2
    at_ms = ctx.db.expire_at(key)
    if at_ms == NO_EXPIRY:
        return -1
    return (max(at_ms - base_ms, 0) + unit_ms // 2) // unit_ms


@command("PERSIST", arity=2, flags=WRITE | FAST, key_flags="RW update")
def persist(ctx: Client, key: bytes) -> int:
    return int(ctx.db.persist(key))


# Rename, copy, move


@command(
    "RENAME",
    arity=3,
    flags=WRITE,
    keys=(1, 2, 1),
    keyspecs=[
        KeySpec("RW access delete", ("index", 1), ("range", 0, 1, 0)),
        KeySpec("OW update", ("index", 2), ("range", 0, 1, 0)),
    ],
)
def rename(ctx: Client, key: bytes, new_key: bytes) -> SimpleString:
    rename_key(ctx, key, new_key)
    return OK


@command(
    "RENAMENX",
    arity=3,
    flags=WRITE | FAST,
    keys=(1, 2, 1),
    keyspecs=[
        KeySpec("RW access delete", ("index", 1), ("range", 0, 1, 0)),
        KeySpec("OW insert", ("index", 2), ("range", 0, 1, 0)),
    ],
)
def renamenx(ctx: Client, key: bytes, new_key: bytes) -> int:
    if ctx.db.lookup(key, False, False) != MISSING and ctx.db.lookup(new_key, False, False) != MISSING:
        return 0
    rename_key(ctx, key, new_key)
    return 1


def rename_key(ctx: Client, key: bytes, new_key: bytes) -> None:
    """A key may be renamed to itself if it exists."""
    if ctx.db.lookup(key, False, False) == MISSING:
        raise CommandError(NO_SUCH_KEY)
    if key != new_key:
        ctx.db.rename(key, new_key)


@command(
    "COPY",
    arity=-3,
    flags=WRITE | DENYOOM,
    keys=(1, 2, 1),
    keyspecs=[
        KeySpec("RO access", ("index", 1), ("range", 0, 1, 0)),
        KeySpec("OW update", ("index", 2), ("range", 0, 1, 0)),
    ],
)
def copy(ctx: Client, key: bytes, new_key: bytes, *options: bytes) -> int:
    target = ctx.db
    replace = False
    words = iter(options)
    for option in words:
        word = option.upper()
        if word == b"REPLACE":
            replace = True
        elif word == b"DB":
            target = numbered_database(ctx, next_word(words))
        else:
            raise CommandError(SYNTAX_ERROR)
    if target is ctx.db and key == new_key:
        raise CommandError(SAME_OBJECT)
    if ctx.db.lookup(key) == MISSING:
        return 0
    return int(ctx.db.copy_to(key, target, new_key, replace))


@command("MOVE", arity=3, flags=WRITE | FAST, key_flags="RW access update")
def move(ctx: Client, key: bytes, number: bytes) -> int:
    target = numbered_database(ctx, number)
    if target is ctx.db:
        raise CommandError(SAME_OBJECT)
    return int(ctx.db.move_to(key, target))


def numbered_database(ctx: Client, number: bytes) -> Database:
    index = integer_between(number, INT32_MIN, INT32_MAX)
    if not 0 <= index < len(ctx.keyspace.databases):
        raise CommandError(DB_INDEX_OUT_OF_RANGE)
    return ctx.keyspace.databases[index]


# All keys


@command(
    "KEYS",
    arity=2,
    flags=READONLY,
    categories="keyspace dangerous",
    tips=["request_policy:all_shards", "nondeterministic_output_order"],
)
def keys(ctx: Client, pattern: bytes) -> list[bytes]:
    found = ctx.db.keys()
    return found if pattern == b"*" else [key for key in found if glob_match(pattern, key)]


@command("SCAN", arity=-2, flags=READONLY, tips=["nondeterministic_output", "request_policy:special"])
def scan(ctx: Client, start: bytes, *options: bytes) -> list[object]:
    place = cursor(start)
    count = SCAN_DEFAULT_COUNT
    pattern = b"*"
    type_name: bytes | None = None
    for i in range(0, len(options), 2):
        word = options[i].upper()
        if i + 1 == len(options) or word not in (b"COUNT", b"MATCH", b"TYPE"):
            raise CommandError(SYNTAX_ERROR)
        if word == b"COUNT":
            count = integer(options[i + 1])
            if count < 1:
                raise CommandError(SYNTAX_ERROR)
        elif word == b"MATCH":
            pattern = options[i + 1]
        else:
            type_name = options[i + 1].lower()
    db = ctx.db
    place, found = db.scan(place, min(count, max(len(db), 1)))
    if pattern != b"*":
        found = [key for key in found if glob_match(pattern, key)]
    if type_name is not None:
        found = [key for key in found if TYPE_NAMES.get(db.lookup(key, True, False)) == type_name]
    return [b"%d" % place, found]


@command("RANDOMKEY", arity=1, flags=READONLY, tips=["request_policy:all_shards", "nondeterministic_output"])
def randomkey(ctx: Client) -> bytes | None:
    return ctx.db.random_key()


# OBJECT

OBJECT = container("OBJECT", arity=-2)


def is_there(ctx: Client, key: bytes) -> bool:
    """Counts a hit or a miss, which is no event."""
    found = ctx.db.lookup(key, False, False) != MISSING
    if found:
        ctx.keyspace.hits += 1
    else:
        ctx.keyspace.misses += 1
    return found


@command("OBJECT|ENCODING", arity=3, flags=READONLY, keys=(2, 2, 1), key_flags="RO", tips=["nondeterministic_output"])
def object_encoding(ctx: Client, key: bytes) -> bytes | None:
    if not is_there(ctx, key):
        return None
    return encoding_of(ctx.db, key, ctx.server.config)


@command("OBJECT|REFCOUNT", arity=3, flags=READONLY, keys=(2, 2, 1), key_flags="RO", tips=["nondeterministic_output"])
def object_refcount(ctx: Client, key: bytes) -> int | None:
    if not is_there(ctx, key):
        return None
    if ctx.db.encoding(key) == b"int" and shares_integers(ctx):
        text = ctx.db.get_range(key, 0, len(b"%d" % SHARED_INTEGERS))
        if len(text) < len(b"%d" % SHARED_INTEGERS) and not text.startswith(b"-"):
            return SHARED_REFCOUNT
    return 1


def shares_integers(ctx: Client) -> bool:
    """Not where Redis would evict by access, of which each value has its own record."""
    config = ctx.server.config
    return not (config.maxmemory and config.maxmemory_policy.endswith(("-lru", "-lfu")))


@command("OBJECT|IDLETIME", arity=3, flags=READONLY, keys=(2, 2, 1), key_flags="RO", tips=["nondeterministic_output"])
def object_idletime(ctx: Client, key: bytes) -> int | None:
    if not is_there(ctx, key):
        return None
    if counts_frequency(ctx):
        raise CommandError(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between "
            "policies at runtime LRU and LFU data will take some time to adjust."
        )
    return ctx.db.idle_seconds(key)


@command("OBJECT|FREQ", arity=3, flags=READONLY, keys=(2, 2, 1), key_flags="RO", tips=["nondeterministic_output"])
def object_freq(ctx: Client, key: bytes) -> int | None:
    if not is_there(ctx, key):
        return None
    if not counts_frequency(ctx):
        raise CommandError(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
            "switching between policies at runtime LRU and LFU data will take some time to adjust."
        )
    return ctx.db.frequency(key)


def counts_frequency(ctx: Client) -> bool:
    return ctx.keyspace.lfu


@command("OBJECT|HELP", arity=2, flags=LOADING | STALE)
def object_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "OBJECT",
        (
            "ENCODING <key>",
            "    How the value is stored.",
            "FREQ <key>",
            "    Logarithmic counter of the key's recent accesses.",
            "IDLETIME <key>",
            "    Seconds since the key was last accessed.",
            "REFCOUNT <key>",
            "    Number of references to the value.",
        ),
    )
