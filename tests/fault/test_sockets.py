"""Sockets that are closed, reused, reset or refused in one round of the server, by ones and by thousands."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.fault.test_clients import MB, connected_clients, open_descriptors, reset
from tests.harness import ClientPair, Server, WireClient, encode, wait_until

StartServer = Callable[..., Server]


@contextlib.contextmanager
def one_round(server: Server) -> Iterator[None]:
    """The server stands still meanwhile: what happens comes to it in one round, in that order."""
    wait_until(lambda: server.process.status() == psutil.STATUS_SLEEPING, "the round before is over")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: server.process.status() == psutil.STATUS_STOPPED, "the server stands still")
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def field(client: WireClient, name: str) -> int:
    """A number in the client's own line of CLIENT LIST."""
    line: bytes = client.value("CLIENT INFO")
    return int(line.split(f"{name}=".encode())[1].split()[0])


def crowd_of(server: Server, count: int, tcp: Callable[[int], bool] = lambda number: False) -> list[WireClient]:
    """Connections that have all been accepted: the kernel keeps a few hundred waiting."""
    clients = []
    for number in range(count):
        clients.append(server.connect(tcp=tcp(number)))
        if number % 100 == 99:
            server.barrier()
    return clients


def voluntary_switches(server: Server) -> int:
    return int(server.process.num_ctx_switches().voluntary)


def wait_for_sleep(server: Server) -> None:
    """Until the server has slept several times: it does not if the kernel reports again and again what it ignores."""
    before = voluntary_switches(server)
    wait_until(lambda: voluntary_switches(server) >= before + 3, "the server sleeps")


def half_close(client: WireClient) -> None:
    client.socket.shutdown(socket.SHUT_WR)


# -- in one round ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_a_descriptor_that_is_used_again_gets_nothing_of_the_old_connection(
    start_minikv: StartServer, tcp: bool
) -> None:
    server = start_minikv(tcp=True)
    with server.connect(tcp=tcp) as killer, server.connect(tcp=tcp) as victim:
        number, fd = field(victim, "id"), field(victim, "fd")
        killer.call("PING")
        with one_round(server):
            killer.send(f"CLIENT KILL ID {number}")
            newcomer = server.connect(tcp=tcp)
            newcomer.send("CLIENT INFO")
            victim.send("SET seen 1")
        assert killer.read() == b":1\r\n"
        assert b" fd=%d " % fd in newcomer.read(), "the descriptor was to be used again"
        assert server.call("EXISTS seen") == b":0\r\n"
        assert newcomer.call("PING") == b"+PONG\r\n"
        assert victim.read_until_closed() == b""
        newcomer.close()


def test_everybody_kills_everybody_else(start_minikv: StartServer) -> None:
    """One of them comes first; the others' requests are not executed, whatever the round has seen of them."""
    server = start_minikv()
    server.barrier()
    descriptors = open_descriptors(server)
    clients = [server.connect() for _ in range(100)]
    for client in clients:
        client.call("PING")
    with one_round(server):
        for client in clients:
            client.send_raw(encode("INCR seen") + encode("CLIENT KILL TYPE normal SKIPME yes"))
    survivor, *others = clients
    assert survivor.read() + survivor.read() == b":1\r\n:100\r\n"  # the harness's own connection among them
    assert all(other.read_until_closed() == b"" for other in others)
    assert survivor.call("GET seen") == b"$1\r\n1\r\n"
    assert open_descriptors(server) == descriptors
    with pytest.raises((OSError, AssertionError)):
        server.call("PING")


def test_more_sockets_than_one_round_can_see(start_minikv: StartServer) -> None:
    server = start_minikv()
    clients = crowd_of(server, 700)
    for client in clients:
        client.call("PING")
    with one_round(server):
        for number, client in enumerate(clients):
            client.send_raw(encode(f"ECHO {number}") + encode("INCR seen"))
    for number, client in enumerate(clients):
        assert client.read() == b"$%d\r\n%d\r\n" % (len(str(number)), number)
    assert server.call("GET seen") == b"$3\r\n700\r\n"
    for client in clients:
        client.close()


def test_a_crowd_comes_says_something_and_goes_at_once(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True)
    server.barrier()
    descriptors = open_descriptors(server)
    for ending in (WireClient.close, half_close, reset):
        with one_round(server):
            crowd = [server.connect(tcp=bool(number % 2)) for number in range(300)]
            for client in crowd:
                client.send("INCR seen")
                ending(client)
        server.barrier()  # all have been accepted
        wait_until(lambda: connected_clients(server) == 1, "all have gone")
        assert open_descriptors(server) == descriptors
        for client in crowd:
            client.close()
    assert int(server.control.value("GET seen")) >= 600, "a close delivers what was sent before"


