"""The controller: when it saves, what it does when the fork is refused, what it counts and tells."""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from minikv.config import Config
from minikv.errors import ArenaFull, SaveError
from minikv.host import overcommit
from minikv.host.smaps import MemoryUse
from minikv.keyspace.database import Keyspace
from minikv.saving.save_job import SaveJob
from minikv.settings import SavePoint
from minikv.snapshot import running_snapshot
from minikv.snapshot.controller import SnapshotController
from minikv.snapshot.foreground_saves import ForegroundSaves
from minikv.snapshot.info import persistence_fields
from minikv.snapshot.preflight import Room, read_room
from minikv.snapshot.status import BY_HAND, Counters
from tests.harness import wait_until
from tests.rdb.rdb_files import read
from tests.snapshot.test_loader import Lines

MB = 1 << 20
EVER = 2**31


class Bench:
    """A controller over a small keyspace, with a clock that only moves when it is told to."""

    def __init__(self, directory: Path) -> None:
        self.now = 1_000_000.0
        self.set_by = 0.0  # what somebody has added to the wall clock
        self.config = Config()
        self.config.dir = str(directory)
        self.config.save = ()
        self.dump = directory / self.config.dbfilename
        self.keyspace = Keyspace(16, 64 * MB)
        self.database = self.keyspace.databases[0]
        self.log = Lines()
        self.forks: list[tuple[str, int]] = []
        self.controller = self.make()

    def make(
        self, room: Room | None = None, input_bytes_per_s: int = 0, **faults: tuple[int, int, int]
    ) -> SnapshotController:
        """faults: as SaveJob.inject takes them."""
        job = SaveJob()
        job.inject(faults)
        return SnapshotController(
            self.config,
            self.keyspace,
            self.log,
            latency=self,
            job=job,
            clock=lambda: self.now + self.set_by,
            monotonic=lambda: self.now,
            read_room=(lambda directory: room) if room else read_room,
            input_bytes_per_s=lambda: input_bytes_per_s,
        )

    def add(self, event: str, duration_ms: int) -> None:
        """The latency monitor."""
        self.forks.append((event, duration_ms))

    def change(self, times: int = 1) -> None:
        for index in range(times):
            self.database.set(b"key:%d" % index, b"%f" % time.monotonic())

    def cron(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.controller.cron(self.now)

    def wait(self) -> None:
        """Until the child has ended, by cron alone."""

        def ended() -> bool:
            self.cron()
            return not self.controller.in_progress

        wait_until(ended, "the child ends")

    def field(self, name: str) -> int | float | str:
        return persistence_fields(self.controller, self.keyspace.dirty)[name]

    @property
    def saves(self) -> ForegroundSaves:
        return ForegroundSaves(self.config, self.keyspace, self.log, self.controller)

    def messages(self, start: str) -> list[str]:
        return [message for message in self.log.messages if message.startswith(start)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(overcommit, "warning", lambda: None)
    made = Bench(tmp_path)
    yield made
    made.controller.kill_child()
    made.keyspace.check()
    assert [path.name for path in tmp_path.iterdir() if path.name != "dump.rdb"] == []


def test_a_background_save_from_beginning_to_end(bench: Bench) -> None:
    bench.change(100)
    bench.controller.bgsave()
    pid = bench.controller.child_pid
    assert bench.controller.in_progress
    assert pid > 0
    assert bench.field("rdb_bgsave_in_progress") == 1
    bench.change(3)
    bench.now += 60
    bench.wait()
    assert read(bench.dump.read_bytes()).keys_loaded == 100
    assert bench.controller.child_pid == 0
    assert bench.controller.status.ok
    assert bench.controller.status.saved_at == int(bench.now)
    assert bench.keyspace.dirty == 3
    assert bench.controller.status.counters.forks == 1
    assert bench.controller.status.counters.fork_us > 0
    assert bench.forks == [("fork", bench.controller.status.counters.fork_us // 1000)]
    assert bench.field("rdb_saves") == 1
    assert bench.field("minikv_snapshot_last_keys") == 100
    assert int(bench.field("rdb_last_cow_size")) > 0
    assert bench.log.messages[0] == f"* Background saving started by pid {pid}"
    assert "* Background saving terminated with success" in bench.log.messages
    assert bench.messages("* Snapshot took ")[0].count("100 keys") == 1


def test_the_event_loop_learns_of_the_end_by_itself(bench: Bench) -> None:
    async def save() -> None:
        bench.controller.attach(asyncio.get_running_loop())
        bench.controller.bgsave()
        while bench.controller.in_progress:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(save(), 20))
    assert bench.controller.status.ok


def test_without_pidfd_cron_finds_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refused)
    bench.controller.bgsave()
    bench.wait()
    assert bench.controller.status.ok
    bench.controller.bgsave()
    assert bench.controller.kill_child()


def test_a_child_that_somebody_else_reaped(bench: Bench) -> None:
    """The progress page tells whether the dump is in its place."""
    bench.change()
    bench.controller.bgsave()
    os.waitpid(bench.controller.child_pid, 0)
    bench.cron()
    assert bench.controller.status.ok
    assert bench.keyspace.dirty == 0
    bench.config.dir = "/nowhere"
    bench.controller.bgsave()
    os.waitpid(bench.controller.child_pid, 0)
    bench.cron()
    assert not bench.controller.status.ok


# -- the fork is refused


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN])
def test_a_refused_fork_is_told_and_nothing_stays_open(bench: Bench, number: int) -> None:
    bench.controller = bench.make(fork=(number, 1, EVER))
    bench.change(10)
    with pytest.raises(SaveError, match=f"Can't save in background: fork: {os.strerror(number)}"):
        bench.controller.bgsave()
    assert bench.log.messages == [f"# Can't save in background: fork: {os.strerror(number)}"]
    assert not bench.controller.in_progress
    assert not bench.controller.status.ok
    assert bench.field("rdb_last_bgsave_status") == "err"
    assert bench.keyspace.frozen_segments == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    bench.change(10)
    bench.saves.save()
    assert bench.controller.status.ok
    assert read(bench.dump.read_bytes()).keys_loaded == 10


