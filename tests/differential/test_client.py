"""What belongs to a connection: AUTH, CLIENT, SELECT, RESET, QUIT."""

import re

import pytest

from tests.harness import ClientPair, Server, encode, same_kind, wait_until


@pytest.mark.parametrize(
    "argument", ["0", "1", "15", "16", "-1", "x", "1x", " 1", "+1", "01", "1.0", "99999999999999999999", ""]
)
def test_select(pair: ClientPair, argument: str) -> None:
    pair.assert_same(("SELECT", argument), "SET a 1", "SELECT 0", "GET a")


def test_ping_and_echo(pair: ClientPair) -> None:
    pair.assert_same(
        "PING",
        "ping hello",
        ("PING", b"\x00\xff"),
        ("PING", ""),
        "ECHO a",
        ("ECHO", ""),
        "PING a b",
        "ECHO",
        "ECHO a b",
    )


@pytest.mark.parametrize("command", ["QUIT", "quit", "QUIT now"])
def test_quit_closes_and_ignores_what_follows(resp2_pair: ClientPair, command: str) -> None:
    assert resp2_pair.assert_same_raw(encode("SET a 1") + encode(command) + encode("SET a 2")).closed
    resp2_pair.another().assert_same("GET a")


def test_names(pair: ClientPair) -> None:
    pair.assert_same(
        "CLIENT GETNAME", "CLIENT SETNAME someone", "CLIENT GETNAME", ("CLIENT", "SETNAME", ""), "CLIENT GETNAME"
    )
    for name in ("with blank", "new\nline", "tab\t", "\x7f", "caf\xe9", "!~"):
        pair.assert_same(("CLIENT", "SETNAME", name), "CLIENT GETNAME")


def test_reset_brings_a_connection_back(resp2_pair: ClientPair) -> None:
    resp2_pair.assert_same(
        "SELECT 3", "CLIENT SETNAME x", "WATCH a", "MULTI", "SET a 1", "RESET", "EXEC", "CLIENT GETNAME", "GET none"
    )
    resp2_pair.assert_same("SET a 0", "SELECT 0", "GET a")


def test_client_reply_modes(resp2_pair: ClientPair) -> None:
    resp2_pair.assert_same_raw(
        b"".join(
            encode(command)
            for command in (
                "CLIENT REPLY OFF",
                "SET a 1",
                "nonesuch",
                "CLIENT REPLY SKIP",
                "GET a",
                "CLIENT REPLY ON",
                "GET a",
                "CLIENT REPLY SKIP",
                "GET a",
                "GET a",
                "CLIENT REPLY SKIP",
                "CLIENT REPLY ON",
                "PING",
                "CLIENT REPLY nonesuch",
                "CLIENT REPLY",
            )
        )
    )


@pytest.mark.parametrize(
    "command",
    [
        "CLIENT",
        "CLIENT nonesuch",
        "CLIENT nonesuch a b",
        "CLIENT ID x",
        "CLIENT GETNAME x",
        "CLIENT SETNAME",
        "CLIENT LIST nonesuch",
        "CLIENT LIST TYPE",
        "CLIENT LIST TYPE nonesuch",
        "CLIENT LIST TYPE master",
        "CLIENT LIST TYPE replica",
        "CLIENT LIST TYPE pubsub",
        "CLIENT LIST ID",
        "CLIENT LIST ID x",
        "CLIENT LIST ID 0",
        "CLIENT LIST ID 999999",
        "CLIENT LIST ID 1 x",
        "CLIENT KILL",
        "CLIENT KILL nonesuch",
        "CLIENT KILL 127.0.0.1:1",
        "CLIENT KILL ID x",
        "CLIENT KILL ID 0",
        "CLIENT KILL ID 999999",
        "CLIENT KILL ID",
        "CLIENT KILL TYPE nonesuch",
        "CLIENT KILL TYPE pubsub",
        "CLIENT KILL TYPE master",
        "CLIENT KILL USER nobody",
        "CLIENT KILL ADDR 1.2.3.4:5",
        "CLIENT KILL LADDR 1.2.3.4:5",
        "CLIENT KILL ADDR 1.2.3.4:5 SKIPME maybe",
        "CLIENT KILL ADDR 1.2.3.4:5 SKIPME no",
        "CLIENT KILL ADDR 1.2.3.4:5 nonesuch x",
        "CLIENT NO-EVICT",
        "CLIENT NO-EVICT on",
        "CLIENT NO-EVICT OFF",
        "CLIENT NO-EVICT maybe",
        "CLIENT PAUSE",
        "CLIENT PAUSE x",
        "CLIENT PAUSE -1",
        "CLIENT PAUSE 0 nonesuch",
        "CLIENT PAUSE 99999999999999999999",
        "CLIENT UNPAUSE",
        "CLIENT UNPAUSE x",
        "CLIENT HELP x",
        "CLIENT TRACKINGINFO",
    ],
)
def test_client_subcommands(pair: ClientPair, command: str) -> None:
    pair.assert_same(command, "PING")