def test_places_that_become_free_in_a_round_are_taken_in_it(start_minikv: StartServer) -> None:
    server = start_minikv(maxclients=10)
    server.barrier()
    members = [server.connect() for _ in range(9)]
    for member in members:
        assert member.call("PING") == b"+PONG\r\n"
    with one_round(server):
        for member in members:
            member.send("QUIT")
        guests = [server.connect() for _ in range(10)]
        for guest in guests:
            guest.send("PING")
    received = [guest.read() for guest in guests]
    assert received == [b"+PONG\r\n"] * 9 + [b"-ERR max number of clients reached\r\n"]
    assert [member.read_until_closed() for member in members] == [b"+OK\r\n"] * 9


def test_a_socket_that_no_longer_listens_is_not_accepted_from(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True, bind="127.0.0.1")
    server.barrier()
    with one_round(server):
        server.control.send("CONFIG SET port 0")
        late = [server.connect(tcp=True) for _ in range(10)]
    assert server.control.read() == b"+OK\r\n"
    for client in late:
        assert client.read_until_closed() == b""
    assert connected_clients(server) == 1


@pytest.mark.parametrize(
    ("joining", "leaving"),
    [("SUBSCRIBE news", "UNSUBSCRIBE news"), ("PSUBSCRIBE n*", "PUNSUBSCRIBE"), ("MONITOR", "RESET")],
)
def test_what_was_sent_before_a_client_leaves_comes_before_it_has_left(
    start_minikv: StartServer, joining: str, leaving: str
) -> None:
    """A client that has left takes the next value for the reply of its next request."""
    server = start_minikv()
    with server.connect() as sender, server.connect() as receiver:
        sender.call("PING")
        receiver.call(joining)
        with one_round(server):
            sender.send("PUBLISH news today")
            receiver.send_raw(encode(leaving) + encode("PING last"))
        assert b"today" in receiver.read()
        assert b"today" not in receiver.read()
        assert receiver.read() == b"$4\r\nlast\r\n"


# -- half-closed -------------------------------------------------------------------------------------------------------


def test_a_half_closed_client_gets_what_a_long_pipeline_has_asked_for(resp2_pair: ClientPair) -> None:
    """Its turn is over several times before the last request."""
    resp2_pair.assert_same(("SET", "big", b"x" * MB))
    received = []
    for client in (resp2_pair.subject, resp2_pair.oracle):
        client.send_raw(encode("BITCOUNT big") * 1000 + encode("ECHO last"))
        half_close(client)
        received.append(client.read_until_closed())
    assert received[0] == received[1]
    assert received[0] == b":%d\r\n" % (4 * MB) * 1000 + b"$4\r\nlast\r\n"


def test_a_half_closed_client_gets_more_replies_than_are_held_for_it(start_minikv: StartServer) -> None:
    """Redis drops what the socket does not take at once."""
    server = start_minikv()
    server.call(("SET", "big", b"x" * 3 * MB))
    with server.connect() as client:
        client.send_raw(encode("GET big") * 20 + encode("ECHO last"))
        half_close(client)
        assert client.read_until_closed() == b"$%d\r\n%b\r\n" % (3 * MB, b"x" * 3 * MB) * 20 + b"$4\r\nlast\r\n"


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "choked"])
def test_a_half_closed_client_that_does_not_read_keeps_nobody_awake(start_minikv: StartServer, paused: bool) -> None:
    server = start_minikv()
    server.call(("SET", "big", b"x" * 3 * MB))
    with server.connect() as client:
        client.send_raw(encode("GET big") * (2 if paused else 20))
        wait_until(lambda: b" events=rw " in server.control.value("CLIENT LIST"), "replies wait for room")
        if paused:
            server.call("CLIENT PAUSE 60000 WRITE")
        client.send("SET seen 1")
        half_close(client)
        for _ in range(3):
            server.barrier()
        wait_for_sleep(server)
        assert connected_clients(server) == 2
        expected = b"$%d\r\n%b\r\n" % (3 * MB, b"x" * 3 * MB) * (2 if paused else 20)
        assert client.read_until_closed() == expected + (b"" if paused else b"+OK\r\n")


# -- resets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("ending", [WireClient.close, reset], ids=["close", "reset"])
def test_a_client_that_goes_while_nothing_is_read_from_it(start_minikv: StartServer, tcp: bool, ending: object) -> None:
    """It waits for a key, with more requests behind that than are held: its end comes behind bytes that lie unread."""
    server = start_minikv(tcp=True)
    client = server.connect(tcp=tcp)
    client.send("BLPOP key 0")
    client.send_raw(encode(("ECHO", b"x" * (MB - 100))) * 64 + encode(("ECHO", b"x" * 100_000)))
    wait_until(lambda: held_bytes(server) > 64 * MB, "nothing is read any more")
    assert callable(ending)
    ending(client)
    wait_until(lambda: connected_clients(server) == 1, "the server forgets the client")
    assert server.info("clients")["blocked_clients"] == "0"


