"""Copies that go wrong: readers that die or do not read, children that are killed, saves at the same time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import Server, wait_until
from tests.harness.copies import CopyClient
from tests.harness.saving import held_save, status, wait_for_end
from tests.rdb.rdb_files import read

StartServer = Callable[..., Server]

KEYS = 30_000  # of 700 bytes: far more than all buffers on the way hold


@pytest.fixture(scope="module")
def server(module_minikv: StartServer) -> Server:
    started: Server = module_minikv(rdbcompression="no")
    started.call(f"DEBUG POPULATE {KEYS} key 700")
    return started


@pytest.fixture(autouse=True)
def at_rest(server: Server) -> None:
    """No copy of another test, and its settings undone."""
    server.call("CONFIG SET rdb-key-save-delay 0 repl-diskless-sync-delay 0 repl-timeout 60")
    wait_for_end(server)


def forks(server: Server) -> int:
    return int(server.info("stats")["total_forks"])


def readers(server: Server) -> int:
    return int(server.info("replication")["connected_slaves"])


def begun(server: Server, *, eof: bool = True) -> CopyClient:
    """A reader that has taken the beginning of its dump and no more."""
    client = CopyClient.of(server, eof=eof, buffer_bytes=4096).ask()
    client.receive()
    return client


def is_whole(received: bytes) -> bool:
    """Whether a client would take this for a whole dump."""
    head, _, rest = received.partition(b"\r\n")
    if head.startswith(b"$EOF:"):
        return rest.endswith(head[5:])
    return head.startswith(b"$") and len(rest) >= int(head[1:])


def dumps(clients: list[CopyClient]) -> list[bytes]:
    """What each takes, at the same time: who takes nothing holds up the others, and is closed."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(CopyClient.dump, clients))


def test_a_reader_that_goes_takes_the_child_with_it(server: Server) -> None:
    start = server.log_size()
    reader = begun(server)
    wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == "1", "the child runs")
    reader.close()
    wait_for_end(server)
    log = server.log(start)
    assert "Diskless rdb transfer, last replica dropped, killing fork child.\n" in log
    assert "Background transfer terminated by signal 10\n" in log
    assert status(server) == "ok"
    assert server.call("SET a b") == b"+OK\r\n"
    assert readers(server) == 0
    assert server.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"


def test_a_reader_that_goes_does_not_hinder_another(server: Server) -> None:
    server.call("CONFIG SET repl-diskless-sync-delay 1000")
    one = CopyClient.of(server, buffer_bytes=4096).ask()
    other = CopyClient.of(server).ask()
    wait_until(lambda: readers(server) == 2, "both wait")
    before = forks(server)
    server.call("CONFIG SET repl-diskless-sync-delay 0")
    one.receive()
    one.close()
    assert read(other.dump()).keys_loaded >= KEYS
    assert forks(server) == before + 1


@pytest.mark.parametrize("forms", [(True, True), (True, False), (False, False)])
def test_those_that_wait_share_a_child(server: Server, forms: tuple[bool, bool]) -> None:
    server.call("CONFIG SET repl-diskless-sync-delay 1000")
    clients = [CopyClient.of(server, eof=eof).ask() for eof in forms]
    wait_until(lambda: readers(server) == 2, "both wait")
    before = forks(server)
    server.call("CONFIG SET repl-diskless-sync-delay 0")
    first, second = dumps(clients)
    assert first == second
    assert forks(server) == before + 1


def test_enough_readers_need_not_wait(server: Server) -> None:
    server.call("CONFIG SET repl-diskless-sync-delay 1000 repl-diskless-sync-max-replicas 2")
    clients = [CopyClient.of(server).ask() for _ in range(2)]
    assert [read(dump).keys_loaded >= KEYS for dump in dumps(clients)] == [True, True]
    server.call("CONFIG SET repl-diskless-sync-max-replicas 0")


@pytest.mark.parametrize("eof", [True, False])
def test_a_child_that_is_killed_leaves_no_dump_that_seems_whole(server: Server, eof: bool) -> None:
    start = server.log_size()
    server.call("CONFIG SET rdb-key-save-delay 100000")
    reader = CopyClient.of(server, eof=eof).ask()
    wait_until(lambda: bool(server.children()), "the child runs")
    (child,) = server.children()
    os.kill(child.pid, signal.SIGKILL)
    rest = reader.rest()
    assert rest.startswith(b"$EOF:") if eof else rest == b""
    assert not is_whole(rest)
    wait_for_end(server)
    assert "Background transfer terminated by signal 9\n" in server.log(start)
    assert "its dump is not complete\n" in server.log(start)
    assert status(server) == "ok"
    assert server.call("SET a b") == b"+OK\r\n"


