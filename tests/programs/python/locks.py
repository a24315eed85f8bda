"""Locks: redis-py's own, python-redis-lock and pottery's Redlock; one holder at a time, renewal, expiry, release."""

import sys
import threading

import redis
import redis_lock
from pottery import NextID, RedisCounter, RedisDeque, RedisDict, Redlock
from redis.exceptions import LockError, LockNotOwnedError

port = int(sys.argv[1])
client = redis.Redis(port=port)


def inside_one_at_a_time(make_lock):
    inside, most, entered = [], [], []

    def enter():
        for _ in range(10):
            with make_lock():
                inside.append(1)
                most.append(len(inside))
                entered.append(1)
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 40 and max(most) == 1


# redis-py
inside_one_at_a_time(lambda: client.lock("own", timeout=10, sleep=0.001))
lock = client.lock("own", timeout=10)
assert lock.acquire() and not client.lock("own").acquire(blocking=False)
assert lock.extend(30) and lock.reacquire() and lock.owned()
lock.release()
try:
    lock.release()
    raise AssertionError("released twice")
except LockError:
    pass
brief = client.lock("brief", timeout=0.02)
assert brief.acquire()
assert client.lock("brief", timeout=1).acquire(blocking_timeout=5)
try:
    brief.release()
    raise AssertionError("released the lock of another")
except LockNotOwnedError:
    pass

# python-redis-lock
inside_one_at_a_time(lambda: redis_lock.Lock(client, "theirs", expire=10))
held = redis_lock.Lock(client, "held", expire=1, auto_renewal=True)
assert held.acquire() and held.locked() and not redis_lock.Lock(client, "held").acquire(blocking=False)
held.extend(5)
held.release()
redis_lock.Lock(client, "left").acquire()
redis_lock.reset_all(client)
assert redis_lock.Lock(client, "left").acquire(blocking=False)

# pottery
masters = {redis.Redis(port=port, db=number) for number in range(3)}
inside_one_at_a_time(lambda: Redlock(key="many", masters=masters, auto_release_time=10))
many = Redlock(key="alone", masters=masters, auto_release_time=10)
assert many.acquire(blocking=False) and 0 < many.locked() <= 10
many.extend()
many.release()
assert not many.locked()
ids = NextID(key="ids", masters=masters)
assert [next(ids) for _ in range(3)] == [1, 2, 3]
numbers = RedisDict({"a": 1}, redis=client, key="dict")
numbers.update(b=2)
assert dict(numbers) == {"a": 1, "b": 2}
counter = RedisCounter("abracadabra", redis=client, key="counter")
assert counter.most_common(1) == [("a", 5)]
queue = RedisDeque([1, 2, 3], redis=client, key="deque", maxlen=3)
queue.append(4)
assert list(queue) == [2, 3, 4]
