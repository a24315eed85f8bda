"""Rate limiters: each strategy of limits, its asyncio storage, and flask-limiter on top."""

import asyncio
import sys

import limits
import limits.aio
from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

url = f"redis://127.0.0.1:{sys.argv[1]}"
three = limits.parse("3/hour")
storage = limits.storage.storage_from_string(url)
assert storage.check()
for strategy in ("FixedWindowRateLimiter", "MovingWindowRateLimiter", "SlidingWindowCounterRateLimiter"):
    limiter = getattr(limits.strategies, strategy)(storage)
    assert [limiter.hit(three, strategy, "me") for _ in range(5)] == [True] * 3 + [False] * 2, strategy
    assert limiter.hit(three, strategy, "you")
    assert not limiter.test(three, strategy, "me")
    assert limiter.get_window_stats(three, strategy, "me").remaining == 0
    limiter.clear(three, strategy, "me")
    assert limiter.hit(three, strategy, "me")
assert storage.reset()


async def also_with_asyncio():
    storage = limits.storage.storage_from_string(f"async+{url}", implementation="redispy")
    for strategy in ("FixedWindowRateLimiter", "MovingWindowRateLimiter", "SlidingWindowCounterRateLimiter"):
        limiter = getattr(limits.aio.strategies, strategy)(storage)
        hits = [await limiter.hit(three, strategy, "asyncio") for _ in range(5)]
        assert hits == [True] * 3 + [False] * 2, (strategy, hits)


asyncio.run(also_with_asyncio())

app = Flask("programs")
limiter = Limiter(get_remote_address, app=app, storage_uri=url, headers_enabled=True, strategy="moving-window")


@app.route("/")
@limiter.limit("2/minute")
def index():
    return "welcome"


client = app.test_client()
assert [client.get("/").status_code for _ in range(4)] == [200, 200, 429, 429]
assert client.get("/").headers["X-RateLimit-Remaining"] == "0"
