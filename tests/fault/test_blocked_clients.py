"""Clients that vanish, or are thrown out, while they wait for a key: nobody else may notice, nothing stays behind."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable

import pytest

from tests.fault.test_clients import MB, connected_clients, open_descriptors, reset
from tests.harness import Server, WireClient, encode, wait_until
from tests.harness.wire import TIMEOUT_S

StartServer = Callable[..., Server]


def blocked(server: Server) -> int:
    return int(server.info("clients")["blocked_clients"])


def half_close(client: WireClient) -> None:
    client.socket.shutdown(socket.SHUT_WR)


ENDINGS = [WireClient.close, reset, half_close]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_a_client_that_vanishes_while_it_waits_is_forgotten(start_minikv: StartServer, ending: object) -> None:
    server = start_minikv(tcp=True)
    server.barrier()
    descriptors = open_descriptors(server)
    clients = [server.connect(tcp=True) for _ in range(200)]
    for number, client in enumerate(clients):
        client.send(f"BZPOPMIN k k{number % 7} {number % 3 * 100}")
    last = server.connect()
    wait_until(lambda: blocked(server) == 200, "all wait")
    last.send("BZPOPMIN k 0")
    wait_until(lambda: blocked(server) == 201, "the last waits too")
    for client in clients:
        ending(client)
    wait_until(lambda: blocked(server) == 1, "those who are gone are forgotten")
    assert server.info("clients")["clients_in_timeout_table"] == "0"
    assert server.call("ZADD k 1 a") == b":1\r\n"
    assert last.read() == b"*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n"
    for number in range(7):
        server.call(f"ZADD k{number} 1 a")
    last.close()
    for client in clients:
        client.close()
    assert server.call("DBSIZE") == b":7\r\n"
    wait_until(lambda: connected_clients(server) == 1, "the server forgets the connections")
    assert open_descriptors(server) == descriptors
    assert "Traceback" not in server.log()


def test_a_client_that_vanishes_with_requests_behind_the_one_that_waits(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.barrier()
    before = server.rss_bytes()
    for ending in ENDINGS:
        client = server.connect()
        client.send_raw(encode("BZPOPMIN k 0") + encode("SET seen 1") + encode(("ECHO", b"x" * 20 * MB)))
        client.send_raw(b"*3\r\n$3\r\nSET\r\n$4\r\nseen\r\n$%d\r\n" % (30 * MB) + b"y" * 10 * MB)
        wait_until(lambda: blocked(server) == 1, "it waits")
        ending(client)
        wait_until(lambda: connected_clients(server) == 1, "the server forgets the client")
        assert blocked(server) == 0
        client.close()
    assert server.call("EXISTS seen") == b":0\r\n"
    wait_until(lambda: server.rss_bytes() - before < 32 * MB, "the server gives their requests back")


def test_a_client_that_waits_and_sends_without_end_is_not_read_from(start_minikv: StartServer) -> None:
    """What waits behind a command that waits is held up to a limit; the rest stays with the sender."""
    server = start_minikv()
    server.barrier()
    before = server.rss_bytes()
    with server.connect() as client:
        client.send("BZPOPMIN k 0")
        client.socket.settimeout(0)
        request, sent = encode(("ECHO", b"x" * 10_000)), 0
        with contextlib.suppress(BlockingIOError):
            while sent < 400 * MB:
                sent += client.socket.send(request)
                if sent % 50 == 0:
                    server.barrier()
        for _ in range(20):
            server.barrier()
        assert server.rss_bytes() - before < 120 * MB
        client.socket.settimeout(TIMEOUT_S)
        server.call("ZADD k 1 a")
        assert client.read() == b"*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n"
        assert client.read() == b"$10000\r\n%b\r\n" % (b"x" * 10_000)


def test_clients_are_killed_while_they_wait(start_minikv: StartServer) -> None:
    server = start_minikv()
    clients = [server.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(f"BZPOPMAX k {number % 2 * 100}")
    wait_until(lambda: blocked(server) == 20, "all wait")
    number = server.control.value("CLIENT ID")
    server.call("MULTI")
    server.call("ZADD k 1 a")
    server.call("CLIENT KILL TYPE normal SKIPME yes")
    assert server.call("EXEC") == b"*2\r\n:1\r\n:20\r\n"
    assert server.control.value("CLIENT ID") == number
    assert all(client.read_until_closed() == b"" for client in clients)
    assert server.call("ZCARD k") == b":1\r\n"
    assert blocked(server) == 0


def test_waiting_clients_end_with_the_server(start_minikv: StartServer) -> None:
    server = start_minikv()
    clients = [server.connect() for _ in range(10)]
    for client in clients:
        client.send("BZPOPMIN k 100")
    wait_until(lambda: blocked(server) == 10, "all wait")
    assert server.stop() == 0
    assert all(client.read_until_closed() == b"" for client in clients)


def test_nothing_is_lost_while_clients_come_and_go(start_minikv: StartServer, rng: random.Random) -> None:
    """Every member is either still there, or was sent to a client: to one that read it, or to one that was leaving."""
    server = start_minikv()
    waiting: list[WireClient] = []
    added, read, lost_at_most = 0, 0, 0
    for _ in range(1500):
        what = rng.random()
        if what < 0.4 or not waiting:
            client = server.connect()
            client.send(f"BZPOPMIN {rng.choice(['k j', 'j k', 'k'])} {rng.choice([0, 0.001, 30])}")
            waiting.append(client)
        elif what < 0.6:
            client = waiting.pop(rng.randrange(len(waiting)))
            lost_at_most += 1
            rng.choice([WireClient.close, reset])(client)
        elif what < 0.9:
            added += 1
            server.call(f"ZADD {rng.choice('kj')} {added} m{added}")
        else:
            client = waiting.pop(rng.randrange(len(waiting)))
            server.barrier()
            received, _ = client.read_available()
            read += received.startswith(b"*3")
            lost_at_most += not received
            client.close()
    for client in waiting:
        client.close()
    wait_until(lambda: connected_clients(server) == 1, "all are gone")
    left = server.control.value("ZCARD k") + server.control.value("ZCARD j")
    assert read + left <= added <= read + left + lost_at_most + len(waiting)
    assert blocked(server) == 0
    assert "Traceback" not in server.log()


def test_listeners_that_the_event_of_their_own_service_throws_out(start_minikv: StartServer) -> None:
    """All wait for one key and listen to everything, with room for less than one message."""
    server = start_minikv(
        notify_keyspace_events="KEA",
        client_output_buffer_limit=["pubsub", "64", "0", "0"],
        enable_debug_command="yes",
    )
    waiting = [server.connect() for _ in range(5)]
    for client in waiting:
        client.call("HELLO 3")
        client.call("PSUBSCRIBE *")
        client.send("BLPOP k 0")
    wait_until(lambda: blocked(server) == 5, "all wait")
    pushed = server.connect()
    assert pushed.call("RPUSH k 1 2 3 4 5 6 7") == b":7\r\n"
    wait_until(lambda: connected_clients(server) == 2, "all listeners are closed")
    assert blocked(server) == 0
    assert pushed.call("DEBUG ENGINE-CHECK") == b"+OK\r\n"
    assert "Traceback" not in server.log()
    for client in waiting:
        client.close()
