"""Large files, read ahead of the reader: past the page cache, out of it, or both; the same in each case."""

from __future__ import annotations

import functools
import os
import random
import resource
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from minikv.errors import RdbError
from minikv.rdb.input import TRUNCATED
from minikv.rdb.reader import RdbReader
from minikv.rdb.target import RecordTarget
from tests.rdb.rdb_files import SELECTDB, STRING, rdb, read_fd

MB = 1 << 20
PAGE = 4096


def long_string(data: bytes) -> bytes:
    return b"\x80" + struct.pack(">I", len(data)) + data


@functools.cache
def large_file(seed: int, nbytes: int) -> tuple[bytes, dict[bytes, bytes]]:
    """A file of strings of all sizes, some of several MB, and what it holds."""
    rng = random.Random(seed)
    held: dict[bytes, bytes] = {}
    body = bytearray(SELECTDB + b"\0")
    while len(body) < nbytes:
        size = rng.choice((1, 100, 5000, 60_000, 70_000, MB - 5, MB, MB + 5, rng.randrange(3 * MB)))
        key, value = b"key:%d" % len(held), rng.randbytes(size)
        held[key] = value
        body += STRING + long_string(key) + long_string(value)
    return rdb(bytes(body)), held


@pytest.fixture
def large(tmp_path: Path) -> Iterator[tuple[int, dict[bytes, bytes]]]:
    """The descriptor of such a file, and what it holds."""
    data, held = large_file(1, 12 * MB)
    path = tmp_path / "dump.rdb"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    yield fd, held
    os.close(fd)


def drop(fd: int, start: int = 0, nbytes: int = 0) -> None:
    """Take it out of the page cache."""
    os.posix_fadvise(fd, start, nbytes, os.POSIX_FADV_DONTNEED)


def content(fd: int, **options: int) -> dict[bytes, bytes]:
    return {record.key: record.value for record in read_fd(fd, **options).records}


@pytest.mark.parametrize("step_bytes", [1000, MB, 100 * MB])
def test_a_file_that_is_not_in_the_cache(large: tuple[int, dict[bytes, bytes]], step_bytes: int) -> None:
    fd, held = large
    drop(fd)
    assert content(fd, step_bytes=step_bytes) == held


def test_a_file_in_the_cache_is_read_from_there(large: tuple[int, dict[bytes, bytes]]) -> None:
    fd, held = large
    os.pread(fd, os.fstat(fd).st_size, 0)
    assert content(fd) == held


def test_a_file_that_is_partly_in_the_cache(large: tuple[int, dict[bytes, bytes]]) -> None:
    fd, held = large
    os.pread(fd, os.fstat(fd).st_size, 0)
    for start in range(0, os.fstat(fd).st_size, 3 * MB):
        drop(fd, start, MB)
    drop(fd, 5 * MB + 17 * PAGE, PAGE)
    assert content(fd) == held


def test_the_disk_is_read_past_the_cache(large: tuple[int, dict[bytes, bytes]]) -> None:
    fd, held = large
    try:
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system has no direct reads")
    drop(fd)
    reader = RdbReader(fd, RecordTarget(lambda *_: None), 16, 1000)
    while reader.step(MB):
        pass
    assert reader.keys_loaded == len(held)
    if reader.direct_bytes == 0:
        pytest.skip("the page cache does not let go of this file")
    assert reader.direct_bytes <= reader.size


def test_without_a_descriptor_left_the_file_is_read_all_the_same(large: tuple[int, dict[bytes, bytes]]) -> None:
    fd, held = large
    drop(fd)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    reader = RdbReader(fd, RecordTarget(lambda *_: None), 16, 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1, before[1]))
    taken = []
    try:
        while True:
            taken.append(os.dup(fd))
    except OSError:
        pass
    try:
        while reader.step(MB):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for number in taken:
            os.close(number)
    assert (reader.keys_loaded, reader.direct_bytes) == (len(held), 0)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("left", [0, 3 * MB + 1, 9 * MB])
def test_a_file_that_is_truncated_meanwhile(large: tuple[int, dict[bytes, bytes]], cached: bool, left: int) -> None:
    fd, _ = large
    os.pread(fd, os.fstat(fd).st_size, 0)
    if not cached:
        drop(fd)
    reader = RdbReader(fd, RecordTarget(lambda *_: None), 16, 1000)
    reader.step(100)
    os.ftruncate(fd, left)
    # What is in flight, 8 MB, may still arrive; the end of the file does not.
    with pytest.raises(RdbError) as error:
        while reader.step(MB):
            pass
    assert TRUNCATED in str(error.value)


@pytest.mark.parametrize("cached", [True, False])
def test_a_file_that_is_cut_is_refused(large: tuple[int, dict[bytes, bytes]], cached: bool) -> None:
    fd, _ = large
    size = os.fstat(fd).st_size
    for missing in (1, 8, 9, 100, MB, 2 * MB + 1):
        os.ftruncate(fd, size - missing)
        os.fsync(fd)
        if not cached:
            drop(fd)
        os.lseek(fd, 0, os.SEEK_SET)
        with pytest.raises(RdbError):
            read_fd(fd)


def test_a_file_that_grows_meanwhile_is_read_as_it_was(large: tuple[int, dict[bytes, bytes]]) -> None:
    fd, held = large
    drop(fd)
    reader = RdbReader(fd, RecordTarget(lambda *_: None), 16, 1000)
    reader.step(100)
    os.pwrite(fd, b"x" * 3 * MB, os.fstat(fd).st_size)
    while reader.step(MB):
        pass
    assert reader.keys_loaded == len(held)


def test_a_bit_that_is_wrong_is_found(large: tuple[int, dict[bytes, bytes]]) -> None:
    fd, _ = large
    at = 7 * MB
    (byte,) = os.pread(fd, 1, at)
    os.pwrite(fd, bytes((byte ^ 1,)), at)
    os.fsync(fd)
    drop(fd)
    with pytest.raises(RdbError):
        read_fd(fd)


def test_the_descriptor_shows_how_far_the_reader_is(large: tuple[int, dict[bytes, bytes]]) -> None:
    fd, _ = large
    drop(fd)
    reader = RdbReader(fd, RecordTarget(lambda *_: None), 16, 1000)
    while reader.step(MB):
        assert abs(os.lseek(fd, 0, os.SEEK_CUR) - reader.offset) <= 4 * MB


def test_a_descriptor_that_is_not_at_the_beginning_is_read_from_there(tmp_path: Path) -> None:
    data, held = large_file(7, 9 * MB)
    path = tmp_path / "dump.rdb"
    path.write_bytes(b"before" + data)
    with path.open("rb", buffering=0) as file:
        file.seek(6)
        found = {}
        reader = RdbReader(
            file.fileno(), RecordTarget(lambda db, key, value, at: found.__setitem__(key, value)), 16, 1000
        )
        while reader.step(MB):
            pass
    assert found == held
