"""The writer: a whole file in its place, or the old one and nothing else, whichever system call fails."""

from __future__ import annotations

import calendar
import contextlib
import ctypes
import errno
import gc
import mmap
import os
import random
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minikv import __version__
from minikv.errors import SaveError
from minikv.keyspace.database import Keyspace
from minikv.saving import temp_file
from minikv.saving.foreground import Saved, save
from minikv.saving.fork import hide, thread_address
from minikv.saving.save_job import SaveJob
from minikv.saving.settings import ChildSettings, SaveSettings
from minikv.saving.verify import verify
from tests.harness import wait_until
from tests.rdb.rdb_files import crc, read

MB = 1 << 20
OLD = b"the old dump"
EVER = 2**31
PR_SET_CHILD_SUBREAPER = 36

Faults = dict[str, tuple[int, int, int]]  # as SaveJob.inject takes them

# open() on a file system that knows no direct writes
CACHED: Faults = {"open": (errno.EINVAL, 1, 1)}


def keyspace(keys: int = 0, value_len: int = 1000) -> Keyspace:
    """Values that do not become smaller by compression."""
    made = Keyspace(1, 64 * MB, huge_pages=False)
    source = random.Random(5)
    for index in range(keys):
        made.databases[0].set(b"key:%d" % index, source.randbytes(value_len))
    return made


@pytest.fixture
def settings(tmp_path: Path) -> SaveSettings:
    """A save over an existing dump."""
    (tmp_path / "dump.rdb").write_bytes(OLD)
    return SaveSettings(str(tmp_path), "dump.rdb")


def write(
    settings: SaveSettings, data: Keyspace | None = None, faults: Faults | None = None, write_max: int = 0
) -> Saved:
    """A save in this process."""
    job = SaveJob()
    job.inject(faults or {}, write_max)
    return save(job, (data or keyspace()).walker(), replace(settings, used_memory=12345))


def files(settings: SaveSettings) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(settings.directory).iterdir()}


def test_header_aux_records_end_and_checksum(settings: SaveSettings) -> None:
    data = keyspace()
    data.databases[0].set(b"a", b"1")
    data.databases[0].set(b"b", b"2")
    saved = write(settings, data)
    written = files(settings)["dump.rdb"]
    assert written.startswith(b"REDIS0010\xfa\x09redis-ver\x067.0.15")
    found = read(written)
    assert {(record.key, record.value) for record in found.records} == {(b"a", b"1"), (b"b", b"2")}
    assert abs(int(found.aux.pop(b"ctime")) - time.time()) < 60
    assert found.aux == {
        b"redis-ver": b"7.0.15",
        b"redis-bits": b"64",
        b"used-mem": b"12345",
        b"aof-base": b"0",
        b"minikv-ver": __version__.encode(),
    }
    assert (saved.keys, saved.nbytes) == (2, len(written))
    assert written[-8:] == crc(written[:-8])
    assert list(files(settings)) == ["dump.rdb"]


def test_without_checksum_the_field_is_zero(settings: SaveSettings) -> None:
    write(replace(settings, checksum=False), keyspace(1))
    assert files(settings)["dump.rdb"].endswith(b"\xff" + bytes(8))


def test_values_are_compressed_if_that_is_wanted(settings: SaveSettings) -> None:
    data = keyspace()
    data.databases[0].set(b"a", bytes(10_000))
    assert write(replace(settings, compress=False), data).nbytes > 10_000
    assert write(replace(settings, compress=True), data).nbytes < 1000
    assert read(files(settings)["dump.rdb"]).records[0].value == bytes(10_000)


def with_head(settings: SaveSettings, head: bytes) -> Any:
    """The same settings, but the file begins with any bytes."""

    class Headed:
        def __getattr__(self, name: str) -> Any:
            return getattr(settings, name)

        def head(self) -> bytes:
            return head

    return Headed()


@contextlib.contextmanager
def raw(settings: SaveSettings, body: bytes, faults: Faults | None = None, write_max: int = 0) -> Iterator[SaveJob]:
    """A save whose file begins with any bytes, and has no keys."""
    job = SaveJob()
    job.inject(faults or {}, write_max)
    job.prepare(keyspace().walker(), with_head(settings, body))
    yield job
    job.release()


