"""The file that a save writes before it takes the dump's place: whole and durable there, or gone.

    temp-<pid>.rdb  -- fsync --  rename to `dbfilename`  -- fsync of the directory

Bytes are collected in one of two blocks while a thread writes the other: the walk and the disk work at the same time.
Blocks go to the disk past the page cache (O_DIRECT), so that a snapshot takes no memory for pages that nobody will
read, pushes nothing else out of the cache, and leaves no burst for the final fsync. Measured for 1 GB on ext4: 0.05 s
of processor time in the kernel against 0.35 to 1 s for writes through the cache, of which a busy machine makes
seconds.

Where there is no O_DIRECT, the cache is emptied onto the disk as the file grows, by sync_file_range: the newest
window is begun, the one before is waited for. `rdb-save-incremental-fsync no` leaves all of this to the final fsync.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NoReturn

import anycrc

from minikv.errors import SaveError
from minikv.persistence import rdb_format
from minikv.persistence.disk import Disk

BLOCK_LEN = 1 << 20  # bytes of one write; larger ones gain nothing, and are memory of the child's own
SLACK_LEN = 128 << 10  # behind it, so that a walker always finds room for the largest record outside pages
ALIGNMENT = 4096  # of addresses, offsets and lengths of direct writes
WINDOW_LEN = 8 << 20  # bytes in flight to the disk when the page cache is used

TEMP_NAME = re.compile(r"temp-([0-9]{1,10})\.rdb")


def temp_name(pid: int) -> str:
    """The file that process `pid` writes."""
    return f"temp-{pid}.rdb"


class TempFile:
    """Collects, checksums and writes; then `commit` or `discard`, either of which ends its thread.

    It is locked as long as a process works on it: stale_files() tells what dead ones left. SaveError has Redis's log
    lines.
    """

    def __init__(self, directory: str, disk: Disk, *, checksum: bool, incremental: bool) -> None:
        self._directory = directory
        self._disk = disk
        self._name = temp_name(os.getpid())
        self._path = os.path.join(directory, self._name)
        self._crc = anycrc.Model(rdb_format.CHECKSUM_MODEL) if checksum else None
        self.checksum = 0  # of all that was added; stays 0 when checksums are off
        self.length = 0  # bytes added
        self._blocks = [_new_block(), _new_block()]
        self._used = 0  # bytes in the first block, which is being filled; the second one is free or being written
        self._thread: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._begun = threading.Semaphore(0)
        self._incremental = incremental
        self._written = 0
        self._window_start = 0
        self._previous_start = 0
        self._direct = incremental
        self._fd = self._open()
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            if self._direct:
                try:
                    return self._disk.open(self._path, flags | os.O_DIRECT, 0o644)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    self._direct = False
            return self._disk.open(self._path, flags, 0o644)
        except OSError as error:
            raise SaveError(
                f"Failed opening the temp RDB file {self._name} (in server root dir {self._directory}) for saving:"
                f" {error.strerror}"
            ) from error

    # -- filling

    def space(self) -> memoryview:
        """Where the next bytes may be written, at least SLACK_LEN; `advance` takes them."""
        return self._blocks[0][self._used :]

    def advance(self, nbytes: int) -> None:
        """Take the first nbytes of `space`."""
        added = self._blocks[0][self._used : self._used + nbytes]
        if self._crc is not None:
            self.checksum = self._crc.calc(added, self.checksum)
        self._used += nbytes
        self.length += nbytes
        if self._used >= BLOCK_LEN:
            self._hand_over()

    def add(self, data: bytes) -> None:
        """Take bytes that lie elsewhere."""
        at = 0
        while at < len(data):
            space = self.space()
            piece = data[at : at + len(space)]
            space[: len(piece)] = piece
            self.advance(len(piece))
            at += len(piece)

    def _hand_over(self) -> None:
        """Give the filled block to the thread and go on in the other one, with the part that is not aligned."""
        self._wait()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1)
        filled, other = self._blocks
        whole = self._used - self._used % ALIGNMENT
        rest = self._used - whole
        other[:rest] = filled[whole : self._used]
        self._writing = self._thread.submit(self._write_beside, filled[:whole])
        self._begun.acquire()
        self._blocks = [other, filled]
        self._used = rest

    def _wait(self) -> None:
        """Until nothing is being written; raises what went wrong there."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    # -- writing, in the thread or after its end

    def _write_beside(self, data: memoryview) -> None:
        """Write while the walk goes on, which keeps the interpreter's lock: so it waits until this has begun."""
        self._begun.release()
        self._write(data)

    def _write(self, data: memoryview) -> None:
        while data:
            try:
                written = self._disk.write(self._fd, data)
            except OSError as error:
                if not (self._direct and error.errno == errno.EINVAL):
                    _fail("write", error)
                self._use_cache()  # another alignment than ours is wanted
                continue
            self._written += written
            data = data[written:]
            if self._direct and written % ALIGNMENT:
                self._use_cache()
        if self._incremental and not self._direct and self._written - self._window_start >= WINDOW_LEN:
            self._next_window()

    def _use_cache(self) -> None:
        self._direct = False
        self._window_start = self._previous_start = self._written
        fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT)

    def _next_window(self) -> None:
        """Hand the newest window to the disk, wait for the one before."""
        start, end = self._window_start, self._written
        try:
            self._disk.start_writeback(self._fd, start, end - start)
            if start > self._previous_start:
                self._disk.finish_writeback(self._fd, self._previous_start, start - self._previous_start)
        except OSError as error:
            _fail("sync_file_range", error)
        self._previous_start, self._window_start = start, end

    # -- the end

    def commit(self, name: str, check: Callable[[str], None] | None = None) -> None:
        """Make the file durable and give it its name. check: looks at the finished file before, and may raise."""
        self._wait()
        if self._direct:
            self._use_cache()  # the last bytes do not fill a sector
        self._write(self._blocks[0][: self._used])
        self._end_thread()
        self._try("fsync", self._disk.fsync, self._fd)
        fd, self._fd = self._fd, -1
        self._try("close", self._disk.close, fd)
        if check is not None:
            check(self._path)
        try:
            self._disk.rename(self._path, os.path.join(self._directory, name))
        except OSError as error:
            raise SaveError(
                f"Error moving temp DB file {self._name} on the final destination {name}"
                f" (in server root dir {self._directory}): {error.strerror}"
            ) from error
        self._sync_directory()

    def _sync_directory(self) -> None:
        """Until the directory is on the disk, a power cut brings the old name back."""
        try:
            fd = self._disk.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._disk.fsync(fd)
            finally:
                self._disk.close(fd)
        except OSError as error:
            _fail("fsyncFileDir", error)

    def discard(self) -> None:
        """Leave nothing behind; harmless after commit."""
        with contextlib.suppress(OSError):  # the failure that brought us here is the one to report
            self._disk.unlink(self._path)
        self._end_thread()
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                self._disk.close(self._fd)

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    @staticmethod
    def _try(operation: str, call: Callable[[int], None], fd: int) -> None:
        try:
            call(fd)
        except OSError as error:
            _fail(operation, error)


def _fail(operation: str, error: OSError) -> NoReturn:
    raise SaveError(f"Write error while saving DB to the disk({operation}): {error.strerror}") from error


def _new_block() -> memoryview:
    """Memory of whole pages; it comes into being as it is filled."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return memoryview(mmap.mmap(-1, BLOCK_LEN + SLACK_LEN + ALIGNMENT, flags=flags))


# -- what dead writers left


def stale_files(directory: str) -> list[str]:
    """Names of temporary files whose writers are gone: killed with their server, or in a crash of the machine."""
    found = [match for name in os.listdir(directory) if (match := TEMP_NAME.fullmatch(name))]
    return sorted(match[0] for match in found if _is_stale(directory, int(match[1])))


def _is_stale(directory: str, pid: int) -> bool:
    """Nobody locks the file, and no process has its number: redis-server takes no lock, we write nothing yet."""
    if pid != os.getpid() and _is_alive(pid):
        return False
    try:
        fd = os.open(os.path.join(directory, temp_name(pid)), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state = stat.read().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")  # dead, and only not yet taken notice of
