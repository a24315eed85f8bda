"""Starting where something is taken, and ending with work at hand."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.harness import MINIKV, Server, encode, wait_until

StartServer = Callable[..., Server]


@pytest.fixture
def second(request: pytest.FixtureRequest, start_minikv: StartServer) -> Callable[..., Server]:
    """Launches another minikv without waiting for an answer."""

    def launch(**settings: object) -> Server:
        server = Server(MINIKV, settings)
        request.addfinalizer(server.dispose)
        server.launch()
        return server

    return launch


def test_a_port_that_is_taken_is_named(start_minikv: StartServer, second: Callable[..., Server]) -> None:
    first = start_minikv(tcp=True)
    late = second(port=first.port)
    assert late.wait() == 1
    assert str(first.port) in late.log()
    assert "Traceback" not in late.log()
    assert first.call("PING") == b"+PONG\r\n"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_order(start_minikv: StartServer, signal_number: int) -> None:
    server = start_minikv(tcp=True)
    with server.connect() as client:
        client.value("SET a 1")
        os.kill(server.pid, signal_number)
        assert server.wait() == 0
        assert client.read_until_closed() == b""
    assert not os.path.exists(server.socket_path)
    assert "bye bye" in server.log()


def test_the_server_ends_though_clients_do_not_read(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call(("SET", "big", b"x" * (5 << 20)))
    with server.connect() as deaf, server.connect() as partial:
        deaf.send_raw(encode("GET big") * 10)
        partial.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000\r\nabc")
        server.barrier()
        assert server.stop() == 0


def test_a_restarted_server_finds_its_port_free(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True)
    for _ in range(3):
        with server.connect(tcp=True) as client:
            assert client.call("PING") == b"+PONG\r\n"
            server.restart()
    server.kill()
    server.start()
    assert server.call("PING") == b"+PONG\r\n"


def test_a_restarted_server_finds_its_port_free_while_an_old_child_saves(start_minikv: StartServer) -> None:
    """A saving child holds no descriptor of the server: not the listening sockets, not the clients'."""
    server = start_minikv(tcp=True, rdb_key_save_delay=100_000)
    for index in range(100):
        server.call(f"SET key:{index} {index}")
    client = server.connect(tcp=True)
    assert client.call("BGSAVE") == b"+Background saving started\r\n"
    wait_until(lambda: bool(server.children()), "the child is there")
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    assert client.read_until_closed() == b""
    server.start()
    assert server.connect(tcp=True).call("PING") == b"+PONG\r\n"
