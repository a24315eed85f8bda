"""Redis's own tools, as people use them: redis-cli and redis-benchmark against both servers."""

from __future__ import annotations

import subprocess

import pytest

from tests.harness import Server


def run(server: Server, tool: str, *arguments: str, text: str = "") -> str:
    done = subprocess.run(
        [tool, "-s", server.socket_path, *arguments], input=text, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


SCRIPT = """\
SET greeting "hello world"
GET greeting
MSET a 1 b 2
INCR a
MGET a b none
EXISTS a none
KEYS gree*
TTL greeting
EXPIRE greeting 100
SETRANGE greeting 6 Redis
APPEND greeting \\x00\\xff
STRLEN greeting
nonesuch command
GET
MULTI
INCR a
INCR greeting
EXEC
SELECT 3
DBSIZE
OBJECT ENCODING a
CONFIG GET maxmemory
BITFIELD bits SET u8 0 200 GET u8 0
"""


@pytest.mark.parametrize(
    "options", [(), ("-3",), ("--no-raw",), ("--csv",), ("--json",)], ids=["plain", "RESP3", "tty", "csv", "json"]
)
def test_redis_cli_prints_the_same(minikv: Server, oracle: Server, options: tuple[str, ...]) -> None:
    assert run(minikv, "redis-cli", *options, text=SCRIPT) == run(oracle, "redis-cli", *options, text=SCRIPT)


def test_redis_cli_scans_and_pipes(minikv: Server, oracle: Server) -> None:
    mass = "".join(f"SET key:{index} {index}\r\n" for index in range(1000))
    for server in (minikv, oracle):
        assert "errors: 0, replies: 1000" in run(server, "redis-cli", "--pipe", text=mass)
        assert len(run(server, "redis-cli", "--scan", "--pattern", "key:*").split()) == 1000
        assert "Biggest string" in run(server, "redis-cli", "--bigkeys")
        assert "1000" in run(server, "redis-cli", "--memkeys")


def test_redis_cli_latency_and_stat(minikv: Server) -> None:
    assert run(minikv, "redis-cli", "-r", "3", "-i", "0.01", "PING").split() == ["PONG"] * 3
    assert "redis_version:7.0.15" in run(minikv, "redis-cli", "INFO", "server")


@pytest.mark.parametrize("pipeline", ["1", "16"])
def test_redis_benchmark_runs_without_errors(minikv: Server, pipeline: str) -> None:
    arguments = ("-n", "2000", "-c", "20", "-P", pipeline, "-r", "1000", "-t", "ping,set,get,incr,mset", "--csv")
    lines = run(minikv, "redis-benchmark", *arguments).splitlines()
    assert [line.split(",")[0].strip('"') for line in lines[1:]] == [
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "MSET (10 keys)",
    ]
