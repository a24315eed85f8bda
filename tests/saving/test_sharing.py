"""Dumps that share blocks with the one before, on file systems of their own: whole, whatever happens to either."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from minikv.errors import SaveError
from minikv.history.writing import save_keyspace
from minikv.keyspace import Keyspace
from minikv.keyspace.hash import Hash
from minikv.keyspace.list import List
from minikv.rdb.keyspace_target import EngineTarget
from minikv.rdb.reader import RdbReader
from minikv.saving.foreground import Saved, save
from minikv.saving.save_job import SaveJob
from minikv.saving.settings import ChildSettings, SaveSettings
from tests.harness import wait_until
from tests.harness.machine import SHARING, loop_disk, used_bytes
from tests.rdb.rdb_files import crc, read

MB = 1 << 20
EVER = 2**31
PADDING = b"minikv-pad"
KEYS = 2000

Faults = dict[str, tuple[int, int, int]]  # as SaveJob.inject takes them


@pytest.fixture(scope="module")
def disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    kind: str = getattr(request, "param", SHARING[0])
    with loop_disk(tmp_path_factory.mktemp("disks") / kind, kind) as path:
        yield path


on_all = pytest.mark.parametrize("disk", SHARING, indirect=True)


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with loop_disk(tmp_path_factory.mktemp("disks") / "ext4", "ext4") as path:
        yield path


@pytest.fixture
def settings(disk: Path) -> SaveSettings:
    """A save to a directory without a dump, of values that do not become smaller by compression."""
    for path in disk.iterdir():
        if path.is_file():
            path.unlink()
    return SaveSettings(str(disk), "dump.rdb", compress=False, share_blocks=True)


def filled(keys: int = KEYS, value_len: int = 1000, seed: int = 5) -> Keyspace:
    made = Keyspace(2, 128 * MB, huge_pages=False)
    source = random.Random(seed)
    for index in range(keys):
        made.databases[0].set(b"user:%d:profile" % index, source.randbytes(value_len))
    return made


@pytest.fixture(scope="module")
def large() -> Keyspace:
    """Of all types, small and large; nothing of it changes."""
    made = filled(500)
    random_ = random.Random(6)
    db = made.databases[1]
    for number in range(40):
        fields = [b"f%d" % field if field % 2 else random_.randbytes(50) for field in range(20 * (number + 1))]
        Hash.to_write(db, b"hash:%d" % number).set_all(tuple(fields))
        List.to_write(db, b"list:%d" % number).push_all(tuple(fields), False)
    Hash.to_write(db, b"spread hash").set_all(tuple(random_.randbytes(100) for _ in range(30_000)))
    List.to_write(db, b"spread list").push_all(tuple(random_.randbytes(100) for _ in range(30_000)), False)
    db.set(b"jumbo", random_.randbytes(300_000))
    db.set(b"run", random_.randbytes(9 * MB))
    return made


def write(job: SaveJob, data: Keyspace, settings: SaveSettings, faults: Faults | None = None) -> Saved:
    job.inject(faults or {})
    return save(job, data.walker(), settings)


def check(data: Keyspace, settings: SaveSettings) -> bytes:
    """Prove that the dump is whole and has all that the keyspace has; returns it."""
    dump = Path(settings.directory, settings.filename).read_bytes()
    assert dump[-8:] == crc(dump[:-8])
    found = {record.key: record.value for record in read(dump).records if record.database == 0}
    assert len(found) == len(data.databases[0])
    assert all(data.databases[0].get(key) == value for key, value in found.items())
    assert os.listdir(settings.directory).count("dump.rdb") == 1
    assert not [name for name in os.listdir(settings.directory) if name.startswith("temp-")]
    return dump


def saved_once(settings: SaveSettings, data: Keyspace) -> SaveJob:
    job = SaveJob()
    write(job, data, settings)
    assert job.bytes_shared == 0
    return job


def change(data: Keyspace, *numbers: int, length: int = 1000) -> None:
    for number in numbers:
        data.databases[0].set(b"user:%d:profile" % number, random.Random(number).randbytes(length))


@on_all
@pytest.mark.parametrize("incremental", [True, False])
def test_what_has_not_changed_takes_no_room(settings: SaveSettings, incremental: bool) -> None:
    settings = replace(settings, incremental_fsync=incremental)
    data = filled()
    job = saved_once(settings, data)
    first = Path(settings.directory, "dump.rdb")
    os.link(first, first.with_name("kept"))
    os.unlink(first.with_name("kept"))  # its time of change is another one now, its content is not
    os.rename(first, first.with_name("kept"))
    os.link(first.with_name("kept"), first)
    used = used_bytes(first.parent)
    change(data, 100, 1200)
    saved = write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared > saved.nbytes - MB // 8
    assert used_bytes(first.parent) - used < MB // 8
    assert saved.nbytes > 2_000_000


def test_elsewhere_nothing_changes(ext4: Path) -> None:
    settings, data = SaveSettings(str(ext4), "dump.rdb", compress=False, share_blocks=True), filled()
    job = SaveJob()
    sizes = [write(job, data, replace(settings, share_blocks=share)).nbytes for share in (False, True, True)]
    assert len(set(sizes)) == 1
    assert job.bytes_shared == 0
    assert PADDING not in check(data, settings)


@pytest.mark.parametrize(
    "less",
    [{"share_blocks": False}, {"checksum": False}],
    ids=str,
)
def test_without_the_setting_or_checksums_nothing_is_padded(settings: SaveSettings, less: dict[str, bool]) -> None:
    settings, data = replace(settings, **less), filled()  # type: ignore[arg-type]
    job = SaveJob()
    for _ in range(2):
        write(job, data, settings)
    assert job.bytes_shared == 0
    assert PADDING not in Path(settings.directory, "dump.rdb").read_bytes()


def test_small_dumps_are_not_padded(settings: SaveSettings) -> None:
    data = filled(100)
    write(SaveJob(), data, settings)
    assert PADDING not in check(data, settings)


def test_runs_begin_at_blocks_and_take_little(settings: SaveSettings) -> None:
    data = filled()
    saved_once(settings, data)
    dump = check(data, settings)
    plain = write(SaveJob(), data, replace(settings, share_blocks=False)).nbytes
    assert plain < len(dump) < plain * 1.05
    at, pads = dump.find(b"\xfa\x0a" + PADDING), 0
    while at >= 0:
        length = int.from_bytes(dump[at + 12 : at + 14], "big") & 0x3FFF
        assert (at + 14 + length) % 4096 == 0
        assert dump[at + 14 : at + 14 + length] == bytes(length)
        pads += 1
        at = dump.find(b"\xfa\x0a" + PADDING, at + 1)
    assert 10 < pads < len(dump) // (64 << 10) + 2


@on_all
@pytest.mark.parametrize("compress", [False, True])
def test_records_that_grow_come_and_go_shift_little(settings: SaveSettings, compress: bool) -> None:
    settings = replace(settings, compress=compress)
    data = filled()
    job = saved_once(settings, data)
    change(data, 700, length=1100)
    data.databases[0].delete(b"user:1500:profile")
    change(data, KEYS + 1)
    saved = write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared > saved.nbytes // 2


@on_all
def test_collections_and_large_values(settings: SaveSettings, large: Keyspace) -> None:
    for compress in (True, False):
        Path(settings.directory, "dump.rdb").unlink(missing_ok=True)
        job = saved_once(replace(settings, compress=compress), large)
        saved = write(job, large, replace(settings, compress=compress))
        assert job.bytes_shared > saved.nbytes - 8192
        found = read(check(large, settings)).records
        write(SaveJob(), large, replace(settings, filename="plain.rdb", share_blocks=False))
        plain = read(Path(settings.directory, "plain.rdb").read_bytes()).records
        assert {(each.database, each.key): each.value for each in found} == {
            (each.database, each.key): each.value for each in plain
        }


def test_a_new_server_reads_the_dump_of_the_one_before(settings: SaveSettings) -> None:
    data = filled()
    saved_once(settings, data)
    change(data, 7)
    job = SaveJob()
    saved = write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared > saved.nbytes // 2


def test_a_dump_without_padding_is_not_read_for_it(settings: SaveSettings) -> None:
    data = filled()
    write(SaveJob(), data, replace(settings, share_blocks=False))
    job = SaveJob()
    write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared == 0


# What happens to the dump before


def test_the_dump_before_is_gone(settings: SaveSettings) -> None:
    data = filled()
    job = saved_once(settings, data)
    Path(settings.directory, "dump.rdb").unlink()
    write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared == 0


@pytest.mark.parametrize("at", [9000, MB, -1000, -3])
@pytest.mark.parametrize("hidden", [False, True])
def test_the_dump_before_was_changed(settings: SaveSettings, at: int, hidden: bool) -> None:
    """Also with the time of its last change put back."""
    data = filled()
    job = saved_once(settings, data)
    path = Path(settings.directory, "dump.rdb")
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at, os.SEEK_SET if at > 0 else os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    if hidden:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared == 0


@pytest.mark.parametrize("length", [0, 5, 8193, MB])
def test_the_dump_before_was_cut(settings: SaveSettings, length: int) -> None:
    data = filled()
    job = saved_once(settings, data)
    os.truncate(Path(settings.directory, "dump.rdb"), length)
    write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared == 0


def test_the_dump_before_was_replaced(settings: SaveSettings) -> None:
    """By another one of ours: it is read, and shares what it has."""
    data, other = filled(), filled(seed=9)
    job = saved_once(settings, data)
    write(SaveJob(), other, settings)
    write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared == 0
    write(SaveJob(), other, settings)
    job = SaveJob()
    assert write(job, other, settings).nbytes - job.bytes_shared < 8192
    check(other, settings)


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_what_is_no_file_is_not_read(settings: SaveSettings, kind: str) -> None:
    data = filled()
    job = saved_once(settings, data)
    path = Path(settings.directory, "dump.rdb")
    os.rename(path, path.with_name("other"))
    if kind == "link":
        path.symlink_to("other")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
        with pytest.raises(SaveError):
            write(job, data, settings)
        path.rmdir()
    write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared == 0


def meanwhile(settings: SaveSettings, data: Keyspace, job: SaveJob, what: str) -> Saved:
    """A save in the course of which something happens to the dump before, when much of that is shared already."""
    path = Path(settings.directory, "dump.rdb")
    temporary = path.with_name(f"temp-{os.getpid()}.rdb")
    done: list[str] = []

    def happen() -> None:
        wait_until(lambda: temporary.exists() and temporary.stat().st_size > 0, "the save")
        if what == "link":
            os.link(path, path.with_name("backup"))
        elif what == "gone":
            path.unlink()
        else:
            with path.open("r+b") as file:
                file.seek(-20_000, os.SEEK_END)
                file.write(b"not what it was")
                os.fsync(file.fileno())
        done.append(what)

    thread = threading.Thread(target=happen)
    thread.start()
    try:
        return write(job, data, replace(settings, key_delay_us=800))
    finally:
        thread.join()
        assert done == [what]


@pytest.mark.parametrize("what", ["link", "gone"])
def test_a_backup_takes_the_dump_meanwhile(settings: SaveSettings, what: str) -> None:
    data = filled()
    job = saved_once(settings, data)
    saved = meanwhile(settings, data, job, what)
    check(data, settings)
    assert job.bytes_shared > saved.nbytes // 2


def test_the_dump_before_changes_meanwhile(settings: SaveSettings) -> None:
    """The save fails, and the next one does without it."""
    data = filled()
    job = saved_once(settings, data)
    with pytest.raises(SaveError, match="the dump before, whose blocks it shares, has been changed meanwhile"):
        meanwhile(settings, data, job, "changed")
    write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared == 0


# System calls that fail


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSPC, errno.EXDEV])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_block_that_cannot_be_shared_is_written(settings: SaveSettings, number: int, nth: int) -> None:
    data = filled()
    job = saved_once(settings, data)
    change(data, 1800)
    saved = write(job, data, settings, {"clone": (number, nth, EVER)})
    check(data, settings)
    assert (job.bytes_shared == 0) == (nth == 1)
    assert job.bytes_shared < saved.nbytes
    write(job, data, settings)
    check(data, settings)


def test_an_interrupted_call_is_repeated(settings: SaveSettings) -> None:
    data = filled()
    job = saved_once(settings, data)
    saved = write(job, data, settings, {"clone": (errno.EINTR, 1, 3)})
    check(data, settings)
    assert job.bytes_shared > saved.nbytes - 8192


def test_a_refusal_counts_for_the_directory(settings: SaveSettings) -> None:
    data, job = filled(), SaveJob()
    write(job, data, settings, {"clone": (errno.EOPNOTSUPP, 1, EVER)})
    assert PADDING not in check(data, settings)
    write(job, data, settings)
    assert PADDING not in check(data, settings)
    write(job, data, replace(settings, directory=f"{settings.directory}/."))
    assert PADDING in check(data, settings)


@pytest.mark.parametrize(
    "faults", [{"io_setup": (errno.EPERM, 1, EVER)}, {"io_submit": (errno.EAGAIN, 1, EVER)}], ids=str
)
@pytest.mark.parametrize("write_max", [0, 5000])
def test_writes_between_what_is_shared(settings: SaveSettings, faults: Faults, write_max: int) -> None:
    data = filled()
    job = saved_once(settings, data)
    change(data, *range(0, KEYS, 50))
    job.inject(faults, write_max)
    saved = save(job, data.walker(), settings)
    check(data, settings)
    assert 0 < job.bytes_shared < saved.nbytes


@pytest.mark.parametrize("call", ["write", "fsync", "close", "rename"])
def test_a_failed_save_leaves_the_dump_before_and_what_is_known_of_it(settings: SaveSettings, call: str) -> None:
    data = filled()
    job = saved_once(settings, data)
    before = check(data, settings)
    change(data, *range(0, KEYS, 100))
    with pytest.raises(SaveError):
        write(job, data, settings, {call: (errno.EIO, 1, EVER)})
    assert Path(settings.directory, "dump.rdb").read_bytes() == before
    saved = write(job, data, settings)
    check(data, settings)
    assert saved.nbytes // 4 < job.bytes_shared < saved.nbytes


@pytest.mark.parametrize(
    ("call", "nth"), [("clone", 1), ("clone", 2), ("write", 1), ("fsync", 1), ("rename", 1), ("fsync", 2)]
)
def test_a_child_that_is_killed_at_any_step(settings: SaveSettings, call: str, nth: int) -> None:
    data = filled()
    job = saved_once(settings, data)
    before = check(data, settings)
    change(data, 5)
    job.inject({call: (-1, nth, nth)})
    child = ChildSettings(os.fsencode(settings.directory) + b".log")
    job.prepare(data.walker(), settings, child)
    pid, _ = job.fork()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    for path in Path(settings.directory).glob("temp-*"):
        path.unlink()
    if (call, nth) == ("fsync", 2):  # of the directory: the new dump is there
        check(data, settings)
    else:
        assert Path(settings.directory, "dump.rdb").read_bytes() == before
    change(data, 6)
    saved = write(job, data, settings)
    check(data, settings)
    assert job.bytes_shared > saved.nbytes - MB // 8


def test_a_child_shares_and_its_server_knows_what_with(settings: SaveSettings) -> None:
    data, job = filled(), SaveJob()
    child = ChildSettings(os.fsencode(settings.directory) + b".log")
    for number in range(3):
        change(data, number)
        job.inject({})
        job.prepare(data.walker(), settings, child)
        pid, _ = job.fork()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        dump = check(data, settings)
        assert (job.bytes_shared > len(dump) - MB // 8) == (number > 0)


# Where it does not pay


def test_saves_that_share_little_are_not_followed_by_others_that_try(settings: SaveSettings) -> None:
    data, job = filled(), SaveJob()
    padded = []
    for number in range(12):
        for key in range(KEYS):
            data.databases[0].set(b"user:%d:profile" % key, random.Random(number * KEYS + key).randbytes(1000))
        write(job, data, settings)
        assert job.bytes_shared == 0
        padded.append(PADDING in check(data, settings))
    # Two that try, one that does not, two, three that do not, two, ...
    assert padded == [True, True, False, True, True, False, False, False, True, True, False, False]


# Runs that are not made again


def test_runs_are_found_by_their_records_and_by_how_strings_are_written(settings: SaveSettings) -> None:
    """Values that become smaller: what is shared then, was not compressed again, or not compressed."""
    data = Keyspace(3, 128 * MB, huge_pages=False)
    for index in range(9000):
        data.databases[index % 2].set(b"user:%d" % index, b"%d and so on " % index * 40)
        if index % 3 == 0:
            data.databases[index % 2].set_expire(b"user:%d" % index, 1 << 45)
    for compress in (True, False, True):
        path = Path(settings.directory, "dump.rdb")
        path.unlink(missing_ok=True)
        job = saved_once(replace(settings, compress=compress), data)
        first = path.read_bytes()
        saved = write(job, data, replace(settings, compress=compress))
        assert job.bytes_shared > saved.nbytes - 8192
        assert records_of(path.read_bytes()) == records_of(first)
        assert write(job, data, replace(settings, compress=not compress)).nbytes != saved.nbytes
        assert records_of(path.read_bytes()) == records_of(first)
        # Databases change their numbers, and what is in them stays where it is.
        data.swap(0, 2)


def records_of(dump: bytes) -> dict[tuple[int, bytes], object]:
    assert dump[-8:] == crc(dump[:-8])
    return {(each.database, each.key): (each.value, each.expire_at_ms) for each in read(dump).records}


def test_a_point_that_is_restored_shares_with_its_base(settings: SaveSettings) -> None:
    data = filled()
    directory = Path(settings.directory)
    base, first, second = (str(directory / name) for name in ("base.rdb", "first.rdb", "second.rdb"))
    write(SaveJob(), data, replace(settings, filename="base.rdb", compress=True, dump_before=str(directory / "none")))
    used = used_bytes(directory)
    restored = Keyspace(2, 128 * MB, huge_pages=False)
    with open(base, "rb") as file:
        RdbReader(file.fileno(), EngineTarget(restored), 2, 0).step(1 << 30)
    change(restored, 1000)
    save_keyspace(restored, first, like=base)
    assert used_bytes(directory) - used < MB // 2
    save_keyspace(restored, second)
    assert records_of(Path(first).read_bytes()) == records_of(Path(second).read_bytes())
    assert PADDING not in Path(second).read_bytes()
