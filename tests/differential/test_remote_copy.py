"""Copies over a connection: what redis-cli takes, what REPLCONF, SYNC and PSYNC answer beside a real redis-server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import ClientPair, Server, WireClient, free_port, wait_until
from tests.harness.certificates import Certificates
from tests.harness.copies import CopyClient
from tests.rdb.rdb_files import read

StartServer = Callable[..., Server]

LIBRARY = "#!lua name=lib\nredis.register_function('one', function() return 1 end)"


def fill(server: Server) -> None:
    """Some keys of all types and a library of functions."""
    for command in (
        "SET s v",
        "SET number 17",
        "SETEX temporary 10000 v",
        "RPUSH l a b c",
        "HSET h f v g w",
        "SADD set 1 2 x",
        "ZADD z 1 a 2.5 b",
        "XADD stream 1-1 f v",
        "SELECT 3",
        "DEBUG POPULATE 2000 key 700",
        "SELECT 0",
        ["FUNCTION", "LOAD", LIBRARY],
    ):
        assert not server.call(command).startswith(b"-"), command


def redis_cli(server: Server, *arguments: str, text: bool = True) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["redis-cli", "-s", server.socket_path, *arguments], capture_output=True, text=text, timeout=60, check=False
    )


def test_redis_cli_takes_a_dump_that_redis_loads(start_minikv: StartServer, start_redis: StartServer) -> None:
    server = start_minikv()
    fill(server)
    path = server.directory / "copy.rdb"
    done = redis_cli(server, "--rdb", str(path))
    assert done.returncode == 0, done.stderr
    assert "Transfer finished with success" in done.stderr
    target = start_redis(directory=server.directory, dbfilename="copy.rdb")
    assert target.call("DEBUG DIGEST") == server.call("DEBUG DIGEST")
    assert target.call("FUNCTION LIST") == server.call("FUNCTION LIST")
    assert server.info("stats")["sync_full"] == "1"
    assert not server.dump_path.exists()
    assert "rdb only replica" in server.log()


def test_redis_cli_takes_a_dump_to_its_output(start_minikv: StartServer) -> None:
    server = start_minikv()
    fill(server)
    done = redis_cli(server, "--rdb", "-", text=False)
    assert done.returncode == 0, done.stderr
    assert read(done.stdout[:-40]).keys_loaded == 2008  # redis-cli cannot take the mark out of a stream


def test_redis_cli_takes_functions_without_keys(start_minikv: StartServer, start_redis: StartServer) -> None:
    server = start_minikv()
    fill(server)
    done = redis_cli(server, "--functions-rdb", str(server.directory / "functions.rdb"))
    assert done.returncode == 0, done.stderr
    target = start_redis(directory=server.directory, dbfilename="functions.rdb")
    assert target.call("DBSIZE") == b":0\r\n"
    assert target.call("FUNCTION LIST") == server.call("FUNCTION LIST")


def test_a_copy_without_keys_and_functions(start_minikv: StartServer) -> None:
    server = start_minikv()
    fill(server)
    with WireClient(server.socket_path) as client:
        assert client.call(["REPLCONF", "capa", "eof", "rdb-filter-only", ""]) == b"+OK\r\n"
        dump = CopyClient(client, eof=False).ask().dump()
    assert read(dump).keys_loaded == 0
    assert b"register_function" not in dump


def test_redis_cli_takes_a_dump_by_tls(start_minikv: StartServer, certificates: Certificates, tmp_path: Path) -> None:
    port = free_port()
    server = start_minikv(**certificates.settings() | {"tls-port": port})
    fill(server)
    server.call("DEBUG POPULATE 20000 more 700")  # more than all buffers on the way hold
    path = tmp_path / "copy.rdb"
    command = ["redis-cli", "-p", str(port), *certificates.cli_arguments(), "--rdb", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert read(path.read_bytes()).keys_loaded == 22008


@pytest.mark.parametrize("eof", [True, False])
@pytest.mark.parametrize("command", ["SYNC", "PSYNC ? -1"])
def test_the_forms_of_a_copy(minikv: Server, command: str, eof: bool) -> None:
    fill(minikv)
    client = CopyClient.of(minikv, eof=eof).ask(command)
    if command != "SYNC":
        replication_id = minikv.info("replication")["master_replid"]
        assert client.line() == f"+FULLRESYNC {replication_id} 0".encode()
    assert read(client.dump()).keys_loaded == 2008
    assert "minikv has no replication stream\n" in minikv.log()
    minikv.call("FUNCTION FLUSH")


def test_redis_server_takes_the_data_as_a_replica_and_keeps_it(
    start_minikv: StartServer, start_redis: StartServer
) -> None:
    """It gets one dump. When it asks for the stream it is told to try later, which costs no other dump."""
    server = start_minikv(tcp=True)
    fill(server)
    replica = start_redis()
    assert replica.call(f"REPLICAOF 127.0.0.1 {server.port}") == b"+OK\r\n"
    wait_until(lambda: server.info("stats")["sync_full"] == "1" and "no stream" in replica.log(), "it asks for more")
    assert server.info("stats")["sync_full"] == "1"
    assert replica.call("REPLICAOF NO ONE") == b"+OK\r\n"
    assert replica.call("DEBUG DIGEST") == server.call("DEBUG DIGEST")


@pytest.mark.parametrize(
    "command",
    [
        "REPLCONF",
        "REPLCONF listening-port",
        "REPLCONF listening-port 6379",
        "REPLCONF listening-port x",
        "REPLCONF listening-port 99999999999",
        "REPLCONF ip-address 10.0.0.1",
        ["REPLCONF", "ip-address", "x" * 255],
        ["REPLCONF", "ip-address", "x" * 300],
        "REPLCONF capa eof capa psync2",
        "REPLCONF capa nonesuch",
        "REPLCONF nonesuch 1",
        "REPLCONF rdb-only 1",
        "REPLCONF rdb-only 2",
        "REPLCONF rdb-only x",
        "REPLCONF rdb-filter-only functions",
        "REPLCONF rdb-filter-only FUNCTIONS",
        "REPLCONF rdb-filter-only keys",
        ["REPLCONF", "rdb-filter-only", ""],
        ["REPLCONF", "rdb-filter-only", '"functions'],
        "PSYNC ? x",
        "PSYNC ?",
        "PSYNC a 1 FAILOVER",
        "SYNC 1",
    ],
    ids=str,
)
def test_replconf_replies_as_redis(minikv: Server, oracle: Server, command: str | list[str]) -> None:
    with minikv.connect() as ours, oracle.connect() as theirs:
        assert ours.call(command) == theirs.call(command)


def test_what_sync_is_not_allowed_in(pair: ClientPair) -> None:
    pair.assert_same(
        "MULTI",
        "SYNC",
        "PSYNC ? -1",
        "DISCARD",
        ["EVAL", "return redis.call('SYNC')", "0"],
        "ACL SETUSER limited on nopass +@all -@dangerous",
        "AUTH limited x",
        "SYNC",
        "PSYNC ? -1",
        "REPLCONF capa eof",
        "AUTH default x",
        "ACL DELUSER limited",
    )


def test_a_filter_needs_the_form_without_a_length(minikv: Server, oracle: Server) -> None:
    with minikv.connect() as ours, oracle.connect() as theirs:
        for client in (ours, theirs):
            assert client.call("REPLCONF rdb-filter-only functions") == b"+OK\r\n"
        assert ours.call("SYNC") == theirs.call("SYNC")


def test_acknowledgements_have_no_reply(minikv: Server) -> None:
    with WireClient(minikv.socket_path) as client:
        client.send("REPLCONF ACK 0")
        client.send("REPLCONF GETACK *")
        assert client.call("PING") == b"+PONG\r\n"


def test_a_reader_is_listed_as_a_replica(start_minikv: StartServer, start_redis: StartServer) -> None:
    """While its dump waits or is on its way."""
    seen = []
    for server in (start_minikv(), start_redis()):
        delay = server.call("CONFIG GET repl-diskless-sync-delay")
        assert server.call("CONFIG SET repl-diskless-sync-delay 1000") == b"+OK\r\n"
        reader = CopyClient.of(server).ask()
        wait_until(lambda server=server: server.info("replication")["connected_slaves"] == "1", "it is counted")
        with server.connect() as client:
            listed = client.value("CLIENT LIST TYPE replica").decode()
            fields = dict(field.split("=", 1) for field in listed.split())
            seen.append(
                [
                    re.sub(r"ip=[^,]*", "ip=", server.info("replication")["slave0"]),
                    len(listed.splitlines()),
                    fields["flags"],
                    fields["cmd"],
                    client.call("ROLE"),
                    client.call("CLIENT KILL TYPE replica"),
                ]
            )
        wait_until(lambda server=server: server.info("replication")["connected_slaves"] == "0", "it is gone")
        reader.close()
        server.call(["CONFIG", "SET", "repl-diskless-sync-delay", delay.split(b"\r\n")[4]])
    assert seen[0] == seen[1]
