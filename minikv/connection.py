# cython: language_level=3, boundscheck=False, wraparound=False, auto_pickle=False
# distutils: extra_compile_args = -O3
# ruff: noqa: B007, F821
"""A client with a socket: bytes in, commands executed, replies out.

Sockets are read and written here; the event loop only says that some are ready, and runs everything else. One read of
a socket is one batch: all its requests are executed in turn, their replies are encoded into one buffer that all
connections share. Sockets that are ready together make a round; the replies of its batches leave together at its
end, in one send(2) for each connection (a client that is woken while the others are still being served costs more than
it gains). A batch whose replies fill the buffer sends while it makes them. What the kernel does not take waits in the
connection's own `backlog` until the socket has room again.

A client that does not read its replies is slowed in two steps, because many write a whole pipeline before they read
its first reply: above MAX_UNSENT bytes of unread replies nothing is executed for it (it is `choked`), above MAX_HELD
bytes of requests that wait nothing is read from it. A stranger (not authenticated, though there is a password) that
does not read its replies is closed.

    Poller -> receive -> hub.input ------> RequestReader -> CommandTable.execute -> hub.replies -> transmit
                         (or straight                                                    `-> backlog ->'
                         into a long bulk string)

A batch stops early, and the rest of its input is held, when the connection is choked, when a command has to wait
(CLIENT PAUSE, or `blocked` until a key is ready) or when it has run long enough for others to have their turn. `go_on`
continues from there; a blocked client first needs its `answer`.

The end has two forms. QUIT, a protocol error and the peer's end of input let the replies leave first (`end`): until
then the client is listed, counted and can be killed. CLIENT KILL and the limits drop them (`close`). A connection that
is closed has left `hub.clients`, and its descriptor is free.

`receive` and `transmit` alone touch the bytes of the socket; tls_connection.py has others.
"""

import collections
import os
import time
import traceback

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.errno import EAGAIN, ECONNABORTED, EINTR, EPROTO, errno
from cython.cimports.libc.string import memcpy
from cython.cimports.minikv.dispatch.table import POSTPONED
from cython.cimports.minikv.sockets import (
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    MAX_EVENTS,
    MSG_DONTWAIT,
    MSG_MORE,
    MSG_NOSIGNAL,
    address_text,
    close_socket,
    epoll_event,
    own_name,
    recv,
    send_at_once,
    send_to_socket,
    set_keepalive,
    sockaddr_storage,
)

from minikv.dispatch.client import CLIENT_BYTES, REPLY_ON, REPLY_SKIP, REPLY_SKIP_NEXT, Client
from minikv.errors import ProtocolError
from minikv.protocol.reply import NO_REPLY, ReplyBuffer, Sink, encode
from minikv.protocol.request import Limits, RequestReader
from minikv.sockets import Listener, Poller

# One read of a socket takes at most this much.
READ_BYTES = 64 * 1024
# A long bulk string may take this much of one turn.
MAX_TAKEN = cython.declare(cython.Py_ssize_t, 1024 * 1024)
# Replies of a batch are sent before its end when they are this long.
SEND_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)
# Unread replies above which nothing is executed; it goes on when a quarter is left.
MAX_UNSENT = 16 * 1024 * 1024
# The same for a peer that has not authenticated: it is closed.
MAX_UNSENT_TO_STRANGERS = cython.declare(cython.Py_ssize_t, 4 * 1024)
# Unread bytes above which a reply that has no end, almost, is given up.
MAX_UNREAD_DRAWS = cython.declare(cython.Py_ssize_t, 256 * 1024 * 1024)
# What a bytes object in the backlog takes beside its bytes.
PIECE_BYTES = cython.declare(cython.Py_ssize_t, 64)
# The allocator gives memory back when this much of large requests and replies may be free; its time is that of the
# pages that are, 0.2 ms/MB. What is less waits for the cron.
GIVE_BACK_BYTES = cython.declare(cython.Py_ssize_t, 32 * 1024 * 1024)
# Arguments of a request that count as large.
LARGE_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)
# What a client may hold without being counted.
NOTED_ABOVE = cython.declare(cython.Py_ssize_t, 4 * 1024)
# How long a stranger may hold half a request, unread replies, or a place that another client wants.
STRANGER_NS = cython.declare(cython.longlong, 5 * 1000 * 1000 * 1000)
# Bytes of waiting requests above which nothing is read.
MAX_HELD = cython.declare(cython.Py_ssize_t, 64 * 1024 * 1024)
# A batch that has lasted this long lets other clients go first.
TURN_NS = cython.declare(cython.longlong, 5 * 1000 * 1000)
# Connections that are accepted in one round, as in Redis.
MAX_ACCEPTS = cython.declare(cython.int, 1000)
# When the kernel has no descriptor or memory for a connection, we ask again after this time.
ACCEPT_AGAIN_S = 0.1

C_REPLY_ON = cython.declare(cython.int, REPLY_ON)
C_REPLY_SKIP = cython.declare(cython.int, REPLY_SKIP)
C_REPLY_SKIP_NEXT = cython.declare(cython.int, REPLY_SKIP_NEXT)

TOO_MANY_CLIENTS = b"-ERR max number of clients reached\r\n"
PROTECTED = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
    b"default user. Only connections from the loopback interface are accepted. To let others in, either set a "
    b"password (requirepass), or turn the mode off: with CONFIG SET protected-mode no from this host (CONFIG REWRITE "
    b"makes it last), in the configuration file, or with the option --protected-mode no. Without the mode and without "
    b"a password anybody who reaches the port owns the data.\r\n"
)


