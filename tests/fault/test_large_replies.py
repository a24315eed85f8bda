"""Replies that are larger than any buffer: each byte is held once, leaves as it is made, and is given back."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import ClientPair, Server, WireClient, encode, wait_until

MB = 1 << 20
StartServer = Callable[..., Server]


def peak_bytes(server: Server) -> int:
    """The most memory that the server has had since `forget_peak`."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def forget_peak(server: Server) -> None:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def deaf_client(server: Server) -> WireClient:
    """A client whose socket takes little, so that the server has to hold what it does not read."""
    client = server.connect(tcp=True)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return client


def fill(server: Server) -> None:
    """A list of 40 MB in elements of 1,000 bytes, and a value of 1 MB."""
    for _ in range(40):
        server.call(("RPUSH", "list", *[b"y" * 1000] * 1000))
    server.call(("SET", "big", b"x" * MB))


LARGE = {
    "LRANGE": encode("LRANGE list 0 -1"),
    "EXEC": encode("MULTI") + encode("GET big") * 40 + encode("EXEC"),
    "EXEC of LRANGE": encode("MULTI") + encode("LRANGE list 0 -1") + encode("EXEC"),
    "MGET": encode(("MGET", *["big"] * 40)),
}


@pytest.mark.own_interpreter
@pytest.mark.parametrize("request_", LARGE.values(), ids=LARGE.keys())
@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
def test_a_large_reply_costs_its_bytes_once_and_none_afterwards(
    start_minikv: StartServer, request_: bytes, reads: bool
) -> None:
    server = start_minikv(tcp=True)
    fill(server)
    client = server.connect(tcp=True) if reads else deaf_client(server)
    client.call("PING")
    wait_until(lambda: rests(server), "the memory of the requests is given back")
    before = server.rss_bytes()
    forget_peak(server)
    client.send_raw(request_)
    if reads:
        for _ in range(request_.count(b"GET") + 2 if b"MULTI" in request_ else 1):
            if len(client.read()) > 30 * MB:
                break
    server.barrier()
    assert peak_bytes(server) - before < 52 * MB
    client.close()
    wait_until(lambda: server.rss_bytes() - before < 5 * MB, "the memory of the reply is given back")


def rests(server: Server) -> bool:
    """Whether the server's memory is the same after a while of nothing."""
    before = server.rss_bytes()
    for _ in range(3):
        server.barrier()
    return abs(server.rss_bytes() - before) < MB


def test_replies_are_whole_whatever_their_parts(resp2_pair: ClientPair, rng) -> None:  # type: ignore[no-untyped-def]
    """Sizes around those at which a part leaves early or is not copied, alone and among others."""
    sizes = [0, 1, 65_000, 65_535, 65_536, 65_537, 131_071, 200_000, 3_000_000]
    for number, size in enumerate(sizes):
        resp2_pair.assert_same(("SET", f"k{number}", rng.randbytes(size)))
    keys = [f"k{rng.randrange(len(sizes))}" for _ in range(30)]
    resp2_pair.assert_same(("MGET", *keys), *[f"GET {key}" for key in keys])
    resp2_pair.assert_same_pipeline("PING", *[f"GET {key}" for key in keys], ("MGET", *keys), "PING")
    resp2_pair.assert_same("MULTI", *[f"GET {key}" for key in keys], "LRANGE none 0 -1", "EXEC")
    resp2_pair.assert_same(("RPUSH", "list", *[rng.randbytes(rng.randrange(400)) for _ in range(5000)]))
    resp2_pair.assert_same_pipeline("LRANGE list 0 -1", "GET k3", "LRANGE list 0 70", "GET k8", "PING")


def test_a_transaction_that_turns_replies_off_and_on(fresh_pair: Callable[..., ClientPair]) -> None:
    pair = fresh_pair()
    pair.assert_same_raw(
        encode("MULTI") + encode("CLIENT REPLY OFF") + encode("GET a") + encode("CLIENT REPLY ON") + encode("EXEC"),
        encode("PING"),
        encode("MULTI") + encode("SET a 1") + encode("CLIENT REPLY SKIP") + encode("GET a") + encode("EXEC"),
        encode("ECHO skipped") + encode("ECHO seen"),
    )