FIELD = re.compile(rb"([a-z-]+)=(\S*)")
OWN_FIELDS = (
    b"id",
    b"addr",
    b"laddr",
    b"fd",
    b"age",
    b"idle",
    b"qbuf",
    b"qbuf-free",
    b"argv-mem",
    b"multi-mem",
    b"rbs",
    b"rbp",
    b"obl",
    b"oll",
    b"omem",
    b"tot-mem",
)


def client_fields(line: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, b"" if name in OWN_FIELDS else value) for name, value in FIELD.findall(line)]


@pytest.mark.parametrize(
    "before",
    [
        (),
        ("SELECT 3", "CLIENT SETNAME me"),
        ("MULTI", "PING"),
        ("WATCH a b", "MULTI"),
        ("CLIENT NO-EVICT ON",),
        ("WATCH a",),
        ("CLIENT TRACKING ON",),
        ("CLIENT TRACKING ON BCAST PREFIX a",),
    ],
    ids=["plain", "named", "multi", "watching multi", "no evict", "watching", "tracking", "broadcasts"],
)
def test_client_info_and_list_have_redis_fields(pair: ClientPair, before: tuple[str, ...]) -> None:
    watched = pair.another()
    watched.assert_same("PING", *before)
    lists = []
    for client, mine in ((pair.subject, watched.subject), (pair.oracle, watched.oracle)):
        address = mine.socket.getpeername()
        assert address
        lines = client.value("CLIENT LIST").splitlines()
        lists.append(client_fields(lines[-1]))
    assert lists[0] == lists[1]


def test_client_id_counts_up_and_names_the_client_in_the_list(pair: ClientPair) -> None:
    for client in (pair.subject, pair.oracle):
        number = client.value("CLIENT ID")
        assert client.value(f"CLIENT LIST ID {number}").startswith(b"id=%d " % number)
        assert client.value("CLIENT INFO").startswith(b"id=%d " % number)


def test_client_kill_by_id(pair: ClientPair) -> None:
    victim = pair.another()
    for client, killed in ((pair.subject, victim.subject), (pair.oracle, victim.oracle)):
        number = killed.value("CLIENT ID")
        assert client.call(f"CLIENT KILL ID {number}") == b":1\r\n"
        assert killed.read_until_closed() == b""
    pair.assert_same("PING")


def test_a_client_that_kills_itself_gets_its_reply(pair: ClientPair) -> None:
    for client in (pair.subject, pair.oracle):
        number = client.value("CLIENT ID")
        client.send(f"CLIENT KILL ID {number} SKIPME no")
        assert client.read_until_closed() == b":1\r\n"


def test_client_kill_skips_the_caller(resp2_pair: ClientPair) -> None:
    for client in (resp2_pair.subject, resp2_pair.oracle):
        number = client.value("CLIENT ID")
        assert client.call(f"CLIENT KILL ID {number}") == b":0\r\n"


def test_a_pause_of_writes_holds_them_until_unpause(fresh_pair) -> None:  # type: ignore[no-untyped-def]
    pair = fresh_pair()
    paused = pair.another()
    pair.assert_same("SET a 1", "PFADD p x", "CLIENT PAUSE 60000 WRITE")
    with_counts = pair.another()
    for client in (with_counts.subject, with_counts.oracle):
        client.send("PFCOUNT p")  # may have to write what it has counted
    paused.assert_same("GET a", "PING", "TTL a")
    for client in (paused.subject, paused.oracle):
        client.send("SET a 2")
    pair.assert_same("GET a")
    pair.servers[0].barrier()
    assert with_counts.subject.read_available()[0] == b""
    pair.assert_same("CLIENT UNPAUSE")
    assert paused.subject.read() == paused.oracle.read()
    assert with_counts.subject.read() == with_counts.oracle.read()
    pair.assert_same("GET a")


def test_a_paused_client_cannot_be_unblocked(start_minikv) -> None:  # type: ignore[no-untyped-def]
    """Redis does the same since 7.2; 7.0 answers the client, and still executes its command afterwards."""
    server = start_minikv()
    control, paused = server.connect(), server.connect()
    number = paused.value("CLIENT ID")
    control.call("CLIENT PAUSE 60000 WRITE")
    paused.send("SET a 1")
    wait_until(lambda: b" flags=b" in control.call(f"CLIENT LIST ID {number}"), "the client waits")
    for reason in ("", "TIMEOUT", "ERROR"):
        assert control.call(f"CLIENT UNBLOCK {number} {reason}") == b":0\r\n"
    control.call("CLIENT UNPAUSE")
    assert paused.read() == b"+OK\r\n"


