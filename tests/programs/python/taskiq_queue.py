"""taskiq with each of the brokers of taskiq-redis and its result backend."""

import asyncio
import sys

from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, PubSubBroker, RedisAsyncResultBackend, RedisStreamBroker

url = f"redis://127.0.0.1:{sys.argv[1]}"


async def work_off(kind):
    broker = kind(url, queue_name=kind.__name__).with_result_backend(RedisAsyncResultBackend(url))

    @broker.task(task_name=f"double-{kind.__name__}")
    async def double(number):
        return 2 * number

    broker.is_worker_process = True
    await broker.startup()
    receiver = asyncio.create_task(run_receiver_task(broker))
    await asyncio.sleep(0.3 if kind is PubSubBroker else 0)  # it keeps nothing for receivers that come later
    tasks = [await double.kiq(number) for number in range(20)]
    values = [(await task.wait_result(timeout=20, check_interval=0.01)).return_value for task in tasks]
    assert values == [2 * n for n in range(20)], values
    receiver.cancel()
    await asyncio.gather(receiver, return_exceptions=True)
    await broker.shutdown()


async def main():
    for kind in (ListQueueBroker, RedisStreamBroker, PubSubBroker):
        await work_off(kind)


asyncio.run(main())
