# cython: language_level=3
# ruff: noqa: F821, F842
"""INFO: the state of the server as `name:value` lines, in sections.

Names, order and formats are those of Redis 7.0; a field that minikv adds begins with minikv_. Readers split values at
commas and equals signs, so no plain value holds one.
"""

from __future__ import annotations

import os
import platform
import resource
import struct
import time
from collections.abc import Callable

import cython
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.string import memcpy

from minikv import REDIS_VERSION, __version__
from minikv.commands.memory_figures import human, measure
from minikv.dispatch.client import Client
from minikv.dispatch.histogram import percentiles_us
from minikv.dispatch.spec import LOADING, STALE, command
from minikv.dispatch.table import Command
from minikv.keyspace import Database
from minikv.protocol.reply import Verbatim
from minikv.snapshot.info import persistence_fields
from minikv.snapshot.transfer import Reader

Fields = dict[str, int | float | str]

LONGEST_NUMBER = cython.declare(cython.Py_ssize_t, 400)  # a double may have 310 digits
LRU_CLOCK_MASK = (1 << 24) - 1  # access clocks have 24 bits, in seconds
REPLICATION_BACKLOG_BYTES = 1 << 20  # the default of repl-backlog-size; nothing is ever put into it


@command(
    "INFO",
    arity=-1,
    flags=LOADING | STALE,
    categories="dangerous",
    tips=["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
)
def info(ctx: Client, *names: bytes) -> Verbatim:
    wanted = chosen_sections({name.lower().decode("utf-8", "surrogateescape") for name in names})
    lines = Lines()
    for name, section in SECTIONS.items():
        if name in wanted:
            lines.add_section(name, section(ctx))
    return Verbatim(b"txt", lines.taken())


def chosen_sections(names: set[str]) -> set[str]:
    """The sections that INFO shows for these words; unknown words add nothing."""
    chosen = names & SECTIONS.keys()
    if names & {"all", "everything"}:
        chosen |= SECTIONS.keys()
    if not names or "default" in names:
        chosen |= SECTIONS.keys() - ON_DEMAND
    if "module_list" in names:
        chosen.add("modules")
    return chosen


@cython.cclass
class Lines:
    """Text built of sections and fields."""

    def __init__(self):
        self.pieces = []

    def add_section(self, name: str, fields: dict) -> cython.int:
        """A title and its fields; an empty line before."""
        self.add("\r\n# " if self.size or self.pieces else "# ")
        self.add(TITLES.get(name) or name.capitalize())
        self.add("\r\n")
        for field, value in fields.items():
            self.add_field(field, value)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, words: str) -> cython.int:
        """Any text; a file name in it may hold any bytes."""
        size: cython.Py_ssize_t = 0
        if not words.isascii():
            self.make_room(TEXT_BYTES)
            self.pieces.append(words.encode("utf-8", "surrogateescape"))
            return 0
        data: cython.p_const_char = PyUnicode_AsUTF8AndSize(words, cython.address(size))
        if size > TEXT_BYTES:
            self.make_room(TEXT_BYTES)
            self.pieces.append(data[:size])
            return 0
        self.make_room(size)
        memcpy(self.text + self.size, data, size)
        self.size += size
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add_field(self, name: str, value: object) -> cython.int:
        """`name:value`; a float has two digits after the point."""
        self.add(name)
        self.make_room(LONGEST_NUMBER)
        end: cython.p_char = self.text + self.size
        if type(value) is int:
            self.size += write_int(end, value)
        elif type(value) is float:
            self.size += snprintf(end, LONGEST_NUMBER, b":%.2f\r\n", cython.cast(cython.double, value))
        else:
            self.add(":")
            self.add(value)
            self.add("\r\n")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def make_room(self, wanted: cython.Py_ssize_t) -> cython.int:
        if self.size + wanted > TEXT_BYTES:
            self.pieces.append(self.text[: self.size])
            self.size = 0
        return 0

    def taken(self) -> bytes:
        """All of the text; nothing is left."""
        self.make_room(TEXT_BYTES)
        pieces = self.pieces
        self.pieces = []
        return b"".join(pieces)


