"""What INFO says of memory against what the process has, and what happens when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.harness import Server, WireClient, encode, wait_until

StartServer = Callable[..., Server]

MB = 1 << 20


def pipeline(client: WireClient, commands: list[tuple[object, ...]]) -> list[bytes]:
    """The replies, asked for a few hundred at a time."""
    replies: list[bytes] = []
    for start in range(0, len(commands), 200):
        client.send_raw(b"".join(map(encode, commands[start : start + 200])))
        replies += [client.read() for _ in commands[start : start + 200]]
    return replies


DATA: dict[str, Callable[[], list[tuple[object, ...]]]] = {
    "strings": lambda: [("SET", f"key:{n}", "v" * 100) for n in range(200_000)],
    "strings with times": lambda: [("SET", f"key:{n}", "v" * 100, "PX", 10**9 + n) for n in range(100_000)],
    "hashes": lambda: [
        ("HSET", f"key:{n}", *[f"{part}:{f}" for f in range(20) for part in "fv"]) for n in range(50_000)
    ],
    "a large hash": lambda: [("HSET", "key", f"field:{n}", "v" * 100) for n in range(200_000)],
    "large values": lambda: [("SET", f"key:{n}", "v" * 700_000) for n in range(60)],
    "values above a mebibyte": lambda: [("SET", f"key:{n}", "v" * 1_050_000) for n in range(40)],
    "lists": lambda: [("RPUSH", f"key:{n}", *["v" * 100] * 200) for n in range(2000)],
    "few keys": lambda: [("SET", f"key:{n}", "v") for n in range(100)],
}


def deletions(name: str) -> list[tuple[object, ...]]:
    commands = DATA[name]()
    if name == "a large hash":
        return [("HDEL", "key", command[2]) for command in commands[::2]]
    return [("DEL", command[1]) for command in commands[::2]]


@pytest.mark.parametrize("name", DATA)
def test_active_memory_is_what_is_resident(start_minikv: StartServer, name: str) -> None:
    server = start_minikv()
    with server.connect() as client:
        before = resident(server), active(server)
        for commands in (DATA[name](), deletions(name)):
            pipeline(client, commands)
            # The two are not read at one moment, and evacuation goes on.
            wait_until(lambda: agree(server, *before), f"allocator_active says what is resident: {name}")
            assert used(server) <= active(server)


def agree(server: Server, resident_before: int, active_before: int) -> bool:
    growth = resident(server) - resident_before
    return abs(active(server) - active_before - growth) < max(0.05 * growth, 2 * MB)


def resident(server: Server) -> int:
    memory = server.process.memory_info()
    return int(memory.rss - memory.shared)


def active(server: Server) -> int:
    return int(server.info("memory")["allocator_active"])


def used(server: Server) -> int:
    return int(server.info("memory")["used_memory"])


def test_maxmemory_lets_writes_fill_gaps(start_minikv: StartServer) -> None:
    server = start_minikv(maxmemory=40 * MB)
    empty = used(server)
    with server.connect() as client:
        stored = 0
        while b"-OOM command not allowed when used memory > 'maxmemory'.\r\n" not in pipeline(
            client, [("SET", f"key:{n}", "v" * 1000) for n in range(stored, stored + 200)]
        ):
            stored += 200
        assert 30_000 < stored < 42_000
        pipeline(client, [("DEL", f"key:{n}") for n in range(0, stored, 2)])
        assert pipeline(client, [("SET", f"new:{n}", "v" * 900) for n in range(stored // 3)]) == [b"+OK\r\n"] * (
            stored // 3
        )
        assert used(server) - empty < 40 * MB and active(server) < 44 * MB


# The end of the arena

SCENE: list[tuple[object, ...]] = [
    ("SET", "string", "s" * 5000),
    ("PFADD", "loglog", *range(500)),
    ("PFADD", "loglog2", *range(1000, 3000)),
    ("RPUSH", "packed list", *["element"] * 50),
    ("RPUSH", "list", *["element" * 20] * 500),
    ("HSET", "packed hash", *range(60)),
    ("HSET", "hash", *range(4000)),
    ("SADD", "packed set", *range(60)),
    ("SADD", "set", *range(3000)),
    ("ZADD", "packed zset", *range(60)),
    ("ZADD", "zset", *range(4000)),
    *[("XADD", "stream", f"1-{n}", "field", "v" * 200) for n in range(1, 400)],
    ("XGROUP", "CREATE", "stream", "group", 0),
    ("XGROUP", "CREATE", "stream", "large", 0),
    ("XREADGROUP", "GROUP", "large", "alice", "COUNT", 300, "STREAMS", "stream", ">"),
    ("XGROUP", "CREATE", "stream", "claimed", 0),
    ("XREADGROUP", "GROUP", "claimed", "alice", "COUNT", 300, "STREAMS", "stream", ">"),
]
TEXT = "t" * 500
MANY = [f"{n}:{TEXT}" for n in range(40)]
WRITES: list[tuple[object, ...]] = [
    ("MSET", *MANY),
    ("MSETNX", *MANY),
    ("APPEND", "string", TEXT * 20),
    ("SETRANGE", "string", 9000, TEXT),
    ("BITOP", "NOT", "destination", "string"),
    ("PFADD", "loglog", *range(5000, 6000)),
    ("PFMERGE", "destination", "loglog", "loglog2"),
    *[("RPUSH", key, *MANY) for key in ("packed list", "list", "new list")],
    *[("LPUSHX", key, *MANY) for key in ("packed list", "list")],
    *[("LINSERT", key, "BEFORE", "element", TEXT) for key in ("packed list", "list")],
    *[("HSET", key, *MANY) for key in ("packed hash", "hash", "new hash")],
    *[("SADD", key, *MANY) for key in ("packed set", "set", "new set")],
    *[("ZADD", key, *[w for n, m in enumerate(MANY) for w in (n, m)]) for key in ("packed zset", "zset", "new zset")],
    ("GEOADD", "new geo", *[word for member in MANY for word in (13, 38, member)]),
    ("SINTERSTORE", "destination", "set", "set"),
    ("SUNIONSTORE", "destination", "set", "packed set"),
    ("ZUNIONSTORE", "destination", 2, "zset", "packed zset"),
    ("ZRANGESTORE", "destination", "zset", 0, -1),
    ("SORT", "list", "ALPHA", "STORE", "destination"),
    ("XADD", "stream", "MAXLEN", 100, "*", "field", TEXT * 9),
    ("XREADGROUP", "GROUP", "group", "bob", "STREAMS", "stream", ">"),
    ("XREADGROUP", "GROUP", "large", "bob", "STREAMS", "stream", ">"),
    ("XCLAIM", "stream", "claimed", "bob", 0, *[f"1-{n}" for n in range(1, 300)]),
    ("XAUTOCLAIM", "stream", "claimed", "bob", 0, 0, "COUNT", 300),
    *[("COPY", key, "destination", "REPLACE") for key in ("string", "list", "hash", "zset", "stream")],
    *[("RENAME", key, "destination") for key in ("string", "packed hash", "list")],
    *[("MOVE", key, 1) for key in ("packed hash", "list", "stream")],
    ("SMOVE", "set", "packed set", "2999"),
    ("LMOVE", "list", "packed list", "LEFT", "RIGHT"),
    ("LMOVE", "packed list", "new list", "LEFT", "RIGHT"),
]
FILLER = 100


@pytest.fixture
def full_server(start_minikv: StartServer) -> Iterator[Server]:
    """A server whose arena has no room but what deleting keys named filler:n gives."""
    server = start_minikv(arena_size=64 * MB, enable_debug_command="yes")
    with server.connect() as client:
        pipeline(client, SCENE)
        number = count()
        for size in (30_000, 3000, FILLER, 1):
            while pipeline(client, [("SET", f"filler:{size}:{next(number)}", "v" * size)])[0] == b"+OK\r\n":
                pass
    yield server


def digest(client: WireClient) -> bytes:
    """Of all keys but the fillers; the access does not count."""
    keys = sorted(
        {
            *(str(command[1]) for command in SCENE[:-5]),
            *("stream", "destination", "new list", "new hash", "new set", "new zset", "new geo"),
            *MANY,
        }
    )
    groups = [client.call(("XINFO", "STREAM", "stream", "FULL", "COUNT", 0))]
    return client.call(("DEBUG", "DIGEST-VALUE", *keys)) + b"".join(groups)


def test_a_command_that_finds_no_room_has_changed_nothing(full_server: Server) -> None:
    with full_server.connect() as client:
        fillers = [key.payload for size in (3000, FILLER) for key in client.value(f"KEYS filler:{size}:*")]
        assert len(fillers) >= 10
        refused = set()
        before = digest(client)  # fillers that go do not change it
        for command in WRITES:
            for step in range(2):
                reply = client.call(command)
                if not reply.startswith(b"-OOM "):
                    before = digest(client)
                    break
                refused.add(command[0])
                assert digest(client) == before, f"{command[:2]} has changed something at step {step}"
                if fillers:
                    assert client.value(("DEL", fillers.pop())) == 1
        assert {"MSET", "HSET", "SADD", "ZADD", "RPUSH", "COPY", "XREADGROUP"} <= refused


SHRINKING: list[tuple[object, ...]] = [
    ("GET", "string"),
    ("SET", "string", "s" * 4000),
    ("EXPIRE", "string", 1000),
    *[("HDEL", key, "2") for key in ("packed hash", "hash")],
    *[("SREM", key, "2") for key in ("packed set", "set")],
    *[("ZREM", key, "1") for key in ("packed zset", "zset")],
    *[(pop, key) for pop in ("LPOP", "RPOP") for key in ("packed list", "list")],
    ("LTRIM", "list", 10, 20),
    ("XDEL", "stream", "1-5"),
    ("XTRIM", "stream", "MAXLEN", 50),
    ("PERSIST", "string"),
    ("DEL", "string"),
    ("UNLINK", "packed hash", "list"),
]


@pytest.mark.parametrize("held", [False, True])
def test_a_full_arena_still_shrinks(full_server: Server, held: bool) -> None:
    """held: while a snapshot is open, so that nothing can be changed where it is."""
    with full_server.connect() as client:
        if held:
            client.call("CONFIG SET rdb-key-save-delay 1000000")
            assert client.call("BGSAVE").startswith(b"+Background")
        assert client.call(("SET", "new", "v" * 40_000)) == (
            b"-OOM command not allowed: the arena is full ('arena-size')\r\n"
        )
        for command in SHRINKING:
            assert not client.call(command).startswith(b"-"), command