class Refusals:
    """A fork that is refused until it is told otherwise; knows when it was tried."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._job = SaveJob()
        bench.controller = SnapshotController(
            bench.config,
            bench.keyspace,
            bench.log,
            job=self._job,
            clock=lambda: bench.now,
            monotonic=lambda: bench.now,
        )
        self.refuse()

    def refuse(self) -> None:
        self._job.inject({"fork": (errno.ENOMEM, 1, EVER)})

    def allow(self) -> None:
        self._job.inject({})

    @property
    def at(self) -> list[float]:
        """Unix seconds."""
        entries = reversed(list(self._bench.controller.history.newest()))
        return [entry.started_at_ms / 1000 for entry in entries if entry.outcome.startswith("fork refused")]

    @property
    def gaps(self) -> list[int]:
        """Whole seconds between tries."""
        return [round(later - earlier) for earlier, later in itertools.pairwise(self.at)]


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0], ids=["back", "forth"])
def test_save_points_do_not_mind_a_clock_that_jumps(bench: Bench, jump_s: float) -> None:
    bench.config.save = (SavePoint(60, 1),)
    bench.change()
    bench.set_by = jump_s
    bench.cron(59)
    assert not bench.controller.in_progress
    bench.cron(2)
    assert bench.controller.in_progress
    bench.wait()
    assert bench.controller.status.saved_at == int(bench.now + jump_s)


def test_a_refused_fork_is_tried_again_after_five_seconds(bench: Bench) -> None:
    fork = Refusals(bench)
    bench.config.save = (SavePoint(60, 1),)
    bench.change()
    bench.cron(61)
    assert len(fork.at) == 1
    for _ in range(5):
        bench.cron(1)
    assert len(fork.at) == 1
    bench.cron(0.1)
    assert len(fork.at) == 2


def test_automatic_saves_that_fail_are_tried_ever_more_rarely(bench: Bench) -> None:
    fork = Refusals(bench)
    bench.config.save = (SavePoint(60, 1),)
    bench.change()
    for _ in range(1200):
        bench.cron(1)
    assert fork.gaps == [6, 11, 21, 41, 81, 161, 301, 301]  # with a cron of one second
    assert bench.field("minikv_bgsave_failures_in_row") == 9
    assert 0 < int(bench.field("minikv_bgsave_retry_sec")) <= 300
    assert bench.messages("* 2 automatic")[0] == (
        "* 2 automatic saves failed in a row; the next is tried in 10 seconds"
    )


def test_a_save_by_hand_needs_not_wait_and_ends_the_waiting(bench: Bench) -> None:
    fork = Refusals(bench)
    bench.config.save = (SavePoint(60, 1),)
    bench.change()
    for _ in range(100):
        bench.cron(1)
    failures = bench.field("minikv_bgsave_failures_in_row")
    with pytest.raises(SaveError):
        bench.controller.bgsave()
    assert bench.field("minikv_bgsave_failures_in_row") == failures
    fork.allow()
    bench.controller.bgsave()
    bench.wait()
    assert bench.field("minikv_bgsave_failures_in_row") == 0
    assert bench.field("minikv_bgsave_retry_sec") == 0
    fork.refuse()
    bench.change()
    bench.cron(61)
    assert bench.field("minikv_bgsave_failures_in_row") == 1
    bench.saves.save()
    assert bench.field("minikv_bgsave_failures_in_row") == 0


# -- the child hangs


def hanging_child(bench: Bench, timeout_s: int) -> int:
    bench.config.rdb_key_save_delay = 10_000_000
    bench.config.bgsave_stall_timeout = timeout_s
    bench.change(10)
    bench.controller.bgsave()
    pid = bench.controller.child_pid
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_a_child_without_progress_is_killed_and_told(bench: Bench) -> None:
    pid = hanging_child(bench, 1)
    bench.wait()
    (line,) = bench.messages("# Background saving: child")
    assert line.startswith(f"# Background saving: child {pid} has made no progress for 1 s (")
    assert line.endswith("Killing it!")
    assert "# Background saving terminated by signal 9" in bench.log.messages
    assert not bench.controller.status.ok
    assert bench.controller.history.newest()[0].outcome == "killed: no progress"
    assert not bench.dump.exists()


def test_without_a_timeout_a_child_may_hang(bench: Bench) -> None:
    hanging_child(bench, 0)
    ends = time.monotonic() + 1.5
    while time.monotonic() < ends:
        bench.cron()
        time.sleep(0.01)
    assert bench.controller.in_progress


# -- preflight


ROOM = Room(memory_bytes=1 << 40, memory_of="MemAvailable", disk_bytes=1 << 40)


def test_what_fits_is_saved_and_told(bench: Bench) -> None:
    bench.controller = bench.make(room=ROOM)
    bench.controller.bgsave()
    assert bench.field("minikv_preflight_verdict") == "ok"
    assert bench.messages("* Preflight ok: ")
    assert bench.messages("# ") == []


@pytest.mark.parametrize(
    ("room", "reason"),
    [
        (replace(ROOM, memory_bytes=MB), "the snapshot is expected to need 16.0 MB of memory"),
        (replace(ROOM, disk_bytes=0), "0.0 MB are free on the disk: 1.0 MB too little"),
        (replace(ROOM, commit_bytes=MB, commit_needed_bytes=9 * MB), "the fork needs a promise of 9.0 MB, 1.0 MB are"),
    ],
)
def test_what_does_not_fit_is_warned_of_or_refused(bench: Bench, room: Room, reason: str) -> None:
    bench.controller = bench.make(room=room)
    bench.controller.bgsave()
    bench.wait()
    assert bench.field("minikv_preflight_verdict") == "short"
    assert reason in bench.messages("# Preflight: ")[0]
    assert bench.controller.status.ok
    bench.config.bgsave_preflight = "refuse"
    with pytest.raises(SaveError, match="Can't save in background: ") as refusal:
        bench.controller.bgsave()
    assert reason in str(refusal.value)
    assert f"# {refusal.value}" in bench.log.messages
    assert not bench.controller.in_progress
    assert not bench.controller.status.ok
    assert bench.controller.history.newest()[0].outcome == "refused"
    assert bench.controller.status.counters.forks == 1
    bench.config.bgsave_preflight = "off"
    bench.controller.bgsave()
    bench.wait()
    assert bench.field("minikv_preflight_verdict") == "off"
    assert bench.controller.status.ok


def test_what_may_not_fit_is_not_refused(bench: Bench) -> None:
    for index in range(9000):
        bench.database.set(b"%d" % index, bytes(1000))
    bench.controller = bench.make(room=replace(ROOM, memory_bytes=20 * MB))
    bench.config.bgsave_preflight = "refuse"
    bench.controller.bgsave()
    assert bench.field("minikv_preflight_verdict") == "tight"
    assert "if all data were overwritten" in bench.messages("* Preflight: ")[0]


def test_clients_that_write_fast_are_counted_in(bench: Bench) -> None:
    for index in range(9000):
        bench.database.set(b"%d" % index, bytes(1000))
    bench.config.bgsave_preflight = "refuse"
    bench.controller = bench.make(room=replace(ROOM, memory_bytes=20 * MB), input_bytes_per_s=100 * MB)
    with pytest.raises(SaveError, match=r"100.0 MB/s are written"):
        bench.controller.bgsave()


# -- a crash


@pytest.mark.parametrize(("call", "found"), [(1, 100), (2, 200)], ids=["before the file is safe", "after the rename"])
def test_a_crash_of_the_child_leaves_a_whole_dump(bench: Bench, call: int, found: int) -> None:
    """The second fsync is the directory's: a power cut there would bring back the old dump, and that is whole too."""
    bench.change(100)
    bench.saves.save()
    old = bench.dump.parent / "old.rdb"
    os.link(bench.dump, old)
    bench.controller = bench.make(fsync=(-1, call, call))
    bench.change(200)
    bench.controller.bgsave()
    bench.wait()
    assert "# Background saving terminated by signal 9" in bench.log.messages
    assert not bench.controller.status.ok
    assert bench.keyspace.dirty == 200  # nobody has promised that it is safe
    assert read(bench.dump.read_bytes()).keys_loaded == found
    assert read(old.read_bytes()).keys_loaded == 100
    old.unlink()


