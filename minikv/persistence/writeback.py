# cython: language_level=3
"""sync_file_range(2): have the kernel write a range of a file out now, rather than all of it at the final fsync."""

import os

import cython
from cython.cimports.libc.errno import errno
from cython.cimports.minikv.persistence.linux import (
    SYNC_FILE_RANGE_WAIT_AFTER,
    SYNC_FILE_RANGE_WAIT_BEFORE,
    SYNC_FILE_RANGE_WRITE,
    sync_file_range,
)


def start(fd: cython.int, offset: cython.longlong, nbytes: cython.longlong) -> None:
    """Begin to write the range to the disk; does not wait."""
    _sync(fd, offset, nbytes, SYNC_FILE_RANGE_WRITE)


def finish(fd: cython.int, offset: cython.longlong, nbytes: cython.longlong) -> None:
    """Wait until the range has been written; an error of the disk is raised here."""
    _sync(fd, offset, nbytes, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)


@cython.cfunc
def _sync(fd: cython.int, offset: cython.longlong, nbytes: cython.longlong, flags: cython.uint) -> cython.int:
    result: cython.int
    error: cython.int
    with cython.nogil:
        result = sync_file_range(fd, offset, nbytes, flags)
        error = errno
    if result != 0:
        raise OSError(error, os.strerror(error))
    return 0
