"""celery with kombu's transport and the result backend: tasks, groups, chords, retries, a countdown, revoking."""

import sys

from celery import Celery, chord, group
from celery.contrib.testing.worker import start_worker

url = f"redis://127.0.0.1:{sys.argv[1]}"
app = Celery("programs", broker=f"{url}/1", backend=f"{url}/2")
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def third_time(self) -> int:
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


with start_worker(app, perform_ping_check=False, pool="threads", concurrency=2, loglevel="ERROR"):
    assert add.delay(1, 2).get(timeout=20) == 3
    assert group(add.s(n, n) for n in range(10))().get(timeout=20) == [2 * n for n in range(10)]
    assert chord((add.s(n, 1) for n in range(5)), total.s())().get(timeout=20) == 15
    assert third_time.delay().get(timeout=20) == 2
    assert add.apply_async((3, 4), countdown=0.2).get(timeout=20) == 7
    assert add.apply_async((3, 4), priority=3).get(timeout=20) == 7
    assert [next(iter(reply.values())) for reply in app.control.ping(timeout=5, limit=1)] == [{"ok": "pong"}]
