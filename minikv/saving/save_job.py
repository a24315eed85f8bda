# cython: boundscheck=False, wraparound=False, cdivision=True
"""The memory that a save works with, and what Python sees of it.

    prepare                 what to save, and where; for a child, what it needs besides
    write, commit, abort    the steps of save.py in this process, without the interpreter's lock
    fork                    all of them in a child; or begin_fork, and forked when it is there
    release                 give the memory back

One SaveJob serves one save after the other. What a child needs is copied into memory that it inherits.
"""

import os

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.cpython.exc import PyErr_CheckSignals
from cython.cimports.libc.errno import E2BIG, ENAMETOOLONG
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.minikv.engine.memory import give_back, reserve, unmap
from cython.cimports.minikv.engine.progress import BYTES_SHARED
from cython.cimports.minikv.engine.walker import Walker, walk_end
from cython.cimports.minikv.saving.dump_file import (
    BLOCK_ROOM,
    BLOCKS,
    CALL_APPEND,
    CALL_CLONE,
    CALL_CLOSE,
    CALL_FORK,
    CALL_FSYNC,
    CALL_IO_SETUP,
    CALL_IO_SUBMIT,
    CALL_OPEN,
    CALL_RENAME,
    CALL_SYNC_RANGE,
    CALL_UNLINK,
    CALL_WRITE,
    CALLS,
)
from cython.cimports.minikv.saving.fork import fork_for
from cython.cimports.minikv.saving.fork_thread import ForkThread
from cython.cimports.minikv.saving.save import (
    ERROR_ROOM,
    ERRORS,
    LINE_ROOM,
    Save,
    Statistic,
    identity,
    monotonic_ns,
    save_abort,
    save_begin,
    save_commit,
    save_finish,
    save_step,
)
from cython.cimports.minikv.saving.unit_hash import HASH_KEY_WORDS
from cython.cimports.minikv.saving.units import drop_table, table_of

STRINGS_LEN = cython.declare(uint64_t, 1 << 20)  # room for what `keep` copies, besides the file's head
PATH_MAX = cython.declare(uint64_t, 4096)
# Blocks are shared by saves of at least this many bytes. A dump is hardly larger than its records and their share of
# padding; what lies beyond is not noted.
SHARE_MIN = cython.declare(uint64_t, 1 << 20)
PADDING_SHARE = cython.declare(uint64_t, 16)
# A save that shares less than this part of the file makes the next one do without, then the next three, and so on.
LITTLE = cython.declare(uint64_t, 8)
MOST_SKIPPED = cython.declare(cython.int, 15)
NAP_US = cython.declare(cython.longlong, 1000)  # with rdb-key-save-delay: sleep about this long at a time

CALLS_BY_NAME = {
    "open": CALL_OPEN,
    "io_setup": CALL_IO_SETUP,
    "io_submit": CALL_IO_SUBMIT,
    "write": CALL_WRITE,
    "sync_file_range": CALL_SYNC_RANGE,
    "fsync": CALL_FSYNC,
    "close": CALL_CLOSE,
    "rename": CALL_RENAME,
    "unlink": CALL_UNLINK,
    "fork": CALL_FORK,
    "append": CALL_APPEND,
    "clone": CALL_CLONE,
}


@cython.cfunc
def pid_or_error(pid: cython.int) -> object:
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return pid


