# cython: language_level=3
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""The client as command handlers see it (`ctx`): its state, and a way to send it something unasked.

connection.Connection is a Client with a socket. A bare Client has none: replies pushed to it are dropped. Tests use it
as it is, and so does whatever replays commands.
"""

import time

import cython
from cython.cimports.cpython.bytes import PyBytes_GET_SIZE
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Realloc
from cython.cimports.cpython.object import PyObject
from cython.cimports.cpython.ref import Py_DECREF, Py_INCREF
from cython.cimports.minikv.keyspace.database import Watch

from minikv.acl.user import User
from minikv.protocol.reply import NULL_ARRAY, Transcript

# Values of Client.reply_mode (CLIENT REPLY).
REPLY_ON = 0
REPLY_OFF = 1
REPLY_SKIP_NEXT = 2  # the command after this one is not answered
REPLY_SKIP = 3  # the current command is not answered

# The user of a client that has no server with users.
ANYBODY = User(b"default")

# Memory of a connection that does nothing.
CLIENT_BYTES = 800
# What a queued argument takes beside its bytes.
ARGUMENT_BYTES = cython.declare(cython.Py_ssize_t, 41)
# What a watched key or a subscription takes beside its name, about.
ENTRY_BYTES = cython.declare(cython.longlong, 128)

# Arguments that a transaction has room for at first.
FIRST_ROOM = cython.declare(cython.Py_ssize_t, 24)


@cython.cclass
class Transaction:
    """What MULTI has collected.

    queued: the Commands. argv: their requests one after another, the names too; counts: how many words each has.
    flags: those that any of the commands has; common_flags: those that all have. failed: a command was refused, EXEC
    will abort.
    """

    def __cinit__(self):
        self.queued = []
        self.counts = []
        self.common_flags = -1

    def __dealloc__(self):
        i: cython.Py_ssize_t
        for i in range(self.argc):
            Py_DECREF(cython.cast(object, self.argv[i]))
        PyMem_Free(self.argv)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(
        self,
        command: object,
        flags: cython.int,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> cython.int:
        """Queue a command that passed the checks."""
        i: cython.Py_ssize_t
        if self.argc + argc > self.room:
            self.grow(argc)
        self.counts.append(argc)
        self.queued.append(command)
        for i in range(argc):
            Py_INCREF(cython.cast(object, argv[i]))
            self.argv[self.argc + i] = argv[i]
            self.queued_bytes += ARGUMENT_BYTES + PyBytes_GET_SIZE(cython.cast(bytes, argv[i]))
        self.argc += argc
        self.flags |= flags
        self.common_flags &= flags
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def grow(self, more: cython.Py_ssize_t) -> cython.int:
        """Make room for more arguments."""
        room: cython.Py_ssize_t = max(2 * self.room, self.argc + more, FIRST_ROOM)
        grown = cython.cast(
            cython.pointer[cython.pointer[PyObject]],
            PyMem_Realloc(self.argv, room * cython.sizeof(cython.pointer[PyObject])),
        )
        if grown == cython.NULL:
            raise MemoryError
        self.argv = grown
        self.room = room
        return 0


@cython.cclass
class Waiting:
    """A command that waits for one of several keys (dispatch/blocking.py).

    ends_at: on the monotonic clock, infinite without a timeout. interest, late: see blocking.block.
    command, request, elapsed_ns: of the call that found nothing, for the statistics.
    """

    def __init__(
        self,
        client: Client,
        keys: list,
        kind: cython.int,
        serve: object,
        lost: object,
        ends_at: float,
        interest: object = None,
        late: object = NULL_ARRAY,
    ):
        self.client = client
        self.database = client.db
        self.keys = keys
        self.kind = kind
        self.serve = serve
        self.lost = lost
        self.ends_at = ends_at
        self.interest = interest
        self.late = late


@cython.cclass
class Client:
    """One client's state.

    resp: 2 or 3. addr, laddr: b"127.0.0.1:6379", or b"/path:0" for a Unix socket. created_ns, last_interaction_ns:
    monotonic. transaction: between MULTI and EXEC. in_exec: EXEC is running the queue. watch: the keyspace's
    Watch token while keys are watched. last_command: the table's Command last looked up. blocked: the command that
    waits for a key. paused: a command waits for the end of CLIENT PAUSE. subscriptions: None without any. tracker: None
    before CLIENT TRACKING.

    user: whose rights it has. authenticated: it has logged in, or need not when it came. must_log_in: it may do nothing
    else now. unrestricted: it may do everything, so nothing about its user has to be checked.
    """

    def __init__(self, server: object, client_id: int = 0):
        self.server = server
        self.keyspace = getattr(server, "keyspace", None)
        self.db = self.keyspace.databases[0] if self.keyspace is not None else None
        self.id = client_id
        self.resp = 2
        self.fd = -1
        self.name = self.lib_name = self.lib_ver = b""
        self.addr = self.laddr = b""
        users = getattr(server, "users", None)
        self.user = ANYBODY if users is None else users.default
        self.authenticated = self.unrestricted = True
        self.created_ns = self.last_interaction_ns = time.monotonic_ns()

    def discard_transaction(self) -> None:
        """Leave MULTI and forget the watched keys."""
        self.transaction = None
        self.unwatch()

    def unwatch(self) -> None:
        """Forget the watched keys."""
        token = self.watch
        if token is not None:
            self.watch = None
            for database in self.keyspace.databases:
                database.unwatch(token)

    def log_in(self, user: User) -> None:
        """The client has authenticated as this user."""
        self.user = user
        self.authenticated = True
        self.review()

    def log_out(self) -> None:
        """Back to the default user, as a new connection has it."""
        self.user = self.server.users.default
        self.authenticated = self.user.is_open
        self.review()

    def review(self) -> None:
        """The user has changed, or the user's rights have."""
        self.must_log_in = not self.authenticated and not self.server.users.default.is_open
        self.unrestricted = self.user.unrestricted and not self.must_log_in

    def resume(self) -> None:
        """Execute what had to wait."""

    def note_memory(self) -> None:
        """The command that runs has changed what the client holds: it is to be counted anew after it."""

    def check_output(self) -> None:
        """Close the connection if it has been over the soft output limit for too long."""

    def answer(self, value: object) -> None:
        """Send the reply of the command that has waited, and go on with the requests after it."""

    def begin_feed(self, on_room: object) -> None:
        """After the reply of the command that runs, send only what `feed` is given."""

    def feed(self, data: bytes, at: cython.Py_ssize_t) -> int:
        """Send what follows `at`: how many bytes there was room for, -1 if the connection is closed."""
        return len(data) - at

    def begin_array(self, count: cython.Py_ssize_t) -> object:
        """Begin a reply of `count` items that are made one by one: what the command returns after the last one."""
        return Transcript(count, [])

    @cython.cfunc
    def run_item(
        self,
        array: object,
        command: object,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> object:
        """Run a command; its reply is the next item, in the protocol version of this moment."""
        args: list = []
        i: cython.Py_ssize_t
        for i in range(argc):
            args.append(cython.cast(object, argv[i]))
        value = self.server.table.run(self, command, args)
        if self.reply_mode != REPLY_OFF:
            array.items.append((value, self.resp))

    def fail(self, error: object) -> None:
        """Log a bug of ours and close the connection."""
        raise error

    def push(self, value: object) -> None:
        """Send a value that is no reply to a request (a monitor line, a pub/sub message)."""

    def push_wire(self, data: bytes) -> None:
        """The same with RESP of the client's version; before the reply that is being made, if there is one."""

    def close(self) -> None:
        """Close the connection, without the replies that are still to be sent."""

    def is_local(self) -> bool:
        """Whether the peer is on this host."""
        return self.is_unix or self.addr.startswith((b"127.", b"[::1]:", b"[::ffff:127."))

    def input_bytes(self) -> int:
        """Bytes of unfinished or waiting requests that are held."""
        return 0

    def args_bytes(self) -> int:
        """Those of them that are arguments already."""
        return 0

    def query_bytes(self) -> int:
        """Bytes of requests that are no arguments yet, with all of the batch that is being served."""
        return 0

    def reply_bytes(self) -> int:
        """Bytes of replies that have not left yet because the round is not over."""
        return 0

    def reply_pieces(self) -> int:
        """Objects that output_bytes counts."""
        return 0

    def output_bytes(self) -> int:
        """Bytes of replies that the peer has not taken yet."""
        return 0

    def queued_bytes(self) -> int:
        """Bytes of the commands that MULTI has collected."""
        return self.transaction.queued_bytes if self.transaction is not None else 0

    def entries_bytes(self) -> int:
        """About what its watched keys, its subscriptions and the prefixes that it tracks take."""
        count: cython.longlong = 0
        own = self.subscriptions
        if self.watch is not None:
            count = len(cython.cast(Watch, self.watch).keys)
        if own is not None:
            count += len(own.channels) + len(own.patterns) + len(own.shard)
        return ENTRY_BYTES * count + (self.tracker.prefix_bytes if self.tracker is not None else 0)

    def memory_bytes(self) -> int:
        """All memory that the client takes."""
        total: cython.longlong = CLIENT_BYTES + self.input_bytes() + self.output_bytes() + self.queued_bytes()
        if self.watch is not None or self.subscriptions is not None or self.tracker is not None:
            total += self.entries_bytes()
        return total
