"""Write the data set to an RDB file, version 10: preparing a save, and the save in the server's process.

The work itself is C (saver.py, save.py), because a snapshot child has no interpreter.
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
from minikv.persistence import rdb_format
from minikv.persistence.saver import Saver
from minikv.persistence.verify import verify

REDIS_VERSION = "7.0.15"  # whose files these are

# Run by the child, which cannot verify itself. It must find the reader where this process found it.
VERIFIER = "import sys; sys.path[:] = {path!r}; from minikv.persistence.verify import main; main()"


@dataclass(frozen=True, slots=True)
class SaveSettings:
    """The settings of one save, as they were when it began."""

    directory: str
    filename: str
    compress: bool = True
    checksum: bool = True
    incremental_fsync: bool = True
    key_delay_us: int = 0  # sleep per key; -n: one microsecond per n keys
    verify: bool = False  # read it back before it replaces the old dump
    functions: tuple[bytes, ...] = ()  # libraries, as strings of the format

    @classmethod
    def of(cls, config: Any, functions: tuple[bytes, ...] = ()) -> SaveSettings:
        """The current settings."""
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
    """Write what the walker gives and replace the dump with it.

    Raises SaveError with Redis's log line; the old dump is then untouched and no temporary file is left.
    (Exception: if the fsync of the directory fails, the new dump is in place but may not survive a power cut.)
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
    """Prepare the saver; SaveError if the paths are too long."""
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
    """The command with which a child has its dump read back; empty without rdb-verify."""
    if not settings.verify:
        return []
    script = VERIFIER.format(path=[os.path.abspath(path) for path in sys.path])
    return [os.fsencode(word) for word in (sys.executable, "-c", script, str(int(settings.checksum)))]


def head(used_memory: int, functions: tuple[bytes, ...] = ()) -> bytes:
    """The head of the file, before the databases."""
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
