# cython: language_level=3, boundscheck=False, wraparound=False, auto_pickle=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821

"""The table of commands and dispatch: every rule that holds for all commands is here, none in handlers.

A request is an array of `bytes` objects, the name first. `execute` finds the command, checks it and calls the handler
as handler(client, *args) straight from that array: the slot before the first argument lends its place to the client,
so no argument tuple is built.

What may stop a command is collected in `gates`, one bit for each reason, so that a request pays for one test as long
as there is no reason. The order of the checks is that of Redis 7.0 (processCommand): unknown command, arity, protected
commands, authentication, commands forbidden in MULTI, memory, failed save, loading, pause, queueing.
"""

import time

import cython
from cython.cimports.cpython.object import PyObject
from cython.cimports.minikv.dispatch.argv import Argv
from cython.cimports.minikv.dispatch.spec import (
    ADMIN,
    ALLOW_BUSY,
    DENYOOM,
    FAST,
    LOADING,
    MAY_REPLICATE,
    MOVABLEKEYS,
    NO_AUTH,
    NO_MULTI,
    NOSCRIPT,
    PROTECTED,
    READONLY,
    SKIP_MONITOR,
    SKIP_SLOWLOG,
    WRITE,
)
from cython.cimports.minikv.dispatch.tracking import CACHING

from minikv.acl.log import MULTI, SCRIPT, TOPLEVEL
from minikv.acl.log import REASONS as REASON_NAMES
from minikv.acl.user import DENIED_COMMAND
from minikv.dispatch.histogram import Histogram
from minikv.dispatch.keys import find_keys
from minikv.dispatch.permissions import Requirements
from minikv.dispatch.spec import CommandSpec
from minikv.dispatch.tracking import Tracking
from minikv.errors import ArenaFull, CommandError, CountedError, NamingError
from minikv.protocol.reply import NO_REPLY, POSTPONED, QUEUED, Raw
from minikv.slowlog import redacted

# Bits of CommandTable.gates: reasons to look closer at a command before it runs.
GATE_LOADING = cython.declare(cython.int, 1)
GATE_MISCONF = cython.declare(cython.int, 2)
GATE_MEMORY = cython.declare(cython.int, 4)
GATE_PAUSE_ALL = cython.declare(cython.int, 8)
GATE_PAUSE_WRITES = cython.declare(cython.int, 16)
GATE_MONITORS = cython.declare(cython.int, 32)
GATE_BUSY = cython.declare(cython.int, 128)
# Not reasons to stop: a client waits for a key, which the command may change; clients track keys; reads of some clients
# do not count.
GATE_WAITING = cython.declare(cython.int, 64)
GATE_TRACKING = cython.declare(cython.int, 256)
GATE_NO_TOUCH = cython.declare(cython.int, 512)
# Bits that their own methods set, and set_gates leaves alone.
OWN_GATES = cython.declare(cython.int, GATE_WAITING | GATE_BUSY | GATE_TRACKING | GATE_NO_TOUCH)
# What makes more to do after a command.
AFTERWARDS = cython.declare(cython.int, GATE_MONITORS | GATE_TRACKING)

# Scripts that only read; their commands are what reads keys.
READ_ONLY_SCRIPT = cython.declare(cython.int, READONLY | NOSCRIPT | SKIP_MONITOR | MOVABLEKEYS)

TOUCHES_KEYS = cython.declare(cython.int, WRITE | READONLY)
HIDDEN_FROM_MONITOR = cython.declare(cython.int, SKIP_MONITOR | ADMIN)
# The flags that only EVAL, FCALL and their like have.
RUNS_SCRIPT = cython.declare(cython.int, NOSCRIPT | SKIP_MONITOR | MOVABLEKEYS)
# What does not let a script pass without a look at what its first line promises.
ASKS_SCRIPTS = cython.declare(cython.int, GATE_MISCONF | GATE_MEMORY | GATE_PAUSE_WRITES)

