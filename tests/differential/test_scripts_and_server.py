"""Scripts and the state of their server: their flags without memory, after a failed save and in a pause; its log."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.harness import ClientPair, Server, Words, wait_until

BODIES = [
    "return redis.call('set', 'a', 1)",
    "return redis.pcall('set', 'a', 1)",
    "return redis.call('get', 'k')",
    "return redis.call('del', 'none')",
    "redis.call('expire', 'k', 100) return redis.call('lpush', 'l', 1)",
    "redis.pcall('set', 'a', 1) return redis.call('get', 'k')",
    "return redis.call('lpush')",
    "return redis.call('publish', 'a', 'b')",
]
FLAGS = ["", "allow-oom", "no-writes", "no-writes,allow-oom", "allow-stale", "nonesuch"]
SCRIPTS = BODIES + [f"#!lua flags={flags}\n{body}" for flags, body in itertools.product(FLAGS, BODIES[:4])]
FUNCTIONS = {
    f"f{number}": f"redis.register_function{{function_name='f{number}', callback=function() {body} end, "
    f"flags={{{', '.join(repr(flag) for flag in flags.split(',') if flag)}}}}}"
    for number, (flags, body) in enumerate(itertools.product(FLAGS[:-1], BODIES[:4]))
}
LIBRARY = "#!lua name=l\n" + "\n".join(FUNCTIONS.values())
CALLS: list[Words] = [
    *([command, script, "0"] for script in SCRIPTS for command in ("EVAL", "EVAL_RO")),
    *(f"{command} {name} 0" for name in FUNCTIONS for command in ("FCALL", "FCALL_RO")),
    "FCALL F0 0",
    "FCALL none 0",
    ["SCRIPT", "LOAD", BODIES[0]],
    "EVALSHA 0000000000000000000000000000000000000000 0",
    ["FUNCTION", "LOAD", "REPLACE", LIBRARY],
]
QUEUED = [BODIES[0], BODIES[2], *(f"#!lua{flags}\nreturn 1" for flags in ("", " flags=no-writes", " flags=allow-oom"))]
TRANSACTIONS: list[Words] = [request for script in QUEUED for request in ("MULTI", ["EVAL", script, "0"], "EXEC")]


@pytest.fixture(scope="module")
def servers(module_servers: Callable[..., tuple[Server, Server]]) -> tuple[Server, Server]:
    return module_servers(enable_protected_configs="yes")


@pytest.fixture
def scripting(
    servers: tuple[Server, Server], connected: Callable[[tuple[Server, Server]], ClientPair]
) -> Iterator[ClientPair]:
    pair = connected(servers)
    pair.assert_same("SET k v", ["FUNCTION", "LOAD", "REPLACE", LIBRARY])
    yield pair
    pair.assert_same("FUNCTION FLUSH")


def test_without_memory(scripting: ClientPair) -> None:
    """Also transactions that were begun before."""
    scripting.assert_same(*TRANSACTIONS[:2], "CONFIG SET maxmemory 1", "DISCARD")
    try:
        scripting.assert_same(*CALLS, *TRANSACTIONS, "DISCARD")
        other = scripting.another()
        for script in TRANSACTIONS[1::3]:
            scripting.assert_same("CONFIG SET maxmemory 0", "MULTI", script)
            other.assert_same("CONFIG SET maxmemory 1")
            scripting.assert_same("EXEC")
    finally:
        scripting.assert_same("CONFIG SET maxmemory 0")


def test_after_a_failed_save(scripting: ClientPair) -> None:
    directories = [server.call("CONFIG GET dir").split(b"\r\n")[-2] for server in scripting.servers]
    scripting.assert_same("CONFIG SET dir /sys", ["CONFIG", "SET", "save", "60 1"])
    try:
        for server in scripting.servers:
            server.call("BGSAVE")
            wait_until(lambda server=server: "MISCONF" in str(server.call("SET a 1")), "the save has failed")
        scripting.assert_same(*CALLS, *TRANSACTIONS)
    finally:
        for server, directory in zip(scripting.servers, directories, strict=True):
            server.call(["CONFIG", "SET", "dir", directory, "save", ""])


def test_while_writes_are_paused(scripting: ClientPair) -> None:
    """Scripts that promise not to write need not wait."""
    other = scripting.another()
    other.assert_same("CLIENT PAUSE 100000 WRITE")
    try:
        scripting.assert_same(
            ["EVAL", f"#!lua flags=no-writes\n{BODIES[2]}", "0"],
            ["EVAL_RO", BODIES[2], "0"],
            *(f"FCALL f{number} 0" for number in (8, 10, 12)),
        )
        for script in (BODIES[2], f"#!lua\n{BODIES[2]}", f"#!lua flags=allow-oom\n{BODIES[2]}"):
            waiting = scripting.another()
            for server, client in zip(scripting.servers, (waiting.subject, waiting.oracle), strict=True):
                client.send(["EVAL", script, "0"])
                server.barrier()
                assert client.read_available()[0] == b""
    finally:
        other.assert_same("CLIENT UNPAUSE")


@pytest.mark.parametrize(
    "arguments",
    [
        "redis.LOG_DEBUG, 'd1'",
        "redis.LOG_VERBOSE, 'v1', 'v2'",
        "redis.LOG_NOTICE, 'n1', 3, 'x', 1.5, nil, true, {}",
        r"redis.LOG_WARNING, 'w1\0z', 'more'",
        "'3', 'level as text'",
        "2.7, 'level between'",
        "-0.5, 'level of none'",
        "2, nil, 'nothing first'",
        "2, string.rep('x', 3000)",
        "redis.LOG_NOTICE",
        "'x', 'y'",
        "{}, 'y'",
        "4, 'y'",
        "-1, 'y'",
        "0/0, 'y'",
        "1/0, 'y'",
    ],
)
def test_what_scripts_log(scripting: ClientPair, arguments: str) -> None:
    scripting.assert_same("CONFIG SET loglevel debug")
    offsets = [server.log_size() for server in scripting.servers]
    scripting.assert_same(["EVAL", f"redis.log({arguments}) return 1", "0"])
    scripting.assert_same("CONFIG SET loglevel notice")
    logs = [server.log(offset) for server, offset in zip(scripting.servers, offsets, strict=True)]
    ours, theirs = ([line.split(" ", 5)[-1] for line in log.splitlines() if logged(line)] for log in logs)
    assert ours == theirs


def logged(line: str) -> bool:
    return any(word in line for word in ("d1", "v1 v2", "n1", "w1", "level", "nothing first", "xxx"))
