"""The controller: when it saves, what it does when the fork is refused, what it counts and tells."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from minikv.config import Config
from minikv.errors import SaveError
from minikv.host import overcommit
from minikv.host.smaps import MemoryUse
from minikv.keyspace.database import Keyspace
from minikv.persistence import snapshot
from minikv.persistence.disk import DISK, Disk
from minikv.persistence.snapshot import SnapshotController
from minikv.settings import SavePoint
from tests.harness import wait_until
from tests.persistence.rdb_files import read
from tests.persistence.test_loading import Lines

MB = 1 << 20


class Bench:
    """A controller over a small keyspace, with a clock that only moves when it is told to."""

    def __init__(self, directory: Path) -> None:
        self.now = 1_000_000.0
        self.config = Config()
        self.config.dir = str(directory)
        self.config.save = ()
        self.dump = directory / self.config.dbfilename
        self.keyspace = Keyspace(16, 64 * MB)
        self.database = self.keyspace.databases[0]
        self.log = Lines()
        self.forks: list[tuple[str, int]] = []
        self.controller = self.make()

    def make(self, disk: Disk = DISK) -> SnapshotController:
        return SnapshotController(self.config, self.keyspace, self.log, latency=self, disk=disk, clock=lambda: self.now)

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
        return self.controller.info_fields()[name]

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
    assert bench.controller.last_ok
    assert bench.controller.last_save_at == int(bench.now)
    assert bench.keyspace.dirty == 3
    assert bench.controller.total_forks == 1
    assert bench.controller.latest_fork_us > 0
    assert bench.forks == [("fork", bench.controller.latest_fork_us // 1000)]
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
    assert bench.controller.last_ok


def test_without_pidfd_cron_finds_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refused)
    bench.controller.bgsave()
    bench.wait()
    assert bench.controller.last_ok
    bench.controller.bgsave()
    assert bench.controller.kill_child()


def test_a_child_that_somebody_else_reaped(bench: Bench) -> None:
    """The progress page tells whether the dump is in its place."""
    bench.change()
    bench.controller.bgsave()
    os.waitpid(bench.controller.child_pid, 0)
    bench.cron()
    assert bench.controller.last_ok
    assert bench.keyspace.dirty == 0
    bench.config.dir = "/nowhere"
    bench.controller.bgsave()
    os.waitpid(bench.controller.child_pid, 0)
    bench.cron()
    assert not bench.controller.last_ok


# -- the fork is refused


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN])
def test_a_refused_fork_is_told_and_nothing_stays_open(bench: Bench, number: int) -> None:
    def fork() -> int:
        raise OSError(number, os.strerror(number))

    bench.controller = bench.make(replace(DISK, fork=fork))
    bench.change(10)
    with pytest.raises(SaveError, match=f"Can't save in background: fork: {os.strerror(number)}"):
        bench.controller.bgsave()
    assert bench.log.messages == [f"# Can't save in background: fork: {os.strerror(number)}"]
    assert not bench.controller.in_progress
    assert not bench.controller.last_ok
    assert bench.field("rdb_last_bgsave_status") == "err"
    assert bench.keyspace.frozen_segments == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    bench.change(10)
    bench.controller.save()
    assert bench.controller.last_ok
    assert read(bench.dump.read_bytes()).keys_loaded == 10


def test_a_refused_fork_is_tried_again_after_five_seconds(bench: Bench) -> None:
    tries = 0

    def fork() -> int:
        nonlocal tries
        tries += 1
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    bench.controller = bench.make(replace(DISK, fork=fork))
    bench.config.save = (SavePoint(60, 1),)
    bench.change()
    bench.cron(61)
    assert tries == 1
    for _ in range(5):
        bench.cron(1)
    assert tries == 1
    bench.cron(0.1)
    assert tries == 2


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
    assert bench.controller.last_ok
    assert bench.messages("# Background saving terminated") == ["# Background saving terminated by signal 10"]
    assert not bench.dump.exists()


def test_one_save_at_a_time(bench: Bench) -> None:
    bench.controller.bgsave()
    for save in (bench.controller.bgsave, bench.controller.save, bench.controller.reload):
        with pytest.raises(SaveError, match="Background save already in progress"):
            save()
    assert bench.field("rdb_saves") == 1


def test_what_died_during_one_save_is_not_in_the_next(bench: Bench) -> None:
    """Deaths wait for the child's end; the next snapshot may begin before anybody had time for them."""
    for save in (bench.controller.bgsave, bench.controller.save):
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
    bench.controller.save()
    assert read(bench.dump.read_bytes()).keys_loaded == 10
    assert bench.keyspace.dirty == 0
    assert bench.controller.last_save_at == int(bench.now)
    assert bench.log.messages == ["* DB saved on disk"]


def test_flushall_saves_the_empty_data_set_if_there_are_save_points(bench: Bench) -> None:
    bench.change(10)
    bench.controller.save()
    bench.keyspace.flush_all()
    bench.controller.after_flush_all()
    assert read(bench.dump.read_bytes()).keys_loaded == 10
    bench.config.save = (SavePoint(60, 1),)
    bench.controller.after_flush_all()
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
    assert bench.controller.shutdown_save(save)
    assert bench.dump.exists() == saved
    assert ("* Saving the final RDB snapshot before exiting." in bench.log.messages) == saved


def test_the_last_save_ends_a_child_that_is_stopped(bench: Bench) -> None:
    bench.config.rdb_key_save_delay = 10_000_000
    bench.change(10)
    bench.controller.bgsave()
    os.kill(bench.controller.child_pid, signal.SIGSTOP)
    bench.config.rdb_key_save_delay = 0
    assert bench.controller.shutdown_save(save=True)
    assert "# There is a child saving an .rdb. Killing it!" in bench.log.messages
    assert read(bench.dump.read_bytes()).keys_loaded == 10


def test_reload_writes_and_reads(bench: Bench) -> None:
    bench.change(10)
    bench.controller.reload()
    assert len(bench.database) == 10
    assert bench.keyspace.dirty == 0
    assert bench.log.messages[-1] == "# DB reloaded by DEBUG RELOAD"


# -- who has to know


def test_writes_are_denied_after_a_failure_with_save_points_only(bench: Bench) -> None:
    told: list[bool] = []
    bench.controller.on_status_change = lambda: told.append(bench.controller.writes_denied)
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
    bench.controller.save()
    assert not bench.controller.writes_denied
    assert told == [True, False]


def test_resetstat_forgets_counts_and_not_the_status(bench: Bench) -> None:
    bench.controller.bgsave()
    bench.wait()
    bench.controller.reset_stats()
    assert (bench.controller.total_forks, bench.controller.latest_fork_us, bench.field("rdb_saves")) == (0, 0, 0)
    assert bench.field("rdb_last_bgsave_status") == "ok"


def test_the_overcommit_setting_is_looked_at_for_each_save(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overcommit, "warning", lambda: "WARNING Memory overcommit must be enabled!")
    bench.controller.bgsave()
    bench.wait()
    monkeypatch.setattr(overcommit, "warning", lambda: None)
    bench.controller.bgsave()
    assert len(bench.messages("# WARNING Memory overcommit")) == 1


# -- what it costs


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
    assert before < 8 * MB
    assert growth - before < 8 * MB
    assert relocated > 2_000_000 if way == "relocate" else relocated == 0
    end()
    assert int(bench.field("minikv_snapshot_last_growth_peak")) >= growth


def test_the_log_tells_every_second(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "TELL_INTERVAL_S", 0.0)
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
    assert bench.controller.last_ok
    assert bench.field("rdb_last_cow_size") == 0