@pytest.mark.own_interpreter
def test_the_output_limit_is_looked_at_while_a_reply_is_made(start_minikv: StartServer) -> None:
    """A transaction of 400 MB of replies to a client that may hold 8 MB."""
    server = start_minikv(tcp=True, client_output_buffer_limit=["normal", "8mb", "0", "0"])
    server.call(("SET", "big", b"x" * MB))
    before = server.rss_bytes()
    forget_peak(server)
    with deaf_client(server) as client:
        assert client.call("PING") == b"+PONG\r\n"
        client.send_raw(encode("MULTI") + encode("GET big") * 400 + encode("EXEC"))
        wait_until(lambda: server.info("clients")["connected_clients"] == "1", "the client is closed")
    assert peak_bytes(server) - before < 30 * MB
    assert "overcoming of output buffer limits" in server.log()


@pytest.mark.parametrize("request_", ["HRANDFIELD hash", "SRANDMEMBER set", "ZRANDMEMBER zset"])
def test_a_reply_without_end_ends_at_the_output_limit(start_minikv: StartServer, request_: str) -> None:
    """Billions of draws: the limit is for all of them, however fast the client reads."""
    server = start_minikv(client_output_buffer_limit=["normal", "1mb", "0", "0"])
    for command in ("HSET hash a b", "SADD set a", "ZADD zset 1 a"):
        server.call(command)
    with server.connect() as client:
        client.send(f"{request_} -{(1 << 63) - 1}")
        assert client.read_until_closed() == b""
    assert "overcoming of output buffer limits" in server.log()


def test_a_reply_without_end_ends_with_its_reader(start_minikv: StartServer) -> None:
    server = start_minikv()
    server.call("HSET hash a b")
    with server.connect() as client:
        client.send(f"HRANDFIELD hash -{(1 << 63) - 1}")
        head = b"*%d\r\n$1\r\na\r\n$1\r\na\r\n" % ((1 << 63) - 1)
        assert client.socket.recv(len(head), socket.MSG_WAITALL) == head
    assert server.call("PING") == b"+PONG\r\n"


def test_a_reply_without_end_that_nobody_reads_is_given_up(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True)
    server.call(("SADD", "set", b"x" * MB))
    with deaf_client(server) as client:
        client.send("SRANDMEMBER set -1000000000")
        wait_until(lambda: server.info("clients")["connected_clients"] == "1", "the client is closed")


def test_no_reply_of_a_pipeline_leaves_if_all_together_exceed_the_limit(start_minikv: StartServer) -> None:
    """As in Redis, what one read of the socket has asked for counts as a whole."""
    server = start_minikv(client_output_buffer_limit=["normal", "100000", "0", "0"])
    server.call(("SET", "key", b"x" * 10_000))
    with server.connect() as client:
        assert client.call("PING") == b"+PONG\r\n"
        client.send_raw(encode("GET key") * 15 + encode("SET last 1"))
        assert client.read_until_closed() == b""
    assert server.call("GET last") == b"$-1\r\n"
    with server.connect() as client:
        client.send_raw(encode("GET key") * 9 + encode("PING"))
        assert [len(client.read()) for _ in range(10)] == [10_010] * 9 + [7]


def test_monitors_obey_the_output_limit(start_minikv: StartServer) -> None:
    server = start_minikv(tcp=True, client_output_buffer_limit=["normal", "4mb", "0", "0"])
    with deaf_client(server) as monitor, server.connect() as busy:
        assert monitor.call("MONITOR") == b"+OK\r\n"
        request = encode(("ECHO", b"x" * 10_000)) * 100
        for _ in range(20):
            busy.send_raw(request)
            for _ in range(100):
                busy.read()
        wait_until(lambda: server.info("clients")["connected_clients"] == "2", "the monitor is closed")
        assert busy.call("PING") == b"+PONG\r\n"
