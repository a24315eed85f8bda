"""MIGRATE to a real redis-server and to minikv, and CLUSTER of a server whose cluster mode is off."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.differential.test_payloads import populate
from tests.harness import ClientPair, Server, within

StartServer = Callable[..., Server]


@pytest.fixture(params=["redis", "minikv"])
def target(request: pytest.FixtureRequest, start_minikv: StartServer, start_redis: StartServer) -> Server:
    """Where keys go."""
    start = start_redis if request.param == "redis" else start_minikv
    return start(tcp=True, enable_debug_command="yes")


class Migration:
    """The same MIGRATE from both servers, to a target that is empty each time."""

    def __init__(self, pair: ClientPair, target: Server) -> None:
        self.pair, self.target = pair, target

    def __call__(self, *words: str, before: tuple[str, ...] = (), show: tuple[str, ...] = ()) -> bytes:
        """host and port come first; then what the target shows must be the same, too."""
        replies = []
        for client in (self.pair.subject, self.pair.oracle):
            self.target.call("FLUSHALL")
            for command in before:
                self.target.call(command)
            reply = client.call(["MIGRATE", "127.0.0.1", str(self.target.port), *words])
            replies.append((reply, [self.target.call(command) for command in show]))
        assert replies[0] == replies[1]
        return bytes(replies[0][0])


@pytest.fixture
def migrate(pair: ClientPair, target: Server) -> Iterator[Migration]:
    yield Migration(pair, target)


def test_every_type_arrives(migrate: Migration, rng: random.Random, target: Server) -> None:
    state = rng.getstate()
    for client in (migrate.pair.subject, migrate.pair.oracle):
        rng.setstate(state)
        keys = populate(client, rng)
    for key in keys:
        assert migrate(key, "0", "60000", "COPY", show=("DEBUG DIGEST", "DBSIZE")) == b"+OK\r\n"
    digest = migrate.pair.subject.call("DEBUG DIGEST")
    assert migrate("", "0", "60000", "KEYS", "none", *keys, show=("DEBUG DIGEST", "DBSIZE")) == b"+OK\r\n"
    assert target.call("DEBUG DIGEST") == digest
    migrate.pair.assert_same("DBSIZE", f"MIGRATE 127.0.0.1 {target.port} {keys[0]} 0 100")


def test_keys_that_are_there_already(migrate: Migration) -> None:
    migrate.pair.assert_same("MSET a 1 b 2 c 3")
    show = ("MGET a b c",)
    reply = migrate("", "0", "60000", "KEYS", "a", "b", "c", before=("SET b old",), show=show)
    assert reply == b"-ERR Target instance replied with error: BUSYKEY Target key name already exists.\r\n"
    migrate.pair.assert_same("MGET a b c", "INFO keyspace")
    migrate("b", "0", "60000", "REPLACE", before=("SET b old",), show=show)
    migrate.pair.assert_same("MGET a b c")


def test_times_and_databases(migrate: Migration, target: Server) -> None:
    migrate.pair.assert_same("SET a 1 EX 1000", "SET b 2")
    assert migrate("", "3", "0", "COPY", "KEYS", "a", "b") == b"+OK\r\n"
    with target.connect() as client:
        assert client.call("SELECT 3") == b"+OK\r\n"
        assert within(2)(client.call("TTL a"), b":1000\r\n")
        assert client.call("TTL b") == b":-1\r\n"
    assert b"ERR DB index is out of range" in migrate("a", "99", "60000")
    migrate.pair.assert_same("DBSIZE", "SELECT 1", "SET c 1")
    migrate("c", "1", "60000")
    migrate.pair.assert_same("DBSIZE")


def test_passwords(pair: ClientPair, start_redis: StartServer) -> None:
    target = start_redis(tcp=True, requirepass="secret")
    pair.assert_same("SET a 1")
    start = ["MIGRATE", "127.0.0.1", str(target.port), "a", "0", "60000", "COPY", "REPLACE"]
    for words in ([], ["AUTH", "wrong"], ["AUTH2", "default", "wrong"], ["AUTH2", "nobody", "secret"]):
        pair.assert_same([*start, *words], "EXISTS a")
    pair.assert_same([*start, "AUTH", "secret"], [*start, "AUTH2", "default", "secret"], "EXISTS a")


@pytest.mark.parametrize(
    "command",
    [
        "MIGRATE 127.0.0.1 1 none 0 100",
        "MIGRATE nowhere.invalid 1 none 0 100",
        "MIGRATE 127.0.0.1 1 a 0 100",
        "MIGRATE 127.0.0.1 x a 0 100",
        "MIGRATE 127.0.0.1 1 a 0 x",
        "MIGRATE 127.0.0.1 1 a x 100",
        "MIGRATE 127.0.0.1 1 a x y",
        "MIGRATE 127.0.0.1 1 a 0 100 COPY FOO",
        "MIGRATE 127.0.0.1 1 a 0 100 KEYS a",
        'MIGRATE 127.0.0.1 1 "" 0 100 KEYS',
        'MIGRATE 127.0.0.1 1 "" 0 100 KEYS none none',
        "MIGRATE 127.0.0.1 1 a 0 100 AUTH",
        "MIGRATE 127.0.0.1 1 a 0 100 AUTH2 x",
        "MIGRATE 127.0.0.1 1 a 0 100 copy Replace auth",
        "COMMAND GETKEYS MIGRATE h 1 a 0 100",
        'COMMAND GETKEYS MIGRATE h 1 "" 0 100 KEYS a b',
        'COMMAND GETKEYS MIGRATE h 1 "" 0 100 AUTH KEYS KEYS a',
        'COMMAND GETKEYS MIGRATE h 1 "" 0 100 AUTH2 x KEYS COPY REPLACE KEYS a',
        "COMMAND GETKEYS MIGRATE h 1 x 0 100 KEYS a b",
        "COMMAND GETKEYSANDFLAGS MIGRATE h 1 a 0 100",
        'COMMAND GETKEYSANDFLAGS MIGRATE h 1 "" 0 100 KEYS a b',
    ],
)
def test_errors(pair: ClientPair, command: str) -> None:
    import shlex

    pair.assert_same("SET a 1", shlex.split(command), "EXISTS a")


def test_a_target_that_does_not_answer_is_waited_for_as_long_as_said(pair: ClientPair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        pair.assert_same("SET a 1", f"MIGRATE 127.0.0.1 {port} a 0 50", "EXISTS a")


def test_a_target_that_is_no_redis_gets_no_key(minikv: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def answer() -> None:
            connection, _ = stranger.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1 << 16)

        thread = threading.Thread(target=answer)
        thread.start()
        minikv.call("SET a 1")
        reply = minikv.call(f"MIGRATE 127.0.0.1 {stranger.getsockname()[1]} a 0 5000")
        thread.join()
    assert reply == b"-IOERR error or timeout reading to target instance\r\n"
    assert minikv.call("EXISTS a") == b":1\r\n"


@pytest.mark.parametrize(
    "command",
    [
        "CLUSTER INFO",
        "CLUSTER NODES",
        "CLUSTER NODES x",
        "CLUSTER HELP",
        "CLUSTER nosuch",
        "CLUSTER KEYSLOT a",
        "CLUSTER SLOTS",
        "CLUSTER SHARDS",
        "CLUSTER MEET 127.0.0.1 7000",
        "CLUSTER",
        "READONLY",
        "READWRITE",
        "ASKING",
        "ASKING x",
        "RESTORE-ASKING k 0 x",
    ],
)
def test_a_server_without_cluster_mode(pair: ClientPair, command: str) -> None:
    pair.assert_same(command)
