"""Copy a file. On XFS and btrfs the copy shares the blocks of the original: it takes no time and no room."""

from __future__ import annotations

import errno
import os
import shutil
from typing import BinaryIO

AT_ONCE = 1 << 30  # bytes; the kernel copies at most 2 GiB per call
PIECE_LEN = 1 << 20
# The two are on different file systems, or the kernel cannot copy within this one.
UNSUPPORTED = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}


def copy_into(path: str, out: BinaryIO) -> int:
    """Append a file to one that is open for writing; returns its bytes. OSError."""
    out.flush()
    with open(path, "rb", buffering=0) as file:
        copied = _copied_by_kernel(file.fileno(), out.fileno())
        if copied == 0:  # also what some file systems say of files that are not empty
            shutil.copyfileobj(file, out, PIECE_LEN)
        return file.tell()


def _copied_by_kernel(source: int, target: int) -> int:
    copied = 0
    try:
        while more := os.copy_file_range(source, target, AT_ONCE):
            copied += more
    except OSError as error:
        if copied or error.errno not in UNSUPPORTED:
            raise
    return copied
