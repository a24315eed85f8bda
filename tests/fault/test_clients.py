"""Clients that misbehave: they die in mid-bulk, never read, stay silent, send anything. Nobody else may notice."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import ClientPair, Server, WireClient, encode, parse, split, wait_until
from tests.harness.wire import TIMEOUT_S

MB = 1 << 20
StartServer = Callable[..., Server]


def open_descriptors(server: Server) -> int:
    return int(server.process.num_fds())


def connected_clients(server: Server) -> int:
    return int(server.info("clients")["connected_clients"])


def reset(client: WireClient) -> None:
    """Ends a connection without a farewell."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


# -- connections that end ----------------------------------------------------------------------------------------------


def test_a_half_closed_connection_gets_its_replies(resp2_pair: ClientPair) -> None:
    received = []
    for client in (resp2_pair.subject, resp2_pair.oracle):
        client.send_raw(encode("SET a 1") + encode("GET a") + encode("ECHO last"))
        client.socket.shutdown(socket.SHUT_WR)
        received.append(client.read_until_closed())
    assert received[0] == received[1] == b"+OK\r\n$1\r\n1\r\n$4\r\nlast\r\n"


def test_a_half_closed_connection_in_mid_request_is_closed(resp2_pair: ClientPair) -> None:
    for client in (resp2_pair.subject, resp2_pair.oracle):
        client.send_raw(encode("PING") + b"*2\r\n$4\r\nECHO\r\n$100\r\nabc")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_until_closed() == b"+PONG\r\n"