# -- when it saves by itself


def test_a_save_point_needs_both_its_time_and_its_changes(bench: Bench) -> None:
    bench.config.save = (SavePoint(3600, 1), SavePoint(60, 100))
    bench.change(99)
    bench.cron(61)
    assert not bench.controller.in_progress
    bench.change(1)
    bench.cron()
    assert bench.controller.in_progress
    assert bench.log.messages[0] == "* 100 changes in 60 seconds. Saving..."
    bench.wait()
    bench.change(1)
    bench.cron(3600)
    assert not bench.controller.in_progress
    bench.cron(1)
    assert bench.controller.in_progress


def test_a_scheduled_save_waits_for_the_running_one(bench: Bench) -> None:
    bench.controller.bgsave()
    bench.controller.schedule()
    first = bench.controller.child_pid
    while bench.controller.child_pid == first:
        bench.cron()
        assert bench.controller.scheduled
    bench.cron()
    assert not bench.controller.scheduled
    assert bench.controller.child_pid not in (0, first)


def test_cancel_forgets_a_scheduled_save(bench: Bench) -> None:
    assert bench.controller.cancel() is None
    bench.controller.schedule()
    assert bench.controller.cancel() == "scheduled"
    bench.cron()
    assert not bench.controller.in_progress


def test_cancel_ends_a_running_save_even_if_it_is_stopped(bench: Bench) -> None:
    bench.config.rdb_key_save_delay = 10_000_000
    bench.change(10)
    bench.controller.bgsave()
    os.kill(bench.controller.child_pid, signal.SIGSTOP)
    assert bench.controller.cancel() == "running"
    bench.wait()
    assert bench.controller.status.ok
    assert bench.messages("# Background saving terminated") == ["# Background saving terminated by signal 10"]
    assert not bench.dump.exists()


