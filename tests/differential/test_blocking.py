"""Commands that wait for a key: several clients at a time, and what each of them has received after each step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import ClientPair, Scene, Server, encode, wait_until
from tests.harness.payloads import BROKEN, HELLO, SOUND


@pytest.fixture
def scene(pair: ClientPair) -> Scene:
    for server in pair.servers:
        server.call("CONFIG RESETSTAT")
    return Scene(pair)


# What differs between the types: a command that adds an element to a key, and one that waits for it.
ADD = {"zset": "ZADD {key} {n} m{n}", "list": "RPUSH {key} e{n}"}
WAIT = {"zset": "BZPOPMIN {keys} {timeout}", "list": "BLPOP {keys} {timeout}"}
TYPES = sorted(ADD)


@pytest.fixture(params=TYPES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def adding(kind: str, key: str, n: int = 1) -> str:
    return ADD[kind].format(key=key, n=n)


def waiting(kind: str, keys: str, timeout: object = 0) -> str:
    return WAIT[kind].format(keys=keys, timeout=timeout)


# Who is served, and when


def test_a_key_that_is_there_is_served_at_once(scene: Scene, kind: str) -> None:
    scene.do("a", adding(kind, "k", 1), adding(kind, "k", 2), waiting(kind, "j k l"), waiting(kind, "k", 0.5))
    scene.do("a", "EXISTS k", waiting(kind, "k"))
    assert scene.do("b", adding(kind, "k")).keys() == {"a", "b"}


def test_the_client_that_waited_longest_is_served_first(scene: Scene, kind: str) -> None:
    for name in "abc":
        scene.do(name, waiting(kind, "k"))
    scene.figures()
    assert "a" in scene.do("d", adding(kind, "k"))
    scene.do("a", waiting(kind, "k"))
    for name in "bca":
        assert scene.do("d", adding(kind, "k")).keys() == {"d", name}
    scene.figures()


def test_one_change_serves_as_many_as_it_can(scene: Scene, kind: str) -> None:
    for name in "abcd":
        scene.do(name, waiting(kind, "k"))
    scene.do("e", "MULTI", adding(kind, "k", 1), adding(kind, "k", 2), adding(kind, "k", 3), "EXEC")
    scene.do("e", "EXISTS k", adding(kind, "k"), "EXISTS k")


def test_a_client_waits_for_many_keys_and_is_served_once(scene: Scene, kind: str) -> None:
    scene.do("a", waiting(kind, "k1 k2 k3 k1 k2"))
    scene.do("b", waiting(kind, "k3 k2"))
    scene.do("c", waiting(kind, "k1"))
    scene.do("d", adding(kind, "k2"), adding(kind, "k2"), "EXISTS k2")
    scene.do("d", adding(kind, "k1"), adding(kind, "k3"), "EXISTS k1", "EXISTS k3")


def test_of_several_keys_the_one_that_became_ready_first_counts(scene: Scene, kind: str) -> None:
    scene.do("a", waiting(kind, "k1 k2 k3"))
    scene.do("b", "MULTI", adding(kind, "k3"), adding(kind, "k1"), "EXEC", "EXISTS k1 k2 k3")


def test_a_transaction_is_seen_as_a_whole(scene: Scene, kind: str) -> None:
    scene.do("a", waiting(kind, "k"))
    scene.do("b", "MULTI", adding(kind, "k"), "DEL k", "EXEC")
    scene.do("b", "MULTI", adding(kind, "k", 5), adding(kind, "k", 3), "EXEC", "EXISTS k")


def test_a_key_of_another_type_is_passed_over(scene: Scene, kind: str) -> None:
    scene.do("a", waiting(kind, "k1 k2"))
    scene.do("b", "SET k1 x", "SADD k2 x", "DEL k2", "HSET k2 f v", "DEL k2")
    scene.do("b", adding(kind, "k2"))
    scene.do("a", waiting(kind, "k1 k2"), waiting(kind, "k2 k1"))


def test_nobody_waits_inside_a_transaction(scene: Scene, kind: str) -> None:
    scene.do("a", "MULTI", waiting(kind, "k"), waiting(kind, "k", "x"), adding(kind, "k"), waiting(kind, "k"), "EXEC")
    scene.do("a", "EXISTS k", "PING")
    scene.figures()


@pytest.mark.parametrize(
    "way",
    [
        ["RENAME other k"],
        ["RENAMENX other k"],
        ["COPY other k"],
        ["SET k x", "COPY other k REPLACE"],
        ["SET k x", "RENAME other k"],
        ["SELECT 1", "COPY other k DB 1", "SELECT 0", "COPY other k DB 0"],
        ["SELECT 1", "RENAME other k", "MOVE k 0"],
        ["SELECT 1", "RENAME other k", "SWAPDB 0 1"],
        ["SELECT 1", "RENAME other k", "SWAPDB 1 0"],
        ["MULTI", "RENAME other k", "RENAME k other", "EXEC", "RENAME other k"],
    ],
    ids=lambda way: " ".join(way),
)
def test_whatever_makes_the_key_wakes(scene: Scene, kind: str, way: list[str]) -> None:
    for number in (0, 1):
        scene.do("b", f"SELECT {number}", adding(kind, "other"), "SELECT 0")
    scene.do("a", waiting(kind, "k"))
    for command in way:
        scene.do("b", command)
    scene.do("b", "EXISTS k", "EXISTS other", "SELECT 1", "EXISTS k", "EXISTS other")


def test_a_restored_key_wakes(scene: Scene) -> None:
    scene.do("a", waiting("zset", "k"))
    scene.do("b", ["RESTORE", "k", "0", HELLO], "DEL k", ["RESTORE", "k", "0", BROKEN], "EXISTS k")
    for payload in SOUND:
        scene.do("b", ["RESTORE", "k", "0", payload, "REPLACE"], "TYPE k")


def test_a_client_waits_in_its_own_database(scene: Scene, kind: str) -> None:
    scene.do("a", "SELECT 3", waiting(kind, "k"))
    scene.do("b", adding(kind, "k"), "EXISTS k", "SELECT 3", adding(kind, "k"), "EXISTS k")


def test_swapped_databases_keep_those_who_wait(scene: Scene, kind: str) -> None:
    scene.do("a", waiting(kind, "k"))
    scene.do("b", "SELECT 1", waiting(kind, "k"))
    scene.do("c", "SWAPDB 0 1", adding(kind, "k"), "SELECT 1", adding(kind, "k"))


def test_an_expired_key_is_not_served(scene: Scene, kind: str) -> None:
    scene.do("a", waiting(kind, "k"))
    scene.do("b", "MULTI", adding(kind, "k"), "PEXPIREAT k 1", "EXEC", "EXISTS k")
    scene.do("b", adding(kind, "k"))


# The end of waiting


def test_a_timeout(scene: Scene, kind: str) -> None:
    for name, request in (("a", waiting(kind, "k", "0.05")), ("b", waiting(kind, "k k2", "0.1"))):
        for client in (scene.client(name).subject, scene.client(name).oracle):
            client.send(request)  # it may be answered before the other server is asked
    assert scene.await_reply("a") in (b"*-1\r\n", b"_\r\n")
    scene.await_reply("b")
    scene.do("c", adding(kind, "k"), "EXISTS k")
    scene.figures()


@pytest.mark.parametrize(
    "timeout",
    ["x", "", "-1", "-0.5", "-0.0001", "1x", " 1", "1 ", "nan", "inf", "-inf", "1e400", "1e30", "0x", "1_0", "--1"],
)
def test_bad_timeouts(scene: Scene, kind: str, timeout: str) -> None:
    command = [word if word != "?" else timeout for word in waiting(kind, "k", "?").split()]
    scene.do("a", command, "SET k x", command, "DEL k")


@pytest.mark.parametrize("timeout", ["0", "0.0", "-0", "-0.0", "1e10", "0x10", "9223372036854774", "+7"])
def test_good_timeouts(scene: Scene, kind: str, timeout: str) -> None:
    scene.do("a", waiting(kind, "k", timeout))
    scene.figures()
    scene.do("b", adding(kind, "k"))
    scene.figures()


def test_a_timeout_never_comes_early(scene: Scene, kind: str) -> None:
    for timeout_s in (0.001, 0.01, 0.0201):
        for client in (scene.client("a").subject, scene.client("a").oracle):
            client.send("TIME")
            client.send(waiting(kind, "k", timeout_s))
            client.send("TIME")
            before, _, after = client.read(), client.read(), client.read()
            assert micros(after) - micros(before) >= timeout_s * 1e6 - 1000  # Redis counts in milliseconds


def micros(reply: bytes) -> int:
    _, _, seconds, _, rest, _ = reply.split(b"\r\n")
    return int(seconds) * 1_000_000 + int(rest)


@pytest.mark.parametrize("reason", ["", "TIMEOUT", "ERROR", "error", "nonesuch", "TIMEOUT x"])
def test_client_unblock(scene: Scene, kind: str, reason: str) -> None:
    numbers = [client.value("CLIENT ID") for client in (scene.client("a").subject, scene.client("a").oracle)]
    scene.do("a", waiting(kind, "k j"))
    for client, number in zip((scene.client("b").subject, scene.client("b").oracle), numbers, strict=True):
        client.send(f"CLIENT UNBLOCK {number} {reason}")
        client.send(f"CLIENT UNBLOCK {number} {reason}")
    scene.compare("b: CLIENT UNBLOCK twice")
    scene.figures()
    scene.do("b", adding(kind, "k"), "EXISTS k")


@pytest.mark.parametrize("number", ["0", "-1", "x", "999999", "", "1.5"])
def test_client_unblock_of_nobody(scene: Scene, number: str) -> None:
    scene.do("a", ["CLIENT", "UNBLOCK", number], "CLIENT UNBLOCK", "CLIENT UNBLOCK 1 2 3")


def test_client_unblock_of_a_client_that_does_not_wait(scene: Scene) -> None:
    for client in (scene.client("a").subject, scene.client("a").oracle):
        client.send(f"CLIENT UNBLOCK {client.value('CLIENT ID')}")
    scene.compare("a unblocks itself")


@pytest.mark.parametrize("how", ["close", "kill"])
def test_a_client_that_is_gone_takes_nothing_with_it(scene: Scene, kind: str, how: str) -> None:
    scene.do("a", waiting(kind, "k j"))
    scene.do("b", waiting(kind, "k"))
    leaving = scene.clients.pop("a")
    if how == "close":
        leaving.close()
    else:
        for client, server in zip((leaving.subject, leaving.oracle), scene.pair.servers, strict=True):
            lines = server.control.value("CLIENT LIST").splitlines()
            number = next(line for line in lines if b" cmd=b" in line).split()[0][3:]
            assert server.call(["CLIENT", "KILL", "ID", number]) == b":1\r\n"
            assert client.read_until_closed() == b""
    for server in scene.pair.servers:
        wait_until(lambda server=server: server.info("clients")["blocked_clients"] == "1", "the client is forgotten")
    assert scene.do("c", adding(kind, "k")).keys() == {"b", "c"}
    scene.do("c", adding(kind, "j"), "EXISTS j")
    scene.figures()


# The connection


def test_later_requests_wait_behind_the_one_that_waits(scene: Scene, kind: str) -> None:
    scene.do("a", "SET x 1", waiting(kind, "k"), "INCR x", "PING", waiting(kind, "k"), "INCR x")
    scene.do("a", "INCR x")
    scene.do("b", "GET x", adding(kind, "k"))
    scene.do("b", "GET x", adding(kind, "k"))
    scene.do("b", "GET x")


def test_a_request_that_comes_in_pieces_behind_one_that_waits(scene: Scene, kind: str) -> None:
    scene.send("a", encode(waiting(kind, "k")) + b"*2\r\n$4\r\nECHO\r\n$5\r\nhe", "half an ECHO")
    scene.send("a", b"llo\r\n" + encode("PING") + b"*1\r\n$", "the other half")
    scene.do("b", adding(kind, "k"))
    scene.send("a", b"4\r\nPING\r\n", "the rest")


def test_a_pipeline_that_feeds_those_who_wait_in_a_pipeline(scene: Scene, kind: str) -> None:
    scene.do("a", waiting(kind, "k"), waiting(kind, "k"), waiting(kind, "k"))
    scene.do("b", *(adding(kind, "k", n) for n in range(5)), "EXISTS k")
    scene.do("b", "EXISTS k")


@pytest.mark.parametrize("mode", ["SKIP", "OFF"])
def test_a_reply_that_is_not_wanted(scene: Scene, kind: str, mode: str) -> None:
    scene.do("a", f"CLIENT REPLY {mode}", waiting(kind, "k"), "PING", "CLIENT REPLY ON")
    scene.do("b", adding(kind, "k"), "EXISTS k")


def test_client_list_shows_who_waits(scene: Scene, kind: str) -> None:
    scene.do("a", waiting(kind, "k", 100))
    flags = []
    for server in scene.pair.servers:
        line = server.control.value("CLIENT LIST").splitlines()[-1]
        flags.append([field for field in line.split() if field.startswith((b"flags=", b"cmd=", b"multi="))])
    assert flags[0] == flags[1]
    assert b"flags=bU" in flags[0]
    scene.figures()


def test_a_pause_of_writes_holds_a_command_that_would_wait(fresh_pair: Callable[..., ClientPair], kind: str) -> None:
    scene = Scene(fresh_pair())
    scene.do("a", waiting(kind, "k"))
    scene.do("b", "CLIENT PAUSE 60000 WRITE")
    scene.do("c", waiting(kind, "k j"))
    scene.do("d", adding(kind, "k"))
    scene.figures()
    scene.do("b", "CLIENT UNPAUSE")
    scene.do("b", adding(kind, "j"))
    scene.figures()


def test_a_pause_does_not_keep_a_timeout_from_coming(fresh_pair: Callable[..., ClientPair], kind: str) -> None:
    scene = Scene(fresh_pair())
    scene.do("a", waiting(kind, "k", 0.2), "PING")
    for client in (scene.client("b").subject, scene.client("b").oracle):
        assert client.call("CLIENT PAUSE 60000") == b"+OK\r\n"
    scene.await_reply("a")
    scene.client("c")
    for client in (scene.client("c").subject, scene.client("c").oracle):
        client.send("CLIENT UNPAUSE")  # it waits itself
        assert client.read_available() == (b"", False)


def test_an_idle_client_that_waits_is_not_closed(fresh_pair: Callable[..., ClientPair], kind: str) -> None:
    pair = fresh_pair(timeout=1)
    for client in (pair.subject, pair.oracle):
        client.send(waiting(kind, "k", 2.5))
    assert pair.subject.read() == pair.oracle.read()
    pair.assert_same("PING")


# Sorted sets


@pytest.mark.parametrize(
    "command",
    [
        "BZPOPMIN k 0",
        "BZPOPMAX k 0",
        "BZPOPMAX j k 0",
        "BZMPOP 0 1 k MIN",
        "BZMPOP 0 2 j k MAX",
        "BZMPOP 0 2 j k MAX COUNT 2",
        "BZMPOP 0 1 k min count 10",
    ],
)
def test_waiting_for_members(scene: Scene, command: str) -> None:
    scene.do("a", "ZADD k 1 one 2 two 3 three", command, "ZRANGE k 0 -1")
    scene.do("a", "DEL k", command)
    scene.do("b", "ZADD k 2.5 x -inf y 7 z", "ZRANGE k 0 -1")


@pytest.mark.parametrize(
    "command",
    [
        "BZMPOP 0 0 k MIN",
        "BZMPOP x 0 k MIN",
        "BZMPOP x 1 k MIN",
        "BZMPOP x 1 k nonesuch",
        "BZMPOP -1 1 k MIN",
        "BZMPOP 0 2 k MIN",
        "BZMPOP 0 1 k MIN COUNT",
        "BZMPOP 0 1 k MIN COUNT 0",
        "BZMPOP 0 1 k MIN COUNT x",
        "BZMPOP 0 1 k MIN COUNT 1 COUNT 1",
        "BZMPOP 0 x k MIN",
        "BZMPOP 0 -1 k MIN",
        "BZMPOP 0 1 k",
        "BZPOPMIN k",
        "BZPOPMIN 0",
    ],
)
def test_bad_waiting_for_members(scene: Scene, command: str) -> None:
    scene.do("a", command, "SET k x", command)


def test_clients_that_want_different_ends(scene: Scene) -> None:
    scene.do("a", "BZPOPMAX k 0")
    scene.do("b", "BZMPOP 0 1 k MIN COUNT 2")
    scene.do("c", "BZPOPMIN k 0")
    scene.do("d", "ZADD k 1 a 2 b 3 c 4 d 5 e", "ZRANGE k 0 -1")


# Lists


@pytest.mark.parametrize(
    "command",
    [
        "BLPOP k 0",
        "BRPOP k 0",
        "BRPOP j k 0",
        "BLMPOP 0 1 k LEFT",
        "BLMPOP 0 2 j k RIGHT",
        "BLMPOP 0 2 j k right COUNT 2",
        "BLMPOP 0 1 k left count 10",
        "BLMOVE k j LEFT RIGHT 0",
        "BLMOVE k j right left 0",
        "BLMOVE k k LEFT RIGHT 0",
        "BLMOVE k k RIGHT RIGHT 0",
        "BRPOPLPUSH k j 0",
        "BRPOPLPUSH k k 0",
    ],
)
def test_waiting_for_elements(scene: Scene, command: str) -> None:
    scene.do("a", "RPUSH k one two three", command, "LRANGE k 0 -1", "LRANGE j 0 -1")
    scene.do("a", "DEL k", command)
    scene.do("b", "RPUSH k x y z", "LRANGE k 0 -1", "LRANGE j 0 -1")
    scene.figures()


@pytest.mark.parametrize(
    "command",
    [
        "BLMPOP 0 0 k LEFT",
        "BLMPOP x 0 k LEFT",
        "BLMPOP x 1 k LEFT",
        "BLMPOP x 1 k nonesuch",
        "BLMPOP -1 1 k LEFT",
        "BLMPOP 0 2 k LEFT",
        "BLMPOP 0 1 k LEFT COUNT",
        "BLMPOP 0 1 k LEFT COUNT 0",
        "BLMPOP 0 1 k LEFT COUNT x",
        "BLMPOP 0 1 k LEFT COUNT 1 COUNT 1",
        "BLMPOP 0 x k LEFT",
        "BLMPOP 0 1 k",
        "BLPOP k",
        "BRPOP 0",
        "BLMOVE k j LEFT nonesuch x",
        "BLMOVE k j nonesuch LEFT x",
        "BLMOVE k j LEFT LEFT x",
        "BLMOVE k j LEFT LEFT -1",
        "BLMOVE k j LEFT LEFT",
        "BRPOPLPUSH k j x",
        "BRPOPLPUSH k j -1",
        "BRPOPLPUSH k j",
    ],
)
def test_bad_waiting_for_elements(scene: Scene, command: str) -> None:
    scene.do("a", command, "SET k x", command)


@pytest.mark.parametrize(
    "command",
    ["BLPOP k 0", "BRPOP k 0", "BLMOVE k j LEFT LEFT 0", "BRPOPLPUSH k j 0", "BLMPOP 0 1 k LEFT", "BZPOPMIN k 0"],
)
def test_what_a_command_gives_that_may_not_wait_or_waits_in_vain(scene: Scene, command: str) -> None:
    scene.do("a", "MULTI", command, "EXEC")
    words = command.split()
    place = 1 if "MPOP" in command else -1
    words[place] = "0.01"
    scene.client("b")
    for client in (scene.clients["b"].subject, scene.clients["b"].oracle):
        client.send(words)
    scene.await_reply("b")


def test_a_chain_of_clients_that_feed_each_other(scene: Scene) -> None:
    scene.do("a", "BLMOVE k1 k2 LEFT RIGHT 0")
    scene.do("b", "BRPOPLPUSH k2 k3 0")
    scene.do("c", "BLMOVE k3 k4 LEFT LEFT 0")
    scene.do("d", "BLPOP k5 k4 0")
    scene.do("e", "RPUSH k1 x", "EXISTS k1 k2 k3 k4")
    scene.figures()


def test_a_ring_of_clients(scene: Scene) -> None:
    scene.do("a", "BLMOVE k1 k2 LEFT RIGHT 0", "BLMOVE k1 k2 LEFT RIGHT 0")
    scene.do("b", "BLMOVE k2 k1 LEFT RIGHT 0", "BLMOVE k2 k1 LEFT RIGHT 0")
    scene.do("c", "RPUSH k1 x", "LRANGE k1 0 -1", "LRANGE k2 0 -1")
    scene.do("c", "LRANGE k1 0 -1", "LRANGE k2 0 -1")


def test_what_is_moved_wakes_after_all_who_wait_for_the_source(scene: Scene) -> None:
    scene.do("a", "BLMOVE k j LEFT RIGHT 0")
    scene.do("b", "BLPOP j k 0")
    scene.do("c", "BLPOP j 0")
    scene.do("d", "RPUSH k 1 2 3", "LRANGE k 0 -1", "LRANGE j 0 -1")


def test_a_target_of_another_type_is_an_error_for_the_mover_only(scene: Scene) -> None:
    scene.do("a", "BLMOVE k j LEFT RIGHT 0")
    scene.do("b", "BLPOP k 0")
    scene.do("c", "SET j x", "RPUSH k 1 2", "LRANGE k 0 -1", "GET j")
    scene.figures()


def test_clients_that_wait_for_different_types_of_one_key(scene: Scene) -> None:
    scene.do("a", "BLPOP k 0")
    scene.do("b", "BZPOPMIN k 0")
    scene.do("c", "BRPOP k 0")
    scene.do("d", "ZADD k 1 x 2 y", "DEL k", "RPUSH k 1 2 3", "LRANGE k 0 -1")


def test_sort_with_store_wakes(scene: Scene) -> None:
    scene.do("a", "BLPOP k 0")
    scene.do("b", "SADD s 3 1 2", "SORT s STORE k", "LRANGE k 0 -1", "SORT none STORE k", "EXISTS k")


def test_served_elements_count_as_changes(start_minikv: Callable[..., Server]) -> None:
    """In Redis only those of BLMPOP and BZPOPMIN do."""
    server = start_minikv()
    waiting_ones = [server.connect() for _ in range(3)]
    for client, command in zip(
        waiting_ones, ("BLPOP k 0", "BLMOVE k j LEFT LEFT 0", "BLMPOP 0 1 k LEFT COUNT 2"), strict=True
    ):
        client.send(command)
        server.barrier()
    server.call("RPUSH k 1 2 3 4 5")
    assert server.info()["rdb_changes_since_last_save"] == str(5 + 1 + 1 + 2)


# What is recorded


def test_the_slow_log_has_a_command_when_it_is_answered(fresh_pair: Callable[..., ClientPair]) -> None:
    scene = Scene(fresh_pair(slowlog_log_slower_than=0))
    scene.do("a", "BLPOP k 0")
    logs = []
    for server in scene.pair.servers:
        server.call("SLOWLOG RESET")
        server.call("RPUSH k x")
        entries = server.control.value("SLOWLOG GET")
        logs.append([[word.payload for word in entry.payload[3].payload] for entry in entries])
    assert logs[0] == logs[1]
    assert [b"BLPOP", b"k", b"0"] in logs[0]


def test_monitors_see_a_command_once_when_it_begins_to_wait(scene: Scene) -> None:
    watchers = scene.client("m")
    watchers.assert_same("MONITOR")
    scene.clients.pop("m")
    for client in (scene.client("a").subject, scene.client("a").oracle):
        client.send("BLPOP k 0")
    for server in scene.pair.servers:
        wait_until(lambda server=server: server.info("clients")["blocked_clients"] == "1", "the client waits")
        server.call("RPUSH k x")
    for client in (watchers.subject, watchers.oracle):
        lines = [client.read() for _ in range(2)]
        while b"RPUSH" not in lines[-1]:
            lines.append(client.read())
        assert [line.split(b'"')[1] for line in lines if b"BLPOP" in line] == [b"BLPOP"]


def test_a_command_that_waited_counts_once(scene: Scene) -> None:
    scene.do("a", "BLPOP k 0")
    scene.do("b", "RPUSH k x")
    scene.figures()
    calls = []
    for server in scene.pair.servers:
        histogram = server.control.value("LATENCY HISTOGRAM blpop")
        calls.append([histogram[0].payload, histogram[1].payload[1].payload])
    assert calls[0] == calls[1]


# WAIT, for replicas that neither server has


def test_wait_ends_with_its_time(scene: Scene) -> None:
    for client in (scene.client("a").subject, scene.client("a").oracle):
        client.send("WAIT 1 20")
        client.send("ECHO later")
    assert scene.await_reply("a") == b":0\r\n"
    assert scene.await_reply("a") == b"$5\r\nlater\r\n"
    scene.do("a", "WAIT 0 0", "WAIT -1 0", "MULTI", "WAIT 1 0", "EXEC")


@pytest.mark.parametrize("reason", ["", "TIMEOUT", "ERROR"])
def test_wait_ends_by_unblock(scene: Scene, reason: str) -> None:
    numbers = [client.value("CLIENT ID") for client in (scene.client("a").subject, scene.client("a").oracle)]
    scene.do("a", "WAIT 1 0", "ECHO later")
    scene.figures()
    scene.do("b", "CLIENT LIST TYPE pubsub")
    for client, number in zip((scene.client("b").subject, scene.client("b").oracle), numbers, strict=True):
        client.send(f"CLIENT UNBLOCK {number} {reason}")
    scene.compare("b: CLIENT UNBLOCK")
    scene.figures()


def test_a_client_that_waits_for_replicas_may_go(scene: Scene) -> None:
    scene.do("a", "WAIT 1 0")
    scene.client("a").close()
    del scene.clients["a"]
    for server in scene.pair.servers:
        wait_until(lambda server=server: server.info("clients")["blocked_clients"] == "0", "nobody waits")