@cython.cfunc
@cython.exceptval(check=False)
def write_int(text: cython.p_char, number: cython.longlong) -> cython.int:
    """`:number` and the end of the line; returns the number of bytes. printf takes five times as long."""
    digits: cython.uchar[INT64_DIGITS]
    count: cython.int = format_int64(digits, number)
    text[0] = 58  # a colon
    memcpy(text + 1, digits + INT64_DIGITS - count, count)
    text[count + 1] = 13
    text[count + 2] = 10
    return count + 3


def server_section(ctx: Client) -> Fields:
    server = ctx.server
    now = time.time()
    uptime_s = int(server.uptime_s())
    system = platform.uname()
    return {
        "redis_version": REDIS_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "redis_mode": "standalone",
        "os": f"{system.system} {system.release} {system.machine}",
        "arch_bits": struct.calcsize("P") * 8,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll",
        "atomicvar_api": "none",
        "gcc_version": "0.0.0",
        "process_id": os.getpid(),
        "process_supervised": server.config.supervised if server.config.supervised in ("systemd", "upstart") else "no",
        "run_id": server.run_id,
        "tcp_port": server.tcp_port,
        "server_time_usec": int(now * 1_000_000),
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s // 86400,
        "hz": server.config.hz,
        "configured_hz": server.config.hz,
        "lru_clock": int(now) & LRU_CLOCK_MASK,
        "executable": server.executable,
        "config_file": server.config_file,
        "io_threads_active": 0,
        "minikv_version": __version__,
        "minikv_python_version": platform.python_version(),
    }


def clients_section(ctx: Client) -> Fields:
    server = ctx.server
    census = server.count_clients()
    return {
        "connected_clients": len(server.clients),
        "cluster_connections": 0,
        "maxclients": server.config.maxclients,
        "client_recent_max_input_buffer": census.input_peak,
        "client_recent_max_output_buffer": census.output_peak,
        "blocked_clients": server.blocking.count + len(server.postponed),
        "tracking_clients": server.tracking.clients,
        "clients_in_timeout_table": server.blocking.timeouts,
    }


def script_fields(ctx: Client) -> Fields:
    """Memory of Lua's states, and of what is kept beside them."""
    scripts, functions = ctx.server.scripts, ctx.server.functions
    of_eval = scripts.interpreter.used_bytes if scripts.interpreter is not None else 0
    of_functions = functions.interpreter.used_bytes if functions.interpreter is not None else 0
    lua = of_eval + of_functions
    cached = scripts.kept_bytes + functions.kept_bytes()
    return {
        "used_memory_lua": of_eval,
        "used_memory_vm_eval": of_eval,
        "used_memory_lua_human": human(of_eval),
        "used_memory_scripts_eval": scripts.kept_bytes,
        "number_of_cached_scripts": len(scripts.by_sha),
        "number_of_functions": len(functions.functions),
        "number_of_libraries": len(functions.libraries),
        "used_memory_vm_functions": of_functions,
        "used_memory_vm_total": lua,
        "used_memory_vm_total_human": human(lua),
        "used_memory_functions": functions.kept_bytes(),
        "used_memory_scripts": cached,
        "used_memory_scripts_human": human(cached),
    }


