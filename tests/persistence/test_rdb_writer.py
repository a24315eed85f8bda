"""The writer: a whole file in its place, or the old one and nothing else, whichever system call fails."""

from __future__ import annotations

import errno
import mmap
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from minikv import __version__
from minikv.errors import SaveError
from minikv.persistence import temp_file
from minikv.persistence.disk import DISK, Disk
from minikv.persistence.rdb_writer import SaveSettings, Walker, save
from tests.persistence.rdb_files import Record, crc, pair, read

MB = 1 << 20
OLD = b"the old dump"


class Records:
    """A walker over prepared records."""

    def __init__(self, *records: bytes) -> None:
        self._records = list(records)
        self.keys = 0
        self.published: list[int] = []
        self.compress: bool | None = None

    def fill(self, buffer: memoryview, max_keys: int = 0, compress: bool = False) -> int:
        self.compress = compress
        end = taken = 0
        while self._records and end + len(self._records[0]) <= len(buffer) and taken != (max_keys or -1):
            record = self._records.pop(0)
            buffer[end : end + len(record)] = record
            end += len(record)
            taken += 1
        self.keys += taken
        return end

    def publish(self) -> None:
        self.published.append(self.keys)

    def release(self) -> None:
        raise AssertionError("a save in the server's own process gives no memory back")


