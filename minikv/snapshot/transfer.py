"""One dump on its way to one or several readers.

    child -> pipe -> chunks -> each reader's queue -> connection           PipeTransfer: while the dump is made
    child -> file without a name -> chunks -> ...                          FileTransfer: when it is complete

Chunks are shared by the queues. The source is not read while a queue holds WINDOW_BYTES, so the slowest reader sets the
pace of all, and memory is bounded. A reader that takes nothing at all is closed: after HOLDS_UP_S if others wait for
it, else after repl-timeout.

The mark that ends the form without a length is sent when the child has succeeded, and not before: a reader never takes
half a dump for a whole one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
import time
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from minikv.log import Log

CHUNK_BYTES = 256 << 10  # of one read, a few hundred microseconds of the event loop
PIPE_BYTES = 1 << 20  # the most that an ordinary user may have
WINDOW_BYTES = 4 << 20
HOLDS_UP_S = 10.0


class Peer(Protocol):
    def feed(self, data: bytes, at: int) -> int: ...
    def close(self) -> None: ...


class Reader:
    """One client that is sent a dump, and what it is still to be sent.

    head: bytes before the dump. is_done: it has everything, or has been told why not.
    """

    def __init__(
        self,
        client: Peer,
        name: str,
        head: bytes,
        *,
        port: int = 0,
        takes_eof: bool = True,
        dump_only: bool = False,
        log: Log,
    ) -> None:
        self.client = client
        self.name = name
        self.port = port
        self.takes_eof = takes_eof
        self.dump_only = dump_only
        self.is_done = False
        self.is_sent = False  # its dump has begun
        self.queued_bytes = 0
        self.on_progress: Callable[[], None] | None = None
        self._log = log
        self._head = head
        self._queue: deque[bytes] = deque()
        self._at = 0  # in the first piece of the queue
        self._ends = False
        self._goodbye = ""
        self._moved_at = 0.0  # when it took something, or had taken everything

    @property
    def state(self) -> str:
        """In INFO's words."""
        return "send_bulk" if self.is_sent else "wait_bgsave"

    def begin(self, head: bytes) -> None:
        """The dump comes."""
        self.is_sent = True
        self.add(self._head + head)

    def add(self, data: bytes) -> None:
        """Send this as well."""
        if not self._queue:
            self._moved_at = time.monotonic()
        self._queue.append(data)
        self.queued_bytes += len(data)

    def ping(self) -> None:
        """An empty line, which readers skip before the dump."""
        if not self._queue:
            self.add(b"\n")
            self.send()

    def end(self, goodbye: str) -> None:
        """Close it when it has taken everything, and log this."""
        self._ends = True
        self._goodbye = goodbye
        self.send()

    def refuse(self, error: bytes) -> None:
        """Send an error instead of a dump."""
        self.add(error)
        self.end(f"Closing the connection with replica {self.name}: it was refused")

    def drop(self, reason: str) -> None:
        """Close it at once."""
        self._log.warning(reason)
        self.is_done = True
        self.client.close()

    def send(self) -> None:
        """Send what the connection takes."""
        queue = self._queue
        while queue:
            data = queue[0]
            taken = self.client.feed(data, self._at)
            if taken < 0:
                return
            if taken:
                self._moved_at = time.monotonic()
            self._at += taken
            self.queued_bytes -= taken
            if self._at < len(data):
                break
            queue.popleft()
            self._at = 0
        if not queue and self._ends and not self.is_done:
            self.is_done = True
            self._log.notice(self._goodbye)
            self.client.close()
        elif self.on_progress is not None:
            self.on_progress()

    def idle_s(self, now: float) -> float:
        """How long it has taken nothing although there was something."""
        return now - self._moved_at if self._queue else 0.0

    def check(self, now: float, timeout_s: float) -> None:
        if self.idle_s(now) > timeout_s and not self.is_done:
            self.drop(f"Disconnecting timedout replica (full sync): {self.name}")


class Transfer:
    """A dump for some readers, which others add to: `begin`, `add` ..., `end` or `fail`."""

    def __init__(self, readers: list[Reader], log: Log) -> None:
        self.readers = list(readers)
        self.mark = secrets.token_hex(20).encode()
        self.is_over = False  # nothing more will come
        self.on_abandoned: Callable[[], object] | None = None
        self._log = log
        for reader in readers:
            reader.on_progress = self.go_on

    def begin(self, head: bytes) -> None:
        """Send each reader what comes before the dump."""
        for reader in self.readers:
            reader.begin(head)
        self._send()

    def add(self, chunk: bytes) -> None:
        """Send a chunk to all."""
        for reader in self.readers:
            reader.add(chunk)
        self._send()

    def _send(self) -> None:
        for reader in list(self.readers):
            reader.send()

    def end(self) -> None:
        """The dump is complete: each reader is closed when it has all of it."""
        self.is_over = True
        for reader in list(self.readers):
            reader.on_progress = None
            reader.end(
                f"RDB transfer completed, rdb only replica ({reader.name}) should be disconnected asap"
                if reader.dump_only
                else f"Replica {reader.name} has the dump. Closing the connection: minikv has no replication stream"
            )

    def fail(self) -> None:
        """The dump will never be complete."""
        self.is_over = True
        for reader in list(self.readers):
            reader.drop(f"Closing the connection with replica {reader.name}: its dump is not complete")

    def forget(self, reader: Reader) -> None:
        """The reader's connection is closed."""
        if reader in self.readers:
            self.readers.remove(reader)
            if not self.is_over:
                if not self.readers:
                    self.abandon()
                else:
                    self.go_on()

    def abandon(self) -> None:
        """Nobody reads it."""

    def go_on(self) -> None:
        """A reader has taken something."""

    @property
    def has_room(self) -> bool:
        return max((reader.queued_bytes for reader in self.readers), default=0) < WINDOW_BYTES

    def check(self, now: float) -> None:
        """Close readers that take nothing while others wait for them."""
        if self.is_over or self.has_room:
            return
        if all(reader.queued_bytes for reader in self.readers):
            return
        for reader in list(self.readers):
            if reader.queued_bytes >= WINDOW_BYTES and reader.idle_s(now) > HOLDS_UP_S:
                reader.drop(f"Disconnecting replica {reader.name}: it takes nothing, and others wait for it")


