# cython: language_level=3, boundscheck=False, wraparound=False, auto_pickle=False
"""A client with a socket: bytes in, commands executed, replies out.

One read of the socket is one batch: all its requests are executed in turn, their replies are encoded into one buffer
that all connections share. The replies of all batches of one round of the event loop leave together at its end, in one
send(2) for each connection (a client that is woken while the others are still being served costs more than it gains).
A batch whose replies fill the buffer sends while it makes them. What the kernel does not take waits in the connection's
own `backlog`; the transport only gets its beginning, so that it says when there is room again.

A client that does not read its replies is held up in two steps, because many write a whole pipeline before they read
its first reply: above MAX_UNSENT bytes of unread replies nothing is executed for it (it is `choked`), above MAX_HELD
bytes of requests that wait nothing is read from it. A stranger (not authenticated, though there is a password) that
lets replies lie is closed.

    socket -> uvloop -> hub.input ------> RequestReader -> CommandTable.execute -> hub.replies -> send(2) -> socket
                        (or straight                                                  `-> backlog ->'
                         into a long bulk string)

A batch stops early, and the rest of its input is held, when the connection is choked, when a command has to wait
(CLIENT PAUSE, or `blocked` by a key that is not there yet) or when its turn has lasted long enough for others to want
theirs. `resume` goes on from there; a blocked client first needs its `answer`.

The end has two forms. QUIT, a protocol error and the peer's end of input let the replies leave first (`end`): until
then the client is listed, counted and can be killed. CLIENT KILL and the limits drop them (`close`). A client counts
against maxclients until its descriptor is free.
"""

import collections
import time
import traceback

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.memoryview import PyMemoryView_FromMemory
from cython.cimports.libc.errno import EAGAIN, EINTR, errno
from cython.cimports.minikv.dispatch.table import POSTPONED

from minikv.dispatch.client import REPLY_ON, REPLY_SKIP, REPLY_SKIP_NEXT, Client
from minikv.errors import ProtocolError
from minikv.protocol.reply import NO_REPLY, ReplyBuffer, Sink, encode
from minikv.protocol.request import Limits, RequestReader

