"""Write the data set into an RDB file, version 10: what a save is told, and the save in the server's own process.

The work itself is C (save_job.py, save.py), for a snapshot child has no interpreter: here is what is prepared for it.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import minikv
from minikv.engine.walker import Walker
from minikv.errors import SaveError
from minikv.rdb import format as rdb_format
from minikv.saving.save_job import Saver
from minikv.saving.verify import verify

REDIS_VERSION = "7.0.15"  # the version whose files these are

# Run by the child, which cannot do this itself. The reader has to be found where this process has found it.
VERIFIER = "import sys; sys.path[:] = {path!r}; from minikv.saving.verify import main; main()"


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


def save(walker: Walker, settings: SaveSettings, *, used_memory: int, saver: Saver) -> Saved:
    """Write what the walker gives and put it into the dump's place.

    Raises SaveError with Redis's log line; the old dump is then untouched and no temporary file is left. (The one
    exception is a failing fsync of the directory: the new dump is in its place, but might not survive a power cut.)
    """
    prepare(walker, settings, used_memory=used_memory, saver=saver)
    done = False
    try:
        if saver.write():
            if settings.verify:
                _verify(saver, settings)
            done = saver.put_in_place()
        saved = Saved(saver.keys, saver.nbytes)
    finally:
        message = "" if done else saver.give_up()
        saver.end()
    if message:
        raise SaveError(message) from OSError(saver.errno, os.strerror(saver.errno))
    return saved


def _verify(saver: Saver, settings: SaveSettings) -> None:
    try:
        with open(saver.temp_path, "rb", buffering=0) as file:
            verify(file.fileno(), keys=saver.keys, nbytes=saver.nbytes, checksum=settings.checksum)
    except OSError as error:  # the directory has gone away
        raise SaveError(f"Verifying the new dump failed: {error.strerror}") from error


def prepare(walker: Walker, settings: SaveSettings, *, used_memory: int, saver: Saver) -> None:
    """Tell the saver what to save; SaveError if that can't be."""
    try:
        saver.prepare(
            walker,
            head(used_memory, settings.functions),
            os.fsencode(settings.directory),
            os.fsencode(settings.filename),
            compress=settings.compress,
            checksum=settings.checksum,
            incremental=settings.incremental_fsync,
            key_delay_us=settings.key_delay_us,
        )
    except OSError as error:
        raise SaveError(f"Failed opening the temp RDB file for saving: {error.strerror}") from error


def verifier_arguments(settings: SaveSettings) -> list[bytes]:
    """The command by which a child has its dump read again; empty without rdb-verify."""
    if not settings.verify:
        return []
    script = VERIFIER.format(path=[os.path.abspath(path) for path in sys.path])
    return [os.fsencode(word) for word in (sys.executable, "-c", script, str(int(settings.checksum)))]


def head(used_memory: int, functions: tuple[bytes, ...] = ()) -> bytes:
    """What stands before the databases."""
    fields = (
        ("redis-ver", REDIS_VERSION),
        ("redis-bits", 64),
        ("ctime", int(time.time())),
        ("used-mem", used_memory),
        ("aof-base", 0),
        ("minikv-ver", minikv.__version__),
    )
    opcode = bytes((rdb_format.OP_FUNCTION2,))
    return b"".join(
        (
            rdb_format.header(),
            *(rdb_format.encode_aux(name, value) for name, value in fields),
            *(opcode + library for library in functions),
        )
    )