@pytest.mark.parametrize(
    ("incremental", "faults"),
    [
        (True, {}),
        (True, {"io_setup": (errno.EPERM, 1, EVER)}),
        (True, {"io_submit": (errno.EAGAIN, 2, 3)}),
        (True, CACHED),
        (False, {}),
    ],
    ids=["direct", "no queue", "full queue", "cached", "at the end"],
)
@pytest.mark.parametrize("size", [0, 1, 100_000, MB - 9, MB, 12 * MB + 4096, 40 * MB - 5])
@pytest.mark.parametrize("write_max", [0, 300_001, 4096 * 37])
def test_files_of_all_sizes_are_whole(
    settings: SaveSettings, incremental: bool, faults: Faults, size: int, write_max: int
) -> None:
    """Also if a write takes a part only, aligned or not."""
    body = random.Random(size).randbytes(size)
    with raw(replace(settings, incremental_fsync=incremental), body, faults, write_max) as job:
        assert job.write()
        assert job.commit()
        assert job.nbytes == size + 9
    assert list(files(settings)) == ["dump.rdb"]
    data = files(settings)["dump.rdb"]
    assert data[:-8] == body + b"\xff"
    assert data[-8:] == crc(data[:-8])


@pytest.mark.parametrize("nth", [1, 5])
def test_a_disk_that_wants_another_alignment_is_written_through_the_cache(settings: SaveSettings, nth: int) -> None:
    write(settings, keyspace(10_000), {"write": (errno.EINVAL, nth, nth)})
    data = files(settings)["dump.rdb"]
    assert data[-8:] == crc(data[:-8])
    assert read(data).keys_loaded == 10_000


@pytest.mark.parametrize("cached", [False, True], ids=["direct", "cached"])
@pytest.mark.parametrize(
    ("call", "nth"), [("open", 1), ("open", 2), ("write", 1), ("write", 5), ("fsync", 1), ("fsync", 2)]
)
def test_a_call_that_a_signal_interrupts_is_made_again(
    settings: SaveSettings, cached: bool, call: str, nth: int
) -> None:
    faults: Faults = {call: (errno.EINTR, nth, nth + 1)}
    if cached and call == "open":
        return
    write(settings, keyspace(10_000), {**(CACHED if cached else {}), **faults})
    assert read(files(settings)["dump.rdb"]).keys_loaded == 10_000


@pytest.mark.parametrize(("delay_us", "at_least_s"), [(2000, 0.02), (100, 0.001), (-5, 0.0)])
def test_a_delay_for_each_key(settings: SaveSettings, delay_us: int, at_least_s: float) -> None:
    began = time.monotonic()
    write(replace(settings, key_delay_us=delay_us), keyspace(10))
    assert time.monotonic() - began >= at_least_s
    assert read(files(settings)["dump.rdb"]).keys_loaded == 10


OPENING = "Failed opening the temp RDB file temp-{pid}.rdb (in server root dir {dir}) for saving"
WRITING = "Write error while saving DB to the disk"
MOVING = "Error moving temp DB file temp-{pid}.rdb on the final destination dump.rdb (in server root dir {dir})"

FAULTS = [
    ("open", 1, errno.EACCES, OPENING + ": Permission denied"),
    ("write", 1, errno.ENOSPC, WRITING + "(write): No space left on device"),
    ("write", 3, errno.EIO, WRITING + "(write): Input/output error"),
    ("sync_file_range", 1, errno.EIO, WRITING + "(sync_file_range): Input/output error"),
    ("sync_file_range", 3, errno.EIO, WRITING + "(sync_file_range): Input/output error"),
    ("fsync", 1, errno.EIO, WRITING + "(fsync): Input/output error"),
    ("close", 1, errno.EDQUOT, WRITING + "(close): Disk quota exceeded"),
    ("rename", 1, errno.EXDEV, MOVING + ": Invalid cross-device link"),
]


@pytest.mark.parametrize("cached", [False, True], ids=["direct", "cached"])
@pytest.mark.parametrize(("call", "nth", "number", "text"), FAULTS)
def test_a_failing_call_leaves_the_old_dump(
    settings: SaveSettings, cached: bool, call: str, nth: int, number: int, text: str
) -> None:
    if call == "sync_file_range" and not cached:
        return  # nothing is in the page cache
    threads = threading.active_count()
    faults = {**(CACHED if cached else {}), call: (number, nth, EVER)}
    with pytest.raises(SaveError) as caught:
        write(settings, keyspace(30_000), faults)
    assert str(caught.value) == text.format(pid=os.getpid(), dir=settings.directory)
    cause = caught.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == number
    assert files(settings) == {"dump.rdb": OLD}
    assert threading.active_count() == threads
    assert open_files(settings) == []