def memory_section(ctx: Client) -> Fields:
    config = ctx.server.config
    memory = measure(ctx)
    used, active, resident, own = memory.used, memory.active, memory.resident, memory.own_resident
    engine = ctx.keyspace.stats()
    return {
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": memory.peak,
        "used_memory_peak_human": human(memory.peak),
        "used_memory_peak_perc": f"{memory.peak_percent:.2f}%",
        "used_memory_overhead": memory.overhead,
        "used_memory_startup": memory.startup,
        "used_memory_dataset": memory.dataset,
        "used_memory_dataset_perc": f"{memory.dataset_percent:.2f}%",
        "allocator_allocated": used,
        "allocator_active": active,
        "allocator_resident": own,
        "total_system_memory": memory.machine,
        "total_system_memory_human": human(memory.machine),
        **script_fields(ctx),
        "maxmemory": config.maxmemory,
        "maxmemory_human": human(config.maxmemory),
        "maxmemory_policy": config.maxmemory_policy,
        "allocator_frag_ratio": memory.fragmentation_ratio,
        "allocator_frag_bytes": active - used,
        "allocator_rss_ratio": own / max(active, 1),
        "allocator_rss_bytes": own - active,
        "rss_overhead_ratio": resident / max(own, 1),
        "rss_overhead_bytes": resident - own,
        "mem_fragmentation_ratio": memory.resident_ratio,
        "mem_fragmentation_bytes": resident - used,
        "mem_not_counted_for_evict": memory.not_counted,
        "mem_clients_slaves": 0,
        "mem_clients_normal": memory.clients,
        "mem_aof_buffer": 0,
        "mem_allocator": "minikv-arena",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": ctx.keyspace.waiting_objects,
        "lazyfreed_objects": ctx.keyspace.freed_objects,
        "minikv_arena_reserved_bytes": memory.arena_reserved,
        "minikv_arena_used_bytes": memory.arena_used,
        "minikv_arena_segments_used": engine["segments_used"],
        "minikv_arena_huge_pages": "yes" if engine["huge_pages"] else "no",
        "minikv_interpreter_bytes": memory.interpreter,
        "minikv_live_bytes": memory.live,
        "minikv_deferred_bytes": memory.deferred,
        "minikv_index_bytes": memory.index,
        "minikv_keyspace_bytes": memory.keyspace,
        "minikv_keyspace_peak_bytes": memory.keyspace_peak,
    }


def persistence_section(ctx: Client) -> Fields:
    fields: Fields = persistence_fields(ctx.server.snapshots, ctx.keyspace.dirty)
    return fields


def stats_section(ctx: Client) -> Fields:
    stats, keyspace, snapshots = ctx.server.stats, ctx.keyspace, ctx.server.snapshots
    limit = ctx.server.memory_limit
    return {
        "total_connections_received": stats.connections_received,
        "total_commands_processed": stats.commands_processed,
        "instantaneous_ops_per_sec": stats.ops_per_sec,
        "total_net_input_bytes": stats.net_input_bytes,
        "total_net_output_bytes": stats.net_output_bytes,
        "instantaneous_input_kbps": stats.input_kbps,
        "instantaneous_output_kbps": stats.output_kbps,
        "rejected_connections": stats.connections_rejected,
        "sync_full": snapshots.status.counters.syncs,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "expired_keys": keyspace.expired_keys,
        "expired_subkeys": keyspace.expired_fields,
        "expired_stale_perc": 0.0,
        "expired_time_cap_reached_count": 0,
        "evicted_keys": keyspace.evicted_keys,
        "evicted_clients": stats.evicted_clients,
        "total_eviction_exceeded_time": (limit.exceeded_ns + limit.current_exceeded_ns) // 1_000_000,
        "current_eviction_exceeded_time": limit.current_exceeded_ns // 1_000_000,
        "keyspace_hits": keyspace.hits,
        "keyspace_misses": keyspace.misses,
        "pubsub_channels": len(ctx.server.pubsub.channels),
        "pubsub_patterns": ctx.server.pubsub.pattern_count,
        "pubsubshard_channels": len(ctx.server.pubsub.shard),
        "latest_fork_usec": snapshots.status.counters.fork_us,
        "total_forks": snapshots.status.counters.forks,
        "migrate_cached_sockets": 0,
        "tracking_total_keys": ctx.server.tracking.keys,
        "tracking_total_items": ctx.server.tracking.items,
        "tracking_total_prefixes": ctx.server.tracking.prefix_count,
        "unexpected_error_replies": stats.unexpected_error_replies,
        "total_error_replies": stats.error_replies,
        "dump_payload_sanitizations": 0,
        "total_reads_processed": stats.reads_processed,
        "total_writes_processed": stats.writes_processed,
    }


