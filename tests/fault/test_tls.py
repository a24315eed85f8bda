"""Peers that misbehave under TLS: records in pieces, handshakes that never end, replies unread, sudden ends."""

from __future__ import annotations

import contextlib
import ctypes
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Server, WireClient, encode, free_port, wait_until
from tests.harness.certificates import Certificates

StartServer = Callable[..., Server]


class Peer:
    """A client that holds the encrypted bytes in its own hands."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)

    def shake_hands(self) -> Peer:
        while True:
            try:
                self.tls.do_handshake()
                self.socket.sendall(self.outgoing.read())
                return self
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                self.feed()

    def hello(self) -> bytes:
        """The first message of a handshake."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def encrypted(self, data: bytes) -> bytes:
        at = 0
        while at < len(data):
            at += self.tls.write(data[at:])  # a record
        return self.outgoing.read()

    def feed(self) -> bool:
        data = self.socket.recv(1 << 16)
        self.incoming.write(data)
        return bool(data)

    def read(self, length: int) -> bytes:
        """So many bytes, decrypted; fewer if the server ends the connection."""
        received = b""
        while len(received) < length:
            try:
                data = self.tls.read(length - len(received))
                if not data:
                    break
                received += data
            except ssl.SSLWantReadError:
                if not self.feed():
                    break
        return received

    def expect(self, data: bytes) -> None:
        assert self.read(len(data)) == data


@pytest.fixture(scope="module")
def server(module_minikv: StartServer, certificates: Certificates) -> Server:
    return module_minikv(**certificates.settings(), **{"tls-port": free_port()})


@pytest.fixture
def peer(server: Server, certificates: Certificates, unharmed: None) -> Iterator[Peer]:
    peer = Peer(tls_port(server), certificates.client_context()).shake_hands()
    yield peer
    peer.socket.close()


def tls_port(server: Server) -> int:
    return int(server.info("server")["tcp_port"])


def connected_clients(server: Server) -> int:
    return int(server.info("clients")["connected_clients"])


@pytest.fixture(autouse=True)
def unharmed(server: Server, certificates: Certificates) -> Iterator[None]:
    """Whatever a peer does, it is forgotten when it has gone, and others are served."""
    yield
    with WireClient(("127.0.0.1", tls_port(server)), context=certificates.client_context()) as client:
        assert client.call("PING") == b"+PONG\r\n"
    wait_until(lambda: connected_clients(server) == 1, "the server forgets its clients")
    assert "Unexpected error" not in server.log()


def test_records_in_pieces_and_requests_across_records(peer: Peer) -> None:
    request = encode(("SET", "key", "value" * 20)) + encode("GET key") + encode("PING")
    for byte in peer.encrypted(request):
        peer.socket.sendall(bytes([byte]))
    expected = b"+OK\r\n$100\r\n" + b"value" * 20 + b"\r\n+PONG\r\n"
    peer.expect(expected)
    peer.socket.sendall(b"".join(peer.encrypted(bytes([byte])) for byte in request))
    peer.expect(expected)


def test_a_pipeline_of_many_records_in_one_segment(peer: Peer) -> None:
    requests = [encode(("ECHO", bytes([65 + n]) * 50_000)) for n in range(20)]
    peer.socket.sendall(peer.encrypted(b"".join(requests)))
    expected = b"".join(b"$50000\r\n" + bytes([65 + n]) * 50_000 + b"\r\n" for n in range(20))
    peer.expect(expected)


def test_replies_wait_for_a_peer_that_reads_late(server: Server, peer: Peer) -> None:
    value = bytes(range(256)) * 16_384  # 4 MB
    assert server.call(("SET", "big", value)) == b"+OK\r\n"
    peer.socket.sendall(peer.encrypted(b"GET big\r\nPING\r\n" * 6))
    server.barrier()
    assert server.call("PING") == b"+PONG\r\n"
    reply = b"$%d\r\n%b\r\n+PONG\r\n" % (len(value), value)
    for _ in range(6):
        peer.expect(reply)
    peer.socket.sendall(peer.encrypted(encode("ECHO end")))
    peer.expect(b"$3\r\nend\r\n")


