"""A client library's own cache, kept up to date by minikv."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from redis.cache import CacheConfig

from tests.harness import Server


def test_redis_py_caches_and_is_told_of_changes(
    start_minikv: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py asks for a server of version 7.4 before it caches, although 6.0 could do all that it needs."""
    monkeypatch.setattr("redis.connection.CacheProxyConnection.MIN_ALLOWED_VERSION", "7.0.0")
    minikv = start_minikv(tcp=True)
    caching = redis.Redis(port=minikv.port, protocol=3, cache_config=CacheConfig())
    other = minikv.redis()
    other.set("k", "1")
    other.hset("h", mapping={"a": "1"})
    reads = [
        (lambda: caching.get("k"), b"1"),
        (lambda: caching.hgetall("h"), {b"a": b"1"}),
        (lambda: caching.mget("k", "n"), [b"1", None]),
    ]
    for read, value in reads:
        assert read() == value
    cache = caching.get_cache()
    assert cache is not None and cache.size == len(reads)
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


def test_prefixes_are_part_of_what_a_client_holds(minikv: Server) -> None:
    """maxmemory-clients must see them: a client can ask for any number."""

    def held() -> int:
        line = client.value("CLIENT INFO")
        return int(line.split(b" tot-mem=")[1].split()[0])

    with minikv.connect() as client:
        idle = held()
        for number in range(10):
            prefixes = [word for place in range(100) for word in ("PREFIX", f"{number:03}:{place:0100}")]
            client.value(["CLIENT", "TRACKING", "ON", "BCAST", *prefixes])
        assert idle + 1000 * 100 < held() < idle + 1000 * 1000
        client.value("CLIENT TRACKING OFF")
        assert held() == idle
