"""Read a new dump again, as a loading server would, before it replaces the old one (`rdb-verify yes`).

What the disk has kept is read, not what memory remembers of it: the cache is emptied before, and behind the reader,
which so takes no memory either. The server's own reader checks the form of every value and the checksum; the number of
keys and the length must be those that were written. Without `rdbchecksum` a changed byte inside a value goes unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from minikv.errors import RdbError, SaveError
from minikv.persistence.rdb_check import CheckTarget
from minikv.persistence.rdb_reader import RdbReader

STEP_BYTES = 4 << 20
ANY_DATABASE = 2**31
NEVER_MS = -(2**63)  # at this time no key has expired: all of them count


def verify(path: str, *, keys: int, nbytes: int, checksum: bool, on_progress: Callable[[int], None]) -> None:
    """Check the file at `path`, which must be on the disk; SaveError says what is wrong with it.

    on_progress: gets the bytes read so far, every STEP_BYTES.
    """
    try:
        _read(path, keys, nbytes, checksum, on_progress)
    except OSError as error:
        raise SaveError(f"Verifying the new dump {path} failed: {error.strerror}") from error
    except RdbError as error:
        raise SaveError(f"Verifying the new dump {path} failed: {error}") from error


def _read(path: str, keys: int, nbytes: int, checksum: bool, on_progress: Callable[[int], None]) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        reader = RdbReader(fd, CheckTarget(), ANY_DATABASE, NEVER_MS, checksum)
        while reader.step(STEP_BYTES):
            os.posix_fadvise(fd, 0, reader.offset, os.POSIX_FADV_DONTNEED)
            on_progress(reader.offset)
        if reader.size != nbytes:
            raise RdbError(f"{reader.size} bytes, {nbytes} were written", reader.offset)
        if reader.keys_loaded != keys:
            raise RdbError(f"{reader.keys_loaded} keys, {keys} were written", reader.offset)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