@cython.cclass
class Hub(Sink):
    """What all connections of a server share: buffers, limits, counters, the table of commands, and their rounds.

    input: what the batch that is being served has read. replies: those of this round; `unsent`: the connections that
    have a part of them. pending: those that have something to do at the end of the round (Connection.go_on). tick:
    reads the keyspace's clock. strangers: clients that have yet to authenticate, the oldest first.
    hard_limit, soft_limit, soft_seconds: client-output-buffer-limit of normal clients; those with pubsub_: of
    clients that are subscribed to something. local_only: protected mode. client_limit: maxmemory-clients in bytes.
    on_crowded: called between rounds when clients hold more than that.
    """

    def __init__(self, server: object, table: CommandTable, stats: Stats, loop: object, log: object):
        self.server = server
        self.table = table
        self.stats = stats
        self.loop = loop
        self.log = log
        self.clients = {}
        self.strangers = {}
        self.unsent = []
        self.pending = []
        self.listeners = []
        self.heavy = [{} for _ in range(64)]
        self.memory_limit = server.memory_limit
        self.poller = Poller()
        self.limits = Limits()
        self.replies = ReplyBuffer(self)
        self.input = bytearray(READ_BYTES)
        self.tick = nothing if server.keyspace is None else server.keyspace.tick
        self.max_clients = 10000

    def open(self) -> None:
        """Serve sockets from now on."""
        self.loop.add_reader(self.poller.fd, self.run)

    def close(self) -> None:
        """Close everything."""
        for listener in list(self.listeners):
            self.stop_listening(listener)
        for client in list(self.clients.values()):
            client.close()
        self.loop.remove_reader(self.poller.fd)
        self.poller.close()

    # -- rounds --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """One round: serve the sockets that are ready, and send their replies.

        Polling again at once, or waiting here for a millisecond, costs more than a pass through the loop (measured).
        """
        self.in_round = True
        self.handshakes = 0
        count: cython.int = self.poller.wait()
        i: cython.int
        for i in range(count):
            owner = self.poller.owner(i)
            if isinstance(owner, Connection):
                cython.cast(Connection, owner).handle(self.poller.events[i].events)
            else:
                self.handle_listener(owner)
        self.poller.done()
        if self.table.tracking.has_broadcasts:
            self.table.tracking.broadcast()
        if self.pending:
            pending: list = self.pending
            self.pending = []
            for owner in pending:
                cython.cast(Connection, owner).handle(0)
        if self.unsent:
            self.send_unsent()
        self.in_round = False
        if self.pending or self.table.tracking.has_broadcasts:
            self.call_soon()

    def serve_others(self) -> None:
        """A round inside the command of one client, which lasts: serve the others.

        Called again and again while the command runs. What the round that the command belongs to has made so far leaves
        first, so that the buffer is free.
        """
        events: epoll_event[MAX_EVENTS]
        poller: Poller = self.poller
        serving: Connection = self.serving
        start: cython.Py_ssize_t = self.start
        was_reporting: cython.bint = poller.is_reporting
        i: cython.int
        memcpy(events, poller.events, cython.sizeof(events))
        for owner in self.unsent:
            cython.cast(Connection, owner).send_replies()
        self.unsent.clear()
        if serving is not None:
            serving.send_from(start, False)
            serving.reader.hold()
        self.serving = None
        self.replies.reset()
        self.handshakes = 0
        try:
            for i in range(poller.wait()):
                owner = poller.owner(i)
                if owner is serving:
                    continue
                if isinstance(owner, Connection):
                    cython.cast(Connection, owner).handle(poller.events[i].events)
                else:
                    self.handle_listener(owner)
            self.send_unsent()
        finally:
            if was_reporting:
                memcpy(poller.events, events, cython.sizeof(events))
            else:
                poller.done()
            self.serving = serving
            self.start = start
            self.replies.size = start

    def run_pending(self) -> None:
        """A round that the event loop was asked for."""
        self.is_called = False
        self.run()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def call_soon(self) -> cython.int:
        """See to it that there is a round, at whose end `pending` is handled and `unsent` sent."""
        if not self.is_called and not self.in_round:
            self.is_called = True
            self.loop.call_soon(self.run_pending)
        return 0

    def ask_for_round(self) -> None:
        """There is something to do at the end of a round: of the present one, or of one that comes soon."""
        self.call_soon()

    # -- what clients hold ---------------------------------------------------------------------------------------------

    @property
    def client_bytes(self) -> int:
        """What all clients hold, with the fixed part of each."""
        return self.memory_limit.client_bytes + CLIENT_BYTES * len(self.clients)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_clients(self) -> cython.int:
        """Report soon if they hold too much."""
        if (
            self.client_limit
            and not self.is_crowded
            and self.on_crowded is not None
            and self.memory_limit.client_bytes + CLIENT_BYTES * len(self.clients) > self.client_limit
        ):
            self.is_crowded = True
            self.loop.call_soon(self.report_crowd)
        return 0

    def report_crowd(self) -> None:
        self.is_crowded = False
        self.on_crowded()

    def by_size(self) -> object:
        """All clients, those that hold most first, as far as powers of two tell; while it goes on they may close."""
        for clients in reversed(self.heavy):
            yield from list(clients.values())
        for client in list(self.clients.values()):
            if cython.cast(Connection, client).counted == 0:
                yield client

    # -- newcomers -----------------------------------------------------------------------------------------------------

    def listen(self, sock: object, newcomer: object = None) -> object:
        """Accept connections from a listening socket, which is the hub's from now on: a Listener.

        newcomer: makes a connection of the hub and a number, of peers that shake hands first.
        """
        listener: Listener = Listener(sock, newcomer)
        self.poller.add(listener.fd, EPOLLIN, listener)
        self.listeners.append(listener)
        return listener

    def stop_listening(self, listener: Listener) -> None:
        """Close a listening socket."""
        self.listeners.remove(listener)
        self.poller.remove(listener.fd, listener)
        listener.close()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def handle_listener(self, listener: Listener) -> cython.int:
        """Accept; a bug of ours must not end the round."""
        try:
            self.accept_from(listener)
        except Exception as error:
            self.log.warning("Unexpected error\n" + "".join(traceback.format_exception(error)))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def accept_from(self, listener: Listener) -> cython.int:
        """Accept the connections that wait, at most MAX_ACCEPTS."""
        peer: sockaddr_storage
        i: cython.int
        for i in range(MAX_ACCEPTS):
            if listener.fd < 0:
                return 0
            fd: cython.int = listener.accept(cython.address(peer))
            if fd >= 0:
                if listener.unix_name:
                    self.admit(fd, listener, listener.unix_name, listener.unix_name)
                else:
                    self.admit(fd, listener, address_text(cython.address(peer)), own_name(fd))
            elif errno == EAGAIN:
                listener.is_crowded = False
                return 0
            elif errno != EINTR and errno != ECONNABORTED and errno != EPROTO:
                return self.rest_from_accepting(listener, os.strerror(errno))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def admit(self, fd: cython.int, listener: Listener, addr: bytes, laddr: bytes) -> cython.int:
        """A peer has connected: accept it, or reply why not and close."""
        self.stats.connections_received += 1
        self.last_id += 1
        connection: Connection
        if listener.newcomer is None:
            connection = Connection(self, self.last_id)
        else:
            connection = listener.newcomer(self, self.last_id)
        is_unix: cython.bint = bool(listener.unix_name)
        connection.addr = addr
        connection.is_unix = is_unix
        if laddr == self.laddr:
            laddr = self.laddr  # one object for all clients of an address
        self.laddr = connection.laddr = laddr
        refusal: bytes = connection.refusal()
        if refusal is not None:
            self.stats.connections_rejected += 1
            text: cython.p_const_char = refusal
            send_to_socket(fd, text, len(refusal), MSG_NOSIGNAL | MSG_DONTWAIT)
            close_socket(fd)
            return 0
        try:
            self.poller.add(fd, EPOLLIN, connection)
        except OSError as error:
            close_socket(fd)
            self.log.warning(f"Error registering fd event for the new client: {error.strerror}")
            return 0
        connection.fd = fd
        connection.mask = EPOLLIN
        self.clients[connection.id] = connection
        if connection.must_log_in or listener.newcomer is not None:
            connection.stranger_since_ns = connection.created_ns
            self.strangers[connection.id] = connection
        self.check_clients()
        if not is_unix:
            send_at_once(fd)
            if self.keepalive_seconds > 0:
                set_keepalive(fd, self.keepalive_seconds)
        self.log.verbose(f"Accepted {connection.addr.decode('utf-8', 'surrogateescape')}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def rest_from_accepting(self, listener: Listener, reason: str) -> cython.int:
        """The kernel cannot give us another connection: serve those that exist before asking again."""
        if not listener.is_crowded:
            self.log.warning(f"Accepting client connection: accept: {reason}")
        listener.is_crowded = True
        self.poller.change(listener.fd, 0, listener)
        self.loop.call_later(ACCEPT_AGAIN_S, self.accept_again, listener)
        return 0

    def accept_again(self, listener: Listener) -> None:
        """Accept again, after a pause."""
        if listener.fd >= 0:
            self.poller.change(listener.fd, EPOLLIN, listener)

    # -- replies -------------------------------------------------------------------------------------------------------

    def send_unsent(self) -> None:
        """Send the replies of this round; between batches only."""
        connection: Connection
        for connection in self.unsent:
            connection.send_replies()
        self.unsent.clear()
        self.replies.reset()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self, buffer: ReplyBuffer) -> cython.int:
        """Send the replies of the connection that is being served before they are complete."""
        self.released_bytes += buffer.size - self.start
        self.give_back(GIVE_BACK_BYTES)
        return self.serving.send_part(self.start, True)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pass_on(self, buffer: ReplyBuffer, value: bytes) -> cython.int:
        """Send them, and this object after them."""
        self.released_bytes += len(value)
        self.give_back(GIVE_BACK_BYTES)
        self.serving.send_part(self.start, True)
        return self.serving.send_object(value)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refuses(self, buffer: ReplyBuffer) -> cython.bint:
        """Whether the client that is being served takes no more of a reply that is made while it leaves."""
        serving: Connection = self.serving
        if serving.backlog_len > MAX_UNREAD_DRAWS and not serving.closing:
            serving.close_for_output()
        return serving.closing

    def give_back(self, least: cython.Py_ssize_t) -> None:
        """Return the memory of large requests and replies to the kernel, if it is this much."""
        if self.released_bytes >= least:
            self.released_bytes = 0
            give_free_memory_back()

    def close_strangers(self) -> None:
        """Close those who have kept half a request or unread replies for too long."""
        connection: Connection
        for connection in list(self.strangers.values()):
            if time.monotonic_ns() - connection.stranger_since_ns < STRANGER_NS:
                return
            if connection.is_suspect():
                self.log.verbose(f"Closing client that does not authenticate: {connection.describe()}")
                connection.close()

    def has_place(self) -> bool:
        """Whether one more client is allowed, perhaps in place of a stranger that has been silent for long."""
        if len(self.clients) < self.max_clients:
            return True
        connection: Connection
        for connection in self.strangers.values():
            if time.monotonic_ns() - connection.stranger_since_ns < STRANGER_NS:
                return False
            self.log.verbose(f"Closing client that does not authenticate: {connection.describe()}")
            connection.close()
            return True
        return False

    def is_serving(self, client: object) -> bool:
        """Whether this client's batch is being executed."""
        return self.serving is client

    def served(self) -> tuple:
        """The client whose batch is being executed and its request; None and nothing between batches.

        In the place of the name of a command that runs now is the client (CommandTable.call).
        """
        serving: Connection = self.serving
        if serving is None:
            return None, []
        reader: RequestReader = serving.reader
        return serving, [cython.cast(object, reader.argv[place]) for place in range(reader.argc)]