def test_a_peer_that_goes_with_replies_unread_is_forgotten(server: Server, peer: Peer) -> None:
    server.call(("SET", "big", b"x" * 4_000_000))
    peer.socket.sendall(peer.encrypted(b"GET big\r\n" * 12))
    server.barrier()
    peer.socket.close()


def test_kill_of_a_peer_that_does_not_read(server: Server, peer: Peer) -> None:
    server.call(("SET", "big", b"x" * 4_000_000))
    peer.socket.sendall(peer.encrypted(b"CLIENT ID\r\n" + b"GET big\r\n" * 5))
    server.barrier()
    assert server.call("CLIENT KILL TYPE normal SKIPME yes") == b":1\r\n"
    peer.socket.close()


def test_the_end_of_input_lets_the_replies_leave(server: Server, peer: Peer) -> None:
    server.call(("SET", "big", b"x" * 4_000_000))
    peer.socket.sendall(peer.encrypted(b"GET big\r\n" * 3))
    peer.socket.shutdown(socket.SHUT_WR)
    assert len(peer.read(20_000_000)) == 3 * (4_000_000 + len(b"$4000000\r\n\r\n"))


def test_close_notify_ends_the_connection(peer: Peer) -> None:
    data = peer.encrypted(b"PING\r\n")
    with contextlib.suppress(ssl.SSLWantReadError):
        peer.tls.unwrap()
    peer.socket.sendall(data + peer.outgoing.read())
    while peer.feed():
        pass


