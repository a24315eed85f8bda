"""What a user does on the first day: load keys, BGSAVE under writes, show the dump to Redis, crash, start again."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness import Server, encode
from tests.harness.dataset import contents, differences, pipeline, wait_for_save

KEYS = 15_000
FAR_FUTURE_MS = 33_177_117_420_000


def load(server: Server) -> None:
    with server.connect() as client:
        pipeline(client, [["SET", f"key:{index}", f"{index}:" * (1 + index % 40)] for index in range(KEYS)])
        pipeline(client, [["SET", f"number:{index}", index * 12345] for index in range(1000)])
        pipeline(client, [["PEXPIREAT", f"key:{index}", FAR_FUTURE_MS + index] for index in range(0, KEYS, 10)])
        pipeline(client, [["SET", "large", b"0123456789abcdef" * 300_000], ["SET", b"\x00\xff\r\n", b""]])
        pipeline(client, [["SELECT", 3], *(["SET", f"third:{index}", index] for index in range(2000))])


class Counter:
    """A client that increments a key of its own without pause; remembers the last answer."""

    def __init__(self, server: Server, key: str) -> None:
        self.key, self.value = key, 0
        self._client = server.connect()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.value = self._client.value(("INCR", self.key))

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()


@contextmanager
def writers(server: Server) -> Iterator[list[Counter]]:
    counters = [Counter(server, f"counter:{index}") for index in range(3)]
    yield counters
    for counter in counters:
        counter.end()


def test_a_snapshot_under_writes_loads_in_redis_and_survives_a_crash(
    start_minikv: Callable[..., Server], start_redis: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_minikv(rdb_key_save_delay=100)
    load(server)
    at_fork = contents(server)

    with writers(server) as counters, server.connect() as client:
        client.send_raw(encode(["SET", "key:0", "changed just before"]) + encode("DEL key:1"))
        assert client.read() + client.read() == b"+OK\r\n:1\r\n"
        before = [counter.value for counter in counters]
        assert client.call("BGSAVE") == b"+Background saving started\r\n"
        after = [counter.value + 1 for counter in counters]  # one answer may still be under way
        pipeline(client, [["SET", f"key:{index}", "changed after the fork"] for index in range(5000)])
        pipeline(client, [["DEL", f"key:{index}"] for index in range(5000, 8000)])
        pipeline(client, [["SET", f"new:{index}", "x" * 100] for index in range(5000)])
        pipeline(client, [["APPEND", "large", "more"], ["SETRANGE", "large", 0, "changed"], ["SWAPDB", 0, 3]])
        assert client.value("INFO persistence").count(b"rdb_bgsave_in_progress:1") == 1, "the writes must meet the save"
        wait_for_save(server)

    at_fork[0][b"key:0"] = (b"changed just before", -1)
    del at_fork[0][b"key:1"]
    subprocess.run(["redis-check-rdb", str(server.dump_path)], check=True, capture_output=True)
    shutil.copyfile(server.dump_path, tmp_path / "dump.rdb")
    loaded = contents(start_redis(directory=tmp_path))
    for index, (least, most) in enumerate(zip(before, after, strict=True)):
        saved, _ = loaded[0].pop(b"counter:%d" % index)
        assert least <= int(saved) <= most
    assert differences(loaded, at_fork) == []

    server.kill()
    server.start()
    restored = contents(server)
    for index in range(len(before)):
        del restored[0][b"counter:%d" % index]
    assert differences(restored, at_fork) == []


def test_an_orderly_end_keeps_everything(start_minikv: Callable[..., Server]) -> None:
    server = start_minikv(save="3600 1")
    load(server)
    expected = contents(server)
    assert server.stop() == 0
    assert differences(contents(server.start()), expected) == []
