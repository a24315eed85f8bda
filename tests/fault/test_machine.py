"""Snapshots on machines that refuse: each of these changes this machine for a moment and puts it back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Server, wait_until
from tests.harness.dataset import background_save, pipeline
from tests.harness.machine import (
    MemoryGroup,
    committed_left,
    memory_group,
    overcommit_memory,
    small_disk,
    with_strict_overcommit,
)
from tests.harness.saving import STARTED, temp_files, wait_for_end

pytestmark = pytest.mark.alone

StartServer = Callable[..., Server]

KB = 1 << 10
MB = 1 << 20
GB = 1 << 30
WARNING = "# WARNING Memory overcommit must be enabled!"


def fill(server: Server, nbytes: int, seed: bytes = b"a") -> None:
    with server.connect() as client:
        pipeline(client, [["SET", f"key:{index}", seed + os.urandom(10 * KB)] for index in range(nbytes // (10 * KB))])


def outcome(server: Server) -> str:
    """Of the newest snapshot."""
    text: str = server.control.value("SNAPSHOT HISTORY 1 TEXT").decode()
    return next(line.partition(":")[2] for line in text.splitlines() if line.startswith("outcome:"))


# -- overcommit


@pytest.mark.parametrize(("mode", "warned"), [(0, True), (1, False)])
def test_modes_0_and_1_promise_more_than_there_is(start_minikv: StartServer, mode: int, warned: bool) -> None:
    with overcommit_memory(mode):
        server = start_minikv()
        fill(server, 5 * MB)
        background_save(server)
        assert (WARNING in server.log()) == warned
        fields = server.info()
        assert int(fields["minikv_arena_reserved_bytes"]) > int(fields["total_system_memory"])
        assert fields["minikv_preflight_verdict"] == "ok"
        assert fields["minikv_preflight_commit_left"] == "-1"


def test_mode_2_gets_an_arena_that_fits_with_its_fork(start_minikv: StartServer) -> None:
    def scenario(server: Server) -> None:
        fill(server, 5 * MB)
        background_save(server)
        fields = server.info()
        reserved = int(fields["minikv_arena_reserved_bytes"])
        assert 64 * MB <= reserved < int(fields["total_system_memory"])
        assert fields["minikv_preflight_verdict"] == "ok"
        assert reserved < int(fields["minikv_preflight_commit_needed"]) < reserved * 1.1 + 200 * MB
        assert int(fields["minikv_preflight_commit_left"]) > int(fields["minikv_preflight_commit_needed"])

    with_strict_overcommit(start_minikv, scenario, least_bytes=3 * GB)


def test_mode_2_refuses_the_fork_of_a_larger_one(start_minikv: StartServer) -> None:
    """Refused by the kernel, and foretold by the preflight, which can refuse it before."""

    def scenario(server: Server) -> None:
        server.call("SET a 1")
        reply = server.call("BGSAVE")
        assert reply == b"-ERR Can't save in background: fork: Cannot allocate memory\r\n"
        fields = server.info()
        assert fields["rdb_last_bgsave_status"] == "err"
        assert fields["rdb_bgsave_in_progress"] == "0"
        assert fields["minikv_preflight_verdict"] == "short"
        assert "# Preflight: with vm.overcommit_memory 2 the fork needs a promise of " in server.log()
        assert "# Can't save in background: fork: Cannot allocate memory\n" in server.log()
        assert outcome(server) == "fork refused: Cannot allocate memory"
        server.call("CONFIG SET bgsave-preflight refuse")
        assert server.call("BGSAVE").startswith(b"-ERR Can't save in background: with vm.overcommit_memory 2 ")
        assert outcome(server) == "refused"
        assert server.call("SET b 2") == b"+OK\r\n"
        assert server.call("SAVE") == b"+OK\r\n"
        assert server.info("persistence")["rdb_last_bgsave_status"] == "ok"

    with_strict_overcommit(lambda: start_minikv(arena_size=committed_left() * 11 // 20), scenario, least_bytes=4 * GB)


# -- a control group with little memory


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    with memory_group() as made:
        yield made


@pytest.fixture
def confined(group: MemoryGroup, start_minikv: StartServer) -> Iterator[Server]:
    """A server with 60 MB of data, all in the group."""
    server = start_minikv(snapshot_writes="in-place", rdb_key_save_delay=0)
    group.take(server.pid)
    fill(server, 60 * MB)
    assert server.call("SAVE") == b"+OK\r\n"
    yield server
    server.kill()  # before the group is removed


def test_the_preflight_sees_the_groups_limit(confined: Server, group: MemoryGroup) -> None:
    group.limit(group.used_bytes + 8 * MB)
    assert confined.call("BGSAVE") == STARTED
    wait_for_end(confined)
    fields = confined.info("persistence")
    assert fields["minikv_preflight_memory_limit"] == "cgroup"
    assert fields["minikv_preflight_verdict"] == "short"
    assert f"(control group {group.path})" in confined.log()
    confined.call("CONFIG SET bgsave-preflight refuse")
    assert confined.call("BGSAVE").startswith(b"-ERR Can't save in background: the snapshot is expected to need ")
    group.limit(group.used_bytes + 60 * MB)
    background_save(confined)
    assert confined.info("persistence")["minikv_preflight_verdict"] == "tight"


def test_the_oom_killer_takes_the_child_and_the_server_serves_on(confined: Server, group: MemoryGroup) -> None:
    old = confined.dump_path.read_bytes()
    confined.call("CONFIG SET rdb-key-save-delay 1000000")
    confined.call("CONFIG SET bgsave-preflight off")
    assert confined.call("BGSAVE") == STARTED
    wait_until(lambda: bool(temp_files(confined.directory)), "the child writes")
    group.limit(group.used_bytes + 20 * MB)
    fill(confined, 60 * MB, b"b")
    wait_for_end(confined)
    assert f"# Background saving terminated by signal {int(signal.SIGKILL)}\n" in confined.log()
    assert outcome(confined) == "killed by signal 9 while walking"
    assert confined.info("persistence")["rdb_last_bgsave_status"] == "err"
    assert confined.call("GET key:0").startswith(b"$10241\r\nb")
    assert confined.dump_path.read_bytes() == old
    assert temp_files(confined.directory) == []
    assert "SIGKILL" in confined.control.value("SNAPSHOT ADVISE").decode()


# -- a disk with little room


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 8 * MB) as path:
        yield path


def test_a_disk_that_fills_up_in_mid_file(start_minikv: StartServer, disk: Path) -> None:
    server = start_minikv(directory=disk, rdbcompression="no")
    fill(server, 3 * MB)
    background_save(server)
    old = server.dump_path.read_bytes()
    fill(server, 6 * MB)
    assert server.call("BGSAVE") == STARTED
    wait_for_end(server)
    assert "# Preflight: the file will take about 6." in server.log()
    assert "MB too little" in server.log()
    assert "# Write error while saving DB to the disk(write): No space left on device\n" in server.log()
    assert outcome(server).endswith(": No space left on device")
    assert server.info("persistence")["rdb_last_bgsave_status"] == "err"
    assert server.dump_path.read_bytes() == old
    assert temp_files(disk) == []
    assert "room for both" in server.control.value("SNAPSHOT ADVISE").decode()
    server.call("CONFIG SET bgsave-preflight refuse")
    assert server.call("BGSAVE").startswith(b"-ERR Can't save in background: the file will take about ")
    server.dump_path.unlink()
    background_save(server)
    assert server.dump_path.stat().st_size > 5 * MB


def test_a_disk_that_somebody_else_fills(start_minikv: StartServer, disk: Path) -> None:
    server = start_minikv(directory=disk)
    fill(server, 5 * MB)
    server.call("CONFIG SET rdb-key-save-delay 4000")
    assert server.call("BGSAVE") == STARTED
    (disk / "other").write_bytes(bytes(6 * MB))
    wait_for_end(server)
    assert "No space left on device" in outcome(server)
    assert [path.name for path in disk.iterdir()] == ["other"]
    (disk / "other").unlink()
    server.call("CONFIG SET rdb-key-save-delay 0")
    background_save(server)
