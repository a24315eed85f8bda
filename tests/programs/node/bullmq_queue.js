// bullmq: jobs with priorities, delays, retries, a flow of parents and children, events, a repeated job, rate limits.
const assert = require("assert");
const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");

async function main(port) {
  const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  const queue = new Queue("work", { connection });
  const events = new QueueEvents("work", { connection });
  await events.waitUntilReady();
  const tries = {};
  const order = [];
  const worker = new Worker("work", async (job) => {
    order.push(job.name);
    if (job.name === "fails once") {
      tries[job.id] = (tries[job.id] || 0) + 1;
      if (tries[job.id] === 1) throw new Error("again");
    }
    if (job.name === "parent") return Object.values(await job.getChildrenValues()).sort();
    await job.updateProgress(50);
    return job.data.n * 2;
  }, { connection, concurrency: 1, autorun: false });

  const low = await queue.add("low", { n: 1 }, { priority: 10 });
  const high = await queue.add("high", { n: 2 }, { priority: 1 });
  const plain = await queue.addBulk(Array.from({ length: 20 }, (_, n) => ({ name: "plain", data: { n } })));
  const delayed = await queue.add("delayed", { n: 50 }, { delay: 100 });
  const retried = await queue.add("fails once", { n: 7 }, { attempts: 3, backoff: 20 });
  const twice = [await queue.add("once", { n: 1 }, { jobId: "id-1" }), await queue.add("once", { n: 1 }, { jobId: "id-1" })];
  assert.equal(twice[0].id, twice[1].id);
  assert.equal((await queue.getJobCounts("waiting", "prioritized", "delayed")).prioritized, 2);
  worker.run();
  assert.equal(await low.waitUntilFinished(events, 20000), 2);
  assert.equal(await high.waitUntilFinished(events, 20000), 4);
  for (const [n, job] of plain.entries()) assert.equal(await job.waitUntilFinished(events, 20000), 2 * n);
  assert.equal(await delayed.waitUntilFinished(events, 20000), 100);
  assert.equal(await retried.waitUntilFinished(events, 20000), 14);
  assert.ok(order.indexOf("high") < order.indexOf("low"));

  const flow = new FlowProducer({ connection });
  const tree = await flow.add({
    name: "parent", queueName: "work",
    children: [1, 2, 3].map((n) => ({ name: "child", queueName: "work", data: { n } })),
  });
  assert.deepEqual(await tree.job.waitUntilFinished(events, 20000), [2, 4, 6]);
  await queue.upsertJobScheduler("ticker", { every: 50, limit: 2 }, { name: "tick", data: { n: 0 } });
  while (order.filter((name) => name === "tick").length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  await worker.close();
  await queue.obliterate({ force: true });
  assert.deepEqual(await queue.getJobs(), []);
  for (const each of [flow, events, queue]) await each.close();
}

main(Number(process.argv[2]));