class PipeTransfer(Transfer):
    """What a child writes into a pipe."""

    is_pipe = True

    def __init__(self, readers: list[Reader], log: Log, loop: AbstractEventLoop) -> None:
        super().__init__(readers, log)
        self._loop = loop
        self._source, self.fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._source, False)
        with contextlib.suppress(OSError):  # user-pipe-pages-soft
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._is_reading = False
        self._is_read = False  # to its end
        self._complete: bool | None = None  # how the child has ended

    @property
    def is_full(self) -> bool:
        return not self._is_reading and not self._is_read

    def started(self) -> None:
        self._close_output()
        self.go_on()

    def ended(self, complete: bool) -> None:
        self._complete = complete
        self._close_output()
        if complete:
            self._finish()
        elif not self.is_over:
            self._close()
            self.fail()

    def discard(self) -> None:
        """There is no child."""
        self.is_over = True
        self._close_output()
        self._close()

    def abandon(self) -> None:
        """The output stays open until the child has it: the number must not be that of another file by then."""
        self.is_over = True
        if self._complete is None:
            self._log.warning("Diskless rdb transfer, last replica dropped, killing fork child.")
            if self.on_abandoned is not None:
                self.on_abandoned()
        self._close()

    def go_on(self) -> None:
        if self._source < 0 or self._is_read or self.fd >= 0:
            return
        if self.has_room and not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._source, self._read)
        elif not self.has_room and self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._source)

    def _read(self) -> None:
        try:
            chunk = os.read(self._source, CHUNK_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self.add(chunk)
            self.go_on()
            return
        self._is_read = True
        self._log.notice(f"Diskless rdb transfer, done reading from pipe, {len(self.readers)} replicas still up.")
        self._close()
        self._finish()

    def _finish(self) -> None:
        """Both the child's success and the end of its bytes are needed; either comes first."""
        if self._is_read and self._complete and not self.is_over:
            self.add(self.mark)
            self.end()

    def _close(self) -> None:
        if self._is_reading:
            self._loop.remove_reader(self._source)
            self._is_reading = False
        if self._source >= 0:
            os.close(self._source)
            self._source = -1

    def _close_output(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class FileTransfer(Transfer):
    """What a child has written into a file, which is read by another thread: the disk may be slow."""

    is_pipe = False
    is_full = False

    def __init__(self, readers: list[Reader], log: Log, loop: AbstractEventLoop, directory: str) -> None:
        super().__init__(readers, log)
        self._loop = loop
        self.fd = open_nameless(directory)
        self._length = 0
        self._offset = 0
        self._has_ended = False
        self._pending: Future[bytes] | None = None

    def started(self) -> None:
        """The descriptor stays: it is read later."""

    def ended(self, complete: bool) -> None:
        self._has_ended = True
        if self.is_over:
            self._close()
            return
        if not complete:
            self._close()
            self.fail()
            return
        self._length = os.fstat(self.fd).st_size
        self.begin(b"$%d\r\n" % self._length)
        self.go_on()

    def discard(self) -> None:
        """There is no child."""
        self.is_over = True
        self._close()

    def abandon(self) -> None:
        self.is_over = True
        if self._has_ended:
            self._close()
            return
        self._log.warning("Rdb transfer, last replica dropped, killing fork child.")
        if self.on_abandoned is not None:
            self.on_abandoned()

    def go_on(self) -> None:
        if not self._has_ended or self.is_over or self._pending is not None or not self.has_room:
            return
        if self._offset == self._length:
            self._close()
            self.end()
            return
        self._pending = self._loop.run_in_executor(None, os.pread, self.fd, CHUNK_BYTES, self._offset)
        self._pending.add_done_callback(self._take)

    def _take(self, read: Future[bytes]) -> None:
        """A chunk was read."""
        error = read.exception()
        chunk = b"" if error is not None else read.result()
        if chunk and not self.is_over:
            self.add(chunk)
        self._pending = None
        self._offset += len(chunk)
        if self.is_over:
            self._close()
        elif chunk:
            self.go_on()
        else:
            self._log.warning(f"Read error sending DB to replica: {error or 'premature EOF'}")
            self._close()
            self.fail()

    def _close(self) -> None:
        if self.fd >= 0 and self._pending is None:
            os.close(self.fd)
            self.fd = -1


def open_nameless(directory: str) -> int:
    """A file of this directory's disk without a name: it is gone when nobody has it open."""
    with contextlib.suppress(OSError):  # the file system may not have such files
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fd, path = tempfile.mkstemp(prefix="temp-sync-", dir=directory)
    os.unlink(path)
    return fd