@pytest.mark.parametrize("mode", ["", "ALL", "WRITE"])
@pytest.mark.parametrize(
    "held", ["GET a", "SET a 2", "PING", "CLIENT UNPAUSE", "nonesuch", "GET", "EXEC", "BGSAVE nonesuch"]
)
def test_a_pause_ends_by_itself_and_serves_what_it_held(resp2_pair: ClientPair, mode: str, held: str) -> None:
    resp2_pair.assert_same("SET a 1", f"CLIENT PAUSE 200 {mode}", held, "GET a")


def test_clients_that_a_pause_holds_count_as_blocked(resp2_pair: ClientPair) -> None:
    for server in resp2_pair.servers:
        with server.connect() as writer, server.connect() as other, server.connect() as gone:
            other.value("CLIENT PAUSE 60000 WRITE")
            for client in (writer, gone):
                client.send("SET a 1")
            wait_until(lambda server=server: server.info("clients")["blocked_clients"] == "2", "both wait")
            gone.close()
            wait_until(lambda server=server: server.info("clients")["blocked_clients"] == "1", "one is forgotten")
            other.value("CLIENT UNPAUSE")
            assert writer.read() == b"+OK\r\n"
            assert server.info("clients")["blocked_clients"] == "0"


def test_a_second_client_sees_how_many_there_are(resp2_pair: ClientPair) -> None:
    for server in resp2_pair.servers:
        wait_until(
            lambda server=server: int(server.info("clients")["connected_clients"]) == 2, "only our connections are left"
        )


# -- passwords ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked_servers(module_servers) -> tuple[Server, Server]:  # type: ignore[no-untyped-def]
    return module_servers(requirepass="secret word")


@pytest.fixture
def locked(locked_servers: tuple[Server, Server], connected) -> ClientPair:  # type: ignore[no-untyped-def]
    return connected(locked_servers)


@pytest.mark.parametrize(
    "command",
    [
        "PING",
        "GET a",
        "SET a 1",
        "nonesuch",
        "GET",
        "CLIENT ID",
        "CLIENT nonesuch",
        "MULTI",
        "EXEC",
        "INFO",
        "COMMAND COUNT",
        "SHUTDOWN",
        "SELECT 1",
        "CONFIG GET *",
        "HELLO",
        "HELLO 3",
        "HELLO 9",
        "RESET",
        "AUTH",
        "AUTH a b c",
        "WATCH a",
        "MONITOR",
        "CLIENT REPLY OFF",
        "DEBUG SLEEP 0",
    ],
)
def test_nothing_is_served_before_auth(locked: ClientPair, command: str) -> None:
    locked.assert_same(command, "PING", ("AUTH", "secret word"), "PING")


def test_quit_needs_no_password(locked: ClientPair) -> None:
    assert locked.assert_same_raw(encode("QUIT")).closed


def test_auth(locked: ClientPair) -> None:
    locked.assert_same("AUTH wrong", "AUTH default wrong", ("AUTH", "nobody", "secret word"), "PING", ("AUTH", ""))
    locked.assert_same(
        ("AUTH", "default", "secret word"),
        "PING",
        "AUTH wrong",
        "PING",
        "RESET",
        "PING",
        ("AUTH", "secret word"),
        "PING",
    )


def test_hello_with_auth(locked: ClientPair) -> None:
    locked.assert_same("HELLO 3 AUTH default wrong", "PING")
    locked.assert_same(("HELLO", "3", "AUTH", "default", "secret word", "SETNAME", "me"), compare=same_kind)
    locked.assert_same("PING", "CLIENT GETNAME", "GET none")


def test_auth_without_a_password_set(pair: ClientPair) -> None:
    pair.assert_same("AUTH x", "AUTH default x", "AUTH default", "AUTH nobody x", "PING")


def test_a_changed_password_holds_for_new_connections(fresh_pair) -> None:  # type: ignore[no-untyped-def]
    pair = fresh_pair()
    pair.assert_same("CONFIG SET requirepass first", "PING")
    pair.another().assert_same("PING", "AUTH first", "PING")
    pair.assert_same(("CONFIG", "SET", "requirepass", ""), "PING")
    pair.another().assert_same("PING")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"*11\r\n",
        b"*10\r\n$4\r\nPING\r\n",
        b"*2\r\n$16385\r\n",
        b"*1\r\n$16384\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n",
        b"*x\r\n",
    ],
)
def test_requests_are_small_before_auth(locked: ClientPair, request_bytes: bytes) -> None:
    locked.assert_same_raw(request_bytes)
    locked.another().assert_same_raw(*(request_bytes[i : i + 1] for i in range(len(request_bytes))))
