"""The server: sockets, timers, signals, and the parts put together.

    server = Server(config, keyspace, log)
    exit_code = server.run()                        the whole life, in a new event loop
    await server.start(); await server.serve()      the same inside a running loop (tests)

Life: listen -> load the dump while answering -LOADING -> ready -> serve until SHUTDOWN or a signal -> save -> close.
The cron runs `hz` times a second: it removes expired keys, tidies the arena, closes idle clients, takes samples and
lets the snapshot controller look after its save points.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import os
import pkgutil
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import uvloop

import minikv.commands
from minikv.acl.catalog import Catalog
from minikv.acl.log import AclLog
from minikv.acl.start import open_users
from minikv.acl.users import Users
from minikv.commands.command import newer_commands
from minikv.commands.encoding import is_compact
from minikv.commands.info import info
from minikv.commands.lookahead import KeyLookahead, largest
from minikv.commands.roster import client_line
from minikv.config import Config, shown_line
from minikv.connection import Hub
from minikv.crash.watchdog import Watchdog
from minikv.dispatch.blocking import Blocking
from minikv.dispatch.census import Census
from minikv.dispatch.client import CLIENT_BYTES, Client
from minikv.dispatch.memory_limit import MemoryLimit
from minikv.dispatch.sessions import Sessions
from minikv.dispatch.spec import CATEGORIES
from minikv.dispatch.stats import Stats
from minikv.dispatch.switches import Switches
from minikv.dispatch.table import CommandTable
from minikv.errors import CommandError, ConfigError, MinikvError
from minikv.host.memory import private_bytes, read_own_memory
from minikv.host.oom_score import OomScore
from minikv.keyspace import Keyspace
from minikv.keyspace.field_expiry import expire_fields
from minikv.latency import LatencyMonitor
from minikv.listening import Port, open_unix
from minikv.log import Log
from minikv.pubsub.keyspace_events import KeyspaceEvents
from minikv.pubsub.registry import Registry
from minikv.saving.temp_file import temp_name
from minikv.scripting.functions import Functions
from minikv.scripting.scripts import Scripts
from minikv.settings import LONG_MAX
from minikv.slowlog import SlowLog
from minikv.snapshot.controller import SnapshotController
from minikv.snapshot.foreground_saves import ForegroundSaves
from minikv.snapshot.questions import Questions
from minikv.snapshot.remote_copies import RemoteCopies
from minikv.tls import TLS_SETTINGS, Tls
from minikv.tls_connection import TlsConnection

# One run of the cron removes expired keys in portions, for at most this share of its period.
EXPIRE_PORTION = 200
EXPIRE_SHARE = 0.25
# Time for moving records out of sparse segments, each run of the cron.
EVACUATE_US = 1000
EVACUATE_AGAIN_S = 0.01
# maxmemory-clients is at least this: below, nobody could say anything.
CLIENT_LIMIT_MIN = 128 * 1024
QUIET_OPS_PER_SEC = 1000  # below, there is time to be thorough
SAMPLE_MS = 100
# Clients visited whenever INFO asks what they hold; the cron visits all others once a second.
COUNTED_AT_ONCE = 16
# Memory of large requests and replies that have left goes back to the kernel.
GIVE_BACK_S = 1.0
GIVE_BACK_LEAST = 1024 * 1024
# Collections are rare: almost nothing here makes cycles. Objects made before the start are frozen.
GC_THRESHOLDS = (20_000, 50, 100)

CANNOT_LISTEN = "Unable to listen on this port. Check server logs."


class Server:
    """Everything that runs: the Services of the command handlers, and the owner of their lifetimes.

    clock: Unix time in seconds. on_listening: called with `port` before the dump is loaded. on_ready: called when
    clients are served. startup_bytes: what used_memory is of an empty
    server. interpreter_bytes: private memory of the process at the start, without the keyspace's.
    """

    def __init__(
        self,
        config: Config,
        keyspace: Keyspace,
        log: Log,
        *,
        on_listening: Callable[[int], object] | None = None,
        on_ready: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.time,
        snapshots: SnapshotController | None = None,
    ) -> None:
        self.config = config
        self.keyspace = keyspace
        keyspace.on_crowded = self._evacuate
        keyspace.is_compact = functools.partial(is_compact, config)
        self.log = log
        self.clock = clock
        self.on_listening = on_listening
        self.on_ready = on_ready
        self.stats = Stats()
        self.memory_limit = MemoryLimit(keyspace)
        self.memory_limit.on_unfinished = self._evict_soon
        self.table = CommandTable.build(command_modules(), self, self.stats)
        self.table.memory_limit = self.memory_limit
        self.tracking = self.table.tracking
        self.tracking.on_broadcast = self._ask_for_round
        self.users = users_of(config, self.table, log)
        rename_commands(config, self.table)
        self.config.user_lines = self._user_lines
        self.acl_log = AclLog(config, client_line, clock)
        self.blocking = Blocking(self.table, keyspace, self._call_later)
        self.monitors: set[Client] = set()
        self.pubsub = Registry()
        self._events = KeyspaceEvents(self.pubsub, len(keyspace.databases))
        self._take_event = self._events.take
        self.scripts = Scripts(self, self.table, log)
        self.postponed: set[Client] = set()
        self.no_touch: set[Client] = set()
        self.switches = Switches()
        self._watchdog = Watchdog(config, log)
        self._held_signal: tuple[str, str] | None = None  # came while the cron was paused
        self.slowlog = SlowLog(config, clock)
        self.latency = LatencyMonitor(config, clock)
        self.memory_limit.on_delay = self.latency.add
        self.tls = Tls(config, log)
        self._ports: tuple[Port, ...] = ()
        self._oom_score = OomScore()
        self._lookahead = KeyLookahead()
        self.snapshots = snapshots or SnapshotController(
            config,
            keyspace,
            log,
            self.latency,
            input_bytes_per_s=lambda: int(self.stats.input_kbps * 1024),
            child_oom_score=lambda: self._oom_score.of_child(config.oom_score_adj, config.oom_score_adj_values[2]),
        )
        self.functions = Functions(self, self.scripts, log, self.snapshots.keep_functions)
        self.saves = ForegroundSaves(config, keyspace, log, self.snapshots)
        self.replication_id = secrets.token_hex(20)
        self.copies = RemoteCopies(config, keyspace, log, self.snapshots, lambda: self.replication_id)
        self.questions = Questions(config)
        self.run_id = secrets.token_hex(20)
        self.startup_bytes = keyspace.claimed_bytes
        self.interpreter_bytes = private_bytes() - keyspace.used_bytes
        self._started_at = time.monotonic()
        self.executable = sys.executable
        self.config_file = config.file
        self.pause_until_ms = 0
        self.pause_writes_only = False
        self.exit_code = 0
        self.clients: dict[int, Client] = {}
        self._census = Census(self.clients)
        self._measured_ns = self._resident_bytes = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._unix_path = ""
        self._ready = False  # the dump is loaded
        self._evicts = False  # a call of _evict is on its way
        self._clients_hold_on = False  # those that may not be evicted hold more than maxmemory-clients

    # -- life ----------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until SHUTDOWN or a signal; the process's exit code."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._run())

    async def _run(self) -> int:
        try:
            await self.start()
        except OSError as error:
            for line in str(error).split("\n"):
                self.log.warning(line)
            return 1
        await self.serve()
        return self.exit_code

    async def start(self) -> None:
        """Listen, load the dump, start the cron. OSError, with a complete message, if a socket cannot be bound."""
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        self._hub = Hub(self, self.table, self.stats, self._loop, self.log)
        self.clients = self._hub.clients
        self._census = Census(self.clients)
        self._hub.on_crowded = self.evict_clients
        self._listen()
        self._follow_config()
        self._hub.open()
        self._handle_signals()
        if self.on_listening is not None:
            self.on_listening(self.tcp_port)
        self.log.warning("Server initialized")
        await self._load()
        if self._stopped.done():
            return
        self.snapshots.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._ready = True
        self._cron()
        self._sample()
        self._give_back()
        self.log.notice("Ready to accept connections")
        if self.on_ready is not None:
            self.on_ready()

    async def serve(self) -> None:
        """Return when the server has been stopped and everything is closed."""
        await self._stopped
        for timer in self._timers.values():
            timer.cancel()
        self.questions.close()
        self.snapshots.compactor.kill()
        self._hub.send_unsent()
        self._hub.close()
        if self._unix_path:
            with contextlib.suppress(OSError):
                os.unlink(self._unix_path)
        await asyncio.sleep(0)

    async def _load(self) -> None:
        """Load the dump; clients get -LOADING meanwhile."""
        self.snapshots.attach(self._loop)
        self.copies.attach(self._loop)
        self.snapshots.call_on_change(self.refresh_gates)
        self.snapshots.loader.on_functions = self.functions.take
        self.snapshots.remove_stale_files()
        try:
            await self.snapshots.load()
        except asyncio.CancelledError:
            if not self._stopped.done():
                raise
        except (MinikvError, OSError):  # why is logged already
            self.log.warning("Terminating server after rdb file reading failure.")
            self.stop(1)

    def stop(self, exit_code: int = 0) -> None:
        """End `serve`, without saving."""
        self.exit_code = exit_code
        self.snapshots.stop_loading()
        for port in self._ports:
            port.close()  # before the client of SHUTDOWN sees its connection close
        if not self._stopped.done():
            self._stopped.set_result(None)

    # -- sockets -------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Listen on every socket of the settings. OSError, with a line for each thing to log."""
        config = self.config
        try:
            if self.tls.is_wanted:
                self.tls.configure()
        except ConfigError:
            raise OSError("Failed to configure TLS. Check logs for more info.") from None
        self._plain = Port(config, self._hub, self.log, "port")
        self._secure = Port(config, self._hub, self.log, "tls-port", functools.partial(TlsConnection, self.tls))
        self._ports = (self._plain, self._secure)
        for port in self._ports:
            port.open()
        if config.unixsocket:
            sock = open_unix(config.unixsocket, config.unixsocketperm, config.tcp_backlog)
            self._unix_path = os.path.abspath(config.unixsocket)
            self._hub.listen(sock)

    def _move_secure_port(self) -> None:
        """CONFIG SET tls-port."""
        if self.tls.server is None:
            self.tls.configure()
        self._secure.move(CANNOT_LISTEN)

    def _move_ports(self) -> None:
        """CONFIG SET bind."""
        for port in self._ports:
            port.move("Failed to bind to specified addresses.")

    @property
    def loading(self) -> bool:
        """A dump is being read."""
        return self.snapshots.loading

    @property
    def tcp_port(self) -> int:
        """The port of INFO."""
        return next((port.number for port in self._ports if port.number), 0)

    # -- settings ------------------------------------------------------------------------------------------------------

    def _follow_config(self) -> None:
        """Apply settings where they are used, now and at each CONFIG SET."""
        for names, apply in (
            (("maxclients", "tcp-keepalive", "protected-mode"), self._set_access),
            (("proto-max-bulk-len", "client-query-buffer-limit", "client-output-buffer-limit"), self._set_buffers),
            (("slowlog-log-slower-than", "latency-monitor-threshold", "latency-tracking"), self._set_slow_limits),
            (("maxmemory", "save", "stop-writes-on-bgsave-error"), self.refresh_gates),
            (("maxmemory-policy", "lfu-log-factor", "lfu-decay-time"), self._set_access_clock),
            (("maxmemory-policy", "maxmemory-samples", "lazyfree-lazy-eviction"), self._set_evictor),
            (("maxmemory-eviction-tenacity",), self._set_tenacity),
            (("maxmemory", "maxmemory-policy"), self._set_memory_limit),
            (("maxmemory", "maxmemory-clients"), self._set_client_limit),
            (("lazyfree-lazy-expire", "lazyfree-lazy-server-del"), self._set_lazy_freeing),
            (("tracking-table-max-keys",), self._set_tracking),
            (("notify-keyspace-events",), self._set_events),
        ):
            for name in names:
                self.config.on_change(name, ignoring_value(apply))
            apply()
        self.users.follower = Sessions(self, self._set_access)
        self.config.on_change("requirepass", self.users.set_default_password)
        for name, move in (
            ("port", functools.partial(self._plain.move, CANNOT_LISTEN)),
            ("tls-port", self._move_secure_port),
            ("bind", self._move_ports),
        ):
            self.config.on_change(name, ignoring_value(move))
        for name in TLS_SETTINGS:
            self.config.on_change(name, ignoring_value(self.tls.reconfigure))
        for name in ("oom-score-adj", "oom-score-adj-values"):
            self.config.on_change(name, ignoring_value(self._set_oom_score))
        with contextlib.suppress(ConfigError):  # the log says it; no reason not to serve
            self._set_oom_score()

    def _user_lines(self) -> list[str]:
        """The users for the configuration file; none if it needs none to come to the same users."""
        if self.config.aclfile or (len(self.users.by_name) == 1 and self.users.is_as_set_by(self.config.requirepass)):
            return []
        return [line.decode("utf-8", "surrogateescape") for line in self.users.lines()]

    def _set_access(self) -> None:
        hub, config = self._hub, self.config
        hub.max_clients = config.maxclients
        hub.keepalive_seconds = config.tcp_keepalive
        default = self.users.default
        hub.password_needed = not default.is_open
        hub.new_are_unrestricted = default.is_open and default.unrestricted
        hub.local_only = config.protected_mode and default.nopass

    def _set_buffers(self) -> None:
        hub, config = self._hub, self.config
        hub.limits.max_bulk_len = config.proto_max_bulk_len
        hub.limits.query_buffer_limit = config.client_query_buffer_limit
        hard_bytes, soft_bytes, hub.soft_seconds = config.client_output_buffer_limit.normal
        hub.hard_limit, hub.soft_limit = min(hard_bytes, LONG_MAX), min(soft_bytes, LONG_MAX)
        hard_bytes, soft_bytes, hub.pubsub_soft_seconds = config.client_output_buffer_limit.pubsub
        hub.pubsub_hard_limit, hub.pubsub_soft_limit = min(hard_bytes, LONG_MAX), min(soft_bytes, LONG_MAX)

    def _set_slow_limits(self) -> None:
        self.table.keeps_histograms = self.config.latency_tracking
        self.table.set_slow_limits(self.config.slowlog_log_slower_than, self.config.latency_monitor_threshold)

    def _set_access_clock(self) -> None:
        keyspace, config = self.keyspace, self.config
        keyspace.lfu = config.maxmemory_policy.endswith("-lfu")
        keyspace.lfu_log_factor = config.lfu_log_factor
        keyspace.lfu_decay_time = config.lfu_decay_time
        keyspace.tick()

    def _set_evictor(self) -> None:
        evictor, config = self.memory_limit.evictor, self.config
        evictor.set_policy(config.maxmemory_policy)
        evictor.samples = config.maxmemory_samples
        evictor.lazily = config.lazyfree_lazy_eviction

    def _set_tenacity(self) -> None:
        self.memory_limit.set_tenacity(self.config.maxmemory_eviction_tenacity)

    def _set_memory_limit(self) -> None:
        limit = self.memory_limit
        lowered = self.config.maxmemory != limit.limit
        limit.limit = self.config.maxmemory
        if self._ready and limit.is_exceeded:
            if lowered:
                self.log.warning(
                    f"WARNING: the new maxmemory value set via CONFIG SET ({limit.limit}) is smaller than the current "
                    f"memory usage ({limit.used_bytes}). This will result in key eviction and/or the inability to "
                    "accept new write commands depending on the maxmemory-policy."
                )
            self._evict_soon()

    def _set_client_limit(self) -> None:
        limit, maxmemory = self.config.maxmemory_clients, self.config.maxmemory
        if limit < 0:
            limit = maxmemory * -limit // 100
        self._hub.client_limit = max(limit, CLIENT_LIMIT_MIN) if limit else 0
        self.evict_clients()

    def _set_lazy_freeing(self) -> None:
        self.keyspace.free_lazily(self.config.lazyfree_lazy_expire, self.config.lazyfree_lazy_server_del)

    def _set_tracking(self) -> None:
        self.tracking.max_keys = self.config.tracking_table_max_keys

    def _set_events(self) -> None:
        self.keyspace.observe(self._take_event, self._events.choose(self.config.notify_keyspace_events))

    def _set_oom_score(self) -> None:
        try:
            self._oom_score.set(self.config.oom_score_adj, self.config.oom_score_adj_values[0])
        except OSError as error:
            self.log.warning(f"Unable to write oom_score_adj: {error.strerror}")
            raise ConfigError("Failed to apply new oom_score_adj configuration, check server logs.") from None

    # -- services ------------------------------------------------------------------------------------------------------

    def uptime_s(self) -> float:
        """Seconds since the start, by a clock that nobody sets."""
        return time.monotonic() - self._started_at

    def count_clients(self) -> Census:
        """The largest input and output of a client; exact if they are few."""
        self._census.go_on(COUNTED_AT_ONCE)
        return self._census

    def count_memory(self) -> int:
        """What maxmemory limits, counted at this moment."""
        self.memory_limit.other_bytes = (
            self.scripts.kept_bytes + self.functions.kept_bytes() + self.tracking.table_bytes
        )
        return self.memory_limit.used_bytes

    def resident_bytes(self) -> int:
        """Resident memory of the process, at most a tenth of a second old."""
        now_ns = time.monotonic_ns()
        if now_ns - self._measured_ns > SAMPLE_MS * 1_000_000:
            self._measured_ns = now_ns
            self._resident_bytes = read_own_memory().resident_bytes
        return self._resident_bytes

    def refresh_gates(self) -> None:
        """Look again at what may stop commands."""
        paused = self.pause_until_ms > 0
        self.keyspace.keeps_expired = paused  # the data stays as it is
        self.table.set_gates(
            loading=self.loading,
            misconf=self.snapshots.writes_denied,
            limited_memory=self.config.maxmemory > 0,
            paused=paused and not self.pause_writes_only,
            writes_paused=paused and self.pause_writes_only,
            monitors=bool(self.monitors),
        )

    def pause(self, timeout_ms: int, writes_only: bool) -> None:
        """Postpone commands for this long; a longer or stricter pause is not weakened."""
        until_ms = time.monotonic_ns() // 1_000_000 + timeout_ms
        if self.pause_until_ms:
            writes_only = writes_only and self.pause_writes_only
            until_ms = max(until_ms, self.pause_until_ms)
        self.pause_until_ms, self.pause_writes_only = until_ms, writes_only
        self.refresh_gates()
        self._later("pause", max(0, until_ms / 1000 - time.monotonic()), self.unpause)

    def unpause(self) -> None:
        """End the pause and run what it postponed."""
        self.pause_until_ms, self.pause_writes_only = 0, False
        if timer := self._timers.pop("pause", None):
            timer.cancel()
        self.refresh_gates()
        postponed, self.postponed = self.postponed, set()
        for client in postponed:
            client.resume()

    @property
    def serving(self) -> Client | None:
        """The client whose request is being executed."""
        return self._hub.serving

    def _ask_for_round(self) -> None:
        self._hub.ask_for_round()

    def set_no_touch(self, client: Client, no_touch: bool) -> None:
        """Whether the client's reads leave the access clocks alone."""
        client.no_touch = no_touch
        if no_touch:
            self.no_touch.add(client)
        else:
            self.no_touch.discard(client)
        self.table.set_no_touch(bool(self.no_touch))

    def serve_others(self) -> bool:
        """Serve other clients while a command runs; False if the server is to stop."""
        self._hub.serve_others()
        return not self._stopped.done()

    def kill(self, clients: Iterable[Client]) -> None:
        """Close connections; the one that is being served is closed after its reply."""
        for client in list(clients):
            if self._hub.is_serving(client):
                client.close_after_reply = True
            else:
                client.close()

    def info_text(self) -> bytes:
        """INFO all."""
        return info(Client(self), b"all").data

    def client_line(self, client: Client) -> bytes:
        """The client's line of CLIENT LIST."""
        return client_line(client)

    def served(self) -> tuple[Client | None, list[object]]:
        """The client whose request is being executed, and the request (Hub.served)."""
        return self._hub.served()

    def evict_clients(self) -> None:
        """Close those that hold most until all together hold no more than maxmemory-clients."""
        limit, held = self._hub.client_limit, self._hub.client_bytes
        if not limit:
            return
        for client in self._hub.by_size():
            if held <= limit:
                break
            if client.no_evict or client.close_after_reply:
                continue
            held -= client.held_bytes + CLIENT_BYTES
            line = client_line(client).decode("utf-8", "surrogateescape").rstrip("\n")
            self.log.notice(f"Evicting client: {line}")
            self.stats.evicted_clients += 1
            self.kill([client])
        if held > limit and not self._clients_hold_on:
            self.log.warning("Over client maxmemory after evicting all evictable clients")
        self._clients_hold_on = held > limit

    def forget(self, client: Client) -> None:
        """Forget a client that has disconnected."""
        self.blocking.forget(client)
        self.pubsub.forget(client)
        self.tracking.turn_off(client)
        self.copies.forget(client)
        if client.no_touch:
            self.set_no_touch(client, False)
        self.postponed.discard(client)
        if client in self.monitors:
            self.monitors.discard(client)
            self.refresh_gates()

    # -- timers --------------------------------------------------------------------------------------------------------

    def _later(self, name: str, seconds: float, callback: Callable[[], object]) -> None:
        """Run the callback once; a timer of the same name is replaced."""
        if timer := self._timers.get(name):
            timer.cancel()
        self._timers[name] = self._loop.call_later(seconds, callback)

    def _call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        """The event loop's call_later, which does not exist from the beginning."""
        return self._loop.call_later(seconds, callback, *args)

    def _cron(self) -> None:
        period = 1 / self.config.hz
        self._later("cron", period, self._cron)
        self._watchdog.feed()
        if self.switches.cron_paused:
            return
        if self._held_signal is not None:
            (name, setting), self._held_signal = self._held_signal, None
            self._on_signal(name, setting)
        self._look_after_clients()
        self.tracking.limit()
        if self.snapshots.loading:
            return  # a value may be half-read into its place
        self.keyspace.tick()
        if self.keyspace.active_expire and not self.keyspace.keeps_expired:
            self._expire(period * EXPIRE_SHARE)
        self._evacuate()
        if self.count_memory() > self.memory_limit.limit > 0:
            self.memory_limit.make_room()
        self.snapshots.cron(time.monotonic())
        self.copies.cron()

    def _expire(self, seconds: float) -> None:
        """Remove expired keys for at most this long."""
        began_at = time.monotonic()
        ends_at = began_at + seconds
        while (
            self.keyspace.expire_cycle(EXPIRE_PORTION) == EXPIRE_PORTION
            or expire_fields(self.keyspace, EXPIRE_PORTION) >= EXPIRE_PORTION
        ) and time.monotonic() < ends_at:
            pass
        self.blocking.wake()
        self.latency.add("expire-cycle", int((time.monotonic() - began_at) * 1000))

    def _evict_soon(self) -> None:
        """Evict more keys once others have been served."""
        if not self._evicts:
            self._evicts = True
            self._later("evict", 0, self._evict)

    def _evict(self) -> None:
        self._evicts = False
        if not self.snapshots.loading:
            self.keyspace.tick()
            self.memory_limit.make_room()
            self.blocking.wake()

    def _evacuate(self) -> None:
        """Tidy the arena: more often while there is much to do, more thoroughly while clients ask for little."""
        quiet = self.stats.ops_per_sec < QUIET_OPS_PER_SEC
        if not self.snapshots.loading and self.keyspace.evacuate(EVACUATE_US, quiet) > 0:
            self._later("evacuate", EVACUATE_AGAIN_S, self._evacuate)

    def _look_after_clients(self) -> None:
        """Count clients; close those that are idle or do not read."""
        self._census.go_on(max(COUNTED_AT_ONCE, len(self.clients) // self.config.hz))
        self._hub.close_strangers()
        timeout_ns = self.config.timeout * 1_000_000_000
        soft_limit = self._hub.soft_limit
        for client in list(self.pubsub.clients):
            client.check_output()
        if not timeout_ns and not soft_limit:
            return
        now_ns = time.monotonic_ns()
        for client in list(self.clients.values()):
            waits = (
                client.blocked is not None
                or client.paused
                or client.subscriptions is not None
                or client in self.monitors
                or self.copies.is_reader(client)
            )
            if timeout_ns and now_ns - client.last_interaction_ns > timeout_ns and not waits:
                self.log.verbose("Closing idle client")
                client.close()
            elif soft_limit:
                client.check_output()

    def _sample(self) -> None:
        self._later("sample", SAMPLE_MS / 1000, self._sample)
        self.stats.sample(time.monotonic_ns() // 1_000_000)
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Let readers prefetch keys of the largest database, if it is large at all."""
        database = largest(self.keyspace.databases)
        if database is not None:
            self._lookahead.database = database
        self._hub.limits.ahead = None if database is None else self._lookahead

    def _give_back(self) -> None:
        self._later("memory", GIVE_BACK_S, self._give_back)
        self._hub.give_back(GIVE_BACK_LEAST)

    # -- shutdown ------------------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        self._loop.add_signal_handler(signal.SIGTERM, self._on_signal, "SIGTERM", "shutdown_on_sigterm")
        self._loop.add_signal_handler(signal.SIGINT, self._on_signal, "SIGINT", "shutdown_on_sigint")
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def _on_signal(self, name: str, setting: str) -> None:
        if self._stopped.done():  # a second signal came while the final save was written
            return
        self.log.warning(f"Received {name} scheduling shutdown...")
        if self.switches.cron_paused:
            self._held_signal = name, setting
            return
        # The final save may take long, and the loop does not run meanwhile: a second SIGINT must end it.
        self._loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, self._insist)
        options = getattr(self.config, setting)
        save = True if "save" in options else False if "nosave" in options else None
        try:
            self.request_shutdown(save=save, now="now" in options, force="force" in options)
        except CommandError:
            self._loop.add_signal_handler(signal.SIGINT, self._on_signal, "SIGINT", "shutdown_on_sigint")

    def _insist(self, signum: int, frame: object) -> None:
        self.log.warning("You insist... exiting now.")
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.config.dir, temp_name(os.getpid())))
        os._exit(1)

    def request_shutdown(self, *, save: bool | None, now: bool, force: bool) -> None:
        """Save if wanted (None: if save points exist) and stop; CommandError if the save fails and force is not set."""
        self.log.warning("User requested shutdown...")
        if not self.snapshots.loading and not self.saves.before_exit(save, force):
            raise CommandError("ERR Errors trying to SHUTDOWN. Check logs.")
        if self._unix_path:
            self.log.notice("Removing the unix socket file.")
        self.log.warning("minikv is now ready to exit, bye bye...")
        self.stop(0)

    def abort_shutdown(self) -> bool:
        """SHUTDOWN ABORT: only a signal's shutdown waits, for the cron, and only while DEBUG has paused that."""
        if self._held_signal is None:
            return False
        self._held_signal = None
        self.log.warning("Shutdown manually aborted.")
        return True


def ignoring_value(callback: Callable[[], None]) -> Callable[[object], None]:
    """The callback as Config.on_change calls it."""
    return lambda value: callback()


def users_of(config: Config, table: CommandTable, log: Log | None = None) -> Users:
    """The users that the settings name; ConfigError."""
    catalog = Catalog(table, CATEGORIES, newer_commands)
    return open_users(config, catalog, log.warning if log else ignore, log.notice if log else ignore)


def rename_commands(config: Config, table: CommandTable) -> None:
    """What the settings say of names; ConfigError. Access rules name commands as they were before."""
    for line in config.renames:
        wrong = table.rename(*(word.encode("utf-8", "surrogateescape") for word in line.words[1:]))
        if wrong:
            raise ConfigError(f"{shown_line(line)}: {wrong}")


def check_commands(config: Config) -> None:
    """Whether a server could start with these users and names of commands; ConfigError."""
    if config.users or config.aclfile or config.renames:
        nobody: Any = None  # nothing is executed
        table = CommandTable.build(command_modules(), nobody, Stats())
        users_of(config, table)
        rename_commands(config, table)


def ignore(line: str) -> None:
    """In the place of a log."""


def command_modules() -> list[ModuleType]:
    """Every module of minikv.commands."""
    package = minikv.commands
    return [
        importlib.import_module(f"{package.__name__}.{found.name}") for found in pkgutil.iter_modules(package.__path__)
    ]
