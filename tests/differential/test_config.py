"""CONFIG as clients see it: patterns, all or none, what changes at once, errors."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from minikv.settings import SETTINGS, Integer, MemoryOrPercent
from tests.differential.test_settings import OWN, REDIS_ALONE
from tests.harness import ClientPair, Words, encode, unordered, wait_until


@pytest.fixture(params=[2, 3])
def config_pair(fresh_pair: Callable[..., ClientPair], request: pytest.FixtureRequest) -> Iterator[ClientPair]:
    """Both servers for this test alone, at the settings that a test may change."""
    yield fresh_pair(resp=request.param, enable_protected_configs="yes", bind="127.0.0.1")


@pytest.mark.parametrize(
    "patterns",
    [
        "maxclients",
        "MAXclients",
        "maxcl*",
        "MaxCl*",
        "MAXclients maxcl*",
        "maxcl* MAXclients",
        "hash-max-*",
        "*-ziplist-*",
        "slave-priority replica-priority",
        "nosuch",
        "timeout nosuch hz",
        "time?ut [st]imeout",
        "[^a-z]*",
        "rdb-key*",
        "rdb-key-save-delay",
        "*replica*",
        "latency*",
        "client-output-buffer-limit oom-score-adj-values",
    ],
)
def test_get(pair: ClientPair, patterns: str) -> None:
    pair.assert_same(f"CONFIG GET {patterns}", compare=unordered)


ERRORS: list[Words] = [
    "CONFIG",
    "CONFIG NOSUCH",
    "CONFIG GET",
    "CONFIG SET",
    "CONFIG SET timeout",
    "CONFIG SET timeout 5 hz",
    "CONFIG SET timeout 5 nosuch 1",
    ("CONFIG", "SET", "no\nsuch\r\n\x00x", "1"),
    "CONFIG SET timeout 5 timeout 6",
    "CONFIG SET timeout 5 TIMEOUT 6",
    "CONFIG SET timeout 5 databases 3",
    "CONFIG SET timeout 5 hz x",
    "CONFIG SET timeout x databases 3",
    "CONFIG SET timeout x hz y",
    "CONFIG SET nosuch 1 databases 3",
    "CONFIG SET databases 3 nosuch 1",
    "CONFIG SET slave-priority x replica-priority 5",
    ("CONFIG", "SET", "timeout", b"\xff\xfe"),
    "CONFIG REWRITE",
    "CONFIG REWRITE now",
    "CONFIG RESETSTAT now",
    "CONFIG HELP me",
    "CONFIG SET port 99999",
    ("CONFIG", "SET", "bind", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"),
    "CONFIG SET dir /nowhere",
    "CONFIG SET dir /etc/passwd",
    "CONFIG SET dbfilename a/b",
    "CONFIG SET unixsocket x",
    "CONFIG SET maxclients 0",
]


def test_errors_change_nothing(config_pair: ClientPair) -> None:
    config_pair.assert_same(*ERRORS)
    config_pair.assert_same("CONFIG GET timeout hz databases dbfilename", compare=unordered)


NUMBERS = sorted({0, 1, 100, 2**53, *(2**n + d for n in (31, 32, 62, 63, 64) for d in (-1, 0, 1)), 2**63 // 1000 + 1})
NUMERIC = [setting for setting in SETTINGS if isinstance(setting.kind, Integer | MemoryOrPercent)]
# A limit below what the test sends, a port that nobody listens on, more clients than the machine allows.
NOT_TRIED = {"port", "tls-port", "maxclients", "proto-max-bulk-len", "client-query-buffer-limit", "maxmemory-clients"}


def test_numbers_of_every_size_are_taken_or_refused_as_in_redis(config_pair: ClientPair) -> None:
    for setting in NUMERIC:
        if setting.name in NOT_TRIED | OWN | REDIS_ALONE:
            continue
        for number in [*NUMBERS, *(-number for number in NUMBERS)]:
            config_pair.assert_same(["CONFIG", "SET", setting.name, str(number)], ["CONFIG", "GET", setting.name])
        config_pair.assert_same(["CONFIG", "SET", setting.name, setting.kind.show(setting.default)], "PING")


def test_limits_of_buffers_of_every_size(config_pair: ClientPair) -> None:
    for number in NUMBERS:
        if number > 1000:
            seconds = min(number, 2**31 - 1)
            words = f"normal {number} {number} {seconds}"
            config_pair.assert_same(["CONFIG", "SET", "client-output-buffer-limit", words], "PING")
            for name in ("proto-max-bulk-len", "client-query-buffer-limit"):
                config_pair.assert_same(["CONFIG", "SET", name, str(number)], ["CONFIG", "GET", name])
    config_pair.assert_same(["CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 2147483648"])


def test_set_several(config_pair: ClientPair) -> None:
    config_pair.assert_same(
        "CONFIG SET timeout 7 hz 1000 maxmemory 1gb",
        ("CONFIG", "SET", "save", "60 5 30 9", "requirepass", ""),
        ("CONFIG", "GET", "save"),
        ("CONFIG", "SET", "save", ""),
        ("CONFIG", "GET", "save"),
        ("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 2 3"),
        ("CONFIG", "GET", "client-output-buffer-limit"),
        "CONFIG SET hash-max-ziplist-entries 7",
    )
    config_pair.assert_same("CONFIG GET timeout hz maxmemory hash-max-*-entries", compare=unordered)


def test_a_password_holds_from_now_on_for_new_clients(config_pair: ClientPair) -> None:
    config_pair.assert_same(("CONFIG", "SET", "requirepass", b"s e\xffcret"), "PING")
    other = config_pair.another(resp=2)
    other.assert_same("PING", "AUTH wrong", ("AUTH", b"s e\xffcret"), "PING", ("CONFIG", "GET", "requirepass"))
    config_pair.assert_same(("CONFIG", "SET", "requirepass", ""))
    config_pair.another(resp=2).assert_same("PING")


def test_protected_settings(fresh_pair: Callable[..., ClientPair]) -> None:
    refused = fresh_pair()
    refused.assert_same("CONFIG SET dir /tmp", "CONFIG SET dbfilename x")
    allowed = fresh_pair(enable_protected_configs="local")
    allowed.assert_same("CONFIG SET dir /tmp dbfilename x.rdb", "CONFIG GET dir", "CONFIG GET dbfilename")


def test_inside_a_transaction(config_pair: ClientPair) -> None:
    config_pair.assert_same("MULTI", "CONFIG SET timeout 9", "CONFIG GET timeout", "CONFIG SET timeout x", "EXEC")


def test_pipelined(config_pair: ClientPair) -> None:
    config_pair.assert_same_pipeline("CONFIG SET timeout 9", "PING", "CONFIG GET timeout")
    config_pair.assert_same_raw(encode("CONFIG SET timeout 3") + b"config get timeout\r\n")


def test_resetstat(config_pair: ClientPair) -> None:
    config_pair.assert_same("GET nosuch", "SET a 1", "GET a", "GETRANGE", "CONFIG RESETSTAT")
    for server in (config_pair.subject, config_pair.oracle):
        lines = server.value("INFO everything").decode().splitlines()
        info = dict(line.split(":", 1) for line in lines if ":" in line)
        assert (info["keyspace_hits"], info["keyspace_misses"]) == ("0", "0"), server
        assert int(info["total_commands_processed"]) <= 2, server
        assert "cmdstat_get" not in info, server
        assert "errorstat_ERR" not in info, server


def oom_score(pid: int | str) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_oom_score_adj_sets_the_score_of_the_process(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(oom_score_adj="yes", oom_score_adj_values="5 20 900")
    ours, theirs = (server.pid for server in pair.servers)
    assert oom_score(ours) == oom_score(theirs)
    for change in (
        "oom-score-adj-values '10 20 30'",
        "oom-score-adj absolute",
        "oom-score-adj no",
        "oom-score-adj-values '70 80 90'",
        "oom-score-adj-values '15 20 30' oom-score-adj relative",
    ):
        pair.assert_same(["CONFIG", "SET", *shlex.split(change)], "CONFIG GET oom-score-adj")
        assert oom_score(ours) == oom_score(theirs), change


def test_oom_score_adj_values_are_those_of_the_child_too(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(oom_score_adj="yes", oom_score_adj_values="5 20 900", rdb_key_save_delay=10_000_000)
    pair.assert_same("SET a 1", "BGSAVE")
    wanted = [min(oom_score("self") + 900, 1000)]
    for server in pair.servers:
        parent = psutil.Process(server.pid)
        wait_until(lambda of=parent: [oom_score(child.pid) for child in of.children()] == wanted, "the score")  # type: ignore[misc]


# rename-command


def test_a_renamed_command(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(rename_command=["CONFIG", "Cfg"])
    pair.assert_same("CONFIG GET hz", "config", "CFG GET hz", "cfg", "cfg get", "cfg foo", "Cfg x y")
    pair.assert_same("COMMAND INFO config cfg|get", "COMMAND GETKEYS cfg get x")
    pair.assert_same("COMMAND LIST FILTERBY PATTERN c*g", compare=unordered)
    pair.assert_same("MULTI", "CFG GET hz", "EXEC", ["EVAL", "return redis.call('config', 'get', 'hz')", 0])
    pair.assert_same(
        "ACL SETUSER u on nopass +config -config|set", "AUTH u x", "CFG GET hz", "CFG SET hz 20", "AUTH default"
    )
    pair.assert_same("CFG SET slowlog-log-slower-than 0", "CFG SET requirepass secret")
    assert all(b"secret" not in side.call("SLOWLOG GET 10") for side in (pair.subject, pair.oracle))


def test_a_command_that_is_taken_away(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(rename_command=["FLUSHALL", ""])
    pair.assert_same("SET a 1", "FLUSHALL", "FLUSHALL ASYNC", "EXISTS a", "ACL SETUSER u +flushall", "ACL CAT x")
    pair.assert_same("COMMAND INFO flushall", "COMMAND LIST FILTERBY PATTERN flush*")


def test_sort_by_another_name(fresh_pair: Callable[..., ClientPair]) -> None:
    """Its handler asks for the rights of the user again."""
    pair = fresh_pair(rename_command=["SORT", "sorted"])
    pair.assert_same(
        "RPUSH l 2 1", "MSET w1 5 w2 3", "ACL SETUSER u on nopass ~l +sort", "ACL SETUSER all on nopass ~* +sort"
    )
    for user in ("u", "all"):
        pair.assert_same(f"AUTH {user} x", "SORTED l", "SORTED l BY w*", "SORT l")