def test_a_client_that_dies_in_mid_bulk_leaves_nothing_behind(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True)
    server.barrier()
    before, descriptors = server.rss_bytes(), open_descriptors(server)
    for tcp in (False, True):
        for ending in (WireClient.close, reset):
            client = server.connect(tcp=tcp)
            client.send_raw(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n" % (200 * MB) + b"x" * 30 * MB)
            server.barrier()
            ending(client)
            wait_until(lambda: connected_clients(server) == 1, "the server forgets the client")
    assert server.call("EXISTS key") == b":0\r\n"
    assert open_descriptors(server) == descriptors
    wait_until(lambda: server.rss_bytes() - before < 45 * MB, "the server gives the half-read value back")


def test_a_client_that_dies_before_its_replies_are_read(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True)
    server.call(("SET", "big", b"x" * MB))
    for ending in (WireClient.close, reset):
        client = server.connect(tcp=True)
        client.send_raw(encode("GET big") * 50 + encode("SET seen 1"))
        ending(client)
        wait_until(lambda: connected_clients(server) == 1, "the server forgets the client")
    assert server.call("PING") == b"+PONG\r\n"


def test_many_short_connections_leave_nothing_behind(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True)
    server.barrier()
    descriptors = open_descriptors(server)
    for index in range(1500):
        with server.connect(tcp=bool(index % 2)) as client:
            if index % 3:
                assert client.call("PING") == b"+PONG\r\n"
    wait_until(lambda: connected_clients(server) == 1, "the server forgets the clients")
    assert open_descriptors(server) == descriptors


# -- clients that do not read ------------------------------------------------------------------------------------------


def test_a_client_that_does_not_read_is_not_read_from(start_minikv: StartServer) -> None:
    """2 GB of replies are asked for; the server must neither hold them nor lose one."""
    server = start_minikv()
    value = random.Random(1).randbytes(MB)
    server.call(("SET", "big", value))
    before = server.rss_bytes()
    with server.connect() as client:
        client.socket.settimeout(0)
        request, asked = encode("GET big"), 0
        with contextlib.suppress(BlockingIOError):
            while asked < 2000:
                client.socket.sendall(request)
                asked += 1
        for _ in range(20):
            server.barrier()
        assert server.rss_bytes() - before < 100 * MB
        client.socket.settimeout(TIMEOUT_S)
        if asked < 2000:  # the socket took only a part of the last request: the rest is not sent
            asked -= 1
        for _ in range(min(asked, 300)):
            assert client.read() == b"$%d\r\n%b\r\n" % (MB, value)


def test_others_are_served_while_a_client_does_not_read(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call(("SET", "big", b"x" * 10 * MB))
    with server.connect() as deaf, server.connect() as other:
        deaf.send_raw(encode("GET big") * 20)
        for index in range(200):
            assert other.call(("SET", "counter", index)) == b"+OK\r\n"
        assert [len(deaf.read()) for _ in range(20)] == [10 * MB + len(b"$10485760\r\n\r\n")] * 20


@pytest.mark.parametrize(
    ("limit", "size"), [("normal 4mb 0 0", 6 * MB), ("normal 0 1mb 1", 2 * MB)], ids=["hard limit", "soft limit"]
)
def test_the_output_limit_closes_a_client_that_does_not_read(start_minikv: StartServer, limit: str, size: int) -> None:
    server = start_minikv(client_output_buffer_limit=limit.split())
    server.call(("SET", "big", b"x" * size))
    with server.connect() as deaf:
        assert deaf.call("PING") == b"+PONG\r\n"
        deaf.send_raw(encode("GET big") * 10)
        wait_until(lambda: connected_clients(server) == 1, "the client that does not read is closed")
        assert len(deaf.read_until_closed()) < 10 * size
    assert server.call("PING") == b"+PONG\r\n"


def test_a_reader_that_is_slow_but_reads_gets_everything(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call(("SET", "big", b"y" * 3 * MB))
    with server.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send_raw(encode("GET big") + encode("PING"))
        received = bytearray()
        while not received.endswith(b"+PONG\r\n"):
            received += client.socket.recv(10_000)
            if len(received) % 7 == 0:
                server.barrier()
        assert len(received) == 3 * MB + len(b"$3145728\r\n\r\n+PONG\r\n")


# -- large requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10 * MB, 100 * MB], ids=["10 MB", "100 MB"])
def test_large_values(start_minikv: StartServer, size: int) -> None:
    server = start_minikv()
    value = random.Random(size).randbytes(MB) * (size // MB)
    with server.connect() as client:
        assert client.call(("SET", "big", value)) == b"+OK\r\n"
        assert client.call("STRLEN big") == b":%d\r\n" % size
        assert client.value("GET big") == value
        assert client.value(f"GETRANGE big {size - 5} -1") == value[-5:]
        assert client.call("DEL big") == b":1\r\n"
        assert client.call("PING") == b"+PONG\r\n"


def test_a_large_value_costs_no_second_copy_for_long(start_minikv: StartServer) -> None:
    server = start_minikv()
    before = server.rss_bytes()
    with server.connect() as client:
        client.call(("SET", "big", b"x" * 100 * MB))
        client.call("PING")
        wait_until(lambda: server.rss_bytes() - before < 160 * MB, "only the value itself is held")


def test_the_query_buffer_limit_closes_the_client(start_minikv: StartServer) -> None:
    server = start_minikv(client_query_buffer_limit="1mb")
    with server.connect() as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send_raw(b"*2\r\n$4\r\nECHO\r\n$5000000\r\n" + b"x" * 4_000_000)
        assert client.read_until_closed() == b""
    assert server.call("PING") == b"+PONG\r\n"


def test_the_query_buffer_limit_counts_no_whole_arguments(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(client_query_buffer_limit="1mb")
    pair.assert_same(("MSET", *[f"{number}".ljust(1000, "x") for number in range(3000)]), "DBSIZE")


def test_proto_max_bulk_len_is_kept(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(proto_max_bulk_len="1mb")
    pair.assert_same(
        ("ECHO", b"x" * MB), ("SET", "a", b"x" * MB), "APPEND a x", "SETRANGE a 1048576 x", "SETBIT a 8388608 1"
    )
    pair.assert_same("GETRANGE a 0 3", "SETRANGE a 1048575 y", "STRLEN a")
    pair.assert_same_raw(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n")


# -- limits of connections ---------------------------------------------------------------------------------------------


def test_maxclients(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair(maxclients=5)
    for client in (pair.subject, pair.oracle):
        client.value("PING")
    held = [pair.another() for _ in range(4)]
    refused = [server.connect().read_until_closed() for server in pair.servers]
    assert refused[0] == refused[1]
    held[0].close()
    for server in pair.servers:
        wait_until(lambda server=server: server.connect().call("PING") == b"+PONG\r\n", "a place is free again")


def test_an_idle_client_is_closed_after_timeout(start_minikv: StartServer) -> None:
    server = start_minikv(timeout=1)
    with server.connect() as idle, server.connect() as partial, server.connect() as busy:
        assert idle.call("PING") == b"+PONG\r\n"
        partial.send_raw(b"*2\r\n$4\r\nECHO\r\n$100\r\nabc")

        def idle_is_closed() -> bool:
            assert busy.call("PING") == b"+PONG\r\n"
            return idle.read_available()[1]

        wait_until(idle_is_closed, "the idle client is closed")
        assert partial.read_until_closed() == b""
        assert busy.call("PING") == b"+PONG\r\n"


# -- before authentication ---------------------------------------------------------------------------------------------

HOARDS = {
    "many arguments": b"*10\r\n" + b"$16384\r\n%b\r\n" % (b"x" * 16384) * 9 + b"$16384\r\n" + b"x" * 16000,
    "one bulk": b"*1\r\n$16384\r\n" + b"x" * 16000,
    "bulk that is not sent": b"*1\r\n$16384\r\n",
    "too large a bulk": b"*1\r\n$100000000\r\n" + b"x" * 100_000,
    "too many arguments": b"*1000000\r\n" + b"$1\r\nx\r\n" * 10_000,
    "long line": b"x" * 60_000,
    "endless line": b"x" * 1_000_000,
    "requests without reading replies": encode("PING") * 20_000,
}


@pytest.mark.parametrize("hoard", HOARDS.values(), ids=HOARDS.keys())
def test_strangers_cannot_make_the_server_hold_much(start_minikv: StartServer, hoard: bytes) -> None:
    """200 connections without a password: the server grows by no more than a few KB for each."""
    server = start_minikv(requirepass="secret")
    strangers = [server.connect() for _ in range(200)]
    server.barrier()
    before = server.rss_bytes()
    for stranger in strangers:
        stranger.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            stranger.socket.sendall(hoard)
    server.barrier()
    server.barrier()
    growth = server.rss_bytes() - before
    for stranger in strangers:
        stranger.close()
    assert growth < 200 * 32 * 1024, f"{growth / 200 / 1024:.1f} KB for each connection"
    wait_until(lambda: connected_clients(server) == 1, "the server forgets the strangers")


# -- any bytes ---------------------------------------------------------------------------------------------------------

piece = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"\r\n",
            b"*",
            b"$",
            b"*1\r\n",
            b"*3\r\n$3\r\nSET\r\n",
            b"$5\r\n",
            b"\x00",
            b"*2147483647\r\n",
            b"$536870912\r\n",
        ]
    ),
    st.sampled_from(
        [
            encode("PING"),
            encode("GET a"),
            encode("HELLO 3"),
            encode("RESET"),
            encode("MULTI"),
            encode("EXEC"),
            b"PING\r\n",
        ]
    ),
    st.sampled_from([b">2\r\n", b"%1\r\n", b"_\r\n", b"#t\r\n", b"=5\r\ntxt:a\r\n", b"(1\r\n", b"|1\r\n"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(pieces=st.lists(piece, max_size=15), apart=st.booleans())
def test_any_bytes_give_replies_or_a_protocol_error(minikv: Server, pieces: list[bytes], apart: bool) -> None:
    with minikv.connect() as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for data in pieces if apart else [b"".join(pieces)]:
            client.send_raw(data)
        minikv.barrier()
        received, closed = client.read_available()
        replies = split(received)
        assert b"".join(replies) == received, "only whole replies"
        for reply in replies:
            parse(reply)
        if closed:
            assert replies[-1].startswith(b"-ERR Protocol error")
    assert minikv.call("PING") == b"+PONG\r\n"


def test_a_flood_of_garbage_disturbs_nobody(start_minikv: StartServer, rng: random.Random) -> None:
    server = start_minikv()
    server.barrier()
    before, descriptors = server.rss_bytes(), open_descriptors(server)
    with server.connect() as neighbour:
        for index in range(300):
            with server.connect() as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.send_raw(rng.randbytes(rng.choice([1, 100, 5_000, 200_000])))
            assert neighbour.call(("INCR", "served")) == b":%d\r\n" % (index + 1)
    wait_until(lambda: connected_clients(server) == 1, "the server forgets the clients")
    assert open_descriptors(server) == descriptors
    assert server.rss_bytes() - before < 32 * MB
    assert "Traceback" not in server.log()


# -- clients that are being closed -------------------------------------------------------------------------------------


def listed(server: Server, client_id: int) -> bytes:
    """The client's line in CLIENT LIST; empty without one."""
    line: bytes = server.control.value(f"CLIENT LIST ID {client_id}")
    return line


@pytest.mark.parametrize("last", [encode("QUIT"), b"*1\r\n*1\r\n"], ids=["QUIT", "protocol error"])
def test_a_client_is_listed_and_counted_until_its_socket_is_closed(start_minikv: StartServer, last: bytes) -> None:
    server = start_minikv()
    server.call(("SET", "big", b"x" * 3 * MB))
    descriptors = open_descriptors(server)
    with server.connect() as client:
        number = client.value("CLIENT ID")
        client.send_raw(encode("GET big") + last)
        wait_until(lambda: b"cU db=" in listed(server, number), "the client is being closed")
        assert connected_clients(server) == 2
        assert open_descriptors(server) == descriptors + 1
        assert client.read() == b"$%d\r\n%b\r\n" % (3 * MB, b"x" * 3 * MB)
        assert len(client.read_until_closed()) > 0
    wait_until(lambda: listed(server, number) == b"", "the client is forgotten")
    assert open_descriptors(server) == descriptors


def test_a_client_that_is_being_closed_can_be_killed(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call(("SET", "big", b"x" * 3 * MB))
    descriptors = open_descriptors(server)
    with server.connect() as client:
        number = client.value("CLIENT ID")
        client.send_raw(encode("GET big") + encode("QUIT"))
        wait_until(lambda: b"cU db=" in listed(server, number), "the client is being closed")
        assert server.call(f"CLIENT KILL ID {number}") == b":1\r\n"
        assert listed(server, number) == b""
        server.barrier()
        assert open_descriptors(server) == descriptors
        assert len(client.read_until_closed()) < 3 * MB


def test_a_half_closed_client_gets_a_reply_that_takes_long_to_read(resp2_pair: ClientPair) -> None:
    resp2_pair.assert_same(("SET", "big", b"x" * 3 * MB))
    client = resp2_pair.subject
    client.send_raw(encode("GET big") + encode("GET big"))
    client.socket.shutdown(socket.SHUT_WR)
    assert client.read_until_closed() == b"$%d\r\n%b\r\n" % (3 * MB, b"x" * 3 * MB) * 2


def leave_replies(server: Server, last: bytes) -> WireClient:
    """A stranger with more replies than its socket takes, who then ends the conversation."""
    stranger = server.connect()
    stranger.socket.settimeout(0)
    with contextlib.suppress(OSError):
        for _ in range(400):
            stranger.socket.sendall(b"X\r\n" * 30)
            server.call("PING")
    with contextlib.suppress(OSError):
        stranger.socket.sendall(last)
    return stranger


def test_strangers_cannot_take_every_descriptor(start_minikv: StartServer) -> None:
    """They leave replies unread and break the protocol; the server has no descriptor more than it needs."""
    server = start_minikv(requirepass="secret", maxclients=20, save="")
    server.barrier()
    server.process.rlimit(psutil.RLIMIT_NOFILE, (52, 52))
    strangers = [leave_replies(server, b"*1\r\n*1\r\n") for _ in range(60)]
    assert len(server.control.value("CLIENT LIST").splitlines()) == connected_clients(server) <= 20
    assert open_descriptors(server) < 52
    assert server.call("SAVE") == b"+OK\r\n"
    wait_until(lambda: connected_clients(server) == 1, "strangers who do not read have to go")
    with server.connect() as guest:
        assert guest.call("AUTH secret") == b"+OK\r\n"
    for stranger in strangers:
        stranger.close()


def test_strangers_who_say_nothing_make_room(start_minikv: StartServer) -> None:
    server = start_minikv(requirepass="secret", maxclients=10)
    server.barrier()
    strangers = [server.connect() for _ in range(8)]
    old = server.connect()
    assert old.call("AUTH secret") == b"+OK\r\n"

    def comes_in() -> bool:
        with server.connect() as guest, contextlib.suppress(OSError, AssertionError):
            return guest.call("AUTH secret") == b"+OK\r\n"
        return False

    assert not comes_in()
    wait_until(comes_in, "a stranger has had time enough to authenticate")
    assert connected_clients(server) <= 10
    assert old.call("RESET") == b"+RESET\r\n"
    old.send_raw(b"*2\r\n$4\r\nAUTH\r\n$6\r\nse")
    time.sleep(0.3)  # the cron looks for those whose time is over
    old.send_raw(b"cret\r\n")
    assert old.read() == b"+OK\r\n", "the time of a stranger counts from the moment that it became one"
    for stranger in strangers:
        stranger.close()


def test_a_crowd_at_the_door_leaves_descriptors_for_a_save(start_minikv: StartServer) -> None:
    server = start_minikv(maxclients=10)
    server.barrier()
    server.process.rlimit(psutil.RLIMIT_NOFILE, (42, 42))
    members = [server.connect() for _ in range(9)]
    for member in members:
        assert member.call("PING") == b"+PONG\r\n"
    crowd = [server.connect() for _ in range(100)]
    assert server.call("SAVE") == b"+OK\r\n"
    for client in crowd:
        assert client.read_until_closed() == b"-ERR max number of clients reached\r\n"
    assert open_descriptors(server) < 42
