"""TLS against a real redis-server: who may connect, what CONFIG SET changes and refuses, what clients see."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from collections.abc import Callable

import pytest

from tests.harness import Server, WireClient, free_port
from tests.harness.certificates import PASSWORD, Certificates

RESET = ("tls-protocols", "tls-ciphers", "tls-ciphersuites", "tls-key-file-pass")

Servers = tuple[Server, Server]


@pytest.fixture(scope="module")
def servers(module_servers: Callable[..., Servers], certificates: Certificates) -> Servers:
    """Both with a TLS port only, whose number a setting of each tells."""
    return module_servers(**certificates.settings())


@pytest.fixture
def ports(servers: Servers, certificates: Certificates) -> list[int]:
    """A TLS port of each server, with the settings that both were started with."""
    numbers = []
    settings = certificates.settings() | dict.fromkeys(RESET, "") | {"tls-auth-clients": "yes"}
    settings["tls-prefer-server-ciphers"] = "no"
    for server in servers:
        words = [word for pair in settings.items() for word in pair]
        assert server.call(("CONFIG", "SET", *words)) == b"+OK\r\n"
        number = int(server.call("CONFIG GET tls-port").split(b"\r\n")[4])
        if not number:
            number = free_port()
            assert server.call(("CONFIG", "SET", "tls-port", str(number))) == b"+OK\r\n", server.log()
        numbers.append(number)
    return numbers


def exchange(port: int, context: ssl.SSLContext | None, request: bytes = b"PING\r\n") -> bytes:
    """What a client gets, b"refused" if nothing."""
    try:
        with WireClient(("127.0.0.1", port), context=context) as client:
            client.send_raw(request)
            return client.read()
    except (OSError, AssertionError):
        return b"refused"


def cipher(port: int, context: ssl.SSLContext) -> tuple[str, str] | str:
    """What was agreed upon: the name of the cipher and the version."""
    try:
        with WireClient(("127.0.0.1", port), context=context) as client:
            assert client.call("PING") == b"+PONG\r\n"
            chosen = client.socket.cipher()[:2]  # type: ignore[attr-defined]
            return chosen
    except (OSError, AssertionError):
        return "refused"


def set_both(servers: Servers, *words: str) -> bytes:
    replies = [server.call(("CONFIG", "SET", *words)) for server in servers]
    assert replies[0] == replies[1], words
    return replies[0]


@pytest.mark.parametrize("auth", ["yes", "optional", "no"])
@pytest.mark.parametrize("certificate", ["client", None, "expired", "stranger"])
def test_who_may_connect(
    servers: Servers, ports: list[int], certificates: Certificates, auth: str, certificate: str | None
) -> None:
    set_both(servers, "tls-auth-clients", auth)
    context = certificates.client_context(certificate)
    got = [exchange(port, context) for port in ports]
    good = auth == "no" or certificate == "client" or (auth == "optional" and certificate is None)
    assert got == [b"+PONG\r\n" if good else b"refused"] * 2


def test_clear_text_on_the_tls_port_is_refused(ports: list[int]) -> None:
    assert [exchange(port, None) for port in ports] == [b"refused"] * 2


@pytest.mark.parametrize("protocols", ["TLSv1.2", "tlsv1.3", "TLSv1.2 TLSv1.3", ""])
def test_protocols(servers: Servers, ports: list[int], certificates: Certificates, protocols: str) -> None:
    assert set_both(servers, "tls-protocols", protocols) == b"+OK\r\n"
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = certificates.client_context()
        context.minimum_version = context.maximum_version = version
        got = [cipher(port, context) for port in ports]
        assert got[0] == got[1]
        assert (got[0] == "refused") == bool(protocols and version.name[-1] not in protocols)


@pytest.mark.parametrize("prefer", ["no", "yes"])
def test_ciphers_and_whose_order_counts(
    servers: Servers, ports: list[int], certificates: Certificates, prefer: str
) -> None:
    names = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    set_both(servers, "tls-protocols", "TLSv1.2", "tls-ciphers", ":".join(names), "tls-prefer-server-ciphers", prefer)
    context = certificates.client_context()
    context.set_ciphers(":".join(reversed(names)))
    assert [cipher(port, context) for port in ports] == [(names[0 if prefer == "yes" else 1], "TLSv1.2")] * 2
    context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    assert [cipher(port, context) for port in ports] == ["refused"] * 2


def test_ciphersuites_of_tls_1_3(servers: Servers, ports: list[int], certificates: Certificates) -> None:
    for suite in ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"):
        assert set_both(servers, "tls-ciphersuites", suite) == b"+OK\r\n"
        assert [cipher(port, certificates.client_context()) for port in ports] == [(suite, "TLSv1.3")] * 2


@pytest.mark.parametrize(
    "words",
    [
        ["tls-cert-file", "/nowhere"],
        ["tls-cert-file", "{client.key}"],
        ["tls-cert-file", ""],
        ["tls-key-file", "/nowhere"],
        ["tls-key-file", "{client.key}"],
        ["tls-key-file", "{locked.key}"],
        ["tls-key-file", "{locked.key}", "tls-key-file-pass", "wrong"],
        ["tls-key-file", ""],
        ["tls-ca-cert-file", "/nowhere"],
        ["tls-ca-cert-file", "{server.key}"],
        ["tls-ca-cert-file", ""],
        ["tls-dh-params-file", "/nowhere"],
        ["tls-protocols", "SSLv3"],
        ["tls-protocols", "TLSv1.2,TLSv1.3"],
        ["tls-ciphers", "no-such-cipher"],
        ["tls-ciphersuites", "no-such-suite"],
        ["tls-client-cert-file", "/nowhere", "tls-client-key-file", "{client.key}"],
        ["timeout", "7", "tls-cert-file", "{second.crt}"],
        ["tls-auth-clients", "maybe"],
        ["tls-port", "70000"],
    ],
)
def test_what_is_refused_changes_nothing(
    servers: Servers, ports: list[int], certificates: Certificates, words: list[str]
) -> None:
    words = [certificates.path(word[1:-1]) if word.startswith("{") else word for word in words]
    assert set_both(servers, *words).startswith(b"-ERR CONFIG SET failed")
    for name in (*words[::2], "timeout"):
        shown = [server.call(("CONFIG", "GET", name)) for server in servers]
        assert name == "tls-port" or shown[0] == shown[1]
    assert [exchange(port, certificates.client_context()) for port in ports] == [b"+PONG\r\n"] * 2


def test_a_new_certificate_is_shown_at_once(servers: Servers, ports: list[int], certificates: Certificates) -> None:
    def subject(port: int) -> object:
        with WireClient(("127.0.0.1", port), context=certificates.client_context()) as client:
            return client.socket.getpeercert()["subject"]  # type: ignore[attr-defined]

    assert [subject(port) for port in ports] == [((("commonName", "server"),),)] * 2
    with contextlib.ExitStack() as stack:
        early = [
            stack.enter_context(WireClient(("127.0.0.1", port), context=certificates.client_context()))
            for port in ports
        ]
        pair = [word for setting in certificates.settings("second").items() for word in setting]
        assert set_both(servers, *pair) == b"+OK\r\n"
        assert [subject(port) for port in ports] == [((("commonName", "second"),),)] * 2
        assert [client.call("PING") for client in early] == [b"+PONG\r\n"] * 2


def test_an_encrypted_key(servers: Servers, ports: list[int], certificates: Certificates) -> None:
    words = ["tls-key-file-pass", PASSWORD, "tls-key-file", certificates.path("locked.key")]
    assert set_both(servers, *words) == b"+OK\r\n"
    assert [exchange(port, certificates.client_context()) for port in ports] == [b"+PONG\r\n"] * 2


def test_session_settings_are_taken(servers: Servers, ports: list[int], certificates: Certificates) -> None:
    words = ["tls-session-cache-size", "10", "tls-session-cache-timeout", "20", "tls-protocols", "TLSv1.2"]
    for caching in ("yes", "no"):
        assert set_both(servers, *words, "tls-session-caching", caching) == b"+OK\r\n"
        reused = []
        for port in ports:
            context = certificates.client_context()
            context.options |= ssl.OP_NO_TICKET  # a session that the server remembers
            with WireClient(("127.0.0.1", port), context=context) as first:
                first.call("QUIT")
                session = first.socket.session  # type: ignore[attr-defined]
            client = WireClient(("127.0.0.1", port))
            client.socket = context.wrap_socket(client.socket, session=session)
            assert client.call("PING") == b"+PONG\r\n"
            reused.append(client.socket.session_reused)
            client.close()
        assert reused == [caching == "yes"] * 2
    words = ["tls-session-cache-size", "20480", "tls-session-cache-timeout", "300", "tls-session-caching", "yes"]
    assert set_both(servers, *words) == b"+OK\r\n"


def test_commands_give_the_same_bytes(ports: list[int], certificates: Certificates) -> None:
    big = b"x" * 300_000
    requests = (
        b"FLUSHALL\r\nHELLO 3\r\nSET a 1\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$300000\r\n" + big + b"\r\nGET b\r\n"
        b"NOSUCH\r\nSUBSCRIBE ch\r\nPUBLISH ch hello\r\nMULTI\r\nINCR a\r\nEXEC\r\n"
        + b"INCR a\r\n" * 3000
        + b"QUIT\r\n"
    )
    got = []
    for port in ports:
        with WireClient(("127.0.0.1", port), context=certificates.client_context()) as client:
            client.send_raw(requests)
            got.append(client.read_until_closed())
    assert got[0].partition(b"id\r\n")[2].partition(b"\r\n")[2] == got[1].partition(b"id\r\n")[2].partition(b"\r\n")[2]
    assert len(got[0]) > len(big)


def test_ports_are_exchanged_as_in_redis(servers: Servers, ports: list[int], certificates: Certificates) -> None:
    for server, port in zip(servers, ports, strict=True):
        assert server.info("server")["tcp_port"] == str(port)
        assert server.call("CONFIG SET tls-port 0") == b"+OK\r\n"
        assert server.call(("CONFIG", "SET", "port", str(port))) == b"+OK\r\n"
        assert exchange(port, None) == b"+PONG\r\n"
        assert server.call("CONFIG SET port 0") == b"+OK\r\n"
        assert server.call(("CONFIG", "SET", "tls-port", str(port))) == b"+OK\r\n"
        assert exchange(port, certificates.client_context()) == b"+PONG\r\n"


def test_redis_cli_and_redis_benchmark(ports: list[int], certificates: Certificates) -> None:
    for port in ports:
        common = ["-p", str(port), *certificates.cli_arguments()]
        got = subprocess.run(["redis-cli", *common, "ECHO", "hello"], capture_output=True, check=True, timeout=60)
        assert got.stdout == b"hello\n"
        load = ["-t", "set,get,lpush", "-n", "500", "-c", "20", "-P", "5", "--csv"]
        subprocess.run(["redis-benchmark", *common, *load], capture_output=True, check=True, timeout=60)


@pytest.mark.parametrize(
    "missing, settings",
    [
        ("tls-cert-file", {}),
        ("tls-ca-cert-file", {"tls-auth-clients": "no", "tls-replication": "yes", "tls-port": None}),
    ],
)
def test_a_server_that_cannot_speak_tls_does_not_start(
    start_minikv: Callable[..., Server],
    start_redis: Callable[..., Server],
    certificates: Certificates,
    missing: str,
    settings: dict[str, object],
) -> None:
    options = certificates.settings() | {"tls-port": free_port()} | settings | {missing: None}
    for start in (start_minikv, start_redis):
        with pytest.raises(
            AssertionError, match=r"(?s)ended with 1 .*Failed to configure TLS\. Check logs for more info\."
        ):
            start(**options)
