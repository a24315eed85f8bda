// connect-redis behind express, rate-limiter-flexible, and the locks of redlock.
const assert = require("assert");
const { RedisStore } = require("connect-redis");
const express = require("express");
const session = require("express-session");
const Redis = require("ioredis");
const { RateLimiterRedis } = require("rate-limiter-flexible");
const { createClient } = require("redis");
const Redlock = require("redlock");

async function useSessions(port) {
  const client = await createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  const store = new RedisStore({ client, ttl: 60 });
  const app = express();
  app.use(session({ store, secret: "x", resave: false, saveUninitialized: false }));
  app.get("/", (request, response) => {
    request.session.count = (request.session.count || 0) + 1;
    response.send(String(request.session.count));
  });
  app.get("/end", (request, response) => request.session.destroy(() => response.send("ended")));
  const server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const first = await fetch(url);
  const headers = { cookie: first.headers.get("set-cookie").split(";")[0] };
  assert.equal(await first.text(), "1");
  assert.equal(await (await fetch(url, { headers })).text(), "2");
  assert.equal(await store.length(), 1);
  assert.equal((await store.all())[0].count, 2);
  assert.equal(await (await fetch(`${url}/end`, { headers })).text(), "ended");
  assert.equal(await store.length(), 0);
  server.close();
  server.closeAllConnections();
  client.destroy();
}

async function useLimitsAndLocks(port) {
  const redis = new Redis(port);
  const limiter = new RateLimiterRedis({ storeClient: redis, points: 3, duration: 60 });
  for (let left = 2; left >= 0; left--) assert.equal((await limiter.consume("me")).remainingPoints, left);
  await assert.rejects(limiter.consume("me"), (refusal) => refusal.msBeforeNext > 0);
  await limiter.block("you", 5);
  await assert.rejects(limiter.consume("you"));

  const redlock = new Redlock([redis], { retryCount: 0 });
  const lock = await redlock.lock("resource", 10000);
  await assert.rejects(redlock.lock("resource", 10000), Redlock.LockError);
  const longer = await lock.extend(20000);
  await longer.unlock();
  await (await redlock.lock(["resource", "other"], 5000)).unlock();
  redis.disconnect();
}

useSessions(Number(process.argv[2])).then(() => useLimitsAndLocks(Number(process.argv[2])));
