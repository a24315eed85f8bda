// socket.io: servers in two processes that share rooms through the Redis adapter, plain and sharded.
const assert = require("assert");
const { fork } = require("child_process");
const { once } = require("events");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");

async function serve(port, kind) {
  const publisher = await createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  const subscriber = await publisher.duplicate().connect();
  const adapter = kind === "sharded" ? createShardedAdapter(publisher, subscriber) : createAdapter(publisher, subscriber);
  const server = new Server(0, { adapter });
  server.on("connection", (socket) => {
    socket.on("join", async (room, done) => { await socket.join(room); done(); });
    socket.on("shout", (room, text) => server.to(room).emit("news", text));
    socket.on("count", async (done) => done((await server.fetchSockets()).length));
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  process.send(server.httpServer.address().port);
}

async function talk(port, kind) {
  const children = [0, 1].map(() => fork(__filename, [port, kind]));
  const ports = await Promise.all(children.map(async (child) => (await once(child, "message"))[0]));
  const sockets = ports.map((own) => io(`http://127.0.0.1:${own}`, { transports: ["websocket"] }));
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
  for (const socket of sockets) await socket.emitWithAck("join", "room");
  const heard = Promise.all(sockets.map(async (socket) => (await new Promise((resolve) => socket.once("news", resolve)))));
  // A join does not wait for the adapter's subscription, and what is published before that is lost.
  const shouting = setInterval(() => sockets[0].emit("shout", "room", `hello of ${kind}`), 100);
  assert.deepEqual(await heard, [`hello of ${kind}`, `hello of ${kind}`]);
  clearInterval(shouting);
  assert.equal(await sockets[1].emitWithAck("count"), 2);
  sockets.forEach((socket) => socket.disconnect());
  children.forEach((child) => child.kill());
}

const [port, kind] = process.argv.slice(2);
if (kind) serve(Number(port), kind);
else talk(port, "plain").then(() => talk(port, "sharded"));
