"""arq: jobs, results, a deferred job, a retry and a job id that is taken only once."""

import asyncio
import sys

from arq import Retry, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job, JobStatus
from arq.worker import Worker

settings = RedisSettings(port=int(sys.argv[1]))


async def double(ctx, number):
    return 2 * number


async def retry_once(ctx):
    if ctx["job_try"] == 1:
        raise Retry(defer=0.01)
    return ctx["job_try"]


async def main():
    pool = await create_pool(settings)
    jobs = [await pool.enqueue_job("double", number) for number in range(20)]
    assert await pool.enqueue_job("double", 1, _job_id="once") is not None
    assert await pool.enqueue_job("double", 1, _job_id="once") is None
    deferred = await pool.enqueue_job("double", 50, _defer_by=0.1)
    retried = await pool.enqueue_job("retry_once")
    assert await deferred.status() is JobStatus.deferred
    worker = Worker([double, retry_once], redis_settings=settings, burst=True, poll_delay=0.02, handle_signals=False)
    await worker.main()
    assert [await job.result(timeout=10) for job in jobs] == [2 * n for n in range(20)]
    assert await deferred.result(timeout=10) == 100
    assert await retried.result(timeout=10) == 2
    assert await Job("once", pool).status() is JobStatus.complete
    await worker.close()
    await pool.aclose()


asyncio.run(main())
