"""Dumps in any packaging: plain, on standard input, or compressed by gzip, zstd or Valkey 9.2.

A reader needs the length of a dump, and a tool may read it twice. So anything but a plain file is
unpacked into a temporary file first, in $TMPDIR or /tmp. gzip comes with Python; zstd and LZ4 need a
library (`pip install minikv[compressed]`).

Valkey's compressed form:  VCS | version 1 | codec: 1 LZ4, 2 zstd | 0 | kind: 1 a dump | a frame of the codec
Source: Valkey's description of its compressed stream.
"""

from __future__ import annotations

import errno
import gzip
import importlib
import io
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

STANDARD_INPUT = "-"
PIECE_LEN = 1 << 20

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
VALKEY_MAGIC = b"VCS"
VALKEY_LEN = 7
VALKEY_CODECS = {b"VCS\1\1\0\1": LZ4_MAGIC, b"VCS\1\2\0\1": ZSTD_MAGIC}


@contextmanager
def opened(path: str) -> Iterator[int]:
    """The descriptor of a regular file with the plain dump. OSError.

    path: STANDARD_INPUT reads standard input.
    """
    with open_raw(path) as raw:
        head = raw.peek(VALKEY_LEN)[:VALKEY_LEN]
        is_plain = codec_of(head) is None
        if is_plain and is_regular(raw.fileno()) and raw.tell() == 0:
            os.posix_fadvise(raw.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            yield raw.fileno()
            return
        with tempfile.TemporaryFile() as plain:
            unpack(raw, head, plain, path)
            plain.flush()
            yield plain.fileno()


def open_raw(path: str) -> io.BufferedReader:
    """The file's bytes, not unpacked."""
    if path == STANDARD_INPUT:
        return buffered(os.dup(0))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # do not wait for the writer of a pipe
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not is_regular(fd):
            raise OSError(errno.EINVAL, "Not a regular file", path)
    except OSError:
        os.close(fd)
        raise
    return buffered(fd)


def buffered(fd: int) -> io.BufferedReader:
    return io.BufferedReader(io.FileIO(fd, "rb"), PIECE_LEN)


def is_regular(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


def codec_of(head: bytes) -> bytes | None:
    """The magic of the compression; None if the bytes are plain."""
    if head.startswith(VALKEY_MAGIC):
        return VALKEY_CODECS.get(head, b"")
    return next((magic for magic in (GZIP_MAGIC, ZSTD_MAGIC, LZ4_MAGIC) if head.startswith(magic)), None)


def unpack(raw: io.BufferedReader, head: bytes, plain: IO[bytes], path: str) -> None:
    """Write the unpacked bytes. OSError names the path."""
    codec = codec_of(head)
    bad_data: tuple[type[Exception], ...] = (EOFError, zlib.error, RuntimeError, *library_errors())
    if head.startswith(VALKEY_MAGIC):
        raw.read(VALKEY_LEN)
    try:
        shutil.copyfileobj(raw if codec is None else UNPACKERS[codec](raw), plain, PIECE_LEN)
    except KeyError:
        raise OSError(errno.EINVAL, "Compressed by Valkey in an unknown way", path) from None
    except MissingLibrary as error:
        raise OSError(errno.ENOSYS, str(error), path) from None
    except OSError as error:
        if error.errno:
            raise OSError(error.errno, error.strerror, path) from error
        raise OSError(errno.EINVAL, f"Bad compressed data: {error}", path) from error
    except bad_data as error:
        raise OSError(errno.EINVAL, f"Bad compressed data: {error}", path) from error


class MissingLibrary(Exception):
    """The library that unpacks the file is not installed."""


def library(name: str, codec: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingLibrary(f"Compressed by {codec}, which needs a library: pip install minikv[compressed]") from None


def library_errors() -> tuple[type[Exception], ...]:
    """What the libraries raise on bad data."""
    try:
        return (library("zstandard", "zstd").ZstdError,)
    except MissingLibrary:
        return ()


def open_zstd(raw: io.BufferedReader) -> Any:
    return library("zstandard", "zstd").ZstdDecompressor().stream_reader(raw, read_across_frames=True)


def open_lz4(raw: io.BufferedReader) -> Any:
    return library("lz4.frame", "LZ4").open(raw)


UNPACKERS: dict[bytes, Callable[[io.BufferedReader], Any]] = {
    GZIP_MAGIC: lambda raw: gzip.GzipFile(fileobj=raw),
    ZSTD_MAGIC: open_zstd,
    LZ4_MAGIC: open_lz4,
}
