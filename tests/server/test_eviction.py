"""A running server at its limits: memory stays where it should, nothing goes that should stay, snapshots are whole."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from random import Random

import pytest

from tests.harness import Server, WireClient, encode, wait_until

StartServer = Callable[..., Server]

MB = 1 << 20


@pytest.fixture(scope="module")
def limited(module_servers) -> Server:  # type: ignore[no-untyped-def]
    """A minikv for all tests here; each leaves it without limits."""
    server: Server = module_servers(enable_debug_command="yes")[0]
    return server


@pytest.fixture
def client(limited: Server) -> Iterator[WireClient]:
    with limited.connect() as client:
        yield client
        client.call("CONFIG SET maxmemory 0 maxmemory-policy noeviction maxmemory-clients 0 rdb-key-save-delay 0")
        client.call("CONFIG SET lazyfree-lazy-eviction no maxmemory-eviction-tenacity 10")
        client.call(("CONFIG", "SET", "notify-keyspace-events", ""))
        assert client.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"
        client.call("FLUSHALL")
        client.call("CONFIG RESETSTAT")


def pipeline(client: WireClient, commands: list[tuple[object, ...]]) -> list[bytes]:
    replies: list[bytes] = []
    for start in range(0, len(commands), 100):
        client.send_raw(b"".join(map(encode, commands[start : start + 100])))
        replies += [client.read() for _ in commands[start : start + 100]]
    return replies


def counted(client: WireClient) -> int:
    """What maxmemory is compared with."""
    memory = info(client, "memory")
    return int(memory["used_memory"]) - int(memory["mem_not_counted_for_evict"])


def info(client: WireClient, section: str) -> dict[str, str]:
    lines = client.value(f"INFO {section}").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def command(random: Random) -> tuple[object, ...]:
    """A write of any type and size."""
    key = f"{random.choice('slhzx')}:{random.randrange(3000)}"
    size = random.choice([1, 10, 100, 1000, 5000, 40_000] + [300_000] * (random.random() < 0.02))
    count = random.choice([1, 5, 50] + [2000] * (random.random() < 0.02))
    words = [f"{random.randrange(100_000)}:{'x' * (size // count)}" for _ in range(count)]
    if key[0] == "s":
        return ("SET", key, "v" * size, "EX", random.randrange(1000, 100_000))
    if key[0] == "l":
        return ("RPUSH", key, *words)
    if key[0] == "h":
        return ("HSET", key, *[part for word in words for part in (word[:40], word)])
    if key[0] == "z":
        return ("ZADD", key, *[part for number, word in enumerate(words) for part in (number, word)])
    return ("XADD", key, "*", "field", "v" * size)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
@pytest.mark.parametrize("lazily", ["no", "yes"])
@pytest.mark.parametrize("held", [False, True], ids=["", "snapshot held"])
def test_memory_stays_below_the_limit_under_writes_of_all_types(
    client: WireClient, request: pytest.FixtureRequest, policy: str, lazily: str, held: bool
) -> None:
    if held and (policy, lazily) != ("allkeys-lru", "no"):
        pytest.skip("the snapshot does not depend on it")
    random = Random(5)
    limit = 4 * MB
    client.call(f"CONFIG SET maxmemory-policy {policy} lazyfree-lazy-eviction {lazily} maxmemory-eviction-tenacity 100")
    client.call(f"CONFIG SET maxmemory {limit}")
    for step in range(12):
        if held and step == 6:
            client.call("CONFIG SET rdb-key-save-delay 10000000")
            assert client.call("BGSAVE").startswith(b"+")
        replies = pipeline(client, [command(random) for _ in range(200)])
        assert not [reply for reply in replies if reply.startswith(b"-")]
        # A command's own data comes on top, and is evicted before the next one.
        assert counted(client) <= limit + MB
    stats = info(client, "stats")
    assert int(stats["evicted_keys"]) > 0
    assert counted(client) > 0.5 * limit  # it has not run away
    if held:
        client.call("BGSAVE CANCEL")
        wait_until(lambda: info(client, "persistence")["rdb_bgsave_in_progress"] == "0", "the save has ended")


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"])
def test_nothing_without_an_expiry_goes(client: WireClient, policy: str) -> None:
    client.call(f"CONFIG SET maxmemory-policy {policy}")
    kept = [("SET", f"kept:{number}", "v" * 100) for number in range(2000)]
    pipeline(client, kept)
    client.call(f"CONFIG SET maxmemory {counted(client) + 2 * MB}")
    replies = pipeline(client, [("SET", f"volatile:{n}", "v" * 1000, "EX", 1000 + n) for n in range(5000)])
    assert set(replies) == {b"+OK\r\n"}
    assert int(info(client, "stats")["evicted_keys"]) > 1000
    assert client.call(("EXISTS", *[words[1] for words in kept])) == b":2000\r\n"
    replies = pipeline(client, [("SET", f"more:{number}", "v" * 1000) for number in range(5000)])
    assert replies[0] == b"+OK\r\n" and replies[-1].startswith(b"-OOM")
    assert client.value("KEYS volatile:*") == []
    assert client.call(("EXISTS", *[words[1] for words in kept])) == b":2000\r\n"


def test_what_is_evicted_during_a_save_is_in_the_file(
    limited: Server, client: WireClient, start_minikv: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    random = Random(7)
    pipeline(client, [command(random) for _ in range(1500)])
    client.call("SET last v")
    before = client.call("DEBUG DIGEST")
    size = client.call("DBSIZE")
    used = counted(client)
    client.call("CONFIG SET rdb-key-save-delay 200 maxmemory-policy allkeys-random")
    assert client.call("BGSAVE").startswith(b"+")
    wait_until(lambda: bool(limited.children()), "the child is there")
    (child,) = limited.children()
    child.suspend()
    client.call(f"CONFIG SET maxmemory {used // 2}")
    wait_until(lambda: counted(client) <= used // 2, "half of the keys have gone")
    memory = info(client, "memory")
    assert int(memory["minikv_deferred_bytes"]) > 0.4 * used
    assert counted(client) > 0.3 * used  # what waits for the child makes no more keys go
    assert int(info(client, "persistence")["rdb_bgsave_in_progress"]) == 1
    child.resume()
    wait_until(lambda: info(client, "persistence")["rdb_bgsave_in_progress"] == "0", "the save has ended")
    assert info(client, "persistence")["rdb_last_bgsave_status"] == "ok"
    wait_until(lambda: info(client, "memory")["minikv_deferred_bytes"] == "0", "nothing waits any more")
    directory = tmp_path_factory.mktemp("evicted")
    (directory / "dump.rdb").write_bytes((limited.directory / "dump.rdb").read_bytes())
    with start_minikv(directory=directory, enable_debug_command="yes").connect() as other:
        assert (other.call("DEBUG DIGEST"), other.call("DBSIZE")) == (before, size)


@pytest.mark.parametrize("tenacity", [0, 10, 100])
def test_a_lower_limit_is_kept_without_a_command(client: WireClient, tenacity: int) -> None:
    pipeline(client, [("SET", f"key:{number}", "v" * 1000) for number in range(20_000)])
    client.call(f"CONFIG SET maxmemory-policy allkeys-lru maxmemory-eviction-tenacity {tenacity}")
    limit = counted(client) // 4
    client.call(f"CONFIG SET maxmemory {limit}")
    assert client.call("SET new v") == b"+OK\r\n"  # not refused, whatever is left to do
    wait_until(lambda: counted(client) <= limit, "the limit holds")
    assert info(client, "stats")["current_eviction_exceeded_time"] == "0"


def test_a_paused_server_evicts_nothing(client: WireClient) -> None:
    pipeline(client, [("SET", f"key:{number}", "v" * 100) for number in range(100)])
    client.call("CLIENT PAUSE 100000 WRITE")
    client.call("CONFIG SET maxmemory 1 maxmemory-policy allkeys-lru")
    assert client.call("DBSIZE") == b":100\r\n"
    client.call("CLIENT UNPAUSE")
    wait_until(lambda: client.call("DBSIZE") == b":0\r\n", "all keys have gone")


def test_evictions_are_events(limited: Server, client: WireClient) -> None:
    client.call("CONFIG SET notify-keyspace-events Ee")
    with limited.connect() as listener:
        listener.call("SUBSCRIBE __keyevent@0__:evicted")
        client.call("SET key v")
        client.call("CONFIG SET maxmemory 1 maxmemory-policy allkeys-lru")
        assert listener.read().endswith(b"$22\r\n__keyevent@0__:evicted\r\n$3\r\nkey\r\n")


def test_unread_replies_make_keys_go(limited: Server, client: WireClient) -> None:
    client.call(("SET", "key", "v" * MB))
    pipeline(client, [("SET", f"key:{number}", "v" * 1000) for number in range(1000)])
    client.call(f"CONFIG SET maxmemory {counted(client) + MB} maxmemory-policy allkeys-random")
    with limited.connect() as greedy:
        for _ in range(40):
            greedy.send("GET key")
        wait_until(lambda: int(info(client, "stats")["evicted_keys"]) > 100, "keys go for a client's replies")
    wait_until(
        lambda: int(info(client, "memory")["mem_clients_normal"]) < 100_000, "the client is not counted any more"
    )


# Clients


def held_by(server: Server, megabytes: int, name: str) -> WireClient:
    """A client with half a request of this size."""
    client = server.connect()
    client.call(f"CLIENT SETNAME {name}")
    client.send_raw(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (megabytes * MB + 10) + b"x" * (megabytes * MB))
    return client


def names(client: WireClient) -> set[str]:
    lines = client.value("CLIENT LIST").decode().splitlines()
    return {dict(field.split("=", 1) for field in line.split(" "))["name"] for line in lines} - {""}


def test_the_clients_that_hold_most_go(limited: Server, client: WireClient) -> None:
    others = [held_by(limited, megabytes, f"m{megabytes}") for megabytes in (1, 2, 4, 8)]
    wait_until(lambda: int(info(client, "memory")["mem_clients_normal"]) > 15 * MB, "all requests are held")
    others[3].close()
    wait_until(lambda: names(client) == {"m1", "m2", "m4"}, "a client has left")
    assert 7 * MB < int(info(client, "memory")["mem_clients_normal"]) < 8 * MB
    client.call(f"CONFIG SET maxmemory-clients {4 * MB}")
    assert names(client) == {"m1", "m2"}
    client.call(f"CONFIG SET maxmemory-clients {5 * MB // 2}")
    assert names(client) == {"m1"}
    assert info(client, "stats")["evicted_clients"] == "2"
    assert "Evicting client: id=" in limited.log() and "name=m4 " in limited.log()
    for other in others:
        other.close()


def test_a_client_goes_while_it_sends(limited: Server, client: WireClient) -> None:
    client.call(f"CONFIG SET maxmemory-clients {2 * MB}")
    with pytest.raises((ConnectionError, OSError)):
        held_by(limited, 20, "large").read()
    assert names(client) == set()


def test_a_client_goes_before_a_command_that_comes_after_its_bytes(limited: Server, client: WireClient) -> None:
    client.call("CONFIG SET maxmemory-clients 150000")
    with limited.connect() as large:
        large.call("CLIENT SETNAME large")
        os.kill(limited.pid, signal.SIGSTOP)
        try:  # both come in one round
            large.send_raw(b"*1\r\n$200000\r\n" + b"x" * 160_000)
            client.send("CLIENT LIST")
        finally:
            os.kill(limited.pid, signal.SIGCONT)
        assert b"name=large" not in client.read()


def test_no_evict(limited: Server, client: WireClient) -> None:
    client.call("CLIENT NO-EVICT on")
    client.call(f"CONFIG SET maxmemory-clients {MB}")
    with limited.connect() as large:
        large.call("CLIENT NO-EVICT on")
        large.call("CLIENT SETNAME large")
        large.send_raw(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (2 * MB) + b"x" * (2 * MB))
        wait_until(lambda: int(info(client, "memory")["mem_clients_normal"]) > 2 * MB, "the request is held")
        assert names(client) == {"large"}
        large.send_raw(b"\r\n")
        assert large.read() == b"$-1\r\n"
        assert int(info(client, "memory")["mem_clients_normal"]) < MB