def test_saves_at_the_same_time_are_refused(server: Server) -> None:
    reader = begun(server)
    for command in ("BGSAVE", "SAVE", "DEBUG RELOAD"):
        assert server.call(command).startswith(b"-ERR"), command
    assert server.call("BGSAVE SCHEDULE").startswith(b"-ERR Background save already in progress")
    reader.close()
    wait_for_end(server)


def test_a_copy_waits_for_a_save(server: Server) -> None:
    before = forks(server)
    held_save(server)
    reader = CopyClient.of(server).ask()
    wait_until(lambda: readers(server) == 1, "it waits")
    assert server.info("replication")["slave0"].endswith("state=wait_bgsave,offset=0,lag=0")
    server.call("CONFIG SET rdb-key-save-delay 0")
    assert server.call("BGSAVE CANCEL") == b"+Background saving cancelled\r\n"
    assert read(reader.dump()).keys_loaded >= KEYS
    assert forks(server) == before + 2


def test_a_copy_is_of_the_moment_when_it_began(server: Server) -> None:
    digest = server.call("DEBUG DIGEST")
    reader = begun(server)
    for number in range(0, KEYS, 100):
        assert server.call(f"SET key:{number} changed") == b"+OK\r\n"
    server.call(["DEL", *[f"key:{number}" for number in range(1, KEYS, 100)]])
    dump = reader.dump()
    server.call("FLUSHALL")
    server.dump_path.write_bytes(dump)
    assert server.call("DEBUG RELOAD NOSAVE") == b"+OK\r\n"
    assert server.call("DEBUG DIGEST") == digest
    server.dump_path.unlink()


def test_flushall_ends_a_copy(start_minikv: StartServer) -> None:
    server = start_minikv(rdbcompression="no")
    server.call(f"DEBUG POPULATE {KEYS} key 700")
    reader = begun(server)
    assert server.call("FLUSHALL") == b"+OK\r\n"
    assert not is_whole(reader.rest())
    assert server.info("persistence")["rdb_bgsave_in_progress"] == "0"


@pytest.mark.parametrize("eof", [True, False])
def test_the_server_ends_in_the_middle(start_minikv: StartServer, eof: bool) -> None:
    server = start_minikv(rdbcompression="no")
    server.call(f"DEBUG POPULATE {KEYS} key 700")
    reader = begun(server, eof=eof)
    assert server.stop() == 0
    assert not is_whole(reader.rest())
    assert [path.name for path in server.directory.iterdir() if path.name.startswith("temp")] == []


@pytest.mark.parametrize("eof", [True, False])
def test_a_reader_that_takes_nothing_is_closed(server: Server, eof: bool) -> None:
    start = server.log_size()
    server.call("CONFIG SET repl-timeout 1")
    reader = begun(server, eof=eof)
    wait_until(lambda: readers(server) == 0, "it is closed")
    wait_for_end(server)
    assert "Disconnecting timedout replica (full sync)" in server.log(start)
    reader.close()


def test_a_reader_that_does_not_read_holds_up_nobody_else(server: Server) -> None:
    reader = begun(server)
    before = int(server.info("memory")["used_memory"])
    for number in range(200):
        assert server.call(f"GET key:{number}").startswith(b"$")
    assert int(server.info("memory")["used_memory"]) - before < 1 << 20
    (listed,) = [line for line in server.control.value("CLIENT LIST").decode().splitlines() if " flags=SU " in line]
    assert " omem=0 " in listed
    reader.close()


def test_what_a_reader_sends_meanwhile_is_ignored(server: Server) -> None:
    reader = CopyClient.of(server).ask()
    for _ in range(100):
        reader.ask("REPLCONF ACK 0").ask("PING").ask("SYNC")
    assert read(reader.dump()).keys_loaded >= KEYS


def test_a_refused_copy_is_an_error(start_minikv: StartServer, tmp_path: Path) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    server = start_minikv(directory=directory)
    directory.rmdir()
    client = CopyClient.of(server, eof=False).ask()
    assert client.rest() == b"-ERR BGSAVE failed, replication can't continue\r\n"
    assert "BGSAVE for replication failed" in server.log()
    assert server.call("SET a b") == b"+OK\r\n"
    assert read(CopyClient.of(server).ask().dump()).keys_loaded == 1  # which needs no directory
