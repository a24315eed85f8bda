"""huey: tasks, results, a pipeline, retries, locks and a schedule, with the consumer's threads."""

import sys

from huey import PriorityRedisHuey, RedisHuey


def work_off(kind):
    huey = kind(kind.__name__, port=int(sys.argv[1]))

    @huey.task()
    def add(a, b):
        return a + b

    @huey.task(retries=2)
    def third_time():
        tries = huey.storage.conn.incr("huey-tries")
        if tries % 3:
            raise ValueError("again")
        return tries

    @huey.task()
    @huey.lock_task("only-one")
    def locked():
        return huey.is_locked("only-one")

    consumer = huey.create_consumer(workers=2, initial_delay=0.01, max_delay=0.05, scheduler_interval=1)
    results = [add(n, n) for n in range(20)]
    chain = huey.enqueue(add.s(1, 2).then(add, 10).then(add, 100))
    later = add.schedule((3, 4), delay=1)
    retried = third_time()
    assert len(huey) > 0
    consumer.start()
    assert [result(blocking=True, timeout=20) for result in results] == [2 * n for n in range(20)]
    assert chain.get(blocking=True, timeout=20) == [3, 13, 113]
    assert later(blocking=True, timeout=20) == 7
    assert locked()(blocking=True, timeout=20) is True
    for _ in range(3):
        try:
            assert retried(blocking=True, timeout=20) % 3 == 0
            break
        except Exception:
            retried.reset()
    else:
        raise AssertionError("not retried")
    consumer.stop(graceful=True)


for kind in (RedisHuey, PriorityRedisHuey):
    work_off(kind)
