"""Eviction and the settings that belong to it: replies, errors and the access clocks, as in Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import ClientPair, Server, wait_until

POLICIES = [
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
]


@pytest.fixture(scope="module")
def limits_servers(module_servers) -> tuple[Server, Server]:  # type: ignore[no-untyped-def]
    return module_servers(enable_debug_command="yes", latency_tracking="no")


@pytest.fixture
def limits_pair(limits_servers: tuple[Server, Server], connected) -> Iterator[ClientPair]:  # type: ignore[no-untyped-def]
    """Both servers, empty and without limits; what a test sets is taken back."""
    pair = connected(limits_servers)
    yield pair
    for client in (pair.subject, pair.oracle):
        client.call("DISCARD")
    pair.assert_same(
        "CONFIG SET maxmemory 0 maxmemory-policy noeviction maxmemory-clients 0 maxmemory-samples 5 "
        "maxmemory-eviction-tenacity 10 lfu-log-factor 10 lfu-decay-time 1",
        "FLUSHALL",
        "CONFIG RESETSTAT",
    )


def test_settings(limits_pair: ClientPair) -> None:
    limits_pair.assert_same(
        *(f"CONFIG SET maxmemory-policy {policy}" for policy in POLICIES),
        "CONFIG GET maxmemory-policy",
        "CONFIG SET maxmemory-policy Allkeys-LRU",
        "CONFIG GET maxmemory-policy",
        "CONFIG SET maxmemory-policy allkeys",
        "CONFIG SET maxmemory-samples 0",
        "CONFIG SET maxmemory-samples 10000",
        "CONFIG SET maxmemory-eviction-tenacity -1",
        "CONFIG SET maxmemory-eviction-tenacity 100",
        "CONFIG SET maxmemory-eviction-tenacity 101",
        "CONFIG SET lazyfree-lazy-eviction maybe",
        "CONFIG SET maxmemory-clients 101%",
        "CONFIG SET maxmemory-clients x",
        "CONFIG SET maxmemory-clients 50%",
        "CONFIG GET maxmemory-clients",
        "CONFIG SET maxmemory-clients 3mb",
        "CONFIG GET maxmemory-clients",
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_idle_time_or_frequency(limits_pair: ClientPair, policy: str) -> None:
    limits_pair.assert_same(
        f"CONFIG SET maxmemory-policy {policy}",
        "SET key value",
        *(f"OBJECT {field} {key}" for field in ("FREQ", "IDLETIME") for key in ("key", "none")),
    )


USES = [
    ["GET key"],
    ["GET key"] * 20,
    ["SET key other"],
    ["SET key other KEEPTTL"],
    ["SET key other XX GET"],
    ["SET key other NX"],
    ["SETEX key 1000 other"],
    ["SETNX key other"],
    ["MSETNX none 1 key 2"],
    ["GETSET key other"],
    ["GETEX key"],
    ["APPEND key x"],
    ["SETRANGE key 0 x"],
    ["STRLEN key"],
    ["EXISTS key"],
    ["TYPE key"],
    ["TTL key"],
    ["EXPIRE key 1000"],
    ["PERSIST key"],
    ["TOUCH key"],
    ["OBJECT ENCODING key"],
    ["DUMP key"],
    ["MGET key none key"],
    ["MSET key 3rd"],
    ["COPY key copy"],
    ["RENAME key copy", "RENAME copy key"],
    ["SCAN 0"],
    ["KEYS *"],
    ["RANDOMKEY"],
    ["LPUSH list x"],
    ["LRANGE list 0 -1"],
    ["LLEN list"],
    ["HGET hash f"],
    ["HSET hash g v"],
    ["HGETALL hash"],
    ["SADD set n"],
    ["SISMEMBER set m"],
    ["ZADD zset 2 n"],
    ["ZSCORE zset m"],
    ["SORT list BY nosort"],
    ["MULTI", "GET key", "GET key", "EXEC"],
]


@pytest.mark.parametrize("uses", USES, ids=lambda uses: f"{uses[0]}{' ...' * (len(uses) > 1)}")
def test_what_counts_as_an_access(limits_pair: ClientPair, uses: list[str]) -> None:
    """With a factor of 0 each access counts, so the counters say how many there were."""
    limits_pair.assert_same(
        "CONFIG SET maxmemory 1gb maxmemory-policy allkeys-lfu lfu-log-factor 0",
        *("SET key value", "RPUSH list a b", "HSET hash f v", "SADD set m", "ZADD zset 1 m"),
        *(f"OBJECT FREQ {key}" for key in ("key", "list", "hash", "set", "zset", "copy")),
    )
    # What these answer is for other tests; some have no order.
    for command in uses:
        for client in (limits_pair.subject, limits_pair.oracle):
            client.call(command)
    limits_pair.assert_same(*(f"OBJECT FREQ {key}" for key in ("key", "list", "hash", "set", "zset", "copy")))


def test_the_counter_ends_at_255_and_can_be_restored(limits_pair: ClientPair) -> None:
    limits_pair.assert_same(
        "CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0",
        "SET key value",
        *["GET key"] * 260,
        "OBJECT FREQ key",
    )
    payload = limits_pair.oracle.value("DUMP key")
    for options in (["FREQ", "7"], ["FREQ", "255"], ["FREQ", "0"], ["FREQ", "256"], ["IDLETIME", "5"]):
        limits_pair.assert_same(["RESTORE", "key", "0", payload, "REPLACE", *options], "OBJECT FREQ key")
    limits_pair.assert_same("CONFIG SET maxmemory-policy volatile-lru")
    for options in (["FREQ", "7"], ["IDLETIME", "500"], ["IDLETIME", "-1"], ["IDLETIME", "5", "FREQ", "5"]):
        limits_pair.assert_same(["RESTORE", "key", "0", payload, "REPLACE", *options])
    limits_pair.assert_same(["RESTORE", "key", "0", payload, "REPLACE", "IDLETIME", "500"])
    for client in (limits_pair.subject, limits_pair.oracle):
        assert client.value("OBJECT IDLETIME key") in (500, 501)


TRIED = [
    *("GET key", "SET key v", "SETEX key 100 v", "APPEND key x", "INCR number", "GETDEL key", "GETEX key", "DEL none"),
    *("EXPIRE key 100", "PERSIST key", "RENAME key key2", "COPY key key3", "MOVE key 1", "SETRANGE key 0 x"),
    *("LPUSH list x", "LPOP list", "LSET list 0 x", "LINSERT list BEFORE a x", "RPOPLPUSH list other", "LREM list 0 x"),
    *("SADD set m", "SREM set m", "SPOP set", "SMOVE set other m", "SUNIONSTORE key4 set", "SORT list STORE key5"),
    *("HSET hash f v", "HDEL hash g", "HINCRBY hash n 1", "ZADD zset 1 m", "ZREM zset n", "ZINCRBY zset 1 m"),
    *("XADD stream * f v", "XTRIM stream MAXLEN 5", "XGROUP CREATE stream g 0 MKSTREAM", "PFADD log x", "PFCOUNT log"),
    *("SETBIT bits 5 1", "BITOP NOT key6 key", "GEOADD geo 13 38 m", "PUBLISH channel x", "PING", "MULTI", "DISCARD"),
    *("EVAL \"return redis.call('GET',KEYS[1])\" 1 key", "EVAL \"return redis.call('SET',KEYS[1],1)\" 1 key"),
    *("EVAL \"#!lua flags=allow-oom\\nreturn redis.call('SET',KEYS[1],1)\" 1 key", 'SCRIPT LOAD "return 1"'),
]


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl", "volatile-random"])
def test_what_is_refused_without_memory(limits_pair: ClientPair, policy: str) -> None:
    """No key has an expiry, so none may go."""
    limits_pair.assert_same(
        *("SET key value", "RPUSH list a b a", "HSET hash f v n 1", "SADD set m o", "ZADD zset 1 m", "SET number 5"),
        f"CONFIG SET maxmemory 1 maxmemory-policy {policy}",
        "DBSIZE",
    )
    for command in TRIED:
        replies = [client.call(command) for client in (limits_pair.subject, limits_pair.oracle)]
        refused = [reply.startswith((b"-OOM", b"-ERR OOM")) for reply in replies]
        assert refused[0] == refused[1], (command, replies)
        if refused[0]:
            assert replies[0] == replies[1], command
    limits_pair.assert_same("CONFIG SET maxmemory 0")


def test_a_transaction_without_memory(limits_pair: ClientPair) -> None:
    limits_pair.assert_same(
        "SET key value",
        *("MULTI", "SET key other", "CONFIG SET maxmemory 1", "EXEC", "GET key"),
        *("MULTI", "GET key", "EXEC", "MULTI", "DISCARD"),
        "CONFIG SET maxmemory 0",
        *("MULTI", "INCR number", "CONFIG SET maxmemory 1", "INCR number", "EXEC", "GET number", "INCR number"),
        "CONFIG SET maxmemory 0",
    )


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "noeviction"])
def test_a_limit_that_nothing_fits_evicts_all_that_may_go(limits_pair: ClientPair, policy: str) -> None:
    for number in range(50):
        limits_pair.assert_same(f"SET volatile:{number} v EX 1000", f"SET kept:{number} v")
    limits_pair.assert_same(f"CONFIG SET maxmemory 1 maxmemory-policy {policy}")
    left = 50 if policy.startswith("volatile") else 0
    for client in (limits_pair.subject, limits_pair.oracle):
        wait_until(lambda client=client: client.value("DBSIZE") == left, "all that may go has gone")  # type: ignore[misc]
        info = client.value("INFO stats").decode()
        assert f"evicted_keys:{100 - left}\r\n" in info
    limits_pair.assert_same("SET new v", "EXISTS kept:1", "EXISTS volatile:1", "CONFIG SET maxmemory 0", "SET new v")


def test_watched_keys_that_are_evicted_have_changed(limits_pair: ClientPair) -> None:
    limits_pair.assert_same(
        *("SET key v", "WATCH key", "CONFIG SET maxmemory 1 maxmemory-policy allkeys-lru", "PING"),
        *("CONFIG SET maxmemory 0", "MULTI", "PING", "EXEC", "DBSIZE"),
    )


def test_client_no_evict(limits_pair: ClientPair) -> None:
    limits_pair.assert_same(
        "CLIENT NO-EVICT", "CLIENT NO-EVICT on", "CLIENT NO-EVICT OFF", "CLIENT NO-EVICT x", "CLIENT NO-EVICT on off"
    )
