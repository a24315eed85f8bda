"""MEMORY: what a key takes, where the rest goes, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable

from minikv.commands.help import help_lines
from minikv.commands.memory_figures import MemoryFigures, human, measure
from minikv.dispatch.arguments import SYNTAX_ERROR, integer
from minikv.dispatch.client import Client
from minikv.dispatch.spec import LOADING, READONLY, STALE, command, container
from minikv.errors import CommandError
from minikv.host.overcommit import ALWAYS, read_mode
from minikv.protocol.reply import OK, SimpleString, Verbatim

MEMORY = container("MEMORY", arity=-2)

TIPS = ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]

PURGE_STEP_US = 100_000  # MEMORY PURGE moves records in steps of this length until nothing is left to win

# Limits of DOCTOR: below these a ratio is noise.
SMALL_BYTES = 5 << 20
WORTH_BYTES = 10 << 20
BIG_CLIENT_BYTES = 200 << 10


@command("MEMORY|USAGE", arity=-3, flags=READONLY, keys=(2, 2, 1), key_flags="RO")
def memory_usage(ctx: Client, key: bytes, *options: bytes) -> int | None:
    """SAMPLES is read and changes nothing: sizes are known, not estimated."""
    rest = list(options)
    while rest:
        if rest[0].lower() != b"samples" or len(rest) == 1:
            raise CommandError(SYNTAX_ERROR)
        if integer(rest[1]) < 0:
            raise CommandError(SYNTAX_ERROR)
        del rest[:2]
    used: int | None = ctx.db.memory_usage(key)
    return used


@command("MEMORY|STATS", arity=2, tips=TIPS)
def memory_stats(ctx: Client) -> dict[bytes, object]:
    memory = measure(ctx)
    used, active, resident, own = memory.used, memory.active, memory.resident, memory.own_resident
    keys = sum(len(database) for database in ctx.keyspace.databases)
    return {
        b"peak.allocated": memory.peak,
        b"total.allocated": used,
        b"startup.allocated": memory.startup,
        b"replication.backlog": 0,
        b"clients.slaves": 0,
        b"clients.normal": memory.clients,
        b"cluster.links": 0,
        b"aof.buffer": 0,
        b"lua.caches": ctx.server.scripts.kept_bytes,
        b"functions.caches": ctx.server.functions.kept_bytes(),
        **database_overheads(ctx, memory, keys),
        b"overhead.total": memory.overhead,
        b"keys.count": keys,
        b"keys.bytes-per-key": (used - memory.startup) // keys if keys else 0,
        b"dataset.bytes": memory.dataset,
        b"dataset.percentage": memory.dataset_percent,
        b"peak.percentage": memory.peak_percent,
        b"allocator.allocated": used,
        b"allocator.active": active,
        b"allocator.resident": own,
        b"allocator-fragmentation.ratio": memory.fragmentation_ratio,
        b"allocator-fragmentation.bytes": active - used,
        b"allocator-rss.ratio": own / max(active, 1),
        b"allocator-rss.bytes": own - active,
        b"rss-overhead.ratio": resident / max(own, 1),
        b"rss-overhead.bytes": resident - own,
        b"fragmentation": memory.resident_ratio,
        b"fragmentation.bytes": resident - used,
    }


def database_overheads(ctx: Client, memory: MemoryFigures, keys: int) -> dict[bytes, object]:
    """The index's bytes, which all databases share, by each one's number of keys."""
    return {
        b"db.%d" % database.number: {
            b"overhead.hashtable.main": memory.index * len(database) // keys,
            b"overhead.hashtable.expires": 0,
            b"overhead.hashtable.slot-to-keys": 0,
        }
        for database in ctx.keyspace.databases
        if len(database)
    }


@command("MEMORY|DOCTOR", arity=2, tips=TIPS)
def memory_doctor(ctx: Client) -> Verbatim:
    memory = measure(ctx)
    return Verbatim(b"txt", diagnosis(memory, len(ctx.server.clients), read_mode).encode())


def diagnosis(memory: MemoryFigures, clients: int, overcommit: Callable[[], int]) -> str:
    """What the figures say, in words. overcommit: reads the mode, from a file, if there is anything to say of it."""
    if memory.used - memory.startup < SMALL_BYTES:
        return "There is hardly any data in this server, so its memory has nothing to tell yet.\n"
    findings = []
    if memory.peak > memory.used * 1.5 and memory.peak - memory.used > WORTH_BYTES:
        findings.append(
            f"The peak was {human(memory.peak)}, now {human(memory.used)} are used. Whole segments were given back to "
            "the system; sparse ones follow as records are moved together."
        )
    if memory.fragmentation_ratio > 1.4 and memory.active - memory.used > WORTH_BYTES:
        findings.append(
            f"Segments hold {human(memory.active)} for {human(memory.used)} of live data. Deleted and overwritten "
            "records leave gaps, which are filled again or evacuated; MEMORY PURGE does that at once."
        )
    if memory.own_resident > 1.4 * memory.active and memory.own_resident - memory.active > WORTH_BYTES:
        findings.append(
            f"The process has {human(memory.resident)} resident for {human(memory.active)} in use: the interpreter, or "
            "buffers that were large, have not given memory back."
        )
    if clients and memory.clients // clients > BIG_CLIENT_BYTES:
        findings.append(
            f"{clients} clients hold {human(memory.clients)} of requests and replies: some read slowly, or send "
            "very large requests. CLIENT LIST tells which."
        )
    overcommit_mode = overcommit()
    if overcommit_mode not in (ALWAYS, -1):
        findings.append(
            f"vm.overcommit_memory is {overcommit_mode}: when memory gets short the system may refuse the fork of a "
            "snapshot. 'sysctl vm.overcommit_memory=1' lets it succeed."
        )
    if not findings:
        return "No problem with this server's memory was found.\n"
    return "What was found:\n\n" + "".join(f"- {finding}\n" for finding in findings)


@command("MEMORY|MALLOC-STATS", arity=2, tips=TIPS)
def memory_malloc_stats(ctx: Client) -> Verbatim:
    lines = [f"{name}: {value}" for name, value in ctx.keyspace.stats().items()]
    return Verbatim(b"txt", ("\n".join(lines) + "\n").encode())


@command("MEMORY|PURGE", arity=2, tips=["request_policy:all_shards", "response_policy:all_succeeded"])
def memory_purge(ctx: Client) -> SimpleString:
    while ctx.keyspace.evacuate(PURGE_STEP_US):
        pass
    return OK


@command("MEMORY|HELP", arity=2, flags=LOADING | STALE)
def memory_help(ctx: Client) -> list[SimpleString]:
    return help_lines(
        "MEMORY",
        [
            "DOCTOR",
            "    A report in words.",
            "MALLOC-STATS",
            "    Figures of the arena and the index.",
            "PURGE",
            "    Move records together and give free memory back to the system.",
            "STATS",
            "    Where memory goes, in figures.",
            "USAGE <key> [SAMPLES <count>]",
            "    Bytes that <key> and its value take, with their share of the index.",
            "    SAMPLES is accepted, the figure is exact without it.",
        ],
    )
