// ioredis: pipelines, transactions, scripts, streams, publish/subscribe, blocking commands, scans and reconnection.
const assert = require("assert");
const Redis = require("ioredis");

async function main(port) {
  const redis = new Redis(port);
  assert.equal(await redis.set("key", "value", "EX", 60), "OK");
  assert.deepEqual(await redis.getBuffer("key"), Buffer.from("value"));
  const replies = await redis.pipeline().incr("n").incr("n").hset("h", { a: 1, b: 2 }).lpush("n", 1).exec();
  assert.deepEqual(replies.slice(0, 3).map(([, value]) => value), [1, 2, 2]);
  assert.match(replies[3][0].message, /^WRONGTYPE/);
  assert.deepEqual(await redis.multi().get("n").hgetall("h").exec(), [[null, "2"], [null, { a: "1", b: "2" }]]);
  redis.defineCommand("addTo", { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  assert.equal(await redis.addTo("n", 40), 42);
  await redis.script("FLUSH");
  assert.equal(await redis.addTo("n", 1), 43);
  const id = await redis.xadd("stream", "*", "field", "value");
  assert.deepEqual(await redis.xread("STREAMS", "stream", "0"), [["stream", [[id, ["field", "value"]]]]]);

  const subscriber = redis.duplicate();
  const heard = new Promise((resolve) => subscriber.on("pmessage", (...message) => resolve(message)));
  await subscriber.psubscribe("news.*");
  assert.equal(await redis.publish("news.today", "hello"), 1);
  assert.deepEqual(await heard, ["news.*", "news.today", "hello"]);

  const blocked = redis.duplicate();
  const popped = blocked.blpop("list", 10);
  await redis.rpush("list", "item");
  assert.deepEqual(await popped, ["list", "item"]);

  await redis.mset(Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`scan:${n}`, n])));
  const found = new Set();
  for await (const keys of redis.scanStream({ match: "scan:*", count: 100 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 500);

  const victim = redis.duplicate();
  const again = new Promise((resolve) => victim.once("reconnecting", resolve));
  await redis.client("KILL", "ID", await victim.client("ID"));
  await again;
  assert.equal(await victim.get("n"), "43");
  for (const client of [redis, subscriber, blocked, victim]) client.disconnect();
}

main(Number(process.argv[2]));
