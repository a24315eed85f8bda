# cython: language_level=3
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""The client as command handlers see it (`ctx`): its state, and a way to send it something unasked.

connection.Connection is a Client with a socket. A bare Client has none: replies pushed to it are dropped. Tests use it
as it is, and so does whatever replays commands.
"""

import time

import cython

from minikv.protocol.reply import Transcript

# Values of Client.reply_mode (CLIENT REPLY).
REPLY_ON = 0
REPLY_OFF = 1
REPLY_SKIP_NEXT = 2  # the command after this one is not answered
REPLY_SKIP = 3  # the current command is not answered

# Memory of a connection that does nothing.
CLIENT_BYTES = 800


@cython.cclass
class Transaction:
    """What MULTI has collected.

    queued: (Command, args) pairs, args with the name. flags: those that any of the commands has; common_flags: those
    that all have. failed: a command was refused, EXEC will abort.
    """

    def __init__(self):
        self.queued = []
        self.failed = False
        self.flags = 0
        self.common_flags = -1
        self.queued_bytes = 0

    def add(self, command: object, args: tuple) -> None:
        """Queue a command that passed the checks."""
        self.queued.append((command, args))
        self.flags |= command.flags
        self.common_flags &= command.flags
        self.queued_bytes += sum(map(len, args))


@cython.cclass
class Waiting:
    """A command that waits for one of several keys (dispatch/blocking.py).

    ends_at: on the monotonic clock, infinite without a timeout. interest: see blocking.block.
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
    ):
        self.client = client
        self.database = client.db
        self.keys = keys
        self.kind = kind
        self.serve = serve
        self.lost = lost
        self.ends_at = ends_at
        self.interest = interest


@cython.cclass
class Client:
    """One client's state.

    resp: 2 or 3. addr, laddr: b"127.0.0.1:6379", or b"/path:0" for a Unix socket. created_ns, last_interaction_ns:
    monotonic. transaction: between MULTI and EXEC. in_exec: EXEC is running the queue. watch: the keyspace's
    Watch token while keys are watched. last_command: the table's Command last looked up. blocked: the command that
    waits for a key. paused: a command waits for the end of CLIENT PAUSE. subscriptions: None without any. tracker: None
    before CLIENT TRACKING.
    """

    def __init__(self, server: object, client_id: int = 0):
        self.server = server
        self.keyspace = getattr(server, "keyspace", None)
        self.db = self.keyspace.databases[0] if self.keyspace is not None else None
        self.id = client_id
        self.resp = 2
        self.fd = -1
        self.name = self.lib_name = self.lib_ver = b""
        self.user = b"default"
        self.addr = self.laddr = b""
        self.authenticated = True
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

    def trust(self) -> None:
        """The client has authenticated."""
        self.authenticated = True

    def distrust(self) -> None:
        """The client has to authenticate again."""
        self.authenticated = False

    def resume(self) -> None:
        """Execute what had to wait."""

    def check_output(self) -> None:
        """Close the connection if it has been over the soft output limit for too long."""

    def answer(self, value: object) -> None:
        """Send the reply of the command that has waited, and go on with the requests after it."""

    def begin_array(self, count: int) -> object:
        """Begin a reply of `count` items that are made one by one: what the command returns after the last one."""
        return Transcript(count, [])

    def run_item(self, array: object, command: object, args: object) -> None:
        """Run a command; its reply is the next item, in the protocol version of this moment."""
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

    def output_bytes(self) -> int:
        """Bytes of replies that the peer has not taken yet."""
        return 0

    def queued_bytes(self) -> int:
        """Bytes of the commands that MULTI has collected."""
        return self.transaction.queued_bytes if self.transaction is not None else 0

    def memory_bytes(self) -> int:
        """All memory that the client takes."""
        return CLIENT_BYTES + self.input_bytes() + self.output_bytes() + self.queued_bytes()