def test_blocked_and_subscribed_clients(server: Server, peer: Peer, certificates: Certificates) -> None:
    other = Peer(tls_port(server), certificates.client_context()).shake_hands()
    peer.socket.sendall(peer.encrypted(b"BLPOP list 0\r\nPING\r\n"))
    other.socket.sendall(other.encrypted(b"SUBSCRIBE ch\r\n"))
    other.expect(b"*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
    server.call("RPUSH list item")
    peer.expect(b"*2\r\n$4\r\nlist\r\n$4\r\nitem\r\n+PONG\r\n")
    assert server.call("PUBLISH ch hello") == b":1\r\n"
    other.expect(b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$5\r\nhello\r\n")
    other.socket.close()


def test_a_damaged_record_ends_the_connection(peer: Peer) -> None:
    data = bytearray(peer.encrypted(encode("SET damaged 1")))
    data[-1] ^= 1
    peer.socket.sendall(data)
    while peer.feed():
        pass


@pytest.mark.parametrize("junk", [b"PING\r\n", b"\x16\x03\x01", bytes(range(256)) * 300, b"GET / HTTP/1.1\r\n\r\n"])
def test_junk_in_the_place_of_a_handshake(server: Server, junk: bytes) -> None:
    client = WireClient(("127.0.0.1", tls_port(server)))
    with contextlib.suppress(OSError):
        client.send_raw(junk)
        client.socket.shutdown(socket.SHUT_WR)
    assert b"PONG" not in client.read_until_closed()
    client.close()


def test_keys_that_a_peer_asks_for_and_does_not_read_are_bounded(server: Server, peer: Peer) -> None:
    """OpenSSL answers each request for a new key, whatever waits in front of the answer."""
    assert server.call(("SET", "big", b"x" * 4_000_000)) == b"+OK\r\n"
    peer.socket.sendall(peer.encrypted(b"GET big\r\n" * 2))
    wait_until(lambda: re.search(rb" omem=[1-9]", server.call("CLIENT LIST")) is not None, "replies wait")
    with contextlib.suppress(OSError):
        for _ in range(2000):
            ask_for_new_key(peer.tls)
            peer.socket.sendall(peer.encrypted(b"\r\n"))
    wait_until(lambda: connected_clients(server) == 1, "the peer is closed")
    assert "overcoming of output buffer limits" in server.log()


def ask_for_new_key(tls: ssl.SSLObject) -> None:
    """SSL_key_update, which the module ssl does not have: the next record carries the request."""
    try:
        update = ctypes.CDLL("libssl.so.3").SSL_key_update
    except (OSError, AttributeError):
        pytest.skip("no libssl to call")
    update.argtypes = [ctypes.c_void_p, ctypes.c_int]
    # Of the C object: its head of 16 bytes, the Python object, and what is wanted.
    connection = ctypes.c_void_p.from_address(id(tls._sslobj) + 24)  # type: ignore[attr-defined]
    assert update(connection, 1) == 1


def test_renegotiation_is_refused(server: Server, certificates: Certificates) -> None:
    files = ("-cert", certificates.path("client.crt"), "-key", certificates.path("client.key"))
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{tls_port(server)}", "-tls1_2", *files],
        input=b"R\n",
        capture_output=True,
        timeout=60,
    )
    assert b"no renegotiation" in done.stderr


def test_handshakes_that_never_end(server: Server, certificates: Certificates) -> None:
    """Silent ones, half of a message and many first messages at once: others are served, and they have to go."""
    port, context = tls_port(server), certificates.client_context()
    with WireClient(("127.0.0.1", port), context=context) as client:
        crowd = [Peer(port, context) for _ in range(150)]
        for number, peer in enumerate(crowd):
            hello = peer.hello()
            peer.socket.sendall(hello if number % 3 else hello[: number % 2 * 50])
        assert client.call("PING") == b"+PONG\r\n"
        wait_until(lambda: connected_clients(server) == 2, "handshakes that do not end are given up")
        assert client.call("PING") == b"+PONG\r\n"
    for peer in crowd:
        peer.socket.close()


def test_too_many_clients(start_minikv: StartServer, certificates: Certificates) -> None:
    port = free_port()
    server = start_minikv(**certificates.settings(), **{"tls-port": port}, maxclients=3, requirepass="secret")
    server.barrier()
    context = certificates.client_context()
    members = [WireClient(("127.0.0.1", port), context=context) for _ in range(2)]
    assert [member.call("AUTH secret") for member in members] == [b"+OK\r\n"] * 2
    with pytest.raises(OSError):
        WireClient(("127.0.0.1", port), context=context)
    assert server.info("stats")["rejected_connections"] == "1"
    members[0].close()
    wait_until(lambda: connected_clients(server) == 2, "the server forgets the client")
    with WireClient(("127.0.0.1", port), context=context) as stranger:
        assert stranger.call("PING").startswith(b"-NOAUTH")
    members[1].close()


def test_a_file_is_read_again_when_its_name_is_set(
    start_minikv: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    port, settings = free_port(), certificates.settings()
    for kind in ("cert", "key"):
        settings[f"tls-{kind}-file"] = shutil.copy(settings[f"tls-{kind}-file"], tmp_path)
    server = start_minikv(**settings, **{"tls-port": port})
    words = [word for setting in settings.items() for word in setting]

    def name() -> object:
        with WireClient(("127.0.0.1", port), context=certificates.client_context()) as client:
            return client.socket.getpeercert()["subject"][0][0][1]  # type: ignore[attr-defined]

    assert name() == "server"
    Path(settings["tls-cert-file"]).write_text("nonsense")
    assert b"Unable to update TLS configuration. Check server logs." in server.call(("CONFIG", "SET", *words))
    assert f"Failed to load certificate: {settings['tls-cert-file']}: " in server.log()
    assert name() == "server"
    shutil.copy(certificates.path("second.crt"), settings["tls-cert-file"])
    shutil.copy(certificates.path("second.key"), settings["tls-key-file"])
    assert name() == "server"
    assert server.call(("CONFIG", "SET", *words)) == b"+OK\r\n"
    assert name() == "second"


def test_migrate_between_servers(server: Server, start_minikv: StartServer, certificates: Certificates) -> None:
    target = tls_port(server)
    source = start_minikv(**certificates.settings("client"), **{"tls-cluster": "yes"})
    source.call("SET moved 1")
    assert source.call(f"MIGRATE 127.0.0.1 {target} moved 0 5000") == b"+OK\r\n"
    assert server.call("GETDEL moved") == b"$1\r\n1\r\n"
    source.call("SET stays 1")
    assert source.call("CONFIG SET tls-cluster no") == b"+OK\r\n"
    assert source.call(f"MIGRATE 127.0.0.1 {target} stays 0 5000").startswith(b"-IOERR")
    pair = [word for setting in certificates.settings("stranger").items() for word in setting]
    assert source.call(("CONFIG", "SET", *pair, "tls-cluster", "yes")) == b"+OK\r\n"
    assert source.call(f"MIGRATE 127.0.0.1 {target} stays 0 5000").startswith(b"-IOERR")
    assert source.call("EXISTS stays") == b":1\r\n"
