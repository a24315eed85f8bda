"""The snapshot child: from the fork to os._exit.

The child is a copy of a running server, of which it may use almost nothing: no event loop, no garbage collection, no
client's descriptor (a connection that the parent closes would stay open for its client until the child ends, and a
restarted server would find its port taken). It walks the frozen arena, writes the file, and tells its parent how far
it is through the progress page. Whatever happens, it ends here: nothing returns into the server's code.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from minikv.errors import SaveError
from minikv.persistence import progress, rdb_writer
from minikv.persistence.cost import Figures, Pace, ReadRollup, rollup_or_none
from minikv.persistence.disk import Disk
from minikv.persistence.forking import restore_signals
from minikv.persistence.progress import Phase, Progress
from minikv.persistence.rdb_writer import SaveSettings, Walker

if TYPE_CHECKING:
    from minikv.log import Log

EXIT_SAVED = 0
EXIT_FAILED = 1
EXIT_KILLED_ON_PURPOSE = 255  # SIGUSR1: the parent sets no error status

TITLE = b"minikv-bgsave"  # at most 15 bytes
OOM_SCORE = 800  # of -1000 to 1000, as Redis gives its children
LOG_INTERVAL_S = 1.0
MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """All that the child needs, prepared before the fork."""

    make_walker: Callable[[], Walker]
    settings: SaveSettings
    used_memory: int
    progress: Progress
    log: Log
    disk: Disk
    read_rollup: ReadRollup
    parent_pid: int
    oom_score: int | None = None  # from the settings


def run(job: Job) -> NoReturn:
    """Be the child. Never returns, never raises."""
    status = EXIT_FAILED
    try:
        gc.disable()
        log = job.log.as_child()
        _reset_signals(log)
        _close_descriptors(keep=-1 if log.path else log.fd)
        _set_title()
        _offer_to_the_oom_killer(OOM_SCORE if job.oom_score is None else job.oom_score)
        status = _save(job, log)
    except BaseException:
        with contextlib.suppress(BaseException):
            for line in traceback.format_exc().splitlines():
                log.warning(line)
    finally:
        os._exit(status)


def _save(job: Job, log: Log) -> int:
    report = _Report(job, log)
    try:
        saved = rdb_writer.save(
            job.make_walker(), job.settings, used_memory=job.used_memory, observer=report, disk=_careful(job)
        )
    except SaveError as error:
        cause = error.__cause__
        job.progress.store(progress.ERRNO, cause.errno or 0 if isinstance(cause, OSError) else 0)
        log.warning(str(error))
        return EXIT_FAILED
    job.progress.store(progress.BYTES, saved.nbytes)
    job.progress.store(progress.PHASE, Phase.RENAMED)
    log.notice("DB saved on disk")
    report.finish()
    return EXIT_SAVED


def _careful(job: Job) -> Disk:
    """The disk, whose rename refuses to let an orphan replace what a restarted server has saved meanwhile.

    A child that has lost its server goes on: its snapshot may be the best that is left. But it must not win over a
    later one.
    """
    dump = os.path.join(job.settings.directory, job.settings.filename)
    before = _identity(dump)

    def rename(source: str, target: str) -> None:
        if os.getppid() != job.parent_pid and _identity(dump) != before:
            raise OSError(errno.ESTALE, "the server has ended, and a later dump is there")
        job.disk.rename(source, target)

    return replace(job.disk, rename=rename)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


class _Report:
    """Follows the save, into the progress page and the log."""

    def __init__(self, job: Job, log: Log) -> None:
        self._progress = job.progress
        self._read_rollup = job.read_rollup
        self._log = log
        self._pid = os.getpid()
        self._pace = Pace()
        self._private_dirty = Figures()
        self._logged_at = time.monotonic()
        job.progress.store(progress.PHASE, Phase.WALKING)

    def passed(self, walker: Walker, nbytes: int) -> None:
        self._progress.store(progress.BYTES, nbytes)
        if self._pace.due():  # before release(): what lies behind is still ours, this is the peak
            self._look()
            if time.monotonic() - self._logged_at >= LOG_INTERVAL_S:
                self._tell(self._log.verbose)
        walker.release()

    def syncing(self) -> None:
        self._look()
        self._progress.store(progress.PHASE, Phase.SYNCING)

    def verified(self, nbytes: int) -> None:
        self._progress.store(progress.VERIFIED, nbytes)
        self._progress.store(progress.PHASE, Phase.VERIFYING)

    def finish(self) -> None:
        self._look()
        self._tell(self._log.notice)

    def _look(self) -> None:
        self._pace.begin()
        rollup = rollup_or_none(self._read_rollup, self._pid)
        if rollup is not None:
            self._private_dirty.add(rollup.private_dirty)
        self._progress.store(progress.PRIVATE_DIRTY, self._private_dirty.current)
        self._progress.store(progress.PRIVATE_DIRTY_PEAK, self._private_dirty.peak)
        self._progress.store(progress.PRIVATE_DIRTY_AVERAGE, self._private_dirty.average)
        self._pace.end()

    def _tell(self, write: Callable[[str], None]) -> None:
        seen = self._private_dirty
        write(
            f"Fork CoW for RDB: current {seen.current // MB} MB, peak {seen.peak // MB} MB,"
            f" average {seen.average // MB} MB"
        )
        self._logged_at = time.monotonic()


def _reset_signals(log: Log) -> None:
    """Forget the server's handlers: they would wake the parent's event loop through the socket that both share."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    # Ctrl-C goes to the whole process group; it means the server, which ends its child itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end(_number: int, _frame: Any) -> NoReturn:
        log.warning("Received SIGUSR1 in child, exiting now.")
        os._exit(EXIT_KILLED_ON_PURPOSE)

    signal.signal(signal.SIGUSR1, end)
    restore_signals()


def _close_descriptors(keep: int) -> None:
    """All but the log's. The standard ones lead nowhere: else the dump gets one's number, and a stray print."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        if fd != keep:
            os.dup2(null, fd)
    end = 1 + max(int(name) for name in os.listdir("/proc/self/fd"))
    if keep > 2:
        os.closerange(3, keep)
        os.closerange(keep + 1, end)
    else:
        os.closerange(3, end)


def _offer_to_the_oom_killer(score: int) -> None:
    """When memory runs out, a snapshot is the smaller loss than the server."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(b"%d" % score)


def _set_title() -> None:
    with contextlib.suppress(OSError), open("/proc/self/comm", "wb", buffering=0) as comm:
        comm.write(TITLE)
