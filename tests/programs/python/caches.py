"""Caches: aiocache, cachelib and django-redis, with locks, counters, patterns and expiry."""

import asyncio
import sys
import time

import django
from aiocache import Cache, cached
from aiocache.lock import RedLock
from aiocache.serializers import PickleSerializer
from cachelib import RedisCache
from django.conf import settings

port = int(sys.argv[1])


async def use_aiocache():
    cache = Cache(Cache.REDIS, endpoint="127.0.0.1", port=port, namespace="aio", serializer=PickleSerializer())
    await cache.set("key", {"a": [1, 2]}, ttl=60)
    assert await cache.get("key") == {"a": [1, 2]}
    await cache.multi_set([("x", 1), ("y", 2)])
    assert await cache.multi_get(["x", "y", "z"]) == [1, 2, None]
    await cache.add("once", 1)
    try:
        await cache.add("once", 2)
        raise AssertionError("added twice")
    except ValueError:
        pass
    await cache.set("brief", 1, ttl=0.02)
    await asyncio.sleep(0.05)
    assert not await cache.exists("brief")
    assert await cache.increment("n", 5) == 5
    calls = []

    @cached(cache=Cache.REDIS, endpoint="127.0.0.1", port=port, key="computed", ttl=10)
    async def compute():
        calls.append(1)
        return "42"

    assert [await compute() for _ in range(3)] == ["42"] * 3 and len(calls) == 1
    async with RedLock(cache, "lock", lease=5):
        assert await cache.exists("lock-lock")
    assert not await cache.exists("lock-lock")
    await cache.clear(namespace="aio")
    assert await cache.get("key") is None
    await cache.close()


asyncio.run(use_aiocache())

plain = RedisCache(host="127.0.0.1", port=port, key_prefix="lib:")
assert plain.set_many({"a": 1, "b": "two"}) and plain.get_dict("a", "b", "c") == {"a": 1, "b": "two", "c": None}
assert plain.add("new", 1) and not plain.add("new", 2)
assert plain.inc("count", 3) == 3 and plain.dec("count") == 2
assert plain.has("a") and plain.delete_many("a", "b") == ["a", "b"] and plain.clear()
assert not plain.has("new")

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{port}/3",
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    USE_TZ=True,
)
django.setup()
from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402 (after the settings)
from django.core.cache import cache  # noqa: E402

cache.set("key", {"a": 1}, timeout=60)
assert cache.get("key") == {"a": 1} and 50 < cache.ttl("key") <= 60
assert cache.get_or_set("made", lambda: 7) == 7 and cache.incr("made") == 8
cache.set_many({f"page:{n}": n for n in range(50)})
assert len(cache.get_many(f"page:{n}" for n in range(50))) == 50
assert cache.delete_pattern("page:*") == 50 and not list(cache.iter_keys("page:*"))
assert cache.persist("key") and cache.ttl("key") is None
cache.set("brief", 1, timeout=0.02)
time.sleep(0.05)
assert cache.get("brief") is None
with cache.lock("lock", timeout=5):
    assert cache.keys("lock") or True
session = SessionStore()
session["user"] = 5
session.save()
again = SessionStore(session_key=session.session_key)
assert again["user"] == 5
again.flush()
assert not SessionStore().exists(session.session_key)
cache.clear()
assert cache.get("key") is None