def open_files(settings: SaveSettings) -> list[str]:
    """Files in the directory that this process has open."""
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith(settings.directory):
            names.append(target)
    return names


def test_a_directory_that_cannot_be_synced_is_an_error_though_the_dump_is_new(settings: SaveSettings) -> None:
    with pytest.raises(SaveError, match=r"\(fsyncFileDir\): Input/output error"):
        write(settings, keyspace(1), {"fsync": (errno.EIO, 2, 2)})
    assert read(files(settings)["dump.rdb"]).keys_loaded == 1


def test_a_directory_that_goes_before_the_verification(settings: SaveSettings) -> None:
    class Vanishing:
        def __getattr__(self, name: str) -> Any:
            return getattr(job, name)

        def write(self) -> bool:
            written = job.write()
            shutil.rmtree(settings.directory)
            return written

    job = SaveJob()
    vanishing: Any = Vanishing()
    with pytest.raises(SaveError, match="Verifying the new dump failed: No such file or directory"):
        save(vanishing, keyspace(1).walker(), replace(settings, verify=True))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF])
def test_a_file_system_without_sync_of_directories_will_do(settings: SaveSettings, number: int) -> None:
    write(settings, keyspace(1), {"fsync": (number, 2, 2)})
    assert read(files(settings)["dump.rdb"]).keys_loaded == 1


def test_a_dump_that_lacks_a_key_is_not_taken(settings: SaveSettings) -> None:
    data = keyspace(10)
    walker = data.walker()
    data.databases[0].delete(b"key:3")
    with pytest.raises(SaveError, match=r"\(walk\): some keys were not found"):
        save(SaveJob(), walker, settings)
    assert files(settings) == {"dump.rdb": OLD}


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="No such file or directory"):
        write(SaveSettings(str(tmp_path / "gone"), "dump.rdb"))


@pytest.mark.parametrize("length", [4000, 5000])
def test_a_directory_whose_name_is_too_long(length: int) -> None:
    with pytest.raises(SaveError, match=r"Failed opening .* for saving: File name too long"):
        write(SaveSettings("/" + "d" * length, "dump.rdb"))


def test_a_dump_whose_name_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").mkdir()
    with pytest.raises(SaveError, match=r"on the final destination dump\.rdb"):
        write(SaveSettings(str(tmp_path), "dump.rdb"))
    assert [path.name for path in tmp_path.iterdir()] == ["dump.rdb"]


def test_one_job_serves_one_save_after_the_other(settings: SaveSettings) -> None:
    job, data = SaveJob(), keyspace(5000)
    job.inject({"write": (errno.EIO, 2, 2)})
    with pytest.raises(SaveError):
        save(job, data.walker(), settings)
    library = b"\x80\x00\x20\x00\x00" + bytes(1 << 21)  # larger than what is set aside for such things
    for functions in ((), (library,), ()):
        save(job, data.walker(), replace(settings, functions=functions))
        assert (library in files(settings)["dump.rdb"]) == bool(functions)
        assert read(files(settings)["dump.rdb"]).keys_loaded == 5000


@pytest.mark.parametrize("odd", range(8))
def test_more_words_than_a_child_has_room_for_are_refused(settings: SaveSettings, odd: int) -> None:
    """Whatever is left behind the last that fits: the file's head has any length."""
    job, data = SaveJob(), keyspace()
    child = ChildSettings(verifier=[b"x"] * 100_000 + [bytes(MB)])
    with pytest.raises(OSError, match="Argument list too long"):
        job.prepare(data.walker(), with_head(settings, bytes(2 * MB + odd)), child)


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
    data, job, seen = keyspace(3), SaveJob(), set[tuple[str, ...]]()
    job.prepare(data.walker(), replace(settings, key_delay_us=100_000))
    thread = threading.Thread(target=job.write)
    thread.start()
    while thread.is_alive():
        if (Path(settings.directory) / temp_file.temp_name(os.getpid())).exists():
            seen.add(tuple(temp_file.stale_files(settings.directory)))
    thread.join()
    assert seen >= {()}  # between open and lock it looks stale
    assert temp_file.stale_files(settings.directory) == []  # it is still to be verified, and to get its name
    assert job.abort() == ""
    assert files(settings) == {"dump.rdb": OLD}


