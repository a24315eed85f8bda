"""SNAPSHOT LIST, GET, DIFF, RESTORE and VERIFY on a server that has a history beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.harness import Server
from tests.harness.process import wait_until
from tests.history.history_files import (
    FIRST_MS,
    Writer,
    db,
    expiring,
    hash_record,
    list_record,
    sample,
    set_record,
    sorted_set_record,
    timed_hash_record,
)
from tests.rdb.rdb_files import pair

StartServer = Callable[..., Server]


@pytest.fixture(scope="module")
def server(module_minikv: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    writer = sample(directory / "history")
    writer.layer(
        db(0)
        + expiring(1000, pair(b"dead", b"1"))
        + expiring(2 * FIRST_MS, set_record(b"set", [b"a", b"b"]))
        + timed_hash_record(b"timed", {b"f": (b"v", 2 * FIRST_MS), b"g": (b"w", 0)})
        + sorted_set_record(b"zset", {b"m": 1.5, b"n": 2.0})
        + list_record(b"list", [b"x", b"y", b"x"])
        + hash_record(b"hash", {b"f": b"1"})
        + b"".join(pair(b"many:%d" % n, b"v" * 50) for n in range(3_000)),
        version=12,
    )
    yield module_minikv(directory=directory)


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.redis(protocol=2) as client:
        client.flushall()
        yield client


def ask(client: redis.Redis, *words: object) -> Any:
    return client.execute_command("SNAPSHOT", *words)


def as_map(reply: list[Any]) -> dict[bytes, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def test_list_gives_the_newest_points_first(client: redis.Redis) -> None:
    assert [as_map(each)[b"id"] for each in ask(client, "LIST")] == [5, 4, 3, 2, 1]
    assert [as_map(each)[b"id"] for each in ask(client, "LIST", 2)] == [5, 4]
    assert len(ask(client, "LIST", -1)) == 5
    first = as_map(ask(client, "LIST", -1)[-1])
    assert (first[b"kind"], first[b"written"], first[b"keys"], first[b"time-ms"]) == (b"base", 6, 6, FIRST_MS)


def test_get_gives_the_value_of_a_point(client: redis.Redis) -> None:
    assert ask(client, "GET", "a", "AT", 1) == b"1"
    assert ask(client, "GET", "a", "AT", 2) == b"2"
    assert ask(client, "GET", "a") is None
    assert as_map(ask(client, "GET", "h", "AT", 2)) == {b"g": b"2", b"i": b"2"}
    assert as_map(ask(client, "GET", "timed")) == {b"f": b"v", b"g": b"w"}
    assert sorted(ask(client, "GET", "set")) == [b"a", b"b"]
    assert ask(client, "GET", "list") == [b"x", b"y", b"x"]
    assert as_map(ask(client, "GET", "zset")) == {b"m": b"1.5", b"n": b"2"}
    assert ask(client, "GET", "b", "AT", f"@{FIRST_MS // 1000}") == b"1"


def test_get_in_resp3_has_maps_and_doubles(server: Server) -> None:
    with server.redis(protocol=3) as client:
        assert ask(client, "GET", "hash") == {b"f": b"1"}
        assert ask(client, "GET", "zset") == {b"m": 1.5, b"n": 2.0}
        assert ask(client, "LIST", 1)[0][b"id"] == 5


def test_get_looks_into_the_clients_database(server: Server) -> None:
    with server.redis(db=3, protocol=2) as client:
        assert ask(client, "GET", "three", "AT", 1) == b"3"
        assert ask(client, "GET", "a", "AT", 1) is None


def test_keys_may_have_any_bytes_and_any_length(client: redis.Redis) -> None:
    for key in (b"a\0b", b"\xff\xfe\n", b"k" * 3_000_000):
        assert ask(client, "GET", key) is None
    words = [word for number in range(40) for word in ("KEY", f"{number}" * 100_000, "KEY", f"many:{number}")]
    assert ask(client, "RESTORE", 5, *words) == 40
    assert ask(client, "RESTORE", 5, "MATCH", b"\0*") == 0
    assert ask(client, "DIFF", 1, 2, "MATCH", b"\0") == []


def test_diff_gives_what_layers_did(client: redis.Redis) -> None:
    assert ask(client, "DIFF", 3, 4) == [
        [b"emptied", 3, None, None],
        [b"written", 0, b"b", b"string"],
        [b"elements", 0, b"new", b"hash"],
    ]
    assert ask(client, "DIFF", 1, 2, "MATCH", "[bh]", "COUNT", 1) == [[b"removed", 0, b"b", None]]
    assert len(ask(client, "DIFF", 4, 5)) == 1000
    assert len(ask(client, "DIFF", 4, 5, "COUNT", 100_000)) == 3_006


def test_verify_gives_what_is_wrong(client: redis.Redis, server: Server) -> None:
    assert ask(client, "VERIFY") == []
    path = server.directory / "history/layer-0000000003.rdb"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    try:
        (problem,) = ask(client, "VERIFY")
        assert problem.startswith(b"point 3: layer-0000000003.rdb: ")
        assert problem.endswith(b"point 2 is the newest before it")
    finally:
        path.write_bytes(data)


# RESTORE


def test_restore_brings_keys_back(client: redis.Redis) -> None:
    assert ask(client, "RESTORE", 2, "KEY", "h", "KEY", "z", "KEY", "none", "KEY", "h") == 2
    assert sorted(client.keys()) == [b"h", b"z"]
    assert client.hgetall("h") == {b"g": b"2", b"i": b"2"}
    assert client.zrange("z", 0, -1, withscores=True) == [(b"n", 3.5), (b"o", 4.0)]


def test_restore_of_a_pattern_keeps_expiries(client: redis.Redis) -> None:
    assert ask(client, "RESTORE", "newest", "MATCH", "[dst]*") == 3  # dead is not among them
    assert sorted(client.keys()) == [b"set", b"three", b"timed"]
    assert client.pexpiretime("set") == 2 * FIRST_MS
    assert client.execute_command("HPEXPIRETIME", "timed", "FIELDS", 2, "f", "g") == [2 * FIRST_MS, -1]


def test_restore_of_everything_takes_slices(client: redis.Redis, server: Server) -> None:
    dirty = int(client.info()["rdb_changes_since_last_save"])
    assert ask(client, "RESTORE", 5) == 3_008
    assert client.dbsize() == 3_008
    assert int(client.info()["rdb_changes_since_last_save"]) == dirty + 3_008
    assert client.execute_command("DEBUG", "ENGINE-CHECK") is not None


def test_restore_to_another_database(client: redis.Redis, server: Server) -> None:
    assert ask(client, "RESTORE", 1, "TO", 7, "MATCH", "?") == 5
    assert client.dbsize() == 0
    with server.redis(db=7, protocol=2) as other:
        assert sorted(other.keys()) == [b"a", b"b", b"h", b"s", b"z"]


def test_restore_over_a_key_changes_nothing_unless_told(client: redis.Redis) -> None:
    client.set("z", "mine")
    with pytest.raises(redis.ResponseError, match="BUSYKEY"):
        ask(client, "RESTORE", 1, "MATCH", "?")
    assert client.keys() == [b"z"]
    assert ask(client, "RESTORE", 1, "MATCH", "?", "REPLACE") == 5
    assert client.type("z") == b"zset"


def test_restore_wakes_clients_and_tells_observers(client: redis.Redis, server: Server) -> None:
    client.config_set("notify-keyspace-events", "KEA")
    found: list[Any] = []
    with server.redis() as other:
        waiter = threading.Thread(target=lambda: found.append(other.blpop("list", 30)))
        waiter.start()
        wait_until(lambda: client.info("clients")["blocked_clients"] == 1, "a client waits")
        with client.pubsub() as pubsub:
            pubsub.psubscribe("__keyspace@0__:list")
            pubsub.get_message(timeout=30)
            assert ask(client, "RESTORE", 5, "KEY", "list") == 1
            waiter.join(30)
            message = pubsub.get_message(timeout=30)
            while message is not None and message["data"] != b"restore":
                message = pubsub.get_message(timeout=30)
            assert message is not None
    assert found == [(b"list", b"x")]
    client.config_set("notify-keyspace-events", "")


def test_restore_ends_at_maxmemory_or_evicts(start_minikv: StartServer, tmp_path: Path) -> None:
    keys = 2_000
    Writer(tmp_path / "history").base(db(0) + b"".join(pair(b"%d" % n, b"v" * 15_000) for n in range(keys)))
    with start_minikv(directory=tmp_path).redis() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 8_000_000)
        with pytest.raises(redis.OutOfMemoryError, match=r"[1-9][0-9]* keys were restored before"):
            ask(client, "RESTORE", 1)
        assert 20 < client.dbsize() < keys
        client.config_set("maxmemory-policy", "allkeys-random")
        assert ask(client, "RESTORE", 1, "REPLACE") == keys
        assert client.dbsize() < keys


# What is refused


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("GET", "k", "AT", "99"), "no point 99: the history has 1 to 5"),
        (("GET", "k", "AT", "1999-01-01"), "the history begins at"),
        (("GET", "k", "AT"), "syntax error"),
        (("GET", "k", "BEFORE", 1), "syntax error"),
        (("GET", "k", "AT", b"1\0"), "neither an ID nor a time"),
        (("GET", "k", "AT", b"\xff"), "neither an ID nor a time"),
        (("GET", "k", "AT", ""), "neither an ID nor a time"),
        (("GET", "k", "AT", "0"), "no point 0: the history has 1 to 5"),
        (("GET", "k", "AT", "9" * 20), "neither an ID nor a time"),
        (("DIFF", 2, 1), "point 2 is newer than 1"),
        (("DIFF", 1, 2, "COUNT", 0), "syntax error"),
        (("DIFF", 1, 2, "COUNT"), "syntax error"),
        (("DIFF", 1, "x"), "'x' is neither an ID nor a time"),
        (("LIST", "x"), "not an integer"),
        (("LIST", 1, 2), "syntax error"),
        (("RESTORE", 9), "no point 9"),
        (("RESTORE", 1, "TO", 99), "DB index is out of range"),
        (("RESTORE", 1, "TO", -1), "DB index is out of range"),
        (("RESTORE", 1, "KEY"), "syntax error"),
        (("RESTORE", 1, "KEY", "a", "MATCH", "b"), "syntax error"),
    ],
)
def test_what_is_refused(client: redis.Redis, words: tuple[object, ...], error: str) -> None:
    with pytest.raises(redis.ResponseError, match=error):
        ask(client, *words)
    assert client.dbsize() == 0


def test_not_in_transactions_or_scripts(client: redis.Redis) -> None:
    with client.pipeline() as pipeline, pytest.raises(redis.ResponseError, match="not allowed inside a transaction"):
        pipeline.execute_command("SNAPSHOT", "LIST")
        pipeline.execute()
    with pytest.raises(redis.ResponseError, match="not allowed from script"):
        client.eval("return redis.call('SNAPSHOT', 'LIST')", 0)


def test_a_user_sees_only_his_keys(client: redis.Redis, server: Server) -> None:
    client.execute_command("ACL", "SETUSER", "eve", "on", ">pw", "~z*", "+snapshot|get")
    with server.redis(username="eve", password="pw") as eve:
        assert ask(eve, "GET", "z", "AT", 1) is not None
        with pytest.raises(redis.ResponseError, match="permissions"):
            ask(eve, "GET", "a", "AT", 1)
    client.execute_command("ACL", "DELUSER", "eve")


def test_a_server_without_history_says_so(start_minikv: StartServer, tmp_path: Path) -> None:
    server = start_minikv(directory=tmp_path)
    with server.redis() as client, pytest.raises(redis.ResponseError, match="no history, for it has no manifest"):
        ask(client, "LIST")
    assert list(tmp_path.iterdir()) == []


# Clients that do not wait


def test_other_clients_are_served_and_the_waiting_one_can_be_unblocked(client: redis.Redis, server: Server) -> None:
    with server.connect() as waiting:
        number = waiting.call(("CLIENT", "ID")).strip(b":\r\n")
        waiting.send(("SNAPSHOT", "VERIFY"))
        waiting.send(("PING",))
        wait_until(lambda: client.client_unblock(int(number)) in (1, True) or True, "unblocked or answered")
        assert waiting.read() in (b"*-1\r\n", b"*0\r\n")
        assert waiting.read() == b"+PONG\r\n"


def test_a_client_that_goes_away_leaves_nothing(client: redis.Redis, server: Server) -> None:
    with server.connect() as going:
        going.send(("SNAPSHOT", "RESTORE", "5"))
    wait_until(lambda: client.info("clients")["blocked_clients"] == 0, "it has gone")
    wait_until(lambda: not server.children(), "the process has ended")
    server.barrier()
    assert client.ping()


def test_too_many_questions_at_once(client: redis.Redis, server: Server) -> None:
    with server.connect() as many:
        many.send_raw(b"")
        waiting = [server.connect() for _ in range(12)]
        for each in waiting:
            each.send(("SNAPSHOT", "VERIFY"))
        replies = {each.read() for each in waiting}
        for each in waiting:
            each.close()
    assert b"*0\r\n" in replies
    assert all(reply == b"*0\r\n" or b"questions about the history" in reply for reply in replies)
