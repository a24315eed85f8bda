# cython: language_level=3, boundscheck=False, wraparound=False, auto_pickle=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""A client whose connection is encrypted.

    socket -> recv -> incoming -> decrypt -> receive
    transmit -> encrypt -> outgoing -> unsent -> send -> socket

OpenSSL works on two buffers in memory (ssl.MemoryBIO), so one recv(2) and one send(2) carry as many TLS records as
there are, and nothing waits inside OpenSSL for the socket.

Input: the poller knows what is in the socket, not what was read from it and is not decrypted. While there may be such
input (`has_more`), the connection asks for another turn at the end of the round, unless reading is paused. At most
INPUT_BYTES are read ahead.

Output: encrypted bytes can neither be taken back nor encrypted twice. Those that the kernel does not take wait in
`unsent`; until all of them have left, `transmit` says that the bytes they are made of (`promised`) were not sent. So
the backlog holds them, and every rule for backlogs (limits, ends, when the poller is asked) holds here, too.
Connection.send_backlog offers the same bytes again first, as OpenSSL's own SSL_write wants it.

Before hands are shaken a peer is a stranger, password or not: it is closed after a while, or for another one if there
are too many clients, and no command of it is read. OpenSSL's part of a connection is made when its first bytes come. A
handshake takes a millisecond, so a round has at most MAX_HANDSHAKES steps of them; the others are reported again.
"""

import contextlib
import ssl

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.libc.errno import EAGAIN, EINTR, errno
from cython.cimports.minikv.connection import BROKEN, NOTHING_YET, Connection, Hub
from cython.cimports.minikv.sockets import MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, recv, send_to_socket

from minikv.connection import PROTECTED
from minikv.tls import INPUT_BYTES, why

C_INPUT_BYTES = cython.declare(cython.Py_ssize_t, INPUT_BYTES)
# One send of them: as much is encrypted before the kernel is asked.
PLAIN_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)
# A few hundred new keys; more than any peer asks for before it reads.
MAX_OWN_BYTES = cython.declare(cython.Py_ssize_t, 16 * 1024)
MAX_HANDSHAKES = cython.declare(cython.int, 8)

WantRead = ssl.SSLWantReadError
Closed = ssl.SSLZeroReturnError


@cython.cclass
class TlsConnection(Connection):
    """A Connection whose `receive` and `transmit` encrypt."""

    def __init__(self, tls: object, hub: Hub, client_id: int):
        Connection.__init__(self, hub, client_id)
        self.tls = tls

    # -- input ---------------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-3, check=False)
    def fill(self) -> cython.Py_ssize_t:
        """Move what the socket has to `incoming`; as `receive`."""
        buffer: bytearray = self.tls.input
        data: cython.p_char = PyByteArray_AS_STRING(buffer)
        length: cython.Py_ssize_t = recv(self.fd, data, C_INPUT_BYTES, MSG_DONTWAIT)
        if length < 0:
            return NOTHING_YET if errno in (EAGAIN, EINTR) else BROKEN
        if length > 0:
            if self.session is None:
                self.begin()
            self.incoming.write(PyMemoryView_FromMemory(data, length, PyBUF_READ))
        return length

    @cython.cfunc
    @cython.exceptval(-3, check=False)
    def receive(self, data: cython.p_char, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        filled: cython.Py_ssize_t = 0
        if self.at_end:
            self.has_more = False
            return 0
        if not self.has_more:
            filled = self.fill()
            if filled <= 0:
                return filled
            filled = 0
        self.has_more = True
        try:
            while filled < size:
                length: cython.Py_ssize_t = self.decrypt(
                    size - filled, PyMemoryView_FromMemory(data + filled, size - filled, PyBUF_WRITE)
                )
                if length == 0:
                    self.at_end = True
                    break
                filled += length
                if filled < size and not self.incoming.pending:  # a record that has not fitted would have filled it
                    self.has_more = False
                    break
        except WantRead:
            self.has_more = False
        except Closed:
            self.at_end = True
        except ssl.SSLError:
            self.has_more = False
            self.send_own()
            return BROKEN
        if self.send_own() < 0:
            return BROKEN
        if filled == 0:
            return 0 if self.at_end else NOTHING_YET
        return filled

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take_input(self) -> cython.int:
        if not self.is_open:
            return self.shake_hands()
        Connection.take_input(self)
        self.ask_for_more()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self) -> cython.int:
        Connection.go_on(self)
        if self.has_more and not self.closing and not self.ending and not self.reading_paused:
            return self.take_input()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_reading(self, wanted: cython.bint) -> cython.int:
        Connection.set_reading(self, wanted)
        self.ask_for_more()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def ask_for_more(self) -> cython.int:
        """The poller does not know of input that was read from the socket already."""
        if self.has_more and not self.closing and not self.ending and not self.reading_paused:
            self.resume()
        return 0

    # -- output --------------------------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-3, check=False)
    def transmit(self, data: cython.p_const_char, length: cython.Py_ssize_t, more: cython.bint) -> cython.Py_ssize_t:
        taken: cython.Py_ssize_t = 0
        result: cython.Py_ssize_t
        if not self.is_open:
            return BROKEN
        if self.unsent is not None:
            result = self.send_encrypted(more)
            if result <= 0:
                return result
            taken = self.promised
            self.promised = 0
        while taken < length:
            end: cython.Py_ssize_t = min(length, taken + PLAIN_BYTES)
            at: cython.Py_ssize_t = taken
            try:
                while at < end:
                    written: cython.Py_ssize_t = self.encrypt(
                        PyMemoryView_FromMemory(cython.cast(cython.p_char, data) + at, end - at, PyBUF_READ)
                    )
                    at += written
            except ssl.SSLError:
                return BROKEN
            result = self.send_encrypted(more or end < length)
            if result < 0:
                return result
            if result == 0:
                self.promised = end - taken
                return taken
            taken = end
        return taken

    @cython.cfunc
    @cython.exceptval(-3, check=False)
    def send_encrypted(self, more: cython.bint) -> cython.Py_ssize_t:
        """Send what is encrypted: 1 if all of it has left, 0 if the rest is kept, or BROKEN."""
        if self.unsent is None:
            self.unsent = self.outgoing.read()
            self.unsent_at = self.own_len = 0
        data: cython.p_const_char = self.unsent
        length: cython.Py_ssize_t = len(self.unsent)
        while self.unsent_at < length:
            sent: cython.Py_ssize_t = send_to_socket(
                self.fd,
                data + self.unsent_at,
                length - self.unsent_at,
                MSG_NOSIGNAL | MSG_DONTWAIT | (MSG_MORE if more else 0),
            )
            if sent < 0:
                return 0 if errno in (EAGAIN, EINTR) else BROKEN
            self.unsent_at += sent
        self.unsent = None
        return 1

    @cython.cfunc
    @cython.exceptval(-3, check=False)
    def send_own(self) -> cython.Py_ssize_t:
        """Send alerts and keys of OpenSSL's own; what the kernel does not take leaves with the next reply.

        A peer may ask for keys without end and not read them: they count as unread output.
        """
        if not self.outgoing.pending:
            return 0
        if self.unsent is None:
            return self.send_encrypted(False)
        self.own_len = self.outgoing.pending
        if self.own_len > MAX_OWN_BYTES or self.over_limits(0):
            self.log_output()
            return BROKEN
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unread(self) -> cython.Py_ssize_t:
        return Connection.unread(self) + self.own_len

    # -- the beginning and the end -------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin(self) -> cython.int:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = self.tls.accept(self.incoming, self.outgoing)
        calls = getattr(self.session, "_sslobj", self.session)  # without the Python in between: 0.3 us a request
        self.decrypt = calls.read
        self.encrypt = calls.write
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def shake_hands(self) -> cython.int:
        """Answer the peer's part of the handshake."""
        hub: Hub = self.hub
        if hub.handshakes >= MAX_HANDSHAKES:
            return 0
        hub.handshakes += 1
        length: cython.Py_ssize_t = self.fill()
        if length == NOTHING_YET:
            return 0
        if length <= 0:
            return self.refuse("unexpected eof while reading" if length == 0 else "Connection reset by peer")
        is_done: cython.bint = True
        try:
            self.session.do_handshake()
        except WantRead:
            is_done = False
        except OSError as error:
            self.send_encrypted(False)  # the alert, which says why
            return self.refuse(why(error))
        # What a peer does not take now it does not need: a flight is smaller than any socket's buffer.
        if self.send_encrypted(False) <= 0:
            return self.refuse("the peer does not take the handshake")
        return self.open() if is_done else 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def open(self) -> cython.int:
        """Hands have been shaken: from here on it is a client like any other."""
        self.is_open = True
        if not self.must_log_in:
            self.hub.strangers.pop(self.id, None)
        if self.hub.local_only and not self.is_local():
            self.hub.stats.connections_rejected += 1
            text: bytes = PROTECTED
            self.transmit(text, len(text), False)
            self.close()
            return 0
        self.has_more = self.incoming.pending > 0
        return self.ask_for_more()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refuse(self, reason: object) -> cython.int:
        self.hub.log.warning(
            f"Error accepting a client connection: {reason} (addr={self.addr.decode()} laddr={self.laddr.decode()})"
        )
        self.close()
        return 0

    def refusal(self) -> object:
        """Too many clients: no text, because hands have not been shaken. Protected mode waits until they are."""
        return None if self.hub.has_place() else b""

    def review(self) -> None:
        Connection.review(self)
        if not self.is_open:
            self.hub.strangers[self.id] = self

    def is_suspect(self) -> bool:
        return not self.is_open or Connection.is_suspect(self)

    def close(self) -> None:
        if self.is_open and not self.closing and self.unsent is None:
            with contextlib.suppress(OSError):  # it wants the peer's answer, and we do not wait for it
                self.session.unwrap()
            self.send_encrypted(False)
        Connection.close(self)
