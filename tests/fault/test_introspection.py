"""Introspection commands with whatever bytes as arguments: a reply or an error, and the server serves on."""

from __future__ import annotations

import random

import pytest

from tests.harness import Server, parse

WORDS = [
    *(b"GET HELP COUNT RESET LEN SAMPLES FILTERBY ACLCAT PATTERN MODULE VERSION NO ONE ASYNC all default".split()),
    *(b"0 1 -1 2 10 9223372036854775807 -9223372036854775808 9223372036854775808 1.5 nan inf".split()),
    *(b"set a k0 * [ \\".split()),
    b"",
    b"\xff\xfe",
    b"\x00",
    b"\r\n",
    b"x" * 300,
]
COMMANDS = [
    *("INFO", "COMMAND", "COMMAND COUNT", "COMMAND INFO", "COMMAND LIST", "COMMAND DOCS", "COMMAND GETKEYS"),
    *("COMMAND GETKEYSANDFLAGS", "COMMAND GETKEYS set", "COMMAND GETKEYS bitfield", "COMMAND GETKEYS memory"),
    *("SLOWLOG", "SLOWLOG GET", "LATENCY", "LATENCY GRAPH", "LATENCY HISTORY", "LATENCY RESET", "LATENCY HISTOGRAM"),
    *("MEMORY", "MEMORY USAGE", "MEMORY USAGE k0", "ACL", "ACL CAT", "MODULE", "LOLWUT", "ROLE", "TIME"),
    "WAIT 0",  # of more replicas than there are it may wait for ever
    *("SWAPDB", "FLUSHDB", "FLUSHALL", "REPLICAOF", "DEBUG", "DEBUG OBJECT", "DEBUG HTSTATS", "DEBUG ERROR"),
    *("DEBUG LOG", "DEBUG PROTOCOL", "DEBUG QUICKLIST-PACKED-THRESHOLD", "DEBUG DIGEST-VALUE", "DEBUG RELOAD"),
    *("DEBUG POPULATE 3", "DEBUG POPULATE 2 pre", "DEBUG SET-ACTIVE-EXPIRE"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_any_arguments_get_an_answer(minikv: Server, rng: random.Random, command: str) -> None:
    with minikv.connect() as client:
        for _ in range(60):
            arguments = rng.choices(WORDS, k=rng.randint(0, 4))
            request = [*command.encode().split(), *arguments]
            assert parse(client.call(request)).kind in b"+-:$*%~_,#=>", request
        assert client.call("DEBUG SET-ACTIVE-EXPIRE 1") == b"+OK\r\n"
        assert client.call("PING") == b"+PONG\r\n"
    assert minikv.info("stats")["unexpected_error_replies"] == "0"