class Observer:
    """Notes how far the save was at each report."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.lengths_verified: list[int] = []
        self.synced = False

    def passed(self, walker: Walker, nbytes: int) -> None:
        self.lengths.append(nbytes)

    def syncing(self) -> None:
        self.synced = True

    def verified(self, nbytes: int) -> None:
        self.lengths_verified.append(nbytes)


@pytest.fixture
def settings(tmp_path: Path) -> SaveSettings:
    """A save over an existing dump."""
    (tmp_path / "dump.rdb").write_bytes(OLD)
    return SaveSettings(str(tmp_path), "dump.rdb")


def files(settings: SaveSettings) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(settings.directory).iterdir()}


def test_header_aux_records_end_and_checksum(settings: SaveSettings) -> None:
    saved = save(Records(pair(b"a", b"1"), pair(b"b", b"2")), settings, used_memory=12345)
    data = files(settings)["dump.rdb"]
    assert data.startswith(b"REDIS0010\xfa\x09redis-ver\x067.0.15")
    found = read(data)
    assert found.records == [Record(0, b"a", b"1", 0), Record(0, b"b", b"2", 0)]
    assert abs(int(found.aux.pop(b"ctime")) - time.time()) < 5
    assert found.aux == {
        b"redis-ver": b"7.0.15",
        b"redis-bits": b"64",
        b"used-mem": b"12345",
        b"aof-base": b"0",
        b"minikv-ver": __version__.encode(),
    }
    assert (saved.keys, saved.nbytes) == (2, len(data))
    assert list(files(settings)) == ["dump.rdb"]


def test_without_checksum_the_field_is_zero(settings: SaveSettings) -> None:
    save(Records(pair(b"a", b"1")), replace(settings, checksum=False), used_memory=0)
    assert files(settings)["dump.rdb"].endswith(b"\xff" + bytes(8))


def test_compression_is_the_walkers_work(settings: SaveSettings) -> None:
    plain, packed = Records(pair(b"a", b"1")), Records(pair(b"a", b"1"))
    save(plain, replace(settings, compress=False), used_memory=0)
    save(packed, replace(settings, compress=True), used_memory=0)
    assert (plain.compress, packed.compress) == (False, True)


def cached(path: str, flags: int, mode: int = 0o777) -> int:
    """open() on a file system that knows no direct writes."""
    if flags & os.O_DIRECT:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return os.open(path, flags, mode)


CACHED = replace(DISK, open=cached)


def test_each_step_is_published_and_reported(settings: SaveSettings) -> None:
    walker, observer = Records(*[bytes(100_000)] * 25), Observer()
    save(walker, settings, used_memory=0, observer=observer)
    assert walker.published[-1] == 25
    assert len(walker.published) == len(observer.lengths) == 3
    steps = [b - a for a, b in zip(walker.published, walker.published[1:], strict=False)]
    assert [b - a for a, b in zip(observer.lengths, observer.lengths[1:], strict=False)] == [n * 100_000 for n in steps]
    assert observer.synced


@pytest.mark.parametrize("disk", [DISK, CACHED], ids=["direct", "cached"])
@pytest.mark.parametrize("incremental", [True, False])
@pytest.mark.parametrize("size", [0, 1, 100_000, MB, 12 * MB + 4096, 12 * MB - 5])
def test_files_of_all_sizes_are_whole(settings: SaveSettings, disk: Disk, incremental: bool, size: int) -> None:
    body = random.Random(size).randbytes(size)
    records = [body[start : start + 50_000] for start in range(0, size, 50_000)]
    saved = save(Records(*records), replace(settings, incremental_fsync=incremental), used_memory=0, disk=disk)
    data = files(settings)["dump.rdb"]
    assert len(data) == saved.nbytes
    assert data[-9 - size :].startswith(body + b"\xff")
    assert data[-8:] == crc(data[:-8])


def test_a_file_that_ends_with_a_block(settings: SaveSettings) -> None:
    """Nothing is left for the last, unaligned write."""
    save(Records(), settings, used_memory=0)
    empty = len(files(settings)["dump.rdb"])
    save(Records(bytes(MB - empty)), settings, used_memory=0)
    assert len(files(settings)["dump.rdb"]) == MB


def test_the_disk_works_on_one_window_and_waits_for_the_one_before(settings: SaveSettings) -> None:
    calls: list[tuple[str, int, int]] = []
    disk = replace(
        CACHED,
        start_writeback=lambda fd, offset, nbytes: calls.append(("start", offset, nbytes)),
        finish_writeback=lambda fd, offset, nbytes: calls.append(("finish", offset, nbytes)),
    )
    save(Records(*[bytes(100_000)] * 300), settings, used_memory=0, disk=disk)
    starts = [call[1:] for call in calls if call[0] == "start"]
    finishes = [call[1:] for call in calls if call[0] == "finish"]
    assert len(starts) == 3
    assert finishes == starts[:-1]
    assert [offset for offset, _ in starts[1:]] == [offset + nbytes for offset, nbytes in starts[:-1]]
    calls.clear()
    save(Records(*[bytes(100_000)] * 300), replace(settings, incremental_fsync=False), used_memory=0, disk=disk)
    assert calls == []


def test_direct_writes_are_aligned_and_need_no_windows(settings: SaveSettings) -> None:
    sizes: list[int] = []

    def write(fd: int, data: memoryview) -> int:
        sizes.append(len(data))
        return os.write(fd, data)

    def unwanted(fd: int, offset: int, nbytes: int) -> None:
        raise AssertionError("nothing is in the page cache")

    disk = replace(DISK, write=write, start_writeback=unwanted, finish_writeback=unwanted)
    save(Records(*[bytes(99_999)] * 200), settings, used_memory=0, disk=disk)
    assert len(sizes) > 15
    assert [size % 4096 for size in sizes[:-1]] == [0] * (len(sizes) - 1)


@pytest.mark.parametrize("nth", [1, 5])
def test_a_disk_that_wants_another_alignment_is_written_through_the_cache(settings: SaveSettings, nth: int) -> None:
    calls = 0

    def write(fd: int, data: memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return os.write(fd, data)

    save(Records(*[bytes(100_000)] * 100), settings, used_memory=0, disk=replace(DISK, write=write))
    data = files(settings)["dump.rdb"]
    assert data[-8:] == crc(data[:-8])


@pytest.mark.parametrize("disk", [DISK, CACHED], ids=["direct", "cached"])
def test_a_write_may_take_a_part_only(settings: SaveSettings, disk: Disk) -> None:
    disk = replace(disk, write=lambda fd, data: os.write(fd, data[: max(1, len(data) // 3)]))
    save(Records(*[bytes(100_000)] * 30), settings, used_memory=0, disk=disk)
    data = files(settings)["dump.rdb"]
    assert data[-8:] == crc(data[:-8])


@pytest.mark.parametrize(("delay_us", "at_least_s"), [(2000, 0.02), (100, 0.001), (-5, 0.0)])
def test_a_delay_for_each_key(settings: SaveSettings, delay_us: int, at_least_s: float) -> None:
    began = time.monotonic()
    save(Records(*[pair(b"%d" % i, b"v") for i in range(10)]), replace(settings, key_delay_us=delay_us), used_memory=0)
    assert time.monotonic() - began >= at_least_s
    assert read(files(settings)["dump.rdb"]).keys_loaded == 10


class Failing:
    """A system call that fails, with this error, from its n-th call on."""

    def __init__(self, call: Callable[..., object], number: int, nth: int = 1) -> None:
        self._call = call
        self._number = number
        self._left = nth

    def __call__(self, *arguments: object) -> object:
        self._left -= 1
        if self._left <= 0:
            raise OSError(self._number, os.strerror(self._number))
        return self._call(*arguments)


OPENING = "Failed opening the temp RDB file temp-{pid}.rdb (in server root dir {dir}) for saving"
WRITING = "Write error while saving DB to the disk"
MOVING = "Error moving temp DB file temp-{pid}.rdb on the final destination dump.rdb (in server root dir {dir})"

FAULTS = [
    ("open", 1, errno.EACCES, OPENING + ": Permission denied"),
    ("write", 1, errno.ENOSPC, WRITING + "(write): No space left on device"),
    ("write", 3, errno.EIO, WRITING + "(write): Input/output error"),
    ("start_writeback", 1, errno.EIO, WRITING + "(sync_file_range): Input/output error"),
    ("finish_writeback", 1, errno.EIO, WRITING + "(sync_file_range): Input/output error"),
    ("fsync", 1, errno.EIO, WRITING + "(fsync): Input/output error"),
    ("close", 1, errno.EDQUOT, WRITING + "(close): Disk quota exceeded"),
    ("rename", 1, errno.EXDEV, MOVING + ": Invalid cross-device link"),
]


@pytest.mark.parametrize(("call", "nth", "number", "text"), FAULTS)
def test_a_failing_call_leaves_the_old_dump(
    settings: SaveSettings, call: str, nth: int, number: int, text: str
) -> None:
    threads = threading.active_count()
    disk: Disk = replace(CACHED, **{call: Failing(getattr(CACHED, call), number, nth)})
    with pytest.raises(SaveError) as caught:
        save(Records(*[bytes(100_000)] * 300), settings, used_memory=0, disk=disk)
    assert str(caught.value) == text.format(pid=os.getpid(), dir=settings.directory)
    assert files(settings) == {"dump.rdb": OLD}
    assert threading.active_count() == threads
    assert open_files(settings) == (
        [] if call != "close" else [str(Path(settings.directory) / f"temp-{os.getpid()}.rdb")]
    )


def open_files(settings: SaveSettings) -> list[str]:
    """Files in the directory that this process has open."""
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith(settings.directory):
            names.append(target.removesuffix(" (deleted)"))
    return names


def test_a_directory_that_cannot_be_synced_is_an_error_though_the_dump_is_new(settings: SaveSettings) -> None:
    disk = replace(DISK, fsync=Failing(os.fsync, errno.EIO, 2))
    with pytest.raises(SaveError, match=r"\(fsyncFileDir\): Input/output error"):
        save(Records(pair(b"a", b"1")), settings, used_memory=0, disk=disk)
    assert read(files(settings)["dump.rdb"]).keys_loaded == 1


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="No such file or directory"):
        save(Records(), SaveSettings(str(tmp_path / "gone"), "dump.rdb"), used_memory=0)


def test_a_dump_whose_name_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").mkdir()
    with pytest.raises(SaveError, match=r"on the final destination dump\.rdb"):
        save(Records(), SaveSettings(str(tmp_path), "dump.rdb"), used_memory=0)
    assert [path.name for path in tmp_path.iterdir()] == ["dump.rdb"]


def test_an_error_in_the_walk_leaves_the_old_dump_too(settings: SaveSettings) -> None:
    class Broken(Records):
        def fill(self, *_: object, **__: object) -> int:
            raise MemoryError

    with pytest.raises(MemoryError):
        save(Broken(), settings, used_memory=0)
    assert files(settings) == {"dump.rdb": OLD}


# -- what dead writers left


def test_only_the_files_of_dead_writers_are_stale(tmp_path: Path) -> None:
    alive, dead = os.getppid(), 2**22 + 1  # above the largest pid there can be
    for name in (
        f"temp-{alive}.rdb",
        f"temp-{dead}.rdb",
        f"temp-{os.getpid()}.rdb",
        "temp-x.rdb",
        "dump.rdb",
        "temp-1.rdb.gz",
    ):
        (tmp_path / name).touch()
    assert temp_file.stale_files(str(tmp_path)) == sorted([f"temp-{dead}.rdb", f"temp-{os.getpid()}.rdb"])


def test_a_file_that_is_being_written_is_not_stale(settings: SaveSettings) -> None:
    """Even if its writer cannot be seen, for it lives in another container."""
    seen: list[list[str]] = []

    class Looking(Records):
        def publish(self) -> None:
            seen.append(temp_file.stale_files(settings.directory))

    save(Looking(pair(b"a", b"1")), settings, used_memory=0)
    assert seen == [[]]


# -- rdb-verify


class Flipping:
    """Writes all but one bit as it should: what a bad disk or bad memory does."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._written = 0

    def __call__(self, fd: int, data: memoryview) -> int:
        at = self._offset - self._written
        if 0 <= at < len(data):
            bad = mmap.mmap(-1, len(data))  # aligned, as direct writes want it
            bad[:] = bytes(data)
            bad[at] ^= 0x20
            data = memoryview(bad)
        written = os.write(fd, data)
        self._written += written
        return written


