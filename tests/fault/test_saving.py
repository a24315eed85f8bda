"""Saves that go wrong: the old dump stays, no temporary file does, status and log tell, the server serves on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.harness import Server, wait_until
from tests.harness.dataset import background_save, contents, load_dump, wait_for_save
from tests.harness.saving import STARTED, held_save, status, temp_files, wait_for_end

StartServer = Callable[..., Server]

KB = 1 << 10
MB = 1 << 20


@pytest.fixture
def server(start_minikv: StartServer) -> Server:
    """A server with some data and a dump of it."""
    started: Server = start_minikv()
    for index in range(100):
        started.call(f"SET key:{index} {index}")
    assert started.call("SAVE") == b"+OK\r\n"
    started.call("SET after-the-dump 1")
    return started


# -- what the child still needs goes meanwhile


def test_large_collections_are_unlinked_in_slices_while_they_are_saved(start_minikv: StartServer) -> None:
    server = start_minikv()
    for number in range(12):
        server.call(["SELECT", str(number % 2)])
        for part in range(4):
            members = [f"{part}:{each}" * 50 for each in range(4000)]
            if number % 3 == 0:
                server.call(["SADD", f"large:{number}", *members])
            elif number % 3 == 1:
                server.call(["HSET", f"large:{number}", *[word for each in members for word in (each, "v")]])
            else:
                server.call(["RPUSH", f"large:{number}", *members])
        server.call(["SET", f"s:{number}", "old" * 1000])
    server.call("SELECT 0")
    expected = contents(server, 2)
    server.call("CONFIG SET rdb-key-save-delay 20000")
    assert server.call("BGSAVE") == STARTED
    for number in range(12):
        server.call(["SELECT", str(number % 2)])
        assert server.call(f"UNLINK large:{number}") == b":1\r\n"
        server.call(["SET", f"s:{number}", "new" * 500])
        server.call(["RPUSH", "new", *["x" * 1000] * 100])
        assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n", server.log()
    assert server.call("SWAPDB 0 1") == b"+OK\r\n"
    assert server.call("FLUSHDB ASYNC") == b"+OK\r\n"
    assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n", server.log()
    wait_for_save(server)
    wait_until(lambda: server.info()["lazyfree_pending_objects"] == "0", "everything is freed")
    assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n", server.log()
    assert load_dump(start_minikv(), server) == expected


# -- the child dies


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
def test_a_child_that_is_killed_is_an_error(server: Server, number: signal.Signals) -> None:
    old = server.dump_path.read_bytes()
    os.kill(held_save(server).pid, number)
    wait_for_end(server)
    assert status(server) == "err"
    assert f"# Background saving terminated by signal {int(number)}\n" in server.log()
    assert server.dump_path.read_bytes() == old
    assert temp_files(server.directory) == []
    assert server.call("SET a b") == b"+OK\r\n"
    server.call("CONFIG SET rdb-key-save-delay 0")
    background_save(server)


def test_sigusr1_is_a_deliberate_kill_and_no_error(server: Server) -> None:
    child = held_save(server)
    child.send_signal(signal.SIGUSR1)
    wait_for_end(server)
    assert status(server) == "ok"
    assert f"{child.pid}:C" in server.log()
    assert "# Received SIGUSR1 in child, exiting now.\n" in server.log()
    assert "# Background saving terminated by signal 10\n" in server.log()
    assert temp_files(server.directory) == []
    assert int(server.info("persistence")["rdb_changes_since_last_save"]) == 1


def test_ctrl_c_is_meant_for_the_server(server: Server) -> None:
    child = held_save(server)
    child.send_signal(signal.SIGINT)
    server.call("CONFIG SET rdb-key-save-delay 0")
    assert child.is_running()
    assert server.info("persistence")["rdb_bgsave_in_progress"] == "1"


def test_a_stopped_child_is_waited_for_and_hinders_nobody(server: Server) -> None:
    child = held_save(server)
    child.suspend()
    for index in range(200):
        assert server.call(f"SET key:{index} changed") == b"+OK\r\n"
    fields = server.info("persistence")
    assert fields["rdb_bgsave_in_progress"] == "1"
    assert fields["current_save_keys_total"] == "101"
    assert server.call("BGSAVE") == b"-ERR Background save already in progress\r\n"
    assert server.call("BGSAVE CANCEL") == b"+Background saving cancelled\r\n"
    wait_for_end(server)
    assert status(server) == "ok"
    assert temp_files(server.directory) == []


def test_flushall_ends_a_stopped_child(server: Server) -> None:
    held_save(server).suspend()
    assert server.call("FLUSHALL") == b"+OK\r\n"
    assert server.info("persistence")["rdb_bgsave_in_progress"] == "0"
    assert temp_files(server.directory) == []


def test_shutdown_ends_a_stopped_child(server: Server) -> None:
    held_save(server).suspend()
    assert server.stop() == 0
    assert "# There is a child saving an .rdb. Killing it!\n" in server.log()
    assert temp_files(server.directory) == []


# -- the child hangs


def test_the_watchdog_ends_a_stopped_child(server: Server) -> None:
    old = server.dump_path.read_bytes()
    server.call("CONFIG SET bgsave-stall-timeout 1")
    child = held_save(server)
    child.suspend()
    wait_for_end(server)
    assert f"# Background saving: child {child.pid} has made no progress for 1 s (walking, " in server.log()
    assert status(server) == "err"
    assert server.dump_path.read_bytes() == old
    assert temp_files(server.directory) == []
    server.call("CONFIG SET rdb-key-save-delay 0")
    background_save(server)


def test_a_slow_child_is_not_a_hanging_one(server: Server) -> None:
    server.call("CONFIG SET bgsave-stall-timeout 1")
    server.call("CONFIG SET rdb-key-save-delay 25000")
    assert server.call("BGSAVE") == STARTED
    wait_for_save(server)
    entry = [item.payload for item in server.control.value("SNAPSHOT HISTORY 1")[0].payload]
    assert int(entry[entry.index(b"duration-ms") + 1]) > 2000


# -- the disk says no


def test_a_full_disk_in_mid_file(server: Server) -> None:
    old = server.dump_path.read_bytes()
    for index in range(500):
        server.call(("SET", f"big:{index}", os.urandom(10 * KB)))
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1000 * KB, resource.RLIM_INFINITY))
    assert server.call("BGSAVE") == STARTED
    wait_for_end(server)
    assert status(server) == "err"
    assert "# Write error while saving DB to the disk(write): File too large\n" in server.log()
    assert "# Background saving error\n" in server.log()
    reply = server.call("SAVE")
    assert reply == b"-ERR Write error while saving DB to the disk(write): File too large\r\n"
    assert server.dump_path.read_bytes() == old
    assert temp_files(server.directory) == []
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    background_save(server)


def test_a_directory_that_goes_away_and_comes_back(start_minikv: StartServer, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    server = start_minikv(directory=directory)
    server.call("SET a 1")
    shutil.rmtree(directory)
    assert server.call("BGSAVE") == STARTED
    wait_for_end(server)
    assert status(server) == "err"
    assert f"(in server root dir {directory}) for saving: No such file or directory\n" in server.log()
    directory.mkdir()
    background_save(server)
    assert server.dump_path.exists()


def test_a_directory_that_goes_away_in_mid_save(start_minikv: StartServer, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    server = start_minikv(directory=directory)
    for index in range(100):
        server.call(f"SET key:{index} {index}")
    server.call("CONFIG SET rdb-key-save-delay 5000")
    assert server.call("BGSAVE") == STARTED
    wait_until(lambda: server.info("persistence")["current_save_keys_processed"] != "0", "keys are written")
    shutil.rmtree(directory)
    wait_for_end(server)
    assert status(server) == "err"
    assert "# Error moving temp DB file temp-" in server.log()
    assert server.call("SET a b") == b"+OK\r\n"


def test_rot_on_the_disk_is_found_by_rdb_verify(server: Server) -> None:
    """Somebody changes a byte of the file behind the child's back."""
    old = server.dump_path.read_bytes()
    for index in range(4000):
        server.call(("SET", f"big:{index}", os.urandom(KB)))
    server.call("CONFIG SET rdb-verify yes")
    background_save(server)
    good = server.dump_path.read_bytes()
    assert len(good) > 4000 * KB > len(old)
    server.call("CONFIG SET rdb-key-save-delay 400")
    assert server.call("BGSAVE") == STARTED
    wait_until(
        lambda: any((server.directory / name).stat().st_blocks * 512 > MB for name in temp_files(server.directory)),
        "1 MB is there",
    )
    with (server.directory / temp_files(server.directory)[0]).open("r+b") as file:
        file.seek(MB // 2)
        byte = file.read(1)[0]
        file.seek(MB // 2)
        file.write(bytes((byte ^ 1,)))
    wait_for_end(server)
    assert status(server) == "err"
    assert "# Verifying the new dump " in server.log()
    assert server.dump_path.read_bytes() == good
    assert temp_files(server.directory) == []


def test_a_dump_that_cannot_be_replaced(server: Server) -> None:
    server.dump_path.unlink()
    server.dump_path.mkdir()
    assert server.call("BGSAVE") == STARTED
    wait_for_end(server)
    assert status(server) == "err"
    assert "on the final destination dump.rdb" in server.log()
    assert temp_files(server.directory) == []


# -- what a failed save does to writes


def test_writes_are_refused_after_a_failed_save_until_one_succeeds(server: Server) -> None:
    server.call(("CONFIG", "SET", "save", "3600 100000"))
    os.kill(held_save(server).pid, signal.SIGKILL)
    wait_for_end(server)
    refusal = server.call("SET a b")
    assert refusal.startswith(
        b"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist"
    )
    assert server.call("GET key:1") == b"$1\r\n1\r\n"
    server.call("CONFIG SET stop-writes-on-bgsave-error no")
    assert server.call("SET a b") == b"+OK\r\n"
    server.call("CONFIG SET stop-writes-on-bgsave-error yes")
    assert server.call("SET a b") == refusal
    server.call("CONFIG SET rdb-key-save-delay 0")
    assert server.call("SAVE") == b"+OK\r\n"
    assert server.call("SET a b") == b"+OK\r\n"


def test_writes_are_not_refused_without_save_points(server: Server) -> None:
    os.kill(held_save(server).pid, signal.SIGKILL)
    wait_for_end(server)
    assert server.call("SET a b") == b"+OK\r\n"


def test_a_shutdown_that_cannot_save_does_not_happen(server: Server) -> None:
    server.dump_path.unlink()
    server.dump_path.mkdir()
    assert server.call("SHUTDOWN SAVE") == b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
    assert "# Error trying to save the DB, can't exit.\n" in server.log()
    assert server.call("PING") == b"+PONG\r\n"
    with server.connect() as client:
        client.send_raw(b"SHUTDOWN SAVE FORCE\r\n")
        assert client.read_until_closed() == b""
    assert server.wait() == 0
    assert "# Error trying to save the DB. Exit anyway.\n" in server.log()


# -- what a save holds on to


def test_the_child_has_nothing_open_but_its_file_and_the_log(server: Server) -> None:
    child = held_save(server)
    held = {os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{child.pid}/fd")}
    assert held == {"/dev/null", str(server.log_path), str(server.directory / f"temp-{child.pid}.rdb")}


def test_a_client_that_is_closed_during_a_save_sees_the_end(server: Server) -> None:
    with server.connect() as client:
        number = client.value("CLIENT ID")
        held_save(server)
        server.call(f"CLIENT KILL ID {number}")
        assert client.read_until_closed() == b""


def test_a_save_holds_the_moment_of_its_fork(server: Server, start_minikv: StartServer) -> None:
    expected = contents(server)
    server.call("CONFIG SET rdb-key-save-delay 3000")
    assert server.call("BGSAVE") == STARTED
    for index in range(100):
        server.call(f"SET key:{index} changed")
        server.call(f"SET new:{index} 1")
    server.call("DEL key:0 key:50 key:99")
    server.call("FLUSHDB")
    wait_for_save(server)
    assert load_dump(start_minikv(), server) == expected


def test_dirty_counts_what_came_after_the_fork(server: Server) -> None:
    server.call("CONFIG SET rdb-key-save-delay 1000")
    assert server.info("persistence")["rdb_changes_since_last_save"] == "1"
    assert server.call("BGSAVE") == STARTED
    for index in range(7):
        server.call(f"SET during:{index} 1")
    wait_for_save(server)
    assert server.info("persistence")["rdb_changes_since_last_save"] == "7"


def test_the_temporary_files_of_dead_servers_are_removed_at_start(server: Server) -> None:
    child = held_save(server)
    server.kill()
    stale = server.directory / f"temp-{child.pid}.rdb"
    other = server.directory / "temp-0.rdb"
    other.touch()
    assert stale.exists()
    server.start()
    assert temp_files(server.directory) == []
    assert f"* Removed the stale temp RDB file {stale.name} in {server.directory}\n" in server.log()


# -- a server that dies before its child


def orphaned_save(server: Server) -> psutil.Process:
    """A child that has lost its server and is about to end, in a second or so."""
    server.call("CONFIG SET rdb-key-save-delay 10000")
    assert server.call("BGSAVE") == STARTED
    wait_until(lambda: bool(temp_files(server.directory)), "the temporary file is there")
    (child,) = server.children()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    return child


def gone(child: psutil.Process) -> bool:
    return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_snapshot_of_a_server_that_died_is_still_made(server: Server) -> None:
    child = orphaned_save(server)
    wait_until(lambda: gone(child), "the orphan ends")
    server.start()
    assert server.call("GET after-the-dump") == b"$1\r\n1\r\n"


def test_an_orphan_does_not_replace_a_later_dump(server: Server) -> None:
    child = orphaned_save(server)
    child.suspend()
    server.start()
    server.call("SET later 1")
    assert server.call("SAVE") == b"+OK\r\n"
    later = server.dump_path.read_bytes()
    assert not gone(child)
    child.resume()
    wait_until(lambda: gone(child), "the orphan ends")
    assert server.dump_path.read_bytes() == later
    assert temp_files(server.directory) == []
    assert f"{child.pid}:C" in server.log()
    assert "the server has ended, and a later dump is there\n" in server.log()


# -- rdb-verify


@pytest.mark.parametrize("compression", ["yes", "no"])
def test_what_minikv_writes_passes_its_own_verification(start_minikv: StartServer, compression: str) -> None:
    server = start_minikv(rdb_verify="yes", rdbcompression=compression)
    for size in (3, 5000):
        members = [f"member:{index}" for index in range(size)]
        server.call(["SADD", f"set:{size}", *members])
        server.call(["RPUSH", f"list:{size}", *members])
        server.call(["HSET", f"hash:{size}", *(word for name in members for word in (name, "x" * 50))])
        server.call(
            ["ZADD", f"zset:{size}", *(word for rank, name in enumerate(members) for word in (str(rank), name))]
        )
        for name in members:
            server.call(["XADD", f"stream:{size}", "*", "field", name])
        server.call(["XGROUP", "CREATE", f"stream:{size}", "group", "0"])
        server.call(["XREADGROUP", "GROUP", "group", "me", "COUNT", "100", "STREAMS", f"stream:{size}", ">"])
    server.call(["SADD", "integers", "1", "2", "3"])
    server.call(["SET", "large", b"z" * 5 * MB])
    server.call("SET expired x PXAT 1")
    server.call("SET soon x PX 30")
    server.call("SETRANGE sparse 300000 end")
    server.call("MOVE integers 5")
    background_save(server)
    assert server.call("SAVE") == b"+OK\r\n"
    assert server.call("DEBUG RELOAD") == b"+OK\r\n"
    assert server.call("DBSIZE") == b":12\r\n"
