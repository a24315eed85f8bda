"""Random sequences of valid and nearly valid commands, sent to both servers: every reply must be equal bytes.

Times to live are far away or long past, so that two clocks that differ by a moment cannot make a difference.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import ClientPair, Word, encode
from tests.harness.strategies import (
    bit_command,
    command,
    encoding_command,
    geo_command,
    hash_command,
    hyperloglog_command,
    key_command,
    list_command,
    set_command,
    stream_command,
    string_command,
    transaction_command,
)

shared_servers = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def run(pair: ClientPair, commands: list[list[Word]]) -> None:
    """Each example starts on empty servers, in database 0, outside a transaction."""
    session = pair.another()
    try:
        session.assert_same("FLUSHALL", *commands)
        if any(command[0] == "MULTI" for command in commands):
            session.assert_same("EXEC")
        session.assert_same("SELECT 0", "DBSIZE", "MGET a b c {a}", "TTL a", "TTL b", "TYPE b")
    finally:
        session.close()


@shared_servers
@given(commands=st.lists(command, max_size=40))
def test_random_commands(pair: ClientPair, commands: list[list[Word]]) -> None:
    run(pair, commands)


@shared_servers
@given(commands=st.lists(st.one_of(string_command, bit_command), max_size=40))
def test_random_strings_and_bits(resp2_pair: ClientPair, commands: list[list[Word]]) -> None:
    run(resp2_pair, commands)


@shared_servers
@given(commands=st.lists(encoding_command, max_size=30))
def test_random_encodings(resp2_pair: ClientPair, commands: list[list[Word]]) -> None:
    run(resp2_pair, [*commands, ["OBJECT", "ENCODING", "a"]])


collection_command = st.one_of(hash_command, set_command, hash_command, set_command, key_command)


@shared_servers
@given(commands=st.lists(collection_command, max_size=40))
def test_random_hashes_and_sets(pair: ClientPair, commands: list[list[Word]]) -> None:
    run(pair, [*commands, ["DEBUG", "DIGEST"], ["DEBUG", "RELOAD"], ["DEBUG", "DIGEST"]])


@shared_servers
@given(commands=st.lists(st.one_of(list_command, list_command, list_command, key_command), max_size=40))
def test_random_lists(pair: ClientPair, commands: list[list[Word]]) -> None:
    run(pair, [*commands, ["DEBUG", "DIGEST"], ["DEBUG", "RELOAD"], ["DEBUG", "DIGEST"]])


@shared_servers
@given(commands=st.lists(st.one_of(stream_command, stream_command, stream_command, key_command), max_size=60))
def test_random_streams(pair: ClientPair, commands: list[list[Word]]) -> None:
    run(
        pair,
        [*commands, ["DEBUG", "DIGEST"], ["DEBUG", "RELOAD"], ["DEBUG", "DIGEST"], ["XINFO", "STREAM", "a", "FULL"]],
    )


@shared_servers
@given(commands=st.lists(st.one_of(hyperloglog_command, hyperloglog_command, key_command), max_size=40))
def test_random_hyperloglogs(pair: ClientPair, commands: list[list[Word]]) -> None:
    run(pair, [*commands, ["DEBUG", "DIGEST"], ["DEBUG", "RELOAD"], ["DEBUG", "DIGEST"]])


@shared_servers
@given(commands=st.lists(st.one_of(geo_command, geo_command, geo_command, key_command), max_size=40))
def test_random_places(pair: ClientPair, commands: list[list[Word]]) -> None:
    run(pair, [*commands, ["DEBUG", "DIGEST"]])


@shared_servers
@given(commands=st.lists(st.one_of(transaction_command, collection_command), max_size=30))
def test_random_transactions_on_collections(resp2_pair: ClientPair, commands: list[list[Word]]) -> None:
    run(resp2_pair, commands)


@shared_servers
@given(commands=st.lists(st.one_of(transaction_command, string_command, key_command), max_size=30))
def test_random_transactions(resp2_pair: ClientPair, commands: list[list[Word]]) -> None:
    run(resp2_pair, commands)


@shared_servers
@given(sessions=st.lists(st.tuples(st.integers(0, 2), st.one_of(transaction_command, command)), max_size=40))
def test_random_commands_of_three_clients(resp2_pair: ClientPair, sessions: list[tuple[int, list[Word]]]) -> None:
    clients = [resp2_pair.another() for _ in range(3)]
    try:
        clients[0].assert_same("FLUSHALL")
        for index, words in sessions:
            clients[index].assert_same(words)
    finally:
        for client in clients:
            client.close()


@shared_servers
@given(commands=st.lists(command, max_size=40))
def test_random_pipelines(resp2_pair: ClientPair, commands: list[list[Word]]) -> None:
    session = resp2_pair.another()
    try:
        session.assert_same_pipeline("FLUSHALL", *commands)
    finally:
        session.close()


fragment = st.one_of(
    st.sampled_from(
        [
            b"\r\n",
            b"*1\r\n",
            b"*2\r\n",
            b"$4\r\n",
            b"$-1\r\n",
            b"PING",
            b"*",
            b"$",
            b"\n",
            b'"',
            b"'",
            b"\\x4",
            b" ",
            b"*0\r\n",
        ]
    ),
    st.sampled_from(
        [
            b"*1\r\n$4\r\nPING\r\n",
            b"ECHO x\r\n",
            b"*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n",
            b"*-1\r\n",
            b"$536870913\r\n",
            b"*2147483648\r\n",
        ]
    ),
    st.binary(max_size=6).filter(lambda data: b"\x00" not in data),
)


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "in pieces"])
@shared_servers
@given(fragments=st.lists(fragment, max_size=12))
def test_random_bytes(resp2_pair: ClientPair, in_pieces: bool, fragments: list[bytes]) -> None:
    """Fragments of requests in any order: the same replies, and closed or open as with Redis."""
    session = resp2_pair.another()
    try:
        session.assert_same_raw(*(fragments if in_pieces else [b"".join(fragments)]), encode("PING behind"))
    finally:
        session.close()
