"""dramatiq: messages, results, retries, delays and a rate limiter."""

import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import ConcurrentRateLimiter, WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend as Limits
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

port = int(sys.argv[1])
broker = RedisBroker(port=port)
broker.add_middleware(Results(backend=RedisBackend(port=port)))
dramatiq.set_broker(broker)
calls = []


@dramatiq.actor(store_results=True)
def double(number):
    return 2 * number


@dramatiq.actor(max_retries=3, min_backoff=1, max_backoff=10)
def fail_twice():
    calls.append(1)
    if len(calls) < 3:
        raise ValueError("again")


worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=2)
worker.start()
messages = [double.send(number) for number in range(20)]
messages.append(double.send_with_options(args=(20,), delay=50))
assert [message.get_result(block=True, timeout=20000) for message in messages] == [2 * n for n in range(21)]
pipeline = dramatiq.pipeline([double.message(1), double.message(), double.message()]).run()
assert pipeline.get_result(block=True, timeout=20000) == 8
both = dramatiq.group([double.message(5), double.message(6)]).run()
assert list(both.get_results(block=True, timeout=20000)) == [10, 12]
fail_twice.send()
broker.join(fail_twice.queue_name, timeout=20000)
worker.join()
assert len(calls) == 3
worker.stop()

backend = Limits(port=port)
with ConcurrentRateLimiter(backend, "one-at-a-time", limit=1).acquire(raise_on_failure=False) as first:
    assert first
    with ConcurrentRateLimiter(backend, "one-at-a-time", limit=1).acquire(raise_on_failure=False) as second:
        assert not second
window = WindowRateLimiter(backend, "window", limit=3, window=60)
taken = []
for _ in range(5):
    with window.acquire(raise_on_failure=False) as allowed:
        taken.append(allowed)
assert taken == [True, True, True, False, False], taken