def replication_section(ctx: Client) -> Fields:
    readers = list(ctx.server.copies.readers)
    return {
        "role": "master",
        "connected_slaves": len(readers),
        **{f"slave{number}": reader_field(reader) for number, reader in enumerate(readers)},
        "master_failover_state": "no-failover",
        "master_replid": ctx.server.replication_id,
        "master_replid2": "0" * 40,
        "master_repl_offset": 0,
        "second_repl_offset": -1,
        "repl_backlog_active": 0,
        "repl_backlog_size": REPLICATION_BACKLOG_BYTES,
        "repl_backlog_first_byte_offset": 0,
        "repl_backlog_histlen": 0,
    }


def reader_field(reader: Reader) -> str:
    """A client that is sent a copy of the data, in Redis's words for a replica."""
    ip = reader.name.rpartition(":")[0]
    return f"ip={ip},port={reader.port},state={reader.state},offset=0,lag=0"


def cpu_section(ctx: Client) -> Fields:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    thread = resource.getrusage(resource.RUSAGE_THREAD)
    return {
        "used_cpu_sys": f"{own.ru_stime:.6f}",
        "used_cpu_user": f"{own.ru_utime:.6f}",
        "used_cpu_sys_children": f"{children.ru_stime:.6f}",
        "used_cpu_user_children": f"{children.ru_utime:.6f}",
        "used_cpu_sys_main_thread": f"{thread.ru_stime:.6f}",
        "used_cpu_user_main_thread": f"{thread.ru_utime:.6f}",
    }


def modules_section(ctx: Client) -> Fields:
    return {}


def commandstats_section(ctx: Client) -> Fields:
    found: Command
    return {
        f"cmdstat_{found.full_name.decode()}": f"calls={found.calls},usec={found.usec},"
        f"usec_per_call={found.usec / found.calls if found.calls else 0:.2f},"
        f"rejected_calls={found.rejected},failed_calls={found.failed}"
        for found in ctx.server.table
        if found.calls or found.rejected or found.failed
    }


def errorstats_section(ctx: Client) -> Fields:
    errors = ctx.server.stats.errors
    return {f"errorstat_{field_word(code)}": f"count={count}" for code, count in sorted(errors.items())}


def field_word(code: bytes) -> str:
    """An error's code as part of a field's name."""
    return code.decode("utf-8", "replace").translate({ord(sign): "_" for sign in ":,=\r\n#"})


def latencystats_section(ctx: Client) -> Fields:
    if not ctx.server.config.latency_tracking:
        return {}
    percents = ctx.server.config.latency_tracking_info_percentiles
    found: Command
    return {
        f"latency_percentiles_usec_{found.full_name.decode()}": ",".join(
            f"p{percent:g}={duration_us:.3f}"
            for percent, duration_us in zip(percents, percentiles_us(found.histogram, percents), strict=True)
        )
        for found in ctx.server.table
        if found.histogram.total
    }


def cluster_section(ctx: Client) -> Fields:
    return {"cluster_enabled": 0}


def keyspace_section(ctx: Client) -> Fields:
    return {f"db{database.number}": contents(database) for database in ctx.keyspace.databases if len(database)}


def contents(database: Database) -> str:
    """What is in a database, in one line; hashes with fields that expire, which 7.0 does not have, if there are any."""
    line = f"keys={len(database)},expires={database.expires},avg_ttl={database.average_ttl_ms()}"
    return f"{line},subexpiry={database.hashes_with_ttls}" if database.hashes_with_ttls else line


SECTIONS: dict[str, Callable[[Client], Fields]] = {
    "server": server_section,
    "clients": clients_section,
    "memory": memory_section,
    "persistence": persistence_section,
    "stats": stats_section,
    "replication": replication_section,
    "cpu": cpu_section,
    "modules": modules_section,
    "commandstats": commandstats_section,
    "errorstats": errorstats_section,
    "latencystats": latencystats_section,
    "cluster": cluster_section,
    "keyspace": keyspace_section,
}
TITLES = {"cpu": "CPU"}
ON_DEMAND = {"commandstats", "latencystats"}  # not among the sections that INFO shows without a name