# One read of a socket takes at most this much.
READ_BYTES = 64 * 1024
# Replies of a batch are sent before its end when they are this long.
SEND_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)
# Unread replies above which nothing is executed; it goes on when a quarter is left.
MAX_UNSENT = 16 * 1024 * 1024
# The same for a peer that has not authenticated: it is closed.
MAX_UNSENT_TO_STRANGERS = cython.declare(cython.Py_ssize_t, 4 * 1024)
# What a bytes object in the backlog takes beside its bytes.
PIECE_BYTES = cython.declare(cython.Py_ssize_t, 64)
# What the transport gets of the backlog: copied, and sent before anything else.
HANDED_BYTES = cython.declare(cython.Py_ssize_t, 16 * 1024)
# The allocator gives memory back when this much of large requests and replies may be free; its time is that of the
# pages that are, 0.2 ms/MB. What is less waits for the cron.
GIVE_BACK_BYTES = cython.declare(cython.Py_ssize_t, 32 * 1024 * 1024)
# Arguments of a request that count as large.
LARGE_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)
# How long a stranger may keep half a request or unread replies, or a place that somebody else wants.
STRANGER_NS = cython.declare(cython.longlong, 5 * 1000 * 1000 * 1000)
# Descriptors beyond those of maxclients for newcomers whose places are being vacated in the same round.
SPARE_SOCKETS = cython.declare(cython.Py_ssize_t, 8)
# Requests that wait above which nothing is read.
MAX_HELD = cython.declare(cython.Py_ssize_t, 64 * 1024 * 1024)
# A batch that has lasted this long lets other clients go first.
TURN_NS = cython.declare(cython.longlong, 5 * 1000 * 1000)
# The buffer protocol's flag for memory that may be written.
PYBUF_WRITE = cython.declare(cython.int, 0x200)

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
    """What all connections of a server share: buffers, limits, counters, the table of commands.

    input: what the batch that is being served has read. replies: those of this round of the event loop; `unsent`: the
    connections that have a part of them. tick: reads the keyspace's clock. strangers: clients that have yet to
    authenticate, the oldest first.
    hard_limit, soft_limit, soft_seconds: client-output-buffer-limit of normal clients. local_only: protected mode.
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
        self.limits = Limits()
        self.replies = ReplyBuffer(self)
        self.input = bytearray(READ_BYTES)
        self.tick = nothing if server.keyspace is None else server.keyspace.tick
        self.max_clients = 10000

    def accept(self) -> object:
        """A connection for a new socket (the loop's protocol factory)."""
        self.last_id += 1
        return Connection(self, self.last_id)

    def send_unsent(self) -> None:
        """Send the replies of this round; between batches only."""
        connection: Connection
        for connection in self.unsent:
            if not connection.closing:
                connection.send(self.replies.data + connection.reply_at, connection.reply_len, False)
                connection.wait_for_room()
            connection.reply_len = 0
        self.unsent.clear()
        self.replies.reset()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self, buffer: ReplyBuffer) -> cython.int:
        """The replies of the connection that is being served leave before they are complete."""
        self.released_bytes += buffer.size - self.start
        self.give_back(GIVE_BACK_BYTES)
        return self.serving.send_from(self.start, True)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pass_on(self, buffer: ReplyBuffer, value: bytes) -> cython.int:
        """They leave, and this object behind them."""
        self.released_bytes += len(value)
        self.give_back(GIVE_BACK_BYTES)
        self.serving.send_from(self.start, True)
        return self.serving.send_object(value)

    def give_back(self, least: cython.Py_ssize_t) -> None:
        """Let the kernel have the memory of large requests and replies, if it is this much."""
        if self.released_bytes >= least:
            self.released_bytes = 0
            give_free_memory_back()

    def close_strangers(self) -> None:
        """Close those who have kept half a request or unread replies for too long."""
        connection: Connection
        for connection in list(self.strangers.values()):
            if time.monotonic_ns() - connection.created_ns < STRANGER_NS:
                return
            if connection.input_bytes() > 0 or connection.output_bytes() > 0:
                self.log.verbose(f"Closing client that does not authenticate: {connection.describe()}")
                connection.close()

    def has_place(self) -> bool:
        """Whether one more client may come in, perhaps in the place of a stranger who has been silent for long."""
        if self.sockets < self.max_clients:
            return True
        if self.sockets >= self.max_clients + SPARE_SOCKETS:
            return False
        connection: Connection
        for connection in self.strangers.values():
            if time.monotonic_ns() - connection.created_ns < STRANGER_NS:
                return False
            self.log.verbose(f"Closing client that does not authenticate: {connection.describe()}")
            connection.close()
            return True
        return False

    def is_serving(self, client: object) -> bool:
        """Whether this client's batch is being executed."""
        return self.serving is client


def nothing() -> None:
    """The clock of a server without a keyspace."""


