"""CONFIG SET port and bind: the server moves at once, and stays where it is if it cannot."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.harness import ClientPair, Server, WireClient
from tests.harness.process import free_port


def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with WireClient((host, port)) as client:
            return client.call("PING") == b"+PONG\r\n"
    except (OSError, AssertionError):
        return False


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def server(start_minikv: Callable[..., Server]) -> Server:
    return start_minikv(tcp=True, bind="127.0.0.1")


def test_a_new_port_is_served_and_the_old_one_is_not_while_clients_stay(server: Server) -> None:
    with WireClient(("127.0.0.1", server.port)) as early:
        early.call("PING")
        port = free_port()
        assert server.call(("CONFIG", "SET", "port", str(port))) == b"+OK\r\n"
        assert answers(port)
        assert not answers(server.port)
        assert early.call("PING") == b"+PONG\r\n"
    assert server.info("server")["tcp_port"] == str(port)


def test_a_taken_port_leaves_the_old_one(server: Server, taken_port: int) -> None:
    reply = server.call(("CONFIG", "SET", "timeout", "5", "port", str(taken_port)))
    assert b"'port') - Unable to listen on this port. Check server logs." in reply
    assert f"127.0.0.1:{taken_port}: bind: Address already in use" in server.log()
    assert answers(server.port)
    assert server.info("server")["tcp_port"] == str(server.port)
    assert b"\r\n0\r\n" in server.call("CONFIG GET timeout")


def test_addresses_that_overlap_with_the_old_ones(server: Server) -> None:
    for bind in ("*", "127.0.0.1", "* -::*", "", "127.0.0.1 -::1"):
        assert server.call(("CONFIG", "SET", "bind", bind)) == b"+OK\r\n", bind
        assert answers(server.port), bind


def test_an_address_that_is_not_here_leaves_the_old_ones(server: Server) -> None:
    reply = server.call(("CONFIG", "SET", "bind", "127.0.0.1 192.0.2.1"))
    assert b"'bind') - Failed to bind to specified addresses." in reply
    assert answers(server.port)
    assert b"$9\r\n127.0.0.1\r\n" in server.call("CONFIG GET bind")


def test_port_and_address_together_all_or_none(server: Server, taken_port: int) -> None:
    port = free_port()
    assert server.call(("CONFIG", "SET", "port", str(port), "bind", "*")) == b"+OK\r\n"
    assert answers(port)
    reply = server.call(("CONFIG", "SET", "bind", "127.0.0.1", "port", str(taken_port)))
    assert b"Failed to bind to specified addresses." in reply
    assert answers(port)
    assert b"$1\r\n*\r\n" in server.call("CONFIG GET bind")


def test_port_0_closes_tcp_where_there_is_a_unix_socket(server: Server) -> None:
    assert server.call("CONFIG SET port 0") == b"+OK\r\n"
    assert not answers(server.port)
    assert server.call("PING") == b"+PONG\r\n"
    assert server.call(("CONFIG", "SET", "port", str(server.port))) == b"+OK\r\n"
    assert answers(server.port)


def test_replies_are_those_of_redis(fresh_pair: Callable[..., ClientPair], taken_port: int) -> None:
    pair = fresh_pair(bind="127.0.0.1")
    pair.assert_same(
        ("CONFIG", "SET", "port", str(taken_port)),
        ("CONFIG", "SET", "port", str(taken_port), "bind", "127.0.0.1 ::1"),
        ("CONFIG", "SET", "bind", "127.0.0.1 ::1", "port", str(taken_port)),
        "CONFIG GET port",
        ("CONFIG", "SET", "bind", "nosuchhost.invalid"),
        ("CONFIG", "SET", "bind", "192.0.2.1"),
        "CONFIG GET bind",
    )