def some_records() -> list[bytes]:
    source = random.Random(5)
    return [pair(b"key:%d" % index, source.randbytes(1000)) for index in range(10_000)]


def test_a_verified_dump_replaces_the_old_one(settings: SaveSettings) -> None:
    observer = Observer()
    saved = save(Records(*some_records()), replace(settings, verify=True), used_memory=0, observer=observer)
    assert list(files(settings)) == ["dump.rdb"]
    assert len(files(settings)["dump.rdb"]) == saved.nbytes
    assert observer.lengths_verified[0] == 0
    assert observer.lengths_verified == sorted(observer.lengths_verified)
    assert observer.lengths_verified[-1] > 8 * MB


@pytest.mark.parametrize("offset", [0, 3, 50, MB, 5 * MB + 17, 10_080_000])
def test_a_bit_that_the_disk_has_changed_is_found(settings: SaveSettings, offset: int) -> None:
    disk = replace(DISK, write=Flipping(offset))
    with pytest.raises(SaveError, match=r"Verifying the new dump .*temp-.* failed: "):
        save(Records(*some_records()), replace(settings, verify=True), used_memory=0, disk=disk)
    assert files(settings) == {"dump.rdb": OLD}
    save(Records(*some_records()), settings, used_memory=0, disk=replace(DISK, write=Flipping(offset)))
    assert files(settings)["dump.rdb"] != OLD


def test_without_checksum_the_form_is_verified(settings: SaveSettings) -> None:
    unsummed = replace(settings, verify=True, checksum=False)
    save(Records(*some_records()), unsummed, used_memory=0)
    with pytest.raises(SaveError, match="Verifying"):
        save(Records(b"\x77bad"), unsummed, used_memory=0)


def test_keys_that_are_missing_are_found(settings: SaveSettings) -> None:
    class Forgetful(Records):
        def publish(self) -> None:
            self.keys += 1

    with pytest.raises(SaveError, match="1 keys, 2 were written"):
        save(Forgetful(pair(b"a", b"1")), replace(settings, verify=True), used_memory=0)
    assert files(settings) == {"dump.rdb": OLD}


def test_a_file_that_cannot_be_read_again_is_an_error(settings: SaveSettings) -> None:
    def close(fd: int) -> None:
        os.unlink(os.readlink(f"/proc/self/fd/{fd}"))
        os.close(fd)

    with pytest.raises(SaveError, match="No such file"):
        save(Records(), replace(settings, verify=True), used_memory=0, disk=replace(DISK, close=close))
    assert files(settings) == {"dump.rdb": OLD}