def test_one_save_at_a_time(bench: Bench) -> None:
    bench.controller.bgsave()
    for save in (bench.controller.bgsave, bench.saves.save, bench.saves.reload):
        with pytest.raises(SaveError, match="Background save already in progress"):
            save()
    assert bench.field("rdb_saves") == 1


def test_what_died_during_one_save_is_not_in_the_next(bench: Bench) -> None:
    """Deaths wait for the child's end; the next snapshot may begin before anybody had time for them."""
    for save in (bench.controller.bgsave, bench.saves.save):
        bench.change(100)
        bench.config.rdb_key_save_delay = 1_000_000
        bench.controller.bgsave()
        for index in range(90):
            bench.database.delete(b"key:%d" % index)
        bench.controller.kill_child()
        bench.config.rdb_key_save_delay = 0
        save()
        bench.wait()
        assert {record.key for record in read(bench.dump.read_bytes()).records} == {
            b"key:%d" % i for i in range(90, 100)
        }


# -- saves in the server's own process


def test_save_is_done_when_it_returns(bench: Bench) -> None:
    bench.change(10)
    bench.now += 5
    bench.saves.save()
    assert read(bench.dump.read_bytes()).keys_loaded == 10
    assert bench.keyspace.dirty == 0
    assert bench.controller.status.saved_at == int(bench.now)
    assert bench.log.messages == ["* DB saved on disk"]


