"""rq: jobs, their results, a failure, a retry, a scheduled job and a worker that forks."""

import subprocess
import sys
from datetime import timedelta

import rq_jobs
from redis import Redis
from rq import Queue, Retry
from rq.registry import FailedJobRegistry, ScheduledJobRegistry

port = int(sys.argv[1])
connection = Redis(port=port)
queue = Queue("work", connection=connection)

jobs = [queue.enqueue(rq_jobs.square, number) for number in range(20)]
failing = queue.enqueue(rq_jobs.fail)
retried = queue.enqueue(rq_jobs.fail_once, port, retry=Retry(max=2))
dependent = queue.enqueue(rq_jobs.square, 7, depends_on=jobs[0])
queue.enqueue_in(timedelta(hours=1), rq_jobs.square, 1)
assert queue.count == 22
subprocess.run(
    [sys.executable, "-m", "rq.cli", "worker", "--burst", "--quiet", "--url", f"redis://127.0.0.1:{port}", "work"],
    check=True,
)
assert [job.latest_result().return_value for job in jobs] == [number**2 for number in range(20)]
assert failing.latest_result().exc_string.rstrip().endswith("ValueError: no luck")
assert failing.id in FailedJobRegistry(queue=queue)
assert retried.latest_result().return_value == "second try"
assert dependent.latest_result().return_value == 49
assert len(ScheduledJobRegistry(queue=queue)) == 1
