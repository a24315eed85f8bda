"""Read a new dump again, as a loading server would, before it replaces the old one (`rdb-verify yes`).

The file is read from the disk, not from the page cache: the cache is dropped before reading and behind the
reader, so verifying takes no memory either. The server's reader checks the form of every value and the
checksum; the number of keys and the length must be those that were written. Without `rdbchecksum` a changed
byte inside a value goes unnoticed.

A save in the server's process calls `verify`. A snapshot child, which has no interpreter, runs `main` in
another process.
"""

from __future__ import annotations

import os
import sys

from minikv.errors import RdbError, SaveError
from minikv.rdb.check import CheckTarget
from minikv.rdb.reader import RdbReader

STEP_BYTES = 4 << 20
ANY_DATABASE = 2**31
NEVER_MS = -(2**63)  # at this time no key has expired: all of them count


def verify(fd: int, *, keys: int, nbytes: int, checksum: bool) -> None:
    """Check the file of fd, which must be synced; SaveError with what is wrong."""
    try:
        _read(fd, keys, nbytes, checksum)
    except OSError as error:
        raise SaveError(f"Verifying the new dump failed: {error.strerror}") from error
    except RdbError as error:
        raise SaveError(f"Verifying the new dump failed: {error}") from error


def _read(fd: int, keys: int, nbytes: int, checksum: bool) -> None:
    parent = os.getppid()
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    reader = RdbReader(fd, CheckTarget(), ANY_DATABASE, NEVER_MS, checksum)
    while reader.step(STEP_BYTES):
        os.posix_fadvise(fd, 0, reader.offset, os.POSIX_FADV_DONTNEED)
        if os.getppid() != parent:
            raise SaveError("Verifying the new dump failed: nobody waits for it any more")
    if reader.size != nbytes:
        raise RdbError(f"{reader.size} bytes, {nbytes} were written", reader.offset)
    if reader.keys_loaded != keys:
        raise RdbError(f"{reader.keys_loaded} keys, {keys} were written", reader.offset)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Check standard input and print what is wrong. Arguments: checksum (0 or 1), keys, bytes."""
    checksum, keys, nbytes = (int(word) for word in sys.argv[1:])
    try:
        verify(0, keys=keys, nbytes=nbytes, checksum=bool(checksum))
    except SaveError as error:
        print(error, end="", flush=True)
        sys.exit(1)
