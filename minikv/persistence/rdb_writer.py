"""Write the data set into an RDB file, version 10.

The walker hands out the database opcodes and the records, already in the file's form; what is left to do is the
header, the checksum, and to see to it that the file is either whole and in its place or not there at all
(temp_file.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import minikv
from minikv.persistence import rdb_format
from minikv.persistence.disk import DISK, Disk
from minikv.persistence.temp_file import TempFile
from minikv.persistence.verify import verify

NAP_US = 1000  # with rdb-key-save-delay: sleep about this long at a time

REDIS_VERSION = "7.0.15"  # the version whose files these are


class Walker(Protocol):
    """The engine's walk over a frozen data set, in address order."""

    @property
    def keys(self) -> int:
        """Records that the walk has handed out."""

    def fill(self, buffer: memoryview, max_keys: int = 0, compress: bool = False) -> int:
        """Put opcodes and records into the buffer; bytes written, 0 at the end. max_keys: 0 is no limit."""

    def publish(self) -> None:
        """Tell the parent how far the walk is: what lies behind is ordinary memory again."""

    def release(self) -> None:
        """In a child: give back the memory that lies behind."""


@dataclass(frozen=True, slots=True)
class SaveSettings:
    """The settings of one save, as they were when it began."""

    directory: str
    filename: str
    compress: bool = True
    checksum: bool = True
    incremental_fsync: bool = True
    key_delay_us: int = 0  # sleep per key; -n: one microsecond for n keys
    verify: bool = False  # read it again before it replaces the old dump
    functions: tuple[bytes, ...] = ()  # libraries, as strings of the format

    @classmethod
    def of(cls, config: Any, functions: tuple[bytes, ...] = ()) -> SaveSettings:
        """What the configuration says now."""
        return cls(
            directory=config.dir,
            filename=config.dbfilename,
            compress=config.rdbcompression,
            checksum=config.rdbchecksum,
            incremental_fsync=config.rdb_save_incremental_fsync,
            key_delay_us=config.rdb_key_save_delay,
            verify=config.rdb_verify,
            functions=functions,
        )


@dataclass(frozen=True, slots=True)
class Saved:
    """What a finished save wrote."""

    keys: int
    nbytes: int


class SaveObserver(Protocol):
    """Who follows a save: the child's progress report."""

    def passed(self, walker: Walker, nbytes: int) -> None:
        """A buffer has been written; nbytes is what the file will hold by now."""

    def syncing(self) -> None:
        """All is written; fsync and rename follow."""

    def verified(self, nbytes: int) -> None:
        """So many bytes of the finished file have been read again."""


def save(
    walker: Walker,
    settings: SaveSettings,
    *,
    used_memory: int,
    observer: SaveObserver | None = None,
    disk: Disk = DISK,
) -> Saved:
    """Write what the walker gives and put it into the dump's place.

    Raises SaveError with Redis's log line; the old dump is then untouched and no temporary file is left. (The one
    exception is a failing fsync of the directory: the new dump is in its place, but might not survive a power cut.)
    """

    def check(path: str) -> None:
        tell = observer.verified if observer is not None else _nobody
        tell(0)
        verify(path, keys=walker.keys, nbytes=file.length, checksum=settings.checksum, on_progress=tell)

    file = TempFile(settings.directory, disk, checksum=settings.checksum, incremental=settings.incremental_fsync)
    try:
        _write_all(walker, file, settings, used_memory, observer)
        if observer is not None:
            observer.syncing()
        file.commit(settings.filename, check if settings.verify else None)
    except BaseException:
        file.discard()
        raise
    return Saved(walker.keys, file.length)


def _nobody(nbytes: int) -> None:
    """Follows a save that nobody follows."""


def _write_all(
    walker: Walker, file: TempFile, settings: SaveSettings, used_memory: int, observer: SaveObserver | None
) -> None:
    file.add(_preamble(used_memory))
    for library in settings.functions:
        file.add(bytes((rdb_format.OP_FUNCTION2,)) + library)
    max_keys, nap_s_per_key = _pace(settings.key_delay_us)
    keys_before = 0
    while filled := walker.fill(file.space(), max_keys, settings.compress):
        file.advance(filled)
        walker.publish()
        if observer is not None:
            observer.passed(walker, file.length)
        if nap_s_per_key:
            time.sleep(nap_s_per_key * (walker.keys - keys_before))
            keys_before = walker.keys
    file.add(bytes((rdb_format.OP_EOF,)))
    file.add(file.checksum.to_bytes(rdb_format.CHECKSUM_LEN, "little"))


def _preamble(used_memory: int) -> bytes:
    return rdb_format.header() + b"".join(
        rdb_format.encode_aux(name, value)
        for name, value in (
            ("redis-ver", REDIS_VERSION),
            ("redis-bits", 64),
            ("ctime", int(time.time())),
            ("used-mem", used_memory),
            ("aof-base", 0),
            ("minikv-ver", minikv.__version__),
        )
    )


def _pace(key_delay_us: int) -> tuple[int, float]:
    """Keys to take at a time (0: no limit) and seconds to sleep for each."""
    if key_delay_us > 0:
        return max(1, NAP_US // key_delay_us), key_delay_us * 1e-6
    if key_delay_us < 0:
        return -key_delay_us, 1e-6 / -key_delay_us
    return 0, 0.0
