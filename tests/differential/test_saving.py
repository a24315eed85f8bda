"""SAVE, BGSAVE, LASTSAVE, DEBUG RELOAD and what INFO says of them; dumps that go from one server to the other."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Server, wait_until
from tests.harness.dataset import Dataset, contents, differences, load_dump, pipeline
from tests.harness.wire import Word

FAR_FUTURE_MS = 4_102_444_800_000
StartServer = Callable[..., Server]

# Fields of INFO persistence that depend on nothing but what was done.
COUNTED = [
    "loading",
    "async_loading",
    "current_save_keys_processed",
    "current_save_keys_total",
    "current_cow_size",
    "current_cow_size_age",
    "current_fork_perc",
    "rdb_changes_since_last_save",
    "rdb_bgsave_in_progress",
    "rdb_last_bgsave_status",
    "rdb_current_bgsave_time_sec",
    "rdb_saves",
    "rdb_last_load_keys_expired",
    "rdb_last_load_keys_loaded",
    "aof_enabled",
]


def end_saves(pair: ClientPair) -> None:
    for server in (pair.subject, pair.oracle):
        wait_until(lambda server=server: b"rdb_bgsave_in_progress:0" in server.value("INFO persistence"), "saves end")


def counted(client) -> dict[str, str]:  # type: ignore[no-untyped-def]
    text = client.value("INFO persistence").decode()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: fields[name] for name in COUNTED}


@pytest.fixture
def saving_pair(fresh_pair: Callable[..., ClientPair]) -> ClientPair:
    return fresh_pair()


def test_replies(saving_pair: ClientPair) -> None:
    saving_pair.assert_same("SET a 1", "SAVE", "SAVE x", "BGSAVE x", "BGSAVE schedule x", "LASTSAVE x")
    saving_pair.assert_same("MULTI", "SAVE", "SET b 1", "EXEC")
    saving_pair.assert_same("bgsave")
    end_saves(saving_pair)
    saving_pair.assert_same("BGSAVE SCHEDULE")
    end_saves(saving_pair)
    saving_pair.assert_same("MULTI", "SET b 1", "BGSAVE", "EXEC")


def test_replies_during_a_save(saving_pair: ClientPair) -> None:
    saving_pair.assert_same("MSET a 1 b 2 c 3", "CONFIG SET rdb-key-save-delay 10000000", "BGSAVE")
    saving_pair.assert_same("BGSAVE", "BGSAVE SCHEDULE", "SAVE", "SET a 2", "FLUSHALL")
    end_saves(saving_pair)


def test_counters_of_changes_and_saves(saving_pair: ClientPair) -> None:
    def compare() -> None:
        end_saves(saving_pair)
        assert counted(saving_pair.subject) == counted(saving_pair.oracle)

    compare()
    saving_pair.assert_same("SET a 1", "INCR a", "MSET b 1 c 2", "DEL a b nothing", "GET c")
    compare()
    saving_pair.assert_same("BGSAVE")
    compare()
    saving_pair.assert_same("SET a 1 EX 1000", "PERSIST a", "RENAME a z", "COPY z y", "APPEND y x")
    compare()
    saving_pair.assert_same("SAVE", "SET a 1", "FLUSHALL", "FLUSHALL", "SET a 1", "FLUSHDB")
    compare()
    saving_pair.assert_same(("CONFIG", "SET", "save", "3600 1"), "SET a 1", "FLUSHALL")
    compare()
    saving_pair.assert_same("DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1", "SET b 1 PX 1", "DEBUG SLEEP 0.005")
    saving_pair.assert_same("DEBUG RELOAD", "DBSIZE")
    compare()
    saving_pair.assert_same("SET a 2", "DEBUG RELOAD NOSAVE", "GET a", "CONFIG RESETSTAT")
    compare()


# -- dumps


def random_dataset(rng: random.Random, keys: int) -> Dataset:
    """Values of all sizes, numbers, compressible text, times, several databases."""

    def value() -> bytes:
        kind = rng.randrange(6)
        if kind == 0:
            return b"%d" % rng.randrange(-(2 ** rng.randrange(1, 64)), 2 ** rng.randrange(1, 63))
        if kind == 1:
            return rng.choice([b"ab", b"hello world ", b"\0"]) * rng.randrange(2000)
        if kind == 2:
            return rng.randbytes(rng.choice([62, 63, 64, 65, 16383, 16384, 32700, 40_000, 70_000]))
        return rng.randbytes(int(rng.expovariate(0.01)))

    found: Dataset = {}
    for index in range(keys):
        key = rng.choice([b"key:%d", b"%d", b"-%d", b"\xff\0\r\n%d", b"a rather long key, rather long key %d"]) % index
        at_ms = FAR_FUTURE_MS + rng.randrange(10**6) if rng.random() < 0.3 else -1
        found.setdefault(rng.choice([0, 0, 0, 1, 15]), {})[key] = (value(), at_ms)
    return found


def fill(server: Server, data: Dataset) -> None:
    with server.connect() as client:
        for number, keys in data.items():
            commands: list[list[Word]] = [["SELECT", number]]
            commands += [["SET", key, value] for key, (value, _) in keys.items()]
            commands += [["PEXPIREAT", key, at_ms] for key, (_, at_ms) in keys.items() if at_ms > 0]
            pipeline(client, commands)


@pytest.mark.parametrize("compression", ["yes", "no"])
@pytest.mark.parametrize("checksum", ["yes", "no"])
@pytest.mark.parametrize("way", ["ours to theirs", "theirs to ours"])
def test_a_dump_is_the_same_data_in_the_other_server(
    start_minikv: StartServer,
    start_redis: StartServer,
    rng: random.Random,
    compression: str,
    checksum: str,
    way: str,
) -> None:
    starts = (start_minikv, start_redis) if way == "ours to theirs" else (start_redis, start_minikv)
    writer = starts[0](rdbcompression=compression, rdbchecksum=checksum)
    reader = starts[1]()
    data = random_dataset(rng, 3000)
    fill(writer, data)
    assert writer.call("SAVE") == b"+OK\r\n"
    subprocess.run(["redis-check-rdb", str(writer.dump_path)], check=True, capture_output=True)
    assert differences(load_dump(reader, writer), data) == []


def test_compression_makes_the_same_choices_as_redis(start_minikv: StartServer, start_redis: StartServer) -> None:
    """Not byte for byte, but what is worth compressing is compressed, and to about the same size."""
    sizes = []
    for start in (start_minikv, start_redis):
        server = start()
        fill(server, {0: {b"%d" % length: (b"abcdefgh" * length, -1) for length in range(1, 2000, 7)}})
        server.call("SAVE")
        sizes.append(server.dump_path.stat().st_size)
    assert abs(sizes[0] - sizes[1]) < 0.1 * sizes[1]


def test_a_dump_of_many_sizes_survives_many_changes(
    start_minikv: StartServer, start_redis: StartServer, rng: random.Random
) -> None:
    """Records that grew, shrank, moved and died are saved as they are."""
    server = start_minikv()
    expected: Dataset = {0: {}}
    for _ in range(4):
        fresh = {0: {key: entry for keys in random_dataset(rng, 1500).values() for key, entry in keys.items()}}
        with server.connect() as client:
            pipeline(client, [["PERSIST", key] for key in fresh[0]])
        fill(server, fresh)
        expected[0] |= fresh[0]
        gone = rng.sample(sorted(expected[0]), len(expected[0]) // 3)
        with server.connect() as client:
            pipeline(client, [["DEL", key] for key in gone])
        for key in gone:
            del expected[0][key]
    assert differences(contents(server), expected) == []
    server.call("SAVE")
    assert differences(load_dump(start_redis(), server), expected) == []


@pytest.mark.parametrize("settings", [{}, {"zset_max_listpack_entries": 0}])
def test_sorted_sets_go_from_one_server_to_the_other(
    fresh_pair: Callable[..., ClientPair], settings: dict[str, int]
) -> None:
    pair = fresh_pair(**settings)
    scores = ["0", "-0.5", "1e17", "inf", "-inf", "0.1", "123456", "-4503599627370497"]
    for count in (1, 8, 128, 600, 3000):
        for start in range(0, count, 100):
            numbers = range(start, min(start + 100, count))
            pair.assert_same(["ZADD", f"z{count}", *(part for n in numbers for part in (scores[n % 8], f"member:{n}"))])
    pair.assert_same("PEXPIREAT z8 4102444800000", "DEBUG DIGEST", "DEBUG RELOAD", "DEBUG DIGEST")
    digest = pair.servers[1].call("DEBUG DIGEST")
    for source, loader in (pair.servers, pair.servers[::-1]):
        assert source.call("SAVE") == b"+OK\r\n"
        shutil.copyfile(source.dump_path, loader.dump_path)
        assert loader.call("DEBUG RELOAD NOSAVE") == b"+OK\r\n"
        assert loader.call("DEBUG DIGEST") == digest
    for count in (1, 8, 128, 600, 3000):
        pair.assert_same(
            f"ZRANGE z{count} 0 -1 WITHSCORES", f"ZRANGE z{count} (0 +inf BYSCORE", f"OBJECT ENCODING z{count}"
        )
