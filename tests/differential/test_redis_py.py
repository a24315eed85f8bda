"""redis-py, as applications use it, against both servers: the same program must see the same results."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import LockError, ResponseError, WatchError

from tests.harness import Server


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def clients(request: pytest.FixtureRequest, minikv: Server, oracle: Server) -> Iterator[list[redis.Redis]]:
    both = [server.redis(protocol=request.param, decode_responses=True) for server in (minikv, oracle)]
    yield both
    for client in both:
        client.close()


def test_strings_and_expiry(clients: list[redis.Redis]) -> None:
    ours, theirs = (
        [
            client.set("a", "1"),
            client.set("a", "2", nx=True),
            client.set("b", "x", ex=100, get=True),
            client.get("a"),
            client.get("none"),
            client.mget("a", "b", "none"),
            client.mset({"c": 1, "d": 2}),
            client.incr("a", 41),
            client.incrbyfloat("a", 0.5),
            client.append("b", "yz"),
            client.strlen("b"),
            client.getrange("b", 0, 1),
            client.setbit("bits", 7, 1),
            client.bitcount("bits"),
            client.expire("c", 100),
            client.ttl("c"),
            client.ttl("none"),
            client.persist("c"),
            client.exists("a", "b", "none"),
            client.delete("a", "none"),
            client.type("b"),
            sorted(client.keys("*")),
            sorted(client.scan_iter(count=2)),
            client.dbsize(),
            client.rename("b", "e"),
            client.copy("e", "f"),
            client.lcs("e", "f", len=True),
            client.bitfield("bf").set("u8", 0, 255).incrby("u8", 0, 1).execute(),
        ]
        for client in clients
    )
    assert ours == theirs


def test_errors_have_their_classes(clients: list[redis.Redis]) -> None:
    for client in clients:
        client.set("text", "x")
        with pytest.raises(ResponseError, match="not an integer"):
            client.incr("text")
        with pytest.raises(ResponseError, match="unknown command"):
            client.execute_command("NONESUCH")
        with pytest.raises(ResponseError, match="syntax error"):
            client.execute_command("SET", "a", "b", "NONESUCH")


def test_pipelines_with_and_without_a_transaction(clients: list[redis.Redis]) -> None:
    results = []
    for client in clients:
        for transaction in (True, False):
            pipeline = client.pipeline(transaction=transaction)
            pipeline.set("a", 1).incr("a").get("a").get("none").set("t", "x").incr("t").mget("a", "t")
            results.append([str(result) for result in pipeline.execute(raise_on_error=False)])
    assert results[:2] == results[2:]


def test_optimistic_locking(clients: list[redis.Redis]) -> None:
    for client in clients:
        with client.pipeline() as pipeline:
            pipeline.watch("counter")
            client.set("counter", 5)
            pipeline.multi()
            pipeline.set("counter", 1)
            with pytest.raises(WatchError):
                pipeline.execute()
        assert client.transaction(lambda p: p.multi() or p.incr("counter"), "counter") == [6]


def test_info_client_and_server_commands(clients: list[redis.Redis]) -> None:
    for client in clients:
        assert client.info()["redis_mode"] == "standalone"
        assert client.info("persistence")["rdb_bgsave_in_progress"] == 0
        assert client.client_setname("me")
        assert client.client_getname() == "me"
        assert [entry["name"] for entry in client.client_list()].count("me") == 1
        assert client.client_info()["name"] == "me"
        assert client.config_get("maxmemory*")["maxmemory"] == "0"
        assert client.command_count() > 50
        assert client.command_getkeys("MSET", "a", 1, "b", 2) == ["a", "b"]
        assert client.time()[0] > 1_600_000_000
        assert client.slowlog_len() >= 0
        assert client.slowlog_reset()
        assert client.lastsave()
        assert client.memory_usage("none") is None
        assert client.role()[0] == "master"
        assert client.echo("x") == "x"


def test_binary_values_without_decoding(minikv: Server, oracle: Server) -> None:
    value = bytes(range(256)) * 100
    for server in (minikv, oracle):
        with server.redis() as client:
            client.set(b"\x00\xff", value)
            assert client.get(b"\x00\xff") == value
            assert client.keys() == [b"\x00\xff"]


def test_databases_are_apart(minikv: Server, oracle: Server) -> None:
    for server in (minikv, oracle):
        with server.redis(db=3) as third, server.redis() as first:
            third.set("a", "three")
            assert first.get("a") is None
            assert first.swapdb(0, 3)
            assert first.get("a") == b"three"


def test_single_connection_client_and_health_checks(minikv: Server) -> None:
    with minikv.redis(single_connection_client=True, health_check_interval=1, client_name="checked") as client:
        assert client.ping()
        assert client.client_getname() in ("checked", b"checked")


def test_a_lock_needs_scripts_and_says_so(minikv: Server) -> None:
    """redis-py's Lock takes the lock by SET NX PX and gives it back by a script, which minikv does not have yet."""
    with minikv.redis() as client:
        lock = client.lock("lock", timeout=10)
        assert lock.acquire(blocking=False)
        assert not client.lock("lock", timeout=10).acquire(blocking=False)
        with pytest.raises((ResponseError, LockError)):
            lock.release()
            lock.release()