def test_what_a_dead_writer_left_is_not_in_the_dump(settings: SaveSettings) -> None:
    Path(settings.directory, temp_file.temp_name(os.getpid())).write_bytes(bytes(3 * MB))
    saved = write(settings, keyspace(5))
    assert read(files(settings)["dump.rdb"]).keys_loaded == 5
    assert len(files(settings)["dump.rdb"]) == saved.nbytes
    assert list(files(settings)) == ["dump.rdb"]


@pytest.mark.parametrize("nap_us", [0, 100_000], ids=["written", "being written"])
def test_a_process_elsewhere_that_has_the_same_number_is_left_alone(settings: SaveSettings, nap_us: int) -> None:
    """Two containers, one directory. Here, two savers."""
    job, other = SaveJob(), SaveJob()
    job.prepare(keyspace(5).walker(), replace(settings, key_delay_us=nap_us))
    thread = threading.Thread(target=job.write)
    thread.start()
    if nap_us == 0:
        thread.join()
    path = Path(settings.directory, temp_file.temp_name(os.getpid()))
    wait_until(lambda: path.exists() and not temp_file.stale_files(settings.directory), "it is locked")
    with pytest.raises(SaveError, match=r"Failed opening the temp RDB file .*: Resource temporarily unavailable"):
        save(other, keyspace(3).walker(), settings)
    thread.join()
    assert job.commit()
    assert read(files(settings)["dump.rdb"]).keys_loaded == 5
    save(other, keyspace(3).walker(), settings)
    assert read(files(settings)["dump.rdb"]).keys_loaded == 3
    assert list(files(settings)) == ["dump.rdb"]


# -- rdb-verify


def test_a_verified_dump_replaces_the_old_one(settings: SaveSettings) -> None:
    saved = write(replace(settings, verify=True), keyspace(10_000))
    assert list(files(settings)) == ["dump.rdb"]
    assert len(files(settings)["dump.rdb"]) == saved.nbytes > 8 * MB


def test_keys_and_bytes_that_are_missing_are_found(settings: SaveSettings) -> None:
    write(settings, keyspace(10))
    path = Path(settings.directory, "dump.rdb")
    nbytes = len(path.read_bytes())
    with path.open("rb", buffering=0) as file:
        verify(file.fileno(), keys=10, nbytes=nbytes, checksum=True)
        for keys, expected in ((11, nbytes), (10, nbytes + 1)):
            file.seek(0)
            with pytest.raises(
                SaveError, match=f"Verifying the new dump failed: .*, {keys if keys > 10 else expected} were written"
            ):
                verify(file.fileno(), keys=keys, nbytes=expected, checksum=True)


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("offset", [0, 3, 5_000_017, -20, -1])
def test_a_bit_that_the_disk_has_changed_is_found(settings: SaveSettings, offset: int, checksum: bool) -> None:
    """Without the checksum, one that changes the form."""
    job = SaveJob()
    job.prepare(keyspace(10_000).walker(), replace(settings, checksum=checksum))
    assert job.write()
    with open(job.temp_path, "r+b") as file:
        file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte ^ 0x20,)))
        file.flush()
        file.seek(0)
        if not checksum and offset in (5_000_017, -20, -1):
            return
        with pytest.raises(SaveError, match="Verifying the new dump failed: "):
            verify(file.fileno(), keys=job.keys, nbytes=job.nbytes, checksum=checksum)
    job.abort()


# -- in a child


def fork(
    settings: SaveSettings, data: Keyspace, faults: Faults | None = None, verifier: list[bytes] | None = None
) -> int:
    """The pid of a child that saves, and logs to the file `log`."""
    job = SaveJob()
    job.inject(faults or {})
    child = ChildSettings(os.fsencode(settings.directory) + b".log", oom_score=700, verifier=verifier or [])
    job.prepare(data.walker(), settings, child)
    pid, fork_ns = job.fork()
    assert fork_ns > 0
    return pid


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def process_of_its_own() -> int:
    """As os.fork. Engines that are garbage by now must not be freed there: where they lay may be others by then."""
    gc.collect()
    gc.freeze()
    try:
        return os.fork()
    finally:
        gc.unfreeze()


