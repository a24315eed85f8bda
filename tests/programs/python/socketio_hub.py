"""python-socketio: two servers that share rooms through the Redis manager, and a process that only emits."""

import asyncio
import subprocess
import sys

import socketio
from aiohttp import web

url = f"redis://127.0.0.1:{sys.argv[1]}"

if len(sys.argv) > 2:  # the process that only emits
    outside = socketio.RedisManager(url, write_only=True)
    outside.emit("news", {"from": "outside"})
    outside.emit("news", {"from": "room"}, room="readers")
    raise SystemExit


async def serve():
    server = socketio.AsyncServer(async_mode="aiohttp", client_manager=socketio.AsyncRedisManager(url))
    app = web.Application()
    server.attach(app)

    @server.event
    async def join(sid, room):
        await server.enter_room(sid, room)
        return "joined"

    @server.event
    async def shout(sid, text):
        await server.emit("news", {"from": text})

    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


async def visit(port):
    client = socketio.AsyncClient()
    heard = asyncio.Queue()
    client.on("news", lambda data: heard.put_nowait(data["from"]))
    await client.connect(f"http://127.0.0.1:{port}", transports=["websocket"])
    return client, heard


async def main():
    servers = [await serve(), await serve()]
    (reader, reads), (other, hears) = [await visit(port) for _, port in servers]
    await asyncio.sleep(0.5)  # the servers subscribe in the background
    assert await reader.call("join", "readers") == "joined"
    await other.emit("shout", "the other server")
    assert await asyncio.wait_for(reads.get(), 10) == "the other server"
    assert await asyncio.wait_for(hears.get(), 10) == "the other server"
    await asyncio.to_thread(subprocess.run, [sys.executable, __file__, sys.argv[1], "emit"], check=True)
    assert [await asyncio.wait_for(reads.get(), 10) for _ in range(2)] == ["outside", "room"]
    assert await asyncio.wait_for(hears.get(), 10) == "outside"
    assert hears.empty()
    for client in (reader, other):
        await client.disconnect()
    for runner, _ in servers:
        await runner.cleanup()


asyncio.run(main())