# Command.role: the few commands that the checks below treat by name.
ROLE_ORDINARY = cython.declare(cython.int, 0)
ROLE_EXEC = cython.declare(cython.int, 1)
ROLE_CONTROL = cython.declare(cython.int, 2)  # DISCARD MULTI WATCH QUIT RESET: never queued
ROLE_PING = cython.declare(cython.int, 3)
ROLE_LEAVE = cython.declare(cython.int, 4)  # DISCARD QUIT RESET: allowed without memory inside MULTI; never queued
ROLES = {b"exec": 1, b"multi": 2, b"watch": 2, b"discard": 4, b"quit": 4, b"reset": 4, b"ping": 3}
# What a RESP2 client may do while it is subscribed to something.
LISTENING = frozenset(b"subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe ping quit reset".split())

# Spellings of names ("Get", "GET") that are cached; more than well-behaved clients use.
MAX_SPELLINGS = cython.declare(cython.Py_ssize_t, 1024)

# Bytes of queued commands above which the client's memory is counted.
NOTED_ABOVE = cython.declare(cython.longlong, 4096)
# After a command that took this long, the cached clock is refreshed.
STALE_CLOCK_US = cython.declare(cython.longlong, 500)
LONGEST_US = (1 << 63) - 1

NOAUTH = "NOAUTH Authentication required."
OOM = "OOM command not allowed when used memory > 'maxmemory'."
MISCONF = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
    "Commands that may modify the data set are disabled, because this instance is configured to report errors during "
    "writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). "
    "Please check the Redis logs for details about the RDB error."
)
ONLY_LISTENS = (
    "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
)
# By reason: DENIED_COMMAND, DENIED_KEY, DENIED_CHANNEL.
REASONS = (
    "",
    "NOPERM this user has no permissions to run the '{}' command",
    "NOPERM this user has no permissions to access one of the keys used as arguments",
    "NOPERM this user has no permissions to access one of the channels used as arguments",
)
CHANGED_RIGHTS = (
    "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. "
    "This command is no longer allowed for the following reason: {}"
)
REASONS_IN_EXEC = (
    "",
    "no permission to execute the command or subcommand",
    "no permission to touch the specified keys",
    "no permission to access one of the channels used as arguments",
)
REASONS_IN_SCRIPT = (
    "",
    "ERR The user executing the script can't run this command or subcommand",
    "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
    "ERR The user executing the script can't publish to the channel mentioned in the command",
)
LOADING_ERROR = "LOADING Redis is loading the dataset in memory"


def text_of(argument: bytes, limit: int) -> str:
    """An argument inside an error text: at most `limit` bytes, ended by a NUL as in C; any byte survives encoding."""
    return argument[:limit].partition(b"\0")[0].decode("utf-8", "surrogateescape")


@cython.cclass
class Command:
    """A command of one server: its spec, handler and counters.

    calls, usec, rejected, failed: as INFO commandstats. histogram: of the calls' durations. depth: how many words the
    name has. subcommands: by lower-case word, for a container; else None. replies: what describes the command to
    clients, encoded and kept by commands/command.py. requirements: what a user needs to run it.
    """

    def __init__(self, spec: CommandSpec, handler: object):
        self.spec = spec
        self.handler = handler
        self.full_name = spec.full_name
        self.arity = spec.arity
        self.flags = spec.flags
        self.depth = 1 if spec.parent is None else 2
        self.role = ROLES.get(self.full_name, ROLE_ORDINARY)
        if len(spec.keyspecs) == 1 and spec.keyspecs[0].begin[0] == "index" and spec.keyspecs[0].find[0] == "range":
            _, self.first_key = spec.keyspecs[0].begin
            _, last, self.key_step, limit = spec.keyspecs[0].find
            self.last_key = last if last < 0 else self.first_key + last
            if limit:
                self.first_key = 0
        self.subcommands = None
        self.replies = {}
        self.histogram = Histogram()

    def __repr__(self) -> str:
        return f"<Command {self.full_name.decode()}>"

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        if self.histogram.total:
            self.histogram.clear()
        self.calls = self.usec = self.rejected = self.failed = 0


