"""A server whose dumps share blocks, under writes of all types: each dump is what the data was, for Redis as well."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from minikv.rdb.format import PADDING
from tests.harness import Server
from tests.harness.machine import SHARING, loop_disk
from tests.harness.saving import status, wait_for_end

StartServer = Callable[..., Server]
KEYS = 5000


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with loop_disk(tmp_path_factory.mktemp("disks") / request.param, request.param) as path:
        yield path


def write(client: redis.Redis, random_: random.Random, count: int) -> None:
    pipe = client.pipeline(transaction=False)
    for _ in range(count):
        number = random_.randrange(KEYS)
        value = random_.randbytes(random_.choice((10, 700, 700, 700)))
        kind = random_.randrange(20)
        if kind == 0:
            pipe.delete(f"user:{number}")
        elif kind == 1:
            pipe.hset(f"hash:{number % 20}", str(number), value)
        elif kind == 2:
            pipe.rpush(f"list:{number % 5}", value)
        elif kind == 3:
            pipe.zadd(f"zset:{number % 20}", {value: number})
        elif kind == 4:
            pipe.xadd(f"stream:{number % 5}", {"field": value})
        elif kind == 5:
            pipe.set(f"user:{number}", value, px=1 << 40)
        else:
            pipe.set(f"user:{number}", value)
    pipe.execute(raise_on_error=True)


@pytest.mark.parametrize(("disk", "fork"), [(SHARING[0], "loop"), (SHARING[1], "thread")], indirect=["disk"])
def test_redis_loads_each_dump(disk: Path, start_minikv: StartServer, start_redis: StartServer, fork: str) -> None:
    directory = disk / fork
    directory.mkdir()
    server = start_minikv(
        directory=directory,
        bgsave_fork=fork,
        rdb_verify="yes",
        enable_debug_command="yes",
        save="",
        rdbcompression="no",
    )
    random_ = random.Random(fork)
    with server.redis() as client:
        write(client, random_, 2 * KEYS)
        digests = []
        for number in range(3):
            server.call("BGSAVE")
            digests.append(client.execute_command("DEBUG DIGEST"))
            write(client, random_, 10)  # meanwhile
            wait_for_end(server)
            assert status(server) == "ok"
            os.link(server.dump_path, directory / f"dump-{number}.rdb")
        shared = int(server.info("persistence")["minikv_snapshot_last_bytes_shared"])
        assert server.dump_path.stat().st_size // 4 < shared
        assert "of it shared with the dump before" in server.log()
    for number, digest in list(enumerate(digests))[1:]:  # the first shares nothing
        path = directory / f"dump-{number}.rdb"
        assert PADDING in path.read_bytes()
        found = subprocess.run(["redis-check-rdb", path], capture_output=True, text=True, check=True)
        assert "RDB looks OK" in found.stdout
        loaded = start_redis(dbfilename=path.name, directory=directory, enable_debug_command="yes", save="")
        with loaded.redis() as client:
            assert client.execute_command("DEBUG DIGEST") == digest
        loaded.stop()
    server.stop()
    path.rename(server.dump_path)
    server.start()
    with server.redis() as client:
        assert client.execute_command("DEBUG DIGEST") == digests[-1]
