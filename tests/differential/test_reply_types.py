"""HELLO, and every type of reply in both protocols."""

import pytest

from tests.harness import ClientPair, encode, parse


def assert_same_hello(pair: ClientPair, command: str) -> None:
    """Compares a HELLO whose map holds the client's number, which differs."""

    def compare(subject: bytes, oracle: bytes) -> bool:
        return without_id(subject) == without_id(oracle)

    pair.assert_same(command, compare=compare)


def without_id(reply: bytes) -> object:
    value = parse(reply)
    if not isinstance(value.payload, list):
        return value
    return value.kind, [
        element for index, element in enumerate(value.payload) if value.payload[index - 1].payload != b"id" or not index
    ]


@pytest.mark.parametrize(
    "command",
    ["HELLO", "HELLO 2", "HELLO 3", "HELLO 3 SETNAME someone", "HELLO 2 SETNAME x", "hello 3 setname y"],
)
def test_hello_describes_the_server(resp2_pair: ClientPair, command: str) -> None:
    assert_same_hello(resp2_pair, command)
    resp2_pair.assert_same("CLIENT GETNAME", "GET none")
    assert_same_hello(resp2_pair, "HELLO")


@pytest.mark.parametrize(
    "command",
    [
        "HELLO 1",
        "HELLO 4",
        "HELLO x",
        "HELLO 3.0",
        ("HELLO", ""),
        "HELLO 3 nonesuch",
        "HELLO 3 SETNAME",
        ("HELLO", "3", "SETNAME", "with blank"),
        ("HELLO", "3", "SETNAME", "new\nline"),
        "HELLO 3 AUTH",
        "HELLO 3 AUTH x",
        "HELLO 3 AUTH default wrong",
        "HELLO 3 AUTH nobody wrong",
        "HELLO 3 AUTH default wrong SETNAME x",
        "HELLO 99999999999999999999",
        "HELLO -1",
    ],
)
def test_a_wrong_hello(resp2_pair: ClientPair, command: str) -> None:
    assert_same_hello(resp2_pair, command)  # without a password set, any password is right
    resp2_pair.assert_same("GET none", "CLIENT GETNAME")


def test_switching_back_and_forth(resp2_pair: ClientPair) -> None:
    for command in ("HELLO 3", "HELLO 2", "HELLO 3", "HELLO 3", "HELLO"):
        assert_same_hello(resp2_pair, command)
        resp2_pair.assert_same("GET none", "CONFIG GET maxmemory", "MGET none none")
    resp2_pair.assert_same("RESET", "GET none")


def test_hello_in_a_pipeline_switches_between_two_replies(resp2_pair: ClientPair) -> None:
    resp2_pair.assert_same_pipeline("GET none", "CONFIG GET maxmemory")
    for client in (resp2_pair.subject, resp2_pair.oracle):
        client.send_raw(
            encode("GET none") + encode("HELLO 3") + encode("GET none") + encode("HELLO 2") + encode("GET none")
        )
    replies = [[client.read() for _ in range(5)] for client in (resp2_pair.subject, resp2_pair.oracle)]
    assert [reply[:3] for reply in replies[0]] == [reply[:3] for reply in replies[1]]


@pytest.mark.parametrize("command", ["CLIENT", "COMMAND", "CONFIG", "DEBUG", "LATENCY", "MEMORY", "OBJECT", "SLOWLOG"])
def test_help_is_an_array_of_simple_strings(pair: ClientPair, command: str) -> None:
    """The words are minikv's own."""
    for client in (pair.subject, pair.oracle):
        reply = parse(client.call(f"{command} HELP"))
        assert reply.kind == b"*"
        assert {line.kind for line in reply.payload} == {b"+"}
        assert (
            reply.payload[0].payload
            == b"%b <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" % command.encode()
        )


def test_every_type_of_reply(pair: ClientPair) -> None:
    pair.assert_same(
        "PING",  # simple string
        ("ECHO", "bulk\r\nstring"),
        "DBSIZE",  # integer
        "GET none",  # null
        "MGET none none",  # array with nulls
        "nonesuch",  # error
        "CONFIG GET maxmemory",  # map
        "CONFIG GET nonesuch",  # empty map
        "KEYS nonesuch",  # empty array
        "SET a 10.5",
        "INCRBYFLOAT a 1.5",  # a bulk string, in both
        "SCAN 0",  # nested array
        "RANDOMKEY",
        "LCS a none IDX",
        "SET n 1",
        "BITFIELD n GET u8 0 OVERFLOW FAIL INCRBY u2 0 9",
    )


@pytest.mark.parametrize(
    "command",
    [
        "DEBUG PROTOCOL " + kind
        for kind in (
            "string",
            "integer",
            "double",
            "null",
            "array",
            "set",
            "map",
            "bignum",
            "true",
            "false",
            "verbatim",
        )
    ],
)
def test_debug_protocol(pair: ClientPair, command: str) -> None:
    pair.assert_same(command, "PING")
