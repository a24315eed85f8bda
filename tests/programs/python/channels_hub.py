"""channels-redis: both layers, messages to a channel and to a group, between two instances."""

import asyncio
import sys

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

url = f"redis://127.0.0.1:{sys.argv[1]}/4"


async def talk(kind):
    here, there = kind(hosts=[url]), kind(hosts=[url])
    mine, yours = await here.new_channel(), await there.new_channel()
    for layer, channel in ((here, mine), (there, yours)):
        await layer.group_add("everybody", channel)
    await here.send(yours, {"type": "greeting", "text": "hello"})
    assert await asyncio.wait_for(there.receive(yours), 10) == {"type": "greeting", "text": "hello"}
    await there.group_send("everybody", {"type": "news", "n": 1})
    assert await asyncio.wait_for(here.receive(mine), 10) == {"type": "news", "n": 1}
    assert await asyncio.wait_for(there.receive(yours), 10) == {"type": "news", "n": 1}
    await there.group_discard("everybody", yours)
    await here.group_send("everybody", {"type": "news", "n": 2})
    assert await asyncio.wait_for(here.receive(mine), 10) == {"type": "news", "n": 2}
    await here.flush()
    for layer in (here, there):
        if hasattr(layer, "close_pools"):
            await layer.close_pools()


for kind in (RedisChannelLayer, RedisPubSubChannelLayer):
    asyncio.run(talk(kind))