@cython.cclass
class Connection(Client):
    """A Client with a socket: an asyncio.BufferedProtocol (by its methods; asyncio asks for no more)."""

    def __init__(self, hub: Hub, client_id: int):
        Client.__init__(self, hub.server, client_id)
        self.hub = hub
        self.reader = RequestReader(hub.limits)
        self.authenticated = not hub.password_needed
        self.reader.trusted = self.authenticated

    # -- called by the event loop --------------------------------------------------------------------------------------

    def connection_made(self, transport: object) -> None:
        """A peer has connected: let it in, or say why not."""
        hub: Hub = self.hub
        self.transport = transport
        self.fd = transport.get_extra_info("socket").fileno()
        self.is_unix = not isinstance(transport.get_extra_info("sockname"), tuple)
        self.addr, self.laddr = socket_names(transport)
        if self.laddr == hub.laddr:
            self.laddr = hub.laddr  # one object for all clients of an address
        else:
            hub.laddr = self.laddr
        hub.stats.connections_received += 1
        refusal = self.refusal()
        if refusal is not None:
            hub.stats.connections_rejected += 1
            self.closing = True
            transport.write(refusal)
            transport.close()
            return
        hub.clients[self.id] = self
        hub.sockets += 1
        self.counted = True
        if not self.authenticated:
            hub.strangers[self.id] = self
        transport.set_write_buffer_limits(0)  # it says whether it holds anything
        if hub.keepalive_seconds > 0 and not self.is_unix:
            self.set_keepalive(hub.keepalive_seconds)
        hub.log.verbose(f"Accepted {self.addr.decode('utf-8', 'surrogateescape')}")

    def connection_lost(self, error: object) -> None:
        """The socket is closed."""
        if not self.closing and not self.ending:
            self.hub.log.verbose("Client closed connection")
        if self.counted:
            self.hub.sockets -= 1
            self.counted = False
        self.closing = True
        self.drop_backlog()
        self.forget()

    def get_buffer(self, size_hint: object) -> object:
        """Where the next read of the socket goes."""
        self.is_direct = not self.waiting and self.reader.direct()
        if self.is_direct:
            return PyMemoryView_FromMemory(self.reader.direct_at, self.reader.direct_size, PYBUF_WRITE)
        return self.hub.input

    def buffer_updated(self, length: cython.Py_ssize_t) -> None:
        """Bytes have come."""
        hub: Hub = self.hub
        hub.stats.reads_processed += 1
        hub.stats.net_input_bytes += length
        if self.closing or self.ending:
            return
        if self.waiting:
            self.hold_input(length)
            return
        if self.is_direct:
            self.reader.direct_filled(length)
            hub.released_bytes += length
        else:
            self.reader.load(PyByteArray_AS_STRING(hub.input), length)
        self.serve()

    def eof_received(self) -> bool:
        """The peer sends no more; what it was sent may still be on its way. Whether the transport has to stay."""
        if self.closing:
            return False
        if self.reply_len > 0:
            self.hub.send_unsent()
        if self.unread() == 0:
            return False
        self.end()
        return True

    def pause_writing(self) -> None:
        """The transport has something to send."""
        self.handed = True

    def resume_writing(self) -> None:
        """It has sent that: there is room."""
        self.handed = False
        self.handed_len = 0
        if not self.closing:
            self.send_backlog()
            self.go_on_sending()
            self.hub.give_back(GIVE_BACK_BYTES)

    # -- for commands and the server -----------------------------------------------------------------------------------

    def push(self, value: object) -> None:
        """Send a value that is no reply: after the reply that is being made, if there is one."""
        if self.closing or self.ending:
            return
        if self.pushed_len == 0 and self.hub.serving is not self:
            self.hub.loop.call_soon(self.send_pushed)
        self.add_push(encode(value, self.resp))
        if self.over_limits(self.pushed_len):
            self.close_for_output()

    def answer(self, value: object) -> None:
        """Send the reply of the command that has blocked; what came behind it is executed in the next round."""
        if self.closing or self.ending:
            return
        if self.reply_mode == C_REPLY_ON:
            self.add_push(encode(value, self.resp))
        self.finish_reply_mode()
        self.hub.loop.call_soon(self.go_on)

    def add_push(self, data: bytes) -> None:
        if self.pushed is None:
            self.pushed = []
        self.pushed.append(data)
        self.pushed_len += len(data)

    def go_on(self) -> None:
        """After `answer`."""
        self.last_interaction_ns = time.monotonic_ns()
        self.send_pushed()
        self.resume()

    def begin_array(self, count: int) -> object:
        if self.reply_mode == C_REPLY_ON:
            self.hub.replies.write_header(b"*", count)
        return NO_REPLY

    def run_item(self, array: object, command: object, args: object) -> None:
        value = self.hub.table.run(self, command, args)
        if self.reply_mode == C_REPLY_ON or self.reply_mode == C_REPLY_SKIP_NEXT:
            self.hub.replies.write_value(value, self.resp)

    def close(self) -> None:
        """Close the connection at once, without its unread replies."""
        if not self.closing:
            self.closing = True
            self.drop_backlog()
            self.forget()
            self.transport.abort()

    def resume(self) -> None:
        """Go on with a batch that had to stop."""
        may_serve: cython.bint = self.waiting and not self.choked and self.blocked is None
        may_serve = may_serve and not self.closing and not self.ending
        if may_serve and self.hub.serving is not self:
            self.serve()

    def input_bytes(self) -> int:
        return self.reader.held_bytes() + self.held_len

    def args_bytes(self) -> int:
        return self.reader.args_bytes

    def output_bytes(self) -> int:
        return self.unread()

    def check_output(self) -> None:
        if not self.closing and self.backlog_len > 0 and self.over_limits(0):
            self.close_for_output()

    def trust(self) -> None:
        self.authenticated = True
        self.reader.trusted = True
        self.hub.strangers.pop(self.id, None)

    def distrust(self) -> None:
        self.authenticated = self.reader.trusted = False
        self.hub.strangers[self.id] = self

    # -- one batch -----------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def serve(self) -> cython.int:
        """Execute what the reader's window holds; the replies leave at the end of the round, if nothing presses."""
        hub: Hub = self.hub
        if self.reply_len > 0:
            hub.send_unsent()
        start: cython.Py_ssize_t = hub.replies.size
        hub.start = start
        hub.serving = self
        self.waiting = False
        try:
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
                if not hub.unsent:
                    hub.loop.call_soon(hub.send_unsent)
                hub.unsent.append(self)
        if self.closing:
            return 0
        if self.backlog_len > 0:
            self.wait_for_room()
        if self.close_after_reply:
            return self.end()
        if self.waiting:
            self.reader.hold()
        elif self.reading_paused:
            self.set_reading(True)
        if self.reader.unparsed_bytes() > hub.limits.query_buffer_limit:
            self.close_for_input()
        return 0

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
                self.send_from(start, False)
            if self.choked or self.closing:
                return True
            if table.mark_ns > turn_ends_ns:
                hub.loop.call_soon(self.resume)
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
        if self.held is None:
            self.held = collections.deque()
        self.held.append(PyByteArray_AS_STRING(self.hub.input)[:length])
        self.held_len += length
        if self.held_len > MAX_HELD:
            self.set_reading(False)
        if self.held_len > self.hub.limits.query_buffer_limit:
            self.close_for_input()
        return 0

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
    def send(self, data: cython.p_const_char, length: cython.Py_ssize_t, more: cython.bint) -> cython.int:
        """To the kernel as much as it takes, the rest to the backlog; unless the peer has too much to read already."""
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
        sent: cython.Py_ssize_t = self.send_now(value, len(value), True)
        if not self.closing and sent < len(value):
            self.keep(value, sent)
        return 0

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def send_now(self, data: cython.p_const_char, length: cython.Py_ssize_t, more: cython.bint) -> cython.Py_ssize_t:
        """How much the kernel has taken; the connection is closed if the rest must not be kept."""
        hub: Hub = self.hub
        hub.stats.writes_processed += 1
        hub.stats.net_output_bytes += length
        if hub.hard_limit + hub.soft_limit > 0 and self.over_limits(length):
            self.close_for_output()
            return 0
        if self.backlog_len > 0:
            self.send_backlog()
        sent: cython.Py_ssize_t = 0
        if self.backlog_len == 0 and not self.handed and not self.closing:
            sent = send_to_socket(self.fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT | (MSG_MORE if more else 0))
            if sent < 0:
                sent = 0
                if errno != EAGAIN and errno != EINTR:
                    self.close()
        if not self.authenticated and self.unread() + length - sent > MAX_UNSENT_TO_STRANGERS and not self.closing:
            self.close_for_output()  # before the rest is held: many strangers may come in one round
        return sent

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, data: bytes, at: cython.Py_ssize_t) -> cython.int:
        """Put what lies behind `at` into the backlog."""
        if self.backlog_len == 0:
            self.backlog = collections.deque()
            self.backlog_at = at
        self.backlog.append(data)
        self.backlog_len += len(data) - at
        if self.backlog_len > MAX_UNSENT:
            self.choked = self.waiting = True
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_backlog(self) -> cython.int:
        """Send of the backlog what the kernel takes."""
        while self.backlog_len > 0 and not self.handed:
            piece: bytes = self.backlog[0]
            length: cython.Py_ssize_t = len(piece) - self.backlog_at
            data: cython.p_const_char = piece
            more: cython.bint = length < self.backlog_len
            sent: cython.Py_ssize_t = send_to_socket(
                self.fd, data + self.backlog_at, length, MSG_NOSIGNAL | MSG_DONTWAIT | (MSG_MORE if more else 0)
            )
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
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
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wait_for_room(self) -> cython.int:
        """Hand the transport the beginning of the backlog: it calls resume_writing when the kernel has taken that."""
        while self.backlog_len > 0 and not self.handed:
            piece: bytes = self.backlog[0]
            start: bytes = piece[self.backlog_at : self.backlog_at + HANDED_BYTES]
            self.pass_piece(len(start))
            self.handed_len = len(start)
            self.transport.write(start)  # calls pause_writing unless the kernel takes it
            if not self.handed:
                self.handed_len = 0
                self.send_backlog()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on_sending(self) -> cython.int:
        """After a part of the backlog has left."""
        self.wait_for_room()
        if self.closing:
            return 0
        if self.ending:
            return self.end()
        if self.choked and self.backlog_len <= MAX_UNSENT // 4:
            self.choked = False
            self.resume()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_backlog(self) -> cython.int:
        self.hub.released_bytes += self.backlog_len
        self.backlog = None
        self.backlog_len = 0
        return 0

    def add_pushed(self) -> None:
        """Put what `push` has collected behind the reply."""
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
        self.wait_for_room()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unread(self) -> cython.Py_ssize_t:
        """Bytes that replies hold which the peer has not taken yet."""
        if self.backlog_len == 0:
            return self.handed_len
        return self.backlog_len + self.handed_len + PIECE_BYTES * len(self.backlog)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def over_limits(self, more: cython.Py_ssize_t) -> cython.bint:
        """Whether `more` bytes of output are too many, by client-output-buffer-limit."""
        hub: Hub = self.hub
        total: cython.longlong = self.unread() + more
        if hub.hard_limit > 0 and total >= hub.hard_limit:
            return True
        if hub.soft_limit > 0 and total >= hub.soft_limit:
            hub.table.begin_batch()
            if self.soft_since_ns == 0:
                self.soft_since_ns = hub.table.mark_ns
            return hub.table.mark_ns - self.soft_since_ns > hub.soft_seconds * 1000000000
        self.soft_since_ns = 0
        return False

    # -- ends ----------------------------------------------------------------------------------------------------------

    def refusal(self) -> object:
        """Why this peer may not come in, as a reply; or None."""
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
        self.ending = self.close_after_reply = True
        self.waiting = False
        self.held = None
        self.held_len = 0
        self.leave()
        if self.backlog_len == 0 and not self.handed:
            self.closing = True
            self.transport.close()
        else:
            self.set_reading(False)
        return 0

    def refuse_input(self, error: object) -> None:
        """The peer broke RESP: tell it, then close."""
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

    def close_for_output(self) -> None:
        self.hub.log.warning(
            f"Client {self.describe()} scheduled to be closed ASAP for overcoming of output buffer limits."
        )
        self.close()

    def close_for_input(self) -> None:
        self.hub.log.warning(f"Closing client that reached max query buffer length: {self.describe()}")
        self.close()

    def describe(self) -> str:
        """The client in a log line."""
        return f"id={self.id} addr={self.addr.decode('utf-8', 'surrogateescape')}"

    def forget(self) -> None:
        """Leave nothing behind, not even a name in the registry."""
        self.hub.clients.pop(self.id, None)
        self.hub.strangers.pop(self.id, None)
        self.leave()

    def leave(self) -> None:
        """Take no more part: monitors, blocked clients, watched keys."""
        self.hub.server.forget(self)
        self.discard_transaction()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_reading(self, wanted: cython.bint) -> cython.int:
        if wanted == self.reading_paused:
            self.reading_paused = not wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_keepalive(self, seconds: cython.int) -> cython.int:
        """Probe after `seconds` of silence, and again 3 times at a third of that."""
        on: cython.int = 1
        interval: cython.int = max(1, seconds // 3)
        count: cython.int = 3
        setsockopt(self.fd, SOL_SOCKET, SO_KEEPALIVE, cython.address(on), cython.sizeof(on))
        setsockopt(self.fd, IPPROTO_TCP, TCP_KEEPIDLE, cython.address(seconds), cython.sizeof(on))
        setsockopt(self.fd, IPPROTO_TCP, TCP_KEEPINTVL, cython.address(interval), cython.sizeof(on))
        setsockopt(self.fd, IPPROTO_TCP, TCP_KEEPCNT, cython.address(count), cython.sizeof(on))
        return 0


def socket_names(transport: object) -> tuple:
    """The peer's and our own address as CLIENT LIST shows them."""
    own = transport.get_extra_info("sockname")
    if not isinstance(own, tuple):
        name = (own if isinstance(own, bytes) else str(own).encode("utf-8", "surrogateescape")) + b":0"
        return name, name
    return address_text(transport.get_extra_info("peername")), address_text(own)


def address_text(address: object) -> bytes:
    """b"127.0.0.1:6379" or b"[::1]:6379"; a peer that is gone already has no address."""
    if not address:
        return b"?:0"
    host = address[0]
    return (f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}").encode()