def held_bytes(server: Server) -> int:
    """Bytes of requests that wait, of all clients."""
    lines = server.control.value("CLIENT LIST").splitlines()
    return sum(int(line.split(b" qbuf=")[1].split()[0]) for line in lines)


@pytest.mark.parametrize("last", ["QUIT", "PING"])
def test_a_reset_while_replies_are_unread(start_minikv: StartServer, last: str) -> None:
    server = start_minikv(tcp=True)
    server.call(("SET", "big", b"x" * 3 * MB))
    descriptors = open_descriptors(server)
    for _ in range(5):
        client = server.connect(tcp=True)
        client.send_raw(encode("GET big") * 10 + encode(last))
        wait_until(lambda: b" events=rw " in server.control.value("CLIENT LIST"), "replies wait for room")
        reset(client)
        wait_until(lambda: connected_clients(server) == 1, "the server forgets the client")
    assert open_descriptors(server) == descriptors
    assert "Traceback" not in server.log()


def test_a_client_closed_by_its_subscriptions_leaves_none_behind(start_minikv: StartServer) -> None:
    """The confirmations that it does not read are above its limit before the last channel's turn."""
    server = start_minikv()
    server.call(("CONFIG", "SET", "client-output-buffer-limit", "pubsub 100000 0 0"))
    for kind in ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"):
        with server.connect() as client:
            client.send((kind, *(b"%d" % number + b"x" * 1000 for number in range(3000))))
            wait_until(lambda: connected_clients(server) == 1, "the server closes the client")
    assert server.control.value("PUBSUB CHANNELS") == server.control.value("PUBSUB SHARDCHANNELS") == []
    assert server.control.value("PUBSUB NUMPAT") == 0


# -- descriptors -------------------------------------------------------------------------------------------------------


def test_without_descriptors_newcomers_wait_and_nobody_else_notices(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True)
    server.barrier()
    members = [server.connect(tcp=True) for _ in range(5)]
    for member in members:
        assert member.call("PING") == b"+PONG\r\n"
    limit = open_descriptors(server) + 3
    server.process.rlimit(psutil.RLIMIT_NOFILE, (limit, limit))
    crowd = [server.connect(tcp=True) for _ in range(20)]
    for number, client in enumerate(crowd):
        client.send(f"ECHO {number:02}")
    complaint = "Accepting client connection: accept: Too many open files"
    wait_until(lambda: complaint in server.log(), "there is no descriptor left")
    wait_for_sleep(server)
    for number in range(200):
        assert members[number % 5].call(("SET", "key", number)) == b"+OK\r\n"
    for number, client in enumerate(crowd):  # who has been served makes room for those behind
        assert client.read() == b"$2\r\n%02d\r\n" % number
        client.close()
    assert server.log().count(complaint) == 1
    for member in members:
        assert member.call("PING") == b"+PONG\r\n"
    with server.connect(tcp=True) as late:
        assert late.call("PING") == b"+PONG\r\n"


@pytest.mark.own_interpreter
def test_thousands_come_and_go_and_nothing_stays(start_minikv: StartServer, rng: random.Random) -> None:
    server = start_minikv(tcp=True)
    server.call(("SET", "big", b"x" * MB))
    descriptors = open_descriptors(server)

    def crowd() -> None:
        for _ in range(20):
            clients = crowd_of(server, 100, lambda number: number % 2 == 0)
            for client in clients:
                with contextlib.suppress(BrokenPipeError):
                    client.send_raw(
                        rng.choice([b"", encode("PING"), encode("GET big"), b"*2\r\n$3\r\nGET\r\n$100\r\nx"])
                    )
                rng.choice([WireClient.close, half_close, reset])(client)
            for client in clients:
                client.close()
        wait_until(lambda: connected_clients(server) == 1, "all have gone")

    crowd()
    before = server.rss_bytes()
    crowd()
    crowd()
    assert open_descriptors(server) == descriptors
    wait_until(lambda: server.rss_bytes() - before < MB, "the memory of 4,000 clients is given back")
    assert "Traceback" not in server.log()


@pytest.mark.own_interpreter
def test_many_idle_clients_cost_little(start_minikv: StartServer) -> None:
    """redis-server takes about 1.4 KB for each, and an event loop's transport alone 1.2 KB."""
    server = start_minikv()
    crowds = []
    for _ in range(2):
        crowds.append(crowd_of(server, 2000))
        for client in crowds[-1]:
            assert client.call("GET none") == b"$-1\r\n"
        if len(crowds) == 1:
            before = server.rss_bytes()
    each = (server.rss_bytes() - before) / 2000
    assert each < 1400, f"{each:.0f} bytes"
    for client in crowds[0] + crowds[1]:
        client.close()
