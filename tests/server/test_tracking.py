"""A client library's own cache, kept up to date by minikv."""

from __future__ import annotations

import redis
from redis.cache import CacheConfig

from tests.harness import Server


def test_redis_py_caches_and_is_told_of_changes(minikv: Server) -> None:
    caching: redis.Redis = minikv.redis(protocol=3, cache_config=CacheConfig())
    other: redis.Redis = minikv.redis()
    other.set("k", "1")
    other.hset("h", mapping={"a": "1"})
    reads = [
        (lambda: caching.get("k"), b"1"),
        (lambda: caching.hgetall("h"), {b"a": b"1"}),
        (lambda: caching.mget("k", "n"), [b"1", None]),
    ]
    for read, value in reads:
        assert read() == value
    assert caching.get_cache().size == len(reads)
    before = minikv.info()["keyspace_hits"]
    for read, value in reads:
        assert read() == value
    assert minikv.info()["keyspace_hits"] == before, "they come from the cache"
    other.set("k", "2")
    other.hset("h", "b", "2")
    assert caching.get("k") == b"2"
    assert caching.hgetall("h") == {b"a": b"1", b"b": b"2"}
    assert caching.mget("k", "n") == [b"2", None]
    other.flushall()
    assert caching.get("k") is None
    assert caching.hgetall("h") == {}
    caching.close()
    other.close()