@cython.cclass
class CommandTable:
    """All commands by lower-case name, and dispatch.

    slow_us: slowlog-log-slower-than (-1: off). latency_us: latency-monitor-threshold in microseconds (0: off).
    keeps_histograms: latency-tracking. memory_limit: asked before each command while there is a limit. allows_noscript:
    scripts may call every command (DEBUG). called_name: of the request whose handler was called last, as the client has
    written it; borrowed.
    """

    def __init__(self, services: object, stats: Stats):
        self.services = services
        self.stats = stats
        self.tracking = Tracking(services)
        self.commands = {}
        self.spellings = {}
        self.gates = 0
        self.keeps_histograms = True
        self.set_slow_limits(-1, 0)

    @staticmethod
    def build(modules: object, services: object, stats: Stats) -> "CommandTable":
        """A table of every command that the modules define."""
        table = CommandTable(services, stats)
        children = []
        for module in modules:
            for member in vars(module).values():
                if isinstance(member, CommandSpec):
                    table.commands.setdefault(member.full_name, Command(member, None)).subcommands = {}
                    continue
                if getattr(member, "__module__", None) != module.__name__:
                    continue  # imported from another module, which brings it itself
                for spec in getattr(member, "__command_specs__", ()):
                    if spec.parent is None:
                        table.commands[spec.full_name] = Command(spec, member)
                    else:
                        children.append(Command(spec, member))
        for child in children:
            parent_name, _, word = child.full_name.partition(b"|")
            parent = table.commands[parent_name]
            if parent.subcommands is None:
                parent.subcommands = {}
            parent.subcommands[word] = child
        command: Command
        for number, command in enumerate(table):
            command.requirements = Requirements(command.spec, number)
        return table

    def __iter__(self):
        """Every command and subcommand."""
        for command in self.commands.values():
            yield command
            if command.subcommands:
                yield from command.subcommands.values()

    def __len__(self) -> int:
        return len(self.commands)

    def lookup(self, *words: bytes) -> object:
        """The command called `words` (b"client", b"id"), or None; the case does not matter."""
        found = self.commands.get(words[0].lower())
        if len(words) > 1 and found is not None:
            return found.subcommands.get(words[1].lower()) if found.subcommands else None
        return found

    def rename(self, name: bytes, new_name: bytes) -> str:
        """Call a command by another name from now on, or, with an empty one, by none. What is wrong, or nothing.

        It keeps its own name in descriptions, statistics, errors and access rules, as in Redis.
        """
        found = self.commands.get(name.lower())
        if found is None:
            return "No such command in rename-command"
        if new_name and new_name.lower() in self.commands and new_name.lower() != name.lower():
            return "Target command name already exists"
        del self.commands[name.lower()]
        if new_name:
            self.commands[new_name.lower()] = found
        self.spellings.clear()
        return ""

    def set_slow_limits(self, slow_us: int, latency_ms: int) -> None:
        """slowlog-log-slower-than and latency-monitor-threshold."""
        self.slow_us = slow_us
        self.latency_us = min(latency_ms * 1000, LONGEST_US)
        limits = [STALE_CLOCK_US]
        if slow_us >= 0:
            limits.append(slow_us)
        if latency_ms > 0:
            limits.append(self.latency_us)
        self.slow_gate_us = min(limits)

    def set_gates(
        self,
        *,
        loading: bool,
        misconf: bool,
        limited_memory: bool,
        paused: bool,
        writes_paused: bool,
        monitors: bool,
    ) -> None:
        """Set which reasons to look closer at a command hold now."""
        self.gates = (
            self.gates & OWN_GATES
            | GATE_LOADING * loading
            | GATE_MISCONF * misconf
            | GATE_MEMORY * limited_memory
            | GATE_PAUSE_ALL * paused
            | GATE_PAUSE_WRITES * writes_paused
            | GATE_MONITORS * monitors
        )

    def set_waiting(self, waiting: cython.bint) -> object:
        """Whether any client waits for a key."""
        self.gates = self.gates | GATE_WAITING if waiting else self.gates & ~GATE_WAITING

    def set_tracking(self, tracking: cython.bint) -> object:
        """Whether any client tracks keys."""
        self.gates = self.gates | GATE_TRACKING if tracking else self.gates & ~GATE_TRACKING

    def set_no_touch(self, no_touch: cython.bint) -> object:
        """Whether any client has said CLIENT NO-TOUCH."""
        self.gates = self.gates | GATE_NO_TOUCH if no_touch else self.gates & ~GATE_NO_TOUCH
        self.services.keyspace.keep_clocks(False)

    def set_busy(self, error: object) -> object:
        """A script runs for so long that other clients get this error; None: no more."""
        self.busy_error = error
        self.gates = self.gates | GATE_BUSY if error is not None else self.gates & ~GATE_BUSY

    def dispatch(self, client: Client, args: object) -> object:
        """Execute one request given as a sequence of bytes. Errors are returned as CommandError, not raised."""
        self.begin_batch()
        return self.run(client, None, args)

    def run(self, client: Client, command: object, args: object) -> object:
        """Call a command that was checked before (one that MULTI queued), or, with None, find and check it first."""
        request: Argv = Argv(args)
        if command is None:
            return self.execute(client, request.words, request.count)
        return self.call_queued(client, command, request.words, request.count)

    @cython.cfunc
    def call_queued(
        self,
        client: Client,
        command: Command,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> object:
        """Call a command that MULTI has queued, if the user may still run it."""
        if not client.unrestricted:
            found: cython.long = self.denial(client, command, argv, argc, MULTI)
            if found:
                text = CHANGED_RIGHTS.format(REASONS_IN_EXEC[found & 3])
                self.stats.count_error(text)
                return CommandError(text)
        if self.gates & GATE_MONITORS:
            self.show_script(client, command, argv, argc)
        return self.call(client, command, argv, argc)

    @cython.cfunc
    @cython.exceptval(check=False)
    def begin_batch(self) -> cython.void:
        """Note the time: the first command's duration counts from here, the others' from the end of the one before."""
        now: timespec
        clock_gettime(CLOCK_MONOTONIC, cython.address(now))
        self.mark_ns = cython.cast(cython.longlong, now.tv_sec) * 1000000000 + now.tv_nsec

    @cython.cfunc
    def execute(
        self, client: Client, argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t
    ) -> object:
        """The value that answers a request; a CommandError instance if it fails, POSTPONED if it has to wait.

        For the end of CLIENT PAUSE: the same request is executed again then. For a key (dispatch/blocking.py): the
        client is `blocked` and gets its answer later.

        argv holds argc borrowed references to bytes; its slots are as before when this returns.
        """
        command: Command = self.find(argv, argc)
        if command is None:
            return self.refuse_unknown(client, argv_list(argv, argc))
        client.last_command = command
        if argc != command.arity if command.arity > 0 else argc < -command.arity:
            name = command.full_name.decode()
            return self.refuse(client, command, f"ERR wrong number of arguments for '{name}' command")
        if (
            self.gates
            or client.transaction is not None
            or not client.unrestricted
            or client.subscriptions is not None
            or command.flags & PROTECTED
        ):
            stopped = self.guard(client, command, argv, argc)
            if stopped is not None:
                return stopped
            if self.gates & GATE_WAITING:
                return self.call_and_wake(client, command, argv, argc)
        return self.call(client, command, argv, argc)

    @cython.cfunc
    def find(self, argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t) -> Command:
        """The command that a request names, or None."""
        name = cython.cast(bytes, argv[0])
        found = self.spellings.get(name)
        if found is None:
            found = self.commands.get(name.lower())
            if found is None:
                return None
            if len(self.spellings) < MAX_SPELLINGS:
                self.spellings[name] = found
        command: Command = cython.cast(Command, found)
        if command.subcommands is None or argc == 1:
            return command
        return command.subcommands.get(cython.cast(bytes, argv[1]).lower())

    @cython.cfunc
    def call(
        self,
        client: Client,
        command: Command,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> object:
        """Call the handler and count it."""
        start_ns: cython.longlong = self.mark_ns
        now: timespec
        # The client takes the slot of the (sub)command's name for the length of the call.
        place: cython.Py_ssize_t = command.depth - 1
        name: cython.pointer[PyObject] = argv[place]
        self.called_name = name
        argv[place] = cython.cast(cython.pointer[PyObject], client)
        try:
            value = PyObject_Vectorcall(command.handler, argv + place, argc - place, cython.NULL)
        except CommandError as error:
            if isinstance(error, NamingError):
                error = error.named(cython.cast(bytes, name))
            value = self.failed(command, error)
        except ArenaFull as error:
            value = self.failed(command, CommandError(f"OOM {error}"))
        finally:
            argv[place] = name
        clock_gettime(CLOCK_MONOTONIC, cython.address(now))
        self.mark_ns = cython.cast(cython.longlong, now.tv_sec) * 1000000000 + now.tv_nsec
        elapsed_us: cython.longlong = (self.mark_ns - start_ns) // 1000
        command.calls += 1
        command.usec += elapsed_us
        self.stats.commands_processed += 1
        if value is POSTPONED:
            # Its whole duration is known only when it is answered.
            waiting: Waiting = client.blocked
            waiting.command = command
            waiting.request = argv_list(argv, argc)
            waiting.elapsed_ns = self.mark_ns - start_ns
        else:
            if self.keeps_histograms:
                command.histogram.record(self.mark_ns - start_ns)
            if elapsed_us >= self.slow_gate_us:
                event = "fast-command" if command.flags & FAST else "command"
                self.note_slow(client, command, argv_list(argv, argc), elapsed_us, event)
        if self.gates & AFTERWARDS:
            if self.gates & GATE_MONITORS and not command.flags & HIDDEN_FROM_MONITOR:
                feed_monitors(self.services.monitors, client, command, argv_list(argv, argc))
            if self.gates & GATE_TRACKING and command.flags & READONLY:
                self.remember_keys(client, command, argv, argc)
        return value

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def remember_keys(
        self,
        client: Client,
        command: Command,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> cython.int:
        """A command has read: a client that tracks may keep its keys. A script's command counts for all of its keys."""
        tracker: Tracker = client.tracker
        place: cython.Py_ssize_t = command.first_key
        last: cython.Py_ssize_t = command.last_key
        if type(client) is ScriptClient:
            tracker = cython.cast(ScriptClient, client).caller.tracker
            if tracker is not None and tracker.remembers():
                for key in self.services.scripts.declared_keys():
                    self.tracking.add(tracker, key)
            return 0
        if tracker is None or not tracker.remembers():
            return 0
        if place > 0:
            last = min(last if last >= 0 else argc + last, argc - 1)
            while place <= last:
                self.tracking.add(tracker, cython.cast(bytes, argv[place]))
                place += command.key_step
        elif command.spec.keyspecs and command.flags & READ_ONLY_SCRIPT != READ_ONLY_SCRIPT:
            for key, _ in find_keys(command.spec, argv_list(argv, argc)):
                self.tracking.add(tracker, key)
        return 0

    @cython.cfunc
    def failed(self, command: Command, error: object) -> object:
        """Count a CommandError; returns it as the value that answers."""
        command.failed += 1
        if not isinstance(error, CountedError):
            self.stats.count_error(str(error))
        return error.with_traceback(None)

    @cython.cfunc
    def call_and_wake(
        self,
        client: Client,
        command: Command,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> object:
        """Call the handler, then serve the clients that have waited for what it changed."""
        value = self.call(client, command, argv, argc)
        if self.services.keyspace.ready and not client.in_exec and not self.gates & GATE_BUSY:
            self.services.blocking.wake()
            self.begin_batch()
        return value

    def call_again(self, waiting: Waiting, key: bytes) -> object:
        """Let a command that waits look at a key: its value, a CommandError, or POSTPONED if it goes on waiting."""
        command: Command = waiting.command
        self.begin_batch()
        start_ns: cython.longlong = self.mark_ns
        try:
            value = waiting.serve(waiting.client, key)
        except CommandError as error:
            value = self.failed(command, error)
        except ArenaFull as error:
            value = self.failed(command, CommandError(f"OOM {error}"))
        if value is not POSTPONED:
            self.begin_batch()
            self.count_answered(waiting, self.mark_ns - start_ns)
        return value

    def count_answered(self, waiting: Waiting, elapsed_ns: cython.longlong) -> None:
        """Count a command that has waited: elapsed_ns is added to what it took before."""
        command: Command = waiting.command
        command.usec += elapsed_ns // 1000
        elapsed_ns += waiting.elapsed_ns
        if self.keeps_histograms:
            command.histogram.record(elapsed_ns)
        if elapsed_ns // 1000 >= self.slow_gate_us:
            self.note_slow(waiting.client, command, waiting.request, elapsed_ns // 1000, "command-unblocking")

    def count_unblocked(self, waiting: Waiting, value: object) -> None:
        """Count a command that has waited and found nothing; the value may be a CommandError."""
        command: Command = waiting.command
        command.failed += 1
        if isinstance(value, CommandError):
            self.stats.count_error(str(value))
        self.count_answered(waiting, 0)

    @cython.cfunc
    def guard(
        self,
        client: Client,
        command: Command,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> object:
        """None if the command may run now; else what to answer instead."""
        gates: cython.int = self.gates
        flags: cython.int = command.flags
        if client.tracker is not None and client.tracker.flags & CACHING and client.transaction is None:
            client.tracker.next_command(command.full_name.startswith(b"client|"))
        if flags & RUNS_SCRIPT == RUNS_SCRIPT and (gates & ASKS_SCRIPTS or client.transaction is not None):
            flags = self.flags_of_script(command, argv, argc)
        always: cython.int = flags  # flags that this and all commands queued for EXEC have
        if command.role == ROLE_EXEC and client.transaction is not None:
            flags |= client.transaction.flags
            always &= client.transaction.common_flags
        if command.flags & PROTECTED and not is_enabled(self.services.config, command.full_name, client):
            return self.refuse(client, command, protected_text(command.full_name))
        if client.must_log_in and not command.flags & NO_AUTH:
            return self.refuse(client, command, NOAUTH)
        in_multi: cython.bint = client.transaction is not None
        if in_multi and flags & NO_MULTI:
            return self.refuse(client, command, "ERR Command not allowed inside a transaction")
        if not client.unrestricted:
            found: cython.long = self.denial(client, command, argv, argc, MULTI if in_multi else TOPLEVEL)
            if found:
                name = command.full_name.decode()
                return self.refuse(client, command, REASONS[found & 3].format(name))
        if client.is_monitor and flags & TOUCHES_KEYS:
            return self.refuse(client, command, "ERR Replica can't interact with the keyspace")
        # While a dump is loaded, or others wait for a script, nothing is evicted: the data is not complete, or in use.
        if gates & GATE_MEMORY and not gates & (GATE_LOADING | GATE_BUSY):
            needs_memory: cython.bint = (flags & DENYOOM) != 0
            if in_multi and command.role != ROLE_EXEC and command.role != ROLE_LEAVE:
                needs_memory = True
            if not self.make_room() and needs_memory:
                return self.refuse(client, command, OOM)
        if gates & GATE_TRACKING:
            self.tracking.outside_call = True
            self.tracking.limit()
            self.tracking.outside_call = False
        if gates & GATE_MISCONF and (flags & WRITE or command.role == ROLE_PING):
            return self.refuse(client, command, MISCONF)
        if client.subscriptions is not None and client.resp == 2 and command.full_name not in LISTENING:
            return self.refuse(client, command, ONLY_LISTENS.format(command.full_name.decode()))
        if gates & GATE_LOADING and not always & LOADING:
            return self.refuse(client, command, LOADING_ERROR)
        if gates & GATE_BUSY and not flags & ALLOW_BUSY:
            return self.refuse(client, command, self.busy_error)
        if gates & GATE_PAUSE_ALL or (gates & GATE_PAUSE_WRITES and flags & (WRITE | MAY_REPLICATE)):
            self.services.postponed.add(client)
            return POSTPONED
        if in_multi and (command.role == ROLE_ORDINARY or command.role == ROLE_PING):
            client.transaction.add(command, flags, argv, argc)
            if client.transaction.queued_bytes > NOTED_ABOVE:
                client.note_memory()
            return QUEUED
        if gates & GATE_NO_TOUCH:
            self.services.keyspace.keep_clocks(client.no_touch and command.full_name != b"touch")
        if gates & GATE_MONITORS:
            self.show_script(client, command, argv, argc)
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def show_script(
        self,
        client: Client,
        command: Command,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> cython.int:
        """Show monitors a script, before what it calls."""
        if command.flags & RUNS_SCRIPT == RUNS_SCRIPT:
            feed_monitors(self.services.monitors, client, command, argv_list(argv, argc))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flags_of_script(
        self, command: Command, argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t
    ) -> cython.int:
        """The flags of EVAL, FCALL and their like, of which a script that says what it does replaces some."""
        flags: cython.int = command.flags
        services = self.services
        library = services.functions if command.full_name.startswith(b"fcall") else services.scripts
        promised = library.promises(command.full_name, cython.cast(bytes, argv[1]))
        if promised is None:
            return flags
        may_write, may_fill = promised
        flags &= ~(WRITE | DENYOOM | MAY_REPLICATE)
        return flags | WRITE * may_write | DENYOOM * may_fill

    @cython.cfunc
    def call_from_script(
        self, client: ScriptClient, argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t
    ) -> object:
        """The value that answers a script's request, a CommandError if it fails. argv as for `execute`."""
        command: Command = self.find(argv, argc)
        refusal: str | None = None
        if command is None:
            refusal = "ERR Unknown Redis command called from script"
        elif argc != command.arity if command.arity > 0 else argc < -command.arity:
            refusal = "ERR Wrong number of args calling Redis command from script"
        elif command.flags & NOSCRIPT and not self.allows_noscript:
            refusal = "ERR This Redis command is not allowed from script"
        elif not client.unrestricted and self.denial(client, command, argv, argc, SCRIPT):
            refusal = REASONS_IN_SCRIPT[self.denied & 3]
        elif client.read_only and command.flags & (WRITE | MAY_REPLICATE):
            refusal = "ERR Write commands are not allowed from read-only scripts."
        elif self.gates & GATE_MISCONF and command.flags & WRITE and not client.wrote:
            refusal = MISCONF
        elif client.out_of_memory and command.flags & DENYOOM and not client.wrote and not client.allow_oom:
            refusal = OOM
        if refusal is not None:
            if command is not None:
                command.rejected += 1
            self.stats.count_error(refusal)
            return CommandError(refusal)
        if command.flags & WRITE:
            client.wrote = True
        client.last_command = command
        self.begin_batch()
        return self.call(client, command, argv, argc)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def denial(
        self,
        client: Client,
        command: Command,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
        context: bytes,
    ) -> cython.long:
        """What the client's user lacks for a command (Requirements), which goes into the ACL log; 0: nothing."""
        found: cython.long = command.requirements.check(client.user, argv, argc)
        self.denied = found
        if found:
            reason: cython.long = found & 3
            refused = command.full_name if reason == DENIED_COMMAND else cython.cast(bytes, argv[found >> 2])
            self.services.acl_log.note(client, REASON_NAMES[reason], context, refused, client.user.name)
        return found

    @cython.cfunc
    def refuse(self, client: Client, command: Command, text: str) -> object:
        """The error for a command that is not executed; an open transaction will abort."""
        if client.tracker is not None and client.transaction is None:
            client.tracker.is_spent = True
        if command is not None:
            command.rejected += 1
        if command is not None and command.role == ROLE_EXEC:
            client.discard_transaction()
            text = f"EXECABORT Transaction discarded because of: {text.removeprefix('ERR ')}"
        elif client.transaction is not None:
            client.transaction.failed = True
        self.stats.count_error(text)
        return CommandError(text)

    def refuse_unknown(self, client: Client, args: list) -> object:
        """The error for a request that names no command; a web browser's request closes the connection."""
        if args[0].lower() in (b"post", b"host:"):
            self.services.log.warning(
                "Possible SECURITY ATTACK detected: a POST or Host: line of HTTP came, perhaps from a web page led "
                f"to this port. Connection from {text_of(client.addr, 128)} aborted."
            )
            client.close()
            return NO_REPLY
        return self.refuse(client, None, self.explain_unknown(args))

    def explain_unknown(self, args: list) -> str:
        """The error for a request that names no command."""
        name = text_of(args[0], 128)
        container_command = self.commands.get(args[0].lower())
        if container_command is not None:
            return f"ERR unknown subcommand '{text_of(args[1], 128)}'. Try {name.upper()} HELP."
        shown = b""
        for argument in args[1:]:
            if len(shown) >= 128:
                break
            shown += b"'" + argument[: 128 - len(shown)].partition(b"\0")[0] + b"' "
        return f"ERR unknown command '{name}', with args beginning with: {text_of(shown, len(shown))}"

    @cython.cfunc
    def note_slow(
        self, client: Client, command: Command, args: list, elapsed_us: cython.longlong, event: str
    ) -> cython.void:
        """After a command above slow_gate_us: refresh the clock, and log the command where the settings ask for it."""
        services = self.services
        if elapsed_us >= STALE_CLOCK_US and not client.in_exec:  # time stands still in scripts and transactions
            services.keyspace.tick()
        if 0 <= self.slow_us <= elapsed_us and not command.flags & SKIP_SLOWLOG:
            services.slowlog.add(client, args, elapsed_us, command.full_name)
        if 0 < self.latency_us <= elapsed_us:
            services.latency.add(event, elapsed_us // 1000)

    @cython.cfunc
    def make_room(self) -> cython.bint:
        """Evict what is too much; False if more than maxmemory is left."""
        self.tracking.outside_call = True
        try:
            return self.memory_limit.make_room()
        finally:
            self.tracking.outside_call = False

    def out_of_memory(self) -> cython.bint:
        """Whether the memory limit is exceeded, whatever was evicted."""
        return self.gates & GATE_MEMORY != 0 and not self.make_room()

    def writes_refused(self) -> cython.bint:
        """Whether a failed save forbids commands that write."""
        return self.gates & GATE_MISCONF != 0

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT, for the commands."""
        command: Command
        for command in self:
            command.reset_stats()


@cython.cfunc
def argv_list(argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t) -> list:
    """The request as a list, for the paths that may be slow."""
    args: list = []
    i: cython.Py_ssize_t
    for i in range(argc):
        args.append(cython.cast(object, argv[i]))
    return args


def is_enabled(config: object, full_name: bytes, client: Client) -> bool:
    """Whether enable-debug-command or enable-module-command lets the client use DEBUG or MODULE."""
    setting = config.enable_debug_command if full_name == b"debug" else config.enable_module_command
    return setting == "yes" or (setting == "local" and client.is_local())


def protected_text(full_name: bytes) -> str:
    """The error for DEBUG or MODULE LOAD where enable-debug-command or enable-module-command forbids it."""
    name = full_name.partition(b"|")[0].decode().upper()
    option = f"enable-{name.lower()}-command"
    return (
        f'ERR {name} command not allowed. If the {option} option is set to "local", you can run it from a local '
        "connection, otherwise you need to set this option in the configuration file, and then restart the server."
    )


def feed_monitors(monitors: object, client: Client, command: Command, args: list) -> None:
    """Show a request to every MONITOR client, without its passwords."""
    seconds = time.time()
    peer = b"unix:" + client.addr[:-2] if client.is_unix else client.addr
    head = b"+%.6f [%d %s]" % (seconds, client.db.number if client.db is not None else 0, peer)
    line = Raw(head + b"".join(b" " + quoted(argument) for argument in redacted(args, command.full_name)) + b"\r\n")
    for monitor in list(monitors):
        monitor.push(line)


ESCAPES = {ord("\\"): b"\\\\", ord('"'): b'\\"', 10: b"\\n", 13: b"\\r", 9: b"\\t", 7: b"\\a", 8: b"\\b"}


def quoted(argument: bytes) -> bytes:
    """An argument in double quotes, with unprintable bytes as escapes."""
    shown = b"".join(
        ESCAPES.get(byte) or (b"%c" % byte if 32 <= byte < 127 else b"\\x%02x" % byte) for byte in argument
    )
    return b'"' + shown + b'"'
