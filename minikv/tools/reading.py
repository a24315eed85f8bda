"""One pass over a file, with a progress bar if it takes long."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from tqdm import tqdm

from minikv.errors import RdbError
from minikv.rdb.reader import RdbReader
from minikv.rdb.target import LoadTarget
from minikv.tools.filters import Filter
from minikv.tools.opening import opened
from minikv.tools.visitor import Visitor, VisitorTarget

STEP_BYTES = 256 << 10
BAR_AFTER_S = 1  # a bar that disappears at once only disturbs
ANY_DATABASE = 2**31
ALL = Filter()
NEVER_MS = -(2**63)  # at this time no key has expired: all are shown


def reader_of(fd: int, target: LoadTarget, on_aux: Callable[[bytes, bytes], None] | None = None) -> RdbReader:
    """A reader at the start of the file that accepts expired keys and any number of databases. OSError."""
    os.lseek(fd, 0, os.SEEK_SET)
    return RdbReader(fd, target, ANY_DATABASE, NEVER_MS, True, on_aux)


def read_all(reader: RdbReader, label: str, *, bar: bool) -> None:
    """Read to the end. RdbError, OSError."""
    with tqdm(
        desc=label,
        total=reader.size,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        file=sys.stderr,
        delay=BAR_AFTER_S,
        leave=False,
        disable=not (bar and sys.stderr.isatty()),
    ) as progress:
        while reader.step(STEP_BYTES):
            progress.update(reader.offset - progress.n)


def visit(path: str, visitor: Visitor, chosen: Filter = ALL, *, bar: bool = False) -> None:
    """Pass the file, or the chosen records, to a visitor. RdbError, which names the file; OSError."""
    with opened(path) as fd:
        reader = reader_of(fd, VisitorTarget(visitor, None if chosen == ALL else chosen.wants))
        try:
            read_all(reader, os.path.basename(path), bar=bar)
        except RdbError as error:
            raise RdbError(f"{path}: {error.reason}", error.offset) from error


def os_error_text(error: OSError) -> str:
    """The message, after the file's name if there is one."""
    return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror or str(error)