class SaveJob:
    def __cinit__(self):
        self.save = cython.cast(cython.pointer[Save], reserve(cython.sizeof(Save), True))
        self.blocks = reserve(BLOCKS * BLOCK_ROOM, True)
        self._make_room(2 * STRINGS_LEN)  # no head is that long, unless there are functions
        self.refused = b""

    def __dealloc__(self):
        unmap(cython.cast(cython.pointer[uint8_t], self.save), cython.sizeof(Save))
        unmap(self.blocks, BLOCKS * BLOCK_ROOM)
        unmap(self.strings, self.strings_len)
        drop_table(self.known)
        drop_table(self.noted)

    def __init__(self) -> None:
        number: cython.int
        key: bytes = os.urandom(HASH_KEY_WORDS * 8)
        memcpy(cython.address(self.save.file.hash_key[0]), PyBytes_AS_STRING(key), HASH_KEY_WORDS * 8)
        for number in range(ERRORS):
            text: bytes = os.strerror(number).encode()[: ERROR_ROOM - 1]
            memcpy(cython.address(self.save.errors[number][0]), PyBytes_AS_STRING(text), len(text) + 1)

    def inject(self, faults: dict, write_max: int = 0) -> None:
        """For tests: what fails from now on.

        faults: by system call, errno (-1: the process is killed), first and last call that fails, counted from now.
        write_max: bytes that a write takes at most, 0 for no limit.
        """
        call: cython.int
        memset(cython.address(self.save.file.faults[0]), 0, CALLS * cython.sizeof(self.save.file.faults[0]))
        for name, (error, first, last) in faults.items():
            call = CALLS_BY_NAME[name]
            self.save.file.faults[call].error = error
            self.save.file.faults[call].first = first
            self.save.file.faults[call].last = last
        self.save.file.write_max = write_max

    def prepare(self, walker: Walker, settings: object, child: object = None) -> None:
        """Save what the walker gives, by SaveSettings; in a child if there are ChildSettings.

        OSError if memory, or the room for the child's words, does not suffice, or the path is too long.
        """
        save: cython.pointer[Save] = self.save
        head: bytes = settings.head()
        directory: bytes = os.fsencode(settings.directory)
        filename: bytes = os.fsencode(settings.filename)
        target: bytes = directory + b"/" + filename
        number: cython.int
        if len(target) >= PATH_MAX:
            raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG))
        self._make_room(STRINGS_LEN + len(head))
        self.walker = walker
        save.walk = walker.walk
        save.walk.compress = settings.compress
        save.progress = walker.walk.progress
        save.file.directory = self.keep(directory)
        save.file.output = settings.output
        save.file.is_pipe = settings.is_pipe
        save.file.checksum = settings.checksum
        save.file.incremental = settings.incremental_fsync
        for number in range(BLOCKS):
            save.file.blocks[number].start = self.blocks + number * BLOCK_ROOM
        save.filename = self.keep(filename)
        save.target = self.keep(target)
        save.head = cython.cast(cython.pointer[uint8_t], self.keep(head))
        save.head_len = len(head)
        self._set_pace(settings.key_delay_us)
        self._prepare_sharing(settings, directory)
        save.manifest = cython.NULL
        save.fork_began_ns = save.began_ns = 0
        if settings.point is not None:
            if len(settings.point.line) > LINE_ROOM // 2:
                raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG))
            save.manifest = self.keep(os.fsencode(settings.point.manifest))
            save.manifest_lock = self.keep(os.fsencode(settings.point.lock))
            save.point = self.keep(settings.point.line)
        save.parent = 0
        save.before = identity(save.target)
        save.verifier.arguments = cython.NULL
        save.verifier.pid = 0
        memset(cython.address(save.private_dirty), 0, cython.sizeof(Statistic))
        save.message[0] = 0
        if child is not None:
            self._prepare_child(child)

    def _prepare_sharing(self, settings: object, directory: bytes) -> cython.void:
        """Give the save the table of the dump before and one for its own, if blocks may be shared."""
        nbytes: uint64_t = self.walker.arena.live_bytes
        wanted: cython.bint = (
            settings.share_blocks
            and settings.checksum
            and settings.output < 0
            and self.save.walk.fresh == cython.NULL
            and nbytes >= SHARE_MIN
            and directory != self.refused
        )
        self.settle_sharing()
        if wanted and self.left_to_skip:
            self.left_to_skip -= 1
            wanted = False
        if settings.output < 0 and self.save.walk.fresh == cython.NULL and not wanted:
            drop_table(self.known)  # it will not be the dump's any more
            self.known = cython.NULL
        if wanted:
            self.noted = table_of(nbytes + nbytes // PADDING_SHARE + self.save.head_len)
        self.save.file.origin = (
            self.keep(os.fsencode(settings.dump_before)) if settings.dump_before else self.save.target
        )
        self.save.file.known = self.known
        self.save.file.noted = self.noted

    def settle_sharing(self) -> None:
        """The save is over: keep what it noted of the dump, if that is there now."""
        if self.noted == cython.NULL:
            return
        if self.noted.published:
            drop_table(self.known)
            self.known = self.noted
            if self.noted.compared and self.noted.shared * LITTLE < self.noted.stamp.nbytes:
                self.skipped = min(2 * self.skipped + 1, MOST_SKIPPED)
                self.left_to_skip = self.skipped
            elif self.noted.compared:
                self.skipped = 0
        else:
            if self.noted.refused:
                self.refused = bytes(self.save.file.directory)
            drop_table(self.noted)
        self.noted = cython.NULL

    def _set_pace(self, delay_us: cython.longlong) -> None:
        """Naps of about NAP_US, by rdb-key-save-delay: microseconds for each key; -n: one for n keys."""
        save: cython.pointer[Save] = self.save
        save.max_keys = save.nap_ns = 0
        if delay_us > 0:
            save.max_keys = max(1, NAP_US // delay_us)
            save.nap_ns = delay_us * 1000
        elif delay_us < 0:
            save.max_keys = -delay_us
            save.nap_ns = 1000 // -delay_us

    def _prepare_child(self, child: object) -> None:
        save: cython.pointer[Save] = self.save
        verifier: list = list(child.verifier)
        count: cython.Py_ssize_t = len(verifier)
        save.parent = os.getpid()
        save.oom_score = child.oom_score
        save.log.path = self.keep(child.log_path)
        save.log.fd = child.log_fd
        save.log.threshold = child.log_threshold
        save.log.utc_offset_s = child.utc_offset_s
        if count:
            save.verifier.arguments = self.keep_list([*verifier, b"", b""])
            save.verifier.arguments[count] = save.verifier.keys
            save.verifier.arguments[count + 1] = save.verifier.nbytes
            save.verifier.environment = self.keep_list([name + b"=" + value for name, value in os.environb.items()])

    def _make_room(self, nbytes: uint64_t) -> None:
        """Forget what was kept."""
        length: uint64_t = (nbytes + STRINGS_LEN - 1) & ~(STRINGS_LEN - 1)
        self.strings_used = 0
        if length > self.strings_len:
            unmap(self.strings, self.strings_len)
            self.strings = cython.NULL
            self.strings_len = 0
            self.strings = reserve(length, True)
            self.strings_len = length

    def keep(self, data: bytes) -> cython.p_char:
        """A copy that a child inherits, with a zero behind it."""
        nbytes: uint64_t = len(data) + 1
        if nbytes > self.strings_len - self.strings_used:
            raise OSError(E2BIG, os.strerror(E2BIG))  # the environment is that large
        at: cython.p_char = cython.cast(cython.p_char, self.strings + self.strings_used)
        memcpy(at, PyBytes_AS_STRING(data), nbytes)
        self.strings_used += (nbytes + 7) & ~cython.cast(uint64_t, 7)  # pointers come next; all room is a multiple of 8
        return at

    def keep_list(self, items: list) -> cython.pp_char:
        """The same of several, behind pointers to them that end in NULL."""
        number: cython.Py_ssize_t
        found: cython.pp_char = cython.cast(cython.pp_char, self.keep(bytes(8 * len(items) + 8)))
        for number in range(len(items)):
            found[number] = self.keep(items[number])
        return found

    # -- in this process

    def write(self) -> bool:
        """All, under the temporary name and on the disk; False if that fails. Signals are heard in between."""
        more: cython.bint
        done: cython.bint
        save: cython.pointer[Save] = self.save
        with cython.nogil:
            more = save_begin(save)
        while more:
            with cython.nogil:
                more = save_step(save)
            PyErr_CheckSignals()
        with cython.nogil:
            done = save_finish(save)
        return done

    def commit(self) -> bool:
        done: cython.bint
        save: cython.pointer[Save] = self.save
        with cython.nogil:
            done = save_commit(save)
        return done

    def abort(self) -> str:
        """Remove what there is. Returns what has failed, in Redis's words; empty if it was not one of these steps."""
        save_abort(self.save)
        return bytes(self.save.message).decode("utf-8", "surrogateescape") if self.save.file.step else ""

    def release(self) -> None:
        """Give memory back; the walker is of no more use."""
        walk_end(self.save.walk)
        self.settle_sharing()
        self.walker = None
        give_back(self.blocks, BLOCKS * BLOCK_ROOM)

    # -- in a child

    def start_thread(self) -> bool:
        """Let a thread make all forks from now on, if there can be one."""
        thread: ForkThread = ForkThread()
        if self.thread is None and thread.start():
            self.thread = thread
        return self.thread is not None

    def fork(self) -> tuple:
        """The pid of a child that carries it out, and the nanoseconds that the fork took; OSError."""
        ns: cython.ulonglong = 0
        if self.thread is not None:
            self.begin_fork()
            self.await_fork()
            return self.forked()
        self.save.fork_began_ns = monotonic_ns()
        pid: cython.int = fork_for(self.save, cython.address(ns), cython.NULL)
        return pid_or_error(pid), ns

    def begin_fork(self) -> None:
        """Let the thread fork; until it has, the arena is written to as Arena.open says."""
        self.save.fork_began_ns = monotonic_ns()
        self.thread.begin(self.save, cython.address(self.walker.arena.clone))

    def await_fork(self) -> None:
        """Wait until it has."""
        self.thread.wait()

    def forked(self) -> object:
        """The same as `fork` returns or raises; None: not yet."""
        if not self.thread.done():
            return None
        return pid_or_error(self.thread.state.pid), self.thread.state.ns

    # -- how it went

    @property
    def temp_path(self) -> bytes:
        return bytes(self.save.file.path)

    @property
    def keys(self) -> int:
        return self.save.walk.keys

    @property
    def nbytes(self) -> int:
        return self.save.file.length

    @property
    def digest(self) -> int:
        """The checksum at the end of the file."""
        return self.save.file.crc

    @property
    def bytes_shared(self) -> int:
        """With the dump before."""
        return self.save.progress[BYTES_SHARED]

    @property
    def errno(self) -> int:
        """Of the step that failed; 0: none did."""
        return self.save.file.error