def test_a_save_without_address_space_is_an_error(bench: Bench) -> None:
    def full() -> None:
        raise ArenaFull("can't reserve 4096 bytes of address space")

    class Full:
        used_bytes = 0
        has_field_ttls = False
        walker = staticmethod(full)

    saves = ForegroundSaves(bench.config, Full(), bench.log, bench.controller)
    with pytest.raises(SaveError, match="address space"):
        saves.save()
    assert bench.log.messages == ["# can't reserve 4096 bytes of address space"]


def test_flushall_saves_the_empty_data_set_if_there_are_save_points(bench: Bench) -> None:
    bench.change(10)
    bench.saves.save()
    bench.keyspace.flush_all()
    bench.saves.after_flush_all()
    assert read(bench.dump.read_bytes()).keys_loaded == 10
    bench.config.save = (SavePoint(60, 1),)
    bench.saves.after_flush_all()
    assert read(bench.dump.read_bytes()).keys_loaded == 0
    assert bench.keyspace.dirty == 0


@pytest.mark.parametrize(
    ("points", "save", "saved"),
    [((), None, False), ((SavePoint(60, 1),), None, True), ((SavePoint(60, 1),), False, False), ((), True, True)],
)
def test_the_last_save_is_made_if_it_is_wanted(
    bench: Bench, points: tuple[SavePoint, ...], save: bool | None, saved: bool
) -> None:
    bench.config.save = points
    assert bench.saves.before_exit(save)
    assert bench.dump.exists() == saved
    assert ("* Saving the final RDB snapshot before exiting." in bench.log.messages) == saved


def test_the_last_save_ends_a_child_that_is_stopped(bench: Bench) -> None:
    bench.config.rdb_key_save_delay = 10_000_000
    bench.change(10)
    bench.controller.bgsave()
    os.kill(bench.controller.child_pid, signal.SIGSTOP)
    bench.config.rdb_key_save_delay = 0
    assert bench.saves.before_exit(save=True)
    assert "# There is a child saving an .rdb. Killing it!" in bench.log.messages
    assert read(bench.dump.read_bytes()).keys_loaded == 10


def test_reload_writes_and_reads(bench: Bench) -> None:
    bench.change(10)
    bench.saves.reload()
    assert len(bench.database) == 10
    assert bench.keyspace.dirty == 0
    assert bench.log.messages[-1] == "# DB reloaded by DEBUG RELOAD"


# -- who has to know


def test_writes_are_denied_after_a_failure_with_save_points_only(bench: Bench) -> None:
    told: list[bool] = []
    bench.controller.call_on_change(lambda: told.append(bench.controller.writes_denied))
    bench.config.save = (SavePoint(60, 1),)
    bench.config.dir = "/nowhere"
    bench.controller.bgsave()
    bench.wait()
    assert bench.controller.writes_denied
    bench.config.stop_writes_on_bgsave_error = False
    assert not bench.controller.writes_denied
    bench.config.stop_writes_on_bgsave_error = True
    bench.config.save = ()
    assert not bench.controller.writes_denied
    bench.config.save = (SavePoint(60, 1),)
    bench.config.dir = str(bench.dump.parent)
    bench.saves.save()
    assert not bench.controller.writes_denied
    assert told == [True, False]


def test_resetstat_forgets_counts_and_not_the_status(bench: Bench) -> None:
    bench.controller.bgsave()
    bench.wait()
    bench.controller.status.counters = Counters()
    assert (
        bench.controller.status.counters.forks,
        bench.controller.status.counters.fork_us,
        bench.field("rdb_saves"),
    ) == (0, 0, 0)
    assert bench.field("rdb_last_bgsave_status") == "ok"


def test_the_overcommit_setting_is_looked_at_for_each_save(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overcommit, "warning", lambda: "WARNING Memory overcommit must be enabled!")
    bench.controller.bgsave()
    bench.wait()
    monkeypatch.setattr(overcommit, "warning", lambda: None)
    bench.controller.bgsave()
    assert len(bench.messages("# WARNING Memory overcommit")) == 1


def test_of_saves_that_nobody_asked_for_the_first_warns_of_the_overcommit_setting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overcommit, "warning", lambda: "WARNING Memory overcommit must be enabled!")
    for cause, warned in (("save 1 1", 1), ("save 1 1", 1), (BY_HAND, 2)):
        bench.controller.bgsave(cause)
        bench.wait()
        assert len(bench.messages("# WARNING Memory overcommit")) == warned


# -- what it costs