def log(settings: SaveSettings) -> str:
    return Path(settings.directory + ".log").read_text()


def test_a_child_writes_what_was_there_at_the_fork(settings: SaveSettings) -> None:
    data = keyspace(2000)
    expected = {record: data.databases[0].get(record) for record in (b"key:0", b"key:1999")}
    data.snapshot_open(True)
    pid = fork(replace(settings, key_delay_us=20), data)
    for index in range(2000):
        data.databases[0].set(b"key:%d" % index, b"changed")
    assert exit_code(pid) == 0
    data.snapshot_close()
    found = {record.key: record.value for record in read(files(settings)["dump.rdb"]).records}
    assert len(found) == 2000
    assert {key: found[key] for key in expected} == expected
    assert f"{pid}:C " in log(settings)
    assert " * DB saved on disk\n" in log(settings)


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer's record of the heap is needed in every process")
def test_a_child_has_no_heap(settings: SaveSettings) -> None:
    """None of the places at which the interpreter keeps its objects exists there."""
    middle = process_of_its_own()
    if middle == 0:  # a process that needs no other children
        objects = [b"%d" % index * 100 for index in range(20_000)]
        hidden = hide(thread_address())
        pid = fork(replace(settings, key_delay_us=10_000_000), keyspace(10))
        time.sleep(0.1)
        mapped = [
            tuple(int(end, 16) for end in line.split()[0].split("-"))
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
        ]
        os.kill(pid, signal.SIGKILL)
        left = [address for address in map(id, objects) if any(start <= address < end for start, end in mapped)]
        os._exit((hidden < 50) + 2 * (exit_code(pid) != -signal.SIGKILL) + 4 * (len(left) > 100))
    assert exit_code(middle) == 0


