"""The server's own life: signals, timers, turns, what it does with clients that it cannot serve."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import ClientPair, Server, encode, wait_until

StartServer = Callable[..., Server]


def test_a_second_sigint_ends_a_save_that_takes_too_long(start_minikv: StartServer) -> None:
    server = start_minikv(save="3600 1", rdb_key_save_delay=1_000_000)
    server.call("MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8")
    os.kill(server.pid, signal.SIGINT)
    wait_until(lambda: list(server.directory.glob("temp-*.rdb")) != [], "the final save has begun")
    os.kill(server.pid, signal.SIGINT)
    assert server.wait(5) == 1
    assert "You insist... exiting now." in server.log()
    assert list(server.directory.glob("*.rdb")) == []


def test_a_second_sigterm_during_the_final_save_is_not_another_save(start_minikv: StartServer) -> None:
    server = start_minikv(save="3600 1", rdb_key_save_delay=100_000)
    server.call("MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8")
    os.kill(server.pid, signal.SIGTERM)
    wait_until(lambda: list(server.directory.glob("temp-*.rdb")) != [], "the final save has begun")
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0
    assert server.log().count("DB saved on disk") == 1


@pytest.mark.own_interpreter
def test_passwords_do_not_stand_in_the_process_list(start_minikv: StartServer) -> None:
    server = start_minikv(requirepass="topsecret", masterauth="secret too")
    shown = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert b"secret" not in shown
    assert b"--requirepass\0*********\0" in shown
    assert server.call("PING") == b"+PONG\r\n"


def test_sighup_is_ignored(start_minikv: StartServer) -> None:
    server = start_minikv()
    os.kill(server.pid, signal.SIGHUP)
    assert server.call("PING") == b"+PONG\r\n"


def test_expired_keys_go_without_being_asked_for(start_minikv: StartServer) -> None:
    server = start_minikv()
    for number in range(1000):
        server.call(f"SET key:{number} x PX 1")
    wait_until(lambda: server.call("DBSIZE") == b":0\r\n", "the cron has removed them")
    assert server.info("stats")["expired_keys"] == "1000"


def test_a_long_pipeline_lets_others_go_first(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call(("SET", "big", "x" * 100_000))
    with server.connect() as busy, server.connect() as other:
        busy.socket.sendall(encode("BITCOUNT big") * 2000)
        assert busy.read() == b":400000\r\n"
        assert other.call("PING") == b"+PONG\r\n"
        waiting = int(other.value("INFO stats").split(b"total_commands_processed:")[1].split(b"\r\n")[0])
        assert waiting < 2000
        assert [busy.read() for _ in range(1999)] == [b":400000\r\n"] * 1999


def test_a_pause_holds_writes_and_lets_them_run_in_order_afterwards(start_minikv: StartServer) -> None:
    server = start_minikv()
    with server.connect() as writer, server.connect() as other:
        assert other.call("CLIENT PAUSE 60000 WRITE") == b"+OK\r\n"
        writer.socket.sendall(b"".join(encode(f"APPEND a {digit}") for digit in range(5)) + encode("GET a"))
        assert other.call("GET a") == b"$-1\r\n"
        assert other.call("CLIENT UNPAUSE") == b"+OK\r\n"
        assert [writer.read() for _ in range(6)] == [*(b":%d\r\n" % n for n in range(1, 6)), b"$5\r\n01234\r\n"]


def test_a_pause_ends_by_itself(start_minikv: StartServer) -> None:
    server = start_minikv()
    with server.connect() as client:
        client.call("CLIENT PAUSE 100 ALL")
        assert client.call("SET a 1") == b"+OK\r\n"


def test_a_pause_of_writes_holds_what_may_write(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call("PFADD p x")
    server.call("CLIENT PAUSE 60000 WRITE")
    with server.connect() as client:
        number = client.value("CLIENT ID")
        client.send("PFCOUNT p")
        wait_until(lambda: b"flags=bU" in server.control.value(f"CLIENT LIST ID {number}"), "PFCOUNT waits")
        assert server.call("CLIENT UNPAUSE") == b"+OK\r\n"
        assert client.read() == b":1\r\n"


def test_unblock_does_not_take_a_paused_client_for_a_blocked_one(start_minikv: StartServer) -> None:
    """Redis 7.0 answers it and executes the command all the same, or aborts."""
    server = start_minikv()
    server.call("CLIENT PAUSE 60000 WRITE")
    with server.connect() as client:
        number = client.value("CLIENT ID")
        client.send("INCR counter")
        wait_until(lambda: b"flags=bU" in server.control.value(f"CLIENT LIST ID {number}"), "INCR waits")
        for reason in ("ERROR", "TIMEOUT"):
            assert server.call(f"CLIENT UNBLOCK {number} {reason}") == b":0\r\n"
        assert server.call("CLIENT UNPAUSE") == b"+OK\r\n"
        assert client.read() == b":1\r\n"


def test_keys_that_expire_in_a_pause_are_hidden_and_stay(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair()
    pair.assert_same("SET kept 1", "SET a 1 PX 1", "SADD b x", "PEXPIRE b 1", "CLIENT PAUSE 1500 WRITE")
    for server in pair.servers:
        wait_until(lambda server=server: server.call("EXISTS a b") == b":0\r\n", "the keys have expired")
    pair.assert_same("EXISTS a b", "TYPE a", "SMEMBERS b", "KEYS *", "SCAN 0", "TTL a")
    before = [server.info("stats")["expired_keys"] for server in pair.servers]
    assert before[0] == before[1]
    for server in pair.servers:
        wait_until(lambda server=server: server.call("DBSIZE") == b":1\r\n", "they go after the pause")


def test_too_many_clients_are_told_so(start_minikv: StartServer) -> None:
    server = start_minikv(maxclients=2)
    server.call("PING")
    with server.connect() as second, socket.socket(socket.AF_UNIX) as third:
        second.call("PING")
        third.settimeout(60)
        third.connect(server.socket_path)
        assert third.recv(100) == b"-ERR max number of clients reached\r\n"
        assert third.recv(100) == b""
    assert server.info("stats")["rejected_connections"] == "1"


def test_large_pipelines_of_a_stranger_are_not_kept(start_minikv: StartServer) -> None:
    server = start_minikv(requirepass="secret")
    with server.connect() as stranger:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                stranger.socket.sendall(encode("PING") * 1000)
        wait_until(lambda: server.info("clients")["connected_clients"] == "1", "the stranger is gone")


def test_as_many_databases_as_are_wanted(start_minikv: StartServer) -> None:
    server = start_minikv(databases=1024)
    with server.connect() as client:
        for number in (0, 512, 1023):
            assert client.call(f"SELECT {number}") == b"+OK\r\n"
            assert client.call(f"HSET key:{number} field value") == b":1\r\n"
        assert client.call("SELECT 1024") == b"-ERR DB index is out of range\r\n"
        assert client.call("DEBUG RELOAD") == b"+OK\r\n"
        assert client.call("HGET key:1023 field") == b"$5\r\nvalue\r\n"
        assert client.call("FLUSHALL") == b"+OK\r\n"


def test_client_list_tells_arguments_from_input_that_is_none_yet(start_minikv: StartServer) -> None:
    server = start_minikv()
    idle = int(server.info("memory")["mem_clients_normal"])
    with server.connect() as client:
        number = client.value("CLIENT ID")
        client.send_raw(b"*3\r\n$3\r\nSET\r\n$9000\r\n%b\r\n$100\r\nabc" % (b"k" * 9000))
        server.barrier()
        line = server.control.value(f"CLIENT LIST ID {number}")
        assert b" argv-mem=9003 " in line
        assert 0 < int(line.split(b" qbuf=")[1].split()[0]) <= 256
        assert int(server.info("memory")["mem_clients_normal"]) > idle + 800 + 9003
