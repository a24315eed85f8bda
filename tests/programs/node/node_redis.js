// node-redis over RESP2 and RESP3: typed replies, transactions with WATCH, scripts, functions, publish/subscribe.
const assert = require("assert");
const { createClient, defineScript } = require("redis");

async function main(port, RESP) {
  const double = defineScript({
    SCRIPT: "return redis.call('GET', KEYS[1]) * 2",
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key) { parser.pushKey(key); },
    transformReply: (reply) => reply,
  });
  const options = { url: `redis://127.0.0.1:${port}`, RESP, scripts: { double } };
  const client = await createClient(options).connect();
  await client.flushAll();
  assert.equal(await client.set("key", "21", { expiration: { type: "EX", value: 60 } }), "OK");
  assert.equal(await client.double("key"), 42);
  await client.hSet("hash", { a: 1, b: "two" });
  assert.deepEqual({ ...(await client.hGetAll("hash")) }, { a: "1", b: "two" });
  await client.zAdd("scores", [{ score: 1.5, value: "a" }, { score: 2, value: "b" }]);
  assert.deepEqual(await client.zRangeWithScores("scores", 0, -1), [{ value: "a", score: 1.5 }, { value: "b", score: 2 }]);
  assert.deepEqual(await client.multi().incr("n").get("n").exec(), [1, "1"]);

  const other = await createClient(options).connect();
  await client.watch("watched");
  await other.set("watched", "changed");
  await assert.rejects(client.multi().get("watched").exec(), /watched keys/i);

  await client.functionLoad("#!lua name=lib\nredis.register_function{function_name='hello', callback=function() return 'hi' end, flags={'no-writes'}}");
  assert.equal(await client.sendCommand(["FCALL", "hello", "0"]), "hi");
  await client.functionDelete("lib");

  const heard = [];
  await other.subscribe("channel", (message) => heard.push(message));
  await other.pSubscribe("chan*", (message, channel) => heard.push(channel));
  await client.publish("channel", "hello");
  while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(heard.sort(), ["channel", "hello"]);

  const waiting = client.duplicate();
  await waiting.connect();
  const popped = waiting.blPop("list", 10);
  await client.rPush("list", "item");
  assert.deepEqual({ ...(await popped) }, { key: "list", element: "item" });
  const keys = [];
  for await (const found of client.scanIterator({ MATCH: "*" })) keys.push(...[].concat(found));
  assert.ok(keys.includes("hash"));
  for (const each of [client, other, waiting]) each.destroy();
}

main(Number(process.argv[2]), 2).then(() => main(Number(process.argv[2]), 3));