def nothing() -> None:
    """The clock of a server without a keyspace."""


@cython.cclass
class Connection(Client):
    """A Client with a socket."""

    def __init__(self, hub: Hub, client_id: int):
        Client.__init__(self, hub.server, client_id)
        self.hub = hub
        self.reader = RequestReader(hub.limits)
        self.authenticated = self.reader.trusted = not hub.password_needed
        self.must_log_in = hub.password_needed
        self.unrestricted = hub.new_are_unrestricted
        self.noted_above = NOTED_ABOVE

    # -- the socket ----------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-3, check=False)
    def receive(self, data: cython.p_char, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read from the peer: how many bytes, 0 at their end, NOTHING_YET or BROKEN."""
        length: cython.Py_ssize_t = recv(self.fd, data, size, MSG_DONTWAIT)
        if length < 0:
            return NOTHING_YET if errno in (EAGAIN, EINTR) else BROKEN
        return length

    @cython.cfunc
    @cython.exceptval(-3, check=False)
    def transmit(self, data: cython.p_const_char, length: cython.Py_ssize_t, more: cython.bint) -> cython.Py_ssize_t:
        """Write to the peer: how many bytes there was room for, or BROKEN. more: others follow at once."""
        sent: cython.Py_ssize_t = send_to_socket(
            self.fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT | (MSG_MORE if more else 0)
        )
        if sent < 0:
            return 0 if errno in (EAGAIN, EINTR) else BROKEN
        return sent

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def update_mask(self) -> cython.int:
        """Watch for what is wanted now: input, unless reading is paused; room, if there is a backlog.

        While input is not watched, the peer's end is hidden by unread bytes, unless it is asked for.
        """
        mask: cython.uint = EPOLLIN
        if self.reading_paused:
            mask = EPOLLRDHUP if self.is_waiting_for_others() and not self.ending else 0
        if self.backlog_len > 0 or self.wants_room:
            mask |= EPOLLOUT
        if mask != self.mask and not self.closing:
            self.mask = mask
            self.hub.poller.change(self.fd, mask, self)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_reading(self, wanted: cython.bint) -> cython.int:
        self.reading_paused = not wanted
        return self.update_mask()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def handle(self, events: cython.uint) -> cython.int:
        """Do what the poller has seen (0: what was pending); a bug of ours ends this connection only."""
        try:
            if self.closing:
                return 0
            if self.doomed:
                self.close()
                return 0
            if events == 0:
                return self.go_on()
            if events & EPOLLIN and not self.reading_paused:
                self.take_input()
            elif events & (EPOLLHUP | EPOLLERR) and not self.is_pending:
                self.lose()  # nobody would read the replies to the requests that are held
            elif events & EPOLLRDHUP:
                self.end_input()
            if events & EPOLLOUT and not self.closing:
                self.use_room()
        except Exception as error:
            self.fail(error)
            self.close()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take_input(self) -> cython.int:
        """Bytes have come, or the end of the connection. Of a long bulk string read all there is, up to MAX_TAKEN."""
        taken: cython.Py_ssize_t = 0
        while True:
            is_direct: cython.bint = not self.waiting and self.reader.direct()
            size: cython.Py_ssize_t = self.reader.direct_size if is_direct else READ_BYTES
            length: cython.Py_ssize_t = self.take_once(is_direct)
            taken += length
            if length < size or self.closing or self.ending or self.waiting or taken >= MAX_TAKEN:
                return 0
            if not self.reader.direct():
                return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take_once(self, is_direct: cython.bint) -> cython.Py_ssize_t:
        """Read once, straight into a long bulk string or not, and serve what has come; how many bytes."""
        hub: Hub = self.hub
        length: cython.Py_ssize_t
        if is_direct:
            length = self.receive(self.reader.direct_at, self.reader.direct_size)
        else:
            length = self.receive(PyByteArray_AS_STRING(hub.input), READ_BYTES)
        if length <= 0:
            if length == 0:
                self.end_input()
            elif length != NOTHING_YET:
                self.lose()
            return 0
        hub.stats.reads_processed += 1
        hub.stats.net_input_bytes += length
        if self.waiting:
            self.hold_input(length)
            return length
        if is_direct:
            self.reader.direct_filled(length)
            hub.released_bytes += length
        else:
            self.reader.load(PyByteArray_AS_STRING(hub.input), length)
        self.serve()
        return length

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end_input(self) -> cython.int:
        """The peer sends no more; what it has asked for is done, and what it was sent may still be on its way."""
        if self.on_room is not None:
            return self.lose()
        if self.waiting and not self.is_waiting_for_others():
            return self.set_reading(False)  # until the requests that are held have been executed
        if self.reply_len > 0:
            self.hub.send_unsent()
        if self.closing:
            return 0
        return self.lose() if self.unread() == 0 else self.end()

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def is_waiting_for_others(self) -> cython.bint:
        """Whether its next request waits for another client, perhaps for ever."""
        return self.blocked is not None or self.paused

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lose(self) -> cython.int:
        """The peer has gone."""
        if not self.ending:
            self.hub.log.verbose("Client closed connection")
        self.close()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def use_room(self) -> cython.int:
        """The socket takes more of the backlog."""
        self.send_backlog()
        self.update_mask()
        if self.closing:
            return 0
        self.hub.give_back(GIVE_BACK_BYTES)
        if self.ending:
            return self.end()
        if self.on_room is not None:
            if self.backlog_len == 0:
                self.on_room()
            return 0
        if self.choked and self.backlog_len <= MAX_UNSENT // 4:
            self.choked = False
            return self.serve_held()
        return 0

    # -- for commands and the server -----------------------------------------------------------------------------------

    def push(self, value: object) -> None:
        """Send a value that is no reply: after the reply that is being made, if there is one."""
        if self.closing or self.ending or self.doomed or self.on_room is not None:
            return
        if self.pushed_len == 0 and self.hub.serving is not self:
            self.resume()
        self.add_push(encode(value, self.resp))
        if self.over_limits(self.pushed_len):
            self.doom()

    def push_wire(self, data: bytes) -> None:
        if self.closing or self.ending or self.doomed or self.on_room is not None:
            return
        if self.hub.serving is self:
            self.hub.replies.write_bytes(data, len(data))
            return
        if self.pushed_len == 0:
            self.resume()
        self.add_push(data)
        if self.over_limits(self.pushed_len):
            self.doom()

    def answer(self, value: object) -> None:
        """Send the reply of the command that has blocked; what came after it is executed at the end of the round."""
        if self.closing or self.ending or self.on_room is not None:
            return
        if self.reply_mode == C_REPLY_ON:
            self.add_push(encode(value, self.resp))
        self.finish_reply_mode()
        self.last_interaction_ns = time.monotonic_ns()
        self.resume()

    def begin_feed(self, on_room: object) -> None:
        """Called by a command, whose reply is the last: from here on the client is only fed.

        What it sends is ignored. on_room: called now, after the reply, and whenever the socket takes more.
        """
        self.on_room = on_room
        self.close_after_reply = True  # ends the batch

    def feed(self, data: bytes, at: cython.Py_ssize_t) -> int:
        """Send what follows `at` as far as the socket takes it: how many bytes; -1 if the connection is closed.

        Call it again with the rest, and with nothing else, when there is room.
        """
        hub: Hub = self.hub
        length: cython.Py_ssize_t = len(data) - at
        sent: cython.Py_ssize_t = 0
        if self.closing:
            return -1
        if self.backlog_len == 0 and not self.close_after_reply:
            start: cython.p_const_char = data
            sent = self.transmit(start + at, length, False)
            if sent < 0:
                self.lose()
                return -1
            hub.stats.writes_processed += 1
            hub.stats.net_output_bytes += sent
        self.wants_room = sent < length
        self.update_mask()
        return sent

    def add_push(self, data: bytes) -> None:
        if self.pushed is None:
            self.pushed = []
        self.pushed.append(data)
        self.pushed_len += len(data)

    def begin_array(self, count: cython.Py_ssize_t) -> object:
        if self.reply_mode == C_REPLY_ON:
            self.hub.replies.write_header(b"*", count)
        return NO_REPLY

    @cython.cfunc
    def run_item(
        self,
        array: object,
        command: object,
        argv: cython.pointer[cython.pointer[PyObject]],
        argc: cython.Py_ssize_t,
    ) -> object:
        value = self.hub.table.call_queued(self, command, argv, argc)
        if self.reply_mode == C_REPLY_ON or self.reply_mode == C_REPLY_SKIP_NEXT:
            self.hub.replies.write_value(value, self.resp)

    def close(self) -> None:
        """Close the connection at once, without its unread replies."""
        if not self.closing:
            self.closing = True
            self.hub.poller.remove(self.fd, self)
            close_socket(self.fd)
            self.fd = -1
            self.drop_backlog()
            self.recount()
            self.forget()

    def resume(self) -> None:
        """Send what was pushed and go on with a batch that had to stop, at the end of the round."""
        if not self.is_pending:
            self.is_pending = True
            self.hub.pending.append(self)
            self.hub.call_soon()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self) -> cython.int:
        """What `resume` has asked for."""
        self.is_pending = False
        self.send_pushed()
        return self.serve_held()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def serve_held(self) -> cython.int:
        """Go on with a batch that had to stop, if there is one that may."""
        if not self.waiting or self.on_room is not None or self.closing or self.ending:
            return 0
        if not self.choked and self.blocked is None:
            self.serve()
        return 0

    def is_suspect(self) -> bool:
        """Whether a stranger keeps us busy with half of something."""
        return self.input_bytes() > 0 or self.output_bytes() > 0

    def input_bytes(self) -> int:
        return self.reader.held_bytes() + self.held_len

    def args_bytes(self) -> int:
        return self.reader.args_bytes

    def query_bytes(self) -> int:
        parsed: cython.Py_ssize_t = self.reader.parsed_bytes() if self.hub.serving is self else 0
        return self.reader.held_bytes() - self.reader.args_bytes + self.held_len + parsed

    def reply_bytes(self) -> int:
        return self.hub.replies.size - self.hub.start if self.hub.serving is self else self.reply_len

    def reply_pieces(self) -> int:
        return len(self.backlog) if self.backlog_len > 0 else 0

    def output_bytes(self) -> int:
        return self.unread()

    def note_memory(self) -> None:
        self.noted_above = -1

    @property
    def held_bytes(self) -> int:
        """What the hub has counted: all that it holds beyond the fixed part, 0 if that is little."""
        return self.counted

    def check_output(self) -> None:
        if not self.closing and self.backlog_len > 0 and self.over_limits(0):
            self.close_for_output()

    def review(self) -> None:
        Client.review(self)
        self.reader.trusted = not self.must_log_in
        if not self.must_log_in:
            self.hub.strangers.pop(self.id, None)
        elif self.id not in self.hub.strangers:
            self.stranger_since_ns = time.monotonic_ns()
            self.hub.strangers[self.id] = self

    # -- one batch -----------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def serve(self) -> cython.int:
        """Execute what the reader's window holds; the replies leave at the end of the round, if nothing presses."""
        hub: Hub = self.hub
        if hub.is_crowded:
            hub.report_crowd()
            if self.closing:
                return 0
        if self.reply_len > 0:
            hub.send_unsent()
        start: cython.Py_ssize_t = hub.replies.size
        hub.start = start
        hub.serving = self
        self.waiting = False
        try:
            if self.pushed_len > 0:
                self.add_pushed()  # before the replies of requests that came after it
            hub.tick()
            hub.table.begin_batch()
            self.last_interaction_ns = hub.table.mark_ns
            self.waiting = self.serve_requests(start)
        except ProtocolError as error:
            self.refuse_input(error)
        except Exception as error:
            self.fail(error)
        hub.serving = None
        if hub.replies.size > start:
            if self.closing or self.close_after_reply or self.waiting or hub.replies.size >= SEND_BYTES:
                self.send_from(start, False)
            else:
                self.reply_at = start
                self.reply_len = hub.replies.size - start
                hub.unsent.append(self)
                hub.call_soon()
        if self.closing:
            self.forget()  # again: a command that went on may have registered it for something
            return 0
        if self.backlog_len > 0:
            self.update_mask()
        if self.close_after_reply:
            return self.end()
        if self.waiting:
            self.reader.hold()
            self.update_mask()
        elif self.reading_paused:
            self.set_reading(True)
        if self.reader.held_bytes() > self.noted_above:
            return self.note_input()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note_input(self) -> cython.int:
        """After a batch that leaves more than a little, or of a client that has held more before."""
        if self.reader.unparsed_bytes() > self.hub.limits.query_buffer_limit:
            self.close_for_input()
            return 0
        return self.recount()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def recount(self) -> cython.int:
        """Count what the client holds beyond the fixed part; between its commands, whenever that has changed."""
        hub: Hub = self.hub
        held: cython.longlong = 0 if self.closing else max(0, self.memory_bytes() - CLIENT_BYTES)
        if held != self.counted:
            if self.counted:
                hub.heavy[64 - __builtin_clzll(self.counted)].pop(self.id, None)
            if held:
                hub.heavy[64 - __builtin_clzll(held)][self.id] = self
            hub.memory_limit.client_bytes += held - self.counted
            self.counted = held
        self.noted_above = -1 if held else NOTED_ABOVE
        return hub.check_clients()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def serve_requests(self, start: cython.Py_ssize_t) -> cython.bint:
        """Execute requests until there is none or one has to wait (True). start: where the replies begin."""
        hub: Hub = self.hub
        table: CommandTable = hub.table
        reader: RequestReader = self.reader
        replies: ReplyBuffer = hub.replies
        turn_ends_ns: cython.longlong = table.mark_ns + TURN_NS
        while self.paused or reader.next() or self.next_held():
            mode: cython.int = self.reply_mode
            value = table.execute(self, reader.argv, reader.argc)
            self.paused = value is POSTPONED and self.blocked is None
            if self.paused:
                return True
            if reader.args_bytes >= LARGE_BYTES:
                hub.released_bytes += reader.args_bytes
            reader.release()
            if value is POSTPONED:
                if self.pushed_len > 0:
                    self.add_pushed()
                return True
            if mode == C_REPLY_ON or self.reply_mode == C_REPLY_ON:
                sure_size: cython.Py_ssize_t = replies.size
                try:
                    replies.write_value(value, self.resp)
                except BaseException:
                    replies.size = min(replies.size, sure_size)
                    raise
            self.finish_reply_mode()
            if self.pushed_len > 0:
                self.add_pushed()
            if self.close_after_reply or self.closing:
                return False
            if replies.size - start >= SEND_BYTES:
                self.send_part(start, False)
            if self.choked or self.closing:
                return True
            if table.mark_ns > turn_ends_ns:
                self.resume()
                return True
        return False

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def finish_reply_mode(self) -> cython.void:
        """CLIENT REPLY SKIP, after a command."""
        if self.reply_mode == C_REPLY_SKIP:
            self.reply_mode = C_REPLY_ON
        elif self.reply_mode == C_REPLY_SKIP_NEXT:
            self.reply_mode = C_REPLY_SKIP

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hold_input(self, length: cython.Py_ssize_t) -> cython.int:
        """Keep what was read until the requests before it have been executed."""
        if self.on_room is not None:
            return 0
        if self.held is None:
            self.held = collections.deque()
        self.held.append(PyByteArray_AS_STRING(self.hub.input)[:length])
        self.held_len += length
        if self.held_len > MAX_HELD:
            self.set_reading(False)
        if self.held_len > self.hub.limits.query_buffer_limit:
            self.close_for_input()
            return 0
        return self.recount()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def next_held(self) -> cython.bint:
        """Go on reading requests in what was held; whether there is one."""
        while self.held_len > 0:
            data: bytes = self.held.popleft()
            self.held_len -= len(data)
            if self.held_len == 0:
                self.held = None
            self.reader.load_bytes(data)
            if self.reader.next():
                return True
        return False

    # -- sending -------------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_replies(self) -> cython.int:
        """Send this connection's part of hub.replies; a bug of ours ends this connection only."""
        length: cython.Py_ssize_t = self.reply_len
        self.reply_len = 0
        try:
            if not self.closing:
                self.send(self.hub.replies.data + self.reply_at, length, False)
                self.update_mask()
        except Exception as error:
            self.fail(error)
            self.close()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_from(self, start: cython.Py_ssize_t, more: cython.bint) -> cython.int:
        """Send the end of hub.replies, which is this connection's, now. more: the rest of it follows at once."""
        replies: ReplyBuffer = self.hub.replies
        length: cython.Py_ssize_t = replies.size - start
        replies.size = start
        if length > 0 and not self.closing:
            self.send(replies.data + start, length, more)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_part(self, start: cython.Py_ssize_t, more: cython.bint) -> cython.int:
        """The same before the batch has ended: where a hard limit is set, what has been made waits for its end.

        So the limit is for all that a batch makes, however fast the peer reads, and above it none leaves, as in Redis.
        """
        replies: ReplyBuffer = self.hub.replies
        if not self.holds_back():
            return self.send_from(start, more)
        length: cython.Py_ssize_t = replies.size - start
        replies.size = start
        if length > 0 and not self.closing:
            return self.hold_back((replies.data + start)[:length])
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def holds_back(self) -> cython.bint:
        """Whether replies wait for the end of their batch; a stranger's limit is smaller, and looked at elsewhere."""
        hub: Hub = self.hub
        limit: cython.longlong = hub.hard_limit if self.subscriptions is None else hub.pubsub_hard_limit
        return limit > 0 and not self.must_log_in

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hold_back(self, data: bytes) -> cython.int:
        """Put a part of a batch's replies into the backlog, unless that exceeds the limit."""
        self.hub.stats.net_output_bytes += len(data)
        if self.over_limits(len(data)):
            self.close_for_output()
            return 0
        return self.keep(data, 0)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send(self, data: cython.p_const_char, length: cython.Py_ssize_t, more: cython.bint) -> cython.int:
        """Give the kernel what it takes, the backlog the rest, unless the peer has too much to read already."""
        sent: cython.Py_ssize_t = self.send_now(data, length, more)
        if not self.closing and sent < length:
            self.keep(data[sent:length], 0)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_object(self, value: bytes) -> cython.int:
        """The same without a copy; more follows."""
        if self.closing:
            return 0
        if self.holds_back():
            return self.hold_back(value)
        sent: cython.Py_ssize_t = self.send_now(value, len(value), True)
        if not self.closing and sent < len(value):
            self.keep(value, sent)
        return 0

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def send_now(self, data: cython.p_const_char, length: cython.Py_ssize_t, more: cython.bint) -> cython.Py_ssize_t:
        """How much the kernel took; the connection is closed if the rest must not be kept."""
        hub: Hub = self.hub
        hub.stats.writes_processed += 1
        hub.stats.net_output_bytes += length
        if self.over_limits(length):
            self.close_for_output()
            return 0
        if self.backlog_len > 0:
            self.send_backlog()
            if self.choked and self.backlog_len == 0:
                self.choked = False  # nobody asks for room any more, so `use_room` will not be called
                self.resume()
        sent: cython.Py_ssize_t = 0
        if self.backlog_len == 0 and not self.closing:
            sent = self.transmit(data, length, more)
            if sent < 0:
                sent = 0
                self.close()
        if self.must_log_in and self.unread() + length - sent > MAX_UNSENT_TO_STRANGERS and not self.closing:
            self.close_for_output()  # before the rest is held: many strangers may come in one round
        return sent

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, data: bytes, at: cython.Py_ssize_t) -> cython.int:
        """Put what follows `at` into the backlog."""
        if self.backlog_len == 0:
            self.backlog = collections.deque()
            self.backlog_at = at
        self.backlog.append(data)
        self.backlog_len += len(data) - at
        if self.backlog_len > MAX_UNSENT:
            self.choked = self.waiting = True
        return self.recount()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_backlog(self) -> cython.int:
        """Send as much of the backlog as the kernel takes."""
        while self.backlog_len > 0:
            piece: bytes = self.backlog[0]
            length: cython.Py_ssize_t = len(piece) - self.backlog_at
            data: cython.p_const_char = piece
            sent: cython.Py_ssize_t = self.transmit(data + self.backlog_at, length, length < self.backlog_len)
            if sent < 0:
                self.close()
                return 0
            self.pass_piece(sent)
            if sent < length:
                return 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pass_piece(self, length: cython.Py_ssize_t) -> cython.int:
        """This much of the backlog's first piece has left."""
        self.backlog_at += length
        self.backlog_len -= length
        self.hub.released_bytes += length
        if self.backlog_at == len(self.backlog[0]):
            self.backlog.popleft()
            self.backlog_at = 0
        if self.backlog_len == 0:
            self.backlog = None
        return self.recount()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_backlog(self) -> cython.int:
        self.hub.released_bytes += self.backlog_len
        self.backlog = None
        self.backlog_len = 0
        return 0

    def add_pushed(self) -> None:
        """Append what `push` has collected to the reply."""
        for data in self.pushed:
            self.hub.replies.write_bytes(data, len(data))
        self.pushed = None
        self.pushed_len = 0

    def send_pushed(self) -> None:
        """Send what `push` has collected."""
        if self.pushed_len == 0:
            return
        if self.reply_len > 0:
            self.hub.send_unsent()
        data: bytes = b"".join(self.pushed)
        self.pushed = None
        self.pushed_len = 0
        if self.closing or self.ending:
            return
        sent: cython.Py_ssize_t = self.send_now(data, len(data), False)
        if not self.closing and sent < len(data):
            self.keep(data, sent)
        self.update_mask()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unread(self) -> cython.Py_ssize_t:
        """Bytes that replies hold which the peer has not taken yet."""
        if self.backlog_len == 0:
            return 0
        return self.backlog_len + PIECE_BYTES * len(self.backlog)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def over_limits(self, more: cython.Py_ssize_t) -> cython.bint:
        """Whether `more` bytes of output are too many, by client-output-buffer-limit."""
        hub: Hub = self.hub
        if self.subscriptions is not None:
            return self.is_above(more, hub.pubsub_hard_limit, hub.pubsub_soft_limit, hub.pubsub_soft_seconds)
        if hub.hard_limit + hub.soft_limit > 0:
            return self.is_above(more, hub.hard_limit, hub.soft_limit, hub.soft_seconds)
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def is_above(
        self,
        more: cython.Py_ssize_t,
        hard_limit: cython.longlong,
        soft_limit: cython.longlong,
        soft_seconds: cython.longlong,
    ) -> cython.bint:
        hub: Hub = self.hub
        total: cython.longlong = self.unread() + more
        if hard_limit > 0 and total >= hard_limit:
            return True
        if soft_limit > 0 and total >= soft_limit:
            hub.table.begin_batch()
            if self.soft_since_ns == 0:
                self.soft_since_ns = hub.table.mark_ns
            return hub.table.mark_ns - self.soft_since_ns > soft_seconds * 1000000000
        self.soft_since_ns = 0
        return False

    # -- ends ----------------------------------------------------------------------------------------------------------

    def refusal(self) -> object:
        """Why this peer is refused, as a reply; or None."""
        hub: Hub = self.hub
        if not hub.has_place():
            return TOO_MANY_CLIENTS
        if hub.local_only and not self.is_local():
            return PROTECTED
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end(self) -> cython.int:
        """Close once the replies have left."""
        if self.on_room is not None and not self.ending:
            return self.end_requests()
        self.ending = self.close_after_reply = True
        self.waiting = False
        self.held = None
        self.held_len = 0
        self.recount()
        self.leave()
        if self.backlog_len == 0:
            self.close()
            return 0
        return self.set_reading(False)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end_requests(self) -> cython.int:
        """What follows the last reply is fed. The peer is still read: bytes left in the socket would break it."""
        self.close_after_reply = False
        self.waiting = True
        self.held = None
        self.held_len = 0
        self.reader.hold()
        self.set_reading(True)
        self.recount()
        if self.backlog_len == 0 and not self.closing:
            self.on_room()
        return 0

    def refuse_input(self, error: object) -> None:
        """The peer broke RESP: reply the error, then close."""
        hub: Hub = self.hub
        text = str(error)
        hub.log.verbose(f"Protocol error ({text}) from client: {self.describe()}")
        hub.stats.count_error(text)
        if self.reply_mode == C_REPLY_ON:
            hub.replies.write_error(text)
        self.close_after_reply = True

    def fail(self, error: object) -> None:
        """A bug of ours: log it, close this client, serve the others."""
        trace = "".join(traceback.format_exception(error))
        self.hub.log.warning(f"Unexpected error, closing client {self.describe()}\n{trace}")
        self.hub.stats.unexpected_error_replies += 1
        self.close_after_reply = True

    def doom(self) -> None:
        """Close for the output, at the end of the round: a message may come in the middle of a change."""
        self.log_output()
        self.doomed = True
        self.pushed = None
        self.pushed_len = 0
        self.resume()

    def close_for_output(self) -> None:
        self.log_output()
        self.close()

    def log_output(self) -> None:
        self.hub.log.warning(
            f"Client {self.describe()} scheduled to be closed ASAP for overcoming of output buffer limits."
        )

    def close_for_input(self) -> None:
        self.hub.log.warning(f"Closing client that reached max query buffer length: {self.describe()}")
        self.close()

    def describe(self) -> str:
        """The client in a log line."""
        return f"id={self.id} addr={self.addr.decode('utf-8', 'surrogateescape')}"

    def forget(self) -> None:
        """Remove every trace of the client from the server."""
        self.hub.clients.pop(self.id, None)
        self.hub.strangers.pop(self.id, None)
        self.leave()

    def leave(self) -> None:
        """Leave the monitors, the blocked clients and the watched keys."""
        self.hub.server.forget(self)
        self.discard_transaction()