def test_what_is_reserved_while_another_thread_hides_the_heap_is_inherited(settings: SaveSettings) -> None:
    """The thread has seen heap where a reservation is by now."""
    middle = process_of_its_own()
    if middle == 0:  # a process that needs no other children
        done, data, codes = threading.Event(), keyspace(10), set()

        def hide_on(thread: int) -> None:
            while not done.is_set():
                hide(thread)

        threading.Thread(target=hide_on, args=(thread_address(),), daemon=True).start()
        for _ in range(60):
            heap = [mmap.mmap(-1, 4 * MB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(3)]
            time.sleep(0.0005)
            for mapping in heap:
                mapping.close()
            codes.add(exit_code(fork(settings, data)))
        done.set()
        os._exit(0 if codes == {0} else 1)
    assert exit_code(middle) == 0


def test_a_child_without_a_heap_saves_as_well(settings: SaveSettings) -> None:
    middle = process_of_its_own()
    if middle == 0:
        data = keyspace(10_000)
        data.databases[0].set(b"text", b"words, words, words, " * 10_000)
        hide(thread_address())
        wanted = replace(settings, verify=True)
        os._exit(exit_code(fork(wanted, data, verifier=wanted.verifier())))
    assert exit_code(middle) == 0
    assert read(files(settings)["dump.rdb"]).keys_loaded == 10_001


def test_the_lines_of_a_child_have_the_date(settings: SaveSettings) -> None:
    before = time.time()
    assert exit_code(fork(settings, keyspace())) == 0
    line = log(settings).splitlines()[0]
    stamp = " ".join(line.split()[1:5])
    at = calendar.timegm(time.strptime(stamp[:-4], "%d %b %Y %H:%M:%S"))
    assert before - 1 <= at <= time.time()


@pytest.mark.parametrize(
    ("call", "nth", "number", "text"), [fault for fault in FAULTS if fault[0] != "sync_file_range"]
)
def test_a_child_that_fails_leaves_the_old_dump(
    settings: SaveSettings, call: str, nth: int, number: int, text: str
) -> None:
    pid = fork(settings, keyspace(10_000), {call: (number, nth, EVER)})
    assert exit_code(pid) == 1
    assert files(settings) == {"dump.rdb": OLD}
    assert f" # {text.format(pid=pid, dir=settings.directory)}\n" in log(settings)


@pytest.mark.parametrize("low", [True, False])
def test_a_server_without_a_free_descriptor_has_a_child_that_logs(settings: SaveSettings, low: bool) -> None:
    """To a descriptor, standard output for one."""
    middle = process_of_its_own()
    if middle == 0:
        path = settings.directory + ".log"
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if low:
            number = os.dup2(number, 1)
        job = SaveJob()
        job.prepare(keyspace(5).walker(), settings, ChildSettings(log_fd=number, oom_score=700))
        soft = max(int(fd) for fd in os.listdir("/proc/self/fd")) + 10
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
        with contextlib.suppress(OSError):
            while True:
                os.dup(2)
        os._exit(exit_code(job.fork()[0]))
    assert exit_code(middle) == 0
    assert " * DB saved on disk\n" in log(settings)


@pytest.mark.parametrize(("own", "of_child"), [(os.SCHED_OTHER, os.SCHED_BATCH), (os.SCHED_IDLE, os.SCHED_IDLE)])
def test_a_child_is_a_batch_process_its_parent_is_not(settings: SaveSettings, own: int, of_child: int) -> None:
    middle = process_of_its_own()
    if middle == 0:  # a process whose policy nobody else minds
        os.sched_setscheduler(0, own, os.sched_param(0))
        pid = fork(replace(settings, key_delay_us=10_000_000), keyspace(5))
        wrong = os.sched_getscheduler(0) != own
        deadline = time.monotonic() + 5
        while os.sched_getscheduler(pid) != of_child and not wrong:  # the child itself changes it
            wrong = time.monotonic() > deadline
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        exit_code(pid)
        os._exit(wrong)
    assert exit_code(middle) == 0


def test_a_fork_keeps_the_parents_signals(settings: SaveSettings) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        assert exit_code(fork(settings, keyspace())) == 0
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before | {signal.SIGUSR2}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_refused_fork_is_an_error_and_changes_nothing(settings: SaveSettings) -> None:
    middle = process_of_its_own()
    if middle == 0:  # a process that may lose its right to fork
        code = 1
        try:
            if os.getuid() == 0:
                os.setuid(65534)  # no limit holds for root
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            fork(settings, keyspace(5))
        except OSError as error:
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            code = error.errno != errno.EAGAIN or bool(blocked) or os.sched_getscheduler(0) != os.SCHED_OTHER
        finally:
            os._exit(code)
    assert exit_code(middle) == 0


def test_the_dump_of_a_child_is_verified_by_another_process(settings: SaveSettings) -> None:
    wanted = replace(settings, verify=True)
    assert exit_code(fork(wanted, keyspace(5000), verifier=wanted.verifier())) == 0
    assert read(files(settings)["dump.rdb"]).keys_loaded == 5000


def test_a_server_that_ignores_its_children_has_its_dump_verified(settings: SaveSettings) -> None:
    wanted = replace(settings, verify=True)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        pid = fork(wanted, keyspace(5), verifier=wanted.verifier())
        with pytest.raises(ChildProcessError):  # but only after its end
            os.waitpid(pid, 0)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert read(files(settings)["dump.rdb"]).keys_loaded == 5


def test_a_child_that_is_told_to_end_leaves_no_verifier(settings: SaveSettings) -> None:
    middle = process_of_its_own()
    if middle == 0:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # as init in a container: orphans are its children
        pid = fork(settings, keyspace(5), verifier=[b"/bin/sh", b"-c", b"kill -USR1 $PPID; exec sleep 100"])
        code = exit_code(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(0 if code == 255 else 1)
        os._exit(1)
    assert exit_code(middle) == 0


@pytest.mark.parametrize(
    ("verifier", "text"),
    [
        ([b"/bin/sh", b"-c", b"printf 'it is $1 keys'; exit 1"], "it is $1 keys"),
        ([b"/bin/sh", b"-c", b"exit 1"], "its reader ended without a word"),
        ([b"/bin/sh", b"-c", b"kill -9 $$"], "its reader ended without a word"),
        ([b"/nowhere/python"], "no process for it"),
    ],
)
def test_a_dump_that_does_not_pass_is_not_taken(settings: SaveSettings, verifier: list[bytes], text: str) -> None:
    assert exit_code(fork(settings, keyspace(5), verifier=verifier)) == 1
    assert files(settings) == {"dump.rdb": OLD}
    assert text in log(settings)