def test_the_history_remembers_each_snapshot(bench: Bench) -> None:
    bench.change(100)
    bench.controller.bgsave()
    bench.wait()
    (entry,) = bench.controller.history.newest()
    fields = entry.fields()
    assert (fields["cause"], fields["outcome"], fields["keys"]) == ("BGSAVE", "saved", 100)
    assert fields["started-ms"] == int(bench.now * 1000)
    assert fields["bytes"] == bench.dump.stat().st_size
    for name in ("fork-us", "bytes-per-sec", "minor-faults-parent", "minor-faults-child", "child-cpu-us"):
        assert int(fields[name]) > 0, name
    assert int(fields["expected-growth"]) >= 16 * MB
    bench.config.save = (SavePoint(60, 1),)
    bench.change()
    bench.config.dir = "/nowhere"
    bench.cron(61)
    bench.wait()
    newest, _ = bench.controller.history.newest()
    assert newest.cause == "save 60 1"
    assert newest.outcome == "failed while walking: No such file or directory"
    bench.config.dir = str(bench.dump.parent)
    bench.config.save = ()
    bench.controller.schedule()
    bench.cron(61)
    os.kill(bench.controller.child_pid, signal.SIGKILL)
    bench.wait()
    newest, *_ = bench.controller.history.newest()
    assert newest.cause == "BGSAVE SCHEDULE"
    assert newest.outcome.startswith("killed by signal 9 while ")


def test_the_worst_stall_is_seen(bench: Bench) -> None:
    async def save() -> None:
        bench.controller.attach(asyncio.get_running_loop())
        bench.controller.bgsave()
        await asyncio.sleep(0.02)
        time.sleep(0.1)  # what nobody should do on an event loop
        while bench.controller.in_progress:
            await asyncio.sleep(0.001)

    bench.config.rdb_key_save_delay = 10_000
    bench.change(20)
    asyncio.run(asyncio.wait_for(save(), 20))
    assert 90_000 < bench.controller.history.newest()[0].stall_us < 5_000_000


def held(bench: Bench, keys: int = 2000) -> Callable[[], None]:
    """A save whose child does not move, seen at least once by the meter; call the result to end it."""
    for index in range(keys):
        bench.database.set(b"%d" % index, os.urandom(1000))
    bench.config.rdb_key_save_delay = 1_000_000
    bench.controller.bgsave()
    pid = bench.controller.child_pid
    wait_until(lambda: int(bench.field("minikv_snapshot_current_growth")) > 0, "the meter has looked")
    os.kill(pid, signal.SIGSTOP)

    def end() -> None:
        bench.controller.kill_child()

    return end


@pytest.fixture
def no_collection() -> Iterator[None]:
    """The heap of the tests is some 100 MB: the garbage collector, which writes to all of it, would be the growth."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.slow
@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("way", ["relocate", "in-place"])
def test_growth_is_what_the_writes_cost(bench: Bench, way: str) -> None:
    bench.config.snapshot_writes = way
    end = held(bench)
    before = int(bench.field("minikv_snapshot_current_growth"))
    for index in range(2000):
        bench.database.set(b"%d" % index, os.urandom(1000))
    wait_until(lambda: int(bench.field("minikv_snapshot_current_growth")) > before + MB, "the meter sees the writes")
    growth = int(bench.field("minikv_snapshot_current_growth"))
    relocated = int(bench.field("minikv_snapshot_current_relocated_bytes"))
    assert before < 16 * MB
    assert growth - before < 16 * MB
    assert relocated > 2_000_000 if way == "relocate" else relocated == 0
    end()
    assert int(bench.field("minikv_snapshot_last_growth_peak")) >= growth


def test_the_log_tells_every_second(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_snapshot, "LOG_INTERVAL_S", 0.0)
    end = held(bench)
    bench.cron()
    (first, *_) = bench.messages("- Snapshot ")
    assert " of 2000 keys, " in first
    assert "memory growth" in first
    end()


@pytest.mark.parametrize("error", [None, PermissionError(errno.EACCES, "Permission denied")])
def test_figures_that_cannot_be_read(bench: Bench, error: OSError | None) -> None:
    """Without /proc/<pid>/smaps_rollup there are no figures, and nothing else is amiss."""

    def hidden(pid: int) -> MemoryUse | None:
        if error is not None:
            raise error
        return None

    bench.controller = SnapshotController(bench.config, bench.keyspace, bench.log, read_rollup=hidden)
    bench.controller.bgsave()
    bench.wait()
    assert bench.controller.status.ok
    assert bench.field("minikv_snapshot_last_growth_peak") == 0
    assert int(bench.field("rdb_last_cow_size")) > 0  # the child has looked itself
