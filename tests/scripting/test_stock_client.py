"""What redis-py does with scripts: locks, registered scripts, functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
import redis.exceptions

from tests.harness import Server

RATE_LIMITER = """
local used = redis.call('INCR', KEYS[1])
if used == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if used > tonumber(ARGV[1]) then
  return {0, redis.call('PTTL', KEYS[1])}
end
return {1, tonumber(ARGV[1]) - used}
"""


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(request: pytest.FixtureRequest, minikv: Server) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=minikv.socket_path, protocol=request.param) as connected:
        yield connected


def test_a_lock_belongs_to_one(client: redis.Redis) -> None:
    lock = client.lock("resource", timeout=60)
    other = client.lock("resource", timeout=60, blocking=False)
    assert lock.acquire()
    assert not other.acquire()
    assert lock.extend(30)
    assert lock.reacquire()
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        other.local.token = b"somebody else"
        other.release()
    lock.release()
    assert other.acquire()
    assert client.ttl("resource") > 0


def test_a_registered_script_is_loaded_again_after_a_flush(client: redis.Redis) -> None:
    limiter = client.register_script(RATE_LIMITER)
    assert [limiter(keys=["limit"], args=[2, 60000])[0] for _ in range(2)] == [1, 1]
    client.script_flush()
    assert client.script_exists(limiter.sha) == [False]
    allowed, wait_ms = limiter(keys=["limit"], args=[2, 60000])
    assert allowed == 0
    assert 0 < wait_ms <= 60000
    assert client.script_exists(limiter.sha) == [True]


def test_a_registered_script_in_a_pipeline(client: redis.Redis) -> None:
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    with client.pipeline() as pipeline:
        script(keys=["n"], args=[5], client=pipeline)
        script(keys=["n"], args=[7], client=pipeline)
        assert pipeline.execute() == [5, 12]


def test_functions(client: redis.Redis) -> None:
    client.function_flush()
    code = (
        "#!lua name=shop\n"
        "redis.register_function('sell', function(keys, args) return redis.call('DECRBY', keys[1], args[1]) end)"
    )
    assert client.function_load(code) in (b"shop", "shop")
    client.set("stock", 10)
    assert client.fcall("sell", 1, "stock", 3) == 7
    dump = client.function_dump()
    client.function_flush()
    client.function_restore(dump)
    assert client.fcall("sell", 1, "stock", 3) == 4
    client.function_flush()


def test_errors_are_those_that_the_client_knows(client: redis.Redis) -> None:
    with pytest.raises(redis.exceptions.NoScriptError):
        client.evalsha("a" * 40, 0)
    with pytest.raises(redis.exceptions.ResponseError, match="on @user_script:1"):
        client.eval("error('x')", 0)
